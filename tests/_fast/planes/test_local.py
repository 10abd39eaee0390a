"""Copies within one host: both planes joined by a local link. See test_planes.py for what networks share."""

import gc
import os
import random
import shutil
import stat
import subprocess
import threading
import time
from pathlib import Path

import pytest

from escp._fast.planes.plane import FATAL, FILE_FAILED, LISTED
from escp._fast.planes.send_plane import link_local
from escp.failures import (
    FAST_CHANGED,
    FAST_DIGEST,
    FAST_INTO_ITSELF,
    FAST_NEEDS_RECURSIVE,
    FAST_SAME_FILE,
    FAST_SYS,
)
from tests._fast.planes.test_planes import SMALL_BYTES, assert_copied, fill, read_tree
from tests._fast.planes.test_selection import write
from tests.support.loopback import BLOCK, Loopback, copy
from tests.support.planes import receive_plane, send_plane

ENOSPC = 28


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return fill(tmp_path_factory.mktemp("trees") / "tree")


def copy_local(source, target, **options):
    outcome = copy(source, target, is_local=True, **options)
    assert outcome.sent["bytes_network"] == outcome.received["bytes_network"] == 0
    return outcome


def told_by_sender(outcome):
    return sorted((event.code, event.path) for is_sender, event in outcome.events if is_sender)


WAYS = {
    "as_it_is": {},
    "buffered": {"both": {"is_direct": False}},
    "buffered_source": {"sending": {"is_direct": False}},
    "buffered_target": {"receiving": {"is_direct": False}},
    "no_checksum": {"both": {"has_checksum": False}},
    "compression_is_ignored": {"both": {"has_compression": True}},
    "temporary_names": {"receiving": {"has_tmpfile": False}},
    "eight_walkers": {"sending": {"n_walkers": 8}},
}


@pytest.mark.parametrize("options", WAYS.values(), ids=WAYS.keys())
@pytest.mark.parametrize("n_streams", [1, 2])
def test_tree_arrives_whatever_the_way(tree, target, n_streams, options):
    assert_copied(tree, target, copy_local(tree, target, n_streams=n_streams, **options))


@pytest.mark.parametrize("n_streams", [8, 64])
def test_tree_arrives_over_many_streams(tree, target, n_streams):
    assert_copied(tree, target, copy_local(tree, target, n_streams=n_streams))


@pytest.mark.parametrize("block_bytes", [3 << 18, 1 << 20, 1 << 25])
def test_tree_arrives_in_blocks_of_any_length(tmp_path, target, block_bytes):
    (tmp_path / "tree").mkdir()
    sizes = [1, SMALL_BYTES, SMALL_BYTES + 1, block_bytes - 1, block_bytes, block_bytes + 1]
    tree = fill(tmp_path / "tree", sizes)
    assert_copied(tree, target, copy_local(tree, target, n_streams=2, block_bytes=block_bytes))


@pytest.mark.parametrize("n_streams", [1, 4])
def test_more_large_files_arrive_than_can_be_open(tmp_path, target, n_streams):
    tree = tmp_path / "tree"
    tree.mkdir()
    generator = random.Random(1)
    for number in range(300):
        (tree / f"{number}").write_bytes(generator.randbytes(SMALL_BYTES + 1 + 997 * number))
    assert_copied(tree, target, copy_local(tree, target, n_streams=n_streams))


@pytest.mark.parametrize("n_streams", [1, 4])
def test_thousands_of_files_arrive(tmp_path, target, n_streams):
    """More than there are flights (8192)."""
    source = tmp_path / "many"
    for number in range(100):
        (source / f"{number}").mkdir(parents=True)
        for file in range(170):
            (source / f"{number}" / f"{file}").write_bytes(b"%d" % file)
    outcome = copy_local(source, target, n_streams=n_streams)
    assert outcome.events == [] and outcome.received["files"] == outcome.sent["files"] == 17000
    assert read_tree(target / "many") == read_tree(source)


