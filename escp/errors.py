"""Every way escp fails: one class each, with its exit code and a hint for the user.

The exit codes are documented in the README and are part of the command line's contract.
Only `cli` turns them into an exit status; nothing here prints.
"""

import errno
import os

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
EXIT_SIGNAL_BASE = 128

# What `--help` and escp.1 say of each.
EXIT_MEANINGS: dict[int | str, str] = {
    EXIT_OK: "every file was copied and verified",
    EXIT_SOME_FAILED: "finished, but some files failed (--doctor: there is a problem)",
    EXIT_USAGE: "wrong usage or configuration",
    EXIT_INTERNAL: "internal error",
    EXIT_SSH: "ssh failed",
    EXIT_AGENT: "the remote escp is missing or of another version",
    EXIT_INTEGRITY: "wrong key, something changed on the way, or both ends' accounts differ",
    EXIT_NETWORK: "network lost, blocked or timed out",
    EXIT_LOCAL_FS: "error of the local file system",
    EXIT_REMOTE_FS: "error of the remote file system",
    EXIT_REFUSED: "target refused: unsafe, or not what the command needs",
    f"{EXIT_SIGNAL_BASE}+n": "ended by signal n",
}


class EscpError(Exception):
    """Base of all errors that a user can meet; `str()` is one sentence without a full stop."""

    exit_code = EXIT_INTERNAL
    hint = ""
    is_retryable = False  # the same command may succeed (docs/json.md)

    def __init__(self, message: str, hint: str | None = None):
        super().__init__(message)
        if hint is not None:
            self.hint = hint


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


class IntegrityError(EscpError):
    """A tag, a sequence number or a digest was wrong: nothing that failed a check was kept."""

    exit_code = EXIT_INTEGRITY
    hint = "run the copy again; if it happens twice, test the memory and disks of both hosts"
    is_retryable = True


class AccountsError(IntegrityError):
    """Both ends finished, and don't agree on what was copied. All of it was verified, and kept."""

    hint = "look at what arrived before you trust it: is one of these hosts not to be trusted?"
    is_retryable = False


class ProtocolError(IntegrityError):
    """The peer proved the key and then sent what the protocol forbids."""

    hint = "both ends should run the same release: compare `escp --version` on each"


class NetworkError(EscpError):
    exit_code = EXIT_NETWORK
    is_retryable = True
    hint = "the data ports (1232-1242 by default, see --escp_port) must be open to the remote host"


class LocalFileError(EscpError):
    exit_code = EXIT_LOCAL_FS


class RemoteFileError(EscpError):
    exit_code = EXIT_REMOTE_FS


class RefusedError(EscpError):
    """The destination is unsafe or not what the command needs."""

    exit_code = EXIT_REFUSED


class InterruptedBySignal(EscpError):
    is_retryable = True

    def __init__(self, signal_number: int):
        super().__init__(f"ended by signal {signal_number}")
        self.exit_code = EXIT_SIGNAL_BASE + signal_number


_BY_EXIT_CODE = {
    cls.exit_code: cls
    for cls in (SomeFailedError, UsageError, InternalError, SshError, AgentError, IntegrityError,
                NetworkError, LocalFileError, RemoteFileError, RefusedError)
}  # fmt: skip


def from_exit_code(exit_code: int, message: str, hint: str = "") -> EscpError:
    """Rebuild an error that a peer reported. An unknown code becomes InternalError."""
    return _BY_EXIT_CODE.get(exit_code, InternalError)(message, hint)


def describe_errno(number: int) -> str:
    """'no space left on device' for ENOSPC: the system's words, in escp's lower-case style."""
    text = os.strerror(number if number < 1 << 31 else -1)  # a peer's may be any
    return text[:1].lower() + text[1:] if not text[:2].isupper() else text


def is_failure(path: bytes, code: int, sys_errno: int, where: str) -> bool:
    """Whether these, of a peer, are what `Failure` knows about a path."""
    is_text = len(where) <= MAX_WHERE and where.isascii() and where.isprintable()
    return is_text and code in FAILURES and sys_errno <= MAX_ERRNO and len(path) <= MAX_FAILED_BYTES


def explain_import(error: ImportError) -> EscpError | None:
    """What to say if *error* is that the native code, or a library that it needs, could not be loaded."""
    if not os.path.basename(error.path or "").startswith("_native."):
        return None
    return BrokenInstallationError(f"the native code of this escp can't be loaded: {error}")


