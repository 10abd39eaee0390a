"""From the planes' counters to what the user sees: fills the records of `progress` for the ui."""

import time

from escp.errors import EscpError
from escp.options.options import Options
from escp.ui.progress import Snapshot, StartInfo, Summary
from escp.ui.text import find_exit_code
from escp.ui.ui import make_ui

TYPE_CHECKING = False
if TYPE_CHECKING:
    from escp.ui.finding import Check, Finding


class Report:
    """One session's user interface. `finish` and `fail` return the exit status."""

    def __init__(self, options: Options, start_s: float):
        self._options = options
        self._start_s = start_s
        self._ui = make_ui(options)
        self._aead = ""
        self._n_streams = 0

    def __enter__(self) -> "Report":
        return self

    def __exit__(self, *_: object) -> None:
        self._ui.close()

    def begin(self, *, host: str, n_streams: int, aead: str, address: str) -> None:
        self._n_streams, self._aead = n_streams, aead
        options = self._options
        self._ui.begin(StartInfo(host, n_streams, options.block_bytes, aead, options.is_embedded, address))

    def update(self, counters: dict[str, int]) -> None:
        self._ui.update(
            Snapshot(
                bytes_done=counters["bytes"],
                bytes_total=counters["found_bytes"],
                files_done=counters["files"],
                files_total=counters["found_files"],
                is_total_final=bool(counters["is_walked"]),
            )
        )

    def file_error(self, path: bytes, message: str, *, host: str | None) -> None:
        self._ui.file_error(path, message, host=host)

    def listed(self, path: bytes) -> None:
        self._ui.listed(path)

    def note(self, text: str) -> None:
        self._ui.note(text)

    def announce(self, text: str) -> None:
        self._ui.announce(text)

    def warn(self, text: str) -> None:
        self._ui.warn(text)

    def words(self, host: str, line: str) -> None:
        self._ui.words(host, line)

    def trace(self, text: str) -> None:
        self._ui.trace(text)

    def finding(self, finding: "Finding", *, host: str) -> None:
        self._ui.finding(finding, host=host)

    def check(self, check: "Check") -> None:
        self._ui.check(check)

    def conclude(self, exit_code: int, text: str) -> None:
        self._ui.conclude(exit_code, text)

    def finish(self, counters: dict[str, int], error: EscpError | None) -> int:
        options = self._options
        summary = Summary(
            files=counters["files"],
            directories=counters["directories"],
            bytes=counters["bytes"],
            seconds=time.monotonic() - self._start_s,
            data_seconds=max(0, counters["last_ns"] - counters["first_ns"]) / 1e9,
            bytes_network=counters["bytes_network"],
            is_verified=True if options.has_checksum and not options.is_dry_run else None,
            n_failed=counters["failed"],
            n_streams=self._n_streams,
            aead=self._aead,
            is_dummy="dummy" in (options.send_engine, options.receive_engine),
            n_skipped=counters["skipped"],
            is_dry_run=options.is_dry_run,
            bytes_disk=counters.get("bytes_disk"),
            bytes_compressed=counters.get("bytes_compressed"),
        )
        self._ui.finish(summary, error)
        return find_exit_code(summary, error)

    def fail(self, error: EscpError) -> int:
        self._ui.fail(error)
        return error.exit_code