def test_dummy_engine_touches_no_disk(tree, target):
    outcome = copy_local(tree, target, n_streams=2, both={"engine": "dummy"})
    assert outcome.events == [] and os.listdir(target) == []
    assert outcome.sent["files"] == outcome.received["files"] > 0
    assert outcome.received["bytes_disk"] == 0


def test_file_system_without_direct_io(tree, target):
    subprocess.run(["mount", "-t", "tmpfs", "none", target], check=True)
    try:
        assert_copied(tree, target, copy_local(tree, target, n_streams=2))
        shutil.rmtree(target / "tree")
    finally:
        subprocess.run(["umount", target], check=True)


def test_contents_go_into_a_pipe(tmp_path):
    source = tmp_path / "x"
    source.write_bytes(os.urandom(3 * BLOCK + 5))
    reader, writer = os.pipe()
    with subprocess.Popen(["cat"], stdin=reader, stdout=subprocess.PIPE) as cat:
        os.close(reader)
        with Loopback(tmp_path, is_local=True, receiving={"in_place_fd": writer}) as loopback:
            loopback.start()
            loopback.add((os.fsencode(source), b"x"))
            os.set_inheritable(writer, False)
            # More than a pipe holds: `cat` has to read while the planes run.
            found = []
            reading = threading.Thread(target=lambda: found.append(cat.stdout.read()))
            reading.start()
            outcome = loopback.run_to_end()
        os.close(writer)
        reading.join()
    assert outcome.events == [] and found == [source.read_bytes()]


@pytest.mark.parametrize("keeps_attributes", [True, False])
def test_modes_and_times(tmp_path, target, keeps_attributes):
    source = tmp_path / "tree"
    (source / "d").mkdir(parents=True)
    for name, size, mode in (("x", 1, 0o751), ("y", SMALL_BYTES + 1, 0o400)):
        (source / "d" / name).write_bytes(bytes(size))
        os.chmod(source / "d" / name, mode)
    os.chmod(source / "d", 0o550)
    for path in (source / "d" / "x", source / "d" / "y", source / "d"):
        os.utime(path, ns=(10**18 + 1, 10**18 + 123_456_789))
    outcome = copy_local(source, target, n_streams=2, receiving={"keeps_attributes": keeps_attributes})
    assert outcome.events == []
    for path in ("d", "d/x", "d/y"):
        before, after = (source / path).stat(), (target / "tree" / path).stat()
        umask = 0 if keeps_attributes or path == "d" else 0o22
        assert stat.S_IMODE(after.st_mode) == stat.S_IMODE(before.st_mode) & ~umask
        assert (after.st_mtime_ns == before.st_mtime_ns) is keeps_attributes


# ---- Selections: see test_selection.py ----------------------------------------------------------------


@pytest.mark.parametrize("n_streams", [1, 4])
@pytest.mark.parametrize("compares_digests", [True, False])
def test_selection_sends_what_differs(tmp_path, target, n_streams, compares_digests):
    """Questions are answered, and files read for it, while blocks of others are at the disk."""
    tree = tmp_path / "tree"
    for number in range(120):
        write(tree / f"{number % 7}" / f"{number}", os.urandom(number % 4 * BLOCK + 1000))
        if number % 3 == 0:
            there = target / "tree" / f"{number % 7}" / f"{number}"
            data = (tree / f"{number % 7}" / f"{number}").read_bytes()
            other = data[:-1] + bytes([data[-1] ^ 1]) if compares_digests else data + b"?"
            write(there, data if number % 2 else other)
    selection = {"selection": "changed", "compares_digests": compares_digests}
    outcome = copy_local(tree, target, n_streams=n_streams, both=selection)
    assert outcome.events == [] and read_tree(target / "tree") == read_tree(tree)
    assert (outcome.sent["skipped"], outcome.sent["files"], outcome.received["files"]) == (20, 100, 100)


