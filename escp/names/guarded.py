"""Files of this host by their names, as far as its own rules let a session reach them.

The rules are `_fast/files/guard`'s: one check for Python and the planes. An agent that has any installs it
here; where there are none, these are the system's own calls.
"""

import errno
import os
import stat

from escp.errors import RefusedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

RULES_HINT = "paths are those of the other host, relative ones begin in the directory it allows"
ERRNO_FORBIDDEN = 4000  # as in _fast/base/types.pxd: of an OSError that a rule raises

_open: "Callable[[bytes, int], int] | None" = None
_check: "Callable[[int, bytes], None] | None" = None
_who = ""


def install(opener: "Callable[[bytes, int], int]", checker: "Callable[[int, bytes], None]", who: str) -> None:
    """From now on *opener* opens what is there, and *checker* says what may be made. Once in a process.

    *who* forbids the rest, for people.
    """
    global _open, _check, _who  # as the rules are: no caller can forget them
    _open, _check, _who = opener, checker, who


def refuse(what: str) -> RefusedError:
    return RefusedError(f"{what} is out of bounds here: {_who} forbids it", RULES_HINT)


def hide_rule(number: int) -> int:
    """An error number of the system's, for one of a rule's."""
    return errno.EACCES if number == ERRNO_FORBIDDEN else number


def open_path(path: bytes, flags: int) -> int:
    """As os.open, of what is there."""
    return os.open(path, flags) if _open is None else _open(path, flags)


def check_name(directory: int, name: bytes) -> None:
    """Raises OSError where nothing of that name may be made in the directory."""
    if _check is not None:
        _check(directory, name)


def keep(fd: int) -> int:
    """The descriptor, if what it stands for may be reached; else it is closed. Raises OSError."""
    try:
        check_name(fd, b"")
    except OSError:
        os.close(fd)
        raise
    return fd


def stays(directory: int, name: bytes) -> bool:
    """Whether the rules forbid that it is removed."""
    try:
        check_name(directory, name)
    except OSError:
        return True
    return False


def stat_path(path: bytes, *, follow_symlinks: bool = True) -> os.stat_result:
    if _open is None:
        return os.stat(path, follow_symlinks=follow_symlinks)
    fd = _open(path, os.O_PATH | os.O_CLOEXEC | (0 if follow_symlinks else os.O_NOFOLLOW))
    try:
        return os.fstat(fd)
    finally:
        os.close(fd)


def exists(path: bytes, *, follow_symlinks: bool = True) -> bool:
    """As os.path.exists. What may not be reached is as good as not there."""
    try:
        stat_path(path, follow_symlinks=follow_symlinks)
    except (OSError, ValueError):
        return False
    return True


def is_missing(path: bytes) -> bool:
    """As os.path.exists says, but what may not be reached is an error: nothing is made there."""
    try:
        stat_path(path)
    except OSError as e:
        if e.errno == ERRNO_FORBIDDEN:
            raise
        return True
    return False


def is_directory(path: bytes, *, follow_symlinks: bool = True) -> bool:
    try:
        return stat.S_ISDIR(stat_path(path, follow_symlinks=follow_symlinks).st_mode)
    except (OSError, ValueError):
        return False


def list_names(path: bytes) -> list[bytes]:
    """As os.listdir."""
    if _open is None:
        return os.listdir(path)
    fd = _open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return [os.fsencode(name) for name in os.listdir(fd)]
    finally:
        os.close(fd)
