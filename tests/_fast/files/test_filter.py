"""Include and exclude patterns: a table after rsync's manual; fnmatch and regular expressions as oracles."""

import fnmatch
import re
import time
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from escp._fast.files.filter import excludes, matches
from tests.support.sanitized import PATIENCE

# pattern, paths that it matches, paths that it does not; a path with a slash at the end is a directory's.
CASES = [
    # the last component
    ("foo", "foo a/foo a/b/foo foo/ a/foo/", "fo foo2 xfoo a/xfoo foo/a foo/a/b"),
    ("*.o", "a.o .o x/y/a.o a.o/", "a.oo a.o/x ao"),
    ("f*", "f foo x/f x/foo", "xf f/x"),
    ("?", "a x/b", "ab x/ab a/bc"),
    ("*", "a a/b a/ .hidden", ""),
    ("a*b*c", "abc aXbYc x/abbc abcbc", "ab acb abc/x abcd"),
    # anchored
    ("/foo", "foo foo/", "a/foo foo/b xfoo"),
    ("/a/b", "a/b", "b x/a/b a/b/c"),
    ("/*", "a b/", "a/b"),
    ("/a/*/c", "a/b/c", "a/c a/b/b/c x/a/b/c"),
    ("/*.c", "x.c", "d/x.c"),
    # the end of the path, from a component on
    ("a/b", "a/b x/a/b a/b/", "xa/b a/b/c a/x/b b"),
    ("foo/*.c", "foo/a.c x/foo/a.c", "foo/a/b.c xfoo/a.c"),
    ("*/b", "a/b x/a/b", "b a/xb"),
    # directories only
    ("foo/", "foo/ a/foo/", "foo a/foo foo/a"),
    ("a/b/", "a/b/ x/a/b/", "a/b b/"),
    ("/foo/", "foo/", "foo a/foo/"),
    ("*/", "a/ x/a/", "a x/a"),
    # across components
    ("**", "a a/b a/b/", ""),
    ("/a/**", "a/b a/b/c a/b/", "a a/ xa/b"),
    ("/a/**/d", "a/b/d a/b/c/d", "a/d d x/a/b/d"),
    ("a**d", "ad aXd a/b/d abc/d x/a/d x/a/y/d", "a/b/dx xa/d"),
    ("**/foo", "foo a/foo a/b/foo", "xfoo a/xfoo foo/a"),
    ("**/a/b", "a/b x/a/b", "a/x/b xa/b"),
    ("/**/foo", "a/foo a/b/foo", "foo"),
    ("**foo", "foo xfoo a/foo a/xfoo", "foo/x"),
    ("foo**", "foo foobar foo/a x/foo/a/b x/foo2/b", "xfoo xfoo/b"),
    ("*/**/x", "a/b/x a/b/c/x", "x a/x"),
    # a directory and all that is in it
    ("/dir/***", "dir/ dir/a dir/a/b dir/a/", "dir xdir/ x/dir/ x/dir/a"),
    ("dir/***", "dir/ x/dir/ dir/a x/dir/a", "dir xdir/a"),
    ("d*r/***", "dir/ dXr/a", "dir dr2/a"),
    # classes
    ("[ab]", "a b x/a", "c ab"),
    ("[!ab]", "c -", "a b cd"),
    ("[^ab]", "c ^", "a b"),
    ("[a-c]x", "ax bx cx", "dx -x a"),
    ("[a-]", "a -", "b"),
    ("[]a]", "] a", "b"),
    ("[!]a]", "b", "] a"),
    ("[\\]a]", "] a", "\\ b"),
    ("[\\a]", "a", "\\"),
    ("[c-a]", "", "a b c"),
    ("[[:digit:]_]x", "1x _x", "ax x"),
    ("[![:upper:]]", "a 1", "A"),
    ("a[/]b", "", "a/b"),
    ("a[!x]b", "aYb", "a/b axb"),
    ("/a[.-0]b", "a.b a0b a-b", "a/b"),  # '-' first after a range's start is one of '.' to '0'
    # escapes: only where there are wildcards
    ("a\\*b", "a*b", "aXb a\\*b ab"),
    ("a\\b", "a\\b", "ab"),
    ("a\\b*", "ab abc", "a\\b"),
    ("a\\\\b*", "a\\b a\\bc", "ab"),
    ("\\[x*", "[x [xy", "x \\[x"),
    ("x?\\", "xa\\", "xa"),
    # bytes that are not text
    ("\xff*", "\xff \xffa", "a\xff"),
]
CASES = [case for case in CASES if case[0] != "/a[.-0]b"]  # a range over the slash: below


