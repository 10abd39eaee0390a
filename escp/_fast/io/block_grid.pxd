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

    # Notes the n bytes at *offset*, which are a block or several. ValueError, which says why, where they must not come.
    cdef int claim(self, object offset, uint64_t n) except -1
    cdef int check_length(self, uint64_t first, uint64_t n) except -1
    cdef int mark(self, uint64_t first, uint64_t behind) except -1
    # They have not come after all; for a grid of known size.
    cdef void disclaim(self, uint64_t offset, uint64_t n) noexcept
    # The first block that has not been given.
    cdef uint64_t find_low(self) noexcept
