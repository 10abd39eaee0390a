"""One session of the initiator: the ends of a copy, what they tell, and what came of it.

Where each plane runs is the subclasses' subject; `copy.make_job` chooses one.

local   both planes are in this process, without streams between them
push    this process sends, an agent receives
pull    an agent sends, this process receives
hosts   one agent sends, another receives: through a relay here (-3), or from one to the other (-R)
"""

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

from escp.control.messages import Receive
from escp.errors import EscpError, NetworkError, TimeUpError
from escp.failures import Failure
from escp.jobs.feed import Feed
from escp.jobs.orders import make_receive, tell_apart
from escp.jobs.standstill import DISK, Standstill
from escp.jobs.tally import Tally
from escp.jobs.target import Target
from escp.lean.eventloop import EventLoop
from escp.lean.record import Record
from escp.names.globbing import is_directory
from escp.names.sources import SourceQueue
from escp.options.location import Location
from escp.options.options import Options
from escp.process.leaving import begin_closing, end_closing
from escp.streams.receiveend import ReceiveEnd
from escp.streams.record import hash_words
from escp.streams.sendend import SendEnd
from escp.ui.events import Events
from escp.ui.item import SAME, find_reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from escp.jobs.deletion import Deletion
    from escp.jobs.recording import Recording
    from escp.names.manifestfile import ManifestFile
    from escp.remote.agentlink import AgentLink
    from escp.remote.child import AgentProcess
    from escp.streams.blocks import BlockSink, BlockSource

UPDATE_S = 0.1

# What receivers say of a part (`.NAME.escp-part`) that is there, and that the copy does not go on with.
PART_NEWS = {
    "in use": "another copy is writing it now, and its part is left alone",
    "host": "another host may be writing it now, and its part is left alone",
    "foreign": "what has the name of its part, or of its journal, is none of escp's, and is left alone",
    "source": "the source has changed since the copy was cut off: it is sent from its beginning",
    "command": "its part is of another command (other ends or options): it is sent from its beginning",
    "block": "its part is of another --blocksize: it is sent from its beginning",
    "damaged": "what is there of it is damaged: it is sent from its beginning",
    "left": "it is the part of a file that has not come this time, and stays; without --resume it goes",
    "memory": "there is no memory to go on with its part: it is sent from its beginning",
}


class Task(Record):
    """What a job is to do: copy what *sources* has of one host, *origin*, which is None for this one."""

    options: Options
    origin: Location | None
    sources: SourceQueue
    is_many: bool  # the target must be a directory, whatever the sources are
    start_agent: "Callable[[Location], AgentProcess]"  # it may have been started before
    watcher: Events
    update: Callable[[dict[str, int]], None]  # how far this job is
    due_s: float = float("inf")  # of time.monotonic(): --stop-after
    number: int = 0  # of the job in its command
    has_to_resume: bool = True  # with *resumes*: an escp that can't is an error
    expected: Mapping[bytes, bytes] = {}  # digests, by paths from the source's own name on
    manifest: "ManifestFile | None" = None
    contents: "BlockSource | None" = None  # of the only source, which is here
    taker: "BlockSink | None" = None  # of what the only file holds, in place of a target here


