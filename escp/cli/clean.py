"""`--clean-agents`: removes what `--push-agent` left on each host, and says what it did."""

import sys

from escp.errors import EscpError
from escp.options.options import Options
from escp.process.interrupts import handle_question, handle_signals, interrupt
from escp.ui.lines import find_lines
from escp.ui.ui import has_json_output, make_bare_ui, make_json_uis

TYPE_CHECKING = False
if TYPE_CHECKING:
    from escp.remote.child import AgentProcess
    from escp.remote.push.clean import Tree


def show_cleaned(host: str, trees: "list[Tree]") -> None:
    """What `--clean-agents` did on a host, on standard output."""
    # Lazy: hardly a run needs it.
    from escp.remote.push.clean import ACTIONS, REMOVED
    from escp.ui.display import format_bytes, format_count, show_text

    out = find_lines(sys.stdout)
    for tree in trees:
        size = format_bytes(tree.bytes)
        out.write(f"{show_text(host)}: {tree.identity[:16]}…  {size}  {ACTIONS[tree.action]}")
    removed = [tree.bytes for tree in trees if tree.action in REMOVED]
    freed = f", {format_bytes(sum(removed))}" if removed else ""
    out.write(f"{show_text(host)}: {format_count(len(removed), 'version')} of escp removed{freed}")


def run_cleaning(options: Options) -> int:
    """Each host in its turn, whatever became of those before it; the first failure is the exit status."""
    from escp.remote.push.clean import clean_agents  # lazy: hardly a run needs it

    handle_signals(interrupt)
    uis = make_json_uis(options)
    ui = make_bare_ui(json=options.json, is_quiet=options.is_quiet, stats_s=options.stats_s)
    handle_question(ui.ask)
    started: list[AgentProcess] = []
    first: EscpError | None = None
    try:
        for location in options.sources:
            try:
                host = location.host or ""
                trees = clean_agents(options, location, started, ui)
                for one in uis:
                    one.agents(host, [tree._asdict() for tree in trees])
                if not has_json_output(options):
                    show_cleaned(host, trees)
            except EscpError as e:  # the others have their turn
                for one in uis:
                    one.warn(str(e))
                if not options.json:
                    ui.fail(e)
                first = first or e
    finally:
        for process in started:
            process.stop()
    for one in uis:  # again: the last line is always what the exit status is about
        one.end(first)
    return first.exit_code if first else 0
