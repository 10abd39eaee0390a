"""A directory that a copy has made of its source: so that the run that goes on with it does not copy into it.

`.NAME.escp-made` beside the directory, mode 0600, says by which command it was made, and its inode; before it
is made, that it will be. Where NAME has no room for more letters a hash stands for it. A kill between the two
leaves an empty directory that is known all the same. It is gone when the copy is whole.
"""

import os
import stat

from escp.constants import MAX_NAME_BYTES
from escp.names.guarded import open_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_NONE = 0  # no inode has that number
_ENDING = b".escp-made"
_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def mark(path: bytes) -> bytes:
    """Where it is said of *path*."""
    parent, slash, name = path.rstrip(b"/").rpartition(b"/")
    if len(name) + len(_ENDING) >= MAX_NAME_BYTES:  # no room for more letters: as parts are named then
        import hashlib  # lazy: 2 ms, and few need it

        name = b"escp-" + hashlib.sha256(name).hexdigest()[:16].encode()
    return parent + slash + b"." + name + _ENDING


def make(path: bytes, make_root: "Callable[[], int]", job: bytes) -> tuple[int, bytes]:
    """Make the directory *path* and say so. Its descriptor, and where that is said: b"" if nowhere."""
    to = announce(path, job)
    try:
        root = make_root()
    except BaseException:
        if to >= 0:
            os.close(to)
            forget(mark(path))
        raise
    if to < 0:
        return root, b""
    note(to, root, job)
    return root, mark(path)


def announce(path: bytes, job: bytes) -> int:
    """Say that this command is about to make *path*. A descriptor for `note`, -1 where it can't be said."""
    try:
        parent, name = _open_parent(mark(path))
    except OSError:
        return -1
    try:
        for _ in range(2):
            try:
                to = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600, dir_fd=parent)
            except FileExistsError:  # of one that was removed
                if _read(parent, name) is None:
                    return -1
                os.unlink(name, dir_fd=parent)
            except OSError:
                return -1
            else:
                os.fchmod(to, 0o600)  # whatever a umask has left of it: it is to be read again
                os.write(to, _text(job, _NONE))
                return to
        return -1
    finally:
        os.close(parent)


def note(to: int, fd: int, job: bytes) -> None:
    """It is made, and open as *fd*. *to* is `announce`'s, and closed."""
    try:
        os.pwrite(to, _text(job, os.fstat(fd).st_ino), 0)
    finally:
        os.close(to)


def find(path: bytes, fd: int, job: bytes) -> bool:
    """Whether that command has made the directory *path*, open as *fd*."""
    try:
        parent, name = _open_parent(mark(path))
    except OSError:
        return False
    to = -1
    try:
        said = _read(parent, name)
        if said != _text(job, _NONE):
            return said == _text(job, os.fstat(fd).st_ino)
        if os.listdir(fd) or os.fstat(fd).st_uid != os.geteuid():
            return False
        # By now another file may have its name, put there by whoever owns the directory.
        to = os.open(name, os.O_RDWR | _FLAGS, dir_fd=parent)
        is_same = _read_open(to) == said
        if is_same:
            os.pwrite(to, _text(job, os.fstat(fd).st_ino), 0)
        return is_same
    except OSError:
        return False
    finally:
        if to >= 0:
            os.close(to)
        os.close(parent)


def forget(place: bytes) -> None:
    """*place*: of `mark`."""
    parent, name = _open_parent(place)
    try:
        if _read(parent, name) is not None:
            os.unlink(name, dir_fd=parent)
    finally:
        os.close(parent)


def _text(job: bytes, inode: int) -> bytes:
    return b"%s %20d\n" % (job.hex().encode(), inode)


def _open_parent(place: bytes) -> tuple[int, bytes]:
    parent, slash, name = place.rpartition(b"/")
    return open_path(parent + slash or b".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC), name


def _read(parent: int, name: bytes) -> bytes | None:
    """What this user's escp has written there; None where it is anything else."""
    try:
        fd = os.open(name, os.O_RDONLY | _FLAGS, dir_fd=parent)
    except OSError:
        return None
    try:
        return _read_open(fd)
    finally:
        os.close(fd)


def _read_open(fd: int) -> bytes | None:
    found = os.fstat(fd)
    is_own = stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and found.st_uid == os.geteuid()
    return os.read(fd, 256) if is_own and not found.st_mode & 0o022 else None
