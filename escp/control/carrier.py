"""Sessions carried by one control channel, for programs that log in once (docs/protocol.md 3.7).

Each has a number and a socket pair, as a tunnel's streams have: what is written into the far end comes out at
the other host. They come and go, and each direction of each has its own window.
"""

from collections.abc import Callable

from escp.constants import MAX_CARRIED, TUNNEL_WINDOW_BYTES
from escp.control.messages import Message
from escp.control.tunnel import Tunnel
from escp.lean import sockets
from escp.lean.eventloop import EventLoop


class Carrier(Tunnel):
    """*ended(number)*: whoever has the far end of that socket writes no more."""

    def __init__(
        self,
        loop: EventLoop,
        send: Callable[[Message], None],
        count_pending: Callable[[], int],
        peer: str,
        ended: Callable[[int], None],
    ):
        super().__init__(loop, send, count_pending, 0, 0, peer)
        nothing, other = sockets.socketpair()
        nothing.close()
        other.close()
        self._sockets = [nothing] * MAX_CARRIED
        self._credit = [0] * MAX_CARRIED
        self._unwritten = [bytearray() for _ in range(MAX_CARRIED)]
        self._owed = [0] * MAX_CARRIED
        self._is_reading = [False] * MAX_CARRIED
        self._is_finished = [False] * MAX_CARRIED
        self._tell_ended = ended

    def open(self, number: int) -> sockets.Socket:
        """The far end of a new session's socket pair."""
        own, far = sockets.socketpair()
        own.setblocking(False)
        self._sockets[number] = own
        self._credit[number] = TUNNEL_WINDOW_BYTES
        self._unwritten[number].clear()
        self._owed[number] = 0
        self._is_finished[number] = False
        self._read_on(number)
        return far

    def is_open(self, number: int) -> bool:
        return 0 <= number < MAX_CARRIED and self._sockets[number].fileno() >= 0

    def finish(self, number: int) -> None:
        """Nothing more comes for it: the far end reads the end, once it has read the rest."""
        self._is_finished[number] = True
        self._write(number)

    def forget(self, number: int) -> None:
        """The other host is done with it, and takes nothing more: read on until the far end is closed."""
        self.finish(number)
        self._credit[number] = TUNNEL_WINDOW_BYTES
        self._read_on(number)

    def drop(self, number: int) -> None:
        """It could not be begun."""
        self._loop.unwatch(self._sockets[number].fileno())
        self._sockets[number].close()
        self._is_reading[number] = False

    def _write(self, i: int) -> None:
        super()._write(i)
        if self._is_finished[i] and not self._unwritten[i] and self._sockets[i].fileno() >= 0:
            self._end_far(i)

    def _end_far(self, i: int) -> None:
        try:
            self._sockets[i].shutdown(sockets.SHUT_WR)
        except OSError:
            return  # it is gone

    def _has_ended(self, i: int) -> None:
        self._tell_ended(i)
