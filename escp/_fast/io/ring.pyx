"""Blocks between memory and files; see ring.pxd.

Kernel AIO keeps RING_DEPTH blocks of each stream at the disk: reading 4 GiB with four streams went from
0.88 GB/s (one block each) to 1.4 GB/s on a virtual NVMe disk (docs/architecture.md, "Where time goes").
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t, uint8_t

from escp._fast.base.libc cimport (EAGAIN, EINTR, EINVAL, ESPIPE, F_GETFL, F_SETFL, IOCB_CMD_PREAD, IOCB_CMD_PWRITE,
                                   O_DIRECT, POSIX_FADV_WILLNEED, aio_context_t, c_write, errno, escp_dio_align,
                                   escp_io_destroy, escp_io_getevents, escp_io_setup, escp_io_submit, escp_is_memory_fs,
                                   fcntl, free, io_event_t, memset, posix_fadvise, posix_memalign, pread,
                                   pthread_mutex_init, pthread_mutex_lock, pthread_mutex_t, pthread_mutex_unlock,
                                   pwrite)
from escp._fast.base.types cimport (FAST_CHANGED, FAST_MEMORY, FAST_SYS, MAX_STREAMS, PAGE_BYTES, RING_DEPTH, fail,
                                    fast_err)
from escp._fast.crypto.digest cimport is_zero

cdef enum:
    DEEP_BLOCK_BYTES = 4194304  # from here on two blocks at a time are deep enough


cdef int ring_open(io_ring *ring, int engine, size_t block, fast_err *err) noexcept nogil:
    cdef size_t stride = PAGE_BYTES + ((block + PAGE_BYTES - 1) & ~<size_t>(PAGE_BYTES - 1)) + PAGE_BYTES
    cdef int i
    memset(ring, 0, sizeof(io_ring))
    ring.engine = engine
    ring.depth = 2 if block >= DEEP_BLOCK_BYTES else RING_DEPTH
    if posix_memalign(<void **>&ring.memory, PAGE_BYTES, stride * ring.depth):
        ring.memory = NULL
        return fail(err, FAST_MEMORY, 0, "buffers")
    if engine == ENGINE_DUMMY:  # whose reads leave the buffers as they are
        memset(ring.memory, 0, stride * ring.depth)
    for i in range(ring.depth):
        ring.slots[i].data = ring.memory + i * stride + PAGE_BYTES
    ring.aio = AIO_UNTRIED if engine == ENGINE_POSIX else AIO_OFF
    return 0


# Destroying a context takes the kernel some 40 ms (it waits for an RCU grace period), so a ring that closes
# leaves its context to the next one, and the process's end takes all of them at once.
cdef pthread_mutex_t idle_lock
cdef aio_context_t idle[MAX_STREAMS]
cdef int n_idle = 0
pthread_mutex_init(&idle_lock, NULL)


cdef void start_aio(io_ring *ring) noexcept nogil:
    global n_idle
    pthread_mutex_lock(&idle_lock)
    if n_idle:
        n_idle -= 1
        ring.context = idle[n_idle]
        ring.aio = AIO_ON
    pthread_mutex_unlock(&idle_lock)
    if ring.aio != AIO_ON:
        ring.aio = AIO_ON if escp_io_setup(RING_DEPTH, &ring.context) == 0 else AIO_OFF


cdef void end_aio(io_ring *ring) noexcept nogil:
    global n_idle
    if ring.n_pending:
        ring_reap(ring, ring.n_pending)
    pthread_mutex_lock(&idle_lock)
    if n_idle < MAX_STREAMS:
        idle[n_idle] = ring.context
        n_idle += 1
    else:
        escp_io_destroy(ring.context)
    pthread_mutex_unlock(&idle_lock)
    ring.aio = AIO_OFF


cdef void ring_close(io_ring *ring) noexcept nogil:
    if ring.aio == AIO_ON:
        end_aio(ring)
    free(ring.memory)
    ring.memory = NULL
    ring.depth = 0


cdef io_slot *ring_free_slot(io_ring *ring) noexcept nogil:
    cdef int i
    for i in range(ring.depth):  # the first free one: the one most likely still in cache
        if ring.slots[i].state == SLOT_FREE:
            return &ring.slots[i]
    return NULL


cdef void set_direct(int fd, bint wanted) noexcept nogil:
    cdef int flags = fcntl(fd, F_GETFL)
    fcntl(fd, F_SETFL, (flags | O_DIRECT) if wanted else (flags & ~O_DIRECT))


cdef bint can_direct(int fd) noexcept nogil:
    """Whether O_DIRECT works on this file with page alignment, and means that the page cache is left out."""
    cdef uint32_t align = 0
    cdef int flags
    if escp_is_memory_fs(fd) or (escp_dio_align(fd, &align) == 0 and (align == 0 or align > PAGE_BYTES)):
        return False
    flags = fcntl(fd, F_GETFL)
    return fcntl(fd, F_SETFL, flags | O_DIRECT) == 0


cdef void submit(io_ring *ring, io_slot *slot, bint is_direct) noexcept nogil:
    slot.result = 0
    slot.state = SLOT_READY
    if ring.engine == ENGINE_DUMMY:
        slot.result = slot.n_bytes
        slot.state = SLOT_DONE
        return
    if not is_direct:
        if not slot.is_write:  # the kernel reads it meanwhile, this block and those claimed after it
            posix_fadvise(slot.fd, slot.offset, slot.n_bytes, POSIX_FADV_WILLNEED)
        return
    if ring.aio == AIO_UNTRIED:
        start_aio(ring)
    if ring.aio == AIO_OFF:
        return
    memset(&slot.control, 0, sizeof(slot.control))
    slot.control.aio_data = <uint64_t>slot
    slot.control.aio_lio_opcode = IOCB_CMD_PWRITE if slot.is_write else IOCB_CMD_PREAD
    slot.control.aio_fildes = <uint32_t>slot.fd
    slot.control.aio_buf = <uint64_t>slot.data
    slot.control.aio_nbytes = slot.n_io
    slot.control.aio_offset = slot.offset
    if escp_io_submit(ring.context, &slot.control) == 1:
        slot.state = SLOT_PENDING
        ring.n_pending += 1


cdef void slot_read(io_ring *ring, io_slot *slot, int fd, int64_t offset, uint32_t n, bint is_direct) noexcept nogil:
    slot.fd = fd
    slot.offset = offset
    slot.n_bytes = n
    slot.n_io = (n + PAGE_BYTES - 1) & ~<uint32_t>(PAGE_BYTES - 1) if is_direct else n
    slot.is_write = False
    submit(ring, slot, is_direct)


cdef void slot_write(io_ring *ring, io_slot *slot, int fd, int64_t offset, uint32_t n, bint is_direct) noexcept nogil:
    slot.fd = fd
    slot.offset = offset
    slot.n_bytes = n
    slot.n_io = n
    slot.is_write = True
    if is_direct and n % PAGE_BYTES:  # the file's tail: padded here, cut off when the file is finished
        slot.n_io = (n + PAGE_BYTES - 1) & ~<uint32_t>(PAGE_BYTES - 1)
        memset(slot.data + n, 0, slot.n_io - n)
    submit(ring, slot, is_direct)


cdef void ring_reap(io_ring *ring, int least) noexcept nogil:
    cdef io_event_t events[RING_DEPTH]
    cdef io_slot *slot
    cdef int i
    cdef int n
    while ring.n_pending:
        n = escp_io_getevents(ring.context, least, RING_DEPTH, events)
        if n < 0:
            if errno == EINTR:
                continue
            return
        for i in range(n):
            slot = <io_slot *>events[i].data
            slot.result = events[i].res
            slot.state = SLOT_DONE
            ring.n_pending -= 1
        if n >= least:
            return
        least -= n


cdef io_slot *ring_done_slot(io_ring *ring) noexcept nogil:
    cdef int i
    for i in range(ring.depth):
        if ring.slots[i].state == SLOT_DONE:
            return &ring.slots[i]
    return NULL


cdef int write_all(int fd, const uint8_t *data, size_t n, int64_t offset, fast_err *err) noexcept nogil:
    """pwrite, or write where the file has no positions (a pipe), until all is written."""
    cdef ssize_t k
    while n:
        k = pwrite(fd, data, n, offset)
        if k < 0 and errno == ESPIPE:
            k = c_write(fd, data, n)
        if k < 0:
            if errno == EINTR:
                continue
            return fail(err, FAST_SYS, errno, "write")
        data += k
        offset += k
        n -= k
    return 0


cdef bint has_zero_page(const uint8_t *data, size_t n) noexcept nogil:
    cdef size_t at = 0
    while at < n:
        if is_zero(data + at, n - at if n - at < PAGE_BYTES else <size_t>PAGE_BYTES):
            return True
        at += PAGE_BYTES
    return False


cdef int64_t write_pages(int fd, uint8_t *data, size_t n, int64_t offset, bint is_direct, fast_err *err) noexcept nogil:
    """By the page: what file systems allocate in, so the copy occupies what a source of holes and data does."""
    cdef size_t at = 0
    cdef size_t start
    cdef size_t k
    cdef ssize_t done
    cdef int64_t total = 0
    while at < n:
        start = at
        while at < n and not is_zero(data + at, n - at if n - at < PAGE_BYTES else <size_t>PAGE_BYTES):
            at += PAGE_BYTES
        k = (at if at < n else n) - start
        at += PAGE_BYTES  # the zero page that ended it
        if k == 0:
            continue
        done = 0
        if is_direct:
            memset(data + start + k, 0, -k % PAGE_BYTES)
            done = pwrite(fd, data + start, (k + PAGE_BYTES - 1) & ~<size_t>(PAGE_BYTES - 1), offset + start)
            done = 0 if done < 0 else done if <size_t>done < k else <ssize_t>k
            if <size_t>done < k:
                set_direct(fd, False)
        if write_all(fd, data + start + done, k - done, offset + start + done, err) < 0:
            return -1
        total += k
    return total


cdef int slot_finish(io_ring *ring, io_slot *slot, fast_err *err) noexcept nogil:
    cdef int64_t k
    while slot.state == SLOT_PENDING:
        ring_reap(ring, 1)
    if slot.state == SLOT_DONE and slot.result >= slot.n_bytes:
        return 0
    if slot.state == SLOT_DONE and slot.result < 0:
        if slot.result != -EINVAL and slot.result != -EAGAIN:
            return fail(err, FAST_SYS, <int>-slot.result, "write" if slot.is_write else "read")
        # Stricter alignment than statx said, or none: this file goes on through the page cache.
        slot.result = 0
        set_direct(slot.fd, False)
    if slot.is_write:
        if slot.state == SLOT_READY:
            k = pwrite(slot.fd, slot.data, slot.n_io, slot.offset)
            if k >= slot.n_bytes:
                return 0
            if k < 0 and errno != EINVAL and errno != EINTR:
                return fail(err, FAST_SYS, errno, "write")
            slot.result = k if k > 0 else 0
        set_direct(slot.fd, False)  # a short write left an unaligned rest
        return write_all(slot.fd, slot.data + slot.result, slot.n_bytes - slot.result, slot.offset + slot.result, err)
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
            return fail(err, FAST_CHANGED, 0, "read")  # shorter than it was
        slot.result += k
    return 0
