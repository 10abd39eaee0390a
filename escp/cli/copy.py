"""The copy itself, as the command line asks for it.

ssh is started as early as possible; what the copy itself needs is imported while it logs in.
"""

import os

from escp.cli.verb import Ending, guard
from escp.errors import NoAgentError
from escp.jobs.agents import Agents
from escp.jobs.firstlook import check_named, is_bare_host, open_sources
from escp.process.interrupts import handle_question, handle_signals, interrupt, note

TYPE_CHECKING = False
if TYPE_CHECKING:
    from escp.names.sources import SourceQueue
    from escp.options.location import Location
    from escp.options.options import Options


def _find_bare_host(options: "Options") -> str:
    """The target, if it is a path of this host that does not exist, and a host has that name; else ""."""
    path = options.target.path
    return os.fsdecode(path) if not options.target.is_remote and is_bare_host(path) else ""


def run_copy(options: "Options", start_s: float) -> int:
    handle_signals(interrupt)
    ending = Ending(options)
    if options.n_retries:
        from escp.cli.retry import check_sources, run_again  # lazy: few want it

        check_sources(options)
    if options.reads_standard_input:
        from escp.names.standard import take_input  # lazy: few need it

        options = take_input(options)
    check_named(options)
    opened: list[tuple[SourceQueue, Location | None]] = [open_sources(options)]
    due_s = start_s + (options.stop_s or float("inf"))
    agents = Agents(options)
    try:
        if opened[0][1] is not None or options.target.is_remote:
            agents.start_early(opened[0][1] or options.target)
        # Not at the top: ssh logs in meanwhile.
        handle_signals(note)
        from escp.jobs.copy import Copy
        from escp.process.limits import apply_affinity, prepare_process
        from escp.ui.report import Report
        from escp.ui.summary import find_exit_code

        handle_signals(interrupt)
        host = _find_bare_host(options)
        with Report(options, start_s) as report:
            if host:
                report.warn(f"the target '{host}' is a file here: for the host of that name write {host}:")
            for path in options.unreached_files:
                report.warn(f"the configuration {path} can't be reached: what it may say does not count")
            handle_question(report.ask)

            def copy() -> int:
                prepare_process()
                apply_affinity(options.cpumask, options.nodemask)
                is_again = not opened  # --retry
                sources, _ = open_sources(options) if is_again else opened.pop()
                one = Copy(options, sources, agents.get, report, due_s, is_again=is_again)
                ending.find_hint = lambda: one.hint
                try:
                    return find_exit_code(*one.complete(report))
                except NoAgentError as e:
                    if options.fallback != "scp" or one.has_begun:
                        raise
                    from escp.cli.fallback import run_scp  # lazy: nearly every host has escp

                    agents.stop()
                    return run_scp(options, e, report, due_s)

            def copy_again() -> int:
                return run_again(options, copy, report, due_s) if options.n_retries else copy()

            code = guard(ending, report, copy_again)
            agents.stop()  # what ssh says at its end belongs into the log, too
            return code
    finally:
        agents.stop()
