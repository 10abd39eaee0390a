"""Whatever the bytes: a decoder gives values or a FastError, and values encode to the same bytes again.

What must be true of them stands with the fuzzer's target; here is what hypothesis tries.
"""

from hypothesis import given
from hypothesis import strategies as st

from escp._fast.crypto.channel import Channel
from escp._fast.wire.payloads import (
    encode_data_header,
    encode_entry,
    encode_extra,
    encode_hello,
    encode_meta,
    encode_result,
    encode_xattr,
)
from tests.fuzz.targets import payloads

BLOCK, SECRET = payloads.BLOCK, payloads.SECRET

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
def mutated(draw, originals):
    """A payload with a few bytes changed, cut out or put in."""
    data = bytearray(draw(originals))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 4))] = draw(st.binary(max_size=4))
    return bytes(data)


@given(
    st.binary(max_size=300)
    | mutated(st.lists(ENTRIES, max_size=4).map(lambda all: encode_meta(2, len(all), b"".join(all))))
    | st.builds(
        encode_meta, st.integers(0, 6), st.integers(0, 65535), st.binary(max_size=200), st.integers(0, 3)
    )
)
def test_entries(payload):
    payloads.read_entries(payload)


@given(st.binary(max_size=40) | mutated(st.builds(encode_hello, U32, U32)))
def test_hello(payload):
    payloads.read_hello(payload)


@given(
    st.binary(min_size=32, max_size=32)
    | mutated(st.builds(encode_result, U64, st.integers(0, 70), st.integers(0, 9), st.integers(0, 5000)))
)
def test_result(data):
    payloads.read_result(data)


@given(
    mutated(
        st.builds(lambda id, offset, n, flags: encode_data_header(id, offset, n, flags) + bytes(n), U64, U64,
                  st.integers(0, 300), st.integers(0, 4))
    )
    | st.binary(max_size=100)
)  # fmt: skip
def test_data_header(payload):
    payloads.read_data_header(payload)


def seal_zeros(n):
    return Channel(SECRET, 0, is_sender=True, block_bytes=BLOCK).seal(False, bytes(n))


@given(mutated(st.integers(0, 60).map(seal_zeros)) | st.binary(max_size=80))
def test_channel_opens_what_was_sealed_and_nothing_else(frame):
    payloads.open_frame(frame)
