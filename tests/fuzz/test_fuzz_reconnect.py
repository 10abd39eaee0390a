"""Streams that break while they are told stories: what comes of these is what comes of them without cuts."""

import os
import random
import select
import socket
import time
from contextlib import suppress
from pathlib import Path

import pytest

from escp._fast.planes.plane import FATAL, FINISHED
from escp._fast.wire.payloads import decode_entries, encode_end
from escp.failures import FAST_AUTH, FAST_NET, FAST_PROTOCOL, FAST_UNSAFE
from tests.fuzz.test_fuzz_receiver import SELECTIONS, Story
from tests.fuzz.test_fuzz_sender import N_FILES, answer, plant
from tests.support.loopback import BLOCK, Event, wait_for_events
from tests.support.peers import (
    END,
    ENTRIES,
    LARGE,
    LARGE_END,
    RESULTS,
    SMALL,
    TAKEN,
    Peer,
    Receiver,
    Sender,
    unpack,
)
from tests.support.sanitized import PATIENCE
from tests.support.trees import list_tree

LIMIT_S = 10.0 * PATIENCE
MAX_CUTS = 12  # of one story
NUMBERS = [1 << 20, 1 << 32, (1 << 63) - 1, (1 << 64) - 1]  # more than there is


class Over(Exception):
    """The plane has ended; or it has not, and there is nothing to wait for."""


class Line:
    """What a peer in Python knows of one stream, over all its connections."""

    def __init__(self, peer: Peer, stream: int, dice: random.Random, errs: float):
        self.peer, self.stream, self.dice, self.errs = peer, stream, dice, errs
        self.connection = 0
        self.n_told = 0  # by the plane: frames, or results, that it has taken
        self.n_bad = 0  # changed bytes: the third in a row ends the session
        peer.pairs[stream][0].settimeout(LIMIT_S)

    def is_wrong(self) -> bool:
        return self.dice.random() < self.errs

    def look(self) -> None:
        """Raises Over if the plane has failed."""
        if not self.peer.seen:  # that the descriptor is readable does not mean that there is an event
            self.peer.seen += [Event(*event) for event in self.peer.plane.take_events()]
        self.peer.seen = [event for event in self.peer.seen if event.kind in (FATAL, FINISHED)]
        if any(event.kind == FATAL for event in self.peer.seen):
            raise Over

    def receive(self) -> tuple[bool, bytes]:
        """The next frame. Raises ConnectionError: this connection is broken."""
        end_s = time.monotonic() + LIMIT_S
        while not select.select([self.peer.pairs[self.stream][0]], [], [], 0.02)[0]:
            self.look()
            assert time.monotonic() < end_s, f"nothing comes: {self.peer.plane.counters()}"
        return self.peer.receive_frame(self.stream)

    def is_readable(self) -> bool:
        return bool(select.select([self.peer.pairs[self.stream][0]], [], [], 0)[0])

    def cut(self) -> None:
        """In one of the ways in which a connection ends, or by another one that takes its place."""
        sock = self.peer.pairs[self.stream][0]
        how = self.dice.randrange(4 if self.n_bad < 2 else 2)
        with suppress(OSError):
            if how == 1:  # in the middle of a frame
                sock.send(self.peer.channels[self.stream].seal(False, bytes(40))[: self.dice.randrange(63)])
            elif how == 3:
                self.n_bad += 1
                sock.send(bytes(80))
            if how != 2:
                sock.shutdown(socket.SHUT_RDWR)

    def join(self, n_known: int) -> None:
        """Over another connection: says what of the plane's has come."""
        self.connection += 1 + self.dice.randrange(2)
        self.peer.join_again(connection=self.connection, stream=self.stream)
        self.peer.send_meta(
            TAKEN if not self.is_wrong() else self.dice.randrange(7),
            1,
            encode_end(self.dice.choice(NUMBERS) if self.is_wrong() else n_known, 0),
            stream=self.stream,
        )

    def hear(self) -> int:
        """What the plane has of what was sent. Raises ConnectionError if it breaks at once, too."""
        if self.dice.randrange(8) == 1:
            with suppress(OSError):  # it is over already
                self.peer.pairs[self.stream][0].shutdown(socket.SHUT_RDWR)
            raise ConnectionResetError
        is_data, payload = self.receive()
        assert not is_data and payload[0] == TAKEN and len(payload) == 24, payload[:30]
        n_told = int.from_bytes(payload[8:16], "big")
        assert n_told >= self.n_told, "what was taken is not taken any more"
        self.n_told = n_told
        return n_told

    def go_on(self, n_known: int) -> int:
        """Joins until a connection lasts; what the plane has."""
        while True:
            self.join(n_known)
            try:
                return self.hear()
            except ConnectionError:
                self.look()


