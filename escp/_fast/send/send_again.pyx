"""A stream's frames once more, over its next connection; see send_again.pxd."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from escp._fast.base.counters cimport read_clock
from escp._fast.base.events cimport EVENT_CUT, push_event
from escp._fast.base.libc cimport (MSG_DONTWAIT, MSG_PEEK, escp_cond_wait_until, escp_count, escp_flag, escp_load,
                                   free, memcpy, memset, pthread_cond_wait, pthread_mutex_lock, pthread_mutex_unlock,
                                   recv)
from escp._fast.base.types cimport (DATA_HEADER_BYTES, FAST_MEMORY, FAST_NET, FAST_PROTOCOL, FAST_STOPPED, IV_BYTES,
                                    PAGE_BYTES, TAG_BYTES, clear, fail, fast_err)
from escp._fast.crypto.channel cimport FRAME_DATA, FRAME_META, channel_connection
from escp._fast.io.pages cimport buffers_new
from escp._fast.io.ring cimport io_slot
from escp._fast.send.read_again cimport read_block_again, read_bundle_again
from escp._fast.send.send_state cimport LOG_BYTES, N_SENT, SENT_BLOCK, SENT_BUNDLE, SENT_META, sent_frame, sent_log
from escp._fast.send.send_stream cimport send_stream, transmit
from escp._fast.wire.connection cimport SAY_S, connection, connection_cut, line_adopt
from escp._fast.wire.payloads cimport (DATA_IS_BUNDLE, MESSAGE_TAKEN, META_HEADER_BYTES, TAKEN_BYTES, data_header,
                                       meta_header, put_data_header, put_end, put_meta_header)


cdef sent_frame *oldest_kept(sent_log *log) noexcept nogil:
    while log.first_kept < log.n_sent and (
            log.first_kept < log.n_confirmed or log.frames[log.first_kept % N_SENT].kind == SENT_BLOCK):
        log.first_kept += 1
    return &log.frames[log.first_kept % N_SENT] if log.first_kept < log.n_sent else NULL


cdef bint find_room(sent_log *log, size_t n, size_t *at) noexcept nogil:
    """Where n bytes may be kept, behind the youngest and before the oldest that is still there."""
    cdef sent_frame *oldest
    if log.n_sent - log.n_confirmed == N_SENT:
        return False
    oldest = oldest_kept(log)
    at[0] = 0 if oldest == NULL else log.head
    if oldest == NULL or oldest.offset < log.head:
        if LOG_BYTES - at[0] >= n:
            return True
        at[0] = 0
    return oldest != NULL and n < oldest.offset - at[0]


# ---- What has come ----------------------------------------------------------------------------------

cdef uint64_t say_due_ns(send_stream *t) noexcept nogil:
    """When to say what has come, if this side waits then."""
    return t.told_ns + SAY_S * <uint64_t>1000000000


cdef bint await_work_locked(send_stream *t) noexcept nogil:
    if not t.state.config.reconnects:
        pthread_cond_wait(&t.state.work, &t.state.lock)
        return False
    escp_cond_wait_until(&t.state.work, &t.state.lock, say_due_ns(t))
    return read_clock() >= say_due_ns(t)


cdef void await_change_locked(send_stream *t) noexcept nogil:
    cdef connection *c = t.line.whole
    escp_cond_wait_until(&c.changed, &c.lock, say_due_ns(t))
    if read_clock() >= say_due_ns(t):
        pthread_mutex_unlock(&c.lock)
        say_heard(t)
        pthread_mutex_lock(&c.lock)


cdef void say_heard(send_stream *t) noexcept nogil:
    cdef fast_err err
    cdef uint8_t byte
    clear(&err)
    t.told_ns = read_clock()
    if recv(t.line.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0:  # who takes results waits for nothing else
        tell_taken(t, &err)  # that the connection is broken, whoever reads from it notices, too


cdef int sent_add(send_stream *t, const uint8_t *payload, size_t n, const data_header *what,
                  fast_err *err) noexcept nogil:
    cdef sent_log *log = &t.state.sent[t.index]
    cdef connection *c = t.line.whole
    cdef int kind = SENT_META if what == NULL else SENT_BUNDLE if what.flags & DATA_IS_BUNDLE else SENT_BLOCK
    cdef sent_frame *f
    cdef size_t at = 0
    if kind == SENT_BUNDLE:
        payload, n = <const uint8_t *>t.bundled, t.n_bundled * sizeof(uint64_t)
    elif kind == SENT_BLOCK:
        n = 0
    pthread_mutex_lock(&c.lock)
    while not find_room(log, n, &at):
        if c.is_cut or c.number != t.line.number:
            pthread_mutex_unlock(&c.lock)
            if send_again(t, err) < 0:
                return -1
            pthread_mutex_lock(&c.lock)
        elif c.is_over:
            pthread_mutex_unlock(&c.lock)
            return fail(err, FAST_STOPPED, 0, "connection")
        else:
            await_change_locked(t)
    f = &log.frames[log.n_sent % N_SENT]
    f.kind = <uint8_t>kind
    if kind == SENT_BLOCK:
        f.id, f.offset, f.n = what.id, what.offset, what.raw_bytes
    else:
        f.offset, f.n = at, <uint32_t>n
        memcpy(log.kept + at, payload, n)
        log.head = at + n
    log.n_sent += 1
    pthread_mutex_unlock(&c.lock)
    return 0


cdef int sent_confirm_locked(sent_log *log, uint64_t n, fast_err *err) noexcept nogil:
    if n < log.n_confirmed or n > log.n_sent:
        return fail(err, FAST_PROTOCOL, 0, "frames taken")
    log.n_confirmed = n
    return 0


cdef int repeat_frame(send_stream *t, uint64_t i, io_slot *slot, fast_err *err) noexcept nogil:
    """Seal frame i and send it."""
    cdef sent_log *log = &t.state.sent[t.index]
    cdef sent_frame *f = &log.frames[i % N_SENT]
    cdef uint8_t *frame = slot.data - DATA_HEADER_BYTES - IV_BYTES
    cdef int64_t n = f.n
    cdef data_header h
    if f.kind == SENT_META:
        memcpy(frame + IV_BYTES, log.kept + f.offset, n)
        return transmit(t, FRAME_META, frame, n, NULL, False, err)
    if f.kind == SENT_BUNDLE:
        n = read_bundle_again(t, log.kept + f.offset, f.n // sizeof(uint64_t), slot.data, err)
        h.id, h.offset, h.flags = 0, 0, DATA_IS_BUNDLE
    else:
        if read_block_again(t, f, slot, err) < 0:
            return -1
        h.id, h.offset, h.flags = f.id, f.offset, 0
    if n < 0:
        return -1
    h.raw_bytes = <uint32_t>n
    put_data_header(frame + IV_BYTES, &h)
    return transmit(t, FRAME_DATA, frame, DATA_HEADER_BYTES + n, slot, False, err)


cdef int await_acks(send_stream *t, bint is_answer, uint64_t *n_confirmed) noexcept nogil:
    """Until results are read from this connection, or (is_answer) the receiver has said what it has. -1: it broke."""
    cdef sent_log *log = &t.state.sent[t.index]
    cdef connection *c = t.line.whole
    cdef int rc = 0
    pthread_mutex_lock(&c.lock)
    while (log.confirmed_on if is_answer else log.acks_on) != t.line.number:
        if c.is_cut or c.is_over or c.number != t.line.number:
            rc = -1
            break
        if is_answer:
            await_change_locked(t)
        else:
            pthread_cond_wait(&c.changed, &c.lock)
    if is_answer:
        n_confirmed[0] = log.n_confirmed
    pthread_mutex_unlock(&c.lock)
    return rc


cdef int tell_taken(send_stream *t, fast_err *err) noexcept nogil:
    """What this side has of the receiver's results, and heard over this connection."""
    cdef sent_log *log = &t.state.sent[t.index]
    cdef uint8_t frame[IV_BYTES + META_HEADER_BYTES + TAKEN_BYTES + TAG_BYTES]
    cdef meta_header h
    h.message, h.flags, h.count, h.raw_bytes = MESSAGE_TAKEN, 0, 1, TAKEN_BYTES
    put_meta_header(frame + IV_BYTES, &h)
    put_end(frame + IV_BYTES + META_HEADER_BYTES, escp_load(&log.n_results), escp_load(&log.n_heard))
    if transmit(t, FRAME_META, frame, META_HEADER_BYTES + TAKEN_BYTES, NULL, False, err) < 0:
        return -1
    escp_count(&t.state.streams[t.index].n_wire, -<int64_t>sizeof(frame))  # nothing has moved
    return 0


