"""Both backends against each other and against `cryptography`, and the choice between them."""

import os

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from escp._fast.crypto import aead
from escp._fast.crypto.channel import Channel

SECRET = bytes(range(32))
BLOCK = 1 << 18
LENGTHS = [*range(70), 127, 128, 129, 255, 256, 257, 1023, 4096, 4097, 65535, 65536, BLOCK, BLOCK + 64]


@given(
    st.binary(min_size=32, max_size=32),
    st.integers(0, 2**32 - 1),
    st.integers(0, 1),
    st.integers(0, 2**32 - 1),
)
def test_derived_key_is_hkdfs(secret, stream, direction, epoch):
    info = b"escp/1 data" + stream.to_bytes(4, "big") + bytes([direction]) + epoch.to_bytes(4, "big")
    material = HKDF(SHA256(), 20, salt=None, info=info).derive(secret)
    assert aead.derive_key(secret, stream, direction, epoch) == (material[:16], material[16:])


@pytest.mark.parametrize("n", [0, 31, 33, 64])
def test_secret_of_another_length_is_refused(n):
    with pytest.raises(ValueError):
        aead.derive_key(bytes(n), 0, 0, 0)


def test_no_two_roles_share_a_key():
    roles = [(s, d, e) for s in range(64) for d in (0, 1) for e in (0, 1, 65536)]
    assert len({aead.derive_key(SECRET, *role) for role in roles}) == len(roles)


def test_sealed_frame_is_what_cryptography_makes(backend):
    sender = Channel(SECRET, 3, is_sender=True, block_bytes=BLOCK, backend=backend)
    key, salt = aead.derive_key(SECRET, 3, 0, 0)
    for sequence, n in enumerate(LENGTHS):
        payload = os.urandom(n)
        frame = sender.seal(True, payload)
        iv = (1 << 63 | n << 36 | sequence).to_bytes(8, "big")
        assert frame == iv + AESGCM(key).encrypt(salt + iv, payload, iv)


@pytest.mark.skipif(len(aead.available_backends()) < 2, reason="one backend only")
@pytest.mark.parametrize("names", [("openssl", "ipsec_mb"), ("ipsec_mb", "openssl")])
def test_backends_open_what_the_other_sealed(names):
    sender, receiver = (
        Channel(SECRET, 0, is_sender=is_sender, block_bytes=BLOCK, backend=name)
        for is_sender, name in zip((True, False), names, strict=True)
    )
    for n in LENGTHS:
        payload = os.urandom(n)
        assert receiver.open(sender.seal(True, payload)) == (True, payload)


def test_environment_chooses_the_backend(monkeypatch):
    for name in aead.available_backends():
        monkeypatch.setenv("ESCP_AEAD", name)
        assert aead.choose_backend() == name
    monkeypatch.setenv("ESCP_AEAD", "rot13")
    with pytest.raises(ValueError, match=r"rot13.*openssl"):
        aead.choose_backend()
    monkeypatch.delenv("ESCP_AEAD")
    assert aead.choose_backend() == aead.available_backends()[0]


def test_openssl_is_always_there():
    assert "openssl" in aead.available_backends()
    assert set(aead.available_backends()) <= set(aead.BACKENDS)
