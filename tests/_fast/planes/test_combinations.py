"""Options that meet: links and names of a file with local copies, allowed names, selections and dry runs."""

import os
import stat
from pathlib import Path

import pytest

from escp._fast.crypto.digest import digest_of
from escp._fast.planes.plane import FATAL, LISTED
from escp._fast.wire.payloads import encode_entry
from escp.failures import FAST_SAME_FILE, FAST_UNSAFE
from tests._fast.files.test_links import HARD_LINKS, LINKS, device, hard_link, link
from tests._fast.planes.test_local import copy_local, copy_shrinking, shared, told_by_sender  # noqa: F401
from tests.support.loopback import BLOCK, Loopback, copy
from tests.support.peers import DIRECTORY, Sender

ROOTS = {"has_roots": True, "keeps_hard_links": True, "keeps_links": True, "keeps_devices": True}
HOLES = {"sending": {"is_sparse": True, "keeps_xattrs": True},
         "receiving": {"is_sparse": True, "keeps_xattrs": True}}  # fmt: skip


def expect_unsafe_name(sender):
    event = sender.wait(FATAL)
    assert (event.code, event.where) == (FAST_UNSAFE, "name")


# ---- Local copies -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["link", "fifo"])
def test_link_or_device_is_not_replaced_by_itself(tmp_path, kind):
    source = tmp_path / "x"
    source.symlink_to("nowhere") if kind == "link" else os.mkfifo(source)
    before = os.lstat(source)
    outcome = copy_local(
        source,
        tmp_path,
        sending={"keeps_links": True, "keeps_devices": True},
        receiving={"keeps_links": True, "keeps_devices": True},
    )
    assert told_by_sender(outcome) == [(FAST_SAME_FILE, b"x")]
    after = os.lstat(source)
    assert (after.st_ino, after.st_ctime_ns) == (before.st_ino, before.st_ctime_ns)
    assert os.listdir(tmp_path) == ["x"]


def test_another_name_does_not_replace_the_source(tmp_path, target):
    (tmp_path / "x").write_bytes(b"data")
    os.link(tmp_path / "x", tmp_path / "y")
    os.link(tmp_path / "x", target / "old")
    # One walker: with two either name may be found first, and the other one fails with it.
    sending = {**HARD_LINKS["sending"], "n_walkers": 1}
    with Loopback(target, is_local=True, sending=sending, receiving=HARD_LINKS["receiving"]) as loopback:
        loopback.start()
        loopback.add((os.fsencode(tmp_path / "x"), b"new"), (os.fsencode(tmp_path / "y"), b"old"))
        outcome = loopback.run_to_end()
    assert told_by_sender(outcome) == [(FAST_SAME_FILE, b"old")]
    assert (target / "old").stat().st_ino == (tmp_path / "x").stat().st_ino
    assert (target / "new").stat().st_nlink == 1 and (target / "new").read_bytes() == b"data"


def make_holes(folder):
    folder.mkdir()
    for name, size, offset in (("all", 8 << 20, None), ("behind", 8 << 20, 0), ("before", 8 << 20, 7 << 20)):
        with open(folder / name, "wb") as file:
            file.truncate(size)
            if offset is not None:
                file.seek(offset)
                file.write(os.urandom(1 << 20))
            file.flush()
            os.fsync(file.fileno())
        os.setxattr(folder / name, "user.name", name.encode())
    return folder


@pytest.mark.parametrize("n_streams", [1, 4])
@pytest.mark.parametrize("is_shared", [False, True], ids=["read", "cloned"])
def test_holes_and_attributes_in_local_copies(tmp_path, request, is_shared, n_streams):
    place = request.getfixturevalue("shared") if is_shared else tmp_path
    tree = make_holes(place / "tree")
    (place / "target").mkdir()
    outcome = copy_local(tree, place / "target", n_streams=n_streams, **HOLES)
    assert outcome.events == []
    assert outcome.sent["files"] == outcome.received["files"] == 3
    # A file that shares its extents is counted whole, of one that is read only what is no hole.
    assert outcome.sent["bytes"] == outcome.sent["found_bytes"] == (24 << 20 if is_shared else 2 << 20)
    for name, n_data in (("all", 0), ("behind", 1 << 20), ("before", 1 << 20)):
        path = place / "target" / "tree" / name
        assert path.read_bytes() == (tree / name).read_bytes()
        assert os.getxattr(path, "user.name") == name.encode()
        assert n_data <= path.stat().st_blocks * 512 < n_data + (1 << 18)