cdef int go_on(send_stream *t, io_slot *slot, fast_err *err) noexcept nogil:
    """Over a connection that is new: 1 when all is sent again, 0 when it broke, too."""
    cdef sent_log *log = &t.state.sent[t.index]
    cdef uint64_t i = 0
    if await_acks(t, False, NULL) < 0:
        return 0
    if tell_taken(t, err) < 0:
        return -1
    if await_acks(t, True, &i) < 0:
        return 0
    while i < log.n_sent:
        if repeat_frame(t, i, slot, err) < 0:
            return -1
        i += 1
    return 1


cdef int adopt(send_stream *t, fast_err *err) noexcept nogil:
    cdef sent_log *log = &t.state.sent[t.index]
    if line_adopt(&t.line, t.state.config.reconnects, True, err) < 0:
        return -1
    pthread_mutex_lock(&t.line.whole.lock)
    log.n_said, log.said_on = 0, t.line.number
    pthread_mutex_unlock(&t.line.whole.lock)
    t.told_ns = read_clock()
    return 0


cdef int send_first(send_stream *t, fast_err *err) noexcept nogil:
    cdef int rc = 1
    if adopt(t, err) < 0:
        return -1
    if t.state.config.reconnects and channel_connection(t.line.sealed):
        rc = go_on(t, NULL, err)  # there is nothing to be sent again
    return 0 if rc > 0 else send_again(t, err) if rc == 0 or err.code == FAST_NET else -1


