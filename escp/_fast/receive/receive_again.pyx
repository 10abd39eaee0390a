"""A receiver's stream and its next connection; see receive_again.pxd."""

from libc.stdint cimport uint8_t, uint64_t

from escp._fast.base.events cimport EVENT_CUT, EVENT_RESUMED, push_event
from escp._fast.base.libc cimport (EAGAIN, ECONNRESET, EINTR, MSG_WAITALL, errno, escp_flag, escp_wake_idle, memcpy,
                                   recv)
from escp._fast.base.types cimport (FAST_AUTH, FAST_NET, FAST_PROTOCOL, IDLE_S, IV_BYTES, MAX_BATCH, TAG_BYTES,
                                    TELL_BYTES, TELL_FRAMES, clear, fail, fast_err)
from escp._fast.crypto.channel cimport FRAME_META, channel_connection, channel_expect, channel_open
from escp._fast.receive.receive_large cimport end_writes
from escp._fast.receive.receive_state cimport ANSWER_BEFORE, N_TOLD, receive_stream, send_results, tell_taken
from escp._fast.wire.connection cimport (IDLE_BYTES, connection_cut, connection_resumed, echo_take, is_passing,
                                         line_adopt)
from escp._fast.wire.payloads cimport (MESSAGE_TAKEN, META_HEADER_BYTES, RESULT_BYTES, TAKEN_BYTES, get_end,
                                       get_meta_header, meta_header)


cdef int receive_all(receive_stream *t, uint8_t *to, size_t n, fast_err *err) noexcept nogil:
    cdef ssize_t k
    while n:
        k = recv(t.line.fd, to, n, MSG_WAITALL)
        if k < 0:
            if errno == EINTR:
                continue
            if errno != EAGAIN:
                return fail(err, FAST_NET, errno, "receive")
            k = 0
        elif k == 0:
            return fail(err, FAST_NET, ECONNRESET, "receive")
        to += k
        n -= k
        if n and k < IDLE_BYTES:  # in IDLE_S: the sender may have sent more, or lack the last answer
            t.was_idle = True
            if t.ring.n_pending and end_writes(t, 0, err) < 0:
                return -1
            if tell_taken(t, t.n_frames, err) < 0:
                return -1
    return 0


cdef int get_taken(const uint8_t *payload, size_t n, uint64_t *n_results, uint64_t *n_heard,
                   fast_err *err) noexcept nogil:
    cdef meta_header h
    if n != META_HEADER_BYTES + TAKEN_BYTES:
        return 0
    if get_meta_header(payload, n, &h, err) < 0:
        return -1
    if h.message != MESSAGE_TAKEN:
        return 0
    get_end(payload + META_HEADER_BYTES, n_results, n_heard)
    return 1 if h.flags == 0 else fail(err, FAST_PROTOCOL, 0, "message")


cdef int take_unheard(receive_stream *t, uint64_t n_results, uint64_t n_heard, fast_err *err) noexcept nogil:
    cdef bint is_new = t.was_idle
    t.was_idle = False
    if n_results > t.n_told:
        return fail(err, FAST_PROTOCOL, 0, "results taken")
    # What lay there while this side waited for its disk says how it was then.
    return echo_take(&t.echoed, t.line.fd, n_heard, t.n_said, err) if is_new else 0


cdef int receive_taken(receive_stream *t, uint64_t *n_results, uint64_t *n_heard, fast_err *err) noexcept nogil:
    """A frame which must be TAKEN. A bundle's entries stay where they are."""
    cdef uint8_t frame[IV_BYTES + META_HEADER_BYTES + TAKEN_BYTES + TAG_BYTES]
    cdef int type = 0
    cdef size_t n = 0
    cdef int rc
    if receive_all(t, frame, IV_BYTES, err) < 0 or channel_expect(t.line.sealed, frame, &type, &n, err) < 0:
        return -1
    if type != FRAME_META or n != META_HEADER_BYTES + TAKEN_BYTES:
        return fail(err, FAST_AUTH, 0, "frame header")  # nothing has proven that it is the sender's
    if receive_all(t, frame + IV_BYTES, n + TAG_BYTES, err) < 0 or channel_open(t.line.sealed, frame, n, err) < 0:
        return -1
    t.n_heard += 1
    rc = get_taken(frame + IV_BYTES, n, n_results, n_heard, err)
    return 0 if rc > 0 else fail(err, FAST_PROTOCOL, 0, "message") if rc == 0 else -1


