"""Connections that seem to be sound, and over which nothing comes either way: they are replaced."""

import os
import socket
import threading
import time

import pytest

from tests.fault.test_causes import name_ends
from tests.fault.test_reconnect import (
    IN_DATA,
    WAYS,
    Watched,
    assert_whole,
    copy_through,
    first_frame,
    towards,
)
from tests.support.command import needs_source
from tests.support.proxy import TO_INITIATOR, Proxy
from tests.support.trees import write_random

pytestmark = needs_source  # the driver leads the streams through the proxy


def fill(source):
    write_random(source / "large", 12_000_000)
    for number in range(100):
        write_random(source / f"small-{number:03}", number * 100, seed=number)


class Mute:
    """The first connection that gets to an offset brings nothing more, in both directions, nor its end.

    *is_held*: and nothing of it is read. *ended_s*: it is reset then.
    """

    proxy: Proxy

    def __init__(self, way: str, offset: int, *, is_held: bool = False, ended_s: float | None = None):
        self.connection = None
        self._way, self._offset, self._is_held, self._ended_s = way, offset, is_held, ended_s
        self._own = threading.local()
        self._lock = threading.Lock()
        self._end = threading.Event()

    def __call__(self, stream: int, way: str, at: int, data: bytes) -> bytes:
        if not hasattr(self._own, "last"):
            self._own.last = self.proxy.last(stream)
        with self._lock:
            if self.connection is None and way == self._way and at <= self._offset < at + len(data):
                self.connection = self._own.last
                if self._ended_s is not None:
                    threading.Timer(self._ended_s, self.proxy.reset, (stream,)).start()
                return data[: self._offset - at]
        if not self.is_mute:
            return data
        if self._is_held:
            self._end.wait()
        return b""

    @property
    def is_mute(self) -> bool:
        """This thread's connection."""
        return self.connection is not None and self._own.last is self.connection

    def end(self) -> None:
        self._end.set()


class Swallowing(Watched):
    def __init__(self, port: int, mute: Mute):
        mute.proxy = self
        self._mute = mute
        super().__init__(port, mute)

    def _pass_end_on(self, sink: socket.socket) -> None:
        if not self._mute.is_mute:
            super()._pass_end_on(sink)

    def _pass_break_on(self, *ends: socket.socket) -> None:
        if not self._mute.is_mute:
            super()._pass_break_on(*ends)


def copy_past(escp, way, source, target, mute, *, n_streams=2):
    try:
        with Swallowing(escp.port, mute) as proxy:
            return copy_through(escp, way, source, target, proxy, "-r", n_streams=n_streams)
    finally:
        mute.end()


def is_whole_past_silence(escp, source, target, case):
    way, place, is_held = case
    fill(source)
    towards_way = towards(way, is_data=place == "data")
    offset = IN_DATA if place == "data" else first_frame(way, towards_way) + 20
    mute = Mute(towards_way, offset, is_held=is_held)
    done = copy_past(escp, way, source, target, mute)
    assert mute.connection is not None
    assert_whole(escp, done, source, target)
    if way in ("push", "pull"):
        assert "brought nothing any more: it has another connection" in done.err


def test_connection_that_brings_nothing_either_way(together):
    """Neither end can tell the other that it hears nothing; each looks for another connection."""
    together(
        [("push", "data", False), ("pull", "results", True), ("-3", "data", True), ("-R", "results", False)],
        is_whole_past_silence,
    )


def is_whole_past_a_lost_answer(escp, source, target, case):
    way, ended_s = case
    fill(source)
    mute = Mute(TO_INITIATOR, 10, ended_s=ended_s)
    done = copy_past(escp, way, source, target, mute, n_streams=1)
    assert mute.connection is not None and "through ssh" not in done.err
    assert_whole(escp, done, source, target)


@pytest.mark.parametrize("ended_s", [None, 7], ids=["for ever", "and reset"])
def test_answer_to_the_first_hello_that_comes_nowhere(together, ended_s):
    """One end has taken the connection for good, and hears nothing; the other makes another one in time."""
    together([(way, ended_s) for way in WAYS], is_whole_past_a_lost_answer)


def waits_for_the_disk(escp, source, target, way):
    """A pipe that nobody empties stands for it. Its end says nothing, and has no port open."""
    write_random(source / "large", 12_000_000)
    os.mkfifo(target / "pipe")
    reader = os.open(target / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(reader, True)
    process = escp.start(*name_ends(way, source / "large", target / "pipe"))
    time.sleep(26)
    with open(reader, "rb") as pipe:
        assert pipe.read() == (source / "large").read_bytes()
    done = escp.finish(process)
    assert done.code == 0 and "connect" not in done.err, (done.code, done.err)


def waits_for_the_source(escp, target):
    read, write = os.pipe()
    process = escp.start("-", f"box:{target}/a", stdin=read)
    os.close(read)
    time.sleep(26)
    os.write(write, b"late")
    os.close(write)
    done = escp.finish(process)
    assert done.code == 0 and "connect" not in done.err, (done.code, done.err)
    assert (target / "a").read_bytes() == b"late"


def test_who_stands_still_breaks_nothing(together):
    def check(escp, source, target, case):
        if case == "source":
            waits_for_the_source(escp, target)
        else:
            waits_for_the_disk(escp, source, target, case)

    together(["push", "-3", "source"], check)
