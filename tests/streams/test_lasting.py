"""A control channel whose ssh is lost: it comes back over a connection that has proven itself."""

import os
import socket
import time

import pytest

from escp.control.channel import ControlChannel
from escp.control.codec import encode
from escp.control.course import AgentCourse, InitiatorCourse
from escp.control.messages import Allow, Damaged, Heard, Hello, Link, Receive
from escp.errors import NetworkError, ProtocolError
from escp.lean.eventloop import EventLoop
from escp.streams import lasting
from escp.streams.connector import Connector
from escp.streams.lasting import Lasting
from escp.streams.listener import Acceptor, listen

SECRET = bytes(range(32))
LIMIT_S = 10.0


class End:
    """One end of a channel: what it has heard, and the way back to the other."""

    def __init__(self, course, fds, open, *, is_initiator: bool, secret: bytes = SECRET):
        self.heard: list = []
        self.n_told = 0
        self.loop = EventLoop()
        self.fds = list(fds)
        course._seen.update((Hello, Receive, Link))
        self.channel = ControlChannel(self.loop, course, *fds, self.heard.append, self.lose)
        self.channel.last(is_lasting=True)
        self.lasting = Lasting(self.channel, secret, lambda wanted, streams: open(self, streams, wanted),
                               self.loop, self._back, is_initiator=is_initiator)  # fmt: skip

    def lose(self) -> None:
        assert self.channel.is_cut
        self.lasting.lose()

    def _back(self) -> None:
        self.n_told += 1

    def step(self) -> None:
        now = self.loop.now()
        self.lasting.tick(now)
        self.channel.tick(now)
        self.loop.wait(0.005)

    def cut(self) -> None:
        """As if its ssh had gone."""
        for fd in self.fds:
            os.close(fd)
        self.fds = []

    def close(self) -> None:
        self.lasting.close()
        self.channel.close()
        self.loop.close()
        self.cut()


class Pair:
    def __init__(self):
        self.port = 0
        to_agent, to_initiator = os.pipe(), os.pipe()
        course = InitiatorCourse(time.monotonic(), "box")
        course.skipper.is_past_marker = True
        self.initiator = End(course, (to_initiator[0], to_agent[1]), self.connect, is_initiator=True)
        self.agent = End(
            AgentCourse(time.monotonic()), (to_agent[0], to_initiator[1]), self.listen, is_initiator=False
        )

    def listen(self, end, streams, wanted):
        listener = listen("127.0.0.1", self.port or 30000, 1 if self.port else 30000)
        self.port = listener.getsockname()[1]
        return Acceptor(listener, streams, end.loop.watch, end.loop.unwatch, end.loop.now())

    def connect(self, end, streams, wanted):
        if not self.port:
            raise NetworkError("nobody listens yet")
        loop = end.loop
        return Connector([("127.0.0.1", self.port)], streams, loop.watch, loop.unwatch, loop.now(), None,
                         wanted)  # fmt: skip

    def run(self, until) -> None:
        end_s = time.monotonic() + LIMIT_S
        while not until():
            assert time.monotonic() < end_s
            self.initiator.step()
            self.agent.step()

    def cut(self) -> None:
        """ssh is lost: the pipes end at both ends."""
        for end in (self.initiator, self.agent):
            end.lasting.lose()
            end.cut()


@pytest.fixture
def pair(monkeypatch):
    monkeypatch.setattr(lasting, "RETRY_S", 0.01)
    made = Pair()
    yield made
    for end in (made.initiator, made.agent):
        end.close()


def test_messages_arrive_once_and_in_order_over_any_number_of_ways(pair):
    initiator, agent = pair.initiator, pair.agent
    sent = {initiator: [], agent: []}
    for n in range(60):
        for end, message in ((initiator, Allow([b"%d" % n], [0])), (agent, Damaged(n))):
            end.channel.send(message)
            sent[end].append(message)
        if n == 20:
            pair.cut()
        elif n > 20 and n % 10 == 0:  # whichever end finds out that the way has ended
            pair.run(lambda: not initiator.lasting.is_away and not agent.lasting.is_away)
            (initiator if n % 20 else agent).lasting.lose()
        elif n % 3 == 0:
            initiator.step()
            agent.step()
    pair.run(lambda: len(initiator.heard) == len(agent.heard) == 60)
    assert agent.heard == sent[initiator] and initiator.heard == sent[agent]
    assert initiator.n_told == agent.n_told == 4


def test_little_is_kept_of_what_was_heard(pair):
    for n in range(2000):
        pair.agent.channel.send(Damaged(n))
        pair.initiator.step()
        pair.agent.step()
    pair.run(lambda: len(pair.initiator.heard) == 2000)
    assert pair.agent.channel.n_pending < 100 * len(encode(Damaged(1000)))


