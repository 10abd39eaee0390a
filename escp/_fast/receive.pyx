"""The receiver's streams; see receive.pxd. The flow of one block:

    receive into a ring's slot -> open -> [zstd] -> hash -> write (kernel AIO) -> count -> maybe finish the file

Nothing of a frame is looked at before its tag has verified. Results go back on the stream whose thread
found them.
"""

from libc.stdint cimport uint32_t, uint64_t, uint8_t

from escp._fast.channel cimport channel_expect, channel_open, channel_seal, FRAME_DATA, FRAME_META
from escp._fast.digest cimport digest128, digest_add, digest_finish, digest_update
from escp._fast.engine cimport (can_direct, ENGINE_DUMMY, io_slot, ring_close, ring_done_slot, ring_free_slot,
                                ring_open, ring_reap, slot_finish, SLOT_FREE, SLOT_PENDING, slot_write,
                                write_all)
from escp._fast.events cimport (EVENT_FATAL, EVENT_FILE_FAILED, EVENT_FINISHED, events_close, events_free,
                                events_open, push_event)
from escp._fast.libc cimport (calloc, clock_gettime, CLOCK_MONOTONIC, EAGAIN, ECONNRESET, EDQUOT, EFBIG,
                              EINTR, ENOSPC, errno, escp_count, escp_fetch_add, escp_flag, escp_raise_flag,
                              fallocate, free, ftruncate, malloc, memcpy, memset, MSG_DONTWAIT, MSG_NOSIGNAL,
                              MSG_WAITALL, pthread_mutex_destroy, pthread_mutex_init, pthread_mutex_lock,
                              pthread_mutex_unlock, recv, send, SHUT_RDWR, shutdown, timespec_t)
from escp._fast.tree cimport (cache_close, cache_open, directory_finish, file_commit, file_create,
                              file_discard, new_file)
from escp._fast.types cimport (clear, DATA_HEADER_BYTES, fail, FAST_DIGEST, fast_err, FAST_MEMORY, FAST_NET,
                               FAST_OK, FAST_PROTOCOL, FAST_STOPPED, FAST_SYS, IV_BYTES, MAX_BATCH,
                               MAX_META_BYTES, MAX_OPEN_LARGE, MAX_STREAMS, PAGE_BYTES, SLICE_BYTES, TAG_BYTES)
from escp._fast.wire cimport (data_header, DATA_IS_BUNDLE, DATA_IS_ZSTD, END_BYTES, entry, ENTRY_DIRECTORY,
                              ENTRY_IS_ABANDONED, ENTRY_LARGE, ENTRY_SMALL, get_data_header, get_end,
                              get_entry, get_meta_header, MESSAGE_END, MESSAGE_ENTRIES, MESSAGE_RESULTS,
                              meta_header, META_HEADER_BYTES, META_IS_ZSTD, put_end, put_meta_header,
                              put_result, result, RESULT_BYTES, RESULT_IS_EARLY)


cdef extern from "<zstd.h>" nogil:
    void *ZSTD_createDCtx()
    size_t ZSTD_freeDCtx(void *)
    size_t ZSTD_decompressDCtx(void *, void *, size_t, const void *, size_t)


# ---- State ------------------------------------------------------------------------------------------

cdef int receive_open(receive_state *s) except -1:
    cdef int i
    for i in range(MAX_STREAMS):
        s.sockets[i] = -1
    pthread_mutex_init(&s.lock, NULL)
    for i in range(MAX_OPEN_LARGE):
        pthread_mutex_init(&s.large[i].writing, NULL)
    events_open(&s.events)
    return 0


cdef void receive_free(receive_state *s) noexcept nogil:
    """After all threads have ended: drop unfinished files."""
    cdef int i
    if s.events.ring == NULL:
        return
    for i in range(MAX_OPEN_LARGE):
        if s.large[i].is_used:
            file_discard(&s.large[i].file)
            free(s.large[i].came)
        pthread_mutex_destroy(&s.large[i].writing)
    pthread_mutex_destroy(&s.lock)
    events_free(&s.events)


