"""--check: a tree is compared with a manifest, file by file, and then looked through for what has no line."""

import errno
import os
from collections.abc import Iterator

from escp.control.messages import Message
from escp.control.survey import Find, Found, Measured
from escp.errors import LocalFileError, ProtocolError, UsageError, describe_errno
from escp.jobs.measuring import Measurement, Measuring, Place
from escp.lean.record import Record
from escp.names.manifest import MAX_LINE_BYTES, DamagedError, Tree, is_below, is_inside, read_lines
from escp.names.nameset import NameSet
from escp.names.spool import Spool
from escp.ui.difference import CHANGED, EXTRA, MISSING, STATES, UNREADABLE, Difference
from escp.ui.display import format_count
from escp.ui.events import Events

_DIGEST_BYTES, _NUMBER_BYTES = 32, 9
_UNKNOWN = -1 << 70  # of a size or time
_MAX_FOUND = 1024  # directories asked for at once


class Wanted(Record):
    """What a manifest says, read to its end and in order."""

    entries: Spool
    names: NameSet
    trees: list[bytes]
    n_files: int
    n_bytes: int  # of those whose size it says
    identity: tuple[int, int] | None  # of its file

    def read(self) -> Iterator[tuple[bytes, bytes, int, int]]:
        """Name, digest, size and time of each."""
        at = 0
        while at < self.entries.end:
            record, at = self.entries.read(at)
            numbers = [record[_DIGEST_BYTES + i * _NUMBER_BYTES :][:_NUMBER_BYTES] for i in range(2)]
            size, mtime_ns = (int.from_bytes(number, "big", signed=True) for number in numbers)
            yield record[_DIGEST_BYTES + 2 * _NUMBER_BYTES :], record[:_DIGEST_BYTES], size, mtime_ns


def read_manifest(path: str) -> Wanted:
    """Raises UsageError for one that is damaged, LocalFileError for one that can't be read."""
    shown = "standard input" if path == "-" else f"'{path}'"
    entries, names = Spool(), NameSet()
    trees: dict[bytes, None] = {}
    n_files, n_bytes = 0, 0
    try:
        with open(0 if path == "-" else path, "rb", closefd=path != "-") as file:
            status = os.fstat(file.fileno())
            for one in read_lines(iter(lambda: file.readline(MAX_LINE_BYTES + 2), b"")):
                if isinstance(one, Tree):
                    trees[one.name] = None
                    continue
                n_files += 1
                n_bytes += one.size or 0
                names.add(one.name)
                packed = [_pack(-1 if one.size is None else one.size), _pack(one.mtime_ns)]
                entries.add(b"".join([one.digest, *packed, one.name]))
    except DamagedError as e:
        raise UsageError(
            f"the manifest {shown} is damaged: {e}", "was it cut off, or changed by hand?"
        ) from e
    except OSError as e:
        reason = describe_errno(e.errno or 0)
        raise LocalFileError(f"can't read the manifest {shown}: {reason}", "") from e
    if not n_files and not trees:
        raise UsageError(f"the manifest {shown} is empty", "there is nothing to compare a tree with")
    identity = None if path == "-" else (status.st_dev, status.st_ino)
    return Wanted(entries, names, list(trees), n_files, n_bytes, identity)


def _pack(number: int | None) -> bytes:
    return (_UNKNOWN if number is None else number).to_bytes(_NUMBER_BYTES, "big", signed=True)


