"""A program's memory as the target of a file that is received; see block_sink.pxd."""

from cpython.buffer cimport PyBuffer_FillInfo, PyObject_GetBuffer
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

cimport cython

from escp._fast.base.counters cimport read_clock
from escp._fast.base.libc cimport (calloc, escp_cond_init, escp_cond_wait_until, free, memcpy, pthread_cond_broadcast,
                                   pthread_cond_destroy, pthread_cond_signal, pthread_cond_wait,
                                   pthread_mutex_destroy, pthread_mutex_init, pthread_mutex_lock,
                                   pthread_mutex_unlock)
from escp._fast.base.types cimport FAST_STOPPED, PAGE_BYTES, fail, fast_err
from escp._fast.io.pages cimport buffer_stride, buffers_new
from escp._fast.io.ring cimport SLOT_READY, depth_of, io_engine, io_ring, io_slot

cdef enum:
    AHEAD_BYTES = 33554432  # that a program may have beside what streams need
    MIN_AHEAD = 8


# ---- For streams ----------------------------------------------------------------------------------

cdef void open_ring(io_ring *ring, size_t n) noexcept nogil:
    """The ring's own memory stays untouched, and so is none."""
    cdef block_sink *s = <block_sink *>ring.exchange
    cdef int i
    pthread_mutex_lock(&s.lock)
    for i in range(ring.depth):
        s.n_empty -= 1  # there are enough for all rings
        ring.slots[i].data = s.empty[s.n_empty]
    pthread_mutex_unlock(&s.lock)


cdef void close_ring(io_ring *ring) noexcept nogil:
    cdef block_sink *s = <block_sink *>ring.exchange
    cdef int i
    pthread_mutex_lock(&s.lock)
    for i in range(ring.depth):
        s.empty[s.n_empty] = ring.slots[i].data
        s.n_empty += 1
    pthread_mutex_unlock(&s.lock)


cdef int64_t read_small(io_ring *ring, int fd, uint8_t *to, size_t n) noexcept nogil:
    return -1


cdef void submit(io_ring *ring, io_slot *slot) noexcept nogil:
    slot.state = SLOT_READY


cdef uint8_t *take_empty_locked(block_sink *s, fast_err *err) noexcept nogil:
    """Waits for an empty buffer; NULL: it is stopped."""
    while s.n_empty == 0 and not s.is_stopped:
        pthread_cond_wait(&s.room, &s.lock)
    if s.is_stopped:
        fail(err, FAST_STOPPED, 0, "block")
        return NULL
    s.n_empty -= 1
    return s.empty[s.n_empty]


cdef void put_ready_locked(block_sink *s, uint8_t *data, int64_t offset, uint32_t n) noexcept nogil:
    cdef arrival *a = &s.ready[(s.first_ready + s.n_ready) % s.n_buffers]
    a.data, a.offset, a.n = data, offset, n
    s.n_ready += 1
    pthread_cond_signal(&s.arrived)


cdef int finish(io_ring *ring, io_slot *slot, fast_err *err) noexcept nogil:
    cdef block_sink *s = <block_sink *>ring.exchange
    cdef uint8_t *data
    pthread_mutex_lock(&s.lock)
    data = take_empty_locked(s, err)
    if data != NULL:
        put_ready_locked(s, slot.data, slot.offset, slot.n_bytes)
        slot.data = data
    pthread_mutex_unlock(&s.lock)
    return 0 if data != NULL else -1


cdef int put_small(io_ring *ring, const uint8_t *data, size_t n, fast_err *err) noexcept nogil:
    cdef block_sink *s = <block_sink *>ring.exchange
    cdef uint8_t *room
    pthread_mutex_lock(&s.lock)
    room = take_empty_locked(s, err)
    if room != NULL:
        memcpy(room, data, n)
        put_ready_locked(s, room, 0, <uint32_t>n)
    pthread_mutex_unlock(&s.lock)
    return 0 if room != NULL else -1


cdef io_engine to_memory
to_memory.name = "memory"
to_memory.takes_blocks = True
to_memory.open = open_ring
to_memory.close = close_ring
to_memory.read_small = read_small
to_memory.put_small = put_small
to_memory.submit = submit
to_memory.finish = finish


# ---- For the program ------------------------------------------------------------------------------

