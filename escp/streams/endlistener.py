"""Who is told what happens at an end (`sendend`, `receiveend`). For the type checker: nothing loads it."""

from collections.abc import Callable
from typing import Any, Protocol

from escp.failures import Failure

# Path (a sender's own, or below a receiver's target), digest or b"", kind as in `ui/events`, size.
TellCopied = Callable[[bytes, bytes, str, int], None]


class Listener(Protocol):
    """All calls come from the event loop; *end*: a SendEnd or a ReceiveEnd."""

    def file_failed(self, end: Any, failure: Failure, path: bytes, *, is_receiver: bool) -> None: ...
    def part_told(self, path: bytes, news: str, n_bytes: int) -> None: ...
    def listed(self, path: bytes) -> None: ...  # below the target; directories end with a slash
    def itemized(
        self, path: bytes, reason: int, kind: str, size: int, digest: bytes
    ) -> None: ...  # as `listed`
    def end_finished(self, end: Any) -> None: ...
    def end_failed(self, failure: Failure) -> None: ...
    def stream_lost(self, stream: int, failure: Failure) -> None: ...  # another connection is waited for
    def stream_resumed(self, stream: int) -> None: ...
    def sources_taken(self) -> None: ...
