"""What a peer has only announced takes no more of the disk than a bound: reserve.pxd."""

import errno
import os
import shutil

import pytest

from escp._fast.crypto.digest import digest_of
from escp._fast.wire.payloads import encode_entry
from escp.failures import FAST_SYS
from tests.support.folders import new_folder
from tests.support.loopback import BLOCK, copy
from tests.support.peers import IS_ABANDONED, LARGE, Sender

MIB = 1 << 20
STEP, MOST = 64 * MIB, 1024 * MIB
SLACK = 4 * MIB  # a file system's own
WIDE = 1 << 25  # the longest block: fewer of them


@pytest.fixture
def target(folder):
    """On a disk; /tmp may be memory."""
    path = folder / "target"
    path.mkdir()
    try:
        os.close(os.open(path / "probe", os.O_CREAT | os.O_WRONLY | os.O_DIRECT))
    except OSError:
        pytest.skip("no O_DIRECT here: nothing is reserved")
    os.unlink(path / "probe")
    return path


def count_taken(target):
    """Bytes that the unfinished files below *target* occupy."""
    taken = 0
    for fd in os.listdir("/proc/self/fd"):
        try:
            where = os.readlink(f"/proc/self/fd/{fd}")
            if where.startswith(f"{target}/"):
                taken += os.stat(f"/proc/self/fd/{fd}").st_blocks * 512
        except OSError:
            continue
    return taken


def announce(sender, ids, size):
    """Returns when the receiver has opened them all."""
    sender.send_entries(*(encode_entry(kind=LARGE, id=id, path=b"%d" % id, size=size) for id in ids))
    sender.send_small(b"small", id=10_000)
    assert sender.receive_results(1)[0][:2] == (10_000, 0)


@pytest.mark.parametrize("is_direct", [True, False])
@pytest.mark.parametrize("size", [512 * MIB, 1024 * MIB])
def test_one_file_takes_a_step(target, size, is_direct):
    with Sender(target, is_direct=is_direct) as sender:
        announce(sender, [1], size)
        assert STEP <= count_taken(target) <= STEP + SLACK


def test_nothing_is_reserved_in_memory():
    """A tmpfs clears what it reserves, while all other streams wait for the file."""
    with new_folder(place="/dev/shm") as target, Sender(target) as sender:
        announce(sender, [1], 512 * MIB)
        assert count_taken(target) == 0


@pytest.mark.parametrize("size", [1 << 42, (1 << 44) - 4096])
def test_file_that_can_not_fit_takes_nothing(target, size):
    assert size > shutil.disk_usage(target).free
    with Sender(target) as sender:
        announce(sender, [1], size)
        assert count_taken(target) == 0
        sender.send_large_end(b"1", 0, id=1, flags=IS_ABANDONED)
        assert sender.receive_results(1)[0][:4] == (1, FAST_SYS, 0, errno.ENOSPC)


def test_many_files_share_a_bound(target):
    with Sender(target) as sender:
        announce(sender, range(1, 129), 200 * MIB)
        assert MOST - STEP <= count_taken(target) <= MOST + SLACK


def test_bound_is_given_back_with_each_file(target):
    with Sender(target) as sender:
        for first in range(1, 100, 32):
            ids = range(first, first + 32)
            announce(sender, ids, 200 * MIB)
            assert MOST - STEP <= count_taken(target) <= MOST + SLACK
            for id in ids:
                sender.send_large_end(b"%d" % id, 0, id=id, flags=IS_ABANDONED)
            assert len(sender.receive_results(32)) == 32
            assert count_taken(target) == 0


@pytest.mark.parametrize("is_in_order", [True, False])
def test_room_grows_with_what_has_come(target, is_in_order):
    size = 640 * MIB
    data = bytes(WIDE - 1) + b"x"
    offsets = range(0, size, WIDE) if is_in_order else range(size - WIDE, -1, -WIDE)
    with Sender(target, block_bytes=WIDE, has_checksum=False) as sender:
        sender.send_large(b"x", size)
        for number, offset in enumerate(offsets, 1):
            sender.send_data(data, id=1, offset=offset)
            sender.send_small(b"small", id=number + 1)
            assert sender.receive_results(1)[0][:2] == (number + 1, 0)
            come = number * WIDE
            # What has come, and as much again ahead; from the other end it lies behind what is reserved.
            most = come + max(STEP, come) + STEP // 2 + (0 if is_in_order else come)
            assert come - 4 * WIDE <= count_taken(target) <= most + SLACK
        sender.send_large_end(b"x", size)
        assert sender.receive_results(1)[0][:2] == (1, 0)
        sender.finish()
    with open(target / "x", "rb") as file:
        for offset in range(0, size, WIDE):
            assert os.pread(file.fileno(), 3, offset + WIDE - 2) == (
                b"\0x\0" if offset + WIDE < size else b"\0x"
            )
    assert (target / "x").stat().st_blocks * 512 <= size + SLACK


def test_file_that_found_no_room_reserved_is_written_all_the_same(target):
    data = os.urandom(3 * BLOCK + 5)
    with Sender(target) as sender:
        announce(sender, range(1, 100), 200 * MIB)
        sender.send_large(b"x", len(data), id=500)
        for offset in range(0, len(data), BLOCK):
            sender.send_data(data[offset : offset + BLOCK], id=500, offset=offset)
        sender.send_large_end(b"x", len(data), id=500, digest=digest_of(data))
        assert sender.receive_results(1)[0][:2] == (500, 0)
    assert (target / "x").read_bytes() == data


def test_sparse_file_is_not_reserved(target):
    with Sender(target, is_sparse=True) as sender:
        announce(sender, range(1, 65), 200 * MIB)
        assert count_taken(target) <= SLACK


@pytest.mark.parametrize("size", [STEP - 1, STEP, STEP + 1, 3 * STEP + 4097])
def test_file_of_several_steps_arrives_over_many_streams(target, folder, size):
    with open(folder / "x", "wb") as file:
        for number in range(0, size, MIB):
            file.write(number.to_bytes(8, "big") * (MIB // 8))
        file.truncate(size)
    assert copy(folder / "x", target, n_streams=4, block_bytes=MIB).events == []
    assert (target / "x").stat().st_blocks * 512 <= size + SLACK
    with open(folder / "x", "rb") as one, open(target / "x", "rb") as other:
        while chunk := one.read(8 * MIB):
            assert chunk == other.read(len(chunk))
        assert other.read(1) == b""
