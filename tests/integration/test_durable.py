"""--fsync and --verify: what is asked of the disk, in which order; what becomes of its errors and lies."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import disk
from tests.support.command import IS_SOURCE, needs_root, remote
from tests.support.directions import LOCAL, PULL, PUSH, RELAY, in_all_directions
from tests.support.trees import list_tree, write_random

N_SMALL = 400
UNKNOWN = "0x6969"  # NFS: synced one by one


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return disk.build(tmp_path_factory.mktemp("disk"))


@pytest.fixture
def disk_folder(folder):
    """An ext4 of its own: where the tests' folder is, nobody knows."""
    place, image = folder / "disk", folder / "image"
    place.mkdir()
    with open(image, "wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True, timeout=20)
    done = subprocess.run(["mount", "-o", "loop", image, place], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"can't mount here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", place], check=True, timeout=20)


def fill(source: Path) -> None:
    (source / "sub").mkdir()
    for i in range(N_SMALL):
        write_random(source / ("sub" if i % 2 else ".") / f"small-{i:03}", 1 + 10 * i, seed=i)
    write_random(source / "large", 3_000_001)
    write_random(source / "direct", 1 << 22)
    (source / "empty").touch()


def check_order(log: str) -> tuple[int, int]:
    """Each name is that of what a sync came after, and a sync came after each name; (syncs, names)."""
    lines = [line.split() for line in Path(log).read_text().splitlines()]
    n_syncs, unsynced, waiting = 0, set(), set()
    for what, *number in lines:
        if what == "write":
            unsynced |= set(number)
        elif what == "name":
            assert not unsynced & set(number), "a name before its contents"
            waiting |= set(number)
        elif what == "directory":
            waiting |= {"directory"}
        elif what == "syncfs":
            n_syncs += 1
            unsynced, waiting = set(), set()
        else:
            n_syncs += 1
            unsynced -= set(number)
    return n_syncs, len(waiting)


WAYS = ((PUSH, ["-p"]), (PULL, ["--inplace"]), (LOCAL, ["--verify"]), (RELAY, ["--sparse", "-t1"]))
with_an_option_each = pytest.mark.parametrize(
    ("way", "options"), WAYS, ids=[f"{way.name} {' '.join(options)}" for way, options in WAYS]
)


@needs_root
@with_an_option_each
def test_contents_then_names_then_success(escp, library, source, disk_folder, folder, way, options):
    fill(source)
    log = str(folder / "log")
    for _ in range(2):  # new files, then such that are replaced
        words = ["-r", "--fsync", *options, way.source(source), way.target(disk_folder)]
        disk.run_on(escp, library, way, *words, DISK_LOG=log)
        assert list_tree(disk_folder / "source") == list_tree(source)
        n_syncs, n_waiting = check_order(log)
        assert n_waiting == 0, "success was told before the names were safe"
        assert 0 < n_syncs < N_SMALL / 3, "one wait a small file"


@pytest.mark.parametrize("way", [PUSH, LOCAL], ids=lambda way: way.name)
def test_each_by_itself_where_no_whole_sync_is_known(escp, library, source, target, folder, way):
    fill(source)
    log = str(folder / "log")
    words = ["-r", "--fsync", way.source(source), way.target(target / "new")]
    disk.run_on(escp, library, way, *words, DISK_LOG=log, DISK_TYPE=UNKNOWN)
    assert list_tree(target / "new") == list_tree(source)
    lines = Path(log).read_text().split("\n")
    assert "syncfs" not in lines
    synced = {line for line in lines if line.startswith("sync ")}
    names = {line for line in lines if line.startswith("name ")}
    assert {name.replace("name", "sync") for name in names} <= synced
    places = [target, target / "new", target / "new" / "sub"]
    last = max(i for i, line in enumerate(lines) if line.startswith("name "))
    for place in places:
        own = f"sync {place.stat().st_ino}"
        assert own in synced
        if place.name == "sub":  # whichever file was last
            assert own in lines[last - N_SMALL :]


def test_nothing_is_synced_without_it(escp, library, source, target, folder):
    fill(source)
    disk.run_on(escp, library, LOCAL, "-r", source, target, DISK_LOG=str(folder / "log"))
    assert "sync" not in (folder / "log").read_text()


@in_all_directions
def test_file_that_can_t_be_synced(escp, library, source, target, way):
    """Its directory can: what else there is is there."""
    write_random(source / "large", 3_000_000)
    for i in range(9):
        write_random(source / f"small-{i}", 10, seed=i)
    settings = {"DISK_FAILS": f"fsync:{errno.EIO}:2:2", "DISK_TYPE": UNKNOWN}
    words = ["-r", "--fsync", "-t1", way.source(source), way.target(target)]
    done = disk.run_on(escp, library, way, *words, code=1, **settings)
    assert done.err.count(": input/output error") == 1 and "1 failed, the others verified" in done.err
    assert len(list_tree(target / "source")) == 9


