"""What receivers' streams share and what each is made of, and the results they send; see receive_state.pxd."""

from libc.stdint cimport uint32_t, uint64_t, uint8_t

from escp._fast.base.events cimport EVENT_COPIED, EVENT_FILE_FAILED, events_close, events_free, events_open, push_event
from escp._fast.base.libc cimport (MSG_MORE, SHUT_RDWR, c_close, calloc, errno, escp_raise_flag, escp_send_all, free,
                                   malloc, memcpy, memset, pthread_cond_destroy, pthread_cond_init,
                                   pthread_mutex_destroy, pthread_mutex_init, pthread_mutex_lock,
                                   pthread_mutex_unlock, shutdown)
from escp._fast.base.types cimport (FAST_GONE, FAST_MEMORY, FAST_NET, FAST_OK, FAST_STOPPED, FAST_SYS, IV_BYTES,
                                    MAX_BATCH, MAX_META_BYTES, MAX_OPEN_LARGE, MAX_STREAMS, PAGE_BYTES, REASON_NONE,
                                    SMALL_FILE_BYTES, TAG_BYTES, fail, fast_err, is_kept)
from escp._fast.crypto.channel cimport FRAME_META, channel_seal
from escp._fast.crypto.digest cimport digest128
from escp._fast.files.cached cimport cache_close, cache_open
from escp._fast.files.death cimport find_death
from escp._fast.files.durable cimport unsynced
from escp._fast.files.guard cimport guard_reads
from escp._fast.files.journal cimport kept_close
from escp._fast.files.reason cimport find_reason
from escp._fast.files.tree cimport file_discard, file_keep, source_id, tree_close, tree_open
from escp._fast.io.pages cimport buffers_new
from escp._fast.io.ring cimport ring_close, ring_open
from escp._fast.receive.expected cimport expected_free
from escp._fast.receive.roots cimport roots_free, roots_settle
from escp._fast.wire.connection cimport connection_close, connection_open, connection_stop, line_close
from escp._fast.wire.payloads cimport (ENTRY_ASKS_DIRECTORY, ENTRY_DIRECTORY, ENTRY_LARGE, ENTRY_QUERY,
                                       MESSAGE_RESULTS, MESSAGE_STAMPS, MESSAGE_TAKEN, RESULT_BYTES, RESULT_IS_SAME,
                                       STAMP_BYTES, TAKEN_BYTES, entry, meta_header, put_end, put_meta_header,
                                       put_result, put_stamp, result)
from escp._fast.wire.told cimport tell_entry
from escp._fast.wire.zstd cimport ZSTD_createDCtx, ZSTD_freeDCtx


cdef int receive_open(receive_state *s, uint64_t seed) except -1:
    cdef int i
    for i in range(MAX_STREAMS):
        connection_open(&s.connections[i])
    pthread_mutex_init(&s.lock, NULL)
    pthread_cond_init(&s.made, NULL)
    for i in range(MAX_OPEN_LARGE):
        pthread_mutex_init(&s.large[i].writing, NULL)
    tree_open(&s.destination, seed)
    s.destination.is_stopped = &s.is_stopped
    events_open(&s.events)
    return 0


cdef void receive_free(receive_state *s) noexcept nogil:
    """After all threads have ended: drop unfinished files, but for parts."""
    cdef int i
    if s.events.ring == NULL:
        return
    if s.config.engine.detach != NULL:
        s.config.engine.detach(s)
    for i in range(MAX_OPEN_LARGE):
        if s.large[i].is_used:
            if s.large[i].failure.code:
                file_discard(&s.large[i].file)
            else:
                file_keep(&s.large[i].file)
            kept_close(&s.large[i].wish.kept)
            free(s.large[i].came)
            free(s.large[i].extras)
        pthread_mutex_destroy(&s.large[i].writing)
    for i in range(MAX_STREAMS):
        connection_close(&s.connections[i])
    pthread_mutex_destroy(&s.lock)
    pthread_cond_destroy(&s.made)
    tree_close(&s.destination)
    events_free(&s.events)
    roots_free(&s.roots)
    expected_free(&s.expected)


cdef void receive_stop(receive_state *s) noexcept nogil:
    cdef int i
    escp_raise_flag(&s.is_stopped)
    events_close(&s.events)
    for i in range(s.config.n_streams):
        connection_stop(&s.connections[i])


