"""The progress line on a terminal, drawn with rich; imported only when the first one is drawn.

Not a thread: it draws when told to. rich asks for the terminal's width at each draw, so a resize is followed.
"""

from typing import IO, cast

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column
from rich.text import Text

from escp.ui.display import format_bytes, format_clock, format_rate
from escp.ui.lines import Lines
from escp.ui.progress import Snapshot

_MIN_BAR_COLUMNS = 10


class _Frames:
    """The file that rich writes to: what it flushes together is shown together, or not at all.

    Each frame begins with the way back to where the meter stands, so one may be missing.
    """

    def __init__(self, lines: Lines):
        self._lines = lines
        self._parts: list[str] = []
        self.may_drop = True
        self.encoding = lines.encoding

    def write(self, text: str) -> int:
        self._parts.append(text)
        return len(text)

    def flush(self) -> None:
        text = "".join(self._parts)
        self._parts.clear()
        if text:
            self._lines.put(text, may_drop=self.may_drop)

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._lines.fd


class _Console(Console):
    def show_cursor(self, show: bool = True) -> bool:
        """Never hidden: who would show it again after SIGQUIT or SIGKILL?"""
        return False


class Meter:
    """One line that is redrawn in place; `close()` removes it and may be called twice."""

    def __init__(self, lines: Lines, *, shows_bits: bool):
        self._shows_bits = shows_bits
        self._frames = _Frames(lines)
        self._console = _Console(file=cast(IO[str], self._frames), highlight=False, markup=False, emoji=False)
        self._progress = Progress(
            TextColumn(
                "{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="crop")
            ),
            BarColumn(None, table_column=Column(ratio=1)),
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            expand=True,
        )
        self._task = self._progress.add_task("", total=None)
        self._is_started = False

    def draw(
        self, snapshot: Snapshot, rate_bytes_per_s: float, eta_s: float | None, instead: str = ""
    ) -> None:
        """*instead*: a word for what is done while nothing is copied, in the place of the rate."""
        fraction = snapshot.fraction
        rate = instead or format_rate(rate_bytes_per_s, in_bits=self._shows_bits)
        line = self.compose(snapshot, rate, eta_s, self._console.width - _MIN_BAR_COLUMNS - 1)
        self._progress.update(
            self._task, description=line, total=None if fraction is None else 1.0, completed=fraction or 0.0
        )
        if not self._is_started:
            self._is_started = True
            self._progress.start()
        self._progress.refresh()

    def compose(self, snapshot: Snapshot, rate: str, eta_s: float | None, n_columns: int) -> str:
        """The text beside the bar: what fits into `n_columns`, the most wanted first."""
        fraction = snapshot.fraction
        done = format_bytes(snapshot.bytes_done)
        if fraction is None:
            parts = [
                done,
                rate,
                f"{snapshot.files_done:,} of at least {snapshot.files_total:,} files",
            ]
        else:
            about = "~" if snapshot.is_estimate else ""
            n_files = max(snapshot.files_total, snapshot.files_counted)
            parts = [
                f"{about}{int(fraction * 100)}%".rjust(4),
                rate,
                "-:--" if eta_s is None else format_clock(eta_s),
                f"{done} of {about}{format_bytes(int(snapshot.expected_bytes or 0))}",
                f"{snapshot.files_done:,}/{n_files:,} files",
            ]
        while len(parts) > 1 and len("  ".join(parts)) > n_columns:
            parts.pop()
        return "  ".join(parts)

    def print_above(self, line: str) -> None:
        """Print a line of its own, then the meter again below it."""
        self._frames.may_drop = False
        self._console.print(Text(line), soft_wrap=True)
        self._frames.may_drop = True

    def close(self) -> None:
        if self._is_started:
            self._is_started = self._frames.may_drop = False
            self._progress.stop()
