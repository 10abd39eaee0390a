"""The data's way: addresses, proven sockets, reconnecting, leg, relay; the planes at its ends."""
