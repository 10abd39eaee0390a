"""Parts of large files as a sender with the true keys meets them."""

import os
import stat
import sys

import pytest

from escp._fast.crypto.digest import digest_of
from escp._fast.planes.plane import FATAL, PART
from escp._fast.wire.payloads import encode_entry, encode_extra
from escp.failures import FAST_PROTOCOL, FAST_STOPPED
from tests.support.fuse import FuseFile, mounted
from tests.support.loopback import BLOCK
from tests.support.parts import HEADER_BYTES, count_records, encode_record, journal_of, part_of
from tests.support.peers import (
    ASKS_PART,
    DIRECTORY,
    IS_ABANDONED,
    IS_WANTED,
    LARGE,
    LARGE_END,
    Sender,
    encode_kept,
)
from tests.support.waiting import wait_for

SOURCE = encode_extra(6, (7).to_bytes(8, "big") + (1000).to_bytes(8, "big") + bytes(4))
SIZE = 4 * BLOCK
OPTIONS = {"partial_min": 1, "job": b"j" * 16}


def send_blocks(sender, *numbers, **fields):
    sender.send_large(b"x", SIZE, extras=SOURCE, **fields)
    for number in numbers:
        sender.send_data(bytes([number + 1]) * BLOCK, id=1, offset=number * BLOCK)


@pytest.fixture
def cut(tmp_path):
    """A part with two blocks."""
    with Sender(tmp_path, **OPTIONS) as sender:
        send_blocks(sender, 0, 2)
        wait_for(lambda: count_records(tmp_path / "x") == 2)
    return tmp_path / "x"


def test_what_was_cut_off_stays_for_its_owner_alone(cut):
    assert sorted(os.listdir(cut.parent)) == sorted([part_of(cut).name, journal_of(cut).name])
    assert {stat.S_IMODE(os.stat(one).st_mode) for one in (part_of(cut), journal_of(cut))} == {0o600}


def test_what_has_brought_nothing_does_not_stay(tmp_path):
    with Sender(tmp_path, **OPTIONS) as sender:
        send_blocks(sender)
        wait_for(lambda: part_of(tmp_path / "x").exists())
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("options", [{"partial_min": 0}, {"partial_min": SIZE + 1}, {"is_inplace": True}])
def test_there_are_no_parts_where_none_are_asked_for(tmp_path, options):
    with Sender(tmp_path, **OPTIONS | options) as sender:
        send_blocks(sender, 0)
        wait_for(lambda: sender.plane.counters()["bytes"] == BLOCK)
        assert not part_of(tmp_path / "x").exists()
    assert os.listdir(tmp_path) == [] or "is_inplace" in options


def test_blocks_that_are_kept_may_come_again_and_count_once(cut):
    whole = b"".join(bytes([number + 1]) * BLOCK for number in range(4))
    with Sender(cut.parent, resumes=True, **OPTIONS) as sender:
        send_blocks(sender, flags=ASKS_PART)
        is_data, payload = sender.receive_frame()
        assert not is_data and payload[0] == 6 and int.from_bytes(payload[2:4], "big") == 2
        sender.receive_results(1)
        for number in (1, 2, 3):
            sender.send_data(bytes([number + 1]) * BLOCK, id=1, offset=number * BLOCK)
        sender.send_large_end(b"x", 3 * BLOCK, flags=ASKS_PART, digest=digest_of(whole))
        ((_, code, _, _, digest),) = sender.receive_results(1)
        assert (code, digest) == (0, digest_of(whole))
        sender.finish()
    assert cut.read_bytes() == whole and os.listdir(cut.parent) == ["x"]


def test_an_end_that_leaves_a_hole_is_no_success(cut):
    with Sender(cut.parent, resumes=True, **OPTIONS) as sender:
        send_blocks(sender, flags=ASKS_PART)
        sender.receive_frame()
        sender.receive_results(1)
        sender.send_data(bytes([2]) * BLOCK, id=1, offset=BLOCK)
        sender.send_large_end(b"x", BLOCK, flags=ASKS_PART, digest=digest_of(b"anything"))
        ((_, code, *_),) = sender.receive_results(1)
        assert code == 5  # FAST_DIGEST
    assert os.listdir(cut.parent) == []


@pytest.mark.parametrize("resumes", [False, True])
def test_question_that_nobody_may_ask_is_refused(tmp_path, resumes):
    with Sender(tmp_path, resumes=resumes, **OPTIONS) as sender:
        extras = b"" if resumes else SOURCE
        sender.send_entries(
            encode_entry(kind=LARGE, id=1, path=b"x", size=SIZE, flags=ASKS_PART, extras=extras)
        )
        assert sender.wait(FATAL).code == FAST_PROTOCOL


