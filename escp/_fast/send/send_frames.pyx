"""The frames that a sender's stream sends; see send_frames.pxd."""

from libc.stdint cimport uint16_t, uint32_t, uint64_t, uint8_t

from escp._fast.base.counters cimport count_contents
from escp._fast.base.libc cimport (escp_load, escp_store, memcpy, memset, pthread_mutex_lock, pthread_mutex_unlock,
                                   stat_t)
from escp._fast.base.paths cimport join_path, joined_length
from escp._fast.base.types cimport (DATA_HEADER_BYTES, FAST_NAME, FAST_NET, IV_BYTES, MAX_BATCH, MAX_META_BYTES,
                                    MAX_PATH_BYTES, fail, fast_err)
from escp._fast.crypto.channel cimport FRAME_DATA, FRAME_META
from escp._fast.crypto.digest cimport digest128
from escp._fast.io.ring cimport io_slot, slot_contents, slot_give_back
from escp._fast.send.flights cimport settle_root_locked
from escp._fast.send.send_again cimport send_again, sent_add
from escp._fast.send.send_state cimport dir_node, flight, sent_log
from escp._fast.send.send_stream cimport send_stream, transmit
from escp._fast.wire.payloads cimport (DATA_IS_BUNDLE, DATA_IS_ZSTD, END_BYTES, ENTRY_ABSENT, ENTRY_BEGUN, ENTRY_QUERY,
                                       MESSAGE_END, MESSAGE_ENTRIES, META_HEADER_BYTES, META_IS_ZSTD, data_header,
                                       entry, meta_header, put_data_header, put_end, put_entry, put_entry_contents,
                                       put_meta_header)
from escp._fast.wire.zstd cimport ZSTD_compressCCtx, ZSTD_isError


cdef enum:
    META_LEVEL = 1
    DATA_LEVEL = 3
    META_WORTH_BYTES = 16384  # smaller metadata is sent as it is
    BODY_BYTES = MAX_META_BYTES - META_HEADER_BYTES


cdef int send_frame(send_stream *t, int type, uint8_t *frame, size_t n, const data_header *what, io_slot *block,
                    bint has_more, fast_err *err) noexcept nogil:
    """The payload of n bytes at frame + IV_BYTES; what: of a data frame; block: as for transmit."""
    if t.sink.link != NULL:
        return t.sink.take(t.sink.link, type, frame, n, err)
    if t.state.config.reconnects and sent_add(t, frame + IV_BYTES, n, what, err) < 0:
        return -1
    if transmit(t, type, frame, n, block, has_more, err) == 0:
        return 0
    return send_again(t, err) if t.state.config.reconnects and err.code == FAST_NET else -1


cdef int send_meta(send_stream *t, int message, int count, size_t n_body, bint has_more, fast_err *err) noexcept nogil:
    """Send the body of n_body bytes at t.meta + 16, compressed where that pays. has_more: a data frame follows."""
    cdef meta_header h
    cdef size_t k
    h.message, h.flags, h.count, h.raw_bytes = <uint8_t>message, 0, <uint16_t>count, <uint32_t>n_body
    if n_body > META_WORTH_BYTES and t.sink.link == NULL:
        k = ZSTD_compressCCtx(t.zstd, t.packed + IV_BYTES + META_HEADER_BYTES, MAX_META_BYTES - META_HEADER_BYTES,
                              t.meta + IV_BYTES + META_HEADER_BYTES, n_body, META_LEVEL)
        if not ZSTD_isError(k) and k < n_body:
            h.flags = META_IS_ZSTD
            put_meta_header(t.packed + IV_BYTES, &h)
            return send_frame(t, FRAME_META, t.packed, META_HEADER_BYTES + k, NULL, NULL, has_more, err)
    put_meta_header(t.meta + IV_BYTES, &h)
    return send_frame(t, FRAME_META, t.meta, META_HEADER_BYTES + n_body, NULL, NULL, has_more, err)


cdef int send_data(send_stream *t, io_slot *block, const data_header *what, fast_err *err) noexcept nogil:
    cdef data_header h = what[0]
    cdef uint8_t *frame = block.data - DATA_HEADER_BYTES - IV_BYTES
    cdef size_t k = h.raw_bytes
    cdef size_t n
    if t.state.config.has_compression:
        n = ZSTD_compressCCtx(t.zstd, t.packed + IV_BYTES + DATA_HEADER_BYTES, h.raw_bytes, slot_contents(block),
                              h.raw_bytes, DATA_LEVEL)
        if not ZSTD_isError(n) and n < h.raw_bytes:
            h.flags |= DATA_IS_ZSTD
            frame = t.packed
            k = n
            slot_give_back(&t.ring, block)
    put_data_header(frame + IV_BYTES, &h)
    if t.state.streams[t.index].first_ns == 0:
        count_contents(&t.state.streams[t.index], 0, 0)
    if send_frame(t, FRAME_DATA, frame, DATA_HEADER_BYTES + k, what, block, False, err) < 0:
        return -1
    count_contents(&t.state.streams[t.index], k, h.raw_bytes)
    return 0


