"""Writes the vectors beside it: docs/protocol.md in terms of `cryptography`, `xxhash` and struct; no escp.

    python tests/vectors/make.py

The digests need the PyPI package xxhash (they were made with 4.1.0), which escp does not need: `pip install
--target /tmp/x xxhash`, then PYTHONPATH=/tmp/x. Without it digests.json is left as it is.
The results are checked in: a change of one byte is a change of the protocol.
"""

import json
import struct
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

HERE = Path(__file__).parent
SECRET = bytes(range(32))
OTHER_SECRET = bytes(range(255, 223, -1))
BLOCK = 1 << 18
TO_RECEIVER, TO_SENDER = 0, 1
META, DATA = 0, 1
SLICE = 1 << 18


def derive(secret: bytes, stream: int, direction: int, epoch: int) -> tuple[bytes, bytes]:
    """Section 4.1."""
    info = b"escp/1 data" + struct.pack(">IBI", stream, direction, epoch)
    material = HKDF(SHA256(), 20, salt=None, info=info).derive(secret)
    return material[:16], material[16:]


def seal(
    key: tuple[bytes, bytes], kind: int, sequence: int, payload: bytes, length: int | None = None
) -> bytes:
    """Section 4.2; a wrong *length* for the vectors that are refused."""
    word = kind << 63 | (len(payload) if length is None else length) << 36 | sequence
    iv = word.to_bytes(8, "big")
    return iv + AESGCM(key[0]).encrypt(key[1] + iv, payload, iv)


def meta(message: int, count: int, body: bytes, flags: int = 0, raw_bytes: int | None = None) -> bytes:
    return struct.pack(">BBHI", message, flags, count, len(body) if raw_bytes is None else raw_bytes) + body


def entry(
    kind,
    id,
    path,
    size=0,
    mode=0o644,
    flags=0,
    mtime=(0, 0),
    atime=(0, 0),
    uid=0,
    gid=0,
    digest=bytes(16),
    extras=b"",
):
    fixed = struct.pack(
        ">BBHIQQqqIIII",
        kind,
        flags,
        len(path),
        mode,
        id,
        size,
        mtime[0],
        atime[0],
        mtime[1],
        atime[1],
        uid,
        gid,
    )
    return fixed + digest + path + (struct.pack(">I", len(extras)) + extras if extras else b"")


def extra(kind: int, value: bytes) -> bytes:
    """Section 5.10."""
    return (kind << 24 | len(value)).to_bytes(4, "big") + value


def xattr(name: bytes, value: bytes) -> bytes:
    return extra(2, bytes([len(name)]) + name + value)


def result(id, code=0, flags=0, sys_errno=0, digest=bytes(16)):
    return struct.pack(">QBBHI", id, code, flags, 0, sys_errno) + digest


def kept(id, *blocks):
    """Section 5.11: number and digest of each."""
    return meta(6, len(blocks), struct.pack(">Q", id) + b"".join(struct.pack(">Q", n) + d for n, d in blocks))


def stamps(*files):
    """Section 5.12: id and stamp of each."""
    return meta(7, len(files), b"".join(struct.pack(">QQ", *one) for one in files))


def data_header(id, offset, raw_bytes, flags=0):
    return struct.pack(">QQII40x", id, offset, raw_bytes, flags)


HELLO = meta(1, 1, struct.pack(">II", 4, 1 << 20))
END = meta(4, 1, struct.pack(">QQ", 4, 1))
TAKEN = meta(5, 1, struct.pack(">QQ", 1, 0))
ENTRIES = meta(2, 1, entry(1, 16384, b"a", 4, digest=bytes(range(16))))
BUNDLE = data_header(0, 0, 4, 1) + b"data"


def make_keys() -> list[dict]:
    cases = [
        (SECRET, 0, 0, 0),
        (SECRET, 0, 1, 0),
        (SECRET, 1, 0, 0),
        (SECRET, 63, 1, 0),
        (SECRET, 0, 0, 1),
        (SECRET, 7, 1, 65535),
        (SECRET, 7, 1, 65536),
        (SECRET, 63, 0, (1 << 32) - 1),
        (OTHER_SECRET, 0, 0, 0),
        (bytes(32), 0, 0, 0),
    ]
    made = []
    for secret, stream, direction, epoch in cases:
        key, salt = derive(secret, stream, direction, epoch)
        made.append(
            {
                "secret": secret.hex(),
                "stream": stream,
                "direction": direction,
                "epoch": epoch,
                "key": key.hex(),
                "salt": salt.hex(),
            }
        )
    return made


