"""What a person sees: messages and the summary on stderr, and the meter where that is a terminal.

A reader that went away (`escp … 2>&1 | head`) silences a stream; the copy goes on. See `ui` for the calls.
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from escp.errors import EXIT_OK, EXIT_SOME_FAILED, EscpError
from escp.ui.display import (
    cut_foreign,
    format_bytes,
    format_count,
    format_duration,
    format_rate,
    show_foreign,
    show_name,
    show_text,
)
from escp.ui.lines import Lines
from escp.ui.log import TransferLog
from escp.ui.progress import RateMeter, Snapshot, StartInfo, Summary

if TYPE_CHECKING:
    from escp.ui.finding import Check, Finding
    from escp.ui.meter import Meter

MAX_LOGGED_WORDS = 1000  # lines of ssh's: what a host says without end must not fill a disk
MAX_WORDS_COLUMNS = 4096  # of such a line, with what is escaped in it; a longer one becomes several
FIRST_DRAW_S = 0.3  # a copy that is done by then gets no meter, and needs no rich


class TextUi:
    """For people: messages and the summary on stderr, and the meter where that is a terminal."""

    def __init__(
        self,
        err: Lines,
        *,
        out: Lines | None = None,
        is_quiet: bool = False,
        verbosity: int = 0,
        shows_bits: bool = False,
        log: TransferLog | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._err = err
        self._out = out or Lines(None)
        self._is_quiet = is_quiet
        self._verbosity = verbosity
        self._shows_bits = shows_bits
        self._log = log
        self._clock = clock
        self._begin_s = 0.0
        self._rate: RateMeter | None = None
        self._meter: Meter | None = None
        self._has_meter = not is_quiet
        self._scope = ""  # of the last finding
        self._n_words = 0

    def begin(self, info: StartInfo) -> None:
        """The streams are open: the login is over, and with it ssh's questions on the terminal."""
        self._begin_s = self._clock()
        self._rate = RateMeter(self._clock)
        if not info.aead:
            self.note(f"{format_count(info.n_streams, 'thread')}, blocks of {info.block_bytes >> 10} KiB")
        else:
            where = "this host, embedded" if info.is_embedded else f"{info.host} {info.address}".strip()
            self.note(
                f"{format_count(info.n_streams, 'stream')} to {where}, "
                f"blocks of {info.block_bytes >> 10} KiB, AES-128-GCM by {info.aead}"
            )
        self._write_log("start", **info._asdict())

    def update(self, snapshot: Snapshot) -> None:
        """Show progress. Cheap enough for ten times a second; draws nothing in the first 0.3 s."""
        if self._rate is None:
            return
        self._rate.update(snapshot)
        if not self._has_meter or self._clock() - self._begin_s < FIRST_DRAW_S:
            return
        if not self._err.is_foreground_terminal():
            return
        try:
            if self._meter is None:
                self._meter = self._open_meter()
            self._meter.draw(snapshot, self._rate.rate_bytes_per_s, self._rate.eta_s)
        except (ImportError, OSError, ValueError):  # a meter is not worth a copy
            self._has_meter, self._meter = False, None

    def file_error(self, path: bytes, message: str, *, host: str | None) -> None:
        """One file failed, on *host* or, None, on this one; the session goes on."""
        name = show_name(path) if host is None else f"{show_text(host)}:{show_name(path)}"
        self._say(f"escp: error: {name}: {show_text(message)}")
        self._write_log("error", is_error=True, path=path, host=host, message=message)

    def listed(self, path: bytes) -> None:
        """What a dry run would copy, as a path at the target; on standard output, as a list to go on with."""
        if self._meter is not None:
            self._close_meter()
        self._out.write(show_name(path))

    def note(self, text: str) -> None:
        """Said with -v only."""
        if self._verbosity:
            self._say(f"escp: {show_text(text)}")

    def announce(self, text: str) -> None:
        """What takes its time before there is a meter."""
        if not self._is_quiet:
            self._say(f"escp: {show_text(text)}")

    def warn(self, text: str) -> None:
        if not self._is_quiet:
            self._say(f"escp: warning: {show_text(text)}")
        self._write_log("warning", message=text)

    def words(self, host: str, line: str) -> None:
        """A line of the standard error of *host*'s ssh."""
        for part in cut_foreign(line, MAX_WORDS_COLUMNS):
            self._say_as(host or "this host", part)
            self._n_words += 1
            if self._n_words <= MAX_LOGGED_WORDS:
                self._write_log("ssh", host=host, message=part)

    def trace(self, text: str) -> None:
        """Where a bug was met, before `fail` tells of it; a peer's words may be in the exception's."""
        for line in text.rstrip("\n").split("\n"):
            self._say_as("trace", line)

    def finish(self, summary: Summary, error: EscpError | None = None) -> None:
        """The session ran to its end. `error` is what the exit status will be about, if it is not 0 or 1."""
        self._close_meter()
        if not self._is_quiet:
            self._say(f"escp: {compose_summary(summary, shows_bits=self._shows_bits)}")
            network = format_bytes(summary.bytes_network)
            rate = format_rate(summary.rate_bytes_per_s, in_bits=self._shows_bits)
            self.note(f"{format_duration(summary.data_seconds)} of data at {rate}, {network} on the network")
        self._write_log("summary", exit_code=find_exit_code(summary, error), **summary._asdict())
        if error is not None:
            self._say_error(error)

    def finding(self, finding: "Finding", *, host: str) -> None:
        """Of --doctor: lines on standard output, under a headline for each host. Quiet: what matters."""
        from escp.ui.finding import NOTE, OK, format_finding, format_scope  # lazy: no copy needs it

        if self._is_quiet and finding.status in (OK, NOTE):
            return
        if finding.scope != self._scope:
            self._scope = finding.scope
            self._out.write(format_scope(finding.scope, host))
        for line in format_finding(finding):
            self._out.write(line)

    def check(self, check: "Check") -> None:
        """Of --selftest."""
        from escp.ui.finding import format_check  # lazy: as above

        for line in format_check(check) if not (self._is_quiet and check.is_ok) else ():
            self._out.write(line)

    def conclude(self, exit_code: int, text: str) -> None:
        """The last word of --doctor and --selftest."""
        if not self._is_quiet:
            self._out.write(text)

    def fail(self, error: EscpError) -> None:
        """The session ended early, or never began."""
        self._close_meter()
        self._say_error(error)

    def close(self) -> None:
        """Remove the meter and close the log; may be called twice, and always should be once."""
        self._close_meter()
        if self._log is not None:
            self._log.close()
            self._log = None

    def _say_error(self, error: EscpError) -> None:
        self._say(f"escp: error: {show_text(str(error))}")
        if error.hint:
            self._say(f"escp: hint: {show_text(error.hint)}")
        if error.__cause__ is not None:
            self.note(f"caused by: {type(error.__cause__).__name__}: {error.__cause__}")
        self._write_log(
            "failure", is_error=True, exit_code=error.exit_code, message=str(error), hint=error.hint
        )

    def _say_as(self, who: str, line: str) -> None:
        """A line of somebody else's. Each row of the terminal says whose, or one could look like escp's.

        Looking for such lines would not do: there are other letters, and blanks up to the terminal's edge.
        """
        whose = f"{show_foreign(who)}: "
        if whose.lower().startswith("escp:"):  # a host of that name
            whose = f"host {whose}"
        n_columns = self._err.find_columns()
        if n_columns is None:
            pieces = [line]
        else:
            whose = whose if len(whose) <= n_columns // 2 else f"{whose[: max(0, n_columns // 2 - 2)]}: "
            pieces = cut_foreign(line, max(1, n_columns - len(whose)))
        for piece in pieces:
            self._say(whose + show_foreign(piece))

    def _say(self, line: str) -> None:
        if self._meter is None:
            self._err.write(line)
            return
        try:
            self._meter.print_above(line)
        except (OSError, ValueError):
            self._meter = None
            self._err.silence()

    def _open_meter(self) -> "Meter":
        from escp.ui.meter import Meter  # lazy: rich takes 50 ms and more to load

        assert self._err.stream is not None
        return Meter(self._err.stream, shows_bits=self._shows_bits)

    def _close_meter(self) -> None:
        meter, self._meter = self._meter, None
        try:
            if meter is not None:
                meter.close()
        except (OSError, ValueError):
            self._err.silence()

    def _write_log(
        self, event: str, *, is_error: bool = False, **fields: bytes | str | int | float | None
    ) -> None:
        if self._log is not None and not self._log.write(event, is_error=is_error, **fields):
            self._log.close()
            self._log = None
            self.warn("the log file cannot be written to any more")


