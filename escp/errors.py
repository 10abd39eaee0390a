"""Every way escp fails: one class each, with its exit code and a hint for the user.

The exit codes are documented in the README and are part of the command line's contract.
Only `cli` turns them into an exit status; nothing here prints.
"""

import errno
import os

SIGINT, SIGPIPE = 2, 13

EXIT_OK = 0
EXIT_SOME_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERNAL = 3
EXIT_SSH = 10
EXIT_AGENT = 11
EXIT_INTEGRITY = 12
EXIT_NETWORK = 13
EXIT_LOCAL_FS = 14
EXIT_REMOTE_FS = 15
EXIT_REFUSED = 16
EXIT_TIME_UP = 17
EXIT_TOO_MANY_DELETIONS = 18
EXIT_SIGNAL_BASE = 128

MAX_ERRNO = 4095  # of Linux

# What `--help` and escp.1 say of each.
EXIT_MEANINGS: dict[int | str, str] = {
    EXIT_OK: "every file was copied and verified",
    EXIT_SOME_FAILED: "finished, but some files failed (--check, --doctor: see there)",
    EXIT_USAGE: "wrong usage or configuration",
    EXIT_INTERNAL: "internal error",
    EXIT_SSH: "ssh failed",
    EXIT_AGENT: "the remote escp is missing or of another version",
    EXIT_INTEGRITY: "wrong key, changed data, or the ends' accounts differ",
    EXIT_NETWORK: "network lost, blocked or timed out",
    EXIT_LOCAL_FS: "error of the local file system, or a limit of this host",
    EXIT_REMOTE_FS: "error of the remote file system, or a limit of that host",
    EXIT_REFUSED: "refused: unsafe, unfit, or forbidden by that host",
    EXIT_TIME_UP: "ended by --stop-after, before all was copied",
    EXIT_TOO_MANY_DELETIONS: "--delete would have removed more than --max-delete",
    f"{EXIT_SIGNAL_BASE}+n": "ended by signal n",
}


class EscpError(Exception):
    """Base of all errors that a user can meet; `str()` is one sentence without a full stop."""

    exit_code = EXIT_INTERNAL
    hint = ""
    is_retryable = False  # the same command may succeed (docs/json.md)
    may_go_on = True  # --resume is good advice, where something has come
    is_unsafe = False  # what has come may not be on the disk: --resume is not to believe that it is there
    sys_errno = 0  # what an agent's system said, where that is why
    said: "tuple[str, ...]" = ()  # the last lines, as they came, of ssh or of what it started

    def __init__(self, message: str, hint: str | None = None, *, is_retryable: bool | None = None):
        """*hint*, *is_retryable*: None is what the class has."""
        super().__init__(message)
        if hint is not None:
            self.hint = hint
        if is_retryable is not None:
            self.is_retryable = is_retryable

    def __reduce__(self) -> "tuple[object, ...]":
        """As it is, whatever its class is made with: errors go between a program's processes."""
        return _restore, (type(self), self.args), self.__dict__


def _restore(kind: type[EscpError], args: "tuple[object, ...]") -> EscpError:
    error = kind.__new__(kind)
    error.args = args
    return error


class SomeFailedError(EscpError):
    exit_code = EXIT_SOME_FAILED


class UsageError(EscpError):
    exit_code = EXIT_USAGE
    hint = "see `escp --help`"


class InternalError(EscpError):
    exit_code = EXIT_INTERNAL
    hint = "this is a bug in escp: please report it with the output of `escp --version -v`"


class BrokenInstallationError(InternalError):
    hint = "install escp on that host anew; in a checkout run python3 build.py setup"


class SshError(EscpError):
    exit_code = EXIT_SSH
    is_retryable = True
    hint = "try `ssh` with the same host and options: escp logs in exactly as it does"


class AgentError(EscpError):
    """The remote escp is missing, of another version, or did not answer as an escp does."""

    exit_code = EXIT_AGENT
    hint = "install escp on the remote host, or name it with -D /path/to/escp"


class NoAgentError(AgentError):
    """None answered: there is no escp, or it can't be started. `--fallback` is for these."""


