"""From host to host: one agent sends, another receives, through a relay here (-3) or directly (-R)."""

import os

from escp.constants import CONNECT_TIMEOUT_S, SECRET_BYTES
from escp.control import messages as control
from escp.control.messages import Cut, FileFailed, Link, Listening, Message
from escp.errors import AgentError, NetworkError, UsageError
from escp.failures import FAST_ABSENT, FAST_MISSING
from escp.jobs.fetch import FetchJob
from escp.jobs.job import Task
from escp.jobs.orders import count_streams
from escp.jobs.target import AgentTarget
from escp.remote.agentlink import AgentLink
from escp.streams.leg import Leg
from escp.streams.relay import Relay, RelayLeg, RelayReconnector

RELAY_MINOR = 2  # of an agent that a relay can prove itself to


class HostsJob(FetchJob):
    """Nothing runs here but the relay, which has no key of the session's."""

    _has_plane = False

    def __init__(self, task: Task):
        super().__init__(task)
        self._relay: Relay | None = None
        self._again: RelayReconnector | None = None
        self._leg_secrets: dict[AgentLink, bytes] = {}

    def run(self) -> dict[str, int]:
        try:
            return super().run()
        except NetworkError as e:
            if self._relay is not None and (reason := self._relay.reason):
                raise NetworkError(
                    f"passing on data between {self._name_hosts()}: {reason} (poll)", e.hint
                ) from e
            if self._options.is_direct_hosts and self._is_started and not self._has_sent:
                raise NetworkError(
                    f"{self._origin.host} and {self._options.target.host} can't reach each other: {e}",
                    "leave out -R, or write -3: then the data goes through this host",
                ) from e
            raise

    @property
    def _has_sent(self) -> bool:
        return bool(self._tally.progress and self._tally.progress.bytes_network)

    def _begin(self) -> None:
        """One login after the other: each may ask its user something."""
        if not self._options.is_direct_hosts:
            hosts = (self._origin, self._options.target)
            data_hosts = [self._options.for_host(host).data_host for host in hosts]
            if data_hosts[0] is not None and data_hosts[0] == data_hosts[1]:
                raise UsageError(
                    f"option --data-host: {data_hosts[0]} can't be both hosts' address",
                    "give each its own in the configuration's `hosts`, or use -R",
                )
        super()._begin()

    def _greet(self, agent: AgentLink) -> None:
        if not self._options.is_direct_hosts:
            _check_relayable(agent)
        if agent is self._send_agent:
            self._order_sender()
        else:
            self._open_target_if_ready()

    def _take_own(self, agent: AgentLink, message: Message) -> bool:
        if isinstance(message, Cut):
            if self._again is not None and message.stream < self._n_streams:
                lose = self._again.doubt if message.is_doubt else self._again.lose
                lose(self._relay_leg(agent), message.stream, message.connection)
            return True
        if agent is not self._receiver:
            return super()._take_own(agent, message)
        if not (isinstance(message, FileFailed) and message.code in (FAST_ABSENT, FAST_MISSING)):
            return False
        self._take_failed(message)
        return True

    @property
    def _receiver(self) -> AgentLink | None:
        return None if self._target is None else self._target.agent

    @property
    def _can_open_target(self) -> bool:
        return self._receiver is not None and self._receiver.hello is not None

    def _link_target(self) -> None:
        assert self._receiver
        self._link(self._receiver, count_streams(self._options))

    # ---- Streams ------------------------------------------------------------------------------------

    def _link(self, agent: AgentLink, n_streams: int) -> None:
        is_sender = agent is self._send_agent
        limit = self._limit_bytes_per_s
        is_relayed = not self._options.is_direct_hosts
        if is_relayed:
            self._leg_secrets[agent] = os.urandom(SECRET_BYTES)
            agent.send(control.Relay(self._leg_secrets[agent]))
        self._send_link(agent, n_streams, limit_bytes_per_s=limit if is_sender else 0,
                        is_relayed=is_relayed, speaks_first=is_sender, is_apart=not is_relayed)  # fmt: skip

    def _connect(self, agent: AgentLink, listening: Listening) -> None:
        """The receiving agent listens first, then the sending one is told."""
        assert self._send_agent
        if not self._options.is_direct_hosts:
            way = RelayLeg(
                self._leg_secrets.pop(agent), n_streams=self._n_streams, backend=self._aead,
                block_bytes=self._options.block_bytes, is_sender=agent is self._receiver,
                may_reconnect=self._may_reconnect(*self._agents),
            )  # fmt: skip
            self._leg(agent).begin(listening, way)
            if agent is self._receiver:
                self._link(self._send_agent, self._n_streams)
                self._secret = b""
        elif agent is self._receiver:
            self._connect_directly(agent, listening)

    def _connect_directly(self, agent: AgentLink, listening: Listening) -> None:
        assert self._send_agent
        leg = self._leg(agent)
        try:
            addresses = leg.find_addresses(listening)
        except NetworkError as e:
            hint = f"{e.hint}; with -3 in place of -R the data goes through this host"
            raise NetworkError(str(e), hint) from e
        sender = self._send_agent
        self._linked.add(sender)
        self._legs[sender] = Leg(sender, self._options, self._loop, self._watcher.warn)
        own = self._options.for_host(sender.location)
        again_s = self._options.reconnect_s if self._may_reconnect(*self._agents) else 0
        control_secret = self._lost.make_secret(sender, is_apart=True) if again_s else b""
        sender.channel.last(is_lasting=bool(control_secret))
        sender.send(Link(
            secret=self._secret, mode="connect", n_streams=self._n_streams,
            block_bytes=self._options.block_bytes, limit_bytes_per_s=self._limit_bytes_per_s,
            addresses=addresses, port=leg.port, n_ports=1, patience_s=int(CONNECT_TIMEOUT_S),
            is_relayed=False, speaks_first=False, reconnect_s=again_s,
            control_secret=control_secret, control_port=own.port, n_control_ports=own.n_ports,
            tells_mute=True,
        ))  # fmt: skip
        self._secret = b""
        self._streams_run()
        self._legs.clear()
        self._tell_begin(agent, f"{addresses[0]} port {leg.port}")

    def _go_on(self) -> None:
        if self._target is None and self._offers.has_asked:
            # When the first agent has its orders: the second one would have to wait for a slow list.
            self._target = AgentTarget(self._log_in(self._options.target))
        if self._is_started or len(self._legs) < 2 or not self._has_streams:
            return
        ends = []
        for agent in self._agents:
            leg = self._legs[agent]
            leg.settle()
            assert isinstance(leg.streams, RelayLeg)
            ends.append(leg.streams)
        self._relay = Relay(*ends)
        self._relay.start()
        if self._may_reconnect(*self._agents):
            self._again = RelayReconnector(
                self._relay, [self._legs[agent] for agent in self._agents], self._watcher.warn, self._loop,
                self._options.reconnect_s, f"passing on data between {self._name_hosts()}",
            )  # fmt: skip
        self._streams_run()
        assert self._receiver
        self._tell_begin(self._receiver, *(self._legs[agent].place for agent in self._agents))

    def _relay_leg(self, agent: AgentLink) -> RelayLeg:
        streams = self._legs[agent].streams
        assert isinstance(streams, RelayLeg)
        return streams

    def _may_reconnect(self, *agents: AgentLink) -> bool:
        """Through a relay both agents must tell it what is cut."""
        is_known = self._options.is_direct_hosts or all(agent.has_feature("again") for agent in agents)
        return is_known and super()._may_reconnect(*agents)

    def _hear(self) -> None:
        super()._hear()
        if self._again is not None:
            self._again.tick(self._loop.now())

    def _find_wait(self) -> str:
        if self._again is not None and self._again.is_waiting:
            return f"other data connections with {self._name_hosts()}"
        return super()._find_wait()

    @property
    def _is_taken(self) -> bool:
        return self._receiver is None or self._relay is None or self._relay_leg(self._receiver).is_taken

    def _name_hosts(self) -> str:
        return f"{self._origin.host} and {self._options.target.host}"

    def _close(self) -> None:
        if self._again is not None:
            self._again.close()
        if self._relay is not None:
            self._relay.close()
        super()._close()


def _check_relayable(agent: AgentLink) -> None:
    """Raises AgentError for an agent that lets any stranger be the relay."""
    assert agent.hello
    if agent.hello.minor < RELAY_MINOR:
        raise AgentError(
            f"the escp on {agent.host} ({agent.hello.version}) is too old to be relayed to",
            "install the same release there, or use -R",
        )
