"""Holes: neither read nor sent by the sender, kept or made by the receiver; the contents stay."""

import os
import random
import time

import pytest

from escp._fast.crypto.digest import digest_of
from escp._fast.planes.plane import FATAL, FILE_FAILED
from escp._fast.wire.payloads import encode_entry
from escp.failures import FAST_DIGEST, FAST_PROTOCOL, FAST_SYS
from tests.support.loopback import BLOCK, Loopback, copy
from tests.support.peers import IS_BUNDLE, LARGE, LARGE_END, SMALL, Receiver, Sender

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
HAS_HOLES = 4
SLICE = 256 * KIB


def make(path, size, *regions):
    """A file of *size* with data at each (offset, length)."""
    generator = random.Random(5)
    with open(path, "wb") as file:
        file.truncate(size)
        for offset, n in regions:
            file.seek(offset)
            file.write(generator.randbytes(n).replace(b"\0", b"\1"))
        file.flush()
        os.fsync(file.fileno())
    return path


def regions_of(path):
    """(offset, end) of what is not a hole."""
    found, at = [], 0
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        while at < size:
            try:
                start = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:
                break
            at = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            found.append((start, at))
    return found


def read_regions(path, regions):
    with open(path, "rb") as file:
        return [os.pread(file.fileno(), min(end - start, 4 * MIB), start) for start, end in regions]


SHAPES = {
    "all_hole": (10 * MIB, []),
    "all_hole_odd": (10 * MIB + 77, []),
    "data_first": (10 * MIB, [(0, 5000)]),
    "data_last": (10 * MIB + 77, [(10 * MIB, 77)]),
    "data_in_the_middle": (10 * MIB + 77, [(5 * MIB + 4096, 8192)]),
    "last_slice_partly": (10 * MIB + 300_000, [(10 * MIB, 4096)]),
    "both_ends_of_a_block": (10 * MIB, [(4 * MIB, 4096), (5 * MIB - 4096, 4096)]),
    "second_slice": (10 * MIB, [(4 * MIB + SLICE, 4096)]),
    "two_slices": (10 * MIB, [(4 * MIB + SLICE, 4096), (4 * MIB + 2 * SLICE, 4096)]),
    "across_blocks": (10 * MIB, [(4 * MIB - 8192, MIB + 16384)]),
    "every_other_page": (4 * MIB, [(i * 8192, 4096) for i in range(512)]),
    "scattered": (64 * MIB, [(i * 777_777, 1000 + i) for i in range(80)]),
    "full": (3 * MIB + 5, [(0, 3 * MIB + 5)]),
    "small": (128 * KIB, [(40960, 1)]),
    "small_end": (100_000, [(0, 1)]),
}


WAYS = {
    "both": {"sending": {"is_sparse": True}, "receiving": {"is_sparse": True}},
    "both_buffered": {
        "sending": {"is_sparse": True, "is_direct": False},
        "receiving": {"is_sparse": True, "is_direct": False},
    },
    "sender_only": {"sending": {"is_sparse": True}},
    "sender_only_buffered": {"sending": {"is_sparse": True}, "receiving": {"is_direct": False}},
    "receiver_only": {"receiving": {"is_sparse": True}},
    "no_checksum": {
        "both": {"has_checksum": False},
        "sending": {"is_sparse": True},
        "receiving": {"is_sparse": True},
    },
    "compressed": {
        "both": {"has_compression": True},
        "sending": {"is_sparse": True},
        "receiving": {"is_sparse": True},
    },
    "local": {"is_local": True, "sending": {"is_sparse": True}, "receiving": {"is_sparse": True}},
    "temporary_names": {
        "sending": {"is_sparse": True},
        "receiving": {"is_sparse": True, "has_tmpfile": False},
    },
}


