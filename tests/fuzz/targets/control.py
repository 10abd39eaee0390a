"""The control channel: bodies, what is cut out of a stream, and both courses of a session."""

import json

from escp.constants import MARKER
from escp.control.codec import Decoder, decode, encode
from escp.control.course import AgentCourse, InitiatorCourse
from escp.errors import EscpError, ProtocolError


def test_one(data: bytes) -> None:
    how, data = data[:1], data[1:]
    if how < b"\x40":
        read_body(data)
    elif how < b"\x80":
        assert cut(data, len(data) or 1) == cut(data, 1 + how[0] % 16)
    else:
        hold_a_session(data, is_initiator=how < b"\xc0")


def read_body(body: bytes) -> None:
    try:
        message = decode(body)
    except ProtocolError:
        return
    assert decode(encode(message)[4:]) == message


def cut(data: bytes, step: int) -> tuple[list, bool]:
    """The messages, and whether it went on to the end; the same however the bytes arrive."""
    decoder, found = Decoder(), []
    for at in range(0, len(data), step):
        try:
            found += decoder.feed(data[at : at + step])
        except ProtocolError:
            return [], False
    return found, True


def hold_a_session(data: bytes, *, is_initiator: bool) -> None:
    """Lines of JSON, each a message, or whatever; a byte before each says what comes between."""
    course = InitiatorCourse(0.0, "host") if is_initiator else AgentCourse(0.0)
    now = 0.0
    try:
        if is_initiator:
            course.feed(MARKER, now)
        for line in data.split(b"\n"):
            now += 0.1
            body, is_raw = line[1:], line[:1] == b"r"
            if not is_raw:
                try:
                    body = encode(decode(json.dumps(json.loads(body)).encode()))
                except (ValueError, RecursionError, ProtocolError):
                    body = len(body).to_bytes(4, "big") + body
            course.feed(body, now)
            course.check_silence(now)
    except EscpError as error:
        assert isinstance(error.exit_code, int) and str(error)
