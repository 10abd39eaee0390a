"""One host as the doctor sees it: a log in, questions, measurements. A job that copies nothing."""

from escp.constants import SHUTDOWN_TIMEOUT_S
from escp.control.messages import Examine, Examined, Listening, Message
from escp.doctor.advice import advise_ports
from escp.errors import NetworkError
from escp.facts.facts import MAX_TEXT, NO_ROUTE, HostFacts, decode_facts
from escp.facts.network import examine_connection
from escp.jobs.agentjob import AgentJob
from escp.jobs.job import Task
from escp.jobs.orders import make_receive
from escp.jobs.target import AgentTarget
from escp.options.location import Location
from escp.remote.agentlink import AgentLink
from escp.ui.finding import Finding

N_PINGS = 5
ANSWER_TIMEOUT_S = 30.0  # of an agent whose file system hangs
FEATURE = "examine"


def name_release(version: str, major: int, minor: int) -> str:
    return f"{version[:MAX_TEXT]} (protocol {major}.{minor})"


class Visit(AgentJob):
    """What `run` found of the host and of the way there is in the attributes, as far as it got."""

    def __init__(self, task: Task):
        # Blocked ports are a finding: the way through ssh shows the rest.
        tunnel = "always" if task.options.tunnel == "always" else "auto"
        super().__init__(task._replace(options=task.options._replace(tunnel=tunnel)))
        self._tell_detour = task.watcher.note
        self._has_feature = False
        self._pinged_s: float | None = None
        self._ping_times_s: list[float] = []
        self._asked_s = float("inf")
        self._is_answered = False
        self.release = ""
        self.facts: HostFacts | None = None  # None at the end: an agent that can't tell
        self.route = NO_ROUTE
        self.peer = self.own = ""  # addresses of the first stream
        self.is_tunnel = False

    def _begin(self) -> None:
        self._target = AgentTarget(self._log_in(self._options.target))

    @property
    def _is_finished(self) -> bool:
        return self._is_answered

    def _wait(self) -> None:
        super()._wait()
        if self._loop.now() - self._asked_s > ANSWER_TIMEOUT_S:
            (agent,) = self._agents
            raise NetworkError(
                f"{agent.host} has not examined itself in {ANSWER_TIMEOUT_S:.0f} s",
                "does the file system there answer?",
            )

    def _settle(self) -> None:
        """Nothing was copied: there are no accounts to compare."""

    def _finish(self) -> None:
        super()._finish()
        (agent,) = self._agents
        agent.wait(SHUTDOWN_TIMEOUT_S)  # before the streams end: the agent would think them lost

    def _greet(self, agent: AgentLink) -> None:
        assert agent.hello and self._target
        hello = agent.hello
        self.release = name_release(hello.version, hello.major, hello.minor)
        self._has_feature = FEATURE in hello.features
        # The streams of a copy to the home directory, of which nothing is written.
        options = self._options._replace(
            target=Location(None, None, None, b"."), receive_engine="dummy", is_dry_run=True
        )
        self._target.open(make_receive(options, 2, False, has_roots=True), options.n_streams, self._go_on)
        self._send_link(agent, options.n_streams)

    def _connect(self, agent: AgentLink, listening: Listening) -> None:
        self._connect_plane(agent, listening, is_sender=True)
        if listening.addresses:
            self.peer = listening.addresses[0]

    def _go_on(self) -> None:
        if self._pinged_s is None and self._has_streams:
            self._look_at_streams()

    def _look_at_streams(self) -> None:
        assert self._streams
        (leg,) = self._legs.values()
        leg.settle()
        self.is_tunnel = leg.place == "ssh"
        sock, _ = self._streams.proven[0]
        if not self.is_tunnel:
            self.peer, self.own = str(sock.getpeername()[0]), str(sock.getsockname()[0])
            self.route = examine_connection(sock)
        self._ping()

    def _ping(self) -> None:
        """Send an empty order, wait for its answer, and note how long ssh took for both; a few times."""
        assert self._target
        now = self._loop.now()
        if self._pinged_s is not None:
            self._ping_times_s.append(now - self._pinged_s)
        if len(self._ping_times_s) < N_PINGS:
            self._pinged_s = now
            return self._target.allow([], [], self._ping)
        if self.route.rtt_s is None:
            self.route = self.route._replace(rtt_s=min(self._ping_times_s))
        if not self._has_feature:
            self._is_answered = True
            return None
        (agent,) = self._agents
        self._asked_s = now
        return agent.send(Examine(self._options.target.path))

    def _take_own(self, agent: AgentLink, message: Message) -> bool:
        if not isinstance(message, Examined) or self._asked_s == float("inf"):
            return False
        self.facts = decode_facts(message.facts)
        self._is_answered = True
        return True

    def advise_ports(self) -> Finding:
        """What became of the data ports."""
        (agent,), (leg,) = self._agents, self._legs.values()
        options = self._options
        whose = "this host" if options.is_reverse else agent.host
        place = "" if self.is_tunnel else leg.place
        ports = (options.port, options.port + options.n_ports - 1)
        return advise_ports(agent.host, ports, whose, place=place, failure=leg.failure)
