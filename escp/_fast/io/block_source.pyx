"""A program's memory as the contents of a file that is sent; see block_source.pxd."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

cimport cython

from escp._fast.base.counters cimport read_clock
from escp._fast.base.libc cimport (EINVAL, calloc, escp_cond_init, escp_cond_wait_until, escp_fetch_add,
                                   escp_flag, escp_load, escp_raise_flag, free, memcpy, pthread_cond_broadcast,
                                   pthread_cond_destroy, pthread_cond_signal, pthread_cond_wait,
                                   pthread_mutex_destroy, pthread_mutex_init, pthread_mutex_lock,
                                   pthread_mutex_unlock)
from escp._fast.base.types cimport FAST_STOPPED, FAST_SYS, MAX_BLOCK_BYTES, SLICE_BYTES, fail, fast_err
from escp._fast.io.block_grid cimport BlockGrid
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
    if p == NULL:
        return
    pthread_mutex_lock(&s.lock)
    free_place_locked(p)
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


# ---- For writers ----------------------------------------------------------------------------------

cdef void free_place_locked(place *p) noexcept nogil:
    if p.n_out != NULL:
        p.n_out[0] -= 1
    p.n_out = NULL
    p.state = PLACE_FREE


cdef place *find_place_locked(block_source *s, uint64_t number, bint *is_full) noexcept nogil:
    """The one in which that block is put together, or a free one. *is_full*: nothing under way will free any."""
    cdef place *found = NULL
    cdef int i
    if s.last != NULL and s.last.state == PLACE_FILLING and s.last.number == number:
        return s.last
    is_full[0] = True
    for i in range(s.n_places):
        if s.places[i].state == PLACE_FILLING and s.places[i].number == number:
            return &s.places[i]
        if s.places[i].state == PLACE_FREE and found == NULL:
            found = &s.places[i]
        if s.places[i].state != PLACE_FILLING or s.places[i].n_writing:
            is_full[0] = False
    return found


cdef void put_ready_locked(block_source *s, place *p) noexcept nogil:
    p.state = PLACE_READY
    s.ready[(s.first_ready + s.n_ready) % s.n_places] = <int>(p - s.places)
    s.n_ready += 1
    pthread_cond_signal(&s.filled)


cdef void fill_place_locked(block_source *s, place *p, uint64_t offset, const uint8_t *data, uint32_t n) noexcept nogil:
    """Copies n bytes of the program's, which belong to *offset* in the file, into the place's buffer."""
    cdef uint64_t start = p.number * s.block
    s.last = p
    if p.state == PLACE_FREE:
        p.state = PLACE_FILLING
        p.n_filled = 0
        p.data = p.own
        p.n_bytes = <uint32_t>(s.size - start if s.size - start < s.block else s.block)
    p.n_writing += 1
    pthread_mutex_unlock(&s.lock)
    memcpy(p.own + (offset - start), data, n)
    pthread_mutex_lock(&s.lock)
    p.n_writing -= 1
    p.n_filled += n
    escp_fetch_add(&s.n_copied, n)
    if p.n_filled == p.n_bytes:
        put_ready_locked(s, p)


cdef uint64_t withdraw_locked(block_source *s, const int *n_out) noexcept nogil:
    """Takes back what is lent to no stream yet, of one write: its last bytes, for streams take in order. Returns how
    many."""
    cdef uint64_t n = 0
    cdef int i = 0
    cdef int n_kept = 0
    cdef int number
    for i in range(s.n_ready):
        number = s.ready[(s.first_ready + i) % s.n_places]
        if s.places[number].n_out == n_out:
            n += s.places[number].n_bytes
            free_place_locked(&s.places[number])
        else:
            s.ready[(s.first_ready + n_kept) % s.n_places] = number
            n_kept += 1
    s.n_ready = n_kept
    return n


cdef int put(block_source *s, uint64_t offset, const uint8_t *data, uint64_t n, uint64_t *done,
             uint64_t due_ns) noexcept nogil:
    """Hands over n bytes from *done* on, which goes on as far as it gets. What is lent is free again on return."""
    cdef int n_out = 0
    cdef int rc = PUT_DONE
    cdef bint is_full = False
    cdef uint64_t number
    cdef uint64_t k
    cdef place *p
    pthread_mutex_lock(&s.lock)
    while rc == PUT_DONE and (done[0] < n or n_out):
        p = NULL
        if s.is_stopped:
            rc = PUT_STOPPED
            break
        if done[0] < n:
            number = (offset + done[0]) // s.block
            p = find_place_locked(s, number, &is_full)
        if p == NULL:
            if escp_cond_wait_until(&s.emptied, &s.lock, due_ns):
                rc = PUT_FULL if is_full and done[0] < n else PUT_LATE
            continue
        k = (number + 1) * s.block - offset - done[0]
        k = k if k < n - done[0] else n - done[0]
        p.number = number
        if s.lends:
            p.data, p.n_bytes, p.n_out = data + done[0], <uint32_t>k, &n_out
            n_out += 1
            put_ready_locked(s, p)
        else:
            fill_place_locked(s, p, offset + done[0], data + done[0], <uint32_t>k)
        done[0] += k
    if n_out:
        done[0] -= withdraw_locked(s, &n_out)
        pthread_cond_broadcast(&s.emptied)
    while n_out:  # streams are sealing them
        pthread_cond_wait(&s.emptied, &s.lock)
    if done[0] == n:
        rc = PUT_DONE
    pthread_mutex_unlock(&s.lock)
    return rc


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
        cdef int i
        pthread_mutex_init(&s.lock, NULL)
        escp_cond_init(&s.filled)
        escp_cond_init(&s.emptied)
        if stream_block == 0 or stream_block % SLICE_BYTES or stream_block > MAX_BLOCK_BYTES or block > MAX_BLOCK_BYTES:
            raise ValueError("a stream's block is a multiple of 256 KiB, and no block has more than 32 MiB")
        s.size, s.block = size, <uint32_t>stream_block
        self.partial = {}
        if data is not None:
            held = self.held = Held(data)
            if <uint64_t>held.view.len != size:
                raise ValueError("the buffer is not as long as the file")
            s.whole = <const uint8_t *>held.view.buf
            s.is_whole = s.is_committed = True
            return
        self.grid = BlockGrid(size, block)
        s.lends = block % stream_block == 0
        s.n_places = <int>min(max(PLACES_BYTES // stream_block, <uint64_t>MIN_PLACES), <uint64_t>MAX_PLACES)
        s.places = <place *>calloc(s.n_places, sizeof(place))
        s.ready = <int *>calloc(s.n_places, sizeof(int))
        if not s.lends:
            s.memory = buffers_new(s.n_places, stream_block)
        if s.places == NULL or s.ready == NULL or (s.memory == NULL and not s.lends):
            raise MemoryError("blocks")
        stride = buffer_stride(stream_block)
        for i in range(s.n_places if not s.lends else 0):
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
        """Hand over the block at *offset*: 0, or why it could not be in time (put_result); then the same block again.

        ValueError: it must not come. When this returns its memory is the caller's again.
        """
        cdef Py_buffer view
        cdef uint64_t at
        cdef uint64_t done
        cdef uint64_t n
        cdef int rc
        try:
            PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        except (BufferError, ValueError):
            check_contiguous(data)
            raise
        try:
            n = view.len
            self.grid.claim(offset, n)
            at, done = offset, self.partial.pop(offset, 0) if self.partial else 0
            if (at + n) // self.s.block > self.grid.find_low() * self.grid.block // self.s.block + AHEAD_BLOCKS:
                self.grid.disclaim(at)
                raise ValueError(f"the block at offset {offset:,} is too far ahead: the one at offset "
                                 f"{self.grid.find_low() * self.grid.block:,} comes first")
            rc = PUT_LATE
            if n <= AT_ONCE_BYTES and not self.s.lends:
                rc = put(&self.s, at, <const uint8_t *>view.buf, n, &done, 0)  # waits for nothing
            if rc == PUT_LATE or rc == PUT_FULL:
                with nogil:
                    rc = put(&self.s, at, <const uint8_t *>view.buf, n, &done, read_clock() + wait_ms * 1000000)
            if rc != PUT_DONE:
                self.grid.disclaim(at)
                self.partial[offset] = done
            return rc
        finally:
            PyBuffer_Release(&view)

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
