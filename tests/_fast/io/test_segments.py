"""Segments in planes of this process, where sanitizers see them. Whole copies: integration/test_shmem.py.

The program at the other side of each is tests/support/shmem_client.c.
"""

import errno
import os
import subprocess
from contextlib import suppress

import pytest

from escp._fast.crypto.digest import digest_of
from escp._fast.planes.plane import FATAL, FILE_FAILED
from escp.failures import FAST_SYS
from tests.support.loopback import BLOCK, Loopback
from tests.support.peers import Sender
from tests.support.sharing import Client, shared_folder

KIB = 1 << 10
ESCP_STATE, COMPLETE = 128, b"\2\0\0\0"  # docs/shmem.md
ENGINE = {"engine": "shmem", "is_direct": False}


@pytest.fixture
def memory():
    with shared_folder() as folder:
        yield folder


@pytest.fixture
def target(tmp_path):
    (tmp_path / "target").mkdir()
    return tmp_path / "target"


@pytest.mark.parametrize("block", [4 * KIB, 96 * KIB, BLOCK])
@pytest.mark.parametrize("has_compression", [False, True])
def test_memory_to_memory_over_several_streams(memory, tmp_path, target, block, has_compression):
    contents = tmp_path / "contents"
    contents.write_bytes(os.urandom(5 * BLOCK + 4099))
    with (
        Client(memory, "send", contents, block, 7) as sender,
        Client(memory, "receive", tmp_path / "out", block, 5) as receiver,
        open(receiver.path, "r+b") as shared,
        Loopback(
            target, n_streams=3, both={**ENGINE, "has_compression": has_compression},
            receiving={"in_place_fd": shared.fileno()},
        ) as loopback,
    ):  # fmt: skip
        loopback.start()
        loopback.add((os.fsencode(sender.path), b"x"))
        assert loopback.run_to_end().events == []
        assert sender.end()["outcome"] == receiver.end()["outcome"] == 0
    assert (tmp_path / "out").read_bytes() == contents.read_bytes()


@pytest.mark.parametrize("act", ["truncate", "change", "words", "all"])
def test_program_that_spoils_what_streams_read(memory, tmp_path, target, act):
    """While several of them are at it. The other program's file is none the worse for it."""
    contents, other = tmp_path / "contents", tmp_path / "other"
    contents.write_bytes(os.urandom(16 * BLOCK))
    other.write_bytes(os.urandom(5 * BLOCK))
    with (
        Client(memory, "send", contents, BLOCK, 8, act, 9) as hostile,
        Client(memory, "send", other, 64 * KIB, 8) as honest,
        Loopback(target, n_streams=3, sending=ENGINE) as loopback,
    ):
        loopback.start()
        loopback.add((os.fsencode(honest.path), b"honest"), (os.fsencode(hostile.path), b"hostile"))
        with suppress(subprocess.TimeoutExpired):
            honest.process.wait(3)  # longer where all streams wait for the other, as long as it lives
        hostile.process.kill()
        assert honest.end()["outcome"] == 0
        events = [event for _, event in loopback.run_to_end().events]
    assert {event.kind for event in events} == {FILE_FAILED}
    assert {event.path.rpartition(b"/")[2] for event in events} <= {
        b"hostile",
        os.fsencode(hostile.path.name),
    }
    assert (target / "honest").read_bytes() == other.read_bytes()
    assert os.listdir(target) == ["honest"]


def test_second_file_for_a_segment_is_refused(memory, tmp_path, target):
    """And takes nothing back of what the program was told of the first."""
    with (
        Client(memory, "receive", tmp_path / "out", 4 * KIB, 2, "stop", 99) as client,
        open(client.path, "r+b") as shared,
        Sender(target, **ENGINE, in_place_fd=shared.fileno()) as peer,
    ):
        peer.send_small(b"x", b"first", id=1)
        ((id, code, *_),) = peer.receive_results(1)
        assert (id, code) == (1, 0)
        peer.send_small(b"x", b"second", id=2)
        ((id, code, _, number, _),) = peer.receive_results(1)
        assert (id, code, number) == (2, FAST_SYS, errno.EBUSY)
        peer.wait(FILE_FAILED)
        assert os.pread(shared.fileno(), 4, ESCP_STATE) == COMPLETE
        assert client.end()["outcome"] == 0
    assert (tmp_path / "out").read_bytes() == b"first"


@pytest.mark.parametrize("seed", range(20))
def test_two_files_at_once_for_a_segment_are_one(memory, tmp_path, target, seed):
    """Two streams begin one each, and the program gets the blocks of one, or hears that it failed."""
    data = {1: b"1" * BLOCK, 2: b"2" * BLOCK}
    with (
        Client(memory, "receive", tmp_path / "out", 4 * KIB, 2) as client,
        open(client.path, "r+b") as shared,
        Sender(target, n_streams=2, **ENGINE, in_place_fd=shared.fileno()) as peer,
    ):
        for id in (1, 2):
            peer.send_large(b"x", BLOCK, id=id, stream=id - 1)
        for id in (1, 2):
            peer.send_data(data[id], id=id, stream=id - 1)
            peer.send_large_end(b"x", BLOCK, id=id, stream=id - 1, digest=digest_of(data[id]))
        outcome = client.end()["outcome"]
        assert not any(event.kind == FATAL for event in peer.seen)
    assert outcome != 0 or (tmp_path / "out").read_bytes() in data.values()
