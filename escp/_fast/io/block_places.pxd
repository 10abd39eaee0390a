"""What a program's threads write into one file, in blocks of the streams' size.

There are places, each for one block. What is written at a time is lent as far as it holds whole blocks of the streams:
the write waits until a stream has sealed those, from where they lie. The rest, at its ends, is put together with its
neighbours in a place's own buffer.

    FREE ──write──> READY ──a stream takes it──> TAKEN ──sealed──> FREE          (lent)
    FREE ──write──> FILLING ──all of it is there──> READY ──> TAKEN ──> FREE     (put together)
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from escp._fast.base.libc cimport pthread_cond_t, pthread_mutex_t

cdef enum place_state:
    PLACE_FREE = 0
    PLACE_FILLING = 1
    PLACE_READY = 2
    PLACE_TAKEN = 3


cdef enum:
    N_RECENT = 16


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
    pthread_cond_t emptied  # writers: a place is FREE, all that one of them has lent is, or the end
    int n_waiting  # writers, for a place
    int n_busy  # places that are READY or TAKEN
    bint is_whole
    const uint8_t *whole
    uint64_t size
    uint32_t block  # of the streams
    bint is_stopped
    bint is_committed  # the receiver may be told of the end
    int is_past  # and may have been; a flag that is read without the lock
    int n_places
    place *places
    place *recent[N_RECENT]  # that is filled, by its number: neighbours are mostly written behind one another
    int *ready  # a ring of n_places of them, in the order they were written
    int first_ready
    int n_ready
    uint8_t *memory
    uint64_t n_copied  # bytes that were copied here; the others were lent. Read without the lock


# Nobody needs it any more, nor waits for it.
cdef void free_place_locked(block_source *s, place *p) noexcept nogil
# A place has become FREE: whether writers that wait for one are to be woken. That costs more than to fill it, so it is
# done for a quarter of all places at once, unless streams would have nothing to send.
cdef bint wakes_writers(const block_source *s) noexcept nogil
# Of the n bytes at *offset* that go on from *done*, what comes next: all whole blocks of the streams that lie together,
# which are to be lent (True), or what belongs to a block of which there is less. *end*: how far that is.
cdef bint next_part(const block_source *s, uint64_t offset, uint64_t n, uint64_t done, uint64_t *end) noexcept nogil
# Hands over n bytes from *done* on, which goes on as far as it gets. What is lent is free again on return.
cdef int put(block_source *s, uint64_t offset, const uint8_t *data, uint64_t n, bint lends, uint64_t *done,
             uint64_t due_ns) noexcept nogil
# The same, whatever parts there are.
cdef int put_all(block_source *s, uint64_t offset, const uint8_t *data, uint64_t n, uint64_t *done,
                 uint64_t due_ns) noexcept nogil
