"""The numbers in docs/security.md are the code's."""

import re
from pathlib import Path

import pytest

from escp import constants
from escp._fast.crypto.channel import DEFAULT_EPOCH_LIMIT, Channel
from escp._fast.errors import FastError
from escp.facts import system as examine
from escp.streams.streams import PREAMBLE
from escp.ui.loglines import MAX_LOGGED_WORDS
from escp.ui.words import MAX_WORDS_COLUMNS

ROOT = Path(__file__).parents[2]
TEXT = " ".join((ROOT / "docs" / "security.md").read_text().split())


def read_native(name: str) -> int:
    text = "".join(path.read_text() for path in sorted((ROOT / "escp" / "_fast").rglob("*.p[xy][dx]")))
    (found,) = set(re.findall(rf"^ +{name} = (\d+)\b", text, re.MULTILINE))
    return int(found)


NUMBERS = [
    (r"behind the (\d+)-byte preamble", PREAMBLE.size),
    (r"secret of the data streams is (\d+) bytes", constants.SECRET_BYTES),
    (r"a key ends after (\d+) GiB", DEFAULT_EPOCH_LIMIT >> 30),
    (r"a connection has ([\d,]+) epochs", read_native("ROLLS_PER_CONNECTION")),
    (r"is dropped after (\d+) s", constants.HELLO_TIMEOUT_S),
    (r"at most (\d+) of them, and one for each stream", constants.MAX_UNPROVEN),
    (r"at most (\d+) large files are open", read_native("MAX_OPEN_LARGE")),
    (r"of their parts takes (\d+) MiB", read_native("MOST_KEPT_BYTES") >> 20),
    (r"measures for ([\d.]+) s", examine.MEASURE_S),
    (r"lines of ([\d,]+) characters at most", MAX_WORDS_COLUMNS),
    (r"the first ([\d,]+) of them are logged", MAX_LOGGED_WORDS),
    (r"window of (\d+) MiB", constants.TUNNEL_WINDOW_BYTES / constants.MIB),
]


@pytest.mark.parametrize(("sentence", "value"), NUMBERS, ids=[sentence for sentence, _ in NUMBERS])
def test_numbers_of_the_guarantees_are_the_codes(sentence, value):
    (said,) = re.findall(sentence, TEXT)
    assert float(said.replace(",", "")) == value


def test_key_ends_where_it_is_told_to():
    """64 GiB take too long: the same count with a smaller limit, which every plane leaves as it is."""
    channel = Channel(bytes(32), 0, is_sender=True, block_bytes=1 << 18, epoch_limit=1000)
    other = Channel(bytes(32), 0, is_sender=False, block_bytes=1 << 18, epoch_limit=1 << 40)
    other.open(channel.seal(True, bytes(1000)))
    with pytest.raises(FastError):
        other.open(channel.seal(True, b"x"))
    assert "epoch_limit" not in "".join(path.read_text() for path in (ROOT / "escp").rglob("*.py"))
