"""The copy itself, as the command line asks for it.

ssh is started as early as possible; what the copy itself needs is imported while it logs in.
"""

import os
import stat

from escp.cli.verb import Agents, guard
from escp.errors import SomeFailedError, UsageError, describe_errno
from escp.process.interrupts import handle_signals, interrupt, note

TYPE_CHECKING = False
if TYPE_CHECKING:
    from escp.options.options import Options


def _check_sources(options: "Options") -> None:
    """What can be said before ssh is bothered; of several sources a missing one is told in its turn."""
    from escp.names.landing import base_name

    for source in options.sources:
        base_name(source.path)
    if len(options.sources) != 1 or options.sources[0].is_remote or options.filelist is not None:
        return
    path = options.sources[0].path
    try:
        is_directory = stat.S_ISDIR((os.lstat if options.keeps_links else os.stat)(path).st_mode)
    except OSError as e:
        raise SomeFailedError(f"{os.fsdecode(path)}: {describe_errno(e.errno or 0)}") from e
    except ValueError as e:
        raise SomeFailedError(f"{os.fsdecode(path)}: {e}") from e
    if is_directory and not options.is_recursive:
        raise SomeFailedError(f"{os.fsdecode(path)}: is a directory", "copy directories with -r")


def run_copy(options: "Options", start_s: float) -> int:
    from escp.names.sources import SourceQueue

    handle_signals(interrupt)
    _check_sources(options)
    sources = SourceQueue(options)
    has_sources, origin = sources.next_host()
    if not has_sources:
        raise UsageError(f"the file list '{options.filelist}' is empty", "there is nothing to copy")
    agents = Agents(options)
    try:
        if origin is not None or options.target.is_remote:
            agents.start_early(origin or options.target)
        # Not at the top: ssh logs in meanwhile.
        handle_signals(note)
        from escp.jobs.copy import Copy
        from escp.ui.report import Report
        from escp.ui.summary import find_exit_code

        handle_signals(interrupt)
        with Report(options, start_s) as report:

            def copy() -> int:
                one = Copy(options, sources, agents.get, report)
                summary = report.summarize(one.run())
                report.finish(summary, one.first_failure)
                return find_exit_code(summary, one.first_failure or report.first_failure)

            code = guard(report, copy)
            agents.stop()  # what ssh says at its end belongs into the log, too
            return code
    finally:
        agents.stop()
