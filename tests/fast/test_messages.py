"""Metadata of any length: what does not fit one message goes in the next, whatever filled it."""

import ctypes
import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from escp._fast.wire import decode_entries, encode_entry, encode_meta
from tests.fast.loopback import BLOCK, Loopback, copy
from tests.fast.peers import ENTRIES, LARGE, LARGE_END, SMALL, Receiver, unpack

MIB = 1 << 20
M_PERTURB = -6  # mallopt(3)

IN_BOTH = pytest.mark.parametrize("is_local", [False, True], ids=["tcp", "local"])
EVERYTHING = {
    "sending": {"follows_links": False, "keeps_hard_links": True, "keeps_xattrs": True, "keeps_acls": True},
    "receiving": {"makes_links": True, "makes_hard_links": True, "keeps_xattrs": True, "keeps_acls": True},
}


def make_deep(top, n_bytes):
    """A directory whose path below *top*'s parent is some *n_bytes* long."""
    at = top
    while n_bytes > len(at.relative_to(top.parent).as_posix()):
        at = at / ("d" * min(200, n_bytes))
    at.mkdir(parents=True)
    return at


def fill_with_hard_links(top):
    """As somebody may who wants the copy to end badly: few entries with extras, many without behind them."""
    deep = make_deep(top, 1400)
    (deep / "first").write_bytes(b"1")
    for i in range(120):
        (deep / f"link-{i}").hardlink_to(deep / "first")
    for i in range(900):
        (deep / f"small-{i}").write_bytes(b"%d" % i)


def fill_with_attributes(top):
    deep = make_deep(top, 1200)
    for i in range(200):
        path = deep / f"f{i}"
        path.write_bytes(b"%d" % i)
        if i % 3:
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
            contents = os.readlink(path) if is_link else name in files and open(path, "rb").read()
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
    """Seen on the wire, by a receiver that is not ours: the sender's own buffers are no longer than that."""
    fill_with_hard_links(tmp_path / "tree")
    sizes, n_small = [], 0
    with Receiver((os.fsencode(tmp_path / "tree"), b"tree")) as receiver:
        while n_small < 900:
            is_data, payload = receiver.receive_frame()
            if is_data:
                continue
            body = unpack(payload)
            sizes.append(len(body))
            n_small += sum(entry["kind"] == SMALL for entry in decode_entries(body))
    assert max(sizes) <= 1 << 18


@given(st.binary(max_size=300), st.binary(max_size=300), st.integers(-40, 40))
def test_entry_is_written_only_where_it_has_room(path, extras, more):
    whole = encode_entry(kind=SMALL, id=1, path=path, extras=extras)
    room = len(whole) + more
    assert encode_entry(kind=SMALL, id=1, path=path, extras=extras, room=room) == (whole if more >= 0 else b"")


def test_failed_file_leaves_the_message_whole(tmp_path, target):
    """Its entry was composed before it was read, and is taken back."""
    source = tmp_path / "tree"
    source.mkdir()
    for i in range(40):
        (source / f"f{i}").write_bytes(b"%d" % i * 100)
    with Loopback(target) as loopback:
        loopback.sender.start()
        loopback.add((os.fsencode(source), b"tree"))
        loopback.receiver.start()
        outcome = loopback.run_to_end()
    assert outcome.events == [] and describe(target / "tree") == describe(source)


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


def test_large_entries_are_told_of_in_messages_of_their_own(tmp_path):
    (tmp_path / "large").write_bytes(b"x" * 3 * BLOCK)
    with Receiver((os.fsencode(tmp_path / "large"), b"large")) as receiver:
        kinds = []
        while LARGE_END not in kinds:
            kinds += [entry["kind"] for entry in receiver.receive_entries()]
    assert kinds == [LARGE, LARGE_END]
    assert encode_meta(ENTRIES, 1, b"")[0] == ENTRIES
