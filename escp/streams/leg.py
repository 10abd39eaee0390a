"""The way from here to the streams of one agent: direct connections in either direction, or its ssh."""

from collections.abc import Callable

from escp.constants import ANSWER_TIMEOUT_S, CONNECT_TIMEOUT_S, HELLO_TIMEOUT_S, START_ALIVE_S
from escp.control.messages import Link, Listening, Tunnel
from escp.errors import NetworkError, UsageError
from escp.lean import sockets
from escp.lean.eventloop import EventLoop
from escp.options.options import Options
from escp.remote.agentlink import AgentLink
from escp.remote.reached import find_own_address, normalize_address
from escp.remote.ssh import configured_host_name
from escp.streams.addresses import MAX_ADDRESSES, find_addresses, is_address, is_own_address
from escp.streams.connector import Connector
from escp.streams.listener import NO_PORT_HINT, Acceptor, listen, relisten
from escp.streams.streams import Streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from escp.streams.streams import Opener

OTHER_ADDRESS_S = 1.0  # before asking ssh's configuration for another address of the host
# An agent that is silent for longer is given up, as ssh would carry no more; and one whose streams don't come
# about for so long: it may have them, and this side does not.
STOPPED_S = ANSWER_TIMEOUT_S
LET_IN_S = 10.0  # more, where connections stand and are not answered: that host or this one may be slow
AGENT_STOPPED_S = 2.5 * START_ALIVE_S  # an agent that runs is heard more often while its streams come about
PATIENCE_S = int(3 * HELLO_TIMEOUT_S)  # how long an agent tries to connect, where the tunnel is left


