"""Signals that end the command: the first one tidily, a second one at once."""

import time

from escp.lean import signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# What the parent has ignored stays ignored: nohup(1), and `escp … &` in a script.
SIGNALS = tuple(
    number
    for number in (signals.SIGINT, signals.SIGTERM, signals.SIGHUP)
    if signals.getsignal(number) != signals.SIG_IGN
)
_ECHO_S = 0.05  # timeout(1) and the one-file program's parent send a signal twice


class Interrupted(BaseException):
    """A signal asked escp to end. Raised in the main thread, wherever it is."""

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


def interrupt(number: int, _frame: object) -> None:
    for other in SIGNALS:
        signals.signal(other, signals.SIG_IGN)
    time.sleep(_ECHO_S)
    for other in SIGNALS:  # one that somebody sends again ends the process at once
        signals.signal(other, signals.SIG_DFL)
    raise Interrupted(number)


noted: list[int] = []


def note(number: int, _frame: object) -> None:
    """Handler while modules are imported, where an exception may get lost in callbacks of import locks."""
    noted.append(number)


def handle_signals(handler: "Callable[[int, object], None]") -> None:
    for number in SIGNALS:
        signals.signal(number, handler)


_is_asked = False


def handle_question(ask: "Callable[[], None]") -> None:
    """SIGUSR1 asks how far the copy is, as with dd. Until this call it is ignored, and by ssh always."""
    global _is_asked
    signals.signal(signals.SIGUSR1, lambda number, frame: ask())
    _is_asked = True


def start_deaf(start: "Callable[[], int]") -> int:
    """What *start* returns: a child that ignores that question, too, which may be asked of a whole group."""
    if not _is_asked:  # it is ignored here, or is another program's
        return start()
    asked = signals.signal(signals.SIGUSR1, signals.SIG_IGN)
    try:
        return start()
    finally:
        signals.signal(signals.SIGUSR1, asked)