cdef int receive_stream_open(receive_stream *t, receive_state *s, int index, fast_err *err) noexcept nogil:
    memset(t, 0, sizeof(receive_stream))
    t.state = s
    t.index = index
    t.line.whole = &s.connections[index]
    t.line.fd = -1
    cache_open(&t.cache, s.config.n_cached)
    if ring_open(&t.ring, s.config.engine, s.config.exchange, s.config.block, err) < 0:
        return -1
    t.ring.is_stopped = &s.is_stopped
    t.meta = <uint8_t *>malloc(IV_BYTES + MAX_META_BYTES + TAG_BYTES)
    t.body = <uint8_t *>malloc(MAX_META_BYTES)
    t.results = <uint8_t *>malloc(ANSWER_BEFORE + MAX_BATCH * RESULT_BYTES + TAG_BYTES)
    if s.destination.tells_stamps:
        t.stamps = <uint8_t *>malloc(ANSWER_BEFORE + MAX_BATCH * STAMP_BYTES + TAG_BYTES)
    t.bundle = <entry *>malloc(MAX_BATCH * sizeof(entry))
    if s.config.reconnects:
        t.told = <uint8_t *>malloc(N_TOLD * RESULT_BYTES)
    if s.config.has_compression:
        t.packed = <uint8_t *>malloc(PAGE_BYTES + s.config.block + PAGE_BYTES)
    t.zstd = ZSTD_createDCtx()
    if s.config.n_held:
        t.held = <held_file *>calloc(s.config.n_held, sizeof(held_file))
        t.unsynced = <unsynced *>calloc(s.config.n_held, sizeof(unsynced))
        t.check = buffers_new(1, CHECK_BYTES) if s.destination.reads_back else NULL
        if t.held == NULL or t.unsynced == NULL or (t.check == NULL and s.destination.reads_back):
            return fail(err, FAST_MEMORY, 0, "buffers")
    if s.config.itemizes:
        t.old = <uint8_t *>malloc(SMALL_FILE_BYTES)
    if (t.meta == NULL or t.body == NULL or t.results == NULL or t.bundle == NULL or t.zstd == NULL
            or (s.destination.tells_stamps and t.stamps == NULL)
            or (s.config.itemizes and t.old == NULL) or (s.config.reconnects and t.told == NULL)
            or (s.config.has_compression and t.packed == NULL)):
        return fail(err, FAST_MEMORY, 0, "buffers")
    return 0


cdef void drop_held(receive_stream *t) noexcept nogil:
    cdef int i
    for i in range(t.n_waiting):
        file_discard(&t.held[i].file)
    for i in range(t.n_waiting):
        if t.held[i].own_dirfd >= 0:
            c_close(t.held[i].own_dirfd)
    t.n_waiting = 0


cdef void receive_stream_close(receive_stream *t) noexcept nogil:
    if t.state == NULL:
        return
    ring_close(&t.ring)
    cache_close(&t.cache)
    drop_held(t)
    free(t.meta)
    free(t.body)
    free(t.results)
    free(t.stamps)
    free(t.told)
    line_close(&t.line)
    free(t.bundle)
    free(t.packed)
    free(t.held)
    free(t.unsynced)
    free(t.check)
    free(t.old)
    ZSTD_freeDCtx(t.zstd)
    t.state = NULL


cdef void identify(receive_stream *t, const entry *e, source_id *source) noexcept nogil:
    """What *e* must not replace is its own source, where that is on this host."""
    source.dev = source.ino = 0
    if t.sink.link != NULL:
        t.sink.identify(t.sink.link, e.id, source)
    source.reason = REASON_NONE
    if t.state.config.itemizes:
        source.reason = find_reason(&t.state.destination, &t.cache, e,
                                    t.old if t.state.config.has_checksum and guard_reads() else NULL)


cdef int send_answer(receive_stream *t, uint8_t *frame, int message, int count, size_t n_body,
                     fast_err *err) noexcept nogil:
    cdef meta_header h
    if (message != MESSAGE_RESULTS and message != MESSAGE_STAMPS and message != MESSAGE_TAKEN
            and flush_results(t, err) < 0):
        return -1
    if t.sink.link != NULL:
        return t.sink.take(t.sink.link, message, count, frame + ANSWER_BEFORE, err)
    h.message, h.flags, h.count, h.raw_bytes = <uint8_t>message, 0, <unsigned short>count, <uint32_t>n_body
    put_meta_header(frame + IV_BYTES, &h)
    if channel_seal(t.line.sealed, frame, FRAME_META, META_HEADER_BYTES + n_body, NULL, 0, err) < 0:
        return -1
    t.n_said += 1
    # Their results follow at once: the sender wakes up once for both.
    if escp_send_all(t.line.fd, frame, ANSWER_BEFORE + n_body + TAG_BYTES,
                     MSG_MORE if message == MESSAGE_STAMPS else 0) < 0:
        if not t.state.config.reconnects:
            return fail(err, FAST_NET, errno, "send")
        shutdown(t.line.fd, SHUT_RDWR)
    return 0


