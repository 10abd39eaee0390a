"""Whole copies between the two planes in one process: trees, sizes at every boundary, every way to work."""

import errno
import os
import random
import stat
import threading
import time

import pytest

from escp._fast.planes.plane import FILE_FAILED
from escp._fast.wire.payloads import encode_result
from escp.failures import FAST_CHANGED, FAST_DIGEST, FAST_LOOP, FAST_NEEDS_RECURSIVE, FAST_SPECIAL, FAST_SYS
from tests.support.loopback import BLOCK, Loopback, copy
from tests.support.peers import Receiver
from tests.support.planes import receive_plane, send_plane

SMALL_BYTES = 1 << 17  # the largest file that travels in a bundle
SIZES = [0, 1, 2, 4095, 4096, 4097, SMALL_BYTES - 1, SMALL_BYTES, SMALL_BYTES + 1, BLOCK - 1, BLOCK,
         BLOCK + 1, 2 * BLOCK - 1, 2 * BLOCK, 2 * BLOCK + 1, 5 * BLOCK + 4095]  # fmt: skip


def fill(top, sizes=SIZES):
    """A tree: one file of each size in each of three directories, an empty directory, odd names."""
    generator = random.Random(7)
    for name in ("", "a", "a/b"):
        (top / name).mkdir(exist_ok=True)
        for size in sizes:
            (top / name / f"{size}").write_bytes(generator.randbytes(size))
    (top / "empty").mkdir()
    for name in (b"with space", b"-dash", b"new\nline", b"\xff\xfe", b".hidden", b"n" * 255):
        with open(os.path.join(os.fsencode(top), name), "wb") as file:
            file.write(name)
    return top


def read_tree(top):
    found = {}
    for folder, names, files in os.walk(os.fsencode(top)):
        relative = os.path.relpath(folder, os.fsencode(top))
        for name in names:
            found[os.path.join(relative, name)] = None
        for name in files:
            with open(os.path.join(folder, name), "rb") as file:
                found[os.path.join(relative, name)] = file.read()
    return found


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return fill(tmp_path_factory.mktemp("trees") / "tree")


def assert_copied(source, target, outcome):
    assert outcome.events == []
    wanted = read_tree(source)
    assert read_tree(target / source.name) == wanted
    n_directories = sum(1 for data in wanted.values() if data is None) + 1
    n_bytes = sum(len(data) for data in wanted.values() if data)
    for side in (outcome.sent, outcome.received):
        assert (side["files"], side["directories"], side["failed"]) == (
            len(wanted) + 1 - n_directories,
            n_directories,
            0,
        )
        assert side["bytes"] == n_bytes
    assert outcome.sent["found_bytes"] == n_bytes == outcome.received["bytes_disk"]
    assert outcome.sent["bytes_network"] <= outcome.received["bytes_network"] + 4096 * 64
    assert 0 < outcome.received["first_ns"] <= outcome.received["last_ns"]


WAYS = {
    "as_it_is": {},
    "buffered": {"both": {"is_direct": False}},
    "no_checksum": {"both": {"has_checksum": False}},
    "compressed": {"both": {"has_compression": True}},
    "by_component": {"receiving": {"has_openat2": False}},
    "temporary_names": {"receiving": {"has_tmpfile": False}},
    "one_walker": {"sending": {"n_walkers": 1}},
    "eight_walkers": {"sending": {"n_walkers": 8}},
    "epochs_of_300_kb": {"epoch_limit": 300_000},
    "small_buffers": {"buffer_bytes": 4096},
}


@pytest.mark.parametrize("options", WAYS.values(), ids=WAYS.keys())
def test_tree_arrives_whatever_the_way(tree, target, backend, options):
    assert_copied(tree, target, copy(tree, target, n_streams=2, backend=backend, **options))


@pytest.mark.parametrize("n_streams", [1, 2, 8, 64])
def test_tree_arrives_over_any_number_of_streams(tree, target, n_streams):
    assert_copied(tree, target, copy(tree, target, n_streams=n_streams))


@pytest.mark.parametrize("block_bytes", [1 << 18, 3 << 18, 1 << 20, 1 << 22, 1 << 25])
def test_tree_arrives_in_blocks_of_any_length(tmp_path, target, block_bytes):
    (tmp_path / "tree").mkdir()
    sizes = [1, SMALL_BYTES, SMALL_BYTES + 1, block_bytes - 1, block_bytes, block_bytes + 1]
    tree = fill(tmp_path / "tree", sizes)
    assert_copied(tree, target, copy(tree, target, n_streams=2, block_bytes=block_bytes))


