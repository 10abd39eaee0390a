"""A hostile sender at the data frames: blocks, bundles, ends and totals that do not fit one another."""

import fcntl
import os
import struct
import termios
import time

import pytest

from escp._fast.crypto.digest import digest_of
from escp._fast.planes.plane import FATAL, FILE_FAILED
from escp._fast.wire.payloads import encode_entry
from escp.failures import FAST_DIGEST, FAST_PROTOCOL, FAST_SYS
from tests.support.loopback import BLOCK
from tests.support.peers import IS_BUNDLE, LARGE, LARGE_END, SMALL, Sender

FULL = bytes(BLOCK)


@pytest.fixture
def place(tmp_path):
    yield tmp_path
    assert list(tmp_path.iterdir()) == []


def expect_fatal(sender, where, code=FAST_PROTOCOL):
    event = sender.wait(FATAL)
    assert (event.code, event.where) == (code, where)


def begin(sender, n_blocks=4, path=b"x", id=1, stream=0):
    sender.send_large(path, n_blocks * BLOCK, id=id, stream=stream)


@pytest.mark.parametrize("engine", ["posix", "dummy"])
@pytest.mark.parametrize(
    ("offset", "n", "where"),
    [
        (1, BLOCK, "block offset"),
        (4096, BLOCK, "block offset"),
        (BLOCK // 2, BLOCK, "block offset"),
        (4 * BLOCK, BLOCK, "block offset"),
        (1 << 62, BLOCK, "block offset"),
        ((1 << 64) - BLOCK, BLOCK, "data header"),
        (0, 1, "block length"),
        (0, BLOCK - 1, "block length"),
        (3 * BLOCK, BLOCK - 4096, "block length"),
    ],
)
def test_block_off_its_grid_is_refused(place, offset, n, where, engine):
    with Sender(place, engine=engine) as sender:
        begin(sender)
        sender.send_data(bytes(n), id=1, offset=offset)
        expect_fatal(sender, where)


@pytest.mark.parametrize("order", [(0, 0), (3, 3), (1, 0, 1), (0, 1, 2, 3, 0), (3, 2, 1, 0, 3)])
def test_block_that_comes_twice_is_refused(place, order):
    with Sender(place) as sender:
        begin(sender)
        for number in order:
            sender.send_data(FULL, id=1, offset=number * BLOCK)
        expect_fatal(sender, "block twice")


def test_same_block_on_two_streams_is_refused(place):
    with Sender(place, n_streams=2) as sender:
        for stream in (0, 1):
            begin(sender, stream=stream)
            sender.send_data(FULL, id=1, stream=stream)
        expect_fatal(sender, "block twice")


def test_block_a_million_ahead_is_refused(place):
    """The receiver remembers which of a file's blocks have come; how far ahead is bounded."""
    with Sender(place, engine="dummy") as sender:
        sender.send_large(b"x", 1 << 62)
        sender.send_data(FULL, id=1, offset=BLOCK << 20)
        expect_fatal(sender, "block twice")


def test_size_that_no_file_can_have_fails_that_file_only(place):
    with Sender(place) as sender:
        sender.send_large(b"x", (1 << 63) - 1)
        sender.send_data(FULL, id=1)
        event = sender.wait(FILE_FAILED)
        assert (event.code, event.where) == (FAST_SYS, "allocate")
        sender.send_large_end(b"x", BLOCK)
        early, final = sender.receive_results(2)
        assert early[1:3] == (FAST_SYS, 1) and final[1:3] == (FAST_SYS, 0)
        sender.assert_silent()
        sender.finish()


def test_block_of_an_unknown_file_is_refused(place):
    with Sender(place) as sender:
        begin(sender)
        sender.send_data(FULL, id=2)
        expect_fatal(sender, "block of an unknown file")


def test_block_after_its_file_is_finished_is_refused(place):
    with Sender(place) as sender:
        sender.send_large(b"x", 4)
        sender.send_data(b"evil", id=1)
        sender.send_large_end(b"x", 4, digest=digest_of(b"good"))
        assert sender.receive_results(1)[0][1] == FAST_DIGEST
        sender.wait(FILE_FAILED)
        sender.send_data(b"evil", id=1)
        expect_fatal(sender, "block of an unknown file")


def test_129th_open_file_is_refused(place):
    with Sender(place) as sender:
        for id in range(1, 130):
            sender.send_large(b"%d" % id, 4, id=id)
        expect_fatal(sender, "large file")


def test_same_number_for_another_file_is_refused(place):
    with Sender(place, n_streams=2) as sender:
        begin(sender)
        sender.send_large(b"y", 4 * BLOCK, stream=0)
        expect_fatal(sender, "large file")


def test_same_file_of_another_size_is_refused(place):
    with Sender(place) as sender:
        begin(sender)
        begin(sender, n_blocks=5)
        expect_fatal(sender, "large file")


def test_empty_large_file_is_refused(place):
    with Sender(place) as sender:
        sender.send_large(b"x", 0)
        expect_fatal(sender, "entry fields")


@pytest.mark.parametrize("size", [1, BLOCK, 5 * BLOCK, (1 << 63) - 1])
def test_end_that_contradicts_what_came_is_refused(place, size):
    with Sender(place) as sender:
        begin(sender)
        sender.send_data(FULL, id=1)
        sender.send_data(FULL, id=1, offset=BLOCK)
        sender.send_large_end(b"x", size)
        expect_fatal(sender, "end of a large file")


def test_end_before_the_first_block_with_no_bytes_is_refused(place):
    """It would finish a file that another stream is about to create."""
    with Sender(place) as sender:
        begin(sender)
        sender.send_large_end(b"x", 0)
        expect_fatal(sender, "entry fields")


def test_second_end_is_refused(place):
    with Sender(place) as sender:
        begin(sender)
        sender.send_large_end(b"x", BLOCK)
        sender.send_large_end(b"x", BLOCK)
        expect_fatal(sender, "end of a large file")


def test_end_of_an_unknown_file_is_refused(place):
    with Sender(place) as sender:
        sender.send_large_end(b"x", BLOCK)
        expect_fatal(sender, "end of a large file")


def test_block_beyond_the_announced_end_is_refused(place):
    with Sender(place) as sender:
        begin(sender)
        sender.send_large_end(b"x", 2 * BLOCK + 1)
        for number in (0, 3, 1):
            sender.send_data(FULL, id=1, offset=number * BLOCK)
        expect_fatal(sender, "block after the end")


def test_file_is_not_finished_under_a_block_that_is_being_written(place):
    """Two streams: while the first writes a block into a full pipe, the second ends the file without it.

    Finished then, the file's descriptor would be closed, and given to another file, below a running write.
    """
    reading, writing = os.pipe()
    fcntl.fcntl(writing, 1031, 4096)  # F_SETPIPE_SZ
    with Sender(place, n_streams=2, in_place_fd=writing) as sender:
        begin(sender, stream=0)
        begin(sender, stream=1)
        sender.send_data(FULL, id=1, stream=0)
        left = BLOCK
        while left:
            left -= len(os.read(reading, left))
        sender.send_data(FULL, id=1, offset=BLOCK, stream=0)
        end_s = time.monotonic() + 10
        while struct.unpack("i", fcntl.ioctl(reading, termios.FIONREAD, bytes(4)))[0] < 4096:
            assert time.monotonic() < end_s
            time.sleep(0.001)
        sender.send_large_end(b"x", BLOCK, stream=1)
        expect_fatal(sender, "end of a large file")
        os.close(reading)
    os.close(writing)


def small(size, id=1):
    return encode_entry(kind=SMALL, id=id, path=b"x", size=size)


def test_bundle_without_its_data_is_refused(place):
    with Sender(place) as sender:
        sender.send_entries(small(4))
        sender.send_entries(small(4, 2))
        expect_fatal(sender, "bundle without data")


def test_end_instead_of_a_bundles_data_is_refused(place):
    with Sender(place) as sender:
        sender.send_entries(small(4))
        sender.send_end()
        expect_fatal(sender, "bundle without data")


def test_bundle_without_its_entries_is_refused(place):
    with Sender(place) as sender:
        sender.send_data(b"evil", flags=IS_BUNDLE)
        expect_fatal(sender, "bundle")


def test_block_instead_of_a_bundle_is_refused(place):
    with Sender(place) as sender:
        begin(sender)
        sender.send_entries(small(4))
        sender.send_data(FULL, id=1)
        expect_fatal(sender, "bundle")


@pytest.mark.parametrize("n", [3, 5, BLOCK])
def test_bundle_of_another_length_than_its_entries_is_refused(place, n):
    with Sender(place) as sender:
        sender.send_entries(small(4))
        sender.send_data(bytes(n), flags=IS_BUNDLE)
        expect_fatal(sender, "bundle length")


@pytest.mark.parametrize("sizes", [(BLOCK + 1,), (BLOCK, 1), ((1 << 63) - 1,), ((1 << 63) - 1,) * 2])
def test_bundle_longer_than_a_block_is_refused(place, sizes):
    with Sender(place) as sender:
        sender.send_entries(*[small(size, id) for id, size in enumerate(sizes)])
        expect_fatal(sender, "bundle length")


@pytest.mark.parametrize(
    ("n", "raw_bytes", "flags"),
    [(64, 0, 0), (63, 0, 0), (0, 0, 0), (65, 2, 0), (65, 1, 4), (65, 1, 1 << 31), (65, 1, 2), (66, 1, 2)],
)
def test_malformed_data_header_is_refused(place, n, raw_bytes, flags):
    header = bytes(16) + raw_bytes.to_bytes(4, "big") + flags.to_bytes(4, "big")
    with Sender(place) as sender:
        sender.send((header + bytes(64))[:n], is_data=True)
        expect_fatal(sender, "data header")


def test_data_header_with_something_in_its_reserved_bytes_is_refused(place):
    with Sender(place) as sender:
        header = bytes(16) + b"\0\0\0\1" + bytes(39) + b"\1" + bytes(4)
        sender.send(header + b"x", is_data=True)
        expect_fatal(sender, "data header")


@pytest.mark.parametrize(("n_bytes", "n_entries"), [(0, 1), (4, 0), (5, 1), (4, 2), (1 << 63, 1)])
def test_end_with_wrong_totals_is_refused(place, n_bytes, n_entries):
    with Sender(place) as sender:
        sender.send_small(b"x", digest=bytes(16))
        assert sender.receive_results(1)[0][1] == FAST_DIGEST
        sender.wait(FILE_FAILED)
        sender.send_end(n_bytes, n_entries)
        expect_fatal(sender, "totals")


@pytest.mark.parametrize("kind", [LARGE, LARGE_END])
def test_end_of_the_last_stream_with_an_open_file_is_refused(place, kind):
    with Sender(place, n_streams=2) as sender:
        begin(sender, stream=1)
        if kind == LARGE_END:
            sender.send_large_end(b"x", BLOCK, stream=1)
        sender.send_end(stream=1)
        sender.send_end(stream=0)
        expect_fatal(sender, "end with an open file")
