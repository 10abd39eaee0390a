"""expected_digest=: what has another one does not get its name, whichever way it is copied."""

import os

import pytest

import escp as library
from escp import errors
from escp._fast.crypto.digest import digest_of
from tests.api.test_copy import box, login
from tests.support.trees import list_tree, write_random

SMALL, LARGE = 5_000, 3_000_000
WRONG = bytes(16)


def ends(way, source, target):
    return {
        "local": (source, target),
        "push": (source, box(target)),
        "pull": (box(source), target),
        "between": (box(source), box(target)),
        "direct": (box(source), box(target)),
    }[way]


def words_of(way):
    return {"direct": True} if way == "direct" else {}


@pytest.mark.parametrize("size", [0, 1, SMALL, 262144, LARGE, 66_000_000])
def test_digest_of_a_file_is_the_protocols(folder, size):
    write_random(folder / "a", size)
    assert library.digest(folder / "a") == digest_of((folder / "a").read_bytes())


def test_digest_of_holes_and_of_what_is_not_there(folder):
    with open(folder / "a", "wb") as file:
        file.truncate(1_000_000)
    assert library.digest(str(folder / "a")) == digest_of(bytes(1_000_000))
    with pytest.raises(FileNotFoundError):
        library.digest(folder / "absent")


@pytest.mark.parametrize("way", ["local", "push", "pull", "between", "direct"])
@pytest.mark.parametrize("size", [0, SMALL, LARGE])
def test_single_file(escp, source, target, way, size):
    write_random(source / "a", size)
    pair, words = ends(way, source / "a", target / "b"), {**words_of(way), **login(escp)}
    bad = library.copy(*pair, expected_digest=WRONG, **words)
    assert (bad.ok, bad.files, bad.n_failed) == (False, 0, 1)
    assert "expected" in bad.failed[0].reason and not bad.failed[0].is_retryable
    assert isinstance(bad.error, errors.IntegrityError) and "expected" in str(bad.error)
    assert list_tree(target) == {}
    good = library.copy(*pair, expected_digest=library.digest(source / "a").hex(), **words)
    assert good.ok and (target / "b").read_bytes() == (source / "a").read_bytes()
    escp.assert_nothing_left()


@pytest.mark.parametrize("way", ["local", "push", "pull", "between", "direct"])
@pytest.mark.parametrize("is_new", [True, False])
@pytest.mark.parametrize("more", [{}, {"fsync": True}, {"verify": True}, {"sparse": True}])
def test_trees(escp, source, target, way, is_new, more):
    if more and way != "push":
        pytest.skip("once is enough")
    tree = source / "run"
    (tree / "below").mkdir(parents=True)
    sizes = {"run/a": SMALL, "run/below/b": SMALL, "run/c": LARGE, "run/below/d": LARGE}
    for number, (name, size) in enumerate(sizes.items()):
        write_random(source / name, size, seed=number)
    write_random(tree / "unnamed", SMALL)
    expected = {name: library.digest(source / name) for name in sizes}
    expected["run/below/b"] = expected["run/below/d"] = WRONG
    end = target / "new" if is_new else target
    words = {**more, **words_of(way), **login(escp)}
    done = library.copy(*ends(way, tree, end), recursive=True, expected_digest=expected, **words)
    there = end if is_new else end / "run"
    assert {one.path for one in done.failed} == {str(there / "below" / name) for name in "bd"}
    assert done.n_failed == 2 and done.files == 3
    assert {str(path.relative_to(there)) for path in there.rglob("*") if path.is_file()} == {
        "a",
        "c",
        "unnamed",
    }
    escp.assert_nothing_left()


def test_what_was_there_stays(escp, source, target):
    write_random(source / "a", SMALL)
    (target / "a").write_text("old")
    assert not library.copy(source / "a", box(target), expected_digest=WRONG, **login(escp)).ok
    assert (target / "a").read_text() == "old"


@pytest.mark.parametrize("way", ["local", "push"])
def test_a_digest_that_nothing_was_compared_with_is_a_failure(escp, source, target, way):
    """A name that is not quite right must not look like a file that was checked."""
    write_random(source / "a", SMALL)
    done = library.copy(
        *ends(way, source, target), recursive=True, expected_digest={"a": WRONG}, **login(escp)
    )
    assert (done.ok, done.n_failed, done.files) == (False, 1, 1)
    assert "not copied" in done.failed[0].reason
    assert done.failed[0].path == str(target / "a")


def test_very_many(escp, source, target):
    write_random(source / "a", SMALL)
    expected = {f"{'x' * 200}{number}": WRONG for number in range(9000)} | {"a": library.digest(source / "a")}
    done = library.copy(source / "a", box(target), expected_digest=expected, **login(escp))
    assert (done.files, done.n_failed) == (1, 9000)


@pytest.mark.parametrize("way", ["local", "push"])
def test_a_pipe_is_refused(escp, source, target, way):
    write_random(source / "a", SMALL)
    os.mkfifo(target / "pipe")
    reader = os.open(target / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(errors.RefusedError, match="pipe"):
        library.copy(*ends(way, source / "a", target / "pipe"), expected_digest=WRONG, **login(escp))
    os.close(reader)


@pytest.mark.parametrize(
    "options",
    [
        {"expected_digest": "00"},
        {"expected_digest": "x" * 32},
        {"expected_digest": {"a": 1}},
        {"nochecksum": True},
        {"dry_run": True},
        {"inplace": True},
        {"skip_unchanged": True},
        {"checksum": True},
        {"hard_links": True},
    ],
)
def test_wrong_options(source, target, options):
    write_random(source / "a", SMALL)
    with pytest.raises(errors.UsageError, match="expected_digest"):
        library.copy(source / "a", target, **{"expected_digest": WRONG, **options})
    assert list_tree(target) == {}


def test_one_digest_is_of_one_source(source, target):
    with pytest.raises(errors.UsageError, match="several"):
        library.copy([source, source], target, recursive=True, expected_digest=WRONG)


def test_an_older_agent_is_refused(escp, source, target, monkeypatch):
    from escp.remote.agentlink import AgentLink

    has_feature = AgentLink.has_feature
    monkeypatch.setattr(
        AgentLink, "has_feature", lambda self, name: name != "expect" and has_feature(self, name)
    )
    write_random(source / "a", SMALL)
    with pytest.raises(errors.AgentError, match="too old"):
        library.copy(source / "a", box(target), expected_digest=WRONG, **login(escp))
