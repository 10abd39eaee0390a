"""A sender with the true keys that wants to write elsewhere, crash the receiver or lie about what it sent.

Whatever it does, nothing outside the destination changes, no unfinished file stays, and the receiver
says why.
"""

import ctypes
import os
import stat
import threading

import pytest
import zstandard

from escp._fast.crypto.digest import digest_of
from escp._fast.planes.plane import FATAL, FILE_FAILED
from escp._fast.wire.payloads import encode_entry, encode_meta
from escp.failures import FAST_DIGEST, FAST_PROTOCOL, FAST_STOPPED, FAST_SYS, FAST_UNSAFE
from tests.support.loopback import BLOCK
from tests.support.peers import (
    DIRECTORY,
    END,
    ENTRIES,
    IS_ABANDONED,
    IS_BUNDLE,
    IS_ZSTD,
    LARGE,
    SMALL,
    Sender,
)

MAX_BODY = (1 << 18) - 8  # of a metadata message


@pytest.fixture
def place(tmp_path):
    """A destination beside something precious, which must look the same afterwards."""
    for name in ("destination", "outside"):
        (tmp_path / name).mkdir()
    victim = tmp_path / "outside" / "victim"
    victim.write_bytes(b"precious")
    before = victim.stat(), sorted(os.listdir(tmp_path / "outside"))
    yield tmp_path / "destination"
    assert (victim.stat().st_mtime_ns, victim.stat().st_mode) == (before[0].st_mtime_ns, before[0].st_mode)
    assert victim.read_bytes() == b"precious"
    assert sorted(os.listdir(tmp_path / "outside")) == before[1]
    assert sorted(os.listdir(tmp_path)) == ["destination", "outside"]
    for _, _, names in os.walk(tmp_path):
        assert not [name for name in names if name.startswith(".escp-")]


def expect_fatal(sender, code, where):
    event = sender.wait(FATAL)
    assert (event.code, event.where) == (code, where)


BAD_PATHS = {
    "parent": b"..",
    "parent_first": b"../outside/victim",
    "parent_inside": b"a/../../outside/victim",
    "parent_last": b"a/..",
    "absolute": b"/etc/escp-was-here",
    "self": b".",
    "self_inside": b"a/./b",
    "empty_component": b"a//b",
    "trailing_slash": b"a/",
    "slash": b"/",
    "nul": b"a\0b",
    "nul_last": b"a\0",
    "name_of_256": b"n" * 256,
    "name_of_300": b"d/" + b"n" * 300,
    "path_of_4096": b"d/" * 2047 + b"dd",
    "most_components": b"a/" * 32767 + b"a",
    "longest": b"n" * 65535,
}


@pytest.mark.parametrize("kind", [SMALL, LARGE, DIRECTORY])
@pytest.mark.parametrize("path", BAD_PATHS.values(), ids=BAD_PATHS.keys())
def test_path_that_leads_out_is_refused(place, path, kind):
    with Sender(place) as sender:
        sender.send_entries(encode_entry(kind=kind, id=1, path=path, size=4))
        assert sender.wait(FATAL).code == FAST_UNSAFE
    assert os.listdir(place) == []


def test_million_components_do_not_fit_a_message(place):
    """65535 bytes are the most that an entry can announce; what is longer is another entry's garbage."""
    path = b"a/" * 1_000_000
    with Sender(place) as sender:
        entry = encode_entry(kind=SMALL, id=1, path=path[:65535], size=4)
        body = entry + path[65535:]
        sender.send(encode_meta(ENTRIES, 1, body[:MAX_BODY]))
        assert sender.wait(FATAL).code == FAST_UNSAFE
    assert os.listdir(place) == []


def test_nameless_file_is_refused_where_the_target_is_a_directory(place):
    with Sender(place) as sender:
        sender.send_small(b"")
        assert sender.wait(FILE_FAILED).code == FAST_UNSAFE
        assert [r[:2] for r in sender.receive_results(1)] == [(1, FAST_UNSAFE)]
        sender.finish()
    assert os.listdir(place) == []


