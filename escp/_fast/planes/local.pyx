"""Both ends of a stream in one process; see local.pxd.

No block is copied: the receiver's slot gets the buffer that was read into, and the sender's slot gets the receiver's.

Where the file system can share extents (FICLONE) a large file is whole as soon as it is created. Nothing is read then,
so there is nothing to digest and nothing that a limit could slow down. What is verified is that the sizes are equal and
that the source has not changed. docs/architecture.md says why copy_file_range is not used, and why small files go
through the page cache.
"""

from libc.stdint cimport uint8_t, uint64_t

from escp._fast.base.counters cimport read_clock
from escp._fast.base.events cimport EVENT_FATAL, EVENT_FINISHED, push_event
from escp._fast.base.libc cimport (EOPNOTSUPP, ENOTTY, EXDEV, errno, escp_clone, escp_fetch_add, escp_flag, escp_load,
                                   escp_store, fstat, poll, pthread_mutex_lock, pthread_mutex_unlock, stat_t)
from escp._fast.base.types cimport (DATA_HEADER_BYTES, FAST_CHANGED, FAST_PROTOCOL, FAST_STOPPED, FAST_SYS, IV_BYTES,
                                    fail, fast_err)
from escp._fast.crypto.channel cimport FRAME_DATA
from escp._fast.files.tree cimport source_id
from escp._fast.io.ring cimport io_slot, ring_end, ring_free_slot
from escp._fast.receive.receive cimport end_stream, take_data, take_meta
from escp._fast.receive.receive_large cimport end_writes
from escp._fast.receive.receive_state cimport flush_results, receive_stop, receive_stream
from escp._fast.send.acks cimport take_result
from escp._fast.send.send cimport send_loop
from escp._fast.send.send_kept cimport take_kept
from escp._fast.send.send_stamps cimport take_stamps
from escp._fast.send.send_stream cimport send_stream
from escp._fast.send.send_state cimport N_FLIGHTS, flight
from escp._fast.wire.payloads cimport MESSAGE_END, MESSAGE_KEPT, MESSAGE_STAMPS, RESULT_BYTES, entry, get_result, result


cdef enum:
    PACE_MS = 50  # the longest sleep before the next look whether the copy was stopped


# ---- From the sender to the receiver ----------------------------------------------------------------

cdef int exchange_buffer(local_stream *t, io_slot *slot, uint8_t *data, fast_err *err) noexcept nogil:
    """Give the receiver's *slot* the buffer *data* of the sender's ring, which gets that slot's instead."""
    cdef int i
    for i in range(t.sender.ring.depth):
        if t.sender.ring.slots[i].data == data:
            t.sender.ring.slots[i].data = slot.data
            slot.data = data
            return 0
    return fail(err, FAST_PROTOCOL, 0, "buffer")


cdef int deliver(local_stream *t, int type, uint8_t *frame, size_t n, fast_err *err) noexcept nogil:
    cdef io_slot *slot = ring_free_slot(&t.receiver.ring)
    cdef bint is_end = False
    while slot == NULL:  # metadata may need one, too: see receive_query.pyx
        if end_writes(t.receiver, 1, err) < 0:
            return -1
        slot = ring_free_slot(&t.receiver.ring)
    if type == FRAME_DATA:
        if (exchange_buffer(t, slot, frame + IV_BYTES + DATA_HEADER_BYTES, err) < 0
                or take_data(t.receiver, slot, frame, n, err) < 0):
            return -1
    elif take_meta(t.receiver, frame, n, &is_end, err) < 0:
        return -1
    if flush_results(t.receiver, err) < 0:
        return -1
    return end_stream(t.receiver, err) if is_end else 0


cdef int fail_receiver(void *link, const fast_err *err) noexcept nogil:
    """Make the receiving plane fail for the same reason. The sending one fails by itself, as send_loop gets -1."""
    cdef local_stream *t = <local_stream *>link
    if not escp_flag(&t.link.receiving.is_stopped):
        push_event(&t.link.receiving.events, EVENT_FATAL, err, False, NULL, 0, NULL, 0)
        receive_stop(t.link.receiving)
    return -1


