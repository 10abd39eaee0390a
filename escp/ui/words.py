"""What others say, shown on standard error: ssh, the other host, and Python's traceback of a bug."""

from collections.abc import Callable

from escp.errors import EscpError, InterruptedBySignal
from escp.ui.display import cut_foreign, show_foreign
from escp.ui.events import Events
from escp.ui.lines import Lines
from escp.ui.waiting import Waiting

MAX_WORDS_COLUMNS = 4096  # of a line, with what is escaped in it; a longer one becomes several


class WordsUi(Events):
    """What text and JSON have in common: each line is shown behind the name of who said it."""

    def __init__(self, err: Lines, out: Lines, every_s: float, clock: Callable[[], float]):
        """*every_s*: between two lines on how far it is, where there is no terminal; 0: none."""
        self._err, self._out = err, out
        self._is_hurried = False
        self._clock = clock
        self._waiting = Waiting(clock(), every_s)

    def wait_for(self, what: str, is_asking: Callable[[], bool]) -> None:
        self._waiting.wait_for(what, is_asking, self._clock())

    def ask(self) -> None:
        self._waiting.is_asked = True

    def words(self, host: str, line: str) -> None:
        for part in cut_foreign(line, MAX_WORDS_COLUMNS):
            self._say_as(host or "this host", part)

    def trace(self, text: str) -> None:
        for line in text.rstrip("\n").split("\n"):
            self._say_as("trace", line)

    def fail(self, error: EscpError) -> None:
        self._is_hurried = isinstance(error, InterruptedBySignal)

    @property
    def is_full(self) -> bool:
        return self._err.is_full or self._out.is_full

    def close(self) -> None:
        for lines in (self._out, self._err):
            lines.wait(is_hurried=self._is_hurried)

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
        self._err.write(line)