def send_one(sender, kind, path, id=1):
    """A good file of four bytes, or a directory; returns its result's code."""
    digest = digest_of(b"evil")
    if kind == SMALL:
        sender.send_small(path, id=id)
    elif kind == LARGE:
        sender.send_large(path, 4, id=id)
        sender.send_data(b"evil", id=id)
        sender.send_large_end(path, 4, id=id, digest=digest)
    else:
        sender.send_entries(encode_entry(kind=DIRECTORY, id=id, path=path, mode=0o777))
    codes = [code for got, code, flags, _, _ in sender.receive_results(1) if got == id and not flags]
    return codes[0] if codes else send_final(sender, id)


def send_final(sender, id):
    """The final result, after an early one."""
    (result,) = sender.receive_results(1)
    assert result[0] == id and result[1] and not result[2]
    return result[1]


@pytest.mark.parametrize("has_openat2", [True, False], ids=["openat2", "by_component"])
@pytest.mark.parametrize("kind", [SMALL, LARGE, DIRECTORY])
@pytest.mark.parametrize("link", [b"../outside", b"/", b"..", b"/proc/self/cwd", b"loop/loop"])
def test_planted_directory_link_is_refused(place, link, kind, has_openat2):
    os.symlink(link, place / "loop" if link == b"loop/loop" else place / "link")
    if link == b"/proc/self/cwd":
        os.symlink(link, place / "magic")
    path = b"loop/x" if link == b"loop/loop" else b"link/victim"
    with Sender(place, has_openat2=has_openat2) as sender:
        assert send_one(sender, kind, path) == FAST_UNSAFE
        event = sender.wait(FILE_FAILED)
        assert (event.code, event.path) == (FAST_UNSAFE, path)
        assert send_one(sender, SMALL, b"good", 2) == 0  # the session goes on
        sender.finish()
    assert (place / "good").read_bytes() == b"evil"


@pytest.mark.parametrize("has_openat2", [True, False], ids=["openat2", "by_component"])
@pytest.mark.parametrize("kind", [SMALL, LARGE])
@pytest.mark.parametrize("link", ["../outside/victim", "/nowhere", "x"])
def test_planted_file_link_is_replaced_not_followed(place, link, kind, has_openat2):
    os.symlink(link, place / "x")
    with Sender(place, has_openat2=has_openat2) as sender:
        assert send_one(sender, kind, b"x") == 0
        sender.finish()
    assert not (place / "x").is_symlink() and (place / "x").read_bytes() == b"evil"


def test_file_stays_in_the_directory_it_was_begun_in(place, tmp_path):
    """The directory is replaced by a link out while the file's blocks come."""
    with Sender(place) as sender:
        data = bytes(range(256)) * 1024 * 2
        sender.send_large(b"d/x", len(data))
        sender.send_data(data[:BLOCK], id=1)
        sender.send_entries(encode_entry(kind=DIRECTORY, id=2, path=b"e"))
        assert sender.receive_results(1)[0][0] == 2  # so the first block has been taken
        os.rename(place / "d", place / "moved")
        os.symlink("../outside", place / "d")
        sender.send_data(data[BLOCK:], id=1, offset=BLOCK)
        sender.send_large_end(b"d/x", len(data), digest=digest_of(data))
        assert sender.receive_results(1)[0][1] == 0
        assert send_one(sender, SMALL, b"e/y", 3) == 0
        sender.finish()
    assert (place / "moved" / "x").read_bytes() == data


@pytest.mark.parametrize("kind", [SMALL, LARGE, DIRECTORY])
@pytest.mark.parametrize("path", [b"other", b"wanted", b"wanted/x", b"a/b"])
def test_entry_with_a_path_is_refused_where_one_file_was_asked_for(place, path, kind):
    with Sender(place, target_name=b"wanted") as sender:
        assert send_one(sender, kind, path) == FAST_UNSAFE
        assert sender.wait(FILE_FAILED).code == FAST_UNSAFE
        assert send_one(sender, SMALL, b"", 2) == 0
        sender.finish()
    assert os.listdir(place) == ["wanted"]


def test_directory_is_refused_where_one_file_was_asked_for(place):
    mode = place.stat().st_mode
    with Sender(place, target_name=b"wanted") as sender:
        assert send_one(sender, DIRECTORY, b"") == FAST_UNSAFE
        sender.finish()
    assert os.listdir(place) == [] and place.stat().st_mode == mode