class Leg:
    """Send the agent `link()`, give its answer to `begin`, then `tick` until `is_complete`.

    Connections go to addresses of the host that ssh reached, or that the user named, and to no others: what
    an agent says of its addresses only says which of them comes first.
    """

    def __init__(self, agent: AgentLink, options: Options, loop: EventLoop, warn: Callable[[str], None]):
        self._agent = agent
        self._options = options.for_host(agent.location)
        self._loop = loop
        self._warn = warn
        self.limit_bytes_per_s = 0  # of what goes from here through a tunnel; 0 is none
        # What the agent is to do.
        self._mode = "tunnel" if options.tunnel == "always" else "connect" if options.is_reverse else "listen"
        self.streams: Streams | None = None
        self._listener: sockets.Socket | None = None  # until the opener has it
        self._opener: Opener | None = None
        self._known: list[str] | None = None  # the agent's addresses
        self._near: list[str] = []  # those that ssh goes to
        self._foreign = ""  # what it calls itself instead
        self._port = 0
        self._bound = ""  # this host's address that is listened on
        self._reached = ""  # the agent's address that streams came to
        self._due_s = self._other_address_s = self._last_s = float("inf")
        self.place = ""  # where the data goes, for people
        self.failure = ""  # why it could not go there

    def link(
        self,
        secret: bytes,
        *,
        n_streams: int,
        limit_bytes_per_s: int,
        is_relayed: bool = False,
        speaks_first: bool = False,
        reconnect_s: int = 0,
        control_secret: bytes = b"",
        is_apart: bool = False,
    ) -> Link:
        """What the agent must know; opens this side's port where the agent is to connect.

        *is_apart*: the streams lead to another agent.
        """
        options = self._options
        addresses: list[str] = []
        port = options.port
        bind = options.bind_address
        if bind is not None and not is_own_address(bind):
            raise UsageError(f"option --bind: {bind} is no address of this host", "see `ip address`")
        if self._mode != "tunnel" and options.data_host is not None:
            addresses = self._known = self._resolve(options.data_host)
            if not addresses:
                raise NetworkError(
                    f"option --data-host: no address is known for {options.data_host}",
                    "write an address, or a name that this host can look up",
                    is_retryable=False,
                )
        if self._mode == "connect":
            self._open_port()
            port = self._port or port
            addresses = addresses or ([bind] if bind is not None else [])
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
            reconnect_s=reconnect_s,
            control_secret=b"" if self._mode == "tunnel" or not reconnect_s else control_secret,
            control_port=options.port if is_apart else 0,
            n_control_ports=options.n_ports if is_apart else 0,
            tells_mute=True,
        )

    @property
    def is_through_ssh(self) -> bool:
        return self.place == "ssh"

    def prepare(self) -> None:
        """Find out where the agent is."""
        if self._mode == "listen" and self._known is None:
            self._known = self._find_known()

    def prepare_apart(self) -> None:
        """Before `reopen_apart`, while ssh is there: the data's address may be for the other agent only."""
        self._near = self._find_known()

    def begin(self, listening: Listening, streams: Streams) -> None:
        """The agent is ready for *streams*."""
        self.streams = streams
        now = self._loop.now()
        self._due_s = now + CONNECT_TIMEOUT_S
        self._last_s = now + STOPPED_S
        if self._mode == "tunnel":
            self.place = "ssh"
            self._open_tunnel()
        elif self._mode == "connect":
            assert self._listener
            self.place = f"this host port {self._port}"
            self._opener = Acceptor(self._listener, streams, self._loop.watch, self._loop.unwatch, now)
            self._listener = None
        else:
            self._connect(listening, now)

    # ---- This host's port ---------------------------------------------------------------------------

    def _open_port(self) -> None:
        try:
            self._bound = self._find_own()
            self._listener = listen(self._bound, self._options.port, self._options.n_ports)
        except NetworkError as e:
            self._turn_to_ssh(str(e), e.hint)
            self._mode = "tunnel"
            return
        self._port = self._listener.getsockname()[1]

    def _find_own(self) -> str:
        """The address of this host that the agent connects to; "" where it can't be told."""
        if self._options.bind_address is not None:
            return self._options.bind_address
        if self._known is not None:
            candidates = self._known
        elif (connection := self._agent.find_connection()) is not None:
            candidates = [connection[0]]
        else:
            candidates = [find_own_address(peer) for peer in self._resolve(self._configured_host())]
        for address in candidates:
            if address and is_own_address(address):
                return address
        self._agent.note("the data port is open on all addresses of this host: name one with --bind")
        return ""

    # ---- The agent's port ---------------------------------------------------------------------------

    @property
    def port(self) -> int:
        """The one that is connected to, of this host or the agent's; 0 while it is not known."""
        return self._port

    @property
    def _ports(self) -> tuple[int, int]:
        return self._options.port, self._options.port + self._options.n_ports - 1

    def _connect(self, listening: Listening, now: float) -> None:
        assert self.streams
        data_host, bind = self._options.data_host, self._options.bind_address
        try:
            addresses = self.find_addresses(listening)
        except NetworkError as e:
            return self._turn_to_ssh(str(e), e.hint)
        if data_host is None and not self._options.is_embedded:
            self._other_address_s = now + OTHER_ADDRESS_S
        if bind is not None:
            addresses = [address for address in addresses if (":" in address) == (":" in bind)]
            self._other_address_s = float("inf")
            if not addresses:
                raise NetworkError(
                    f"option --bind: the streams go to another kind of address than {bind}",
                    "give one of the same kind, IPv4 or IPv6, with --data-host",
                    is_retryable=False,
                )
        self.place = f"{addresses[0]} port {self._port}"
        pairs = [(address, self._port) for address in addresses]
        self._opener = Connector(pairs, self.streams, self._loop.watch, self._loop.unwatch, now, bind)
        return None

    def find_addresses(self, listening: Listening) -> list[str]:
        """Where the agent's streams can be reached, one address at least; raises NetworkError.

        Never a port that the agent was not asked to open.
        """
        host = self._agent.host
        if not listening.port:
            raise NetworkError(
                f"{host}: {listening.reason or 'no free port for the data'}",
                NO_PORT_HINT,
            )
        first, last = self._ports
        if not first <= listening.port <= last:
            raise NetworkError(
                f"the remote escp on {host} names port {listening.port}, "
                f"but was asked for one of {first}-{last}",
                f"if its administrator wants that one (admins.md), ask for it: --escp_port {listening.port}; "
                "if not, is that host to be trusted?",
                is_retryable=False,
            )
        self._port = listening.port
        known = self._find_known() if self._known is None else self._known
        if not known:
            raise NetworkError(
                f"no address is known for {host}",
                "name the host by its address, or use --data-host",
                is_retryable=False,
            )
        named = [normalize_address(text) for text in listening.addresses if is_address(text)]
        if not named:
            self._agent.note(f"{host} does not say on which of its addresses it listens: perhaps on all")
        foreign = [address for address in named if address not in known]
        if foreign and self._options.data_host is None:
            self._foreign = foreign[0]
            self._agent.note(f"{host} calls itself {foreign[0]}, but ssh reached {known[0]}: that is used")
        return sorted(known, key=lambda address: address not in named)[:MAX_ADDRESSES]

    def _find_known(self) -> list[str]:
        """Addresses of the host that ssh reached; else those that ssh's configuration leads to."""
        connection = self._agent.find_connection()
        if connection is None and self._agent.location.is_tls:
            return []  # its connection is its own: there is no other address that a login has reached
        return self._resolve(self._configured_host()) if connection is None else [connection[1]]

    def _configured_host(self) -> str:
        return configured_host_name(self._options, self._agent.location)

    def _resolve(self, host: str) -> list[str]:
        """Addresses of *host*; none where the name is unknown."""
        try:
            found = find_addresses(host, None, self._options.address_family or 0)
        except (OSError, UnicodeError):  # UnicodeError: a name that can't be one
            return []
        return [sockets.show_address(address) for address in found]

    # ---- Until all streams are there ----------------------------------------------------------------

    @property
    def is_complete(self) -> bool:
        return self.streams is not None and self.streams.is_complete

    @property
    def trying(self) -> str:
        """What this side waits for, for people; "" where it does not."""
        if self.streams is None or self.streams.is_complete or self.place == "ssh":
            return ""
        if self._mode == "connect":
            return f"{self._agent.host} to connect to port {self._port} of this host"
        return f"the data port on {self._agent.host} ({self.place})"

    @property
    def next_tick_s(self) -> float:
        return float("inf") if self._opener is None else self._opener.next_tick_s

    def tick(self, now: float) -> None:
        """Try on; raises NetworkError when nothing is left to try, or the other host is gone."""
        if self.streams is None:
            return
        if self.streams.is_complete or self.streams.cut:
            self.settle()
            return self.streams.check(now)
        if self._opener is not None:
            self._opener.tick(now)
        if isinstance(self._opener, Connector) and now >= self._other_address_s:
            self._other_address_s = float("inf")
            others = self._resolve(self._configured_host())[:MAX_ADDRESSES]
            self._opener.add_addresses([(address, self._port) for address in others])
        # The agent is stopped: its ports don't answer either.
        if AGENT_STOPPED_S < self._agent.silent_s(now) < STOPPED_S:
            self._due_s = max(self._due_s, min(now + AGENT_STOPPED_S, self._last_s))
        is_let_in = self._opener is not None and self._opener.is_let_in
        if now >= self._due_s + (LET_IN_S if is_let_in else 0):
            self._give_up()

    def _give_up(self) -> None:
        """No stream came about in time."""
        reason = self._opener.reason if self._opener is not None else ""
        if self._mode == "connect":
            what, whose = f"{self._agent.host} can't reach port {self._port} of this host", "this host"
        else:
            what = f"can't reach the data port on {self._agent.host} ({self.place})"
            whose = self._agent.host
        if self._foreign:
            reason += f" (it calls itself {self._foreign}: if that is right, use --data-host)"
        what = f"{what}: {reason}"
        first, last = self._ports
        way = "leave out --reverse" if self._mode == "connect" else "try --reverse"
        self._turn_to_ssh(
            what,
            f"the ports {first}-{last} (see --escp_port) of {whose} must be open; or {way}, "
            "or use --tunnel=auto",
            f"{what}; the data goes through ssh, which is slower: open the ports {first}-{last} "
            f"(see --escp_port) of {whose}, {way}, or write --tunnel=always to skip this wait",
        )

    def _turn_to_ssh(self, what: str, hint: str, warning: str = "") -> None:
        """The ports are of no use."""
        if self._options.tunnel != "auto" or self.place == "ssh":
            raise NetworkError(what, hint)
        self.failure = what
        self._warn(warning or f"{what}; the data goes through ssh, which is slower: {hint}")
        self.settle()
        if self.streams is None:  # the agent has not been told to connect
            return
        self.streams.close()
        self._agent.send(Tunnel())
        self._open_tunnel()
        self.place = "ssh"

    def _open_tunnel(self) -> None:
        assert self.streams
        tunnel = self._agent.channel.open_tunnel(self.streams.n_streams, self.limit_bytes_per_s)
        now = self._loop.now()
        connector = Connector([], self.streams, self._loop.watch, self._loop.unwatch, now)
        connector.take(tunnel.ends)
        self._opener = connector
        self._due_s = now + PATIENCE_S

    def settle(self) -> None:
        """No further connection is needed."""
        if isinstance(self._opener, Connector):
            self._reached = self._opener.reached
        for opener in (self._opener, self._listener):
            if opener is not None:
                opener.close()
        self._opener = self._listener = None
        self._due_s = self._other_address_s = float("inf")

    def reopen(self, wanted: set[int], streams: Streams | None = None) -> "Connector | Acceptor":
        """What gets new connections for streams that were there, or for *streams*, in the same way.

        Raises NetworkError when no port is free.
        """
        streams = streams or self.streams
        assert streams
        loop = self._loop
        if self._mode == "connect":
            return Acceptor(
                relisten(self._bound, self._port, *self._ports),
                streams,
                loop.watch,
                loop.unwatch,
                loop.now(),
                is_again=True,
            )
        return self._search(self._reached, self._port, wanted, streams)

    def reopen_apart(self, wanted: set[int], streams: Streams) -> Connector:
        """The same for an agent whose own streams lead elsewhere: it listens on the last free port."""
        if not self._near:
            raise NetworkError(f"no address is known for {self._agent.host}", "")
        return self._search(self._near[0], self._ports[1], wanted, streams)

    def _search(self, address: str, likely: int, wanted: set[int], streams: Streams) -> Connector:
        """*likely* is the port by far, but somebody else may have it by now."""
        first, last = self._ports
        others = [port for port in range(first, last + 1) if port != likely]
        ports = [port for other in others for port in (likely, other)] or [likely]
        loop = self._loop
        return Connector(
            [(address, port) for port in ports], streams, loop.watch, loop.unwatch, loop.now(),
            self._options.bind_address, wanted,
        )  # fmt: skip

    def close(self) -> None:
        self.settle()
        if self.streams is not None:
            self.streams.close()
