"""A call's arguments: each option of the command means what it looks like, or is refused by its name."""

import os
import time
from fractions import Fraction

import pytest

import escp as library
from escp import errors
from escp.api.words import FOR_COMMANDS
from escp.options.parser import build_parser
from tests.api.test_copy import login
from tests.support.trees import list_tree, write_random

FLAGS = sorted(
    name.replace("-", "_") for name, action in build_parser().list_keys().items() if action.nargs == 0
)
WITH_VALUES = sorted(
    name.replace("-", "_") for name, action in build_parser().list_keys().items() if action.nargs != 0
)
NEED_ANOTHER = {"trust_partial", "numeric_ids", "null", "log_files"}


@pytest.fixture
def tree(source):
    for number in range(3):
        write_random(source / f"{number}", number * 1000, seed=number)
    return source


@pytest.mark.parametrize("name", FLAGS)
def test_option_without_a_value(tree, target, name):
    if name in ("owner", "devices") and os.geteuid():
        pytest.skip("only root may")
    before = list_tree(tree)
    words = {"recursive": True, name: True}
    if name in FOR_COMMANDS or name in NEED_ANOTHER:
        with pytest.raises(errors.UsageError, match=f"option (--)?{name.replace('_', '[-_]')}"):
            library.copy(tree, target, **words)
        return
    done = library.copy(tree, target, **words)
    assert done.ok and (done.n_skipped == 3 or done.files == 3)
    if name not in ("dry_run", "no_target_directory"):
        assert list_tree(target / tree.name).keys() == before.keys()
    with pytest.raises(errors.UsageError):
        library.copy(tree, target, **(words | {name: "x"}))


@pytest.mark.parametrize("name", WITH_VALUES)
@pytest.mark.parametrize(
    "value", [True, [True], ["x", True], object(), print, "x\0y", b"\0", bytearray(b"x"), {"x": 1}]
)
def test_what_is_no_value_takes_no_other_word_for_one(tree, target, name, value, monkeypatch):
    """`logfile=True` wrote to a file of the name of the next option, and left that out."""
    monkeypatch.chdir(target)
    with pytest.raises(errors.UsageError, match=f"option {name}: "):
        library.copy(tree, target, **{name: value, "recursive": True})
    assert not list(target.iterdir())


@pytest.mark.parametrize("value", [0o644, 644, 6.44, [0o644]])
def test_a_number_is_no_mode(tree, target, value):
    with pytest.raises(errors.UsageError, match="a number is no mode"):
        library.copy(tree, target, recursive=True, chmod=value)
    assert library.copy(tree, target, recursive=True, chmod="640", preserve=True).ok
    assert (target / tree.name / "1").stat().st_mode & 0o7777 == 0o640


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: library.copy(None, "."), "sources"),
        (lambda: library.copy(5, "."), "sources"),
        (lambda: library.copy("a", ".", progress=5), "progress"),
        (lambda: library.copy("a", ".", cancel=object()), "cancel"),
        (lambda: library.connect("nobody.invalid", cancel=True), "cancel"),
        (lambda: library.connect(b"box"), "a host is a str"),
        (lambda: library.connect(None), "a host is a str"),
    ],
)
def test_what_is_of_another_type_is_told_at_once(call, named):
    with pytest.raises(TypeError, match=named):
        call()


def test_numbers_that_no_message_holds_end_no_connection(escp, target):
    (target / "a").write_bytes(b"abc")
    with library.connect("box", **login(escp)) as remote:
        assert remote.read(target / "a", 1 << 62) == b""
        link = remote._links._idle[0]
        for offset in (1 << 63, 1 << 64, 1 << 200):
            with pytest.raises(ValueError, match="below 2"):
                remote.read(target / "a", offset)
        assert remote._links._idle == [link]
        for timeout in (10**400, Fraction(10), 1e300):
            assert remote.read(target / "a", timeout=timeout) == b"abc"
        with pytest.raises(errors.TimeUpError):
            remote.read(target / "a", timeout=-(10**400))


@pytest.mark.parametrize("is_dry_run", [False, True])
@pytest.mark.parametrize("way", ["local", "push", "pull"])
def test_progress_comes_ten_times_a_second(escp, source, target, way, is_dry_run):
    """However much happens; the last one is of the end."""
    for number in range(3000):
        (source / f"{number}").write_bytes(b"x")
    ends = {"local": (source, target), "push": (source, f"box:{target}"), "pull": (f"box:{source}", target)}[
        way
    ]
    seen: list[tuple[float, library.Progress]] = []
    start_s = time.monotonic()
    library.copy(
        *ends, recursive=True, dry_run=is_dry_run, progress=lambda now: seen.append((time.monotonic(), now)),
        **login(escp),
    )  # fmt: skip
    assert len(seen) <= (time.monotonic() - start_s) / 0.1 + 2
    assert seen[-1][1].files_done == 3000 and seen[-1][1].is_total_final
