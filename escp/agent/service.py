"""What an agent does for its initiator: roots to send, and the plane that sends or receives."""

from escp.agent.agentlog import AgentLog
from escp.agent.way import Way
from escp.constants import KEEPALIVE_S
from escp.control.channel import ControlChannel
from escp.control.messages import (
    Accept,
    Allow,
    Allowed,
    Bye,
    Examine,
    Examined,
    Expect,
    Expected,
    FileFailed,
    Hello,
    Itemized,
    Link,
    Listed,
    Message,
    Opened,
    PartTold,
    Progress,
    Receive,
    Relay,
    Send,
    Sources,
    Tunnel,
)
from escp.errors import ProtocolError
from escp.failures import FAST_ABSENT, FAST_MISSING, Failure
from escp.lean import signals, sockets
from escp.lean.eventloop import EventLoop
from escp.streams.receiveend import ReceiveEnd
from escp.streams.sendend import SendEnd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from escp.agent.site import Site
    from escp.control.survey import Find, Measure
    from escp.names.rootfinder import RootFinder
    from escp.names.survey import Survey
    from escp.streams.deletion import Lister, Remover

IN_PLACE_TIMEOUT_S = 2  # how long a write to a pipe or device may go on once the session is over
PROGRESS_S = 0.2
MAX_LISTED = 64  # in one message
MAX_UNREAD_BYTES = 1 << 20  # so much waits for an initiator that is suspended, or whose output nobody reads


