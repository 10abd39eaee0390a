"""A program's memory as the target of the one file that a plane receives.

All buffers are the sink's. A stream receives into one, opens it there and hands it over for an empty one; the program
gives it back. So nothing is copied, and streams wait while the program has too many.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t

from escp._fast.base.libc cimport pthread_cond_t, pthread_mutex_t
from escp._fast.io.ring cimport io_engine

ctypedef struct arrival:
    uint8_t *data
    int64_t offset
    uint32_t n


ctypedef struct block_sink:
    pthread_mutex_t lock
    pthread_cond_t arrived  # the program: a block, or the end
    pthread_cond_t room  # streams: an empty buffer, or the end
    bint is_stopped
    bint is_over
    int n_buffers
    uint8_t *memory
    uint8_t **empty  # those that nobody has
    int n_empty
    arrival *ready  # a ring of n_buffers
    int first_ready
    int n_ready


cdef class BlockSink:
    cdef block_sink s

    # For a plane with these streams: before any of its rings opens. It holds this object until they are closed.
    cdef const io_engine *open(self, int n_streams, uint32_t block) except NULL


# One of the sink's buffers as long as the program has it. Views are of this and not of the Block: that has one itself,
# and both would wait for the collector, the streams with them.
cdef class Loan:
    cdef BlockSink sink
    cdef arrival what  # data is NULL once it is given back
    cdef int n_views  # of whoever looks at it

    cdef void give_back(self) noexcept


cdef class Block:
    cdef Loan loan
    cdef object view  # its own
