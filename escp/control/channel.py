"""The control channel of either end: reads and writes messages without waiting, and carries the tunnel."""

import os
import select
import time

from escp.control.codec import encode
from escp.control.course import Course
from escp.control.message import KeepAlive, Message
from escp.errors import ProtocolError
from escp.lean.eventloop import EventLoop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from escp.control.messages import Heard
    from escp.control.tunnel import Tunnel
    from escp.control.unheard import Unheard

    class Way(Protocol):
        """What carries the channel in place of the pipes: read and written without waiting."""

        fd: int

        def read(self) -> bytes | None: ...  # None: nothing yet; b"": it has ended
        def write(self, data: bytes | bytearray) -> int: ...
        def close(self) -> None: ...


READ_BYTES = 1 << 18
FLUSH_S = 2.0
CUT_MS = 50  # between the ends of two pipes of one process that ends


class ControlChannel:
    """*take(message)* is called for every message but the channel's own; *end()* when the peer is gone.

    It begins on two pipes. If they end, `end` may let it be: it is away then, until `go_on` gives it a way.
    """

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
        self._way: Way | None = None  # in place of the pipes
        self._take = take
        self._end = end
        self._pending = bytearray()
        self._is_held = self._is_silent = False
        # What was sent, and how much was taken, before it is known whether that matters: see `last`.
        self._early: list[bytes] | None = []
        self._n_early = 0
        self._unheard: Unheard | None = None
        self.is_away = False
        self._waits_for_heard = False  # what the peer has taken: before that is known nothing is sent
        self.tunnel: Tunnel | None = None
        os.set_blocking(write_fd, False)
        loop.watch(read_fd, self._read)

    def send(self, message: Message) -> None:
        self._course.told(message, self._loop.now())
        data = encode(message)
        is_counted = message.is_counted
        if is_counted and self._unheard is not None:
            self._unheard.add(data)
        elif is_counted and self._early is not None:
            self._early.append(data)
        if not self.is_away and not (self._waits_for_heard and is_counted):
            self.write(data)

    def hold(self, *, is_held: bool) -> None:
        """Stop reading, or go on. Meanwhile the peer does not count as silent, and still hears of us."""
        self._is_held = is_held
        if self.is_away:
            return
        if is_held:
            self._loop.pause(self._read_fd)
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
                data = self._pending
                n = os.write(self._write_fd, data) if self._way is None else self._way.write(data)
                del self._pending[:n]
        except BlockingIOError:
            self._loop.watch(self._write_fd, self._write_some, for_writing=True)
            return
        except OSError:
            self._pending.clear()  # nobody reads any more; what `_read` finds says why
        self._loop.pause(self._write_fd, for_writing=True)
        if self.tunnel is not None:
            self.tunnel.resume()

    # ---- Another way --------------------------------------------------------------------------------

    def last(self, *, is_lasting: bool) -> None:
        """Whether there may be another way: if not, nothing has to be kept."""
        early, self._early = self._early, None
        if not is_lasting:
            self._unheard = None
        elif early is not None:
            from escp.control.unheard import Unheard  # not at the top: it is early enough now

            self._unheard = Unheard(early, self._n_early)

    def leave(self) -> None:
        """This way is of no use any more."""
        for fd in (self._read_fd, self._write_fd):
            self._loop.unwatch(fd)
        if self._way is not None:
            self._way.close()
        self._way = None
        self._pending.clear()
        self.is_away = True

    @property
    def is_told(self) -> bool:
        """Whether all that this end has said is on its way."""
        return not (self.is_away or self._waits_for_heard or self._pending)

    @property
    def is_replaced(self) -> bool:
        """Whether it is no longer the pipes that carry it."""
        return self._way is not None

    @property
    def is_cut(self) -> bool:
        """Once the peer's bytes have ended: whether it can't be told anything, either.

        An end that leaves, or dies, only ends what it writes: ssh stays a moment. Without ssh both pipes end.
        """
        if self._way is not None:
            return True
        poll = select.poll()
        poll.register(self._write_fd, 0)
        return bool(poll.poll(CUT_MS))

    def go_on(self, way: "Way") -> None:
        """From here on *way* carries the channel: what the peer has not heard is sent again."""
        self.leave()
        self._way = way
        self._read_fd = self._write_fd = way.fd
        self.is_away = False
        self._course.begin_again(self._loop.now())
        self._waits_for_heard = True
        self._say_heard()
        self.hold(is_held=self._is_held)

    def _say_heard(self) -> None:
        from escp.control.messages import Heard  # not at the top: an agent says hello before it has these

        assert self._unheard
        self.send(Heard(self._unheard.tell()))

    def _take_heard(self, heard: "Heard") -> None:
        if self._unheard is None:
            raise ProtocolError(f"{self._course.peer} has heard what is not counted")
        self._unheard.hear(heard.n, self._course.peer)
        if self._waits_for_heard:
            self._waits_for_heard = False
            self.write(self._unheard.again())

    def silent_s(self, now: float) -> float:
        """How long ago the peer was heard."""
        return self._course.silent_s(now)

    def say_more_often(self, every_s: float | None) -> None:
        """That this end is there, from now on; None: as often as ever."""
        self._course.say_every(every_s)

    def fall_silent(self) -> None:
        """From now on neither end need say that it is there: somebody else knows."""
        self._is_silent = True
        self.last(is_lasting=False)
        self._course.say_every(float("inf"))

    @property
    def n_pending(self) -> int:
        """Bytes that the peer has not taken yet."""
        n_unheard = 0 if self._unheard is None else self._unheard.n_bytes
        return max(len(self._pending), n_unheard)

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
            data = os.read(self._read_fd, READ_BYTES) if self._way is None else self._way.read()
        except ConnectionResetError:  # sshd gives sockets: its end went away before it had read all of ours
            data = b""
        if data is None:
            return
        if not data:
            self._loop.unwatch(self._read_fd)
            self._end()
            return
        if self._unheard is not None:
            self._unheard.read(len(data))
        from escp.control.messages import Chunk, Credit, Heard  # not at the top: an agent says hello before

        for message in self._course.read(data, self._loop.now()):
            if isinstance(message, Heard):
                self._take_heard(message)
                continue
            if self._waits_for_heard:
                raise ProtocolError(f"{self._course.peer} does not say what it has heard")
            if self._unheard is not None:
                self._unheard.n_taken += 1
            else:
                self._n_early += 1
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

        self.last(is_lasting=False)
        self.tunnel = Tunnel(self._loop, self.send, lambda: len(self._pending), n_streams, limit_bytes_per_s,
                             self._course.peer)  # fmt: skip
        return self.tunnel

    @property
    def next_tick_s(self) -> float:
        return float("inf") if self.tunnel is None else self.tunnel.next_tick_s

    def tick(self, now: float) -> None:
        """Call it every few seconds, and at `next_tick_s`. Raises NetworkError when the peer is silent."""
        if self.is_away:
            return
        if self._is_held or self._is_silent:
            self._course.put_off(now)
        self._course.check_silence(now)
        if self._course.is_keepalive_due(now):
            self.send(KeepAlive())
        if self._unheard is not None and self._unheard.is_to_be_told:
            self._say_heard()
        if self.tunnel is not None and self.tunnel.next_tick_s <= now:
            self.tunnel.resume()

    def close(self) -> None:
        """Stop watching; the pipes stay open."""
        if self.tunnel is not None:
            self.tunnel.close()
        self.leave()