def test_large_file_of_which_nothing_could_be_read_is_given_up(tmp_path, target):
    """The receiver of a local copy knows of a file before its first block is read."""
    copy_shrinking(tmp_path, target, 4 << 20, 0)


# ---- Allowed names ----------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", [link(b"x", b"y"), hard_link(b"x", b"file"), device(b"x")])
def test_links_and_devices_need_to_be_asked_for_by_name(target, entry):
    with Sender(target, **ROOTS) as sender:
        sender.plane.allow(b"file")
        sender.send_small(b"file", id=9)
        assert sender.receive_results(1)[0][:2] == (9, 0)
        sender.send_entries(entry)
        expect_unsafe_name(sender)
    assert os.listdir(target) == ["file"]


@pytest.mark.parametrize("entry", [link(b"x", b"y"), device(b"x")])
def test_name_that_was_asked_for_may_be_a_link_once(target, entry):
    with Sender(target, **ROOTS) as sender:
        sender.plane.allow(b"x")
        sender.send_entries(entry)
        assert sender.receive_results(1)[0][1] == 0
        sender.send_small(b"x", id=2)
        expect_unsafe_name(sender)
    assert not stat.S_ISREG(os.lstat(target / "x").st_mode)


@pytest.mark.parametrize("first", [b"secret", b"e/secret", b"file", b"d", b"dd/x"])
def test_hard_link_to_what_has_not_come_is_refused(target, first):
    """What was there before gets no other name: neither what nobody asked for, nor what has yet to come."""
    for name in (b"secret", b"e/secret", b"file", b"dd/x"):
        path = Path(os.fsdecode(os.path.join(os.fsencode(target), name)))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"old")
    with Sender(target, **ROOTS) as sender:
        for name, is_directory in ((b"file", False), (b"new", False), (b"d", True)):
            sender.plane.allow(name, is_directory)
        sender.send_entries(hard_link(b"new", first))
        expect_unsafe_name(sender)
    assert not (target / "new").exists()


@pytest.mark.parametrize("size", [4, BLOCK])
def test_hard_link_to_a_file_that_has_come_is_made(target, size):
    with Sender(target, **ROOTS) as sender:
        for name in (b"x", b"y", b"z"):
            sender.plane.allow(name)
        if size == BLOCK:
            sender.send_large(b"x", size)
            sender.send_data(bytes(size), id=1)
            sender.send_large_end(b"x", size, digest=digest_of(bytes(size)))
        else:
            sender.send_small(b"x", bytes(size))
        assert sender.receive_results(1)[0][:2] == (1, 0)
        sender.send_entries(hard_link(b"y", b"x", id=2), hard_link(b"z", b"y", id=3))
        assert [code for _, code, *_ in sender.receive_results(2)] == [0, 0]
        sender.send_small(b"x", id=4)  # that it may be linked to does not mean that it may come again
        expect_unsafe_name(sender)
    assert (target / "x").stat().st_nlink == 3


def test_hard_link_into_a_directory_that_is_finished_is_made(target):
    with Sender(target, **ROOTS) as sender:
        sender.plane.allow(b"d", is_directory=True)
        sender.plane.allow(b"y")
        sender.send_small(b"d/x")
        sender.send_entries(hard_link(b"d/z", b"d/x", id=2))
        assert [code for _, code, *_ in sender.receive_results(2)] == [0, 0]
        sender.send_entries(encode_entry(kind=DIRECTORY, id=3, path=b"d", mode=0o755))
        sender.send_entries(hard_link(b"y", b"d/x", id=4))
        assert [code for _, code, *_ in sender.receive_results(2)] == [0, 0]
        sender.send_small(b"d/new", id=5)
        expect_unsafe_name(sender)
    assert (target / "y").stat().st_nlink == 3 and sorted(os.listdir(target / "d")) == ["x", "z"]


# ---- Selections, sources that wait, dry runs ----------------------------------------------------------


