"""The connector's waiting."""

import socket
import time

import pytest

from escp.lean.eventloop import EventLoop
from escp.streams.connector import Connector
from escp.streams.streams import Streams


@pytest.fixture
def loop():
    one = EventLoop()
    yield one
    one.close()


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


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