@pytest.mark.parametrize("way", [PUSH, LOCAL], ids=lambda way: way.name)
def test_directory_that_can_t_be_synced(escp, library, source, target, way):
    write_random(source / "small", 10)
    settings = {"DISK_FAILS": f"fsync:{errno.EIO}:2", "DISK_TYPE": UNKNOWN}
    words = ["--fsync", way.source(source / "small"), way.target(target)]
    code = 15 if way.is_to_remote else 14
    done = disk.run_on(escp, library, way, *words, code=code, **settings)
    assert "not safe on its disk (--fsync): input/output error" in done.error and done.hint


@in_all_directions
def test_directory_that_can_t_be_synced_when_names_have_gone(escp, library, source, target, folder, way):
    """With --delete, which comes when all else is safe: its sync is the last one."""
    write_random(source / "kept", 10)
    gone = target / "source" / "gone"
    log = str(folder / "log")
    words = ["-r", "--fsync", "--delete", "-t1", way.source(source), way.target(target)]
    for _ in range(2):
        gone.mkdir(parents=True, exist_ok=True)
        disk.run_on(escp, library, way, *words, DISK_LOG=log, DISK_TYPE=UNKNOWN)
        assert not gone.exists()
    n_syncs = Path(log).read_text().split().count("sync")
    gone.mkdir()
    settings = {"DISK_FAILS": f"fsync:{errno.EIO}:{n_syncs}", "DISK_TYPE": UNKNOWN}
    done = disk.run_on(escp, library, way, *words, code=15 if way.is_to_remote else 14, **settings)
    assert "not safe on its disk (--fsync): input/output error" in done.error and done.hint
    assert not gone.exists()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ESTALE], ids=errno.errorcode.get)
@pytest.mark.parametrize("way", [PUSH, LOCAL], ids=lambda way: way.name)
def test_directory_that_can_t_be_opened_to_be_synced(escp, library, source, target, way, number):
    """Not the file system, which is opened first, but all that comes after it."""
    (source / "sub").mkdir()
    write_random(source / "sub" / "small", 10)
    settings = {"DISK_FAILS": f"reopen:{number}:3", "DISK_TYPE": UNKNOWN}
    code = 15 if way.is_to_remote else 14
    words = ["-r", "--fsync", "-t1", way.source(source), way.target(target)]
    done = disk.run_on(escp, library, way, *words, code=code, **settings)
    assert f"not safe on its disk (--fsync): {os.strerror(number).lower()}" in done.error and done.hint


@pytest.mark.parametrize("n_files", [28, 32, 36, 40, 44, 52])
def test_few_open_files_are_enough_or_the_limit_is_named(escp, library, source, target, n_files):
    """Directories that wait for their sync are open, too: they leave room for the files."""
    for i in range(60):
        (source / f"{i}").mkdir()
        (source / f"{i}" / "small").write_bytes(b"x" * i)
    settings = [f"export LD_PRELOAD='{library}' DISK_TYPE={UNKNOWN}", f"ulimit -n {n_files}"]
    agent = escp.write_agent("few", *settings)
    done = escp.run("-r", "--fsync", source, remote(target), agent=agent)
    if done.code == 0:
        assert list_tree(target / "source") == list_tree(source)
    else:
        assert done.code == 15 and f"the limit is {n_files} for a process" in done.error, done.err
        assert list_tree(target) == {}


@pytest.mark.parametrize(("call", "number"), [
    ("fsync", errno.ENOSPC), ("sync_file_range", errno.EDQUOT), ("close", errno.ENOSPC),
])  # fmt: skip
def test_room_that_is_missed_only_then(escp, library, source, target, call, number):
    """Delayed allocation, NFS and quotas tell at the sync, or at the close."""
    fill(source)
    settings = {"DISK_FAILS": f"{call}:{number}", "DISK_TYPE": UNKNOWN}
    done = disk.run_on(escp, library, LOCAL, "-r", "--fsync", source, target / "new", code=14, **settings)
    assert os.strerror(number).lower() in done.error.lower() and "make room" in done.hint
    assert not [name for name in list_tree(target) if b"small" in name]


@needs_root
@pytest.mark.parametrize("way", [PUSH, LOCAL], ids=lambda way: way.name)
def test_names_that_can_t_be_made_safe(escp, library, source, disk_folder, way):
    fill(source)
    words = ["-r", "--fsync", way.source(source), way.target(disk_folder / "new")]
    code = 15 if way.is_to_remote else 14
    done = disk.run_on(escp, library, way, *words, code=code, DISK_FAILS=f"syncfs:{errno.EIO}")
    assert f"all is copied to '{disk_folder / 'new'}', but not safe on its disk" in done.error
    assert "copy all of it again" in done.hint and "does the rest" not in done.hint
    assert list_tree(disk_folder / "new") == list_tree(source)


