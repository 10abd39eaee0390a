"""The target as the receiving host finds it: opens the directory below which everything is written.

What the user named may be a link and is followed; what the peer names later may not lead out of here
(`_fast/tree.pyx`).
"""

import errno
import os
import stat

from escp.errors import LocalFileError, RefusedError, RemoteFileError, describe_errno
from escp.plan import DIRECTORY, MISSING, OTHER, SourceRoot, plan_landing
from escp.record import Record


class Destination(Record):
    """Files go below `root_fd`, only under `name` unless that is b"", or into `in_place_fd` (-1: none)."""

    root_fd: int
    name: bytes
    in_place_fd: int
    is_directory: bool  # the sources' names go below it

    def close(self) -> None:
        for fd in (self.root_fd, self.in_place_fd):
            if fd >= 0:
                os.close(fd)


def expand_home(path: bytes) -> bytes:
    """`~`, `~/x`, `~user/x` and relative paths as a login shell in the home directory would resolve them."""
    if path.startswith(b"~"):
        expanded = os.path.expanduser(path)
        if expanded.startswith(b"~"):
            raise RefusedError(f"there is no home directory for '{os.fsdecode(path.partition(b'/')[0])}'")
        return expanded
    return path or b"."


def is_special(path: bytes) -> bool:
    """Whether *path* is there and no file or directory: a pipe or a device takes its bytes in order."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def open_destination(
    target: bytes, *, n_sources: int, is_directory: bool, is_remote: bool = True, is_dry_run: bool = False
) -> Destination:
    """Open what *target* names, creating the one directory that a copy of a directory may need.

    In a dry run an empty directory that has no name stands for it. Raises RefusedError when the target is not
    what the sources need, RemoteFileError or LocalFileError when it can't be opened.
    """
    shown = os.fsdecode(target)
    if b"\0" in target:
        raise RefusedError(f"the target '{shown}' holds a NUL byte")
    try:
        path = expand_home(target) if is_remote else target  # the shell has done it where it was meant
        try:
            found = os.stat(path)
        except FileNotFoundError:
            found = None
            if os.path.islink(path.rstrip(b"/")):
                raise
        kind = MISSING if found is None else DIRECTORY if stat.S_ISDIR(found.st_mode) else OTHER
        sources = [SourceRoot(b"source", is_directory)] * min(n_sources, 2)
        landing = plan_landing(path, kind, sources)
        if landing.makes_root and is_dry_run:
            _check_parent(landing.root)
            return Destination(_open_nameless(), b"", -1, landing.names[0] != b"")
        if landing.makes_root:
            # A directory that is copied gets its mode at the end; one for several sources has none to get.
            private = 0o700 if is_remote else 0o1700  # see UNFINISHED_MODE in _fast/tree.pyx
            os.mkdir(landing.root, 0o777 if landing.names[0] else private)
        in_place_fd = -1
        if found is not None and kind == OTHER and not stat.S_ISREG(found.st_mode):
            # Not waiting for a pipe's reader: the agent must hear when the initiator is gone.
            in_place_fd = os.open(path, os.O_WRONLY | os.O_NOCTTY | os.O_CLOEXEC | os.O_NONBLOCK)
            os.set_blocking(in_place_fd, True)
            return Destination(os.open(b"/", os.O_PATH | os.O_CLOEXEC), b"target", in_place_fd, False)
        names_below = kind == DIRECTORY or (landing.makes_root and landing.names[0] != b"")
        if names_below or landing.makes_root:
            return Destination(_open_directory(landing.root), b"", -1, names_below)
        # One file: written over what a link leads to, as scp does, so that the link stays.
        parent, _, name = (os.path.realpath(path) if kind == OTHER else path).rpartition(b"/")
        return Destination(
            _open_directory(parent or (b"/" if path.startswith(b"/") else b".")), name, -1, False
        )
    except OSError as e:
        cls = RemoteFileError if is_remote else LocalFileError
        reason = describe_errno(e.errno or 0)
        raise cls(f"can't write to '{shown}': {reason}", _HINTS.get(e.errno or 0, "")) from e


_HINTS = {
    errno.ENOENT: "create the directory first: only the last one of a path is made",
    errno.EACCES: "choose a directory that you may write to",
    errno.EPERM: "choose a directory that you may write to",
    errno.ENXIO: "start what reads the pipe first",
}


def _check_parent(path: bytes) -> None:
    """Raises OSError if no directory could be made at *path*, as mkdir would."""
    parent = os.path.dirname(path.rstrip(b"/")) or b"."
    os.stat(parent + b"/.")
    if not os.access(parent, os.W_OK | os.X_OK, effective_ids=True):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _open_nameless() -> int:
    import tempfile  # not at the top: only some dry runs need it

    path = tempfile.mkdtemp(prefix="escp-")
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    finally:
        os.rmdir(path)


def _open_directory(path: bytes) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