def test_compressible_contents_travel_shorter(tmp_path, target):
    source = tmp_path / "zeros"
    source.write_bytes(bytes(8 * BLOCK))
    outcome = copy(source, target, both={"has_compression": True})
    assert outcome.events == [] and (target / "zeros").read_bytes() == bytes(8 * BLOCK)
    for side in (outcome.sent, outcome.received):
        assert side["bytes"] == 8 * BLOCK and side["bytes_compressed"] < BLOCK


def test_dummy_engine_moves_the_bytes_and_touches_no_disk(tmp_path, target):
    source = tmp_path / "sparse"
    with open(source, "wb") as file:
        file.truncate(64 * BLOCK + 5)
    outcome = copy(source, target, n_streams=2, both={"engine": "dummy"})
    assert outcome.events == [] and os.listdir(target) == []
    assert outcome.sent["bytes"] == outcome.received["bytes"] == 64 * BLOCK + 5
    assert (outcome.sent["files"], outcome.received["bytes_disk"]) == (1, 0)


def test_files_are_read_and_thrown_away_by_a_dummy_receiver(tree, target):
    outcome = copy(tree, target, receiving={"engine": "dummy"})
    assert outcome.events == [] and os.listdir(target) == []
    assert outcome.sent["files"] == outcome.received["files"] > 0


def test_thousands_of_files_arrive(tmp_path, target):
    """More than there are flights (8192), over few and small buffers."""
    source = tmp_path / "many"
    for number in range(100):
        (source / f"{number}").mkdir(parents=True)
        for file in range(170):
            (source / f"{number}" / f"{file}").write_bytes(b"%d" % file)
    outcome = copy(source, target, n_streams=2)
    assert outcome.events == [] and outcome.received["files"] == 17000
    assert read_tree(target / "many") == read_tree(source)


def test_sides_never_wait_for_each_other_in_a_circle(tmp_path, target):
    """The kernel's buffers hold next to nothing, and much must come back while much is on its way there.

    Half of the files fail, so that both event queues (64 each) are full again and again, too. A sender that
    did not read while it sends, or a receiver whose results waited for room, would stand still here.
    """
    source = tmp_path / "many"
    source.mkdir()
    for number in range(6000):
        (source / f"{number:0200}").touch()
        if number % 2:
            (target / "many" / f"{number:0200}").mkdir(parents=True)  # a file can't replace a directory
    outcome = copy(source, target, n_streams=2, buffer_bytes=2048)
    assert {event.kind for _, event in outcome.events} == {FILE_FAILED}
    assert len(outcome.events) == 2 * 3000
    for side in (outcome.sent, outcome.received):
        assert (side["files"], side["failed"]) == (3000, 3000)


def test_full_event_queue_only_delays(tmp_path):
    """Nobody takes events until the sender stands still; nothing of them is lost."""
    source = tmp_path / "many"
    source.mkdir()
    for number in range(500):
        (source / f"{number}").touch()
    with Receiver((os.fsencode(source), b"many"), buffer_bytes=2048) as receiver:

        def answer():
            n_answered = 0
            while n_answered < 500:
                ids = [entry["id"] for entry in receiver.receive_entries()]
                receiver.send_results(*[encode_result(id, FAST_SYS, sys_errno=5) for id in ids])
                n_answered += len(ids)

        answering = threading.Thread(target=answer)
        answering.start()
        while receiver.plane.counters()["failed"] < 65:  # 64 wait in the queue, one for room in it
            assert answering.is_alive()
        for _ in range(500):
            assert receiver.wait(FILE_FAILED).errno == 5
        answering.join()
        assert [entry["path"] for entry in receiver.receive_entries()] == [b"many"]
        assert receiver.plane.counters()["failed"] == 500


# ---- Names, modes and times -------------------------------------------------------------------------


def test_file_takes_the_name_that_was_asked_for(tmp_path, target):
    source = tmp_path / "source"
    source.write_bytes(b"contents")
    with Loopback(target, receiving={"target_name": b"new \xff name"}) as loopback:
        loopback.start()
        loopback.add((os.fsencode(source), b""))
        assert loopback.run_to_end().events == []
    assert read_tree(target) == {b"./new \xff name": b"contents"}


@pytest.mark.parametrize("has_tmpfile", [True, False])
@pytest.mark.parametrize("size", [5, SMALL_BYTES + 5])
def test_replaced_file_keeps_its_mode_and_others_never_see_half_of_it(tmp_path, target, size, has_tmpfile):
    source = tmp_path / "x"
    source.write_bytes(b"n" * size)
    os.chmod(source, 0o644)
    (target / "x").write_bytes(b"old")
    os.chmod(target / "x", 0o640)
    with open(target / "x", "rb") as before:
        assert copy(source, target, receiving={"has_tmpfile": has_tmpfile}).events == []
        assert before.read() == b"old"
    assert (target / "x").read_bytes() == b"n" * size
    assert stat.S_IMODE((target / "x").stat().st_mode) == 0o640 and os.listdir(target) == ["x"]