class Job(ABC):
    """`run()` returns the counters, or raises what ended the copy."""

    def __init__(self, task: Task):
        self._options = task.options
        self._is_many = task.is_many
        self._watcher = task.watcher
        self._tell_progress = task.update
        self._due_s = task.due_s
        self._has_to_resume = task.has_to_resume
        self._expected = task.expected
        self._contents, self._taker = task.contents, task.taker
        self._job = hash_words(tell_apart(task.options, task.number))
        self._loop = EventLoop()
        self._feed = Feed(self._loop, task.sources, task.options, is_many=task.is_many)
        self._tally = Tally(task.options, task.origin, task.watcher)
        self._send_end: SendEnd | None = None  # here
        self._send_agent: AgentLink | None = None  # or there
        self._target: Target | None = None
        self._deletion: Deletion | None = None  # once all is copied, with --delete
        self._recording: Recording | None = None
        if task.manifest is not None:
            from escp.jobs import recording  # lazy: few want it

            self._recording = recording.Recording(task.options, task.manifest, task.watcher)
        self._is_started = False
        self.is_copied = False  # all of it; --delete and a manifest come then
        self._is_holding = False
        self._standstill = Standstill(self._loop.now())

    def run(self) -> dict[str, int]:
        try:
            return self._run()
        except EscpError as e:
            if e.is_unsafe:
                self._disbelieve()
            begin_closing(e)
            raise
        finally:
            if self._is_started and not self._is_finished:
                self._tell_progress(self.counters())  # what is complete when it ends early
            if self._recording is not None:
                self._recording.close()
            self._close()
            self._loop.close()
            end_closing()

    def _disbelieve(self) -> None:
        """What has come may not be there after all: nobody is to keep a record of it."""
        if self._send_end is not None:
            self._send_end.disbelieve()

    def _run(self) -> dict[str, int]:
        try:
            self._begin()
            while not self._is_finished:
                self._wait()
                self._look_around(is_done=self._is_finished)
                if self._is_started:
                    counts = self.counters()
                    self._tell_progress(counts)
                    self._watch_progress(counts)
                if self._send_end is not None:
                    self._send_end.save()
            self._watcher.enter("end")
            self._settle()
            self.is_copied = True
            self._tally.tell_lacking()
            if self._options.deletes:
                self._delete()
            self._record()
            self._finish()
            return self.counters()
        except NetworkError:
            for end in self._own_ends:
                _find_cause(end)
            raise

    def _look_around(self, *, is_done: bool) -> None:
        """What is to be seen to while it goes on."""
        if time.monotonic() >= self._due_s and not is_done:
            raise TimeUpError
        is_recording = self._recording is not None and self._recording.has_begun
        what = "the digests for the manifest" if is_recording else self._find_wait()
        self._watcher.wait_for(what, self._is_asking)
        self._watcher.tick()
        if self._watcher.is_full != self._is_holding:
            self._hold(is_held=not self._is_holding)

    def _delete(self) -> None:
        """All is copied: remove what only the target has."""
        counts = self.counters()
        if counts["failed"]:
            self._watcher.warn("nothing was deleted: not everything was copied")
            return
        from escp.jobs.deletion import Deletion  # lazy: few want it

        self._deletion = Deletion(
            self._options, self._watcher, *self._ends, n_copied=counts["files"] + counts["skipped"]
        )
        try:
            self._deletion.begin()
            while not self._deletion.is_done:
                if self._is_holding or not self._deletion.step():
                    self._wait()
                self._look_around(is_done=self._deletion.is_done)
        finally:
            self._deletion.close()

    def _record(self) -> None:
        """All is copied: write down what is there."""
        if self._recording is None:
            return
        agent = self._target.agent if self._target is not None else None
        self._recording.begin(agent, self._loop)
        self._recording.step()
        while not self._recording.is_done:
            self._wait()
            if not self._is_holding:
                self._recording.step()
            self._look_around(is_done=self._recording.is_done)

    def _watch_progress(self, counts: dict[str, int]) -> None:
        """Say whose turn it is when nothing has moved for long."""
        now = self._loop.now()
        if self._feed.is_waiting or self._is_holding:
            self._standstill.begin(now)
        was_told = self._standstill.is_told
        still_s = self._standstill.look(now, counts)
        if still_s and not was_told:
            turn, words = self._find_turn(now, counts)
            self._standstill.is_told = True
            self._watcher.warn(f"nothing has moved for {still_s:.0f} s: {words}", turn=turn)
        elif was_told and not still_s:
            self._watcher.note("the copy moves again")

    def _find_turn(self, now: float, counts: dict[str, int]) -> tuple[str, str]:
        """Who is to move, and the words for it."""
        return DISK, "the file systems of this host do not answer"

    def _find_wait(self) -> str:
        """What everything waits for, for people; "" where it gets on."""
        return ""

    def _is_asking(self) -> bool:
        """Whether an ssh asks its user something."""
        return False

    def _hold(self, *, is_held: bool) -> None:
        """Nobody reads what is told: let those wait that have more to tell, and nothing else."""
        self._is_holding = is_held
        for end in self._own_ends:
            if end.plane is not None:
                end.hold_events(is_held=is_held)

    @abstractmethod
    def _begin(self) -> None:
        """Make the ends that are here, or log in where they are."""

    @property
    def _is_finished(self) -> bool:
        return self._tally.is_finished

    def _wait(self) -> None:
        """For what happens next."""
        self._loop.wait(UPDATE_S)

    def _settle(self) -> None:
        """All is done: compare what the ends say about it."""
        self._tally.settle(*self._ends)

    def _finish(self) -> None:
        for end in self._own_ends:
            if end.plane is not None:
                end.plane.join()
        receiver = self._ends[1]
        if isinstance(receiver, ReceiveEnd) and self._is_whole:
            receiver.forget()

    @property
    def _is_whole(self) -> bool:
        """At the end: nothing has failed."""
        return not self.counters().get("failed") and self.first_failure is None

    def _close(self) -> None:
        for end in self._own_ends:
            end.close()

    @property
    def first_failure(self) -> EscpError | None:
        return self._tally.first_failure or (self._deletion.failure if self._deletion else None)

    def counters(self) -> dict[str, int]:
        counts = self._tally.counters(*self._ends)
        if self._deletion is not None:
            counts["failed"] += self._deletion.n_failed
            counts["deleted"] = self._deletion.n_deleted
        if self._recording is not None:
            counts["failed"] += self._recording.n_failed
        return counts

    @property
    def _ends(self) -> "tuple[AgentLink | SendEnd | None, AgentLink | ReceiveEnd | None]":
        """Who sends and who receives, as far as they are there."""
        receiver = None if self._target is None else self._target.agent or self._target.end
        return self._send_agent or self._send_end, receiver

    @property
    def is_kept(self) -> bool:
        """Another run may go on with what comes: a pipe keeps nothing of it, and an old escp no part."""
        return self._target is not None and self._target.keeps_parts and not self._target.is_in_order

    @property
    def _own_ends(self) -> list[SendEnd | ReceiveEnd]:
        """Those that are here."""
        return [end for end in self._ends if isinstance(end, SendEnd | ReceiveEnd)]

    # ---- Sources here -------------------------------------------------------------------------------

    def _order_receiver(
        self, n_sources: int, is_one_directory: bool, *, knows_stamps: bool = True, **more: bool
    ) -> Receive:
        """*knows_stamps*: the sender does."""
        wanted = make_receive(self._options, n_sources, is_one_directory, **more)
        return wanted._replace(
            job=self._job, tells_stamps=knows_stamps and self._options.partial_min > 0,
            has_expected=bool(self._expected),
        )  # fmt: skip

    @property
    def _kept_job(self) -> bytes:
        """Of which the sender is to keep a record; b"": of none."""
        assert self._target
        return self._job if self._options.partial_min and self._target.keeps_parts else b""

    def _keep_parts(self) -> None:
        assert self._send_end and self._target
        if self._target.keeps_parts:
            self._send_end.keep_parts(
                self._options.partial_min, resumes=self._options.resumes, job=self._kept_job
            )

    def _feed_end(self) -> None:
        """Hand the next ones to the plane."""
        assert self._send_end and self._target
        taken = self._feed.take(
            self._feed_end, self._tally.refuse, names_below=bool(self._target.names_below)
        )
        if taken is None:
            return
        pairs, is_last = taken
        if self._recording is not None and self._options.is_recursive:
            keeps_links = self._options.keeps_links
            flags = [is_directory(path, keeps_links=keeps_links) for path, _ in pairs]
            self._recording.add_trees([name for _, name in pairs], flags)
        self._send_end.add(pairs, is_last=is_last)

    # ---- What the ends tell -------------------------------------------------------------------------

    def sources_taken(self) -> None:
        self._feed_end()

    def end_finished(self, end: SendEnd | ReceiveEnd) -> None:
        self._tally.close(end, end.result())

    @abstractmethod
    def end_failed(self, failure: Failure) -> None: ...

    def stream_lost(self, stream: int, failure: Failure) -> None:
        raise failure.as_error("the copy")

    def stream_resumed(self, stream: int) -> None:  # noqa: B027
        """Only of what was lost."""

    def part_told(self, path: bytes, news: str, n_bytes: int) -> None:
        """Of a large file that was cut off before, or of which another copy has the part."""
        target = self._options.target
        shown = os.fsdecode(target.below(path))
        shown = f"{target.host}:{shown}" if target.host else shown
        if news == "resumed":
            self._watcher.note(f"{shown}: {n_bytes:,} bytes of it are there, and are looked at")
        elif news in PART_NEWS:
            self._watcher.warn(f"{shown}: {PART_NEWS[news]}")

    def listed(self, path: bytes) -> None:
        target = self._options.target.path
        self._watcher.listed(os.path.join(target, path.removeprefix(b"/")) if path else target)

    def itemized(self, path: bytes, reason: int, kind: str, size: int, digest: bytes = b"") -> None:
        """Of a file that the target has, and with --itemize of all that was copied."""
        if self._recording is not None and kind == "file":
            self._recording.add(path)
        if reason == SAME or not (self._options.itemizes or self._options.logs_files):
            return
        target = self._options.target.path
        shown = os.path.join(target, path.removeprefix(b"/")) if path else target
        if not self._options.is_dry_run:
            self._watcher.arrived(shown, kind, size, digest)
        if not self._options.itemizes:
            return
        self._watcher.itemized(shown, find_reason(reason), kind, size, is_dry_run=self._options.is_dry_run)

    def file_failed(
        self, end: SendEnd | ReceiveEnd, failure: Failure, path: bytes, *, is_receiver: bool
    ) -> None:
        if isinstance(end, ReceiveEnd) and self._send_end is not None:
            return  # both are here: the sending one has told it
        self._tally.fail_file(failure, path, is_receiver=is_receiver)


def _find_cause(end: SendEnd | ReceiveEnd) -> None:
    """Raise what ended *end*, if an agent's complaint is only what followed from it."""
    try:
        if end.plane is not None:
            end.take_events()
    except NetworkError:
        return  # another cut explains nothing