@pytest.mark.parametrize("n_streams", [1, 3])
@pytest.mark.parametrize("options", WAYS.values(), ids=WAYS.keys())
def test_files_with_holes_arrive_whatever_the_way(tmp_path, target, options, n_streams):
    source = tmp_path / "tree"
    source.mkdir()
    for name, (size, regions) in SHAPES.items():
        make(source / name, size, *regions)
    outcome = copy(source, target, n_streams=n_streams, block_bytes=MIB, **options)
    assert outcome.events == []
    for name in SHAPES:
        assert (target / "tree" / name).read_bytes() == (source / name).read_bytes(), name
        if options.get("receiving", {}).get("is_sparse"):
            was, is_now = (os.stat(top / name).st_blocks for top in (source, target / "tree"))
            assert is_now <= was, (name, was, is_now)
    assert outcome.sent["bytes"] == outcome.sent["found_bytes"] == outcome.received["bytes"]


def test_holes_are_not_sent(tmp_path, target):
    """Whole slices are: the ones with data in them."""
    source = make(tmp_path / "x", 100 * MIB, (0, 1), (50 * MIB + 7, 2), (51 * MIB - 1, 2))
    outcome = copy(source, target, block_bytes=MIB, **WAYS["both"])
    assert outcome.events == [] and outcome.sent["bytes"] == SLICE + MIB + SLICE
    assert outcome.received["bytes_disk"] == 4 * 4096
    assert (target / "x").read_bytes() == source.read_bytes()


def test_hundred_gib_with_64_mib_of_data_take_less_than_two_seconds(tmp_path, target):
    source = make(tmp_path / "x", 100 * GIB, *[(i * 1600 * MIB + i * 4096, MIB) for i in range(64)])
    start_s, start_cpu_s = time.monotonic(), time.process_time()
    outcome = copy(source, target, n_streams=4, block_bytes=MIB, **WAYS["both"])
    took_s, took_cpu_s = time.monotonic() - start_s, time.process_time() - start_cpu_s
    # Of the CPU's: reading the holes takes 6, whatever else the machine has to do.
    assert outcome.events == [] and took_cpu_s < 2 and took_s < 10, (took_cpu_s, took_s)
    regions = regions_of(source)
    assert os.stat(target / "x").st_size == 100 * GIB
    assert read_regions(source, regions) == read_regions(target / "x", regions)
    assert abs(os.stat(source).st_blocks - os.stat(target / "x").st_blocks) * 512 < MIB
    assert regions_of(target / "x") == regions


@pytest.mark.parametrize("is_direct", [True, False])
def test_zeroes_of_a_source_without_holes_become_holes(tmp_path, target, is_direct):
    source = tmp_path / "x"
    page = b"d" + bytes(4094) + b"d"
    pages = [page, bytes(4096)] * 4 + [bytes(4096)] * 1000 + [page] * 3 + [bytes(4096)] * 90
    source.write_bytes(b"".join(pages) + bytes(100))
    outcome = copy(source, target, n_streams=2, both={"is_direct": is_direct}, receiving={"is_sparse": True})
    assert outcome.events == [] and (target / "x").read_bytes() == source.read_bytes()
    assert outcome.received["bytes_disk"] == 7 * 4096
    assert os.stat(target / "x").st_blocks * 512 <= 7 * 4096 + 8192


def test_without_the_options_nothing_changes(tmp_path, target):
    source = make(tmp_path / "x", 10 * MIB, (0, 1))
    outcome = copy(source, target)
    assert outcome.events == [] and outcome.sent["bytes"] == 10 * MIB == outcome.received["bytes_disk"]
    assert os.stat(target / "x").st_blocks * 512 >= 10 * MIB


def test_dummy_engines_still_move_everything(tmp_path, target):
    source = make(tmp_path / "x", 10 * MIB, (0, 1))
    outcome = copy(source, target, both={"engine": "dummy"}, **WAYS["both"])
    assert outcome.events == [] and outcome.sent["bytes"] == 10 * MIB and os.listdir(target) == []
    outcome = copy(source, target, receiving={"engine": "dummy"}, sending={"is_sparse": True})
    assert outcome.events == [] and outcome.sent["bytes"] == SLICE and os.listdir(target) == []


