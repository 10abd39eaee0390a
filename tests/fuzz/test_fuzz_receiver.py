"""A receiver fed with properly sealed nonsense: it refuses, or writes below its directory, and no more."""

import os
import random
import socket
import time
from contextlib import suppress

import pytest
import zstandard

from escp._fast.crypto.digest import digest_of
from escp._fast.planes.plane import FATAL, FINISHED
from escp._fast.wire.payloads import encode_data_header, encode_end, encode_entry, encode_meta
from escp.failures import FAST_PROTOCOL, FAST_UNSAFE
from tests.support.loopback import BLOCK, Event, wait_for_events
from tests.support.peers import Sender
from tests.support.sanitized import PATIENCE

LIMIT_S = 20.0 * PATIENCE  # for each case: milliseconds, unless it hangs
NAMES = [
    b"a",
    b"b",
    b"d/a",
    b"d/e/f",
    b"d",
    b"",
    b"..",
    b"../outside/victim",
    b"/tmp/x",
    b"link/x",
    b"a\0",
    b"n" * 300,
]
SELECTIONS = [{"selection": "newer"}, {"selection": "changed"}]
SELECTIONS += [{"selection": "changed", "compares_digests": True}] * 4 + [{"selection": "all"}]
NUMBERS = [0, 1, 2, 4, 7, 72, 127, 4096, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 1 << 32, 1 << 62]
NUMBERS += [(1 << 63) - 1, 1 << 63, (1 << 64) - 1]


class Story:
    """A sequence of payloads that makes sense more often than not."""

    def __init__(self, dice: random.Random, n_streams: int, *, has_compression: bool, has_roots: bool):
        self.random = dice
        self.errs = self.random.choice([0.0, 0.003, 0.01, 0.03])  # how often each number or payload is wrong
        self.has_compression = has_compression
        self.has_roots = has_roots
        self.n_entries = [0] * n_streams
        self.n_bytes = [0] * n_streams
        self.stream = 0

    def frames(self):
        """(stream, is_data, payload) of some frames; the first mistake ends the session."""
        kinds = [self.bundle, self.bundle, self.large, self.large, self.directory, self.begun, self.questions]
        kinds += [self.noise] + [self.absent] * self.has_roots
        for _ in range(self.random.randrange(1, 20)):
            self.stream = self.random.randrange(len(self.n_bytes))
            for is_data, payload in self.random.choice(kinds)():
                yield self.stream, is_data, payload
        for stream, n_bytes in enumerate(self.n_bytes):
            totals = encode_end(self.number(n_bytes), self.n_entries[stream])
            yield stream, False, self.mutate(encode_meta(4, 1, totals))

    def is_wrong(self) -> bool:
        return self.random.random() < self.errs

    def number(self, usual: int) -> int:
        return self.random.choice(NUMBERS) if self.is_wrong() else usual

    def name(self) -> bytes:
        return self.random.choice(NAMES if self.is_wrong() else NAMES[:5])

    def entry(self, kind: int, size: int, id: int | None = None, **fields) -> bytes:
        self.n_entries[self.stream] += 1
        id = self.random.randrange(1, 6) if id is None else id
        return encode_entry(
            kind=self.number(kind) & 0xFF, id=self.number(id), path=self.name(),
            size=self.number(size), mode=self.number(0o644) & 0xFFFF, **fields
        )  # fmt: skip

    def meta(self, entries: list[bytes]) -> tuple[bool, bytes]:
        body = b"".join(entries)
        count = self.number(len(entries)) & 0xFFFF
        if self.random.random() < 0.3:
            raw_bytes = self.number(len(body)) & 0xFFFFFFFF
            return False, self.mutate(encode_meta(2, count, zstandard.compress(body), 1, raw_bytes))
        return False, self.mutate(encode_meta(2, count, body))

    def bundle(self):
        contents = [
            self.random.randbytes(self.random.choice([0, 0, 1, 100, 5000]))
            for _ in range(self.random.randrange(4))
        ]
        yield self.meta([self.entry(1, len(data), digest=digest_of(data)) for data in contents])
        data = b"".join(contents)
        if data:
            yield self.data(0, 0, data, 1)

    def large(self):
        id = self.random.randrange(1, 6)
        size = self.random.choice([1, 1000, BLOCK, BLOCK + 5, 2 * BLOCK])
        contents = self.random.randbytes(size)
        yield self.meta([self.entry(2, size, id)])
        blocks = list(range(0, size, BLOCK))
        self.random.shuffle(blocks)
        for offset in blocks:
            yield self.data(id, self.number(offset), contents[offset : offset + BLOCK], 0)
        yield self.meta([self.entry(3, size, id, digest=digest_of(contents))])

    def data(self, id: int, offset: int, data: bytes, flags: int) -> tuple[bool, bytes]:
        self.n_bytes[self.stream] += len(data)
        header = encode_data_header(id, offset, self.number(len(data)) & 0xFFFFFFFF, flags)
        if (self.has_compression and self.random.random() < 0.5) or self.is_wrong():
            header = encode_data_header(id, offset, len(data), flags | 2)
            data = zstandard.compress(data)
        return True, self.mutate(header + data)[: BLOCK + 64]

    def directory(self):
        yield self.meta([self.entry(4, 0)])

    def begun(self):
        yield self.meta([self.entry(10, 0, 0) for _ in range(self.random.randrange(1, 3))])

    def questions(self):
        n = self.random.randrange(1, 5)
        yield self.meta([self.entry(8, self.random.choice([0, 1, 100]), mtime_ns=7) for _ in range(n)])

    def absent(self):
        yield self.meta([self.entry(9, 0)])

    def noise(self):
        if self.is_wrong():
            yield self.random.random() < 0.5, self.random.randbytes(self.random.randrange(200))

    def mutate(self, payload: bytes) -> bytes:
        if not (payload and self.is_wrong()):
            return payload
        data = bytearray(payload)
        at = self.random.randrange(min(len(data), 120))
        data[at : at + self.random.randrange(3)] = self.random.randbytes(self.random.randrange(3))
        return bytes(data)


