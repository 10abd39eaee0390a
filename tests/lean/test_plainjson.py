"""JSON by json's C half, compared with all of json: the same texts are taken, and give the same values."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from escp.lean.plainjson import read_json, write_json

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(PLAIN)
def test_what_is_written_is_json_and_comes_back(value):
    text = write_json(value)
    assert text == json.dumps(value) and text.isascii()
    assert read_json(text.encode()) == json.loads(text) == value


@given(PLAIN | st.floats(allow_nan=False, allow_infinity=False), st.sampled_from([None, 1]))
def test_what_json_writes_is_read(value, indent):
    text = json.dumps(value, indent=indent, ensure_ascii=indent is None)
    assert read_json(f" {text}\r\n".encode()) == json.loads(text)


def refuse(constant):
    raise ValueError(constant)


@given(st.text(alphabet='{}[]",:0123456789.eE+-\\u/ntrue fals\n\t\x00é') | st.text())
def test_text_that_json_refuses_is_refused(text):
    try:
        wanted = json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError):
        wanted = None
    try:
        got = read_json(text.encode())
    except (ValueError, RecursionError):
        got = None
    assert got == wanted


@pytest.mark.parametrize(
    "data",
    [b"", b" ", b"{", b"{}x", b"[1] [2]", b'"\xff"', b"NaN", b"Infinity", b"-Infinity", b"\xef\xbb\xbf{}",
     b'{"a": 1}\0', b"{}".decode().encode("utf-16"), b"[" * 100_000, b'{"a":' * 100_000, b"1" * 10_000],
    ids=range(15),
)  # fmt: skip
def test_refused(data):
    with pytest.raises((ValueError, RecursionError)):
        read_json(data)


@pytest.mark.parametrize("value", [1.5, b"x", object(), (1,), {1: 2}])
def test_what_no_message_holds_is_not_written(value):
    with pytest.raises(TypeError):
        write_json(value)
