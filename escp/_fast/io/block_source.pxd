"""A program's memory as the contents of the one file that a plane sends.

    whole     a buffer that is there from the beginning: streams read it where it lies
    blocks    threads of the program write them, in any order; streams take them as they come (block_places.pxd)

The file that stands for it has its size, and holds nothing: walkers find it as any other. Each read asks for the next
block and gets the next one that is there (`finish` of ring.pxd).
"""

from libc.stdint cimport int64_t, uint64_t

from escp._fast.io.block_grid cimport BlockGrid
from escp._fast.io.block_places cimport block_source
from escp._fast.io.ring cimport io_engine


cdef class BlockSource:
    cdef block_source s
    cdef BlockGrid grid
    cdef dict partial  # by offset: how much was to be written there, and how much of it has been taken
    cdef unsigned int n_forks  # when it was made
    cdef object held

    cdef const io_engine *engine(self) noexcept nogil
    cdef int64_t claim(self, object offset, uint64_t n) except -1
    cdef int settle(self, uint64_t at, uint64_t n, uint64_t done, int rc) except -1
    cdef object take_partial(self, object offset, uint64_t n)
