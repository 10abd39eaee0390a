"""The listening end and the connecting end, driven by a clock of the test's: timeouts, crowds, retries."""

import contextlib
import errno
import os
import socket
import time
from collections.abc import Callable

import pytest

from escp.constants import HELLO_TIMEOUT_S, MAX_UNPROVEN
from escp.errors import NetworkError
from escp.lean.eventloop import EventLoop
from escp.streams import listener
from escp.streams.connector import Connector
from escp.streams.listener import Acceptor, listen
from escp.streams.streams import HELLO_FRAME_BYTES, MAGIC, PREAMBLE, Streams
from tests.support.ports import N_CLAIMED, Ports

SECRET = bytes(range(32))


class Ends:
    """Both ends of a session's streams in one process, each with its own loop, on one clock."""

    def __init__(self, n_streams: int = 4, *, their_secret: bytes = SECRET, their_block: int = 1 << 20):
        self.loop = EventLoop()
        self.now = 0.0
        self.receiver = Streams(
            SECRET, n_streams=n_streams, block_bytes=1 << 20, is_sender=False, backend="openssl"
        )
        self.sender = Streams(their_secret, n_streams=n_streams, block_bytes=their_block, is_sender=True,
                              backend="openssl")  # fmt: skip
        self._ports = Ports()
        self.listener = listen("127.0.0.1", self._ports.first, N_CLAIMED)
        self.address = self.listener.getsockname()
        self.acceptor = Acceptor(self.listener, self.receiver, self.loop.watch, self.loop.unwatch, self.now)
        self.connector: Connector | None = None
        self.strangers: list[socket.socket] = []

    def connect(self, addresses=None) -> None:
        self.connector = Connector(
            addresses or [self.address], self.sender, self.loop.watch, self.loop.unwatch, self.now
        )

    def run(self, seconds: float = 0.0, *, n_turns: int = 30) -> None:
        self.now += seconds
        self.acceptor.tick(self.now)
        if self.connector is not None:
            self.connector.tick(self.now)
        for _ in range(n_turns):
            self.loop.wait(0.002)

    def run_until(self, condition: Callable[[], bool]) -> bool:
        """Whether it comes true by what arrives; the clock stands still. The kernel may take a moment."""
        end_s = time.monotonic() + 10
        while not condition() and time.monotonic() < end_s:
            self.loop.wait(0.002)
        return condition()

    def closes(self, sock: socket.socket) -> bool:
        """Whether the other end closes it."""
        return self.run_until(lambda: is_closed(sock))

    def invade(self, data: bytes = b"", *, source: str = "127.0.0.1") -> socket.socket:
        sock = socket.create_connection(self.address, source_address=(source, 0))
        sock.setblocking(False)
        sock.sendall(data)
        self.strangers.append(sock)
        self.run(n_turns=3)
        return sock

    def close(self) -> None:
        self.acceptor.close()
        if self.connector is not None:
            self.connector.close()
        for streams in (self.sender, self.receiver):
            streams.close()
        for sock in self.strangers:
            sock.close()
        self.loop.close()
        self._ports.close()


@pytest.fixture
def ends():
    ends = Ends()
    yield ends
    ends.close()


def is_closed(sock: socket.socket) -> bool:
    try:
        return sock.recv(1000) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def make_hello(ends, stream: int, *, connection: int = 0) -> bytes:
    channel = ends.sender.make_channel(stream, connection)
    return PREAMBLE.pack(MAGIC, 1, 0, stream, connection, 0) + ends.sender.hello(channel)


@pytest.mark.parametrize("n_streams", [1, 4, 64])
def test_all_streams_prove_themselves(n_streams):
    ends = Ends(n_streams)
    with contextlib.closing(ends):
        ends.connect()
        assert ends.run_until(lambda: ends.receiver.is_complete and ends.sender.is_complete)
        assert set(ends.receiver.proven) == set(range(n_streams))
        for stream, (sock, _) in ends.receiver.proven.items():  # each is its own counterpart's
            assert sock.getpeername() == ends.sender.proven[stream][0].getsockname()


@pytest.mark.parametrize("settings", [{"their_secret": bytes(32)}, {"their_block": 1 << 21}])
def test_other_secret_or_block_size_proves_nothing(settings):
    ends = Ends(**settings)
    with contextlib.closing(ends):
        ends.connect()
        for _ in range(4):
            ends.run(0.3)
        assert not ends.receiver.proven and not ends.sender.proven
        assert ends.connector.reason


def test_silent_stranger_is_dropped_after_a_while(ends):
    silent, half = ends.invade(), ends.invade(make_hello(ends, 0)[:40])
    ends.run(HELLO_TIMEOUT_S - 0.1)
    assert not is_closed(silent) and not is_closed(half)
    ends.run(0.2)
    assert ends.closes(silent) and ends.closes(half)


