"""Messages of the control channel: what is sent comes back, and nothing hostile gets through."""

import json
from pathlib import Path

import pytest

from escp.constants import MARKER, MAX_CHUNK_BYTES, MAX_MESSAGE_BYTES, MAX_NOISE_BYTES
from escp.control import deletion as deletion  # so that TYPES has all
from escp.control import questions
from escp.control import survey as survey
from escp.control.codec import Decoder, decode, encode
from escp.control.messages import (
    TYPES,
    Accept,
    Allow,
    Allowed,
    Begin,
    Bye,
    Carry,
    Chunk,
    Credit,
    Ended,
    Error,
    Expect,
    Expected,
    FileFailed,
    Files,
    Hello,
    KeepAlive,
    Leave,
    Link,
    Listed,
    Listening,
    Opened,
    Progress,
    Receive,
    Relay,
    Result,
    Roots,
    Send,
    Sources,
    Tunnel,
)
from escp.control.noise import NoiseSkipper
from escp.errors import AgentError, ProtocolError
from escp.lean.record import Record

HELLO = Hello(1, 0, "0.1.0", ["zstd"])
LINK = Link(
    secret=bytes(range(32)), mode="listen", n_streams=4, block_bytes=1 << 20, limit_bytes_per_s=0,
    addresses=["192.0.2.1"], port=1232, n_ports=11, patience_s=5, is_relayed=True, speaks_first=False,
)  # fmt: skip
RECEIVE = Receive(
    target=b"/tmp/\xff\x00\n", n_sources=2, is_directory=True, engine="posix", is_direct=True,
    has_checksum=True, has_compression=False, is_recursive=True, has_roots=False, keeps_attributes=False,
    keeps_owner=False, keeps_xattrs=False, keeps_acls=False, keeps_links=True, keeps_hard_links=False,
    is_sparse=False, keeps_devices=False, selection="changed", compares_digests=False,
    is_dry_run=False,
)  # fmt: skip
MESSAGES = [
    HELLO,
    LINK,
    RECEIVE,
    Opened(True, False),
    Sources([b"a", b"", b"\xff\n/*"], False),
    Roots([0, 0, 1], [b"a", b"b", b"c"], [0, 1, 0], True, False),
    Accept([b"x/y", b""]),
    Allow([b"x"], [1]),
    Allowed(),
    Listening(["192.0.2.1", "2001:db8::1"], 1232, 4),
    Listening([], 1, 1),
    Listening([], 0, 1, "no free port"),
    Relay(bytes(32)),
    Tunnel(),
    Credit(3, 65536),
    Chunk(63, b"\x00" * MAX_CHUNK_BYTES),
    Chunk(0, b"{"),
    Progress(*range(7), True, *range(4)),
    FileFailed(b"a\nb", 1, 28, "write", True),
    Listed([b"a/"]),
    Result(1, 2, 3, 4, 5, 6, (1 << 63) - 1),
    Error(15, "no space left on device", ""),
    Error(1, "ünï \x1b \ud800 \udcff", "hint"),
    KeepAlive(),
    Bye(),
    Expect([b"a/\xff"], [bytes(16)]),
    Expected(),
    Carry(),
    Begin(63),
    Leave(0),
    Ended(5, 255, "too many processes"),
    Files(),
    questions.Look(b"a", True),
    questions.List(b""),
    questions.More(),
    questions.Entries([b"\xff"], *[[n] for n in range(7)], [b"target"], False),
    questions.Change("rename", b"a", b"b"),
    questions.Changed(17, b"b"),
    questions.Digest(b"a"),
    questions.Digested(bytes(16), 7),
    questions.Read(b"a", (1 << 63) - 1, questions.MAX_READ_BYTES),
    questions.Piece(bytes(questions.MAX_READ_BYTES), 7, b"(1, 2)"),
    questions.Store(b"a", bytes(questions.MAX_READ_BYTES), bytes(16), True),
    questions.Stored(0),
]


def frame(value: object) -> bytes:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return len(body).to_bytes(4, "big") + body


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_message_survives_the_way(message):
    assert Decoder().feed(encode(message)) == [message]


def test_messages_are_found_however_they_are_cut():
    data = b"".join(map(encode, MESSAGES))
    for step in (1, 7, 100, len(data)):
        decoder = Decoder()
        found = [m for at in range(0, len(data), step) for m in decoder.feed(data[at : at + step])]
        assert found == MESSAGES