def test_dry_run_makes_nothing(tree, target):
    with Loopback(target, is_local=True, sending={"is_dry_run": True}) as loopback:
        loopback.start()
        loopback.add((os.fsencode(tree), b"tree"))
        outcome = loopback.run_to_end()
    assert {event.kind for _, event in outcome.events} == {LISTED} and os.listdir(target) == []
    assert len(outcome.events) == len(read_tree(tree)) + 1


# ---- Failures ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [100, SMALL_BYTES, SMALL_BYTES + 1, 9 * BLOCK + 1])
@pytest.mark.parametrize("n_streams", [1, 3])
@pytest.mark.parametrize("has_existing", [True, False])
def test_byte_that_changes_between_reading_and_writing_is_found(
    tmp_path, target, size, n_streams, has_existing
):
    source = tmp_path / "x"
    source.write_bytes(os.urandom(size))
    if has_existing:
        (target / "x").write_bytes(b"old")
    outcome = copy_local(source, target, n_streams=n_streams, sending={"fault_offset": size - 1})
    assert {(is_sender, event.code, event.path) for is_sender, event in outcome.events} == {
        (True, FAST_DIGEST, b"x"),
        (False, FAST_DIGEST, b"x"),
    }
    assert (outcome.sent["files"], outcome.sent["failed"], outcome.received["failed"]) == (0, 1, 1)
    assert read_tree(target) == ({b"./x": b"old"} if has_existing else {})


def copy_shrinking(folder, target, size, left):
    """Copy a file of which only *left* bytes are left once it is opened.

    The one stream stands still before it, as nobody takes the receiver's events: the queue holds 64.
    """
    (folder / "x").write_bytes(bytes(size))
    (folder / "d").write_bytes(bytes(SMALL_BYTES))  # two fill a bundle
    names = [f"{number}" for number in range(80)]
    for name in names:
        (target / name).mkdir()  # a file can't replace it
    with Loopback(target, is_local=True, sending={"n_walkers": 1}) as loopback:
        loopback.start()
        loopback.add(
            *[(os.fsencode(folder / "d"), name.encode()) for name in names], (os.fsencode(folder / "x"), b"x")
        )
        end_s = time.monotonic() + 10
        while loopback.sender.counters()["found_files"] < 81 or loopback.receiver.counters()["failed"] < 65:
            assert time.monotonic() < end_s
        os.truncate(folder / "x", left)
        outcome = loopback.run_to_end()
    assert told_by_sender(outcome)[-1] == (FAST_CHANGED, os.fsencode(folder / "x"))
    assert (outcome.sent["failed"], sorted(os.listdir(target))) == (81, sorted(names))
    return outcome


