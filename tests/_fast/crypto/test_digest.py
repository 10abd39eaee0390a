"""The digest binds every slice to its place and the length to all; tests/vectors holds its values."""

import random

from escp._fast.crypto.digest import digest_of

SLICE = 1 << 18


def test_places_of_slices_matter():
    a, b = bytes([1]) * SLICE, bytes([2]) * SLICE
    assert len({digest_of(data) for data in (a + b, b + a, a, b, a + a, b + b, a + b + a)}) == 7


def test_length_matters():
    assert len({digest_of(bytes(n)) for n in (0, 1, 2, SLICE - 1, SLICE, SLICE + 1, 2 * SLICE)}) == 7


def test_every_byte_matters():
    data = bytearray(random.Random(1).randbytes(2 * SLICE + 100))
    before = digest_of(bytes(data))
    for at in (0, 1, SLICE - 1, SLICE, 2 * SLICE - 1, 2 * SLICE, len(data) - 1):
        data[at] ^= 1
        assert digest_of(bytes(data)) != before
        data[at] ^= 1
    assert digest_of(bytes(data)) == before
