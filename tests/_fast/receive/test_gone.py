"""A target that goes away: the plane ends with one reason, and does not ask it again for each file."""

import errno
import fcntl
import os
import select
import shutil
import struct
import subprocess

import pytest

from escp._fast.planes.plane import FATAL, FILE_FAILED
from escp.failures import FAST_GONE, FAST_SYS
from tests.support.loopback import BLOCK, Loopback, wait_for_events
from tests.support.peers import Sender
from tests.support.waiting import wait_for

EXT4_IOC_SHUTDOWN, WITHOUT_LOG = 0x8004587D, 2
MANY = 2000

both_ways = pytest.mark.parametrize("is_local", [False, True], ids=["tcp", "local"])


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "tree"
    folder.mkdir()
    for i in range(MANY):
        (folder / str(i)).write_bytes(b"x")
    return folder


@pytest.fixture
def disk(tmp_path):
    """A file system that can be made to fail; skipped where there is none."""
    place, image = tmp_path / "disk", tmp_path / "image"
    place.mkdir()
    with open(image, "wb") as file:
        file.truncate(16 << 20)
    if os.geteuid() != 0 or not shutil.which("mkfs.ext4"):
        pytest.skip("needs root and mkfs.ext4")
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True, timeout=60)
    done = subprocess.run(["mount", "-o", "loop", image, place], capture_output=True, timeout=60, check=False)
    if done.returncode:
        pytest.skip(f"can't mount here: {done.stderr!r}")
    yield place
    subprocess.run(["umount", place], check=True, timeout=60)


def end_of(loopback, source):
    """The files that failed, and what ended the receiver."""
    loopback.start()
    loopback.add((os.fsencode(source), b"tree"))
    outcome = loopback.run_to_end()
    told = [event for is_sender, event in outcome.events if not is_sender]
    fatal = [event for event in told if event.kind == FATAL]  # two streams may find it at once
    assert {event.kind for event in told} <= {FILE_FAILED, FATAL} and len(
        {event.errno for event in fatal}
    ) == 1
    assert outcome.sent["files"] < MANY
    return [event for event in told if event.kind == FILE_FAILED], fatal[0]


@both_ways
@pytest.mark.parametrize("has_tmpfile", [True, False], ids=["nameless", "named"])
def test_removed_target_ends_the_copy(source, target, is_local, has_tmpfile):
    with Loopback(target, is_local=is_local, n_streams=2, receiving={"has_tmpfile": has_tmpfile}) as loopback:
        target.rmdir()
        failed, fatal = end_of(loopback, source)
        target.mkdir()
    assert (fatal.kind, fatal.code, fatal.errno) == (FATAL, FAST_GONE, errno.ENOENT)
    assert failed == []


@both_ways
def test_dead_file_system_ends_the_copy(source, disk, is_local):
    with Loopback(disk, is_local=is_local, n_streams=2) as loopback:
        fcntl.ioctl(loopback.root_fd, EXT4_IOC_SHUTDOWN, struct.pack("I", WITHOUT_LOG))
        failed, fatal = end_of(loopback, source)
    assert (fatal.kind, fatal.code, fatal.errno) == (FATAL, FAST_GONE, errno.EIO)
    assert failed == []


def test_removed_directory_of_a_source_ends_the_copy(source, target):
    """What the user named as a source, and what it becomes here: nothing more of it can be written."""
    (source.parent / "first").mkdir()
    (source.parent / "first" / "x").write_bytes(b"x")
    with Loopback(target, receiving={"has_roots": True}) as loopback:
        loopback.receiver.allow(b"tree", True)
        loopback.receiver.allow(b"tree", True)
        loopback.start()
        assert loopback.sender.add_source(os.fsencode(source.parent / "first"), b"tree")
        while loopback.receiver.counters()["directories"] < 1:
            pass
        shutil.rmtree(target / "tree")
        assert loopback.sender.add_source(os.fsencode(source), b"tree", waits=True)
        loopback.sender.end_sources()
        outcome = loopback.run_to_end()
    assert [(e.code, e.errno) for is_sender, e in outcome.events if not is_sender] == [
        (FAST_GONE, errno.ENOENT)
    ]


def test_one_file_that_fails_ends_nothing(source, target):
    """An error that a dead target may give, where the target lives."""
    with Loopback(target) as loopback:
        loopback.start()
        (target / "tree" / "7" / "full").mkdir(parents=True)
        loopback.add((os.fsencode(source), b"tree"))
        outcome = loopback.run_to_end()
    assert [(s, e.code, e.path) for s, e in outcome.events if not s] == [(False, FAST_SYS, b"tree/7")]
    assert outcome.sent["files"] == MANY - 1


@both_ways
def test_removed_target_of_a_single_file(tmp_path, target, is_local):
    (tmp_path / "x").write_bytes(b"x")
    with Loopback(target, is_local=is_local) as loopback:
        target.rmdir()
        loopback.start()
        loopback.add((os.fsencode(tmp_path / "x"), b"x"))
        outcome = loopback.run_to_end()
        target.mkdir()
    assert [(e.code, e.errno) for is_sender, e in outcome.events if not is_sender] == [
        (FAST_GONE, errno.ENOENT)
    ]


LARGE = 128 * BLOCK


@pytest.mark.parametrize("is_direct", [False, True], ids=["cached", "direct"])
def test_large_file_whose_target_is_removed_ends_soon(tmp_path, is_direct):
    """Not only when it is to get its name: blocks could be written to the end."""
    place = tmp_path / "place"
    place.mkdir()
    with Sender(place, is_direct=is_direct) as sender:
        sender.send_large(b"f", LARGE)
        sender.send_data(bytes(BLOCK), id=1)
        wait_for(lambda: sender.plane.counters()["bytes"] >= BLOCK)
        shutil.rmtree(place)
        n = 1
        while not any(event.kind == FATAL for event in sender.seen) and n < LARGE // BLOCK:
            sender.send_data(bytes(BLOCK), id=1, offset=n * BLOCK)
            n += 1
            wait_for(lambda n=n: sender.plane.counters()["bytes"] >= n * BLOCK or has_event(sender))
        event = sender.wait_for_any()
        while event.kind != FATAL:
            event = sender.wait_for_any()
        assert (event.code, event.errno) == (FAST_GONE, errno.ENOENT)
        assert n * BLOCK < 20 << 20


def has_event(sender):
    if select.select([sender.plane.event_fd], [], [], 0)[0]:
        sender.seen += [event for _, event in wait_for_events([sender.plane])]
    return any(event.kind == FATAL for event in sender.seen)


@pytest.mark.parametrize("is_direct", [False, True], ids=["cached", "direct"])
def test_large_file_on_a_dead_file_system_ends_at_its_next_block(disk, is_direct):
    with Sender(disk, is_direct=is_direct) as sender:
        sender.send_large(b"f", 4 << 20)
        sender.send_data(bytes(BLOCK), id=1)
        wait_for(lambda: sender.plane.counters()["bytes"] >= BLOCK)
        fcntl.ioctl(sender.root_fd, EXT4_IOC_SHUTDOWN, struct.pack("I", WITHOUT_LOG))
        sender.send_data(bytes(BLOCK), id=1, offset=BLOCK)
        event = sender.wait_for_any()
        while event.kind != FATAL:
            event = sender.wait_for_any()
        assert (event.code, event.errno) == (FAST_GONE, errno.EIO)
