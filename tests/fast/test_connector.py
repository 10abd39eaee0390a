"""The connector's waiting, and what a relay does when a host tells of a stream too early."""

import socket
import time

import pytest

from escp.connector import Connector
from escp.eventloop import EventLoop
from escp.relay import RelayLeg
from escp.transfer import PREAMBLE, Streams


@pytest.fixture
def loop():
    one = EventLoop()
    yield one
    one.close()


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


def turn(loop, connector, leg):
    end_s = time.monotonic() + 5
    while not leg.is_complete and time.monotonic() < end_s:
        loop.wait(0.05)
        connector.tick(time.monotonic())


def test_relayed_stream_is_adopted_connected_and_with_its_preamble(loop, listener):
    """A stranger's preamble made the host say so before the connection from here was there."""
    leg = RelayLeg(1)
    connector = Connector([listener.getsockname()], leg, loop.watch, loop.unwatch, time.monotonic())
    leg.arrived.add(0)
    connector.arrived(0)
    assert not leg.is_complete
    turn(loop, connector, leg)
    assert leg.is_complete
    accepted, _ = listener.accept()
    with accepted:
        assert PREAMBLE.unpack(accepted.recv(PREAMBLE.size))[0] == b"ESCP"
    connector.close()
    leg.close()


@pytest.mark.parametrize("is_tunnel", [False, True])
def test_nothing_is_planned_while_only_an_answer_is_awaited(loop, listener, is_tunnel):
    """Else the caller's loop does not wait: the one attempt is older than an attempt may be."""
    streams = Streams(bytes(32), n_streams=1, block_bytes=1 << 20, is_sender=True, backend="openssl")
    now = time.monotonic()
    connector = Connector(
        [] if is_tunnel else [listener.getsockname()], streams, loop.watch, loop.unwatch, now
    )
    ours, theirs = socket.socketpair()
    with ours, theirs:
        if is_tunnel:
            connector.take([ours])
        loop.wait(0.1)
        connector.tick(now + 10)
        assert connector.next_tick_s > now + 10
        connector.close()