@pytest.mark.parametrize("data", [b"G", b"ESCQ", b"ESCP" + bytes(52)])
def test_wrong_start_is_dropped_at_once(ends, data):
    assert ends.closes(ends.invade(data))


@pytest.mark.parametrize("place", range(PREAMBLE.size + HELLO_FRAME_BYTES))
def test_each_byte_of_the_hello_counts(ends, place):
    hello = bytearray(make_hello(ends, 0))
    hello[place] ^= 1
    stranger = ends.invade(bytes(hello))
    assert ends.closes(stranger)
    assert not ends.receiver.proven


def test_hello_in_single_bytes_is_accepted(ends):
    hello = make_hello(ends, 2)
    sock = ends.invade(hello[:1])
    for byte in hello[1:]:
        sock.sendall(bytes([byte]))
        ends.run(n_turns=1)
    assert ends.run_until(lambda: 2 in ends.receiver.proven)
    assert set(ends.receiver.proven) == {2}
    sock.settimeout(10)
    assert len(sock.recv(HELLO_FRAME_BYTES, socket.MSG_WAITALL)) == HELLO_FRAME_BYTES


def test_hello_of_a_proven_stream_is_refused(ends):
    first = ends.invade(make_hello(ends, 1))
    assert ends.run_until(lambda: 1 in ends.receiver.proven)
    second = ends.invade(make_hello(ends, 1))
    assert ends.closes(second) and not is_closed(first)
    assert ends.receiver.proven[1][0].getpeername() == first.getsockname()


def test_hello_with_data_behind_it_leaves_the_data_for_the_plane(ends):
    sock = ends.invade(make_hello(ends, 0) + b"behind")
    assert ends.run_until(lambda: 0 in ends.receiver.proven) and not is_closed(sock)
    assert ends.receiver.proven[0][0].recv(100) == b"behind"


def test_crowd_of_strangers_is_bounded_and_true_streams_get_in(ends):
    for _ in range(MAX_UNPROVEN + 100):
        ends.invade()
    assert ends.run_until(lambda: sum(not is_closed(sock) for sock in ends.strangers) <= MAX_UNPROVEN + 4)
    ends.connect()
    ends.run(n_turns=100)
    for _ in range(8):
        ends.run(0.3)
    assert ends.receiver.is_complete and ends.sender.is_complete


@pytest.mark.parametrize("source", ["127.0.0.1", "127.0.0.2"])
def test_true_stream_whose_hello_is_late_is_not_thrown_out(ends, source):
    """Its packet was lost. From elsewhere any number may come meanwhile, from its own host a few hundred."""
    hello = make_hello(ends, 0)
    late = ends.invade()
    for _ in range(100 if source == "127.0.0.1" else MAX_UNPROVEN + 50):
        ends.invade(source=source)
    late.sendall(hello)
    assert ends.run_until(lambda: 0 in ends.receiver.proven) and not is_closed(late)


def test_crowd_of_many_places_throws_out_the_oldest_not_the_true_ones(ends):
    """The true streams come from one place, which has more of them than each stranger's has."""
    ends.acceptor._max_unproven = 20
    first = [ends.invade(source=f"127.0.1.{number}") for number in range(1, 10)]
    true = [ends.invade() for _ in range(4)]
    for number in range(20):
        ends.invade(source=f"127.0.2.{number + 1}")
    assert all(ends.closes(sock) for sock in first) and not any(is_closed(sock) for sock in true)
    for stream, sock in enumerate(true):
        sock.sendall(make_hello(ends, stream))
    assert ends.run_until(lambda: ends.receiver.is_complete)


def test_strangers_leave_most_of_the_open_files_alone(monkeypatch):
    monkeypatch.setattr(listener.os, "sysconf", lambda name: 64)
    with contextlib.closing(Ends(1)) as ends:
        for _ in range(40):
            ends.invade()
        assert ends.run_until(lambda: sum(not is_closed(sock) for sock in ends.strangers) == 17)


def test_no_more_open_files_costs_the_crowd_a_place(ends, monkeypatch):
    true = ends.invade()
    strangers = [ends.invade(source="127.0.0.2") for _ in range(5)]
    really = listener.sockets.accept
    n_failures = iter([True])

    def accept(sock):
        if next(n_failures, False):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return really(sock)

    monkeypatch.setattr(listener.sockets, "accept", accept)
    ends.invade(source="127.0.0.2")
    assert ends.closes(strangers[0]) and not is_closed(true) and not is_closed(strangers[1])