@cython.no_gc_clear
cdef class BlockSink:
    """The contents of a file as they arrive, for one ReceivePlane. Any thread; waiting is without the GIL."""

    def __cinit__(self):
        pthread_mutex_init(&self.s.lock, NULL)
        escp_cond_init(&self.s.arrived)
        escp_cond_init(&self.s.room)

    def __dealloc__(self):
        free(self.s.memory)
        free(self.s.empty)
        free(self.s.ready)
        pthread_cond_destroy(&self.s.arrived)
        pthread_cond_destroy(&self.s.room)
        pthread_mutex_destroy(&self.s.lock)

    cdef const io_engine *open(self, int n_streams, uint32_t block) except NULL:
        cdef block_sink *s = &self.s
        cdef int i
        if s.memory != NULL:
            raise ValueError("a plane has these blocks already")
        s.n_buffers = n_streams * depth_of(block) + <int>max(AHEAD_BYTES // block, <uint32_t>MIN_AHEAD)
        s.memory = buffers_new(s.n_buffers, block)
        s.empty = <uint8_t **>calloc(s.n_buffers, sizeof(uint8_t *))
        s.ready = <arrival *>calloc(s.n_buffers, sizeof(arrival))
        if s.memory == NULL or s.empty == NULL or s.ready == NULL:
            raise MemoryError("blocks")
        for i in range(s.n_buffers):
            s.empty[i] = s.memory + i * buffer_stride(block) + PAGE_BYTES
        s.n_empty = s.n_buffers
        return &to_memory

    def take(self, uint64_t wait_ms):
        """The next Block; None: none came in time, or `end` has been called and all are taken."""
        cdef block_sink *s = &self.s
        cdef uint64_t due_ns = read_clock() + wait_ms * 1000000
        cdef arrival found
        cdef Loan loan
        cdef Block block
        cdef bint is_there
        with nogil:
            pthread_mutex_lock(&s.lock)
            while s.n_ready == 0 and not s.is_over and not s.is_stopped:
                if escp_cond_wait_until(&s.arrived, &s.lock, due_ns):
                    break
            is_there = s.n_ready > 0 and not s.is_stopped
            if is_there:
                found = s.ready[s.first_ready]
                s.first_ready = (s.first_ready + 1) % s.n_buffers
                s.n_ready -= 1
            pthread_mutex_unlock(&s.lock)
        if not is_there:
            return None
        loan = Loan.__new__(Loan)
        loan.sink, loan.what = self, found
        block = Block.__new__(Block)
        block.loan = loan
        return block

    def end(self):
        """No more will arrive."""
        pthread_mutex_lock(&self.s.lock)
        self.s.is_over = True
        pthread_cond_broadcast(&self.s.arrived)
        pthread_mutex_unlock(&self.s.lock)

    def stop(self):
        """No more are taken, of those that are there, too. Any number of times."""
        pthread_mutex_lock(&self.s.lock)
        self.s.is_stopped = True
        pthread_cond_broadcast(&self.s.arrived)
        pthread_cond_broadcast(&self.s.room)
        pthread_mutex_unlock(&self.s.lock)


@cython.no_gc  # nothing of it leads back to it; and a collector that clears it would take the sink away too early
cdef class Loan:
    def __getbuffer__(self, Py_buffer *view, int flags):
        if self.what.data == NULL:
            raise ValueError("the block has been released")
        PyBuffer_FillInfo(view, self, self.what.data, self.what.n, 1, flags)
        self.n_views += 1

    def __releasebuffer__(self, Py_buffer *view):
        self.n_views -= 1

    def __dealloc__(self):
        self.give_back()

    cdef void give_back(self) noexcept:
        cdef block_sink *s
        if self.what.data == NULL:
            return
        s = &self.sink.s
        pthread_mutex_lock(&s.lock)
        s.empty[s.n_empty] = self.what.data
        s.n_empty += 1
        pthread_cond_signal(&s.room)
        pthread_mutex_unlock(&s.lock)
        self.what.data = NULL


@cython.no_gc
cdef class Block:
    """Bytes of a file that is received. They were verified by their frame's tag; the file is when all have come."""

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyObject_GetBuffer(self.loan, view, flags)

    def __len__(self):
        return self.loan.what.n

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.release()

    @property
    def offset(self):
        """Of its first byte in the file."""
        return self.loan.what.offset

    @property
    def data(self):
        """A memoryview, read-only, until `release`. ValueError: it has been released."""
        if self.view is None:
            self.view = memoryview(self.loan)
        return self.view

    def release(self):
        """The memory may be used for another block. BufferError: something still looks at it. Any number of times."""
        if self.loan.what.data == NULL:
            return
        if self.view is not None:
            self.view.release()
            self.view = None
        if self.loan.n_views:
            raise BufferError("something still looks at the block: it can't be released")
        self.loan.give_back()
