"""The suite itself: it sees what may differ, and it can't be silenced by the document."""

import os
import time

import pytest

from tests.conformance.arena import Outcome
from tests.conformance.differences import Difference, match_id, parse_differences
from tests.conformance.test_conformance import compare, judge
from tests.conformance.tree import File, Folder, HardLink, Link, make_tree, read_tree

TREE = {
    "d": Folder(),
    "d/file": "text",
    "d/link": Link("file"),
    "d/empty": Folder(),
    "d/twin": HardLink("d/file"),
}
TABLE = "| what | scp | escp | why | cases |\n|---|---|---|---|---|\n"
LISTED = Difference("what", True, True, ["push/x"])


def outcome(tree: dict[str, str], code: int = 0, err: str = "") -> Outcome:
    return Outcome(code, tree, err)


def replace_link(path):
    path.unlink()
    path.symlink_to("other")


def replace_twin(path):
    path.unlink()
    path.write_text("text")


@pytest.mark.parametrize("change", {
    "contents": lambda d: (d / "file").write_text("other"),
    "mode": lambda d: (d / "file").chmod(0o600),
    "setuid": lambda d: (d / "file").chmod(0o4644),
    "mode of a directory": lambda d: (d / "empty").chmod(0o700),
    "time": lambda d: os.utime(d / "file", (5, 5)),
    "time of a directory": lambda d: os.utime(d / "empty", (5, 5)),
    "missing": lambda d: (d / "link").unlink(),
    "additional": lambda d: (d / "empty" / "more").touch(),
    "link": lambda d: replace_link(d / "link"),
    "kind": lambda d: ((d / "empty").rmdir(), (d / "empty").touch()),
    "hard link": lambda d: replace_twin(d / "twin"),
}.items(), ids=lambda item: item[0])  # fmt: skip
def test_change_of_a_tree_is_seen(folder, change):
    start_s = time.time() - 2
    make_tree(folder / "a", TREE)
    make_tree(folder / "b", TREE)
    same = [read_tree(folder / name, start_s) for name in "ab"]
    assert not compare(*map(outcome, same))
    change[1](folder / "b" / "d")
    assert compare(outcome(same[0]), outcome(read_tree(folder / "b", start_s)))


def test_tree_is_made_as_described(folder):
    make_tree(folder / "t", {**TREE, "d/run": File("x", 0o4755, -5)})
    assert read_tree(folder / "t") == {
        "d": "directory 0755 time 1000000000",
        "d/empty": "directory 0755 time 1000000100",
        "d/file": "file 0644 b'text' 2 names time 1000000200",
        "d/link": "link to 'file'",
        "d/run": "file 4755 b'x' time -5",
        "d/twin": "file 0644 b'text' 2 names time 1000000200",
    }


def test_unlisted_difference_fails():
    assert judge(outcome({}), outcome({"a": "file"}), None)
    assert judge(outcome({}, 0), outcome({}, 1), None)
    assert not judge(outcome({}, 255), outcome({}, 1), None)


def test_listed_difference_must_differ_as_listed():
    assert not judge(outcome({}), outcome({"a": "file"}), LISTED)
    assert "nothing differs" in judge(outcome({}), outcome({}), LISTED)
    assert "other ends" in judge(outcome({}), outcome({"a": "file"}, 1), LISTED)
    assert judge(outcome({}, 1), outcome({}, 3, "Traceback"), LISTED._replace(scp_succeeds=False))


def test_table_is_read():
    rows = "| w | fails: x | succeeds | y | `a/*`, `b` |\n\n| of another table |"
    assert parse_differences(TABLE + rows) == [Difference("w", False, True, ["a/*", "b"])]
    assert match_id("a/b/c", "a/*") and not match_id("xa/b", "a/*") and not match_id("a/b", "a/[b]")


@pytest.mark.parametrize("row", [
    "| w | fails | succeeds | | `a` |",
    "| w | fails | succeeds | y | a |",
    "| w | x | succeeds | y | `a` |",
    "| w |",
])  # fmt: skip
def test_row_that_says_too_little_is_refused(row):
    with pytest.raises(ValueError):
        parse_differences(TABLE + row)
