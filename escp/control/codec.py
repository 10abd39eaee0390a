"""Messages of the control channel: bytes <-> records. Pure, bounded, and the only reader and writer of them.

A message is a 4-byte big-endian length and a JSON object with a `type` (docs/protocol.md 3), or a chunk of a
tunnelled stream. A later minor version can add fields: unknown ones are ignored, and one that has a default
in `messages` may be missing: an older peer does not send it. Any other missing or wrongly typed one is an
error.
"""

from escp.constants import MAX_CHUNK_BYTES, MAX_MESSAGE_BYTES
from escp.control.message import TYPES, Message
from escp.errors import MAX_ERRNO, ProtocolError
from escp.lean.plainjson import read_json, write_json

_LENGTH_BYTES = 4
_IS_CHUNK = 1 << 31  # in the length: not JSON but a stream's number and its bytes
_MAX_INT = 1 << 63
_MAX_ITEMS = 4096  # of a list
_ERRNOS = ("sys_errno", "errnos")  # fields of several messages


def _wire_name(cls: type[Message], name: str) -> tuple[str, bool]:
    """What a field is called in the JSON, and whether it says the opposite there."""
    wire = getattr(cls, "wire_names", {}).get(name, name)
    return wire.lstrip("!"), wire[0] == "!"


def _to_json(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    return [_to_json(item) for item in value] if isinstance(value, list) else value


def encode(message: Message) -> bytes:
    """The message as it goes over the wire, with its length."""
    if not message.is_json:
        stream, data = message
        return (_IS_CHUNK | (1 + len(data))).to_bytes(_LENGTH_BYTES, "big") + bytes((stream,)) + bytes(data)
    fields = {}
    for name, value in message._asdict().items():
        if value != message._defaults.get(name):
            key, is_opposite = _wire_name(type(message), name)
            fields[key] = not value if is_opposite else _to_json(value)
    body = write_json({"type": type(message).__name__.lower(), **fields}).encode()
    if len(body) > MAX_MESSAGE_BYTES:
        raise ProtocolError("a control message is too long")
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


def _check(name: str, wanted: object, value: object, peer: str) -> object:
    """The value of field *name*, which must have the type *wanted*. Raises ProtocolError where it has not."""
    if wanted is bytes and isinstance(value, str):
        try:
            return bytes.fromhex(value)
        except ValueError:
            pass
    elif (wanted is int and type(value) is int and 0 <= value < _MAX_INT) or (
        wanted in (str, bool) and type(value) is wanted
    ):
        return value
    elif type(value) is list and len(value) <= _MAX_ITEMS and wanted in _ITEM_TYPES:
        return [_check(name, _ITEM_TYPES[wanted], item, peer) for item in value]
    raise ProtocolError(f"{peer} sent a control message with a wrong {name!r}")


def _check_errnos(name: str, value: object, peer: str) -> None:
    """Who gets one asks the system for its words, which takes no other number."""
    if not all(type(one) is int and one <= MAX_ERRNO for one in (value if type(value) is list else [value])):
        raise ProtocolError(f"{peer} sent a control message with a wrong {name!r}")


_ITEM_TYPES: dict[object, type] = {list[str]: str, list[bytes]: bytes, list[int]: int}


def _take(cls: type[Message], name: str, fields: dict[str, object], peer: str) -> object:
    """The value of a message's field."""
    key, is_opposite = _wire_name(cls, name)
    if key not in fields and name in cls._defaults:
        return cls._defaults[name]
    value = _check(key, cls.__annotations__[name], fields.get(key), peer)
    if name in _ERRNOS:
        _check_errnos(name, value, peer)
    return not value if is_opposite else value


def decode(body: bytes, peer: str = "the peer") -> Message:
    """The message of one JSON body; raises ProtocolError, which names *peer*."""
    from escp.control.messages import FileFailed  # not at the top: who says hello has read nothing yet

    try:
        fields = read_json(body)
    except (ValueError, RecursionError) as e:
        raise ProtocolError(f"{peer} sent a control message that is no JSON") from e
    if not isinstance(fields, dict):
        fields = {}
    name = fields.get("type")
    cls = _find_kind(name) if isinstance(name, str) else None
    if cls is None:
        raise ProtocolError(f"{peer} sent a control message of an unknown type")
    message = cls._make(_take(cls, name, fields, peer) for name in cls._fields)
    if isinstance(message, FileFailed) and not _is_failure(message):
        raise ProtocolError(f"{peer} tells of a failure that there is none of")
    return message


def _find_kind(name: str) -> type[Message] | None:
    if name not in TYPES:
        # Not at the top: most copies have none of these.
        from escp.control import deletion as deletion
        from escp.control import questions as questions
        from escp.control import survey as survey
    return TYPES.get(name)


def _is_failure(message: Message) -> bool:
    from escp.failures import is_failure  # not at the top: an agent's hello goes before all failures

    return is_failure(*message[:4])


class Decoder:
    """Cuts a byte stream into messages. `feed` what was read; it returns the messages now complete."""

    def __init__(self, peer: str = "the peer") -> None:
        """*peer*: who errors are about."""
        self._peer = peer
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        self._buffer += data
        messages: list[Message] = []
        start = 0
        while len(self._buffer) - start >= _LENGTH_BYTES:
            n = int.from_bytes(self._buffer[start : start + _LENGTH_BYTES], "big")
            is_chunk = n & _IS_CHUNK
            n &= ~_IS_CHUNK
            if n > (1 + MAX_CHUNK_BYTES if is_chunk else MAX_MESSAGE_BYTES) or (is_chunk and n < 2):
                raise ProtocolError(f"{self._peer} announced a control message of {n} bytes")
            at = start + _LENGTH_BYTES
            if len(self._buffer) < at + n:
                break
            if is_chunk:
                from escp.control.messages import Chunk  # not at the top, as in `decode`

                messages.append(Chunk(self._buffer[at], bytes(self._buffer[at + 1 : at + n])))
            else:
                messages.append(decode(bytes(self._buffer[at : at + n]), self._peer))
            start = at + n
        del self._buffer[:start]
        return messages