class SendingLine(Line):
    """Tells a receiver frames, and keeps its results."""

    def __init__(self, *args):
        super().__init__(*args)
        self.sent: list[tuple[bool, bytes]] = []
        self.results: list[bytes] = []
        self.is_ended = False

    def send(self, is_data: bool, payload: bytes) -> None:
        self.sent.append((is_data, payload))
        self.peer.send(payload, is_data=is_data, stream=self.stream)

    def take(self, is_data: bool, payload: bytes) -> None:
        assert not is_data
        if payload[0] == RESULTS:
            self.results += [payload[at : at + 32] for at in range(8, len(payload), 32)]
        elif payload[0] == END:
            self.is_ended = True
        else:
            assert payload[0] == TAKEN
            self.n_told = int.from_bytes(payload[8:16], "big")
            assert self.n_told <= len(self.sent)

    def again(self) -> None:
        """After a cut: what the receiver lacks. Results that are asked for once more are the same."""
        known = self.results
        n_known = self.dice.choice([len(known), len(known), self.dice.randrange(len(known) + 1)])
        n_taken = self.go_on(n_known)
        assert n_taken <= len(self.sent)
        self.results = known[:n_known]
        for is_data, payload in self.sent[n_taken:]:
            self.peer.send(payload, is_data=is_data, stream=self.stream)
        while len(self.results) < len(known):
            try:
                self.take(*self.receive())
            except ConnectionError:
                self.again()
        assert self.results[: len(known)] == known


def tell_receiver(folder: Path, data: random.Random, cuts: random.Random, n_streams: int = 1, *,
                  n_cuts: int, errs: float = 0.0, **options):  # fmt: skip
    """A story as of test_fuzz_receiver, of *data*, with cuts as *cuts* say: (its end, the results)."""
    story = Story(data, n_streams, has_compression=options.get("has_compression", False), has_roots=False)
    with Sender(folder, n_streams=n_streams, reconnects=True, **options) as peer:
        lines = [SendingLine(peer, stream, cuts, errs) for stream in range(n_streams)]
        with suppress(Over):
            frames = list(story.frames())
            for i, (stream, is_data, payload) in enumerate(frames):
                line = lines[stream]
                line.send(is_data, payload[: BLOCK + 64 if is_data else BLOCK])
                line.look()
                # A true sender has all results before it sends an end: none is lost behind that.
                if n_cuts and i < len(frames) - n_streams and cuts.randrange(3) == 1:
                    n_cuts -= 1
                    line.cut()
                    line.again()
            for line in lines:
                while not line.is_ended:
                    try:
                        line.take(*line.receive())
                    except ConnectionError:
                        line.look()
                        line.again()
        end = wait_for_end(peer)
        return end, sorted(result for line in lines for result in line.results)


def wait_for_end(peer: Peer) -> int:
    """The code that the plane ended with, 0 if well."""
    end_s = time.monotonic() + LIMIT_S
    while True:
        for event in peer.seen:
            if event.kind in (FATAL, FINISHED):
                return event.code if event.kind == FATAL else 0
        left_s = max(0.0, end_s - time.monotonic())
        peer.seen = [event for _, event in wait_for_events([peer.plane], left_s)]


def has_collisions(seed: int, options: dict) -> bool:
    """Whether two files of the story have one id or one name: what comes of them hangs on when writes end."""
    story = Story(random.Random(seed), 1, has_compression=options["has_compression"], has_roots=False)
    frames = [payload for _, is_data, payload in story.frames() if not is_data and payload[:1] == b"\2"]
    entries = []
    for payload in frames:
        with suppress(Exception):  # a story's frame may be anything
            entries += decode_entries(unpack(payload))
    files = [entry for entry in entries if entry["kind"] != LARGE_END]
    paths = {entry["path"] for entry in files}
    is_below = any(one != other and one.startswith(other + b"/") for one in paths for other in paths)
    return is_below or len(paths) < len(files) or len({entry["id"] for entry in files}) < len(files)


def compare_receivers(scratch: Path, seed: int, **options) -> tuple[set[int], bool]:
    """One story with and without cuts, over one stream: how it ended, and whether all is the same."""
    ends = []
    for name, n_cuts in (("whole", 0), ("cut", MAX_CUTS)):
        folder = scratch / f"{name}-{seed}"
        folder.mkdir()
        end, results = tell_receiver(
            folder, random.Random(seed), random.Random(~seed), n_cuts=n_cuts, **options
        )
        ends.append((end, results if end == 0 else [], list_tree(folder) if end == 0 else {}))
    is_same = ends[0] == ends[1]
    assert is_same or has_collisions(seed, options), (seed, ends[0][0], ends[1][0])
    return {ends[0][0], ends[1][0]}, is_same


@pytest.mark.parametrize("first_seed", range(0, 80, 40))
def test_cuts_change_nothing_of_what_a_receiver_does(tmp_path, first_seed):
    ends: set[int] = set()
    n_same = 0
    for seed in range(first_seed, first_seed + 40):
        options = {"has_compression": seed % 2 == 0, **SELECTIONS[seed % len(SELECTIONS)]}
        codes, is_same = compare_receivers(tmp_path, seed, **options)
        ends |= codes
        n_same += is_same
    assert 0 in ends and ends <= {0, FAST_PROTOCOL, FAST_UNSAFE}, ends
    assert n_same >= 32, n_same


