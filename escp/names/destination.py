"""The target as the receiving host finds it: opens the directory below which everything is written.

What the user named may be a link and is followed; what the peer names later may not lead out of here
(`_fast/files/tree`). Everything is opened first and looked at then, by its descriptor; what is made is
opened without following a link. So what was looked at is what is written to, whoever changes names meanwhile.
"""

import errno
import os
import stat

from escp.errors import ERRNO_HINTS, EscpError, LocalFileError, RefusedError, RemoteFileError, describe_errno
from escp.lean.record import Record
from escp.names import guarded
from escp.names.landing import DIRECTORY, MISSING, OTHER, SourceRoot, plan_landing

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
        if kind == MISSING and (link := _find_dangling(path)):
            nothing = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            raise _refuse_link(shown, os.fsdecode(link), is_remote=is_remote) from nothing
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
        if kind == MISSING and makes_path and (top := _find_missing(path)):
            if is_dry_run:
                _check_parent(top)
                name = b"" if landing.makes_root else path.rpartition(b"/")[2]
                return Destination(_open_nameless(), name, -1, not name and landing.names[0] != b"")
            _make_path(path.rstrip(b"/").rpartition(b"/")[0])
        if not landing.makes_root:
            parent, name = _open_parent(path)
            return Destination(parent, name, -1, False)
        names_below = landing.names[0] != b""
        if is_dry_run:
            _check_parent(landing.root)
            return Destination(_open_nameless(), b"", -1, names_below)
        # A directory that is copied gets its mode at the end; one for several sources has none to get.
        follows_umask = not is_remote if follows_umask is None else follows_umask
        private = 0o1700 if follows_umask else 0o700  # see UNFINISHED_MODE in _fast/files/attributes.pxd
        if names_below or not job:
            return Destination(
                _make_root(landing.root, 0o777 if names_below else private), b"", -1, names_below
            )
        from escp.names.made import make  # not at the top: few copies make their directory

        root, made = make(landing.root, lambda: _make_root(landing.root, private), job)
        return Destination(root, b"", -1, False, made)
    except OSError as e:
        if e.errno == guarded.ERRNO_FORBIDDEN:
            raise guarded.refuse(f"the target '{shown}'") from e
        cls = RemoteFileError if is_remote else LocalFileError
        reason = describe_errno(e.errno or 0)
        raise cls(f"can't write to '{shown}': {reason}", ERRNO_HINTS.get(e.errno or 0, "")) from e


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


def _find_missing(path: bytes) -> bytes:
    """The uppermost directory above *path* that is not there; b"" where all are."""
    at = path.find(b"/", 1)
    while 0 < at < len(path.rstrip(b"/")):
        if guarded.is_missing(path[:at]):
            return path[:at]
        at = path.find(b"/", at + 1)
    return b""


def _find_dangling(path: bytes) -> bytes:
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


def _refuse_link(shown: str, link: str, *, is_remote: bool) -> Exception:
    """Refuse a link to nothing, as cp does: what it leads to is not made, and the link is not replaced."""
    cls = RemoteFileError if is_remote else LocalFileError
    which = "it" if link == shown.rstrip("/") else f"'{link}'"
    return cls(
        f"can't write to '{shown}': {which} is a link that leads nowhere",
        "remove the link, or make what it leads to",
    )


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


def _open_parent(path: bytes) -> tuple[int, bytes]:
    """The directory in which *path* is to be made, and its name there. OSError for a link to nothing."""
    parent, slash, name = path.rstrip(b"/").rpartition(b"/")
    fd = guarded.open_path(parent + slash or b".", _DIRECTORY_FLAGS)
    try:
        guarded.check_name(fd, name)
        if _is_link(name, fd):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    except OSError:
        os.close(fd)
        raise
    return fd, name


def _make_path(path: bytes) -> None:
    """Make the directory and what is missing above it, as os.makedirs does."""
    if not path or not guarded.is_missing(path):
        return
    _make_path(path.rstrip(b"/").rpartition(b"/")[0])
    parent, name = _open_parent(path)
    try:
        os.mkdir(name, dir_fd=parent)
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


def _make_root(path: bytes, mode: int) -> int:
    """Make the directory *path* and open it. Raises OSError, also when it is another one by then."""
    parent, name = _open_parent(path)
    try:
        os.mkdir(name, mode, dir_fd=parent)
        fd = os.open(name, _DIRECTORY_FLAGS | os.O_NOFOLLOW, dir_fd=parent)
    finally:
        os.close(parent)
    try:
        with os.scandir(fd) as found:
            is_empty = not any(found)
        if not is_empty or not _is_ours(fd):
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        if (
            mode & 0o77 == 0 and os.fstat(fd).st_mode & 0o1777 != mode
        ):  # umask or ACLs have left a mode with which it can't be used
            os.chmod(fd, mode)
    except BaseException:
        os.close(fd)
        raise
    return fd


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


def _check_parent(path: bytes) -> None:
    """Raises OSError if no directory could be made at *path*, as mkdir would."""
    parent, _ = _open_parent(path)
    try:
        if not os.access(b".", os.W_OK | os.X_OK, dir_fd=parent, effective_ids=True):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    finally:
        os.close(parent)


def _open_nameless() -> int:
    import tempfile  # not at the top: only some dry runs need it

    path = tempfile.mkdtemp(prefix="escp-")
    try:
        return os.open(path, _DIRECTORY_FLAGS | os.O_NOFOLLOW)
    finally:
        os.rmdir(path)