@pytest.mark.parametrize("keeps_attributes", [True, False])
@pytest.mark.parametrize("has_tmpfile", [True, False])
def test_modes_and_times(tmp_path, target, keeps_attributes, has_tmpfile):
    source = tmp_path / "tree"
    (source / "d").mkdir(parents=True)
    for path, mode in ((source / "d" / "x", 0o4751), (source / "d" / "y", 0o400)):
        path.write_bytes(bytes(SMALL_BYTES + 1 if path.name == "y" else 1))
        os.chmod(path, mode)
    for path in (source / "d" / "x", source / "d" / "y", source / "d"):
        os.utime(path, ns=(10**18 + 1, 10**18 + 123_456_789))
    os.chmod(source / "d", 0o750)
    before = os.umask(0o027)
    try:
        receiving = {"keeps_attributes": keeps_attributes, "has_tmpfile": has_tmpfile}
        assert copy(source, target, receiving=receiving).events == []
    finally:
        os.umask(before)
    found = {path.name: path.stat() for path in (target / "tree").rglob("*")}
    modes = {name: stat.S_IMODE(status.st_mode) for name, status in found.items()}
    wanted_x = 0o751 if keeps_attributes else 0o750
    assert modes == {"d": 0o750, "x": wanted_x, "y": 0o400}
    for status in found.values():
        assert (status.st_mtime_ns == 10**18 + 123_456_789) is keeps_attributes


def test_target_that_is_a_pipe_gets_the_contents(tmp_path, target):
    source = tmp_path / "x"
    source.write_bytes(os.urandom(3 * BLOCK + 7))
    reading, writing = os.pipe()
    got = []

    def drain():
        while data := os.read(reading, 1 << 16):
            got.append(data)

    reader = threading.Thread(target=drain)
    reader.start()
    with Loopback(target, receiving={"in_place_fd": writing}) as loopback:
        loopback.start()
        loopback.add((os.fsencode(source), b"x"))
        assert loopback.run_to_end().events == []
    os.close(writing)
    reader.join()
    os.close(reading)
    assert b"".join(got) == source.read_bytes() and os.listdir(target) == []


# ---- Files that fail while the others arrive --------------------------------------------------------


def test_what_can_not_be_copied_is_named_and_the_rest_arrives(tmp_path, target):
    source = tmp_path / "tree"
    (source / "d").mkdir(parents=True)
    (source / "good").write_bytes(b"good")
    os.mkfifo(source / "pipe")
    os.symlink("nowhere", source / "dangling")
    os.symlink("..", source / "d" / "up")
    os.symlink("good", source / "link")
    outcome = copy(source, target, n_streams=2)
    failed = {
        (os.path.relpath(e.path, os.fsencode(source)), e.code) for is_sender, e in outcome.events if is_sender
    }
    assert failed == {(b"pipe", FAST_SPECIAL), (b"dangling", FAST_SYS), (b"d/up", FAST_LOOP)}
    assert read_tree(target / "tree") == {b"./good": b"good", b"./link": b"good", b"./d": None}


def test_directory_without_recursion_is_refused(tree, target):
    outcome = copy(tree, target, sending={"is_recursive": False})
    assert [event.code for _, event in outcome.events] == [FAST_NEEDS_RECURSIVE]
    assert os.listdir(target) == []


@pytest.mark.parametrize("size", [100, SMALL_BYTES + 1, 3 * BLOCK])
@pytest.mark.parametrize("has_existing", [True, False])
def test_byte_that_changes_between_reading_and_sealing_is_found(tmp_path, target, size, has_existing):
    source = tmp_path / "x"
    source.write_bytes(os.urandom(size))
    if has_existing:
        (target / "x").write_bytes(b"old")
    outcome = copy(source, target, n_streams=2, sending={"fault_offset": size - 1})
    assert {(is_sender, event.code, event.path) for is_sender, event in outcome.events} == {
        (True, FAST_DIGEST, b"x"),
        (False, FAST_DIGEST, b"x"),
    }
    assert outcome.sent["files"] == 0 and outcome.sent["failed"] == 1
    assert read_tree(target) == ({b"./x": b"old"} if has_existing else {})


