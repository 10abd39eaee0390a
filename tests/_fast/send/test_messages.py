"""Metadata of any length: what does not fit one message goes in the next, whatever filled it."""

import ctypes
import os
import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from escp._fast.wire.payloads import decode_entries, encode_entry
from escp.failures import FAST_CHANGED
from tests.support.loopback import BLOCK, Loopback, copy
from tests.support.peers import HARD_LINK, SMALL, Receiver, unpack

M_PERTURB = -6  # mallopt(3)

IN_BOTH = pytest.mark.parametrize("is_local", [False, True], ids=["tcp", "local"])
EVERYTHING = {
    "sending": {"keeps_links": True, "keeps_hard_links": True, "keeps_xattrs": True, "keeps_acls": True},
    "receiving": {"keeps_links": True, "keeps_hard_links": True, "keeps_xattrs": True, "keeps_acls": True},
}


def make_deep(top, n_bytes):
    """A directory whose path below *top*'s parent is some *n_bytes* long."""
    at = top
    while n_bytes > len(at.relative_to(top.parent).as_posix()):
        at = at / ("d" * min(200, n_bytes))
    at.mkdir(parents=True)
    return at


def fill_with_hard_links(top, n_times=1):
    """As somebody may who wants the copy to end badly: few entries with extras, many without behind them."""
    deep = make_deep(top, 1400)
    (deep / "first").write_bytes(b"1")
    for i in range(900):  # mixed, whether a listing is in order or not
        (deep / f"small-{i}").write_bytes(b"%d" % i * n_times)
        if i % 6 == 0:
            (deep / f"link-{i}").hardlink_to(deep / "first")


def fill_with_attributes(top):
    deep = make_deep(top, 1200)
    for i in range(400):
        path = deep / f"f{i}"
        path.write_bytes(b"%d" % i)
        if i % 2:
            os.setxattr(path, "user.long", b"%d" % i * 1000)


def fill_with_links(top):
    deep = make_deep(top, 3000)
    text = b"/".join([b"n" * 255] * 16)[:4095]
    for i in range(150):
        os.symlink(text, os.fsencode(deep / f"l{i}"))
        (deep / f"f{i}").write_bytes(b"%d" % i)


def fill_with_directories(top):
    deep = make_deep(top, 1000)
    for i in range(150):
        (deep / f"d{i}").mkdir()
        if i % 2:
            os.setxattr(deep / f"d{i}", "user.long", b"%d" % i * 1000)


def fill_with_large_files(top):
    deep = make_deep(top, 3800)
    for i in range(4):
        (deep / f"large-{i}").write_bytes(b"%d" % i * 300_000)
        os.setxattr(deep / f"large-{i}", "user.long", b"%d" % i * 3000)


TREES = {
    "hard_links": fill_with_hard_links,
    "attributes": fill_with_attributes,
    "links": fill_with_links,
    "directories": fill_with_directories,
    "large": fill_with_large_files,
}


def describe(top):
    """What is below *top*: paths, contents or texts, attributes, and which names are of one file."""
    found, inodes = {}, {}
    for folder, directories, files in os.walk(top):
        for name in (*directories, *files):
            path = os.path.join(folder, name)
            is_link = os.path.islink(path)
            contents = os.readlink(path) if is_link else name in files and Path(path).read_bytes()
            attributes = {x: os.getxattr(path, x, follow_symlinks=False)
                          for x in os.listxattr(path, follow_symlinks=False)}  # fmt: skip
            found[os.path.relpath(path, top)] = contents, attributes
            if name in files and not is_link:
                inodes.setdefault(os.stat(path).st_ino, set()).add(os.path.relpath(path, top))
    return found, {frozenset(names) for names in inodes.values()}


@IN_BOTH
@pytest.mark.parametrize("n_streams", [1, 3])
@pytest.mark.parametrize("kind", TREES)
def test_message_ends_where_its_room_ends(tmp_path, target, kind, n_streams, is_local):
    TREES[kind](tmp_path / "tree")
    outcome = copy(tmp_path / "tree", target, n_streams=n_streams, is_local=is_local, **EVERYTHING)
    assert outcome.events == []
    assert describe(target / "tree") == describe(tmp_path / "tree")


@IN_BOTH
@pytest.mark.parametrize("n_streams", [1, 2])
def test_hard_links_among_small_files(tmp_path, target, n_streams, is_local):
    """The first name is there already, so the others go in the same messages as files without extras."""
    fill_with_hard_links(tmp_path / "tree")
    first = next((tmp_path / "tree").rglob("first"))
    (tmp_path / "first").hardlink_to(first)
    with Loopback(target, n_streams=n_streams, is_local=is_local, **EVERYTHING) as loopback:
        loopback.start()
        assert loopback.sender.add_source(os.fsencode(tmp_path / "first"), b"first")
        end_s = time.monotonic() + 10
        while loopback.sender.counters()["files"] == 0:
            assert time.monotonic() < end_s
            time.sleep(0.01)
        loopback.add((os.fsencode(tmp_path / "tree"), b"tree"))
        outcome = loopback.run_to_end()
    assert outcome.events == []
    assert describe(target / "tree") == describe(tmp_path / "tree")


