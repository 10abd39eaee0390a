"""Connections over which nothing comes, either way, and that can't be replaced: the copy ends in time."""

import sys

import pytest

from tests.fault.test_causes import name_ends
from tests.fault.test_mute import Mute, Swallowing
from tests.fault.test_reconnect import IN_DATA, first_frame, towards
from tests.support.command import DRIVER, needs_source
from tests.support.trees import write_random

pytestmark = needs_source  # the driver leads the streams through the proxy, and shortens a wait


class Closed(Swallowing):
    """Once it swallows a connection it takes no other one."""

    def __init__(self, port: int, mute: Mute):
        self._first = mute
        super().__init__(port, mute)
        self.before = self._refuse

    def _refuse(self, stream: int, hello: bytes) -> None:
        if self._first.connection is not None:
            raise OSError("nobody is there")


@pytest.mark.parametrize(
    ("way", "place", "timeout"),
    [("push", "data", "3"), ("-3", "data", "0"), ("-R", "results", "3")],
)
def test_what_comes_nowhere_ends_the_copy(escp, source, target, way, place, timeout):
    """No disk stands still: one end's system says that it was sent more than the other's has got."""
    write_random(source / "large", 12_000_000)
    towards_way = towards(way, is_data=place == "data")
    mute = Mute(towards_way, IN_DATA if place == "data" else first_frame(way, towards_way) + 20)
    words = ["-t1", "--reconnect-timeout", timeout, *name_ends(way, source / "large", target)]
    with Closed(escp.port, mute) as proxy:
        env = escp.write_driver(ports={str(escp.port): proxy.port}, lost_s=3)
        done = escp.run(*words, env=env, command=[sys.executable, str(DRIVER)], timeout_s=60)
    assert mute.connection is not None
    assert done.code == 13 and "has come nowhere" in done.error, (done.code, done.err)
    escp.assert_nothing_left()