@pytest.mark.parametrize("size", [100, 5 * BLOCK])
def test_file_that_shrinks_is_reported_and_not_kept(tmp_path, target, size):
    source = tmp_path / "x"
    source.write_bytes(bytes(size))
    for name in ("0", "1"):
        (tmp_path / name).write_bytes(bytes(SMALL_BYTES))
    with Loopback(target, buffer_bytes=4096, sending={"n_walkers": 1}) as loopback:  # it comes last
        loopback.sender.start()
        loopback.add(*[(os.fsencode(tmp_path / name), name.encode()) for name in ("0", "1", "x")])
        while loopback.sender.counters()["found_files"] < 3:  # opened, and nobody takes the bundle before it
            pass
        os.truncate(source, size // 2)
        loopback.receiver.start()
        outcome = loopback.run_to_end()
    assert [(is_sender, event.code) for is_sender, event in outcome.events] == [(True, FAST_CHANGED)]
    assert sorted(os.listdir(target)) == ["0", "1"]


@pytest.mark.parametrize("size", [100, 5 * BLOCK])
@pytest.mark.parametrize("what", ["size", "time", "status"])
def test_file_that_changes_is_reported_with_what_changed(tmp_path, target, size, what):
    """Setting the modification time back hides nothing."""
    source = tmp_path / "x"
    source.write_bytes(bytes(size))
    os.utime(source, ns=(10**18, 10**18))
    for name in ("0", "1"):
        (tmp_path / name).write_bytes(bytes(SMALL_BYTES))
    with Loopback(target, buffer_bytes=4096, sending={"n_walkers": 1}) as loopback:  # it comes last
        loopback.sender.start()
        loopback.add(*[(os.fsencode(tmp_path / name), name.encode()) for name in ("0", "1", "x")])
        while loopback.sender.counters()["found_files"] < 3:  # opened, and nobody takes the bundle before it
            pass
        time.sleep(0.02)  # the kernel's clock for files ticks at 100 Hz at least
        source.write_bytes(b"y" * (size + (what == "size")))
        if what == "status":
            os.utime(source, ns=(10**18, 10**18))
        loopback.receiver.start()
        outcome = loopback.run_to_end()
    assert [(is_sender, event.code, event.where) for is_sender, event in outcome.events] == [
        (True, FAST_CHANGED, what)
    ]
    assert sorted(os.listdir(target)) == ["0", "1"]


def test_large_file_that_changes_during_a_local_copy_is_not_kept(tmp_path, target):
    source = tmp_path / "x"
    with open(source, "wb") as file:
        file.truncate(1 << 28)
    os.utime(source, ns=(10**18, 10**18))
    with Loopback(target, is_local=True) as loopback:
        loopback.start()
        loopback.add((os.fsencode(source), b"x"))
        while not loopback.sender.counters()["bytes"]:
            pass
        with open(source, "r+b") as file:
            file.write(b"y")
        os.utime(source, ns=(10**18, 10**18))
        outcome = loopback.run_to_end()
    assert [(s, e.code, e.where) for s, e in outcome.events] == [(True, FAST_CHANGED, "status")]
    assert os.listdir(target) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_streams": 0},
        {"n_streams": 65},
        {"block_bytes": 1},
        {"block_bytes": 1 << 26},
        {"block_bytes": 266240},
    ],
)
@pytest.mark.parametrize("plane", [send_plane, receive_plane])
def test_arguments_out_of_range_are_refused(plane, wrong):
    options = {
        "n_streams": 1,
        "block_bytes": BLOCK,
        **({"root_fd": 0} if plane is receive_plane else {}),
        **wrong,
    }
    with pytest.raises(ValueError):
        plane(**options)


@pytest.mark.parametrize("name", [b"a/b", b"n" * 256, b"a\0b"])
def test_target_name_must_be_one_component(name):
    with pytest.raises(ValueError):
        receive_plane(root_fd=0, n_streams=1, block_bytes=BLOCK, target_name=name)


@pytest.mark.parametrize("n_streams", [1, 4])
def test_source_that_waits_comes_after_all_before_it(tmp_path, target, n_streams):
    """60 versions of the same tree in turn: small and large files, missing ones too; the last one stays."""
    versions = []
    for number in range(60):
        version = tmp_path / f"v{number}"
        (version / "d").mkdir(parents=True)
        for size in (10, SMALL_BYTES, BLOCK + 1) if number % 2 else (10, SMALL_BYTES - 1, 3 * BLOCK):
            (version / "d" / f"f{size % 7}").write_bytes(bytes([number]) * size)
        versions.append(version if number % 10 else version / "missing")
    with Loopback(target, n_streams=n_streams, sending={"n_walkers": 4}) as loopback:
        loopback.start()
        for version in versions:
            assert loopback.sender.add_source(os.fsencode(version), b"t", waits=True)
        loopback.sender.end_sources()
        outcome = loopback.run_to_end()
    assert [event.errno for _, event in outcome.events] == [errno.ENOENT] * 6
    for path in (versions[-1] / "d").iterdir():
        assert (target / "t" / "d" / path.name).read_bytes() == path.read_bytes()
