"""Streams whose connections break, at any moment and in any direction: the copy goes on, whole."""

import contextlib
import os
import random
import select
import socket
import struct
import time

import pytest

from escp._fast.crypto.channel import Channel
from escp._fast.crypto.digest import digest_of
from escp._fast.planes.plane import CUT, FATAL, FILE_FAILED, FINISHED, RESUMED
from escp._fast.wire.payloads import decode_entries, encode_end, encode_entry
from escp.failures import FAST_AUTH, FAST_CHANGED, FAST_DIGEST, FAST_NET, FAST_PROTOCOL, FAST_SYS
from tests.support.loopback import BLOCK, LIMIT_S, SECRET, Event, Loopback, connect, use_blocking
from tests.support.peers import END, IS_BUNDLE, SMALL, TAKEN, Receiver, Sender, unpack
from tests.support.trees import list_tree, write_random
from tests.support.waiting import wait_for as wait_until

BOTH = {"sending": {"reconnects": True}, "receiving": {"reconnects": True}}


class Network:
    """Joins the planes of a Loopback, and joins them again when a stream is cut."""

    def __init__(self, loopback: Loopback):
        self.loopback = loopback
        self.n_streams = len(loopback.pairs)
        self.pairs = list(loopback.pairs)
        self.numbers = [0] * self.n_streams
        self.events: list[tuple[bool, Event]] = []
        self.is_down = False

    def cut(self, stream: int, how: str = "far") -> None:
        near, far = self.pairs[stream]
        with contextlib.suppress(OSError):  # it is cut already
            if how == "reset":
                near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                near.shutdown(socket.SHUT_RD)
            (near if how == "near" else far).shutdown(socket.SHUT_RDWR)

    def join(self, stream: int) -> None:
        self.numbers[stream] += 1
        (pair,) = connect(1)
        self.pairs[stream] = pair
        self.loopback.pairs.append(pair)
        for plane, sock, is_sender in zip(
            (self.loopback.sender, self.loopback.receiver), pair, (True, False), strict=True
        ):
            channel = Channel(
                SECRET, stream, is_sender=is_sender, block_bytes=BLOCK, connection=self.numbers[stream]
            )
            plane.attach(use_blocking(sock), channel)

    def run(self, *, at=lambda: None, limit_s: float = LIMIT_S) -> set[bool]:
        """Until both have ended: which of them, by is_sender, did well. *at* is called all the time."""
        planes = {self.loopback.sender: True, self.loopback.receiver: False}
        well: set[bool] = set()
        end_s = time.monotonic() + limit_s
        while planes:
            assert time.monotonic() < end_s, (self.events, [plane.counters() for plane in planes])
            select.select([plane.event_fd for plane in planes], [], [], 0.002)
            at()
            joined: set[int] = set()
            for plane in list(planes):
                for event in (Event(*event) for event in plane.take_events()):
                    self.events.append((planes[plane], event))
                    if event.kind == CUT and not self.is_down and event.offset not in joined:
                        joined.add(event.offset)
                        self.join(event.offset)
                    elif event.kind in (FINISHED, FATAL):
                        if event.kind == FINISHED:
                            well.add(planes[plane])
                        del planes[plane]
                        break
        return well

    def kinds(self) -> list[int]:
        return [event.kind for _, event in self.events]


def fill(source, n_small=300, large=(3 * BLOCK + 5, 40 * BLOCK, 70 * BLOCK + 1)):
    for i in range(n_small):
        folder = source / f"d{i % 7}"
        folder.mkdir(exist_ok=True)
        write_random(folder / f"small-{i}", i * 331 % 120_000, seed=i)
    for i, size in enumerate(large):
        write_random(source / f"large-{i}", size, seed=i)


