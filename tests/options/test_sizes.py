"""--min-size and --max-size."""

import pytest

from escp.errors import UsageError
from escp.options.values import parse_bounds, parse_bytes

SIZES = {
    "0": 0, "17": 17, "17b": 17, "1k": 1024, "1K": 1024, "1KiB": 1024, "1kb": 1000, "1.5M": 1572864,
    "1.5mb-1": 1499999, "2G": 2 << 30, "1T": 1 << 40, "1P+1": (1 << 50) + 1, "0-1": 0,
    "999999999999999P": (1 << 63) - 2,
}  # fmt: skip


@pytest.mark.parametrize("text", SIZES)
def test_sizes_are_rsyncs(text):
    assert parse_bytes(text, "--max-size") == SIZES[text]


@pytest.mark.parametrize("text", ["", "x", "-1", "1X", "1iB", "1M2", "1 M", "1.", ".5M", "1M-2"])
def test_what_is_no_size_is_told(text):
    with pytest.raises(UsageError, match=r"option --max-size: '.*' is no size"):
        parse_bytes(text, "--max-size")


def test_bounds():
    assert parse_bounds(None, None) == (0, 0)
    assert parse_bounds("1K", "1K") == (1024, 1025)
    assert parse_bounds(None, "0") == (0, 1)
    with pytest.raises(UsageError, match=r"--min-size: 2 is more than --max-size 1"):
        parse_bounds("2", "1")
