"""A push: this process sends, the agent receives."""

from escp.control.messages import Listening
from escp.jobs.agentjob import AgentJob
from escp.jobs.orders import count_streams, make_send
from escp.jobs.target import AgentTarget
from escp.remote.agentlink import AgentLink
from escp.streams.sealing import warm_up
from escp.streams.sendend import SendEnd


class PushJob(AgentJob):
    def _begin(self) -> None:
        self._target = AgentTarget(self._log_in(self._options.target))
        warm_up()

    def _greet(self, agent: AgentLink) -> None:
        assert self._target
        n_streams = count_streams(self._options)
        wanted = self._order_receiver(*self._feed.look(), has_roots=False)
        self._target.open(
            wanted, n_streams, self._go_on,
            lambda: self._send_link(agent, n_streams), self._expected,
        )  # fmt: skip

    def _connect(self, agent: AgentLink, listening: Listening) -> None:
        self._connect_plane(agent, listening, is_sender=True)

    def _go_on(self) -> None:
        assert self._target
        if self._is_started or self._target.names_below is None or not self._has_streams:
            return
        self._send_end = SendEnd(
            make_send(self._options, is_in_order=self._target.is_in_order), n_streams=self._n_streams,
            block_bytes=self._options.block_bytes, loop=self._loop, listener=self,
            reconnects=self._may_reconnect(*self._agents), memory=self._contents,
        )  # fmt: skip
        self._send_end.limit_large(self._target.max_large)
        self._send_end.suit(hears_begun=self._target.hears_begun, judges_nodes=self._target.judges_nodes)
        self._keep_parts()
        self._start_plane(self._send_end)
        self._feed_end()
