"""What a person sees: messages and the summary on stderr, and the meter where that is a terminal.

A reader that went away (`escp … 2>&1 | head`) silences a stream; the copy goes on.
"""

import time
from collections.abc import Callable

from escp.errors import EscpError, ReaderGoneError
from escp.ui.display import format_bytes, format_count, format_duration, format_rate, show_name, show_text
from escp.ui.lines import Lines, write_product
from escp.ui.progress import RateMeter, Snapshot, StartInfo, Summary
from escp.ui.summary import compose_complete, compose_summary
from escp.ui.waiting import compose_progress, compose_waiting
from escp.ui.words import WordsUi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from escp.ui.difference import Difference
    from escp.ui.finding import Check, Finding
    from escp.ui.meter import Meter

FIRST_DRAW_S = 0.3  # a copy that is done by then gets no meter, and needs no rich


class TextUi(WordsUi):
    """For people: messages and the summary on stderr, and the meter where that is a terminal."""

    def __init__(
        self,
        err: Lines,
        *,
        out: Lines | None = None,
        is_quiet: bool = False,
        verbosity: int = 0,
        shows_bits: bool = False,
        stats_s: float = 0,
        is_comparing: bool = False,
        is_itemizing: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ):
        super().__init__(err, out or Lines(None), 0 if is_quiet else stats_s, clock)
        self._is_quiet = is_quiet
        self._verbosity = verbosity
        self._shows_bits = shows_bits
        self._is_itemizing = is_itemizing
        self._is_comparing = is_comparing  # contents here with contents there
        self._line_s = 0.0  # when a line to be written over was drawn; 0: there is none
        self._told_bytes = 0
        self._begin_s = 0.0
        self._rate: RateMeter | None = None
        self._snapshot: Snapshot | None = None
        self._meter: Meter | None = None
        self._has_meter = not is_quiet
        self._scope = ""  # of the last finding

    def begin(self, info: StartInfo) -> None:
        self._remove_line()
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

    def update(self, snapshot: Snapshot) -> None:
        """Show progress. Cheap enough for ten times a second; draws nothing in the first 0.3 s."""
        if self._rate is None:
            return
        self._snapshot = snapshot
        self._rate.update(snapshot)
        if not self._has_meter or self._clock() - self._begin_s < FIRST_DRAW_S:
            return
        if not self._err.is_foreground_terminal():
            return
        try:
            if self._meter is None:
                self._meter = self._open_meter()
        except ImportError:  # a meter is not worth a copy
            self._has_meter = False
        else:
            is_still = self._is_comparing and self._rate.rate_bytes_per_s < 1
            self._meter.draw(
                snapshot, self._rate.rate_bytes_per_s, self._rate.eta_s, "comparing" if is_still else ""
            )

    def wait_for(self, what: str, is_asking: Callable[[], bool]) -> None:
        if what != self._waiting.what:
            self._remove_line()
        super().wait_for(what, is_asking)

    def tick(self) -> None:
        now = self._clock()
        has_terminal = self._err.has_cursor
        if self._waiting.is_due(now, has_terminal=has_terminal):
            self._say(f"escp: {self._describe(now)}")
        elif has_terminal and not self._is_quiet and self._meter is None and now - self._line_s >= 1:
            self._draw_line(self._waiting.compose_line(now))

    def _describe(self, now: float) -> str:
        """What is waited for, or how far it is."""
        if self._waiting.what:
            return compose_waiting(self._waiting.what, self._waiting.seconds(now))
        if self._rate is None or self._snapshot is None:
            return "nothing is copied yet"
        snapshot, rate = self._snapshot, self._rate
        has_moved, self._told_bytes = snapshot.bytes_done != self._told_bytes, snapshot.bytes_done
        compared = ", comparing with what is there" if self._is_comparing and not has_moved else ""
        told = compose_progress(snapshot, rate.rate_bytes_per_s, rate.eta_s, in_bits=self._shows_bits)
        return told + compared

    def _draw_line(self, text: str) -> None:
        """Where the cursor is, and back: what ssh asks next is written over it."""
        n_columns = self._err.find_columns()
        if text and n_columns and self._err.is_foreground_terminal():
            self._line_s = self._clock()
            self._err.put(f"\r\x1b[2K{show_text(f'escp: {text}')[: n_columns - 1]}\r", may_drop=True)

    def _remove_line(self) -> None:
        if self._line_s:
            self._line_s = 0.0
            self._err.put("\r\x1b[2K")

    def file_error(
        self, path: bytes, message: str, *, host: str | None, sys_errno: int = 0, is_passing: bool = False
    ) -> None:
        name = show_name(path) if host is None else f"{show_text(host)}:{show_name(path)}"
        self._say(f"escp: error: {name}: {show_text(message)}")

    def listed(self, path: bytes) -> None:
        """On standard output, as a list to go on with."""
        self._list(show_name(path))

    def _list(self, line: str, *, is_product: bool = True) -> None:
        """*is_product*: nothing goes on without a reader."""
        self._remove_line()
        if self._meter is not None:
            self._close_meter()
        if is_product:
            write_product(self._out, line)
        else:
            self._out.write(line)

    def itemized(self, path: bytes, reason: str, kind: str, size: int, *, is_dry_run: bool) -> None:
        self._itemize(path, reason, size if kind == "file" else None, is_dry_run=is_dry_run)

    def deleted(self, path: bytes, *, is_dry_run: bool) -> None:
        if self._is_itemizing:
            self._itemize(path, "only there", None, is_dry_run=is_dry_run)
        elif is_dry_run:
            self._list(f"deleting {show_name(path)}")

    def _itemize(self, path: bytes, reason: str, size: int | None, *, is_dry_run: bool) -> None:
        from escp.ui.item import format_item  # lazy: few want it

        self._list(format_item(show_name(path), reason, size), is_product=is_dry_run)

    def differs(self, difference: "Difference") -> None:
        from escp.ui.difference import format_difference  # lazy: few want it

        self._list(format_difference(difference))

    def note(self, text: str) -> None:
        if self._verbosity:
            self._say(f"escp: {show_text(text)}")

    def announce(self, text: str) -> None:
        if not self._is_quiet:
            self._say(f"escp: {show_text(text)}")

    def warn(self, text: str, *, turn: str = "") -> None:
        if not self._is_quiet:
            self._say(f"escp: warning: {show_text(text)}")

    def finish(self, summary: Summary, error: EscpError | None = None) -> None:
        self._close_meter()
        if not self._is_quiet:
            self._say(f"escp: {compose_summary(summary, shows_bits=self._shows_bits)}")
            network = format_bytes(summary.bytes_network)
            rate = format_rate(summary.rate_bytes_per_s, in_bits=self._shows_bits)
            self.note(f"{format_duration(summary.data_seconds)} of data at {rate}, {network} on the network")
        if error is not None:
            self._say_error(error)

    def finding(self, finding: "Finding", *, host: str) -> None:
        """On standard output, under a headline for each host. Quiet: what matters."""
        from escp.ui.finding import NOTE, OK, format_finding, format_scope  # lazy: no copy needs it

        if self._is_quiet and finding.status in (OK, NOTE):
            return
        if finding.scope != self._scope:
            self._scope = finding.scope
            self._out.write(format_scope(finding.scope, host))
        for line in format_finding(finding):
            self._out.write(line)

    def check(self, check: "Check") -> None:
        from escp.ui.finding import format_check  # lazy: as above

        for line in format_check(check) if not (self._is_quiet and check.is_ok) else ():
            self._out.write(line)

    def conclude(self, exit_code: int, text: str) -> None:
        self._close_meter()
        if not self._is_quiet:
            self._out.write(text)

    def fail(self, error: EscpError) -> None:
        self._close_meter()
        super().fail(error)
        if isinstance(error, ReaderGoneError):
            return
        snapshot = self._snapshot
        if snapshot is not None and snapshot.files_done and not self._out.is_product and not self._is_quiet:
            self._say(f"escp: {compose_complete(snapshot)}")
        self._say_error(error)

    def close(self) -> None:
        """Remove the meter."""
        self._close_meter()
        super().close()

    def _say_error(self, error: EscpError) -> None:
        self._say(f"escp: error: {show_text(str(error))}")
        if error.hint:
            self._say(f"escp: hint: {show_text(error.hint)}")
        if error.__cause__ is not None:
            self.note(f"caused by: {type(error.__cause__).__name__}: {error.__cause__}")

    def _say(self, line: str) -> None:
        self._remove_line()
        if self._meter is None:
            self._err.write(line)
        else:
            self._meter.print_above(line)

    def _open_meter(self) -> "Meter":
        from escp.ui.meter import Meter  # lazy: rich takes 50 ms and more to load

        return Meter(self._err, shows_bits=self._shows_bits)

    def _close_meter(self) -> None:
        self._remove_line()
        meter, self._meter = self._meter, None
        if meter is not None:
            meter.close()
