"""main(): runs what the command line asks for and turns errors into exit codes. The only place that exits.

ssh is started as early as possible; what the copy itself needs is imported while it logs in.
"""

import os
import stat
import sys
import time

from escp.constants import SERVER
from escp.errors import (
    EscpError,
    InternalError,
    InterruptedBySignal,
    SomeFailedError,
    UsageError,
    describe_errno,
    explain_import,
)
from escp.lean import signals
from escp.process.environment import unpacked_folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from escp.options.location import Location
    from escp.options.options import Options
    from escp.remote.ssh import AgentProcess
    from escp.ui.report import Report

_SIGNALS = (signals.SIGINT, signals.SIGTERM, signals.SIGHUP)
_ECHO_S = 0.05  # timeout(1) and the one-file program's parent send a signal twice


def main(argv: list[str] | None = None) -> int:
    """Run escp with the arguments in *argv* (default: the process's); returns the exit status."""
    start_s = time.monotonic()
    argv = sys.argv[1:] if argv is None else argv
    folder = unpacked_folder()
    if folder is None:
        return _run(argv, start_s)
    from escp.process.onefile import tidy_up  # not at the top: for the one-file program only

    with tidy_up(folder):
        return _run(argv, start_s)


def _run(argv: list[str], start_s: float) -> int:
    if SERVER in (*argv[:1], *argv[-1:]):  # last of what -D names, or first
        from escp.agent.agent import run_agent

        return run_agent(argv)
    from escp.options.options import parse_options  # not at the top: the agent has no options

    is_json = "--json" in argv or os.environ.get("ESCP_JSON", "") in ("1", "true")
    try:
        options = parse_options(argv)
        is_json = options.json
        if options.shows_help or options.shows_version or options.shows_licence:
            return _show_page(options)
        if options.is_selftest or options.is_doctor:
            return _examine(options, start_s)
        if options.cleans_agents:
            return _clean_agents(options)
        return _copy(options, start_s)
    except EscpError as e:
        from escp.ui.ui import show_early_failure

        show_early_failure(e, is_json=is_json)
        return e.exit_code
    except ImportError as e:
        if (broken := explain_import(e)) is None:
            raise
        from escp.ui.ui import show_early_failure

        show_early_failure(broken, is_json=is_json)
        return broken.exit_code
    except _Interrupted as e:
        return 128 + e.number


def _show_page(options: "Options") -> int:
    from escp.cli import pages as about
    from escp.ui.ui import print_page

    if options.shows_help:
        print_page(about.describe_help())
    elif options.shows_licence:
        print_page(about.LICENCE)
    else:
        print_page(about.describe_version(verbose=options.verbosity > 0))
    return 0


def _clean_agents(options: "Options") -> int:
    """Each host in its turn, whatever became of those before it; the first failure is the exit status."""
    from functools import partial

    from escp.cli.clean import show_cleaned, show_host_failure, show_last_failure
    from escp.remote.push.clean import clean_agents  # lazy: hardly a run needs it
    from escp.ui.ui import show_words

    _handle_signals(_interrupt)
    started: list[AgentProcess] = []
    first: EscpError | None = None
    try:
        for location in options.sources:
            try:
                host = location.host or ""
                hear = partial(show_words, host, is_json=options.json)
                trees = clean_agents(options, location, started, hear)
                show_cleaned(host, trees, is_json=options.json)
            except EscpError as e:
                show_host_failure(e, is_json=options.json)
                first = first or e
    finally:
        for process in started:
            process.stop()
    show_last_failure(first, is_json=options.json)
    return first.exit_code if first else 0


class _Interrupted(BaseException):
    """A signal asked escp to end. Raised in the main thread, wherever it is."""

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


def _interrupt(number: int, _frame: object) -> None:
    for other in _SIGNALS:
        signals.signal(other, signals.SIG_IGN)
    time.sleep(_ECHO_S)
    for other in _SIGNALS:  # one that somebody sends again ends the process at once
        signals.signal(other, signals.SIG_DFL)
    raise _Interrupted(number)


_noted: list[int] = []


def _note(number: int, _frame: object) -> None:
    """While modules are imported: Python swallows what is raised in the callbacks of its import locks."""
    _noted.append(number)


