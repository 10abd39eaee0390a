"""When a stream's port is open again: at once where a connection broke, now and then where one is doubted."""

import contextlib
import socket

import pytest

from escp.failures import FAST_NET, Failure
from escp.lean.eventloop import EventLoop
from escp.lean.sockets import Socket
from escp.streams import streams
from escp.streams.listener import Acceptor, listen
from escp.streams.reconnect import PORT_OPEN_S, PORT_SHUT_S, Reconnector
from escp.streams.streams import Streams
from tests.support.ports import Ports


class Clock(EventLoop):
    time = 0.0

    def now(self) -> float:
        return self.time


@pytest.fixture
def waiting(monkeypatch):
    """A receiver of one stream to which nothing comes: its sender's disk stands still, for example."""
    monkeypatch.setattr(streams, "MUTE_S", 0.0)
    monkeypatch.setattr(streams, "FIRST_WORDS_S", 0.0)
    with contextlib.closing(Ports()) as ports, socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()) as peer:
            loop, receiver = Clock(), Streams(bytes(32), n_streams=1, block_bytes=1 << 20, is_sender=False,
                                              backend="openssl", may_reconnect=True)  # fmt: skip
            sock, _ = server.accept()
            receiver.adopt(0, Socket(fileno=sock.detach()), receiver.make_channel(0))

            def reopen(_):
                port = listen("127.0.0.1", ports.first, 1)
                return Acceptor(port, receiver, loop.watch, loop.unwatch, loop.now(), is_again=True)

            reconnector = Reconnector(receiver, reopen, lambda _: None, loop, 300)
            reconnector.is_open = lambda: is_open(ports.first)
            reconnector.at = lambda now: go(loop, reconnector, now)
            yield reconnector
            reconnector.close()
            receiver.close()
            loop.close()
            assert peer.fileno() >= 0


def go(loop: Clock, reconnector: Reconnector, now: float) -> bool:
    """Whether the port is open then."""
    loop.time = now
    reconnector.tick(now)
    reconnector.tick(now)
    return reconnector.is_open()


def is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


def test_port_of_an_end_that_only_waits_is_shut_most_of_the_time(waiting):
    for round_s in (0.0, PORT_OPEN_S + PORT_SHUT_S):
        assert waiting.at(round_s) and waiting.at(round_s + PORT_OPEN_S - 1)
        assert not waiting.at(round_s + PORT_OPEN_S) and not waiting.at(
            round_s + PORT_OPEN_S + PORT_SHUT_S - 1
        )


def test_port_is_open_at_once_when_the_connection_breaks(waiting):
    assert waiting.at(0.0) and not waiting.at(PORT_OPEN_S)
    waiting.lose(0, Failure(FAST_NET, 104, "receive", 0))
    assert waiting.at(PORT_OPEN_S + 1) and waiting.at(PORT_OPEN_S + 100)
