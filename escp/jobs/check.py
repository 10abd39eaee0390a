"""`escp --check FILE [HOST:]DIR`: a job that copies nothing, and runs where the tree is."""

import time
from collections.abc import Callable

from escp.control.messages import Listening, Message
from escp.errors import EXIT_OK, EXIT_SOME_FAILED, ProtocolError, TimeUpError
from escp.jobs.agentjob import AgentJob
from escp.jobs.comparing import Comparison, Wanted
from escp.jobs.job import UPDATE_S, Task
from escp.jobs.measuring import Place
from escp.lean.eventloop import EventLoop
from escp.names.sources import SourceQueue
from escp.options.location import Location
from escp.options.options import Options
from escp.remote.agentlink import AgentLink
from escp.remote.child import AgentProcess
from escp.ui.difference import MISSING, format_counts
from escp.ui.display import show_name
from escp.ui.events import Events
from escp.ui.progress import Snapshot, StartInfo


class Check:
    """`run()` returns the exit status, or raises what ended it."""

    def __init__(
        self, options: Options, wanted: Wanted, start_agent: Callable[[Location], AgentProcess],
        report: Events, due_s: float,
    ):  # fmt: skip
        self._options, self._wanted, self._report, self._due_s = options, wanted, report, due_s
        self._start_agent = start_agent

    def run(self) -> int:
        comparison = self._visit() if self._options.target.is_remote else self._compare_here()
        counts = comparison.counts
        is_same = not any(counts.values())
        if 0 < counts[MISSING] == self._wanted.n_files:
            shown = show_name(self._options.target.path or b".")
            self._report.warn(
                f"no file of the manifest is below '{shown}': its names begin in the directory that was the "
                "copy's target"
            )
        self._report.checked(self._wanted.n_files, comparison.n_bytes, counts)
        code = EXIT_OK if is_same else EXIT_SOME_FAILED
        self._report.conclude(code, format_counts(comparison.n_same, counts))
        self._report.leave(code)
        return code

    def _visit(self) -> Comparison:
        visit = CheckVisit(
            Task(
                self._options, None, SourceQueue(self._options), False, self._start_agent, self._report,
                lambda _: None, self._due_s,
            ),
            self._wanted,
        )  # fmt: skip
        visit.run()
        assert visit.comparison
        return visit.comparison

    def _compare_here(self) -> Comparison:
        loop = EventLoop()
        comparison: Comparison | None = None

        def take(message: Message) -> None:
            assert comparison
            if not comparison.take(message):
                raise ProtocolError("this escp tells what nobody asked for")

        place = Place(None, loop, take)
        try:
            comparison = Comparison(
                self._wanted, place, self._options.target.path, self._report,
                compares_times=self._options.keeps_attributes,
            )  # fmt: skip
            self._report.begin(StartInfo("", 1, self._options.block_bytes, ""))
            comparison.step()
            while not comparison.is_done:
                loop.wait(UPDATE_S)
                place.tick()
                if not self._report.is_full:
                    comparison.step()
                if time.monotonic() >= self._due_s:
                    raise TimeUpError
                tell_progress(self._report, self._wanted, comparison)
                self._report.tick()
        finally:
            place.close()
            loop.close()
        return comparison


def tell_progress(report: Events, wanted: Wanted, comparison: Comparison) -> None:
    n_bytes = comparison.n_bytes
    report.update(Snapshot(n_bytes, max(wanted.n_bytes, n_bytes), comparison.n_seen, wanted.n_files, True))


class CheckVisit(AgentJob):
    """One login, questions and answers; no streams."""

    def __init__(self, task: Task, wanted: Wanted):
        super().__init__(task)
        self._wanted = wanted
        self.comparison: Comparison | None = None

    def _begin(self) -> None:
        self._log_in(self._options.target)

    def _greet(self, agent: AgentLink) -> None:
        place = Place(agent, self._loop, lambda _: None)
        self.comparison = Comparison(
            self._wanted, place, self._options.target.path, self._watcher,
            compares_times=self._options.keeps_attributes,
        )  # fmt: skip
        self._watcher.begin(
            StartInfo(agent.host, 1, self._options.block_bytes, "", self._options.is_embedded)
        )

    @property
    def _is_finished(self) -> bool:
        return self.comparison is not None and self.comparison.is_done

    def _wait(self) -> None:
        super()._wait()
        if self.comparison is not None:
            if not self._is_holding:
                self.comparison.step()
            tell_progress(self._watcher, self._wanted, self.comparison)

    def _take_own(self, agent: AgentLink, message: Message) -> bool:
        return self.comparison is not None and self.comparison.take(message)

    def _find_wait(self) -> str:
        return "" if self.comparison is not None else super()._find_wait()

    def _settle(self) -> None:
        """Nothing was copied: there are no accounts to compare."""

    def counters(self) -> dict[str, int]:
        return {}

    def _connect(self, agent: AgentLink, listening: Listening) -> None:
        raise ProtocolError(f"the remote escp on {agent.host} tells of streams that nobody asked for")

    def _go_on(self) -> None:
        """There is no plane to start."""
