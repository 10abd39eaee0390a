"""What lands where, and under which name: scp's rules, for every name that a file can have."""

import os

import pytest

from tests.support.command import local, remote
from tests.support.trees import list_tree, make_tree, write_random

NAMES = [b"plain", b"with space", b"new\nline", b"\xff\xfe not utf-8", b"-r", b"--", b"a:b", b"'\"$`\\",
         b"*?[x]", b" leading", b"trailing ", b"\x1b[31mred", "ünï—ço\u202ede".encode(),
         b"n" * 255, b".hidden", b"~"]  # fmt: skip


def test_one_file_to_a_new_name(escp, source, target):
    (source / "a").write_bytes(b"contents")
    done = escp.copy(source / "a", remote(target / "b"))
    assert (target / "b").read_bytes() == b"contents"
    assert "1 file, " in done.err and "verified" in done.err
    assert list_tree(target).keys() == {b"b"}


def test_several_files_into_a_directory(escp, source, target):
    for name in "abc":
        write_random(source / name, 5000 * ord(name))
    escp.copy(source / "a", source / "b", source / "c", remote(target))
    assert list_tree(target) == list_tree(source)


def test_existing_file_is_replaced(escp, source, target):
    write_random(source / "a", 300_000)
    (target / "a").write_bytes(b"old and longer" * 100_000)
    escp.copy(source / "a", remote(target))
    assert list_tree(target) == list_tree(source)


@pytest.mark.parametrize(
    "place", ["box:", "box:.", "box:~", "box:~/", "box:sub", "box:~/sub", "box:sub/new", "box:./new"]
)
def test_relative_path_and_home(escp, source, place):
    (escp.home / "sub").mkdir()
    (source / "a").write_bytes(b"x")
    escp.copy(source / "a", place)
    where = place.partition(":")[2].removeprefix("~/").removeprefix("./").strip(".~/")
    expected = where if where.endswith("new") else os.path.join(where, "a")
    assert (escp.home / expected).read_bytes() == b"x"


def test_home_of_another_user_and_of_nobody(escp, source):
    (source / "a").write_bytes(b"x")
    done = escp.fail(16, source / "a", "box:~no-such-user/x")
    assert "~no-such-user" in done.error


@pytest.mark.parametrize("ending", ["", "/"])
def test_tree_to_a_new_name(escp, source, target, ending):
    make_tree(source / "tree")
    escp.copy("-r", f"{source}/tree{ending}", remote(target / "copy"))
    assert list_tree(target / "copy") == list_tree(source / "tree")


def test_tree_into_an_existing_directory(escp, source, target):
    make_tree(source / "tree")
    (target / "tree").mkdir()
    (target / "tree" / "other").write_bytes(b"stays")
    escp.copy("-r", source / "tree", remote(target))
    expected = list_tree(source)
    copied = list_tree(target)
    assert copied.pop(b"tree/other")
    assert copied == expected


def test_contents_of_a_directory(escp, source, target):
    make_tree(source / "tree")
    escp.copy("-r", f"{source}/tree/.", remote(target))
    assert list_tree(target) == list_tree(source / "tree")


def test_several_trees_and_files(escp, source, target):
    make_tree(source / "one")
    make_tree(source / "two", n_directories=1)
    (source / "three").write_bytes(b"3")
    escp.copy("-r", source / "one", source / "two", source / "three", remote(target))
    assert list_tree(target) == list_tree(source)


def test_several_into_a_missing_directory_create_it(escp, source, target):
    for name in "ab":
        write_random(source / name, 100)
    escp.copy(source / "a", source / "b", remote(target / "new"))
    assert list_tree(target / "new") == list_tree(source)


def test_directory_without_r_is_refused(escp, source, target):
    make_tree(source / "tree")
    done = escp.fail(1, source / "tree", remote(target))
    assert "is a directory" in done.error and "-r" in done.hint
    assert list_tree(target) == {}


def test_directory_among_files_without_r_is_named_and_the_others_are_copied(escp, source, target):
    make_tree(source / "tree")
    (source / "a").write_bytes(b"a")
    done = escp.fail(1, source / "tree", source / "a", remote(target))
    assert "tree" in done.err and "-r" in done.err
    assert list_tree(target).keys() == {b"a"}


def test_all_names_in_a_tree(escp, source, target):
    for number, name in enumerate(NAMES):
        write_random(os.path.join(os.fsencode(source), name), number * 999, seed=number)
        os.makedirs(os.path.join(os.fsencode(source), b"in", name))
        write_random(os.path.join(os.fsencode(source), b"in", name, name), number, seed=number)
    escp.copy("-r", os.fsencode(source), remote(target))
    assert list_tree(target / "source") == list_tree(source)


@pytest.mark.parametrize("name", NAMES)
def test_name_on_the_command_line_and_as_target(escp, source, target, name):
    (source / os.fsdecode(name)).write_bytes(name)
    word = b"./" + name if b":" in name else name
    place = os.path.join(os.fsencode(target), name[:254] + b"2")
    escp.copy("--", word, local(place), is_embedded=True, cwd=source)
    assert (target / os.fsdecode(name[:254] + b"2")).read_bytes() == name


def test_empty_files_and_directories(escp, source, target):
    for number in range(50):
        (source / f"e{number}").touch()
        (source / "deep" / "deeper" / f"d{number}").mkdir(parents=True)
    escp.copy("-r", source, remote(target))
    assert list_tree(target / "source") == list_tree(source)


def test_deep_tree(escp, source, target):
    path = source
    for _ in range(180):
        path = path / ("d" * 20)
    os.makedirs(path)
    (path / "leaf").write_bytes(b"deep")
    escp.copy("-r", source, remote(target))
    assert list_tree(target / "source") == list_tree(source)


def test_missing_source_is_named(escp, source, target):
    done = escp.fail(1, source / "missing", remote(target))
    assert "missing" in done.error and "no such file" in done.error
    (source / "a").write_bytes(b"a")
    done = escp.fail(1, source / "missing", source / "a", remote(target))
    assert "missing" in done.err
    assert list_tree(target).keys() == {b"a"}
