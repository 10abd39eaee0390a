"""A session with an agent, or with two: logins, messages, and the ways of their streams."""

import os
from abc import abstractmethod

from escp.constants import SECRET_BYTES
from escp.control.messages import Damaged, Hello, Listening, Message, Mute, PartTold, Result
from escp.errors import EndedError, NetworkError, ProtocolError, StrangerError
from escp.failures import FAST_UNSAFE, Failure
from escp.jobs.agents import check_age
from escp.jobs.job import UPDATE_S, Job, Task
from escp.jobs.lost import LostAgents
from escp.jobs.standstill import find_turn
from escp.jobs.swallowed import Swallowed
from escp.jobs.target import AgentTarget
from escp.options.location import Location
from escp.remote.agentlink import AgentLink
from escp.streams.leg import Leg
from escp.streams.receiveend import ReceiveEnd
from escp.streams.sealing import choose_aead
from escp.streams.sendend import SendEnd
from escp.streams.streams import LOST_S, Streams
from escp.ui.display import format_address
from escp.ui.progress import StartInfo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from escp.streams.reconnect import Reconnector

UNHEARD_S = 12.0  # an agent that runs, and can be heard, says every 5 s that it is there
LAST_WORDS_S = 2.0  # after a cut: time for somebody to say what it came of


