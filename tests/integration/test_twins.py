"""A name that a copy has given to one source is not given to another, however it is spelled."""

import os
import shlex
import subprocess

import pytest

from tests.support import folding
from tests.support.command import needs_root
from tests.support.directions import LOCAL, PULL, PUSH, RELAY, in_all_directions
from tests.support.trees import list_tree

LARGE = b"large" * 60_000


@in_all_directions
def test_name_that_is_given_twice_is_an_error_that_names_both(escp, source, target, way):
    for folder in "ab":
        (source / folder).mkdir()
        (source / folder / "x").write_text(folder)
        (source / folder / "big").write_bytes(folder.encode() + LARGE)
    words = [way.source(source / folder / name) for name in ("x", "big") for folder in "ab"]
    done = escp.fail(1, *words, way.target(target))
    assert list_tree(target) == list_tree(source / "a")
    for name in ("x", "big"):
        first, second = source / "a" / name, source / "b" / name
        said = f"{name}: '{second}' was not copied: this copy has given the name to '{first}'"
        assert said in done.err, done.err


@in_all_directions
def test_directories_of_one_name_are_merged_but_for_files_of_one_name(escp, source, target, way):
    for folder, names in (("a", "fg"), ("b", "gh")):
        (source / folder / "d" / "e").mkdir(parents=True)
        for name in names:
            (source / folder / "d" / "e" / name).write_text(folder)
    done = escp.fail(
        1, "-r", way.source(source / "a" / "d"), way.source(source / "b" / "d"), way.target(target)
    )
    found = {path.name: path.read_text() for path in (target / "d" / "e").iterdir()}
    assert found == {"f": "a", "g": "a", "h": "b"}
    assert f"'{source}/b/d/e/g'" in done.err and f"'{source}/a/d/e/g'" in done.err
    assert "1 failed" in done.err


def test_links_and_hard_links(escp, source, target):
    for folder in "ab":
        (source / folder / "d").mkdir(parents=True)
        (source / folder / "d" / "link").symlink_to(folder)
        (source / folder / "d" / "one").write_text(folder)
        os.link(source / folder / "d" / "one", source / folder / "d" / "two")
        os.mkfifo(source / folder / "d" / "fifo")
    options = ["-r", "--links", "--hard-links"] + (
        ["--devices"] if os.getuid() == 0 else ["--exclude", "fifo"]
    )
    escp.fail(1, *options, source / "a" / "d", source / "b" / "d", target)
    assert os.readlink(target / "d" / "link") == "a"
    assert (target / "d" / "one").read_text() == (target / "d" / "two").read_text() == "a"


def test_source_that_is_named_twice_is_copied_once(escp, source, target):
    (source / "x").write_text("x")
    done = escp.copy("--json", source / "x", source / "x", target)
    assert done.json[-1]["files"] == 1


def test_second_copy_replaces_all_of_it(escp, source, target):
    """Names that differ in case only are two files here, and this copy has given neither that it finds."""
    (source / "D").mkdir()
    (source / "d").mkdir()
    for name in ("A", "a", "D/f", "d/f", "caf\u00e9", "cafe\u0301"):
        (source / name).write_text(name)
    for _ in range(2):
        escp.copy("-r", source, target)
        assert list_tree(target / "source") == list_tree(source)


# ---- Where names fall together ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return folding.build(tmp_path_factory.mktemp("folding"))


@pytest.fixture
def folded(folder, library):
    """A directory in which A is a, and what escp needs in its environment for that."""
    place = folder / "folded"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "none", place], capture_output=True, check=False, timeout=20
    )
    if done.returncode:
        pytest.skip("can't mount here")
    yield place, folding.settings(library, place)
    subprocess.run(["umount", place], check=True, timeout=20)


def run_folded(escp, way, folded, *words):
    """A copy whose receiving end has that directory."""
    place, settings = folded
    if not way.is_to_remote:
        return escp.fail(1, *words, way.target(place), env=settings)
    lines = [f"export {shlex.join([f'{name}={value}'])}" for name, value in settings.items()]
    return escp.fail(1, *words, way.target(place), agent=escp.write_agent("folding", *lines))


@needs_root
@pytest.mark.parametrize("way", [PUSH, PULL, LOCAL, RELAY], ids=lambda way: way.name)
@pytest.mark.parametrize("is_second", [False, True])
def test_names_that_fall_together(escp, source, folded, way, is_second):
    (source / "D").mkdir()
    (source / "d").mkdir()
    (source / "D" / "f").write_text("D/f")
    (source / "d" / "F").write_text("d/F")
    (source / "d" / "other").write_text("other")
    for name in ("A", "a", "Link", "link"):
        (source / name).write_bytes(name.encode() + LARGE)
    (source / "lonely").write_text("lonely")
    for _ in range(1 + is_second):
        done = run_folded(escp, way, folded, "-r", way.source(source))
        found = list_tree(folded[0] / "source")
        assert found.keys() == {b"a", b"d", b"d/f", b"d/other", b"link", b"lonely"}
        assert "3 failed" in done.err, done.err
        assert done.err.count("was not copied: this copy has given the name to") == 3
        for one, other in (("A", "a"), ("Link", "link"), ("D/f", "d/F")):
            assert f"'{source}/{one}'" in done.err and f"'{source}/{other}'" in done.err


@needs_root
def test_links_that_fall_together(escp, source, folded):
    for name in ("L", "l"):
        (source / name).symlink_to(name)
    done = run_folded(escp, LOCAL, folded, "-r", "--links", source)
    assert "1 failed" in done.err
    (link,) = (folded[0] / "source").iterdir()
    assert os.readlink(link) in ("L", "l")


@needs_root
@pytest.mark.parametrize("way", [PUSH, PULL, LOCAL], ids=lambda way: way.name)
def test_what_is_listed_in_another_spelling_is_not_deleted(escp, source, folded, way):
    """With --delete: the source has README, and the target's file system calls it readme."""
    (source / "Dir").mkdir()
    for name in ("README", "Dir/File"):
        (source / name).write_text(name)
    place, settings = folded
    (place / "source").mkdir()
    (place / "source" / "gone").write_text("x")
    words = ("-r", "--delete", way.source(source), way.target(place))
    if way.is_to_remote:
        lines = [f"export {shlex.join([f'{name}={value}'])}" for name, value in settings.items()]
        escp.copy(*words, agent=escp.write_agent("folding", *lines))
    else:
        escp.copy(*words, env=settings)
    found = sorted(str(path.relative_to(place)) for path in place.rglob("*"))
    assert found == ["source", "source/dir", "source/dir/file", "source/readme"]
