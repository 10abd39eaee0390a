"""The buffers of one stream; see ring.pxd."""

from libc.stdint cimport int64_t, uint8_t, uint32_t

from escp._fast.base.libc cimport free, memset
from escp._fast.base.types cimport FAST_MEMORY, PAGE_BYTES, RING_DEPTH, fail, fast_err
from escp._fast.io.pages cimport buffer_stride, buffers_new, whole_pages

cdef enum:
    DEEP_BLOCK_BYTES = 4194304  # of blocks as large as that two at a time keep a disk busy


cdef int depth_of(size_t block) noexcept nogil:
    return 2 if block >= DEEP_BLOCK_BYTES else RING_DEPTH


cdef size_t ring_bytes(size_t block) noexcept nogil:
    return depth_of(block) * buffer_stride(block)


cdef int ring_open(io_ring *ring, const io_engine *engine, void *exchange, size_t block, fast_err *err) noexcept nogil:
    cdef size_t stride = buffer_stride(block)
    cdef int i
    memset(ring, 0, sizeof(io_ring))
    ring.depth = depth_of(block)
    ring.memory = buffers_new(ring.depth, block)
    if ring.memory == NULL:
        return fail(err, FAST_MEMORY, 0, "buffers")
    for i in range(ring.depth):
        ring.slots[i].data = ring.memory + i * stride + PAGE_BYTES
    ring.engine = engine
    ring.exchange = exchange
    ring.is_asynchronous = engine.is_asynchronous
    if engine.open != NULL:
        engine.open(ring, ring_bytes(block))
    return 0


cdef void ring_end(io_ring *ring) noexcept nogil:
    if ring.engine != NULL and ring.engine.close != NULL:
        ring.engine.close(ring)
    ring.engine = NULL  # an engine may take back what a ring had of it, which it must do once


cdef void ring_close(io_ring *ring) noexcept nogil:
    ring_end(ring)
    if ring.n_pending == 0:
        free(ring.memory)
    ring.memory = NULL
    ring.depth = 0


cdef io_slot *ring_free_slot(io_ring *ring) noexcept nogil:
    cdef int i
    for i in range(ring.depth):  # the first free one: the one most likely still in cache
        if ring.slots[i].state == SLOT_FREE:
            return &ring.slots[i]
    return NULL


cdef void slot_read(io_ring *ring, io_slot *slot, int fd, int64_t offset, uint32_t n, bint is_direct) noexcept nogil:
    slot.fd = fd
    slot.offset = offset
    slot.n_bytes = n
    slot.n_io = <uint32_t>whole_pages(n) if is_direct else n
    slot.result = 0
    slot.is_write = False
    slot.is_direct = is_direct
    ring.engine.submit(ring, slot)


cdef void slot_write(io_ring *ring, io_slot *slot, int fd, int64_t offset, uint32_t n, bint is_direct) noexcept nogil:
    slot.fd = fd
    slot.offset = offset
    slot.n_bytes = n
    slot.n_io = n
    slot.result = 0
    slot.is_write = True
    slot.is_direct = is_direct
    if is_direct and n % PAGE_BYTES:  # the file's tail: padded here, cut off when the file is finished
        slot.n_io = <uint32_t>whole_pages(n)
        memset(slot.data + n, 0, slot.n_io - n)
    ring.engine.submit(ring, slot)


cdef int ring_reap(io_ring *ring, int least, fast_err *err) noexcept nogil:
    if ring.n_pending == 0:
        return 0
    return ring.engine.reap(ring, least if least < ring.n_pending else ring.n_pending, err)


cdef io_slot *ring_done_slot(io_ring *ring) noexcept nogil:
    cdef int i
    for i in range(ring.depth):
        if ring.slots[i].state == SLOT_DONE:
            return &ring.slots[i]
    return NULL


cdef const uint8_t *slot_contents(const io_slot *slot) noexcept nogil:
    if slot.lent != NULL:
        return slot.lent
    return slot.data


cdef void slot_give_back(io_ring *ring, io_slot *slot) noexcept nogil:
    if slot.lent != NULL:
        ring.engine.give_back(ring, slot)
        slot.lent = NULL


cdef int slot_wait(io_ring *ring, io_slot *slot, fast_err *err) noexcept nogil:
    while slot.state == SLOT_PENDING:
        if ring_reap(ring, 1, err) < 0:
            return -1
    return 0


cdef int slot_finish(io_ring *ring, io_slot *slot, fast_err *err) noexcept nogil:
    if slot.state == SLOT_DONE and slot.result >= slot.n_bytes:
        return 0
    return ring.engine.finish(ring, slot, err)
