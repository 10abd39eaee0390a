"""An agent's side of the data's way: from the initiator's `Link` to streams that have proven themselves."""

from escp.agent.agentlog import AgentLog
from escp.constants import INITIATOR_SILENT_S, KEEPALIVE_S, SECRET_BYTES, START_ALIVE_S
from escp.control.channel import ControlChannel
from escp.control.messages import Cut, Damaged, Link, Listening, Mute, Relay
from escp.errors import AgentError, NetworkError, ProtocolError
from escp.failures import FAST_AUTH, Failure
from escp.lean import sockets
from escp.lean.eventloop import EventLoop
from escp.streams.addresses import MAX_ADDRESSES, is_address, is_own_address
from escp.streams.listener import Acceptor, listen, relisten
from escp.streams.sealing import choose_aead
from escp.streams.streams import Streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from escp.agent.lost import LostInitiator
    from escp.streams.connector import Connector
    from escp.streams.receiveend import ReceiveEnd
    from escp.streams.reconnect import Reconnector
    from escp.streams.relayed import RelayedStreams
    from escp.streams.sendend import SendEnd
    from escp.streams.streams import Opener

STOPPED_S = 30.0  # for one that connects, where it is let in
STREAMS_TIMEOUT_S = INITIATOR_SILENT_S  # for all streams to arrive: an initiator that runs is faster
REASON_MINOR = 2  # of an initiator that understands `reason` in `listening`


def _tell_nobody(_: str) -> None:
    """An agent tells nobody of cuts: the initiator sees the same ones, and tells the user."""


