"""Targets that are something else than a directory or a new name: links, pipes, devices, and refusals."""

import os
import threading

import pytest

from tests.support.command import local, remote
from tests.support.trees import list_tree, write_random


def test_link_to_a_file_is_written_through(escp, source, target):
    write_random(source / "a", 300_000)
    (target / "elsewhere").mkdir()
    (target / "elsewhere" / "real").write_bytes(b"old")
    (target / "link").symlink_to("elsewhere/real")
    escp.copy(source / "a", remote(target / "link"))
    assert os.readlink(target / "link") == "elsewhere/real"
    assert (target / "elsewhere" / "real").read_bytes() == (source / "a").read_bytes()


def test_link_to_a_directory_is_a_directory(escp, source, target):
    write_random(source / "a", 10)
    (target / "real").mkdir()
    (target / "link").symlink_to("real")
    escp.copy(source / "a", remote(target / "link"))
    assert (target / "link").is_symlink() and (target / "real" / "a").exists()


def test_link_below_the_target_directory_is_replaced_not_followed(escp, source, target, folder):
    (source / "t").mkdir()
    write_random(source / "t" / "a", 10)
    (folder / "outside").write_bytes(b"outside")
    (target / "t").mkdir()
    (target / "t" / "a").symlink_to(folder / "outside")
    escp.copy("-r", source / "t", remote(target))
    assert (folder / "outside").read_bytes() == b"outside"
    assert not (target / "t" / "a").is_symlink()
    assert list_tree(target) == list_tree(source)


def test_planted_directory_link_is_refused(escp, source, target, folder):
    (source / "t" / "d").mkdir(parents=True)
    write_random(source / "t" / "d" / "a", 10)
    (folder / "outside").mkdir()
    (target / "t").mkdir()
    (target / "t" / "d").symlink_to(folder / "outside")
    done = escp.fail(16, "-r", source / "t", remote(target))
    assert "t/d" in done.err
    assert list_tree(folder / "outside") == {}


def test_last_files_that_fail_end_as_those_before(escp, source, target):
    """The report of a failure and the end of the streams must not overtake one another."""
    (source / "t" / "d").mkdir(parents=True)
    write_random(source / "t" / "d" / "a", 10)
    (target / "t").mkdir()
    (target / "t" / "d").write_bytes(b"in the way")
    for _ in range(12):
        done = escp.fail(1, "-r", source / "t", local(target), is_embedded=True)
        assert done.err.count("not a directory") == 2 and "2 failed" in done.err


def test_dangling_link_as_target_is_refused(escp, source, target):
    write_random(source / "a", 10)
    (target / "link").symlink_to("missing/there")
    done = escp.fail(15, source / "a", remote(target / "link"))
    assert "link" in done.error


@pytest.mark.parametrize("size", [0, 10, 5_000_003])
def test_device_as_target(escp, source, size):
    write_random(source / "a", size)
    escp.copy(source / "a", b"box:/dev/null")
    assert os.stat("/dev/null").st_rdev == os.makedev(1, 3)


@pytest.mark.parametrize("size", [0, 10, 131_073, 20_000_003])
@pytest.mark.parametrize("options", [[], ["-C", "-t", "8"]], ids=" ".join)
def test_bytes_reach_a_pipe_in_order(escp, source, target, size, options):
    write_random(source / "a", size)
    os.mkfifo(target / "pipe")
    got = []
    reader = threading.Thread(target=lambda: got.append((target / "pipe").read_bytes()))
    reader.start()
    escp.copy(*options, source / "a", remote(target / "pipe"))
    reader.join(10)
    assert got == [(source / "a").read_bytes()]


def test_pipe_without_a_reader_ends_with_an_error(escp, source, target):
    write_random(source / "a", 10)
    os.mkfifo(target / "pipe")
    done = escp.fail(15, source / "a", remote(target / "pipe"))
    assert "pipe" in done.error and "reads" in done.hint


def test_reader_of_a_pipe_that_goes_away_ends_with_an_error(escp, source, target):
    write_random(source / "a", 3_000_000)
    os.mkfifo(target / "pipe")

    def read_a_little():
        with open(target / "pipe", "rb", buffering=0) as pipe:
            pipe.read(1000)

    reader = threading.Thread(target=read_a_little)
    reader.start()
    done = escp.fail(1, source / "a", remote(target / "pipe"))
    reader.join(10)
    assert "broken pipe" in done.err and "pipe" in done.err


def test_stalled_pipe_does_not_keep_the_agent_alive(escp, source, target):
    """Its thread is inside write(): nothing but the end of the process gets it out.

    Initiator and ssh are killed at once, which may be a lost network, too: hence the option.
    """
    write_random(source / "a", 3_000_000)
    os.mkfifo(target / "pipe")
    reader = os.open(target / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        process = escp.start("--reconnect-timeout", "2s", source / "a", remote(target / "pipe"))
        with pytest.raises(AssertionError):  # it hangs, as it must
            escp.finish(process, 2)
        escp.assert_nothing_left(within_s=12)
    finally:
        os.close(reader)


def test_missing_directory_is_named(escp, source, target):
    write_random(source / "a", 10)
    done = escp.fail(15, source / "a", remote(target / "no" / "such" / "a"))
    assert "no/such" in done.error and done.hint
    done = escp.fail(16, source / "a", remote(f"{target}/no/"))
    assert "no/" in done.error and done.hint
    assert list_tree(target) == {}


def test_file_as_target_of_a_tree_or_of_several_is_refused(escp, source, target):
    (source / "t").mkdir()
    for name in "ab":
        write_random(source / name, 10)
    (target / "file").write_bytes(b"stays")
    for words in (["-r", source / "t"], [source / "a", source / "b"]):
        done = escp.fail(16, *words, remote(target / "file"))
        assert "not a directory" in done.error and "file" in done.error
    done = escp.fail(15, source / "a", remote(target / "file" / "below"))
    assert "file" in done.error
    assert (target / "file").read_bytes() == b"stays"


def test_directory_in_the_way_of_a_file_and_file_in_the_way_of_a_directory(escp, source, target):
    (source / "t" / "d").mkdir(parents=True)
    write_random(source / "t" / "f", 10)
    write_random(source / "t" / "d" / "x", 10)
    write_random(source / "t" / "other", 10)
    (target / "t" / "f").mkdir(parents=True)
    (target / "t" / "d").write_bytes(b"in the way")
    done = escp.fail(1, "-r", source / "t", local(target), is_embedded=True)
    assert "t/f: is a directory" in done.err and "t/d" in done.err
    assert (target / "t" / "other").exists()
    assert (target / "t" / "d").read_bytes() == b"in the way"


def test_target_is_its_own_source(escp, source):
    """With one file under two roles nothing may be lost: it is read whole before the name changes."""
    write_random(source / "a", 3_000_000)
    before = list_tree(source)
    escp.copy(source / "a", remote(source / "a"))
    escp.copy(source / "a", remote(source))
    assert list_tree(source) == before
