"""A push: this process sends, the agent receives."""

from escp.control.messages import Listening, Message, Opened
from escp.jobs.agentjob import AgentJob
from escp.jobs.orders import count_streams, make_receive, make_send
from escp.remote.agentlink import AgentLink
from escp.streams.ends import SendEnd
from escp.streams.sealing import warm_up


class PushJob(AgentJob):
    def _begin(self) -> None:
        self._receive_agent = self._log_in(self._options.target)
        warm_up()

    def _greet(self, agent: AgentLink) -> None:
        agent.send(make_receive(self._options, *self._look_at_sources(), has_roots=False))
        limit = self._options.limit_bytes_per_s or 0
        self._send_link(agent, count_streams(self._options), tunnel_limit_bytes_per_s=limit)

    def _take_own(self, agent: AgentLink, message: Message) -> bool:
        if not isinstance(message, Opened):
            return False
        self._names_below, self._is_in_order = message.names_below, message.is_in_order
        self._start_if_ready()
        return True

    def _connect(self, agent: AgentLink, listening: Listening) -> None:
        self._connect_plane(agent, listening, is_sender=True)

    def _start_if_ready(self) -> None:
        if self._is_started or self._names_below is None or not self._has_streams:
            return
        self._send_end = SendEnd(
            make_send(self._options, is_in_order=self._is_in_order), n_streams=self._n_streams,
            block_bytes=self._options.block_bytes, loop=self._loop, listener=self,
        )  # fmt: skip
        self._start_plane(self._send_end)
        self._feed_end()
