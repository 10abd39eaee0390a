"""Connections that both ends' systems take for sound, and over which what one sends never reaches the other.

Neither end can tell that from a disk that stands still at the other. Both together can: a system acknowledges
nothing that it has not got, so where more is acknowledged at one end than came to the other, something on the
way has it. What each end's system has counted its escp says over the control channel. Who waits for a disk
has something unread, or was sent nothing; it is not mistaken for that.

Where the answers to hellos are swallowed, one end has taken a later connection than the other has got: each
hello gives it one more, over which nothing comes either. Who waits for a disk has the other end's.
"""

from escp.constants import TOLD_S
from escp.control.messages import Mute
from escp.errors import NetworkError
from escp.jobs.standstill import STILL_S

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from escp.remote.agentlink import AgentLink
    from escp.streams.leg import Leg

    Counts = dict[int, tuple[int, int, int]]  # of each stream, as `Streams.find_mute`
    Numbers = dict[int, int]  # of each stream that of the last connection that is known to have been there

LOOK_S = 2.0
SLACK_BYTES = 16  # connecting and ending count as a byte each, at one of the ends; any frame is longer


class Swallowed:
    """`hear` what agents say; `check` raises NetworkError once it is so for *limit_s*, and nothing moves."""

    def __init__(self, limit_s: float):
        self._limit_s = max(limit_s, TOLD_S + LOOK_S)  # what was said of a connection may be over since
        self._since_s: float | None = None  # one is known
        self._is_over = False
        self._said: dict[AgentLink, dict[int, tuple[float, tuple[int, int, int]]]] = {}
        self._numbers: dict[AgentLink, Numbers] = {}
        self._look_s = 0.0

    def hear(self, agent: "AgentLink", mute: Mute, now: float) -> None:
        counts = mute.connection, mute.n_received, mute.n_acked
        self._said.setdefault(agent, {})[mute.stream] = now, counts
        self._numbers.setdefault(agent, {})[mute.stream] = mute.connection

    def end(self) -> None:
        """All streams have ended: what is swallowed now is missed by nobody."""
        self._is_over = True

    def check(self, now: float, still_s: float, legs: "dict[AgentLink, Leg]") -> None:
        """*still_s*: for how long nothing has moved. *legs*: to the agents; none: to each other."""
        if now < self._look_s or self._is_over:
            return
        self._look_s = now + LOOK_S
        stream = self._find(now, legs) if self._said and still_s >= STILL_S else None
        if stream is None:
            self._since_s = None
        elif self._since_s is None:
            self._since_s = now
        elif now - self._since_s >= self._limit_s:
            raise NetworkError(
                f"for {self._limit_s:.0f} s what is sent over data stream {stream + 1} has come nowhere, "
                "though something on the way says that it had it",
                "a firewall may have forgotten the connection, and let no other one in: look at the network "
                "between the hosts, and run the copy again",
            )

    def _find(self, now: float, legs: "dict[AgentLink, Leg]") -> int | None:
        for one, other, numbers in self._pair(now, legs):
            for stream in one.keys() & other.keys():
                if _is_swallowed(one[stream], other[stream]):
                    return stream
            for counts, known in ((one, numbers[1]), (other, numbers[0])):
                for stream in counts.keys() & known.keys():
                    if counts[stream][0] < known[stream]:
                        return stream
        return None

    def _pair(
        self, now: float, legs: "dict[AgentLink, Leg]"
    ) -> "Iterator[tuple[Counts, Counts, tuple[Numbers, Numbers]]]":
        """What both ends know of their connections, and the numbers of those."""
        for agent, leg in legs.items():
            if leg.streams is not None:
                said = self._find_said(agent, now)
                own = {stream: leg.streams.number(stream) for stream in said}
                yield said, leg.streams.find_mute(now), (self._numbers.get(agent, {}), own)
        if not legs and len(self._said) == 2:
            one, other = self._said
            yield (self._find_said(one, now), self._find_said(other, now),
                   (self._numbers[one], self._numbers[other]))  # fmt: skip

    def _find_said(self, agent: "AgentLink", now: float) -> "Counts":
        said = self._said.get(agent, {})
        return {stream: counts for stream, (when_s, counts) in said.items() if now - when_s < TOLD_S}


def _is_swallowed(one: tuple[int, int, int], other: tuple[int, int, int]) -> bool:
    """Of each end the connection's number, bytes that came, and bytes that were acknowledged to it."""
    return one[0] == other[0] and (one[2] > other[1] + SLACK_BYTES or other[2] > one[1] + SLACK_BYTES)
