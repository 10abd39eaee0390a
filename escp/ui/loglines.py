"""What the initiator's log hears of a run."""

from escp.errors import EscpError, LocalFileError, describe_errno, name_errno
from escp.ui.display import cut_foreign
from escp.ui.events import Events
from escp.ui.fields import (
    describe_failure,
    describe_session,
    describe_start,
    describe_summary,
    explain_replaced,
)
from escp.ui.log import TransferLog
from escp.ui.progress import StartInfo, Summary
from escp.ui.summary import find_exit_code
from escp.ui.words import MAX_WORDS_COLUMNS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from escp.ui.difference import Difference

MAX_LOGGED_WORDS = 1000  # lines of ssh's: what a host says without end must not fill a disk


class LogLines(Events):
    """*warn*: tells everybody that the log can't be written to any more. *about*: what was asked for."""

    def __init__(
        self,
        log: TransferLog,
        warn: "Callable[[str], None]",
        about: StartInfo | None = None,
        *,
        is_listing: bool = True,
        lists_files: bool = False,
    ):
        self._log: TransferLog | None = log
        self._warn = warn
        self._n_words = 0
        self._about = {} if about is None else describe_start(about)
        self._hosts: dict[str, None] = {}  # the others, each once
        self._is_listing, self._lists_files = is_listing, lists_files
        self._is_told = False  # the session's line is written

    def begin(self, info: StartInfo) -> None:
        what = describe_start(info)
        self._hosts[info.host] = None
        self._about = {**what, "host": ",".join(filter(None, self._hosts))}
        self._write("start", **what)

    def file_error(
        self, path: bytes, message: str, *, host: str | None, sys_errno: int = 0, is_passing: bool = False
    ) -> None:
        self._write(
            "error", is_error=True, path=path, host=host, message=message, errno=name_errno(sys_errno),
            retryable=is_passing,
        )  # fmt: skip

    def itemized(self, path: bytes, reason: str, kind: str, size: int, *, is_dry_run: bool) -> None:
        if not is_dry_run and self._is_listing:
            self._write("item", path=path, reason=reason, kind=kind, bytes=size)

    def differs(self, difference: "Difference") -> None:
        self._write("difference", path=difference.path, status=difference.status, message=difference.text)

    def checked(self, n_files: int, n_bytes: int, counts: dict[str, int]) -> None:
        numbers: dict[str, bytes | str | int | float | None] = {**counts}
        self._write("checked", is_error=False, files=n_files, bytes=n_bytes, **numbers)

    def arrived(self, path: bytes, kind: str, size: int, digest: bytes) -> None:
        if self._lists_files:
            self._write("file", path=path, kind=kind, bytes=size, digest=digest.hex() or None, ok=True)

    def deleted(self, path: bytes, *, is_dry_run: bool) -> None:
        if not is_dry_run:
            self._write("deleted", path=path)

    def warn(self, text: str, *, turn: str = "") -> None:
        self._write("warning", message=text)

    def words(self, host: str, line: str) -> None:
        for part in cut_foreign(line, MAX_WORDS_COLUMNS):
            self._n_words += 1
            if self._n_words <= MAX_LOGGED_WORDS:
                self._write("ssh", host=host, message=part)

    def finish(self, summary: Summary, error: EscpError | None = None) -> None:
        error = error or self.failure
        exit_code = find_exit_code(summary, error)
        numbers = describe_summary(summary)
        self._write("summary", exit_code=exit_code, **numbers)
        if error is not None:
            self._tell_failure(error)
        self._tell_session(numbers, exit_code, error)
        if self._log is not None and not self._log.flush():
            self._give_up(self._log)

    def fail(self, error: EscpError) -> None:
        self._tell_failure(error)
        self._tell_session({}, error.exit_code, error)

    def replaced(self, program: str, exit_code: int) -> None:
        error = explain_replaced(program, exit_code)
        if error is not None:
            self._tell_failure(error)
        self._tell_session({}, exit_code, error, f"{program} copied in escp's place")

    def _tell_failure(self, error: EscpError) -> None:
        self._write("failure", is_error=True, exit_code=error.exit_code, message=str(error), hint=error.hint)

    def _tell_session(
        self, numbers: "Mapping[str, object]", exit_code: int, error: EscpError | None, message: str = ""
    ) -> None:
        """One line, whatever came of it."""
        if self._about and not self._is_told:
            self._is_told = True
            line = describe_session(self._about, numbers, exit_code, describe_failure(error) or message)
            del line["role"]
            self._write("session", **line)

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

    def _write(self, event: str, *, is_error: bool = False, **fields: object) -> None:
        if self._log is not None and not self._log.write(event, is_error=is_error, **fields):
            self._give_up(self._log)
