"""`--json`: one JSON object a line on standard output; docs/json.md says what the fields mean.

Pure ASCII, so no name can reach a terminal raw. stderr stays empty, but for what ssh says there.
"""

import json
import time
from collections.abc import Callable

from escp import __version__
from escp.errors import EXIT_OK, EscpError, ReaderGoneError, name_errno
from escp.ui.display import to_valid_text
from escp.ui.fields import describe_start, describe_summary, explain_replaced
from escp.ui.lines import Lines
from escp.ui.progress import RateMeter, Snapshot, StartInfo, Summary
from escp.ui.summary import find_exit_code
from escp.ui.words import WordsUi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from escp.ui.difference import Difference
    from escp.ui.finding import Check, Finding

SCHEMA = 1  # of docs/json.schema.json: grows when a field goes, or means something else
PROGRESS_EVERY_S = 1.0


class JsonUi(WordsUi):
    """For programs. After the result nothing more is written."""

    def __init__(
        self,
        out: Lines,
        err: Lines,
        *,
        verbosity: int = 0,
        stats_s: float = 0,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ):
        """*now*: seconds since 1970."""
        super().__init__(err, out, stats_s, clock)
        self._now = now
        self._verbosity = verbosity
        self._rate: RateMeter | None = None
        self._n_files: int | None = None  # complete
        self._snapshot: Snapshot | None = None
        self._next_progress_s = 0.0
        self._is_ended = False
        self._program = "escp"  # that copies

    def begin(self, info: StartInfo) -> None:
        self._emit(
            "start",
            schema=SCHEMA,
            version=__version__,
            **{name: _make_valid(value) for name, value in describe_start(info).items()},
        )
        self._rate = RateMeter(self._clock)
        self._next_progress_s = self._clock() + PROGRESS_EVERY_S

    def update(self, snapshot: Snapshot) -> None:
        if self._rate is None:
            return
        self._rate.update(snapshot)
        self._n_files = None if self._out.is_product else snapshot.files_done
        self._snapshot = snapshot
        if self._clock() >= self._next_progress_s:
            self._tell_progress(self._rate, snapshot)

    def tick(self) -> None:
        now = self._clock()
        is_asked, what = self._waiting.is_asked, self._waiting.what
        if self._waiting.is_due(now, has_terminal=False):
            if what:
                self._emit(
                    "waiting", message=to_valid_text(what), seconds=round(self._waiting.seconds(now), 1)
                )
            elif is_asked and self._rate is not None and self._snapshot is not None:
                self._tell_progress(self._rate, self._snapshot)

    def _tell_progress(self, rate: RateMeter, snapshot: Snapshot) -> None:
        self._next_progress_s = self._clock() + PROGRESS_EVERY_S
        eta_s = rate.eta_s
        fraction = snapshot.fraction
        progress: dict[str, object] = {
            "bytes": snapshot.bytes_done,
            "bytes_total": snapshot.bytes_total,
            "files": snapshot.files_done,
            "files_total": snapshot.files_total,
            "total_is_final": snapshot.is_total_final,
            "files_counted": snapshot.files_counted or None,
            "fraction": None if fraction is None else round(fraction, 4),
            "rate_bytes_per_s": round(rate.rate_bytes_per_s),
            "eta_seconds": None if eta_s is None else round(eta_s, 1),
        }
        self._put("progress", progress, may_drop=True)

    def file_error(
        self, path: bytes, message: str, *, host: str | None, sys_errno: int = 0, is_passing: bool = False
    ) -> None:
        shown_host = None if host is None else to_valid_text(host)
        self._emit(
            "error", **name_fields(path), host=shown_host, message=to_valid_text(message),
            errno=name_errno(sys_errno), retryable=is_passing,
        )  # fmt: skip

    def listed(self, path: bytes) -> None:
        self._out.is_product = True
        if self._out.is_deserted:
            raise ReaderGoneError
        self._emit("listed", **name_fields(path))

    def itemized(self, path: bytes, reason: str, kind: str, size: int, *, is_dry_run: bool) -> None:
        what = {"reason": reason, "kind": kind, "bytes": size, "dry_run": is_dry_run}
        self._put("item", {**name_fields(path), **what})

    def digested(self, name: bytes, digest: bytes, size: int, mtime_ns: int) -> None:
        seconds, ns = divmod(mtime_ns, 1_000_000_000)
        self._emit("digest", **name_fields(name), sha256=digest.hex(), bytes=size, mtime=f"{seconds}.{ns:09}")

    def differs(self, difference: "Difference") -> None:
        self._emit(
            "difference", **name_fields(difference.path), status=difference.status,
            what=list(difference.what), message=to_valid_text(difference.text),
            errno=name_errno(difference.sys_errno),
        )  # fmt: skip

    def checked(self, n_files: int, n_bytes: int, counts: dict[str, int]) -> None:
        self._emit("checked", files=n_files, bytes=n_bytes, **counts)

    def deleted(self, path: bytes, *, is_dry_run: bool) -> None:
        self._emit("deleted", **name_fields(path), dry_run=is_dry_run)

    def note(self, text: str) -> None:
        if self._verbosity:
            self._emit("note", message=to_valid_text(text))

    def announce(self, text: str) -> None:
        self._emit("note", message=to_valid_text(text))

    def warn(self, text: str, *, turn: str = "") -> None:
        self._emit("warning", message=to_valid_text(text), **({"turn": turn} if turn else {}))

    def finding(self, finding: "Finding", *, host: str) -> None:
        self._emit(
            "finding",
            scope=finding.scope,
            host=to_valid_text(host) if finding.scope != "local" else None,
            subject=finding.subject,
            status=finding.status,
            value=to_valid_text(finding.value),
            number=finding.number,
            advice=to_valid_text(finding.advice) or None,
        )

    def check(self, check: "Check") -> None:
        self._emit("check", name=check.name, ok=check.is_ok, message=to_valid_text(check.text))

    def conclude(self, exit_code: int, text: str) -> None:
        self._tell_result(exit_code, _NO_NUMBERS, None)
        self._is_ended = True

    def finish(self, summary: Summary, error: EscpError | None = None) -> None:
        self._end(find_exit_code(summary, error), summary, error)

    def end(self, error: EscpError | None) -> None:
        """A command that copies nothing has ended (--clean-agents)."""
        self._end(EXIT_OK if error is None else error.exit_code, None, error)

    def fail(self, error: EscpError) -> None:
        super().fail(error)
        self._end(error.exit_code, None, error)

    def _end(self, exit_code: int, summary: Summary | None, error: EscpError | None) -> None:
        numbers = {**_NO_NUMBERS, "files": self._n_files} if summary is None else describe_summary(summary)
        self._tell_result(exit_code, numbers, error)
        self._is_ended = True

    def replace(self, program: str) -> None:
        self._program = program

    def replaced(self, program: str, exit_code: int) -> None:
        self._tell_result(exit_code, _NO_NUMBERS, explain_replaced(program, exit_code))
        self._is_ended = True

    def page(self, name: str, text: str, options: "Sequence[dict[str, object]]" = ()) -> None:
        """Help, version or licence, of which the result is told by `end`."""
        self._put("page", {"name": name, "version": __version__, "text": text, "options": list(options)})

    def agents(self, host: str, trees: "Sequence[dict[str, object]]") -> None:
        """Of --clean-agents, on one host."""
        for tree in trees:
            self._put("agent", {"host": to_valid_text(host), **tree})

    def setting(self, name: str, value: object, origin: str) -> None:
        """Of --show-config."""
        self._put("setting", {"name": name, "value": value, "origin": to_valid_text(origin)})

    def _tell_result(self, exit_code: int, numbers: dict[str, object], error: EscpError | None) -> None:
        what = {"schema": SCHEMA, "program": self._program, "ok": exit_code == 0, "exit_code": exit_code}
        self._put("result", {**what, **numbers, "error": _describe_error(error)})

    def _emit(self, kind: str, **fields: object) -> None:
        self._put(kind, fields)

    def _put(self, kind: str, fields: dict[str, object], *, may_drop: bool = False) -> None:
        if not self._is_ended:
            line = json.dumps(
                {"type": kind, "time": write_time(self._now()), **fields}, separators=(",", ":")
            )
            self._out.put(line + "\n", may_drop=may_drop)


