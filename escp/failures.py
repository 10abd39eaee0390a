"""Native error codes: each with its words for people, its class, and what may be done with it."""

import errno
import os

from escp.errors import (
    MAX_ERRNO,
    EscpError,
    IntegrityError,
    InternalError,
    LocalFileError,
    NetworkError,
    ProtocolError,
    RefusedError,
    describe_errno,
    may_pass,
)
from escp.lean.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

NEVER, INSTEAD, BEHIND = range(3)  # where the system's word for an errno goes, beside a code's own


class FailureKind(Record):
    """What is known of one code. `NO_KIND` stands for numbers that are no code."""

    error: type[EscpError]  # when it ends the session
    words: str
    hint: str | None = None  # None: the class's
    says_errno: int = NEVER
    names_call: bool = False  # when it ends the session, the words end with the call that failed
    is_result: bool = True  # a receiver may answer it for a file (docs/protocol.md 7)


FAILURES: dict[int, FailureKind] = {}
NO_KIND = FailureKind(InternalError, "", is_result=False)


def _code(
    number: int, error: type[EscpError], words: str, *, hint: str | None = None,
    says_errno: int = NEVER, names_call: bool = False, is_result: bool = True,
) -> int:  # fmt: skip
    FAILURES[number] = FailureKind(error, words, hint, says_errno, names_call, is_result)
    return number


# Every code of `fast_code` in _fast/base/types.pxd has its line here, and nowhere else.
FAST_SYS = _code(1, LocalFileError, "", says_errno=INSTEAD)
FAST_NET = _code(2, NetworkError, "the connection was lost", says_errno=INSTEAD, names_call=True,
                 hint="check the network between the hosts, and run the copy again")  # fmt: skip
FAST_AUTH = _code(3, IntegrityError, "a frame was not what the peer sealed", names_call=True)
FAST_PROTOCOL = _code(4, ProtocolError, "the peer broke the protocol", names_call=True)
FAST_DIGEST = _code(5, IntegrityError, "what arrived is not what was read: the digests differ")
FAST_CHANGED = _code(6, LocalFileError, "the source changed while it was read")
FAST_UNSAFE = _code(7, RefusedError, "refused: the path leads over a link, or out of the destination")
FAST_LOOP = _code(8, LocalFileError, "a link loop: it leads to a directory above itself")
FAST_SPECIAL = _code(9, LocalFileError, "not a regular file")
FAST_STOPPED = _code(10, InternalError, "stopped")
FAST_MEMORY = _code(11, LocalFileError, "out of memory",
                    hint="use fewer streams with -t, or smaller blocks with --blocksize")  # fmt: skip
FAST_KEY_LIMIT = _code(12, InternalError, "no key is left for this stream")
FAST_NEEDS_RECURSIVE = _code(13, LocalFileError, "is a directory (use -r to copy it)")
FAST_NAME = _code(14, LocalFileError, "the name is too long")
FAST_SAME_FILE = _code(15, LocalFileError, "source and target are the same file")
FAST_INTO_ITSELF = _code(16, LocalFileError, "a directory can't be copied into itself")
FAST_XATTR = _code(17, LocalFileError, "its extended attributes can't be kept", says_errno=BEHIND)
FAST_ACL = _code(18, LocalFileError, "its access control list can't be kept", says_errno=BEHIND)
FAST_OWNER = _code(19, LocalFileError, "its owner can't be kept", says_errno=BEHIND)
FAST_HARD_LINK = _code(20, LocalFileError, "the file to which it is a hard link was not copied")
# Of a receiver that was told what to expect.
FAST_ABSENT = _code(21, ProtocolError, "it was offered, and then said not to come", is_result=False)
FAST_MISSING = _code(22, ProtocolError, "what was offered for it never came", is_result=False)
FAST_GONE = _code(23, LocalFileError, "the target is gone", says_errno=BEHIND, is_result=False)
FAST_FORBIDDEN = _code(24, RefusedError, "that host's rules forbid it (its /etc/escp.conf, or --restrict)")

# What of a source changed, by FAST_CHANGED's *where* (_fast/send/send_state.pyx).
CHANGES = {
    "size": "the source changed while it was read: its size is another one now",
    "time": "the source changed while it was read: its modification time is another one now",
    "status": "the source changed while it was read: its change time is another one now",
    "short": "it ends before the size that its file system tells",
    "remove": "copied, but not removed: it has changed since it was read",
    "again": "what a lost connection had not brought can't be read again: it was a program's memory",
    "long": "it goes on behind the size that its file system tells",
}

# Of memory that another program shares (docs/shmem.md): FAST_SYS by its errno, where *where* is one of these.
SEGMENT, CLIENT = "segment", "client"
SHARED = {
    errno.EINVAL: "it is no segment that a program shares with escp, or one for the other direction",
    errno.EACCES: "it is another user's, or its mode is not 0600",
    errno.EPROTONOSUPPORT: "its segment is of another version of the layout",
    errno.EBUSY: "its segment is another copy's, or was",
    errno.EIO: "the program that shares it has taken memory away",
    errno.EOWNERDEAD: "the program that shares it has died, or has ended before its time",
    errno.ECANCELED: "the program that shares it gave up",
}

# FAST_DIGEST with an error number: of --verify.
READ_BACK = "what the target's disk gave back is not what was written to it: the digests differ"
# With this one: of a program's expected_digest.
UNEXPECTED = "its contents are not those that were expected: it has another digest"

