"""What the kernel, or a file system in somebody's process, says about files: bounded before it is used."""

import struct
import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from escp._fast.files.bounds import find_ranges, split_attributes, split_listing
from escp._fast.planes.plane import FILE_FAILED
from escp.failures import FAST_CHANGED
from tests.support.loopback import copy

SLICE, MIB = 1 << 18, 1 << 20
ENXIO = 6
PUNCH_HOLE, KEEP_SIZE = 2, 1  # fallocate(2)

sizes = st.integers(1, 40 * SLICE)
answers = st.lists(
    st.one_of(
        st.integers(-(1 << 63), (1 << 63) - 1),
        st.integers(0, 41 * SLICE),
        st.integers(0, 40).map(lambda n: n * SLICE),
        st.sampled_from([-ENXIO, -1, 0, 1]),
    ),
    min_size=1,
    max_size=64,
)


@given(sizes, st.sampled_from([1, 2, 4, 7]), answers)
@example(10 * SLICE, 4, [0, 0])  # a hole where data has just been found: it was punched meanwhile
@example(10 * SLICE, 4, [5 * SLICE, SLICE])  # a hole before what was asked for
@example(10 * SLICE, 4, [5 * SLICE, SLICE, 9 * SLICE])  # and data behind the block after that
@example(10 * SLICE, 4, [0, 8 * SLICE, SLICE, 2 * SLICE, 9 * SLICE])  # data before what was asked for
@example(10 * SLICE, 4, [-(1 << 63)])
@example(10 * SLICE, 4, [(1 << 63) - 1])
def test_ranges_are_ranges_whatever_lseek_says(size, n_slices, told):
    block = n_slices * SLICE
    end = 0
    for start, n in find_ranges(size, block, told):
        assert n > 0 and start >= end and start % SLICE == 0  # none is empty, none comes twice
        end = start + n
        assert end <= size and (end % SLICE == 0 or end == size)
        assert start // block == (end - 1) // block  # in one block


@given(sizes, st.sampled_from([1, 2, 4]))
def test_where_nothing_is_known_all_is_data(size, n_slices):
    ranges = find_ranges(size, n_slices * SLICE, [-22])  # EINVAL
    assert sum(n for _, n in ranges) == size


def test_no_data_is_nothing_to_send():
    assert find_ranges(10 * SLICE, 4 * SLICE, [-ENXIO]) == []


# ---- Listings ---------------------------------------------------------------------------------------


def dirent(name, *, length=None):
    n = (19 + len(name) + 1 + 7) // 8 * 8
    return struct.pack("=QqHB", 1, 1, n if length is None else length, 8) + name.ljust(n - 19, b"\0")


def test_listing_that_is_right_is_taken():
    names = [b"a", b"b" * 255, b"\xff\n", b".", b".."]
    assert split_listing(b"".join(map(dirent, names))) == (names, True)
    assert split_listing(b"") == ([], True)


@pytest.mark.parametrize(
    "listing",
    [
        b"\0" * 19,
        b"\0" * 24,
        dirent(b"a", length=0),
        dirent(b"a", length=16),
        dirent(b"a", length=21),
        dirent(b"a", length=65528),
        dirent(b"a")[:-1],
        dirent(b"a", length=24)[:19] + b"x" * 5,  # no NUL
        dirent(b""),
        dirent(b"../../etc"),
        dirent(b"a/b"),
    ],
)
def test_listing_that_is_none_ends_there(listing):
    assert split_listing(dirent(b"good") + listing) == ([b"good"], False)


@given(st.binary(max_size=200))
def test_any_bytes_as_a_listing_do_no_harm(listing):
    names, _ = split_listing(listing)
    assert all(name and b"/" not in name for name in names)


@given(st.lists(st.binary(max_size=20).filter(lambda name: b"\0" not in name)), st.binary(max_size=20))
def test_list_of_names_ends_with_its_last_nul(names, rest):
    rest = rest.replace(b"\0", b"")
    assert split_attributes(b"".join(name + b"\0" for name in names) + rest) == (names, not rest)


# ---- Holes that move --------------------------------------------------------------------------------

PUNCHER = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
fd = os.open(sys.argv[1], os.O_RDWR)
size = os.fstat(fd).st_size
print("ready", flush=True)
i = 0
while True:
    i += 1
    at = i * 7919 * 4096 % size
    if i % 3:
        libc.fallocate(fd, 3, ctypes.c_int64(at), ctypes.c_int64(4096 * (i % 200)))
    else:
        os.pwrite(fd, b"x" * 4096, at)
"""


@pytest.mark.parametrize("is_local", [False, True], ids=["tcp", "local"])
def test_holes_that_move_while_a_file_is_sent_end_nothing(tmp_path, target, is_local):
    """At worst the file has changed; the session and the other files go on."""
    source = tmp_path / "tree"
    source.mkdir()
    (source / "other").write_bytes(b"other")
    with open(source / "moving", "wb") as file:
        file.truncate(64 * MIB)
        for i in range(0, 64, 3):
            file.seek(i * MIB)
            file.write(b"y" * MIB)
    options = {"sending": {"is_sparse": True}, "receiving": {"is_sparse": True}}
    command = [sys.executable, "-c", PUNCHER, str(source / "moving")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as puncher:
        try:
            assert puncher.stdout.readline() == "ready\n"
            for i in range(12):
                name = f"round-{i}"
                (target / name).mkdir()
                outcome = copy(source, target / name, n_streams=2, is_local=is_local, **options)
                assert {(s, e.kind, e.code) for s, e in outcome.events} <= {(True, FILE_FAILED, FAST_CHANGED)}
                assert (target / name / "tree" / "other").read_bytes() == b"other"
        finally:
            puncher.kill()
