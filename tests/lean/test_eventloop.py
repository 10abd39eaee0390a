"""Waiting for descriptors: callbacks come when something is ready, and only for what is still watched."""

import gc
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from escp.lean.eventloop import EventLoop


@pytest.fixture
def loop():
    loop = EventLoop()
    yield loop
    loop.close()


@pytest.fixture
def pairs():
    pairs = [socket.socketpair() for _ in range(3)]
    yield pairs
    for pair in pairs:
        for sock in pair:
            sock.close()


def test_callback_comes_when_there_is_something(loop, pairs):
    calls = []
    loop.watch(pairs[0][0].fileno(), lambda: calls.append(pairs[0][0].recv(10)))
    loop.wait(0)
    assert calls == []
    pairs[0][1].send(b"x")
    loop.wait(10)
    assert calls == [b"x"]


def test_waiting_ends_after_the_time(loop):
    begin_s = time.monotonic()
    loop.wait(0.05)
    assert 0.04 < time.monotonic() - begin_s < 2
    loop.wait(-1)  # a moment that is over already


def test_writable_is_asked_for(loop, pairs):
    calls = []
    loop.watch(pairs[0][0].fileno(), lambda: calls.append(1), for_writing=True)
    loop.wait(10)
    assert calls == [1]


def test_callback_may_remove_another_that_is_ready(loop, pairs):
    calls = []

    def remove_the_others(me: int) -> None:
        calls.append(me)
        for number, (sock, _) in enumerate(pairs):
            if number != me:
                loop.unwatch(sock.fileno())

    for number, (sock, peer) in enumerate(pairs):
        loop.watch(sock.fileno(), lambda number=number: remove_the_others(number))
        peer.send(b"x")
    loop.wait(10)
    assert len(calls) == 1


def test_end_of_the_other_side_is_told(loop, pairs):
    calls = []
    loop.watch(pairs[0][0].fileno(), lambda: calls.append(pairs[0][0].recv(10)))
    pairs[0][1].close()
    loop.wait(10)
    assert calls == [b""]


def test_unwatching_twice_is_allowed_and_exceptions_pass_through(loop, pairs):
    fd = pairs[0][0].fileno()

    def fail() -> None:
        raise OSError("this one")

    loop.watch(fd, fail)
    pairs[0][1].send(b"x")
    with pytest.raises(OSError, match="this one"):
        loop.wait(10)
    loop.unwatch(fd)
    loop.unwatch(fd)
    loop.wait(0)


def test_close_gives_its_descriptor_back():
    gc.collect()  # what earlier tests left may close a descriptor meanwhile
    before = len(os.listdir("/proc/self/fd"))
    EventLoop().close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_time_in_which_the_process_stood_still_is_left_out(loop, monkeypatch):
    """Wherever it was stopped: while it waited, and between."""
    clock = [100.0]
    monkeypatch.setattr("escp.lean.eventloop.time.monotonic", lambda: clock[0])
    begin_s = loop.now()
    clock[0] += 1.5
    assert loop.now() == pytest.approx(begin_s + 1.5)
    clock[0] += 130
    assert loop.now() == pytest.approx(begin_s + 1.5)
    clock[0] += 5
    loop.wait(0)
    assert loop.now() == pytest.approx(begin_s + 1.5)


def test_stopped_process_does_not_count_the_time():
    """Another process, stopped while it waits; one that waits as long as it wanted counts that."""
    code = """
import time
from escp.lean.eventloop import EventLoop
loop = EventLoop()
begin_s, clock_s = loop.now(), time.monotonic()
print("begun", flush=True)
loop.wait(2.5)
print(loop.now() - begin_s, time.monotonic() - clock_s)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGSTOP)
    time.sleep(6)
    process.send_signal(signal.SIGCONT)
    counted_s, passed_s = map(float, process.communicate(timeout=20)[0].split())
    assert passed_s > 5.5 and 2 < counted_s < 4.5
