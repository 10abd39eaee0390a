"""What lies about when a copy goes on: parts, journals and records, right ones and others.

Whatever they say, a file that is there in the end is the source's, and nothing beside the target has changed.
"""

import os
import tempfile
from pathlib import Path
from unittest import mock

from escp._fast.planes.plane import FATAL, FILE_FAILED
from escp.streams.record import RECORD_BYTES, JobRecord
from tests.fuzz.arena import Arena
from tests.fuzz.choices import Choices
from tests.support.loopback import BLOCK, Loopback, Outcome
from tests.support.parts import digest_of_block, encode_journal, encode_record, journal_of, part_of

SCRATCH = tempfile.TemporaryDirectory(prefix="escp-leftovers-", dir=os.environ.get("TMPDIR"))
LARGE, SMALL = (Path(SCRATCH.name, name) for name in ("large", "small"))
BLOCKS = [b"a" * BLOCK, bytes(BLOCK), b"c" * BLOCK, b"the end"]
LARGE.write_bytes(b"".join(BLOCKS))
SMALL.write_bytes(b"contents")
DIGESTS = [digest_of_block(number, block) for number, block in enumerate(BLOCKS)]
JOB, OTHERS = bytes(range(32)), b"somebody's"
NUMBERS = [0, 1, 2, 3, 4, 1 << 20, 1 << 40, (1 << 64) - 1]
ARENA = Arena()


def test_one(data: bytes) -> None:
    story = Choices(data)
    switches = story.randrange(256)
    options = {"trusts_parts": switches & 3 == 3, "is_sparse": bool(switches & 4)}
    with ARENA as folder, mock.patch.dict(os.environ, XDG_STATE_HOME=str(folder / "state")):
        (folder / "other").write_bytes(OTHERS)
        kept = copy(folder, options, switches, b"", is_first=True)[1] if switches & 8 else b""
        is_changed = bool(kept) and change(folder / "small", story)
        plant_part(folder / "large", story)
        plant_record(folder, kept, story)
        record = JobRecord(JOB)
        read = record.read()
        assert len(read) % RECORD_BYTES == 0
        outcome, more = copy(folder, options, switches | 16, read)
        record.append(more)
        record.close(is_over=story.randrange(2) == 1)
        check(folder, outcome, is_changed=is_changed, **options)


def copy(
    folder: Path, options: dict, switches: int, record: bytes, *, is_first: bool = False
) -> tuple[Outcome, bytes]:
    """What came of it, and the record of what has arrived. The first one brings the small file only."""
    goes_on = bool(switches & 16)
    sending = {"is_sparse": options["is_sparse"], "filters": [(False, b"large")] if is_first else []}
    receiving = {**options, "partial_min": 1, "job": JOB[:16], "resumes": goes_on, "tells_stamps": True}
    way = {"is_local": True} if switches & 32 else {"n_streams": 1 + (switches >> 6 & 1)}
    with Loopback(folder, sending=sending, receiving=receiving, **way) as loopback:
        loopback.sender.keep_parts(1, goes_on)
        loopback.sender.keep_record(int.from_bytes(JOB[:8], "big"), record)
        loopback.start()
        loopback.add((os.fsencode(SCRATCH.name), b""))
        return loopback.run_to_end(), loopback.sender.take_record()


def change(path: Path, story: Choices) -> bool:
    """A file that has arrived; False: it is as it was."""
    what = story.randrange(6)
    if what == 1:
        path.write_bytes(b"other contents")
    elif what in (2, 3, 4):
        path.unlink()
    if what == 2:
        path.write_bytes(b"replaced")
    elif what == 3:
        path.symlink_to("../outside/victim")
    elif what == 4:
        path.mkdir()
    return what in (1, 2, 3, 4)


def put(path: Path, data: bytes, story: Choices) -> None:
    """A file of escp's; now and then something else in its place."""
    what = story.randrange(16)
    if what == 1:
        path.symlink_to("../outside/victim")
    elif what == 2:
        os.link(path.parent / "other", path) if (path.parent / "other").exists() else path.mkdir()
    elif what == 3:
        os.mkfifo(path)
    elif what == 4:
        path.mkdir()
    elif what != 5:
        path.write_bytes(data)
        path.chmod(0o666 if what == 6 else 0o600)


def plant_part(path: Path, story: Choices) -> None:
    contents = []
    for block in BLOCKS:
        contents.append(story.choice([block, block, bytes(len(block)), story.randbytes(len(block))]))
    n = story.choice([len(BLOCKS), len(BLOCKS), 1, 0])
    put(part_of(path), b"".join(contents[:n]) + b"more" * story.randrange(2), story)
    source = os.stat(LARGE)
    fields = {"size": source.st_size, "ino": source.st_ino, "block": BLOCK, "seed": story.randrange(256)}
    journal = encode_journal(source, job=JOB[:16], **fields)
    if story.randrange(8) == 1:
        fields[story.choice(["size", "ino", "block"])] = story.choice([0, 1, 1 << 40, (1 << 64) - 1])
        journal = encode_journal(source, job=story.choice([JOB[:16], JOB[16:]]), **fields)
    while story.randrange(8) < 7 and not story.is_over:
        number = story.choice(NUMBERS)
        right, noise = DIGESTS[number % len(DIGESTS)], story.randbytes(16)
        digest = story.choice([right, right, bytes(16), b"\xff" * 16, noise])
        journal += encode_record(number, digest, fields["seed"] + (story.randrange(16) == 1))
    put(journal_of(path), damage(journal, story), story)


def plant_record(folder: Path, kept: bytes, story: Choices) -> None:
    home = folder / "state" / "escp"
    if story.randrange(4):
        home.mkdir(parents=True)
        head = story.choice([b"escp, arrived 1\n", b"escp, arrived 1\n", b"escp, arrived 9\n", b""])
        records = story.choice([kept, kept * 3, story.randbytes(RECORD_BYTES * 5), b""])
        put(home / f"{JOB[:16].hex()}.arrived", damage(head + records, story), story)


def damage(data: bytes, story: Choices) -> bytes:
    """Bytes of the fuzzer's in it, in one case of four."""
    if story.randrange(4) != 1 or not data:
        return data
    at = story.randrange(len(data))
    return data[:at] + story.take(story.randrange(9)) + data[at + story.randrange(9) :]


def check(folder: Path, outcome: Outcome, *, is_changed: bool, trusts_parts: bool, is_sparse: bool) -> None:
    assert not [event for _, event in outcome.events if event.kind == FATAL], outcome.events
    failed = {os.path.basename(event.path) for _, event in outcome.events if event.kind == FILE_FAILED}
    # A directory in the small file's place; a trusted journal that told of other contents.
    allowed = {b"small"} if is_changed else set()
    allowed |= {b"large"} if trusts_parts else set()
    assert failed <= allowed, outcome.events
    for source in (LARGE, SMALL):
        path = folder / source.name
        if os.fsencode(source.name) in failed:
            assert not path.is_file()
        elif source is LARGE and trusts_parts:  # nothing is known of what its user told escp not to read
            assert path.stat().st_size == source.stat().st_size
        else:
            assert path.read_bytes() == source.read_bytes(), path
    assert (folder / "other").read_bytes() == OTHERS
