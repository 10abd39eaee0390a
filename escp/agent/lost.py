"""An initiator whose ssh was lost in mid-copy is looked for over the data port, and waited for so long."""

from escp.control.channel import ControlChannel
from escp.errors import NetworkError
from escp.lean.eventloop import EventLoop
from escp.process.leaving import outlive_channel
from escp.streams.lasting import GONE_S, HEARD_S, LAST_S, Lasting
from escp.streams.streams import Streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from escp.streams.lasting import Open

QUIET_S = 120.0  # for one that lacks no more, and says nothing, while ssh stands
WORDS_S = 0.1  # between two looks for one that is to hear the last ones


class LostInitiator:
    """`lose` it, then `tick`; `check` raises when it is not waited for any longer."""

    def __init__(
        self, channel: ControlChannel, secret: bytes, reopen: "Open", loop: EventLoop, *,
        limit_s: float, is_apart: bool,
    ):  # fmt: skip
        """*limit_s*: of the user's; *is_apart*: the streams lead elsewhere, and tell nothing of it."""
        outlive_channel()
        self._channel = channel
        self._loop = loop
        self._lasting = Lasting(
            channel, secret, reopen, loop, lambda: outlive_channel(is_replaced=True), is_initiator=False
        )
        self._limit_s = limit_s
        self._is_apart = is_apart
        self._was_heard = False  # until it was lost
        self._running_s = 0.0  # the plane was not done yet

    def lose(self) -> None:
        """Its ssh is gone."""
        self._was_heard = self._channel.silent_s(self._loop.now()) < HEARD_S
        self._lasting.lose()

    @property
    def next_tick_s(self) -> float:
        return self._lasting.next_tick_s

    def tick(self, now: float) -> None:
        self._lasting.tick(now)

    def await_words(self) -> None:
        """If it is away, or has just come back: until it has heard the last words, or GONE_S have passed."""
        end_s = self._loop.now() + GONE_S
        while self._lasting.was_lost and not self._channel.is_told and self._loop.now() < end_s:
            self._loop.wait(WORDS_S)
            self._lasting.tick(self._loop.now())

    def check(self, now: float, streams: Streams | None, *, closed_s: float, is_done: bool) -> None:
        """Raises NetworkError when it has not come back in time.

        *closed_s*: since when it has closed all *streams*; *is_done*: the result is all that it lacks.
        """
        self._running_s = self._running_s if is_done else now
        done_s = now - self._running_s  # after a long outage streams may end before the initiator is heard
        if min(self._channel.silent_s(now), done_s) > QUIET_S:  # ssh stands, and brings nothing
            raise NetworkError(f"nothing was heard from the initiator for {QUIET_S:.0f} s after the end", "")
        if not self._lasting.is_away:
            return
        away_s = self._lasting.away_s(now)
        is_late = away_s > self._limit_s or min(away_s, done_s) > min(LAST_S, self._limit_s)
        if is_late or min(closed_s, away_s) > GONE_S or self._has_left(away_s, streams):
            raise NetworkError(f"ssh was lost, and the initiator has not come back for {away_s:.0f} s", "")

    def _has_left(self, away_s: float, streams: Streams | None) -> bool:
        """Whether one that was lost *away_s* ago would be back if it were there.

        Its host is there, and it looks for this agent at once. It has closed nothing if its host's system
        holds what the target's disk does not take.
        """
        if away_s <= GONE_S or not self._was_heard:
            return False
        return self._is_apart or (streams is not None and streams.is_abandoned(away_s))

    def close(self) -> None:
        self._lasting.close()
