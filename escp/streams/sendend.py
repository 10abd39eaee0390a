"""The sending end of a session in this process: a plane, and what it tells.

Both ends of a copy use it: the initiator for what is here, the agent for what is there.
"""

import os

from escp._fast.files.filter import find_excluded as find_excluded  # for jobs
from escp._fast.planes.plane import COPIED, CUT, FATAL, FILE_FAILED, FINISHED, ITEM, LISTED, RESUMED, ROOM
from escp._fast.planes.send_plane import SendPlane, link_local
from escp.control.messages import Result, Send
from escp.failures import FAST_GONE, Failure
from escp.lean.eventloop import EventLoop
from escp.names.landing import SourceOrder
from escp.process.limits import share_for_sender
from escp.streams.ends import OfferErrors, make_result, split_digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from escp._fast.io.block_source import BlockSource
    from escp.names.inventory import Source
    from escp.streams.endlistener import Listener, TellCopied
    from escp.streams.receiveend import ReceiveEnd
    from escp.streams.record import JobRecord
    from escp.streams.streams import Streams

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
        memory: "BlockSource | None" = None,
        tell_copied: "TellCopied | None" = None,
    ):
        """*is_local*: the receiver is here, too; *limit_bytes_per_s* is for that, sockets have their own.

        *memory* has the contents of the only source. *tell_copied*: of each file, for a log here.

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
        self._is_believed = True
        self.is_finished = False  # all streams have ended well
        self._has_ended_sources = False
        self._is_handing_over = False
        self._has_more = False  # `add` was called meanwhile
        n_walkers, max_open = share_for_sender(n_streams, count_walkers(), is_local=is_local)
        with OfferErrors():
            self.plane = SendPlane(
                wanted, n_streams=n_streams, block_bytes=block_bytes, direct_bytes=direct_bytes,
                n_walkers=n_walkers, max_open=max_open, fault_offset=self.fault_offset,
                limit_bytes_per_s=limit_bytes_per_s, reconnects=reconnects, memory=memory,
            )  # fmt: skip
        self._tell_copied = tell_copied
        if tell_copied is not None:
            self.plane.tell_copied()
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

    def limit_large(self, n: int) -> None:
        """The receiver can have *n* large files open; 0: it did not say."""
        if n:
            self.plane.limit_large(n)

    def suit(self, *, hears_begun: bool, judges_nodes: bool) -> None:
        """What the receiver knows. To be called before `add`."""
        if hears_begun:
            self.plane.tell_begun()
        if judges_nodes:
            self.plane.ask_nodes()

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
            elif kind == COPIED and self._tell_copied is not None:
                self._tell_copied(*split_digest(path), where, offset)
            elif kind in (LISTED, ITEM):
                shown, digest = split_digest(path)
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
        return make_result(self.counters())

    def disbelieve(self) -> None:
        """What has come may not be there after all: no later run is to know it again."""
        self._is_believed = False

    def close(self) -> None:
        """Once. The plane goes now, with its descriptors: an end and its listener are a circle."""
        self._loop.unwatch(self.plane.event_fd)
        self.plane.stop()
        self.plane.join()
        if self._record is not None:
            is_over = not self._is_believed or (self.is_finished and not self.counters()["failed"])
            data = b"" if is_over else self.plane.take_record()
            self._record.close(data, is_over=is_over, is_cut=not self.is_finished)
        del self.plane


def start_local(sender: SendEnd, receiver: "ReceiveEnd") -> None:
    """Start both ends of a copy within this host: no streams and no encryption between them."""
    assert receiver.plane is not None
    link_local(sender.plane, receiver.plane)
    sender.plane.start()


def count_walkers() -> int:
    return max(2, min(8, 2 * len(os.sched_getaffinity(0))))
