"""scp's naming rules, as observed with OpenSSH 9.2's scp."""

import pytest

from escp.errors import RefusedError, UsageError
from escp.names.landing import (
    DIRECTORY,
    MISSING,
    OTHER,
    Landing,
    SourceOrder,
    SourceRoot,
    base_name,
    check_target_demands,
    plan_landing,
)

FILE_A = SourceRoot(b"a", False)
FILE_B = SourceRoot(b"b", False)
DIR_D = SourceRoot(b"d", True)
DIR_DOT = SourceRoot(b"", True)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (b"a", b"a"), (b"x/a", b"a"), (b"/x/a", b"a"), (b"d/", b"d"), (b"x/d///", b"d"), (b"-r", b"-r"),
        (b"...", b"..."),
        (b"\xff\n", b"\xff\n"), (b".", b""), (b"./", b""), (b"d/.", b""), (b"d/.//", b""), (b"/", b""),
        (b"//", b""),
        (b"../a", b"a"), (b"..a", b"..a"),
    ],
)  # fmt: skip
def test_base_name(source, name):
    assert base_name(source) == name


@pytest.mark.parametrize(
    ("names", "waiting"),
    [
        ("a b c", [False] * 3),
        ("a b a a", [False, False, True, True]),
        ("a . b", [False, True, True]),  # what is in it may be called as the others
        (". .", [False, True]),
        ("", [False]),
    ],
)
def test_sources_that_may_meet_wait(names, waiting):
    order = SourceOrder()
    assert [order.must_wait(base_name(name.encode())) for name in names.split(" ")] == waiting


@pytest.mark.parametrize("source", [b"..", b"../", b"d/..", b"d/..//", b"/.."])
def test_base_name_of_dot_dot_refused(source):
    with pytest.raises(UsageError) as caught:
        base_name(source)
    assert "name the directory" in caught.value.hint


@pytest.mark.parametrize(
    ("target", "n_sources", "expected"),
    [
        (b"x", 1, False), (b"x", 2, True), (b"x/", 1, True), (b"d/x", 1, False), (b"", 1, True),
        (b".", 1, True),
        (b"d/.", 1, True), (b"..", 1, True), (b"/", 1, True), (b"x..", 1, False),
    ],
)  # fmt: skip
def test_what_the_target_must_be(target, n_sources, expected):
    assert check_target_demands(target, n_sources) is expected


@pytest.mark.parametrize(
    ("target", "kind", "sources", "landing"),
    [
        # an existing directory takes everything under its own name
        (b"ex", DIRECTORY, [FILE_A], Landing(b"ex", False, (b"a",))),
        (b"ex/", DIRECTORY, [FILE_A, FILE_B], Landing(b"ex/", False, (b"a", b"b"))),
        (b"", DIRECTORY, [FILE_A], Landing(b".", False, (b"a",))),
        (b"ex", DIRECTORY, [DIR_D], Landing(b"ex", False, (b"d",))),
        (b"ex", DIRECTORY, [DIR_DOT], Landing(b"ex", False, (b"",))),
        (b"/", DIRECTORY, [DIR_D, FILE_A], Landing(b"/", False, (b"d", b"a"))),
        # a name that is free
        (b"new", MISSING, [FILE_A], Landing(b".", False, (b"new",))),
        (b"p/new", MISSING, [FILE_A], Landing(b"p/", False, (b"new",))),
        (b"/new", MISSING, [FILE_A], Landing(b"/", False, (b"new",))),
        (b"new", MISSING, [FILE_A, FILE_B], Landing(b"new", True, (b"a", b"b"))),
        (b"new", MISSING, [DIR_D], Landing(b"new", True, (b"",))),
        (b"new", MISSING, [DIR_DOT], Landing(b"new", True, (b"",))),
        (b"new", MISSING, [DIR_D, FILE_A], Landing(b"new", True, (b"d", b"a"))),
        (b"new/", MISSING, [DIR_D], Landing(b"new/", True, (b"",))),
        # a file is replaced by a file
        (b"f", OTHER, [FILE_A], Landing(b".", False, (b"f",))),
        (b"p//f", OTHER, [FILE_A], Landing(b"p//", False, (b"f",))),
    ],
)
def test_landing(target, kind, sources, landing):
    assert plan_landing(target, kind, sources) == landing


@pytest.mark.parametrize(
    ("target", "kind", "sources"),
    [
        (b"new/", MISSING, [FILE_A]),
        (b"f/", OTHER, [FILE_A]),
        (b"f", OTHER, [FILE_A, FILE_B]),
        (b"f", OTHER, [DIR_D]),
        (b"f", OTHER, [DIR_DOT]),
        (b"gone/.", MISSING, [FILE_A]),
    ],
)
def test_landing_refused(target, kind, sources):
    with pytest.raises(RefusedError) as caught:
        plan_landing(target, kind, sources)
    assert caught.value.exit_code == 16 and caught.value.hint and target.decode() in str(caught.value)
