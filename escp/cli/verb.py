"""What the verbs share: what ends a command."""

from escp.errors import EscpError, InternalError, InterruptedBySignal, LocalFileError
from escp.process.interrupts import SIGNALS, Interrupted, noted
from escp.process.leaving import Exit
from escp.process.shortages import explain_shortage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from escp.options.options import Options
    from escp.ui.events import Events


HANGS_HINT = (
    "what it read from or wrote to does not answer: a pipe that nobody uses, or a file system that hangs"
)


class Ending(Exit):
    """Ends a command whose main thread hangs: as it would have ended, and with a hint."""

    def __init__(self, options: "Options"):
        self._is_json = options.json
        self.report: Events | None = None
        self.find_hint: Callable[[], str] = str  # what to do about what has stayed
        super().__init__(SIGNALS, self._say_why)

    def _say_why(self, number: int, error: Exception | None) -> int:
        from escp.ui.ui import settle, show_early_failure  # lazy: hardly a run needs it

        shown = error if isinstance(error, EscpError) and not number else InterruptedBySignal(number)
        shown.hint = shown.hint or HANGS_HINT
        self.add_hint(shown)
        if self.report is not None:
            self.report.fail(shown)
        else:
            show_early_failure(shown, is_json=self._is_json)
        return settle(shown.exit_code)

    def add_hint(self, error: EscpError) -> None:
        if error.may_go_on:
            error.hint = "; ".join(filter(None, (error.hint, self.find_hint())))


def guard(ending: Ending, report: "Events", work: "Callable[[], int]") -> int:
    """The exit status of *work*, or of what ended it, once that is shown."""
    ending.report = report
    try:
        if noted:
            raise Interrupted(noted[0])
        return work()
    except EscpError as e:
        error = e
    except Interrupted as e:
        error = InterruptedBySignal(e.number)
    except Exception as e:
        if said := explain_shortage(e):
            error = LocalFileError(*said)
        else:
            import traceback  # lazy: a bug

            report.trace(traceback.format_exc())
            error = InternalError(f"{type(e).__name__}: {e}")
    finally:
        ending.take_turn()
    ending.add_hint(error)
    report.fail(error)
    return error.exit_code