def explain_limit(error: OSError) -> tuple[str, str] | None:
    """What to say, and its hint, if *error* is that no more files, sockets among them, may be open."""
    if error.errno not in (errno.EMFILE, errno.ENFILE):
        return None
    hint = "raise that limit, or use fewer streams with -t"
    limit = os.sysconf("SC_OPEN_MAX")  # not of the module `resource`: it may be a file that can't be opened
    return f"too many open files: the limit is {limit} for a process (ulimit -n)", hint


FAST_SYS, FAST_NET, FAST_AUTH, FAST_PROTOCOL, FAST_DIGEST, FAST_CHANGED, FAST_UNSAFE = range(1, 8)
FAST_LOOP, FAST_SPECIAL, FAST_STOPPED, FAST_MEMORY, FAST_KEY_LIMIT, FAST_NEEDS_RECURSIVE, FAST_NAME = range(
    8, 15
)
FAST_SAME_FILE, FAST_INTO_ITSELF, FAST_XATTR, FAST_ACL, FAST_OWNER, FAST_HARD_LINK = range(15, 21)
FAST_ABSENT, FAST_MISSING = range(21, 23)


MAX_WHERE = 64  # characters: names of calls
MAX_FAILED_BYTES = 8448  # two paths, as in _fast/events.pxd
MAX_ERRNO = 4095  # of Linux


class Failure:
    """What native code reported (`fast_err`), as a sentence about one file or one connection."""

    def __init__(self, code: int, sys_errno: int, where: str):
        self.code = code
        self.sys_errno = sys_errno
        self.where = where

    @property
    def reason(self) -> str:
        """'no space left on device', 'the source changed while it was read', ..."""
        _, text = FAILURES.get(self.code, (InternalError, f"unknown failure {self.code}"))
        if self.sys_errno and (not text or self.code in (FAST_SYS, FAST_NET)):
            return describe_errno(self.sys_errno)
        if self.sys_errno and self.code in (FAST_XATTR, FAST_ACL, FAST_OWNER):
            return f"{text}: {describe_errno(self.sys_errno)}"
        return text or f"can't {self.where}"

    def as_error(self, what: str) -> EscpError:
        """The failure as an exception about *what*, with the system's error as its cause."""
        cls, _ = FAILURES.get(self.code, (InternalError, ""))
        names_call = self.where and self.code in (FAST_AUTH, FAST_PROTOCOL, FAST_NET)
        where = f" ({self.where})" if names_call else ""
        hint = (
            "check the network between the hosts, and run the copy again" if self.code == FAST_NET else None
        )
        error = cls(f"{what}: {self.reason}{where}", hint)
        if self.sys_errno:
            error.__cause__ = OSError(self.sys_errno, os.strerror(self.sys_errno))
        return error


# Going on would only repeat these for every file that is left.
FULL_DISK_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})

# Every code of `fast_code` in _fast/types.pxd: its class when it ends the session, and its words.
FAILURES: dict[int, tuple[type[EscpError], str]] = {
    FAST_SYS: (LocalFileError, ""),
    FAST_NET: (NetworkError, "the connection was lost"),
    FAST_AUTH: (IntegrityError, "a frame was not what the peer sealed"),
    FAST_PROTOCOL: (ProtocolError, "the peer broke the protocol"),
    FAST_DIGEST: (IntegrityError, "what arrived is not what was read: the digests differ"),
    FAST_CHANGED: (LocalFileError, "the source changed while it was read"),
    FAST_UNSAFE: (RefusedError, "refused: the path leads over a link, or out of the destination"),
    FAST_LOOP: (LocalFileError, "a link loop: it leads to a directory above itself"),
    FAST_SPECIAL: (LocalFileError, "not a regular file"),
    FAST_STOPPED: (InternalError, "stopped"),
    FAST_MEMORY: (InternalError, "out of memory"),
    FAST_KEY_LIMIT: (InternalError, "no key is left for this stream"),
    FAST_NEEDS_RECURSIVE: (LocalFileError, "is a directory (use -r to copy it)"),
    FAST_NAME: (LocalFileError, "the name is too long"),
    FAST_SAME_FILE: (LocalFileError, "source and target are the same file"),
    FAST_INTO_ITSELF: (LocalFileError, "a directory can't be copied into itself"),
    FAST_XATTR: (LocalFileError, "its extended attributes can't be kept"),
    FAST_ACL: (LocalFileError, "its access control list can't be kept"),
    FAST_OWNER: (LocalFileError, "its owner can't be kept"),
    FAST_HARD_LINK: (LocalFileError, "the file to which it is a hard link was not copied"),
    FAST_ABSENT: (ProtocolError, "it was offered, and then said not to come"),
    FAST_MISSING: (ProtocolError, "what was offered for it never came"),
}
