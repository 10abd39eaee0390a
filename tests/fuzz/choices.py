"""Decisions made of a fuzzer's bytes: a story told with them changes where the bytes do."""

import random


class Choices(random.Random):
    """As random.Random, for what tells stories; when the bytes are used up everything is the first, or 0."""

    def __init__(self, data: bytes):
        super().__init__(0)
        self._data = data
        self._at = 0

    @property
    def is_over(self) -> bool:
        return self._at >= len(self._data)

    def take(self, n: int) -> bytes:
        self._at += n
        return self._data[self._at - n : self._at].ljust(n, b"\0")

    def random(self) -> float:
        # The least number is the last one: stories ask `random() < errs`, and no bytes are to be no mistakes.
        return 1.0 - (int.from_bytes(self.take(1), "big") + 1) / 257

    def getrandbits(self, k: int) -> int:
        n = (k + 7) // 8
        return int.from_bytes(self.take(n), "big") >> (8 * n - k)

    def _randbelow(self, n: int) -> int:
        return int.from_bytes(self.take(max(1, ((n - 1).bit_length() + 7) // 8)), "big") % n

    def randbytes(self, n: int) -> bytes:
        """Contents: two bytes decide on all of them."""
        return random.Random(self.take(2)).randbytes(n)