def make_stream(
    name, payloads, *, stream=0, direction=TO_RECEIVER, connection=0, epoch_limit=64 << 30
) -> dict:
    """A run of frames of one direction; epochs change as section 4.3 says."""
    epoch, sequence, n_bytes, frames = connection << 16, 0, 0, []
    for kind, payload in payloads:
        if n_bytes + len(payload) > epoch_limit:
            epoch, sequence, n_bytes = epoch + 1, 0, 0
        frame = seal(derive(SECRET, stream, direction, epoch), kind, sequence, payload)
        frames.append(
            {
                "is_data": bool(kind),
                "epoch": epoch,
                "sequence": sequence,
                "payload": payload.hex(),
                "frame": frame.hex(),
            }
        )
        sequence, n_bytes = sequence + 1, n_bytes + len(payload)
    return {
        "name": name,
        "secret": SECRET.hex(),
        "stream": stream,
        "direction": direction,
        "connection": connection,
        "block_bytes": BLOCK,
        "epoch_limit": epoch_limit,
        "frames": frames,
    }


def make_frames() -> list[dict]:
    whole = [(META, HELLO), (META, ENTRIES), (DATA, BUNDLE), (META, END)]
    answers = [(META, HELLO), (META, meta(3, 1, result(16384, digest=bytes(range(16))))), (META, END)]
    again = [(META, HELLO), (META, TAKEN), (DATA, BUNDLE), (META, END)]
    sizes = [(DATA, bytes(i % 251 for i in range(n))) for n in (0, 1, 15, 16, 17, 255, 256, 257, 1000, 4160)]
    steps = [(META, bytes([n]) * n) for n in (60, 40, 1, 99, 100, 101, 3)]
    return [
        make_stream("a stream, to the receiver", whole),
        make_stream("the same stream, to the sender", answers, direction=TO_SENDER),
        make_stream("another stream", whole, stream=63),
        make_stream("second connection of a stream", again, stream=2, connection=1),
        make_stream("lengths of payload", sizes, stream=1),
        make_stream("epochs of 100 bytes", steps, epoch_limit=100),
    ]


