"""One session of the initiator: the one place that decides which plane runs where.

push          this process sends, the agent receives
pull          the agent sends, this process receives
local         both planes are in this process, without streams between them
host to host  one agent sends, the other receives: through a relay here (-3), or from one to the other (-R)
"""

import os
import time
from collections.abc import Callable, Sequence

from escp.agentlink import AgentLink
from escp.constants import CONNECT_TIMEOUT_S, SECRET_BYTES
from escp.control import (
    Accept,
    Allow,
    Allowed,
    Arrived,
    Bye,
    FileFailed,
    Hello,
    Link,
    Listed,
    Listening,
    Message,
    Opened,
    Progress,
    Result,
    Roots,
    Sources,
)
from escp.destination import is_special
from escp.ends import ReceiveEnd, SendEnd, start_local
from escp.errors import (
    FAST_UNSAFE,
    EscpError,
    Failure,
    LocalFileError,
    NetworkError,
    ProtocolError,
    RefusedError,
    SomeFailedError,
    UsageError,
)
from escp.eventloop import EventLoop
from escp.globbing import is_directory
from escp.leg import Leg
from escp.location import Location
from escp.offers import Offers
from escp.options import Options
from escp.orders import count_streams, make_receive, make_send
from escp.plan import base_name
from escp.relay import Relay, RelayLeg
from escp.sealing import choose_aead, warm_up
from escp.sources import SourceQueue
from escp.ssh import AgentProcess
from escp.tally import Tally
from escp.transfer import Streams
from escp.watcher import Watcher

UPDATE_S = 0.1
LAST_WORDS_S = 2.0  # a broken stream waits so long for the control channel to say why