@pytest.mark.parametrize("offset", [0, 5 * MIB + SLICE])
def test_changed_byte_beside_a_hole_is_found(tmp_path, target, offset):
    source = make(tmp_path / "x", 10 * MIB, (offset, 4096))
    outcome = copy(source, target, block_bytes=MIB, sending={"is_sparse": True, "fault_offset": offset},
                   receiving={"is_sparse": True})  # fmt: skip
    assert {event.code for _, event in outcome.events} == {FAST_DIGEST} and os.listdir(target) == []


def test_digest_is_that_of_the_contents(tmp_path):
    source = make(tmp_path / "x", 4 * MIB, (MIB, 1))
    with Receiver((os.fsencode(source), b"x"), is_sparse=True) as receiver:
        (large,) = receiver.receive_entries()
        assert (large["kind"], large["flags"], large["size"]) == (LARGE, HAS_HOLES, 4 * MIB)
        is_data, payload = receiver.receive_frame()
        assert is_data and int.from_bytes(payload[8:16], "big") == MIB and len(payload) == 64 + SLICE
        (end,) = receiver.receive_entries()
        assert (end["kind"], end["flags"], end["size"]) == (LARGE_END, HAS_HOLES, SLICE)
        assert end["digest"] == digest_of(source.read_bytes())
        receiver.send_result(end["id"], digest=end["digest"])


def test_pipe_takes_no_file_with_holes(tmp_path, target):
    source = make(tmp_path / "x", 4 * MIB)
    reading, writing = os.pipe()
    with Loopback(target, sending={"is_sparse": True}, receiving={"in_place_fd": writing}) as loopback:
        loopback.start()
        loopback.add((os.fsencode(source), b"x"))
        assert {event.code for _, event in loopback.run_to_end().events} == {FAST_SYS}
    os.close(writing)
    assert os.read(reading, 1) == b""
    os.close(reading)


# ---- What a hostile sender may try ------------------------------------------------------------------


def begin(sender, size=10 * BLOCK, **fields):
    sender.send_entries(encode_entry(kind=LARGE, id=1, path=b"x", size=size, flags=HAS_HOLES, **fields))


def test_part_of_a_large_file_is_enough(target):
    """The rest is zero."""
    with Sender(target, block_bytes=4 * BLOCK, is_sparse=True) as sender:
        begin(sender, 9 * BLOCK + 5)
        sender.send_data(b"d" * 2 * BLOCK, id=1, offset=5 * BLOCK)
        sender.send_data(b"e" * 5, id=1, offset=9 * BLOCK)
        wanted = bytes(5 * BLOCK) + b"d" * 2 * BLOCK + bytes(2 * BLOCK) + b"e" * 5
        sender.send_large_end(b"x", 2 * BLOCK + 5, flags=HAS_HOLES, digest=digest_of(wanted))
        assert sender.receive_results(1)[0][1] == 0
        sender.finish()
    assert (target / "x").read_bytes() == wanted


BAD_BLOCKS = {
    "off_the_slices": (4096, BLOCK),
    "across_blocks": (3 * BLOCK, 2 * BLOCK),
    "not_whole": (BLOCK, BLOCK - 1),
    "behind_the_end": (40 * BLOCK, BLOCK),
}


@pytest.mark.parametrize(("offset", "n"), BAD_BLOCKS.values(), ids=BAD_BLOCKS.keys())
def test_part_that_lies_wrong_is_refused(target, offset, n):
    with Sender(target, block_bytes=4 * BLOCK) as sender:
        begin(sender)
        sender.send_data(bytes(n), id=1, offset=offset)
        assert sender.wait(FATAL).code == FAST_PROTOCOL
    assert os.listdir(target) == []


def test_part_of_a_block_is_refused_without_the_flag(target):
    with Sender(target, block_bytes=4 * BLOCK) as sender:
        sender.send_large(b"x", 10 * BLOCK)
        sender.send_data(bytes(BLOCK), id=1)
        assert sender.wait(FATAL).code == FAST_PROTOCOL