def test_silence_is_met_by_another_way_beside_the_first(pair, monkeypatch):
    """ssh's packets are lost, and nobody says so: both ends are there, and only don't hear each other."""
    monkeypatch.setattr(lasting, "SILENT_S", 0.05)
    pair.run(lambda: pair.initiator.n_told and pair.agent.n_told)
    pair.initiator.channel.send(Allow([b"x"], [0]))
    pair.run(lambda: pair.agent.heard)
    assert not pair.initiator.lasting.was_lost


def wait_for_listener(pair) -> None:
    pair.cut()
    while not pair.port:
        pair.agent.step()


def talk(pair, sock, data: bytes) -> bytes:
    sock.sendall(data)
    sock.settimeout(0.01)
    got = b""
    end_s = time.monotonic() + LIMIT_S
    while time.monotonic() < end_s:
        pair.agent.step()
        try:
            more = sock.recv(1000)
        except TimeoutError:
            if got:
                return got
            continue
        except ConnectionResetError:
            return got
        if not more:
            return got
        got += more
    raise AssertionError("no answer")


class Recorder:
    """Passes one connection on, and keeps what the initiator said."""

    def __init__(self, pair):
        self.said = b""
        self.server = socket.create_server(("127.0.0.1", 0))
        self.far = socket.create_connection(("127.0.0.1", pair.port))
        pair.agent_port, pair.port = pair.port, self.server.getsockname()[1]
        self.near = None

    def step(self) -> None:
        for sock in (self.server, self.near, self.far):
            if sock is not None:
                sock.setblocking(False)
        try:
            if self.near is None:
                self.near, _ = self.server.accept()
            self.said += (data := self.near.recv(10000))
            self.far.sendall(data)
        except BlockingIOError:
            pass
        try:
            if self.near is not None:
                self.near.sendall(self.far.recv(10000))
        except BlockingIOError:
            pass

    def close(self) -> None:
        for sock in (self.server, self.near, self.far):
            if sock is not None:
                sock.close()


def test_what_was_said_on_a_way_is_worth_nothing_on_the_next_one(pair):
    """Replayed: the number is an old one, and the keys with it."""
    wait_for_listener(pair)
    recorder = Recorder(pair)

    def has_come() -> bool:
        recorder.step()
        return bool(pair.initiator.n_told and pair.agent.n_told and pair.agent.heard)

    pair.initiator.channel.send(Allow([b"x"], [0]))
    pair.run(has_come)
    said, pair.port = recorder.said, pair.agent_port
    recorder.close()
    pair.agent.lasting.lose()
    while pair.agent.lasting._opener is None:
        pair.agent.step()
    for changed in (said, said[:8] + (1).to_bytes(4, "big") + said[12:]):  # another number, but not its keys
        with socket.create_connection(("127.0.0.1", pair.port)) as sock:
            assert talk(pair, sock, changed) == b""
    assert len(pair.agent.heard) == 1 and pair.agent.n_told == 1


def test_stranger_is_told_nothing_and_takes_nothing(pair):
    wait_for_listener(pair)
    with socket.create_connection(("127.0.0.1", pair.port)) as sock:
        assert talk(pair, sock, b"ESCP\1" + bytes(11) + bytes(40)) == b""
    assert not pair.agent.n_told
    pair.run(lambda: pair.agent.n_told and pair.initiator.n_told)


@pytest.mark.parametrize("n", [1, 1 << 40])
def test_peer_that_has_heard_what_it_was_not_told(pair, n):
    pair.cut()
    pair.initiator.channel._unheard.n_taken = n
    with pytest.raises(ProtocolError, match="the initiator has heard what it was not told"):
        pair.run(lambda: False)


def test_peer_that_does_not_say_what_it_has_heard(pair):
    pair.cut()
    tell, channel = pair.initiator.channel.send, pair.initiator.channel
    other = encode(Allow([b"x"], [0]))
    channel.send = lambda message: channel.write(other) if isinstance(message, Heard) else tell(message)
    with pytest.raises(ProtocolError, match="the initiator does not say what it has heard"):
        pair.run(lambda: False)


@pytest.mark.parametrize("at", [0, 9, 60, -1])
def test_changed_byte_costs_one_way_and_no_message(pair, at):
    pair.cut()
    pair.run(lambda: pair.agent.n_told == 1 and pair.initiator.n_told == 1 and pair.initiator.channel.is_told)
    way = pair.initiator.channel._way
    send = way._sock.send

    class Changing:
        def send(self, data):
            changed = bytearray(data)
            changed[at] ^= 1
            return send(bytes(changed))

        def __getattr__(self, name):
            return getattr(sock, name)

    sock, way._sock = way._sock, Changing()
    sent = [Allow([b"%d" % n * 50], [0]) for n in range(3)]
    for message in sent:
        pair.initiator.channel.send(message)
    pair.run(lambda: pair.agent.n_told == 2 and len(pair.agent.heard) == 3)
    assert pair.agent.heard == sent
