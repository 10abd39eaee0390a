"""escp.copy(): a copy in the calling thread, told of by a callback and a result."""

import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from escp.api.expected import Digest, find_unmet, read_expected
from escp.api.outcome import MAX_FAILED, Failed, Progress, Result, make_result
from escp.api.words import Path, read_call
from escp.errors import CancelledError, EscpError, LocalFileError, TimeUpError
from escp.jobs.agents import Agents
from escp.jobs.copy import Copy
from escp.jobs.firstlook import check_named, open_sources
from escp.options.options import Options
from escp.process.shortages import explain_shortage
from escp.ui.events import Events, Listeners
from escp.ui.progress import Summary
from escp.ui.report import Report
from escp.ui.ui import add_log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from escp.options.location import Location
    from escp.remote.child import AgentProcess
    from escp.streams.blocks import BlockSink, BlockSource

log = logging.getLogger("escp")
log.addHandler(logging.NullHandler())  # else warnings are printed where a program has set no logging up
TIMED_OUT = "the time that was given for it is over"
TELL_S = 0.1  # between two calls of `progress`, at least


class Flag(Protocol):
    """As threading.Event and multiprocessing.Event have it."""

    def is_set(self) -> bool: ...


def check_flag(cancel: object) -> None:
    """Before it is waited for: raises TypeError."""
    if cancel is not None and not callable(getattr(cancel, "is_set", None)):
        raise TypeError(f"cancel: something with is_set(), not {type(cancel).__name__}")


class _Caller(Events):
    """Passes on what the calling program wants to hear, and keeps the rest for its result."""

    def __init__(
        self, progress: Callable[[Progress], object] | None, cancel: Flag | None,
        contents: "BlockSource | None" = None,
    ):  # fmt: skip
        self._progress = progress
        self._contents = contents
        self._cancel = cancel
        self._told_s = float("-inf")
        self._untold: Progress | None = None
        self.raised: BaseException | None = None  # by the program's own callback
        self.failed: list[Failed] = []
        self.listed_paths: list[bytes] = []
        self.copied: set[bytes] | None = None  # paths at the target, where they are wanted
        self.deleted_paths: list[bytes] = []
        self.warnings: list[str] = []

    def update(self, snapshot: Progress) -> None:
        """Jobs tell of each event as well as of each tenth of a second: of thousands, in a dry run."""
        now_s = time.monotonic()
        if now_s - self._told_s < TELL_S:
            self._untold = snapshot
            return
        self._told_s, self._untold = now_s, None
        self._tell(snapshot)

    def finish(self, summary: Summary, error: EscpError | None = None) -> None:
        if self._untold is not None:
            self._tell(self._untold)

    def _tell(self, snapshot: Progress) -> None:
        if self._progress is None or self.raised is not None:
            return
        try:
            self._progress(snapshot)
        except BaseException as e:
            self.raised = e
            raise

    def file_error(
        self, path: bytes, message: str, *, host: str | None, sys_errno: int = 0, is_passing: bool = False
    ) -> None:
        if self._contents is not None:
            self._contents.stop()  # nobody reads the rest of it
        if len(self.failed) < MAX_FAILED:
            self.failed.append(Failed(os.fsdecode(path), message, host, sys_errno, is_passing))

    def listed(self, path: bytes) -> None:
        self.listed_paths.append(path)

    def itemized(self, path: bytes, reason: str, kind: str, size: int, *, is_dry_run: bool) -> None:
        if self.copied is not None and kind == "file":
            self.copied.add(path)

    def deleted(self, path: bytes, *, is_dry_run: bool) -> None:
        self.deleted_paths.append(path)

    def note(self, text: str) -> None:
        log.debug("%s", text)

    def warn(self, text: str, *, turn: str = "") -> None:
        self.warnings.append(text)
        log.warning("%s", text)

    def words(self, host: str, line: str) -> None:
        log.info("%s: %s", host, line)

    def tick(self) -> None:
        if self._cancel is not None and self._cancel.is_set():
            raise CancelledError


