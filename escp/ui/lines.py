"""One output stream as everything of escp writes to it: whole lines, in order, by a thread of their own.

Whoever tells something never waits for whoever reads it: a terminal may be stopped (Ctrl-S), a pipe's
reader asleep. Nothing is lost either: a pipe that somebody made non-blocking is waited for, and a failure is
kept for the exit status.
"""

import errno
import os
from _queue import Empty, SimpleQueue  # what `queue` is made of: that loads `threading`
from _thread import start_new_thread

from escp.errors import ReaderGoneError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO  # not at the top: 2 ms of every start

MAX_WAITING_BYTES = 32 << 20  # then `is_full`: whoever tells so much should wait
MAX_LISTED_BYTES = 4 << 20  # the same of a list: while nobody reads it nothing has to get on
STEP_BYTES = 1 << 16
LAST_WORDS_S = 10.0  # for a terminal to take what is told last
HURRY_S = 3.0  # for anybody, after a signal


class _Writer:
    """The thread for one terminal, pipe or file, and how many bytes it was given and has done with."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[tuple[Lines, bytes] | SimpleQueue[None]] = SimpleQueue()
        self._is_running = False
        self.n_given = self.n_done = 0  # each has one thread that changes it

    def give(self, lines: "Lines", data: bytes) -> None:
        if not self._is_running:
            try:
                start_new_thread(self._run, ())
            except RuntimeError:  # no thread is left: then with waiting
                lines.write_all(data)
                return
            self._is_running = True
        self.n_given += len(data)
        self._queue.put((lines, data))

    def wait(self, timeout_s: float | None) -> None:
        """Until all is done that was given."""
        if self._is_running:
            answer: SimpleQueue[None] = SimpleQueue()
            self._queue.put(answer)
            try:
                answer.get(timeout=timeout_s)
            except Empty:
                return

    def _run(self) -> None:
        while True:
            what = self._queue.get()
            if isinstance(what, tuple):
                what[0].write_all(what[1])
                self.n_done += len(what[1])
            else:
                what.put(None)


_writers: dict[tuple[int, int], _Writer] = {}


class Lines:
    """Writes whole lines to one stream; silent for good once that fails, and `failure` says why."""

    def __init__(self, stream: "TextIO | None"):
        """None: there is no such descriptor. A stream without one is written to at once."""
        self._stream = stream
        self.failure: OSError | None = None
        self._is_given_up = False
        self.is_terminal = False  # asked once: a terminal that has gone is none, says the kernel
        self.is_product = False  # what is written here is what the command was for
        self.encoding = "utf-8"
        self._writer: _Writer | None = None
        self.fd = -1
        try:
            if stream is not None:
                self.encoding = stream.encoding or "utf-8"
                self.fd = stream.fileno()
                info = os.fstat(self.fd)
                self.is_terminal = os.isatty(self.fd)
                # Two descriptors of one file keep their order.
                self._writer = _writers.setdefault((info.st_dev, info.st_ino), _Writer())
        except (OSError, ValueError, AttributeError):
            pass  # memory, or closed

    def write(self, text: str) -> None:
        self.put(text + "\n")

    def put(self, text: str, *, may_drop: bool = False) -> None:
        """Any text. *may_drop*: leave it out while earlier text still waits for the reader."""
        if self._stream is None or self.failure is not None:
            return
        if self._writer is None:
            try:
                self._stream.write(text)
                self._stream.flush()
            except (OSError, ValueError):
                self._stream = None
        elif not (may_drop and self._writer.n_given != self._writer.n_done):
            self._writer.give(self, text.encode(self.encoding, "backslashreplace"))

    def write_all(self, data: bytes) -> None:
        """For the thread: wait for the reader."""
        at = 0
        while at < len(data) and self.failure is None:
            try:
                at += os.write(self.fd, data[at : at + STEP_BYTES])
            except BlockingIOError:  # others share the descriptor's flags
                self._wait_for_room()
            except OSError as e:
                self.failure = e

    def _wait_for_room(self) -> None:
        import select  # not at the top: hardly ever needed

        poll = select.poll()
        poll.register(self.fd, select.POLLOUT)
        poll.poll()

    @property
    def is_full(self) -> bool:
        """Whether so much waits for the reader that more should not be told."""
        limit = MAX_LISTED_BYTES if self.is_product else MAX_WAITING_BYTES
        return self._writer is not None and self._writer.n_given - self._writer.n_done > limit

    @property
    def is_deserted(self) -> bool:
        """Nobody reads it any more: a pipe without a reader, a terminal that is gone."""
        number = self.failure.errno if self.failure is not None else 0
        return number == errno.EPIPE or (number == errno.EIO and self.is_terminal)

    def wait(self, *, is_hurried: bool = False) -> None:
        """Until all is written, or has failed.

        A pipe's reader may take its time, as with other tools. At a terminal nobody may be any more.
        """
        if self._writer is not None and not self._is_given_up:
            self._writer.wait(HURRY_S if is_hurried else LAST_WORDS_S if self.is_terminal else None)
            self._is_given_up = self._writer.n_given != self._writer.n_done

    def check(self) -> int:
        """The errno of what failed, or 0. A copy of the descriptor is closed: NFS and quotas fail then."""
        if (
            self.failure is None
            and self._writer is not None
            and self._writer.n_given
            and not self.is_terminal
        ):
            try:
                os.close(os.dup(self.fd))
            except OSError as e:
                self.failure = e
        return 0 if self.failure is None else self.failure.errno or errno.EIO

    def find_columns(self) -> int | None:
        """How wide the terminal is; None: it is none."""
        try:
            return os.get_terminal_size(self.fd).columns or 80 if self.is_terminal else None
        except (OSError, ValueError):
            return None

    @property
    def has_cursor(self) -> bool:
        """Whether it is a terminal on which a line can be written over."""
        return self.is_terminal and os.environ.get("TERM", "dumb") not in ("", "dumb")

    def is_foreground_terminal(self) -> bool:
        """Whether a person sees it now: a terminal whose foreground process group is ours."""
        try:
            return self.is_terminal and os.tcgetpgrp(self.fd) == os.getpgrp()
        except OSError:
            return False


def write_product(lines: Lines, text: str) -> None:
    """A line of what the command was for. Raises ReaderGoneError once nobody wants it any more."""
    lines.is_product = True
    if lines.is_deserted:
        raise ReaderGoneError
    lines.write(text)


_known: list[tuple["TextIO | None", Lines]] = []


def find_lines(stream: "TextIO | None") -> Lines:
    """The one `Lines` of a stream of this process: it remembers whether that failed."""
    for known, lines in _known:
        if known is stream:
            return lines
    _known.append((stream, Lines(stream)))
    return _known[-1][1]
