"""escp.connect(): one login for many copies, and for what a program does with the files of another host."""

import os
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Self

from escp.api.copy import TIMED_OUT, Flag, call_copy, log
from escp.api.expected import Digest
from escp.api.outcome import Progress, Result
from escp.api.words import NOT_OF_CONNECTIONS, OF_LOGINS, Path, read_call
from escp.errors import CancelledError, TimeUpError, UsageError
from escp.options.location import parse_location
from escp.remote.connection import Connection

LEFT_OUT = object()  # a timeout that is the connection's


def connect(
    host: str, *, timeout: float | None = None, cancel: Flag | None = None, **options: object
) -> "Remote":
    """Log in to *host* (`[user@]host`, or scp://[user@]host[:port]), once; docs/api.md.

    *timeout*: seconds for the login, and for each call of the connection that names no other; None: none.
    *cancel*: looked at while it logs in. *options*: as escp.copy's; they are the connection's own (`ssh_…`,
    `escp`, …), or what its copies do unless a call says otherwise.

    Raises what escp.copy raises when it can't log in.
    """
    return Remote(host, timeout, cancel, options)


class Remote:
    """A host that a program is connected with. Any number of threads may use it at the same time."""

    def __init__(self, host: str, timeout: float | None, cancel: Flag | None, options: Mapping[str, object]):
        start_s = time.monotonic()
        base = parse_location(os.fsencode(host if host.startswith("scp://") else f"{host}:"))
        if base.path or not base.is_remote:
            raise UsageError(f"escp.connect: '{host}' is not a host", "write host, or user@host")
        self._base = base
        self._timeout = timeout
        self._options = dict(options)
        _refuse(NOT_OF_CONNECTIONS, options, "it can't be had over a connection", "use escp.copy for it")
        chosen = read_call([os.fsencode(str(base))], ".", self._options)
        self._connection = Connection(
            chosen, chosen.sources[0], note=lambda text: log.debug("%s", text),
            words=lambda name, line: log.info("%s: %s", name, line),
            look=_make_look(start_s, timeout, cancel),
        )  # fmt: skip
        self._end = weakref.finalize(self, self._connection.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<escp.Remote {self.host}>"

    @property
    def host(self) -> str:
        return self._base.ssh_destination()

    def close(self) -> None:
        """End the connection, and what it still does: calls in other threads raise. May be called again."""
        self._end()

    # ---- Copies -------------------------------------------------------------------------------------

    def put(
        self, sources: Path | Iterable[Path], target: Path = "", *,
        progress: Callable[[Progress], object] | None = None, cancel: Flag | None = None,
        timeout: object = LEFT_OUT, expected_digest: Digest | Mapping[Path, Digest] | None = None,
        **options: object,
    ) -> Result:  # fmt: skip
        """Copy *sources*, which are here, to *target* there: as escp.copy does."""
        return self._copy(
            _list_paths(sources, _here),
            self._there(target),
            progress,
            cancel,
            timeout,
            expected_digest,
            options,
        )

    def get(
        self, sources: Path | Iterable[Path], target: Path, *,
        progress: Callable[[Progress], object] | None = None, cancel: Flag | None = None,
        timeout: object = LEFT_OUT, expected_digest: Digest | Mapping[Path, Digest] | None = None,
        **options: object,
    ) -> Result:  # fmt: skip
        """Copy *sources*, which are there, to *target* here. Patterns in them are expanded there."""
        return self._copy(
            _list_paths(sources, self._there),
            _here(target),
            progress,
            cancel,
            timeout,
            expected_digest,
            options,
        )

    def _copy(
        self, sources: list[Path], target: Path, progress: Callable[[Progress], object] | None,
        cancel: Flag | None, timeout: object, expected: Digest | Mapping[Path, Digest] | None,
        options: Mapping[str, object],
    ) -> Result:  # fmt: skip
        _refuse(OF_LOGINS, options, "it is the connection's", "give it to escp.connect")
        _refuse(NOT_OF_CONNECTIONS, options, "it can't be had over a connection", "use escp.copy for it")
        look = self._look(timeout, cancel)
        return call_copy(
            sources, target, {**self._options, **options}, progress=progress, cancel=cancel,
            expected_digest=expected, timeout=self._find_timeout(timeout),
            start_agent=lambda _: self._connection.begin(look),
        )  # fmt: skip

    # ---- Words, times -------------------------------------------------------------------------------

    def _there(self, path: Path) -> bytes:
        """*path* of the other host, as an operand."""
        return os.fsencode(str(self._base._replace(path=os.fsencode(path))))

    def _find_timeout(self, timeout: object) -> float | None:
        chosen = self._timeout if timeout is LEFT_OUT else timeout
        if chosen is not None and not isinstance(chosen, int | float):
            raise UsageError(
                "timeout: it is a number of seconds, or None", "leave it out for the connection's"
            )
        return chosen

    def _look(self, timeout: object, cancel: Flag | None) -> Callable[[], None]:
        return _make_look(time.monotonic(), self._find_timeout(timeout), cancel)


def _make_look(start_s: float, timeout: float | None, cancel: Flag | None) -> Callable[[], None]:
    """What is looked at while something is waited for."""

    def look() -> None:
        if cancel is not None and cancel.is_set():
            raise CancelledError
        if timeout is not None and time.monotonic() - start_s > timeout:
            raise TimeUpError(TIMED_OUT)

    return look


def _refuse(names: frozenset[str], options: Mapping[str, object], why: str, hint: str) -> None:
    for name in sorted(names & options.keys()):
        raise UsageError(f"option {name}: {why}", hint)


def _list_paths(paths: Path | Iterable[Path], word: Callable[[Path], Path]) -> list[Path]:
    return [word(path) for path in ([paths] if isinstance(paths, str | bytes | os.PathLike) else paths)]


def _here(path: Path) -> Path:
    """A path of this host, whatever it looks like."""
    name = os.fsencode(path)
    return name if os.path.isabs(name) else os.path.join(b".", name)
