"""Links, devices and pipes that the target has already, with --update, --skip-unchanged and --checksum."""

import json
import os

import pytest

from tests.integration.test_itemize import OLD_NS, read
from tests.support.command import needs_root, remote
from tests.support.directions import in_all_directions

SELECTIONS = pytest.mark.parametrize("selection", ["--update", "--skip-unchanged", "--checksum"])


def make_nodes(source):
    for name in ("same", "text", "older", "over-file", "over-directory"):
        (source / name).symlink_to("a")
    (source / "a").write_text("abc")
    for name in ("pipe", "pipe-of-other-mode", "pipe-over-link"):
        os.mkfifo(source / name, 0o640)
    (source / "pair-1").symlink_to("a")
    os.link(source / "pair-1", source / "pair-2", follow_symlinks=False)


def change_nodes(top):
    (top / "text").unlink()
    (top / "text").symlink_to("b")
    os.utime(top / "older", ns=(OLD_NS, OLD_NS), follow_symlinks=False)
    (top / "over-file").unlink()
    (top / "over-file").write_text("a")
    (top / "pipe-of-other-mode").chmod(0o600)
    (top / "pipe-over-link").unlink()
    (top / "pipe-over-link").symlink_to("a")


CHANGED = {
    "text": ("contents", None),
    "older": ("attributes", None),
    "over-file": ("type", None),
    "pipe-of-other-mode": ("attributes", None),
    "pipe-over-link": ("type", None),
}


ALL = ("-a", "--devices")


def identify(top):
    """A new node may get the number of one that was removed, but not its time of change."""
    return {path.name: (os.lstat(path).st_ino, os.lstat(path).st_ctime_ns) for path in top.iterdir()}


@in_all_directions
@SELECTIONS
def test_what_is_the_same_stays(escp, source, target, way, selection):
    make_nodes(source)
    top = target / "source"
    command = (*ALL, "--itemize", selection, way.source(source), way.target(target))
    assert len(read(escp.copy(*command).out, top)) == 12  # with the directory
    before = identify(top)
    assert escp.copy("-n", *command).out == escp.copy(*command).out == ""
    assert identify(top) == before
    change_nodes(top)
    changed = identify(top)
    assert escp.copy("-n", *ALL, selection, *command[-2:]).out.count("\n") == len(CHANGED)
    assert read(escp.copy("-n", *command).out, top) == CHANGED
    assert identify(top) == changed
    assert read(escp.copy(*command).out, top) == CHANGED
    after = identify(top)
    assert {name for name in after if after[name] != before[name]} == set(CHANGED)
    assert os.readlink(top / "text") == "a"
    assert escp.copy(*command).out == ""


@in_all_directions
def test_without_kept_times_the_text_alone_counts(escp, source, target, way):
    make_nodes(source)
    top = target / "source"
    options = ("-r", "--links", "--devices", "--itemize", "--checksum")
    command = (*options, way.source(source), way.target(target))
    escp.copy(*command)
    change_nodes(top)
    expected = {name: what for name, what in CHANGED.items() if what[0] != "attributes"}
    assert read(escp.copy("-n", *command).out, top) == expected
    assert read(escp.copy(*command).out, top) == expected


@needs_root
@in_all_directions
def test_owner_and_numbers(escp, source, target, way):
    (source / "same").symlink_to("a")
    (source / "owner").symlink_to("a")
    os.mknod(source / "null", 0o20666, os.makedev(1, 3))
    os.mknod(source / "zero", 0o20666, os.makedev(1, 3))
    top = target / "source"
    command = ("-a", "--owner", "--devices", "--update", "--itemize", way.source(source), way.target(target))
    escp.copy(*command)
    os.lchown(top / "owner", 12345, 12345)
    (top / "zero").unlink()
    os.mknod(top / "zero", 0o20666, os.makedev(1, 5))
    expected = {"owner": ("attributes", None), "zero": ("contents", None)}
    assert read(escp.copy("-n", *command).out, top) == expected
    assert read(escp.copy(*command).out, top) == expected
    assert escp.copy(*command).out == ""


@in_all_directions
def test_one_link_that_is_named(escp, source, target, way):
    (source / "link").symlink_to("nowhere")
    command = ("-a", "--update", "--itemize", way.source(source / "link"), way.target(target))
    assert read(escp.copy(*command).out, target) == {"link": ("missing", None)}
    before = identify(target)
    assert escp.copy("-n", *command).out == escp.copy(*command).out == ""
    assert identify(target) == before


def test_they_are_counted_as_files_that_stay_are(escp, source, target, tmp_path):
    make_nodes(source)
    log = tmp_path / "log"
    command = (*ALL, "--checksum", "--delete", "--log-files", "--logfile", log, source, remote(target))
    escp.copy(*command)
    log.unlink()
    done = escp.copy("--json", *command)
    (result,) = [line for line in map(json.loads, done.out.splitlines()) if line["type"] == "result"]
    assert (result["files"], result["skipped"], result["failed"], result["deleted"]) == (0, 11, 0, 0)
    assert [
        line for line in log.read_text().splitlines() if "] file " in line and 'kind="directory"' not in line
    ] == []


@in_all_directions
def test_names_of_one_link(escp, source, target, way):
    """The second name of each is told as the first is, in a dry run, too."""
    top = target / "source"
    top.mkdir()
    for name, text in {"same": "a", "other": "b", "over-file": "c"}.items():
        (source / f"{name}-1").symlink_to(text)
        os.link(source / f"{name}-1", source / f"{name}-2", follow_symlinks=False)
        for i in (1, 2):
            path = top / f"{name}-{i}"
            path.write_text("c") if name == "over-file" else path.symlink_to("a")
    os.mkfifo(source / "pipe-1")
    os.link(source / "pipe-1", source / "pipe-2")
    command = (*ALL, "--itemize", way.source(source), way.target(target))
    reasons = {"same": "attributes", "other": "contents", "over-file": "type", "pipe": "missing"}
    expected = {f"{name}-{i}": (reason, None) for name, reason in reasons.items() for i in (1, 2)}
    assert read(escp.copy("-n", *command).out, top) == expected
    assert read(escp.copy(*command).out, top) == expected


@SELECTIONS
def test_a_removed_link_is_made_again(escp, source, target, selection):
    """Another name of one link is there, and is linked to."""
    make_nodes(source)
    top = target / "source"
    command = (*ALL, "--itemize", selection, source, remote(target))
    escp.copy(*command)
    assert os.lstat(top / "pair-1").st_ino == os.lstat(top / "pair-2").st_ino
    (top / "pair-2").unlink()
    assert read(escp.copy(*command).out, top) == {"pair-2": ("missing", None)}
    assert os.lstat(top / "pair-1").st_ino == os.lstat(top / "pair-2").st_ino