cdef bint pace(local_link *link, size_t n) noexcept nogil:
    """Wait as long as n more bytes take at the limit's rate; time that was not used is not saved. False: the copy was
    stopped."""
    cdef uint64_t now = read_clock()
    cdef uint64_t end
    pthread_mutex_lock(&link.pace)
    if link.busy_until_ns < now:
        link.busy_until_ns = now
    link.busy_until_ns += <uint64_t>(<double>n * 1e9 / <double>link.limit_bytes_per_s)
    end = link.busy_until_ns
    pthread_mutex_unlock(&link.pace)
    while now < end and not escp_flag(&link.sending.is_stopped):
        poll(NULL, 0, <int>(PACE_MS if end - now > PACE_MS * 1000000 else (end - now) // 1000000 + 1))
        now = read_clock()
    return not escp_flag(&link.sending.is_stopped)


cdef int take_frame(void *link, int type, uint8_t *frame, size_t n, fast_err *err) noexcept nogil:
    cdef local_stream *t = <local_stream *>link
    if t.link.limit_bytes_per_s and type == FRAME_DATA and not pace(t.link, n - DATA_HEADER_BYTES):
        return fail(err, FAST_STOPPED, 0, "limit")
    return fail_receiver(t, err) if deliver(t, type, frame, n, err) < 0 else 0


cdef int settle(void *link, fast_err *err) noexcept nogil:
    cdef local_stream *t = <local_stream *>link
    return fail_receiver(t, err) if end_writes(t.receiver, 1, err) < 0 else 0


# ---- From the receiver to the sender ----------------------------------------------------------------

cdef int take_answer(void *link, int message, int count, const uint8_t *body, fast_err *err) noexcept nogil:
    cdef local_stream *t = <local_stream *>link
    cdef result one
    cdef int i
    if message == MESSAGE_END:
        if escp_fetch_add(&t.link.n_ended, 1) + 1 == <uint64_t>t.link.sending.config.n_streams:
            push_event(&t.link.sending.events, EVENT_FINISHED, err, False, NULL, 0, NULL, 0)
        return 0
    if message == MESSAGE_KEPT:
        return take_kept(t.link.sending, body, count, err)
    if message == MESSAGE_STAMPS:
        return take_stamps(t.link.sending, body, count, err)
    for i in range(count):
        if get_result(body + i * RESULT_BYTES, &one, err) < 0 or take_result(t.link.sending, &one, err) < 0:
            return -1
    return 0


cdef void identify_source(void *link, uint64_t id, source_id *source) noexcept nogil:
    cdef flight *f = &(<local_stream *>link).link.sending.flights[id % N_FLIGHTS]
    source.dev, source.ino = f.dev, f.ino


cdef int clone_source(void *link, const entry *e, int fd, fast_err *err) noexcept nogil:
    cdef local_stream *t = <local_stream *>link
    cdef flight *f = &t.link.sending.flights[e.id % N_FLIGHTS]
    cdef stat_t status
    if (t.link.sending.config.fault_offset >= 0 or not t.link.sending.config.engine.can_clone
            or f.dev == escp_load(&t.link.no_clones_from)):
        return 0
    if escp_clone(fd, f.large.fd) < 0:
        if errno == EOPNOTSUPP or errno == EXDEV or errno == ENOTTY:
            escp_store(&t.link.no_clones_from, f.dev)
        return 0
    f.large.is_cloned = True
    if fstat(fd, &status) < 0:
        fail(err, FAST_SYS, errno, "stat")
        return -1
    if <uint64_t>status.st_size != e.size:
        fail(err, FAST_CHANGED, 0, "size")
        return -1
    return 1


# ---- The thread -------------------------------------------------------------------------------------

cdef void local_join(local_stream *t, local_link *link, send_stream *sender, receive_stream *receiver) noexcept nogil:
    t.link = link
    t.sender = sender
    t.receiver = receiver
    sender.sink.link = receiver.sink.link = t
    sender.ring.is_private = True
    sender.sink.take = take_frame
    sender.sink.settle = settle
    sender.sink.fail = fail_receiver
    sender.sink.n_writes = &receiver.ring.n_pending
    receiver.sink.take = take_answer
    receiver.sink.identify = identify_source
    receiver.sink.clone = clone_source


cdef void local_loop(local_stream *t) noexcept nogil:
    send_loop(t.sender)
    # Buffers have changed rings: while the kernel works on any of them, none is freed.
    ring_end(&t.sender.ring)
    ring_end(&t.receiver.ring)
    if t.sender.ring.n_pending or t.receiver.ring.n_pending:
        t.sender.ring.memory = t.receiver.ring.memory = NULL
