"""What the initiator's log hears of a run."""

from escp.errors import EscpError, LocalFileError, describe_errno
from escp.ui.display import cut_foreign
from escp.ui.events import Events
from escp.ui.log import TransferLog
from escp.ui.progress import StartInfo, Summary
from escp.ui.summary import find_exit_code
from escp.ui.words import MAX_WORDS_COLUMNS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from escp.ui.difference import Difference

MAX_LOGGED_WORDS = 1000  # lines of ssh's: what a host says without end must not fill a disk


class LogLines(Events):
    """*warn*: tells everybody that the log can't be written to any more."""

    def __init__(self, log: TransferLog, warn: "Callable[[str], None]"):
        self._log: TransferLog | None = log
        self._warn = warn
        self._n_words = 0

    def begin(self, info: StartInfo) -> None:
        what = info._asdict()
        del what["sources"]
        self._write("start", **what)

    def file_error(
        self, path: bytes, message: str, *, host: str | None, sys_errno: int = 0, is_passing: bool = False
    ) -> None:
        self._write("error", is_error=True, path=path, host=host, message=message)

    def itemized(self, path: bytes, reason: str, kind: str, size: int, *, is_dry_run: bool) -> None:
        if not is_dry_run:
            self._write("item", path=path, reason=reason, kind=kind, bytes=size)

    def differs(self, difference: "Difference") -> None:
        self._write("difference", path=difference.path, status=difference.status, message=difference.text)

    def checked(self, n_files: int, n_bytes: int, counts: dict[str, int]) -> None:
        numbers: dict[str, bytes | str | int | float | None] = {**counts}
        self._write("checked", is_error=False, files=n_files, bytes=n_bytes, **numbers)

    def deleted(self, path: bytes, *, is_dry_run: bool) -> None:
        if not is_dry_run:
            self._write("deleted", path=path)

    def warn(self, text: str) -> None:
        self._write("warning", message=text)

    def words(self, host: str, line: str) -> None:
        for part in cut_foreign(line, MAX_WORDS_COLUMNS):
            self._n_words += 1
            if self._n_words <= MAX_LOGGED_WORDS:
                self._write("ssh", host=host, message=part)

    def finish(self, summary: Summary, error: EscpError | None = None) -> None:
        error = error or self.failure
        what = summary._asdict()
        del what["phases"]
        self._write("summary", exit_code=find_exit_code(summary, error), **what)
        if error is not None:
            self.fail(error)
        if self._log is not None and not self._log.flush():
            self._give_up(self._log)

    def fail(self, error: EscpError) -> None:
        self._write("failure", is_error=True, exit_code=error.exit_code, message=str(error), hint=error.hint)

    def close(self) -> None:
        if self._log is not None:
            log, self._log = self._log, None
            log.flush()
            log.close()

    def _give_up(self, log: TransferLog) -> None:
        self._log = None
        log.close()
        reason = describe_errno(log.failure) if log.failure else "nobody reads it"
        self.failure = LocalFileError(
            f"can't write to the log file: {reason}", "what was copied is whole: only the log is not"
        )
        self._warn(f"the log file cannot be written to any more: {reason}")

    def _write(
        self, event: str, *, is_error: bool = False, **fields: bytes | str | int | float | None
    ) -> None:
        if self._log is not None and not self._log.write(event, is_error=is_error, **fields):
            self._give_up(self._log)