cdef void receive_stop(receive_state *s) noexcept nogil:
    cdef int i
    escp_raise_flag(&s.is_stopped)
    events_close(&s.events)
    for i in range(s.config.n_streams):
        if s.sockets[i] >= 0:
            shutdown(s.sockets[i], SHUT_RDWR)


cdef int receive_stream_open(receive_stream *t, receive_state *s, int index, fast_err *err) noexcept nogil:
    memset(t, 0, sizeof(receive_stream))
    t.state = s
    t.index = index
    cache_open(&t.cache)
    if ring_open(&t.ring, s.config.engine, s.config.block, err) < 0:
        return -1
    t.meta = <uint8_t *>malloc(IV_BYTES + MAX_META_BYTES + TAG_BYTES)
    t.body = <uint8_t *>malloc(MAX_META_BYTES)
    t.answer = <uint8_t *>malloc(IV_BYTES + META_HEADER_BYTES + MAX_BATCH * RESULT_BYTES + TAG_BYTES)
    t.bundle = <entry *>malloc(MAX_BATCH * sizeof(entry))
    if s.config.has_compression:
        t.packed = <uint8_t *>malloc(PAGE_BYTES + s.config.block + PAGE_BYTES)
    t.zstd = ZSTD_createDCtx()
    if (t.meta == NULL or t.body == NULL or t.answer == NULL or t.bundle == NULL or t.zstd == NULL
            or (s.config.has_compression and t.packed == NULL)):
        return fail(err, FAST_MEMORY, 0, "buffers")
    return 0


cdef void receive_stream_close(receive_stream *t) noexcept nogil:
    if t.state == NULL:
        return
    ring_close(&t.ring)
    cache_close(&t.cache)
    free(t.meta)
    free(t.body)
    free(t.answer)
    free(t.bundle)
    free(t.packed)
    ZSTD_freeDCtx(t.zstd)
    t.state = NULL


# ---- Results ----------------------------------------------------------------------------------------

cdef int send_answer(receive_stream *t, int message, int count, size_t n_body, fast_err *err) noexcept nogil:
    """Seal and send the body of n_body bytes at t.answer + 16."""
    cdef meta_header h
    cdef uint8_t *at = t.answer
    cdef size_t left = IV_BYTES + META_HEADER_BYTES + n_body + TAG_BYTES
    cdef ssize_t k
    h.message, h.flags, h.count, h.raw_bytes = <uint8_t>message, 0, <unsigned short>count, <uint32_t>n_body
    put_meta_header(t.answer + IV_BYTES, &h)
    if channel_seal(t.state.channels[t.index], t.answer, FRAME_META, META_HEADER_BYTES + n_body, err) < 0:
        return -1
    while left:
        k = send(t.state.sockets[t.index], at, left, MSG_NOSIGNAL)
        if k < 0:
            if errno == EINTR:
                continue
            return fail(err, FAST_NET, errno, "send")
        at += k
        left -= k
    return 0


cdef int flush_results(receive_stream *t, fast_err *err) noexcept nogil:
    cdef int n = t.n_results
    t.n_results = 0
    return send_answer(t, MESSAGE_RESULTS, n, <size_t>n * RESULT_BYTES, err) if n else 0


cdef int add_result(receive_stream *t, const entry *e, const fast_err *own, int flags, const digest128 *digest,
                    fast_err *err) noexcept nogil:
    cdef result r
    cdef receive_state *s = t.state
    if t.n_results == MAX_BATCH and flush_results(t, err) < 0:
        return -1
    r.id, r.flags, r.code, r.sys_errno = e.id, <uint8_t>flags, <uint8_t>own.code, <uint32_t>own.sys_errno
    r.digest.high = r.digest.low = 0
    if digest != NULL:
        r.digest = digest[0]
    put_result(t.answer + IV_BYTES + META_HEADER_BYTES + t.n_results * RESULT_BYTES, &r)
    t.n_results += 1
    pthread_mutex_lock(&s.lock)
    if own.code == FAST_OK and e.kind == ENTRY_DIRECTORY:
        s.n_directories += 1
    elif own.code == FAST_OK:
        s.n_files += 1
    elif not flags:
        s.n_failed += 1
    pthread_mutex_unlock(&s.lock)
    if own.code and own.code != FAST_STOPPED:
        push_event(&s.events, EVENT_FILE_FAILED, own, False, e.path, e.path_bytes, NULL, 0)
    return 0


