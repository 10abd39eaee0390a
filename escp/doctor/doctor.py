"""`escp --doctor`: what limits copies on this host, or between it and another one.

The other host is reached as in a copy: ssh, an agent, and the data streams, over which nothing is copied. Its
facts come from the agent; what they mean is said here, by `advice`.

    hello? -> hello! receive! link! -> opened? listening? streams -> allow! allowed? (pings, timed)
                                                                  -> examine! examined? -> bye!
"""

from collections.abc import Callable

from escp.constants import PROTOCOL_MAJOR, PROTOCOL_MINOR
from escp.doctor.advice import Situation, advise_host, advise_route, find_rates
from escp.doctor.visit import Visit, name_release
from escp.errors import EXIT_OK, EXIT_SOME_FAILED, EscpError
from escp.facts.facts import NO_FACTS, HostFacts
from escp.facts.network import find_device, pick_device
from escp.facts.system import examine_host
from escp.jobs.job import Task
from escp.names.sources import SourceQueue
from escp.options.location import Location
from escp.options.options import Options
from escp.process.limits import apply_affinity, prepare_process
from escp.remote.child import AgentProcess
from escp.ui.events import Events
from escp.ui.finding import LOCAL, PROBLEM, REMOTE, WARNING, Finding, format_count_of


class Doctor:
    """`run()` shows the findings and returns the exit status, or raises what ended it."""

    def __init__(self, options: Options, start_agent: Callable[[Location], AgentProcess], report: Events):
        self._options = options
        self._start_agent = start_agent
        self._report = report
        self._host = options.target.host or ""
        self._found: list[Finding] = []

    def run(self) -> int:
        prepare_process()
        apply_affinity(self._options.cpumask, self._options.nodemask)
        if not self._options.target.is_remote:
            self._tell_alone()
        else:
            self._examine_both()
        is_healthy = not any(finding.status == PROBLEM for finding in self._found)
        exit_code = EXIT_OK if is_healthy else EXIT_SOME_FAILED
        self._report.conclude(exit_code, format_count_of(self._found))
        return exit_code

    def _tell_alone(self) -> None:
        """The findings about this host, without another one."""
        facts = self._examine_here(pick_device())
        self._tell(self._advise_here(facts, Situation("", find_rates(facts), self._options.n_streams)))

    def _examine_here(self, device: str | None) -> HostFacts:
        path = self._options.sources[0].path
        if path.startswith(b"~"):  # the shell has expanded what was meant
            path = b"./" + path
        return examine_host(path, device, ssh_program=self._options.ssh_program)

    def _advise_here(self, facts: HostFacts, situation: Situation) -> list[Finding]:
        named = facts._replace(version=name_release(facts.version or "", PROTOCOL_MAJOR, PROTOCOL_MINOR))
        return advise_host(named, LOCAL, situation._replace(path=self._options.sources[0].path))

    def _examine_both(self) -> None:
        options = self._options
        visit = Visit(
            Task(options, None, SourceQueue(options), False, self._start_agent, self._report, lambda _: None)
        )
        try:
            visit.run()
        except EscpError:
            self._tell_alone()
            raise
        device = find_device(visit.peer, visit.own) if visit.peer else pick_device()
        local, remote = self._examine_here(device), visit.facts
        rates = find_rates(local, remote or NO_FACTS)
        situation = Situation(self._host, rates, self._options.n_streams, visit.route.rtt_s)
        self._tell(self._advise_here(local, situation))
        if remote is None:
            value = f"{visit.release}: it can't examine its host"
            self._tell([Finding(REMOTE, "escp", WARNING, value, "install the same release on both hosts")])
        else:
            there = situation._replace(path=self._options.target.path or b"~")
            self._tell(advise_host(remote._replace(version=visit.release), REMOTE, there))
        self._tell([visit.advise_ports()])
        self._tell(advise_route(visit.route, local, remote or NO_FACTS, is_tunnel=visit.is_tunnel))

    def _tell(self, findings: list[Finding]) -> None:
        for finding in findings:
            self._found.append(finding)
            self._report.finding(finding, host=self._host)
