"""What can be told of a directory: its file system, its room, whether O_DIRECT works."""

import errno
import fcntl
import mmap
import os
import secrets

from escp.errors import EscpError, describe_errno
from escp.facts.proc import _read
from escp.names.destination import expand_home

PROBE_BYTES = 65536  # a multiple of every alignment that O_DIRECT is known to ask for


# No file can be made, with a name or without.
_NOT_HERE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT})


def examine_directory(path: bytes, root: str = "/") -> dict[str, object]:
    """The facts about a directory: what is mounted there, and whether O_DIRECT works, by a nameless file."""
    try:
        path = expand_home(path)
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as e:
        return {"path_error": describe_errno(e.errno or 0)}
    except (EscpError, ValueError) as e:
        return {"path_error": str(e)}
    try:
        try:
            place = os.path.realpath(path)
        except OSError as e:  # the working directory is gone
            return {"path_error": describe_errno(e.errno or 0)}
        space = os.fstatvfs(folder)
        facts: dict[str, object] = {
            "path_error": "",
            "file_system": find_file_system(place, root),
            "free_bytes": space.f_bavail * space.f_frsize,
        }
        try:
            fd = _open_nameless(folder)
        except OSError as e:
            return {**facts, "is_writable": False, "direct_error": describe_errno(e.errno or 0)}
        try:
            error = try_direct(fd)
        finally:
            os.close(fd)
        return {**facts, "is_writable": True, "has_direct": not error, "direct_error": error}
    finally:
        os.close(folder)


def _open_nameless(folder: int) -> int:
    """A new file that no name leads to, so that nothing can be left behind."""
    flags = os.O_RDWR | os.O_CLOEXEC
    try:
        return os.open(b".", os.O_TMPFILE | flags, 0o600, dir_fd=folder)
    except OSError as e:
        if e.errno in _NOT_HERE:
            raise
    name = f".escp-{secrets.token_hex(8)}".encode()  # NFS and others have no O_TMPFILE
    fd = os.open(name, os.O_CREAT | os.O_EXCL | flags, 0o600, dir_fd=folder)
    os.unlink(name, dir_fd=folder)
    return fd


def try_direct(fd: int) -> str:
    """Write and read a little with O_DIRECT, aligned as escp does; why that failed, or ""."""
    data, found = mmap.mmap(-1, PROBE_BYTES), mmap.mmap(-1, PROBE_BYTES)  # page-aligned
    try:
        fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_DIRECT)
        data.write(os.urandom(PROBE_BYTES))
        if os.pwritev(fd, [data], 0) != PROBE_BYTES or os.preadv(fd, [found], 0) != PROBE_BYTES:
            return "only a part was written or read"
        return "" if data[:] == found[:] else "other bytes were read than had been written"
    except OSError as e:
        return describe_errno(e.errno or 0)
    finally:
        data.close()
        found.close()


def find_file_system(path: bytes, root: str = "/") -> str | None:
    """The type of what is mounted at *path*, which has no links in it."""
    best, best_length = None, -1
    for line in (_read(root, "proc/self/mountinfo") or "").splitlines():
        before, _, after = line.partition(" - ")
        words, kinds = before.split(" "), after.split(" ")
        if len(words) < 5 or not kinds[0]:
            continue
        place = os.fsencode(words[4]).decode("unicode_escape").encode("latin-1", "replace")  # \040: a blank
        below = place.rstrip(b"/") + b"/"
        if (path + b"/").startswith(below) and len(below) >= best_length:  # the later one covers the earlier
            best, best_length = kinds[0], len(below)
    return best
