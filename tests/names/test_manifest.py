"""The text of manifests: what is written is read again, and what is damaged is named by its line."""

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from escp.names.manifest import (
    HEADER,
    DamagedError,
    Entry,
    Tree,
    format_end,
    format_entry,
    format_tree,
    is_inside,
    read_lines,
)

PARTS = st.binary(min_size=1, max_size=20).filter(lambda part: is_inside(part) and b"/" not in part)
NAMES = st.lists(PARTS, min_size=1, max_size=3).map(b"/".join)
TIMES = st.integers(-(10**18), 10**19)
ENTRIES = st.builds(Entry, NAMES, st.binary(min_size=32, max_size=32), st.integers(0, 2**63 - 1), TIMES)


def read(text: bytes) -> list:
    return list(read_lines(iter(text.splitlines(keepends=True) if b"\r" not in text else split(text))))


def split(text: bytes) -> list[bytes]:
    return [line + b"\n" for line in text.split(b"\n") if line]


def write(entries, trees=()) -> bytes:
    lines = [HEADER + b"\n", *map(format_tree, trees), *map(format_entry, entries), format_end(len(entries))]
    return b"".join(lines)


@given(st.lists(ENTRIES, max_size=5), st.lists(NAMES | st.just(b""), max_size=3))
def test_what_is_written_is_read(entries, trees):
    text = write(entries, trees)
    assert list(read_lines(iter(split(text)))) == [*map(Tree, trees), *entries]


@given(st.lists(ENTRIES, min_size=1, max_size=5), st.data())
def test_no_lost_line_is_missed(entries, data):
    lines = split(write(entries))
    lost = data.draw(st.integers(1, len(lines) - 1))
    whole = list(read_lines(iter(lines)))
    try:
        found = list(read_lines(iter(lines[:lost] + lines[lost + 1 :])))
    except DamagedError:
        return
    # A size and time may go: the file itself is still compared.
    assert [(one.name, one.digest) for one in found] == [(one.name, one.digest) for one in whole]


def test_names_are_written_as_sha256sum_writes_them(tmp_path):
    names = [b"plain", b"a\nb", b"a\\b", b"\\n\n", b" x ", b"*x", b"#x", b"\xff", b"a\rb"]
    for name in names:
        with open(bytes(tmp_path) + b"/" + name, "wb") as file:
            file.write(name)
    listed = subprocess.run(["sha256sum", "--", *names], cwd=tmp_path, capture_output=True, check=True).stdout
    by_us = read(listed)
    assert [one.name for one in by_us if isinstance(one, Entry)] == names
    assert b"".join(format_entry(one) for one in by_us if isinstance(one, Entry)) == listed


ZERO = b"0" * 64


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"x\n", "line 1 is no SHA-256 and a name"),
        (ZERO + b"  \n", "line 1 is no SHA-256 and a name"),
        (ZERO[1:] + b"  a\n", "line 1 is no SHA-256 and a name"),
        (ZERO + b"  a\n\n" + ZERO + b"  a/../b\n", "line 3: its name leads out of the tree"),
        (ZERO + b"  /a\n", "line 1: its name leads out of the tree"),
        (b"\\" + ZERO + b"  a\\x\n", "line 1: a backslash in its name stands for nothing"),
        (b"\\" + ZERO + b"  a\\\n", "line 1: a backslash in its name stands for nothing"),
        (HEADER + b"\n", "line 1: the list that escp began ends before its #end"),
        (HEADER + b"\n#end 1\n", "line 2: 1 files should stand between line 1 and here, not 0"),
        (HEADER + b"\n#file 1\n", "line 2 is no size and time of a file"),
        (
            HEADER + b"\n#file 1 2.000000000\n#end 0\n",
            "line 3: here the file must come whose size line 2 has",
        ),
        (HEADER + b"\n#tree ../x\n#end 0\n", "line 2 names no directory below the tree"),
        (b"x" * 40_000, "line 1 is too long to be one of a manifest"),
    ],
)
def test_damaged_lines(text, said):
    with pytest.raises(DamagedError, match=f"^{said}$"):
        read(text)


def test_lists_of_others():
    text = ZERO + b" *./a//b\r\n\n# a comment\nSHA256 (c d) = " + ZERO
    assert read(text) == [Tree(b""), Entry(b"a/b", bytes(32)), Entry(b"c d", bytes(32))]
    whole = HEADER + b"\n#tree d\n#end 0\n"
    assert read(whole + whole) == [Tree(b"d"), Tree(b"d")]  # two, joined
    assert read(b"") == []
