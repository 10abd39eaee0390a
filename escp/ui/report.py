"""The report of one session: from the planes' counters to the records that its listeners show."""

import time

from escp.errors import EscpError
from escp.options.options import Options
from escp.ui.events import Listeners
from escp.ui.fields import name_command
from escp.ui.progress import PHASES, StartInfo, Summary
from escp.ui.ui import add_listeners

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Report(Listeners):
    """Tells the listeners that *add* gives it: those that the options ask for. Raises what that raises."""

    def __init__(
        self,
        options: Options,
        start_s: float,
        add: "Callable[[Listeners, Options], None]" = add_listeners,
    ):
        super().__init__()
        self._options = options
        self._start_s = start_s
        self._info: StartInfo | None = None
        is_remote = options.target.is_remote or any(source.is_remote for source in options.sources)
        self._phase, self._phase_s = ("login" if is_remote else "setup"), start_s
        self._spent = dict.fromkeys(PHASES, 0.0)
        add(self, options)

    def finish(self, summary: Summary, error: EscpError | None = None) -> None:
        """One after the other: that the log can't be written the others tell as the run's error."""
        for listener in self._listeners:
            listener.finish(summary, error)
            error = error or listener.failure

    def __enter__(self) -> "Report":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def enter(self, phase: str) -> None:
        now_s = time.monotonic()
        self._spent[self._phase] += now_s - self._phase_s
        self._phase, self._phase_s = phase, now_s

    def begin(self, info: StartInfo) -> None:
        self.enter("transfer")
        self._info = info._replace(**name_command(self._options))
        super().begin(self._info)

    def summarize(self, counters: dict[str, int]) -> Summary:
        """What came of the session, for `finish`."""
        options, info = self._options, self._info
        self.enter(self._phase)
        return Summary(
            files=counters["files"],
            directories=counters["directories"],
            bytes=counters["bytes"],
            seconds=time.monotonic() - self._start_s,
            data_seconds=max(0, counters["last_ns"] - counters["first_ns"]) / 1e9,
            bytes_network=counters["bytes_network"],
            is_verified=True if options.has_checksum and not options.is_dry_run else None,
            n_failed=counters["failed"],
            n_streams=info.n_streams if info else 0,
            aead=info.aead if info else "",
            is_dummy="dummy" in (options.send_engine, options.receive_engine),
            n_skipped=counters["skipped"],
            is_dry_run=options.is_dry_run,
            bytes_disk=counters.get("bytes_disk"),
            bytes_compressed=counters.get("bytes_compressed"),
            n_deleted=counters.get("deleted", 0),
            phases=tuple(self._spent.values()),
        )