def test_strangers_take_nothing_from_a_copy_that_runs(ends, monkeypatch):
    """A few are let in; and when nothing more can be opened the port is closed, and the copy goes on."""
    ends.acceptor.close()
    again = listen("127.0.0.1", ends.address[1], 1)
    ends.acceptor = Acceptor(again, ends.receiver, ends.loop.watch, ends.loop.unwatch, 0.0, is_again=True)
    for _ in range(40):
        ends.invade()
    assert ends.run_until(lambda: sum(not is_closed(sock) for sock in ends.strangers) == 4 + 4)
    ends.run(HELLO_TIMEOUT_S + 1)
    assert all(ends.closes(sock) for sock in ends.strangers) and not ends.acceptor.is_closed

    def accept(_):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(listener.sockets, "accept", accept)
    ends.invade()
    assert ends.acceptor.is_closed


def test_port_is_closed_as_soon_as_all_streams_are_there(ends):
    stranger = ends.invade()
    for stream in range(4):
        ends.invade(make_hello(ends, stream))
    assert ends.run_until(lambda: ends.receiver.is_complete)
    assert ends.closes(stranger)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(ends.address)


def test_nothing_is_left_open_after_close(ends):
    ends.invade()
    ends.invade(make_hello(ends, 0)[:20])
    ends.acceptor.close()
    assert all(ends.closes(sock) for sock in ends.strangers)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(ends.address)


def test_next_address_is_tried_when_the_first_refuses(ends):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        ends.connect([nobody.getsockname(), ends.address])
        ends.run()
        assert ends.connector.reason == "connection refused"
        for _ in range(4):
            ends.run(0.3)
    assert ends.sender.is_complete


def test_silent_address_is_left_for_another_that_comes_later(ends):
    silent = socket.create_server(("127.0.0.1", 0), backlog=10)
    ends.strangers.append(silent)
    ends.connect([silent.getsockname()])
    ends.run()
    ends.connector.add_addresses([ends.address])
    ends.run(1.0)
    assert not ends.sender.proven
    for _ in range(8):
        ends.run(0.5)
    assert ends.sender.is_complete


def test_wakes_up_when_something_is_due(ends):
    ends.connect([ends.address, ("127.0.0.2", ends.address[1])])
    assert ends.connector.next_tick_s <= ends.now + Connector.ATTEMPT_S
    assert ends.run_until(lambda: ends.sender.is_complete)
    assert ends.connector.next_tick_s == float("inf")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", ""])
def test_port_range(address):
    with contextlib.suppress(NetworkError), contextlib.closing(Ports()) as ports:
        port = ports.first
        first = listen(address, port, 2)
        assert first.getsockname()[1] == port
        second = listen(address, port, 2)
        assert second.getsockname()[1] == port + 1
        with pytest.raises(NetworkError, match=f"{port}-{port + 1}"):
            listen(address, port, 2)
        first.close()
        second.close()


def test_address_that_is_not_here_is_an_error():
    with pytest.raises(NetworkError, match=r"192\.0\.2\.1"):
        listen("192.0.2.1", 20000, 3)


def test_connection_that_was_there_is_no_next_one(ends):
    """Who has seen a hello can send it again. A number above the last one shows that the peer made it."""
    ends.receiver.may_reconnect = ends.sender.may_reconnect = True
    first = ends.invade(make_hello(ends, 1, connection=2))
    assert ends.run_until(lambda: 1 in ends.receiver.proven)
    for number in (2, 1, 0):
        assert ends.closes(ends.invade(make_hello(ends, 1, connection=number)))
    assert not is_closed(first)
    ends.receiver.cut.add(1)  # or the listener would close with the last one
    newer = ends.invade(make_hello(ends, 1, connection=3))
    assert ends.closes(first)
    assert ends.receiver.proven[1][0].getpeername() == newer.getsockname()


@pytest.mark.parametrize("number", [65536, (1 << 32) - 1])
def test_connection_whose_keys_would_be_another_ones(ends, number):
    ends.receiver.may_reconnect = True
    hello = make_hello(ends, 1)
    assert ends.closes(ends.invade(hello[:8] + number.to_bytes(4, "big") + hello[12:]))


def test_two_connections_prove_one_stream_and_the_first_stays(ends):
    """Both had said which stream they are before either had proven it."""
    hello = make_hello(ends, 1)
    first, second = ends.invade(hello[:20]), ends.invade(hello[:20])
    first.sendall(hello[20:])
    assert ends.run_until(lambda: 1 in ends.receiver.proven)
    second.sendall(hello[20:])
    assert ends.closes(second) and not is_closed(first)
    assert ends.receiver.proven[1][0].getpeername() == first.getsockname()
