"""Which blocks of a file have been given; see block_grid.pxd."""

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
        """Note the block of *n* bytes at *offset*; ValueError says why it must not come."""
        self.claim(offset, n)

    cdef int claim(self, object offset, uint64_t n) except -1:
        cdef uint64_t number
        cdef uint64_t left
        cdef uint8_t *bits
        if not isinstance(offset, int):
            raise TypeError("an offset is a number of bytes")
        if offset < 0 or offset % self.block:
            raise ValueError(f"no block begins at offset {offset:,}: they lie {self.block:,} bytes apart")
        if offset >= (self.end if self.is_end_known else self.block * <uint64_t>MAX_BLOCKS):
            raise ValueError(f"a block at offset {offset:,} lies beyond the end of the file"
                             + (f", which has {self.end:,} bytes" if self.is_end_known else ""))
        number = <uint64_t>offset // self.block
        if self.is_end_known:
            left = self.end - number * self.block
            if n != (left if left < self.block else self.block):
                raise ValueError(f"the block at offset {offset:,} has {min(left, self.block):,} bytes, not {n:,}")
        elif n == 0 or n > self.block:
            raise ValueError(f"a block has {self.block:,} bytes, and the last one no more, not {n:,}")
        elif n < self.block and self.n_given and self.reach > number * self.block:
            raise ValueError(f"the block at offset {offset:,} has {self.block:,} bytes, not {n:,}: "
                             "it is not the last one")
        if number // 8 >= <uint64_t>len(self.bits):
            self.bits.extend(bytes(number // 8 + 1 - len(self.bits) + len(self.bits) // 2))
        bits = self.bits
        if bits[number >> 3] >> (number & 7) & 1:
            raise ValueError(f"the block at offset {offset:,} has been written already")
        bits[number >> 3] |= <uint8_t>(1 << (number & 7))
        self.n_given += 1
        self.reach = max(self.reach, number * self.block)
        if not self.is_end_known and n < self.block:
            self.end, self.is_end_known = number * self.block + n, True
        return 0

    cdef void disclaim(self, uint64_t offset) noexcept:
        cdef uint64_t number = offset // self.block
        cdef uint8_t *bits = self.bits
        bits[number >> 3] &= <uint8_t>~(1 << (number & 7))
        self.n_given -= 1
        if number < self.low:
            self.low = number

    cdef uint64_t find_low(self) noexcept:
        cdef uint64_t n = len(self.bits)
        cdef uint8_t *bits = self.bits
        while self.low // 8 < n and bits[self.low >> 3] >> (self.low & 7) & 1:
            self.low += 8 - (self.low & 7) if bits[self.low >> 3] == 255 else 1
        return self.low
