"""The self-test finds what is broken: wrong answers, bytes that change, a directory that takes nothing."""

import json
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from escp._fast.crypto import aead
from escp._fast.crypto.aead import derive_key
from escp.doctor import loopback, selftest
from escp.doctor.selftest import DIGESTS, SECRET, TAGS, SelfTest
from escp.errors import IntegrityError, LocalFileError
from escp.streams.sendend import SendEnd

VECTORS = Path(__file__).parents[1] / "vectors"


class Notes:
    """A report that keeps what it is told."""

    def __init__(self):
        self.checks = []
        self.exit_code = None

    def check(self, check):
        self.checks.append(check)

    def conclude(self, exit_code, text):
        self.exit_code = exit_code

    @property
    def failed(self):
        return {check.name: check.text for check in self.checks if not check.is_ok}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the self-test in an empty directory, which must be empty afterwards."""
    monkeypatch.chdir(tmp_path)

    def run_it():
        notes = Notes()
        assert SelfTest(notes).run() == notes.exit_code
        assert list(tmp_path.iterdir()) == []
        return notes

    return run_it


def test_all_is_well(run):
    notes = run()
    assert (notes.failed, notes.exit_code) == ({}, 0)
    names = [check.name for check in notes.checks]
    assert names[:-5] == [f"aead {name}" for name in aead.available_backends()]
    assert names[-5:] == ["digest", "directory", "engine", "loopback", "compression"]


def test_answers_are_those_of_an_independent_implementation():
    """The table's tags are those of the frames that tests/vectors/make.py made, and of `cryptography` now."""
    (stream,) = (one for one in json.loads((VECTORS / "frames.json").read_text())
                 if one["name"] == "lengths of payload")  # fmt: skip
    assert [(len(f["payload"]) // 2, f["frame"][-32:]) for f in stream["frames"]] == list(TAGS)
    key, salt = derive_key(SECRET, 1, 0, 0)
    for number, (n, tag) in enumerate(TAGS):
        iv = (1 << 63 | n << 36 | number).to_bytes(8, "big")
        assert AESGCM(key).encrypt(salt + iv, bytes(i % 251 for i in range(n)), iv)[-16:].hex() == tag
    digests = {(one["n"], one["digest"]) for one in json.loads((VECTORS / "digests.json").read_text())
               if not one["n_zeroes"]}  # fmt: skip
    assert set(DIGESTS) <= digests


@pytest.mark.parametrize("backend", aead.available_backends())
@pytest.mark.parametrize("number", range(len(TAGS)))
def test_a_wrong_answer_of_any_length_fails(monkeypatch, backend, number):
    n, tag = TAGS[number]
    wrong = (n, tag[:-1] + ("0" if tag[-1] != "0" else "1"))
    monkeypatch.setattr(selftest, "TAGS", (*TAGS[:number], wrong, *TAGS[number + 1 :]))
    with pytest.raises(IntegrityError, match=f"{n} bytes were sealed wrongly"):
        selftest.check_aead(backend)


def test_a_broken_backend_fails_by_its_name_and_the_others_go_on(run, monkeypatch):
    really = selftest.Channel

    class Broken(really):
        def __new__(cls, *args, backend, **named):
            return really.__new__(cls, *args, backend=backend, **named)

        def __init__(self, *args, backend, **named):
            self.is_broken = backend == "openssl"

        def seal(self, is_data, payload):
            frame = super().seal(is_data, payload)
            return frame[:-1] + bytes([frame[-1] ^ self.is_broken])

    monkeypatch.setattr(selftest, "Channel", Broken)
    notes = run()
    assert list(notes.failed) == ["aead openssl"]
    assert notes.exit_code == 12


def test_a_backend_that_opens_anything_fails(monkeypatch):
    really = selftest.Channel

    class Trusting(really):
        def __init__(self, *args, **named):
            pass

        def open(self, frame):
            return frame[0] >> 7 == 1, b""

    monkeypatch.setattr(selftest, "Channel", Trusting)
    with pytest.raises(IntegrityError, match="wrong tag were opened"):
        selftest.check_aead("openssl")


def test_a_wrong_digest_fails(run, monkeypatch):
    monkeypatch.setattr(selftest, "DIGESTS", (*DIGESTS[:-1], (DIGESTS[-1][0], "00" * 16)))
    notes = run()
    assert list(notes.failed) == ["digest"] and notes.exit_code == 12


@pytest.mark.parametrize("offset", [0, loopback.BLOCK_BYTES + 1])
def test_bytes_that_change_between_digest_and_seal_fail(run, monkeypatch, offset):
    monkeypatch.setattr(SendEnd, "fault_offset", offset)
    notes = run()
    assert set(notes.failed) == {"engine", "loopback", "compression"}
    assert all("digests differ" in text for text in notes.failed.values())
    assert notes.exit_code == 12


def test_a_directory_that_takes_no_file_is_told_and_the_rest_goes_elsewhere(run, monkeypatch, tmp_path):
    elsewhere = tmp_path.parent / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setattr(selftest.tempfile, "tempdir", str(elsewhere))
    monkeypatch.chdir("/proc")
    notes = run()
    assert list(notes.failed) == ["directory"] and "can't be written to" in notes.failed["directory"]
    assert notes.exit_code == LocalFileError.exit_code
    assert any(str(elsewhere) in check.text for check in notes.checks)
    assert list(elsewhere.iterdir()) == []


def test_nowhere_to_write(run, monkeypatch):
    def refuse(**_):
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(selftest.tempfile, "mkdtemp", refuse)
    notes = run()
    assert set(notes.failed) == {"engine", "loopback", "compression"}
    assert notes.exit_code == LocalFileError.exit_code


def test_a_copy_that_differs_fails_even_if_no_digest_says_so(run, monkeypatch):
    for name in ("_order_send", "_order_receive"):
        order = getattr(loopback.LoopbackCopy, name)
        monkeypatch.setattr(
            loopback.LoopbackCopy, name, lambda *a, order=order: order(*a)._replace(has_checksum=False)
        )
    monkeypatch.setattr(SendEnd, "fault_offset", 7)
    assert "the copy of the large file differs" in run().failed["engine"]