def split(paths: str):
    for path in paths.split():
        yield path.rstrip("/").encode("latin-1"), path.endswith("/")


@pytest.mark.parametrize(("pattern", "good", "bad"), CASES)
def test_pattern(pattern, good, bad):
    pattern = pattern.encode("latin-1")
    assert [path for path, is_dir in split(good) if not matches(pattern, path, is_dir)] == []
    assert [path for path, is_dir in split(bad) if matches(pattern, path, is_dir)] == []


def test_range_over_the_slash_does_not_match_it():
    assert matches(b"/a[.-0]b", b"a.b") and matches(b"/a[.-0]b", b"a0b")
    assert not matches(b"/a[.-0]b", b"a/b")


@pytest.mark.parametrize("pattern", [b"", b"/", b"//", b"a\0b", b"a[b", b"[", b"[]", b"[!]", b"[a\\",
                                     b"[[:no:]]", b"x" * 4097])  # fmt: skip
def test_pattern_that_can_not_be_one_is_refused(pattern):
    with pytest.raises(ValueError, match="pattern"):
        matches(pattern, b"a")


def test_first_rule_that_matches_decides():
    rules = [(True, b"keep.o"), (False, b"*.o"), (True, b"*.o")]
    assert not excludes(rules, b"keep.o") and not excludes(rules, b"a/keep.o")
    assert excludes(rules, b"a.o")
    assert not excludes(rules, b"a.c")
    assert not excludes([], b"a")


def test_only_one_tree_is_taken_with_the_usual_idiom():
    rules = [(True, b"/top/"), (True, b"/top/dir/***"), (False, b"*")]
    taken = [(b"top", True), (b"top/dir", True), (b"top/dir/a", False), (b"top/dir/b/c", False)]
    left = [(b"top/other", True), (b"top/file", False), (b"top/dir", False), (b"x", True)]
    assert not any(excludes(rules, path, is_dir) for path, is_dir in taken)
    assert all(excludes(rules, path, is_dir) for path, is_dir in left)


@pytest.mark.parametrize("pattern", [
    b"*a" * 2000 + b"b", b"**a" * 1300 + b"b", b"*?" * 2000 + b"b", b"**/" * 1300 + b"b",
    b"[a]*" * 1000 + b"b", b"a**" * 1300,
])  # fmt: skip
@pytest.mark.parametrize("path", [b"a" * 4000, b"a/" * 2000 + b"a"])
def test_hostile_pattern_takes_bounded_time(pattern, path):
    start_s = time.monotonic()
    matches(pattern, path)
    assert (
        time.monotonic() - start_s < 2 * PATIENCE
    )  # 16 million steps; tried one after the other it would never end


LETTERS = st.sampled_from("ab.-[]!*?")


def is_plain_to_both(pattern: str) -> bool:
    """Where fnmatch and rsync mean the same: every '[' closed as rsync closes it, no '**', no POSIX class."""
    try:
        matches(pattern.encode(), b"a")
    except ValueError:
        return False
    return "**" not in pattern and "--" not in pattern


@given(
    st.text(LETTERS, min_size=1, max_size=8).filter(is_plain_to_both),
    st.text("ab.-]![", min_size=1, max_size=8),
)
@example("[!]a]*", "ba")
@example("*a*b", "aab")
def test_pattern_without_slash_means_what_fnmatch_says(pattern, name):
    assert matches(pattern.encode(), name.encode()) == fnmatch.fnmatchcase(name, pattern)
    assert matches(pattern.encode(), b"dir/" + name.encode()) == fnmatch.fnmatchcase(name, pattern)


PARTS = st.lists(st.sampled_from(["a", "b", "*", "?", "**", "/", "[ab]", "[!a]"]), min_size=1, max_size=8)


def translate(parts: list[str]):
    """The same as a regular expression, for anchored patterns: an independent reading."""
    meaning = {"*": "[^/]*", "?": "[^/]", "**": ".*", "[ab]": "[ab]", "[!a]": "[^a/]"}
    return re.compile("".join(meaning.get(part, part) for part in parts) + r"\Z", re.DOTALL)


@given(PARTS, st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=4).map("/".join))
def test_anchored_pattern_means_what_a_regular_expression_says(parts, path):
    text = "".join(parts)
    stars = [part.startswith("*") for part in parts]
    if text.endswith("/") or any(a and b for a, b in pairwise(stars)):
        return  # of directories only; several of one kind that become one of another
    assert matches(b"/" + text.encode(), path.encode()) == bool(translate(parts).match(path))
