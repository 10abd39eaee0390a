"""`--metrics FILE`: how a run ended, in Prometheus' text format, for node_exporter's textfile collector."""

import os
import time
from contextlib import suppress

from escp.errors import LocalFileError, describe_errno
from escp.process.environment import find_real
from escp.process.replacing import WHY_NOT, is_foreign
from escp.ui.display import to_valid_text
from escp.ui.events import Events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from escp.errors import EscpError
    from escp.ui.progress import Summary

# Name, what it is, and whether it is known of a run that ended early.
_GAUGES = (
    ("exit_code", "Exit status of the last run."),
    ("success", "1 if its exit status was 0."),
    ("end_time_seconds", "When the last run ended, in seconds since 1970."),
    ("files", "Files that the last run copied."),
    ("directories", "Directories that the last run copied."),
    ("failed", "Files that failed in the last run."),
    ("skipped", "Files that the last run did not copy because they were at the target."),
    ("bytes", "Bytes of file data that the last run copied."),
    ("network_bytes", "Bytes that the last run's data streams carried."),
    ("seconds", "Duration of the last run."),
)
_START = b"# HELP escp_last_run_"


class Metrics(Events):
    """Writes the file once, under a temporary name that is then renamed; a pipe or device as it is.

    *warn*: tells everybody that it can't be written. Raises LocalFileError where that shows at once.
    """

    def __init__(self, path: str, warn: "Callable[[str], None]"):
        self._shown = path
        self._path = find_real(path)
        # /dev/null, or a pipe: not to be replaced by a file.
        self._is_stream = os.path.exists(path) and not os.path.isfile(path)
        self._warn = warn
        if os.path.isdir(path) or not os.access(os.path.dirname(self._path), os.W_OK | os.X_OK):
            raise LocalFileError(
                f"can't write metrics to '{path}'", "name a file in a directory that can be written to"
            )
        if is_foreign(path, _START):
            raise LocalFileError(
                f"can't write metrics to '{path}': {WHY_NOT}", "name another one, or remove it first"
            )

    def finish(self, summary: "Summary", error: "EscpError | None" = None) -> None:
        from escp.ui.summary import find_exit_code  # lazy: few runs have metrics

        code = find_exit_code(summary, error)
        self._write(
            code,
            {
                "files": summary.files, "directories": summary.directories, "failed": summary.n_failed,
                "skipped": summary.n_skipped, "bytes": summary.bytes, "network_bytes": summary.bytes_network,
                "seconds": round(summary.seconds, 3),
            },
        )  # fmt: skip

    def leave(self, exit_code: int) -> None:
        self._write(exit_code, {})

    def replaced(self, program: str, exit_code: int) -> None:
        self._write(exit_code, {})

    def fail(self, error: "EscpError") -> None:
        self._write(error.exit_code, {})

    def _write(self, exit_code: int, values: dict[str, float]) -> None:
        known = {"exit_code": exit_code, "success": int(exit_code == 0), "end_time_seconds": int(time.time())}
        text = _format(os.path.basename(self._shown).removesuffix(".prom"), {**known, **values})
        data = text.encode()
        try:
            self._pour(data) if self._is_stream else self._replace(data)
        except OSError as e:
            self._warn(f"can't write metrics to '{self._shown}': {describe_errno(e.errno or 0)}")

    def _pour(self, data: bytes) -> None:
        fd = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            os.write(fd, data)  # so little fits into any pipe
        finally:
            os.close(fd)

    def _replace(self, data: bytes) -> None:
        if is_foreign(self._path, _START):  # what was copied has that name
            self._warn(f"can't write metrics to '{self._shown}': {WHY_NOT}")
            return
        folder, name = os.path.split(self._path)
        temporary = os.path.join(folder, f".{name}.{os.getpid()}")
        try:
            with open(temporary, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.rename(temporary, self._path)
        except OSError:
            with suppress(OSError):
                os.unlink(temporary)
            raise


def _format(job: str, values: dict[str, float]) -> str:
    """Of a run that ended early only what is known. The file's name tells runs for different things apart."""
    label = to_valid_text(job).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    lines = []
    for name, help_text in _GAUGES:
        if name in values:
            full = f"escp_last_run_{name}"
            lines += [f"# HELP {full} {help_text}", f"# TYPE {full} gauge"]
            lines.append(f'{full}{{job="{label}"}} {values[name]}')
    return "\n".join(lines) + "\n"