cdef int repeat_results(receive_stream *t, uint64_t n_known, fast_err *err) noexcept nogil:
    """Send the results again that the sender does not have."""
    cdef uint8_t frame[ANSWER_BEFORE + MAX_BATCH * RESULT_BYTES + TAG_BYTES]
    cdef int n = 0
    if n_known > t.n_told or t.n_told - n_known > N_TOLD:
        return fail(err, FAST_PROTOCOL, 0, "results taken")
    while n_known < t.n_told:
        n = 0
        while n < MAX_BATCH and n_known < t.n_told:
            memcpy(frame + ANSWER_BEFORE + n * RESULT_BYTES, t.told + n_known % N_TOLD * RESULT_BYTES, RESULT_BYTES)
            n_known += 1
            n += 1
        if send_results(t, frame, n, err) < 0:
            return -1
    return 0


cdef int greet(receive_stream *t, fast_err *err) noexcept nogil:
    """Over a new connection: each end says what it has taken, then lost results go again."""
    cdef uint64_t n_known = 0
    cdef uint64_t n_heard = 0
    t.n_untold = 0
    t.n_untold_bytes = 0
    t.n_said = t.n_heard = 0
    t.echoed.is_known = t.was_idle = False
    escp_wake_idle(t.line.fd, IDLE_S)
    if tell_taken(t, t.n_frames, err) < 0 or receive_taken(t, &n_known, &n_heard, err) < 0:
        return -1
    return repeat_results(t, n_known, err)


cdef int receive_first(receive_stream *t, fast_err *err) noexcept nogil:
    if line_adopt(&t.line, t.state.config.reconnects, True, err) < 0:
        return -1
    if t.state.config.reconnects:
        escp_wake_idle(t.line.fd, IDLE_S)
    if not t.state.config.reconnects or channel_connection(t.line.sealed) == 0 or greet(t, err) == 0:
        return 0
    return receive_again(t, err)


cdef int receive_again(receive_stream *t, fast_err *err) noexcept nogil:
    cdef int rc = -1
    err.offset = t.index
    while rc < 0:
        if escp_flag(&t.state.is_stopped) or not is_passing(err, &t.bad, t.n_frames):
            return -1
        if connection_cut(t.line.whole, t.line.number):
            push_event(&t.state.events, EVENT_CUT, err, False, NULL, 0, NULL, 0)
        clear(err)
        # The sender hears of it over the next connection.
        if end_writes(t, t.ring.n_pending, err) < 0 or line_adopt(&t.line, True, True, err) < 0:
            return -1
        rc = greet(t, err)
        err.offset = t.index
    if connection_resumed(t.line.whole, t.line.number):
        push_event(&t.state.events, EVENT_RESUMED, err, False, NULL, 0, NULL, 0)
    return 0


cdef int count_frame(receive_stream *t, size_t n_meta, fast_err *err) noexcept nogil:
    t.n_frames += 1
    t.n_untold_bytes += n_meta
    t.n_untold += 1
    if t.n_untold < TELL_FRAMES and t.n_untold_bytes < TELL_BYTES:
        return 0
    t.n_untold = 0
    t.n_untold_bytes = 0
    return tell_taken(t, t.n_frames, err)


cdef void stay(receive_stream *t) noexcept nogil:
    cdef fast_err err
    cdef uint64_t n_results = 0
    cdef uint64_t n_heard = 0
    clear(&err)
    while not escp_flag(&t.state.is_stopped):
        if receive_taken(t, &n_results, &n_heard, &err) == 0 and take_unheard(t, n_results, n_heard, &err) == 0:
            continue  # it lacks the end
        if err.code != FAST_NET:
            clear(&err)
            fail(&err, FAST_NET, 0, "data after the end")  # no frame of this stream; nothing of it is looked at
        if receive_again(t, &err) < 0:
            return
