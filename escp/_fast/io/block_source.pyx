"""A program's memory as the contents of a file that is sent; see block_source.pxd."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.number cimport PyNumber_Index
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

import os

cimport cython

from escp._fast.base.counters cimport read_clock
from escp._fast.base.libc cimport (EINVAL, calloc, escp_cond_init, escp_fetch_add, escp_flag, escp_load,
                                   escp_raise_flag, free, memcpy, pthread_cond_broadcast, pthread_cond_destroy,
                                   pthread_cond_wait, pthread_mutex_destroy, pthread_mutex_init, pthread_mutex_lock,
                                   pthread_mutex_unlock)
from escp._fast.base.types cimport FAST_STOPPED, FAST_SYS, MAX_BLOCK_BYTES, SLICE_BYTES, fail, fast_err
from escp._fast.io.block_grid cimport BlockGrid
from escp._fast.io.block_places cimport (PLACE_TAKEN, PUT_DONE, block_source, free_place_locked, next_part,
                                         place, put, put_all, wakes_writers)
from escp._fast.io.pages cimport buffer_stride, buffers_new
from escp._fast.io.ring cimport SLOT_READY, io_engine, io_ring, io_slot

cdef enum:
    PLACES_BYTES = 67108864  # of what is put together
    MIN_PLACES = 16
    MAX_PLACES = 256
    AT_ONCE_BYTES = 16384  # are copied sooner than another thread would have the interpreter
    AHEAD_BLOCKS = 1040000  # receivers take a block so far before the first that is missing, and some more


# ---- For streams ----------------------------------------------------------------------------------

cdef int64_t read_small(io_ring *ring, int fd, uint8_t *to, size_t n) noexcept nogil:
    cdef block_source *s = <block_source *>ring.exchange
    if not s.is_whole or n != s.size:
        return -1  # walkers have its size from the file that stands for it
    if n:
        memcpy(to, s.whole, n)
    escp_fetch_add(&s.n_copied, n)
    escp_raise_flag(&s.is_past)  # its digest goes with it: the receiver needs no more
    return <int64_t>n


cdef void submit(io_ring *ring, io_slot *slot) noexcept nogil:
    slot.state = SLOT_READY


cdef int finish(io_ring *ring, io_slot *slot, fast_err *err) noexcept nogil:
    cdef block_source *s = <block_source *>ring.exchange
    cdef place *p
    if s.is_whole:
        if slot.n_bytes > s.size or <uint64_t>slot.offset > s.size - slot.n_bytes:  # another file stands for it by now
            return fail(err, FAST_SYS, EINVAL, "block")
        slot.lent, slot.lender = s.whole + slot.offset, NULL
        return 0
    pthread_mutex_lock(&s.lock)
    while s.n_ready == 0 and not s.is_stopped:
        pthread_cond_wait(&s.filled, &s.lock)
    if s.is_stopped:
        pthread_mutex_unlock(&s.lock)
        return fail(err, FAST_STOPPED, 0, "block")
    p = &s.places[s.ready[s.first_ready]]
    s.first_ready = (s.first_ready + 1) % s.n_places
    s.n_ready -= 1
    p.state = PLACE_TAKEN
    pthread_mutex_unlock(&s.lock)
    slot.offset, slot.n_bytes = <int64_t>(p.number * s.block), p.n_bytes
    slot.lent, slot.lender = p.data, p
    return 0


cdef void give_back(io_ring *ring, io_slot *slot) noexcept nogil:
    cdef block_source *s = <block_source *>ring.exchange
    cdef place *p = <place *>slot.lender
    cdef int *n_out
    if p == NULL:
        return
    pthread_mutex_lock(&s.lock)
    n_out = p.n_out
    free_place_locked(s, p)
    if wakes_writers(s) or (n_out != NULL and n_out[0] == 0):  # a writer sleeps until all that it has lent is free
        pthread_cond_broadcast(&s.emptied)
    pthread_mutex_unlock(&s.lock)


cdef int await_end(io_ring *ring, int fd, fast_err *err) noexcept nogil:
    cdef block_source *s = <block_source *>ring.exchange
    pthread_mutex_lock(&s.lock)
    while not s.is_committed and not s.is_stopped:
        pthread_cond_wait(&s.filled, &s.lock)
    if not s.is_stopped:
        escp_raise_flag(&s.is_past)
    pthread_mutex_unlock(&s.lock)
    return 0 if escp_flag(&s.is_past) else fail(err, FAST_STOPPED, 0, "commit")


cdef io_engine from_memory
from_memory.name = "memory"
from_memory.read_small = read_small
from_memory.submit = submit
from_memory.finish = finish
from_memory.give_back = give_back
from_memory.await_end = await_end


# ---- For Python -----------------------------------------------------------------------------------

cdef unsigned int n_forks = 0  # of this process and those it came from, since this was loaded


def count_fork():
    global n_forks
    n_forks += 1


os.register_at_fork(after_in_child=count_fork)


cdef class Held:
    """A buffer of the program's, as long as this is there."""
    cdef Py_buffer view
    cdef bint is_held

    def __cinit__(self, data):
        PyObject_GetBuffer(data, &self.view, PyBUF_SIMPLE)
        self.is_held = True

    def __dealloc__(self):
        if self.is_held:
            PyBuffer_Release(&self.view)


