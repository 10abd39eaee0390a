"""A target that is not there: what leads to it, and how its directories are made.

What is made is opened without following a link, and looked at then: so it is what was made here.
"""

import errno
import os
import stat

from escp.names import guarded

DIRECTORY_FLAGS = os.O_CLOEXEC | os.O_NOCTTY | os.O_RDONLY | os.O_DIRECTORY


def find_missing(path: bytes) -> bytes:
    """The uppermost directory above *path* that is not there; b"" where all are."""
    at = path.find(b"/", 1)
    while 0 < at < len(path.rstrip(b"/")):
        if guarded.is_missing(path[:at]):
            return path[:at]
        at = path.find(b"/", at + 1)
    return b""


def find_dangling(path: bytes) -> bytes:
    """The first part of a path to nothing that is a link to nothing, else b""."""
    at = 0
    while at < len(path):
        at = path.find(b"/", at + 1)
        at = len(path) if at < 0 else at
        part = path[:at]
        if _is_dangling(part):
            return part
    return b""


def _is_dangling(path: bytes) -> bool:
    try:
        is_link = stat.S_ISLNK(guarded.stat_path(path, follow_symlinks=False).st_mode)
    except OSError:
        return False
    return is_link and guarded.is_missing(path)


def open_parent(path: bytes) -> tuple[int, bytes]:
    """The directory in which *path* is to be made, and its name there. OSError for a link to nothing."""
    parent, slash, name = path.rstrip(b"/").rpartition(b"/")
    fd = guarded.open_path(parent + slash or b".", DIRECTORY_FLAGS)
    try:
        guarded.check_name(fd, name)
        if _is_link(name, fd):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    except OSError:
        os.close(fd)
        raise
    return fd, name


def make_path(path: bytes) -> None:
    """Make the directory and what is missing above it, as os.makedirs does."""
    if not path or not guarded.is_missing(path):
        return
    make_path(path.rstrip(b"/").rpartition(b"/")[0])
    parent, name = open_parent(path)
    try:
        os.mkdir(name, dir_fd=parent)
        _unlock(parent, name)
    except FileExistsError:
        if not guarded.is_directory(path):
            raise
    finally:
        os.close(parent)


def _is_link(name: bytes, parent: int) -> bool:
    try:
        return stat.S_ISLNK(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
    except OSError:
        return False


def make_root(path: bytes, mode: int) -> int:
    """Make the directory *path* and open it. Raises OSError, also when it is another one by then."""
    parent, name = open_parent(path)
    try:
        os.mkdir(name, mode, dir_fd=parent)
        _unlock(parent, name)
        fd = os.open(name, DIRECTORY_FLAGS | os.O_NOFOLLOW, dir_fd=parent)
    finally:
        os.close(parent)
    try:
        with os.scandir(fd) as found:
            is_empty = not any(found)
        if not is_empty or not _is_ours(fd):
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        # umask or ACLs may have left a mode with which it can't be used.
        if mode & 0o77 == 0 and os.fstat(fd).st_mode & 0o1777 != mode:
            os.chmod(fd, mode)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _unlock(parent: int, name: bytes) -> None:
    """A umask like 0777 takes from the maker, too, what he needs to open it: cp and mkdir -p give it back."""
    fd = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        found = os.fstat(fd)
        if found.st_uid == os.geteuid() and found.st_mode & 0o700 != 0o700:
            os.chmod(f"/proc/self/fd/{fd}", stat.S_IMODE(found.st_mode) | 0o700)
    finally:
        os.close(fd)


def _is_ours(directory: int) -> bool:
    """Whether the directory has the owner that new files in it have: not us with some network ones."""
    owner = os.fstat(directory).st_uid
    if owner == os.geteuid():
        return True
    name = b".escp-%s.part" % os.urandom(8).hex().encode()
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=directory)
    try:
        return os.fstat(fd).st_uid == owner
    finally:
        os.close(fd)
        os.unlink(name, dir_fd=directory)


def check_parent(path: bytes) -> None:
    """Raises OSError if no directory could be made at *path*, as mkdir would."""
    parent, _ = open_parent(path)
    try:
        if not os.access(b".", os.W_OK | os.X_OK, dir_fd=parent, effective_ids=True):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    finally:
        os.close(parent)


def open_nameless() -> int:
    import tempfile  # not at the top: only some dry runs need it

    path = tempfile.mkdtemp(prefix="escp-")
    try:
        return os.open(path, DIRECTORY_FLAGS | os.O_NOFOLLOW)
    finally:
        os.rmdir(path)
