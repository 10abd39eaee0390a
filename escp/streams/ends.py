"""The sending and the receiving end of a session, as far as they run in this process: a plane each.

Both ends of a copy use them: the initiator for what is here, the agent for what is there.
"""

import os

from escp._fast.files.filter import find_excluded as find_excluded  # for jobs
from escp._fast.planes.plane import CUT, FATAL, FILE_FAILED, FINISHED, ITEM, LISTED, PART, RESUMED, ROOM
from escp._fast.planes.receive_plane import ReceivePlane
from escp._fast.planes.send_plane import SendPlane, link_local
from escp.control.messages import Receive, Result, Send
from escp.errors import ProtocolError, RefusedError
from escp.failures import FAST_GONE, FAST_SYS, Failure
from escp.lean.eventloop import EventLoop
from escp.names.destination import (
    Destination,
    check_proc,
    check_rights,
    explain_death,
    explain_unsynced,
    open_destination,
)
from escp.names.landing import SourceOrder
from escp.process.limits import share_for_receiver, share_for_sender

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from escp.names.inventory import Source
    from escp.options.options import Options
    from escp.streams.endlistener import Listener
    from escp.streams.record import JobRecord
    from escp.streams.streams import Streams


SYNC_NAMES = "sync names"  # where the end of a copy with --fsync fails
MAX_LOOKS = 100  # each lists directories