def make_payloads() -> dict:
    digest = bytes(range(16, 32))
    entries = [
        {"kind": 1, "id": 16384, "path": b"a", "size": 4, "mode": 0o644, "digest": digest},
        {
            "kind": 2,
            "id": 1 << 40,
            "path": b"d/\xff\n",
            "size": (1 << 63) - 1,
            "mode": 0o7777,
            "uid": 1,
            "gid": 2,
            "mtime": (1 << 31, 999_999_999),
            "atime": (-1, 5),
        },
        {"kind": 3, "id": (1 << 64) - 1, "path": b"", "size": 1, "flags": 1, "digest": b"\xff" * 16},
        {"kind": 4, "id": 1, "path": b"/".join([b"n" * 255] * 16)[:4095], "mode": 0o755},
        {
            "kind": 1,
            "id": 2,
            "path": b"x",
            "flags": 2,
            "extras": extra(3, b"root")
            + extra(4, b"staff")
            + xattr(b"user.a", b"\0value")
            + xattr(b"system.posix_acl_access", b"\2\0\0\0"),
        },
        {"kind": 2, "id": 3, "path": b"x", "size": 1 << 40, "flags": 4},
        {"kind": 3, "id": 3, "path": b"x", "flags": 6, "extras": xattr(b"trusted.x", b"")},
        {"kind": 5, "id": 4, "path": b"x", "mode": 0o777, "flags": 2, "extras": extra(1, b"/../\xff\n")},
        {"kind": 6, "id": 5, "path": b"y", "flags": 2, "extras": extra(1, b"a/x")},
        {
            "kind": 7,
            "id": 6,
            "path": b"z",
            "flags": 2,
            "extras": extra(5, struct.pack(">BII", 2, 259, 1 << 19)),
        },
        {"kind": 8, "id": 32769, "path": b"d/q", "size": 9, "mtime": (1 << 31, 1)},
        {"kind": 8, "id": 2, "path": b"d", "mode": 0o755, "flags": 128},
        {
            "kind": 8,
            "id": 3,
            "path": b"d/link",
            "flags": 2,
            "extras": extra(1, b"../x") + extra(3, b"root"),
        },
        {"kind": 9, "id": 7, "path": b"d/gone", "mode": 0},
        {"kind": 10, "id": 0, "path": b"d", "mode": 0o750},
        {
            "kind": 2,
            "id": 16384,
            "path": b"x",
            "size": 5 << 20,
            "flags": 2 | 16,
            "extras": extra(6, struct.pack(">QqI", 1 << 40, -1, 999_999_999)),
        },
        {"kind": 3, "id": 16384, "path": b"x", "flags": 16, "digest": digest},
        {"kind": 8, "id": 9, "path": b"d/q", "flags": 32, "digest": bytes(8) + digest[:8]},
    ]
    return {
        "preamble": [
            {
                "stream": stream,
                "connection": connection,
                "bytes": (b"ESCP" + struct.pack(">BBHII", 1, 0, stream, connection, 0)).hex(),
            }
            for stream, connection in ((5, 0), (0, 1), (63, 65535))
        ],
        "hello": [
            {"n_streams": 4, "block_bytes": 1 << 20, "payload": HELLO.hex()},
            {
                "n_streams": 64,
                "block_bytes": 1 << 25,
                "payload": meta(1, 1, struct.pack(">II", 64, 1 << 25)).hex(),
            },
        ],
        "entries": [
            {
                "entries": [{k: v.hex() if isinstance(v, bytes) else v for k, v in e.items()} for e in group],
                "payload": meta(2, len(group), b"".join(entry(**e) for e in group)).hex(),
            }
            for group in ([], *([e] for e in entries), entries)
        ],
        "result": [
            {
                "id": id,
                "code": code,
                "flags": flags,
                "errno": number,
                "digest": digest.hex(),
                "bytes": result(id, code, flags, number, digest).hex(),
            }
            for id, code, flags, number in (
                (16384, 0, 0, 0),
                (1, 1, 1, 28),
                ((1 << 64) - 1, 20, 0, 4095),
                (16385, 0, 2, 0),
                (16386, 0, 4, 0),
                (16387, 33, 0, 1),
                (16388, 63, 0, 95),
            )
        ],
        "data_header": [
            {
                "id": id,
                "offset": offset,
                "raw_bytes": n,
                "flags": flags,
                "bytes": data_header(id, offset, n, flags).hex(),
            }
            for id, offset, n, flags in (
                (0, 0, 1, 1),
                (16384, BLOCK, BLOCK, 0),
                (7, (1 << 63) - BLOCK, 9, 2),
                (0, 0, BLOCK, 3),
            )
        ],
        "kept": [
            {
                "id": 16384,
                "blocks": [{"number": number, "digest": digest.hex()} for number, digest in blocks],
                "payload": kept(16384, *blocks).hex(),
            }
            for blocks in ([(0, digest)], [(0, b"\xff" * 15 + b"\0"), (2, digest), (1000, bytes(16))])
        ],
        "stamps": [
            {
                "files": [{"id": id, "stamp": stamp} for id, stamp in files],
                "payload": stamps(*files).hex(),
            }
            for files in ([(16384, 0x0123456789ABCDEF)], [(16384, 1), (16385, (1 << 64) - 1)])
        ],
        "end": [
            {"n_bytes": 4, "n_entries": 1, "body": struct.pack(">QQ", 4, 1).hex()},
            {"n_bytes": (1 << 64) - 1, "n_entries": 0, "body": struct.pack(">QQ", (1 << 64) - 1, 0).hex()},
        ],
    }


def make_refused_frames() -> list[dict]:
    """After *before* has been opened, *frame* must be refused, always as "auth"."""
    key = derive(SECRET, 0, TO_RECEIVER, 0)
    first = seal(key, META, 0, HELLO)
    second = seal(key, META, 1, ENTRIES)
    flipped = bytearray(second)
    flipped[20] ^= 0x80
    made = {
        "replayed": ([first], first),
        "one dropped": ([first], seal(key, META, 2, ENTRIES)),
        "first is not number 0": ([], second),
        "reflected: the other direction's key": ([], seal(derive(SECRET, 0, TO_SENDER, 0), META, 0, HELLO)),
        "another stream": ([], seal(derive(SECRET, 1, TO_RECEIVER, 0), META, 0, HELLO)),
        "another session": ([], seal(derive(OTHER_SECRET, 0, TO_RECEIVER, 0), META, 0, HELLO)),
        "another connection": ([], seal(derive(SECRET, 0, TO_RECEIVER, 65536), META, 0, HELLO)),
        "epoch changed too early": ([first], seal(derive(SECRET, 0, TO_RECEIVER, 1), META, 0, ENTRIES)),
        "one bit of the payload": ([first], bytes(flipped)),
        "metadata called data": ([first], bytes([second[0] | 0x80]) + second[1:]),
        "cut": ([first], second[:-1]),
        "longer": ([first], second + b"\0"),
        "no tag": ([first], second[:-16]),
        "bit 62 set": ([first], bytes([second[0] | 0x40]) + second[1:]),
        "metadata longer than 256 KiB": ([], seal(key, META, 0, b"", BLOCK + 1)),
        "data longer than header and block": ([], seal(key, DATA, 0, b"", BLOCK + 65)),
        "longest length there is": ([], seal(key, DATA, 0, b"", (1 << 26) - 1)),
    }
    return [
        {"name": name, "failure": "auth", "before": [f.hex() for f in before], "frame": frame.hex()}
        for name, (before, frame) in made.items()
    ]


