"""Who is told of one run: text or JSON lines, and the log. Only they and `cli` print."""

import errno
import sys

from escp.errors import (
    EXIT_LOCAL_FS,
    EXIT_OK,
    EXIT_SIGNAL_BASE,
    EXIT_SOME_FAILED,
    EscpError,
    LocalFileError,
    ReaderGoneError,
    describe_errno,
)
from escp.options.options import Options
from escp.ui.lines import find_lines, write_product

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
            stats_s=options.stats_s,
            is_comparing=options.compares_digests,
        )
    )


def show_early_failure(error: EscpError, *, is_json: bool) -> None:
    """Report an error from before there were options or a log: bad usage, or a log that can't be opened."""
    make_bare_ui(json=is_json).fail(error)


def print_page(text: str) -> None:
    """Help, version or licence on standard output."""
    write_product(find_lines(sys.stdout), text.rstrip("\n"))


def settle(exit_code: int) -> int:
    """Wait until all is read that was told; the exit status, which may be that it can't be told."""
    out, err = find_lines(sys.stdout), find_lines(sys.stderr)
    is_hurried = exit_code >= EXIT_SIGNAL_BASE
    for lines in (out, err):
        lines.wait(is_hurried=is_hurried)
    if out.is_deserted and out.is_product and exit_code in (EXIT_OK, EXIT_SOME_FAILED):
        return ReaderGoneError().exit_code
    number = out.check()
    if number and not out.is_deserted:
        reason = describe_errno(number)
        hint = "only what would have been told is lost, not what was copied"
        make_bare_ui(json=False).fail(LocalFileError(f"can't write to standard output: {reason}", hint))
        err.wait(is_hurried=True)
    is_lost = (number and not out.is_deserted) or (
        err.check() not in (0, errno.EBADF) and not err.is_deserted  # EBADF: it was closed on purpose
    )
    return EXIT_LOCAL_FS if is_lost and exit_code in (EXIT_OK, EXIT_SOME_FAILED) else exit_code


def make_bare_ui(
    *,
    json: bool,
    is_quiet: bool = False,
    verbosity: int = 0,
    shows_bits: bool = False,
    stats_s: float = 0,
    is_comparing: bool = False,
) -> "Events":
    out, err = find_lines(sys.stdout), find_lines(sys.stderr)
    if json:
        from escp.ui.jsonlines import JsonUi  # lazy: few need it

        return JsonUi(out, err, verbosity=verbosity, stats_s=stats_s)
    from escp.ui.text import TextUi  # not at the top: pages need none

    return TextUi(
        err, out=out, is_quiet=is_quiet, verbosity=verbosity, shows_bits=shows_bits, stats_s=stats_s,
        is_comparing=is_comparing,
    )  # fmt: skip