def compose_summary(summary: Summary, *, shows_bits: bool) -> str:
    """'20,000 files, 82 MB in 1.4 s (58 MB/s), verified'. The rate is that of the whole run."""
    rate = format_rate(summary.bytes / max(summary.seconds, 1e-3), in_bits=shows_bits)
    parts = [
        format_count(summary.files, "file"),
        f"{format_bytes(summary.bytes)} in {format_duration(summary.seconds)} ({rate})",
    ]
    if summary.files == 0 and summary.directories:
        parts.insert(0, format_count(summary.directories, "directory"))
    if summary.is_dry_run:
        parts = [f"would copy {parts[-2 if summary.directories and not summary.files else 0]}"]
    if summary.n_skipped:
        parts.append(f"{summary.n_skipped:,} unchanged")
    if summary.n_failed:
        parts.append(f"{summary.n_failed:,} failed")
    if summary.is_dry_run:
        pass
    elif summary.is_verified:
        parts.append("the others verified" if summary.n_failed else "verified")
    else:
        parts.append("not verified")
    if summary.is_dummy:
        parts.append("no disk used")
    return ", ".join(parts)


def find_exit_code(summary: Summary, error: EscpError | None) -> int:
    """The exit status of a session that ran to its end."""
    if error is not None:
        return error.exit_code
    return EXIT_SOME_FAILED if summary.n_failed else EXIT_OK