class AgentJob(Job):
    """Starts agents, and ends with them."""

    _has_plane = True  # here

    def __init__(self, task: Task):
        super().__init__(task)
        self._start_agent = task.start_agent
        self._agents: list[AgentLink] = []
        self._legs: dict[AgentLink, Leg] = {}
        self._linked: set[AgentLink] = set()  # those that know how their streams come about
        self._n_streams = 0
        self._taken_bytes_per_s = 0  # what the receiving host takes, 0: any rate
        self._streams: Streams | None = None  # of a plane here
        self._reconnector: Reconnector | None = None  # of those
        options = task.options
        self._lost = LostAgents(
            self._loop, task.watcher, 0 if options.is_embedded else options.reconnect_s,
            has_streams=self._has_plane,
        )  # fmt: skip
        self._swallowed = Swallowed(options.reconnect_s or LOST_S)
        self._aead = choose_aead()
        self._secret = os.urandom(SECRET_BYTES)
        self._tell_detour: Callable[[str], None] = task.watcher.warn  # that the data goes through ssh
        self._cut: NetworkError | None = None  # a stream or an agent was lost, and nobody has said why
        self._cut_due_s = 0.0

    def _log_in(self, location: Location) -> AgentLink:
        self._watcher.enter("login")
        agent = AgentLink(
            self._start_agent(location),
            location,
            self._loop,
            self._take,
            self._watcher.note,
            self._watcher.announce,
            self._watcher.words,
        )
        self._agents.append(agent)
        self._tally.expect(agent)
        return agent

    def _wait(self) -> None:
        try:
            self._hear()
        except NetworkError as e:
            self._take_cut(e)
        if self._cut is not None:
            is_all_said = all(agent.is_gone for agent in self._agents)
            if is_all_said or self._loop.now() >= self._cut_due_s:
                raise self._cut

    def _take_cut(self, error: NetworkError) -> None:
        """A connection was lost. What ends one side cuts the others, whose complaints may come first.

        So this one is kept, and the cause is waited for. Any other error is the cause, and is raised where it
        is heard. An agent that ended without a word is the cause of what the others tell of.
        """
        if not self._is_started:
            raise error
        if self._cut is None:
            self._cut_due_s = self._loop.now() + LAST_WORDS_S
        if self._cut is None or isinstance(error, EndedError):
            self._cut = error

    def _hear(self) -> None:
        """Whatever happens next."""
        now = self._loop.now()
        ticks = [leg.next_tick_s for leg in self._legs.values()]
        ticks += [agent.channel.next_tick_s for agent in self._agents]
        ticks.append(self._lost.next_tick_s)
        if self._reconnector is not None:
            ticks.append(self._reconnector.next_tick_s)
        self._loop.wait(min([UPDATE_S, *(tick - now for tick in ticks)]))
        now = self._loop.now()
        for agent in self._agents:
            agent.tick(now)
        for leg in self._legs.values():
            leg.tick(now)
        if self._reconnector is not None:
            self._reconnector.tick(now)
        self._look_for_lost(now)
        if not self._is_started:
            self._go_on()
        else:
            self._swallowed.check(now, self._standstill.still_s, self._legs)

    def _look_for_lost(self, now: float) -> None:
        own = self._send_end
        is_known = own is not None and own.is_finished and not self._options.deletes
        has_ended = any(end.is_finished for end in self._own_ends)
        closed_s = 0.0 if self._reconnector is None or has_ended else self._reconnector.closed_s(now)
        for agent in self._lost.tick(now, closed_s=closed_s, has_ended=has_ended, is_known=is_known):
            if own is not None and not self._is_finished:
                self._watcher.warn(
                    f"ssh to {agent.host} was lost at the end: all has arrived there and was verified"
                )
                self._tally.close(agent, own.result())

    def _find_turn(self, now: float, counts: dict[str, int]) -> tuple[str, str]:
        silent = (agent.host for agent in self._agents if self._is_unheard(agent, now))
        own = self._streams
        return find_turn(
            source=self._send_agent.host if self._send_agent else "",
            target=self._target.agent.host if self._target and self._target.agent else "",
            unheard=next(silent, ""),
            is_all_sent=bool(counts.get("is_walked")) and counts["bytes"] >= counts["found_bytes"],
            is_taken=self._is_taken,
            is_unread=own is not None and not own.is_sender and own.is_unread,
        )

    def _is_unheard(self, agent: AgentLink, now: float) -> bool:
        return agent.channel.is_away or agent.silent_s(now) > UNHEARD_S or bool(
            self._streams is not None and self._streams.cut
        )  # fmt: skip

    @property
    def _is_taken(self) -> bool:
        """Whether the target's system has all that this host sends or passes on."""
        return self._streams is None or not self._streams.is_sender or self._streams.is_taken

    def _find_wait(self) -> str:
        for agent in self._agents:
            if agent.hello is None:
                return f"{agent.host} to answer (ssh logs in)"
        if self._reconnector is not None and self._reconnector.is_waiting:
            return f"another data connection with {self._agents[0].host}"
        if self._is_started:
            return ""
        return next((leg.trying for leg in self._legs.values() if leg.trying), f"{self._agents[-1].host}")

    def _is_asking(self) -> bool:
        return any(agent.is_asking() for agent in self._agents)

    def _hold(self, *, is_held: bool) -> None:
        super()._hold(is_held=is_held)
        for agent in self._agents:
            agent.hold(is_held=is_held)

    def _finish(self) -> None:
        for agent in self._agents:
            agent.say_bye(is_whole=self._is_whole)
        super()._finish()

    def _disbelieve(self) -> None:
        super()._disbelieve()
        for agent in self._agents:
            agent.say_unsafe()

    def _close(self) -> None:
        if self._reconnector is not None:
            self._reconnector.close()
        self._lost.close()
        for leg in self._legs.values():
            leg.settle()
        super()._close()
        for leg in self._legs.values():
            leg.close()
        for agent in self._agents:
            agent.close()

    # ---- What an agent tells ------------------------------------------------------------------------

    def _take(self, agent: AgentLink, message: Message) -> None:
        if isinstance(message, Hello):
            self._watcher.enter("setup")
            check_age(agent, self._options, has_to_resume=self._has_to_resume)
            self._greet(agent)
        elif isinstance(message, Listening):
            self._take_listening(agent, message)
        elif isinstance(message, Result):
            # Before all was asked for, and could be sent, nobody can be done: it would look like success.
            if not self._is_started or not self._may_finish(agent):
                raise ProtocolError(f"the remote escp on {agent.host} says that it is done before it can be")
            if message.log_failure:
                self._watcher.warn(f"the log on {agent.host} cannot be written to: {message.log_failure}")
            self._tally.close(agent, message)
            self._end_streams()
        elif isinstance(message, Damaged) and self._is_started and message.stream < self._n_streams:
            self._watcher.warn(
                f"{agent.host}: data stream {message.stream + 1} brought what was not sent; connecting again"
            )
        elif isinstance(message, Mute) and message.stream < self._n_streams:
            self._swallowed.hear(agent, message, self._loop.now())
        elif not (
            self._take_answer(agent, message) or self._take_own(agent, message)
            or (self._deletion is not None and self._deletion.take_from(agent, message))
            or (self._recording is not None and self._recording.take_from(agent, message))
        ):  # fmt: skip
            raise ProtocolError(f"the remote escp on {agent.host} tells what nobody asked for")

    def _take_answer(self, agent: AgentLink, message: Message) -> bool:
        """Take *message* if it answers an order about the target; False if it does not."""
        target = self._target
        if not isinstance(target, AgentTarget) or target.agent is not agent:
            return False
        if isinstance(message, PartTold) and self._options.partial_min:
            self.part_told(message.path, message.news, message.n_bytes)
            return True
        return target.take(message)

    @abstractmethod
    def _greet(self, agent: AgentLink) -> None:
        """The agent is there: say what it is to do."""

    def _take_own(self, agent: AgentLink, message: Message) -> bool:
        """A message that not every agent may send; False where this one may not."""
        return False

    def _may_finish(self, agent: AgentLink) -> bool:
        """Whether *agent* has been asked for all."""
        return True

    # ---- Streams ------------------------------------------------------------------------------------

    def _send_link(
        self, agent: AgentLink, n_streams: int, *, limit_bytes_per_s: int = 0, is_relayed: bool = False,
        speaks_first: bool = False, is_apart: bool = False,
    ) -> None:  # fmt: skip
        """Tell the agent how its streams come about. *limit_bytes_per_s*: of what the agent sends.

        *is_apart*: they lead to another agent.
        """
        leg = Leg(agent, self._options, self._loop, self._tell_detour)
        self._legs[agent] = leg
        self._linked.add(agent)
        self._n_streams = n_streams
        again_s = self._options.reconnect_s if self._may_reconnect(*self._agents) else 0
        link = leg.link(self._secret, n_streams=n_streams, limit_bytes_per_s=limit_bytes_per_s,
                        is_relayed=is_relayed, speaks_first=speaks_first, reconnect_s=again_s,
                        control_secret=self._lost.make_secret(agent, is_apart=is_apart),
                        is_apart=is_apart)  # fmt: skip
        agent.channel.last(is_lasting=bool(link.control_secret))
        leg.prepare()  # before: it may ask for a name, and from the link on the agent waits half a minute
        agent.send(link)

    @property
    def _limit_bytes_per_s(self) -> int:
        """Of what is sent: the user's, or the receiving host's if that is less; 0: none."""
        limits = [self._options.limit_bytes_per_s or 0, self._taken_bytes_per_s]
        return min(filter(None, limits), default=0)

    def _leg(self, agent: AgentLink) -> Leg:
        if agent not in self._legs:
            raise ProtocolError(f"the remote escp on {agent.host} tells of streams that nobody asked for")
        return self._legs[agent]

    def _take_listening(self, agent: AgentLink, listening: Listening) -> None:
        if agent not in self._linked:
            raise ProtocolError(f"the remote escp on {agent.host} tells of streams that nobody asked for")
        is_receiver = self._target is not None and agent is self._target.agent
        is_wanted = 1 <= listening.n_streams <= self._n_streams if is_receiver else (
            listening.n_streams == self._n_streams)  # fmt: skip
        if not is_wanted:
            raise NetworkError(
                f"the remote escp on {agent.host} offers streams that nobody asked for", ProtocolError.hint
            )
        self._n_streams = listening.n_streams
        if is_receiver and self._target is not None:
            self._target.max_large = listening.max_large
            self._taken_bytes_per_s = listening.limit_bytes_per_s
        self._connect(agent, listening)

    @abstractmethod
    def _connect(self, agent: AgentLink, listening: Listening) -> None:
        """The agent is ready for its streams."""

    @abstractmethod
    def _go_on(self) -> None:
        """Start what runs here if its streams, and the target, are there: called until it runs."""

    @property
    def _has_streams(self) -> bool:
        return bool(self._legs) and all(leg.is_complete for leg in self._legs.values())

    # ---- One plane here, for the only agent ---------------------------------------------------------

    def _connect_plane(self, agent: AgentLink, listening: Listening, *, is_sender: bool) -> None:
        self._streams = Streams(
            self._secret, n_streams=self._n_streams, block_bytes=self._options.block_bytes,
            is_sender=is_sender, backend=self._aead,
            limit_bytes_per_s=self._limit_bytes_per_s or None if is_sender else None,
            may_reconnect=self._may_reconnect(agent),
        )  # fmt: skip
        self._secret = b""
        if is_sender:
            self._leg(agent).limit_bytes_per_s = self._limit_bytes_per_s
        self._leg(agent).begin(listening, self._streams)

    def _start_plane(self, end: SendEnd | ReceiveEnd) -> None:
        """All streams of the plane are there."""
        assert self._streams
        (agent,) = self._agents
        self._legs[agent].settle()
        self._tally.expect(end)
        if self._streams.may_reconnect:
            from escp.streams.reconnect import Reconnector  # not at the top: the streams are there by now

            self._reconnector = Reconnector(
                self._streams, self._legs[agent].reopen, self._watcher.warn, self._loop,
                self._options.reconnect_s, self._name_streams(agent),
            )  # fmt: skip
        end.start(self._streams)
        self._streams_run()
        self._tell_begin(agent, self._legs[agent].place)

    def _streams_run(self) -> None:
        self._is_started = True
        for agent in self._agents:
            agent.streams_run()
            if agent in self._legs:
                self._lost.watch(agent, self._legs[agent])

    def _end_streams(self) -> None:
        """One end has seen the end of all streams, so the others have sent theirs."""
        self._swallowed.end()
        for agent in self._agents:
            agent.streams_ended()

    def end_finished(self, end: SendEnd | ReceiveEnd) -> None:
        super().end_finished(end)
        self._end_streams()
        if self._reconnector is not None:
            self._reconnector.end()

    def _may_reconnect(self, *agents: AgentLink) -> bool:
        """Whether a stream may have more than one connection."""
        return bool(self._options.reconnect_s) and all(agent.has_feature("reconnect") for agent in agents)

    def stream_lost(self, stream: int, failure: Failure) -> None:
        assert self._reconnector
        self._reconnector.lose(stream, failure)

    def stream_resumed(self, stream: int) -> None:
        assert self._reconnector
        self._reconnector.resume(stream)

    def _tell_begin(self, agent: AgentLink, *places: str) -> None:
        address = " to ".join(map(format_address, places))
        options = self._options
        self._watcher.begin(
            StartInfo(
                agent.host, self._n_streams, options.block_bytes, self._aead, options.is_embedded, address
            )
        )

    def end_failed(self, failure: Failure) -> None:
        (agent,) = self._agents
        if failure.code == FAST_UNSAFE and self._send_agent is not None:
            raise StrangerError(
                f"{agent.host} sent a name that was not asked for, or that leads out of the destination"
            )
        raise failure.as_error(self._name_streams(agent))

    def _name_streams(self, agent: AgentLink) -> str:
        return f"the data streams {'to' if self._send_end else 'from'} {agent.host}"
