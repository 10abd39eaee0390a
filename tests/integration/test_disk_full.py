"""A target that is full or can't be written: exit code 15, the file's name, nothing under a final name."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.command import local, needs_root, remote
from tests.support.directions import in_all_directions
from tests.support.trees import list_tree, write_random

pytestmark = needs_root
MIB = 1 << 20


def mount(*words: object) -> None:
    done = subprocess.run(
        ["mount", *map(str, words)], capture_output=True, text=True, timeout=20, check=False
    )
    if done.returncode:
        pytest.skip(f"can't mount here: {done.stderr.strip()}")


@pytest.fixture(params=["tmpfs", "ext4"])
def small_disk(request, folder):
    """A directory on a file system with less than 16 MiB of room."""
    place = folder / "disk"
    place.mkdir()
    if request.param == "tmpfs":
        mount("-t", "tmpfs", "-o", "size=8m", "tmpfs", place)
    else:
        image = folder / "image"
        with open(image, "wb") as file:
            file.truncate(16 * MIB)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True, timeout=20)
        mount("-o", "loop", image, place)
    (place / "in").mkdir()
    yield place / "in"
    subprocess.run(["umount", place], check=True, timeout=20)


def assert_room_is_back(place: Path) -> None:
    free = os.statvfs(place)
    assert free.f_bavail * free.f_frsize > 4 * MIB


@pytest.mark.parametrize("options", [[], ["--nodirect"], ["-C", "-t", "1"]], ids=" ".join)
def test_large_file(escp, source, small_disk, options):
    write_random(source / "large", 30_000_000)
    done = escp.fail(15, *options, source / "large", remote(small_disk))
    assert "large" in done.error and "no space left" in done.error and done.hint
    assert list_tree(small_disk) == {}
    assert_room_is_back(small_disk)


def test_many_small_files(escp, source, small_disk):
    for number in range(400):
        write_random(source / f"small-{number:03}", 100_000, seed=number)
    done = escp.fail(15, "-r", source, remote(small_disk))
    assert "small-" in done.error and "no space left" in done.error
    kept = list_tree(small_disk / "source")
    (n_complete,) = re.findall(r"^escp: complete by then: ([\d,]+) of ", done.err, re.MULTILINE)
    n_kept = len([name for name in kept if "small-" in str(name)])
    assert 0 < int(n_complete.replace(",", "")) <= n_kept
    assert kept.items() < list_tree(source).items()  # those that had room are whole


def test_several_large_files_at_once(escp, source, small_disk):
    for number in range(6):
        write_random(source / f"large{number}", 4_000_000, seed=number)
    done = escp.fail(15, "-r", source, local(small_disk), is_embedded=True)
    assert "large" in done.error and "no space left" in done.error
    kept = list_tree(small_disk / "source")
    assert kept.items() < list_tree(source).items()


def test_existing_file_survives(escp, source, small_disk):
    write_random(source / "a", 30_000_000)
    (small_disk / "a").write_bytes(b"the old one")
    escp.fail(15, source / "a", local(small_disk), is_embedded=True)
    assert (small_disk / "a").read_bytes() == b"the old one"


def test_no_inodes_left(escp, source, folder):
    place = folder / "disk"
    place.mkdir()
    mount("-t", "tmpfs", "-o", "size=8m,nr_inodes=50", "tmpfs", place)
    try:
        for number in range(100):
            (source / f"f{number}").write_bytes(b"x")
        done = escp.fail(15, "-r", source, remote(place))
        assert "no space left" in done.error
    finally:
        subprocess.run(["umount", place], check=True, timeout=20)


@pytest.mark.parametrize("is_tree", [False, True])
def test_read_only_file_system(escp, source, folder, is_tree):
    place = folder / "disk"
    place.mkdir()
    mount("-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", place)
    try:
        (source / "t").mkdir()
        write_random(source / "t" / "a", 100)
        words = ["-r", source / "t"] if is_tree else [source / "t" / "a"]
        done = escp.fail(15, *words, remote(place))
        assert "read-only" in done.error and "disk" in done.error
        done = escp.fail(15, *words, remote(place / "new"))
        assert "read-only" in done.error and "new" in done.error
    finally:
        subprocess.run(["umount", place], check=True, timeout=20)


@pytest.mark.parametrize("options", [[], ["--nodirect"]], ids=" ".join)
@in_all_directions
def test_file_that_never_fits_is_not_begun(escp, source, small_disk, way, options):
    """It used to be sent until the disk was full, and to a tmpfs until the kernel killed for memory."""
    with open(source / "huge", "wb") as file:
        file.truncate(1 << 43)
    code = 15 if way.is_to_remote else 14
    done = escp.fail(code, *options, way.source(source / "huge"), way.target(small_disk), timeout_s=20)
    assert "huge" in done.error and "no space left" in done.error
    assert list_tree(small_disk) == {}


@pytest.mark.parametrize("way", ["embedded", "-R"])
def test_file_that_never_fits_is_not_begun_by_an_agent(escp, source, small_disk, way):
    with open(source / "huge", "wb") as file:
        file.truncate(1 << 43)
    if way == "-R":
        done = escp.fail(15, "-R", remote(source / "huge"), remote(small_disk))
    else:
        done = escp.fail(15, source / "huge", local(small_disk), is_embedded=True)
    assert "huge" in done.error and "no space left" in done.error
    assert list_tree(small_disk) == {}


@in_all_directions
def test_file_that_memory_has_no_room_for_is_not_begun(escp, source, folder, way):
    """On a tmpfs without a limit of its own."""
    place = folder / "memory"
    place.mkdir()
    mount("-t", "tmpfs", "-o", "size=0", "tmpfs", place)
    try:
        with open(source / "huge", "wb") as file:
            file.truncate(1 << 43)
        done = escp.fail(1, way.source(source / "huge"), way.target(place), timeout_s=20)
        assert "huge" in done.error + done.err and "cannot allocate memory" in done.err
        assert list_tree(place) == {}
    finally:
        subprocess.run(["umount", place], check=True, timeout=20)
