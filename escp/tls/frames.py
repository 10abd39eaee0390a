"""What goes over a TLS connection: pieces of the control channel, and what ssh carries beside it.

A frame is a kind (1 byte), a length (3 bytes, big-endian) and so many bytes: docs/protocol.md, 3.10.
"""

import struct

from escp.errors import ProtocolError

ACCEPTED = 1  # the daemon's first: who is there may log in
REFUSED = 2  # the daemon's last: exit code, sentence, hint, each in a line
CHANNEL = 3  # the control channel, both ways
END = 4  # of the sender's half of it
WORDS = 5  # of the agent's standard error
EXIT = 6  # the daemon's last: the agent's exit status
ASK, ANSWER = 7, 8  # whether the other side is there

MAX_FRAME_BYTES = 32 << 10
MAX_WORDS_BYTES = 4 << 10  # of REFUSED
_HEADER = struct.Struct("!I")
_KINDS = range(ACCEPTED, ANSWER + 1)


def encode(kind: int, payload: bytes = b"") -> bytes:
    return _HEADER.pack(kind << 24 | len(payload)) + payload


class Decoder:
    """Bytes of the other side as frames. Raises ProtocolError as soon as something is none."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        self._data += data
        found = []
        at = 0
        while len(self._data) - at >= _HEADER.size:
            (head,) = _HEADER.unpack_from(self._data, at)
            kind, size = head >> 24, head & 0xFFFFFF
            if kind not in _KINDS or size > MAX_FRAME_BYTES:
                raise ProtocolError(
                    f"the other side of the TLS connection sent a frame of kind {kind} with {size} bytes"
                )
            end = at + _HEADER.size + size
            if end > len(self._data):
                break
            found.append((kind, bytes(self._data[at + _HEADER.size : end])))
            at = end
        del self._data[:at]
        return found


def make_refusal(exit_code: int, sentence: str, hint: str) -> bytes:
    lines = [" ".join(text.split()) for text in (sentence, hint)]
    text = "\n".join([str(exit_code), *lines]).encode(errors="replace")
    return text[:MAX_WORDS_BYTES]


def decode_refusal(payload: bytes) -> tuple[int, str, str]:
    """Raises ProtocolError."""
    code, _, rest = payload[:MAX_WORDS_BYTES].decode(errors="replace").partition("\n")
    sentence, _, hint = rest.partition("\n")
    if not code.isascii() or not code.isdigit() or not 1 <= len(code) <= 3 or int(code) > 255:
        raise ProtocolError("a TLS frame refuses, and says no exit code")
    return int(code), " ".join(sentence.split()), " ".join(hint.split())
