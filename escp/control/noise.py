"""What login scripts print before the agent's marker."""

from escp.constants import MARKER, MAX_NOISE_BYTES
from escp.errors import AgentError


class NoiseSkipper:
    """Skips what login scripts print before the agent's marker; keeps the end of it for an error message."""

    KEPT_BYTES = 2000

    def __init__(self) -> None:
        self._tail = b""
        self._n_noise = 0
        self.is_past_marker = False

    def limit_s(self) -> float:
        """How long nothing may come: ssh may be asking for a password, and has its own limits."""
        return float("inf")

    @property
    def noise(self) -> bytes:
        """The last of what came before the marker."""
        return self._tail[-self.KEPT_BYTES :].strip()

    def _meet_marker(self) -> None:
        self.is_past_marker = True

    def feed(self, data: bytes) -> bytes:
        """What of *data* lies behind the marker; raises AgentError when there is too much noise."""
        if self.is_past_marker:
            return data
        before, marker, behind = (self._tail + data).partition(MARKER)
        if marker:
            self._meet_marker()
            self._tail = before
            return behind
        self._n_noise += len(data)
        if self._n_noise > MAX_NOISE_BYTES:
            raise AgentError(
                f"the remote host printed {MAX_NOISE_BYTES >> 20} MiB and no escp answered",
                "does a login script there print without end? `ssh HOST true` shows it",
            )
        self._tail = before[-max(self.KEPT_BYTES, len(MARKER)) :]
        return b""
