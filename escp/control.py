"""Messages of the control channel: bytes <-> tuples. Pure, bounded, and the only reader and writer of them.

A message is a 4-byte big-endian length and a JSON object with a `type` (docs/protocol.md 3). Unknown
fields are ignored, so that a later minor version can add some; a missing or wrongly typed one is an error.
"""

import json
from collections import namedtuple

from escp.constants import MARKER, MAX_MESSAGE_BYTES, MAX_NOISE_BYTES
from escp.errors import AgentError, ProtocolError

_LENGTH_BYTES = 4


# namedtuple, because the import of typing costs 3 ms at every start of an agent.


class Hello(namedtuple("Hello", "major minor version features")):
    """The agent's first message, and the initiator's answer to it."""

    __slots__ = ()
    major: int
    minor: int
    version: str
    features: list[str]


class Session(
    namedtuple(
        "Session",
        "secret target n_sources is_directory n_streams block_bytes port n_ports engine "
        "is_direct has_checksum has_compression keeps_attributes",
    )
):
    """What the initiator wants; the only message that holds a secret. Byte strings travel as hex.

    `n_sources` above 1 only tells that there are several; `is_directory` is about a single one.
    """

    __slots__ = ()
    secret: bytes
    target: bytes
    n_sources: int
    is_directory: bool
    n_streams: int
    block_bytes: int
    port: int
    n_ports: int
    engine: str
    is_direct: bool
    has_checksum: bool
    has_compression: bool
    keeps_attributes: bool

    def __repr__(self) -> str:
        return f"Session(target={self.target!r})"


class Listening(namedtuple("Listening", "addresses port n_streams target_is_directory")):
    """The agent is ready for the streams; `target_is_directory`: the sources' names go below the target."""

    __slots__ = ()
    addresses: list[str]
    port: int
    n_streams: int
    target_is_directory: bool


class Result(
    namedtuple("Result", "files directories failed bytes bytes_network bytes_disk bytes_compressed")
):
    """The agent's own account of what it did."""

    __slots__ = ()
    files: int
    directories: int
    failed: int
    bytes: int
    bytes_network: int
    bytes_disk: int
    bytes_compressed: int


class Error(namedtuple("Error", "exit_code message hint")):
    """The agent can't go on; `exit_code` as in escp.errors."""

    __slots__ = ()
    exit_code: int
    message: str
    hint: str


class KeepAlive(namedtuple("KeepAlive", "")):
    """Nothing happened, and its author is alive."""

    __slots__ = ()


class Bye(namedtuple("Bye", "")):
    """The initiator needs nothing more."""

    __slots__ = ()


Message = Hello | Session | Listening | Result | Error | KeepAlive | Bye

_TYPES: dict[str, type[Message]] = {
    "hello": Hello,
    "session": Session,
    "listening": Listening,
    "result": Result,
    "error": Error,
    "keepalive": KeepAlive,
    "bye": Bye,
}
_NAMES = {cls: name for name, cls in _TYPES.items()}
_MAX_INT = 1 << 63


def encode(message: Message) -> bytes:
    """The message as it goes over the wire, with its length."""
    fields = {k: v.hex() if isinstance(v, bytes) else v for k, v in message._asdict().items()}
    body = json.dumps({"type": _NAMES[type(message)], **fields}).encode()
    if len(body) > MAX_MESSAGE_BYTES:
        raise ProtocolError("a control message is too long")
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


def _check(name: str, wanted: object, value: object) -> object:
    if wanted is bytes and isinstance(value, str):
        try:
            return bytes.fromhex(value)
        except ValueError:
            pass
    elif (
        (wanted is int and type(value) is int and 0 <= value < _MAX_INT)
        or (wanted in (str, bool) and type(value) is wanted)
        or (
            wanted == list[str]
            and type(value) is list
            and len(value) <= 64
            and all(type(v) is str for v in value)
        )
    ):
        return value
    raise ProtocolError(f"the peer's control message has a wrong {name!r}")


def decode(body: bytes) -> Message:
    """The message of one JSON body; raises ProtocolError."""
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError) as e:
        raise ProtocolError("the peer's control message is no JSON") from e
    name = fields.get("type") if isinstance(fields, dict) else None
    cls = _TYPES.get(name) if isinstance(name, str) else None
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
    """Skips what login scripts print before the agent's marker; keeps the end of it for an error message."""

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
