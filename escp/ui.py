"""The user interface of one run: text (`textui`) or JSON lines (`jsonui`). Only they and `cli` print.

`begin`, then `update` up to ten times a second with errors and notes between, then `finish` or `fail`, last
`close`: all from one thread.
"""

import sys

from escp.errors import EscpError
from escp.lines import Lines
from escp.options import Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from escp.log import TransferLog
    from escp.textui import TextUi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from escp.cleanagents import Tree


def make_ui(options: Options) -> "TextUi":
    """The user interface that the options ask for. Raises LocalFileError if the log can't be opened."""
    log = None
    if options.logfile is not None:
        from escp.log import TransferLog  # not at the top: most have none

        log = TransferLog(options.logfile)
    return _make_ui(
        json=options.json,
        is_quiet=options.is_quiet,
        verbosity=options.verbosity,
        shows_bits=options.shows_bits,
        log=log,
    )


def show_early_failure(error: EscpError, *, is_json: bool) -> None:
    """Report an error from before there were options or a log: bad usage, or a log that can't be opened."""
    _make_ui(json=is_json).fail(error)


def show_cleaned(host: str, trees: "list[Tree]", *, is_json: bool) -> None:
    """What `--clean-agents` did on a host, on standard output."""
    # Lazy: hardly a run needs it.
    from escp.cleanagents import ACTIONS, REMOVED
    from escp.display import format_bytes, format_count, show_text, to_valid_text

    out = Lines(sys.stdout)
    if is_json:
        import json  # lazy, too

        for tree in trees:
            fields = {"type": "agent", "host": to_valid_text(host), **tree._asdict()}
            out.write(json.dumps(fields, separators=(",", ":")))
        return
    for tree in trees:
        size = format_bytes(tree.bytes)
        out.write(f"{show_text(host)}: {tree.identity[:16]}…  {size}  {ACTIONS[tree.action]}")
    removed = [tree.bytes for tree in trees if tree.action in REMOVED]
    freed = f", {format_bytes(sum(removed))}" if removed else ""
    out.write(f"{show_text(host)}: {format_count(len(removed), 'version')} of escp removed{freed}")


def show_words(host: str, line: str, *, is_json: bool) -> None:
    """What came through the standard error of the ssh to *host*, while it was cleaned."""
    _make_ui(json=is_json).words(host, line)


def show_host_failure(error: EscpError, *, is_json: bool) -> None:
    """One host of several failed; the others have their turn."""
    ui = _make_ui(json=is_json)
    if is_json:
        ui.warn(str(error))
    else:
        ui.fail(error)


def show_last_failure(error: EscpError | None, *, is_json: bool) -> None:
    """What the exit status is about, for programs, whose last line it always is; people have read it."""
    if is_json:
        from escp.jsonui import JsonUi  # lazy: few need it

        JsonUi(Lines(sys.stdout), Lines(sys.stderr)).end(error)


def print_page(text: str) -> None:
    """Help, version or licence on standard output."""
    Lines(sys.stdout).write(text.rstrip("\n"))


def _make_ui(
    *,
    json: bool,
    is_quiet: bool = False,
    verbosity: int = 0,
    shows_bits: bool = False,
    log: "TransferLog | None" = None,
) -> "TextUi":
    err = Lines(sys.stderr)
    if json:
        from escp.jsonui import JsonUi  # lazy: few need it

        return JsonUi(Lines(sys.stdout), err, verbosity=verbosity, log=log)
    from escp.textui import TextUi  # not at the top: pages need none

    return TextUi(
        err, out=Lines(sys.stdout), is_quiet=is_quiet, verbosity=verbosity, shows_bits=shows_bits, log=log
    )
