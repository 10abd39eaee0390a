"""Agents whose ssh is lost in mid-copy: they are heard again another way, or told of when they are not."""

import os

from escp.constants import SECRET_BYTES
from escp.errors import EndedError, EscpError, NetworkError
from escp.lean.eventloop import EventLoop
from escp.remote.agentlink import AgentLink
from escp.streams.lasting import GONE_S, HEARD_S, LAST_S, Lasting
from escp.ui.events import Events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from escp.streams.leg import Leg

# For one whose streams lead elsewhere, if it was heard just before, and ssh did not complain of the network.
APART_S = 5.0
KNOWN_S = 10.0  # for one that owes nothing but its account, where success is known without that
TELL_S = 2.0


class LostAgents:
    """Gives each agent a secret; once the streams run, `watch` it. `tick` raises what ends the copy."""

    def __init__(self, loop: EventLoop, watcher: Events, timeout_s: float, *, has_streams: bool):
        """*timeout_s*: while streams run; 0: no agent is waited for. *has_streams*: they end here."""
        self._loop = loop
        self._watcher = watcher
        self._timeout_s = timeout_s
        self._has_streams = has_streams
        self._told: set[AgentLink] = set()  # of which the user knows that they are away
        self._secrets: dict[AgentLink, bytes] = {}
        self._lasting: dict[AgentLink, Lasting] = {}
        self._errors: dict[AgentLink, EscpError] = {}  # what to raise of those that are away
        self._is_ssh_lost: dict[AgentLink, bool] = {}
        self._apart: set[AgentLink] = set()  # their streams lead elsewhere
        self._limits: dict[AgentLink, float] = {}
        self._running_s = 0.0  # some stream had not ended yet

    def make_secret(self, agent: AgentLink, *, is_apart: bool = False) -> bytes:
        """For its `Link`; b"" where it can't come back. *is_apart*: no stream leads to it from here."""
        feature = "apart" if is_apart else "lasting"
        if not self._timeout_s or not agent.can_outlive or not agent.has_feature(feature):
            return b""
        if is_apart:
            self._apart.add(agent)
        self._secrets[agent] = os.urandom(SECRET_BYTES)
        return self._secrets[agent]

    def watch(self, agent: AgentLink, leg: "Leg") -> None:
        """Its streams run, over *leg*."""
        secret = self._secrets.pop(agent, b"")
        if not secret or leg.is_through_ssh:
            return
        if agent in self._apart:
            leg.prepare_apart()
        self._lasting[agent] = Lasting(
            agent.channel, secret, leg.reopen_apart if agent in self._apart else leg.reopen, self._loop,
            lambda: self._tell_back(agent), is_initiator=True,
        )  # fmt: skip
        agent.outlives = self._lose

    def _lose(self, agent: AgentLink, error: EscpError | None) -> bool:
        lasting = self._lasting.get(agent)
        if lasting is None or (error is not None and agent.may_have_ended and not self._has_streams):
            return False
        is_short = agent in self._apart and not agent.why and agent.silent_s(self._loop.now()) < HEARD_S
        self._limits[agent] = min(APART_S, self._timeout_s) if is_short else self._timeout_s
        lasting.lose()
        self._is_ssh_lost[agent] = error is not None
        self._errors[agent] = error or EndedError(
            f"the escp on {agent.host} is not heard any more, neither through ssh nor over the data port",
            "it may have been killed, or the network was lost",
        )
        return True

    def _tell_back(self, agent: AgentLink) -> None:
        self._told.discard(agent)
        if not self._is_ssh_lost.pop(agent, False):
            return self._watcher.note(f"the escp on {agent.host} is heard over the data port now")
        away_s = self._lasting[agent].away_s(self._loop.now())
        return self._watcher.warn(
            f"ssh to {agent.host} was lost{agent.why}; its escp is heard over the data port now, "
            f"{away_s:.1f} s later"
        )

    def _tell_away(self, agent: AgentLink, away_s: float) -> None:
        if away_s > TELL_S and agent not in self._told:
            self._told.add(agent)
            self._watcher.warn(
                f"ssh to {agent.host} was lost{agent.why}; the copy goes on, and looks for another way "
                "to its escp"
            )

    @property
    def next_tick_s(self) -> float:
        return min((lasting.next_tick_s for lasting in self._lasting.values()), default=float("inf"))

    def tick(self, now: float, *, closed_s: float, has_ended: bool, is_known: bool) -> "list[AgentLink]":
        """Those that need not be waited for any longer: *is_known*, what came of the copy, without them.

        *closed_s*: since when all streams are closed from the other side; *has_ended*: all have ended well.
        """
        missing = []
        if not has_ended:
            self._running_s = now
        for agent, lasting in self._lasting.items():
            lasting.tick(now)
            if not lasting.is_away:
                continue
            away_s = lasting.away_s(now)
            error = self._errors[agent]
            self._tell_away(agent, away_s)
            if is_known and away_s > min(KNOWN_S, self._timeout_s):
                missing.append(agent)
            # Streams that come back after a long outage may end before the agent is heard again.
            elif not is_known and min(away_s, now - self._running_s) > min(LAST_S, self._timeout_s):
                raise NetworkError(
                    f"ssh to {agent.host} was lost, and its escp has not said whether it has sent all",
                    "what has come is there and verified; run it again to see what is missing",
                )
            elif min(closed_s, away_s) > (0 if agent.may_have_ended else GONE_S) or (
                self._timeout_s > self._limits[agent] < away_s
            ):
                raise error
            elif away_s > self._timeout_s:
                raise NetworkError(
                    f"ssh to {agent.host} was lost, and its escp has not been heard again for {away_s:.0f} s",
                    "check the network between the hosts, and run it again; or wait longer, with "
                    "--reconnect-timeout",
                )
        return missing

    def close(self) -> None:
        for lasting in self._lasting.values():
            lasting.close()
