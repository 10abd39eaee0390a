"""What an agent writes about its session to a log of its own, if its side asked for one (`ui/log`)."""

import time

from escp.errors import EscpError, LocalFileError, RemoteFileError, describe_errno

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from escp.ui.log import TransferLog


class AgentLog:
    """What an agent writes about its session: start, what failed, and how it ended. Or nothing at all."""

    def __init__(self, log: "TransferLog | None" = None, *, clock: "Callable[[], float]" = time.monotonic):
        self._log = log
        self._clock = clock
        self._start_s = clock()
        self.failure = ""  # why it can't be written to any more
        self._is_open = False  # a session has begun and its end is not told yet

    def begin(self, *, role: str, peer: str, n_streams: int, block_bytes: int, aead: str) -> None:
        """The streams are open. *role*: "sender" or "receiver"; *peer*: where ssh came from."""
        self._is_open = True
        self._write("start", role=role, peer=peer, n_streams=n_streams, block_bytes=block_bytes, aead=aead)

    def file_error(self, path: bytes, message: str) -> None:
        self._write("error", is_error=True, path=path, message=message)

    def deleted(self, path: bytes) -> None:
        """Below the target; a directory's ends with a slash."""
        self._write("deleted", path=path)

    def examined(self) -> None:
        """The initiator only wanted to know about this host: nothing is missing when it goes."""
        self._is_open = False
        self._write("examined")

    def finish(self, counters: dict[str, int]) -> None:
        """All is done. *counters*: of the plane that ran here."""
        self._is_open = False
        self._write(
            "summary",
            files=counters["files"],
            directories=counters["directories"],
            failed=counters["failed"],
            bytes=counters["bytes"],
            bytes_network=counters["bytes_network"],
            bytes_disk=counters.get("bytes_disk", counters["bytes"]),  # a sender has read what it sent
            bytes_compressed=counters["bytes_compressed"],
            seconds=self._clock() - self._start_s,
        )

    def fail(self, error: EscpError) -> None:
        self._is_open = False
        self._write("failure", is_error=True, exit_code=error.exit_code, message=str(error))

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._write("failure", is_error=True, message="ended before all was copied")
        if self._log is not None:
            self._log.flush()
            self._log.close()
            self._log = None

    def _write(
        self, event: str, *, is_error: bool = False, **fields: bytes | str | int | float | None
    ) -> None:
        if self._log is not None and not self._log.write(event, is_error=is_error, **fields):
            self.failure = describe_errno(self._log.failure) if self._log.failure else "nobody reads it"
            self._log.close()
            self._log = None  # a full disk does not stop a copy


def open_agent_log(logfile: str | None) -> AgentLog:
    """The log that the agent's own side asked for. Raises RemoteFileError: the initiator will read it."""
    if logfile is None:
        return AgentLog()
    from escp.ui.log import TransferLog  # not at the top: hardly an agent has one

    try:
        return AgentLog(TransferLog(logfile))
    except LocalFileError as e:
        raise RemoteFileError(f"the remote escp {e}", e.hint) from e
