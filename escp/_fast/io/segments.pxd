"""Segments of memory that planes have attached, and what is waited for in them.

All that is in a segment is another program's to change at any time, so each word is loaded once and compared with what
it must be; numbers, lengths and places are this side's own. The layout is segment.h's; docs/shmem.md explains it.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from escp._fast.base.types cimport fast_err
from escp._fast.io.ring cimport io_ring

cdef extern from "segment.h" nogil:
    enum:
        SEGMENT_NAME_BYTES, WORD_FREE, WORD_FULL
    ctypedef struct segment "struct segment":
        uint32_t client_state
        uint64_t size
        uint32_t escp_state, escp_code, escp_errno
        uint64_t received_size
        uint32_t escp_bell, escp_waits, client_bell, client_waits
        char name[1]
        uint32_t *words
    ctypedef struct segment_plan "struct segment_plan":
        uint32_t direction, block_bytes, n_blocks
        uint64_t data_offset, segment_bytes
    uint32_t segment_load(const uint32_t *)
    void segment_store(uint32_t *, uint32_t)
    uint64_t segment_load8(const uint64_t *)
    void segment_store8(uint64_t *, uint64_t)
    uint32_t segment_word(uint64_t number, uint32_t n_blocks, uint32_t state)
    void segment_ring(uint32_t *bell, uint32_t *waits)


# A segment that a plane has attached.
ctypedef struct attached:
    attached *next
    const void *plane
    int fd  # own: it holds this side's lock
    int source_fd  # the descriptor that slots name; -1: none does any more
    uint64_t dev
    uint64_t ino
    int mapping
    segment *shared
    uint8_t *data
    segment_plan plan
    uint64_t size  # of the file
    bint is_begun  # of a target
    bint is_told  # what became of it
    uint32_t *n_moved  # of each block: bytes that are taken, or there


# As io_engine's.
cdef int segment_attach(const void *plane, int fd, bint is_source, uint64_t *size, void **exchange,
                        fast_err *err) noexcept nogil
cdef void segment_tell(const void *plane, uint64_t dev, uint64_t ino, const fast_err *err) noexcept nogil
cdef void segment_detach(const void *plane) noexcept nogil
# The source that was attached by this descriptor, which is still open; NULL: there is none.
cdef attached *find_source(int fd) noexcept nogil
# Whether the target has had no file yet: it has this one now.
cdef bint claim_target(attached *a) noexcept nogil
# What became of the file, for the program: the first word counts.
cdef void conclude(attached *a, const fast_err *err) noexcept nogil
# -1: the program has failed or died, its memory is gone, or the plane is stopped.
cdef int check_client(const io_ring *ring, attached *a, fast_err *err) noexcept nogil
# Whether the block of that number has that state.
cdef bint has_word(attached *a, uint64_t number, uint32_t state) noexcept nogil
# Waits until it has, or until the program says that all is there. -1: as above.
cdef int await_word(const io_ring *ring, attached *a, uint64_t number, uint32_t state, fast_err *err) noexcept nogil
cdef int await_ended(const io_ring *ring, attached *a, fast_err *err) noexcept nogil
# Of the program's block n more bytes are taken, or there: with the last of them it gets that state. Who has moved
# blocks tells the program before waiting, and at the end: once for all, for it may sleep.
cdef void move(attached *a, uint64_t number, uint32_t n, uint32_t state) noexcept nogil
cdef void tell_moved(attached *a) noexcept nogil
