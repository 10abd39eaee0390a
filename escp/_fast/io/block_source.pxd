"""A program's memory as the contents of the one file that a plane sends.

    whole     a buffer that is there from the beginning: streams read it where it lies
    blocks    threads of the program write them, in any order; streams take them as they come

Of blocks there are places, each for one block of the stream's size. A program's block that holds whole ones of them is
lent: the write waits until a stream has sealed it, from where it lies. Others are put together in a place's own buffer.

    FREE ──write──> READY ──a stream takes it──> TAKEN ──sealed──> FREE          (lent)
    FREE ──write──> FILLING ──all of it is there──> READY ──> TAKEN ──> FREE     (put together)

The file that stands for it has its size, and holds nothing: walkers find it as any other. Each read asks for the next
block and gets the next one that is there (`finish` of ring.pxd).
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from escp._fast.base.libc cimport pthread_cond_t, pthread_mutex_t
from escp._fast.io.block_grid cimport BlockGrid
from escp._fast.io.ring cimport io_engine

cdef enum place_state:
    PLACE_FREE = 0
    PLACE_FILLING = 1
    PLACE_READY = 2
    PLACE_TAKEN = 3


cdef enum put_result:
    PUT_DONE = 0
    PUT_LATE = 1  # there was no room in time
    PUT_STOPPED = 2
    PUT_FULL = 3  # as late, and all places hold blocks of which something is missing


ctypedef struct place:
    int state
    uint64_t number  # of the block in the file
    uint32_t n_bytes
    uint32_t n_filled
    int n_writing  # threads that copy into it now
    const uint8_t *data
    uint8_t *own  # its buffer
    int *n_out  # of a lent one: what its write waits for


ctypedef struct block_source:
    pthread_mutex_t lock
    pthread_cond_t filled  # streams: a place is READY, or the end
    pthread_cond_t emptied  # writers: a place is FREE, or the end
    bint is_whole
    const uint8_t *whole
    uint64_t size
    uint32_t block  # of the streams
    bint lends
    bint is_stopped
    bint is_committed  # the receiver may be told of the end
    int is_past  # and may have been; a flag that is read without the lock
    int n_places
    place *places
    place *last  # to which something was copied, or NULL: neighbours are mostly written behind one another
    int *ready  # a ring of n_places of them, in the order they were written
    int first_ready
    int n_ready
    uint8_t *memory
    uint64_t n_copied  # bytes that were copied here; the others were lent. Read without the lock


cdef class BlockSource:
    cdef block_source s
    cdef BlockGrid grid
    cdef dict partial
    cdef object held

    cdef const io_engine *engine(self) noexcept nogil
