"""Files that arrived before a copy was cut off are known again: without -p, and without being read."""

import fcntl
import os
import shutil
import signal
import stat
import sys

import pytest

from tests.support.command import DRIVER, needs_source, remote
from tests.support.directions import LOCAL, PUSH, in_all_directions
from tests.support.leftovers import find_agents
from tests.support.parts import end_when
from tests.support.trees import list_tree, write_random
from tests.support.waiting import wait_for

N_FILES = 60
FILE_BYTES = 50_000
HEAD_BYTES, RECORD_BYTES = 16, 16


@pytest.fixture
def tree(source):
    (source / "sub").mkdir()
    for i in range(N_FILES):
        write_random(source / ("sub" if i % 2 else ".") / f"f{i:02}", FILE_BYTES, seed=i)
    return source


def list_records(escp):
    return list(escp.home.rglob("*.arrived"))


def count_records(escp):
    return sum((path.stat().st_size - HEAD_BYTES) // RECORD_BYTES for path in list_records(escp))


def cut_off(escp, *words, n=20, number=signal.SIGKILL, kills_agent=False):
    """Start a copy, and end it when *n* files are noted; how many are."""
    process = escp.start("-r", "--json", "-t1", "-l", "1M", *words)
    end_when(escp, process, lambda: count_records(escp) >= n, kills_agent=kills_agent, number=number)
    return count_records(escp)


def resume(escp, *words, code=0):
    done = escp.run("-r", "--json", "--resume", *words)
    assert done.code == code, done.json[-1]["error"]
    return done.json[-1]


@in_all_directions
@pytest.mark.parametrize("kills_agent", [False, True], ids=["initiator", "agent"])
def test_what_is_complete_does_not_come_again(escp, tree, target, way, kills_agent):
    if way is LOCAL and kills_agent:
        pytest.skip("there is none")
    words = way.source(tree), way.target(target)
    n = cut_off(escp, *words, kills_agent=kills_agent)
    assert 20 <= n < N_FILES
    done = resume(escp, *words)
    assert done["skipped"] == n and done["files"] == N_FILES - n
    assert done["bytes"] == (N_FILES - n) * FILE_BYTES
    assert list_tree(target / tree.name) == list_tree(tree)
    assert list_records(escp) == []


def test_direct_hosts_know_them_too(escp, tree, target):
    n = cut_off(escp, "-R", remote(tree), remote(target))
    assert resume(escp, "-R", remote(tree), remote(target))["skipped"] == n
    assert list_tree(target / tree.name) == list_tree(tree)


@in_all_directions
@pytest.mark.parametrize("slash", ["", "/"], ids=["", "slash"])
def test_the_directory_that_it_made_is_not_copied_into(escp, tree, target, way, slash):
    words = way.source(tree), way.target(f"{target}/new{slash}")
    n = cut_off(escp, *words)
    for _ in range(2):
        cut_off(escp, "--resume", *words, n=n + 5)
    done = resume(escp, *words)
    assert done["skipped"] > n
    assert list_tree(target / "new") == list_tree(tree)
    assert os.listdir(target) == ["new"]


@in_all_directions
def test_nor_one_whose_name_has_no_room_for_more(escp, tree, target, way):
    words = way.source(tree), way.target(target / (255 * "n"))
    n = cut_off(escp, *words)
    assert resume(escp, *words)["skipped"] == n
    assert list_tree(target / (255 * "n")) == list_tree(tree)
    assert os.listdir(target) == [255 * "n"]


def test_it_may_be_cut_off_before_any_file(escp, tree, target):
    process = escp.start("-r", "-t1", "-l", "100K", tree, remote(target / "new"))
    wait_for(lambda: (target / ".new.escp-made").exists())
    process.kill()
    escp.finish(process)
    wait_for(lambda: not find_agents(escp.mark))
    resume(escp, tree, remote(target / "new"))
    assert list_tree(target / "new") == list_tree(tree) and os.listdir(target) == ["new"]


@in_all_directions
def test_an_exact_target_that_it_made_is_opened_up_by_the_run_that_goes_on(escp, tree, target, way):
    """Also by one that is cut off itself, where the first was before it knew of the source's mode."""
    tree.chmod(0o755)
    new = target / "new"
    words = "-T", way.source(tree), way.target(new)
    n = cut_off(escp, *words)
    new.chmod(0o700 if way.is_to_remote else 0o1700)
    cut_off(escp, "--resume", *words, n=n + 5)
    assert stat.S_IMODE(new.stat().st_mode) == 0o755
    resume(escp, *words)
    assert stat.S_IMODE(new.stat().st_mode) == 0o755
    assert list_tree(new) == list_tree(tree) and os.listdir(target) == ["new"]


def test_without_resume_it_is_a_new_copy_as_ever(escp, tree, target):
    cut_off(escp, tree, remote(target / "new"))
    done = escp.copy("-r", "--json", tree, remote(target / "new")).json[-1]
    assert done["files"] == N_FILES and done["skipped"] == 0
    assert list_tree(target / "new" / tree.name) == list_tree(tree)
    assert os.listdir(target) == ["new"]  # nobody goes on with the first one


def test_a_directory_of_that_name_that_it_did_not_make_is_copied_into(escp, tree, target):
    cut_off(escp, tree, remote(target / "new"))
    shutil.move(target / "new", target / "old")
    (target / "new").mkdir()
    resume(escp, tree, remote(target / "new"))
    assert list_tree(target / "new" / tree.name) == list_tree(tree)


@pytest.mark.parametrize("way", [PUSH, LOCAL], ids=lambda way: way.name)
@pytest.mark.parametrize("what", ["deleted", "replaced", "touched", "longer", "link"])
def test_what_changed_at_the_target_comes_again(escp, tree, target, way, what):
    words = way.source(tree), way.target(target)
    n = cut_off(escp, *words)
    place = target / tree.name
    known = sorted(path for path in place.rglob("f*") if path.is_file())[:3]
    for path in known:
        status = path.stat()
        if what in ("deleted", "link"):
            path.unlink()
        if what == "link":
            path.symlink_to(tree / "f00")
        elif what == "replaced":  # with the same size and time
            path.with_name("other").write_bytes(bytes(FILE_BYTES))
            os.utime(path.with_name("other"), ns=(status.st_atime_ns, status.st_mtime_ns))
            os.replace(path.with_name("other"), path)
        elif what == "touched":
            path.write_bytes(bytes(FILE_BYTES))
        elif what == "longer":
            with open(path, "ab") as file:
                file.write(b"more")
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    done = resume(escp, *words)
    assert n - 3 <= done["skipped"] < n
    assert list_tree(place) == list_tree(tree)


@pytest.mark.parametrize("what", ["contents", "replaced", "mode"])
def test_a_source_that_changed_comes_again(escp, tree, target, what):
    n = cut_off(escp, tree, remote(target))
    for path in [path for path in tree.rglob("f*") if path.is_file()]:
        status = path.stat()
        if what == "contents":
            path.write_bytes(os.urandom(FILE_BYTES))
        elif what == "replaced":
            path.with_name("other").write_bytes(os.urandom(FILE_BYTES))
            os.replace(path.with_name("other"), path)
        else:
            path.chmod(0o640)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert n and resume(escp, tree, remote(target))["skipped"] == 0
    for path in tree.rglob("f*"):
        assert (target / tree.name / path.relative_to(tree)).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("options", [["-p"], ["-C", "-l", "800M", "-t", "2", "-v"]], ids=" ".join)
def test_the_same_arguments_are_those_that_count(escp, tree, target, options):
    n = cut_off(escp, tree, remote(target))
    assert resume(escp, *options, tree, remote(target))["skipped"] == (0 if options == ["-p"] else n)


def test_a_cut_last_record_is_ignored_and_written_over(escp, tree, target):
    n = cut_off(escp, tree, remote(target))
    os.truncate(list_records(escp)[0], HEAD_BYTES + n * RECORD_BYTES - 5)
    n = cut_off(escp, "--resume", tree, remote(target), n=n + 5)
    done = resume(escp, tree, remote(target))
    assert done["skipped"] == n and list_tree(target / tree.name) == list_tree(tree)


@pytest.mark.parametrize("damage", ["head", "inside", "noise", "empty", "gone"])
def test_a_damaged_record_costs_time_and_nothing_else(escp, tree, target, damage):
    n = cut_off(escp, tree, remote(target))
    (path,) = list_records(escp)
    data = bytearray(path.read_bytes())
    if damage in ("head", "inside"):
        data[3 if damage == "head" else HEAD_BYTES + 5 * RECORD_BYTES] ^= 0xFF
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes({"noise": data[:HEAD_BYTES] + os.urandom(8003), "empty": b""}.get(damage, data))
    done = resume(escp, tree, remote(target))
    assert done["skipped"] == (n - 1 if damage == "inside" else 0)
    assert list_tree(target / tree.name) == list_tree(tree)


@pytest.mark.parametrize("what", ["readable", "link", "hard link", "fifo"])
def test_a_record_that_others_could_have_seen_to_is_none(escp, tree, target, what):
    cut_off(escp, tree, remote(target))
    (path,) = list_records(escp)
    assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700
    other = path.with_name("other")
    if what == "readable":
        path.chmod(0o644)
    elif what == "hard link":
        os.link(path, other)
    elif what == "link":
        path.rename(other)
        path.symlink_to(other)
    else:
        path.unlink()
        os.mkfifo(path)
    assert resume(escp, tree, remote(target))["skipped"] == 0
    assert list_tree(target / tree.name) == list_tree(tree)


def test_another_run_of_the_command_has_the_record(escp, tree, target):
    cut_off(escp, tree, remote(target))
    (path,) = list_records(escp)
    before = path.read_bytes()
    with open(path, "r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert resume(escp, tree, remote(target))["skipped"] == 0
    assert path.read_bytes() == before


def test_no_partial_keeps_no_record(escp, tree, target):
    process = escp.start("-r", "-t1", "-l", "1M", "--no-partial", tree, remote(target / "new"))
    wait_for(lambda: len(list((target / "new").rglob("f*"))) > 20)
    process.send_signal(signal.SIGTERM)
    assert "--resume" not in escp.finish(process).err
    assert list_records(escp) == [] and os.listdir(target) == ["new"]


def test_what_failed_is_all_that_is_left(escp, tree, target):
    (tree / "f00").unlink()
    os.mkfifo(tree / "f00")
    done = escp.run("-r", "--json", "-l", "4M", tree, remote(target / "new"))
    assert done.code == 1
    (tree / "f00").unlink()
    (tree / "f00").write_text("a file")
    done = resume(escp, tree, remote(target / "new"))
    assert done["files"] == 1 and done["skipped"] == N_FILES - 1
    assert list_tree(target / "new") == list_tree(tree) and os.listdir(target) == ["new"]


def test_who_ends_it_is_told_how_to_go_on(escp, tree, target):
    process = escp.start("-r", "--json", "-t1", "-l", "1M", tree, remote(target))
    wait_for(lambda: count_records(escp) > 5)
    process.send_signal(signal.SIGTERM)
    done = escp.finish(process)
    assert "escp --resume with the same arguments does the rest" in done.json[-1]["error"]["hint"]


@needs_source  # the first half second is longer
@pytest.mark.parametrize("way", [PUSH, LOCAL], ids=lambda way: way.name)
def test_what_is_ended_before_anything_was_noted_is_known_all_the_same(escp, tree, target, way):
    words = way.source(tree), way.target(target)
    driver = {"env": escp.write_driver(short_s=60), "command": [sys.executable, str(DRIVER)]}
    process = escp.start("-r", "-t1", "-l", "1M", *words, **driver)
    wait_for(lambda: len(list(target.rglob("f*"))) > 20)
    assert list_records(escp) == []
    process.send_signal(signal.SIGTERM)
    assert escp.finish(process).code == 128 + signal.SIGTERM
    wait_for(lambda: not find_agents(escp.mark))
    assert resume(escp, *words)["skipped"] >= 10
    assert list_tree(target / tree.name) == list_tree(tree)


def test_where_no_record_can_be_kept_the_copy_goes_on(escp, tree, target):
    (escp.home / ".state-here").write_text("a file")
    escp.copy("-r", "-l", "4M", tree, remote(target))
    assert list_tree(target / tree.name) == list_tree(tree)


@pytest.mark.parametrize(
    "options", [["--hard-links"], ["-p", "--skip-unchanged"], ["-p", "--checksum"]], ids=" ".join
)
def test_with_options_that_look_themselves(escp, tree, target, options):
    os.link(tree / "f00", tree / "g00")
    n = cut_off(escp, *options, tree, remote(target))
    done = resume(escp, *options, tree, remote(target))
    assert n - 1 <= done["skipped"]
    place = target / tree.name
    assert (place / "g00").read_bytes() == (tree / "f00").read_bytes()
    if options == ["--hard-links"]:
        assert os.path.samefile(place / "f00", place / "g00")
