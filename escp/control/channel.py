"""The control channel of either end: reads and writes messages without waiting, and carries the tunnel."""

import os
import select
import time

from escp.control.codec import encode
from escp.control.course import Course
from escp.control.messages import Chunk, Credit, KeepAlive, Message
from escp.errors import ProtocolError
from escp.lean.eventloop import EventLoop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from escp.control.tunnel import Tunnel

READ_BYTES = 1 << 18
FLUSH_S = 2.0


class ControlChannel:
    """*take(message)* is called for every message but the tunnel's own; *end()* when the peer is gone."""

    def __init__(
        self,
        loop: EventLoop,
        course: Course,
        read_fd: int,
        write_fd: int,
        take: "Callable[[Message], None]",
        end: "Callable[[], None]",
    ):
        """Raises PermissionError when the descriptor to read from is a file: nobody is there to talk to."""
        self._loop = loop
        self._course = course
        self._read_fd = read_fd
        self._write_fd = write_fd
        self._take = take
        self._end = end
        self._pending = bytearray()
        self._is_held = False
        self.tunnel: Tunnel | None = None
        os.set_blocking(write_fd, False)
        loop.watch(read_fd, self._read)

    def send(self, message: Message) -> None:
        self._course.told(message, self._loop.now())
        self.write(encode(message))

    def hold(self, *, is_held: bool) -> None:
        """Stop reading, or go on. Meanwhile the peer does not count as silent, and still hears of us."""
        self._is_held = is_held
        if is_held:
            self._loop.unwatch(self._read_fd)
        else:
            self._loop.watch(self._read_fd, self._read)

    def write(self, data: bytes) -> None:
        """Write raw bytes now, as far as the pipe takes them, and the rest when it does."""
        self._pending += data
        if len(self._pending) > self._course.max_unread_bytes:
            self._pending.clear()
            raise ProtocolError(f"{self._course.peer} does not read what it is told")
        self._course.sent(self._loop.now())
        self._write_some()

    def _write_some(self) -> None:
        try:
            while self._pending:
                del self._pending[: os.write(self._write_fd, self._pending)]
        except BlockingIOError:
            self._loop.watch(self._write_fd, self._write_some, for_writing=True)
            return
        except OSError:
            self._pending.clear()  # nobody reads any more; what `_read` finds says why
        self._loop.pause(self._write_fd, for_writing=True)
        if self.tunnel is not None:
            self.tunnel.resume()

    def say_more_often(self, every_s: float | None) -> None:
        """That this end is there, from now on; None: as often as ever."""
        self._course.say_every(every_s)

    @property
    def n_pending(self) -> int:
        """Bytes that the peer has not taken yet."""
        return len(self._pending)

    def flush(self) -> None:
        """Wait until all is written, or nobody is there to read it: FLUSH_S at most."""
        end_s = time.monotonic() + FLUSH_S
        poll = select.poll()
        poll.register(self._write_fd, select.POLLOUT)
        while self._pending and time.monotonic() < end_s:
            poll.poll(1000 * (end_s - time.monotonic()))
            self._write_some()

    def _read(self) -> None:
        try:
            data = os.read(self._read_fd, READ_BYTES)
        except ConnectionResetError:  # sshd gives sockets: its end went away before it had read all of ours
            data = b""
        if not data:
            self._loop.unwatch(self._read_fd)
            self._end()
            return
        for message in self._course.read(data, self._loop.now()):
            if isinstance(message, Chunk | Credit):
                if self.tunnel is None:
                    raise ProtocolError(f"{self._course.peer} uses a tunnel that is not there")
                if isinstance(message, Chunk):
                    self.tunnel.take(message)
                else:
                    self.tunnel.grant(message)
            else:
                self._take(message)

    def open_tunnel(self, n_streams: int, limit_bytes_per_s: int = 0) -> "Tunnel":
        """From now on this channel carries streams as well."""
        from escp.control.tunnel import Tunnel  # not at the top: hardly a session needs it

        self.tunnel = Tunnel(self._loop, self.send, lambda: len(self._pending), n_streams, limit_bytes_per_s,
                             self._course.peer)  # fmt: skip
        return self.tunnel

    @property
    def next_tick_s(self) -> float:
        return float("inf") if self.tunnel is None else self.tunnel.next_tick_s

    def tick(self, now: float) -> None:
        """Call it every few seconds, and at `next_tick_s`. Raises NetworkError when the peer is silent."""
        if self._is_held:
            self._course.put_off(now)
        self._course.check_silence(now)
        if self._course.is_keepalive_due(now):
            self.send(KeepAlive())
        if self.tunnel is not None and self.tunnel.next_tick_s <= now:
            self.tunnel.resume()

    def close(self) -> None:
        """Write what is left, if somebody reads it, and stop watching; the descriptors stay open."""
        if self.tunnel is not None:
            self.tunnel.close()
        self._loop.unwatch(self._read_fd)
        self._loop.unwatch(self._write_fd)
