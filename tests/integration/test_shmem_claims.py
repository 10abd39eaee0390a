"""Programs that share memory, and their threads, beside one another: packaging/clib (docs/shmem.md)."""

import errno
import signal
import subprocess

import pytest

from tests.support.sharing import compile_client, shared_folder

SOURCE = "tests/support/shmem_claims.c"


@pytest.fixture
def memory():
    with shared_folder() as folder:
        yield folder


def say(memory, *words: object) -> dict[str, int]:
    done = subprocess.run(
        [compile_client(SOURCE), words[0], memory, *map(str, words[1:])],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    found = done.stdout.split()
    return {name: int(value) for name, value in zip(found[::2], found[1::2], strict=True)}


def test_time_of_a_claim_is_its_own(memory):
    """It was that of the thread which waited already."""
    said = say(memory, "claims")
    assert said["claim"] < 0 and said["waited"] < 2000
    assert said["error"] < 2000  # which ends the other's waiting, too


def test_block_that_nobody_claimed_is_not_complete(memory):
    assert say(memory, "complete")["complete"] < 0


def test_programs_that_begin_at_the_same_time_remove_nothing_of_each_other(memory):
    command = [compile_client(SOURCE), "crowd", memory, "1500"]
    crowd = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert [one.communicate(timeout=120)[0] for one in crowd] == ["wrong 0\n"] * 4


@pytest.mark.parametrize("n", [0, 1, 3, 8])
def test_program_goes_on_where_another_one_was_killed(escp, memory, target, n):
    """It waited for a block to be free that was full, and escp for one that never came."""
    first = subprocess.Popen(
        [compile_client(SOURCE), "leave", memory, str(n)], stdout=subprocess.PIPE, text=True
    )
    path = first.stdout.readline().strip()
    first.send_signal(signal.SIGKILL)
    first.communicate()
    second = subprocess.Popen(
        [compile_client(SOURCE), "go-on", memory, path], stdout=subprocess.PIPE, text=True
    )
    assert second.stdout.readline() == "attached\n"
    done = escp.run("--ioengine=shmem::posix", path, target / "file")
    told = second.communicate(timeout=60)[0].split()
    assert done.code == 0, done.err
    assert told == f"claim 0 claimed {20 - max(0, n - (n > 1))} end 0 outcome 0".split()
    data = (target / "file").read_bytes()
    assert data == b"".join(bytes([ord("a") + number]) * 4096 for number in range(20))[:-5]


def test_who_gives_up_waits_for_nobody(memory):
    said = say(memory, "give-up")
    assert said["outcome"] == -errno.ECANCELED and said["waited"] < 2000
