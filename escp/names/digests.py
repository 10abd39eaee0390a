"""SHA-256 of files, by a few threads: for manifests. Loaded where one is written or checked only."""

import errno
import os
import stat
import threading
from collections import deque
from collections.abc import Callable, Sequence

from escp.lean.record import Record
from escp.names.guarded import hide_rule, open_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Sum(Protocol):
        """A SHA-256 in the making, as of hashlib."""

        def update(self, data: memoryview) -> None: ...
        def digest(self) -> bytes: ...

    OpenInside = Callable[[int, bytes], int]

BUFFER_BYTES = 1 << 20
MAX_THREADS = 8  # more than a disk or a host's memory needs
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC  # a pipe must not be waited for


class Digested(Record):
    """What a file was when it was read; with *sys_errno* it could not be: ENXIO for what is no file."""

    digest: bytes = b""
    size: int = 0
    seconds: int = 0  # modification time, since 1970
    nanoseconds: int = 0
    sys_errno: int = 0


class Digester:
    """`add` paths; `take` gives what is done, in their order. *fd* is readable when something is.

    *open_inside*: what a path leads to below a directory (descriptor), over links that stay there, by O_PATH.
    """

    def __init__(self, new_sum: "Callable[[], Sum]", open_inside: "OpenInside") -> None:
        self._new_sum, self._open_inside = new_sum, open_inside
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._changed = threading.Condition()
        self._waiting: deque[tuple[int, bytes, bytes]] = deque()
        self._done: dict[int, Digested] = {}
        self._n_added = self._n_taken = 0
        self._n_bytes = 0  # read since the last `take`
        self._is_closed = False
        self._threads: list[threading.Thread] = []

    def add(self, paths: Sequence[bytes], top: bytes = b"") -> None:
        """*top*: a directory that they are in, and out of which no link may lead; b"": links are followed."""
        with self._changed:
            for path in paths:
                self._waiting.append((self._n_added, top, path))
                self._n_added += 1
            self._changed.notify_all()
        wanted = min(MAX_THREADS, len(os.sched_getaffinity(0)), len(self._waiting))
        while len(self._threads) < wanted:
            thread = threading.Thread(target=self._work, name="escp-digest", daemon=True)
            self._threads.append(thread)
            thread.start()

    @property
    def n_waiting(self) -> int:
        """So many were added and not taken."""
        return self._n_added - self._n_taken

    def take(self) -> tuple[list[Digested], int]:
        """Those that are done, and how many bytes were read since the last time."""
        with self._changed:
            found = []
            while self._n_taken in self._done:
                found.append(self._done.pop(self._n_taken))
                self._n_taken += 1
            n_bytes, self._n_bytes = self._n_bytes, 0
        return found, n_bytes

    def close(self) -> None:
        """A thread that a disk holds up is left alone; it ends with the process."""
        with self._changed:
            self._is_closed = True
            self._waiting.clear()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(1.0)
        if not any(thread.is_alive() for thread in self._threads):
            os.close(self.fd)

    def _work(self) -> None:
        buffer = memoryview(bytearray(BUFFER_BYTES))
        while True:
            with self._changed:
                while not self._waiting and not self._is_closed:
                    self._changed.wait()
                if self._is_closed:
                    return
                number, top, path = self._waiting.popleft()
            try:
                found = self._digest(self._open_below(top, path) if top else open_path(path, _FLAGS), buffer)
            except OSError as e:
                found = Digested(sys_errno=hide_rule(e.errno or errno.EIO))
            with self._changed:
                self._done[number] = found
            os.eventfd_write(self.fd, 1)

    def _open_below(self, top: bytes, path: bytes) -> int:
        directory = open_path(top, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            found = self._open_inside(directory, path)
        finally:
            os.close(directory)
        try:
            return open_path(b"/proc/self/fd/%d" % found, _FLAGS)
        finally:
            os.close(found)

    def _digest(self, fd: int, buffer: memoryview) -> Digested:
        """*fd* is closed."""
        try:
            before = os.fstat(fd)
            if not stat.S_ISREG(before.st_mode):
                raise OSError(errno.EISDIR if stat.S_ISDIR(before.st_mode) else errno.ENXIO, "no file")
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
            total = self._new_sum()
            while (n := os.readv(fd, [buffer])) and not self._is_closed:
                total.update(buffer[:n])
                with self._changed:
                    self._n_bytes += n
            after = os.fstat(fd)
        finally:
            os.close(fd)
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise OSError(errno.ESTALE, "it changed while it was read")
        seconds, nanoseconds = divmod(after.st_mtime_ns, 1_000_000_000)
        return Digested(total.digest(), after.st_size, seconds, nanoseconds)
