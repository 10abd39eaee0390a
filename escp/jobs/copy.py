"""The whole command: its sources, in one job for each run of them that are on the same host."""

import gc
from collections.abc import Callable

from escp.errors import EscpError
from escp.jobs.job import Job, Task
from escp.names.sources import SourceQueue
from escp.options.location import Location
from escp.options.options import Options
from escp.ui.events import Events
from escp.ui.progress import Snapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from escp.names.manifestfile import ManifestFile
    from escp.remote.child import AgentProcess
    from escp.streams.blocks import BlockSink, BlockSource
    from escp.ui.progress import Summary
    from escp.ui.report import Report

_SPECIAL_BITS = 0o7000
# Of one job; all other counters add up.
_MOMENTS = ("first_ns", "last_ns", "is_walked", "parts")


class Copy:
    """`run()` returns the counters of all jobs together, or raises what ended the command."""

    def __init__(
        self,
        options: Options,
        sources: SourceQueue,
        start_agent: "Callable[[Location], AgentProcess]",
        report: Events,
        due_s: float = float("inf"),
        *,
        is_again: bool = False,
        expected: "Mapping[bytes, bytes] | None" = None,
        contents: "BlockSource | None" = None,
        taker: "BlockSink | None" = None,
    ):
        """*due_s*: of time.monotonic(), when it ends whatever is left.

        *expected*: digests of files, by their paths from the source's own name on.
        *contents*: of the only source, which is here; *taker*: of those of the only file that comes here.
        *is_again*: the same command has been cut off before, and goes on where it can.
        """
        self._due_s = due_s
        self._options = options._replace(resumes=options.partial_min > 0) if is_again else options
        self._has_to_resume = options.resumes
        self._expected = expected or {}
        self._contents, self._taker = contents, taker
        self._sources = sources
        self._start_agent = start_agent
        self._report = report
        self._done: dict[str, int] = {}
        self._manifest: ManifestFile | None = None
        self.first_failure: EscpError | None = None
        self._n_parts = self._n_files = self._n_jobs = 0
        self._is_copied = False
        self._is_kept = (
            options.partial_min > 0 and not options.is_inplace and options.receive_engine == "posix"
        )

    @property
    def has_begun(self) -> bool:
        """The sources of one host, at least, are done with."""
        return bool(self._done)

    def run(self) -> dict[str, int]:
        if self._options.skips_by_time and not self._options.keeps_attributes:
            self._report.warn(
                "--skip-unchanged compares times, and without -p none is kept: what is copied now is copied "
                "again the next time; add -p, or use --checksum"
            )
        has_special_bits = any(rule & _SPECIAL_BITS for rule in self._options.mode_rules)
        if has_special_bits and not self._options.keeps_attributes:
            self._report.warn("--chmod sets no setuid, setgid and sticky bits without -p: add it")
        if self._options.manifest is not None:
            from escp.names.manifestfile import ManifestFile  # lazy: few want it

            self._manifest = ManifestFile(self._options.manifest)
        try:
            self._run_jobs()
            if self._manifest is not None:
                self._manifest.commit()
        finally:
            if self._manifest is not None:
                self._manifest.close()
        return self._done

    def _run_jobs(self) -> None:
        is_many = len(self._options.sources) > 1 or self._options.filelist is not None
        while True:
            has_more, origin = self._sources.next_host()
            if not has_more:
                return
            if self._done:  # a job refers to itself in circles, and the collector can't see its planes' MBs
                gc.collect()
            self._run_job(origin, is_many=is_many)

    def _run_job(self, origin: Location | None, *, is_many: bool) -> None:
        job = make_job(
            Task(
                self._options, origin, self._sources, is_many, self._start_agent, self._report, self._update,
                self._due_s, self._n_jobs, self._has_to_resume, self._expected, self._manifest,
                self._contents, self._taker,
            )
        )  # fmt: skip
        self._n_jobs += 1
        try:
            self._done = self._add(job.run())
        finally:
            self._is_copied = job.is_copied
            self._is_kept &= job.is_kept
        self.first_failure = self.first_failure or job.first_failure

    def _add(self, counters: dict[str, int]) -> dict[str, int]:
        """*counters* of the job that runs, and those of the jobs before it."""
        if not self._done:
            return counters
        total = {name: n if name in _MOMENTS else n + self._done.get(name, 0) for name, n in counters.items()}
        if not counters.get("counted_files"):  # of this job; so of all it is not known either
            total["counted_files"] = 0
        data_ns = self._done["last_ns"] - self._done["first_ns"] + counters["last_ns"] - counters["first_ns"]
        total["first_ns"], total["last_ns"] = 0, data_ns
        return total

    def complete(
        self, report: "Report", count_more: "Callable[[], int]" = int
    ) -> "tuple[Summary, EscpError | None]":
        """Run it, and tell what came of it: the one way to do a copy, for the command and for programs.

        *count_more* counts what else has failed, once all is copied. The error is what the exit status is
        about, beside files that failed. Raises what `run` raises; that is not told.
        """
        summary = report.summarize(self.run())
        summary = summary._replace(n_failed=summary.n_failed + count_more())
        report.finish(summary, self.first_failure)
        return summary, self.first_failure or report.first_failure

    @property
    def hint(self) -> str:
        """What to do after it was cut off; "" where nothing has stayed, can be gone on with, or is left."""
        if self._is_copied or not self._is_kept or not (self._n_parts or self._n_files):
            return ""
        if not self._n_parts:
            return "what is complete stays at the target: escp --resume with the same arguments does the rest"
        # No number: of what is still on its way nothing may have come.
        which = "a large file" if self._n_parts == 1 else "large files"
        return f"what has come of {which} stays at the target: escp --resume with the same arguments goes on"

    def _update(self, counters: dict[str, int]) -> None:
        self._n_parts, self._n_files = counters.get("parts", 0), counters.get("files", 0)
        self._report.update(Snapshot.of(self._add(counters)))


def make_job(task: Task) -> Job:
    """The one place that decides which plane runs where. Only the job that is needed is imported."""
    if task.origin is None and not task.options.target.is_remote:
        from escp.jobs.local import LocalJob  # lazy

        return LocalJob(task)
    if task.origin is None:
        from escp.jobs.push import PushJob  # lazy

        return PushJob(task)
    if not task.options.target.is_remote:
        from escp.jobs.pull import PullJob  # lazy

        return PullJob(task)
    from escp.jobs.hosts import HostsJob  # lazy

    return HostsJob(task)
