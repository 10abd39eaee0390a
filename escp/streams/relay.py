"""Host to host through this one: two connected sockets a stream, and threads that pass on what is sealed.

Nothing here has the session's keys: the ends prove themselves to each other through the relay. Each leg has a
secret of its own, with which the relay and that leg's host find each other among strangers, and nothing else.
"""

from escp._fast.crypto.channel import Channel
from escp._fast.planes.relay import RelayPlane
from escp.errors import describe_errno
from escp.lean import sockets
from escp.streams.streams import Streams


class RelayLeg(Streams):
    """The connections to one of the two hosts: *secret* is this leg's, not the session's."""

    def adopt(self, stream: int, sock: sockets.Socket, channel: Channel, connection: int = 0) -> None:
        super().adopt(stream, sock, channel, connection)
        sock.setblocking(False)


class Relay:
    """Runs from `start` until both hosts have ended all streams, or `close`."""

    def __init__(self, near: RelayLeg, far: RelayLeg):
        self._legs = near, far
        self._plane = RelayPlane(near.n_streams)

    def start(self) -> None:
        near, far = self._legs
        for stream in range(near.n_streams):
            self._plane.attach(stream, near.proven[stream][0].fileno(), far.proven[stream][0].fileno())
        for leg in self._legs:
            leg.forget()
        self._plane.start()

    @property
    def reason(self) -> str:
        """Why it gave up; "" while it has not."""
        return describe_errno(self._plane.sys_errno) if self._plane.sys_errno else ""

    def close(self) -> None:
        self._plane.stop()
        self._plane.join()
        for leg in self._legs:
            leg.close()