def tell(folder, dice: random.Random, n_streams: int, *, has_compression: bool, **options) -> str:
    """One story; returns how it ended."""
    has_roots = dice.random() < 0.25
    story = Story(dice, n_streams, has_compression=has_compression, has_roots=has_roots)
    with Sender(
        folder, n_streams=n_streams, has_compression=has_compression, has_roots=has_roots, **options
    ) as sender:
        for name in NAMES[:5] * (10 * has_roots):
            sender.plane.allow(name, name == b"d")
        for stream, is_data, payload in story.frames():
            sender.send(payload[: BLOCK + 64 if is_data else BLOCK], is_data=is_data, stream=stream)
        for near, _ in sender.pairs:
            with suppress(OSError):  # refused already
                near.shutdown(socket.SHUT_WR)  # what has not ended by then fails
        end_s = time.monotonic() + LIMIT_S
        while True:
            sender.seen = sender.seen or [
                event for _, event in wait_for_events([sender.plane], max(0.0, end_s - time.monotonic()))
            ]
            while sender.seen:
                event = sender.seen.pop(0)
                assert isinstance(event, Event)
                if event.kind == FATAL:
                    return {FAST_PROTOCOL: "protocol", FAST_UNSAFE: "unsafe"}.get(event.code, "network")
                if event.kind == FINISHED:
                    return "finished"


@pytest.mark.parametrize("engine", ["posix", "dummy"])
@pytest.mark.parametrize("first_seed", range(0, 5000, 1000))
def test_sealed_nonsense_neither_crashes_nor_leads_out(tmp_path, engine, first_seed):
    folder = tmp_path / "destination"
    folder.mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "victim").write_bytes(b"precious")
    os.symlink("../outside", folder / "link")
    ends = {}
    for seed in range(first_seed, first_seed + 400):
        options = {"engine": engine, "has_compression": seed % 2 == 0, **SELECTIONS[seed % len(SELECTIONS)]}
        end = tell(folder, random.Random(seed), 1 + seed % 3, **options)
        ends[end] = ends.get(end, 0) + 1
    assert (tmp_path / "outside" / "victim").read_bytes() == b"precious"
    assert os.listdir(tmp_path / "outside") == ["victim"]
    assert sorted(os.listdir(tmp_path)) == ["destination", "outside"]
    found = [name for _, _, names in os.walk(folder) for name in names]
    assert not [name for name in found if name.startswith(".escp-")]
    assert set(found) <= {"a", "b", "f", "d"} and len(ends) > 1, ends
