"""A pull: the agent sends, this process receives."""

import os

from escp.control.messages import FileFailed, Listening, Receive
from escp.errors import LocalFileError
from escp.jobs.fetch import FetchJob
from escp.jobs.orders import count_streams
from escp.names.destination import is_special
from escp.remote.agentlink import AgentLink
from escp.streams.ends import ReceiveEnd
from escp.streams.sealing import warm_up


class PullJob(FetchJob):
    def _begin(self) -> None:
        super()._begin()
        warm_up()

    def _greet(self, agent: AgentLink) -> None:
        self._is_in_order = is_special(self._options.target.path)
        self._order_sender()
        n_streams = 1 if self._is_in_order else count_streams(self._options)
        self._send_link(agent, n_streams, limit_bytes_per_s=self._options.limit_bytes_per_s or 0)

    def _open_target(self, wanted: Receive) -> None:
        self._receive_end = ReceiveEnd(wanted, is_remote=False)
        self._names_below = self._receive_end.names_below
        if self._receive_end.is_in_order != self._is_in_order:
            shown = os.fsdecode(self._options.target.path)
            raise LocalFileError(f"the target '{shown}' changed while it was looked at")
        self._receive_end.open(
            n_streams=self._n_streams, block_bytes=self._options.block_bytes, loop=self._loop, listener=self
        )
        self._target_is_open()

    def _allow_names(self, names: list[bytes], directories: list[int]) -> None:
        assert self._receive_end
        flags = [bool(flag) for flag in directories]
        self._receive_end.allow(names, flags, f"the remote escp on {self._origin.host}")
        self._accept()

    def _take_failed(self, message: FileFailed) -> None:
        if not message.is_receiver:  # of what is written here this side knows more than it could be told
            super()._take_failed(message)

    def _connect(self, agent: AgentLink, listening: Listening) -> None:
        self._connect_plane(agent, listening, is_sender=False)

    def _start_if_ready(self) -> None:
        if self._is_started or self._receive_end is None or not self._has_streams:
            return
        self._start_plane(self._receive_end)