def _handle_signals(handler: "Callable[[int, object], None]") -> None:
    for number in _SIGNALS:
        signals.signal(number, handler)


def _check_sources(options: "Options") -> None:
    """What can be said before ssh is bothered; of several sources a missing one is told in its turn."""
    from escp.names.landing import base_name

    for source in options.sources:
        base_name(source.path)
    if len(options.sources) != 1 or options.sources[0].is_remote or options.filelist is not None:
        return
    path = options.sources[0].path
    try:
        is_directory = stat.S_ISDIR((os.lstat if options.keeps_links else os.stat)(path).st_mode)
    except OSError as e:
        raise SomeFailedError(f"{os.fsdecode(path)}: {describe_errno(e.errno or 0)}") from e
    except ValueError as e:
        raise SomeFailedError(f"{os.fsdecode(path)}: {e}") from e
    if is_directory and not options.recursive:
        raise SomeFailedError(f"{os.fsdecode(path)}: is a directory", "copy directories with -r")


class _Agents:
    """Every agent of the command, the first of them started before the rest of escp is loaded."""

    def __init__(self, options: "Options"):
        self._options = options
        self._started: list[AgentProcess] = []
        self._early: AgentProcess | None = None

    def start_early(self, location: "Location") -> None:
        self._early = self._start(location)

    def get(self, location: "Location") -> "AgentProcess":
        agent, self._early = self._early, None
        for done in [*self._started]:  # of earlier sources: a list may name hosts without end
            if done is not agent and done.poll() is not None:
                done.stop()  # its last words are told
                self._started.remove(done)
        return agent or self._start(location)

    def _start(self, location: "Location") -> "AgentProcess":
        from escp.remote.ssh import start_agent  # not at the top: a local copy needs none

        agent = start_agent(self._options, location)
        self._started.append(agent)
        return agent

    def stop(self) -> None:
        for agent in self._started:
            agent.stop()


def _copy(options: "Options", start_s: float) -> int:
    from escp.names.sources import SourceQueue

    _handle_signals(_interrupt)
    _check_sources(options)
    sources = SourceQueue(options)
    has_sources, origin = sources.next_host()
    if not has_sources:
        raise UsageError(f"the file list '{options.filelist}' is empty", "there is nothing to copy")
    agents = _Agents(options)
    try:
        if origin is not None or options.target.is_remote:
            agents.start_early(origin or options.target)
        # Not at the top: ssh logs in meanwhile.
        _handle_signals(_note)
        from escp.jobs.copy import Copy
        from escp.ui.report import Report

        _handle_signals(_interrupt)
        with Report(options, start_s) as report:

            def copy() -> int:
                one = Copy(options, sources, agents.get, report)
                return report.finish(one.run(), one.first_failure)

            code = _guard(report, copy)
            agents.stop()  # what ssh says at its end belongs into the log, too
            return code
    finally:
        agents.stop()


def _examine(options: "Options", start_s: float) -> int:
    """--selftest and --doctor."""
    _handle_signals(_interrupt)
    agents = _Agents(options)
    try:
        if options.target.is_remote:
            agents.start_early(options.target)
        _handle_signals(_note)
        from escp.ui.report import Report  # not at the top: ssh logs in meanwhile

        if options.is_selftest:
            from escp.doctor.selftest import SelfTest  # not at the top, as above
        else:
            from escp.doctor.doctor import Doctor  # not at the top, as above
        _handle_signals(_interrupt)
        with Report(options, start_s) as report:
            work = SelfTest(report).run if options.is_selftest else Doctor(options, agents.get, report).run
            code = _guard(report, work)
            agents.stop()  # as above
            return code
    finally:
        agents.stop()


def _guard(report: "Report", work: "Callable[[], int]") -> int:
    """The exit status of *work*, or of what ended it, once that is shown."""
    try:
        if _noted:
            raise _Interrupted(_noted[0])
        return work()
    except EscpError as e:
        return report.fail(e)
    except _Interrupted as e:
        return report.fail(InterruptedBySignal(e.number))
    except Exception as e:
        import traceback

        report.trace(traceback.format_exc())
        return report.fail(InternalError(f"{type(e).__name__}: {e}"))