class Way:
    """`check` and `open` a `Link`, `tick` until `is_ready`, then `start`; `lose` streams that break later."""

    def __init__(
        self, loop: EventLoop, channel: ControlChannel, log: AgentLog, own_address: str, peer_address: str
    ):
        """The addresses between which ssh goes, "" where they are not known."""
        self._loop = loop
        self._channel = channel
        self._log = log
        self._own_address, self._peer_address = own_address, peer_address
        self._relay_secret = b""
        self._link: Link | None = None
        self._max_large = 0
        self._tells_limit_bytes_per_s = 0
        self._is_sender = False
        self.streams: Streams | None = None
        self._relayed: RelayedStreams | None = None  # through a relay these come first
        self._doubt_s = 0.0  # when to tell it next of connections that bring nothing
        self._mute_s = float("inf")  # the same of the initiator
        self._opener: Opener | None = None
        self._reconnector: Reconnector | None = None  # of streams that were there
        self._lost: LostInitiator | None = None  # once the streams run: it may be lost, and come back
        self._bound = ("", 0)  # address and port that were listened on
        self._due_s = float("inf")

    # ---- Orders -------------------------------------------------------------------------------------

    def take_relay(self, message: Relay) -> None:
        if self._link is not None:
            raise ProtocolError("the initiator tells of its relay too late")
        if len(message.secret) != SECRET_BYTES:
            raise ProtocolError("the relay's secret has a wrong length")
        self._relay_secret = message.secret

    def check(self, link: Link) -> None:
        """Raises ProtocolError or AgentError for a link that can't be made."""
        if len(link.secret) != SECRET_BYTES:
            raise ProtocolError("the session's secret has a wrong length")
        if link.control_secret and len(link.control_secret) != SECRET_BYTES:
            raise ProtocolError("the control channel's secret has a wrong length")
        if link.is_relayed and not self._relay_secret:  # before 1.2, when any stranger could pass for a relay
            raise AgentError(
                "the initiator's escp is too old to relay to this one",
                "install the same release on all hosts, or use -R",
            )
        if link.is_relayed != bool(self._relay_secret) or (link.is_relayed and link.mode == "connect"):
            raise ProtocolError("the initiator wants a relay that can't be")
        for port, n_ports in ((link.port, link.n_ports), (link.control_port or 1, link.n_control_ports or 1)):
            if not 0 < port <= port + n_ports - 1 < 65536:
                raise ProtocolError("the session's ports are out of range")

    def open(self, link: Link, *, n_streams: int, is_sender: bool, max_large: int, peer_minor: int,
             tells_limit_bytes_per_s: int = 0) -> None:  # fmt: skip
        """Listen, connect or tunnel, and say so. *max_large*: of a receiver, files that may be open.

        *tells_limit_bytes_per_s*: of what may come in, for who sends it.
        """
        self._tells_limit_bytes_per_s = tells_limit_bytes_per_s
        self._link = link
        self._is_sender, self._max_large = is_sender, max_large
        self._channel.last(is_lasting=bool(link.control_secret))
        self._open_streams(n_streams)
        self._channel.say_more_often(START_ALIVE_S)
        now = self._loop.now()
        self._due_s = now + (link.patience_s if link.mode == "connect" else STREAMS_TIMEOUT_S)
        if link.mode == "listen":
            self._listen(link, peer_minor)
        elif link.mode == "connect":
            if not self._find_addresses():
                raise NetworkError("the address of the other side is not known here", "name it with --bind")
            self._tell_listening([], 0)
            self._opener = self._connect(None)
        elif link.mode == "tunnel":
            self._tell_listening([], 0)
            self.go_through_tunnel()
        else:
            raise ProtocolError("the initiator wants streams of an unknown kind")

    def _open_streams(self, n_streams: int) -> None:
        assert self._link
        link = self._link
        self.streams = Streams(
            link.secret, n_streams=n_streams, block_bytes=link.block_bytes,
            is_sender=self._is_sender, backend=choose_aead(),
            limit_bytes_per_s=link.limit_bytes_per_s or None, may_reconnect=link.reconnect_s > 0,
        )  # fmt: skip
        if self._relay_secret:
            from escp.streams.relayed import RelayedStreams  # not at the top: hardly an agent is relayed to

            self._relayed = RelayedStreams(
                self._relay_secret, self.streams, self._loop.watch, self._loop.unwatch,
                speaks_first=link.speaks_first, tell_cut=self._tell_cut,
            )  # fmt: skip

    def _find_addresses(self) -> list[tuple[str, int]]:
        """Where this agent is to connect to."""
        assert self._link
        hosts = self._link.addresses[:MAX_ADDRESSES] or [self._peer_address]
        return [(host, self._link.port) for host in hosts if is_address(host)]

    def _connect(self, wanted: set[int] | None, streams: Streams | None = None) -> "Connector":
        """*wanted*: streams that were there; None: all, for the first time."""
        from escp.streams.connector import Connector  # not at the top: hardly an agent connects

        streams = streams or self.streams
        assert streams
        loop = self._loop
        return Connector(self._find_addresses(), streams, loop.watch, loop.unwatch, loop.now(), wanted=wanted)

    def _accept_from(self, listener: sockets.Socket | None, streams: Streams | None = None) -> Acceptor:
        streams = streams or self._relayed or self.streams
        assert streams
        loop = self._loop
        is_again = self._reconnector is not None
        return Acceptor(listener, streams, loop.watch, loop.unwatch, loop.now(), is_again=is_again)

    def _tell_listening(self, addresses: list[str], port: int, reason: str = "") -> None:
        assert self.streams
        self._channel.send(Listening(addresses, port, self.streams.n_streams, reason, self._max_large,
                                     self._tells_limit_bytes_per_s))  # fmt: skip

    def _listen(self, link: Link, peer_minor: int) -> None:
        address = self._own_address
        if link.addresses:  # the user's choice; behind an address translation it is not one of this host
            address = link.addresses[0] if is_own_address(link.addresses[0]) else ""
        try:
            listener = listen(address, link.port, link.n_ports)
        except NetworkError as e:  # the tunnel is left, if the initiator wants it and knows of that
            if peer_minor < REASON_MINOR:
                raise
            self._opener = self._accept_from(None)
            return self._tell_listening([], 0, str(e))
        self._opener = self._accept_from(listener)
        self._bound = address, listener.getsockname()[1]
        # A link-local address means nothing on another host: its ssh configuration has one with a scope.
        addresses = [address] if address and "%" not in address else []
        return self._tell_listening(addresses, listener.getsockname()[1])

    def go_through_tunnel(self) -> None:
        """No port of this host could be reached: start anew with sockets that the control channel feeds."""
        assert self.streams and self._link
        n_streams = self.streams.n_streams
        if self._opener is not None:
            self._close_opener()
            self.close_streams()
            self._open_streams(n_streams)
        elif self._reconnector is not None:  # they were proven here, and not there
            raise NetworkError("the data connections were lost in the moment in which they were there", "")
        elif self._link.mode != "tunnel":
            raise ProtocolError("the initiator wants a tunnel too late")
        self._due_s = self._loop.now() + STREAMS_TIMEOUT_S
        limit = self._link.limit_bytes_per_s if self._is_sender else 0
        tunnel = self._channel.open_tunnel(n_streams, limit)
        self._opener = acceptor = self._accept_from(None)
        for end in tunnel.ends:
            acceptor.take(end)

    # ---- Until all streams are there, and after ---------------------------------------------------------

    @property
    def next_tick_s(self) -> float:
        """When `tick` has something to do."""
        both = (self._reconnector, self._lost)
        next_s = min((again.next_tick_s for again in both if again is not None), default=float("inf"))
        if self._opener is None:
            return next_s
        return min(next_s, self._loop.now() + START_ALIVE_S, self._opener.next_tick_s)

    @property
    def is_ready(self) -> bool:
        """Whether all have proven themselves, and have not been started."""
        return self._opener is not None and self.streams is not None and self.streams.is_complete

    def tick(self, now: float) -> None:
        """Raises NetworkError when they don't come, or the network is gone."""
        if self._opener is not None:
            self._opener.tick(now)
            if now > self._due_s and not self.is_ready and not self._is_answered_soon(now):
                raise self._explain_missing_streams()
        elif self.streams is not None:
            self.streams.check(now)
        for again in (self._reconnector, self._lost):
            if again is not None:
                again.tick(now)
        if self._relayed is not None and self.streams is not None and now >= self._doubt_s:
            for stream in self.streams.doubted:
                self._doubt_s = now + KEEPALIVE_S
                self._tell_cut(stream, is_doubt=True)
        if now >= self._mute_s:
            self._mute_s = now + KEEPALIVE_S
            self._tell_mute(now)

    def _is_answered_soon(self, now: float) -> bool:
        """Whether to wait on: the other host lets connections in, and may answer them once it goes on."""
        assert self._opener
        return now <= self._due_s + STOPPED_S and self._opener.is_let_in

    def _explain_missing_streams(self) -> NetworkError:
        assert self._link and self._opener
        if isinstance(self._opener, Acceptor):
            return NetworkError("the initiator's data connections did not arrive")
        where = ", ".join(self._link.addresses or [self._peer_address])
        return NetworkError(f"can't reach {where} port {self._link.port} from here: {self._opener.reason}")

    def start(self, end: "SendEnd | ReceiveEnd") -> None:
        """Stop listening, hand the streams to the plane."""
        assert self.streams and self._link
        self._close_opener()
        self._channel.say_more_often(None)
        self._link = self._link._replace(secret=b"")
        self._relay_secret = b""
        if self._relayed is not None and self.streams.may_reconnect:
            self._relayed.forget()
        else:
            self._relayed = None
        if self.streams.may_reconnect:
            from escp.streams.reconnect import Reconnector  # not at the top: the streams are there by now

            self._reconnector = Reconnector(
                self.streams, self._reopen, _tell_nobody, self._loop, self._link.reconnect_s
            )
        if self._link.control_secret and not self.streams.is_tunnel:
            from escp.agent.lost import LostInitiator  # not at the top: the streams are there by now

            self._lost = LostInitiator(
                self._channel, self._link.control_secret, self._reopen, self._loop,
                limit_s=self._link.reconnect_s, is_apart=bool(self._link.control_port),
            )  # fmt: skip
        self._link = self._link._replace(control_secret=b"")
        end.start(self.streams)
        if self._link.tells_mute:
            self._mute_s = self._loop.now()
        self._log.begin(
            role="sender" if self._is_sender else "receiver", host=self._peer_address,
            streams=self.streams.n_streams, block_bytes=self._link.block_bytes, aead=choose_aead(),
        )  # fmt: skip

    def _reopen(self, wanted: set[int], streams: Streams | None = None) -> "Connector | Acceptor":
        """What gets new connections for streams that were there, or for *streams*, in the same way."""
        assert self._link
        link = self._link
        if streams is not None and link.control_port:
            # On the last port: the first ones are looked at for streams.
            first, last = link.control_port, link.control_port + link.n_control_ports - 1
            return self._accept_from(relisten(self._own_address, last, first, last), streams)
        if link.mode == "connect":
            return self._connect(wanted, streams)
        address, port = self._bound
        listener = relisten(address, port, link.port, link.port + link.n_ports - 1)
        return self._accept_from(listener, streams)

    # ---- An initiator that is lost ------------------------------------------------------------------------

    def outlive(self) -> bool:
        """ssh is gone: whether the initiator may come back another way, and is waited for."""
        if self._lost is None:
            return False
        self._lost.lose()
        return True

    def await_initiator(self) -> None:
        """It is to hear why this agent ends, if its ssh has just been lost."""
        if self._lost is not None:
            self._lost.await_words()

    def check_initiator(self, now: float, *, is_done: bool) -> None:
        """Raises NetworkError when it has not come back in time. *is_done*: its result is all it lacks."""
        if self._lost is not None:
            closed_s = 0.0 if self._reconnector is None else self._reconnector.closed_s(now)
            self._lost.check(now, self.streams, closed_s=closed_s, is_done=is_done)

    # ---- Streams that break --------------------------------------------------------------------------------

    def lose(self, stream: int, failure: Failure) -> None:
        """The plane has told that a stream broke; see `Reconnector`."""
        assert self._reconnector
        if failure.code == FAST_AUTH:  # the other side only sees a cut: tell it more
            self._channel.send(Damaged(stream))
        self._reconnector.lose(stream, failure)
        if self._relayed is not None and not self._reconnector.is_over:
            self._relayed.cut.add(stream)
            self._tell_cut(stream)

    def _tell_cut(self, stream: int, *, is_doubt: bool = False) -> None:
        """The initiator relays, and sees no more than that a stream has ended."""
        assert self._relayed
        self._channel.send(Cut(stream, self._relayed.number(stream), is_doubt))

    def _tell_mute(self, now: float) -> None:
        """The initiator compares it with what the other end of these connections knows."""
        assert self.streams
        numbers = self._relayed or self.streams
        for stream, (_, n_received, n_acked) in self.streams.find_mute(now).items():
            self._channel.send(Mute(stream, numbers.number(stream), n_received, n_acked))

    def resume(self, stream: int) -> None:
        assert self._reconnector
        self._reconnector.resume(stream)

    def end(self) -> None:
        """The plane is done."""
        self._mute_s = float("inf")
        if self._reconnector is not None:
            self._reconnector.end()

    def close(self) -> None:
        """No further connection is needed."""
        self._close_opener()
        for again in (self._reconnector, self._lost):
            if again is not None:
                again.close()

    def _close_opener(self) -> None:
        if self._opener is not None:
            self._opener.close()
        self._opener = None

    def close_streams(self) -> None:
        """Close the streams' sockets, once the planes are closed."""
        for streams in (self._relayed, self.streams):
            if streams is not None:
                streams.close()
