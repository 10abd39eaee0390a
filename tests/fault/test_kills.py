"""A copy that is killed again and again gets on each time; the long version is tests/fault/kills.py."""

import sys
import threading

import pytest

from tests.fault.kills import WAYS, check, make_source, run_kills
from tests.support.command import DRIVER, needs_source, remote
from tests.support.parts import count_records
from tests.support.proxy import TO_AGENT, Proxy
from tests.support.trees import write_random
from tests.support.waiting import wait_for

AT_ONCE_BYTES = 8 << 20
pytestmark = needs_source  # the driver leads the streams through the proxy


@pytest.mark.parametrize("way", WAYS)
def test_each_side_is_killed_in_turn_and_the_copy_goes_on(escp, folder, target, way):
    n_bytes = make_source(folder / "from", 64, 300, seed=5)
    n_came = run_kills(escp, folder / "from", target, 6, 5, way=way, longest_s=1.0, limit="8M")
    check(n_bytes, n_came, 6)


class Holding(Proxy):
    """Brings the agent some blocks at once, up to an offset, and nothing more until `go_on`."""

    def __init__(self, port: int, offset: int):
        self._offset = offset
        self._kept = bytearray()
        self._is_held = False
        self._going_on = threading.Event()
        super().__init__(port, self._hold)

    def _hold(self, stream: int, way: str, at: int, data: bytes) -> bytes:
        if way != TO_AGENT or at < self._offset - AT_ONCE_BYTES:
            return data
        if self._is_held:
            self._going_on.wait()
            return data
        self._kept += data
        if at + len(data) < self._offset:
            return b""
        self._is_held = True
        return bytes(self._kept)

    def go_on(self) -> None:
        self._going_on.set()


def test_what_the_disk_has_is_in_the_journal_while_a_block_is_on_its_way(escp, source, target):
    """A kill would lose no more than that block, however long the network stands still."""
    write_random(source / "large", 64 << 20)
    with Holding(escp.port, 40 << 20) as proxy:
        env = escp.write_driver(ports={str(escp.port): proxy.port})
        process = escp.start("-t1", "--partial-min", "1M", source / "large", remote(target), env=env,
                             command=[sys.executable, str(DRIVER)])  # fmt: skip
        try:
            wait_for(lambda: count_records(target / "large") >= 39)
        finally:
            proxy.go_on()
        done = escp.finish(process)
    assert done.code == 0, (done.code, done.err)
    assert (target / "large").read_bytes() == (source / "large").read_bytes()
