"""What an agent answers about files of its host, and does with them, for a program (`control/questions`).

The account that has logged in may do all of this with ssh as well: no path is confined. What is asked is done
at once, in its turn; nothing here waits for the network.
"""

import errno
import os
import stat

from escp.control.questions import (
    MAX_ENTRIES,
    MAX_READ_BYTES,
    TIME_ZERO,
    Change,
    Changed,
    Digested,
    Entries,
    List,
    Look,
    More,
    Piece,
    Read,
    Store,
    Stored,
)
from escp.errors import ProtocolError, RefusedError
from escp.names.destination import expand_home

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MAX_NUMBER = (1 << 63) - 1  # of a message
_MAX_NAMES_BYTES = 1 << 18  # of names and links' targets in one answer


def _number(error: OSError | ValueError | RefusedError) -> int:
    """A path may have a NUL byte, or begin with the ~ of nobody."""
    if isinstance(error, OSError):
        return error.errno or errno.EIO
    return errno.ENOENT if isinstance(error, RefusedError) else errno.EINVAL


_CAUGHT = (OSError, ValueError, RefusedError)


class _Page:
    """Entries as they are collected."""

    def __init__(self) -> None:
        self._columns: tuple[list[bytes], ...] = ([], [])
        self._numbers: list[tuple[int, ...]] = []
        self._n_bytes = 0

    def add(self, name: bytes, status: os.stat_result, target: bytes) -> None:
        self._columns[0].append(name)
        self._columns[1].append(target)
        self._n_bytes += len(name) + len(target)
        time = min(max(0, status.st_mtime_ns + TIME_ZERO), _MAX_NUMBER)
        row = (
            status.st_mode,
            status.st_size,
            time,
            status.st_uid,
            status.st_gid,
            status.st_ino,
            status.st_nlink,
        )
        self._numbers.append(tuple(min(max(0, number), _MAX_NUMBER) for number in row))

    @property
    def is_full(self) -> bool:
        return len(self._numbers) >= MAX_ENTRIES or self._n_bytes > _MAX_NAMES_BYTES

    def close(self, *, is_last: bool, sys_errno: int = 0) -> Entries:
        numbers = [list(column) for column in zip(*self._numbers, strict=True)] or [[] for _ in range(7)]
        return Entries._make((self._columns[0], *numbers, self._columns[1], is_last, sys_errno))


def _read_link(path: bytes, status: os.stat_result) -> bytes:
    if not stat.S_ISLNK(status.st_mode):
        return b""
    try:
        return os.readlink(path)
    except OSError:
        return b""  # it is another thing by now


class Answers:
    """*make_digest(path)* gives 16 bytes and the size, or raises OSError; *digest_of(data)* 16 bytes."""

    def __init__(
        self, make_digest: "Callable[[bytes], tuple[bytes, int]]", digest_of: "Callable[[bytes], bytes]"
    ):
        self._make_digest = make_digest
        self._digest_of = digest_of
        self._listing: Iterator[os.DirEntry[bytes]] | None = None

    def look(self, question: Look) -> Entries:
        page = _Page()
        try:
            path = expand_home(question.path)
            status = os.stat(path, follow_symlinks=question.follows)
            page.add(b"", status, _read_link(path, status))
        except _CAUGHT as e:
            return page.close(is_last=True, sys_errno=_number(e))
        return page.close(is_last=True)

    def list(self, question: List) -> Entries:
        self.close()
        try:
            self._listing = os.scandir(expand_home(question.path))
        except _CAUGHT as e:
            return _Page().close(is_last=True, sys_errno=_number(e))
        return self.more()

    def more(self, question: More | None = None) -> Entries:
        """What goes away meanwhile is left out."""
        if self._listing is None:
            raise ProtocolError("the initiator asks for more of a directory than there is")
        page = _Page()
        try:
            while not page.is_full:
                entry = next(self._listing, None)
                if entry is None:
                    self.close()
                    return page.close(is_last=True)
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                page.add(entry.name, status, _read_link(entry.path, status))
        except OSError as e:
            self.close()
            return page.close(is_last=True, sys_errno=_number(e))
        return page.close(is_last=False)

    def change(self, question: Change) -> Changed:
        change = _CHANGES.get(question.what)
        if change is None:
            raise ProtocolError("the initiator wants a change that is not known")
        path = question.path
        try:
            path = expand_home(path)
            change(path, expand_home(question.to) if question.to else b"")
        except _CAUGHT as e:
            failed = getattr(e, "filename", None)
            return Changed(_number(e), os.fsencode(failed) if isinstance(failed, str | bytes) else path)
        return Changed(0)

    def read(self, question: Read) -> Piece:
        if question.n_bytes > MAX_READ_BYTES:
            raise ProtocolError("the initiator wants too much of a file at once")
        try:
            fd, status = open_regular(expand_home(question.path))
        except _CAUGHT as e:
            return Piece(b"", 0, b"", _number(e))
        try:
            data = _read_at(fd, question.n_bytes, question.offset)
            words = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            return Piece(data, status.st_size, repr(words).encode())
        except OSError as e:
            return Piece(b"", 0, b"", _number(e))
        finally:
            os.close(fd)

    def digest(self, path: bytes) -> Digested:
        try:
            return Digested(*self._make_digest(expand_home(path)))
        except _CAUGHT as e:
            return Digested(b"", 0, _number(e))

    def store(self, question: Store) -> Stored:
        if len(question.data) > MAX_READ_BYTES:
            raise ProtocolError("the initiator stores too much at once")
        if self._digest_of(question.data) != question.digest:
            return Stored(errno.EBADMSG)
        try:
            store_file(expand_home(question.path), question.data, is_new=question.is_new)
        except _CAUGHT as e:
            return Stored(_number(e))
        return Stored(0)

    def close(self) -> None:
        if self._listing is not None:
            self._listing.close()  # type: ignore[attr-defined]  # of os.scandir
            self._listing = None


