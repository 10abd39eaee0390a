"""Messages that the peer may not have got: kept until it says so, and sent again over the channel's next way.

Pure. Both ends count each other's messages from the first one on (docs/protocol.md 3.8), but `keepalive` and
`heard`, which never come again.
"""

from escp.errors import ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

TELL_MESSAGES = 64  # the peer is told what was taken after so many of its messages,
TELL_BYTES = 1 << 16  # or so many bytes


class Unheard:
    """What was sent and not heard, and how much of the peer's was taken."""

    def __init__(self, sent: "Sequence[bytes]" = (), n_taken: int = 0) -> None:
        """*sent*, *n_taken*: before it was made."""
        self._kept = list(sent)
        self._n_heard = 0  # of ours, in front of those
        self.n_bytes = sum(map(len, sent))  # kept
        self.n_taken = n_taken  # of the peer's
        self._n_told = 0
        self._n_read = 0  # bytes, since that was told

    def add(self, data: bytes) -> None:
        """A message of this end."""
        self._kept.append(data)
        self.n_bytes += len(data)

    def hear(self, n: int, peer: str) -> None:
        """The peer has taken *n* messages since the first one; raises ProtocolError if that can't be."""
        n_new = n - self._n_heard
        if not 0 <= n_new <= len(self._kept):
            raise ProtocolError(f"{peer} has heard what it was not told")
        self.n_bytes -= sum(map(len, self._kept[:n_new]))
        del self._kept[:n_new]
        self._n_heard = n

    def again(self) -> bytes:
        """All that the peer has not heard, in order."""
        return b"".join(self._kept)

    def read(self, n_bytes: int) -> None:
        """So much of the peer's has come."""
        self._n_read += n_bytes

    @property
    def is_to_be_told(self) -> bool:
        """Whether the peer keeps much that was taken."""
        n = self.n_taken - self._n_told
        return n >= TELL_MESSAGES or (n > 0 and self._n_read >= TELL_BYTES)

    def tell(self) -> int:
        """What the peer is to be told now."""
        self._n_told, self._n_read = self.n_taken, 0
        return self.n_taken
