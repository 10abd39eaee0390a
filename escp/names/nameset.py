"""Names, however many, in some 20 bytes each: `NameSet`."""

from array import array

_FIRST = 64
_MASK = (1 << 64) - 1


class NameSet:
    """Only hashes are kept, with the process's own secret: two are taken for one by a chance of 2^-64."""

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 * _FIRST))
        self._marks = bytearray(_FIRST)
        self._n = 0
        self.n_unmarked = 0

    def add(self, name: bytes) -> None:
        if 2 * self._n >= len(self._slots):
            self._grow()
        at, value = self._find(name)
        if not self._slots[at]:
            self._slots[at] = value
            self._n += 1
            self.n_unmarked += 1

    def mark(self, name: bytes) -> bool:
        """Whether it was added."""
        at, _ = self._find(name)
        if not self._slots[at]:
            return False
        self.n_unmarked -= not self._marks[at]
        self._marks[at] = 1
        return True

    def has(self, name: bytes) -> bool:
        return bool(self._slots[self._find(name)[0]])

    def __contains__(self, name: object) -> bool:
        return isinstance(name, bytes) and self.has(name)

    def is_unmarked(self, name: bytes) -> bool:
        """Whether it was added, and not marked."""
        at, _ = self._find(name)
        return bool(self._slots[at]) and not self._marks[at]

    def _find(self, name: bytes) -> tuple[int, int]:
        """Where it is or would be, and what stands for it; 0 is a free slot."""
        value = (hash(name) & _MASK) or 1
        return self._place(value), value

    def _place(self, value: int) -> int:
        mask = len(self._slots) - 1
        at = value & mask
        while self._slots[at] and self._slots[at] != value:
            at = (at + 1) & mask
        return at

    def _grow(self) -> None:
        slots, marks = self._slots, self._marks
        self._slots, self._marks = array("Q", bytes(16 * len(slots))), bytearray(2 * len(slots))
        for value, mark in zip(slots, marks, strict=True):
            if value:
                at = self._place(value)
                self._slots[at], self._marks[at] = value, mark