cdef int send_results(receive_stream *t, uint8_t *frame, int count, fast_err *err) noexcept nogil:
    return send_answer(t, frame, MESSAGE_RESULTS, count, <size_t>count * RESULT_BYTES, err)


cdef int tell_taken(receive_stream *t, uint64_t n, fast_err *err) noexcept nogil:
    cdef uint8_t frame[ANSWER_BEFORE + TAKEN_BYTES + TAG_BYTES]
    put_end(frame + ANSWER_BEFORE, n, t.n_heard)
    return send_answer(t, frame, MESSAGE_TAKEN, 1, TAKEN_BYTES, err)


cdef void keep_results(receive_stream *t, int n) noexcept nogil:
    cdef int i
    for i in range(n):
        memcpy(t.told + t.n_told % N_TOLD * RESULT_BYTES, t.results + ANSWER_BEFORE + i * RESULT_BYTES, RESULT_BYTES)
        t.n_told += 1


cdef int flush_results(receive_stream *t, fast_err *err) noexcept nogil:
    cdef int n = t.n_results
    cdef int n_stamps = t.n_stamps
    t.n_results = t.n_stamps = 0
    # Before the results: then the sender still knows what they are of. Those that a broken connection loses stay lost.
    if n_stamps and send_answer(t, t.stamps, MESSAGE_STAMPS, n_stamps, <size_t>n_stamps * STAMP_BYTES, err) < 0:
        return -1
    if t.told != NULL:
        keep_results(t, n)  # before: they are sealed where they lie
    return send_results(t, t.results, n, err) if n else 0


cdef int add_result(receive_stream *t, const entry *e, const fast_err *own, int flags, bint is_told,
                    const digest128 *digest, fast_err *err) noexcept nogil:
    cdef result r
    cdef receive_state *s = t.state
    cdef bint is_done = own.code == FAST_OK or (is_kept(own.code) and s.config.names_attributes)
    cdef bint is_file
    cdef int death = 0
    if own.code == FAST_SYS:
        death = find_death(&s.destination, &t.cache, e, own.sys_errno)
    if death:  # every file that is left would fail
        return fail(err, FAST_GONE, death, "target")
    if t.n_results == MAX_BATCH and flush_results(t, err) < 0:
        return -1
    r.id, r.flags, r.code, r.sys_errno = e.id, <uint8_t>flags, <uint8_t>own.code, <uint32_t>own.sys_errno
    if is_kept(own.code) and not is_done:  # to a sender that only knows of failures it is one
        r.code = FAST_SYS
    r.digest.high = r.digest.low = 0
    if digest != NULL:
        r.digest = digest[0]
    put_result(t.results + ANSWER_BEFORE + t.n_results * RESULT_BYTES, &r)
    t.n_results += 1
    if t.stamp and own.code == FAST_OK:
        put_stamp(t.stamps + ANSWER_BEFORE + t.n_stamps * STAMP_BYTES, e.id, t.stamp)
        t.n_stamps += 1
    t.stamp = 0
    pthread_mutex_lock(&s.lock)
    if is_done and e.kind == ENTRY_DIRECTORY:
        s.n_directories += 1
    elif is_done:
        s.n_files += e.kind < ENTRY_QUERY and not flags
        s.n_same += flags == RESULT_IS_SAME and not e.flags & ENTRY_ASKS_DIRECTORY
    s.n_failed += own.code != FAST_OK and not flags
    pthread_mutex_unlock(&s.lock)
    if e.kind < ENTRY_QUERY and not flags:
        roots_settle(&s.roots, e, is_kept(own.code))
        if s.config.tells_copied and own.code == FAST_OK and e.kind != ENTRY_DIRECTORY:
            is_file = s.config.has_checksum and e.kind <= ENTRY_LARGE
            tell_entry(&s.events, EVENT_COPIED, REASON_NONE, e.kind, e.size, e.path, e.path_bytes, NULL, 0,
                       digest if is_file else NULL)
    if own.code and own.code != FAST_STOPPED and not is_told:
        push_event(&s.events, EVENT_FILE_FAILED, own, False, e.path, e.path_bytes, NULL, 0)
    return 0