class Comparison:
    """`step` until it is done. *path*: of the tree; *compares_times*: another time alone is one, too."""

    def __init__(self, wanted: Wanted, place: Place, path: bytes, watcher: Events, *, compares_times: bool):
        self._wanted, self._place, self._path, self._watcher = wanted, place, path, watcher
        self._compares_times = compares_times
        self._expected = wanted.read()
        self._measuring = Measuring(place, path, (name for name, *_ in wanted.read()))
        self._waiting = list(wanted.trees)
        self._is_asking = False  # which files there are
        self._asked: frozenset[bytes] = frozenset()  # below these directories
        self.is_done = False
        self.n_same = self.n_seen = 0
        self.counts = dict.fromkeys(STATES, 0)

    @property
    def n_bytes(self) -> int:
        return self._measuring.n_bytes

    def step(self) -> None:
        if not self._measuring.is_done:
            self._measuring.ask()
        if self._measuring.is_done and not self._is_asking and not self.is_done:
            self._look()

    def _look(self) -> None:
        page, self._waiting = self._waiting[:_MAX_FOUND], self._waiting[_MAX_FOUND:]
        if not page:
            self.is_done = True
            return
        self._is_asking = True
        self._asked = frozenset(page)
        self._place.send(Find(self._path, page))

    def take(self, message: Message) -> bool:
        """Whether it was one of those that are waited for. Raises ProtocolError."""
        if isinstance(message, Measured):
            for one in self._measuring.take(message):
                self._compare(one)
        elif isinstance(message, Found) and self._is_asking:
            self._take_found(message)
        else:
            return False
        return True

    def _compare(self, found: Measurement) -> None:
        name, digest, size, mtime_ns = next(self._expected)
        self.n_seen += 1
        number = found.sys_errno
        if number in (errno.ENOENT, errno.ENOTDIR):
            self._tell(Difference(name, MISSING))
        elif number in (errno.EISDIR, errno.ENXIO):
            what = "it is a directory now" if number == errno.EISDIR else "it is no file any more"
            self._tell(Difference(name, CHANGED, ("type",), what))
        elif number == errno.ESTALE:
            self._tell(Difference(name, CHANGED, ("contents",), "it changed while it was read"))
        elif number:
            self._tell(Difference(name, UNREADABLE, (), describe_errno(number), number))
        else:
            is_other_time = mtime_ns not in (_UNKNOWN, found.mtime_ns)
            others = tuple(
                word
                for word, is_other in (
                    ("contents", digest != found.digest),
                    ("size", size not in (-1, found.size)),
                    ("time", is_other_time),
                )
                if is_other
            )
            if others and (others != ("time",) or self._compares_times):
                knows_all = size != -1 and mtime_ns != _UNKNOWN
                text = _explain(others, size, found.size, knows_all=knows_all)
                self._tell(Difference(name, CHANGED, others, text))
            else:
                self.n_same += 1

    def _take_found(self, message: Found) -> None:
        if len(message.failed) != len(message.errnos):
            raise ProtocolError("the other escp tells of failures without reasons")
        for name in message.names:
            if not (is_inside(name) and is_below(name, self._asked)):
                raise ProtocolError("the other escp tells of files outside of the tree")
        for name in message.names:
            if not self._wanted.names.has(name) and not self._is_manifest(name):
                self._tell(Difference(name, EXTRA))
        for name, number in zip(message.failed, message.errnos, strict=True):
            if number not in (errno.ENOENT, errno.ENOTDIR):  # its files are missing
                self._tell(Difference(name or b".", UNREADABLE, (), describe_errno(number), number))
        if message.is_last:
            self._is_asking = False
        else:
            self._place.send(Find(self._path, []))

    def _is_manifest(self, name: bytes) -> bool:
        """Whether it is the manifest itself, which can't have a line of its own."""
        if not self._place.is_here:
            return False
        try:
            status = os.stat(os.path.join(self._path, name))
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._wanted.identity

    def _tell(self, one: Difference) -> None:
        self.counts[one.status] += 1
        self._watcher.differs(one)


def _explain(what: tuple[str, ...], size: int, found: int, *, knows_all: bool) -> str:
    if "size" in what:
        return f"{format_count(found, 'byte')} instead of {size:,}"
    if what == ("contents",) and knows_all:
        return "other contents, of the same size and time"
    return "other contents" if "contents" in what else "another time, and the same contents"
