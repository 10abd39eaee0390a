"""Parts of files that do not come any more: the sources have vanished since the copy was cut off."""

import fcntl
import os
import shutil

import pytest

from tests.support.directions import RELAY, in_all_directions
from tests.support.parts import OPTIONS, SIZE, cut_off, journal_of, part_of
from tests.support.trees import list_tree, write_random

LEFT = "it is the part of a file that has not come this time, and stays; without --resume it goes"


@pytest.fixture
def tree(source):
    (source / "sub").mkdir()
    write_random(source / "sub" / "big", SIZE)
    (source / "sub" / "small").write_bytes(b"small")
    return source


@pytest.fixture
def place(tree, target):
    return target / tree.name / "sub" / "big"


def is_left(place) -> bool:
    assert part_of(place).exists() == journal_of(place).exists()
    return part_of(place).exists()


def warnings(done) -> list[str]:
    return [event["message"] for event in done.json if event["type"] == "warning"]


@in_all_directions
def test_the_next_run_removes_them(escp, tree, target, place, way):
    cut_off(escp, "-r", way.source(tree), way.target(target), at=place)
    assert is_left(place)
    (tree / "sub" / "big").unlink()
    escp.copy(*OPTIONS, "-r", way.source(tree), way.target(target))
    assert list_tree(target / tree.name) == list_tree(tree)


def test_direct_hosts_do_too(escp, tree, target, place):
    words = ("-r", "-R", RELAY.source(tree), RELAY.target(target))
    cut_off(escp, *words, at=place)
    (tree / "sub" / "big").unlink()
    escp.copy(*OPTIONS, *words)
    assert list_tree(target / tree.name) == list_tree(tree)


@in_all_directions
def test_who_goes_on_leaves_them_and_says_so(escp, tree, target, place, way):
    cut_off(escp, "-r", way.source(tree), way.target(target), at=place)
    (tree / "sub" / "big").unlink()
    done = escp.copy(*OPTIONS, "--resume", "-r", way.source(tree), way.target(target))
    shown = way.host_of_target(part_of(place))
    assert [text for text in warnings(done) if LEFT in text] == [f"{shown}: {LEFT}"]
    assert is_left(place)


def test_a_journal_without_its_part_goes_too(escp, tree, target, place):
    cut_off(escp, "-r", tree, RELAY.target(target), at=place)
    part_of(place).unlink()
    (tree / "sub" / "big").unlink()
    escp.copy(*OPTIONS, "-r", tree, RELAY.target(target))
    assert list_tree(target / tree.name) == list_tree(tree)


@pytest.mark.parametrize("whose", ["another command", "a run that lives", "a file of the source"])
def test_what_is_not_this_commands_is_left_alone(escp, tree, target, place, whose):
    words = ("-r", tree, RELAY.target(target))
    if whose == "another command":
        cut_off(escp, "-p", *words, at=place)
    else:
        cut_off(escp, *words, at=place)
    (tree / "sub" / "big").unlink()
    if whose == "a file of the source":
        for name in (part_of(place).name, journal_of(place).name):
            shutil.copyfile(place.parent / name, tree / "sub" / name)
        escp.copy(*OPTIONS, *words)
        assert list_tree(target / tree.name) == list_tree(tree)
        return
    if whose == "a run that lives":
        holder = os.open(part_of(place), os.O_RDWR)
        fcntl.flock(holder, fcntl.LOCK_EX)
    escp.copy(*OPTIONS, *words)
    assert is_left(place)
