"""KEPT and STAMPS, which only planes encode and decode: vectors against planes, and what tests tell them."""

import json
import os
from pathlib import Path

import pytest

from tests.support.loopback import BLOCK
from tests.support.parts import HEADER_BYTES, count_records, journal_of, write_record
from tests.support.peers import ASKS_PART, Sender, encode_kept, encode_stamps
from tests.support.waiting import wait_for

PAYLOADS = json.loads((Path(__file__).parent / "payloads.json").read_text())
SOURCE = (6 << 24 | 20).to_bytes(4, "big") + bytes(20)


@pytest.mark.parametrize("vector", PAYLOADS["stamps"])
def test_stamps(vector):
    assert encode_stamps(*((one["id"], one["stamp"]) for one in vector["files"])).hex() == vector["payload"]


@pytest.mark.parametrize("vector", PAYLOADS["kept"])
def test_kept(vector, tmp_path):
    """A receiver that trusts its part tells of it what its journal says."""
    id, blocks = vector["id"], [(one["number"], bytes.fromhex(one["digest"])) for one in vector["blocks"]]
    assert encode_kept(id, *blocks).hex() == vector["payload"]
    size = (blocks[-1][0] + 1) * BLOCK
    options = {"partial_min": 1, "job": b"j" * 16, "resumes": True, "trusts_parts": True}
    with Sender(tmp_path, **options) as sender:
        sender.send_large(b"x", size, id=id, extras=SOURCE)
        sender.send_data(bytes(BLOCK), id=id)
        wait_for(lambda: count_records(tmp_path / "x") == 1)
    os.truncate(journal_of(tmp_path / "x"), HEADER_BYTES)
    for at, (number, digest) in enumerate(blocks):
        write_record(tmp_path / "x", at, number, digest)
    with Sender(tmp_path, **options) as sender:
        sender.send_large(b"x", size, id=id, extras=SOURCE, flags=ASKS_PART)
        assert sender.receive_frame() == (False, bytes.fromhex(vector["payload"]))
