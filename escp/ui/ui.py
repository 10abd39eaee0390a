"""Who is told of one run: text or JSON lines, and the log. Only they and `cli` print."""

import errno
import os
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
from escp.ui.lines import Lines, find_lines, write_product

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

    from escp.options.options import Options
    from escp.ui.events import Events, Listeners
    from escp.ui.jsonlines import JsonUi


def add_listeners(ui: "Listeners", options: "Options") -> None:
    """Those that the options ask for. Raises LocalFileError if a log that was named can't be opened."""
    without_log = add_log(ui, options)
    ui.add(
        make_bare_ui(
            json=options.json,
            is_quiet=options.is_quiet,
            verbosity=options.verbosity,
            shows_bits=options.shows_bits,
            stats_s=options.stats_s,
            is_comparing=options.compares_digests,
            is_itemizing=options.itemizes,
            has_other_output=options.writes_standard_output or options.json_fd == 1,
        )
    )

    if options.json_fd is not None:
        ui.add(make_json_ui(options.json_fd, options.verbosity, options.stats_s))
    _add_hooks(ui, options)
    if without_log:
        ui.warn(without_log)


def add_log(ui: "Listeners", options: "Options") -> str:
    """The log, if there is to be one. Raises as above.

    Returns why there is none where a configuration asks for it, which is no reason not to copy.
    """
    if options.logfile is None:
        return ""
    # Not at the top: most have none.
    from escp.ui.fields import name_command
    from escp.ui.log import TransferLog
    from escp.ui.loglines import LogLines
    from escp.ui.progress import StartInfo

    try:
        log = TransferLog(options.logfile)
    except LocalFileError as e:
        if not options.is_logfile_configured:
            raise
        return str(e)
    places = (options.target, *options.sources)
    host = ",".join(dict.fromkeys(place.host for place in places if place.host))  # until a copy begins
    about = StartInfo(host, 0, 0, "")._replace(**name_command(options))
    ui.add(LogLines(log, ui.warn, about, is_listing=options.itemizes, lists_files=options.logs_files))
    return ""


def _add_hooks(ui: "Listeners", options: "Options") -> None:
    """What happens at the end."""
    if options.metrics is not None:
        from escp.ui.metrics import Metrics  # lazy: few runs have them

        ui.add(Metrics(options.metrics, ui.warn))
    if options.notify is not None:
        from escp.ui.notice import Notice  # lazy: as above

        ui.add(Notice(options.notify, ui.warn))


def show_early_failure(error: EscpError, *, is_json: bool, options: "Options | None" = None) -> None:
    """Report an error from before there was a report: bad usage, or a log that can't be opened."""
    listeners: list[Events] = [make_bare_ui(json=is_json)]
    if options is not None and options.json_fd is not None:
        listeners.append(make_json_ui(options.json_fd))
    if options is not None:
        from escp.ui.events import Listeners  # lazy: errors are rare

        hooks = Listeners()
        for listener in listeners:
            hooks.add(listener)
        try:  # not by contextlib, which a local copy would load for this alone
            _add_hooks(hooks, options)
        except LocalFileError:
            hooks.fail(error)  # which is that one
            return
        hooks.fail(error)
        return
    listeners[0].fail(error)


def make_json_uis(options: "Options") -> "list[JsonUi]":
    """For a verb that tells without a report: --json, --json-fd, both or none."""
    if not options.json and options.json_fd is None:
        return []
    from escp.ui.jsonlines import JsonUi  # lazy: few need it

    found = [JsonUi(find_lines(sys.stdout), find_lines(sys.stderr))] if options.json else []
    return found if options.json_fd is None else [*found, make_json_ui(options.json_fd)]


def make_json_ui(fd: int, verbosity: int = 0, stats_s: float = 0) -> "JsonUi":
    """JSON lines to a descriptor that the user has opened, beside what people are told."""
    from escp.ui.jsonlines import JsonUi  # lazy: few need it

    out = find_lines(_open_lines(fd))
    return JsonUi(out, Lines(None), verbosity=verbosity, stats_s=stats_s)


_opened: "dict[int, TextIO]" = {}


def _open_lines(fd: int) -> "TextIO":
    if fd not in _opened:
        _opened[fd] = os.fdopen(fd, "w", encoding="ascii", closefd=False)
    return _opened[fd]


def print_page(text: str) -> None:
    """Help, version, licence, or a line of what else a command is for, on standard output."""
    write_product(find_lines(sys.stdout), text.rstrip("\n"))


def has_json_output(options: "Options") -> bool:
    """Whether standard output is for JSON lines, and for nothing else."""
    return options.json or options.json_fd == 1


def settle(exit_code: int) -> int:
    """Wait until all output is written. Returns the exit status: another one where some of it was lost."""
    out, err = find_lines(sys.stdout), find_lines(sys.stderr)
    is_hurried = exit_code >= EXIT_SIGNAL_BASE
    named = {fd: find_lines(stream) for fd, stream in _opened.items()}
    for lines in (out, err, *named.values()):
        lines.wait(is_hurried=is_hurried)
    if out.is_deserted and out.is_product and exit_code in (EXIT_OK, EXIT_SOME_FAILED):
        return ReaderGoneError().exit_code
    is_lost = False
    for name, lines in (("standard output", out), *((f"descriptor {fd}", one) for fd, one in named.items())):
        number = lines.check()
        if number and not lines.is_deserted:
            is_lost = True
            hint = "only what would have been told is lost, not what was copied"
            error = LocalFileError(f"can't write to {name}: {describe_errno(number)}", hint)
            make_bare_ui(json=False).fail(error)
            err.wait(is_hurried=True)
    is_lost |= err.check() not in (0, errno.EBADF) and not err.is_deserted  # EBADF: it was closed on purpose
    return EXIT_LOCAL_FS if is_lost and exit_code in (EXIT_OK, EXIT_SOME_FAILED) else exit_code


def make_bare_ui(
    *,
    json: bool,
    is_quiet: bool = False,
    verbosity: int = 0,
    shows_bits: bool = False,
    stats_s: float = 0,
    is_comparing: bool = False,
    is_itemizing: bool = False,
    has_other_output: bool = False,
) -> "Events":
    err = find_lines(sys.stderr)
    out = err if has_other_output else find_lines(sys.stdout)
    if json:
        from escp.ui.jsonlines import JsonUi  # lazy: few need it

        return JsonUi(out, err, verbosity=verbosity, stats_s=stats_s)
    from escp.ui.text import TextUi  # not at the top: pages need none

    return TextUi(
        err, out=out, is_quiet=is_quiet, verbosity=verbosity, shows_bits=shows_bits, stats_s=stats_s,
        is_comparing=is_comparing, is_itemizing=is_itemizing,
    )  # fmt: skip
