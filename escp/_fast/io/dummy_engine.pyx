"""No disk at all; see dummy_engine.pxd."""

from libc.stdint cimport int64_t, uint8_t

from escp._fast.base.libc cimport memset
from escp._fast.base.types cimport fast_err
from escp._fast.io.ring cimport SLOT_DONE, io_ring, io_slot


cdef void open_ring(io_ring *ring, size_t n) noexcept nogil:
    memset(ring.memory, 0, n)  # reads leave the buffers as they are: zeroes, or what was sent before


cdef int64_t read_small(io_ring *ring, int fd, uint8_t *to, size_t n) noexcept nogil:
    return <int64_t>n


cdef void submit(io_ring *ring, io_slot *slot) noexcept nogil:
    slot.result = slot.n_bytes
    slot.state = SLOT_DONE


cdef int finish(io_ring *ring, io_slot *slot, fast_err *err) noexcept nogil:
    return 0


dummy_engine.name = "dummy"
dummy_engine.open = open_ring
dummy_engine.read_small = read_small
dummy_engine.submit = submit
dummy_engine.finish = finish
