"""Standard input as a source, standard output as the target: `-` on the command line.

A file must have a length before it can be sent, and what comes through a pipe has none before its end. So
that is kept in a nameless file first; what was redirected from a file is read where it lies.
"""

import os
import stat

from escp.errors import LocalFileError, RefusedError, describe_errno

TYPE_CHECKING = False
if TYPE_CHECKING:
    from escp.options.options import Options

DASH = b"-"
_PIECE_BYTES = 1 << 20
_NEW_FILE_MODE = 0o666  # as a shell's redirection would ask for it; the umask where it lands counts


def take_input(options: "Options") -> "Options":
    """The options with what standard input holds as their source, read to its end. Raises LocalFileError."""
    if not options.reads_standard_input:
        return options
    try:
        fd = 0 if _is_whole_file(0) else _keep(0)
    except OSError as e:
        raise LocalFileError(f"can't read standard input: {describe_errno(e.errno or 0)}") from e
    (source,) = options.sources
    path = b"/proc/self/fd/%d" % fd
    # It is a link there, and what it leads to is meant.
    return options._replace(sources=(source._replace(path=path),), keeps_links=False)


def _is_whole_file(fd: int) -> bool:
    return stat.S_ISREG(os.fstat(fd).st_mode) and os.lseek(fd, 0, os.SEEK_CUR) == 0


def _keep(fd: int) -> int:
    kept, folder = open_kept("standard input")
    try:
        while _move(fd, kept):
            pass
    except _WriteError as e:
        raise explain_kept(e, folder, "standard input") from e
    return kept


class _WriteError(OSError):
    """Writing to the file failed in which the input is kept."""


def explain_kept(error: OSError, folder: str, what: str) -> LocalFileError:
    """*what*: where it comes from."""
    return LocalFileError(
        f"can't keep what comes from {what} in '{folder}': {describe_errno(error.errno or 0)}",
        "TMPDIR names another directory; it must have room for all of it",
    )


def open_kept(what: str) -> tuple[int, str]:
    """A nameless file for what has no length yet, and the directory that it is in. Raises LocalFileError."""
    folder = os.environ.get("TMPDIR") or "/var/tmp"  # noqa: S108 - it gets no name there
    try:
        try:
            fd = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError:  # not every file system has it
            import tempfile  # not at the top: hardly a run needs it

            fd, name = tempfile.mkstemp(prefix="escp-", dir=folder)
            os.unlink(name)
        os.fchmod(fd, _NEW_FILE_MODE)
    except OSError as e:
        raise explain_kept(e, folder, what) from e
    return fd, folder


def _move(fd: int, kept: int) -> int:
    """Move one piece of the input; 0 at its end."""
    data = os.read(fd, _PIECE_BYTES)
    left = memoryview(data)
    try:
        while left:
            left = left[os.write(kept, left) :]
    except OSError as e:
        raise _WriteError(e.errno, e.strerror) from e
    return len(data)


def open_output(*, is_directory: bool, is_many: bool) -> int:
    """Standard output for the bytes of a file: nothing else is written there. Raises OSError.

    Raises RefusedError where the sources are a directory, or several.
    """
    if is_directory or is_many:
        what = "a directory" if is_directory else "several"
        raise RefusedError(
            f"standard output, -, takes one file, not {what}", "a directory of that name is written ./-"
        )
    if stat.S_ISFIFO(os.fstat(1).st_mode):
        try:  # not as others share it, who may have said that nobody waits for it
            fd = os.open("/proc/self/fd/1", os.O_WRONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError:
            return os.dup(1)
        os.set_blocking(fd, True)
        return fd
    return os.dup(1)
