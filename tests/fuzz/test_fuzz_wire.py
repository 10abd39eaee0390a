"""Whatever the bytes: a decoder gives values or a FastError, and values encode to the same bytes again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from escp._fast.crypto import aead
from escp._fast.crypto.channel import Channel
from escp._fast.errors import FastError
from escp._fast.wire.payloads import (
    decode_data_header,
    decode_entries,
    decode_hello,
    decode_result,
    encode_data_header,
    encode_entry,
    encode_extra,
    encode_hello,
    encode_meta,
    encode_result,
    encode_xattr,
)
from escp.failures import FAST_AUTH, FAST_PROTOCOL, FAST_UNSAFE

BLOCK = 1 << 18
SECRET = bytes(range(32))

RESULT_CODES = {*range(21), *range(33, 64)}  # with what a file that is there lacks

U64 = st.integers(0, 2**64 - 1) | st.sampled_from([0, 1, 2**63 - 1, 2**63, 2**64 - 1])
U32 = st.integers(0, 2**32 - 1) | st.sampled_from([0, 0o7777, 0o10000, BLOCK, 2**32 - 1])
PATHS = st.binary(max_size=40) | st.lists(
    st.sampled_from([b"a", b"..", b".", b"", b"\0", b"n" * 255]), max_size=9
).map(b"/".join)
XATTR_NAMES = st.sampled_from(
    [
        b"user.x",
        b"trusted.x",
        b"security.x",
        b"system.posix_acl_access",
        b"system.x",
        b"user.",
        b"",
        b"user.\0",
    ]
)
EXTRAS = st.builds(encode_extra, st.integers(0, 6), st.binary(max_size=20) | PATHS) | st.builds(
    encode_xattr, XATTR_NAMES, st.binary(max_size=20)
)
ENTRIES = st.builds(
    lambda **fields: encode_entry(**fields),
    kind=st.integers(0, 11),
    id=U64,
    path=PATHS,
    size=U64,
    mode=U32,
    flags=st.integers(0, 8) | st.sampled_from([64, 128, 129]),
    mtime_ns=st.integers(-(2**62), 2**62),
    atime_ns=st.integers(-(2**62), 2**62),
    uid=U32,
    gid=U32,
    digest=st.binary(min_size=16, max_size=16),
    extras=st.lists(EXTRAS, max_size=3).map(b"".join) | st.binary(max_size=12),
)


@st.composite
def mutated(draw, payloads):
    """A payload with a few bytes changed, cut out or put in."""
    data = bytearray(draw(payloads))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 4))] = draw(st.binary(max_size=4))
    return bytes(data)


def decode(decoder, *arguments):
    """The decoder's values, or None when it refuses."""
    try:
        return decoder(*arguments)
    except FastError as error:
        assert error.code in (FAST_PROTOCOL, FAST_UNSAFE)
        assert error.where and error.offset == -1 and error.sys_errno == 0
        return None


@given(
    st.binary(max_size=300)
    | mutated(st.lists(ENTRIES, max_size=4).map(lambda all: encode_meta(2, len(all), b"".join(all))))
    | st.builds(
        encode_meta, st.integers(0, 6), st.integers(0, 65535), st.binary(max_size=200), st.integers(0, 3)
    )
)
def test_entries(payload):
    entries = decode(decode_entries, payload)
    if entries is None:
        return
    for entry in entries:
        assert 1 <= entry["kind"] <= 10 and entry["size"] < 2**63 and len(entry["path"]) <= 4095
        allowed = {2: {0, 4}, 3: set(range(8)), 5: {2}, 6: {2}, 7: {2}, 8: {0, 128}, 9: {0}, 10: {0}}
        assert entry["flags"] in allowed.get(entry["kind"], {0, 2})
        assert entry["kind"] != 10 or entry["id"] == entry["size"] == 0
        assert bool(entry["extras"]) is bool(entry["flags"] & 2)
        names = entry["path"].split(b"/") if entry["path"] else []
        assert not {b"", b".", b".."} & set(names) and b"\0" not in entry["path"]
        assert all(len(name) <= 255 for name in names)
        if not -(2**63) <= entry["mtime_ns"] < 2**63 or not -(2**63) <= entry["atime_ns"] < 2**63:
            return  # beyond what encode_entry takes, in nanoseconds
    assert encode_meta(2, len(entries), b"".join(encode_entry(**entry) for entry in entries)) == payload


@given(st.binary(max_size=40) | mutated(st.builds(encode_hello, U32, U32)))
def test_hello(payload):
    fields = decode(decode_hello, payload)
    if fields is not None:
        assert encode_hello(*fields) == payload


@given(
    st.binary(min_size=32, max_size=32)
    | mutated(st.builds(encode_result, U64, st.integers(0, 70), st.integers(0, 9), st.integers(0, 5000)))
)
def test_result(data):
    fields = decode(decode_result, data)
    if fields is not None:
        assert encode_result(*fields) == data and fields[1] in RESULT_CODES
        assert fields[2] in ((0, 1) if fields[1] else (0, 2, 4))


@given(
    mutated(
        st.builds(lambda id, offset, n, flags: encode_data_header(id, offset, n, flags) + bytes(n), U64, U64,
                  st.integers(0, 300), st.integers(0, 4))
    )
    | st.binary(max_size=100),
    st.sampled_from([100, BLOCK]),
)  # fmt: skip
def test_data_header(payload, block_bytes):
    fields = decode(decode_data_header, payload, block_bytes)
    if fields is not None:
        id, offset, raw_bytes, flags = fields
        assert 0 < raw_bytes <= block_bytes and offset < 2**63
        assert encode_data_header(id, offset, raw_bytes, flags) == payload[:64]
        assert len(payload) - 64 == raw_bytes or (flags & 2 and len(payload) - 64 < raw_bytes)


def seal_zeros(n):
    return Channel(SECRET, 0, is_sender=True, block_bytes=BLOCK).seal(False, bytes(n))


@pytest.mark.parametrize("backend", aead.available_backends())
@given(mutated(st.integers(0, 60).map(seal_zeros)) | st.binary(max_size=80))
def test_channel_opens_what_was_sealed_and_nothing_else(backend, frame):
    receiver = Channel(SECRET, 0, is_sender=False, block_bytes=BLOCK, backend=backend)
    try:
        is_data, payload = receiver.open(frame)
    except ValueError:
        assert len(frame) < 8
        return
    except FastError as error:
        assert error.code == FAST_AUTH
        return
    sender = Channel(SECRET, 0, is_sender=True, block_bytes=BLOCK)
    assert sender.seal(is_data, payload) == frame


@given(st.binary(min_size=8, max_size=8))
def test_announced_length_never_exceeds_the_bound(iv):
    receiver = Channel(SECRET, 0, is_sender=False, block_bytes=BLOCK)
    try:
        is_data, n = receiver.expect(iv)
    except FastError as error:
        assert error.code == FAST_AUTH
        return
    assert n <= (BLOCK + 64 if is_data else BLOCK)
