"""What came of a copy, as the initiator sees it: counters, the account of each end, and files that failed."""

import errno
import os

from escp.control.messages import Progress, Result
from escp.errors import (
    ERRNO_HINTS,
    EscpError,
    IntegrityError,
    LocalFileError,
    ReaderGoneError,
    RefusedError,
    RemoteFileError,
)
from escp.failures import (
    FAST_ABSENT,
    FAST_DIGEST,
    FAST_MISSING,
    FAST_SPECIAL,
    FAST_SYS,
    FAST_UNSAFE,
    FULL_DISK_ERRNOS,
    READ_BACK,
    UNEXPECTED,
    Failure,
)
from escp.jobs.accounts import Accounts
from escp.options.location import Location
from escp.options.options import Options
from escp.streams.receiveend import ReceiveEnd
from escp.streams.sendend import SendEnd
from escp.ui.events import Events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from escp.remote.agentlink import AgentLink

# What a shell makes of <(COMMAND), and what stands for standard input elsewhere.
_DESCRIPTORS = (b"/dev/fd/", b"/dev/stdin", b"/proc/self/fd/")
# Why a new file may not take the name of one that is there.
_RENAME_ERRNOS = frozenset({errno.EBUSY, errno.EACCES, errno.EPERM})


class Tally:
    """*origin*: the sources' host, None for this one. Each end is one here, or an agent."""

    def __init__(self, options: Options, origin: Location | None, watcher: Events):
        self.progress: Progress | None = None  # the sending agent's last word
        self._target = options.target
        self._has_filelist = options.filelist is not None
        self._is_dry_run = options.is_dry_run
        self._is_product = options.writes_standard_output
        self._is_inplace = options.is_inplace
        self._compares_digests = options.compares_digests
        self._origin_host = origin.host if origin else None
        self.accounts = Accounts(
            _name_end(self._origin_host), _name_end(self._target.host),
            may_leave_out=bool(options.min_bytes or options.below_bytes),
        )  # fmt: skip
        self.hears_absent = False  # the sender tells of accepted names that don't come
        self._watcher = watcher
        self._n_told = 0  # files that failed
        self._n_refused = 0  # sources that were not even tried
        self._failed_codes: set[int] = set()
        self._digest_reasons: set[str] = set()  # of those whose digest is wrong
        self._n_lacking: dict[str, int] = {}
        self._results: dict[AgentLink | SendEnd | ReceiveEnd, Result | None] = {}  # None until it is done

    def expect(self, end: "AgentLink | SendEnd | ReceiveEnd") -> None:
        """The copy is not finished before that end has given its account."""
        self._results[end] = None

    def close(self, end: "AgentLink | SendEnd | ReceiveEnd", result: Result) -> None:
        self._results[end] = result

    def settle(
        self, send_end: "AgentLink | SendEnd | None", receive_end: "AgentLink | ReceiveEnd | None"
    ) -> None:
        """All accounts are there. Raises AccountsError or ProtocolError where they don't agree."""
        sent = self._results.get(send_end) if send_end else None
        received = self._results.get(receive_end) if receive_end else None
        assert sent is not None and received is not None
        for name in self.accounts.find_unexplained():
            self._tell_missing(name)
        if not isinstance(send_end, SendEnd):
            self.accounts.check_agent(sent, is_dry_run=self._is_dry_run)
        self.accounts.compare(
            sent, received, is_dry_run=self._is_dry_run, compares_digests=self._compares_digests
        )

    @property
    def is_finished(self) -> bool:
        return bool(self._results) and all(result is not None for result in self._results.values())

    @property
    def first_failure(self) -> EscpError | None:
        """What the exit status is about when files failed for a reason worse than 'some failed'."""
        if FAST_DIGEST in self._failed_codes:
            fate = "may be wrong" if self._is_inplace else "were not kept"
            what, hint = "what arrived is not what was read", None
            if READ_BACK in self._digest_reasons:
                what = "the target's disk gave back something else"
            elif self._digest_reasons == {UNEXPECTED}:
                what, hint = "what was read is not what was expected", "has the source another version of it?"
            return IntegrityError(f"{what}; the files named above {fate}", hint)
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
        """One file could not be read, sent or written; raises when no other can be written either.

        Or it did not come, as the receiving end says.
        """
        if failure.code == FAST_ABSENT or (failure.code == FAST_MISSING and not self.hears_absent):
            self.accounts.tell_absent(path)
            return
        if failure.code == FAST_MISSING:
            self._tell_missing(path)
            return
        host = self._target.host if is_receiver else self._origin_host
        if is_receiver:
            path = self._target.below(path)
            if self._is_product and failure.code == FAST_SYS and failure.sys_errno == errno.EPIPE:
                raise ReaderGoneError
            if failure.code == FAST_SYS and failure.sys_errno in FULL_DISK_ERRNOS:
                shown = f"{host}:{os.fsdecode(path)}" if host else os.fsdecode(path)
                cls = RemoteFileError if host else LocalFileError
                error = cls(f"{shown}: {failure.reason}", ERRNO_HINTS[failure.sys_errno])
                raise error from OSError(failure.sys_errno, os.strerror(failure.sys_errno))
        self._failed_codes.add(failure.code)
        if failure.code == FAST_DIGEST:
            self._digest_reasons.add(failure.reason)
        self._n_told += 1
        if failure.is_kept:  # what a file system can't keep it can't for all of them
            self._n_lacking[failure.reason] = self._n_lacking.get(failure.reason, 0) + 1
            if self._n_lacking[failure.reason] > 1:
                return
        self._watcher.file_error(
            path, self._explain(failure, path, is_receiver=is_receiver), host=host,
            sys_errno=failure.sys_errno, is_passing=failure.is_passing,
        )  # fmt: skip

    def _explain(self, failure: Failure, path: bytes, *, is_receiver: bool) -> str:
        """The reason, and what is to be said of a name in a list, or because of --inplace."""
        reason = failure.reason
        if self._has_filelist and not is_receiver and failure.sys_errno == errno.ENOENT:
            from escp.names.filelist import explain_name  # lazy: few have a list

            return reason + explain_name(path)
        if failure.code == FAST_SPECIAL and not is_receiver and path.startswith(_DESCRIPTORS):
            return f"{reason} (- as the source is standard input: escp - TARGET <FILE)"
        if failure.code == FAST_DIGEST and self._is_inplace:
            return f"{reason}, and --inplace may have written it over what was there"
        is_in_the_way = failure.code == FAST_SYS and failure.sys_errno in _RENAME_ERRNOS
        if is_in_the_way and is_receiver and not self._is_inplace:
            return f"{reason} (--inplace would write into a file that is there)"
        return reason

    def tell_lacking(self) -> None:
        """Say how many more files lack what was reported of the first one only."""
        for reason, n in self._n_lacking.items():
            if n > 1:
                self._watcher.warn(f"{n - 1:,} more were {reason}")
        self._n_lacking.clear()

    def _tell_missing(self, path: bytes) -> None:
        self._n_told += 1
        path = self._target.below(path)
        message = f"what {self._origin_host} offered for it never came"
        self._watcher.file_error(path, message, host=self._target.host)

    def counters(
        self, send_end: "AgentLink | SendEnd | None", receive_end: "AgentLink | ReceiveEnd | None"
    ) -> dict[str, int]:
        """As SendPlane.counters(), wherever the sending plane is; at the end what the receiver counted."""
        counts = dict.fromkeys(Progress._fields, 0)
        if isinstance(send_end, SendEnd):
            counts.update(send_end.counters())
        elif self.progress is not None:
            counts.update(self.progress._asdict())
        if isinstance(receive_end, ReceiveEnd) and receive_end.plane is not None:
            own = receive_end.counters()
            del own["skipped"]  # with digests the sender decides
            own["failed"] = max(own["failed"], counts["failed"])  # the sender hears of both sides'
            if isinstance(send_end, SendEnd) or self._is_dry_run:  # nothing comes in a dry run
                own = {name: own[name] for name in ("bytes_disk", "failed")}
            counts.update(own)
        received = self._find_account(receive_end)
        if received is not None and not self._is_dry_run:
            counts.update(_describe(received, is_measured_here=isinstance(send_end, SendEnd)))
        sent = self._find_account(send_end)
        if sent is not None and sent.skipped >= 0:
            counts["skipped"] = sent.skipped
        done = [result.failed for result in self._results.values() if result is not None]
        counts["failed"] = max(counts["failed"], self._n_told, *done) + self._n_refused
        return counts

    def _find_account(self, end: "AgentLink | SendEnd | ReceiveEnd | None") -> Result | None:
        """What *end* has said at its end, if it is an agent."""
        return None if end is None or isinstance(end, SendEnd | ReceiveEnd) else self._results.get(end)


def _describe(result: Result, *, is_measured_here: bool) -> dict[str, int]:
    """The counters on which a receiving agent has the last word: all but those that a plane here measured."""
    names = ["files", "directories", "bytes", "bytes_disk"]
    if not is_measured_here:
        names += ["bytes_network", "bytes_compressed"]
    counts = {name: n for name, n in result._asdict().items() if name in names}
    if result.data_ns >= 0 and not is_measured_here:
        counts.update(first_ns=0, last_ns=result.data_ns)
    return counts


def _name_end(host: str | None) -> str:
    return f"the escp on {host}" if host else "this escp"
