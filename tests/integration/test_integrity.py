"""A fault between read and seal, and a source that changes, is found, named and not kept."""

import contextlib
import os
import sys
import time

import pytest

from tests.support.command import DRIVER, local, needs_source, remote
from tests.support.leftovers import find_worker
from tests.support.trees import list_tree, write_random
from tests.support.waiting import wait_for


def copy_with_fault(escp, offset, *words, **start):
    env = escp.write_driver(fault_offset=offset)
    return escp.fail(12, *words, env=env, command=[sys.executable, str(DRIVER)], **start)


@needs_source
@pytest.mark.parametrize("options", [[], ["--nodirect", "-t", "1"], ["-C"]], ids=" ".join)
@pytest.mark.parametrize(
    ("size", "offset"),
    [
        (1, 0),
        (5000, 4999),
        (131_072, 70_000),
        (131_073, 131_072),
        (5_000_000, 0),
        (5_000_000, 4_999_999),
        (5_000_000, 2_000_000),
    ],
)
def test_corrupted_byte_is_found_and_the_file_named(escp, source, target, size, offset, options):
    write_random(source / "bad one", size)
    done = copy_with_fault(escp, offset, *options, source / "bad one", local(target), is_embedded=True)
    assert "bad one: " in done.err and "digests differ" in done.err and done.hint
    assert "1 failed" in done.err
    assert list_tree(target) == {}


@needs_source
def test_corrupted_files_are_named_and_the_others_kept(escp, source, target):
    for number in range(40):
        write_random(source / f"small{number}", 100 + number)
    for number in range(3):
        write_random(source / f"large{number}", 1_000_000 * number + 200_000)
    done = escp.run("-r", "--json", source, remote(target), env=escp.write_driver(fault_offset=1_500_000),
                    command=[sys.executable, str(DRIVER)])  # fmt: skip
    assert done.code == 12
    named = [line["path"] for line in done.json if line["type"] == "error"]
    assert named == [f"{target}/source/large2"]
    assert done.json[-1]["failed"] == 1 and done.json[-1]["error"]["exit_code"] == 12
    expected = list_tree(source)
    del expected[b"large2"]
    assert list_tree(target / "source") == expected
    escp.assert_nothing_left()


@needs_source
def test_existing_file_stays_when_its_replacement_is_corrupt(escp, source, target):
    for name, size in (("small", 100), ("large", 3_000_000)):
        write_random(source / name, size)
        (target / name).write_bytes(b"the old one")
    copy_with_fault(escp, 50, source / "small", source / "large", remote(target))
    assert (target / "small").read_bytes() == (target / "large").read_bytes() == b"the old one"


@needs_source
def test_without_checksum_the_summary_does_not_say_verified(escp, source, target):
    write_random(source / "a", 1000)
    env = escp.write_driver(fault_offset=10)
    done = escp.run(
        "--nochecksum", source / "a", remote(target), env=env, command=[sys.executable, str(DRIVER)]
    )
    assert done.code == 0 and "not verified" in done.err
    assert (target / "a").read_bytes() != (source / "a").read_bytes()


def wait_until_open(process, path) -> None:
    """Until escp has it open, and has looked at its size and time."""

    def is_open() -> bool:
        pid = find_worker(process.pid)
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                if os.readlink(f"/proc/{pid}/fd/{fd}") == str(path):
                    return True
        return False

    wait_for(is_open)
    time.sleep(0.1)


def grow(path) -> None:
    with open(path, "ab") as file:
        file.write(b"more")


def shrink(path) -> None:
    os.truncate(path, 1_000_000)


def overwrite(path) -> None:
    with open(path, "r+b") as file:
        file.write(b"other")


@pytest.mark.parametrize("change", [grow, shrink, overwrite])
def test_source_that_changes_while_it_is_read_is_reported(escp, source, target, change):
    write_random(source / "changing", 4_000_000)
    write_random(source / "steady", 1000)
    process = escp.start(
        "-l", "3M", "--nodirect", "--json", source / "changing", source / "steady", remote(target)
    )
    wait_until_open(process, source / "changing")
    change(source / "changing")
    done = escp.finish(process)
    assert done.code == 1
    (error,) = [line for line in done.json if line["type"] == "error"]
    assert error["path"] == f"{source}/changing" and "changed while it was read" in error["message"]
    assert error["host"] is None
    assert list_tree(target).keys() == {b"steady"}
    escp.assert_nothing_left()


def test_source_replaced_by_a_rename_arrives_whole(escp, folder, source, target):
    """The usual way to write a file: the old one is still open, and goes on unchanged."""
    write_random(source / "a", 4_000_000, seed=1)
    before = (source / "a").read_bytes()
    write_random(folder / "new", 3_000_000, seed=2)
    process = escp.start("-l", "4M", "--json", source / "a", remote(target))
    wait_until_open(process, source / "a")
    os.rename(folder / "new", source / "a")
    done = escp.finish(process)
    assert done.code == 0
    assert (target / "a").read_bytes() == before
