"""Limits of the payload codecs, a step on either side; tests/vectors has the layouts, tests/fuzz the rest."""

import pytest

from escp._fast.errors import FastError
from escp._fast.wire.payloads import (
    decode_data_header,
    decode_entries,
    decode_result,
    encode_data_header,
    encode_entry,
    encode_meta,
    encode_result,
)
from escp.failures import FAST_PROTOCOL, FAST_UNSAFE

BLOCK = 1 << 18


def decode_one(**fields):
    return decode_entries(encode_meta(2, 1, encode_entry(**{"kind": 1, "id": 1, "path": b"x", **fields})))[0]


@pytest.mark.parametrize(
    "path",
    [b"", b"a", b"a/b", b"...", b"..a", b"a..", b".a", b" ", b"\n", b"\xff", b"-x", b"~", b"n" * 255,
     b"/".join([b"n" * 255] * 16)[:4095], b"a/" * 2047 + b"a"],
)  # fmt: skip
def test_path_that_stays_inside_is_taken(path):
    assert decode_one(path=path)["path"] == path


@pytest.mark.parametrize(
    "path",
    [b".", b"..", b"/", b"//", b"a/", b"/a", b"a//b", b"./a", b"../a", b"a/.", b"a/..", b"a/./b", b"a/../b",
     b"\0", b"a\0", b"\0a", b"n" * 256, b"a/" + b"n" * 256 + b"/b", b"a/" * 2047 + b"aa"],
)  # fmt: skip
def test_path_that_may_lead_out_is_refused(path):
    with pytest.raises(FastError) as caught:
        decode_one(path=path)
    assert caught.value.code == FAST_UNSAFE


@pytest.mark.parametrize(
    ("fields", "is_allowed"),
    [
        ({"size": (1 << 63) - 1}, True),
        ({"size": 1 << 63}, False),
        ({"kind": 2, "size": 1}, True),
        ({"kind": 2, "size": 0}, False),
        ({"kind": 3, "size": 0}, False),
        ({"kind": 3, "size": 1, "flags": 1}, True),
        ({"kind": 2, "size": 1, "flags": 1}, False),
        ({"mode": 0o7777}, True),
        ({"mode": 0o10000}, False),
        ({"mtime_ns": -1, "atime_ns": 999_999_999}, True),
        ({"uid": 2**32 - 1, "gid": 2**32 - 1}, True),
        ({"id": 2**64 - 1}, True),
    ],
)
def test_values_at_their_limits(fields, is_allowed):
    if is_allowed:
        assert fields.items() <= decode_one(**fields).items()
        return
    with pytest.raises(FastError) as caught:
        decode_one(**fields)
    assert caught.value.code == FAST_PROTOCOL


def test_batch_of_1024_is_taken_and_one_more_is_not():
    one = encode_entry(kind=4, id=1, path=b"x")
    assert len(decode_entries(encode_meta(2, 1024, one * 1024))) == 1024
    with pytest.raises(FastError):
        decode_entries(encode_meta(2, 1025, one * 1025))


def test_message_of_256_kib_is_taken_and_one_more_byte_is_not():
    body = b"".join(encode_entry(kind=4, id=i, path=b"n" * 255 + b"/" + b"m" * 184) for i in range(512))
    last = encode_entry(kind=4, id=1, path=b"n" * 255 + b"/" + b"m" * 176)
    body = body[: 511 * 512] + last
    assert len(body) == (1 << 18) - 8 and len(decode_entries(encode_meta(2, 512, body))) == 512
    with pytest.raises(FastError) as caught:
        decode_entries(encode_meta(2, 512, body + b"x"))
    assert caught.value.where == "metadata header"


@pytest.mark.parametrize(
    ("n", "raw_bytes", "flags", "is_allowed"),
    [(1, 1, 0, True), (BLOCK, BLOCK, 0, True), (BLOCK + 1, BLOCK + 1, 0, False), (0, 0, 0, False),
     (2, 1, 0, False), (1, 2, 0, False), (1, 2, 2, True), (2, 2, 2, False), (0, 2, 2, True), (1, 1, 1, True),
     (1, 2, 3, True),
     (1, 1, 4, False)],
)  # fmt: skip
def test_data_header_must_fit_the_frame(n, raw_bytes, flags, is_allowed):
    payload = encode_data_header(1, 0, raw_bytes, flags) + bytes(n)
    if is_allowed:
        assert decode_data_header(payload, BLOCK) == (1, 0, raw_bytes, flags)
        return
    with pytest.raises(FastError):
        decode_data_header(payload, BLOCK)


@pytest.mark.parametrize("at", range(24, 64))
def test_reserved_bytes_of_a_data_header_are_zero(at):
    payload = bytearray(encode_data_header(1, 0, 1) + b"x")
    payload[at] = 1
    with pytest.raises(FastError):
        decode_data_header(bytes(payload), BLOCK)


@pytest.mark.parametrize(
    ("code", "flags", "number"), [(21, 0, 0), (0, 1, 0), (1, 2, 0), (1, 0, 4096), (255, 255, 0)]
)
def test_result_out_of_range_is_refused(code, flags, number):
    with pytest.raises(FastError):
        decode_result(encode_result(1, code, flags, number))
