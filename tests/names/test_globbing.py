"""Patterns of remote sources: scp's rules, in bounded time, and which names a host may offer for them."""

import os
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from escp.errors import RefusedError
from escp.names.globbing import check_offered_name, expand, matches

MATCHES = [
    ("*", "a", True), ("*", "", True), ("*", ".a", False), (".*", ".a", True), ("\\.*", ".a", True),
    ("?", ".", False), ("[.]a", ".a", False), ("a*", "a", True), ("a*b*c", "aXbYc", True),
    ("a*b*c", "acb", False), ("a*bc", "abcbc", True), ("*ab*ab", "abab", True), ("*ab*ab", "aba", False),
    ("*ab*ba*", "aba", False), ("a**b", "ab", True), ("**", "x", True), ("a?c", "abc", True),
    ("a?c", "ac", False), ("[abc]", "b", True), ("[!abc]", "b", False), ("[!abc]", "d", True),
    ("[^a]", "^", True), ("[^a]", "b", False), ("[a-c]x", "bx", True), ("[c-a]", "b", False),
    ("[!c-a]", "b", True), ("[a-]", "-", True), ("[-a]", "-", True), ("[]a]", "]", True),
    ("[!]a]", "]", False), ("[!]a]", "b", True), ("[", "[", True), ("[a", "[a", True),
    ("[!", "[!", True), ("a[", "a[", True), ("[]", "[]", True), ("[!]", "[!]", True),
    ("[a-", "[a-", True), ("[a\\]b]", "]", True), ("[a\\]b]", "b", True), ("[\\!a]", "!", True),
    ("[a\\-c]", "b", False), ("[a\\-c]", "-", True), ("[\\a-\\c]", "b", True), ("\\*", "*", True),
    ("\\*", "a", False), ("a\\", "a\\", True), ("[[:digit:]]x", "1x", True),
    ("[[:digit:]]x", "ax", False), ("[![:digit:]]", "a", True), ("[[:alpha:]_]", "_", True),
    ("[[:punct:]]", "]", True), ("[[:punct:]]", "a", False), ("[[:nothing:]]", "n]", True),
    ("[[]", "[", True), ("[[a]", "a", True), ("x[[:space:]]y", "x y", True), ("*\n", "a\n", True),
    ("a", "a\n", False), ("a.c", "abc", False), ("{a,b}", "a", False), ("a|b", "a", False),
]  # fmt: skip
PLAIN_NAMES = st.binary(min_size=1, max_size=20).filter(
    lambda name: name not in (b".", b"..") and not name.startswith(b"~") and not set(name) & set(b"/\0")
)


@pytest.mark.parametrize(("pattern", "name", "wanted"), MATCHES)
def test_pattern_matches_as_with_scp(pattern, name, wanted):
    assert matches(os.fsencode(pattern), os.fsencode(name)) is wanted


def match_slowly(pattern, name):
    """The definition, for stars, question marks and letters."""
    if not pattern:
        return not name
    if pattern[0] == "*":
        return match_slowly(pattern[1:], name) or (bool(name) and match_slowly(pattern, name[1:]))
    return bool(name) and pattern[0] in ("?", name[0]) and match_slowly(pattern[1:], name[1:])


@settings(max_examples=500, deadline=None)
@given(st.text("ab*?", max_size=9), st.text("ab", max_size=9))
def test_stars_match_as_they_are_defined(pattern, name):
    assert matches(pattern.encode(), name.encode()) == match_slowly(pattern, name)


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=40), st.binary(max_size=40).map(lambda name: name.replace(b"/", b"")))
def test_no_pattern_is_too_strange(pattern, name):
    matches(pattern, name)
    try:
        check_offered_name(pattern, name, "box")
    except RefusedError:
        return
    except Exception as error:
        assert "'..'" in str(error)


@pytest.mark.parametrize(
    "pattern", [b"*a" * 60 + b"b", b"*?" * 60 + b"b", b"[!b]*" * 60 + b"b", b"*" * 200 + b"b"]
)
def test_hostile_name_takes_no_time(pattern):
    start_s = time.monotonic()
    assert not matches(pattern, b"a" * 255)
    assert not matches(pattern, b"a" * 100_000)
    assert time.monotonic() - start_s < 5


@settings(max_examples=300, deadline=None)
@given(PLAIN_NAMES)
def test_name_of_a_list_stands_for_itself_alone(name):
    """A list's names are quoted (sources.py)."""
    quoted = re.sub(rb"([*?\[\\])", rb"\\\1", name)
    check_offered_name(quoted, name, "box")
    assert list(expand(b"/nowhere/" + quoted)) == [b"/nowhere/" + name]
    with pytest.raises(RefusedError, match="box offered"):
        check_offered_name(quoted, name + b"x", "box")


def test_expansion_is_sorted_and_ends_in_what_is_there(tmp_path):
    for name in ("b.txt", "a.txt", ".c.txt", "d", "e*f"):
        (tmp_path / name).write_text("")
    (tmp_path / "sub" / "deep").mkdir(parents=True)
    (tmp_path / "sub" / "deep" / "x.txt").write_text("")
    top = os.fsencode(tmp_path) + b"/"
    for pattern, found in {
        b"*.txt": [b"a.txt", b"b.txt"], b"e\\*f": [b"e*f"], b"*/d*p/?.txt": [b"sub/deep/x.txt"],
        b"nothing*": [b"nothing*"], b"no\\[": [b"no["], b"a.txt/*": [b"a.txt/*"], b"s[u]b": [b"sub"],
        b"\\s\\u\\b/*": [b"sub/deep"],
    }.items():  # fmt: skip
        assert list(expand(top + pattern)) == [top + name for name in found], pattern


def test_names_without_wildcards_read_no_directory(tmp_path, monkeypatch):
    """A list of 100,000 names with brackets would read their directory 100,000 times."""
    (tmp_path / "a[1]").write_text("")
    monkeypatch.setattr(os, "listdir", None)
    assert list(expand(os.fsencode(tmp_path) + b"/a\\[1]")) == [os.fsencode(tmp_path) + b"/a[1]"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [(b"a\n\x1b]0;b\x07", r"a\n\x1b]0;b\x07"), (b"a\\n", r"a\\n"), (b"\xff\xe2\x80\xae", r"\xff\u202e")],
)
def test_refused_name_is_told_on_one_line_and_unlike_any_other(name, shown):
    """Programs print what escp raises, and this is what a peer wrote."""
    with pytest.raises(RefusedError) as raised:
        check_offered_name(b"b", name, "box")
    assert f"'{shown}'" in str(raised.value)


@pytest.mark.parametrize("source", [b"*", b"a*", b"~", b"~user", b".", b"/", b"", b"dir/*", b"a"])
@pytest.mark.parametrize("name", [b"..", b".", b"a/b", b"/", b"a\0", b"../a", b"a/..", b"/a", b".a"])
def test_bad_name_is_refused_whatever_was_asked(source, name):
    with pytest.raises(RefusedError):
        check_offered_name(source, name, "box")