@pytest.mark.parametrize(
    "options", [{}, {"has_compression": True}, {"is_direct": False}], ids=["plain", "zstd", "cache"]
)
@pytest.mark.parametrize("n_streams", [1, 4])
@pytest.mark.parametrize("how", ["near", "far", "reset"])
def test_cuts_at_random_moments(source, target, how, n_streams, options):
    fill(source)
    seed = random.randrange(1 << 32)
    dice = random.Random(seed)
    print("seed", seed)
    with Loopback(target, n_streams=n_streams, both=options, **BOTH) as loopback:
        network = Network(loopback)
        next_s = [time.monotonic() + 0.01]
        n_left = [25]

        def disturb():
            if n_left[0] and time.monotonic() >= next_s[0]:
                next_s[0] = time.monotonic() + dice.random() * 0.02
                n_left[0] -= 1
                network.cut(dice.randrange(n_streams), how)

        loopback.start()
        loopback.add((os.fsencode(source), b"copy"))
        assert network.run(at=disturb) == {True, False}
        sent, received = loopback.sender.counters(), loopback.receiver.counters()
    assert network.kinds().count(CUT) >= 1
    assert FATAL not in network.kinds()
    assert list_tree(target / "copy") == list_tree(source)
    for name in ("files", "directories", "failed"):
        assert sent[name] == received[name]
    assert sent["failed"] == 0 and sent["files"] == 303


def tell_taken(peer, n: int) -> None:
    peer.send_meta(TAKEN, 1, encode_end(n, 0))


def take_taken(peer) -> int:
    is_data, payload = peer.receive_frame()
    assert not is_data and payload[0] == TAKEN, payload[:8]
    return int.from_bytes(payload[8:16], "big")


def end(peer) -> None:
    peer.send_end()
    peer.wait(FINISHED)


def cut(peer) -> None:
    peer.pairs[0][0].shutdown(socket.SHUT_RDWR)
    assert peer.wait(CUT).code == FAST_NET


def test_receiver_tells_what_it_has_and_repeats_results(target):
    with Sender(target, reconnects=True) as peer:
        peer.send_small(b"one", id=8192)
        assert [one[0] for one in peer.receive_results(1)] == [8192]
        peer.send_entries(encode_entry(kind=SMALL, id=8193, path=b"two", size=4, digest=digest_of(b"evil")))
        wait_until(lambda: peer.plane.counters()["bytes_network"] > 200)
        cut(peer)
        peer.join_again(connection=1)
        assert take_taken(peer) == 3  # the second bundle's entries, too
        tell_taken(peer, 0)
        assert [one[0] for one in peer.receive_results(1)] == [8192]  # once more
        peer.wait(RESUMED)
        peer.send_data(b"evil", flags=IS_BUNDLE)
        assert [one[:2] for one in peer.receive_results(1)] == [(8193, 0)]
        end(peer)
    assert (target / "two").read_bytes() == b"evil"


def test_receiver_after_its_end_says_that_it_has_it(target):
    with Sender(target, reconnects=True) as peer:
        peer.send_small(b"one")
        peer.receive_results(1)
        peer.finish()
        cut(peer)
        peer.join_again(connection=1)
        assert take_taken(peer) == 3
        tell_taken(peer, 1)
        peer.wait(RESUMED)


def test_first_connection_of_a_receiver_is_the_senders_second(target):
    """The answer to the first one's hello was lost: only the sender has had it."""
    with Sender(target, reconnects=True, connection=1) as peer:
        assert take_taken(peer) == 0
        tell_taken(peer, 0)
        peer.send_small(b"one")
        assert [one[:2] for one in peer.receive_results(1)] == [(1, 0)]
        end(peer)


def test_first_connection_of_a_sender_is_the_receivers_second(source):
    write_random(source / "one", 1000)
    with Receiver((os.fsencode(source / "one"), b"one"), reconnects=True, connection=3) as peer:
        assert take_taken(peer) == 0
        tell_taken(peer, 0)
        (entry,) = peer.receive_entries()
        peer.receive_frame()
        peer.send_result(entry["id"], digest=entry["digest"])
        assert peer.receive_frame()[1][0] == END
        tell_taken(peer, 3)
        peer.wait(FINISHED)


@pytest.mark.parametrize("side", ["sender", "receiver"])
def test_first_connection_that_breaks_in_its_greeting(source, target, side):
    write_random(source / "one", 1000)
    kind, where = (
        (Sender, (target,)) if side == "sender" else (Receiver, ((os.fsencode(source / "one"), b"one"),))
    )
    with kind(*where, reconnects=True, connection=1) as peer:
        assert take_taken(peer) == 0
        cut(peer)
        peer.join_again(connection=2)
        assert take_taken(peer) == 0
        tell_taken(peer, 0)
        peer.wait(RESUMED)


