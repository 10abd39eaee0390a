"""Parts of large files that a copy has left, and their journals: cutting copies off, looking, planting."""

import os
import signal
import struct
from pathlib import Path

from escp._fast.crypto.digest import digest_of
from escp._fast.files.journal import sum_bytes
from tests.support.leftovers import find_agents
from tests.support.waiting import wait_for

HEADER_BYTES = 112
RECORD = struct.Struct("=QQQQ")  # block, digest, sum
BLOCK = 1 << 18
SIZE = 64 * BLOCK + 1000  # of a file with two streams' blocks for seconds
OPTIONS = ("--partial-min", "1M", "--blocksize", "256K", "--json")
SLOW = (*OPTIONS, "-l", "8M")  # 32 blocks a second


def part_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.escp-part")


def journal_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.escp-journal")


def read_records(path: Path) -> list[tuple[int, int, int, int]]:
    """Of the journal beside *path*'s part; a cut last one is left out."""
    data = journal_of(path).read_bytes()[HEADER_BYTES:]
    return [
        RECORD.unpack_from(data, at) for at in range(0, len(data) // RECORD.size * RECORD.size, RECORD.size)
    ]


def write_record(path: Path, at: int, number: int, digest: bytes = bytes(16)) -> None:
    """One that its journal agrees with, in place of that number *at*."""
    with open(journal_of(path), "r+b") as file:
        seed = struct.unpack_from("=Q", file.read(16), 8)[0]
        file.seek(HEADER_BYTES + at * RECORD.size)
        file.write(encode_record(number, digest, seed))


def encode_record(number: int, digest: bytes, seed: int) -> bytes:
    """*digest*: as it goes over the wire."""
    start = struct.pack("=QQQ", number, *struct.unpack(">QQ", digest))
    return start + struct.pack("=Q", sum_bytes(start, seed))


def encode_journal(
    source: os.stat_result, *, job: bytes, size: int, ino: int, block: int, seed: int
) -> bytes:
    """A journal's header, of a file with *source*'s times."""
    words = [int.from_bytes(b"escpjrn1", "big"), seed, *struct.unpack(">QQ", job), size, ino, block]
    mtime, ctime = divmod(source.st_mtime_ns, 10**9), divmod(source.st_ctime_ns, 10**9)
    start = struct.pack("=7QqqII3Q", *words, mtime[0], ctime[0], mtime[1], ctime[1], 0, 0, 0)
    return start + struct.pack("=Q", sum_bytes(start, seed))


def digest_of_block(number: int, data: bytes) -> bytes:
    """As journals and KEPT have it: without the size."""
    before = bytes(number * BLOCK)
    with_size, of_size = digest_of(before + data), digest_of(bytes(len(before) + len(data)))
    return ((int.from_bytes(with_size, "big") - int.from_bytes(of_size, "big")) % (1 << 128)).to_bytes(
        16, "big"
    )


def count_records(path: Path) -> int:
    try:
        return max(0, os.path.getsize(journal_of(path)) - HEADER_BYTES) // RECORD.size
    except FileNotFoundError:
        return 0


def cut_off(escp, *words, at, n=8, kills_agent=False, number=signal.SIGKILL, **start):
    """Start a copy, and end it once *n* blocks of *at* are there; how it ended."""
    process = escp.start(*SLOW, *words, **start)
    return end_when(escp, process, lambda: count_records(at) >= n, kills_agent=kills_agent, number=number)


def end_when(escp, process, is_time, *, kills_agent: bool, number: int):
    """End a copy, or kill its agents, once *is_time()*; how it ended."""
    wait_for(lambda: is_time() or process.poll() is not None)
    assert process.poll() is None, escp.finish(process)
    if kills_agent:
        for pid in find_agents(escp.mark):
            os.kill(pid, number)
    else:
        process.send_signal(number)
    done = escp.finish(process)
    wait_for(lambda: not find_agents(escp.mark))
    return done


def count_sent(done) -> int:
    """Bytes of file data that a run with --json sent."""
    return done.json[-1]["bytes"]
