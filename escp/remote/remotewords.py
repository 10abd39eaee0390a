"""What ssh, and what it started on the other host, say on standard error: lines for the user, each bounded.

Anything may be in them, orders to the terminal too: who shows them escapes them. ssh's own questions (for a
password, about a host's key) go to the terminal itself and never pass here.
"""

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from escp.lean.eventloop import EventLoop

MAX_LINE_BYTES = 4096  # a longer one becomes several
N_KEPT = 10  # lines, for an error message
PATIENCE_S = 0.2  # for the end of a line; then its beginning is shown, as a question has no end of line
READ_BYTES = 1 << 16
MAX_LEFT_BYTES = 1 << 20  # so much is read after ssh's end: the most that a pipe holds


class RemoteWords:
    """Reads one standard error, and never waits for its end: ssh may leave a master behind that holds it."""

    def __init__(self, fd: int, hidden: tuple[str, ...] = ()):
        """Takes over *fd*; -1: nothing is to be heard. *hidden*: begins of lines that are told otherwise."""
        self._fd = fd
        self._hidden = hidden
        self._loop: EventLoop | None = None
        self._show: Callable[[str], None] | None = None
        self._part = b""  # of a line whose end has not come
        self._part_s = 0.0
        self.last: list[str] = []
        if fd >= 0:
            os.set_blocking(fd, False)

    def listen(self, loop: "EventLoop", show: "Callable[[str], None]") -> None:
        """From now on *show* is told each line; *loop* says when there is one, until `leave`."""
        self._show = show
        if self._fd >= 0:
            self._loop = loop
            loop.watch(self._fd, self._hear)

    def hold(self, *, is_held: bool) -> None:
        """Leave in the pipe what comes, for a while."""
        if self._loop is not None and self._fd >= 0:
            if is_held:
                self._loop.unwatch(self._fd)
            else:
                self._loop.watch(self._fd, self._hear)

    def leave(self) -> None:
        """Leave the loop, which is about to end. `wait` and `drain` still work."""
        if self._loop is not None:
            self._loop.unwatch(self._fd)
            self._loop = None

    def tick(self, now: float) -> None:
        """Show a line that does not end."""
        if self._part and now - self._part_s >= PATIENCE_S:
            self._tell_part()

    def wait(self, fd: int, timeout_s: float) -> None:
        """Wait until *fd* (-1: none) is readable, *timeout_s* at most. Standard error is read meanwhile."""
        import select  # not at the top: where all goes well there is nothing to wait for

        end_s = time.monotonic() + timeout_s
        poll = select.poll()
        if fd >= 0:
            poll.register(fd, select.POLLIN)
        if self._fd >= 0:
            poll.register(self._fd, select.POLLIN)
        while (left_s := end_s - time.monotonic()) > 0:
            own = self._fd
            ready = [number for number, _ in poll.poll(1000 * left_s)]
            if fd in ready:
                return
            if own in ready:
                self._hear()
                if self._fd < 0:
                    poll.unregister(own)

    def drain(self) -> None:
        """Whoever wrote has ended: take what is still there."""
        n_left = MAX_LEFT_BYTES
        while n_left > 0 and (n := self._read()):
            n_left -= n
        self._tell_part()

    def close(self) -> None:
        self.leave()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _hear(self) -> None:
        self._read()

    def _read(self) -> int:
        """How many bytes were there."""
        if self._fd < 0:
            return 0
        try:
            data = os.read(self._fd, READ_BYTES)
        except BlockingIOError:
            return 0
        if not data:
            self._tell_part()
            self.close()
            return 0
        if not self._part:
            self._part_s = time.monotonic()
        *lines, self._part = (self._part + data).split(b"\n")
        for line in lines:
            self._tell(line)
        if len(self._part) >= MAX_LINE_BYTES:
            self._tell_part()
        return len(data)

    def _tell_part(self) -> None:
        part, self._part = self._part, b""
        if part:
            self._tell(part)

    def _tell(self, line: bytes) -> None:
        line = line.rstrip(b"\r")  # with which ssh ends its own lines
        for start in range(0, max(1, len(line)), MAX_LINE_BYTES):
            text = line[start : start + MAX_LINE_BYTES].decode("utf-8", "surrogateescape").replace("\t", " ")
            if text:
                self.last = [*self.last, text][-N_KEPT:]
            if self._show is not None and not text.startswith(self._hidden):
                self._show(text)