cdef int send_again(send_stream *t, fast_err *err) noexcept nogil:
    cdef io_slot slot
    cdef uint8_t *memory = buffers_new(1, t.state.config.block)  # rare: no stream has room for it all the time
    cdef int rc = 0
    if memory == NULL:
        clear(err)
        return fail(err, FAST_MEMORY, 0, "buffers")
    memset(&slot, 0, sizeof(io_slot))
    slot.data = memory + PAGE_BYTES
    while rc == 0:
        if err.code == 0:
            fail(err, FAST_NET, 0, "send")
        err.offset = t.index
        if connection_cut(t.line.whole, t.line.number):
            push_event(&t.state.events, EVENT_CUT, err, False, NULL, 0, NULL, 0)
        clear(err)
        if adopt(t, err) < 0:
            rc = -1
            break
        rc = go_on(t, &slot, err)
        if rc < 0 and err.code == FAST_NET and not escp_flag(&t.state.is_stopped):
            rc = 0
    free(memory)
    return -1 if rc < 0 else 0


cdef int await_end(send_stream *t, fast_err *err) noexcept nogil:
    cdef sent_log *log = &t.state.sent[t.index]
    cdef connection *c = t.line.whole
    cdef int rc = 0
    pthread_mutex_lock(&c.lock)
    while not log.is_ended and not c.is_over and rc == 0:
        if c.is_cut or c.number != t.line.number:
            pthread_mutex_unlock(&c.lock)
            rc = send_again(t, err)
            pthread_mutex_lock(&c.lock)
        else:
            await_change_locked(t)
    pthread_mutex_unlock(&c.lock)
    return rc
