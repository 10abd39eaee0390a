"""Modes, times, links and special files: as scp treats them."""

import os
import time

import pytest

from tests.support.command import local, needs_root, remote
from tests.support.trees import list_tree, mode_of, write_random

TIME_NS = 1_234_567_890_123_456_789
MODES = [0o644, 0o600, 0o755, 0o444, 0o400, 0o777, 0o666, 0o4755, 0o2711, 0o000]


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o000])
def test_new_files_get_the_source_mode_less_umask(escp, source, target, umask):
    for mode in MODES:
        for size in (0, 10, 300_000):
            path = source / f"{mode:o}-{size}"
            write_random(path, size)
            path.chmod(mode)
    agent = escp.write_agent("masked", f"umask {umask:o}")
    escp.copy("-r", source, remote(target), agent=agent)
    for path in source.iterdir():
        assert mode_of(target / "source" / path.name) == mode_of(path) & 0o777 & ~umask, path.name


@pytest.mark.parametrize("size", [10, 300_000])
def test_existing_file_keeps_its_mode(escp, source, target, size):
    write_random(source / "a", size)
    (source / "a").chmod(0o755)
    (target / "a").write_bytes(b"old")
    (target / "a").chmod(0o640)
    escp.copy(source / "a", remote(target))
    assert list_tree(target) == list_tree(source)
    assert mode_of(target / "a") == 0o640


@pytest.mark.parametrize("is_there", [False, True])
@pytest.mark.parametrize("mode", [0o755, 0o700, 0o777, 0o1777, 0o555, 0o2770])
def test_directories_get_the_source_mode_without_umask(escp, source, target, mode, is_there):
    (source / "d" / "e").mkdir(parents=True)
    (source / "d" / "e" / "f").touch()
    if is_there:
        (target / "d" / "e").mkdir(parents=True)
        (target / "d" / "e").chmod(0o711)
    (source / "d" / "e").chmod(mode)
    escp.copy("-r", source / "d", local(target), is_embedded=True)
    assert mode_of(target / "d" / "e") == mode & 0o1777 | mode_of(target / "d" / "e") & 0o6000
    assert (target / "d" / "e" / "f").exists()


def test_p_keeps_modes_and_times_to_the_nanosecond(escp, source, target):
    (source / "d").mkdir()
    for number, name in enumerate(("small", "d/large", "d/empty")):
        write_random(source / name, [100, 3_000_000, 0][number])
        (source / name).chmod(MODES[number])
        os.utime(source / name, ns=(TIME_NS + number, TIME_NS + 10 + number))
    (source / "d").chmod(0o750)
    os.utime(source / "d", ns=(TIME_NS + 98, TIME_NS + 99))
    (target / "source").mkdir()
    (target / "source" / "small").write_bytes(b"old")
    agent = escp.write_agent("masked", "umask 077")
    escp.copy("-rp", source, remote(target), agent=agent)
    for name in ("small", "d/large", "d/empty", "d"):
        ours, theirs = os.stat(target / "source" / name), os.stat(source / name)
        assert ours.st_mode == theirs.st_mode, name
        assert ours.st_mtime_ns == theirs.st_mtime_ns, name
    assert os.stat(target / "source" / "small").st_atime_ns == TIME_NS


def test_without_p_times_are_now(escp, source, target):
    write_random(source / "a", 1000)
    os.utime(source / "a", ns=(TIME_NS, TIME_NS))
    escp.copy(source / "a", local(target), is_embedded=True)
    assert time.time() - os.stat(target / "a").st_mtime < 60


def test_links_in_trees_are_followed(escp, source, target):
    (source / "real").mkdir()
    write_random(source / "real" / "file", 5000)
    (source / "tree").mkdir()
    (source / "tree" / "to-file").symlink_to("../real/file")
    (source / "tree" / "to-directory").symlink_to("../real")
    (source / "tree" / "absolute").symlink_to(source / "real" / "file")
    (source / "link-to-tree").symlink_to("tree")
    escp.copy("-r", source / "link-to-tree", remote(target))
    contents = list_tree(source / "real")[b"file"]
    assert list_tree(target / "link-to-tree") == {
        b"to-file": contents,
        b"to-directory": "directory",
        b"to-directory/file": contents,
        b"absolute": contents,
    }


@pytest.mark.parametrize("loop", [".", "..", "../a", "../../source"])
def test_link_loop_is_reported_and_the_rest_copied(escp, source, target, loop):
    (source / "a" / "b").mkdir(parents=True)
    write_random(source / "a" / "file", 10)
    (source / "a" / "b" / "loop").symlink_to(loop)
    write_random(source / "a" / "b" / "other", 10)
    done = escp.fail(1, "-r", source, remote(target))
    assert "loop" in done.err and "1 failed" in done.err
    copied = list_tree(target / "source")
    assert b"a/file" in copied and b"a/b/other" in copied and b"a/b/loop/b" not in copied


def test_link_to_itself_and_dangling_link_are_reported(escp, source, target):
    (source / "self").symlink_to("self")
    (source / "dangling").symlink_to("nowhere")
    write_random(source / "file", 10)
    done = escp.fail(1, "-r", source, remote(target))
    assert "self" in done.err and "dangling: no such file" in done.err and "2 failed" in done.err
    assert list_tree(target / "source").keys() == {b"file"}


def test_special_files_are_skipped_and_reported(escp, source, target):
    os.mkfifo(source / "fifo")
    write_random(source / "file", 10)
    if os.getuid() == 0:
        os.mknod(source / "device", 0o600 | 0o020000, os.makedev(1, 5))
    done = escp.fail(1, "-r", source, remote(target))
    assert "fifo: not a regular file" in done.err
    assert list_tree(target / "source").keys() == {b"file"}


WITHOUT_OVERRIDE = (
    "setpriv",
    "--bounding-set=-dac_override,-dac_read_search",
    "--inh-caps=-dac_override,-dac_read_search",
)


@needs_root
def test_unreadable_sources_are_reported_and_the_rest_copied(escp, source, target):
    write_random(source / "secret", 10)
    write_random(source / "file", 10)
    (source / "closed").mkdir()
    write_random(source / "closed" / "inside", 10)
    (source / "secret").chmod(0)
    (source / "closed").chmod(0)
    done = escp.fail(1, "-r", source, local(target), is_embedded=True, prefix=WITHOUT_OVERRIDE)
    assert "secret: permission denied" in done.err and "closed: permission denied" in done.err
    assert "2 failed" in done.err
    assert list_tree(target / "source").keys() >= {b"file"}
    assert b"closed/inside" not in list_tree(target / "source")


@needs_root
def test_unwritable_target_names_the_file_or_directory(escp, source, target):
    write_random(source / "file", 10)
    (target / "closed").mkdir()
    (target / "closed").chmod(0o555)
    done = escp.fail(1, source / "file", local(target / "closed"), is_embedded=True, prefix=WITHOUT_OVERRIDE)
    assert "localhost:" in done.err and "closed/file: permission denied" in done.err
    done = escp.fail(
        1, source / "file", local(target / "closed" / "x"), is_embedded=True, prefix=WITHOUT_OVERRIDE
    )
    assert "permission denied" in done.err
