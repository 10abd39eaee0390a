"""What an agent does for its initiator: roots to send, streams, and the plane that sends or receives."""

from escp.constants import INITIATOR_SILENT_S, KEEPALIVE_S, SECRET_BYTES, START_ALIVE_S
from escp.control.channel import ControlChannel
from escp.control.messages import (
    Accept,
    Allow,
    Allowed,
    Bye,
    Examine,
    Examined,
    FileFailed,
    Hello,
    Link,
    Listed,
    Listening,
    Message,
    Opened,
    Progress,
    Receive,
    Relay,
    Send,
    Sources,
    Tunnel,
)
from escp.errors import AgentError, NetworkError, ProtocolError
from escp.failures import FAST_ABSENT, FAST_MISSING, Failure
from escp.lean import signals, sockets
from escp.lean.eventloop import EventLoop
from escp.streams.addresses import is_address, is_own_address
from escp.streams.ends import ReceiveEnd, SendEnd
from escp.streams.listener import Acceptor, listen
from escp.streams.sealing import choose_aead
from escp.streams.streams import Streams
from escp.ui.log import AgentLog

TYPE_CHECKING = False
if TYPE_CHECKING:
    from escp.names.rootfinder import RootFinder
    from escp.streams.relayed import RelayedStreams
    from escp.streams.streams import Opener

STOPPED_S = 30.0  # for one that connects, where it is let in
STREAMS_TIMEOUT_S = INITIATOR_SILENT_S  # for all streams to arrive: an initiator that runs is faster
IN_PLACE_TIMEOUT_S = 2  # for a write to a pipe or device, once the session is over
PROGRESS_S = 0.2
REASON_MINOR = 2  # of an initiator that understands `reason` in `listening`
MAX_LISTED = 64  # in one message
MAX_UNREAD_BYTES = 1 << 20  # for an initiator that is suspended, or whose output nobody reads