@IN_BOTH
@pytest.mark.parametrize("has_compression", [False, True])
def test_questions_of_long_names_go_in_several_messages(tmp_path, target, has_compression, is_local):
    deep = make_deep(tmp_path / "tree", 3500)
    for i in range(400):
        (deep / f"f{i}").write_bytes(b"%d" % i)
    both = {"selection": "changed", "has_compression": has_compression}
    outcome = copy(tmp_path / "tree", target, is_local=is_local, both=both)
    assert outcome.events == [] and outcome.sent["files"] == 400
    assert describe(target / "tree") == describe(tmp_path / "tree")


def test_no_message_is_longer_than_the_protocol_allows(tmp_path):
    """Names that waited for the first one's result have long extras; files without any go behind them."""
    fill_with_hard_links(tmp_path / "tree", 1500)
    (tmp_path / "first").hardlink_to(next((tmp_path / "tree").rglob("first")))
    sizes = []
    sources = [(os.fsencode(tmp_path / name), os.fsencode(name)) for name in ("first", "tree")]
    options = {"keeps_hard_links": True, "n_walkers": 1, "buffer_bytes": 4096}
    with Receiver(*sources, **options) as receiver:
        first, *others = receiver.receive_entries()
        kinds = [entry["kind"] for entry in others]
        time.sleep(2)  # the walker fills the queue: nobody takes what is sent
        receiver.send_result(first["id"], digest=first["digest"])
        while kinds.count(SMALL) < 900 or HARD_LINK not in kinds:
            is_data, payload = receiver.receive_frame()
            if not is_data:
                sizes.append(len(unpack(payload)))
                kinds += [entry["kind"] for entry in decode_entries(unpack(payload))]
    assert max(sizes) <= 1 << 18


@given(st.binary(max_size=300), st.binary(max_size=300), st.integers(-40, 40))
def test_entry_is_written_only_where_it_has_room(path, extras, more):
    whole = encode_entry(kind=SMALL, id=1, path=path, extras=extras)
    room = len(whole) + more
    assert encode_entry(kind=SMALL, id=1, path=path, extras=extras, room=room) == (
        whole if more >= 0 else b""
    )


def test_failed_file_leaves_the_message_whole(tmp_path, target):
    """Its entry was composed before it was read, and is taken back."""
    source = tmp_path / "tree"
    source.mkdir()
    for i in range(200):
        (source / f"f{i}").write_bytes(b"%d" % i * 20_000)
    with Loopback(target, buffer_bytes=4096) as loopback:
        loopback.sender.start()  # the receiver takes nothing yet
        loopback.add((os.fsencode(source), b"tree"))
        time.sleep(0.5)
        for i in range(0, 200, 3):
            (source / f"f{i}").write_bytes(b"changed")
        loopback.receiver.start()
        outcome = loopback.run_to_end()
    failed = {os.path.basename(event.path) for _, event in outcome.events}
    assert {event.code for _, event in outcome.events} == {FAST_CHANGED}
    assert failed <= {b"f%d" % i for i in range(0, 200, 3)} and len(failed) > 10
    for i in range(200):
        if b"f%d" % i not in failed:
            assert (target / "tree" / f"f{i}").read_bytes() == b"%d" % i * 20_000


# ---- The dummy engine -------------------------------------------------------------------------------


def test_dummy_engine_sends_nothing_that_lay_in_memory(tmp_path):
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "large").write_bytes(b"x" * 8 * BLOCK)
    for i in range(20):
        (tmp_path / "tree" / f"small-{i}").write_bytes(b"x" * 5000)
    libc = ctypes.CDLL(None)
    libc.mallopt(M_PERTURB, 0x5A)  # memory that is handed out is full of 0xA5 from here on
    try:
        with Receiver((os.fsencode(tmp_path / "tree"), b"tree"), engine="dummy") as receiver:
            seen, n_bytes = [], 0
            while n_bytes < 8 * BLOCK + 20 * 5000:
                is_data, payload = receiver.receive_frame()
                if is_data:
                    seen.append(payload[64:])
                    n_bytes += len(payload) - 64
    finally:
        libc.mallopt(M_PERTURB, 0)
    assert any(not any(contents) for contents in seen)  # a buffer that was used for the first time
    for contents in seen:
        assert not re.search(rb"([^\0])\1{15}", contents)
