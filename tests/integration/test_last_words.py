"""What a copy that was cut off says of how to go on is so."""

import pytest

from tests.support.directions import LOCAL, PULL, PUSH, RELAY
from tests.support.parts import OPTIONS, SIZE
from tests.support.trees import write_random


@pytest.fixture
def big(source):
    write_random(source / "big", SIZE)
    return source / "big"


def find_last_words(escp, *words) -> str:
    done = escp.run(*OPTIONS[:-1], "-l", "4M", "--stop-after", "3s", *words)
    assert done.code == 17 and "--stop-after" in done.err, (done.code, done.err)
    return done.err


@pytest.mark.parametrize("way", [PUSH, PULL, RELAY, LOCAL], ids=lambda way: way.name)
def test_of_what_went_into_a_device_nothing_is_left(escp, big, way):
    assert "--resume" not in find_last_words(escp, way.source(big), way.target("/dev/null"))


def test_of_what_went_to_standard_output_neither(escp, big):
    assert "--resume" not in find_last_words(escp, PULL.source(big), "-")


@pytest.mark.parametrize("options", [("--inplace",), ("--ioengine", "dummy")], ids=" ".join)
def test_of_what_has_no_journal_neither(escp, big, target, options):
    assert "--resume" not in find_last_words(escp, *options, big, PUSH.target(target))
