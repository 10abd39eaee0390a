"""A copy within this host: both planes are in this process, and a local link between them."""

import os

from escp.failures import Failure
from escp.jobs.job import Job
from escp.jobs.orders import count_streams, make_send
from escp.jobs.target import HereTarget
from escp.streams.sendend import SendEnd, start_local
from escp.ui.progress import StartInfo


class LocalJob(Job):
    """Without agents, streams and keys."""

    def _begin(self) -> None:
        self._watcher.enter("setup")
        options = self._options
        # Within one host the page cache is the faster way, as long as the file does not push out all else.
        direct_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 8
        target = self._target = HereTarget(
            options.target.path, self._loop, self, block_bytes=options.block_bytes, direct_bytes=direct_bytes
        )
        n_streams = 1 if target.is_in_order else count_streams(options)
        wanted = self._order_receiver(*self._feed.look(), has_roots=False)
        target.open(wanted, n_streams, lambda: self._start(n_streams, direct_bytes), expected=self._expected)

    def _start(self, n_streams: int, direct_bytes: int) -> None:
        assert self._target and self._target.end
        self._send_end = SendEnd(
            make_send(self._options, is_in_order=self._target.is_in_order), n_streams=n_streams,
            block_bytes=self._options.block_bytes, loop=self._loop, listener=self, direct_bytes=direct_bytes,
            is_local=True, limit_bytes_per_s=self._options.limit_bytes_per_s or 0,
        )  # fmt: skip
        self._send_end.limit_large(self._target.max_large)
        self._send_end.suit(hears_begun=self._target.hears_begun, judges_nodes=self._target.judges_nodes)
        self._keep_parts()
        self._tally.expect(self._send_end)
        self._tally.expect(self._target.end)
        start_local(self._send_end, self._target.end)
        self._is_started = True
        self._feed_end()
        self._watcher.begin(StartInfo("", n_streams, self._options.block_bytes, ""))

    def _settle(self) -> None:
        """Both ends are here: there is nobody whose word would have to be checked."""

    def end_failed(self, failure: Failure) -> None:
        raise failure.as_error("the copy")
