"""A control channel that outlives its ssh: it comes back over the data ports, proven by a secret of its own.

To `Acceptor` and `Connector` it is a session of one stream. Its connections are numbered as any stream's, so
none has the keys of another, and what was said to the end that is gone can't be said again.
"""

from escp._fast.crypto.channel import Channel
from escp.constants import MIN_BLOCK_BYTES
from escp.control.channel import ControlChannel
from escp.errors import NetworkError
from escp.lean import sockets
from escp.lean.eventloop import EventLoop
from escp.streams.listener import RETRY_S, Acceptor
from escp.streams.sealedway import SealedWay
from escp.streams.sealing import choose_aead
from escp.streams.streams import Streams, tune

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from escp.streams.connector import Connector

    # Makes what gets the connection, as a `Reconnector`'s.
    Open = Callable[[set[int], Streams], "Connector | Acceptor"]

# Who is heard no more than this is looked for another way: ssh's packets may be lost, and nobody says so. An
# end that runs is heard every 5 s.
SILENT_S = 10.0
# For so long after it is heard again who listens goes on with that. After an outage one direction of ssh may
# wait for TCP's next try, which can be as late as the outage was long, while the other is there at once.
LINGER_S = 60.0
# How long each end waits for one that is away:
GONE_S = 3.0  # whose host has closed all streams, too: it has most likely ended
LAST_S = 30.0  # that lacks nothing but the result, or owes nothing but that
HEARD_S = 8.0  # who was silent for longer when ssh was lost may have no network: who runs is heard every 5 s


class ControlStreams(Streams):
    """The one stream. *prove(way)* gets each connection that has proven itself, as a way of the channel."""

    def __init__(self, secret: bytes, prove: "Callable[[SealedWay], None]", *, is_initiator: bool):
        super().__init__(secret, n_streams=1, block_bytes=MIN_BLOCK_BYTES, is_sender=is_initiator,
                         backend=choose_aead(), may_reconnect=True)  # fmt: skip
        self._prove = prove
        self._keys = super().make_channel(0)  # has the secret, and wipes it in the end
        self.forget()

    def make_channel(self, stream: int, connection: int = 0) -> Channel:
        return self._keys.again(connection)

    def adopt(self, stream: int, sock: sockets.Socket, channel: Channel, connection: int = 0) -> None:
        tune(sock, may_reconnect=True)
        self.proven[stream] = sock, channel
        self.cut.clear()
        self._numbers[stream] = self._tried[stream] = connection
        self._prove(SealedWay(sock, channel))


class Lasting:
    """Brings *channel* back: `lose` it, then `tick`. *told()* is called when it has another way."""

    def __init__(
        self,
        channel: ControlChannel,
        secret: bytes,
        open: "Open",
        loop: EventLoop,
        told: "Callable[[], None]",
        *,
        is_initiator: bool,
    ):
        self._channel = channel
        self._open = open
        self._loop = loop
        self._told = told
        self._streams = ControlStreams(secret, self._take, is_initiator=is_initiator)
        self.was_lost = False  # ever
        self._opener: Connector | Acceptor | None = None
        self._open_s = 0.0  # not before
        self._since_s = 0.0
        self._wanted_s = 0.0  # when another way was last missed

    @property
    def is_away(self) -> bool:
        return self._channel.is_away

    def away_s(self, now: float) -> float:
        """For how long, if it is."""
        return now - self._since_s

    def lose(self) -> None:
        """The channel's way has ended."""
        self.was_lost = True
        self._channel.leave()
        self._streams.cut = set(self._streams.proven)
        self._since_s = self._loop.now()

    def _take(self, way: SealedWay) -> None:
        self._close_opener()
        self._channel.go_on(way)
        self._told()

    @property
    def next_tick_s(self) -> float:
        if self._opener is not None:
            return self._opener.next_tick_s
        return self._open_s if self.is_away else float("inf")

    def tick(self, now: float) -> None:
        is_wanted = self.is_away or self._channel.silent_s(now) > SILENT_S
        if is_wanted:
            self._wanted_s = now
        if not is_wanted and not (isinstance(self._opener, Acceptor) and now - self._wanted_s < LINGER_S):
            self._close_opener()
        elif self._opener is not None:
            self._opener.tick(now)
            if self._opener.is_closed:  # something ran out
                self._opener, self._open_s = None, now + RETRY_S
        elif now >= self._open_s:
            self._streams.cut = set(self._streams.proven)
            try:
                self._opener = self._open({0}, self._streams)
            except NetworkError:
                self._open_s = now + RETRY_S

    def _close_opener(self) -> None:
        if self._opener is not None:
            self._opener.close()
        self._opener = None

    def close(self) -> None:
        self._close_opener()
