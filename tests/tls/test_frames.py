"""Frames of a TLS login: any bytes are frames or an error, at once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from escp.errors import ProtocolError
from escp.tls import frames


@given(st.lists(st.tuples(st.integers(1, 8), st.binary(max_size=300))), st.integers(1, 50))
def test_frames_come_as_they_went_however_they_are_cut(sent, step):
    data = b"".join(frames.encode(kind, payload) for kind, payload in sent)
    decoder = frames.Decoder()
    found = [one for at in range(0, len(data), step) for one in decoder.feed(data[at : at + step])]
    assert found == sent


def test_largest_frame():
    payload = bytes(frames.MAX_FRAME_BYTES)
    assert frames.Decoder().feed(frames.encode(frames.CHANNEL, payload)) == [(frames.CHANNEL, payload)]


@pytest.mark.parametrize(
    "head", [b"\x00\x00\x00\x00", b"\x09\x00\x00\x00", b"\x03\x00\x80\x01", b"\x03\xff\xff\xff"]
)
def test_what_is_no_frame_is_refused_before_its_bytes_come(head):
    with pytest.raises(ProtocolError):
        frames.Decoder().feed(head)


@given(st.integers(1, 255), st.text(), st.text())
def test_refusals(code, sentence, hint):
    told = frames.decode_refusal(frames.make_refusal(code, sentence, hint))
    assert told[0] == code
    assert len(told[1].encode()) <= frames.MAX_WORDS_BYTES and "\n" not in told[1] + told[2]


@pytest.mark.parametrize("payload", [b"", b"x\na\nb", b"-1\na", b"999\na", b"1234\na", "²\na".encode()])
def test_refusal_without_a_code(payload):
    with pytest.raises(ProtocolError):
        frames.decode_refusal(payload)


@given(st.binary(max_size=10_000))
def test_any_bytes(data):
    try:
        frames.Decoder().feed(data)
        frames.decode_refusal(data)
    except ProtocolError:
        return