class IntegrityError(EscpError):
    """A tag, a sequence number or a digest was wrong: nothing that failed a check was kept."""

    exit_code = EXIT_INTEGRITY
    hint = "run the copy again; if it happens twice, test the memory and disks of both hosts"
    is_retryable = True


class AccountsError(IntegrityError):
    """Both ends finished, and don't agree on what was copied. All of it was verified, and kept."""

    hint = "look at what arrived before you trust it: is one of these hosts not to be trusted?"
    is_retryable = False
    may_go_on = False


class ProtocolError(IntegrityError):
    """The peer proved the key and then sent what the protocol forbids."""

    hint = "both ends should run the same release: compare `escp --version` on each"
    is_retryable = False
    may_go_on = False


class NetworkError(EscpError):
    exit_code = EXIT_NETWORK
    is_retryable = True
    hint = "the data ports (1232-1242 by default, see --escp_port) must be open to the remote host"


class OutcomeUnknown(NetworkError):
    """The connection was lost, or time ran out, when the other host may have given the file its name."""

    hint = "look at the file there: it is the new one, whole, or what was there before"


class EndedError(NetworkError):
    """An agent, or the ssh that carried it, ended without a word about why."""


class LocalFileError(EscpError):
    exit_code = EXIT_LOCAL_FS


class RemoteFileError(EscpError):
    exit_code = EXIT_REMOTE_FS


class RefusedError(EscpError):
    """The destination is unsafe or not what the command needs."""

    exit_code = EXIT_REFUSED


class StrangerError(RefusedError):
    """The other host named what it was not asked for: no escp does that."""

    hint = "nothing of it was written: is that host to be trusted?"
    may_go_on = False


class TimeUpError(EscpError):
    """The time of --stop-after is over. Whole files stay; another run may copy the rest."""

    exit_code = EXIT_TIME_UP
    is_retryable = True
    hint = "run it again to go on; with -p, --skip-unchanged leaves out what is there"

    def __init__(self, message: str = "the time of --stop-after is over") -> None:
        super().__init__(message)


def describe_plan(n_planned: int) -> str:
    """What is said first where --delete would remove more than somebody allows."""
    which = "1 name is" if n_planned == 1 else f"{n_planned:,} names are"
    return f"nothing was deleted: {which} only at the target"


class DeletionError(EscpError):
    """What --delete would remove is more than the user allows. All is copied."""

    exit_code = EXIT_TOO_MANY_DELETIONS
    hint = "if they may go, write a larger --max-delete"

    def __init__(self, n_planned: int, n_allowed: int, *, is_listed: bool):
        """*is_listed*: the names have been told."""
        super().__init__(
            f"{describe_plan(n_planned)}, and --max-delete allows {n_allowed:,}",
            self.hint if is_listed else f"look at them with --dry-run; {self.hint}",
        )


class InterruptedBySignal(EscpError):
    """A signal ended it. After Ctrl-C it is not run again; after a batch system's signal it may be."""

    def __init__(self, signal_number: int):
        super().__init__(f"ended by signal {signal_number}", is_retryable=signal_number != SIGINT)
        self.exit_code = EXIT_SIGNAL_BASE + signal_number


class CancelledError(InterruptedBySignal):
    """The program that called for the copy wants no more of it."""

    def __init__(self) -> None:
        super().__init__(SIGINT)
        self.args = ("cancelled by the program that called for it",)


class ReaderGoneError(InterruptedBySignal):
    """Nobody reads the command's output any more. It ends quietly and by SIGPIPE, as other tools do."""

    def __init__(self) -> None:
        super().__init__(SIGPIPE)
        self.is_retryable = False


_BY_EXIT_CODE = {
    cls.exit_code: cls
    for cls in (SomeFailedError, UsageError, InternalError, SshError, AgentError, IntegrityError,
                NetworkError, LocalFileError, RemoteFileError, RefusedError)
}  # fmt: skip


# A file that failed for one of these may be copied a little later.
_PASSING = frozenset({
    errno.EAGAIN, errno.EBUSY, errno.EINTR, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ETXTBSY,
    errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETUNREACH,
})  # fmt: skip


def may_pass(number: int) -> bool:
    """Whether what a system call fails for may be over soon."""
    return number in _PASSING


def name_errno(number: int) -> str | None:
    """'ENOSPC'; None where there is no such number."""
    return errno.errorcode.get(number)


