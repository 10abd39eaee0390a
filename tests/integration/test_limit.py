"""-l: the rate of what is read and written within one host, also when it is low; the wait can be ended.

Over a network: no more passes by any time than the limit allows, from the first byte on.
"""

import os
import signal
import sys
import time

import pytest

from tests.support.command import DRIVER, needs_source
from tests.support.directions import PULL, PUSH, RELAY
from tests.support.proxy import TO_AGENT, TO_INITIATOR, Proxy
from tests.support.trees import list_tree, write_random

# What the kernel sends at once besides: ten segments at first, and one of its bundles of them at a time.
BURST_BYTES = 150_000


@pytest.mark.parametrize(
    ("limit", "sizes"),
    [
        ("1M", [2_000_000]),
        ("0.5M", [1_000_000]),
        ("200k", [40_000] * 10),
        ("1600", [400_000, 0]),
        ("4Mbit", [1_000_000]),
    ],
)
def test_local_copy_keeps_to_the_limit(escp, source, target, limit, sizes):
    """Each takes two seconds."""
    for number, size in enumerate(sizes):
        write_random(source / str(number), size, seed=number)
    begin_s = time.monotonic()
    escp.copy("-r", "-l", limit, source, target)
    assert 1.8 < time.monotonic() - begin_s < 15
    assert list_tree(target / "source") == list_tree(source)


def test_local_copy_with_a_low_limit_can_be_interrupted(escp, source, target):
    write_random(source / "a", 1_000_000)
    process = escp.start("-l", "1", source / "a", target)
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    begin_s = time.monotonic()
    assert escp.finish(process).code == 128 + signal.SIGINT
    assert time.monotonic() - begin_s < 3
    assert os.listdir(target) == []


class Metered(Proxy):
    """How much more passed one way by any time than *bytes_per_s* allow since the first connection."""

    def __init__(self, port: int, way: str, bytes_per_s: int):
        self.most_too_many = self._n_bytes = 0
        self._way, self._bytes_per_s = way, bytes_per_s
        self._begin_s = float("inf")
        super().__init__(port, self._count, before_upstream=self._begin)

    def _begin(self, stream: int, hello: bytes) -> None:
        self._begin_s = min(self._begin_s, time.monotonic())

    def _count(self, stream: int, way: str, at: int, data: bytes) -> bytes:
        if way == self._way:
            self._n_bytes += len(data)
            may = self._bytes_per_s * (time.monotonic() - self._begin_s)
            self.most_too_many = max(self.most_too_many, self._n_bytes - int(may))
        return data


@needs_source  # the driver leads the streams through the proxy
@pytest.mark.parametrize("ends", [PUSH, PULL, RELAY], ids=["push", "pull", "-3"])
def test_remote_copy_is_within_the_limit_from_the_beginning(escp, source, target, ends):
    """Loopback's segments have 64 KiB, and the kernel paces no connection's first ten."""
    for number in range(60):
        write_random(source / str(number), 10_000, seed=number)
    towards = TO_INITIATOR if ends is PULL else TO_AGENT
    with Metered(escp.port, towards, 300_000) as proxy:
        env = escp.write_driver(ports={str(escp.port): proxy.port})
        words = ["-r", "-t1", "-l", "300K", ends.source(source), ends.target(target)]
        done = escp.run(*words, env=env, command=[sys.executable, str(DRIVER)])
    assert done.code == 0, (done.code, done.err)
    assert list_tree(target / "source") == list_tree(source)
    assert proxy.most_too_many <= BURST_BYTES
