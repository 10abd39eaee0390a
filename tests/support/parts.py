"""Parts of large files that a copy has left, and their journals: cutting copies off, looking, planting."""

import os
import signal
import struct
from pathlib import Path

from escp._fast.files.journal import sum_bytes
from tests.support.leftovers import find_agents
from tests.support.waiting import wait_for

HEADER_BYTES = 112
RECORD = struct.Struct("=QQQQ")  # block, digest, sum
BLOCK = 1 << 18
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
        start = struct.pack("=Q", number) + digest
        file.seek(HEADER_BYTES + at * RECORD.size)
        file.write(start + struct.pack("=Q", sum_bytes(start, seed)))


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
