"""A copy within this host: both planes are in this process, and a local link between them."""

import os

from escp.failures import Failure
from escp.jobs.job import Job
from escp.jobs.orders import make_receive, make_send
from escp.streams.ends import ReceiveEnd, SendEnd, start_local


class LocalJob(Job):
    """Without agents, streams and keys."""

    def _begin(self) -> None:
        options = self._options
        n_sources, is_one_directory = self._look_at_sources()
        self._receive_end = ReceiveEnd(
            make_receive(options, n_sources, is_one_directory, has_roots=False), is_remote=False
        )
        self._names_below = self._receive_end.names_below
        self._is_in_order = self._receive_end.is_in_order
        n_streams = 1 if self._is_in_order else options.n_streams
        # Within one host the page cache is the faster way, as long as the file does not push out all else.
        direct_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 8
        self._receive_end.open(
            n_streams=n_streams,
            block_bytes=options.block_bytes,
            loop=self._loop,
            listener=self,
            direct_bytes=direct_bytes,
        )
        self._send_end = SendEnd(
            make_send(options, is_in_order=self._is_in_order),
            n_streams=n_streams,
            block_bytes=options.block_bytes,
            loop=self._loop,
            listener=self,
            direct_bytes=direct_bytes,
        )
        self._tally.expect(self._send_end)
        self._tally.expect(self._receive_end)
        start_local(self._send_end, self._receive_end)
        self._is_started = True
        self._feed_end()
        self._watcher.begin(host="", n_streams=n_streams, aead="", address="")

    def _settle(self) -> None:
        """Both ends are here: there is nobody whose word would have to be checked."""

    def end_failed(self, failure: Failure) -> None:
        raise failure.as_error("the copy")