class SendEnd:
    """Reads and sends what `add` names. *n_streams* and *block_bytes* as agreed with the other end."""

    fault_offset = -1  # tests: see SendPlane

    def __init__(
        self,
        wanted: Send,
        *,
        n_streams: int,
        block_bytes: int,
        loop: EventLoop,
        listener: "Listener",
        direct_bytes: int = 0,
        is_local: bool = False,
        limit_bytes_per_s: int = 0,
        reconnects: bool = False,
    ):
        """*is_local*: the receiver is here, too; *limit_bytes_per_s* is for that, sockets have their own.

        Raises ProtocolError when *wanted* holds what this escp does not offer, OSError when too few files
        may be open here.
        """
        from collections import deque  # not at the top: a receiver needs none

        self._loop = loop
        self._listener = listener
        self._order = SourceOrder()
        self._sources: list[tuple[bytes, bytes]] = []  # as far as they are remembered
        self.wanted = wanted
        self.identified: list[Source] = []  # with --delete: all of them
        self._n_looks = 0  # for sources that were to get one name
        self._waiting: deque[tuple[bytes, bytes, bool, bool]] = deque()
        self._is_last = False
        self._record: JobRecord | None = None
        self.is_finished = False  # all streams have ended well
        self._has_ended_sources = False
        self._is_handing_over = False
        self._has_more = False  # `add` was called meanwhile
        n_walkers, max_open = share_for_sender(n_streams, count_walkers(), is_local=is_local)
        with _OfferErrors():
            self.plane = SendPlane(
                wanted, n_streams=n_streams, block_bytes=block_bytes, direct_bytes=direct_bytes,
                n_walkers=n_walkers, max_open=max_open, fault_offset=self.fault_offset,
                limit_bytes_per_s=limit_bytes_per_s, reconnects=reconnects,
            )  # fmt: skip
        loop.watch(self.plane.event_fd, self.take_events)

    def add(
        self, sources: "Sequence[tuple[bytes, bytes]]", *, is_last: bool, tells_absent: bool = False
    ) -> None:
        """Queue (path, path at the target) pairs; `sources_taken` is told when the plane has them all.

        *tells_absent*: the receiver is told of those that don't come.
        """
        self._waiting += [(path, name, self._order.must_wait(name), tells_absent) for path, name in sources]
        self._sources += sources[: max(0, SourceOrder.MAX_NAMES - len(self._sources))]
        if self.wanted.deletes:
            from escp.names.inventory import identify_all  # lazy: few want it

            self.identified += identify_all(sources, keeps_links=self.wanted.keeps_links)
        self._is_last = is_last
        self._has_more = True
        if not self._is_handing_over:
            self._hand_over()

    def suit(self, max_large: int, *, hears_begun: bool) -> None:
        """To be called before `add`. *max_large*: files that the receiver can open, 0: it did not say."""
        if max_large:
            self.plane.limit_large(max_large)
        if hears_begun:
            self.plane.tell_begun()

    def keep_parts(self, partial_min: int, *, resumes: bool, job: bytes) -> None:
        """What the receiver was asked for, if it can: see `Receive`. Before the first is added."""
        self.plane.keep_parts(partial_min, resumes)
        if job and self._record is None and not self.wanted.is_dry_run:
            from escp.streams.record import JobRecord  # not at the top: not every copy keeps one

            self._record = JobRecord(job)
            known = self._record.read() if resumes and not self.wanted.removes_sources else b""
            self.plane.keep_record(self._record.seed, known)

    def save(self) -> None:
        """Write down what has arrived."""
        if self._record is not None and self._record.is_due:
            self._record.append(self.plane.take_record())

    @property
    def has_waiting(self) -> bool:
        return bool(self._waiting)

    def _hand_over(self) -> None:
        """Give the plane what it has room for. In a loop: `sources_taken` may add the next page at once."""
        self._is_handing_over = self._has_more = True
        try:
            while self._has_more:
                self._has_more = False
                while self._waiting:
                    path, name, waits, tells_absent = self._waiting[0]
                    if not self.plane.add_source(path, name, waits=waits, tells_absent=tells_absent):
                        return  # a ROOM event comes when there is room
                    self._waiting.popleft()
                if not self._is_last:
                    self._listener.sources_taken()
        finally:
            self._is_handing_over = False
        if self._is_last and not self._has_ended_sources:
            self._has_ended_sources = True
            self.plane.end_sources()

    def start(self, streams: "Streams") -> None:
        streams.attach_to(self.plane)
        self.plane.start()

    def take_events(self) -> None:
        for kind, code, sys_errno, where, offset, is_remote, path in self.plane.take_events():
            if kind == FINISHED:
                self.is_finished = True
                self._listener.end_finished(self)
            elif kind == ROOM:
                self._hand_over()
            elif kind == CUT:
                self._listener.stream_lost(offset, Failure(code, sys_errno, where, stream=offset))
            elif kind == RESUMED:
                self._listener.stream_resumed(offset)
            elif kind == FATAL and code != FAST_GONE:  # that of a target here is its end's to tell
                self._listener.end_failed(Failure(code, sys_errno, where, stream=offset))
            elif kind == FILE_FAILED:
                failure = Failure(code, sys_errno, where)
                if is_remote and failure.is_about_twins:
                    failure.twins = self._find_twins(path)
                self._listener.file_failed(self, failure, path, is_receiver=bool(is_remote))
            elif kind in (LISTED, ITEM):
                path, has_digest, digest = path.partition(b"\0")
                shown = path.removesuffix(b"/") if has_digest else path  # one that the user named has no name
                shown += b"/" if where == "directory" else b""
                if self.wanted.itemizes:
                    self._listener.itemized(shown, code, where, offset, digest)
                else:
                    self._listener.listed(shown)

    def _find_twins(self, path: bytes) -> tuple[bytes, ...]:
        self._n_looks += 1
        if self._n_looks > MAX_LOOKS:
            return ()
        from escp.names.twins import find_twins  # not at the top: it is hardly ever needed

        return find_twins(self._sources, path)

    def hold_events(self, *, is_held: bool) -> None:
        """Let the plane wait with what it has to tell, while nobody listens."""
        if is_held:
            self._loop.unwatch(self.plane.event_fd)
        else:
            self._loop.watch(self.plane.event_fd, self.take_events)

    def counters(self) -> dict[str, int]:
        return self.plane.counters()

    def result(self) -> Result:
        return _make_result(self.counters())

    def close(self) -> None:
        """Once. The plane goes now, with its descriptors: an end and its listener are a circle."""
        self._loop.unwatch(self.plane.event_fd)
        self.plane.stop()
        self.plane.join()
        if self._record is not None:
            is_over = self.is_finished and not self.counters()["failed"]
            self._record.close(b"" if is_over else self.plane.take_record(), is_over=is_over)
        del self.plane


