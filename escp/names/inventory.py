"""What there is below the sources, a directory after the other: what --delete compares the target with.

It is read once all has been copied. Memory does not depend on the tree: directories that wait are spooled.
"""

import errno
import os
import time
from collections.abc import Callable, Generator, Iterator, Sequence

from escp.control.deletion import Names
from escp.lean.record import Record
from escp.names.globbing import is_directory
from escp.names.guarded import keep, open_path, stat_path
from escp.names.spool import Spool
from escp.process.environment import find_absolute, find_real

MAX_NAMES = 2048  # of a page
MAX_PAGE_BYTES = 1 << 17
SLICE_S = 0.3  # a page is told of after so long
_BATCH = 256

Excluder = Callable[[list[tuple[bytes, bool]]], list[bool]]
Identity = tuple[int, int]
Place = tuple[int, bytes]  # the length of its source's path, and a directory's
OpenBelow = Callable[[int, bytes], int]
_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Source(Record):
    """What was sent, under which path below the target, and which file or directory it was then."""

    path: bytes
    name: bytes
    identity: Identity | None


def identify(path: bytes, *, keeps_links: bool) -> Identity | None:
    try:
        status = stat_path(path, follow_symlinks=not keeps_links)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def identify_all(sources: Sequence[tuple[bytes, bytes]], *, keeps_links: bool) -> list[Source]:
    """The sources, given as (path, path below the target), with what identifies them now."""
    return [Source(path, name, identify(path, keeps_links=keeps_links)) for path, name in sources]


class InventoryError(OSError):
    """A directory that can't be listed."""


