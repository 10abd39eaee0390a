"""The way from here to the streams of one agent: direct connections in either direction, or its ssh."""

import time
from collections.abc import Callable

from escp import sockets
from escp.agentlink import AgentLink
from escp.connector import Connector
from escp.constants import CONNECT_TIMEOUT_S, HELLO_TIMEOUT_S
from escp.control import Link, Listening, Tunnel
from escp.errors import NetworkError, ProtocolError, UsageError
from escp.eventloop import EventLoop
from escp.listener import Acceptor, is_own_address, listen
from escp.options import Options
from escp.relay import RelayLeg
from escp.ssh import configured_host_name
from escp.transfer import Streams, find_addresses, is_address

OTHER_ADDRESS_S = 1.0  # before asking ssh's configuration for another address of the host
PATIENCE_S = int(3 * HELLO_TIMEOUT_S)  # of an agent that connects, where the tunnel is an alternative


class Leg:
    """First `link()`, which the agent is sent, its answer to `begin`, then `tick` until `is_complete`."""

    def __init__(
        self,
        agent: AgentLink,
        options: Options,
        loop: EventLoop,
        warn: Callable[[str], None],
        *,
        limit_bytes_per_s: int = 0,
    ):
        """*limit_bytes_per_s*: of what goes from here through a tunnel; 0 is none."""
        self._agent = agent
        self._options = options.for_host(agent.location)
        self._loop = loop
        self._warn = warn
        self._limit_bytes_per_s = limit_bytes_per_s
        self.streams: Streams | RelayLeg | None = None
        self._listener: sockets.Socket | None = None
        self._acceptor: Acceptor | None = None
        self._connector: Connector | None = None
        self._port = 0
        self._due_s = self._other_address_s = float("inf")
        self.place = ""  # where the data goes, for people
        self.failure = ""  # why it could not go there

    @property
    def _mode(self) -> str:
        """What the agent is to do."""
        if self._options.tunnel == "always":
            return "tunnel"
        return "connect" if self._options.is_reverse else "listen"

    def link(
        self,
        secret: bytes,
        *,
        n_streams: int,
        limit_bytes_per_s: int,
        is_relayed: bool = False,
        speaks_first: bool = False,
    ) -> Link:
        """What the agent must know; opens this side's port where the agent is to connect."""
        options = self._options
        addresses: list[str] = []
        port = options.port
        bind = options.bind_address
        if bind is not None and not is_own_address(bind):
            raise UsageError(f"option --bind: {bind} is no address of this host", "see `ip address`")
        if self._mode == "connect":
            self._listener = listen(bind or "", options.port, options.n_ports)
            port = self._listener.getsockname()[1]
            addresses = [bind] if bind is not None else []
        if self._mode != "tunnel" and options.data_host is not None:
            addresses = [address for address, _ in self.resolve(options.data_host)]
        return Link(
            secret=secret,
            mode=self._mode,
            n_streams=n_streams,
            block_bytes=options.block_bytes,
            limit_bytes_per_s=limit_bytes_per_s,
            addresses=addresses,
            port=port,
            n_ports=1 if self._mode == "connect" else options.n_ports,
            patience_s=PATIENCE_S,
            is_relayed=is_relayed,
            speaks_first=speaks_first,
        )

    def begin(self, listening: Listening, streams: Streams | RelayLeg) -> None:
        """The agent is ready for *streams*."""
        self.streams = streams
        now = time.monotonic()
        self._due_s = now + CONNECT_TIMEOUT_S
        if self._mode == "tunnel":
            self.place = "ssh"
            self._open_tunnel()
        elif self._mode == "connect":
            assert self._listener and isinstance(streams, Streams)
            self._port = self._listener.getsockname()[1]
            self.place = f"this host port {self._port}"
            self._acceptor = Acceptor(self._listener, streams, self._loop.watch, self._loop.unwatch, now)
        else:
            self._connect(listening, now)

    def _connect(self, listening: Listening, now: float) -> None:
        assert self.streams
        addresses = self.find_addresses(listening)
        if listening.addresses and self._options.data_host is None and not self._options.is_embedded:
            self._other_address_s = now + OTHER_ADDRESS_S
        bind = self._options.bind_address
        if bind is not None:
            addresses = [address for address in addresses if (":" in address[0]) == (":" in bind)]
            self._other_address_s = float("inf")
            if not addresses:
                raise NetworkError(
                    f"option --bind: the streams go to another kind of address than {bind}",
                    "give one of the same kind, IPv4 or IPv6, with --data-host",
                )
        self.place = f"{addresses[0][0]} port {self._port}"
        self._connector = Connector(addresses, self.streams, self._loop.watch, self._loop.unwatch, now, bind)

    def find_addresses(self, listening: Listening) -> list[tuple[str, int]]:
        """Where the agent's streams can be reached, one address at least; raises NetworkError."""
        if not 0 < listening.port < 65536:
            raise NetworkError(f"the remote escp on {self._agent.host} names a port that can't be")
        self._port = listening.port
        if self._options.data_host is not None:
            addresses = self.resolve(self._options.data_host)
            if not addresses:
                raise NetworkError(f"option --data-host: no address is known for {self._options.data_host}")
        else:
            # Numbers only: what a peer says is not looked up.
            addresses = [(text, self._port) for text in listening.addresses if is_address(text)]
            if not addresses:  # the agent can't tell: ask ssh's configuration where it went
                addresses = self.resolve(self._configured_host())
        if not addresses:
            raise NetworkError(
                f"no address is known for {self._agent.host}",
                "name the host by its address, or use --data-host",
            )
        return addresses

    def _configured_host(self) -> str:
        return configured_host_name(self._options, self._agent.location)

    def resolve(self, host: str) -> list[tuple[str, int]]:
        """Addresses of *host* and the agent's port; none where the name is unknown."""
        try:
            found = find_addresses(host, self._port or None, self._options.address_family or 0)
        except (OSError, UnicodeError):  # UnicodeError: a name that can't be one
            return []
        return [(_with_scope(address), self._port) for address in found]

    def arrived(self, stream: int) -> None:
        """The agent tells that a relayed stream has reached it."""
        if not isinstance(self.streams, RelayLeg) or not 0 <= stream < self.streams.n_streams:
            raise ProtocolError(f"the remote escp on {self._agent.host} tells of a stream that is not there")
        self.streams.arrived.add(stream)
        if self._connector is not None:
            self._connector.arrived(stream)

    @property
    def is_complete(self) -> bool:
        return self.streams is not None and self.streams.is_complete

    @property
    def next_tick_s(self) -> float:
        return float("inf") if self._connector is None else self._connector.next_tick_s

    def tick(self, now: float) -> None:
        """Try on; raises NetworkError when nothing is left to try."""
        if self.streams is None:
            return
        if self.streams.is_complete:
            return self.settle()
        if self._acceptor is not None:
            self._acceptor.tick(now)
        if self._connector is not None:
            self._connector.tick(now)
            if now >= self._other_address_s:
                self._other_address_s = float("inf")
                self._connector.add_addresses(self.resolve(self._configured_host()))
        if now >= self._due_s:
            self._give_up()

    def _give_up(self) -> None:
        """No stream came about in time."""
        reason = self._connector.reason if self._connector is not None else "no connection arrived"
        if self._mode == "connect":
            what = f"{self._agent.host} can't reach port {self._port} of this host"
        else:
            what = f"can't reach the data port on {self._agent.host} ({self.place})"
        first, last = self._options.port, self._options.port + self._options.n_ports - 1
        whose = "this host" if self._mode == "connect" else self._agent.host
        if self._options.tunnel != "auto" or self.place == "ssh":
            hint = f"the ports {first}-{last} (see --escp_port) of {whose} must be open, or use --tunnel=auto"
            raise NetworkError(f"{what}: {reason}", hint)
        self.failure = f"{what}: {reason}"
        self._warn(
            f"{self.failure}; the data goes through ssh, which is slower: open the ports {first}-{last} "
            f"(see --escp_port) of {whose}, or write --tunnel=always to skip this wait"
        )
        self.settle()
        assert self.streams
        self.streams.close()
        if isinstance(self.streams, RelayLeg):
            self.streams.arrived.clear()
        self._agent.send(Tunnel())
        self._open_tunnel()
        self.place = "ssh"

    def _open_tunnel(self) -> None:
        assert self.streams
        tunnel = self._agent.channel.open_tunnel(self.streams.n_streams, self._limit_bytes_per_s)
        now = time.monotonic()
        self._connector = Connector([], self.streams, self._loop.watch, self._loop.unwatch, now)
        self._connector.take(tunnel.ends)
        self._due_s = now + PATIENCE_S

    def settle(self) -> None:
        """No further connection is needed."""
        if self._acceptor is not None:
            self._acceptor.close()
        elif self._listener is not None:
            self._listener.close()
        if self._connector is not None:
            self._connector.close()
        self._acceptor = self._listener = self._connector = None
        self._due_s = self._other_address_s = float("inf")

    def close(self) -> None:
        self.settle()
        if self.streams is not None:
            self.streams.close()


def _with_scope(address: tuple[object, ...]) -> str:
    """The numeric address; a link-local one with its interface, which Python tells separately."""
    text = str(address[0])
    scope = address[3] if len(address) == 4 else 0
    return text if not scope or "%" in text else f"{text}%{scope}"
