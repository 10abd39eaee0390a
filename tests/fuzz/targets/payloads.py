"""Decoders of the wire: values that encode to the same bytes again, or a FastError of the two right kinds."""

from escp._fast.crypto.aead import available_backends
from escp._fast.crypto.channel import Channel
from escp._fast.errors import FastError
from escp._fast.wire.payloads import (
    decode_data_header,
    decode_entries,
    decode_hello,
    decode_result,
    encode_data_header,
    encode_entry,
    encode_hello,
    encode_meta,
    encode_result,
)
from escp.failures import FAST_AUTH, FAST_PROTOCOL, FAST_UNSAFE

BLOCK = 1 << 18
SECRET = bytes(range(32))
ALLOWED_FLAGS = {
    2: {0, 2, 4, 6, 18, 22},
    3: {*range(8), *range(16, 24)},
    5: {2},
    6: {2},
    7: {2},
    8: {0, 2, 32, 128},
    9: {0},
    10: {0},
}
RESULT_CODES = {*range(21), 24, *range(33, 64)}  # those that end a file; what a file that is there lacks


def test_one(data: bytes) -> None:
    """The first byte chooses the decoder."""
    which, data = data[:1], data[1:]
    KINDS[(which or b"\0")[0] % len(KINDS)](data)


def decode(decoder, *arguments):
    try:
        return decoder(*arguments)
    except FastError as error:
        assert error.code in (FAST_PROTOCOL, FAST_UNSAFE)
        assert error.where and error.offset == -1 and error.sys_errno == 0
        return None


def read_entries(payload: bytes) -> None:
    entries = decode(decode_entries, payload)
    if entries is None:
        return
    for entry in entries:
        assert 1 <= entry["kind"] <= 10 and entry["size"] < 2**63 and len(entry["path"]) <= 4095
        assert entry["flags"] in ALLOWED_FLAGS.get(entry["kind"], {0, 2})
        assert entry["kind"] != 10 or entry["id"] == entry["size"] == 0
        assert bool(entry["extras"]) is bool(entry["flags"] & 2)
        names = entry["path"].split(b"/") if entry["path"] else []
        assert not {b"", b".", b".."} & set(names) and b"\0" not in entry["path"]
        assert all(len(name) <= 255 for name in names)
        if not -(2**63) <= entry["mtime_ns"] < 2**63 or not -(2**63) <= entry["atime_ns"] < 2**63:
            return  # beyond what encode_entry takes, in nanoseconds
    assert encode_meta(2, len(entries), b"".join(encode_entry(**entry) for entry in entries)) == payload


def read_bodies(data: bytes) -> None:
    """Entries without the header, which a fuzzer would have to get right first."""
    read_entries(encode_meta(2, data[0] if data else 0, data[1:]))


def read_hello(payload: bytes) -> None:
    fields = decode(decode_hello, payload)
    assert fields is None or encode_hello(*fields) == payload


def read_result(data: bytes) -> None:
    fields = decode(decode_result, data)
    if fields is not None:
        assert encode_result(*fields) == data and fields[1] in RESULT_CODES
        assert fields[2] in ((0, 1) if fields[1] else (0, 2, 4))


def read_data_header(payload: bytes) -> None:
    for block_bytes in (100, BLOCK):
        fields = decode(decode_data_header, payload, block_bytes)
        if fields is not None:
            _, offset, raw_bytes, flags = fields
            assert 0 < raw_bytes <= block_bytes and offset < 2**63
            assert encode_data_header(*fields) == payload[:64]
            assert len(payload) - 64 == raw_bytes or (flags & 2 and len(payload) - 64 < raw_bytes)


def open_frame(frame: bytes) -> None:
    for backend in available_backends():
        receiver = Channel(SECRET, 0, is_sender=False, block_bytes=BLOCK, backend=backend)
        try:
            if len(frame) >= 8:
                is_data, n = receiver.expect(frame[:8])
                assert n <= (BLOCK + 64 if is_data else BLOCK)
            is_data, payload = receiver.open(frame)
        except ValueError:
            assert len(frame) < 8
        except FastError as error:
            assert error.code == FAST_AUTH
        else:
            sender = Channel(SECRET, 0, is_sender=True, block_bytes=BLOCK)
            assert sender.seal(is_data, payload) == frame


KINDS = (read_bodies, read_entries, read_hello, read_result, read_data_header, open_frame)