def from_exit_code(exit_code: int, message: str, hint: str = "") -> EscpError:
    """Rebuild an error that a peer reported. An unknown code becomes InternalError."""
    error = _BY_EXIT_CODE.get(exit_code, InternalError)(message, hint)
    return _mark_unsafe(error) if _NOT_SAFE in message else error


_NOT_SAFE = "but not safe on its disk (--fsync)"  # by which it is known from another host


def explain_unsynced(target: bytes, sys_errno: int, *, is_remote: bool) -> EscpError:
    """A name, attribute or file that was written is lost, and nobody knows which."""
    cause = "have that disk looked at (dmesg may say more)"
    if sys_errno in (errno.ENOSPC, errno.EDQUOT):
        cause = "make room there"
    error = (RemoteFileError if is_remote else LocalFileError)(
        f"all is copied to '{os.fsdecode(target) or '.'}', {_NOT_SAFE}: {describe_errno(sys_errno)}",
        f"{cause}, then copy all of it again: --resume, --skip-unchanged, --update and --checksum leave out "
        "what seems to be there",
    )  # fmt: skip
    error.__cause__ = OSError(sys_errno, os.strerror(sys_errno))
    return _mark_unsafe(error)


def _mark_unsafe(error: EscpError) -> EscpError:
    error.is_unsafe, error.may_go_on = True, False
    return error


def describe_errno(number: int) -> str:
    """'no space left on device' for ENOSPC: the system's words, in escp's lower-case style."""
    text = os.strerror(number if number < 1 << 31 else -1)  # a peer may send any number
    return text[:1].lower() + text[1:] if not text[:2].isupper() else text


def system_error(number: int, path: str) -> OSError:
    """What the system of another host said of *path*."""
    number = number if 0 < number < 1 << 31 else errno.EIO  # as above: strerror takes no more
    return OSError(number, os.strerror(number), path)


_ANSWERS = "does that file system still answer? `dmesg` may say; it may have to be mounted anew"
# What can be done where a target can't be written to for this reason.
ERRNO_HINTS = {
    errno.ENOENT: "create the directory first: only the last one of a path is made",
    errno.EACCES: "choose a directory that you may write to",
    errno.EPERM: "choose a directory that you may write to",
    errno.ENOTDIR: "a part of that path is a file",
    errno.EISDIR: "a directory of that name is in the way",
    errno.ELOOP: "links there lead to one another: remove one of them",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENXIO: "start what reads the pipe first",
    errno.ENODEV: "is the device there, and its driver loaded?",
    errno.ETXTBSY: "it is a program that runs: end it, or choose another name",
    errno.EBUSY: "it is in use: end what uses it, or choose another name",
    errno.EINVAL: "the file system may not take such a name, or device: choose another",
    errno.EROFS: "that file system is read-only: choose another, or mount it writable",
    errno.ENOSPC: "make room there and run it again",
    errno.EDQUOT: "make room there, below your quota, and run it again",
    errno.EFBIG: "neither the file system nor `ulimit -f` may be too small for the file",
    errno.EMFILE: "raise the limit of open files (ulimit -n), or use fewer streams with -t",
    errno.ENFILE: "the whole host has too many open files: end other programs",
    errno.ENOMEM: "end other programs, raise a job's or container's limit, or use fewer streams with -t",
    errno.EIO: _ANSWERS,
    errno.EREMOTEIO: _ANSWERS,
    errno.ENOTCONN: _ANSWERS,
    errno.ECONNABORTED: _ANSWERS,
    errno.EHOSTDOWN: _ANSWERS,
    errno.EHOSTUNREACH: _ANSWERS,
    errno.ETIMEDOUT: _ANSWERS,
    errno.ESHUTDOWN: _ANSWERS,
    errno.EUCLEAN: "that file system is damaged: have it checked (fsck)",
    errno.ESTALE: "something else changes the target's names: wait for it to end, and run the copy again",
}


def explain_import(error: ImportError) -> EscpError | None:
    """What to say if *error* is that the native code, or a library that it needs, could not be loaded."""
    if not os.path.basename(error.path or "").startswith("_native."):
        return None
    return BrokenInstallationError(f"the native code of this escp can't be loaded: {error}")