@pytest.mark.parametrize("n", [2, 1 << 63])
def test_sender_that_has_results_which_were_not_sent(target, n):
    with Sender(target, reconnects=True) as peer:
        peer.send_small(b"one")
        peer.receive_results(1)
        cut(peer)
        peer.join_again(connection=1)
        tell_taken(peer, n)
        assert peer.wait(FATAL).code == FAST_PROTOCOL


def test_sender_that_begins_with_something_else(target):
    """What comes first must be TAKEN: else it may be anybody who replays an old hello."""
    with Sender(target, reconnects=True) as peer:
        peer.send_small(b"one")
        peer.receive_results(1)
        cut(peer)
        peer.join_again(connection=1)
        peer.send_small(b"two", id=2)
        assert peer.wait(CUT).code == FAST_AUTH
        assert not (target / "two").exists()


@pytest.mark.parametrize("n", [[5], [2, 1]])
def test_receiver_that_has_what_was_not_sent_or_less_than_before(source, n):
    write_random(source / "one", 1000)
    with Receiver((os.fsencode(source / "one"), b"one"), reconnects=True) as peer:
        for _ in range(2):
            peer.receive_frame()
        for one in n:
            tell_taken(peer, one)
        assert peer.wait(FATAL).code == FAST_PROTOCOL


def test_sender_sends_again_what_was_not_taken(source):
    data = os.urandom(2 * BLOCK)
    (source / "one").write_bytes(data)
    with Receiver((os.fsencode(source / "one"), b"one"), reconnects=True) as peer:
        frames = [peer.receive_frame() for _ in range(4)]  # LARGE, two blocks, LARGE_END
        tell_taken(peer, 1)
        cut(peer)
        peer.join_again(connection=1)
        assert take_taken(peer) == 0
        tell_taken(peer, 1)
        peer.wait(RESUMED)
        assert [peer.receive_frame() for _ in range(3)] == frames[1:]


def receive_small(peer, n: int) -> tuple[list[tuple[bool, bytes]], list[dict]]:
    """The frames with the next *n* small files, and their entries."""
    frames, entries = [], []
    while len(entries) < n or not frames[-1][0]:  # the last one is their bundle
        frames.append(peer.receive_frame())
        if not frames[-1][0]:
            entries += decode_entries(unpack(frames[-1][1]))
    return frames, entries


@pytest.mark.parametrize("n_taken", [0, 1])
def test_bundle_is_read_again(source, n_taken):
    """Of a bundle that was not taken nothing is kept but which files it holds."""
    for i in range(20):
        (source / f"{i:02}").write_bytes(os.urandom(100 + i * 100))
    with Receiver((os.fsencode(source), b""), reconnects=True) as peer:
        frames, _ = receive_small(peer, 20)
        cut(peer)
        peer.join_again(connection=1)
        take_taken(peer)
        tell_taken(peer, n_taken)
        assert [peer.receive_frame() for _ in frames[n_taken:]] == frames[n_taken:]


@pytest.mark.parametrize("how", ["rewritten", "shorter", "removed", "replaced"])
def test_small_file_that_changed_before_it_was_sent_again_is_told(source, target, how):
    """Once, with the name; the others of its bundle go on."""
    for name in ("a", "b", "c"):
        (source / name).write_bytes(os.urandom(1000))
    with Receiver((os.fsencode(source), b""), reconnects=True) as peer:
        frames, files = receive_small(peer, 3)
        cut(peer)
        if how == "rewritten":
            (source / "b").write_bytes(os.urandom(1000))
        elif how == "shorter":
            os.truncate(source / "b", 10)
        else:
            (source / "b").unlink()
        if how == "replaced":
            (source / "b").symlink_to("a")
        peer.join_again(connection=1)
        take_taken(peer)
        tell_taken(peer, 0)
        again = [peer.receive_frame() for _ in frames]
        assert [len(one[1]) for one in again] == [len(one[1]) for one in frames]
        assert [one for one in again if not one[0]] == [one for one in frames if not one[0]]
        assert again != frames
        told = peer.wait(FILE_FAILED)
        assert told.path == os.fsencode(source / "b") and told.code in (FAST_CHANGED, FAST_SYS)
        for one in files:
            is_bad = one["path"] == b"b"
            peer.send_result(one["id"], code=FAST_DIGEST if is_bad else 0, digest=one["digest"])
        (directory,) = peer.receive_entries()
        peer.send_result(directory["id"])
        peer.receive_frame()  # its END
        peer.send_end()
        kinds = [RESUMED]
        while kinds[-1] == RESUMED:
            kinds.append(peer.wait_for_any().kind)
        assert kinds[-1] == FINISHED  # it has been told once
        assert peer.plane.counters()["files"] == 2


