"""What a program is told of a copy: how far it is, and what came of it."""

import os
from dataclasses import dataclass

from escp.errors import EscpError, SomeFailedError
from escp.ui.progress import Snapshot as Progress
from escp.ui.progress import Summary

__all__ = ["MAX_FAILED", "Failed", "Progress", "Result", "make_result"]

MAX_FAILED = 10_000  # of those that failed so many are named; `Result.n_failed` counts all


@dataclass(frozen=True, slots=True)
class Failed:
    """One file that was not copied, or not as asked for. os.fsencode(path) gives its bytes."""

    path: str  # at the target where writing failed, of the source where reading did
    reason: str
    host: str | None  # where that is; None: this one
    errno: int  # of the system there; 0: it was none
    is_retryable: bool  # another copy may do it


@dataclass(frozen=True, slots=True)
class Result:
    """Of a copy that ran to its end."""

    files: int  # that were copied; with dry_run, that would have been
    directories: int
    bytes: int
    seconds: float  # the whole call, with the login
    data_seconds: float  # from the first to the last byte of data
    rate: float  # bytes a second of the latter; 0.0 where nothing was measured
    verified: bool | None  # None: nothing was compared (nochecksum, dry_run)
    n_skipped: int  # that were at the target already
    n_failed: int
    failed: tuple[Failed, ...]  # the first MAX_FAILED of them
    listed: tuple[str, ...]  # with dry_run: their paths at the target
    deleted: tuple[str, ...]  # with delete: what only the target had
    warnings: tuple[str, ...]
    error: EscpError | None  # what the command's exit status would be about, where it is not 0 or 1

    @property
    def ok(self) -> bool:
        """Everything that was asked for is there."""
        return self.error is None and not self.n_failed

    def check(self) -> None:
        """Raises what kept anything from being copied: `error`, or of the first file what its system said."""
        if self.error is not None:
            raise self.error
        if not self.n_failed:
            return
        if not self.failed:
            raise SomeFailedError(f"{self.n_failed} files were not copied")
        one = self.failed[0]
        if one.errno:
            raise OSError(one.errno, one.reason, one.path)
        raise SomeFailedError(f"{one.host or 'here'}: {one.path}: {one.reason}")


def make_result(
    summary: Summary,
    failed: list[Failed],
    listed: list[bytes],
    deleted: list[bytes],
    warnings: list[str],
    error: EscpError | None,
) -> Result:
    return Result(
        files=summary.files,
        directories=summary.directories,
        bytes=summary.bytes,
        seconds=summary.seconds,
        data_seconds=summary.data_seconds,
        rate=summary.rate_bytes_per_s,
        verified=summary.is_verified,
        n_skipped=summary.n_skipped,
        n_failed=summary.n_failed,
        failed=tuple(failed),
        listed=tuple(map(os.fsdecode, listed)),
        deleted=tuple(map(os.fsdecode, deleted)),
        warnings=tuple(warnings),
        error=error,
    )
