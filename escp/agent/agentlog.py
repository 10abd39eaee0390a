"""What an agent writes about its session to a log of its own, if its side asked for one (`ui/log`)."""

import os
import time

from escp.errors import EXIT_OK, EXIT_SOME_FAILED, EscpError, LocalFileError, RemoteFileError, describe_errno

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from escp.control.messages import Receive, Send
    from escp.streams.endlistener import TellCopied
    from escp.ui.log import TransferLog

MAX_SOURCES = 100  # that are told, of what the initiator asks for


class AgentLog:
    """What an agent writes about its session: start, what failed, how it ended, and all in one line.

    Or nothing at all.
    """

    def __init__(
        self,
        log: "TransferLog | None" = None,
        *,
        failure: str = "",
        lists_files: bool = False,
        clock: "Callable[[], float]" = time.monotonic,
    ):
        self._log = log
        self._lists_files = lists_files
        self._clock = clock
        self._start_s = clock()
        self.failure = failure  # why it can't be written to, or not any more
        self._is_open = False  # a session has begun and its end is not told yet
        self._about: dict[str, Any] = {}  # what was asked for
        self._sources: list[bytes] = []
        self._numbers: dict[str, Any] = {}  # what came of it
        self._n_deleted = 0
        self._exit_code: int | None = None
        self._message = "ended before all was copied"

    def take_order(self, order: "Send | Receive", peer: str) -> None:
        if self._log is None:
            return
        options = tuple(name for name in order._fields if getattr(order, name) is True)
        target = getattr(order, "target", None)
        role = "sender" if target is None else "receiver"
        self._about = {"host": peer, "role": role, "target": target, "options": options}

    def take_sources(self, paths: "Sequence[bytes]") -> None:
        if self._log is not None:
            self._sources += paths[: MAX_SOURCES - len(self._sources)]

    def begin(self, *, role: str, host: str, streams: int, block_bytes: int, aead: str) -> None:
        """The streams are open. *role*: "sender" or "receiver"; *host*: where ssh came from."""
        self._is_open = True
        self._write("start", role=role, host=host, streams=streams, block_bytes=block_bytes, aead=aead)

    @property
    def tell_copied(self) -> "TellCopied | None":
        """For the end that runs here, if each file is to have its line."""
        return self._write_copied if self._lists_files and self._log is not None else None

    def _write_copied(self, path: bytes, digest: bytes, kind: str, size: int) -> None:
        place = self._find_place(path)
        self._write("file", path=place, kind=kind, bytes=size, digest=digest.hex() or None, ok=True)

    def file_error(self, path: bytes, message: str) -> None:
        self._write("error", is_error=True, path=self._find_place(path), message=message)

    def deleted(self, path: bytes) -> None:
        """A directory's ends with a slash."""
        self._n_deleted += 1
        self._write("deleted", path=self._find_place(path))

    def _find_place(self, path: bytes) -> bytes:
        """*path* is a source's own, or below the target."""
        target = self._about.get("target")
        return path if target is None else os.path.join(target, path) if path else target

    def examined(self) -> None:
        """The initiator only wanted to know about this host: nothing is missing when it goes."""
        self._is_open = False
        self._about = {}  # no session of a copy
        self._write("examined")

    def finish(self, counters: dict[str, int]) -> None:
        """All is done. *counters*: of the plane that ran here."""
        self._is_open = False
        self._numbers = {
            "files": counters["files"],
            "directories": counters["directories"],
            "failed": counters["failed"],
            "skipped": counters.get("skipped"),
            "bytes": counters["bytes"],
            "bytes_network": counters["bytes_network"],
            "bytes_disk": counters.get("bytes_disk", counters["bytes"]),  # a sender has read what it sent
            "bytes_compressed": counters["bytes_compressed"],
            "seconds": self._clock() - self._start_s,
        }
        self._exit_code = EXIT_SOME_FAILED if counters["failed"] else EXIT_OK
        self._message = ""
        self._write("summary", **self._numbers)

    def fail(self, error: EscpError) -> None:
        self._is_open = False
        self._exit_code, self._message = error.exit_code, str(error)
        if not self._about:  # it is refused before its order
            self._about = {"role": None}
        self._write("failure", is_error=True, exit_code=error.exit_code, message=str(error))

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._write("failure", is_error=True, message=self._message)
        if self._log is not None and self._about:
            self._tell_session()
        if self._log is not None:
            self._log.flush()
            self._log.close()
            self._log = None

    def _tell_session(self) -> None:
        from escp.ui.fields import describe_session  # lazy: hardly an agent has a log

        about = {**self._about, "sources": tuple(self._sources), "sources_total": None}
        numbers = {"seconds": self._clock() - self._start_s, **self._numbers, "deleted": self._n_deleted}
        self._write("session", **describe_session(about, numbers, self._exit_code, self._message))

    def _write(self, event: str, *, is_error: bool = False, **fields: object) -> None:
        if self._log is not None and not self._log.write(event, is_error=is_error, **fields):
            self.failure = describe_errno(self._log.failure) if self._log.failure else "nobody reads it"
            self._log.close()
            self._log = None  # a full disk does not stop a copy


def open_agent_log(
    logfile: str | None, *, is_configured: bool = False, lists_files: bool = False
) -> AgentLog:
    """The log that the agent's own side asked for. Raises RemoteFileError: the initiator will read it.

    *is_configured*: a file of its host asks for it, not its command: then there is a copy without.
    *lists_files*: each file that was copied has a line.
    """
    if logfile is None:
        return AgentLog()
    from escp.ui.log import TransferLog  # not at the top: hardly an agent has one

    try:
        return AgentLog(TransferLog(logfile), lists_files=lists_files)
    except LocalFileError as e:
        if is_configured:
            return AgentLog(failure=str(e))
        raise RemoteFileError(f"the remote escp {e}", e.hint) from e
