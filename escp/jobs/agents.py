"""The agents of one command or call: started, handed out, and stopped together."""

from escp.errors import AgentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from escp.options.location import Location
    from escp.options.options import Options
    from escp.remote.agentlink import AgentLink
    from escp.remote.child import AgentProcess


class Agents:
    """Every agent of the command, the first of them started before the rest of escp is loaded."""

    def __init__(self, options: "Options", start_agent: "Callable[[Location], AgentProcess] | None" = None):
        """*start_agent*: in place of a login."""
        self._options = options
        self._start_agent = start_agent
        self._started: list[AgentProcess] = []
        self._early: AgentProcess | None = None

    def start_early(self, location: "Location") -> None:
        self._early = self._start(location)

    def get(self, location: "Location") -> "AgentProcess":
        agent, self._early = self._early, None
        for done in [*self._started]:  # those of earlier sources: a list may name any number of hosts
            if done is not agent and done.poll() is not None:
                done.stop()  # its last words are told
                self._started.remove(done)
        return agent or self._start(location)

    def _start(self, location: "Location") -> "AgentProcess":
        if self._start_agent is not None:
            agent = self._start_agent(location)
        else:
            from escp.remote.ssh import start_agent  # not at the top: a local copy needs none

            agent = start_agent(self._options, location)
        self._started.append(agent)
        return agent

    def stop(self) -> None:
        for agent in self._started:
            agent.stop()


def check_age(agent: "AgentLink", options: "Options", *, has_to_resume: bool) -> None:
    """Raises AgentError where *agent* is too old for what the user wants. *has_to_resume*: as Task."""
    for is_wanted, option, feature in (
        (options.resumes and has_to_resume, "--resume", "resume"),
        (options.manifest is not None, "--manifest", "manifest"),
        (options.checks is not None, "--check", "manifest"),
    ):
        if is_wanted and not agent.has_feature(feature):
            raise AgentError(
                f"option {option}: the escp on {agent.host} is too old for it",
                "install the same release on all hosts",
            )