class ReceivingLine(Line):
    """Takes a sender's frames, and answers them."""

    def __init__(self, *args):
        super().__init__(*args)
        self.taken: list[tuple[bool, bytes]] = []  # and whatever was lost again, behind n_taken
        self.n_taken = 0
        self.answers: list[bytes] = []
        self.is_ended = False
        self.unwritten: list[dict] = []  # small files whose bundle has not come

    def take(self, is_data: bool, payload: bytes) -> None:
        if not is_data and payload[0] == TAKEN:  # what a sender that waits says of the connection
            return
        if self.n_taken < len(self.taken):
            assert self.taken[self.n_taken] == (is_data, payload), "another frame than before"
        else:
            self.taken.append((is_data, payload))
        self.n_taken += 1
        if is_data:
            self.reply(self.unwritten)
            self.unwritten = []
            return
        if payload[0] == END:
            self.is_ended = True
            return
        assert payload[0] == ENTRIES
        # Not before it has their contents: a sender whose file has its result need not read that again.
        entries = [e for e in decode_entries(unpack(payload)) if e["kind"] != LARGE]
        self.unwritten = [e for e in entries if e["kind"] == SMALL and e["size"]]
        self.reply([e for e in entries if e not in self.unwritten])

    def reply(self, entries: list[dict]) -> None:
        results = [r for e in entries for r in answer(self.dice, e, 0.0)]
        if results:
            self.answers += results
            self.peer.send_results(*results, stream=self.stream)

    def tell(self) -> None:
        n = self.dice.choice(NUMBERS) if self.is_wrong() else self.n_taken
        self.peer.send_meta(TAKEN, 1, encode_end(n, 0), stream=self.stream)
        if self.is_ended:
            self.peer.send_end(stream=self.stream)

    def again(self) -> None:
        """After a cut, with which what is on the way is lost."""
        if self.is_ended:  # a sender that hears of it says nothing more
            return self.join(self.n_taken)
        n_heard = self.go_on(self.n_taken)
        assert n_heard <= len(self.answers)
        if n_heard < len(self.answers):
            self.peer.send_results(*self.answers[n_heard:], stream=self.stream)


def tell_sender(source: Path, dice: random.Random, n_streams: int = 1, *, errs: float = 0.0, **options):
    """A copy whose receiver loses connections: the code of its end, and the sender's counters."""
    n_cuts = MAX_CUTS
    with Receiver((os.fsencode(source), b"t"), n_streams=n_streams, reconnects=True, **options) as peer:
        lines = [ReceivingLine(peer, stream, dice, errs) for stream in range(n_streams)]
        with suppress(Over):
            while True:
                open_lines = [line for line in lines if not line.is_ended]
                if not open_lines:
                    break
                ready = [line for line in open_lines if line.is_readable()]
                if not ready:
                    open_lines[0].look()
                    assert not peer.seen, "the sender has ended, and some of its streams have not"
                    time.sleep(0.001)
                    continue
                line = dice.choice(ready)
                try:
                    line.take(*line.receive())
                    is_cut = n_cuts > 0 and dice.randrange(3) == 1
                    n_cuts -= is_cut
                    if is_cut:
                        line.cut()
                    elif line.is_ended or dice.randrange(4) == 1:
                        line.tell()
                except ConnectionError:
                    line.look()
                    is_cut = True
                if is_cut:
                    line.again()
        return wait_for_end(peer), peer.plane.counters()


@pytest.mark.parametrize("first_seed", range(0, 80, 40))
def test_cuts_change_nothing_of_what_a_sender_does(tmp_path, first_seed):
    source = tmp_path / "tree"
    plant(source)
    for seed in range(first_seed, first_seed + 40):
        selection = {"selection": ["all", "changed"][seed % 2]}
        end, counters = tell_sender(source, random.Random(seed), 1 + seed % 3, **selection)
        assert end == 0, (seed, end)
        assert counters["files"] + counters["skipped"] + counters["failed"] >= N_FILES
        assert counters["failed"] == 0 or seed % 2, (seed, counters)


@pytest.mark.parametrize("first_seed", range(0, 80, 40))
def test_wrong_numbers_of_what_was_taken_are_refused(tmp_path, first_seed):
    source = tmp_path / "tree"
    plant(source)
    ends = set()
    for seed in range(first_seed, first_seed + 40):
        ends.add(tell_sender(source, random.Random(seed), 1 + seed % 2, errs=0.1)[0])
        folder = tmp_path / f"into-{seed}"
        folder.mkdir()
        dice = random.Random(seed)
        ends.add(
            tell_receiver(folder, dice, random.Random(~seed), 1 + seed % 2, n_cuts=MAX_CUTS, errs=0.1)[0]
        )
    assert {0, FAST_PROTOCOL} <= ends <= {0, FAST_PROTOCOL, FAST_UNSAFE, FAST_AUTH, FAST_NET}, ends