BAD_PATHS = {
    "parent": b"..",
    "parent inside": b"a/../b",
    "parent last": b"a/..",
    "itself": b".",
    "absolute": b"/a",
    "empty component": b"a//b",
    "slash at the end": b"a/",
    "NUL": b"a\0b",
    "component of 256": b"n" * 256,
    "4096 bytes": b"d/" * 2047 + b"dd",
}


TEXT = extra(1, b"y")
SOURCE = extra(6, struct.pack(">QqI", 1, 1, 1))
BAD_EXTRAS = {
    "link without its text": ("protocol", entry(5, 1, b"x")),
    "text of 4096 bytes": ("protocol", entry(5, 1, b"x", flags=2, extras=extra(1, b"n" * 4096))),
    "text with NUL": ("protocol", entry(5, 1, b"x", flags=2, extras=extra(1, b"a\0"))),
    "two texts": ("protocol", entry(5, 1, b"x", flags=2, extras=TEXT + TEXT)),
    "link with a size": ("protocol", entry(5, 1, b"x", 1, flags=2, extras=TEXT)),
    "hard link to a path above": ("unsafe", entry(6, 1, b"x", flags=2, extras=extra(1, b"../y"))),
    "hard link with attributes": (
        "protocol",
        entry(6, 1, b"x", flags=2, extras=TEXT + xattr(b"user.a", b"")),
    ),
    "device without its numbers": ("protocol", entry(7, 1, b"x")),
    "device of kind 4": (
        "protocol",
        entry(7, 1, b"x", flags=2, extras=extra(5, struct.pack(">BII", 4, 1, 1))),
    ),
    "question with an owner alone": ("protocol", entry(8, 1, b"x", flags=2, extras=extra(3, b"root"))),
    "question about a link and device": (
        "protocol",
        entry(8, 1, b"x", flags=2, extras=TEXT + extra(5, struct.pack(">BII", 3, 0, 0))),
    ),
    "question with a text and a size": ("protocol", entry(8, 1, b"x", 1, flags=2, extras=TEXT)),
    "question with an attribute": (
        "protocol",
        entry(8, 1, b"x", flags=2, extras=TEXT + xattr(b"user.a", b"")),
    ),
    "question with a source": ("protocol", entry(8, 1, b"x", flags=2, extras=TEXT + SOURCE)),
    "question about a directory with a text": ("protocol", entry(8, 1, b"x", flags=130, extras=TEXT)),
    "file with a text": ("protocol", entry(1, 1, b"x", flags=2, extras=TEXT)),
    "of a large file before its end": ("protocol", entry(2, 1, b"x", 1, flags=2, extras=extra(3, b"root"))),
    "unknown type": ("protocol", entry(1, 1, b"x", flags=2, extras=extra(7, b"y"))),
    "source of a small file": ("protocol", entry(1, 1, b"x", flags=2, extras=SOURCE)),
    "source of a large file's end": ("protocol", entry(3, 1, b"x", 1, flags=2, extras=SOURCE)),
    "two sources": ("protocol", entry(2, 1, b"x", 1, flags=2, extras=SOURCE * 2)),
    "source cut": ("protocol", entry(2, 1, b"x", 1, flags=2, extras=extra(6, bytes(19)))),
    "source that changed in a second of 1e9 ns": (
        "protocol",
        entry(2, 1, b"x", 1, flags=2, extras=extra(6, struct.pack(">QqI", 1, 1, 10**9))),
    ),
    "attribute of another name space": (
        "protocol",
        entry(1, 1, b"x", flags=2, extras=xattr(b"system.x", b"")),
    ),
    "attribute without a name": ("protocol", entry(1, 1, b"x", flags=2, extras=xattr(b"", b"y"))),
    "attribute's name cut": ("protocol", entry(1, 1, b"x", flags=2, extras=extra(2, b"\7user.a"))),
    "user of 256 bytes": ("protocol", entry(1, 1, b"x", flags=2, extras=extra(3, b"n" * 256))),
    "item cut": ("protocol", entry(1, 1, b"x", flags=2, extras=extra(3, b"root")[:-1])),
    "item's header cut": ("protocol", entry(1, 1, b"x", flags=2, extras=b"\3\0\0")),
    "flag without length": ("protocol", entry(1, 1, b"x", flags=2)),
    "none": ("protocol", entry(1, 1, b"x", flags=2) + bytes(4)),
    "longer than the message": ("protocol", entry(1, 1, b"x", flags=2) + b"\0\0\0\7" + extra(3, b"ab")),
}


