"""Two streams at once against one receiver: the same few files on both, announced, filled, ended, abandoned.

Frames go out stream by stream without waiting, so that both threads of the receiver are at work on them.
"""

import socket
import time
from contextlib import suppress
from pathlib import Path

from escp._fast.crypto.digest import digest_of
from escp._fast.planes.plane import FATAL, FINISHED
from escp._fast.wire.payloads import encode_entry, encode_extra, encode_xattr
from escp.failures import FAST_NET, FAST_PROTOCOL, FAST_UNSAFE
from tests.fuzz.arena import Arena
from tests.fuzz.choices import Choices
from tests.support.loopback import BLOCK, wait_for_events
from tests.support.peers import (
    ASKS_PART,
    BEGUN,
    DEVICE,
    DIRECTORY,
    HARD_LINK,
    IS_ABANDONED,
    LINK,
    QUERY,
    Sender,
)
from tests.support.sanitized import PATIENCE

ARENA = Arena()
LIMIT_S = 20.0 * PATIENCE
NAMES = [b"a", b"b", b"d/a", b"d/e/f", b"d", b"link", b"link/x", b"new/x", b""]
TARGETS = [b"a", b"../outside/victim", b"../outside", b"/etc/passwd", b"d", b"link/victim", b"."]
CONTENTS = {size: bytes(range(251)) * (size // 251 + 1) for size in (BLOCK + 5, 2 * BLOCK, 3 * BLOCK)}
SIZES = list(CONTENTS)
JOB, SOURCE = b"a job of 16 byte", encode_extra(6, bytes(20))
FLAGS = [
    "keeps_links",
    "keeps_hard_links",
    "keeps_attributes",
    "keeps_xattrs",
    "is_sparse",
    "has_compression",
]


def test_one(data: bytes) -> None:
    story = Choices(data)
    switches, parts = story.randrange(256), story.randrange(4)
    options = {name: bool(switches >> i & 1) for i, name in enumerate(FLAGS)}
    options["has_tmpfile"] = not switches & 64
    options["has_openat2"] = not switches & 128
    if parts:
        options |= {"partial_min": 1, "job": JOB, "resumes": parts > 1, "trusts_parts": parts == 3}
    with ARENA as folder:
        if parts > 1:
            leave_parts(folder, story, options)
        tell(folder, story, options)


def leave_parts(folder: Path, story: Choices, options: dict) -> None:
    """Of an earlier session, to be gone on with."""
    with Sender(folder, n_streams=2, **options) as sender:
        for id in (1, 2, 3):
            size = SIZES[id % len(SIZES)]
            sender.send_large(NAMES[id], size, id=id, extras=SOURCE)
            for offset in range(0, size, BLOCK):
                if story.randrange(2):
                    sender.send_data(CONTENTS[size][:size][offset : offset + BLOCK], id=id, offset=offset)
        for near, _ in sender.pairs:
            near.shutdown(socket.SHUT_WR)
        wait_for_end(sender)


def tell(folder: Path, story: Choices, options: dict) -> None:
    with Sender(folder, n_streams=2, **options) as sender:
        while not story.is_over and not sender.seen:
            say_something(sender, story, has_parts="job" in options)
        for stream in (0, 1):
            if not sender.seen:
                sender.send_end(stream=stream)
            with suppress(OSError):  # refused already
                sender.pairs[stream][0].shutdown(socket.SHUT_WR)
        end = wait_for_end(sender)
        assert end is None or end in (FAST_PROTOCOL, FAST_UNSAFE, FAST_NET), end


def wait_for_end(sender: Sender) -> int | None:
    """The code that the receiver ended with, None if it finished well."""
    end_s = time.monotonic() + LIMIT_S
    while True:
        while sender.seen:
            event = sender.seen.pop(0)
            if event.kind in (FATAL, FINISHED):
                return event.code if event.kind == FATAL else None
        left_s = max(0.0, end_s - time.monotonic())
        sender.seen = [event for _, event in wait_for_events([sender.plane], left_s)]


def say_something(sender: Sender, story: Choices, *, has_parts: bool) -> None:
    """One frame: five bytes of the fuzzer's. What an id stands for is always the same file, mostly."""
    stream, what, id = story.randrange(2), story.randrange(10), 1 + story.randrange(4)
    path = NAMES[(id + (0, 0, 0, story.randrange(9))[story.randrange(4)]) % len(NAMES)]
    size = SIZES[id % len(SIZES)]
    contents = CONTENTS[size][:size]
    if what <= 1:
        fields = {"flags": ASKS_PART * story.randrange(2), "extras": SOURCE} if has_parts else {}
        sender.send_large(path, size, id=id, stream=stream, **fields)
    elif what <= 4:
        offset = BLOCK * story.randrange(4)
        if block := contents[offset : offset + BLOCK]:
            sender.send_data(block, id=id, offset=offset, stream=stream)
    elif what == 5:
        is_abandoned = story.randrange(4) == 3
        digest = digest_of(contents[: story.choice([size, size - 1])])
        flags = (IS_ABANDONED if is_abandoned else 0) | (ASKS_PART if has_parts else 0)
        n_sent = BLOCK * story.randrange(4) if has_parts and story.randrange(2) else size
        sender.send_large_end(path, n_sent, id=id, stream=stream, flags=flags, digest=digest)
    elif what == 6:
        small = story.randbytes(story.randrange(100))
        attributes = encode_xattr(b"user.x", b"y") if story.randrange(2) else b""
        fields = {"size": len(small), "digest": digest_of(small), "extras": attributes}
        sender.send_entries(encode_entry(kind=1, id=id, path=path, **fields), stream=stream)
        if small:
            sender.send_data(small, flags=1, stream=stream)
    elif what == 7:
        target = encode_extra(1, story.choice(TARGETS))
        kind = story.choice([LINK, HARD_LINK])
        sender.send_entries(encode_entry(kind=kind, id=id, path=path, extras=target), stream=stream)
    elif what == 8:
        kind = story.choice([DIRECTORY, QUERY, DEVICE, BEGUN])
        id = 0 if kind == BEGUN else id
        extras = encode_extra(5, b"\x03" + bytes(8)) if kind == DEVICE else b""
        mode = story.choice([0o755, 0o000, 0o700])
        sender.send_entries(
            encode_entry(kind=kind, id=id, path=path, mode=mode, extras=extras), stream=stream
        )
    else:
        sender.send(story.take(story.randrange(90)), is_data=story.randrange(2) == 1, stream=stream)
