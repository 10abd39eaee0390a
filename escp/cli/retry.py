"""`--retry TIMES`: the whole copy once more, over a new login, if what ended it may have passed by then."""

import os
import time

from escp.errors import EscpError, NetworkError, SshError, TimeUpError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from escp.options.options import Options
    from escp.ui.events import Events

FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 300.0
_TICK_S = 0.1


def check_sources(options: "Options") -> None:
    """Raises UsageError for sources that can be read, and a target that can be written to, only once."""
    if not options.n_retries:
        return
    if options.writes_standard_output:
        raise UsageError("option --retry: standard output can't be taken back", "leave the option out")
    name = options.filelist
    if name is not None and (name == "-" or (os.path.exists(name) and not os.path.isfile(name))):
        shown = "standard input" if name == "-" else f"'{name}'"
        raise UsageError(
            f"option --retry: the file list in {shown} can be read only once", "write it into a file first"
        )


def run_again(options: "Options", attempt: "Callable[[], int]", report: "Events", due_s: float) -> int:
    """What *attempt* returns, made up to N times more. *due_s*: of --stop-after."""
    for n in range(options.n_retries):
        try:
            return attempt()
        except EscpError as e:
            if not (e.is_retryable and isinstance(e, NetworkError | SshError)):
                raise
            pause_s = find_pause(n, os.urandom(1)[0] / 255)
            report.warn(f"{e}: trying again in {pause_s:.0f} s ({n + 1} of {options.n_retries})")
            _wait(pause_s, report, due_s)
    return attempt()


def find_pause(n: int, chance: float) -> float:
    """Seconds before try *n*, counted from 0; *chance*, 0 to 1, keeps many that failed at once apart."""
    return float(min(FIRST_PAUSE_S * 2**n, LONGEST_PAUSE_S)) * (0.75 + chance / 4)


def _wait(pause_s: float, report: "Events", due_s: float) -> None:
    """A signal ends it at once: its handler raises."""
    end_s = time.monotonic() + pause_s
    while (left_s := end_s - time.monotonic()) > 0:
        if time.monotonic() >= due_s:
            raise TimeUpError
        report.wait_for("the next try", lambda: False)
        report.tick()
        time.sleep(min(_TICK_S, left_s))
