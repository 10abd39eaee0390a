"""Whatever arrives on the control channel: messages or an EscpError; and what is encoded comes back."""

import json

from hypothesis import example, given
from hypothesis import strategies as st

from escp.constants import MARKER
from escp.control import deletion as deletion  # all of TYPES
from escp.control import questions as questions
from escp.control import survey as survey
from escp.control.codec import Decoder, decode, encode
from escp.control.course import AgentCourse, InitiatorCourse
from escp.control.messages import TYPES, Chunk, FileFailed
from escp.control.noise import NoiseSkipper
from escp.errors import MAX_ERRNO, EscpError, ProtocolError
from escp.failures import FAILURES

COUNTS = st.integers(0, (1 << 63) - 1)
VALUES = {int: COUNTS, str: st.text(max_size=50), bytes: st.binary(max_size=100), bool: st.booleans(),
          list[str]: st.lists(st.text(max_size=20), max_size=64),
          list[bytes]: st.lists(st.binary(max_size=20), max_size=64),
          list[int]: st.lists(COUNTS, max_size=64)}  # fmt: skip
CLASSES = tuple(TYPES.values())
CHUNKS = st.builds(Chunk, st.integers(0, 255), st.binary(min_size=1, max_size=100))
ERRNOS = st.integers(0, MAX_ERRNO)
NAMED = {"sys_errno": ERRNOS, "errnos": st.lists(ERRNOS, max_size=64)}  # in all messages
FIELDS = {cls: {k: NAMED.get(k, VALUES[t]) for k, t in cls.__annotations__.items()} for cls in CLASSES}
FIELDS[FileFailed] |= {
    "code": st.sampled_from(sorted(FAILURES)),
    "where": st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=64),
}
MESSAGES = st.one_of(CHUNKS, *(st.builds(cls, **fields) for cls, fields in FIELDS.items()))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)
NAMES = sorted({name for cls in CLASSES for name in cls.__annotations__} | {"type"})
TYPES = st.sampled_from(sorted(TYPES))
OBJECTS = st.builds(
    lambda kind, fields: {**fields, "type": kind},
    TYPES | JSON,
    st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=8), JSON, max_size=14),
)
BODIES = st.one_of(st.binary(max_size=200), JSON.map(lambda v: json.dumps(v).encode()),
                   OBJECTS.map(lambda v: json.dumps(v).encode()))  # fmt: skip


def frame(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


@given(st.lists(MESSAGES, max_size=5), st.integers(1, 300))
def test_encoded_messages_come_back_however_they_are_cut(messages, step):
    data = b"".join(map(encode, messages))
    decoder = Decoder()
    found = [m for at in range(0, len(data), step) for m in decoder.feed(data[at : at + step])]
    assert found == messages
    assert [type(m) for m in found] == [type(m) for m in messages]


@given(BODIES)
@example(b'{"type": "hello", "major": 1, "minor": 0, "version": "\\ud800", "features": []}')
@example(b'{"type": {}}')
@example(b"9" * 5000)
def test_body_is_a_message_or_a_protocol_error(body):
    try:
        message = decode(body)
    except ProtocolError:
        return
    assert decode(encode(message)[4:]) == message


@given(st.lists(st.binary(max_size=100), max_size=10))
def test_any_bytes_are_messages_or_a_protocol_error(pieces):
    decoder = Decoder()
    try:
        for piece in pieces:
            decoder.feed(piece)
    except ProtocolError:
        return


@given(st.lists(BODIES.map(frame) | MESSAGES.map(encode) | st.binary(max_size=40), max_size=6), st.booleans())
def test_any_course_gives_messages_or_an_error(pieces, is_initiator):
    course = InitiatorCourse(0.0, "host") if is_initiator else AgentCourse(0.0)
    try:
        if is_initiator:
            course.feed(b"noise" + MARKER, 0.0)
        for now, piece in enumerate(pieces):
            course.feed(piece, float(now))
            course.check_silence(float(now))
    except EscpError as error:
        assert isinstance(error.exit_code, int)


@given(st.binary(max_size=3000), st.binary(max_size=100), st.integers(1, 500))
@example(MARKER[:-1] * 3, MARKER, 7)
def test_marker_is_found_behind_any_noise(noise, behind, step):
    noise = noise.replace(MARKER, b"")
    data = noise + MARKER + behind
    at = data.index(MARKER)  # a noise that ends as the marker begins may make one earlier
    skipper = NoiseSkipper()
    got = b"".join(skipper.feed(data[i : i + step]) for i in range(0, len(data), step))
    assert skipper.is_past_marker
    assert got == data[at + len(MARKER) :]
