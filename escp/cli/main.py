"""main(): runs what the command line asks for and turns errors into exit codes. The only place that exits.

Each verb is imported where it is run: an agent, which comes here too, needs none of them.
"""

import os
import sys
import time

from escp.constants import SERVER, TLS_LOGIN
from escp.errors import EscpError, InterruptedBySignal, LocalFileError, RemoteFileError, explain_import
from escp.lean.signals import SIGINT
from escp.process.environment import unpacked_folder
from escp.process.shortages import explain_shortage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from escp.options.options import Options


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
        return _run_agent(argv)
    if argv[:1] == [TLS_LOGIN]:
        return _run_login(argv[1:])
    code = _run_command(argv, start_s)
    try:
        from escp.ui.ui import settle  # lazy, as is all here
    except (ImportError, MemoryError, OSError):  # nothing was told by it, either
        return code
    try:
        return settle(code)
    except BaseException as e:
        from escp.process.interrupts import Interrupted  # lazy: no page needs it

        if not isinstance(e, Interrupted | KeyboardInterrupt):
            raise
        return 128 + (e.number if isinstance(e, Interrupted) else SIGINT)


def _run_command(argv: list[str], start_s: float) -> int:
    is_json = "--json" in argv or os.environ.get("ESCP_JSON", "").lower() in ("1", "true", "yes", "on")
    options = None
    try:
        if argv in (["--version"], ["-V"]):  # scripts ask for it, and --push-agent: without all the options
            from escp.cli.pages import show_version  # lazy, as is all here

            return show_version(verbose=False)
        from escp.options.options import parse_options  # not at the top: the agent has no options

        options = parse_options(argv)
        is_json = options.json
        return _run_verb(options, argv, start_s)
    except Exception as e:
        error = _explain(e)
        if error is None:
            raise
    try:
        from escp.ui.ui import show_early_failure

        show_early_failure(error, is_json=is_json, options=options)
    except (ImportError, MemoryError, OSError):
        _say(error)
    return error.exit_code


def _run_agent(argv: list[str]) -> int:
    try:
        from escp.agent.agent import run_agent  # not at the top, as all verbs

        return run_agent(argv)
    except Exception as e:
        error = _explain(e)
        if error is None:
            raise
        _say(error)  # remote/child knows this form
        return RemoteFileError.exit_code if isinstance(error, LocalFileError) else error.exit_code


def _run_login(words: list[str]) -> int:
    """In ssh's place."""
    try:
        try:
            from escp.tls.login import run_login  # lazy, as all verbs
        except ImportError as e:
            from escp.tls.keyfiles import explain_missing  # lazy, as above

            raise explain_missing(e) from e
        return run_login(words)
    except Exception as e:
        error = _explain(e)
        if error is None:
            raise
        _say(error)
        return error.exit_code


def _explain(error: Exception) -> EscpError | None:
    """The error that kept escp from starting; None: it is a bug."""
    if isinstance(error, EscpError):
        return error
    if said := explain_shortage(error):
        return LocalFileError(*said)
    return explain_import(error) if isinstance(error, ImportError) else None


def _say(error: EscpError) -> None:
    """Tell it without `ui`: there may be too little of something to load that."""
    os.write(2, f"escp: error: {error}\nescp: hint: {error.hint}\n".encode(errors="replace"))


def _run_verb(options: "Options", argv: list[str], start_s: float) -> int:
    if options.shows_help or options.shows_version or options.shows_licence:
        from escp.cli.pages import show_page  # lazy, as is all here

        return show_page(options)
    if options.shows_config or options.checks_config:
        from escp.cli.settings import run_settings  # lazy, as is all here

        return run_settings(options, argv)
    if options.listens or options.makes_ca or options.makes_certificate or options.revokes:
        from escp.cli.certificates import run_tls  # lazy, as is all here

        return run_tls(options)
    from escp.process.interrupts import Interrupted

    try:
        if options.is_selftest or options.is_doctor:
            from escp.cli.checkup import run_checkup

            return run_checkup(options, start_s)
        if options.checks is not None:
            from escp.cli.check import run_check

            return run_check(options, start_s)
        if options.cleans_agents:
            from escp.cli.clean import run_cleaning

            return run_cleaning(options)
        from escp.cli.copy import run_copy

        return run_copy(options, start_s)
    except Interrupted as e:
        from escp.process.leaving import is_to_be_told  # lazy, as is all here

        if is_to_be_told():
            raise InterruptedBySignal(e.number) from e
        return 128 + e.number
