"""A pull: the agent sends, this process receives."""

from escp.control.messages import FileFailed, Listening
from escp.failures import Failure
from escp.jobs.fetch import FetchJob
from escp.jobs.orders import count_streams
from escp.jobs.target import HereTarget
from escp.remote.agentlink import AgentLink
from escp.streams.receiveend import ReceiveEnd
from escp.streams.sealing import warm_up
from escp.streams.sendend import SendEnd


class PullJob(FetchJob):
    def _begin(self) -> None:
        super()._begin()
        warm_up()

    def _greet(self, agent: AgentLink) -> None:
        self._target = HereTarget(
            self._options.target.path, self._loop, self, block_bytes=self._options.block_bytes,
            sender=f"the remote escp on {agent.host}", reconnects=self._may_reconnect(agent),
            memory=self._taker,
        )  # fmt: skip
        self._order_sender()
        n_streams = 1 if self._target.is_in_order else count_streams(self._options)
        self._send_link(agent, n_streams, limit_bytes_per_s=self._options.limit_bytes_per_s or 0)

    def _take_failed(self, message: FileFailed) -> None:
        """What fails here is known here. Of names given twice only the sender knows the sources."""
        if not message.is_receiver or _is_about_twins(message):
            super()._take_failed(message)

    def file_failed(
        self, end: SendEnd | ReceiveEnd, failure: Failure, path: bytes, *, is_receiver: bool
    ) -> None:
        if not failure.is_about_twins:
            super().file_failed(end, failure, path, is_receiver=is_receiver)

    def _connect(self, agent: AgentLink, listening: Listening) -> None:
        self._connect_plane(agent, listening, is_sender=False)

    def _go_on(self) -> None:
        if self._target is not None and self._target.end is not None and self._has_streams:
            self._start_plane(self._target.end)


def _is_about_twins(message: FileFailed) -> bool:
    return Failure(message.code, message.sys_errno, message.where).is_about_twins
