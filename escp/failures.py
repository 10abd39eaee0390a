"""Native error codes in words: what a plane says of a file, for people."""

import errno
import os

from escp.errors import (
    EscpError,
    IntegrityError,
    InternalError,
    LocalFileError,
    NetworkError,
    ProtocolError,
    RefusedError,
    describe_errno,
)

FAST_SYS, FAST_NET, FAST_AUTH, FAST_PROTOCOL, FAST_DIGEST, FAST_CHANGED, FAST_UNSAFE = range(1, 8)
FAST_LOOP, FAST_SPECIAL, FAST_STOPPED, FAST_MEMORY, FAST_KEY_LIMIT, FAST_NEEDS_RECURSIVE, FAST_NAME = range(
    8, 15
)
FAST_SAME_FILE, FAST_INTO_ITSELF, FAST_XATTR, FAST_ACL, FAST_OWNER, FAST_HARD_LINK = range(15, 21)
FAST_ABSENT, FAST_MISSING = range(21, 23)


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


def is_failure(path: bytes, code: int, sys_errno: int, where: str) -> bool:
    """Whether these, of a peer, are what `Failure` knows about a path."""
    is_text = len(where) <= MAX_WHERE and where.isascii() and where.isprintable()
    return is_text and code in FAILURES and sys_errno <= MAX_ERRNO and len(path) <= MAX_FAILED_BYTES


MAX_WHERE = 64  # characters: names of calls


MAX_FAILED_BYTES = 8448  # two paths, as in _fast/events.pxd


MAX_ERRNO = 4095  # of Linux