@pytest.mark.parametrize("keeps_attributes", [False, True])
def test_setuid_setgid_and_sticky_bits_of_files_are_dropped(place, keeps_attributes):
    with Sender(place, keeps_attributes=keeps_attributes) as sender:
        sender.send_small(b"x", mode=0o7755)
        sender.send_entries(encode_entry(kind=DIRECTORY, id=2, path=b"d", mode=0o6755))
        assert [r[1] for r in sender.receive_results(2)] == [0, 0]
        sender.finish()
    for name in ("x", "d"):
        assert stat.S_IMODE((place / name).stat().st_mode) == 0o755


BAD_ENTRIES = {
    "negative_size": encode_entry(kind=LARGE, id=1, path=b"x", size=1 << 63),
    "all_ones_size": encode_entry(kind=SMALL, id=1, path=b"x", size=(1 << 64) - 1),
    "kind_0": encode_entry(kind=0, id=1, path=b"x"),
    "kind_8": encode_entry(kind=8, id=1, path=b"x"),
    "file_type_in_mode": encode_entry(kind=SMALL, id=1, path=b"x", mode=0o120777),
    "unknown_flag": encode_entry(kind=LARGE, id=1, path=b"x", size=1, flags=8),
    "extras_of_large": encode_entry(kind=LARGE, id=1, path=b"x", size=1, flags=2),
    "abandoned_small": encode_entry(kind=SMALL, id=1, path=b"x", flags=IS_ABANDONED),
    "nanoseconds": encode_entry(kind=SMALL, id=1, path=b"x")[:40] + b"\xff" * 4
    + encode_entry(kind=SMALL, id=1, path=b"x")[44:],
    "cut": encode_entry(kind=SMALL, id=1, path=b"x")[:71],
    "path_cut": encode_entry(kind=SMALL, id=1, path=b"xyz")[:-1],
    "surplus": encode_entry(kind=SMALL, id=1, path=b"x") + b"y",
}  # fmt: skip


@pytest.mark.parametrize("entry", BAD_ENTRIES.values(), ids=BAD_ENTRIES.keys())
def test_malformed_entry_is_refused(place, entry):
    with Sender(place) as sender:
        sender.send_entries(entry)
        assert sender.wait(FATAL).code == FAST_PROTOCOL
    assert os.listdir(place) == []


BAD_MESSAGES = {
    "empty": b"",
    "seven_bytes": bytes(7),
    "type_0": encode_meta(0, 0, b""),
    "type_5": encode_meta(5, 0, b""),
    "hello_again": encode_meta(1, 1, bytes(8)),
    "results": encode_meta(3, 1, bytes(32)),
    "end_compressed": encode_meta(END, 1, zstandard.compress(bytes(16)), 1, raw_bytes=16),
    "end_of_two": encode_meta(END, 2, bytes(16)),
    "end_cut": encode_meta(END, 1, bytes(15)),
    "unknown_flag": encode_meta(ENTRIES, 0, b"", 2),
    "count_beyond": encode_meta(ENTRIES, 65535, b""),
    "count_1025": encode_meta(ENTRIES, 1025, encode_entry(kind=DIRECTORY, id=1, path=b"x") * 1025),
    "count_lie": encode_meta(ENTRIES, 1024, encode_entry(kind=DIRECTORY, id=1, path=b"x")),
    "count_0_of_1": encode_meta(ENTRIES, 0, encode_entry(kind=SMALL, id=1, path=b"x")),
    "raw_bytes_lie": encode_meta(ENTRIES, 0, b"", raw_bytes=1),
    "raw_bytes_beyond": encode_meta(ENTRIES, 0, b"", 1, raw_bytes=MAX_BODY + 1),
    "raw_bytes_4_gib": encode_meta(ENTRIES, 0, b"", 1, raw_bytes=(1 << 32) - 1),
    "bomb": encode_meta(ENTRIES, 1024, zstandard.compress(bytes(1 << 30)), 1, raw_bytes=MAX_BODY),
    "bomb_small": encode_meta(ENTRIES, 1, zstandard.compress(bytes(1 << 20)), 1, raw_bytes=72),
    "zstd_short": encode_meta(ENTRIES, 1, zstandard.compress(bytes(72)), 1, raw_bytes=100),
    "zstd_garbage": encode_meta(ENTRIES, 1, b"\x28\xb5\x2f\xfd" + b"\xff" * 60, 1, raw_bytes=100),
    "zstd_two_frames": encode_meta(ENTRIES, 0, zstandard.compress(bytes(72)) + b"x", 1, raw_bytes=72),
}