def make_refused_payloads() -> list[dict]:
    one = entry(1, 1, b"x", 4)
    made = [
        *((f"path: {why}", "unsafe", "entries", meta(2, 1, entry(1, 1, path, 4)))
          for why, path in BAD_PATHS.items()),
        ("kind 0", "protocol", "entries", meta(2, 1, entry(0, 1, b"x"))),
        ("kind 5 without its text", "protocol", "entries", meta(2, 1, entry(5, 1, b"x"))),
        ("negative size", "protocol", "entries", meta(2, 1, entry(1, 1, b"x", 1 << 63))),
        ("empty large file", "protocol", "entries", meta(2, 1, entry(2, 1, b"x", 0))),
        ("empty end of a large file", "protocol", "entries", meta(2, 1, entry(3, 1, b"x", 0))),
        ("file type in mode", "protocol", "entries", meta(2, 1, entry(1, 1, b"x", mode=0o100644))),
        ("a second of 1e9 ns", "protocol", "entries", meta(2, 1, entry(1, 1, b"x", mtime=(0, 10**9)))),
        ("abandoned small file", "protocol", "entries", meta(2, 1, entry(1, 1, b"x", flags=1))),
        ("unknown flag of an entry", "protocol", "entries", meta(2, 1, entry(3, 1, b"x", 1, flags=8))),
        ("question abandoned", "protocol", "entries", meta(2, 1, entry(8, 1, b"x", flags=1))),
        ("question of wrong size", "protocol", "entries", meta(2, 1, entry(8, 1, b"x", 1, flags=128))),
        ("flag of a question elsewhere", "protocol", "entries", meta(2, 1, entry(4, 1, b"x", flags=128))),
        ("asks for part without source", "protocol", "entries", meta(2, 1, entry(2, 1, b"x", 1, flags=16))),
        ("small file that asks for a part", "protocol", "entries", meta(2, 1, entry(1, 1, b"x", flags=16))),
        ("question for stamp and directory", "protocol", "entries", meta(2, 1, entry(8, 1, b"x", flags=160))),
        ("file that asks for its stamp", "protocol", "entries", meta(2, 1, entry(1, 1, b"x", flags=32))),
        ("absent with a size", "protocol", "entries", meta(2, 1, entry(9, 1, b"x", 1))),
        ("absent with a flag", "protocol", "entries", meta(2, 1, entry(9, 1, b"x", flags=128))),
        ("kind 10 with an id", "protocol", "entries", meta(2, 1, entry(10, 1, b"x"))),
        ("kind 10 with a size", "protocol", "entries", meta(2, 1, entry(10, 0, b"x", 1))),
        ("kind 10 with extras", "protocol", "entries",
         meta(2, 1, entry(10, 0, b"x", flags=2, extras=extra(3, b"root")))),
        ("kind 11", "protocol", "entries", meta(2, 1, entry(11, 1, b"x"))),
        ("entry cut", "protocol", "entries", meta(2, 1, one[:-2])),
        ("path cut", "protocol", "entries", meta(2, 1, one[:-1])),
        ("bytes behind the last entry", "protocol", "entries", meta(2, 1, one + b"y")),
        ("fewer entries than said", "protocol", "entries", meta(2, 2, one)),
        ("more than 1024 entries", "protocol", "entries", meta(2, 1025, b"")),
        ("raw_bytes differs", "protocol", "entries", meta(2, 1, one, raw_bytes=len(one) + 1)),
        ("unknown flag of a message", "protocol", "entries", meta(2, 1, one, flags=2)),
        ("header cut", "protocol", "entries", meta(2, 0, b"")[:7]),
        ("hello with a flag", "protocol", "hello", meta(1, 1, bytes(8), flags=1)),
        ("hello of two", "protocol", "hello", meta(1, 2, bytes(8))),
        ("hello cut", "protocol", "hello", meta(1, 1, bytes(7))),
        ("hello of another type", "protocol", "hello", meta(2, 1, bytes(8))),
        *((f"extras: {why}", failure, "entries", meta(2, 1, one))
          for why, (failure, one) in BAD_EXTRAS.items()),
        ("code that is no answer", "protocol", "result", result(1, 21)),
        ("lacks nothing", "protocol", "result", result(1, 32)),
        ("unknown code", "protocol", "result", result(1, 64)),
        ("early success", "protocol", "result", result(1, 0, 1)),
        ("unknown flag of a result", "protocol", "result", result(1, 1, 8)),
        ("same and wanted", "protocol", "result", result(1, 0, 6)),
        ("failed and same", "protocol", "result", result(1, 1, 2)),
        ("failed early and wanted", "protocol", "result", result(1, 1, 5)),
        ("unknown flag of a good result", "protocol", "result", result(1, 0, 8)),
        ("errno 4096", "protocol", "result", result(1, 1, 0, 4096)),
        ("reserved bytes of a result", "protocol", "result", result(1)[:10] + b"\0\1" + result(1)[12:]),
        ("result cut", "protocol", "result", result(1)[:31]),
        ("data header cut", "protocol", "data_header", data_header(1, 0, 1)[:63]),
        ("no data", "protocol", "data_header", data_header(1, 0, 0)),
        ("less data than said", "protocol", "data_header", data_header(1, 0, 2) + b"x"),
        ("more data than said", "protocol", "data_header", data_header(1, 0, 1) + b"xy"),
        ("longer than a block", "protocol", "data_header", data_header(1, 0, BLOCK + 1) + bytes(BLOCK + 1)),
        ("negative offset", "protocol", "data_header", data_header(1, 1 << 63, 1) + b"x"),
        ("unknown flag of data", "protocol", "data_header", data_header(1, 0, 1, 4) + b"x"),
        ("zstd that saves nothing", "protocol", "data_header", data_header(1, 0, 1, 2) + b"x"),
        ("reserved bytes of data", "protocol", "data_header", data_header(1, 0, 1)[:63] + b"\1x"),
    ]  # fmt: skip
    return [
        {"name": name, "failure": failure, "payload_of": what,
         "payload": payload.hex() if len(payload) < BLOCK else f"{payload[:64].hex()}+{len(payload) - 64}"}
        for name, failure, what, payload in made
    ]  # fmt: skip