# ---- Small files ------------------------------------------------------------------------------------

cdef int write_small(receive_stream *t, const entry *e, const uint8_t *data, digest128 *digest,
                     fast_err *own) noexcept nogil:
    cdef new_file f
    cdef receive_state *s = t.state
    digest.high = digest.low = 0
    if s.config.has_checksum:
        digest_update(digest, data, e.size, 0)
        digest_finish(digest, e.size)
        if digest.high != e.digest.high or digest.low != e.digest.low:
            return fail(own, FAST_DIGEST, 0, "verify")
    if s.config.engine == ENGINE_DUMMY:
        return 0
    if file_create(&s.destination, &t.cache, e, True, &f, own) < 0:
        return -1
    if write_all(f.fd, data, e.size, 0, own) < 0:
        file_discard(&f)
        return -1
    escp_fetch_add(&s.n_disk, e.size)
    return file_commit(&s.destination, &f, e, own)


cdef int write_bundle(receive_stream *t, const uint8_t *data, fast_err *err) noexcept nogil:
    cdef fast_err own
    cdef digest128 digest
    cdef int i
    for i in range(t.n_bundle):
        clear(&own)
        write_small(t, &t.bundle[i], data, &digest, &own)
        data += t.bundle[i].size
        if add_result(t, &t.bundle[i], &own, 0, &digest, err) < 0:
            return -1
    t.n_bundle = 0
    t.bundle_bytes = 0
    return 0


# ---- Large files ------------------------------------------------------------------------------------

cdef open_large *find_large_locked(receive_state *s, uint64_t id) noexcept nogil:
    cdef int i
    for i in range(MAX_OPEN_LARGE):
        if s.large[i].is_used and s.large[i].id == id:
            return &s.large[i]
    return NULL


cdef void create_large(receive_stream *t, open_large *l) noexcept nogil:
    """Create the file and its space, so that writes may come in any order and fail early if they won't fit."""
    cdef receive_state *s = t.state
    if s.config.engine == ENGINE_DUMMY:
        return
    if file_create(&s.destination, &t.cache, &l.what, False, &l.file, &l.failure) < 0:
        return
    if l.file.is_in_place or not s.config.is_direct or not can_direct(l.file.fd):
        return
    l.is_direct = True
    if fallocate(l.file.fd, 0, 0, l.what.size) < 0:
        if errno == ENOSPC or errno == EDQUOT or errno == EFBIG:
            fail(&l.failure, FAST_SYS, errno, "allocate")
        elif ftruncate(l.file.fd, l.what.size) < 0:
            fail(&l.failure, FAST_SYS, errno, "allocate")


