"""--hard-links where one name of a file is there already: others become links to it, none is sent."""

import os

import pytest

from tests.integration.test_resume_files import cut_off, resume
from tests.support.directions import in_all_directions
from tests.support.trees import list_tree, write_random

N_PAIRS = 30  # so few that all are asked about at once
FILE_BYTES = 50_000
OPTIONS = ("-r", "-p", "--hard-links", "--json")


@pytest.fixture
def tree(source):
    """Files with two names each, in two directories."""
    for folder in ("one", "two"):
        (source / folder).mkdir()
    for i in range(N_PAIRS):
        write_random(source / "one" / f"f{i:02}", FILE_BYTES, seed=i)
        (source / "two" / f"f{i:02}").hardlink_to(source / "one" / f"f{i:02}")
    return source


def assert_linked(tree, target):
    assert list_tree(target / tree.name) == list_tree(tree)
    for i in range(N_PAIRS):
        names = [target / tree.name / folder / f"f{i:02}" for folder in ("one", "two")]
        assert os.path.samefile(*names), names


@pytest.mark.parametrize("option", ["--skip-unchanged", "--checksum"])
@in_all_directions
def test_names_that_are_missing_become_links_to_those_that_are_there(escp, tree, target, way, option):
    words = way.source(tree), way.target(target)
    escp.copy(*OPTIONS, *words)
    for i in range(N_PAIRS):  # of some the first one, of others the second
        (target / tree.name / ("one", "two")[i % 2] / f"f{i:02}").unlink()
    done = escp.copy(*OPTIONS, option, *words)
    assert_linked(tree, target)
    assert done.json[-1]["bytes"] == 0


@in_all_directions
def test_what_is_all_there_is_left_alone(escp, tree, target, way):
    words = way.source(tree), way.target(target)
    escp.copy(*OPTIONS, *words)
    before = {path: os.stat(path).st_ctime_ns for path in (target / tree.name).rglob("f*")}
    done = escp.copy(*OPTIONS, "--skip-unchanged", *words)
    assert {path: os.stat(path).st_ctime_ns for path in (target / tree.name).rglob("f*")} == before
    assert done.json[-1]["files"] == 0 and done.json[-1]["skipped"] == 2 * N_PAIRS


@in_all_directions
def test_one_that_changed_goes_once_under_all_its_names(escp, tree, target, way):
    words = way.source(tree), way.target(target)
    escp.copy(*OPTIONS, *words)
    with open(tree / "one" / "f07", "ab") as file:
        file.write(b"more")
    done = escp.copy(*OPTIONS, "--skip-unchanged", *words)
    assert_linked(tree, target)
    assert done.json[-1]["bytes"] == FILE_BYTES + 4


@in_all_directions
def test_a_copy_that_was_cut_off_goes_on_with_the_names_of_files(escp, tree, target, way):
    words = "-p", "--hard-links", way.source(tree), way.target(target)
    n = cut_off(escp, *words)
    done = resume(escp, *words)
    assert_linked(tree, target)
    # A name that is not in the record may be met before the one that is: its contents go once more then.
    assert done["skipped"] == n and done["bytes"] <= N_PAIRS * FILE_BYTES


@in_all_directions
def test_files_that_the_user_named(escp, tree, target, way):
    names = [tree / folder / "f03" for folder in ("one", "two")]
    names[1] = names[1].rename(tree / "two" / "g03")
    words = [*(way.source(name) for name in names), way.target(target)]
    escp.copy(*OPTIONS, *words)
    (target / "g03").unlink()
    escp.copy(*OPTIONS, "--skip-unchanged", *words)
    assert os.path.samefile(target / "f03", target / "g03")
    (target / "f03").unlink()
    escp.copy(*OPTIONS, "--checksum", *words)
    assert (target / "f03").read_bytes() == names[0].read_bytes()


@pytest.mark.parametrize("option", ["--ignore-existing", "--update"])
@in_all_directions
def test_what_is_merely_there_is_another_file(escp, source, target, way, option):
    """It is left alone, and no name becomes a link to it."""
    (source / "f1").write_text("ours")
    (source / "f2").hardlink_to(source / "f1")
    os.utime(source / "f1", (1_000_000_000, 1_000_000_000))
    top = target / source.name
    top.mkdir()
    (top / "f1").write_text("theirs, newer")
    escp.copy("-r", "-p", "--hard-links", option, way.source(source), way.target(target))
    assert [(top / name).read_text() for name in ("f1", "f2")] == ["theirs, newer", "ours"]
