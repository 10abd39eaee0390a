"""Trees of very many files: all of them arrive, and memory does not grow with them."""

import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import peak
from tests.support.command import AGENT_COMMAND, local, remote
from tests.support.folders import new_folder
from tests.support.sanitized import not_sanitized
from tests.support.trees import write_random

PEAK = str(Path(peak.__file__))
LIMIT_BYTES = 96 << 20
PER_DIRECTORY = 1000


def make_files(top: Path, n_files: int) -> None:
    """Every tenth with ten bytes, the others empty."""
    for number in range(n_files):
        if number % PER_DIRECTORY == 0:
            folder = top / f"{number // PER_DIRECTORY:04}"
            folder.mkdir(parents=True)
        fd = os.open(folder / f"file {number}", os.O_WRONLY | os.O_CREAT, 0o644)
        if number % 10 == 0:
            os.write(fd, b"%10d" % number)
        os.close(fd)


@pytest.fixture(scope="module")
def memory_folder() -> Iterator[Path]:
    """In memory where there is room: this is not about the disk."""
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with new_folder("escp-many-", place=place) as path:
        yield path


@pytest.fixture(scope="module")
def many(memory_folder) -> Path:
    make_files(memory_folder / "many", 200_000)
    return memory_folder / "many"


def measure(escp, *words) -> tuple[int, int, dict]:
    """Peak memory of initiator and agent, and the result."""
    ours, theirs = escp.folder / "ours", escp.folder / "theirs"
    agent = escp.write_agent(
        "measured", command=shlex.join([sys.executable, PEAK, str(theirs), *AGENT_COMMAND]) + ' "$@"'
    )
    done = escp.copy("--json", *words, agent=agent, prefix=(sys.executable, PEAK, str(ours)), timeout_s=110)
    return int(ours.read_text()), int(theirs.read_text()), done.json[-1]


@not_sanitized
def test_memory_is_bounded_and_the_same_for_1000_and_200000_files(escp, source, many, memory_folder):
    make_files(source / "few", 1000)
    few = measure(escp, "-r", source / "few", remote(memory_folder / "few copied"))
    lots = measure(escp, "-r", many, remote(memory_folder / "many copied"))
    assert (few[2]["files"], lots[2]["files"]) == (1000, 200_000)
    assert lots[2]["directories"] == 201
    for side in (0, 1):
        assert few[side] < LIMIT_BYTES and lots[side] < LIMIT_BYTES
        assert lots[side] < few[side] + (16 << 20), (few, lots)
    copied = memory_folder / "many copied"
    assert len(os.listdir(copied)) == 200
    for folder in copied.iterdir():
        names = os.listdir(folder)
        assert len(names) == PER_DIRECTORY
        for name in names[::50]:
            number = int(name.split()[1])
            assert (folder / name).read_bytes() == (b"%10d" % number if number % 10 == 0 else b"")
    shutil.rmtree(copied)


@not_sanitized
def test_memory_is_bounded_for_a_large_file(escp, source, target):
    write_random(source / "large", 300_000_000)
    for words in ([], ["--nodirect"], ["-C"]):
        peaks = measure(escp, *words, source / "large", remote(target))
        assert max(peaks[:2]) < LIMIT_BYTES, (words, peaks)


@not_sanitized
def test_100_000_files_in_one_directory(escp, memory_folder):
    source = memory_folder / "flat"
    source.mkdir()
    for number in range(100_000):
        (source / str(number)).touch()
    done = escp.copy(
        "-r", "--json", source, local(memory_folder / "flat copied"), is_embedded=True, timeout_s=100
    )
    assert (done.json[-1]["files"], done.json[-1]["directories"]) == (100_000, 1)
    assert sorted(os.listdir(memory_folder / "flat copied")) == sorted(os.listdir(source))
    shutil.rmtree(memory_folder / "flat copied")
    shutil.rmtree(source)


def test_more_sources_than_a_queue_holds(escp, source, target):
    for number in range(1000):
        (source / str(number)).write_bytes(b"%d" % number)
    done = escp.copy(
        "--json", *(source / str(number) for number in range(1000)), local(target), is_embedded=True
    )
    assert done.json[-1]["files"] == 1000
    assert len(os.listdir(target)) == 1000


def test_wide_and_deep_directories(escp, memory_folder):
    """More directories than the walkers stack, and most of them empty."""
    source = memory_folder / "wide"
    for number in range(3000):
        os.makedirs(source / str(number) / "x" / "y")
    done = escp.copy(
        "-r", "--json", source, local(memory_folder / "wide copied"), is_embedded=True, timeout_s=60
    )
    assert done.json[-1]["directories"] == 9001
    copied = memory_folder / "wide copied"
    assert sum(len(names) for _, names, _ in os.walk(copied)) == 9000
    shutil.rmtree(copied)