def test_half_a_message_is_waited_for():
    decoder = Decoder()
    data = encode(HELLO)
    assert decoder.feed(data[:-1]) == []
    assert decoder.feed(data[-1:] + encode(Bye())) == [HELLO, Bye()]


SEND = Send(
    engine="posix", is_direct=True, has_checksum=True, has_compression=False, is_recursive=True,
    keeps_links=True, keeps_hard_links=False, keeps_xattrs=False, keeps_acls=False, keeps_owner_names=False,
    is_sparse=True, keeps_devices=False, filters=[], selection="all", compares_digests=False,
    is_dry_run=False,
)  # fmt: skip


@pytest.mark.parametrize(
    ("order", "on_the_wire"),
    [(SEND, {"follows_links": False, "finds_holes": True, "sends_devices": False, "keeps_hard_links": False}),
     (SEND._replace(keeps_links=False, keeps_devices=True), {"follows_links": True, "sends_devices": True}),
     (RECEIVE, {"makes_links": True, "makes_hard_links": False, "makes_sparse": False}),
     (RECEIVE._replace(keeps_hard_links=True, is_sparse=True, keeps_devices=True),
      {"makes_hard_links": True, "makes_sparse": True, "makes_devices": True})],
)  # fmt: skip
def test_fields_have_the_names_of_version_1_0_on_the_wire(order, on_the_wire):
    fields = json.loads(encode(order)[4:])
    assert {**fields, **on_the_wire} == fields
    assert not {"keeps_links", "is_sparse", "keeps_devices"} & set(fields)
    assert decode(encode(order)[4:]) == order


def test_unknown_fields_are_ignored():
    fields = {"type": "hello", **HELLO._asdict(), "moon": "full", "features": ["zstd"]}
    assert decode(json.dumps(fields).encode()) == HELLO


def test_unknown_features_are_kept():
    assert decode(json.dumps({"type": "hello", **HELLO._asdict(), "features": ["x"] * 64}).encode())


def test_secret_is_not_in_repr():
    assert LINK.secret.hex() not in repr(LINK) and repr(LINK.secret) not in repr(LINK)
    assert repr(LINK.secret) not in f"{LINK!s} {[LINK]}"
    relay = Relay(LINK.secret)
    assert (
        relay.secret.hex() not in repr(relay) and repr(relay.secret) not in f"{relay!r} {relay!s} {[relay]}"
    )


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"1", b'"hello"', b"{}", b'{"type": 1}', b'{"type": null}', b'{"type": []}',
     b'{"type": "reboot"}', b'{"type": "hello"}', b"\xff\xfe", b"\x00" * 10, b"[" * 100_000,
     b'{"a":' * 50_000, b'{"type": "hello", "type": "bye", "type": "x"}', b"NaN", b"1e999", b"9" * 5000],
)  # fmt: skip
def test_what_is_no_message_is_refused(body):
    with pytest.raises(ProtocolError):
        Decoder().feed(frame(body))


@pytest.mark.parametrize(
    "wrong",
    [{"major": "1"}, {"major": -1}, {"major": 1.0}, {"major": True}, {"major": None}, {"major": 1 << 63},
     {"version": 1}, {"version": None}, {"features": "zstd"}, {"features": [1]}, {"features": ["x"] * 4097},
     {"features": {"zstd": 1}}, {"features": [["zstd"]]}],
)  # fmt: skip
def test_wrong_field_of_a_hello_is_named(wrong):
    with pytest.raises(ProtocolError, match=next(iter(wrong))):
        decode(json.dumps({"type": "hello", **HELLO._asdict(), **wrong}).encode())


@pytest.mark.parametrize(
    "message",
    [Roots([0], [b"a"], [0], False, True, [1 << 40]), Roots([0], [b"a"], [0], False, True, [4096]),
     questions.Changed(1 << 40), deletion.Compared(1, True, b"", 1 << 62)],
)  # fmt: skip
def test_error_number_that_no_system_has_is_refused(message):
    """Else whoever asks for its words fails, and not the peer."""
    with pytest.raises(ProtocolError, match="errno"):
        decode(encode(message)[4:])


