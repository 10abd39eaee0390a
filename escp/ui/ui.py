"""Who is told of one run: text or JSON lines, and the log. Only they and `cli` print."""

import sys

from escp.errors import EscpError
from escp.options.options import Options
from escp.ui.lines import Lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from escp.ui.events import Events, Listeners


def add_listeners(ui: "Listeners", options: Options) -> None:
    """Those that the options ask for. Raises LocalFileError if the log can't be opened."""
    if options.logfile is not None:
        from escp.ui.log import TransferLog  # not at the top: most have none
        from escp.ui.loglines import LogLines  # not at the top, as above

        ui.add(LogLines(TransferLog(options.logfile), ui.warn))
    ui.add(
        make_bare_ui(
            json=options.json,
            is_quiet=options.is_quiet,
            verbosity=options.verbosity,
            shows_bits=options.shows_bits,
        )
    )


def show_early_failure(error: EscpError, *, is_json: bool) -> None:
    """Report an error from before there were options or a log: bad usage, or a log that can't be opened."""
    make_bare_ui(json=is_json).fail(error)


def show_words(host: str, line: str, *, is_json: bool) -> None:
    """What came through the standard error of the ssh to *host*, while it was cleaned."""
    make_bare_ui(json=is_json).words(host, line)


def print_page(text: str) -> None:
    """Help, version or licence on standard output."""
    Lines(sys.stdout).write(text.rstrip("\n"))


def make_bare_ui(
    *, json: bool, is_quiet: bool = False, verbosity: int = 0, shows_bits: bool = False
) -> "Events":
    err = Lines(sys.stderr)
    if json:
        from escp.ui.jsonlines import JsonUi  # lazy: few need it

        return JsonUi(Lines(sys.stdout), err, verbosity=verbosity)
    from escp.ui.text import TextUi  # not at the top: pages need none

    return TextUi(err, out=Lines(sys.stdout), is_quiet=is_quiet, verbosity=verbosity, shows_bits=shows_bits)
