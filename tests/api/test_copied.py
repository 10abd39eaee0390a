"""Bytes of a program go to another host, and come from there, without a copy in user space on this side.

All that a process copies within its memory is counted in front of libc, whatever escp's own counters say: so
a copy that somebody adds is seen, in native code and in Python.
"""

import json
import mmap
import os
import shlex
import subprocess
import sys

import pytest

from tests.api.test_copy import login
from tests.support.command import ROOT, needs_source
from tests.support.sanitized import skip_preloads
from tests.support.sharing import Client, shared_folder

KIB, MIB = 1 << 10, 1 << 20
SIZE = 96 * MIB
# What a process copies beside: Python's modules as they are loaded, frames of less than a block.
FREE = 12 * MIB

PROGRAM = """
import json, sys
import escp

way, path, size, block = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
with escp.connect("box", **json.loads(sys.argv[5])) as remote:
    if way == "write":
        remote.write(path, bytearray(size))
    elif way == "write_block":
        data = bytearray(block)
        with remote.open_blocks(path, size=size, block=block) as writer:
            for offset in range(0, size, block):
                writer.write_block(offset, memoryview(data)[: size - offset])
    else:
        n = 0
        for one in remote.receive_blocks(path, blocksize=str(block)):
            n += len(one.data)
            one.release()
        assert n == size
"""


@pytest.fixture(scope="module")
def counter(tmp_path_factory):
    skip_preloads()
    path = tmp_path_factory.mktemp("copied") / "copied.so"
    command = [
        "cc",
        "-O1",
        "-shared",
        "-fPIC",
        "-fno-builtin",
        "-U_FORTIFY_SOURCE",
        "-Wall",
        "-Wextra",
        "-Werror",
    ]
    subprocess.run([*command, "-o", path, ROOT / "tests/support/copied.c"], check=True, timeout=60)
    return path


class Copied:
    """`env` starts the process that is counted, `n_bytes` is what it has copied."""

    def __init__(self, counter, folder):
        path = folder / "copied"
        path.write_bytes(bytes(8))
        self.env = {"LD_PRELOAD": str(counter), "COPIED_FILE": str(path)}
        with path.open("r+b") as file:
            self._sum = mmap.mmap(file.fileno(), 8)

    @property
    def n_bytes(self):
        return int.from_bytes(self._sum[:], sys.byteorder)


@pytest.fixture
def copied(counter, folder):
    return Copied(counter, folder)


def run_program(escp, copied, *words):
    told = {name: str(value) for name, value in login(escp).items()}
    env = {**os.environ, "ESCP_CONFIG": "", "PYTHONPATH": str(ROOT), **copied.env}
    command = [sys.executable, "-c", PROGRAM, *map(str, words), json.dumps(told)]
    subprocess.run(command, cwd=ROOT, env=env, timeout=120, check=True)


@pytest.mark.parametrize(
    ("way", "block"),
    [("write", 0), ("write_block", 256 * KIB), ("write_block", MIB), ("write_block", 32 * MIB)],
)
def test_program_sends(escp, copied, target, way, block):
    run_program(escp, copied, way, target / "a", SIZE + 5, block)
    assert (target / "a").stat().st_size == SIZE + 5
    assert 0 < copied.n_bytes < FREE


@pytest.mark.parametrize("block", [256 * KIB, MIB, 32 * MIB])
def test_program_receives(escp, copied, source, block):
    (source / "a").write_bytes(os.urandom(MIB) * (SIZE // MIB))
    run_program(escp, copied, "receive_blocks", source / "a", SIZE, block)
    assert 0 < copied.n_bytes < FREE


def test_what_is_put_together_is_copied_once(escp, copied, target):
    """Blocks that are less than a slice; and the counter counts."""
    run_program(escp, copied, "write_block", target / "a", SIZE, 4 * KIB)
    assert SIZE <= copied.n_bytes < SIZE + FREE


def agent(escp, copied):
    """The one at the other end, counted."""
    words = [
        "exec",
        "env",
        *(f"{name}={value}" for name, value in copied.env.items()),
        sys.executable,
        "-m",
        "escp",
    ]
    return escp.write_agent("counted", command=f'{shlex.join(words)} "$@"')


@pytest.fixture
def contents(folder):
    path = folder / "contents"
    path.write_bytes(os.urandom(MIB) * (SIZE // MIB))
    return path


@needs_source
@pytest.mark.parametrize("block", [4 * KIB, MIB, 32 * MIB])
@pytest.mark.parametrize("way", ["push", "pull"])
def test_memory_of_another_program_is_sent(escp, copied, contents, target, way, block):
    with shared_folder() as memory, Client(memory, "send", contents, block, 128 * MIB // block) as client:
        if way == "push":
            ends, how = (client.path, f"box:{target}/x"), {"env": copied.env}
        else:
            ends, how = (f"box:{client.path}", target / "x"), {"agent": agent(escp, copied)}
        done = escp.run("--ioengine=shmem::posix", *ends, **how)
        assert done.code == 0, done.err
        assert client.end()["outcome"] == 0
    assert 0 < copied.n_bytes < FREE


@needs_source
@pytest.mark.parametrize("block", [4 * KIB, MIB, 32 * MIB])
@pytest.mark.parametrize("way", ["push", "pull"])
def test_memory_of_another_program_is_received(escp, copied, contents, folder, way, block):
    """Once: what has been opened and verified goes from the frame to the segment."""
    with (
        shared_folder() as memory,
        Client(memory, "receive", folder / "out", block, 128 * MIB // block) as client,
    ):
        if way == "push":
            ends, how = (contents, f"box:{client.path}"), {"agent": agent(escp, copied)}
        else:
            ends, how = (f"box:{contents}", client.path), {"env": copied.env}
        done = escp.run("--ioengine=posix::shmem", *ends, **how)
        assert done.code == 0, done.err
        assert client.end()["outcome"] == 0
    assert SIZE <= copied.n_bytes < SIZE + FREE