def open_regular(path: bytes) -> tuple[int, os.stat_result]:
    """A pipe that nobody writes to, or a device, must not be waited for. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        os.close(fd)
        raise OSError(errno.EISDIR if stat.S_ISDIR(status.st_mode) else errno.ESPIPE, "")
    return fd, status


def _read_at(fd: int, n_bytes: int, offset: int) -> bytes:
    data = os.pread(fd, n_bytes, offset)
    while 0 < len(data) < n_bytes and (more := os.pread(fd, n_bytes - len(data), offset + len(data))):
        data += more
    return data


def store_file(path: bytes, data: bytes, *, is_new: bool) -> None:
    """Under another name first. Of a file that is there the mode stays; a link is written through, as by cp.

    *is_new*: nothing that is there is replaced. Raises OSError.
    """
    mode = -1
    if not is_new:
        path = os.path.realpath(path) if os.path.islink(path) else path
        try:
            status = os.stat(path)
        except FileNotFoundError:
            pass
        else:
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EISDIR if stat.S_ISDIR(status.st_mode) else errno.ESPIPE, "")
            mode = stat.S_IMODE(status.st_mode) & 0o777
    own = os.path.join(os.path.dirname(path), b".escp-" + os.urandom(8).hex().encode())
    fd = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666 if mode < 0 else 0o600)
    try:
        try:
            at = 0
            while at < len(data):
                at += os.write(fd, data[at:])
            if mode >= 0:
                os.fchmod(fd, mode)
        finally:
            os.close(fd)
        (_rename if is_new else os.replace)(own, path)
    except BaseException:
        os.unlink(own)
        raise


def _rename(path: bytes, to: bytes) -> None:
    """Nothing that is there is replaced: a file gets its second name before it loses the first."""
    if os.path.lexists(to):
        raise OSError(errno.EEXIST, "", to)
    if stat.S_ISDIR(os.lstat(path).st_mode):
        os.rename(path, to)
        return
    try:
        os.link(path, to, follow_symlinks=False)
    except (FileExistsError, FileNotFoundError):
        raise
    except OSError:  # a file system without hard links
        os.rename(path, to)
    else:
        os.unlink(path)


def _remove_tree(path: bytes, _: bytes) -> None:
    if stat.S_ISDIR(os.lstat(path).st_mode):
        import shutil  # not at the top: few agents remove a tree

        shutil.rmtree(path)
    else:
        os.unlink(path)


def _remove(path: bytes, _: bytes) -> None:
    if stat.S_ISDIR(os.lstat(path).st_mode):
        os.rmdir(path)
    else:
        os.unlink(path)


_CHANGES: "dict[str, Callable[[bytes, bytes], None]]" = {
    "mkdir": lambda path, _: os.mkdir(path),
    "mkdirs": lambda path, _: os.makedirs(path, exist_ok=True),
    "remove": _remove,
    "rmtree": _remove_tree,
    "rename": _rename,
    "replace": os.replace,
}
