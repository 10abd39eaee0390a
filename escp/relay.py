"""Host to host through this one: two connected sockets a stream, and threads that pass on what is sealed.

Nothing here has a key: the ends prove themselves to each other through the relay.
"""

from escp import sockets
from escp._fast.relay import RelayPlane
from escp.transfer import tune


class RelayLeg:
    """The connected sockets to one of the two hosts."""

    def __init__(self, n_streams: int):
        self.n_streams = n_streams
        self.arrived: set[int] = set()  # streams of which the host has told that they reached it
        self.sockets: dict[int, sockets.Socket] = {}

    @property
    def is_complete(self) -> bool:
        return len(self.sockets) == self.n_streams

    def adopt(self, stream: int, sock: sockets.Socket) -> None:
        sock.setblocking(False)
        if sock.family != sockets.AF_UNIX:
            tune(sock)
        self.sockets[stream] = sock

    def close(self) -> None:
        for sock in self.sockets.values():
            sock.close()
        self.sockets.clear()


class Relay:
    """Runs from `start` until both hosts have ended all streams, or `close`."""

    def __init__(self, near: RelayLeg, far: RelayLeg):
        self._legs = near, far
        self._plane = RelayPlane(near.n_streams)

    def start(self) -> None:
        near, far = self._legs
        for stream in range(near.n_streams):
            self._plane.attach(stream, near.sockets[stream].fileno(), far.sockets[stream].fileno())
        self._plane.start()

    def close(self) -> None:
        self._plane.stop()
        self._plane.join()
        for leg in self._legs:
            leg.close()
