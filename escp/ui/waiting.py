"""What is told by the clock while nothing else is: what everything waits for, or how far it is."""

from collections.abc import Callable

from escp.ui.display import format_bytes, format_clock, format_count, format_duration, format_rate
from escp.ui.progress import Snapshot

FIRST_LINE_S = 2.0  # a login that is over by then needs no words


class Waiting:
    """What is waited for, since when, and when to say so. Pure: *now* is a monotonic clock's seconds."""

    def __init__(self, now: float, every_s: float):
        """*every_s*: between two lines where there is no terminal; 0: none."""
        self.what = ""  # "": nothing
        self._every_s = every_s
        self._since_s = self._told_s = now
        self.is_asked = False  # the user wants to know: set by a signal's handler
        self._is_asking: Callable[[], bool] = lambda: False

    def wait_for(self, what: str, is_asking: Callable[[], bool], now: float) -> bool:
        """Whether that is something new."""
        is_new = what != self.what
        if is_new:
            self.what, self._is_asking, self._since_s = what, is_asking, now
        return is_new

    def seconds(self, now: float) -> float:
        return now - self._since_s

    def is_due(self, now: float, *, has_terminal: bool) -> bool:
        """Whether a line is due: asked for, or where nobody sees a meter."""
        is_due = bool(self._every_s) and not has_terminal and now - self._told_s >= self._every_s
        if is_due or self.is_asked:
            self._told_s, self.is_asked = now, False
            return True
        return False

    def compose_line(self, now: float) -> str:
        """For a terminal, to be written over; "" while there is nothing to say, or ssh asks something."""
        if not self.what or self.seconds(now) < FIRST_LINE_S or self._is_asking():
            return ""
        return f"waiting for {self.what}: {format_clock(self.seconds(now))}"


def compose_waiting(what: str, seconds: float) -> str:
    return f"waiting for {what}, {format_duration(seconds)} so far"


def compose_progress(
    snapshot: Snapshot, rate_bytes_per_s: float, eta_s: float | None, *, in_bits: bool
) -> str:
    """'1.2 GB of 16.4 GB, 3 of 10 files, 58 MB/s, 4:25 left'; 'about' where files are only counted yet."""
    rate = format_rate(rate_bytes_per_s, in_bits=in_bits)
    done = format_bytes(snapshot.bytes_done)
    total = snapshot.expected_bytes
    if total is None:
        files = f"{snapshot.files_done:,} of at least {format_count(snapshot.files_total, 'file')}"
        return f"{done}, {files}, {rate}"
    about = "about " if snapshot.is_estimate else ""
    left = [] if eta_s is None else [f"{about}{format_clock(eta_s)} left"]
    n_files = max(snapshot.files_total, snapshot.files_counted)
    files = f"{snapshot.files_done:,} of {format_count(n_files, 'file')}"
    return ", ".join([f"{done} of {about}{format_bytes(int(total))}", files, rate, *left])