cdef int begin_large(receive_stream *t, const entry *e, open_large **out, fast_err *err) noexcept nogil:
    """The open file of this entry, created if this stream is the first to hear of it."""
    cdef receive_state *s = t.state
    cdef open_large *l
    cdef uint64_t n_blocks = (e.size + s.config.block - 1) // s.config.block
    cdef int i
    pthread_mutex_lock(&s.lock)
    l = find_large_locked(s, e.id)
    if l != NULL:
        pthread_mutex_unlock(&s.lock)
        out[0] = l
        return 0
    for i in range(MAX_OPEN_LARGE):
        if not s.large[i].is_used:
            l = &s.large[i]
            break
    if l == NULL or e.size == 0 or e.kind != ENTRY_LARGE:
        pthread_mutex_unlock(&s.lock)
        return fail(err, FAST_PROTOCOL, 0, "large file")
    l.is_used = True
    l.id = e.id
    l.what = e[0]
    memcpy(l.path, e.path, e.path_bytes)
    l.what.path = l.path
    l.file.fd = l.file.dirfd = -1
    l.file.has_temporary_name = l.file.owns_dirfd = False
    l.is_direct = l.is_failure_told = l.has_end = l.is_abandoned = False
    l.n_begun = l.n_done = l.n_total = l.low_block = 0
    l.digest.high = l.digest.low = 0
    l.window = n_blocks if n_blocks < WINDOW_BLOCKS else <uint64_t>WINDOW_BLOCKS
    l.came = <uint8_t *>calloc(l.window // 8 + 1, 1)
    clear(&l.failure)
    if l.came == NULL:
        l.is_used = False
        pthread_mutex_unlock(&s.lock)
        return fail(err, FAST_MEMORY, 0, "large file")
    pthread_mutex_lock(&l.writing)  # others that find it wait here until it exists
    pthread_mutex_unlock(&s.lock)
    create_large(t, l)
    pthread_mutex_unlock(&l.writing)
    out[0] = l
    return 0


cdef int check_block_locked(receive_state *s, open_large *l, const data_header *h, fast_err *err) noexcept nogil:
    """Blocks are whole, lie on their grid and come once."""
    cdef uint64_t block = s.config.block
    cdef uint64_t number = h.offset // block
    cdef uint64_t bit = number % l.window
    cdef uint64_t left
    if h.offset % block or h.offset >= l.what.size:
        return fail(err, FAST_PROTOCOL, 0, "block offset")
    left = l.what.size - h.offset
    if h.raw_bytes != (left if left < block else block):
        return fail(err, FAST_PROTOCOL, 0, "block length")
    if number < l.low_block or number - l.low_block >= l.window or l.came[bit >> 3] >> (bit & 7) & 1:
        return fail(err, FAST_PROTOCOL, 0, "block twice")
    l.n_begun += h.raw_bytes
    if l.has_end and l.n_begun > l.n_total:  # the file may be finished under this block's feet
        return fail(err, FAST_PROTOCOL, 0, "block after the end")
    l.came[bit >> 3] |= <uint8_t>(1 << (bit & 7))
    while l.came[(l.low_block % l.window) >> 3] >> ((l.low_block % l.window) & 7) & 1:
        l.came[(l.low_block % l.window) >> 3] &= <uint8_t>~(1 << ((l.low_block % l.window) & 7))
        l.low_block += 1
    return 0


cdef int finish_large(receive_stream *t, open_large *l, fast_err *err) noexcept nogil:
    """All its bytes have come: verify, name and answer, or discard."""
    cdef receive_state *s = t.state
    cdef bint is_real = s.config.engine != ENGINE_DUMMY
    if l.is_abandoned:
        fail(&l.failure, FAST_STOPPED, 0, "abandoned")
    elif l.n_done != l.what.size:
        fail(&l.failure, FAST_DIGEST, 0, "length")
    if s.config.has_checksum:
        digest_finish(&l.digest, l.what.size)
        if l.digest.high != l.expected.high or l.digest.low != l.expected.low:
            fail(&l.failure, FAST_DIGEST, 0, "verify")
    if is_real and l.failure.code == FAST_OK and l.is_direct and l.what.size % PAGE_BYTES:
        if ftruncate(l.file.fd, l.what.size) < 0:
            fail(&l.failure, FAST_SYS, errno, "truncate")
    if l.failure.code:
        file_discard(&l.file)
    elif is_real:
        file_commit(&s.destination, &l.file, &l.what, &l.failure)
    if l.is_failure_told:
        l.failure.code = FAST_STOPPED  # said already
    if add_result(t, &l.what, &l.failure, 0, &l.digest, err) < 0:
        return -1
    pthread_mutex_lock(&s.lock)
    free(l.came)
    l.came = NULL
    l.is_used = False
    pthread_mutex_unlock(&s.lock)
    return 0


cdef int count_block(receive_stream *t, open_large *l, uint64_t n, const digest128 *part, const fast_err *own,
                     fast_err *err) noexcept nogil:
    """A block has been written, or *own* says why not. The last one finishes the file."""
    cdef receive_state *s = t.state
    cdef bint is_finished
    cdef bint tells = False
    pthread_mutex_lock(&s.lock)
    if part != NULL:
        digest_add(&l.digest, part)
    if own.code:
        fail(&l.failure, own.code, own.sys_errno, own.where)
    l.n_done += n
    is_finished = l.has_end and l.n_done == l.n_total
    if l.failure.code and not l.is_failure_told and not is_finished:
        l.is_failure_told = tells = True
    pthread_mutex_unlock(&s.lock)
    if is_finished:
        return finish_large(t, l, err)
    if tells:  # the sender need not go on with it
        return add_result(t, &l.what, &l.failure, RESULT_IS_EARLY, NULL, err)
    return 0


cdef int end_large(receive_stream *t, const entry *e, fast_err *err) noexcept nogil:
    cdef receive_state *s = t.state
    cdef open_large *l = NULL
    cdef bint is_finished
    pthread_mutex_lock(&s.lock)
    l = find_large_locked(s, e.id)
    if l == NULL or l.has_end or e.size < l.n_begun or e.size > l.what.size:
        pthread_mutex_unlock(&s.lock)
        return fail(err, FAST_PROTOCOL, 0, "end of a large file")
    l.has_end = True
    l.n_total = e.size
    l.is_abandoned = e.flags & ENTRY_IS_ABANDONED
    l.expected = e.digest
    is_finished = l.n_done == l.n_total
    pthread_mutex_unlock(&s.lock)
    return finish_large(t, l, err) if is_finished else 0


cdef int take_block(receive_stream *t, io_slot *slot, const data_header *h, fast_err *err) noexcept nogil:
    """A block of a large file lies at slot.data: check, hash, write."""
    cdef receive_state *s = t.state
    cdef open_large *l
    cdef digest128 part
    cdef fast_err own
    cdef bint is_dropped
    clear(&own)
    part.high = part.low = 0
    pthread_mutex_lock(&s.lock)
    l = find_large_locked(s, h.id)
    if l == NULL:
        fail(err, FAST_PROTOCOL, 0, "block of an unknown file")
    elif check_block_locked(s, l, h, err) == 0:
        is_dropped = l.failure.code != FAST_OK
    pthread_mutex_unlock(&s.lock)
    if err.code:
        return -1
    if s.config.has_checksum:
        digest_update(&part, slot.data, h.raw_bytes, h.offset // SLICE_BYTES)
    pthread_mutex_lock(&l.writing)  # it may still be under creation
    is_dropped = l.failure.code != FAST_OK or s.config.engine == ENGINE_DUMMY
    if l.is_direct and not is_dropped:
        pthread_mutex_unlock(&l.writing)
        pthread_mutex_lock(&s.lock)
        digest_add(&l.digest, &part)
        pthread_mutex_unlock(&s.lock)
        slot.owner = l
        slot_write(&t.ring, slot, l.file.fd, h.offset, h.raw_bytes, True)
        if slot.state == SLOT_PENDING:
            return 0
        return end_write(t, slot, err)
    if not is_dropped:  # through the page cache: one writer at a time, or they fight for the inode's lock
        write_all(l.file.fd, slot.data, h.raw_bytes, h.offset, &own)
    pthread_mutex_unlock(&l.writing)
    if own.code == FAST_OK and not is_dropped:
        escp_fetch_add(&s.n_disk, h.raw_bytes)
    return count_block(t, l, h.raw_bytes, &part, &own, err)


cdef int end_write(receive_stream *t, io_slot *slot, fast_err *err) noexcept nogil:
    """A write is over, or never went to the kernel and is done now."""
    cdef fast_err own
    cdef uint32_t n = slot.n_bytes
    clear(&own)
    if slot_finish(&t.ring, slot, &own) == 0:
        escp_fetch_add(&t.state.n_disk, n)
    slot.state = SLOT_FREE
    return count_block(t, <open_large *>slot.owner, n, NULL, &own, err)


cdef int end_writes(receive_stream *t, int least, fast_err *err) noexcept nogil:
    """Take in completed writes, waiting for *least* of them."""
    cdef io_slot *slot
    ring_reap(&t.ring, least)
    slot = ring_done_slot(&t.ring)
    while slot != NULL:
        if end_write(t, slot, err) < 0:
            return -1
        slot = ring_done_slot(&t.ring)
    return flush_results(t, err)


# ---- Frames -----------------------------------------------------------------------------------------

cdef int receive_all(receive_stream *t, uint8_t *to, size_t n, fast_err *err) noexcept nogil:
    cdef ssize_t k
    while n:
        k = recv(t.state.sockets[t.index], to, n, MSG_WAITALL)
        if k < 0:
            if errno == EINTR:
                continue
            return fail(err, FAST_NET, errno, "receive")
        if k == 0:
            return fail(err, FAST_NET, ECONNRESET, "receive")
        to += k
        n -= k
    return 0


cdef int receive_iv(receive_stream *t, uint8_t *iv, fast_err *err) noexcept nogil:
    """The next frame's IV word; while none is there, writes that complete are taken in."""
    cdef ssize_t k
    while t.ring.n_pending:
        k = recv(t.state.sockets[t.index], iv, IV_BYTES, MSG_DONTWAIT)
        if k > 0:
            return receive_all(t, iv + k, IV_BYTES - k, err)
        if k == 0:
            return fail(err, FAST_NET, ECONNRESET, "receive")
        if errno != EAGAIN and errno != EINTR:
            return fail(err, FAST_NET, errno, "receive")
        if end_writes(t, 1, err) < 0:
            return -1
    return receive_all(t, iv, IV_BYTES, err)


cdef int take_entries(receive_stream *t, const meta_header *h, const uint8_t *body, fast_err *err) noexcept nogil:
    cdef const uint8_t *at = body
    cdef const uint8_t *end = body + h.raw_bytes
    cdef open_large *l = NULL
    cdef fast_err own
    cdef entry e
    for _ in range(h.count):
        if get_entry(&at, end, &e, err) < 0:
            return -1
        t.n_entries += 1
        clear(&own)
        if e.kind == ENTRY_SMALL:
            t.bundle_bytes += e.size
            if t.bundle_bytes > t.state.config.block:
                return fail(err, FAST_PROTOCOL, 0, "bundle length")
            t.bundle[t.n_bundle] = e
            t.n_bundle += 1
        elif e.kind == ENTRY_DIRECTORY:
            if t.state.config.engine != ENGINE_DUMMY:
                directory_finish(&t.state.destination, &t.cache, &e, &own)
            if add_result(t, &e, &own, 0, NULL, err) < 0:
                return -1
        elif e.kind == ENTRY_LARGE:
            if begin_large(t, &e, &l, err) < 0:
                return -1
        elif end_large(t, &e, err) < 0:
            return -1
    if at != end:
        return fail(err, FAST_PROTOCOL, 0, "entries length")
    if t.bundle_bytes == 0:
        return write_bundle(t, body, err)
    return 0


cdef int take_meta(receive_stream *t, size_t n, bint *is_end, fast_err *err) noexcept nogil:
    cdef meta_header h
    cdef const uint8_t *body = t.meta + IV_BYTES + META_HEADER_BYTES
    cdef uint64_t n_bytes = 0
    cdef uint64_t n_entries = 0
    if get_meta_header(t.meta + IV_BYTES, n, &h, err) < 0:
        return -1
    if t.n_bundle:
        return fail(err, FAST_PROTOCOL, 0, "bundle without data")
    if h.flags & META_IS_ZSTD:
        if ZSTD_decompressDCtx(t.zstd, t.body, h.raw_bytes, body, n - META_HEADER_BYTES) != h.raw_bytes:
            return fail(err, FAST_PROTOCOL, 0, "decompress")
        body = t.body
    if h.message == MESSAGE_ENTRIES:
        return take_entries(t, &h, body, err)
    if h.message == MESSAGE_END and h.raw_bytes == END_BYTES:
        get_end(body, &n_bytes, &n_entries)
        if n_bytes != t.state.streams[t.index].n_bytes or n_entries != t.n_entries:
            return fail(err, FAST_PROTOCOL, 0, "totals")
        is_end[0] = True
        return 0
    return fail(err, FAST_PROTOCOL, 0, "message")


cdef int take_data(receive_stream *t, io_slot *slot, uint8_t *frame, size_t n, fast_err *err) noexcept nogil:
    cdef data_header h
    cdef uint8_t *contents = frame + IV_BYTES + DATA_HEADER_BYTES
    cdef timespec_t now
    cdef stream_counters *counters = &t.state.streams[t.index]
    if get_data_header(frame + IV_BYTES, n, t.state.config.block, &h, err) < 0:
        return -1
    if h.flags & DATA_IS_ZSTD:
        if not t.state.config.has_compression or ZSTD_decompressDCtx(
                t.zstd, slot.data, h.raw_bytes, contents, n - DATA_HEADER_BYTES) != h.raw_bytes:
            return fail(err, FAST_PROTOCOL, 0, "decompress")
    elif contents != slot.data:
        memcpy(slot.data, contents, h.raw_bytes)
    clock_gettime(CLOCK_MONOTONIC, &now)
    if counters.first_ns == 0:
        escp_count(&counters.first_ns, now.tv_sec * <uint64_t>1000000000 + now.tv_nsec)
    escp_count(&counters.last_ns, now.tv_sec * <uint64_t>1000000000 + now.tv_nsec - counters.last_ns)
    escp_count(&counters.n_payload, n - DATA_HEADER_BYTES)
    escp_count(&counters.n_bytes, h.raw_bytes)
    if ((h.flags & DATA_IS_BUNDLE) != 0) != (t.n_bundle > 0):
        return fail(err, FAST_PROTOCOL, 0, "bundle")
    if not t.n_bundle:
        return take_block(t, slot, &h, err)
    if h.raw_bytes != t.bundle_bytes:
        return fail(err, FAST_PROTOCOL, 0, "bundle length")
    return write_bundle(t, slot.data, err)


cdef int receive_frame(receive_stream *t, bint *is_end, fast_err *err) noexcept nogil:
    cdef uint8_t iv[8]
    cdef uint8_t *frame
    cdef io_slot *slot
    cdef int type = 0
    cdef size_t n = 0
    slot = ring_free_slot(&t.ring)
    while slot == NULL:
        if end_writes(t, 1, err) < 0:
            return -1
        slot = ring_free_slot(&t.ring)
    if receive_iv(t, iv, err) < 0 or channel_expect(t.state.channels[t.index], iv, &type, &n, err) < 0:
        return -1
    frame = t.meta
    if type == FRAME_DATA:
        frame = t.packed if t.packed != NULL else slot.data - DATA_HEADER_BYTES - IV_BYTES
    memcpy(frame, iv, IV_BYTES)
    if receive_all(t, frame + IV_BYTES, n + TAG_BYTES, err) < 0:
        return -1
    if channel_open(t.state.channels[t.index], frame, n, err) < 0:
        return -1
    escp_count(&t.state.streams[t.index].n_wire, IV_BYTES + n + TAG_BYTES)
    if (take_data(t, slot, frame, n, err) if type == FRAME_DATA else take_meta(t, n, is_end, err)) < 0:
        return -1
    return flush_results(t, err)


cdef int end_stream(receive_stream *t, fast_err *err) noexcept nogil:
    """The sender has ended this stream; so does this side, and the last stream ends the plane."""
    cdef receive_state *s = t.state
    cdef bint is_last
    cdef int i
    put_end(t.answer + IV_BYTES + META_HEADER_BYTES, 0, t.n_entries)
    if end_writes(t, t.ring.n_pending, err) < 0 or send_answer(t, MESSAGE_END, 1, END_BYTES, err) < 0:
        return -1
    pthread_mutex_lock(&s.lock)
    s.n_ended += 1
    is_last = s.n_ended == s.config.n_streams
    for i in range(MAX_OPEN_LARGE):
        if is_last and s.large[i].is_used:
            fail(err, FAST_PROTOCOL, 0, "end with an open file")
    pthread_mutex_unlock(&s.lock)
    if err.code:
        return -1
    if is_last:
        push_event(&s.events, EVENT_FINISHED, err, False, NULL, 0, NULL, 0)
    return 0


cdef void receive_loop(receive_stream *t) noexcept nogil:
    cdef fast_err err
    cdef bint is_end = False
    cdef int rc = 0
    clear(&err)
    while rc == 0 and not is_end and not escp_flag(&t.state.is_stopped):
        rc = receive_frame(t, &is_end, &err)
    if rc == 0 and is_end:
        rc = end_stream(t, &err)
    if rc < 0 and not escp_flag(&t.state.is_stopped):
        push_event(&t.state.events, EVENT_FATAL, &err, False, NULL, 0, NULL, 0)
        receive_stop(t.state)