def check_contiguous(data):
    """TypeError for what is no buffer, ValueError for one whose bytes do not lie behind one another."""
    view = memoryview(data)
    if not view.c_contiguous:
        raise ValueError("the buffer is not contiguous: give a copy of it")


cdef int hold(object data, Py_buffer *view) except -1:
    """Of what check_contiguous lets pass; PyBuffer_Release ends it."""
    try:
        PyObject_GetBuffer(data, view, PyBUF_SIMPLE)
    except (BufferError, ValueError):
        check_contiguous(data)
        raise
    return 0


@cython.no_gc_clear
cdef class BlockSource:
    """The contents of a file, for one SendPlane.

    *size*: of the file. *block*: of the program's blocks; *stream_block*: as the plane has it. *data*: all of it, whose
    memory is not to change before this object goes; then there are no blocks to write. Any thread; waiting is without
    the GIL.
    """

    def __cinit__(self, uint64_t size, uint64_t block, uint64_t stream_block, data=None):
        cdef block_source *s = &self.s
        cdef Held held
        cdef size_t stride
        cdef bint has_parts
        cdef int i
        pthread_mutex_init(&s.lock, NULL)
        escp_cond_init(&s.filled)
        escp_cond_init(&s.emptied)
        if stream_block == 0 or stream_block % SLICE_BYTES or stream_block > MAX_BLOCK_BYTES or block > MAX_BLOCK_BYTES:
            raise ValueError("a stream's block is a multiple of 256 KiB, and no block has more than 32 MiB")
        s.size, s.block = size, <uint32_t>stream_block
        self.partial = {}
        self.n_forks = n_forks
        if data is not None:
            held = self.held = Held(data)
            if <uint64_t>held.view.len != size:
                raise ValueError("the buffer is not as long as the file")
            s.whole = <const uint8_t *>held.view.buf
            s.is_whole = s.is_committed = True
            return
        self.grid = BlockGrid(size, block)
        has_parts = block % stream_block != 0
        s.n_places = <int>min(max(PLACES_BYTES // stream_block, <uint64_t>MIN_PLACES), <uint64_t>MAX_PLACES)
        s.places = <place *>calloc(s.n_places, sizeof(place))
        s.ready = <int *>calloc(s.n_places, sizeof(int))
        if has_parts:
            s.memory = buffers_new(s.n_places, stream_block)
        if s.places == NULL or s.ready == NULL or (s.memory == NULL and has_parts):
            raise MemoryError("blocks")
        stride = buffer_stride(stream_block)
        for i in range(s.n_places if has_parts else 0):
            s.places[i].own = s.memory + i * stride

    def __dealloc__(self):
        free(self.s.places)
        free(self.s.ready)
        free(self.s.memory)
        pthread_cond_destroy(&self.s.filled)
        pthread_cond_destroy(&self.s.emptied)
        pthread_mutex_destroy(&self.s.lock)

    cdef const io_engine *engine(self) noexcept nogil:
        return &from_memory

    def write(self, offset, data, uint64_t wait_ms):
        """Hand over the block at *offset*, or several that lie together: 0, or why they could not be in time
        (put_result); then the same again.

        ValueError: they must not come. When this returns their memory is the caller's again.
        """
        cdef Py_buffer view
        cdef uint64_t at
        cdef uint64_t n
        cdef uint64_t done
        cdef int rc
        offset = PyNumber_Index(offset)
        hold(data, &view)
        try:
            n = view.len
            done = self.claim(offset, n)
            at = offset
            with nogil:
                rc = put_all(&self.s, at, <const uint8_t *>view.buf, n, &done, read_clock() + wait_ms * 1000000)
            return self.settle(at, n, done, rc)
        finally:
            PyBuffer_Release(&view)

    def write_at_once(self, offset, data):
        """As `write`, for a small block that is copied; whether it was. Nothing is waited for, and the GIL is kept."""
        cdef Py_buffer view
        cdef uint64_t at
        cdef uint64_t n
        cdef uint64_t end = 0
        cdef uint64_t done = 0
        if self.n_forks != n_forks or self.partial:
            return False
        offset = PyNumber_Index(offset)
        hold(data, &view)
        try:
            n = view.len
            if n > AT_ONCE_BYTES:
                return False
            self.claim(offset, n)
            at = offset
            if next_part(&self.s, at, n, 0, &end):
                self.grid.disclaim(at, n)
                return False
            return self.settle(at, n, done, put(&self.s, at, <const uint8_t *>view.buf, n, False, &done, 0)) == PUT_DONE
        finally:
            PyBuffer_Release(&view)

    cdef int64_t claim(self, object offset, uint64_t n) except -1:
        """The caller hands over what lies there. How much of it was handed over before, when the rest came too late."""
        cdef uint64_t low
        before = self.take_partial(offset, n) if self.partial else 0
        self.grid.claim(offset, n)
        low = self.grid.find_low() * self.grid.block
        if (<uint64_t>offset + n) // self.s.block > low // self.s.block + AHEAD_BLOCKS:
            self.grid.disclaim(offset, n)
            raise ValueError(f"the block at offset {offset:,} is too far ahead: the one at offset {low:,} comes first")
        return before

    cdef int settle(self, uint64_t at, uint64_t n, uint64_t done, int rc) except -1:
        """Keeps in mind what of n bytes has been handed over, where that is not all."""
        if rc != PUT_DONE:
            self.grid.disclaim(at, n)
            if done:
                self.partial[at] = (n, done)
        return rc

    cdef object take_partial(self, object offset, uint64_t n):
        """Some of it may be on its way: only the same again completes that."""
        for begun, (n_begun, _) in self.partial.items():
            if begun < offset + n and offset < begun + n_begun and (begun != offset or n != n_begun):
                raise ValueError(f"of the {n_begun:,} bytes at offset {begun:,} some have been taken: write all of "
                                 "them again")
        return self.partial.pop(offset, (n, 0))[1]

    def finish(self):
        """All blocks are there. ValueError says which are not."""
        self.grid.finish()

    def commit(self):
        """The receiver may name the file."""
        pthread_mutex_lock(&self.s.lock)
        self.s.is_committed = True
        pthread_cond_broadcast(&self.s.filled)
        pthread_mutex_unlock(&self.s.lock)

    def stop(self):
        """Nothing more is taken or given, nor the end told unless it may have been. Any number of times."""
        pthread_mutex_lock(&self.s.lock)
        self.s.is_stopped = True
        pthread_cond_broadcast(&self.s.filled)
        pthread_cond_broadcast(&self.s.emptied)
        pthread_mutex_unlock(&self.s.lock)

    def let_go(self):
        """Of the whole buffer. The plane's threads have ended."""
        pthread_mutex_lock(&self.s.lock)
        self.s.is_stopped, self.s.is_whole = True, False
        pthread_mutex_unlock(&self.s.lock)
        self.held = None

    @property
    def is_past(self):
        """The receiver may have been told of the end, and have named the file."""
        return bool(escp_flag(&self.s.is_past))

    @property
    def n_copied(self):
        """Bytes that were copied in this process, of those that were handed over."""
        return escp_load(&self.s.n_copied)
