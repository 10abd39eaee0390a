"""Which blocks of a file have been given; see block_grid.pxd."""

from cpython.long cimport PyLong_AsLongLongAndOverflow
from libc.stdint cimport uint8_t, uint64_t


cdef class BlockGrid:
    """*size*: of the whole file; None: what is shorter than a block is the last one."""

    def __cinit__(self, size, uint64_t block):
        if size is not None and not 0 <= size < 1 << 62:
            raise ValueError("a size counts bytes")
        if block == 0 or (size or 0) > block * <uint64_t>MAX_BLOCKS:
            raise ValueError(f"a file has {MAX_BLOCKS:,} blocks at most: choose a larger block")
        self.block = block
        self.is_end_known = size is not None
        self.end = size or 0
        self.bits = bytearray((self.n_blocks + 7) // 8)

    @property
    def n_blocks(self):
        """That there are, or must be as far as is known."""
        if self.is_end_known:
            return (self.end + self.block - 1) // self.block
        return self.reach // self.block + 1 if self.n_given else 0

    @property
    def size(self):
        """None: it is not known yet."""
        return self.end if self.is_end_known else None

    def finish(self):
        """There are no more. Returns the file's size; ValueError: some are missing."""
        n_missing = self.n_blocks - self.n_given
        if n_missing:
            raise ValueError(f"{n_missing:,} of {self.n_blocks:,} blocks are missing, the first of them at offset "
                             f"{self.find_low() * self.block:,}")
        if not self.is_end_known:
            self.end, self.is_end_known = self.n_blocks * self.block, True
        return self.end

    def add(self, offset, uint64_t n):
        """Note the blocks that the *n* bytes at *offset* are; ValueError says why they must not come."""
        self.claim(offset, n)

    cdef int claim(self, object offset, uint64_t n) except -1:
        cdef int is_beyond = 0  # what a number of 63 bits can say; -1: below
        cdef long long at
        cdef uint64_t first
        cdef uint64_t behind
        if not isinstance(offset, int):
            raise TypeError("an offset is a number of bytes")
        at = PyLong_AsLongLongAndOverflow(offset, &is_beyond)
        if is_beyond < 1 and (at < 0 or <uint64_t>at % self.block):
            raise ValueError(f"no block begins at offset {offset:,}: they lie {self.block:,} bytes apart")
        if is_beyond or <uint64_t>at >= (self.end if self.is_end_known else self.block * <uint64_t>MAX_BLOCKS):
            raise ValueError(f"a block at offset {offset:,} lies beyond the end of the file"
                             + (f", which has {self.end:,} bytes" if self.is_end_known else ""))
        first = <uint64_t>at // self.block
        self.check_length(first, n)
        behind = first + (n + self.block - 1) // self.block
        if behind > 8 * <uint64_t>len(self.bits):
            self.bits.extend(bytes(behind // 8 + 1 - len(self.bits) + len(self.bits) // 2))
        self.mark(first, behind)
        self.n_given += behind - first
        self.reach = max(self.reach, (behind - 1) * self.block)
        if not self.is_end_known and n % self.block:
            self.end, self.is_end_known = first * self.block + n, True
        return 0

    cdef int check_length(self, uint64_t first, uint64_t n) except -1:
        """Of what begins with the block *first*: whole blocks, but for the file's last one."""
        cdef uint64_t start = first * self.block
        cdef uint64_t left = (self.end if self.is_end_known else self.block * <uint64_t>MAX_BLOCKS) - start
        cdef bint is_whole = n % self.block == 0
        if 0 < n <= left:
            if is_whole or (self.is_end_known and n == left):
                return 0
            if not self.is_end_known and not (self.n_given and self.reach > start + n // self.block * self.block):
                return 0
        if n > self.block and n > left:
            raise ValueError(f"the {n:,} bytes at offset {start:,} end beyond the end of the file"
                             + (f", which has {self.end:,} bytes" if self.is_end_known else ""))
        if n > self.block:
            raise ValueError(f"the {n:,} bytes at offset {start:,} are no whole blocks of {self.block:,} bytes, "
                             "and their last one is not the file's")
        if self.is_end_known:
            raise ValueError(f"the block at offset {start:,} has {min(left, self.block):,} bytes, not {n:,}")
        raise ValueError(f"the block at offset {start:,} has {self.block:,} bytes, not {n:,}"
                         + (": it is not the last one" if n else ""))

    cdef int mark(self, uint64_t first, uint64_t behind) except -1:
        """As given, from *first* on; none of them if one has been already."""
        cdef uint8_t *bits = self.bits
        cdef uint64_t i
        for i in range(first, behind):
            if bits[i >> 3] >> (i & 7) & 1:
                raise ValueError(f"the block at offset {i * self.block:,} has been written already")
        for i in range(first, behind):
            bits[i >> 3] |= <uint8_t>(1 << (i & 7))
        return 0

    cdef void disclaim(self, uint64_t offset, uint64_t n) noexcept:
        cdef uint64_t first = offset // self.block
        cdef uint64_t behind = first + (n + self.block - 1) // self.block
        cdef uint8_t *bits = self.bits
        cdef uint64_t i
        for i in range(first, behind):
            bits[i >> 3] &= <uint8_t>~(1 << (i & 7))
        self.n_given -= behind - first
        self.low = min(self.low, first)

    cdef uint64_t find_low(self) noexcept:
        cdef uint64_t n = len(self.bits)
        cdef uint8_t *bits = self.bits
        while self.low // 8 < n and bits[self.low >> 3] >> (self.low & 7) & 1:
            self.low += 8 - (self.low & 7) if bits[self.low >> 3] == 255 else 1
        return self.low