# The file is there, but lacks attributes that were to be kept: FAST_LACKS, plus 1 for the first of these, 2
# for the second, 4 for the third, and so on.
FAST_LACKS = 32
_ATTRIBUTES = ("owner", "extended attributes", "access control list", "mode", "times")


def _list_lacking(kinds: int) -> str:
    *first, last = (name for i, name in enumerate(_ATTRIBUTES) if kinds >> i & 1)
    return f"{', '.join(first)} and {last}" if first else last


for _kinds in range(1, FAST_LACKS):
    _words = f"copied, but its {_list_lacking(_kinds)} can't be kept there"
    _code(FAST_LACKS + _kinds, LocalFileError, _words, says_errno=BEHIND)

# Going on would only repeat these for every file that is left.
FULL_DISK_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})

_CUT_ERRNOS = frozenset({errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED})

# Calls that wait for any file or stream: when they fail, that is not about one file.
_WAITING = frozenset({"io_getevents", "poll"})

# What a peer may say of a failure.
MAX_WHERE = 64  # characters: names of calls
MAX_FAILED_BYTES = 8448  # two paths, as in _fast/base/events.pxd


class Failure:
    """What native code reported (`fast_err`), as a sentence about one file or one connection."""

    def __init__(
        self, code: int, sys_errno: int, where: str, twins: "Sequence[bytes]" = (), *, stream: int = -1
    ):
        """*stream*: the stream that met it, counted from 0, where it ended a plane.

        *twins*: a source that was not copied, and the source that has its name.
        """
        self.code = code
        self.stream = stream
        self.sys_errno = sys_errno
        self.where = where
        self.twins = twins
        self._kind = FAILURES.get(code, NO_KIND)

    @property
    def is_kept(self) -> bool:
        """Whether the file is there, and only lacks attributes that were to be kept."""
        return self.code >= FAST_LACKS

    @property
    def is_passing(self) -> bool:
        """The same file may be copied a little later."""
        if self.code == FAST_DIGEST:
            return self.sys_errno != errno.EBADMSG
        return self.code == FAST_CHANGED or (self.code == FAST_SYS and may_pass(self.sys_errno))

    @property
    def is_closed(self) -> bool:
        """Of a connection: the other side's system ended it, which lives and can be reached."""
        return self.code == FAST_NET and self.sys_errno in (0, errno.ECONNRESET, errno.EPIPE)

    @property
    def is_about_twins(self) -> bool:
        """Whether another source of this copy has the name at the target: nothing else fails with EEXIST."""
        return self.code == FAST_SYS and self.sys_errno == errno.EEXIST

    @property
    def reason(self) -> str:
        """'no space left on device', 'the source changed while it was read', ..."""
        if self.is_about_twins:
            if not self.twins:
                return "not copied: this copy has given the name to another source"
            own, other = map(os.fsdecode, self.twins)
            return f"'{own}' was not copied: this copy has given the name to '{other}'"
        if self.where == "remove" and self.sys_errno == errno.ELOOP:
            return "copied, but not removed: a link below the source leads to it"
        if self.where == "remove" and self.sys_errno:
            return f"copied, but it can't be removed: {describe_errno(self.sys_errno)}"
        if self.code == FAST_SYS and (
            self.where in (SEGMENT, CLIENT)
            or (self.where == "write" and self.sys_errno in (errno.EOWNERDEAD, errno.ECANCELED))  # a peer's
        ):
            return SHARED.get(self.sys_errno) or describe_errno(self.sys_errno)
        words = self._kind.words if self._kind is not NO_KIND else f"unknown failure {self.code}"
        if self.sys_errno and (not words or self._kind.says_errno == INSTEAD):
            return describe_errno(self.sys_errno)
        if self.code == FAST_DIGEST and self.sys_errno:
            return UNEXPECTED if self.sys_errno == errno.EBADMSG else READ_BACK
        if self.code == FAST_CHANGED:
            return CHANGES.get(self.where, words)
        if self.sys_errno and self._kind.says_errno == BEHIND:
            return f"{words}: {describe_errno(self.sys_errno)}"
        return words or f"can't {self.where}"

    @property
    def cut(self) -> str:
        """Which connection was lost, and how, in front of the system's word for it."""
        if self.code != FAST_NET or self.stream < 0:
            return ""
        which = f"stream {self.stream + 1}"
        if self.sys_errno in _CUT_ERRNOS:
            return f"{which} was cut off, by the other side or on the way"
        if self.sys_errno == errno.ETIMEDOUT:
            return f"{which} stood still for too long"
        return f"{which} was lost"

    def as_error(self, what: str) -> EscpError:
        """The failure as an exception about *what*, with the system's error as its cause."""
        names_call = self._kind.names_call or self.where in _WAITING
        where = f" ({self.where})" if self.where and names_call else ""
        what = f"{what}: {cut}" if (cut := self.cut) else what
        error = self._kind.error(f"{what}: {self.reason}{where}", self._kind.hint)
        if self.sys_errno:
            error.__cause__ = OSError(self.sys_errno, os.strerror(self.sys_errno))
        return error


def is_failure(path: bytes, code: int, sys_errno: int, where: str) -> bool:
    """Whether a peer may say this of a path: it is what `Failure` can put in words."""
    is_text = len(where) <= MAX_WHERE and where.isascii() and where.isprintable()
    return is_text and code in FAILURES and sys_errno <= MAX_ERRNO and len(path) <= MAX_FAILED_BYTES
