"""The tunnel: windows, credit, what a peer may not do with them, and when its loop has something to do."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from escp.constants import MAX_CHUNK_BYTES, TUNNEL_WINDOW_BYTES
from escp.control.messages import Chunk, Credit
from escp.control.tunnel import CREDIT_BYTES, MAX_PENDING_BYTES, Tunnel
from escp.errors import ProtocolError
from escp.lean.eventloop import EventLoop


class Side:
    """A tunnel whose messages are kept until they are delivered."""

    def __init__(self, n_streams=2, limit_bytes_per_s=0):
        self.loop = EventLoop()
        self.sent = []
        self.n_pending = 0
        self.tunnel = Tunnel(
            self.loop, self.sent.append, lambda: self.n_pending, n_streams, limit_bytes_per_s
        )
        for end in self.tunnel.ends:
            end.setblocking(False)

    def turn(self, n=1):
        for _ in range(n):
            self.loop.wait(0)

    def deliver(self, other):
        """To the other side; returns how many messages that were."""
        messages, self.sent[:] = self.sent[:], []
        for message in messages:
            (other.tunnel.take if isinstance(message, Chunk) else other.tunnel.grant)(message)
        return len(messages)

    def read(self, stream, n=1 << 24):
        try:
            return self.tunnel.ends[stream].recv(n)
        except BlockingIOError:
            return b""

    def write(self, stream, data):
        try:
            return self.tunnel.ends[stream].send(data)
        except BlockingIOError:
            return 0

    def close(self):
        self.tunnel.close()
        for end in self.tunnel.ends:
            end.close()
        self.loop.close()


@pytest.fixture
def side():
    one = Side()
    yield one
    one.close()


def test_what_nobody_reads_is_bounded_by_the_window(side):
    """The plane writes on and on, and no credit comes."""
    n = 0
    while side.write(0, b"x" * 100_000):
        side.turn()
    n = sum(len(chunk.data) for chunk in side.sent)
    assert n == TUNNEL_WINDOW_BYTES
    assert max(len(chunk.data) for chunk in side.sent) <= MAX_CHUNK_BYTES


def test_full_stream_does_not_hold_up_another(side):
    while side.write(0, b"x" * 100_000):
        side.turn()
    side.write(1, b"hello")
    side.turn()
    assert side.sent[-1] == Chunk(1, b"hello")


@pytest.mark.parametrize("stream", [2, 255])
def test_stream_that_is_not_there_is_refused(side, stream):
    with pytest.raises(ProtocolError):
        side.tunnel.take(Chunk(stream, b"x"))
    with pytest.raises(ProtocolError):
        side.tunnel.grant(Credit(stream, 1))


def test_more_than_the_window_is_refused(side):
    """The plane does not read: its socket takes some, the rest waits here, and not without end."""
    with pytest.raises(ProtocolError):
        for _ in range(100 * TUNNEL_WINDOW_BYTES // MAX_CHUNK_BYTES):
            side.tunnel.take(Chunk(0, bytes(MAX_CHUNK_BYTES)))


@pytest.mark.parametrize("n", [1, TUNNEL_WINDOW_BYTES, (1 << 63) - 1])
def test_credit_for_what_was_not_sent_is_refused(side, n):
    with pytest.raises(ProtocolError):
        side.tunnel.grant(Credit(0, n))


def test_chunks_for_a_plane_that_has_ended_are_dropped(side):
    side.tunnel.ends[0].close()
    for _ in range(100):
        side.tunnel.take(Chunk(0, bytes(MAX_CHUNK_BYTES)))
        side.turn()
    side.tunnel.take(Chunk(1, b"there"))
    assert side.read(1) == b"there"


def test_ended_stream_does_not_spin(side):
    side.tunnel.ends[0].close()
    side.turn(3)
    assert side.loop._poll.poll(0) == []


def test_nothing_is_read_while_the_channel_is_full(side):
    side.n_pending = MAX_PENDING_BYTES
    side.write(0, b"x" * 1000)
    side.turn(3)
    assert side.sent == [] and side.loop._poll.poll(0) == []
    side.n_pending = 0
    side.tunnel.resume()
    side.turn()
    assert side.sent == [Chunk(0, b"x" * 1000)]


def test_limit_asks_for_a_tick_only_while_it_holds_something_up():
    """Else the caller's loop would not wait at all: `next_tick_s` lies in the past."""
    side = Side(n_streams=1, limit_bytes_per_s=1000)
    try:
        assert side.tunnel.next_tick_s == float("inf")
        side.write(0, b"x" * 500)
        side.turn()
        side.write(0, b"y" * 500)
        side.turn()
        assert [chunk.data for chunk in side.sent] == [b"x" * 500]
        assert side.tunnel.next_tick_s < float("inf")
        side.n_pending = MAX_PENDING_BYTES
        assert side.tunnel.next_tick_s == float("inf")
        side.tunnel._credit[0] = side.n_pending = 0
        assert side.tunnel.next_tick_s == float("inf")
    finally:
        side.close()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 7), st.integers(1, 300_000)), max_size=60))
def test_streams_arrive_whole_whatever_the_order_of_events(steps):
    """Writes, reads, turns and deliveries of two sides in any order: neither lost nor refused nor stuck."""
    sides = Side(), Side()
    written = {(s, i): bytearray() for s in (0, 1) for i in (0, 1)}
    read = {key: bytearray() for key in written}
    try:
        for what, n in steps:
            one, other, stream = sides[what & 1], sides[1 - (what & 1)], n & 1
            if what < 4:
                data = os.urandom(16) * (n // 16 + 1)
                written[what & 1, stream] += data[: one.write(stream, data)]
            elif what < 6:
                one.turn()
                one.deliver(other)
            else:
                read[1 - (what & 1), stream] += one.read(stream, n)
        while True:
            for one in sides:
                one.turn()
            moved = sides[0].deliver(sides[1]) + sides[1].deliver(sides[0])
            for (sender, stream), got in read.items():
                data = sides[1 - sender].read(stream)
                got += data
                moved += len(data)
            if not moved:
                break
        assert read == written
        assert all(owed < CREDIT_BYTES for one in sides for owed in one.tunnel._owed)
    finally:
        for one in sides:
            one.close()
