"""`--notify COMMAND`: run by the shell when all is done, with what came of the run in its environment."""

import os
import time

from escp.process.children import exit_code
from escp.process.environment import child_environment
from escp.ui.events import Events
from escp.ui.fields import explain_replaced

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from escp.errors import EscpError
    from escp.ui.progress import Summary

PATIENCE_S = 60.0
_POLL_S = 0.02
_MAX_TEXT = 16384  # characters of an error, which another host may have written: no variable may hold 128 KiB


class Notice(Events):
    """*warn*: tells everybody that the command failed, which changes nothing of the run's exit status."""

    def __init__(self, command: str, warn: "Callable[[str], None]"):
        self._command = command
        self._warn = warn

    def finish(self, summary: "Summary", error: "EscpError | None" = None) -> None:
        from escp.ui.summary import find_exit_code  # lazy: few runs notify anybody

        self._run(
            EXIT_CODE=find_exit_code(summary, error), ERROR=error or "", FILES=summary.files,
            DIRECTORIES=summary.directories, BYTES=summary.bytes, FAILED=summary.n_failed,
            SKIPPED=summary.n_skipped, SECONDS=f"{summary.seconds:.3f}",
        )  # fmt: skip

    def leave(self, exit_code: int) -> None:
        self._run(EXIT_CODE=exit_code, ERROR="")

    def replaced(self, program: str, exit_code: int) -> None:
        self._run(EXIT_CODE=exit_code, ERROR=explain_replaced(program, exit_code) or "")

    def fail(self, error: "EscpError") -> None:
        self._run(EXIT_CODE=error.exit_code, ERROR=error)

    def _run(self, **values: object) -> None:
        """What it writes goes to standard error: standard output is escp's own."""
        told = {
            f"ESCP_RESULT_{name}".encode(): os.fsencode(str(value)[:_MAX_TEXT].replace("\0", "\ufffd"))
            for name, value in values.items()
        }
        nothing = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
        try:
            pid = os.posix_spawn(
                "/bin/sh", ["sh", "-c", self._command], {**child_environment(), **told},
                file_actions=[nothing, (os.POSIX_SPAWN_DUP2, 2, 1)],
            )  # fmt: skip
        except OSError as e:
            self._warn(f"the command of --notify can't be started: {e.strerror}")
            return
        code = _wait(pid)
        if code is None:
            self._warn(f"the command of --notify was ended: it took more than {PATIENCE_S:.0f} s")
        elif code:
            self._warn(f"the command of --notify failed: exit status {code}")


def _wait(pid: int) -> int | None:
    """Its exit status, 128 + n after signal n; None: it took too long."""
    end_s = time.monotonic() + PATIENCE_S
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return exit_code(status)
        if time.monotonic() > end_s:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            return None
        time.sleep(_POLL_S)
