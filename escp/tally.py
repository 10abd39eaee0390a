"""What came of a copy, as the initiator sees it: counters, the account of each end, and files that failed."""

import os

from escp.agentlink import AgentLink
from escp.control import Progress, Result
from escp.ends import ReceiveEnd, SendEnd
from escp.errors import (
    FAST_DIGEST,
    FAST_SYS,
    FAST_UNSAFE,
    FULL_DISK_ERRNOS,
    EscpError,
    Failure,
    IntegrityError,
    LocalFileError,
    RefusedError,
    RemoteFileError,
)
from escp.location import Location
from escp.options import Options
from escp.watcher import Watcher

_IN_COUNTERS = Result(0, 0, 0, 0, 0, 0, 0)  # of an end that is here: its account is in its counters


class Tally:
    """*origin*: the sources' host, None for this one. Each end is one here, or an agent."""

    def __init__(self, options: Options, origin: Location | None, watcher: Watcher):
        self.progress: Progress | None = None  # the sending agent's last word
        self._target = options.target
        self._is_dry_run = options.is_dry_run
        self._origin_host = origin.host if origin else None
        self._watcher = watcher
        self._n_told = 0  # files that failed
        self._n_refused = 0  # sources that were not even tried
        self._failed_codes: set[int] = set()
        self._results: dict[AgentLink | SendEnd | ReceiveEnd, Result | None] = {}  # None until it is done

    def expect(self, end: AgentLink | SendEnd | ReceiveEnd) -> None:
        """The copy is not finished before that end has given its account."""
        self._results[end] = None

    def close(self, end: AgentLink | SendEnd | ReceiveEnd, result: Result = _IN_COUNTERS) -> None:
        self._results[end] = result

    @property
    def is_finished(self) -> bool:
        return bool(self._results) and all(result is not None for result in self._results.values())

    @property
    def first_failure(self) -> EscpError | None:
        """What the exit status is about when files failed for a reason worse than 'some failed'."""
        if FAST_DIGEST in self._failed_codes:
            return IntegrityError("what arrived is not what was read; the files named above were not kept")
        if FAST_UNSAFE in self._failed_codes:
            return RefusedError(
                f"{self._target.host or 'this escp'} refused to write outside the destination",
                "where a link is in the way, remove it, or copy to it by name: LINK/ as the target",
            )
        return None

    def refuse(self, source: bytes, error: EscpError) -> None:
        """A source that can't even be tried."""
        self._watcher.file_error(source, str(error), host=None)
        self._n_refused += 1

    def fail_file(self, failure: Failure, path: bytes, *, is_receiver: bool) -> None:
        """One file could not be read, sent or written; raises when no other can be written either."""
        host = self._target.host if is_receiver else self._origin_host
        if is_receiver:
            target = self._target.path
            path = os.path.join(target, path) if path else target
            if failure.code == FAST_SYS and failure.sys_errno in FULL_DISK_ERRNOS:
                shown = f"{host}:{os.fsdecode(path)}" if host else os.fsdecode(path)
                cls = RemoteFileError if host else LocalFileError
                error = cls(f"{shown}: {failure.reason}", "make room there and run it again")
                raise error from OSError(failure.sys_errno, os.strerror(failure.sys_errno))
        self._failed_codes.add(failure.code)
        self._n_told += 1
        self._watcher.file_error(path, failure.reason, host=host)

    def counters(
        self, send_end: SendEnd | None, receive_end: ReceiveEnd | None, receive_agent: AgentLink | None
    ) -> dict[str, int]:
        """As SendPlane.counters(), wherever the sending plane is; what was written here was counted here."""
        counts = dict.fromkeys(Progress._fields, 0)
        if send_end is not None:
            counts.update(send_end.counters())
        elif self.progress is not None:
            counts.update(self.progress._asdict())
        if receive_end is not None and receive_end.plane is not None:
            own = receive_end.counters()
            own["failed"] = max(own["failed"], counts["failed"])  # the sender hears of both sides'
            if send_end is not None or self._is_dry_run:  # nothing comes in a dry run
                own = {name: own[name] for name in ("bytes_disk", "failed")}
            counts.update(own)
        result = self._results.get(receive_agent) if receive_agent else None
        if result is not None:
            counts["bytes_disk"] = result.bytes_disk
        done = [result.failed for result in self._results.values() if result is not None]
        counts["failed"] = max(counts["failed"], self._n_told, *done) + self._n_refused
        return counts
