"""Where links are not followed, nobody who may write to a tree leads its copy out of it while it runs."""

import errno
import os
import time

import pytest

from escp._fast.planes.plane import FILE_FAILED
from tests.support.loopback import Loopback

N_FILES = 700  # more than wait in the queue and in one bundle: a walker stops among them
SECRET = b"secret" * 3000

BY = pytest.mark.parametrize("has_openat2", [True, False], ids=["openat2", "by_component"])


def fill(folder, contents):
    folder.mkdir(parents=True)
    for i in range(N_FILES):
        (folder / f"f{i}").write_bytes(contents)


@pytest.fixture
def trees(tmp_path):
    """tree/p/x and tree/p/y, and beside them what must not be read: the same names, other contents."""
    for folder in ("x", "y"):
        fill(tmp_path / "tree" / "p" / folder, b"inside" * 3000)
        fill(tmp_path / "outside" / folder, SECRET)
        os.setxattr(tmp_path / "outside" / folder, "user.secret", b"1")
    return tmp_path / "tree", tmp_path / "outside"


def wait_until_it_stands(sender):
    """The walker has found something, and waits for room."""
    end_s = time.monotonic() + 10
    before = None
    while (now := sender.counters()["found_files"]) != before or now == 0 or sender.counters()["is_walked"]:
        before = now
        assert time.monotonic() < end_s, sender.counters()
        time.sleep(0.3)


def swap_parent(tree, outside):
    (tree / "p").rename(tree.parent / "old")
    (tree / "p").symlink_to(outside)


def swap_directories(tree, outside):
    for name in ("x", "y"):
        (tree / "p" / name).rename(tree.parent / f"old-{name}")
        (tree / "p" / name).symlink_to(outside / name)


def swap_source_for_a_link(tree, outside):
    tree.rename(tree.parent / "old")
    (tree.parent / "fake").mkdir()
    (tree.parent / "fake" / "p").symlink_to(outside)
    tree.symlink_to("fake")


def swap_source_for_a_directory(tree, outside):
    tree.rename(tree.parent / "old")
    tree.mkdir()
    outside.rename(tree / "p")


SWAPS = [swap_parent, swap_directories, swap_source_for_a_link, swap_source_for_a_directory]


def assert_nothing_from_outside(target):
    for folder, _, files in os.walk(target):
        assert "user.secret" not in os.listxattr(folder)
        for name in files:
            assert (target / folder / name).read_bytes() != SECRET


@BY
@pytest.mark.parametrize("swap", SWAPS)
def test_directory_that_becomes_a_link_leads_nowhere(trees, target, swap, has_openat2):
    tree, outside = trees
    sending = {"keeps_links": True, "keeps_xattrs": True, "n_walkers": 1, "has_openat2": has_openat2}
    receiving = {"keeps_links": True, "keeps_xattrs": True}
    with Loopback(target, sending=sending, receiving=receiving, buffer_bytes=4096) as loopback:
        loopback.sender.start()
        loopback.add((os.fsencode(tree), b"tree"))
        wait_until_it_stands(loopback.sender)
        swap(tree, outside)
        loopback.receiver.start()
        outcome = loopback.run_to_end()
    assert_nothing_from_outside(target)
    assert all(is_sender and event.kind == FILE_FAILED for is_sender, event in outcome.events)
    if swap in (swap_parent, swap_directories):
        assert errno.ELOOP in {event.errno for _, event in outcome.events}
    assert outcome.sent["files"] >= N_FILES  # what had been found before


@BY
@pytest.mark.parametrize("compares_digests", [False, True])
@pytest.mark.parametrize("swap", SWAPS)
def test_wanted_file_is_opened_in_the_tree_where_it_was_found(
    trees, target, swap, compares_digests, has_openat2
):
    tree, outside = trees
    both = {"selection": "changed", "compares_digests": compares_digests}
    if compares_digests:  # the same size: the receiver's digest comes, and the sender reads its own
        for folder in ("x", "y"):
            fill(target / "tree" / "p" / folder, b"other!" * 3000)
    sending = {"keeps_links": True, "n_walkers": 1, "has_openat2": has_openat2}
    with Loopback(target, both=both, sending=sending, receiving={"keeps_links": True}) as loopback:
        loopback.sender.start()  # the receiver does not answer yet
        loopback.add((os.fsencode(tree), b"tree"))
        end_s = time.monotonic() + 10
        while loopback.sender.counters()["bytes_network"] == 0:
            assert time.monotonic() < end_s
            time.sleep(0.01)
        time.sleep(0.3)
        swap(tree, outside)
        loopback.receiver.start()
        outcome = loopback.run_to_end()
    assert_nothing_from_outside(target)
    assert all(is_sender and event.kind == FILE_FAILED for is_sender, event in outcome.events)


@BY
@pytest.mark.parametrize("source", ["tree", "tree/", "tree//", "./tree/.", "link/", "tree/../tree"])
def test_every_way_to_write_a_source_leads_to_all_of_it(tmp_path, target, monkeypatch, source, has_openat2):
    (tmp_path / "tree" / "a" / "b").mkdir(parents=True)
    (tmp_path / "tree" / "a" / "b" / "c").write_bytes(b"c")
    (tmp_path / "tree" / "f").write_bytes(b"f")
    (tmp_path / "link").symlink_to("tree")
    monkeypatch.chdir(tmp_path)
    sending = {"keeps_links": True, "keeps_xattrs": True, "has_openat2": has_openat2}
    with Loopback(target, sending=sending, receiving={"keeps_links": True}) as loopback:
        loopback.start()
        loopback.add((os.fsencode(source), b"new"))
        assert loopback.run_to_end().events == []
    assert (target / "new" / "a" / "b" / "c").read_bytes() == b"c"
    assert (target / "new" / "f").read_bytes() == b"f"


@BY
def test_many_sources_leave_no_descriptor(tmp_path, target, has_openat2):
    """One descriptor a thread, whatever the number of sources."""
    for i in range(200):
        (tmp_path / "trees" / f"t{i}" / "d").mkdir(parents=True)
        (tmp_path / "trees" / f"t{i}" / "d" / "f").write_bytes(b"f")
    sending = {"keeps_links": True, "keeps_xattrs": True, "has_openat2": has_openat2}
    before = len(os.listdir("/proc/self/fd"))
    with Loopback(target, sending=sending, receiving={"keeps_links": True}) as loopback:
        loopback.start()
        loopback.add(*((os.fsencode(tmp_path / "trees" / f"t{i}"), b"t%d" % i) for i in range(200)))
        assert loopback.run_to_end().events == []
    assert len(os.listdir("/proc/self/fd")) <= before + 1
    assert len(list(target.glob("t*/d/f"))) == 200