def make_digests() -> list[dict] | None:
    """Section 6; the first n_zeroes bytes are 0, byte i of the others is i * 31 + i // 256 mod 256."""
    try:
        from xxhash import xxh3_128_intdigest
    except ImportError:
        return None
    made = []
    sizes = [(n, 0) for n in (0, 1, 3, 16, 17, 128, 129, 240, 241, 1024, 4095, 4096, SLICE - 1, SLICE,
                              SLICE + 1, 2 * SLICE, 5 * SLICE + 12345)]  # fmt: skip
    holes = [(2, 2), (SLICE, SLICE), (2 * SLICE, 2 * SLICE - 1), (2 * SLICE + 1, 2 * SLICE),
             (5 * SLICE + 12345, 3 * SLICE)]  # fmt: skip
    for n, n_zeroes in sizes + holes:
        data = bytes(n_zeroes) + bytes((i * 31 + i // 256) % 256 for i in range(n_zeroes, n))
        total = xxh3_128_intdigest(struct.pack(">Q", n), seed=0)
        for number in range(-(-n // SLICE)):
            part = data[number * SLICE : (number + 1) * SLICE]
            if any(part):
                total += xxh3_128_intdigest(part, seed=number + 1)
        made.append({"n": n, "n_zeroes": n_zeroes, "digest": f"{total % (1 << 128):032x}"})
    return made


def main() -> None:
    files = {
        "keys": make_keys(),
        "frames": make_frames(),
        "payloads": make_payloads(),
        "refused_frames": make_refused_frames(),
        "refused_payloads": make_refused_payloads(),
        "digests": make_digests(),
    }
    for name, vectors in files.items():
        if vectors is not None:
            (HERE / f"{name}.json").write_text(json.dumps(vectors, indent=1) + "\n")


if __name__ == "__main__":
    main()
