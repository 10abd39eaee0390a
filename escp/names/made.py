"""A directory that a copy has made of its source: so that the run that goes on with it does not copy into it.

`.NAME.escp-made` beside the directory, mode 0600, says by which command it was made, and its inode. It is
gone when the copy is whole.
"""

import os
import stat

from escp.names.guarded import open_path

_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def mark(path: bytes) -> bytes:
    """Where it is said of *path*."""
    parent, slash, name = path.rstrip(b"/").rpartition(b"/")
    return parent + slash + b"." + name + b".escp-made"


def note(path: bytes, fd: int, job: bytes) -> bytes:
    """Say that this command has made *path*, open as *fd*. Returns where, b"" where it can't be said."""
    place = mark(path)
    try:
        parent, name = _open_parent(place)
    except OSError:
        return b""
    try:
        for _ in range(2):
            try:
                to = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600, dir_fd=parent)
            except FileExistsError:  # of one that was removed
                if _read(parent, name) is None:
                    return b""
                os.unlink(name, dir_fd=parent)
            except OSError:
                return b""
            else:
                os.write(to, _text(fd, job))
                os.close(to)
                return place
        return b""
    finally:
        os.close(parent)


def find(path: bytes, fd: int, job: bytes) -> bool:
    """Whether that command has made the directory *path*, open as *fd*."""
    try:
        parent, name = _open_parent(mark(path))
    except OSError:
        return False
    try:
        return _read(parent, name) == _text(fd, job)
    finally:
        os.close(parent)


def forget(place: bytes) -> None:
    """*place*: as `note` returned it, or of `mark`."""
    parent, name = _open_parent(place)
    try:
        if _read(parent, name) is not None:
            os.unlink(name, dir_fd=parent)
    finally:
        os.close(parent)


def _text(fd: int, job: bytes) -> bytes:
    return b"%s %d\n" % (job.hex().encode(), os.fstat(fd).st_ino)


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
        found = os.fstat(fd)
        is_own = stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and found.st_uid == os.geteuid()
        return os.read(fd, 256) if is_own and not found.st_mode & 0o022 else None
    finally:
        os.close(fd)