@pytest.mark.parametrize("is_local", [False, True], ids=["tcp", "local"])
@pytest.mark.parametrize("selection", ["changed", "newer"])
def test_links_are_not_asked_about_and_never_read_through(tmp_path, target, selection, is_local):
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in ("file", "led_to"):
        (tree / name).write_bytes(b"data")
        os.utime(tree / name, ns=(1, 10**18))
    os.symlink("led_to", tree / "link")
    options = {
        "is_local": is_local,
        "sending": {"keeps_links": True, "selection": selection},
        "receiving": {"keeps_links": True, "keeps_attributes": True, "selection": selection},
    }
    (target / "tree").mkdir()
    (target / "tree" / "link").write_bytes(b"data")  # as large and as old as what the link leads to
    os.utime(target / "tree" / "link", ns=(1, 10**18))
    (target / "tree" / "led_to").symlink_to("file")  # no regular file, whatever it leads to
    outcome = copy(tree, target, **options)
    assert outcome.events == []
    assert (outcome.sent["files"], outcome.sent["skipped"]) == (3, 0)
    assert os.readlink(target / "tree" / "link") == "led_to"
    assert not (target / "tree" / "led_to").is_symlink()
    again = copy(tree, target, **options)
    assert again.events == [] and (again.sent["files"], again.sent["skipped"]) == (1, 2)


@pytest.mark.parametrize("is_local", [False, True], ids=["tcp", "local"])
def test_names_of_a_file_that_are_wanted_stay_one_file(tmp_path, target, is_local):
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "a").write_bytes(b"data")
    for name in ("b", "c"):
        os.link(tree / "a", tree / name)
    options = {
        "is_local": is_local,
        "sending": {**HARD_LINKS["sending"], "selection": "changed"},
        "receiving": {**HARD_LINKS["receiving"], "keeps_attributes": True, "selection": "changed"},
    }
    outcome = copy(tree, target, **options)
    assert outcome.events == [] and outcome.sent["bytes"] == 4
    assert {(target / "tree" / name).stat().st_nlink for name in "abc"} == {3}
    again = copy(tree, target, **options)
    assert again.events == [] and (again.sent["files"], again.sent["skipped"]) == (0, 3)


@pytest.mark.parametrize("is_local", [False, True], ids=["tcp", "local"])
def test_source_that_waits_comes_behind_all_names_of_a_file(tmp_path, target, is_local):
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "0").write_bytes(b"first")
    for i in range(1, 300):
        os.link(tree / "0", tree / str(i))
    (tmp_path / "later").mkdir()
    for i in range(300):
        (tmp_path / "later" / str(i)).write_bytes(b"later")
    with Loopback(target, n_streams=2, is_local=is_local, **HARD_LINKS) as loopback:
        loopback.start()
        assert loopback.sender.add_source(os.fsencode(tree), b"t")
        assert loopback.sender.add_source(os.fsencode(tmp_path / "later"), b"t", waits=True)
        loopback.sender.end_sources()
        outcome = loopback.run_to_end()
    assert outcome.events == []
    assert {path.read_bytes() for path in (target / "t").iterdir()} == {b"later"}


@pytest.mark.parametrize("is_local", [False, True], ids=["tcp", "local"])
@pytest.mark.parametrize("selection", ["all", "changed"])
def test_dry_run_says_what_is_a_link_or_a_device(tmp_path, target, selection, is_local):
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_bytes(b"data")
    os.symlink("nowhere", tree / "link")
    os.mkfifo(tree / "fifo")
    os.link(tree / "file", tree / "other")
    sending = {"keeps_links": True, "keeps_devices": True, "keeps_hard_links": True}
    receiving = {"selection": selection, "keeps_links": True}
    outcome = copy(
        tree, target, is_local=is_local, receiving=receiving,
        sending={**sending, "is_dry_run": True, "selection": selection},
    )  # fmt: skip
    assert all(event.kind == LISTED for _, event in outcome.events)
    assert {event.path: (event.where, event.offset) for _, event in outcome.events} == {
        b"tree": ("directory", 0),
        b"tree/file": ("file", 4),
        b"tree/other": ("file", 4),
        b"tree/link": ("link", 0),
        b"tree/fifo": ("device", 0),
    }
    assert outcome.sent["files"] == 4 and os.listdir(target) == []


def test_excluded_first_name_leaves_the_others(tmp_path, target):
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "a").write_bytes(b"data")
    os.link(tree / "a", tree / "b")
    outcome = copy(
        tree, target, sending={**HARD_LINKS["sending"], "filters": [(False, b"a")]},
        receiving={**HARD_LINKS["receiving"], **LINKS["receiving"]},
    )  # fmt: skip
    assert outcome.events == [] and (target / "tree" / "b").read_bytes() == b"data"
    assert os.listdir(target / "tree") == ["b"]
