"""The ends of a session around their planes: sources, page by page."""

import os

import pytest

from escp._fast.planes.send_plane import link_local
from escp.control.messages import Send
from escp.lean.eventloop import EventLoop
from escp.streams.sendend import SendEnd
from tests.support.loopback import BLOCK
from tests.support.planes import receive_plane

N_PAGES = 3000
WANTED = Send("posix", *[False] * 11, [], "all", False, False)


class Feeder:
    """Has the next page whenever the end asks for one."""

    def __init__(self, pages: list[list[tuple[bytes, bytes]]]):
        self.loop = EventLoop()
        self.is_finished = False
        self._pages = iter(pages)
        self._n_left = len(pages)
        self.end = SendEnd(WANTED, n_streams=1, block_bytes=BLOCK, loop=self.loop, listener=self)

    def sources_taken(self) -> None:
        self._n_left -= 1
        self.end.add(next(self._pages), is_last=self._n_left == 0)

    def end_finished(self, end: SendEnd) -> None:
        self.is_finished = True

    def file_failed(self, end, failure, path, *, is_receiver) -> None:
        raise failure.as_error(repr(path))

    def end_failed(self, failure) -> None:
        raise failure.as_error("the copy")


@pytest.mark.parametrize("n_sources", [0, 1], ids=["nothing", "one file"])
def test_pages_may_be_many(tmp_path, n_sources):
    """A page of which nothing is left, every name was refused, is taken at once; so are small ones mostly."""
    (tmp_path / "x").touch()
    (tmp_path / "target").mkdir()
    root_fd = os.open(tmp_path / "target", os.O_RDONLY)
    source = os.fsencode(tmp_path / "x")
    feeder = Feeder([[(source, b"%d" % number)] * n_sources for number in range(N_PAGES)])
    receiver = receive_plane(root_fd=root_fd, n_streams=1, block_bytes=BLOCK, has_checksum=False)
    try:
        link_local(feeder.end.plane, receiver)
        feeder.end.plane.start()
        feeder.sources_taken()
        while not feeder.is_finished:
            feeder.loop.wait(10)
        assert len(os.listdir(root_fd)) == N_PAGES * n_sources
    finally:
        feeder.end.close()
        receiver.join()
        feeder.loop.close()
        os.close(root_fd)
