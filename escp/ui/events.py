"""What is told of a run: one method an event. Terminal, JSON and log listen, each to what it wants."""

from escp.errors import EscpError
from escp.ui.progress import Snapshot, StartInfo, Summary

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from escp.ui.difference import Difference
    from escp.ui.finding import Check, Finding


class Events:
    """Every event; here none does anything. Another one is another method.

    All come from one thread: `begin`, then `update` ten times a second and whenever something happens,
    with others between, then `finish` or `fail`, last `close`. Paths are target paths of what is written,
    source paths of what is read; *host* None is this one. *failure*: why a listener could not pass on all
    that it heard.
    """

    failure: EscpError | None = None

    def enter(self, phase: str) -> None:
        """One of `progress.PHASES` begins."""

    def begin(self, info: StartInfo) -> None:
        """The streams are open: the login is over, and with it ssh's questions on the terminal."""

    def update(self, snapshot: Snapshot) -> None:
        """How far it is."""

    def file_error(
        self, path: bytes, message: str, *, host: str | None, sys_errno: int = 0, is_passing: bool = False
    ) -> None:
        """One file failed; the session goes on. *is_passing*: another copy may do it."""

    def listed(self, path: bytes) -> None:
        """What a dry run would copy, as a path at the target."""

    def itemized(self, path: bytes, reason: str, kind: str, size: int, *, is_dry_run: bool) -> None:
        """With --itemize: what was copied, or would be, as a path at the target, and why (`ui/item`).

        *kind*: file, directory, link or device.
        """

    def digested(self, name: bytes, digest: bytes, size: int, mtime_ns: int) -> None:
        """With --manifest: a file at the target, as the manifest has it; *digest* is the SHA-256."""

    def differs(self, difference: "Difference") -> None:
        """Of --check."""

    def checked(self, n_files: int, n_bytes: int, counts: "dict[str, int]") -> None:
        """At its end: what the manifest has, what was read, and the number of differences of each kind."""

    def arrived(self, path: bytes, kind: str, size: int, digest: bytes) -> None:
        """With --itemize or --log-files: it is there. *kind*: as above; *digest*: 16 bytes, or none."""

    def deleted(self, path: bytes, *, is_dry_run: bool) -> None:
        """What --delete has removed at the target, or would; a directory's path ends with a slash."""

    def note(self, text: str) -> None:
        """Said with -v only."""

    def announce(self, text: str) -> None:
        """What takes its time before there is a meter."""

    def warn(self, text: str, *, turn: str = "") -> None:
        """Something is not as it should be, and the copy goes on.

        *turn*: who is to move where nothing does (`jobs/standstill`).
        """

    def words(self, host: str, line: str) -> None:
        """A line of the standard error of *host*'s ssh."""

    def trace(self, text: str) -> None:
        """Where a bug was met, before `fail` tells of it; a peer's words may be in the exception's."""

    def finding(self, finding: "Finding", *, host: str) -> None:
        """Of --doctor."""

    def check(self, check: "Check") -> None:
        """Of --selftest."""

    def conclude(self, exit_code: int, text: str) -> None:
        """The last word of --doctor and --selftest."""

    def leave(self, exit_code: int) -> None:
        """--check has ended."""

    def replace(self, program: str) -> None:
        """*program* begins to copy in escp's place (--fallback)."""

    def replaced(self, program: str, exit_code: int) -> None:
        """It has ended so; in place of `finish`."""

    def finish(self, summary: Summary, error: EscpError | None = None) -> None:
        """The session ran to its end. *error* is what the exit status is about, if it is not 0 or 1."""

    def fail(self, error: EscpError) -> None:
        """The session ended early, or never began."""

    def wait_for(self, what: str, is_asking: "Callable[[], bool]") -> None:
        """What everything waits for now, "" where it gets on; *is_asking*: whether ssh asks the user."""

    def ask(self) -> None:
        """The user wants to know how far it is. For a signal's handler: it is told at the next `tick`."""

    def tick(self) -> None:
        """Ten times a second: for what is told by the clock."""

    def close(self) -> None:
        """Nothing more comes; may be called twice, and always should be once."""

    @property
    def is_full(self) -> bool:
        """So much waits for somebody to read it that nothing more should be told."""
        return False


class Listeners(Events):
    """Each of them hears of every event, in the order in which they were added."""

    def __init__(self) -> None:
        self._listeners: list[Events] = []

    @property
    def first_failure(self) -> EscpError | None:
        return next((one.failure for one in self._listeners if one.failure is not None), None)

    def add(self, listener: Events) -> None:
        self._listeners.append(listener)

    @property
    def is_full(self) -> bool:
        return any(listener.is_full for listener in self._listeners)


def _pass_on(name: str) -> "Callable[..., None]":
    def tell(self: Listeners, *what: object, **named: object) -> None:
        for listener in self._listeners:
            getattr(listener, name)(*what, **named)

    return tell


# Listeners has every event that Events has, and passes it on.
for _name, _event in vars(Events).items():
    if callable(_event) and not _name.startswith("_"):
        setattr(Listeners, _name, _pass_on(_name))