cdef void describe(entry *e, int kind, uint64_t id, const stat_t *status, uint64_t size) noexcept nogil:
    memset(e, 0, sizeof(entry))
    e.kind = <uint8_t>kind
    e.id = id
    if kind == ENTRY_ABSENT:
        return
    e.size = size
    e.mode = status.st_mode & 0o7777
    e.mtime_s, e.mtime_ns = status.st_mtim.tv_sec, <uint32_t>status.st_mtim.tv_nsec
    e.atime_s, e.atime_ns = status.st_atim.tv_sec, <uint32_t>status.st_atim.tv_nsec
    e.uid, e.gid = status.st_uid, status.st_gid


cdef int compose_path(char *path, const dir_node *dir, const char *name, size_t n_name, fast_err *err) noexcept nogil:
    """Its length; walkers leave out what is longer than a path may be."""
    if joined_length(dir.target, dir.n_target, n_name) > MAX_PATH_BYTES:
        return fail(err, FAST_NAME, 0, "path")
    memcpy(path, dir.target, dir.n_target)
    return <int>join_path(path, dir.n_target, name, n_name)


cdef int add_entry(send_stream *t, entry *e, flight *f, const dir_node *dir, const char *name, size_t n_name,
                   fast_err *err) noexcept nogil:
    cdef char path[MAX_PATH_BYTES + 1]
    cdef uint8_t *body = t.meta + IV_BYTES + META_HEADER_BYTES
    cdef size_t n = 0
    cdef int n_path = compose_path(path, dir, name, n_name, err)
    if n_path < 0:
        return -1
    e.path, e.path_bytes = path, <uint16_t>n_path
    if t.count < MAX_BATCH:
        n = put_entry(body + t.body, BODY_BYTES - t.body, e)
    if n == 0:
        if send_entries(t, False, err) < 0:
            return -1
        n = put_entry(body, BODY_BYTES, e)  # one of any kind has room
    t.last = t.body
    t.body += n
    t.count += 1
    if f != NULL:
        t.complete[t.n_complete] = f
        t.n_complete += 1
    return 0


cdef dir_node *find_untold(dir_node *dir, uint64_t bit) noexcept nogil:
    """The uppermost directory on the way to *dir* that the stream has not told of."""
    cdef dir_node *found = NULL
    while dir != NULL and not escp_load(&dir.begun) & bit:
        found = dir
        dir = dir.parent
    return found


cdef int add_begun(send_stream *t, dir_node *dir, fast_err *err) noexcept nogil:
    cdef uint64_t bit = <uint64_t>1 << t.index
    cdef dir_node *at = find_untold(dir, bit) if t.state.config.tells_begun else NULL
    cdef entry e
    while at != NULL:
        pthread_mutex_lock(&t.state.lock)
        escp_store(&at.begun, at.begun | bit)
        pthread_mutex_unlock(&t.state.lock)
        if at.is_open and not at.is_root_file:
            memset(&e, 0, sizeof(entry))
            e.kind, e.mode = ENTRY_BEGUN, at.status.st_mode & 0o7777
            if add_entry(t, &e, NULL, at, NULL, 0, err) < 0:
                return -1
        at = find_untold(dir, bit)
    return 0


cdef void set_contents(send_stream *t, uint64_t size, const digest128 *digest) noexcept nogil:
    put_entry_contents(t.meta + IV_BYTES + META_HEADER_BYTES + t.last, size, digest)


cdef void take_back(send_stream *t) noexcept nogil:
    t.body = t.last
    t.count -= 1
    t.n_complete -= 1


cdef int send_entries(send_stream *t, bint has_more, fast_err *err) noexcept nogil:
    cdef data_header h
    cdef size_t body = t.body
    cdef size_t fill = t.fill
    cdef int count = t.count
    cdef int rc, i
    if count == 0:
        return 0
    if t.n_complete:
        pthread_mutex_lock(&t.state.lock)
        for i in range(t.n_complete):
            t.complete[i].is_sent = True  # from here on it belongs to its result
            if t.complete[i].kind != ENTRY_QUERY:
                settle_root_locked(t.state, t.complete[i])
        pthread_mutex_unlock(&t.state.lock)
    t.n_entries += count
    t.body = t.last = t.fill = 0
    t.count = t.n_complete = 0
    if send_meta(t, MESSAGE_ENTRIES, count, body, has_more or fill > 0, err) < 0:
        return -1
    if fill == 0:
        return 0
    h.id, h.offset, h.raw_bytes, h.flags = 0, 0, <uint32_t>fill, DATA_IS_BUNDLE
    rc = send_data(t, t.bundle, &h, err)
    t.n_bundled = 0
    return rc


cdef int send_end(send_stream *t, uint64_t n_bytes, fast_err *err) noexcept nogil:
    cdef sent_log *log = &t.state.sent[t.index]
    put_end(t.meta + IV_BYTES + META_HEADER_BYTES, n_bytes, t.n_entries)
    pthread_mutex_lock(&t.line.whole.lock)  # who reads results looks at it with every TAKEN
    log.end = log.n_sent + 1
    pthread_mutex_unlock(&t.line.whole.lock)
    return send_meta(t, MESSAGE_END, 1, END_BYTES, False, err)
