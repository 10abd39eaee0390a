"""Each fault of a disk or a source once, push and pull: the outcome, what else is copied, and what is left.

Elsewhere: a target that is full or read-only (integration/test_disk_full), one that is removed (test_gone),
too few open files (test_few_open_files), links in the way (test_confinement), errors of syncs (test_durable),
a disk that hangs (test_hanging).
"""

import errno
import os
import subprocess
import time

import pytest

from tests.support import disk
from tests.support.command import needs_root
from tests.support.directions import PULL, PUSH
from tests.support.trees import list_tree, write_random
from tests.support.waiting import wait_for

both_ways = pytest.mark.parametrize("way", [PUSH, PULL], ids=lambda way: way.name)
N_SMALL = 9
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return disk.build(tmp_path_factory.mktemp("disk"))


@pytest.fixture
def tree(source):
    for i in range(N_SMALL):
        write_random(source / f"small-{i}", 1000, seed=i)
    write_random(source / "large", 2_000_000)
    return source


# Of the end that writes: the call that fails once, and how.
WRITES = [
    ("pwrite64", errno.ENOSPC),
    ("pwrite64", errno.EDQUOT),
    ("openat64", errno.EROFS),
    ("pwrite64", errno.EIO),
    ("linkat", errno.ENAMETOOLONG),
    ("openat64", errno.EMFILE),
    ("openat64", errno.EACCES),
    ("linkat", errno.ESTALE),
]


@both_ways
@pytest.mark.parametrize(("call", "number"), WRITES, ids=[errno.errorcode[number] for _, number in WRITES])
def test_target_that_fails_once(escp, library, tree, target, way, call, number):
    is_full = number in FULL
    code = (15 if way.is_to_remote else 14) if is_full else 1
    words = ["-r", "-t1", way.source(tree), way.target(target)]
    done = disk.run_on(escp, library, way, *words, code=code, DISK_FAILS=f"{call}:{number}:3:3")
    assert os.strerror(number).lower() in done.err.lower()
    kept, wanted = list_tree(target / "source"), list_tree(tree)
    assert kept.items() <= wanted.items()
    if not is_full:
        assert len(kept) == len(wanted) - 1


@both_ways
@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE], ids=errno.errorcode.get)
def test_source_that_fails_once(escp, library, tree, target, way, number):
    words = ["-r", "-t1", way.source(tree), way.target(target)]
    settings = {"LD_PRELOAD": str(library), "DISK_FAILS": f"pread64:{number}:3:3"}
    if way is PUSH:
        done = escp.fail(1, *words, env=settings)
    else:
        agent = escp.write_agent(
            "bad-disk", *(f"export {name}='{value}'" for name, value in settings.items())
        )
        done = escp.fail(1, *words, agent=agent)
    assert os.strerror(number).lower() in done.err.lower()
    assert len(list_tree(target / "source")) == N_SMALL
    assert list_tree(target / "source").items() <= list_tree(tree).items()


def grow(path):
    with open(path, "ab") as file:
        file.write(b"more" * 100_000)


def shrink(path):
    os.truncate(path, 100_000)


def rewrite(path):
    with open(path, "r+b") as file:
        file.write(b"other")


@both_ways
@pytest.mark.parametrize("change", [grow, shrink, rewrite, os.unlink], ids=lambda change: change.__name__)
def test_source_that_changes_meanwhile(escp, tree, target, way, change):
    write_random(tree / "large", 4_000_000)
    process = escp.start("-r", "-t1", "-l", "1M", way.source(tree), way.target(target))
    wait_for(lambda: any(target.rglob("small-*")))
    time.sleep(1)
    change(tree / "large")
    done = escp.finish(process)
    whole = change is os.unlink  # it is open: all of it arrives
    assert done.code == (0 if whole else 1), done.err
    assert ("large" in done.err) != whole
    assert len(list_tree(target / "source")) == N_SMALL + whole
    escp.assert_nothing_left()


@both_ways
@pytest.mark.parametrize("has_link", [False, True], ids=["renamed", "replaced by a link"])
def test_target_that_is_another_meanwhile(escp, tree, target, folder, way, has_link):
    """What was opened counts, wherever it is called by now."""
    write_random(tree / "large", 3_000_000)
    process = escp.start("-r", "-t1", "-l", "1M", way.source(tree), way.target(target))
    wait_for(lambda: any(target.rglob("small-*")))
    target.rename(folder / "moved")
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    if has_link:
        target.symlink_to(elsewhere)
    done = escp.finish(process)
    assert done.code == 0, done.err
    assert list_tree(folder / "moved" / "source") == list_tree(tree) and list_tree(elsewhere) == {}


@needs_root
@both_ways
def test_disk_that_stands_still(escp, tree, folder, way):
    place, image = folder / "disk", folder / "image"
    place.mkdir()
    with open(image, "wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True, timeout=20)
    if subprocess.run(["mount", "-o", "loop", image, place], check=False).returncode:
        pytest.skip("can't mount here")
    try:
        process = escp.start("-r", "-t1", "-l", "1M", way.source(tree), way.target(place))
        wait_for(lambda: any(place.rglob("small-*")))
        subprocess.run(["fsfreeze", "-f", place], check=True, timeout=20)
        try:
            time.sleep(4)
            assert process.poll() is None
        finally:
            subprocess.run(["fsfreeze", "-u", place], check=True, timeout=20)
        assert escp.finish(process).code == 0
        assert list_tree(place / "source") == list_tree(tree)
    finally:
        subprocess.run(["umount", place], check=True, timeout=20)