def copy(
    sources: Path | Iterable[Path],
    target: Path,
    *,
    progress: Callable[[Progress], object] | None = None,
    cancel: Flag | None = None,
    expected_digest: Digest | Mapping[Path, Digest] | None = None,
    **options: object,
) -> Result:
    """Copy *sources* to *target* as the command `escp` does; docs/api.md.

    *sources* and *target*: as on the command line, `host:path` included; a pathlib.Path is always one of
    this host.
    *options*: the command's long options, with `_` for `-` (`recursive=True`, `parallel=8`,
    `exclude=["*.o", "tmp"]`); what is left out comes from escp's configuration.
    *progress*: called up to ten times a second, in this thread; what it raises ends the copy and is raised
    here.
    *cancel*: looked at ten times a second; once it is set CancelledError is raised, and nothing more gets
    its name.
    *expected_digest*: of the only source, or of each path from its source's name on (`run/a` below the source
    `data/run`), the digest that its contents must have: what has another one does not get its name.

    Files that failed are in the result. What ends the whole copy is raised: a subclass of EscpError
    (`escp.errors`). May be called in several threads at the same time. Prints nothing; tells the logger
    "escp".
    """
    return call_copy(
        sources, target, options, progress=progress, cancel=cancel, expected_digest=expected_digest
    )


def call_copy(
    sources: Path | Iterable[Path],
    target: Path,
    options: Mapping[str, object],
    *,
    progress: Callable[[Progress], object] | None,
    cancel: Flag | None,
    expected_digest: Digest | Mapping[Path, Digest] | None,
    timeout: float | None = None,
    start_agent: "Callable[[Location], AgentProcess] | None" = None,
    contents: "BlockSource | None" = None,
    taker: "BlockSink | None" = None,
    fixed: Mapping[str, object] | None = None,
) -> Result:
    """The same for whoever is connected already. *timeout*: seconds; *start_agent*: None logs in.

    *contents*, *taker*: as of `jobs.copy.Copy`; *fixed*: fields of Options, whatever the options say.
    """
    start_s = time.monotonic()
    if progress is not None and not callable(progress):
        raise TypeError(f"progress: a function of one argument, not {type(progress).__name__}")
    check_flag(cancel)
    caller = _Caller(progress, cancel, contents)
    try:
        chosen = read_call(sources, target, options)._replace(**(fixed or {}))
        expected = read_expected(expected_digest, chosen)
        due_s = start_s + min(chosen.stop_s or float("inf"), float("inf") if timeout is None else timeout)
        return _run(chosen, caller, start_s, due_s, expected, start_agent, contents, taker)
    except TimeUpError:
        if timeout is not None and time.monotonic() - start_s >= timeout:
            raise TimeUpError(TIMED_OUT) from None
        raise
    except (OSError, MemoryError, ImportError, RuntimeError) as e:
        said = None if e is caller.raised else explain_shortage(e)
        if said is None:
            raise
        raise LocalFileError(*said) from e


def _run(
    options: Options, caller: _Caller, start_s: float, due_s: float, expected: Mapping[bytes, bytes],
    start_agent: "Callable[[Location], AgentProcess] | None", contents: "BlockSource | None",
    taker: "BlockSink | None",
) -> Result:  # fmt: skip
    if expected:
        options = options._replace(itemizes=True)
        caller.copied = set()

    def add(listeners: Listeners, options: Options) -> None:
        without_log = add_log(listeners, options)
        listeners.add(caller)
        if without_log:
            listeners.warn(without_log)

    def count_unmet() -> int:
        unmet = find_unmet(expected, caller.copied or set(), caller.failed, options)
        caller.failed += unmet[: max(0, MAX_FAILED - len(caller.failed))]
        return len(unmet)

    check_named(options)
    queue, _ = open_sources(options)
    agents = Agents(options, start_agent)
    try:
        with Report(options, start_s, add) as report:
            one = Copy(
                options, queue, agents.get, report, due_s, expected=expected, contents=contents, taker=taker
            )
            try:
                summary, error = one.complete(report, count_unmet)
            except BaseException as e:
                report.fail(e if isinstance(e, EscpError) else CancelledError())
                raise
            return make_result(
                summary, caller.failed, caller.listed_paths, caller.deleted_paths, caller.warnings, error
            )
    finally:
        agents.stop()