def write_time(now_s: float) -> str:
    """'2026-11-22T16:58:53.762Z'."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now_s))
    return f"{stamp}.{int(now_s % 1 * 1000):03}Z"


def _make_valid(value: object) -> object:
    if isinstance(value, tuple):
        return [to_valid_text(word) for word in value]
    return to_valid_text(value) if isinstance(value, str) else value


def name_fields(path: bytes) -> dict[str, str]:
    """`path`, exact if it is UTF-8; otherwise with U+FFFD in it, and `path_hex` with the bytes."""
    try:
        return {"path": path.decode("utf-8")}
    except UnicodeDecodeError:
        return {"path": to_valid_text(path), "path_hex": path.hex()}


_NO_NUMBERS = dict.fromkeys(describe_summary(Summary(0, 0, 0, 0, 0, 0, None, 0, 0, "")))


def _describe_error(error: EscpError | None) -> dict[str, object] | None:
    if error is None:
        return None
    return {
        "message": to_valid_text(str(error)),
        "hint": to_valid_text(error.hint),
        "exit_code": error.exit_code,
        "retryable": error.is_retryable,
        "errno": name_errno((error.__cause__.errno or 0) if isinstance(error.__cause__, OSError) else 0),
        **({"said": [to_valid_text(line) for line in error.said]} if error.said else {}),
    }
