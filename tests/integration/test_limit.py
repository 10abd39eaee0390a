"""-l within one host: the rate of what is read and written, also when it is low; the wait can be ended."""

import os
import signal
import time

import pytest

from tests.support.trees import list_tree, write_random


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
