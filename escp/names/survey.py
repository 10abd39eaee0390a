"""What is told of files for a manifest, wherever they are: their digests, and which there are.

An agent answers with it, and the initiator asks it for files of this host.
"""

import errno
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence

from escp.control.messages import Message
from escp.control.survey import Find, Found, Measure, Measured
from escp.errors import ProtocolError
from escp.lean.eventloop import EventLoop
from escp.names.destination import expand_home
from escp.names.digests import Digested, Digester
from escp.names.guarded import hide_rule, keep, open_path
from escp.names.manifest import is_inside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from escp.names.digests import OpenInside, Sum

MAX_NAMES = 1024  # of a message
MAX_BYTES = 1 << 17
MAX_WAITING = 1 << 16  # names that are asked for and not answered: 64 times what escp asks for
SLICE_S = 0.3
_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_TIME_BYTES = 12
_NS_PER_S = 1_000_000_000


class Survey:
    """*tell* gets the answers: `Measured` for all that is asked for, in order, a `Found` for each `Find`.

    *is_remote*: a path is as the login shell would understand it. *new_sum* begins a SHA-256: of
    a frozen Python hashlib's is slow. *open_below* opens a directory (path) below another one (descriptor),
    and follows no link; *open_inside*: as of a `Digester`.
    """

    def __init__(
        self, loop: EventLoop, tell: Callable[[Message], None], *, is_remote: bool,
        open_below: Callable[[int, bytes], int], open_inside: "OpenInside",
        new_sum: "Callable[[], Sum]" = hashlib.sha256,
    ):  # fmt: skip
        self._loop, self._tell = loop, tell
        self._is_remote = is_remote
        self._open_below = open_below
        self._digester = Digester(new_sum, open_inside)
        self._steps: Iterator[tuple[bytes, int]] | None = None  # of the listing
        loop.watch(self._digester.fd, self._take_digests)

    def take(self, message: "Measure | Find") -> None:
        """Raises ProtocolError for names that lead out of the path, and where too many wait already."""
        names = message.names if isinstance(message, Measure) else [one for one in message.directories if one]
        if not all(map(is_inside, names)):
            raise ProtocolError("the initiator asks for files outside of the path that it names")
        if self._digester.n_waiting + len(names) > MAX_WAITING:
            raise ProtocolError("the initiator asks for more digests than it takes")
        path = expand_home(message.path) if self._is_remote else message.path
        if isinstance(message, Measure) and message.is_confined:
            self._digester.add(message.names, path or b".")
            return
        if isinstance(message, Measure):
            self._digester.add([os.path.join(path, name) for name in message.names])
            return
        if message.directories:
            self._steps = _find_files(path, message.directories, self._open_below)
        self._tell(self._next_page())

    def _take_digests(self) -> None:
        os.eventfd_read(self._digester.fd)
        self.tick()

    def tick(self) -> None:
        """Tell what is done, and how much was read of what is not."""
        found, n_bytes = self._digester.take()
        at = 0
        while n_bytes or at < len(found):
            page = found[at : at + MAX_NAMES]
            at += len(page)
            self._tell(
                Measured(
                    [one.digest for one in page], [one.size for one in page],
                    [_pack_time(one) for one in page], [one.sys_errno for one in page], n_bytes,
                )
            )  # fmt: skip
            n_bytes = 0

    def _next_page(self) -> Found:
        names: list[bytes] = []
        failed: list[bytes] = []
        errnos: list[int] = []
        n_bytes = 0
        due_s = time.monotonic() + SLICE_S
        for name, number in self._steps or ():
            if number:
                failed.append(name)
                errnos.append(number)
            elif name:
                names.append(name)
            n_bytes += len(name)
            if len(names) + len(failed) >= MAX_NAMES or n_bytes >= MAX_BYTES or time.monotonic() >= due_s:
                return Found(names, failed, errnos, is_last=False)
        self._steps = None
        return Found(names, failed, errnos, is_last=True)

    def close(self) -> None:
        self._loop.unwatch(self._digester.fd)
        self._digester.close()


def _find_files(
    top: bytes, directories: Sequence[bytes], open_below: Callable[[int, bytes], int]
) -> Iterator[tuple[bytes, int]]:
    """Files below *directories*, by their names below *top*, or what can't be listed, and why.

    No link is followed below those. (b"", 0) now and then where there are none.
    """
    for directory in directories:
        try:
            fd = open_path(os.path.join(top, directory) if directory else top or b".", _FLAGS)
        except OSError as e:
            yield directory, hide_rule(e.errno or errno.EIO)
            continue
        try:
            for name, number in _find_below(fd, open_below):
                yield os.path.join(directory, name) if name or number else b"", number
        finally:
            os.close(fd)


def _find_below(top: int, open_below: Callable[[int, bytes], int]) -> Iterator[tuple[bytes, int]]:
    """The same below an open directory: whoever owns what is in it may make links meanwhile."""
    waiting = [b""]
    while waiting:
        directory = waiting.pop()
        try:
            fd = keep(open_below(top, directory))
            try:
                with os.scandir(fd) as entries:
                    for entry in entries:
                        name = os.path.join(directory, os.fsencode(entry.name))
                        is_below = entry.is_dir(follow_symlinks=False)
                        if is_below:
                            waiting.append(name)
                        is_file = not is_below and entry.is_file(follow_symlinks=False)
                        yield (name if is_file else b""), 0
            finally:
                os.close(fd)
        except OSError as e:
            yield directory, hide_rule(e.errno or errno.EIO)


def _pack_time(one: Digested) -> bytes:
    return one.seconds.to_bytes(8, "big", signed=True) + one.nanoseconds.to_bytes(4, "big")


def unpack_time(packed: bytes) -> int:
    """In ns since 1970. Raises ValueError."""
    if len(packed) != _TIME_BYTES:
        raise ValueError("no time")
    nanoseconds = int.from_bytes(packed[8:], "big")
    if nanoseconds >= _NS_PER_S:
        raise ValueError("no time")
    return int.from_bytes(packed[:8], "big", signed=True) * _NS_PER_S + nanoseconds