class ReceiveEnd:
    """Writes what comes below the destination that *wanted* names."""

    def __init__(self, wanted: Receive, *, is_remote: bool):
        """Opens the target. Raises RefusedError, RemoteFileError or LocalFileError."""
        check_rights(wanted, is_remote=is_remote)
        check_proc(wanted, is_remote=is_remote)
        self.wanted = self._wanted = wanted
        self.allowed: set[bytes] | None = set() if wanted.has_roots else None  # directories, with --delete
        self._is_remote = is_remote
        self.destination: Destination = open_destination(
            wanted.target, n_sources=wanted.n_sources, is_directory=wanted.is_directory, is_remote=is_remote,
            is_dry_run=wanted.is_dry_run, is_exact=wanted.is_target_exact, makes_path=wanted.makes_path,
            job=wanted.job if wanted.partial_min else b"", resumes=wanted.resumes,
        )  # fmt: skip
        if wanted.reads_back and self.is_in_order:
            self.destination.close()
            raise RefusedError(
                f"option --verify: what went into '{os.fsdecode(wanted.target)}' can't be read back",
                "a pipe or device keeps nothing, or takes it in order: leave the option out",
            )
        self._expected: list[tuple[bytes, bytes]] = []
        self.max_large = 0  # files that may be open at a time, once `open` knows
        self.plane: ReceivePlane | None = None
        self.is_finished = False  # as SendEnd's
        self._loop: EventLoop | None = None

    @property
    def names_below(self) -> bool:
        """Whether the sources' names go below the target."""
        return self.destination.is_directory

    @property
    def is_in_order(self) -> bool:
        """Whether the target is a pipe or device: it takes its bytes one after the other, from one stream."""
        return self.destination.in_place_fd >= 0

    def expect(self, names: "Sequence[bytes]", digests: "Sequence[bytes]") -> None:
        """Before `open`: as `Expect`. Raises RefusedError for a target that is written at once."""
        if names:
            from escp.streams.expected import take_expected  # not at the top: only programs expect digests

            self._expected += take_expected(
                self.wanted, names, digests, n_before=len(self._expected),
                names_below=self.names_below, is_in_order=self.is_in_order,
            )  # fmt: skip

    def open(
        self,
        *,
        n_streams: int,
        block_bytes: int,
        loop: EventLoop,
        listener: "Listener",
        direct_bytes: int = 0,
        reconnects: bool = False,
    ) -> None:
        """Make the plane. Raises ProtocolError when it is not offered here, OSError as SendEnd."""
        holds_small = self._wanted.is_durable or self._wanted.reads_back
        n_cached, self.max_large, n_held = share_for_receiver(n_streams, holds_small=holds_small)
        with _OfferErrors():
            self.plane = ReceivePlane(
                self._wanted, n_streams=n_streams, block_bytes=block_bytes, direct_bytes=direct_bytes,
                n_cached=n_cached, n_held=n_held, root_fd=self.destination.root_fd,
                target_name=self.destination.name, in_place_fd=self.destination.in_place_fd,
                follows_umask=not self._is_remote,
                brings_root=not (self.destination.is_directory or self.destination.name),
                reconnects=reconnects,
            )  # fmt: skip
            for path, digest in self._expected:
                self.plane.expect(path, digest)
        self._expected.clear()
        self._loop, self._listener = loop, listener
        loop.watch(self.plane.event_fd, self.take_events)

    @property
    def tells_missing(self) -> bool:
        return self._wanted.tells_missing

    def allow(self, names: "Sequence[bytes]", directories: "Sequence[bool]", sender: str) -> None:
        """These names may be written from now on, and with -r what is below those that are directories.

        *sender*: who offers them.
        """
        assert self.plane is not None
        if self._wanted.deletes and self.allowed is not None:
            self.allowed.update(name for name, flag in zip(names, directories, strict=False) if flag)
        if not hears_of_roots(self._wanted):
            return
        try:
            for name, is_directory in zip(names, directories, strict=True):
                self.plane.allow(name, is_directory and self._wanted.is_recursive)
        except (ValueError, OverflowError) as e:
            raise ProtocolError(f"{sender} offers what can't come any more: {e}") from e

    def start(self, streams: "Streams") -> None:
        assert self.plane is not None
        streams.attach_to(self.plane)
        self.plane.start()

    def take_events(self) -> None:
        assert self.plane is not None
        for kind, code, sys_errno, where, offset, _, path in self.plane.take_events():
            if kind == FINISHED:
                self.is_finished = True
                self._listener.end_finished(self)
            elif kind == FATAL and code == FAST_GONE:
                raise explain_death(self._wanted.target, sys_errno, is_remote=self._is_remote)
            elif kind == FATAL and code == FAST_SYS and where == SYNC_NAMES:
                raise explain_unsynced(self._wanted.target, sys_errno, is_remote=self._is_remote)
            elif kind == FATAL:
                self._listener.end_failed(Failure(code, sys_errno, where, stream=offset))
            elif kind == CUT:
                self._listener.stream_lost(offset, Failure(code, sys_errno, where, stream=offset))
            elif kind == RESUMED:
                self._listener.stream_resumed(offset)
            elif kind == FILE_FAILED:
                self._listener.file_failed(self, Failure(code, sys_errno, where), path, is_receiver=True)
            elif kind == PART:
                self._listener.part_told(path, where, offset)

    def counters(self) -> dict[str, int]:
        assert self.plane is not None
        return self.plane.counters()

    def result(self) -> Result:
        return _make_result(self.counters())

    def hold_events(self, *, is_held: bool) -> None:
        """As SendEnd's."""
        if self.plane is not None and self._loop is not None:
            if is_held:
                self._loop.unwatch(self.plane.event_fd)
            else:
                self._loop.watch(self.plane.event_fd, self.take_events)

    def forget(self) -> None:
        """All has come: nobody will go on with it."""
        self.destination.forget()

    def stop(self) -> None:
        """Begin to end the plane; `close` waits for that."""
        if self.plane is not None:
            self.plane.stop()

    def close(self) -> None:
        """Drop what is unfinished."""
        if self.plane is not None:
            assert self._loop is not None
            self._loop.unwatch(self.plane.event_fd)
            self.plane.stop()
            self.plane.join()
            self.plane = None
        self.destination.close()


def hears_of_roots(wanted: "Receive | Options") -> bool:
    """Whether the sources' names reach the receiver: not in a dry run that asks it nothing."""
    return not wanted.is_dry_run or wanted.selection != "all" or wanted.itemizes


def _make_result(counts: dict[str, int]) -> Result:
    """The account of an end, from its counters."""
    own = {**counts, "data_ns": max(0, counts["last_ns"] - counts["first_ns"])}
    return Result._make(own.get(name, 0) for name in Result._fields)


def start_local(sender: SendEnd, receiver: ReceiveEnd) -> None:
    """Start both ends of a copy within this host: no streams and no encryption between them."""
    assert receiver.plane is not None
    link_local(sender.plane, receiver.plane)
    sender.plane.start()


class _OfferErrors:
    """Makes of planes' complaints about arguments what they mean: the peer asked for too much."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, ValueError | KeyError | OverflowError):
            raise ProtocolError(f"the peer asked for what this escp does not offer: {error}") from error


def count_walkers() -> int:
    return max(2, min(8, 2 * len(os.sched_getaffinity(0))))