@pytest.mark.parametrize("kind", [LARGE_END, 1, 4])
def test_a_source_belongs_to_a_large_file_alone(tmp_path, kind):
    with Sender(tmp_path, **OPTIONS) as sender:
        sender.send_entries(encode_entry(kind=kind, id=1, path=b"x", size=BLOCK, extras=SOURCE))
        assert sender.wait(FATAL).code == FAST_PROTOCOL


def test_a_peer_can_not_put_another_file_in_a_parts_place(tmp_path):
    """Another file of the part's name takes that name, and what was to get the file's does not become it."""
    with Sender(tmp_path, names_once=False, **OPTIONS) as sender:
        send_blocks(sender, 0, 1, 2)
        wait_for(lambda: count_records(tmp_path / "x") == 3)
        sender.send_small(part_of(tmp_path / "x").name.encode(), b"evil", id=2)
        assert sender.receive_results(1)[0][:2] == (2, 0)
        sender.send_data(bytes([4]) * BLOCK, id=1, offset=3 * BLOCK)
        whole = b"".join(bytes([number + 1]) * BLOCK for number in range(4))
        sender.send_large_end(b"x", SIZE, digest=digest_of(whole))
        assert sender.receive_results(1)[0][1] != 0
    assert not (tmp_path / "x").exists()
    assert part_of(tmp_path / "x").read_bytes() == b"evil"


def test_a_part_is_told_of_before_its_file_can_end(tmp_path):
    """By another stream, while this one waits for a peer that does not read."""
    blocks = [(number, number.to_bytes(16, "big")) for number in range(8192)]
    options = {**OPTIONS, "is_sparse": True, "trusts_parts": True, "resumes": True}
    size = len(blocks) * BLOCK
    with Sender(tmp_path, **options) as sender:
        sender.send_large(b"x", size, extras=SOURCE)
        sender.send_data(b"x" * BLOCK, id=1)
        wait_for(lambda: count_records(tmp_path / "x") == 1)
    seed = int.from_bytes(journal_of(tmp_path / "x").read_bytes()[8:16], sys.byteorder)
    with open(journal_of(tmp_path / "x"), "r+b") as journal:
        journal.seek(HEADER_BYTES)
        journal.write(b"".join(encode_record(*block, seed) for block in blocks))
    with Sender(tmp_path, n_streams=2, buffer_bytes=4096, **options) as sender:
        sender.send_large(b"x", size, flags=ASKS_PART, extras=SOURCE)
        told = [sender.receive_frame()[1]]
        sender.send_large_end(b"x", 0, flags=ASKS_PART | IS_ABANDONED, stream=1)
        sender.pairs[1][0].settimeout(0.5)
        with pytest.raises(TimeoutError):
            sender.receive_results(1, stream=1)
        told += [sender.receive_frame()[1] for _ in range(1, len(blocks) // 1024)]
        assert b"".join(one[16:] for one in told) == encode_kept(1, *blocks)[16:]
        results = sender.receive_results(2)
        assert [(code, flags) for _, code, flags, *_ in results] == [(0, IS_WANTED), (FAST_STOPPED, 0)]


def test_what_is_remembered_of_parts_is_bounded(tmp_path):
    """A peer chooses their sizes: 16 MiB are needed for each of these, and there are 128."""
    names, size = [b"%d" % i for i in range(10)], BLOCK << 20
    with Sender(tmp_path, is_sparse=True, **OPTIONS) as sender:
        for id, name in enumerate(names, 1):
            sender.send_large(name, size, id=id, extras=SOURCE)
            sender.send_data(b"x" * BLOCK, id=id)
        wait_for(lambda: all(count_records(tmp_path / name.decode()) == 1 for name in names))
    with Sender(tmp_path, is_sparse=True, resumes=True, **OPTIONS) as sender:
        for id, name in enumerate(names, 1):
            sender.send_large(name, size, id=id, extras=SOURCE, flags=ASKS_PART)
        news = [sender.wait(PART).where for _ in names]
    assert news == ["resumed"] * 8 + ["memory"] * 2


@pytest.mark.parametrize("resumes", [False, True])
def test_a_name_that_is_longer_than_any_is_no_journals(tmp_path, resumes):
    """A directory below FUSE, which was there before, is looked through for what dead runs have left."""
    names = ["." + letter * 1000 + ".escp-journal" for letter in "abc"]
    with (
        mounted(tmp_path / "d", dict.fromkeys(names, FuseFile(b""))),
        Sender(tmp_path, resumes=resumes, **OPTIONS) as sender,
    ):
        sender.send_entries(encode_entry(kind=DIRECTORY, id=1, path=b"d", mode=0o755))
        assert [result[:2] for result in sender.receive_results(1)] == [(1, 0)]
        assert sorted(os.listdir(tmp_path / "d")) == names