class Job:
    """Copies what *sources* has of one host. `run()` returns the counters, or raises what ended it.

    *origin*: their host, None for this one. *is_many*: the target must be a directory whatever they are.
    *start_agent* is called when an agent is needed; it may have been started before.
    """

    def __init__(
        self,
        options: Options,
        origin: Location | None,
        sources: SourceQueue,
        *,
        is_many: bool,
        start_agent: Callable[[Location], AgentProcess],
        watcher: Watcher,
    ):
        self._options = options
        self._origin = origin
        self._goal = options.target if options.target.is_remote else None
        self._sources = sources
        self._is_many = is_many
        self._start_agent = start_agent
        self._watcher = watcher
        self._loop = EventLoop()
        self._aead = ""
        self._secret = b""
        self._send_agent: AgentLink | None = None
        self._receive_agent: AgentLink | None = None
        self._send_end: SendEnd | None = None
        self._receive_end: ReceiveEnd | None = None
        self._n_streams = 0
        self._legs: dict[AgentLink, Leg] = {}
        self._streams: Streams | None = None  # of the end that is here
        self._relay: Relay | None = None
        self._is_started = False
        self._names_below: bool | None = None  # None: the target is not open yet
        self._is_in_order = False  # the target is a pipe or device: all through one stream, and no holes
        self._offers = Offers(self._sources, (origin and origin.host) or "")
        self._tally = Tally(options, origin, watcher)
        self._failure: EscpError | None = None
        self._failure_due_s = float("inf")

    def run(self) -> dict[str, int]:
        if self._origin is not None or self._goal is not None:
            self._aead = choose_aead()
            self._secret = os.urandom(SECRET_BYTES)
        is_done = False
        try:
            self._begin()
            if len(self._agents()) == 1 and not (self._origin and self._goal):
                warm_up()  # a relay makes no channels
            while not self._tally.is_finished:
                self._step()
            for agent in self._agents():
                agent.send(Bye())
            is_done = True
            for end in (self._send_end, self._receive_end):
                if end is not None and end.plane is not None:
                    end.plane.join()
            return self.counters()
        except NetworkError as e:
            for end in (self._send_end, self._receive_end):
                if end is not None and end.plane is not None:
                    end.take_events()  # raises what it was, if an agent's complaint is only what followed
            if self._is_direct_failure():
                raise self._explain_direct(e) from e
            raise
        finally:
            self._close(is_done=is_done)

    @property
    def first_failure(self) -> EscpError | None:
        return self._tally.first_failure

    def counters(self) -> dict[str, int]:
        return self._tally.counters(self._send_end, self._receive_end, self._receive_agent)

    def _agents(self) -> list[AgentLink]:
        return [agent for agent in (self._send_agent, self._receive_agent) if agent is not None]

    # ---- Waiting ------------------------------------------------------------------------------------

    def _step(self) -> None:
        now = time.monotonic()
        ticks = [leg.next_tick_s for leg in self._legs.values()]
        ticks += [agent.channel.next_tick_s for agent in self._agents()]
        self._loop.wait(min([UPDATE_S, *(tick - now for tick in ticks)]))
        now = time.monotonic()
        for agent in self._agents():
            agent.channel.tick(now)
        if self._failure is not None and now >= self._failure_due_s:
            raise self._failure
        if not self._is_started:
            for leg in self._legs.values():
                leg.tick(now)
            self._start_if_ready()
        if self._is_started:
            self._watcher.update(self.counters())

    # ---- Agents -------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """One login after the other: each may ask its user something."""
        if self._origin and self._goal and not self._options.is_direct_hosts:
            data_hosts = [self._options.for_host(host).data_host for host in (self._origin, self._goal)]
            if data_hosts[0] is not None and data_hosts[0] == data_hosts[1]:
                raise UsageError(
                    f"option --data-host: {data_hosts[0]} can't be both hosts' address",
                    "give each its own in the configuration's `hosts`, or use -R",
                )
        if self._origin is not None:
            self._send_agent = self._log_in(self._origin)
        elif self._goal is not None:
            self._log_in_to_goal()
        else:
            self._begin_here()

    def _begin_here(self) -> None:
        """Both ends are in this process."""
        options = self._options
        n_sources, is_one_directory = self._look_at_sources()
        self._receive_end = ReceiveEnd(
            make_receive(options, n_sources, is_one_directory, has_roots=False), is_remote=False
        )
        self._names_below = self._receive_end.names_below
        self._is_in_order = self._receive_end.is_in_order
        n_streams = 1 if self._is_in_order else options.n_streams
        # Within one host the page cache is the faster way, as long as the file does not push out all else.
        direct_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 8
        self._receive_end.open(
            n_streams=n_streams,
            block_bytes=options.block_bytes,
            loop=self._loop,
            listener=self,
            direct_bytes=direct_bytes,
        )
        self._send_end = SendEnd(
            make_send(self._options, is_in_order=self._is_in_order),
            n_streams=n_streams,
            block_bytes=options.block_bytes,
            loop=self._loop,
            listener=self,
            direct_bytes=direct_bytes,
        )
        self._tally.expect(self._send_end)
        self._tally.expect(self._receive_end)
        start_local(self._send_end, self._receive_end)
        self._is_started = True
        self._feed_end()
        self._watcher.begin(host="", n_streams=n_streams, aead="", address="")

    def _log_in(self, location: Location) -> AgentLink:
        agent = AgentLink(
            self._start_agent(location),
            location,
            self._loop,
            self._take,
            self._watcher.note,
            self._watcher.announce,
        )
        self._tally.expect(agent)
        return agent

    def _log_in_to_goal(self) -> None:
        assert self._goal
        self._receive_agent = self._log_in(self._goal)

    def _take(self, agent: AgentLink, message: Message) -> None:
        if isinstance(message, Hello):
            if agent is self._send_agent:
                self._greet_sender(agent)
            else:
                self._greet_receiver(agent)
        elif isinstance(message, Listening):
            self._take_listening(agent, message)
        elif isinstance(message, Arrived):
            self._leg(agent).arrived(message.stream)
        elif isinstance(message, Opened) and agent is self._receive_agent:
            self._names_below, self._is_in_order = message.names_below, message.is_in_order
            self._target_is_open()
        elif isinstance(message, Allowed) and agent is self._receive_agent and self._send_agent:
            self._accept()
        elif isinstance(message, Result):
            self._take_result(agent, message)
        elif agent is not self._send_agent:
            raise ProtocolError(f"the remote escp on {agent.host} tells what only a sender knows")
        elif isinstance(message, Roots):
            self._take_roots(message)
        elif isinstance(message, Progress):
            self._tally.progress = message
        elif isinstance(message, FileFailed):
            # Of what is written here this side knows more than it could be told.
            if not (message.is_receiver and self._goal is None):
                failure = Failure(message.code, message.sys_errno, message.where)
                self._tally.fail_file(failure, message.path, is_receiver=message.is_receiver)
        elif isinstance(message, Listed) and self._options.is_dry_run:
            for path in message.paths:
                self.listed(path)

    def _take_result(self, agent: AgentLink, result: Result) -> None:
        """Before all was asked for, and could be sent, nobody can be done: it would look like success."""
        if not self._is_started or (agent is self._send_agent and not self._offers.is_finished):
            raise ProtocolError(f"the remote escp on {agent.host} says that it is done before it can be")
        self._tally.close(agent, result)

    def _leg(self, agent: AgentLink) -> Leg:
        if agent not in self._legs:
            raise ProtocolError(f"the remote escp on {agent.host} tells of streams that nobody asked for")
        return self._legs[agent]

    def _greet_sender(self, agent: AgentLink) -> None:
        self._is_in_order = self._goal is None and is_special(self._options.target.path)
        agent.send(make_send(self._options, is_in_order=self._is_in_order))
        self._feed_agent()
        if self._goal is None:
            self._send_link(agent, 1 if self._is_in_order else count_streams(self._options))
        else:
            self._log_in_to_goal()

    def _greet_receiver(self, agent: AgentLink) -> None:
        if self._origin is not None:
            return self._open_target()
        agent.send(make_receive(self._options, *self._look_at_sources(), has_roots=False))
        self._send_link(agent, count_streams(self._options))

    # ---- Sources and target -------------------------------------------------------------------------

    def _look_at_sources(self) -> tuple[int, bool]:
        """How many local sources there are, 2 for several, and whether a single one is a directory."""
        if self._is_many:
            return 2, False
        path = self._options.sources[0].path
        return 1, is_directory(path, follows_links=not self._options.keeps_links)

    def _feed_agent(self) -> None:
        assert self._send_agent
        paths, is_last = self._offers.ask()
        if self._has_sources(paths, is_last, self._feed_agent):
            self._send_agent.send(Sources(paths, is_last))

    def _has_sources(self, page: Sequence[object], is_last: bool, feed: Callable[[], None]) -> bool:
        """Whether there is anything to hand on; otherwise *feed* is called when the list goes on."""
        if page or is_last:
            self._loop.unwatch(self._sources.fd)
            return True
        self._loop.watch(self._sources.fd, feed)
        return False

    def _feed_end(self) -> None:
        """Hand local sources to the plane."""
        assert self._send_end
        page, is_last = self._sources.take()
        if not self._has_sources(page, is_last, self._feed_end):
            return
        pairs = []
        for path, name in page:
            try:
                own_name = base_name(path) if name is None else name
            except UsageError as e:
                self._tally.refuse(path, e)
                continue
            pairs.append((path, own_name if self._names_below else b""))
        self._send_end.add(pairs, is_last=is_last)

    def sources_taken(self) -> None:
        self._feed_end()

    def _take_roots(self, roots: Roots) -> None:
        self._offers.take(roots)
        if self._names_below is not None:
            self._allow()
        elif self._goal is None or (self._receive_agent is not None and self._receive_agent.is_greeted):
            self._open_target()

    def _open_target(self) -> None:
        """The first roots are known, and who receives is there."""
        if not self._offers.has_page:
            return
        is_single = not self._is_many and self._offers.is_single
        is_one_directory = is_single and bool(self._offers.directories[0])
        if is_one_directory and not self._options.recursive:
            assert self._origin
            shown = os.fsdecode(self._offers.first_path)
            raise SomeFailedError(f"{self._origin.host}:{shown}: is a directory", "copy directories with -r")
        wanted = make_receive(self._options, 1 if is_single else 2, is_one_directory, has_roots=True)
        if self._receive_agent is not None:
            self._receive_agent.send(wanted)
            self._send_link(self._receive_agent, count_streams(self._options))
            return
        self._receive_end = ReceiveEnd(wanted, is_remote=False)
        self._names_below = self._receive_end.names_below
        if self._receive_end.is_in_order != self._is_in_order:
            shown = os.fsdecode(self._options.target.path)
            raise LocalFileError(f"the target '{shown}' changed while it was looked at")
        self._receive_end.open(
            n_streams=self._n_streams, block_bytes=self._options.block_bytes, loop=self._loop, listener=self
        )
        self._target_is_open()

    def _target_is_open(self) -> None:
        if self._origin is not None:
            self._allow()
        self._start_if_ready()

    def _allow(self) -> None:
        """Tell the receiver what may come."""
        names = self._offers.names(names_below=bool(self._names_below))
        if self._receive_end is not None:
            self._receive_end.allow(names, [bool(flag) for flag in self._offers.directories])
            self._accept()
        elif self._receive_agent is not None:
            self._receive_agent.send(Allow(names, self._offers.directories))

    def _accept(self) -> None:
        """Tell the sender that its roots may come, and under which names."""
        assert self._send_agent
        names = self._offers.names(names_below=bool(self._names_below))
        wants_more = self._offers.close_page()
        self._send_agent.send(Accept(names))
        if wants_more:
            self._feed_agent()

    # ---- Streams ------------------------------------------------------------------------------------

    def _send_link(self, agent: AgentLink, n_streams: int, *, speaks_first: bool = False) -> None:
        is_sender = agent is self._send_agent
        limit = self._options.limit_bytes_per_s or 0
        leg = Leg(agent, self._options, self._loop, self._watcher.warn,
                  limit_bytes_per_s=limit if self._origin is None else 0)  # fmt: skip
        self._legs[agent] = leg
        self._n_streams = n_streams
        is_relayed = bool(self._origin and self._goal) and not self._options.is_direct_hosts
        agent.send(leg.link(self._secret, n_streams=n_streams, limit_bytes_per_s=limit if is_sender else 0,
                            is_relayed=is_relayed, speaks_first=speaks_first))  # fmt: skip

    def _take_listening(self, agent: AgentLink, listening: Listening) -> None:
        is_receiver = agent is self._receive_agent
        is_wanted = 1 <= listening.n_streams <= self._n_streams if is_receiver else (
            listening.n_streams == self._n_streams)  # fmt: skip
        if not is_wanted:
            raise NetworkError(f"the remote escp on {agent.host} offers streams that nobody asked for")
        self._n_streams = listening.n_streams
        if self._origin is not None and self._goal is not None:
            return self._connect_hosts(agent, listening)
        self._streams = Streams(
            self._secret, n_streams=self._n_streams, block_bytes=self._options.block_bytes,
            is_sender=self._goal is not None, backend=self._aead,
            limit_bytes_per_s=self._options.limit_bytes_per_s if self._goal is not None else None,
        )  # fmt: skip
        self._secret = b""
        self._leg(agent).begin(listening, self._streams)

    def _connect_hosts(self, agent: AgentLink, listening: Listening) -> None:
        """Two agents: the receiving one listens first, then the sending one is told."""
        assert self._send_agent and self._receive_agent
        if self._options.is_direct_hosts:
            if agent is self._receive_agent:
                addresses = [address for address, _ in self._leg(agent).find_addresses(listening)]
                self._send_agent.send(Link(
                    secret=self._secret, mode="connect", n_streams=self._n_streams,
                    block_bytes=self._options.block_bytes,
                    limit_bytes_per_s=self._options.limit_bytes_per_s or 0,
                    addresses=addresses, port=listening.port, n_ports=1, patience_s=int(CONNECT_TIMEOUT_S),
                    is_relayed=False, speaks_first=False,
                ))  # fmt: skip
                self._secret = b""
                self._legs.clear()
                self._begin_hosts(f"{addresses[0]}:{listening.port}")
            return
        self._leg(agent).begin(listening, RelayLeg(self._n_streams))
        if agent is self._receive_agent:
            self._send_link(self._send_agent, self._n_streams, speaks_first=True)
            self._secret = b""

    def _begin_hosts(self, address: str) -> None:
        """Nothing runs here but, with -3, the relay."""
        assert self._goal
        self._is_started = True
        self._watcher.begin(
            host=self._goal.host or "", n_streams=self._n_streams, aead=self._aead, address=address
        )

    def _start_if_ready(self) -> None:
        """Start what runs here once its streams, and the target, are there."""
        if self._is_started or not self._legs or not all(leg.is_complete for leg in self._legs.values()):
            return
        if self._origin is not None and self._goal is not None:
            if len(self._legs) == 2:
                self._start_relay()
            return
        if self._streams is None or self._names_below is None:
            return
        (agent,) = self._agents()
        self._legs[agent].settle()
        self._is_started = True
        if self._goal is not None:
            self._send_end = SendEnd(
                make_send(self._options, is_in_order=self._is_in_order), n_streams=self._n_streams,
                block_bytes=self._options.block_bytes,
                loop=self._loop, listener=self,
            )  # fmt: skip
            self._tally.expect(self._send_end)
            self._send_end.start(self._streams)
            self._feed_end()
        else:
            assert self._receive_end
            self._tally.expect(self._receive_end)
            self._receive_end.start(self._streams)
        self._watcher.begin(
            host=agent.host, n_streams=self._n_streams, aead=self._aead,
            address=self._legs[agent].place.replace(" port ", ":"),
        )  # fmt: skip

    def _start_relay(self) -> None:
        assert self._send_agent and self._receive_agent
        legs = []
        for agent in (self._send_agent, self._receive_agent):
            leg = self._legs[agent]
            leg.settle()
            assert isinstance(leg.streams, RelayLeg)
            legs.append(leg.streams)
        self._relay = Relay(*legs)
        self._relay.start()
        places = [self._legs[agent].place.replace(" port ", ":") for agent in self._agents()]
        self._begin_hosts(" to ".join(places))

    def _is_direct_failure(self) -> bool:
        if not (self._options.is_direct_hosts and self._origin and self._goal):
            return False
        return not (self._tally.progress and self._tally.progress.bytes_network)

    def _explain_direct(self, error: NetworkError) -> NetworkError:
        """-R failed before anything was sent: say what else there is."""
        assert self._origin and self._goal
        return NetworkError(
            f"{self._origin.host} and {self._goal.host} can't reach each other: {error}",
            "leave out -R, or write -3: then the data goes through this host",
        )

    # ---- What the ends tell -------------------------------------------------------------------------

    def end_finished(self, end: SendEnd | ReceiveEnd) -> None:
        self._tally.close(end)

    def end_failed(self, failure: Failure) -> None:
        host = (self._goal or self._origin or self._options.target).host
        if host is None:
            raise failure.as_error("the copy")
        if failure.code == FAST_UNSAFE and self._receive_end is not None:
            raise RefusedError(
                f"{host} sent a name that was not asked for, or that leads out of the destination",
                "nothing of it was written: is that host to be trusted?",
            )
        streams = f"the data streams to {host}" if self._send_end else f"the data streams from {host}"
        self._failure = failure.as_error(streams)
        if not isinstance(self._failure, NetworkError):
            raise self._failure  # found here: the agent only sees its connections end
        self._failure_due_s = time.monotonic() + LAST_WORDS_S

    def listed(self, path: bytes) -> None:
        target = self._options.target.path
        self._watcher.listed(os.path.join(target, path.removeprefix(b"/")) if path else target)

    def file_failed(
        self, end: SendEnd | ReceiveEnd, failure: Failure, path: bytes, *, is_receiver: bool
    ) -> None:
        if end is self._receive_end and self._send_end is not None:
            return  # both are here: the sending one has told it
        self._tally.fail_file(failure, path, is_receiver=is_receiver)

    def _close(self, *, is_done: bool) -> None:
        for leg in self._legs.values():
            leg.settle()
        for end in (self._send_end, self._receive_end):
            if end is not None:
                end.close()
        if self._relay is not None:
            self._relay.close()
        for leg in self._legs.values():
            leg.close()
        for agent in self._agents():
            agent.close(is_done=is_done)
        self._loop.close()
