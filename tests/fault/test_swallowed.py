"""Connections over which nothing comes, either way, and that can't be replaced: the copy ends in time."""

import socket
import sys

from tests.fault.test_causes import name_ends
from tests.fault.test_mute import Mute, Swallowing
from tests.fault.test_reconnect import IN_DATA, first_frame, towards
from tests.support.command import DRIVER, needs_source
from tests.support.proxy import TO_AGENT
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


class Unanswered(Swallowing):
    """Once it swallows a connection it brings of others what the connecting end says first, and no more."""

    def __init__(self, port: int, mute: Mute):
        self._first = mute
        self.n_unanswered = 0
        super().__init__(port, mute)
        self.before = self._count
        self._change = self._take

    def _count(self, stream: int, hello: bytes) -> None:
        self.n_unanswered += self._first.connection is not None

    def _take(self, stream: int, way: str, at: int, data: bytes) -> bytes:
        passed = self._first(stream, way, at, data)
        return b"" if self._first.connection is not None and (at or way != TO_AGENT) else passed

    def _pass_end_on(self, sink: socket.socket) -> None:
        if self._first.connection is None:
            super()._pass_end_on(sink)

    def _pass_break_on(self, *ends: socket.socket) -> None:
        if self._first.connection is None:
            super()._pass_break_on(*ends)


def ends_without_answers(escp, source, target, way):
    write_random(source / "large", 12_000_000)
    mute = Mute(towards(way, is_data=True), IN_DATA)
    words = ["-t1", "--reconnect-timeout", "15", *name_ends(way, source / "large", target)]
    with Unanswered(escp.port, mute) as proxy:
        env = escp.write_driver(ports={str(escp.port): proxy.port})
        done = escp.run(*words, env=env, command=[sys.executable, str(DRIVER)], timeout_s=110)
    assert mute.connection is not None and proxy.n_unanswered
    assert done.code == 13 and "has come nowhere" in done.error, (done.code, done.err)
    escp.assert_nothing_left()


def test_hellos_that_no_answer_comes_to_end_the_copy(together):
    """One end takes each connection for good, the other one none of them."""
    together(["push", "pull", "-R"], ends_without_answers)


def ends_when_all_is_swallowed(escp, source, target, case):
    way, place, timeout = case
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


def test_what_comes_nowhere_ends_the_copy(together):
    """No disk stands still: one end's system says that it was sent more than the other's has got."""
    cases = [("push", "data", "3"), ("-3", "data", "0"), ("-R", "results", "3")]
    together(cases, ends_when_all_is_swallowed)
