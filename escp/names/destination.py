"""The target as the receiving host finds it: opens the directory below which everything is written.

What the user named may be a link and is followed; what the peer names later may not lead out of here
(`_fast/files/tree`). Everything is opened first and looked at then, by its descriptor. So what was looked at
is what is written to, whoever changes names meanwhile.
"""

import errno
import os
import stat

from escp.errors import ERRNO_HINTS, EscpError, LocalFileError, RefusedError, RemoteFileError, describe_errno
from escp.lean.record import Record
from escp.names import guarded
from escp.names.landing import DIRECTORY, MISSING, OTHER, Landing, SourceRoot, plan_landing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from escp.control.messages import Receive

_FLAGS = os.O_CLOEXEC | os.O_NOCTTY
_DIRECTORY_FLAGS = _FLAGS | os.O_RDONLY | os.O_DIRECTORY


class Destination(Record):
    """Files go below `root_fd`, only under `name` unless that is b"", or into `in_place_fd` (-1: none)."""

    root_fd: int
    name: bytes
    in_place_fd: int
    is_directory: bool  # the sources' names go below it
    made: bytes = b""  # where it says that a copy has made this directory for itself: `names/made`
    was_there: bool = False  # the directory root_fd, before the copy

    def forget(self) -> None:
        """The copy is whole."""
        if self.made:
            from escp.names.made import forget  # not at the top: most directories are there already

            forget(self.made)

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


def is_special(path: bytes, *, is_remote: bool = False) -> bool:
    """Whether *path* is there and no file or directory: a pipe or a device takes its bytes in order.

    As a target here standard output, `-`, is one, too.
    """
    if path == b"-" and not is_remote:
        return True
    try:
        mode = guarded.stat_path(path).st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def open_destination(
    target: bytes,
    *,
    n_sources: int,
    is_directory: bool,
    is_remote: bool = True,
    is_dry_run: bool = False,
    is_exact: bool = False,
    makes_path: bool = False,
    job: bytes = b"",
    resumes: bool = False,
    is_shared: bool = False,
    follows_umask: bool | None = None,
) -> Destination:
    """Open what *target* names, creating the one directory that a copy of a directory may need.

    *is_exact*, *makes_path*: as for `plan_landing`; with the latter all that lead to it are created, too.

    *job*: the command's hash, where another run may go on with what this one leaves; *resumes*: this is one.
    Then a directory that the run before made of its source is that again, and nothing to copy into.

    *is_shared*: it is another program's memory, which is there already (docs/shmem.md).
    *follows_umask*: as of the plane; None: where the target is this user's own.
    In a dry run an empty directory that has no name stands for it. Raises RefusedError when the target is not
    what the sources need, RemoteFileError or LocalFileError when it can't be opened.
    """
    shown = os.fsdecode(target)
    if b"\0" in target:
        raise RefusedError(f"the target '{shown}' holds a NUL byte")
    sources = [SourceRoot(b"source", is_directory)] * min(n_sources, 2)
    try:
        if target == b"-" and not is_remote:
            from escp.names.standard import open_output  # lazy: few need it

            return _write_into(open_output(is_directory=is_directory, is_many=n_sources > 1))
        path = expand_home(target) if is_remote else target  # the shell has done it where it was meant
        kind, fd = _open_target(path)
        if kind == MISSING:
            _check_dangling(path, shown, is_remote=is_remote)
        try:
            landing = plan_landing(path, kind, sources, is_exact=is_exact, makes_path=makes_path)
            if is_shared:
                from escp.names.shared import open_shared  # not at the top: few targets are

                return _write_into(open_shared(fd, shown))
            if kind == DIRECTORY:
                made = b"" if is_dry_run or not job else _find_made(path, fd, job, resumes=resumes)
                names_below = not made and (landing.names[0] != b"" or not is_exact)
                return Destination(os.dup(fd), b"", -1, names_below, made, was_there=not made)
            if kind == OTHER:
                return _open_file(fd, path)
        finally:
            if fd >= 0:
                os.close(fd)
        if is_dry_run:
            return _pretend(path, landing, makes_path=makes_path)
        follows_umask = not is_remote if follows_umask is None else follows_umask
        return _make(path, landing, job, makes_path=makes_path, follows_umask=follows_umask)
    except OSError as e:
        if e.errno == guarded.ERRNO_FORBIDDEN:
            raise guarded.refuse(f"the target '{shown}'") from e
        cls = RemoteFileError if is_remote else LocalFileError
        reason = describe_errno(e.errno or 0)
        raise cls(f"can't write to '{shown}': {reason}", ERRNO_HINTS.get(e.errno or 0, "")) from e


def _make(path: bytes, landing: Landing, job: bytes, *, makes_path: bool, follows_umask: bool) -> Destination:
    """What has that name is to be made, or its directory alone where it is a file."""
    from escp.names.newtarget import find_missing, make_path, make_root, open_parent  # lazy: not all are new

    if makes_path and find_missing(path):
        make_path(path.rstrip(b"/").rpartition(b"/")[0])
    if not landing.makes_root:
        parent, name = open_parent(path)
        return Destination(parent, name, -1, False)
    names_below = landing.names[0] != b""
    # A directory that is copied gets its mode at the end; one for several sources has none to get.
    private = 0o1700 if follows_umask else 0o700  # see UNFINISHED_MODE in _fast/files/attributes.pxd
    if names_below or not job:
        return Destination(make_root(landing.root, 0o777 if names_below else private), b"", -1, names_below)
    from escp.names.made import make  # not at the top: few copies make their directory

    root, made = make(landing.root, lambda: make_root(landing.root, private), job)
    return Destination(root, b"", -1, False, made)


