"""patterns: tokens of patterns, as files/filter reads them. What they match: files/test_filter.py."""

import pytest

from escp._fast.patterns import ANY, BYTE, CLASS, STAR, STARS, parse_pattern


def members(bits: bytes) -> bytes:
    number = int.from_bytes(bits, "little")
    return bytes(i for i in range(256) if number >> i & 1)


@pytest.mark.parametrize(
    ("pattern", "kinds", "values"),
    [
        (b"a.c", [BYTE] * 3, b"a.c"),
        (b"a\\c", [BYTE] * 3, b"a\\c"),  # without wildcards a backslash is one
        (b"\\*?*", [BYTE, ANY, STAR], b"*\0\0"),
        (b"**.o", [STARS, BYTE, BYTE], b"\0.o"),
        (b"****", [STARS], b"\0"),
        (b"x[ab]", [BYTE, CLASS], b"x\0"),
    ],
)
def test_tokens(pattern, kinds, values):
    assert parse_pattern(pattern)[4:6] == (bytes(kinds), values)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (b"[a-c]", b"abc"),
        (b"[]-]", b"-]"),
        (b"[\\]a]", b"]a"),
        (b"[[:digit:]x]", b"0123456789x"),
        (b"[[:punct:]]", bytes(c for c in range(33, 127) if not chr(c).isalnum() and c != ord("/"))),
        (b"[!\\0-\xff]", bytes(range(48))[:47]),  # never a slash
    ],
)
def test_classes(pattern, expected):
    assert sorted(members(parse_pattern(pattern)[6])) == sorted(expected)


def test_where_and_what_a_pattern_matches():
    assert parse_pattern(b"/a/b/")[:4] == (True, True, False, 0)
    assert parse_pattern(b"**/a")[:4] == (False, False, False, 0)
    assert parse_pattern(b"a")[:4] == (False, False, True, 0)
    assert parse_pattern(b"dir/***")[:4] == (False, False, False, 3)


@pytest.mark.parametrize("pattern", [b"", b"a\0b", b"/", b"[a", b"[[:no:]]", b"[\\", b"x" * 4097])
def test_what_is_no_pattern_is_refused(pattern):
    with pytest.raises(ValueError, match="pattern"):
        parse_pattern(pattern)
