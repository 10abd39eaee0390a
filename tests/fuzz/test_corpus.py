"""Each target of `build.py fuzz` over its corpus: what once added coverage, or was found, stays mended."""

import importlib
import random
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
TARGETS = sorted(path.stem for path in (FOLDER / "targets").glob("*.py"))
MOST_BYTES = 64 << 10  # of a target's corpus: it is in git


@pytest.mark.parametrize("name", TARGETS)
def test_target_takes_its_corpus(name, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    target = importlib.import_module(f"tests.fuzz.targets.{name}")
    files = sorted((FOLDER / "corpus" / name).iterdir())
    assert files and sum(file.stat().st_size for file in files) <= MOST_BYTES
    for data in (b"", *(file.read_bytes() for file in files)):
        target.test_one(data)


def test_every_corpus_has_its_target():
    assert sorted(path.name for path in (FOLDER / "corpus").iterdir()) == TARGETS


def test_choices_are_those_of_the_bytes():
    from tests.fuzz.choices import Choices

    assert [Choices(b"\x05\xff").randrange(4), Choices(b"").randrange(9)] == [1, 0]
    assert Choices(b"").random() > 0.9, "no bytes, no mistakes"
    story = Choices(random.Random(1).randbytes(400))
    assert {story.choice("abc") for _ in range(40)} == set("abc")
    assert story.randbytes(10) != story.randbytes(10) and 0 <= story.random() < 1
    assert not story.is_over and story.take(400)[-1:] == b"\0" and story.is_over
