"""Files through the kernel; see posix_engine.pxd.

Kernel AIO keeps RING_DEPTH blocks of each stream at the disk: reading 4 GiB with four streams went from
0.88 GB/s (one block each) to 1.4 GB/s on a virtual NVMe disk (docs/architecture.md, "Where time goes").
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t, uint8_t

from escp._fast.base.libc cimport (EAGAIN, EINTR, EINVAL, EIO, IOCB_CMD_PREAD, IOCB_CMD_PWRITE, POSIX_FADV_WILLNEED,
                                   aio_context_t, errno, escp_io_destroy, escp_io_getevents, escp_io_setup,
                                   escp_io_submit, escp_pread_all, io_event_t, iocb_t, memset, posix_fadvise, pread,
                                   pthread_mutex_init, pthread_mutex_lock, pthread_mutex_t, pthread_mutex_unlock,
                                   pwrite)
from escp._fast.base.types cimport FAST_CHANGED, FAST_SYS, MAX_STREAMS, RING_DEPTH, clear, fail, fast_err
from escp._fast.io.pages cimport set_direct, write_all
from escp._fast.io.ring cimport SLOT_DONE, SLOT_PENDING, SLOT_READY, io_ring, io_slot


# ring.own is the ring's AIO context: made for its first direct block, NULL before.
# Destroying a context takes the kernel some 40 ms (it waits for an RCU grace period), so a ring that closes
# leaves its context to the next one, and the process's end takes all of them at once.
cdef pthread_mutex_t idle_lock
cdef aio_context_t idle[MAX_STREAMS]
cdef int n_idle = 0
pthread_mutex_init(&idle_lock, NULL)


cdef bint has_aio(io_ring *ring) noexcept nogil:
    """Whether the ring has an AIO context, made now if need be. There may be no such system call, or fs.aio-max-nr
    is used up."""
    global n_idle
    cdef aio_context_t context = 0
    if ring.own != NULL or not ring.is_asynchronous:
        return ring.own != NULL
    pthread_mutex_lock(&idle_lock)
    if n_idle:
        n_idle -= 1
        context = idle[n_idle]
    pthread_mutex_unlock(&idle_lock)
    if context == 0 and escp_io_setup(RING_DEPTH, &context) < 0:
        ring.is_asynchronous = False
        return False
    ring.own = <void *>context
    return True


cdef void open_ring(io_ring *ring, size_t n) noexcept nogil:
    pass


cdef void close_ring(io_ring *ring) noexcept nogil:
    global n_idle
    cdef aio_context_t context = <aio_context_t>ring.own
    cdef fast_err err
    cdef bint is_kept = False
    if context == 0:
        return
    clear(&err)
    if reap(ring, ring.n_pending, &err) == 0:
        pthread_mutex_lock(&idle_lock)
        is_kept = n_idle < MAX_STREAMS
        if is_kept:
            idle[n_idle] = context
            n_idle += 1
        pthread_mutex_unlock(&idle_lock)
    if not is_kept and escp_io_destroy(context) == 0:  # it waits for what is pending
        ring.n_pending = 0
    ring.own = NULL
    ring.is_asynchronous = False


cdef void prefetch(int fd) noexcept nogil:
    posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED)


cdef int64_t read_small(io_ring *ring, int fd, uint8_t *to, size_t n) noexcept nogil:
    return escp_pread_all(fd, to, n, 0)


cdef void submit(io_ring *ring, io_slot *slot) noexcept nogil:
    cdef iocb_t control  # the kernel copies it
    slot.state = SLOT_READY
    if not slot.is_direct:
        if not slot.is_write:  # the kernel reads ahead from now on, of all blocks that are claimed
            posix_fadvise(slot.fd, slot.offset, slot.n_bytes, POSIX_FADV_WILLNEED)
        return
    if not has_aio(ring):
        return
    memset(&control, 0, sizeof(control))
    control.aio_data = <uint64_t>slot
    control.aio_lio_opcode = IOCB_CMD_PWRITE if slot.is_write else IOCB_CMD_PREAD
    control.aio_fildes = <uint32_t>slot.fd
    control.aio_buf = <uint64_t>slot.data
    control.aio_nbytes = slot.n_io
    control.aio_offset = slot.offset
    if escp_io_submit(<aio_context_t>ring.own, &control) == 1:
        slot.state = SLOT_PENDING
        ring.n_pending += 1


cdef int reap(io_ring *ring, int least, fast_err *err) noexcept nogil:
    cdef io_event_t events[RING_DEPTH]
    cdef io_slot *slot
    cdef int i
    cdef int n
    while True:
        n = escp_io_getevents(<aio_context_t>ring.own, least, RING_DEPTH, events)
        if n < 0 and errno == EINTR:
            continue
        if n < 0 or (n == 0 and least > 0):
            return fail(err, FAST_SYS, errno if n < 0 else EIO, "io_getevents")
        for i in range(n):
            slot = <io_slot *>events[i].data
            slot.result = events[i].res
            slot.state = SLOT_DONE
            ring.n_pending -= 1
        least -= n
        if least <= 0:
            return 0


cdef int finish_write(io_slot *slot, fast_err *err) noexcept nogil:
    cdef int64_t k
    if slot.state == SLOT_READY:
        k = pwrite(slot.fd, slot.data, slot.n_io, slot.offset)
        if k >= slot.n_bytes:
            return 0
        if k < 0 and errno != EINVAL and errno != EINTR:
            return fail(err, FAST_SYS, errno, "write")
        slot.result = k if k > 0 else 0
    set_direct(slot.fd, False)  # a short write left an unaligned rest
    return write_all(slot.fd, slot.data + slot.result, slot.n_bytes - slot.result, slot.offset + slot.result, err)


cdef int finish_read(io_slot *slot, fast_err *err) noexcept nogil:
    cdef int64_t k
    while slot.result < slot.n_bytes:
        k = pread(slot.fd, slot.data + slot.result, slot.n_io - slot.result, slot.offset + slot.result)
        if k < 0:
            if errno == EINTR:
                continue
            if errno == EINVAL:
                set_direct(slot.fd, False)
                slot.n_io = slot.n_bytes
                k = pread(slot.fd, slot.data + slot.result, slot.n_io - slot.result, slot.offset + slot.result)
            if k < 0:
                return fail(err, FAST_SYS, errno, "read")
        if k == 0:
            return fail(err, FAST_CHANGED, 0, "read")  # the file is shorter than it was
        slot.result += k
    return 0


cdef int finish(io_ring *ring, io_slot *slot, fast_err *err) noexcept nogil:
    if slot.state == SLOT_DONE and slot.result < 0:
        if slot.result != -EINVAL and slot.result != -EAGAIN:
            return fail(err, FAST_SYS, <int>-slot.result, "write" if slot.is_write else "read")
        # O_DIRECT wants more alignment than statx said, or does not work: this file goes on through the page cache.
        slot.result = 0
        set_direct(slot.fd, False)
    return finish_write(slot, err) if slot.is_write else finish_read(slot, err)


posix_engine.name = "posix"
posix_engine.has_files = posix_engine.can_clone = posix_engine.is_asynchronous = True
posix_engine.open = open_ring
posix_engine.close = close_ring
posix_engine.prefetch = prefetch
posix_engine.read_small = read_small
posix_engine.submit = submit
posix_engine.reap = reap
posix_engine.finish = finish
