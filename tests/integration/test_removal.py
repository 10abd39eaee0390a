"""--remove-source-files: what has arrived goes, and nothing else."""

import glob
import os
import subprocess
import time

import pytest

from tests.support.command import needs_root
from tests.support.directions import LOCAL, PULL, PUSH, in_all_directions
from tests.support.trees import list_tree, write_random


@in_all_directions
def test_what_has_arrived_goes_and_directories_stay(escp, source, target, way):
    for name in ("a", "d/b", "d/e/c"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        write_random(source / name, 1000 if name != "d/b" else 1_500_000)
    os.link(source / "a", source / "d" / "other")
    (source / "link").symlink_to("nowhere")
    before = list_tree(source)
    escp.copy("-a", "--remove-source-files", way.source(source), way.target(target))
    assert list_tree(target / "source") == before
    assert set(list_tree(source)) == {b"d", b"d/e"}


@in_all_directions
def test_named_source_goes(escp, source, target, way):
    for name, size in (("small", 10), ("large", 1_000_000)):
        write_random(source / name, size)
    words = [way.source(source / name) for name in ("small", "large")]
    escp.copy("--remove-source-files", *words, way.target(target))
    assert os.listdir(source) == [] and sorted(os.listdir(target)) == ["large", "small"]


@in_all_directions
def test_nothing_goes_in_a_dry_run_or_when_it_is_skipped(escp, source, target, way):
    (source / "a").write_text("x")
    escp.copy("-n", "--remove-source-files", way.source(source / "a"), way.target(target))
    assert os.listdir(source) == ["a"]
    escp.copy("-p", way.source(source / "a"), way.target(target))
    words = ("-p", "--skip-unchanged", "--remove-source-files")
    escp.copy(*words, way.source(source / "a"), way.target(target))
    assert os.listdir(source) == ["a"]


@in_all_directions
def test_what_fails_stays(escp, source, target, way):
    for name in ("a", "b"):
        (source / name).write_text(name)
    (target / "source" / "b").mkdir(parents=True)
    done = escp.run("-r", "--remove-source-files", way.source(source), way.target(target))
    assert done.code == 1 and os.listdir(source) == ["b"]


def test_link_that_is_followed_goes_and_not_what_it_leads_to(escp, source, target):
    (source / "data").write_text("x")
    (source / "d").mkdir()
    (source / "d" / "link").symlink_to("../data")
    escp.copy("-r", "--remove-source-files", source / "d", target)
    assert (target / "d" / "link").read_text() == "x" and (source / "data").read_text() == "x"
    assert os.listdir(source / "d") == []


@pytest.mark.parametrize("way", [PUSH, LOCAL, PULL], ids=lambda way: way.name)
@pytest.mark.parametrize("size", [10, 1_000_000])
@pytest.mark.parametrize("name", ["link", "d/link"])
def test_directory_to_which_a_link_leads_keeps_its_files(escp, source, target, folder, way, size, name):
    """Who may write to a tree has nothing removed elsewhere. What the user named may be a link."""
    (folder / "elsewhere" / "deep").mkdir(parents=True)
    write_random(folder / "elsewhere" / "deep" / "precious", size)
    (source / "d").mkdir()
    (source / "d" / "own").write_text("x")
    (source / name).symlink_to(folder / "elsewhere")
    (folder / "way").symlink_to(source)
    named = folder / "way"
    done = escp.run("-r", "--remove-source-files", way.source(named), way.target(target))
    assert done.code == 1 and "not removed: a link below the source leads to it" in done.err, done.err
    assert (target / "way" / name / "deep" / "precious").stat().st_size == size
    assert (folder / "elsewhere" / "deep" / "precious").stat().st_size == size
    assert not (source / "d" / "own").exists() and (source / name).is_symlink()


@needs_root
@pytest.mark.parametrize("way", [PUSH, LOCAL, PULL], ids=lambda way: way.name)
def test_what_can_not_be_removed_is_told(escp, source, target, way):
    (source / "a").write_text("x")
    subprocess.run(["chattr", "+a", source], check=True)
    try:
        done = escp.run("-r", "--remove-source-files", way.source(source), way.target(target))
    finally:
        subprocess.run(["chattr", "-a", source], check=True)
    assert done.code == 1 and "copied, but it can't be removed: " in done.err, done.err
    assert (target / "source" / "a").read_text() == (source / "a").read_text() == "x"


@pytest.mark.parametrize("way", [PUSH, PULL], ids=lambda way: way.name)
def test_file_that_took_the_name_meanwhile_stays(escp, source, target, way):
    """The one that was open arrives; the new one is here only."""
    write_random(source / "large", 3_000_000)
    (source / "new").write_text("new")
    words = ("--remove-source-files", "-l", "1M", way.source(source / "large"), way.target(target / "x"))
    process = escp.start(*words)
    wait_for_open(source / "large")
    (source / "new").rename(source / "large")
    done = escp.finish(process)
    assert done.code == 1 and "copied, but not removed: it has changed since it was read" in done.err
    assert (source / "large").read_text() == "new" and (target / "x").stat().st_size == 3_000_000


def wait_for_open(path):
    """Until some process has it open."""
    info = path.stat()
    end_s = time.monotonic() + 20
    while time.monotonic() < end_s:
        for fd in glob.glob("/proc/[0-9]*/fd/*"):
            try:
                if os.path.samestat(os.stat(fd), info):
                    return
            except OSError:
                continue
        time.sleep(0.02)
    raise AssertionError("nobody opens it")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--nochecksum"], "with --nochecksum nothing is verified"),
        (["--ioengine", "posix::dummy"], "with --ioengine=dummy nothing is verified"),
    ],
)  # fmt: skip
def test_nothing_goes_unverified(escp, source, target, words, message):
    (source / "a").write_text("x")
    done = escp.fail(2, "--remove-source-files", *words, source / "a", target)
    assert done.error == f"option --remove-source-files: {message}"


def test_nothing_goes_into_a_device(escp, source):
    (source / "a").write_text("x")
    done = escp.fail(16, "--remove-source-files", source / "a", "/dev/null")
    assert done.error == "option --remove-source-files: the target is a pipe or device"
    done = escp.fail(2, "--remove-source-files", source / "a", "-")
    assert os.listdir(source) == ["a"]


@pytest.mark.parametrize("way", [PUSH, LOCAL], ids=lambda way: way.name)
def test_file_is_not_removed_as_its_own_copy(escp, source, way):
    (source / "a").write_text("x")
    escp.run("--remove-source-files", source / "a", way.target(source / "a"))
    assert (source / "a").read_text() == "x"