@pytest.mark.parametrize("secret", ["xyz", "abc", "0x00", " 00", 1, None, ["00"]])
def test_bytes_are_hexadecimal(secret):
    fields = json.loads(encode(LINK)[4:])
    if secret == " 00":  # Python lets spaces pass; the length is checked by the agent
        return
    with pytest.raises(ProtocolError, match="secret"):
        decode(json.dumps({**fields, "secret": secret}).encode())


@pytest.mark.parametrize("name", [name for name in LINK._fields if name in json.loads(encode(LINK)[4:])])
def test_missing_field_is_named(name):
    fields = json.loads(encode(LINK)[4:])
    del fields[name]
    with pytest.raises(ProtocolError, match=name):
        decode(json.dumps(fields).encode())


def test_missing_field_has_its_default_where_there_is_one(monkeypatch):
    """What a minor version adds is missing in what an older peer sends."""

    class Newer(Record):
        old: int
        new: bytes = b"default"

    monkeypatch.setitem(TYPES, "newer", Newer)
    assert decode(b'{"type": "newer", "old": 1}') == Newer(1, b"default")
    assert decode(b'{"type": "newer", "old": 1, "new": "00"}') == Newer(1, b"\0")
    for wrong in (b'"new": null', b'"new": 1', b'"new": ["00"]'):
        with pytest.raises(ProtocolError, match="new"):
            decode(b'{"type": "newer", "old": 1, ' + wrong + b"}")
    with pytest.raises(ProtocolError, match="old"):
        decode(b'{"type": "newer"}')


def test_length_beyond_the_bound_is_refused_before_it_arrives():
    with pytest.raises(ProtocolError, match=str(MAX_MESSAGE_BYTES + 1)):
        Decoder().feed((MAX_MESSAGE_BYTES + 1).to_bytes(4, "big"))
    assert Decoder().feed(MAX_MESSAGE_BYTES.to_bytes(4, "big")) == []


@pytest.mark.parametrize("n", [0, 1, MAX_CHUNK_BYTES + 2])
def test_chunk_without_bytes_or_too_long_is_refused_before_it_arrives(n):
    with pytest.raises(ProtocolError):
        Decoder().feed((1 << 31 | n).to_bytes(4, "big"))


@pytest.mark.parametrize("name", ["sources", "names", "directories"])
def test_items_of_lists_are_checked(name):
    fields = json.loads(encode(Roots([0], [b"a"], [0], False, True))[4:])
    with pytest.raises(ProtocolError, match=name):
        decode(json.dumps({**fields, name: [None]}).encode())


def test_too_long_a_message_is_not_sent():
    with pytest.raises(ProtocolError):
        encode(Error(1, "x" * MAX_MESSAGE_BYTES, ""))


# ---- Noise ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "noise", [b"", b"Welcome!\n", b"\x00\xff" * 1000, MARKER[:-2], MARKER[:10] * 50, b"\n" * 5000]
)
@pytest.mark.parametrize("step", [1, 5, 4096, 1 << 20])
def test_marker_is_found_behind_any_noise(noise, step):
    skipper = NoiseSkipper()
    data = noise + MARKER + b"behind" + MARKER
    got = b""
    for at in range(0, len(data), step):
        got += skipper.feed(data[at : at + step])
    assert got == b"behind" + MARKER
    assert skipper.is_past_marker
    assert noise.strip().endswith(skipper.noise)
    assert len(skipper.noise) >= min(len(noise.strip()), NoiseSkipper.KEPT_BYTES - len(MARKER))


def test_only_the_end_of_noise_is_kept():
    skipper = NoiseSkipper()
    for _ in range(100):
        assert skipper.feed(b"x" * 10_000) == b""
    skipper.feed(b"the reason")
    assert skipper.noise.endswith(b"the reason") and len(skipper.noise) == NoiseSkipper.KEPT_BYTES
    assert not skipper.is_past_marker


def test_endless_noise_is_refused():
    skipper = NoiseSkipper()
    with pytest.raises(AgentError, match="16 MiB"):
        for _ in range(MAX_NOISE_BYTES // 65536 + 1):
            skipper.feed(b"x" * 65536)


@pytest.mark.parametrize("name", TYPES)
def test_message_and_its_fields_are_documented(name):
    text = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
    cls = TYPES[name]
    words = [name, *(cls.wire_names.get(field, field).lstrip("!") for field in cls._fields)]
    assert [word for word in words if f"`{word}`" not in text] == []
