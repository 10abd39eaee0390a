"""The data's way: addresses, proven sockets, listener, connector, leg, relay; the planes at its ends."""
