"""Which blocks of a file a program has given: each lies at a multiple of the block's size, is whole, and comes once."""

from libc.stdint cimport uint64_t

cdef enum:
    MAX_BLOCKS = 268435456  # of one file: a bit for each


cdef class BlockGrid:
    """For threads that hold the GIL."""
    cdef readonly uint64_t block
    cdef uint64_t end  # the file's size, once it is known
    cdef bint is_end_known
    cdef uint64_t n_given
    cdef uint64_t reach  # where the last block begins that was given
    cdef uint64_t low  # the first that has not been given
    cdef bytearray bits

    # Notes the block of n bytes at *offset*. ValueError, which says why, where it must not come.
    cdef int claim(self, object offset, uint64_t n) except -1
    # It has not come after all; for a grid of known size.
    cdef void disclaim(self, uint64_t offset) noexcept
    # The first block that has not been given.
    cdef uint64_t find_low(self) noexcept