def _pretend(path: bytes, landing: Landing, *, makes_path: bool) -> Destination:
    """The same in a dry run: an empty directory that has no name stands for what is not there."""
    from escp.names.newtarget import check_parent, find_missing, open_nameless, open_parent  # lazy, as above

    names_below = landing.names[0] != b""
    if makes_path and (top := find_missing(path)):
        check_parent(top)
        name = b"" if landing.makes_root else path.rpartition(b"/")[2]
        return Destination(open_nameless(), name, -1, not name and names_below)
    if not landing.makes_root:
        parent, name = open_parent(path)
        return Destination(parent, name, -1, False)
    check_parent(landing.root)
    return Destination(open_nameless(), b"", -1, names_below)


def check_rights(wanted: "Receive", *, is_remote: bool) -> None:
    """What only root can do is refused before anything is copied."""
    where = "on the remote host" if is_remote else "here"
    for is_wanted, option, what in (
        (wanted.keeps_owner, "--owner", "give files to others"),
        (wanted.keeps_devices, "--devices", "make devices"),
    ):
        if is_wanted and os.geteuid() != 0:
            raise RefusedError(
                f"option {option}: only root can {what}, and escp is not root {where}", "leave the option out"
            )


def check_proc(wanted: "Receive", *, is_remote: bool) -> None:
    """Refuse a copy without /proc/self/fd: nameless files are named there, directories get modes."""
    if os.path.exists("/proc/self/fd") or wanted.is_dry_run or is_special(wanted.target, is_remote=is_remote):
        return
    cls = RemoteFileError if is_remote else LocalFileError
    raise cls(
        "there is no /proc here, and files can't be written without it", "mount it: mount -t proc proc /proc"
    )


def explain_death(target: bytes, sys_errno: int, *, is_remote: bool) -> EscpError:
    """Nothing can be made in the target any more: the rest of the copy is not even tried."""
    return _explain(
        f"the target '{os.fsdecode(target) or '.'}' is gone: {describe_errno(sys_errno)}",
        "was it removed, or has its file system failed? What came before may be lost with it",
        sys_errno, is_remote=is_remote,
    )  # fmt: skip


def _explain(message: str, hint: str, sys_errno: int, *, is_remote: bool) -> EscpError:
    error = (RemoteFileError if is_remote else LocalFileError)(message, hint)
    error.__cause__ = OSError(sys_errno, os.strerror(sys_errno))
    return error


def _find_made(path: bytes, fd: int, job: bytes, *, resumes: bool) -> bytes:
    from escp.names.made import find, forget, mark  # not at the top, as above

    if not find(path, fd, job):
        return b""
    if resumes:
        return mark(path)
    forget(mark(path))  # of a run that nobody goes on with
    return b""


def _write_into(fd: int) -> Destination:
    return Destination(os.open(b"/", os.O_PATH | os.O_CLOEXEC), b"target", fd, False)


def _check_dangling(path: bytes, shown: str, *, is_remote: bool) -> None:
    """Refuse a link to nothing, as cp does: what it leads to is not made, and the link is not replaced."""
    from escp.names.newtarget import find_dangling  # lazy, as above

    link = os.fsdecode(find_dangling(path))
    if not link:
        return
    cls = RemoteFileError if is_remote else LocalFileError
    which = "it" if link == shown.rstrip("/") else f"'{link}'"
    raise cls(
        f"can't write to '{shown}': {which} is a link that leads nowhere",
        "remove the link, or make what it leads to",
    ) from FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))


def _open_target(path: bytes) -> tuple[str, int]:
    """What *path* leads to, and a descriptor: a directory's, one of a file by O_PATH, or -1.

    A directory is opened without O_PATH, so that the system mounts what it mounts only when it is used.
    """
    try:
        return DIRECTORY, guarded.open_path(path, _DIRECTORY_FLAGS)
    except NotADirectoryError:
        return OTHER, guarded.open_path(path, _FLAGS | os.O_PATH)
    except FileNotFoundError:
        return MISSING, -1


def _open_file(fd: int, path: bytes) -> Destination:
    """The file, pipe or device that the descriptor stands for; *path* led to it, and counts without /proc."""
    link = b"/proc/self/fd/%d" % fd
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        # Not waiting for a pipe's reader: the agent must hear when the initiator is gone.
        way = link if os.path.exists(link) else path
        in_place_fd = os.open(way, _FLAGS | os.O_WRONLY | os.O_NONBLOCK)
        try:
            _check_same(status, os.fstat(in_place_fd))
            os.set_blocking(in_place_fd, True)
            return _write_into(in_place_fd)
        except BaseException:
            os.close(in_place_fd)
            raise
    # Written over what a link leads to, as scp does, so that the link stays: where that is, the kernel knows.
    try:
        place = os.readlink(link)
    except FileNotFoundError:
        place = os.path.realpath(path)
    parent, _, name = place.rpartition(b"/")
    root_fd = guarded.open_path(parent or b"/", _DIRECTORY_FLAGS)
    try:
        _check_same(status, os.stat(name, dir_fd=root_fd, follow_symlinks=False))
        return Destination(root_fd, name, -1, False)
    except BaseException:
        os.close(root_fd)
        raise


def _check_same(seen: os.stat_result, found: os.stat_result) -> None:
    if not os.path.samestat(seen, found):
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
