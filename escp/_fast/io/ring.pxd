"""Blocks between memory and files: buffers, asynchronous O_DIRECT, and the engines that can stand in.

A ring belongs to one thread. It owns RING_DEPTH slots; each slot's *data* is page-aligned, with room
before it for a frame's IV word and data header and behind it for the tag, so that a whole frame is
sealed, sent, received and opened where the disk reads and writes.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t

from escp._fast.base.libc cimport aio_context_t, iocb_t
from escp._fast.base.types cimport RING_DEPTH, fast_err


cdef enum engine_kind:
    ENGINE_POSIX = 0
    ENGINE_DUMMY = 1  # no disk at all: reads give what the buffer holds, zeroes or what was sent before; writes vanish

cdef enum aio_state:
    AIO_UNTRIED = 0  # a context is only made for the first O_DIRECT block
    AIO_ON = 1
    AIO_OFF = 2  # no system call, or fs.aio-max-nr is used up

cdef enum slot_state:
    SLOT_FREE = 0
    SLOT_READY = 1  # to be done by slot_finish, synchronously
    SLOT_PENDING = 2  # with the kernel
    SLOT_DONE = 3


ctypedef struct io_slot:
    uint8_t *data
    void *owner  # the file, for whoever submitted
    int64_t offset  # in the file
    uint32_t n_bytes  # wanted
    uint32_t n_io  # with O_DIRECT's padding
    int64_t result  # bytes, or -errno
    int fd
    bint is_write
    int state
    int note  # the submitter's own
    iocb_t control


ctypedef struct io_ring:
    io_slot slots[RING_DEPTH]
    int depth
    int n_pending
    int engine
    int aio  # aio_state
    aio_context_t context
    uint8_t *memory


cdef int ring_open(io_ring *ring, int engine, size_t block, fast_err *err) noexcept nogil
cdef void ring_close(io_ring *ring) noexcept nogil  # waits for what the kernel still has
cdef io_slot *ring_free_slot(io_ring *ring) noexcept nogil  # NULL when all are in use
# is_direct: submitted to the kernel if it takes it; otherwise done by slot_finish.
cdef void slot_read(io_ring *ring, io_slot *slot, int fd, int64_t offset, uint32_t n, bint is_direct) noexcept nogil
cdef void slot_write(io_ring *ring, io_slot *slot, int fd, int64_t offset, uint32_t n, bint is_direct) noexcept nogil
# Waits until *slot* is done; 0, or -1 when fewer than n_bytes could be read or written.
cdef int slot_finish(io_ring *ring, io_slot *slot, fast_err *err) noexcept nogil
# Takes what has completed, waiting for *least* of it.
cdef void ring_reap(io_ring *ring, int least) noexcept nogil
# True once for a slot that ring_reap found completed.
cdef io_slot *ring_done_slot(io_ring *ring) noexcept nogil
cdef int write_all(int fd, const uint8_t *data, size_t n, int64_t offset, fast_err *err) noexcept nogil
# Whether one of the pages of n bytes is all zero.
cdef bint has_zero_page(const uint8_t *data, size_t n) noexcept nogil
# Writes the pages of n bytes at *offset* (a multiple of a page) that are not all zero; the rest of the file must be
# a hole. Returns the bytes written, or -1. is_direct: *data* is aligned, with room to pad its last page.
cdef int64_t write_pages(int fd, uint8_t *data, size_t n, int64_t offset, bint is_direct, fast_err *err) noexcept nogil
cdef void set_direct(int fd, bint wanted) noexcept nogil
cdef bint can_direct(int fd) noexcept nogil
