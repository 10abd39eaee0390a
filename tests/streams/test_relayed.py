"""An agent's end of a relay: the relay proves itself among strangers, then the other host through it."""

import contextlib
import socket
import time

import pytest

from escp.constants import HELLO_TIMEOUT_S, MAX_UNPROVEN
from escp.errors import IntegrityError
from escp.lean.eventloop import EventLoop
from escp.streams.listener import Acceptor, listen
from escp.streams.relayed import RelayedStreams
from escp.streams.streams import HELLO_FRAME_BYTES, MAGIC, PREAMBLE, Streams
from tests.support.ports import N_CLAIMED, Ports

SECRET, LEG_SECRET, OTHER_LEG = bytes(range(32)), bytes(range(1, 33)), bytes(range(2, 34))


def make_streams(secret: bytes, *, is_sender: bool, n_streams: int = 2) -> Streams:
    return Streams(secret, n_streams=n_streams, block_bytes=1 << 20, is_sender=is_sender, backend="openssl")


class Agent:
    """The end under test: it sends and speaks first, or receives. The test is all the others."""

    def __init__(self, *, is_sender: bool):
        self.loop = EventLoop()
        self.now = 0.0
        self.is_sender = is_sender
        self.inner = make_streams(SECRET, is_sender=is_sender)
        self.relayed = RelayedStreams(
            LEG_SECRET, self.inner, self.loop.watch, self.loop.unwatch, speaks_first=is_sender
        )
        self._ports = Ports()
        self._listener = listen("127.0.0.1", self._ports.first, N_CLAIMED)
        self.address = self._listener.getsockname()
        self.acceptor = Acceptor(self._listener, self.relayed, self.loop.watch, self.loop.unwatch, self.now)
        self._sockets: list[socket.socket] = []

    def run(self, seconds: float = 0.0, n_turns: int = 10) -> None:
        self.now += seconds
        self.acceptor.tick(self.now)
        for _ in range(n_turns):
            self.loop.wait(0.002)

    def connect(self, data: bytes = b"") -> socket.socket:
        sock = socket.create_connection(self.address)
        sock.setblocking(False)
        self._sockets.append(sock)
        sock.sendall(data)
        self.run()
        return sock

    def connect_relay(self, stream: int) -> socket.socket:
        """The relay's connection, proven at both ends."""
        leg = make_streams(LEG_SECRET, is_sender=not self.is_sender)
        channel = leg.make_channel(stream)
        sock = self.connect(make_preamble(stream) + leg.hello(channel))
        assert leg.check_hello(channel, self.read(sock, HELLO_FRAME_BYTES))
        return sock

    def read(self, sock: socket.socket, n: int) -> bytes:
        got, end_s = b"", time.monotonic() + 10
        while len(got) < n and time.monotonic() < end_s:
            self.loop.wait(0.002)
            with contextlib.suppress(BlockingIOError):
                got += sock.recv(n - len(got))
        return got

    def closes(self, sock: socket.socket) -> bool:
        end_s = time.monotonic() + 10
        while time.monotonic() < end_s:
            self.loop.wait(0.002)
            try:
                return sock.recv(100) == b""
            except BlockingIOError:
                continue
            except ConnectionResetError:
                return True
        return False

    def close(self) -> None:
        self.acceptor.close()
        for streams in (self.relayed, self.inner):
            streams.close()
        for sock in self._sockets:
            sock.close()
        self.loop.close()
        self._ports.close()


@pytest.fixture(params=[True, False], ids=["sender", "receiver"])
def agent(request):
    with contextlib.closing(Agent(is_sender=request.param)) as one:
        yield one


def make_preamble(stream: int) -> bytes:
    return PREAMBLE.pack(MAGIC, 1, 0, stream, 0, 0)


def is_silent(sock: socket.socket) -> bool:
    try:
        sock.recv(1)
    except BlockingIOError:
        return True
    return False


def prove_other_host(agent: Agent, sock: socket.socket, stream: int) -> None:
    """What the other host says through the relay, and that it can read the answer."""
    other = make_streams(SECRET, is_sender=not agent.is_sender)
    channel = other.make_channel(stream)
    if agent.is_sender:
        assert other.check_hello(channel, agent.read(sock, HELLO_FRAME_BYTES))
    sock.sendall(other.hello(channel))
    if not agent.is_sender:
        assert other.check_hello(channel, agent.read(sock, HELLO_FRAME_BYTES))
    agent.run()


def test_both_hosts_prove_themselves_through_the_relay(agent):
    for stream in (1, 0):
        prove_other_host(agent, agent.connect_relay(stream), stream)
    assert agent.inner.is_complete
    with pytest.raises(ConnectionRefusedError):  # nothing is listened for any more
        socket.create_connection(agent.address)


def test_stranger_with_a_preamble_is_told_nothing(agent):
    stranger = agent.connect(make_preamble(0))
    agent.run(1.0)
    assert is_silent(stranger)
    agent.run(HELLO_TIMEOUT_S)
    assert agent.closes(stranger)


@pytest.mark.parametrize("secret", [SECRET, OTHER_LEG])
def test_neither_the_sessions_secret_nor_another_legs_lets_a_relay_in(agent, secret):
    """Not even the other host: what it seals must not be taken for the relay's proof."""
    streams = make_streams(secret, is_sender=not agent.is_sender)
    assert agent.closes(agent.connect(make_preamble(0) + streams.hello(streams.make_channel(0))))
    assert not agent.relayed.proven


def test_reflected_hello_is_refused(agent):
    """What this end itself would say under the leg's key."""
    streams = make_streams(LEG_SECRET, is_sender=agent.is_sender)
    assert agent.closes(agent.connect(make_preamble(0) + streams.hello(streams.make_channel(0))))


def test_relay_waits_for_the_other_host_whatever_strangers_do(agent):
    relay = agent.connect_relay(0)
    for _ in range(MAX_UNPROVEN + 20):
        agent.connect()
    agent.run(HELLO_TIMEOUT_S + 1)
    agent.run(HELLO_TIMEOUT_S)
    prove_other_host(agent, relay, 0)
    assert set(agent.inner.proven) == {0}


def test_second_connection_of_a_stream_is_dropped(agent):
    relay = agent.connect_relay(0)
    leg = make_streams(LEG_SECRET, is_sender=not agent.is_sender)
    recorded = make_preamble(0) + leg.hello(leg.make_channel(0))
    assert agent.closes(agent.connect(recorded))
    prove_other_host(agent, relay, 0)
    assert agent.closes(agent.connect(recorded))
    assert agent.inner.proven[0][0].getpeername() == relay.getsockname()


def test_what_the_relay_made_up_ends_the_session(agent):
    relay = agent.connect_relay(0)
    leg = make_streams(LEG_SECRET, is_sender=not agent.is_sender)
    relay.sendall(leg.hello(leg.make_channel(0)))
    with pytest.raises(IntegrityError, match="not sealed by the other host"):
        agent.run(n_turns=100)


def test_relay_that_goes_away_may_come_again(agent):
    agent.connect_relay(0).close()
    agent.run(n_turns=20)
    assert not agent.relayed.proven
    prove_other_host(agent, agent.connect_relay(0), 0)
    assert set(agent.inner.proven) == {0}


def test_nothing_stays_open_when_it_ends(agent):
    relay = agent.connect_relay(0)
    agent.acceptor.close()
    agent.relayed.close()
    agent.inner.close()
    if agent.is_sender:
        agent.read(relay, HELLO_FRAME_BYTES)
    assert agent.closes(relay)