@pytest.mark.parametrize("payload", BAD_MESSAGES.values(), ids=BAD_MESSAGES.keys())
def test_malformed_message_is_refused(place, payload):
    with Sender(place) as sender:
        sender.send(payload)
        assert sender.wait(FATAL).code == FAST_PROTOCOL
    assert [name for name in os.listdir(place) if name != "x"] == []


@pytest.mark.parametrize("has_compression", [False, True])
def test_decompression_bomb_in_a_block_is_refused(place, has_compression):
    bomb = zstandard.compress(bytes(1 << 30))
    with Sender(place, has_compression=has_compression) as sender:
        sender.send_large(b"x", BLOCK)
        header = bytes(16) + BLOCK.to_bytes(4, "big") + IS_ZSTD.to_bytes(4, "big") + bytes(40)
        sender.send(header[:7] + b"\x01" + header[8:] + bomb, is_data=True)
        expect_fatal(sender, FAST_PROTOCOL, "decompress")
    assert os.listdir(place) == []


@pytest.mark.parametrize("n", [4, 3, 5])
def test_wrong_digest_leaves_no_file(place, n):
    """The contents differ from the digest that their own sender gave."""
    with Sender(place) as sender:
        sender.send_small(b"x", b"evil", digest=digest_of(b"good"))
        sender.send_large(b"y", n, id=2)
        sender.send_data(b"evils"[:n], id=2)
        sender.send_large_end(b"y", n, id=2, digest=bytes(16))
        assert [r[1] for r in sender.receive_results(2)] == [FAST_DIGEST, FAST_DIGEST]
        sender.finish()
    assert os.listdir(place) == []


def test_abandoned_file_is_discarded_without_an_event(place):
    with Sender(place) as sender:
        sender.send_large(b"x", 2 * BLOCK)
        sender.send_data(bytes(BLOCK), id=1)
        sender.send_large_end(b"x", BLOCK, flags=IS_ABANDONED)
        assert sender.receive_results(1)[0][1] == FAST_STOPPED
        sender.assert_silent()
        sender.finish()
    assert os.listdir(place) == []


@pytest.mark.parametrize("has_openat2", [True, False], ids=["openat2", "by_component"])
def test_directory_that_keeps_changing_into_a_link_lets_nothing_out(place, has_openat2):
    """A local accomplice swaps a directory and a link while files come; more directories than are cached."""
    (place / "d").mkdir()
    os.symlink("../outside", place / "e")
    libc = ctypes.CDLL(None, use_errno=True)
    names = [os.fsencode(place / "d"), os.fsencode(place / "e")]
    is_over = threading.Event()

    def swap():
        while not is_over.is_set():
            libc.renameat2(-100, names[0], -100, names[1], 2)  # RENAME_EXCHANGE

    accomplice = threading.Thread(target=swap)
    accomplice.start()
    try:
        with Sender(place, has_openat2=has_openat2) as sender:
            codes = set()
            for turn in range(40):
                paths = [b"d/%d" % turn] + [b"%d/x" % i for i in range(8)]
                entries = [
                    encode_entry(kind=SMALL, id=1 + turn * 9 + i, path=path, size=1, digest=digest_of(b"x"))
                    for i, path in enumerate(paths)
                ]
                sender.send_entries(*entries)
                sender.send_data(b"x" * len(entries), flags=IS_BUNDLE)
                results = sender.receive_results(len(entries))
                assert all(result[1] == 0 for result in results[1:])
                codes.add(results[0][1])
                sender.plane.take_events()
            assert codes <= {0, FAST_UNSAFE, FAST_SYS}
            sender.finish()
    finally:
        is_over.set()
        accomplice.join()