class Inventory:
    """Each directory of the target comes once, with the names that it has in all of its sources.

    *find_excluded*: of paths below the target, directories or not, which the rules leave out. *open_below*:
    opens a directory (path) below another one (descriptor), without following a link.
    """

    def __init__(
        self, sources: list[Source], *, keeps_links: bool, find_excluded: Excluder, open_below: OpenBelow
    ):
        self._keeps_links = keeps_links
        self._find_excluded = find_excluded
        self._open_below = open_below
        self._spool = Spool()
        self._at = 0
        self._roots: dict[
            bytes, list[Place]
        ] = {}  # directories among the sources, by their names at the target
        self._n_files = 0  # that are not told of yet
        self._identities: dict[bytes, Identity | None] = {}
        self._paths = [source.path for source in sources]
        files = []
        for source in sources:
            if is_directory(source.path, keeps_links=keeps_links):
                self._roots.setdefault(source.name, []).append((len(source.path), source.path))
                self._identities[source.path] = source.identity
            else:
                files.append(source.name)
                self._n_files += 1
        self._others: dict[
            bytes, list[Place]
        ] = {}  # what has its name in the target beside a source's contents
        if b"" in self._roots:
            self._others = {name: [] for name in files} | {name: p for name, p in self._roots.items() if name}
            self._wait(b"", self._roots[b""])
        else:
            for name, places in self._roots.items():
                if not self._find_excluded([(name, True)])[0]:
                    self._wait(name, places)
        self._steps = self._walk()

    def next_page(self) -> Names:
        directories: list[bytes] = []
        counts: list[int] = []
        names: list[bytes] = []
        n_bytes = 0
        is_last, failed, sys_errno = True, b"", 0
        due_s = time.monotonic() + SLICE_S
        try:
            for directory, found in self._steps:
                if not directories or directories[-1] != directory:
                    directories.append(directory)
                    counts.append(0)
                    n_bytes += len(directory)
                counts[-1] += len(found)
                names += found
                n_bytes += sum(map(len, found))
                if len(names) >= MAX_NAMES or len(directories) >= MAX_NAMES or n_bytes >= MAX_PAGE_BYTES or (
                        time.monotonic() >= due_s):  # fmt: skip
                    is_last = False
                    break
        except InventoryError as e:
            failed, sys_errno = e.filename, e.errno or 0
        n_files, self._n_files = self._n_files, 0
        return Names(directories, counts, names, n_files, is_last, failed, sys_errno)

    def identities_above(self) -> list[int]:
        """Device and inode of each source and what it lies below: on this host nothing may remove them."""
        found: dict[Identity, None] = {}
        for path in self._paths:
            for start in (find_real(path), find_absolute(path)):
                at = start
                while (identity := identify(at, keeps_links=True)) and identity not in found:
                    found[identity] = None
                    at = os.path.dirname(at)
        return [number for identity in found for number in identity]

    def close(self) -> None:
        self._steps.close()
        self._spool.close()

    def _wait(self, directory: bytes, places: list[Place]) -> None:
        self._spool.add(b"\0".join([directory, *(b"%d:%s" % place for place in places)]))

    def _walk(self) -> Generator[tuple[bytes, list[bytes]]]:
        while self._at < self._spool.end:
            record, self._at = self._spool.read(self._at)
            directory, *places = record.split(b"\0")
            yield directory, []
            numbers = (place.partition(b":") for place in places)
            yield from self._list(directory, [(int(n), path) for n, _, path in numbers])

    def _list(self, directory: bytes, places: list[Place]) -> Iterator[tuple[bytes, list[bytes]]]:
        merged: dict[bytes, list[Place]] = {}  # directories of that name, where several sources become one
        is_merging = len(places) > 1 or (directory == b"" and bool(self._others))
        if is_merging and directory == b"":
            merged = {name: list(more) for name, more in self._others.items() if more}
            others = list(self._others)
            for at in range(0, len(others), _BATCH):
                yield directory, others[at : at + _BATCH]
        for place in places:
            batch: list[tuple[bytes, bool]] = []
            for name, is_below in self._read(place):
                batch.append((name, is_below))
                if len(batch) == _BATCH:
                    yield directory, self._take(directory, place, batch, merged if is_merging else None)
                    batch = []
            yield directory, self._take(directory, place, batch, merged if is_merging else None)
        for name, below in merged.items():
            self._wait(_join(directory, name), below)

    def _take(
        self,
        directory: bytes,
        place: Place,
        batch: list[tuple[bytes, bool]],
        merged: dict[bytes, list[Place]] | None,
    ) -> list[bytes]:
        """The names that count; what lies below them waits."""
        n_root, path = place
        is_out = self._find_excluded([(_join(directory, name), is_below) for name, is_below in batch])
        names = []
        for (name, is_below), out in zip(batch, is_out, strict=True):
            if out:
                continue
            names.append(name)
            self._n_files += not is_below
            if is_below and merged is not None:
                merged.setdefault(name, []).append((n_root, os.path.join(path, name)))
            elif is_below:
                self._wait(_join(directory, name), [(n_root, os.path.join(path, name))])
        return names

    def _open(self, place: Place) -> int:
        """With --links no link is followed below a source, whoever makes one meanwhile."""
        n_root, path = place
        is_root = n_root == len(path)
        if not is_root and not self._keeps_links:
            return open_path(path, _FLAGS)
        fd = open_path(path[:n_root], _FLAGS)
        try:
            self._check_root(path[:n_root], fd)
            return os.dup(fd) if is_root else keep(self._open_below(fd, path[n_root:].lstrip(b"/")))
        finally:
            os.close(fd)

    def _read(self, place: Place) -> Iterator[tuple[bytes, bool]]:
        _, path = place
        try:
            fd = self._open(place)
            try:
                with os.scandir(fd) as entries:
                    for entry in entries:
                        name = os.fsencode(entry.name)
                        is_below = entry.is_dir(follow_symlinks=not self._keeps_links)
                        if is_below and entry.is_symlink():
                            self._check_loop(os.path.join(path, name))
                        yield name, is_below
            finally:
                os.close(fd)
        except InventoryError:
            raise
        except OSError as e:
            raise InventoryError(e.errno, os.strerror(e.errno or 0), path) from e

    def _check_root(self, path: bytes, fd: int) -> None:
        """Raise for a source that was unmounted or replaced since it was copied: it has lost no files."""
        status = os.fstat(fd)
        if self._identities[path] != (status.st_dev, status.st_ino):
            raise InventoryError(errno.ESTALE, os.strerror(errno.ESTALE), path)

    def _check_loop(self, path: bytes) -> None:
        """Raise for a link loop, which would have no end."""
        below = stat_path(path)
        above = os.path.dirname(path)
        while True:
            if os.path.samestat(stat_path(above or b"."), below):
                raise InventoryError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            if above in self._identities or not above.strip(b"/"):
                return
            above = os.path.dirname(above)


def _join(directory: bytes, name: bytes) -> bytes:
    return directory + b"/" + name if directory else name
