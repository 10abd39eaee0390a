"""Messages of the control channel: bytes <-> tuples. Pure, bounded, and the only reader and writer of them.

A message is a 4-byte big-endian length and a JSON object with a `type` (docs/protocol.md 3). Unknown
fields are ignored, so that a later minor version can add some; a missing or wrongly typed one is an error.
"""

import json
from typing import NamedTuple

from escp.constants import MARKER, MAX_MESSAGE_BYTES, MAX_NOISE_BYTES
from escp.errors import AgentError, ProtocolError

_LENGTH_BYTES = 4


class Hello(NamedTuple):
    """The agent's first message, and the initiator's answer to it."""

    major: int
    minor: int
    version: str
    features: list


class Session(NamedTuple):
    """What the initiator wants; the only message that holds a secret. Byte strings travel as hex.

    `n_sources` above 1 only tells that there are several; `is_directory` is about a single one.
    """

    secret: bytes
    target: bytes
    n_sources: int
    is_directory: bool
    n_streams: int
    block_bytes: int
    port: int
    n_ports: int
    engine: str
    aead: str
    is_direct: bool
    has_checksum: bool
    has_compression: bool
    keeps_attributes: bool

    def __repr__(self) -> str:
        return f"Session(target={self.target!r})"


class Listening(NamedTuple):
    """The agent is ready for the streams; `target_is_directory`: the sources' names go below the target."""

    addresses: list
    port: int
    n_streams: int
    target_is_directory: bool


class Result(NamedTuple):
    """The agent's own account of what it did."""

    files: int
    directories: int
    failed: int
    bytes: int
    bytes_network: int
    bytes_disk: int
    bytes_compressed: int


class Error(NamedTuple):
    """The agent can't go on; `exit_code` as in escp.errors."""

    exit_code: int
    message: str
    hint: str


class KeepAlive(NamedTuple):
    """Nothing happened, and its author is alive."""


class Bye(NamedTuple):
    """The initiator needs nothing more."""


Message = Hello | Session | Listening | Result | Error | KeepAlive | Bye

_TYPES = {"hello": Hello, "session": Session, "listening": Listening, "result": Result, "error": Error,
          "keepalive": KeepAlive, "bye": Bye}  # fmt: skip
_NAMES = {cls: name for name, cls in _TYPES.items()}
_MAX_INT = 1 << 63


def encode(message: Message) -> bytes:
    """The message as it goes over the wire, with its length."""
    fields = {k: v.hex() if isinstance(v, bytes) else v for k, v in message._asdict().items()}
    body = json.dumps({"type": _NAMES[type(message)], **fields}).encode()
    if len(body) > MAX_MESSAGE_BYTES:
        raise ProtocolError("a control message is too long")
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


def _check(name: str, wanted: type, value: object) -> object:
    if wanted is bytes and isinstance(value, str):
        try:
            return bytes.fromhex(value)
        except ValueError:
            pass
    elif wanted is int and type(value) is int and 0 <= value < _MAX_INT:
        return value
    elif wanted in (str, bool) and type(value) is wanted:
        return value
    elif wanted is list and type(value) is list and len(value) <= 64 and all(type(v) is str for v in value):
        return value
    raise ProtocolError(f"the peer's control message has a wrong {name!r}")


def decode(body: bytes) -> Message:
    """The message of one JSON body; raises ProtocolError."""
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError) as e:
        raise ProtocolError("the peer's control message is no JSON") from e
    cls = _TYPES.get(fields.get("type")) if isinstance(fields, dict) and isinstance(fields.get("type"), str) else None
    if cls is None:
        raise ProtocolError("the peer sent a control message of an unknown type")
    return cls(*(_check(k, t, fields.get(k)) for k, t in cls.__annotations__.items()))


class Decoder:
    """Cuts a byte stream into messages. `feed` what was read; it returns the messages now complete."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        self._buffer += data
        messages = []
        while len(self._buffer) >= _LENGTH_BYTES:
            n = int.from_bytes(self._buffer[:_LENGTH_BYTES], "big")
            if n > MAX_MESSAGE_BYTES:
                raise ProtocolError(f"the peer announced a control message of {n} bytes")
            if len(self._buffer) < _LENGTH_BYTES + n:
                break
            messages.append(decode(bytes(self._buffer[_LENGTH_BYTES : _LENGTH_BYTES + n])))
            del self._buffer[: _LENGTH_BYTES + n]
        return messages


class NoiseSkipper:
    """Skips what login scripts print before the agent's marker, and keeps the end of it for an error message."""

    KEPT_BYTES = 2000

    def __init__(self) -> None:
        self._tail = b""
        self._n_noise = 0
        self.is_past_marker = False

    @property
    def noise(self) -> bytes:
        """The last of what came before the marker."""
        return self._tail[-self.KEPT_BYTES :].strip()

    def feed(self, data: bytes) -> bytes:
        """What of *data* lies behind the marker; raises AgentError when there is too much noise."""
        if self.is_past_marker:
            return data
        before, marker, behind = (self._tail + data).partition(MARKER)
        if marker:
            self.is_past_marker = True
            self._tail = before
            return behind
        self._n_noise += len(data)
        if self._n_noise > MAX_NOISE_BYTES:
            raise AgentError(f"the remote host printed {MAX_NOISE_BYTES >> 20} MiB and no escp answered")
        self._tail = before[-max(self.KEPT_BYTES, len(MARKER)) :]
        return b""
