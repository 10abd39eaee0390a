"""`escp --selftest` and `escp --doctor`."""

from escp.cli.verb import Ending, guard
from escp.jobs.agents import Agents
from escp.process.interrupts import handle_question, handle_signals, interrupt, note

TYPE_CHECKING = False
if TYPE_CHECKING:
    from escp.options.options import Options


def run_checkup(options: "Options", start_s: float) -> int:
    handle_signals(interrupt)
    ending = Ending(options)
    agents = Agents(options)
    try:
        if options.target.is_remote:
            agents.start_early(options.target)
        handle_signals(note)
        from escp.ui.report import Report  # not at the top: ssh logs in meanwhile

        if options.is_selftest:
            from escp.doctor.selftest import SelfTest  # not at the top, as above
        else:
            from escp.doctor.doctor import Doctor  # not at the top, as above
        handle_signals(interrupt)
        with Report(options, start_s) as report:
            handle_question(report.ask)
            work = SelfTest(report).run if options.is_selftest else Doctor(options, agents.get, report).run
            code = guard(ending, report, work)
            agents.stop()  # as above
            return code
    finally:
        agents.stop()
