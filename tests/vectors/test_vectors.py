"""The checked-in vectors against the native code, on every AEAD backend; and against make.py."""

import importlib.util
import json
from pathlib import Path

import pytest

from escp._fast.crypto import aead
from escp._fast.crypto.channel import Channel
from escp._fast.crypto.digest import digest_of
from escp._fast.errors import FastError
from escp._fast.wire.payloads import (
    decode_data_header,
    decode_entries,
    decode_hello,
    decode_result,
    encode_data_header,
    encode_end,
    encode_entry,
    encode_hello,
    encode_meta,
    encode_result,
)
from escp.failures import FAST_AUTH, FAST_PROTOCOL, FAST_UNSAFE
from escp.streams.streams import MAGIC, PREAMBLE

HERE = Path(__file__).parent
CODES = {"auth": FAST_AUTH, "protocol": FAST_PROTOCOL, "unsafe": FAST_UNSAFE}
SECRET = bytes(range(32))
BLOCK = 1 << 18


def load(name):
    return json.loads((HERE / f"{name}.json").read_text())


def by_name(vectors):
    return pytest.mark.parametrize("vector", vectors, ids=[vector["name"] for vector in vectors])


on_every_backend = pytest.mark.parametrize("backend", aead.available_backends())


def test_checked_in_files_are_what_the_oracle_makes(tmp_path, monkeypatch):
    """make.py knows nothing of escp: it is cryptography, xxhash (where there is one) and docs/protocol.md."""
    spec = importlib.util.spec_from_file_location("make", HERE / "make.py")
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    monkeypatch.setattr(make, "HERE", tmp_path)
    make.main()
    for made in tmp_path.iterdir():
        assert made.read_text() == (HERE / made.name).read_text()
    names = {made.name for made in tmp_path.iterdir()} | {"digests.json"}
    assert names == {path.name for path in HERE.glob("*.json")}


@pytest.mark.parametrize("vector", load("keys"))
def test_key(vector):
    secret = bytes.fromhex(vector["secret"])
    key, salt = aead.derive_key(secret, vector["stream"], vector["direction"], vector["epoch"])
    assert (key.hex(), salt.hex()) == (vector["key"], vector["salt"])


@on_every_backend
@by_name(load("frames"))
def test_frames(vector, backend):
    ends = [
        Channel(
            bytes.fromhex(vector["secret"]),
            vector["stream"],
            is_sender=is_sender,
            block_bytes=vector["block_bytes"],
            connection=vector["connection"],
            epoch_limit=vector["epoch_limit"],
            backend=backend,
        )
        for is_sender in (True, False)
    ]
    sealing, opening = ends if vector["direction"] == 0 else reversed(ends)
    for one in vector["frames"]:
        payload, frame = bytes.fromhex(one["payload"]), bytes.fromhex(one["frame"])
        assert sealing.seal(one["is_data"], payload) == frame
        assert opening.open(frame) == (one["is_data"], payload)


@on_every_backend
@by_name(load("refused_frames"))
def test_refused_frame(vector, backend):
    opening = Channel(SECRET, 0, is_sender=False, block_bytes=BLOCK, backend=backend)
    for frame in vector["before"]:
        opening.open(bytes.fromhex(frame))
    with pytest.raises(FastError) as caught:
        opening.open(bytes.fromhex(vector["frame"]))
    assert caught.value.code == CODES[vector["failure"]]


DECODERS = {
    "entries": decode_entries,
    "hello": decode_hello,
    "result": decode_result,
    "data_header": lambda payload: decode_data_header(payload, BLOCK),
}


@by_name(load("refused_payloads"))
def test_refused_payload(vector):
    start, _, n_zeros = vector["payload"].partition("+")
    payload = bytes.fromhex(start) + bytes(int(n_zeros or 0))
    with pytest.raises(FastError) as caught:
        DECODERS[vector["payload_of"]](payload)
    assert caught.value.code == CODES[vector["failure"]]


PAYLOADS = load("payloads")


@pytest.mark.parametrize("vector", PAYLOADS["preamble"])
def test_preamble(vector):
    wanted = PREAMBLE.pack(MAGIC, 1, 0, vector["stream"], vector["connection"], 0)
    assert wanted.hex() == vector["bytes"]


@pytest.mark.parametrize("vector", PAYLOADS["hello"])
def test_hello(vector):
    fields = vector["n_streams"], vector["block_bytes"]
    assert encode_hello(*fields).hex() == vector["payload"]
    assert decode_hello(bytes.fromhex(vector["payload"])) == fields


@pytest.mark.parametrize("vector", PAYLOADS["entries"])
def test_entries(vector):
    payload = bytes.fromhex(vector["payload"])
    decoded = decode_entries(payload)
    for got, wanted in zip(decoded, vector["entries"], strict=True):
        for name in ("mtime", "atime"):
            seconds, ns = wanted.pop(name, (0, 0))
            assert got[f"{name}_ns"] == seconds * 10**9 + ns
        for name, value in wanted.items():
            assert got[name] == (bytes.fromhex(value) if name in ("path", "digest", "extras") else value)
    assert encode_meta(2, len(decoded), b"".join(encode_entry(**one) for one in decoded)) == payload


@pytest.mark.parametrize("vector", PAYLOADS["result"])
def test_result(vector):
    digest = bytes.fromhex(vector["digest"])
    fields = vector["id"], vector["code"], vector["flags"], vector["errno"], digest
    assert encode_result(*fields).hex() == vector["bytes"]
    assert decode_result(bytes.fromhex(vector["bytes"])) == fields


@pytest.mark.parametrize("vector", PAYLOADS["data_header"])
def test_data_header(vector):
    fields = vector["id"], vector["offset"], vector["raw_bytes"], vector["flags"]
    assert encode_data_header(*fields).hex() == vector["bytes"]
    n = vector["raw_bytes"] - 1 if vector["flags"] & 2 else vector["raw_bytes"]
    assert decode_data_header(bytes.fromhex(vector["bytes"]) + bytes(n), BLOCK) == fields


@pytest.mark.parametrize("vector", PAYLOADS["end"])
def test_end(vector):
    assert encode_end(vector["n_bytes"], vector["n_entries"]).hex() == vector["body"]


@pytest.mark.parametrize("vector", load("digests"), ids=lambda vector: f"{vector['n']}-{vector['n_zeroes']}")
def test_digest(vector):
    n_zeroes = vector["n_zeroes"]
    data = bytes(n_zeroes) + bytes((i * 31 + i // 256) % 256 for i in range(n_zeroes, vector["n"]))
    assert digest_of(data).hex() == vector["digest"]
