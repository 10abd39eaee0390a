"""`escp --check`."""

from escp.cli.verb import Ending, guard
from escp.jobs.agents import Agents
from escp.process.interrupts import handle_question, handle_signals, interrupt, note

TYPE_CHECKING = False
if TYPE_CHECKING:
    from escp.options.options import Options


def run_check(options: "Options", start_s: float) -> int:
    from escp.jobs.comparing import read_manifest  # lazy, as all that only one verb needs

    handle_signals(interrupt)
    ending = Ending(options)
    assert options.checks is not None
    wanted = read_manifest(options.checks)  # all of it, before anybody logs in
    agents = Agents(options)
    try:
        if options.target.is_remote:
            agents.start_early(options.target)
        handle_signals(note)
        from escp.jobs.check import Check  # not at the top: ssh logs in meanwhile
        from escp.process.limits import apply_affinity, prepare_process  # lazy, as above
        from escp.ui.report import Report  # lazy, as above

        handle_signals(interrupt)
        with Report(options, start_s) as report:
            handle_question(report.ask)

            def work() -> int:
                prepare_process()
                apply_affinity(options.cpumask, options.nodemask)
                due_s = start_s + (options.stop_s or float("inf"))
                return Check(options, wanted, agents.get, report, due_s).run()

            code = guard(ending, report, work)
            agents.stop()  # as in a copy
            return code
    finally:
        agents.stop()
