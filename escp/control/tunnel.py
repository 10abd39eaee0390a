"""Streams through the control channel, for hosts between which no data port can be reached.

Each stream has a socket pair: the plane has one end and notices nothing, the other is read and written here.
Every direction of a stream has a window (docs/protocol.md 3.5), so that a stream whose reader is slow neither
holds up the others nor the control messages.
"""

from collections.abc import Callable

from escp.constants import MAX_CHUNK_BYTES, TUNNEL_WINDOW_BYTES
from escp.control.messages import Chunk, Credit, Message
from escp.errors import ProtocolError
from escp.lean import sockets
from escp.lean.eventloop import EventLoop

MAX_PENDING_BYTES = 4 * MAX_CHUNK_BYTES  # of the channel: with more waiting to be written, nothing is read
CREDIT_BYTES = TUNNEL_WINDOW_BYTES // 4


class Tunnel:
    """`ends` are the planes' sockets; what they write goes to *send*, `take` and `grant` are the way back.

    *count_pending* tells how many bytes the channel has not written yet; call `resume` when they got fewer.
    *limit_bytes_per_s* (0: none) holds for all streams together. *peer*: who errors are about.
    """

    def __init__(
        self,
        loop: EventLoop,
        send: Callable[[Message], None],
        count_pending: Callable[[], int],
        n_streams: int,
        limit_bytes_per_s: int = 0,
        peer: str = "the peer",
    ):
        self._loop = loop
        self._peer = peer
        self._send = send
        self._count_pending = count_pending
        self._limit = limit_bytes_per_s
        self._next_s = 0.0  # when the limit allows the next chunk
        pairs = [sockets.socketpair() for _ in range(n_streams)]
        self.ends = [pair[0] for pair in pairs]
        self._sockets = [pair[1] for pair in pairs]
        self._credit = [TUNNEL_WINDOW_BYTES] * n_streams  # what the peer has room for
        self._unwritten = [bytearray() for _ in range(n_streams)]
        self._owed = [0] * n_streams  # written to the plane, and not yet granted again
        self._is_reading = [False] * n_streams
        for i, sock in enumerate(self._sockets):
            sock.setblocking(False)
            self._read_on(i)

    @property
    def next_tick_s(self) -> float:
        """When `resume` must be called because of the limit; infinity while that holds up nothing."""
        is_held_up = self._limit and any(
            sock.fileno() >= 0 and credit > 0 and not is_reading
            for sock, credit, is_reading in zip(self._sockets, self._credit, self._is_reading, strict=True)
        )
        # A full channel calls `resume` by itself, once it has been written.
        return self._next_s if is_held_up and self._count_pending() < MAX_PENDING_BYTES else float("inf")

    def resume(self) -> None:
        """Read on from streams that were waiting for the channel or for the limit."""
        for i in range(len(self._sockets)):
            if not self._is_reading[i]:
                self._read_on(i)

    def _may_read(self, i: int) -> bool:
        is_due = not self._limit or self._loop.now() >= self._next_s
        return is_due and self._credit[i] > 0 and self._count_pending() < MAX_PENDING_BYTES

    def _read_on(self, i: int) -> None:
        may_read = self._sockets[i].fileno() >= 0 and self._may_read(i)
        if may_read and not self._is_reading[i]:
            self._loop.watch(self._sockets[i].fileno(), lambda: self._read(i))
        elif self._is_reading[i] and not may_read:
            self._loop.pause(self._sockets[i].fileno())
        self._is_reading[i] = may_read

    def _read(self, i: int) -> None:
        if self._may_read(i):
            try:
                data = self._sockets[i].recv(min(self._credit[i], MAX_CHUNK_BYTES))
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:  # the plane has ended; what this means is said on the control channel
                self._loop.unwatch(self._sockets[i].fileno())
                self._sockets[i].close()
                self._is_reading[i] = False
                self._has_ended(i)
                return
            self._credit[i] -= len(data)
            if self._limit:
                self._next_s = max(self._next_s, self._loop.now() - 0.05) + len(data) / self._limit
            self._send(Chunk(i, data))
        self._read_on(i)

    def take(self, chunk: Chunk) -> None:
        """Bytes of the peer's for one of the planes' streams."""
        i = self._check(chunk.stream)
        self._unwritten[i] += chunk.data
        if len(self._unwritten[i]) > TUNNEL_WINDOW_BYTES:
            raise ProtocolError(f"{self._peer} sent more through the tunnel than there is room for")
        self._write(i)

    def grant(self, credit: Credit) -> None:
        """The peer has room again."""
        i = self._check(credit.stream)
        self._credit[i] += credit.n
        if self._credit[i] > TUNNEL_WINDOW_BYTES:
            raise ProtocolError(f"{self._peer} granted more of the tunnel than its window")
        self._read_on(i)

    def _check(self, stream: int) -> int:
        if not 0 <= stream < len(self._sockets):
            raise ProtocolError(f"{self._peer} named a stream that is not there")
        return stream

    def _write(self, i: int) -> None:
        waiting, sock = self._unwritten[i], self._sockets[i]
        if sock.fileno() < 0:
            waiting.clear()
            return
        try:
            n = sock.send(waiting)
        except BlockingIOError:
            n = 0
        except OSError:
            n = len(waiting)  # the plane has ended
        del waiting[:n]
        self._owed[i] += n
        if self._owed[i] >= CREDIT_BYTES:
            self._send(Credit(i, self._owed[i]))
            self._owed[i] = 0
        if waiting:
            self._loop.watch(sock.fileno(), lambda: self._write(i), for_writing=True)
        else:
            self._loop.pause(sock.fileno(), for_writing=True)

    def _has_ended(self, i: int) -> None:
        """Whoever has the other end of that socket writes no more."""

    def close(self) -> None:
        """Close this side's sockets; the planes' ends belong to whoever took them."""
        for sock in self._sockets:
            if sock.fileno() >= 0:
                self._loop.unwatch(sock.fileno())
                sock.close()