@pytest.mark.parametrize("size", [100, 5 * BLOCK])
def test_file_that_shrinks_is_reported_and_not_kept(tmp_path, target, size):
    copy_shrinking(tmp_path, target, size, size // 2)


def test_files_that_fail_on_either_side_leave_the_others_alone(tmp_path, target):
    """So many that both event queues (64 each) are full again and again."""
    source = tmp_path / "many"
    source.mkdir()
    for number in range(3000):
        (source / f"{number}").write_bytes(bytes(number % 3 * SMALL_BYTES))  # 0, 128 and 256 KiB
        if number % 4 == 1:
            (target / "many" / f"{number}").mkdir(parents=True)  # a file can't replace a directory
        if number % 4 == 2:
            (source / f"link {number}").symlink_to("nowhere")
    outcome = copy_local(source, target, n_streams=2, both={"engine": "posix"})
    assert {event.kind for _, event in outcome.events} == {FILE_FAILED}
    assert len(told_by_sender(outcome)) == 1500
    assert (outcome.sent["files"], outcome.sent["failed"]) == (2250, 1500)
    assert (outcome.received["files"], outcome.received["failed"]) == (2250, 750)


@pytest.mark.parametrize("n_streams", [1, 4])
@pytest.mark.parametrize("is_direct", [True, False])
def test_full_disk_fails_what_does_not_fit(tmp_path, target, n_streams, is_direct):
    source = tmp_path / "tree"
    source.mkdir()
    for number in range(40):
        (source / f"large {number}").write_bytes(os.urandom(BLOCK + number))
        (source / f"small {number}").write_bytes(os.urandom(20000))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", target], check=True)
    try:
        outcome = copy_local(source, target, n_streams=n_streams, both={"is_direct": is_direct})
        arrived = read_tree(target / "tree")
        shutil.rmtree(target / "tree")
    finally:
        subprocess.run(["umount", target], check=True)
    assert {(event.code, event.errno) for is_sender, event in outcome.events if is_sender} == {
        (FAST_SYS, ENOSPC)
    }
    assert outcome.sent["files"] == len(arrived) > 5
    assert outcome.sent["files"] + outcome.sent["failed"] == 80
    wanted = read_tree(source)
    assert all(wanted[name] == data for name, data in arrived.items())


@pytest.mark.parametrize("stops", ["sender", "receiver"])
@pytest.mark.parametrize("n_streams", [1, 4])
def test_stop_in_the_middle_ends_both_and_leaves_no_half_file(tmp_path, target, stops, n_streams):
    source = tmp_path / "tree"
    source.mkdir()
    with open(source / "large", "wb") as file:
        file.truncate(4 << 30)
    for number in range(2000):
        (source / f"{number}").write_bytes(b"x")
    with Loopback(target, is_local=True, n_streams=n_streams) as loopback:
        loopback.start()
        loopback.add((os.fsencode(source), b"tree"))
        while loopback.receiver.counters()["bytes"] < 20 * BLOCK:
            time.sleep(0.001)
        getattr(loopback, stops).stop()
        started_s = time.monotonic()
        loopback.sender.join()
        loopback.receiver.join()
        assert time.monotonic() - started_s < 5
        assert [event for event in loopback.sender.take_events() if event[0] == FATAL] == []
    assert not (target / "tree" / "large").exists()
    assert all(file.read_bytes() == b"x" for file in (target / "tree").iterdir())


def test_planes_that_never_start_go_away(target):
    with Loopback(target, is_local=True) as loopback:
        loopback.receiver.start()  # the sender's does both
        loopback.receiver.stop()


@pytest.mark.parametrize("first", ["sender", "receiver"])
def test_planes_that_are_dropped_while_they_run_end(tmp_path, target, first):
    """That no thread is left is looked for after each test here."""
    with open(tmp_path / "x", "wb") as file:
        file.truncate(1 << 30)
    loopback = Loopback(target, is_local=True, n_streams=2)
    loopback.start()
    loopback.add((os.fsencode(tmp_path / "x"), b"x"))
    os.close(loopback.root_fd)
    delattr(loopback, first)
    del loopback
    gc.collect()
    assert os.listdir(target) == []


def make_planes(target_fd, **receiving):
    shape = {"n_streams": 1, "block_bytes": BLOCK}
    return send_plane(**shape), receive_plane(root_fd=target_fd, **{**shape, **receiving})


@pytest.mark.parametrize(
    "other", [{"n_streams": 2}, {"block_bytes": 2 * BLOCK}, {"has_checksum": False}, {"selection": "newer"}]
)
def test_planes_that_differ_are_not_linked(other):
    with pytest.raises(ValueError, match="differ"):
        link_local(*make_planes(0, **other))


def test_plane_is_linked_once():
    sender, receiver = make_planes(0)
    link_local(sender, receiver)
    for pair in ((sender, make_planes(0)[1]), (make_planes(0)[0], receiver)):
        with pytest.raises(ValueError, match="once"):
            link_local(*pair)


# ---- A copy onto or into itself ----------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 5, 3 * BLOCK])
@pytest.mark.parametrize("way", ["same", "hard link", "link", "through a link"])
@pytest.mark.parametrize("has_tmpfile", [True, False])
def test_file_is_not_replaced_by_itself(tmp_path, size, way, has_tmpfile):
    source = tmp_path / "x"
    source.write_bytes(os.urandom(size))
    data = source.read_bytes()
    target = tmp_path
    if way != "same":
        target = tmp_path / "target"
        if way == "through a link":
            target.symlink_to(".")
        else:
            target.mkdir()
            (os.link if way == "hard link" else os.symlink)(source, target / "x")
    before = source.stat()
    outcome = copy_local(source, target, receiving={"has_tmpfile": has_tmpfile})
    assert told_by_sender(outcome) == [(FAST_SAME_FILE, b"x")]
    assert outcome.sent["files"] == outcome.received["files"] == 0
    after = source.stat()
    assert (before.st_ino, before.st_mtime_ns, after.st_nlink) == (
        after.st_ino,
        after.st_mtime_ns,
        before.st_nlink,
    )
    assert source.read_bytes() == data
    if way == "link":
        assert (target / "x").is_symlink()
    if size > BLOCK:
        assert outcome.sent["bytes"] <= 4 * BLOCK


def test_other_files_of_a_tree_with_hard_links_are_copied(tmp_path, target):
    (tmp_path / "tree").mkdir()
    tree = fill(tmp_path / "tree", [1, SMALL_BYTES + 1])
    (target / "tree" / "a").mkdir(parents=True)
    os.link(tree / "a" / "1", target / "tree" / "a" / "1")
    outcome = copy_local(tree, target, n_streams=2)
    assert told_by_sender(outcome) == [(FAST_SAME_FILE, b"tree/a/1")]
    assert read_tree(target / "tree") == read_tree(tree)


def test_same_inode_number_elsewhere_is_another_file(tmp_path, target):
    """Two new file systems number their inodes alike."""
    folders = [tmp_path / "one", tmp_path / "two"]
    try:
        for folder in folders:
            folder.mkdir()
            subprocess.run(["mount", "-t", "tmpfs", "none", folder], check=True)
            (folder / "x").write_bytes(os.fsencode(folder.name))
        assert (folders[0] / "x").stat().st_ino == (folders[1] / "x").stat().st_ino
        assert copy_local(folders[0] / "x", folders[1]).events == []
        assert (folders[1] / "x").read_bytes() == b"one"
    finally:
        for folder in folders:
            subprocess.run(["umount", folder], check=True)


def make_nest(tmp_path):
    top = tmp_path / "a"
    (top / "b" / "deep").mkdir(parents=True)
    (top / "x").write_bytes(b"x")
    (top / "b" / "y").write_bytes(b"y")
    (top / "b" / "deep" / "z").write_bytes(bytes(SMALL_BYTES + 1))
    return top


@pytest.mark.parametrize("n_streams", [1, 4])
def test_directory_is_copied_into_one_of_its_own_once(tmp_path, n_streams):
    """As cp does: told, and everything but the copy itself is copied."""
    top = make_nest(tmp_path)
    before = read_tree(top)
    outcome = copy_local(top, top / "b", n_streams=n_streams)
    assert told_by_sender(outcome) == [(FAST_INTO_ITSELF, os.fsencode(top / "b"))]
    assert read_tree(top / "b" / "a") == before
    shutil.rmtree(top / "b" / "a")
    assert read_tree(top) == before


def test_directory_whose_copy_lies_in_it_under_a_new_name(tmp_path):
    """The target has been made and is the root, as `escp -r a a/new` does it."""
    top = make_nest(tmp_path)
    before = read_tree(top)
    (top / "new").mkdir()
    with Loopback(top / "new", is_local=True, n_streams=2) as loopback:
        loopback.start()
        loopback.add((os.fsencode(top), b""))
        outcome = loopback.run_to_end()
    assert told_by_sender(outcome) == [(FAST_INTO_ITSELF, os.fsencode(top / "new"))]
    assert read_tree(top / "new") == before


def test_directory_copied_onto_itself(tmp_path):
    top = make_nest(tmp_path)
    before = read_tree(top)
    outcome = copy_local(top, tmp_path, n_streams=2)
    assert told_by_sender(outcome) == [(FAST_INTO_ITSELF, os.fsencode(top))]
    assert read_tree(tmp_path / "a") == before and os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_link_into_the_growing_copy_has_an_end(tmp_path, target, depth):
    """s/.../l leads to target/s/...: what is written there would be found there, for ever."""
    inner = "/".join(["s", "d", "e"][: depth + 1])
    (tmp_path / inner).mkdir(parents=True)
    (tmp_path / inner / "x").write_bytes(b"x")
    (target / inner).mkdir(parents=True)
    (target / inner / "old").write_bytes(b"old")
    (tmp_path / inner / "l").symlink_to(target / inner)
    outcome = copy_local(tmp_path / "s", target)
    assert told_by_sender(outcome) == [(FAST_INTO_ITSELF, os.fsencode(tmp_path / inner / "l"))]
    assert sorted(os.listdir(target / inner))[-2:] == ["old", "x"] and not (target / inner / "l").exists()


def test_directory_needs_recursive(tmp_path, target):
    outcome = copy_local(make_nest(tmp_path), target, sending={"is_recursive": False})
    assert [event.code for _, event in outcome.events] == [FAST_NEEDS_RECURSIVE]


# ---- Files that share their extents -------------------------------------------------------------------


@pytest.fixture
def shared(tmp_path):
    """A file system that can: XFS in a file, mounted."""
    if not shutil.which("mkfs.xfs") or "xfs" not in Path("/proc/filesystems").read_text():
        pytest.skip("needs mkfs.xfs (Debian: xfsprogs) and a kernel with XFS")
    image, folder = tmp_path / "image", tmp_path / "xfs"
    folder.mkdir()
    with open(image, "wb") as file:
        file.truncate(512 << 20)
    subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


def count_shared_bytes(folder):
    subprocess.run(["sync", "-f", folder], check=True)
    status = os.statvfs(folder)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


@pytest.mark.parametrize("n_streams", [1, 4])
def test_large_files_share_their_extents(shared, n_streams):
    tree = fill_large(shared / "tree", 40, 4 << 20)
    (shared / "target").mkdir()
    before = count_shared_bytes(shared)
    outcome = copy_local(tree, shared / "target", n_streams=n_streams, receiving={"keeps_attributes": True})
    assert count_shared_bytes(shared) - before < 8 << 20  # of 160 MiB
    assert_copied(tree, shared / "target", outcome)
    assert (shared / "target" / "tree" / "7").stat().st_mtime_ns == (tree / "7").stat().st_mtime_ns
    with open(tree / "7", "r+b") as file:
        file.write(b"new")
    assert (shared / "target" / "tree" / "7").read_bytes()[:3] != b"new"


def fill_large(top, n_files, n_bytes):
    top.mkdir()
    generator = random.Random(3)
    for number in range(n_files):
        (top / f"{number}").write_bytes(generator.randbytes(n_bytes + number))
    return top


def test_file_that_shrinks_before_it_is_shared(shared):
    (shared / "target").mkdir()
    outcome = copy_shrinking(shared, shared / "target", 5 * BLOCK, 5 * BLOCK // 2)
    # Counted whole, so it was not read; only the 80 that failed in the end were written.
    assert outcome.received["bytes"] == 80 * SMALL_BYTES + 5 * BLOCK
    assert outcome.received["bytes_disk"] == 80 * SMALL_BYTES


def test_files_of_another_file_system_are_read(shared, tmp_path):
    tree = fill_large(tmp_path / "tree", 5, 1 << 20)
    assert_copied(tree, shared, copy_local(tree, shared, n_streams=2))
    (tmp_path / "back").mkdir()
    assert_copied(shared / "tree", tmp_path / "back", copy_local(shared / "tree", tmp_path / "back"))


def test_shared_file_is_still_not_replaced_by_itself(shared):
    (shared / "x").write_bytes(bytes(1 << 20))
    assert told_by_sender(copy_local(shared / "x", shared)) == [(FAST_SAME_FILE, b"x")]
