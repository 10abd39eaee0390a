"""Programs that share memory, and their threads, beside one another: packaging/clib (docs/shmem.md)."""

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