@needs_root
@in_all_directions
def test_nothing_goes_while_names_are_not_safe(escp, library, source, disk_folder, way):
    """Neither what --delete is to remove, nor the word that all is there."""
    write_random(source / "a", 10)
    (disk_folder / "source").mkdir()
    (disk_folder / "source" / "old").touch()
    words = ["-r", "--fsync", "--delete", way.source(source), way.target(disk_folder)]
    code = 15 if way.is_to_remote else 14
    done = disk.run_on(escp, library, way, *words, code=code, DISK_FAILS=f"syncfs:{errno.EIO}")
    assert (disk_folder / "source" / "old").exists() and "verified" not in done.err


@needs_root
@in_all_directions
def test_resume_believes_nothing_of_what_is_not_safe(escp, library, source, disk_folder, way):
    """The system tells a lost page once: the next sync succeeds."""
    fill(source)
    words = ["-r", "-l", "2M", "--fsync", way.source(source), way.target(disk_folder)]
    code = 15 if way.is_to_remote else 14
    disk.run_on(escp, library, way, *words, code=code, DISK_FAILS=f"syncfs:{errno.EIO}:3")
    done = escp.copy("--resume", "--json", *words)
    assert done.json[-1]["skipped"] == 0


# ---- --verify ---------------------------------------------------------------------------------------

BREAK = """
import mmap, sys
with open(sys.argv[1], "r+b") as file, mmap.mmap(file.fileno(), 0) as image:
    at = image.find(b"BREAK-ME-HERE")
    while at >= 0:
        image[at] = ord("X")
        at = image.find(b"BREAK-ME-HERE")
"""


@needs_root
@pytest.mark.parametrize(("way", "options"), [
    (PUSH, []), (PUSH, ["--inplace"]), (PULL, ["--fsync"]), (LOCAL, ["--nodirect", "--sparse"]),
    (RELAY, ["-p"]),
])  # fmt: skip
def test_what_a_disk_changes_is_noticed(escp, library, source, disk_folder, folder, way, options):
    """A byte of the loop device's file is changed between the write and the reading back."""
    for name, size in ("good", 5000), ("small", 5000), ("large", 3_000_000), ("other", 3_000_000):
        write_random(source / name, size)
        if name in ("small", "large"):
            with open(source / name, "r+b") as file:
                file.seek(size // 2)
                file.write(b"BREAK-ME-HERE")
    if "--inplace" in options:
        (disk_folder / "large").write_text("old")
    script = folder / "break.py"
    script.write_text(BREAK)
    breaks = f"{sys.executable} {script} {folder / 'image'}"
    words = [
        "--verify",
        *options,
        *(way.source(source / name) for name in ("good", "small", "large", "other")),
    ]
    done = disk.run_on(escp, library, way, *words, way.target(disk_folder), code=12, DISK_BREAKS=breaks)
    for name in ("small", "large"):
        shown = way.host_of_target(disk_folder / name)
        assert f"{shown}: what the target's disk gave back is not what was written" in done.err
    assert "the target's disk gave back something else" in done.error
    assert ("may be wrong" if "--inplace" in options else "were not kept") in done.error
    kept = {os.fsdecode(name) for name in list_tree(disk_folder)} - {"lost+found"}
    assert kept == {"good", "other"} | ({"large"} if "--inplace" in options else set())
    assert (disk_folder / "other").read_bytes() == (source / "other").read_bytes()


@with_an_option_each
def test_good_disk(escp, source, target, way, options):
    fill(source)
    with open(source / "holes", "wb") as file:
        file.truncate(10_000_000)
        file.seek(5_000_000)
        file.write(b"x" * 5000)
    (source / "unreadable").write_text("x")
    (source / "unreadable").chmod(0o200)
    escp.copy("-r", "--verify", "--fsync", *options, way.source(source), way.target(target / "new"))
    assert list_tree(target / "new") == list_tree(source)


@pytest.mark.skipif(not IS_SOURCE, reason="a frozen program reads its modules by pread, too")
@pytest.mark.parametrize("way", [PUSH, RELAY], ids=lambda way: way.name)
def test_error_when_reading_back(escp, library, source, target, way):
    write_random(source / "large", 3_000_000)
    words = ["--verify", way.source(source / "large"), way.target(target)]
    done = disk.run_on(escp, library, way, *words, code=1, DISK_FAILS=f"pread64:{errno.EIO}")
    assert "input/output error" in done.err and list_tree(target) == {}


def test_refusals(escp, source, target):
    (source / "f").write_text("f")
    done = escp.fail(2, "--verify", "--nochecksum", source / "f", target)
    assert "--nochecksum" in done.error
    os.mkfifo(target / "pipe")
    reader = os.open(target / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    for place in (target / "pipe", remote(target / "pipe")):
        done = escp.fail(16, "--verify", source / "f", place)
        assert "can't be read back" in done.error and done.hint
    escp.copy("--fsync", source / "f", target / "pipe")
    assert os.read(reader, 9) == b"f"
    os.close(reader)


def test_low_limit_of_open_files(escp, source, target):
    fill(source)
    limit = ("prlimit", "--nofile=60:60")
    escp.copy("-r", "--fsync", "--verify", source, target / "new", prefix=limit)
    assert list_tree(target / "new") == list_tree(source)
