"""Files that are another program's memory; see shmem_engine.pxd."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from escp._fast.base.libc cimport EBUSY, EINVAL, escp_set_errno, memcpy
from escp._fast.base.types cimport FAST_OK, FAST_SYS, clear, fail, fast_err
from escp._fast.io.ring cimport SLOT_READY, io_ring, io_slot
from escp._fast.io.segments cimport (SEGMENT_NAME_BYTES, WORD_FREE, WORD_FULL, attached, await_ended, await_word,
                                     check_client, claim_target, conclude, find_source, has_word, move,
                                     segment_attach, segment_detach, segment_ring, segment_store8, segment_tell,
                                     tell_moved)


cdef int copy(const io_ring *ring, attached *a, uint64_t offset, uint8_t *data, uint64_t n, uint32_t awaited,
              fast_err *err) noexcept nogil:
    """Out of the program's blocks, each once it is FULL, to *data*; or into them, each once it is FREE."""
    cdef uint64_t number
    cdef uint64_t at
    cdef uint64_t k
    cdef uint8_t *place
    while n:
        number, at = offset // a.plan.block_bytes, offset % a.plan.block_bytes
        k = a.plan.block_bytes - at
        k = k if k < n else n
        if not has_word(a, number, awaited):
            tell_moved(a)
            if await_word(ring, a, number, awaited, err) < 0:
                return -1
        place = a.data + number % a.plan.n_blocks * a.plan.block_bytes + at
        if awaited == WORD_FULL:
            memcpy(data, place, k)
            move(a, number, <uint32_t>k, WORD_FREE)
        else:
            memcpy(place, data, k)
            move(a, number, <uint32_t>k, WORD_FULL)
        offset, data, n = offset + k, data + k, n - k
    tell_moved(a)
    return -1 if check_client(ring, a, err) < 0 else 0


cdef int64_t read_small(io_ring *ring, int fd, uint8_t *to, size_t n) noexcept nogil:
    cdef attached *a = find_source(fd)
    cdef fast_err err
    clear(&err)
    if a == NULL or n != a.size:
        escp_set_errno(EINVAL)
    elif copy(ring, a, 0, to, n, WORD_FULL, &err) == 0 and await_ended(ring, a, &err) == 0:
        return <int64_t>n
    else:
        escp_set_errno(err.sys_errno)
    return -1


cdef void submit(io_ring *ring, io_slot *slot) noexcept nogil:
    slot.state = SLOT_READY


cdef int lend(io_ring *ring, attached *a, io_slot *slot, fast_err *err) noexcept nogil:
    """The stream's block where it lies, once all of the program's blocks that it is made of are there."""
    cdef uint64_t number = slot.offset // a.plan.block_bytes
    cdef uint64_t last = (slot.offset + slot.n_bytes - 1) // a.plan.block_bytes
    while number <= last:
        if await_word(ring, a, number, WORD_FULL, err) < 0:
            return -1
        number += 1
    slot.lent = a.data + <uint64_t>slot.offset % (a.plan.block_bytes * <uint64_t>a.plan.n_blocks)
    slot.lender = a
    return 0


cdef int finish(io_ring *ring, io_slot *slot, fast_err *err) noexcept nogil:
    cdef attached *a
    cdef uint64_t room
    if slot.is_write:
        return copy(ring, <attached *>ring.exchange, slot.offset, slot.data, slot.n_bytes, WORD_FREE, err)
    a = find_source(slot.fd)
    if a == NULL or slot.offset + slot.n_bytes > <int64_t>a.size:
        return fail(err, FAST_SYS, EINVAL, "segment")
    room = a.plan.block_bytes * <uint64_t>a.plan.n_blocks
    if ring.is_private or slot.offset % room + slot.n_bytes > room or (
            slot.n_bytes > room // 2):  # else the program has nowhere to go on meanwhile
        return copy(ring, a, slot.offset, slot.data, slot.n_bytes, WORD_FULL, err)
    return lend(ring, a, slot, err)


cdef void give_back(io_ring *ring, io_slot *slot) noexcept nogil:
    cdef attached *a = <attached *>slot.lender
    cdef uint64_t offset = slot.offset
    cdef uint64_t n = slot.n_bytes
    cdef uint64_t k
    while n:
        k = a.plan.block_bytes - offset % a.plan.block_bytes
        k = k if k < n else n
        move(a, offset // a.plan.block_bytes, <uint32_t>k, WORD_FREE)
        offset, n = offset + k, n - k
    tell_moved(a)


cdef int await_end(io_ring *ring, int fd, fast_err *err) noexcept nogil:
    cdef attached *a = find_source(fd)
    return fail(err, FAST_SYS, EINVAL, "segment") if a == NULL else await_ended(ring, a, err)


cdef int begin(void *exchange, const char *name, size_t n_name, uint64_t size, fast_err *err) noexcept nogil:
    cdef attached *a = <attached *>exchange
    if not claim_target(a):
        return fail(err, FAST_SYS, EBUSY, "segment")
    a.size = size
    n_name = n_name if n_name < SEGMENT_NAME_BYTES - 1 else SEGMENT_NAME_BYTES - 1
    memcpy(a.shared.name, name, n_name)
    segment_store8(&a.shared.received_size, size + 1)
    segment_ring(&a.shared.client_bell, &a.shared.client_waits)
    return 0


cdef int settle(io_ring *ring, fast_err *err) noexcept nogil:
    """All that came was taken by the program, or *err* says what is wrong already."""
    cdef attached *a = <attached *>ring.exchange
    cdef uint64_t number = 0
    cdef uint64_t n = (a.size + a.plan.block_bytes - 1) // a.plan.block_bytes
    number = n - a.plan.n_blocks if n > a.plan.n_blocks else <uint64_t>0
    while err.code == FAST_OK and number < n:
        await_word(ring, a, number + a.plan.n_blocks, WORD_FREE, err)
        number += 1
    conclude(a, err)
    return 0 if err.code == FAST_OK else -1


cdef int put_small(io_ring *ring, const uint8_t *data, size_t n, fast_err *err) noexcept nogil:
    return copy(ring, <attached *>ring.exchange, 0, <uint8_t *>data, n, WORD_FREE, err)


shmem_engine.name = "shmem"
shmem_engine.takes_blocks = True
shmem_engine.read_small = read_small
shmem_engine.put_small = put_small
shmem_engine.submit = submit
shmem_engine.finish = finish
shmem_engine.give_back = give_back
shmem_engine.await_end = await_end
shmem_engine.attach = segment_attach
shmem_engine.begin = begin
shmem_engine.settle = settle
shmem_engine.tell = segment_tell
shmem_engine.detach = segment_detach