class Service:
    """One session's work, from the initiator's first order to its `Bye`."""

    def __init__(
        self, loop: EventLoop, channel: ControlChannel, log: AgentLog, own_address: str, peer_address: str,
        site: "Site | None" = None,
    ):  # fmt: skip
        """The addresses between which ssh goes, "" where they are not known. *site*: None if all may be."""
        self.is_done = False
        self._site = site
        self._loop = loop
        self._channel = channel
        self._log = log
        self._own_address, self._peer_address = own_address, peer_address
        self._peer_minor = 0
        self._send_wanted: Send | None = None
        self._finder: RootFinder | None = None
        self._terms: Accept | None = None  # what all of them say, names apart
        self._accepted: list[tuple[bytes, bytes]] = []
        self._has_handed_over = False  # the first of them
        self._tells_absent = False
        self._max_large = 0  # files that the receiver can have open; 0: it did not say
        self._sender: SendEnd | None = None
        self._receiver: ReceiveEnd | None = None
        self._way = Way(loop, channel, log, own_address, peer_address)
        self._has_finished = False
        self._deletion: Lister | Remover | None = None  # once it has, with --delete
        self._survey: Survey | None = None
        self._told: Progress | None = None
        self._listed: list[bytes] = []  # what a dry run has found, and the initiator was not told yet
        self._items: list[tuple[bytes, int, str, int, bytes]] = []  # as `itemized`, not told yet
        self._is_holding = False  # the initiator does not read, so nothing is taken from the plane

    @property
    def has_begun(self) -> bool:
        """It has been told to be an end of a copy."""
        return self._receiver is not None or self._send_wanted is not None

    @property
    def next_tick_s(self) -> float:
        """When `tick` is due, whatever happens until then."""
        is_soon = self._sender or self._channel.is_away or self._site
        return min(self._loop.now() + (PROGRESS_S if is_soon else KEEPALIVE_S), self._way.next_tick_s)

    def tick(self, now: float) -> None:
        self._way.tick(now)
        if self._way.is_ready:
            end = self._sender or self._receiver
            assert end
            self._way.start(end)
        self._way.check_initiator(now, is_done=self._has_finished)
        if self._survey is not None:
            self._survey.tick()
        if self._sender is not None:
            if not self._channel.is_away:
                self._tell_progress()
            self._sender.save()
        if self._site is not None:
            self._site.check_time(now)
            if self._receiver is not None and self._receiver.plane is not None:
                self._site.check_rate(now, self._receiver.counters()["bytes"])
        end = self._sender or self._receiver
        is_full = self._channel.n_pending > MAX_UNREAD_BYTES
        if end is not None and is_full != self._is_holding:
            self._is_holding = is_full
            end.hold_events(is_held=is_full)

    def outlive(self) -> bool:
        """The channel has ended: whether it may come back."""
        return self._channel.is_cut and self._way.outlive()

    def await_initiator(self) -> None:
        """It is to hear why this agent ends, if its ssh has just been lost."""
        self._way.await_initiator()

    def close(self) -> None:
        self._way.close()
        if self._survey is not None:
            self._survey.close()
        if self._deletion is not None:
            self._deletion.close()
        if self._sender is not None:
            self._sender.close()
        if self._receiver is not None:
            self._receiver.stop()
            if self._receiver.is_in_order:
                signals.alarm(IN_PLACE_TIMEOUT_S)  # nothing else ends a write to a pipe that nobody reads
            self._receiver.close()
        self._way.close_streams()

    def take(self, message: Message) -> None:
        if isinstance(message, Receive | Send):
            self._log.take_order(message, self._peer_address)
        elif isinstance(message, Sources):
            self._log.take_sources(message.paths)
        if self._site is not None:
            message = self._site.admit(message)
        if isinstance(message, Hello):
            self._peer_minor = message.minor
        if isinstance(message, Receive | Send) and self.has_begun:
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
        elif isinstance(message, Expect):
            if self._receiver is None or self._receiver.plane is not None:
                raise ProtocolError("the initiator says too late what it expects")
            self._receiver.expect(message.names, message.digests)
            self._tell(Expected())
        elif isinstance(message, Relay):
            self._way.take_relay(message)
        elif isinstance(message, Link):
            self._make_link(message)
        elif isinstance(message, Tunnel):
            self._way.go_through_tunnel()
        elif isinstance(message, Examine):
            self._examine(message.path)
        elif isinstance(message, Bye):
            self.is_done = True
            if message.is_whole and self._receiver is not None:
                self._receiver.forget()
            if message.is_unsafe and self._sender is not None:
                self._sender.disbelieve()
        else:
            self._take_later(message)

    def _take_later(self, message: Message) -> None:
        """What is asked when all is copied, if at all."""
        # Not at the top: `codec` loads these when they come.
        from escp.control.deletion import Compare, Inventory, Prune
        from escp.control.survey import Find, Measure

        if isinstance(message, Inventory | Compare | Prune):
            self._delete(message, has_sources=isinstance(message, Inventory))
        elif isinstance(message, Measure | Find):
            self._look_at(message)

    def _delete(self, message: Message, *, has_sources: bool) -> None:
        end = self._sender or self._receiver
        if end is None or not self._has_finished or has_sources != (end is self._sender):
            raise ProtocolError("the initiator wants to delete before all is copied")
        # Lazy: few want it.
        from escp.control.deletion import Compared, Pruned

        if self._deletion is None:
            from escp.streams.deletion import make_half  # lazy, too

            self._deletion = make_half(end)
        answer = self._deletion.answer(message)
        is_dry_run = self._receiver is not None and self._receiver.wanted.is_dry_run
        if self._site is not None and isinstance(answer, Compared) and not is_dry_run:
            self._site.check_deletions(answer)
        if isinstance(answer, Pruned) and not is_dry_run:
            for path in answer.paths:
                self._log.deleted(path)
        self._tell(answer)

    def _look_at(self, message: "Measure | Find") -> None:
        if self._survey is None:
            # Lazy: few want a manifest.
            from escp.names.survey import Survey
            from escp.streams.digests import Sha256, open_directory, open_inside

            self._survey = Survey(
                self._loop, self._tell, is_remote=True,
                open_below=open_directory, open_inside=open_inside, new_sum=Sha256,
            )  # fmt: skip
        self._survey.take(message)

    def _examine(self, path: bytes) -> None:
        """Tell the facts about this host, that directory, and the device that the streams go through."""
        # Not at the top: no copy needs them.
        from escp.facts.facts import encode_facts
        from escp.facts.network import find_device
        from escp.facts.system import examine_host

        peer, own = self._peer_address, self._own_address
        for sock, _ in self._way.streams.proven.values() if self._way.streams is not None else ():
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
            self._tell(self._finder.next_page())  # otherwise Accept, the plane, or room in it must come first

    def _take_accept(self, message: Accept) -> None:
        assert self._finder
        self._accepted += self._finder.accept(message.names)
        self._tells_absent, self._max_large = message.tells_absent, message.max_large
        terms = message._replace(names=[], tells_absent=False, max_large=0)
        if self._terms is not None and terms != self._terms:  # the plane's threads go by the first ones
            raise ProtocolError("the initiator accepts sources on other terms than the first ones")
        self._terms = terms
        self._hand_over()

    def _hand_over(self) -> None:
        terms = self._terms
        if self._sender is not None and self._finder is not None and terms is not None:
            accepted, self._accepted = self._accepted, []
            self._sender.limit_large(self._max_large)
            if not self._has_handed_over:
                self._has_handed_over = True
                self._sender.suit(hears_begun=terms.tells_begun, judges_nodes=terms.asks_nodes)
                self._sender.keep_parts(terms.partial_min, resumes=terms.resumes, job=terms.job)
            self._sender.add(accepted, is_last=self._finder.is_last, tells_absent=self._tells_absent)

    def sources_taken(self) -> None:
        if self._finder is not None and not self._finder.is_drained:
            self._offer_roots()

    # ---- Streams ------------------------------------------------------------------------------------

    def _make_link(self, link: Link) -> None:
        """Make the plane, and the way that its streams take."""
        self._way.check(link)
        if self._site is not None:
            self._site.check_way(link, self._peer_address)
        reconnects = link.reconnect_s > 0
        n_streams = 1 if self._receiver and self._receiver.is_in_order else link.n_streams
        if self._receiver is not None:
            self._receiver.open(
                n_streams=n_streams, block_bytes=link.block_bytes, loop=self._loop, listener=self,
                reconnects=reconnects, tell_copied=self._log.tell_copied,
            )  # fmt: skip
        else:
            assert self._send_wanted
            self._sender = SendEnd(self._send_wanted, n_streams=n_streams, block_bytes=link.block_bytes,
                                   loop=self._loop, listener=self, reconnects=reconnects,
                                   tell_copied=self._log.tell_copied)  # fmt: skip
        self._way.open(
            link, n_streams=n_streams, is_sender=self._sender is not None, peer_minor=self._peer_minor,
            max_large=self._receiver.max_large if self._receiver else 0,
            tells_limit_bytes_per_s=self._site.limit_bytes_per_s if self._site and self._receiver else 0,
        )  # fmt: skip
        self._hand_over()

    # ---- What the planes tell -----------------------------------------------------------------------

    def stream_lost(self, stream: int, failure: Failure) -> None:
        self._way.lose(stream, failure)

    def stream_resumed(self, stream: int) -> None:
        self._way.resume(stream)

    def listed(self, path: bytes) -> None:
        self._listed.append(path)
        if len(self._listed) == MAX_LISTED:
            self._tell_listed()

    def itemized(self, path: bytes, reason: int, kind: str, size: int, digest: bytes) -> None:
        self._items.append((path, reason, kind, size, digest))
        if len(self._items) == MAX_LISTED:
            self._tell_listed()

    def _tell_listed(self) -> None:
        if self._listed:
            self._tell(Listed(self._listed))
            self._listed = []
        if self._items:
            told = Itemized(*map(list, zip(*self._items, strict=True)))
            self._tell(told if any(told.digests) else told._replace(digests=[]))
            self._items = []

    def file_failed(
        self, end: SendEnd | ReceiveEnd, failure: Failure, path: bytes, *, is_receiver: bool
    ) -> None:
        if self._site is not None and is_receiver == (self._sender is None):
            self._site.check_failure(failure)
        if is_receiver == (self._sender is None) and failure.code != FAST_ABSENT:
            self._log.file_error(path, failure.reason)  # the other side's are in the other side's log
        # The sender hears from the streams what a receiver can't write, but not what did not come.
        is_own_word = failure.code in (FAST_ABSENT, FAST_MISSING)
        if self._sender is not None or (is_own_word and self._receiver and self._receiver.tells_missing):
            twins = list(failure.twins)
            self._tell(FileFailed(path, failure.code, failure.sys_errno, failure.where, is_receiver, twins))

    def part_told(self, path: bytes, news: str, n_bytes: int) -> None:
        self._tell(PartTold(path, news, n_bytes))

    def end_finished(self, end: SendEnd | ReceiveEnd) -> None:
        self._way.end()
        self._has_finished = True
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
