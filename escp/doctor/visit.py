"""One host as the doctor sees it: a log in, questions, measurements."""

import os
import time

from escp.constants import SECRET_BYTES, SHUTDOWN_TIMEOUT_S
from escp.control.messages import Allow, Allowed, Bye, Examine, Examined, Hello, Listening, Message, Opened
from escp.doctor.advice import advise_ports
from escp.errors import NetworkError, ProtocolError
from escp.facts.facts import MAX_TEXT, NO_ROUTE, HostFacts, decode_facts
from escp.facts.network import examine_connection
from escp.jobs.orders import make_receive
from escp.lean.eventloop import EventLoop
from escp.options.location import Location
from escp.options.options import Options
from escp.remote.agentlink import AgentLink
from escp.remote.child import AgentProcess
from escp.streams.leg import Leg
from escp.streams.sealing import choose_aead
from escp.streams.streams import Streams
from escp.ui.finding import Finding
from escp.ui.report import Report

STEP_S = 0.1


N_PINGS = 5


ANSWER_TIMEOUT_S = 30.0  # of an agent whose file system hangs


FEATURE = "examine"


def _name_release(version: str, major: int, minor: int) -> str:
    return f"{version[:MAX_TEXT]} (protocol {major}.{minor})"


class Visit:
    """One session with an agent, to look at its host and the way there. `close()` leaves nothing behind."""

    def __init__(self, options: Options, process: AgentProcess, report: Report):
        # Blocked ports are a finding: the way through ssh shows the rest.
        tunnel = "always" if options.tunnel == "always" else "auto"
        self._options = options._replace(tunnel=tunnel)
        self._process = process
        self._loop = EventLoop()
        self._secret = os.urandom(SECRET_BYTES)
        self._agent = AgentLink(
            process, options.target, self._loop, self._take, report.note, report.announce, report.words
        )
        self._leg = Leg(self._agent, self._options, self._loop, report.note)
        self._streams: Streams | None = None
        self._has_feature = False
        self._pinged_s: float | None = None
        self._ping_times_s: list[float] = []
        self._asked_s = float("inf")
        self._is_done = False
        self.release = ""
        self.facts: HostFacts | None = None  # None at the end: an agent that can't tell
        self.route = NO_ROUTE
        self.peer = self.own = ""  # addresses of the first stream
        self.is_tunnel = False

    def run(self) -> None:
        """Until everything is known."""
        while not self._is_done:
            now = time.monotonic()
            ticks = [self._leg.next_tick_s, self._agent.channel.next_tick_s]
            self._loop.wait(min([STEP_S, *(tick - now for tick in ticks)]))
            now = time.monotonic()
            self._agent.tick(now)
            if now - self._asked_s > ANSWER_TIMEOUT_S:
                raise NetworkError(
                    f"{self._agent.host} has not examined itself in {ANSWER_TIMEOUT_S:.0f} s",
                    "does the file system there answer?",
                )
            if self._pinged_s is None and self._streams is not None:
                self._leg.tick(now)
                if self._leg.is_complete:
                    self._look_at_streams()
        self._agent.send(Bye())
        self._agent.channel.flush()
        self._process.wait(SHUTDOWN_TIMEOUT_S)  # before the streams end: the agent would think them lost

    def _take(self, agent: AgentLink, message: Message) -> None:
        if isinstance(message, Hello):
            self._greet(message)
        elif isinstance(message, Listening):
            self._listen(message)
        elif isinstance(message, Allowed) and self._pinged_s is not None:
            self._ping_times_s.append(time.monotonic() - self._pinged_s)
            self._ping()
        elif isinstance(message, Examined) and self._asked_s < float("inf"):
            self.facts = decode_facts(message.facts)
            self._is_done = True
        elif not isinstance(message, Opened):
            raise ProtocolError(f"the remote escp on {agent.host} tells what nobody asked for")

    def _greet(self, hello: Hello) -> None:
        self.release = _name_release(hello.version, hello.major, hello.minor)
        self._has_feature = FEATURE in hello.features
        # The streams of a copy to the home directory, of which nothing is written.
        options = self._options._replace(
            target=Location(None, None, None, b"."), receive_engine="dummy", is_dry_run=True
        )
        self._agent.send(make_receive(options, 2, False, has_roots=True))
        self._agent.send(self._leg.link(self._secret, n_streams=options.n_streams, limit_bytes_per_s=0))

    def _listen(self, listening: Listening) -> None:
        if listening.n_streams != self._options.n_streams:
            raise ProtocolError(f"the remote escp on {self._agent.host} offers streams that nobody asked for")
        self._streams = Streams(
            self._secret, n_streams=self._options.n_streams, block_bytes=self._options.block_bytes,
            is_sender=True, backend=choose_aead(),
        )  # fmt: skip
        self._leg.check(listening)
        self._leg.begin(listening, self._streams)
        if not self.peer and listening.addresses:
            self.peer = listening.addresses[0]

    def _look_at_streams(self) -> None:
        assert self._streams
        self._leg.settle()
        self.is_tunnel = self._leg.place == "ssh"
        sock, _ = self._streams.proven[0]
        if not self.is_tunnel:
            self.peer, self.own = str(sock.getpeername()[0]), str(sock.getsockname()[0])
            self.route = examine_connection(sock)
        self._ping()

    def _ping(self) -> None:
        """An order without content has an answer: its way through ssh is timed, some times over."""
        if len(self._ping_times_s) < N_PINGS:
            self._pinged_s = time.monotonic()
            return self._agent.send(Allow([], []))
        if self.route.rtt_s is None:
            self.route = self.route._replace(rtt_s=min(self._ping_times_s))
        if not self._has_feature:
            self._is_done = True
            return None
        self._asked_s = time.monotonic()
        return self._agent.send(Examine(self._options.target.path))

    def advise_ports(self) -> Finding:
        """What became of the data ports."""
        options = self._options
        whose = "this host" if options.is_reverse else self._agent.host
        place = "" if self.is_tunnel else self._leg.place
        ports = (options.port, options.port + options.n_ports - 1)
        return advise_ports(self._agent.host, ports, whose, place=place, failure=self._leg.failure)

    def close(self) -> None:
        self._leg.close()
        self._agent.close(is_done=self._is_done)
        self._loop.close()