@pytest.mark.parametrize("size", [10 * BLOCK, (1 << 20) * BLOCK * 2])
def test_block_that_comes_twice_is_refused(target, size):
    """Of a file of more than 1048576 blocks: once more has come than the end said."""
    with Sender(target, is_sparse=True) as sender:
        begin(sender, size)
        sender.send_data(b"x" * BLOCK, id=1, offset=BLOCK)
        if size > 10 * BLOCK:
            sender.send_large_end(b"x", 2 * BLOCK, flags=HAS_HOLES, digest=digest_of(b""))
            sender.send_data(b"x" * BLOCK, id=1, offset=BLOCK)
            assert sender.receive_results(1)[0][1] == FAST_DIGEST
            return
        sender.send_data(b"x" * BLOCK, id=1, offset=BLOCK)
        assert sender.wait(FATAL).code == FAST_PROTOCOL
    assert os.listdir(target) == []


def test_missing_block_with_data_is_found(target):
    with Sender(target, is_sparse=True) as sender:
        begin(sender, 4 * BLOCK)
        wanted = digest_of(bytes(BLOCK) + b"x" * BLOCK + bytes(2 * BLOCK))
        sender.send_large_end(b"x", 0, flags=HAS_HOLES, digest=wanted)
        assert sender.receive_results(1)[0][1] == FAST_DIGEST
        assert sender.wait(FILE_FAILED).code == FAST_DIGEST
        sender.finish()
    assert os.listdir(target) == []


BAD_ENTRIES = {
    "end_without": [
        encode_entry(kind=LARGE, id=1, path=b"x", size=BLOCK, flags=HAS_HOLES),
        encode_entry(kind=LARGE_END, id=1, path=b"x", size=BLOCK),
    ],
    "end_only": [
        encode_entry(kind=LARGE, id=1, path=b"x", size=BLOCK),
        encode_entry(kind=LARGE_END, id=1, path=b"x", size=0, flags=HAS_HOLES),
    ],
    "second_without": [
        encode_entry(kind=LARGE, id=1, path=b"x", size=BLOCK, flags=HAS_HOLES),
        encode_entry(kind=LARGE, id=1, path=b"x", size=BLOCK),
    ],
    "small": [encode_entry(kind=SMALL, id=1, path=b"x", flags=HAS_HOLES)],
    "empty": [encode_entry(kind=LARGE, id=1, path=b"x", size=0, flags=HAS_HOLES)],
    "empty_end": [
        encode_entry(kind=LARGE, id=1, path=b"x", size=BLOCK),
        encode_entry(kind=LARGE_END, id=1, path=b"x", size=0),
    ],
}


@pytest.mark.parametrize("entries", BAD_ENTRIES.values(), ids=BAD_ENTRIES.keys())
def test_flag_that_does_not_fit_is_refused(target, entries):
    with Sender(target) as sender:
        sender.send_entries(*entries)
        assert sender.wait(FATAL).code == FAST_PROTOCOL
    assert os.listdir(target) == []


def test_small_files_take_no_space_for_their_zeroes(target):
    data = bytes(100_000) + b"x"
    with Sender(target, is_sparse=True) as sender:
        sender.send_entries(
            encode_entry(kind=SMALL, id=1, path=b"x", size=len(data), digest=digest_of(data)),
            encode_entry(kind=SMALL, id=2, path=b"y", size=8192, digest=digest_of(bytes(8192))),
        )
        sender.send_data(data + bytes(8192), flags=IS_BUNDLE)
        assert [result[1] for result in sender.receive_results(2)] == [0, 0]
        sender.finish()
    assert (target / "x").read_bytes() == data and (target / "y").read_bytes() == bytes(8192)
    assert os.stat(target / "x").st_blocks == 8 and os.stat(target / "y").st_blocks == 0