class Service:
    """One session's work, from the initiator's first order to its `Bye`."""

    def __init__(
        self, loop: EventLoop, channel: ControlChannel, log: AgentLog, own_address: str, peer_address: str
    ):
        """The addresses between which ssh goes, "" where they are not known."""
        self.is_done = False
        self._loop = loop
        self._channel = channel
        self._log = log
        self._own_address, self._peer_address = own_address, peer_address
        self._peer_minor = 0
        self._send_wanted: Send | None = None
        self._finder: RootFinder | None = None
        self._has_accept = False
        self._accepted: list[tuple[bytes, bytes]] = []
        self._tells_absent = False
        self._max_large = 0  # files that the receiver can have open; 0: it did not say
        self._hears_begun = False
        self._sender: SendEnd | None = None
        self._receiver: ReceiveEnd | None = None
        self._relay_secret = b""
        self._link: Link | None = None
        self._streams: Streams | None = None
        self._relayed: RelayedStreams | None = None  # what comes before those, through a relay
        self._opener: Opener | None = None
        self._streams_due_s = float("inf")
        self._told: Progress | None = None
        self._listed: list[bytes] = []  # of a dry run, not yet told
        self._is_holding = False  # nothing is taken from the plane: the initiator does not read

    @property
    def next_tick_s(self) -> float:
        """When `tick` is due, whatever happens until then."""
        next_s = self._loop.now() + (PROGRESS_S if self._sender else KEEPALIVE_S)
        if self._opener is None:
            return next_s
        return min(next_s, self._loop.now() + START_ALIVE_S, self._opener.next_tick_s)

    def tick(self, now: float) -> None:
        if self._opener is not None:
            self._opener.tick(now)
            assert self._streams
            if self._streams.is_complete:
                self._start()
            elif now > self._streams_due_s and not self._is_answered_soon(now):
                raise self._explain_missing_streams()
        elif self._streams is not None:
            self._streams.check(now)
        if self._sender is not None:
            self._tell_progress()
        end = self._sender or self._receiver
        is_full = self._channel.n_pending > MAX_UNREAD_BYTES
        if end is not None and is_full != self._is_holding:
            self._is_holding = is_full
            end.hold_events(is_held=is_full)

    def _is_answered_soon(self, now: float) -> bool:
        """The other host lets in who connects, but is slow to answer: it may have been stopped."""
        return now <= self._streams_due_s + STOPPED_S and getattr(self._opener, "is_let_in", False)

    def close(self) -> None:
        self._close_opener()
        if self._sender is not None:
            self._sender.close()
        if self._receiver is not None:
            self._receiver.stop()
            if self._receiver.is_in_order:
                signals.alarm(IN_PLACE_TIMEOUT_S)  # nothing else ends a write to a pipe that nobody reads
            self._receiver.close()
        self._close_streams()

    def _close_opener(self) -> None:
        """No further connection is needed."""
        if self._opener is not None:
            self._opener.close()
        self._opener = None

    def _close_streams(self) -> None:
        for streams in (self._relayed, self._streams):
            if streams is not None:
                streams.close()

    def take(self, message: Message) -> None:
        if isinstance(message, Hello):
            self._peer_minor = message.minor
        if isinstance(message, Receive | Send) and (self._receiver or self._send_wanted):
            raise ProtocolError("the initiator wants two things of one agent")
        if isinstance(message, Receive):
            self._receiver = ReceiveEnd(message, is_remote=True)
            self._tell(Opened(self._receiver.names_below, self._receiver.is_in_order))
        elif isinstance(message, Send):
            from escp.names.rootfinder import RootFinder  # not at the top: a receiver needs none

            self._send_wanted = message
            self._finder = RootFinder(keeps_links=message.keeps_links)
        elif isinstance(message, Sources) and self._finder:
            self._finder.ask(message.paths, is_last=message.is_last)
            self._offer_roots()
        elif isinstance(message, Accept):
            self._take_accept(message)
        elif isinstance(message, Allow):
            if self._receiver is None or self._receiver.plane is None:
                raise ProtocolError("the initiator allows names too early")
            flags = [bool(flag) for flag in message.directories]
            self._receiver.allow(message.names, flags, "the sending host")
            self._tell(Allowed())
        elif isinstance(message, Relay):
            self._take_relay(message)
        elif isinstance(message, Link):
            self._make_link(message)
        elif isinstance(message, Tunnel):
            self._go_through_tunnel()
        elif isinstance(message, Examine):
            self._examine(message.path)
        elif isinstance(message, Bye):
            self.is_done = True

    def _examine(self, path: bytes) -> None:
        """Tell the facts about this host, that directory, and the device that the streams go through."""
        # Not at the top: no copy needs them.
        from escp.facts.facts import encode_facts
        from escp.facts.network import find_device
        from escp.facts.system import examine_host

        peer, own = self._peer_address, self._own_address
        for sock, _ in self._streams.proven.values() if self._streams is not None else ():
            if sock.family != sockets.AF_UNIX:  # of a tunnel
                peer, own = sock.getpeername()[0], sock.getsockname()[0]
        device = find_device(peer, own) if peer else None
        self._tell(Examined(encode_facts(examine_host(path, device))))
        self._log.examined()

    def _tell(self, message: Message) -> None:
        self._channel.send(message)

    # ---- Sources ------------------------------------------------------------------------------------

    def _offer_roots(self) -> None:
        """Tell the initiator the next roots; it says what they are to be called."""
        assert self._finder
        if not (self._finder.is_offering or self._accepted or (self._sender and self._sender.has_waiting)):
            self._tell(self._finder.next_page())  # else Accept, the plane, or room in it comes first

    def _take_accept(self, message: Accept) -> None:
        assert self._finder
        self._accepted += self._finder.accept(message.names)
        self._tells_absent = message.tells_absent
        self._max_large, self._hears_begun = message.max_large, message.tells_begun
        self._has_accept = True
        self._hand_over()

    def _hand_over(self) -> None:
        if self._sender is not None and self._finder is not None and self._has_accept:
            accepted, self._accepted = self._accepted, []
            self._sender.suit(self._max_large, hears_begun=self._hears_begun)
            self._sender.add(accepted, is_last=self._finder.is_last, tells_absent=self._tells_absent)

    def sources_taken(self) -> None:
        if self._finder is not None and not self._finder.is_drained:
            self._offer_roots()

    # ---- Streams ------------------------------------------------------------------------------------

    def _take_relay(self, message: Relay) -> None:
        if self._link is not None:
            raise ProtocolError("the initiator tells of its relay too late")
        if len(message.secret) != SECRET_BYTES:
            raise ProtocolError("the relay's secret has a wrong length")
        self._relay_secret = message.secret

    def _make_link(self, link: Link) -> None:
        """Make the plane, and listen, connect or tunnel."""
        if len(link.secret) != SECRET_BYTES:
            raise ProtocolError("the session's secret has a wrong length")
        if link.is_relayed and not self._relay_secret:  # before 1.2, when any stranger could pass for a relay
            raise AgentError(
                "the initiator's escp is too old to relay to this one",
                "install the same release on all hosts, or use -R",
            )
        if link.is_relayed != bool(self._relay_secret) or (link.is_relayed and link.mode == "connect"):
            raise ProtocolError("the initiator wants a relay that can't be")
        if not 0 < link.port <= link.port + link.n_ports - 1 < 65536:
            raise ProtocolError("the session's ports are out of range")
        self._link = link
        n_streams = 1 if self._receiver and self._receiver.is_in_order else link.n_streams
        if self._receiver is not None:
            self._receiver.open(
                n_streams=n_streams, block_bytes=link.block_bytes, loop=self._loop, listener=self
            )
        else:
            assert self._send_wanted
            self._sender = SendEnd(self._send_wanted, n_streams=n_streams, block_bytes=link.block_bytes,
                                   loop=self._loop, listener=self)  # fmt: skip
        self._open_streams(n_streams)
        self._channel.say_more_often(START_ALIVE_S)
        now = self._loop.now()
        self._streams_due_s = now + (link.patience_s if link.mode == "connect" else STREAMS_TIMEOUT_S)
        if link.mode == "listen":
            self._listen(link)
        elif link.mode == "connect":
            from escp.streams.connector import Connector  # not at the top: hardly an agent connects

            assert self._streams
            hosts = link.addresses or [self._peer_address]
            addresses = [(host, link.port) for host in hosts if is_address(host)]
            if not addresses:
                raise NetworkError("the address of the other side is not known here", "name it with --bind")
            self._tell_listening([], 0)
            self._opener = Connector(addresses, self._streams, self._loop.watch, self._loop.unwatch, now)
        elif link.mode == "tunnel":
            self._tell_listening([], 0)
            self._go_through_tunnel()
        else:
            raise ProtocolError("the initiator wants streams of an unknown kind")
        self._hand_over()

    def _open_streams(self, n_streams: int) -> None:
        assert self._link
        link = self._link
        self._streams = Streams(
            link.secret, n_streams=n_streams, block_bytes=link.block_bytes,
            is_sender=self._sender is not None, backend=choose_aead(),
            limit_bytes_per_s=link.limit_bytes_per_s or None,
        )  # fmt: skip
        if self._relay_secret:
            from escp.streams.relayed import RelayedStreams  # not at the top: hardly an agent is relayed to

            self._relayed = RelayedStreams(
                self._relay_secret, self._streams, self._loop.watch, self._loop.unwatch,
                speaks_first=link.speaks_first,
            )  # fmt: skip

    def _accept_from(self, listener: sockets.Socket | None) -> Acceptor:
        assert self._streams
        return Acceptor(
            listener, self._relayed or self._streams, self._loop.watch, self._loop.unwatch, self._loop.now()
        )

    def _tell_listening(self, addresses: list[str], port: int, reason: str = "") -> None:
        assert self._streams
        max_large = self._receiver.max_large if self._receiver else 0
        self._tell(Listening(addresses, port, self._streams.n_streams, reason, max_large))

    def _listen(self, link: Link) -> None:
        address = self._own_address
        if link.addresses:  # the user's choice; behind an address translation it is not one of this host
            address = link.addresses[0] if is_own_address(link.addresses[0]) else ""
        try:
            listener = listen(address, link.port, link.n_ports)
        except NetworkError as e:  # the tunnel is left, if the initiator wants it and knows of that
            if self._peer_minor < REASON_MINOR:
                raise
            self._opener = self._accept_from(None)
            return self._tell_listening([], 0, str(e))
        self._opener = self._accept_from(listener)
        # A link-local address means nothing on another host: its ssh configuration has one with a scope.
        addresses = [address] if address and "%" not in address else []
        return self._tell_listening(addresses, listener.getsockname()[1])

    def _go_through_tunnel(self) -> None:
        """No port of this host could be reached: start anew with sockets that the control channel feeds."""
        assert self._channel and self._streams and self._link
        n_streams = self._streams.n_streams
        if self._opener is not None:
            self._close_opener()
            self._close_streams()
            self._open_streams(n_streams)
        elif self._link.mode != "tunnel":
            raise ProtocolError("the initiator wants a tunnel too late")
        self._streams_due_s = self._loop.now() + STREAMS_TIMEOUT_S
        limit = self._link.limit_bytes_per_s if self._sender else 0
        tunnel = self._channel.open_tunnel(n_streams, limit)
        self._opener = acceptor = self._accept_from(None)
        for end in tunnel.ends:
            acceptor.take(end)

    def _explain_missing_streams(self) -> NetworkError:
        assert self._link and self._opener
        if isinstance(self._opener, Acceptor):
            return NetworkError("the initiator's data connections did not arrive")
        where = ", ".join(self._link.addresses or [self._peer_address])
        return NetworkError(f"can't reach {where} port {self._link.port} from here: {self._opener.reason}")

    def _start(self) -> None:
        """All streams have proven themselves: stop listening, start the threads."""
        assert self._streams and self._link
        self._close_opener()
        self._channel.say_more_often(KEEPALIVE_S)
        self._link = self._link._replace(secret=b"")
        self._relay_secret, self._relayed = b"", None
        end = self._sender or self._receiver
        assert end
        end.start(self._streams)
        self._log.begin(
            role="sender" if self._sender else "receiver", peer=self._peer_address,
            n_streams=self._streams.n_streams, block_bytes=self._link.block_bytes, aead=choose_aead(),
        )  # fmt: skip

    # ---- What the planes tell -----------------------------------------------------------------------

    def listed(self, path: bytes) -> None:
        self._listed.append(path)
        if len(self._listed) == MAX_LISTED:
            self._tell_listed()

    def _tell_listed(self) -> None:
        if self._listed:
            self._tell(Listed(self._listed))
            self._listed = []

    def file_failed(
        self, end: SendEnd | ReceiveEnd, failure: Failure, path: bytes, *, is_receiver: bool
    ) -> None:
        if is_receiver == (self._sender is None) and failure.code != FAST_ABSENT:
            self._log.file_error(path, failure.reason)  # the other side's are in the other side's log
        # The sender hears from the streams what a receiver can't write, but not what did not come.
        is_own_word = failure.code in (FAST_ABSENT, FAST_MISSING)
        if self._sender is not None or (is_own_word and self._receiver and self._receiver.tells_missing):
            twins = list(failure.twins)
            self._tell(FileFailed(path, failure.code, failure.sys_errno, failure.where, is_receiver, twins))

    def end_finished(self, end: SendEnd | ReceiveEnd) -> None:
        self._log.finish(end.counters())
        if isinstance(end, SendEnd):
            self._tell_progress()
        self._tell(end.result()._replace(log_failure=self._log.failure))

    def end_failed(self, failure: Failure) -> None:
        raise failure.as_error("the data streams")

    def _tell_progress(self) -> None:
        assert self._sender
        self._tell_listed()
        counts = self._sender.counters()
        now = Progress._make(counts.get(name, 0) for name in Progress._fields)
        if now != self._told:
            self._told = now
            self._tell(now)
