"""SHA-256 for manifests: the same as Python's, and in several threads at once."""

import hashlib
import random
import threading

import pytest

from escp._fast.crypto.sha256 import Sha256


@pytest.mark.parametrize("n", [0, 1, 55, 56, 63, 64, 65, 1 << 20])
def test_it_is_sha256(n):
    data = random.Random(n).randbytes(n)
    total = Sha256()
    for at in range(0, n, 4096):
        total.update(memoryview(data)[at : at + 4096])
    assert total.digest() == hashlib.sha256(data).digest()


def test_more_may_follow_a_digest():
    total, expected = Sha256(), hashlib.sha256()
    for part in b"a", b"", bytearray(b"bc" * 1000):
        total.update(part)
        expected.update(part)
        assert total.digest() == expected.digest()


@pytest.mark.parametrize("wrong", [None, "text", 7, memoryview(b"abcd")[::2]])
def test_what_is_no_bytes_is_refused(wrong):
    total = Sha256()
    with pytest.raises((TypeError, BufferError)):
        total.update(wrong)
    assert total.digest() == hashlib.sha256().digest()


def test_others_run_meanwhile():
    """The interpreter is let go."""
    seen = []
    total = Sha256()
    done = threading.Event()

    def count() -> None:
        while not done.is_set():
            seen.append(1)

    thread = threading.Thread(target=count)
    thread.start()
    before = len(seen)
    total.update(bytes(256 << 20))  # a single call, of 0.2 s and more
    during = len(seen) - before
    done.set()
    thread.join()
    assert during > 100
