"""What is only at the target, and its removal: the receiving side of --delete.

    compare (pages) ──► the plan: names that the sources lack ──► grow: what lies below ──► prune, backwards

Nothing is removed before all of the plan is there. It is one spool, in which a directory stands before what
is in it; so it may be of any length. Paths come from the peer: each is opened below its root's own
descriptor, and no link is followed. What can't be told for sure stays.
"""

import errno
import os
import stat
import time
from collections.abc import Callable, Iterator

from escp.control.deletion import Compare, Compared, Pruned
from escp.errors import ProtocolError
from escp.lean.record import Record
from escp.names.guarded import stays
from escp.names.nameset import NameSet
from escp.names.spool import Spool

MAX_PRUNED = 1024  # told of in one message
MAX_PRUNED_BYTES = 1 << 17
SLICE_S = 0.3

Excluder = Callable[[list[tuple[bytes, bool]]], list[bool]]
OpenBelow = Callable[[int, bytes], int]


class _Stopped(Exception):
    """The plan can't be made: *path*, and why."""

    def __init__(self, path: bytes, number: int):
        self.path, self.number = path, number


class _Parent(Record):
    """A directory in which something is removed, open."""

    path: bytes
    fd: int
    status: os.stat_result


class Pruner:
    """*root_fd*: the target. *roots*: what may be pruned, and below that; None: whatever is named.

    *open_below*: opens a directory (path) below another one (descriptor), without following a link.
    *find_excluded*: as for `Inventory`. *spared*: device and inode of what must stay, one after the other.
    """

    def __init__(
        self, root_fd: int, *, roots: set[bytes] | None, open_below: OpenBelow, find_excluded: Excluder,
        keeps_times: bool, is_durable: bool,
    ):  # fmt: skip
        self._root_fd = root_fd
        self._roots = roots
        self._open_below = open_below
        self._find_excluded = find_excluded
        self._keeps_times, self._is_durable = keeps_times, is_durable
        self._spared: set[tuple[int, int]] = set()
        self._top: tuple[bytes, int] = (b"", -1)  # the root that was opened last
        self._plan = Spool()
        self._grown = 0  # all before it has been listed
        self._staying: set[bytes] = set()  # directories of the plan in which something stays
        self._n_planned = 0
        self._directory: bytes | None = None  # that is being compared
        self._fd = -1  # of it; -1: it is not there
        self._own = NameSet()
        self._aliases: set[tuple[int, int]] = set()  # here under another spelling
        self._has_all = False
        self._end = 0  # of what is left of the plan, once it is being carried out
        self._parent: _Parent | None = None
        self._unsynced = 0  # of the first directory that could not be synced

    # ---- Comparing ----------------------------------------------------------------------------------

    def compare(self, page: Compare) -> Compared:
        """Take a page of the inventory; after the last one an empty one goes on until the plan is made."""
        try:
            if not self._has_all:
                self._spared.update(zip(page.spared[::2], page.spared[1::2], strict=False))
                self._take(page)
            is_done = self._has_all and self._grow()
        except _Stopped as e:
            return Compared(self._n_planned, True, e.path, e.number)
        except OSError as e:  # the spool's
            return Compared(self._n_planned, True, b"", e.errno or errno.EIO)
        return Compared(self._n_planned, is_done)

    def _take(self, page: Compare) -> None:
        if sum(page.counts) != len(page.names) or len(page.counts) != len(page.directories):
            raise ProtocolError("an inventory whose numbers don't fit")
        at = 0
        for directory, n in zip(page.directories, page.counts, strict=True):
            if directory != self._directory:
                self._end_directory()
                self._begin_directory(directory)
            if self._fd >= 0:
                for name in page.names[at : at + n]:
                    if not self._own.mark(name):
                        self._look_for_alias(name)
            at += n
        if page.is_last:
            self._end_directory()
            self._has_all = True

    def _begin_directory(self, directory: bytes) -> None:
        self._check_allowed(directory)
        self._directory = directory
        self._own, self._aliases = NameSet(), set()
        try:
            self._fd = self._open(directory)
        except FileNotFoundError:
            return
        except OSError as e:
            if e.errno in (
                errno.ELOOP,
                errno.ENOTDIR,
                errno.EXDEV,
            ):  # a link: what it leads to is not ours to prune
                return
            raise _Stopped(directory, e.errno or 0) from e
        for name, _ in self._list(directory, self._fd):
            self._own.add(name)

    def _end_directory(self) -> None:
        directory, self._directory = self._directory, None
        fd, self._fd = self._fd, -1
        if directory is None or fd < 0:
            return
        try:
            if self._own.n_unmarked:
                found = (one for one in self._list(directory, fd) if self._own.is_unmarked(one[0]))
                self._plan_names(directory, fd, found, len(directory))
        finally:
            os.close(fd)

    def _look_for_alias(self, name: bytes) -> None:
        """The sources have that name, and it is not listed here: it may be there, spelled otherwise."""
        if b"/" in name or b"\0" in name or name in (b"", b".", b".."):
            raise ProtocolError("an inventory with a name that is none")
        try:
            status = os.stat(name, dir_fd=self._fd, follow_symlinks=False)
        except OSError:
            return
        self._aliases.add((status.st_dev, status.st_ino))

    def _check_allowed(self, directory: bytes) -> None:
        parts = directory.split(b"/") if directory else []
        if b"\0" in directory or any(part in (b"", b".", b"..") for part in parts):
            raise ProtocolError("an inventory of a directory that is none")
        if self._roots is not None and not any(
            not root or directory == root or directory.startswith(root + b"/") for root in self._roots
        ):
            raise ProtocolError("an inventory of a directory that nobody asked for")

    def _plan_names(
        self, directory: bytes, fd: int, found: Iterator[tuple[bytes, bool]], n_kept: int
    ) -> bool:
        """Plan what may go of what was found; whether all may. *n_kept*: of the path, what stays anyway."""
        batch: list[tuple[bytes, bool]] = []
        goes = True
        for one in found:
            batch.append(one)
            if len(batch) == 256:
                goes &= self._plan_batch(directory, fd, batch, n_kept)
                batch = []
        return self._plan_batch(directory, fd, batch, n_kept) and goes

    def _plan_batch(self, directory: bytes, fd: int, batch: list[tuple[bytes, bool]], n_kept: int) -> bool:
        paths = [(_join(directory, name), is_below) for name, is_below in batch]
        is_out = self._find_excluded(paths)
        goes = True
        for (name, _), (path, is_below), out in zip(batch, paths, is_out, strict=True):
            if out or is_unfinished(name) or self._is_spared(fd, name):
                goes = False
                continue
            self._plan.add(b"%d:%s%s" % (n_kept, path, b"/" if is_below else b""))
            self._n_planned += 1
        return goes

    def _is_spared(self, fd: int, name: bytes) -> bool:
        if stays(fd, name):
            return True
        if not (self._spared or self._aliases):
            return False
        try:
            status = os.stat(name, dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            return True  # somebody else has removed it
        identity = status.st_dev, status.st_ino
        return identity in self._spared or identity in self._aliases

    # ---- The whole plan -----------------------------------------------------------------------------

    def _grow(self) -> bool:
        """List the plan's directories; False when it goes on after others had their turn."""
        due_s = time.monotonic() + SLICE_S
        self._aliases = set()
        while self._grown < self._plan.end:
            if time.monotonic() >= due_s:
                return False
            record, self._grown = self._plan.read(self._grown)
            if record.endswith(b"/"):
                n_kept, _, path = record[:-1].partition(b":")
                self._grow_directory(path, int(n_kept))
        self._end = self._plan.end
        return True

    def _grow_directory(self, path: bytes, n_kept: int) -> None:
        try:
            parent = self._open(path.rpartition(b"/")[0])
            try:
                fd = self._open_below(parent, path.rpartition(b"/")[2])
                is_other = os.fstat(fd).st_dev != os.fstat(parent).st_dev
            finally:
                os.close(parent)
        except FileNotFoundError:
            return
        except OSError as e:
            raise _Stopped(path, e.errno or 0) from e
        try:
            # Another file system is mounted there.
            goes = not is_other and self._plan_names(path, fd, self._list(path, fd), n_kept)
        finally:
            os.close(fd)
        while not goes and len(path) > n_kept and path not in self._staying:
            self._staying.add(path)
            self._n_planned -= 1
            path = path.rpartition(b"/")[0]

    # ---- Carrying it out ----------------------------------------------------------------------------

    def prune(self, *, is_dry_run: bool) -> Pruned:
        """Remove the next of what is planned, or only say what it is. None is the last with `unsynced`."""
        paths: list[bytes] = []
        failed: list[bytes] = []
        errnos: list[int] = []
        n_bytes = 0
        due_s = time.monotonic() + SLICE_S
        while self._end and len(paths) + len(failed) < MAX_PRUNED and n_bytes < MAX_PRUNED_BYTES:
            record, self._end = self._plan.read_before(self._end)
            path = record.partition(b":")[2]
            if path.removesuffix(b"/") in self._staying:
                continue
            number = 0 if is_dry_run else self._remove(path)
            if number:
                failed.append(path)
                errnos.append(number)
            else:
                paths.append(path)
            n_bytes += len(path)
            if time.monotonic() >= due_s:
                break
        if self._end == 0:
            self._leave()
        return Pruned(paths, failed, errnos, self._end == 0 and not self._unsynced)

    @property
    def unsynced(self) -> int:
        """When all has gone: why that is not safe on the disk, with *is_durable*. Else 0."""
        return self._unsynced if self._end == 0 else 0

    def _remove(self, path: bytes) -> int:
        """0, or the error's number."""
        above, _, name = path.removesuffix(b"/").rpartition(b"/")
        try:
            parent = self._enter(above)
            try:
                _unlink(parent.fd, name, is_directory=path.endswith(b"/"))
            except PermissionError:
                if parent.status.st_uid != os.geteuid() or parent.status.st_mode & 0o300 == 0o300:
                    raise
                os.fchmod(
                    parent.fd, stat.S_IMODE(parent.status.st_mode) | 0o300
                )  # for a moment, as rsync does
                try:
                    _unlink(parent.fd, name, is_directory=path.endswith(b"/"))
                finally:
                    os.fchmod(parent.fd, stat.S_IMODE(parent.status.st_mode))
        except FileNotFoundError:
            return 0  # somebody else has done it
        except OSError as e:
            return e.errno or errno.EIO
        return 0

    def _enter(self, path: bytes) -> _Parent:
        if self._parent is None or self._parent.path != path:
            self._leave()
            fd = self._open(path)
            self._parent = _Parent(path, fd, os.fstat(fd))
        return self._parent

    def _leave(self) -> None:
        """What is removed in a directory changes its times, which the copy has set."""
        parent, self._parent = self._parent, None
        if parent is None:
            return
        try:
            if self._keeps_times:
                os.utime(parent.fd, ns=(parent.status.st_atime_ns, parent.status.st_mtime_ns))
        except OSError:
            pass  # it is somebody else's, or was itself removed
        try:
            if self._is_durable:
                os.fsync(parent.fd)
        except OSError as e:
            if e.errno != errno.EINVAL:  # no disk
                self._unsynced = self._unsynced or e.errno or errno.EIO
        finally:
            os.close(parent.fd)

    def close(self) -> None:
        self._leave()
        for fd in (self._fd, self._top[1]):
            if fd >= 0:
                os.close(fd)
        self._fd, self._top = -1, (b"", -1)
        self._plan.close()

    # ---- Directories --------------------------------------------------------------------------------

    def _open(self, path: bytes) -> int:
        """A directory below the target, by way of its root's own descriptor."""
        root, _, rest = path.partition(b"/")
        if not root or (self._roots is not None and b"" in self._roots):
            return self._open_below(self._root_fd, path)
        if self._top[0] != root:
            fd = self._open_below(self._root_fd, root)
            if self._top[1] >= 0:
                os.close(self._top[1])
            self._top = root, fd
        return self._open_below(self._top[1], rest)

    def _list(self, path: bytes, fd: int) -> Iterator[tuple[bytes, bool]]:
        """Each name, and whether it is a directory's."""
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    yield os.fsencode(entry.name), entry.is_dir(follow_symlinks=False)
        except OSError as e:
            raise _Stopped(path, e.errno or 0) from e


def is_unfinished(name: bytes) -> bool:
    """Of this or another copy: parts of files, and what is noted of them."""
    endings = (b".escp-part", b".escp-journal", b".escp-made")
    return name.startswith(b".escp-") or (name.startswith(b".") and name.endswith(endings))


def _unlink(parent: int, name: bytes, *, is_directory: bool) -> None:
    if is_directory:
        os.rmdir(name, dir_fd=parent)
    else:
        os.unlink(name, dir_fd=parent)


def _join(directory: bytes, name: bytes) -> bytes:
    return directory + b"/" + name if directory else name
