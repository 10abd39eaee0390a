"""--delete: what only the target has goes once all is copied and verified, and nothing else does."""

import json
import os
import stat
import subprocess
import sys

import pytest

from tests.support.command import needs_root, remote
from tests.support.directions import LOCAL, PULL, PUSH, in_all_directions
from tests.support.trees import list_tree, write_random

OLD_NS = 1_600_000_000_123_456_789


@pytest.fixture
def trees(source, target):
    """A source, and a target with more in it than that."""
    for name in ("a", "d/b", "d/e/c"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        write_random(source / name, 1000 if name != "d/b" else 1_500_000)
    (source / "empty").mkdir()
    top = target / "source"
    for name in ("old", "d/old", "d/e/old", "gone/x", "gone/deep/y", "empty/z"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text("only here")
    (top / "link").symlink_to("../beside")
    (target / "beside").mkdir()
    (target / "beside" / "kept").write_text("x")
    return source, target


@in_all_directions
def test_what_only_the_target_has_goes(escp, trees, way):
    source, target = trees
    done = escp.copy("-r", "--delete", way.source(source), way.target(target))
    assert list_tree(target / "source") == list_tree(source)
    assert (target / "beside" / "kept").exists()  # beside what was copied
    assert "9 deleted" in done.err  # six files, gone, gone/deep and the link


@in_all_directions
def test_dry_run_lists_it_and_removes_nothing(escp, trees, way):
    source, target = trees
    before = list_tree(target)
    done = escp.copy("-n", "-r", "--delete", way.source(source), way.target(target))
    assert list_tree(target) == before
    gone = sorted(line for line in done.out.splitlines() if line.startswith("deleting "))
    names = ("d/e/old", "d/old", "empty/z", "gone/", "gone/deep/", "gone/deep/y", "gone/x", "link", "old")
    assert gone == [f"deleting {target}/source/{name}" for name in names]


@in_all_directions
def test_more_than_max_delete_removes_nothing(escp, trees, way):
    source, target = trees
    before = set(list_tree(target / "source"))
    words = ("-r", "--delete", way.source(source), way.target(target))
    done = escp.run("--max-delete", "8", *words)
    assert done.code == 18 and "9 names are only at the target" in done.err, done.err
    assert done.hint == "look at them with --dry-run; if they may go, write a larger --max-delete"
    assert set(list_tree(target / "source")) == before | set(list_tree(source))
    listed = escp.run("-n", "--max-delete", "8", *words)  # that is how they are looked at
    assert listed.code == 18 and listed.hint == "if they may go, write a larger --max-delete"
    assert listed.out.count("deleting ") == 9
    assert set(list_tree(target / "source")) == before | set(list_tree(source))
    escp.copy("--max-delete", "9", *words)
    assert list_tree(target / "source") == list_tree(source)


def test_one_name_too_many_is_said_as_one(escp, trees):
    source, target = trees
    escp.copy("-r", "--delete", source, target)
    (target / "source" / "more").write_text("x")
    done = escp.run("-r", "--delete", "--max-delete", "0", source, target)
    assert "nothing was deleted: 1 name is only at the target, and --max-delete allows 0" in done.err


@in_all_directions
def test_copy_error_removes_nothing(escp, trees, way):
    source, target = trees
    os.mkfifo(source / "pipe")
    before = set(list_tree(target / "source"))
    done = escp.run("-r", "--delete", way.source(source), way.target(target))
    assert done.code == 1 and "nothing was deleted: not everything was copied" in done.err, done.err
    assert set(list_tree(target / "source")) >= before


@in_all_directions
def test_excluded_and_unfinished_names_stay(escp, trees, way):
    source, target = trees
    top = target / "source"
    stays = ["keep.log", "gone/keep.log", "d/.escp-0123-1-2-3.part", ".big.escp-part", "gone/.x.escp-part"]
    for name in stays:
        (top / name).write_text("x")
    escp.copy("-r", "--delete", "--exclude", "*.log", way.source(source), way.target(target))
    expected = {os.fsencode(name) for name in stays} | {b"gone"}
    assert set(list_tree(top)) == set(list_tree(source)) | expected
    for name in stays:  # else it would look as if escp had left them
        (top / name).unlink()


@in_all_directions
def test_contents_of_a_directory_straight_into_the_target(escp, trees, way):
    """A root without a name is the target itself; what other sources brought there stays."""
    source, target = trees
    beside = source.parent / "other"
    (beside / "sub").mkdir(parents=True)
    (beside / "sub" / "o").write_text("o")
    words = [way.source(f"{source}/."), way.source(beside)]
    escp.copy("-r", "--delete", *words, way.target(target))
    expected = set(list_tree(source)) | {b"other", b"other/sub", b"other/sub/o"}
    assert set(list_tree(target)) == expected


@in_all_directions
def test_links_of_the_target_lead_nowhere(escp, trees, way):
    """Neither one in place of a directory that the sources have, nor one that only the target has."""
    source, target = trees
    (source / "linked").mkdir()
    (source / "linked" / "new").write_text("x")
    (target / "source" / "real").mkdir()
    (target / "source" / "real" / "stays").write_text("x")
    (target / "source" / "linked").symlink_to("real")
    escp.run("-r", "--delete", way.source(source), way.target(target))
    assert (target / "beside" / "kept").exists()


@in_all_directions
def test_times_of_directories_are_the_sources(escp, trees, way):
    source, target = trees
    for name in ("d/e", "d", "empty", "."):
        os.utime(source / name, ns=(OLD_NS, OLD_NS))
    escp.copy("-rp", "--delete", way.source(source), way.target(target))
    for name in ("d/e", "d", "empty", "."):
        assert (target / "source" / name).stat().st_mtime_ns == OLD_NS, name


@in_all_directions
def test_read_only_directories(escp, trees, way):
    """Of which the user is the owner, as rsync does."""
    source, target = trees
    (source / "d" / "e").chmod(0o555)
    escp.copy("-rp", "--delete", way.source(source), way.target(target), prefix=())
    assert list_tree(target / "source") == list_tree(source)
    assert stat.S_IMODE((target / "source" / "d" / "e").stat().st_mode) == 0o555


def test_json_and_log_name_what_went(escp, trees, tmp_path):
    source, target = trees
    log = tmp_path / "log"
    done = escp.copy("--json", "--logfile", log, "-r", "--delete", source, remote(target))
    lines = [json.loads(line) for line in done.out.splitlines()]
    paths = {line["path"] for line in lines if line["type"] == "deleted"}
    assert len(paths) == lines[-1]["deleted"] == 9 and f"{target}/source/gone/deep/" in paths
    assert all(line["dry_run"] is False for line in lines if line["type"] == "deleted")
    assert log.read_text().count(" deleted path=") == 9


def test_sources_below_the_target_stay(escp, target):
    """They are not among what was copied, and are what is copied."""
    inner = target / "keep" / "src"
    inner.mkdir(parents=True)
    (inner / "a").write_text("x")
    (target / "old").write_text("x")
    escp.copy("-r", "--delete", f"{inner}/.", target)
    assert (inner / "a").read_text() == "x" and (target / "a").read_text() == "x"
    assert not (target / "old").exists()


@pytest.mark.parametrize("way", [PUSH, LOCAL, PULL], ids=lambda way: way.name)
def test_files_left_out_by_size_stay(escp, source, target, way):
    (source / "big").write_bytes(bytes(5000))
    (source / "a").write_text("x")
    (target / "source").mkdir()
    (target / "source" / "big").write_text("older")
    escp.copy("-r", "--delete", "--max-size", "1000", way.source(source), way.target(target))
    assert sorted(os.listdir(target / "source")) == ["a", "big"]


@pytest.mark.parametrize("way", [PUSH, LOCAL, PULL], ids=lambda way: way.name)
def test_links_are_followed_or_not_as_in_the_copy(escp, source, target, way):
    (source / "d").mkdir()
    (source / "d" / "x").write_text("x")
    (source / "link").symlink_to("d")
    for name in ("link", "d"):
        (target / "source" / name).mkdir(parents=True)
        (target / "source" / name / "old").write_text("x")
    escp.copy("-r", "--delete", way.source(source), way.target(target))
    assert os.listdir(target / "source" / "link") == os.listdir(target / "source" / "d") == ["x"]


@needs_root
@pytest.mark.parametrize("way", [PUSH, LOCAL, PULL], ids=lambda way: way.name)
def test_what_can_not_be_removed_is_told(escp, source, target, way):
    (source / "a").write_text("x")
    (target / "source").mkdir()
    (target / "source" / "stuck").write_text("x")
    subprocess.run(["chattr", "+i", target / "source" / "stuck"], check=True)
    try:
        done = escp.run("-r", "--delete", way.source(source), way.target(target))
    finally:
        subprocess.run(["chattr", "-i", target / "source" / "stuck"], check=True)
    assert done.code == 1 and "stuck: can't be deleted: " in done.err, done.err


@pytest.mark.parametrize("words, said", [
    (("--delete",), "without -r no directory is copied"),
    (("-r", "--delete", "--remove-source-files"), "leaves no sources to compare"),
    (("-r", "--delete", "--nochecksum"), "with --nochecksum nothing is verified"),
    (("-r", "--delete", "--ioengine=dummy"), "nothing is verified"),
    (("-r", "--delete", "--filelist", "/dev/null"), "a file list names what to copy"),
])  # fmt: skip
def test_what_does_not_go_together(escp, source, target, words, said):
    done = escp.run(*words, source, target)
    assert done.code == 2 and said in done.err, done.err


def test_directly_from_host_to_host(escp, trees):
    source, target = trees
    escp.copy("-R", "-r", "--delete", remote(source), remote(target))
    assert list_tree(target / "source") == list_tree(source)


@pytest.mark.parametrize("is_push", [True, False], ids=["push", "pull"])
def test_embedded(escp, trees, is_push):
    source, target = trees
    words = (source, f"localhost:{target}") if is_push else (f"localhost:{source}", target)
    escp.copy("--embedded", "-r", "--delete", *words)
    assert list_tree(target / "source") == list_tree(source)


def test_many_names(escp, source, target):
    """Which go in many pages."""
    top = target / "source"
    top.mkdir()
    for i in range(10_000):
        (source / f"a{i}").touch()
        (top / f"b{i}").touch()
    done = escp.copy("-r", "--delete", remote(source), target)
    assert "10,000 deleted" in done.err
    assert list_tree(top) == list_tree(source)


GONE = """
import sys
import escp.names.inventory
was = escp.names.inventory.Inventory.__init__
def init(self, sources, **how):
    import os
    os.rename({one!r}, {other!r})
    was(self, sources, **how)
escp.names.inventory.Inventory.__init__ = init
from escp.cli.main import main
sys.exit(main())
"""


@pytest.mark.parametrize("name", ["a", "source"])
def test_sources_that_are_gone_by_then_remove_nothing(escp, trees, tmp_path, name):
    """A file, or the source itself, whose place another directory takes."""
    source, target = trees
    one = source / "a" if name == "a" else source
    driver = tmp_path / "driver.py"
    driver.write_text(GONE.format(one=str(one), other=str(tmp_path / "elsewhere")))
    before = set(list_tree(target / "source"))
    if name == "source":
        driver.write_text(driver.read_text().replace("    was(", f"    os.mkdir({str(source)!r})\n    was("))
    done = escp.run("-r", "--delete", source, target, command=[sys.executable, driver])
    assert done.code == 1, done.err
    said = "are still among the sources" if name == "a" else "can't be listed: stale file handle"
    assert said in done.err, done.err
    assert set(list_tree(target / "source")) >= before


@in_all_directions
def test_target_that_is_no_directory_loses_nothing(escp, trees, way):
    source, target = trees
    file = source / "a"
    for place in ("/dev/null", target / "a", target / "a"):
        escp.copy("-r", "--delete", way.source(file), way.target(place))
    assert (target / "a").read_bytes() == file.read_bytes()
    if not way.is_to_remote:
        escp.copy("-r", "--delete", way.source(file), "-")
