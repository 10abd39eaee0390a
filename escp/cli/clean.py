"""`--clean-agents`: removes what `--push-agent` left on each host, and says what it did."""

import sys
import time

from escp.errors import EscpError
from escp.options.options import Options
from escp.process.interrupts import handle_question, handle_signals, interrupt
from escp.ui.lines import find_lines
from escp.ui.ui import make_bare_ui

TYPE_CHECKING = False
if TYPE_CHECKING:
    from escp.remote.child import AgentProcess
    from escp.remote.push.clean import Tree


def show_cleaned(host: str, trees: "list[Tree]", *, is_json: bool) -> None:
    """What `--clean-agents` did on a host, on standard output."""
    # Lazy: hardly a run needs it.
    from escp.remote.push.clean import ACTIONS, REMOVED
    from escp.ui.display import format_bytes, format_count, show_text, to_valid_text

    out = find_lines(sys.stdout)
    if is_json:
        import json  # lazy, too

        from escp.ui.jsonlines import write_time  # lazy, as above

        for tree in trees:
            stamp = write_time(time.time())
            fields = {"type": "agent", "time": stamp, "host": to_valid_text(host), **tree._asdict()}
            out.write(json.dumps(fields, separators=(",", ":")))
        return
    for tree in trees:
        size = format_bytes(tree.bytes)
        out.write(f"{show_text(host)}: {tree.identity[:16]}…  {size}  {ACTIONS[tree.action]}")
    removed = [tree.bytes for tree in trees if tree.action in REMOVED]
    freed = f", {format_bytes(sum(removed))}" if removed else ""
    out.write(f"{show_text(host)}: {format_count(len(removed), 'version')} of escp removed{freed}")


def show_host_failure(error: EscpError, *, is_json: bool) -> None:
    """One host of several failed; the others have their turn."""
    ui = make_bare_ui(json=is_json)
    if is_json:
        ui.warn(str(error))
    else:
        ui.fail(error)


def show_last_failure(error: EscpError | None, *, is_json: bool) -> None:
    """With --json, repeat the failure that the exit status is about: the last line is always it. People have
    read it."""
    if is_json:
        from escp.ui.jsonlines import JsonUi  # lazy: few need it

        JsonUi(find_lines(sys.stdout), find_lines(sys.stderr)).end(error)


def run_cleaning(options: Options) -> int:
    """Each host in its turn, whatever became of those before it; the first failure is the exit status."""
    from escp.remote.push.clean import clean_agents  # lazy: hardly a run needs it

    handle_signals(interrupt)
    ui = make_bare_ui(json=options.json, is_quiet=options.is_quiet, stats_s=options.stats_s)
    handle_question(ui.ask)
    started: list[AgentProcess] = []
    first: EscpError | None = None
    try:
        for location in options.sources:
            try:
                host = location.host or ""
                trees = clean_agents(options, location, started, ui)
                show_cleaned(host, trees, is_json=options.json)
            except EscpError as e:
                show_host_failure(e, is_json=options.json)
                first = first or e
    finally:
        for process in started:
            process.stop()
    show_last_failure(first, is_json=options.json)
    return first.exit_code if first else 0