@pytest.mark.parametrize("is_small", [True, False])
def test_change_that_no_digest_would_find_ends_the_copy(source, is_small):
    (source / "a").write_bytes(bytes(1000 if is_small else 2 * BLOCK))
    with Receiver((os.fsencode(source), b""), reconnects=True, has_checksum=False) as peer:
        for _ in range(2):
            peer.receive_frame()
        cut(peer)
        os.truncate(source / "a", 10)
        peer.join_again(connection=1)
        take_taken(peer)
        tell_taken(peer, 0)
        assert peer.wait(FATAL).code == FAST_CHANGED


def test_block_that_changed_before_it_was_sent_again_is_found(source, target):
    """It is in no digest then but that of the file, which fails."""
    path = source / "one"
    path.write_bytes(bytes(2 * BLOCK))
    with Receiver((os.fsencode(path), b"one"), reconnects=True) as peer:
        frames = [peer.receive_frame() for _ in range(4)]
        cut(peer)
        path.write_bytes(b"x" * 2 * BLOCK)
        peer.join_again(connection=1)
        take_taken(peer)
        tell_taken(peer, 0)
        again = [peer.receive_frame() for _ in range(4)]
        assert again[0] == frames[0] and again[3] == frames[3]  # with the digest of what was read first
        assert again[1] != frames[1]


def test_cut_is_never_taken_back_by_what_came_before_it(source):
    """One thread reads that a stream goes on, another finds that it does not: the latter must be believed."""
    (source / "one").write_bytes(bytes(64 * BLOCK))
    with Receiver((os.fsencode(source / "one"), b"one"), reconnects=True) as peer:
        peer.receive_frame()
        cut(peer)
        for number in range(1, 150):
            peer.join_again(connection=number)
            take_taken(peer)
            tell_taken(peer, 0)
            near, _ = peer.pairs[0]
            near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            near.close()
            kinds = []
            end_s = time.monotonic() + 10
            while CUT not in kinds or time.monotonic() < end_s - 9.99:
                assert time.monotonic() < end_s, kinds
                kinds += [event[0] for event in peer.plane.take_events()]
            assert kinds[-1] == CUT, (number, kinds)


@pytest.mark.parametrize("side", ["sender", "receiver"])
def test_stream_with_one_connection_has_no_such_message(source, target, side):
    write_random(source / "one", 1000)
    with Sender(target) if side == "sender" else Receiver((os.fsencode(source / "one"), b"one")) as peer:
        tell_taken(peer, 0)
        assert peer.wait(FATAL).code == FAST_PROTOCOL


def test_results_in_plenty_come_again(target):
    """As many as a sender may have under way."""
    n = 8192
    with Sender(target, reconnects=True) as peer:
        for i in range(n // 1024):
            peer.send_entries(
                *(encode_entry(kind=SMALL, id=1 + i * 1024 + k, path=b"%d" % k, size=0, digest=digest_of(b""))
                  for k in range(1024))
            )  # fmt: skip
            peer.receive_results(1024)
        cut(peer)
        peer.join_again(connection=1)
        assert take_taken(peer) == n // 1024
        tell_taken(peer, 0)
        assert sorted(one[0] for one in peer.receive_results(n)) == list(range(1, n + 1))
        end(peer)
