"""A sender's stream; see send.pxd. The flow of one block, all of it in one buffer:

    claim -> read (kernel AIO, RING_DEPTH ahead) -> hash -> [zstd] -> seal -> send

and of small files: up to a queue's share of them are read behind one another into one bundle, their
entries with digests go in a metadata frame before it.
"""

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t, uint8_t

from escp._fast.channel cimport channel_seal, FRAME_DATA, FRAME_META
from escp._fast.digest cimport digest128, digest_add, digest_finish, digest_update
from escp._fast.engine cimport (AIO_ON, can_direct, ENGINE_DUMMY, io_slot, ring_close, ring_free_slot,
                                ring_open, slot_finish, SLOT_FREE, slot_read)
from escp._fast.libc cimport (c_close, clock_gettime, CLOCK_MONOTONIC, EINTR, errno, escp_count, escp_flag,
                              escp_load, free, fstat, malloc, memcpy, memmove, memset, MSG_MORE, MSG_NOSIGNAL,
                              pread, pthread_cond_broadcast, pthread_cond_wait, pthread_mutex_lock,
                              pthread_mutex_unlock, send, stat_t, timespec_t)
from escp._fast.sources cimport (dir_node, flight, flight_end_locked, flight_new_locked, is_all_done_locked,
                                 item, large_file, N_FLIGHTS, N_ITEMS, report, send_state, state_fail,
                                 stream_counters)
from escp._fast.types cimport (clear, DATA_HEADER_BYTES, fail, FAST_CHANGED, fast_err, FAST_MEMORY, FAST_NET,
                               FAST_SYS, IV_BYTES, MAX_BATCH, MAX_META_BYTES, MAX_OPEN_LARGE, MAX_PATH_BYTES,
                               PAGE_BYTES, SLICE_BYTES, SMALL_FILE_BYTES, TAG_BYTES)
from escp._fast.wire cimport (data_header, DATA_IS_BUNDLE, DATA_IS_ZSTD, END_BYTES, entry, ENTRY_BYTES,
                              ENTRY_DIRECTORY, ENTRY_IS_ABANDONED, ENTRY_LARGE, ENTRY_LARGE_END, ENTRY_SMALL,
                              MESSAGE_END, MESSAGE_ENTRIES, meta_header, META_HEADER_BYTES, META_IS_ZSTD,
                              put_data_header, put_end, put_entry, put_meta_header)


cdef extern from "<zstd.h>" nogil:
    void *ZSTD_createCCtx()
    size_t ZSTD_freeCCtx(void *)
    size_t ZSTD_compressCCtx(void *, void *, size_t, const void *, size_t, int)
    unsigned ZSTD_isError(size_t)

cdef enum:
    META_LEVEL = 1
    DATA_LEVEL = 3
    META_WORTH_BYTES = 16384  # smaller metadata is sent as it is
    MIN_SHARE = 16  # files taken at a time even when the queue is short
    META_FRAME_BYTES = IV_BYTES + MAX_META_BYTES + TAG_BYTES

cdef enum work_kind:
    WORK_STOP
    WORK_END
    WORK_BATCH
    WORK_BLOCK  # the ring's oldest block is to be sent
    WORK_END_LARGE  # a file that the receiver gave up on

cdef enum:
    NOTE_ANNOUNCE = 1  # this stream has not yet sent the file's entry


cdef int send_stream_open(send_stream *t, send_state *s, int index, fast_err *err) noexcept nogil:
    cdef size_t n_packed = PAGE_BYTES + s.config.block + PAGE_BYTES
    memset(t, 0, sizeof(send_stream))
    t.state = s
    t.index = index
    if ring_open(&t.ring, s.config.engine, s.config.block, err) < 0:
        return -1
    t.meta = <uint8_t *>malloc(META_FRAME_BYTES)
    t.packed = <uint8_t *>malloc(n_packed if n_packed > META_FRAME_BYTES else <size_t>META_FRAME_BYTES)
    t.zstd = ZSTD_createCCtx()
    t.batch = <item *>malloc(sizeof(item) * N_ITEMS)
    t.flights = <flight **>malloc(sizeof(flight *) * MAX_BATCH)
    if t.meta == NULL or t.packed == NULL or t.zstd == NULL or t.batch == NULL or t.flights == NULL:
        return fail(err, FAST_MEMORY, 0, "buffers")
    return 0


cdef void send_stream_close(send_stream *t) noexcept nogil:
    ring_close(&t.ring)
    free(t.meta)
    free(t.packed)
    ZSTD_freeCCtx(t.zstd)
    free(t.batch)
    free(t.flights)
    t.meta = t.packed = NULL
    t.zstd = NULL
    t.batch = NULL
    t.flights = NULL


# ---- Frames ---------------------------------------------------------------------------------------

cdef int send_frame(send_stream *t, int type, uint8_t *frame, size_t n, bint has_more, fast_err *err) noexcept nogil:
    """Seal the payload of n bytes at frame + 8 and send it."""
    cdef ssize_t k
    cdef size_t left = IV_BYTES + n + TAG_BYTES
    if channel_seal(t.state.channels[t.index], frame, type, n, err) < 0:
        return -1
    escp_count(&t.state.streams[t.index].n_wire, left)
    while left:
        k = send(t.state.sockets[t.index], frame, left, MSG_NOSIGNAL | (MSG_MORE if has_more else 0))
        if k < 0:
            if errno == EINTR:
                continue
            return fail(err, FAST_NET, errno, "send")
        frame += k
        left -= k
    return 0


cdef int send_meta(send_stream *t, int message, int count, size_t n_body, bint has_more, fast_err *err) noexcept nogil:
    """Send the body of n_body bytes at t.meta + 16, compressed where that pays."""
    cdef meta_header h
    cdef size_t k
    h.message, h.flags, h.count, h.raw_bytes = <uint8_t>message, 0, <uint16_t>count, <uint32_t>n_body
    if n_body > META_WORTH_BYTES:
        k = ZSTD_compressCCtx(t.zstd, t.packed + IV_BYTES + META_HEADER_BYTES, MAX_META_BYTES - META_HEADER_BYTES,
                              t.meta + IV_BYTES + META_HEADER_BYTES, n_body, META_LEVEL)
        if not ZSTD_isError(k) and k < n_body:
            h.flags = META_IS_ZSTD
            put_meta_header(t.packed + IV_BYTES, &h)
            return send_frame(t, FRAME_META, t.packed, META_HEADER_BYTES + k, has_more, err)
    put_meta_header(t.meta + IV_BYTES, &h)
    return send_frame(t, FRAME_META, t.meta, META_HEADER_BYTES + n_body, has_more, err)


cdef int send_data(send_stream *t, uint8_t *data, const data_header *what, fast_err *err) noexcept nogil:
    """Send a data frame whose contents lie at *data*, in a ring's slot."""
    cdef data_header h = what[0]
    cdef uint8_t *frame = data - DATA_HEADER_BYTES - IV_BYTES
    cdef size_t k = h.raw_bytes
    cdef size_t n
    cdef timespec_t now
    cdef stream_counters *counters = &t.state.streams[t.index]
    if t.state.config.has_compression:
        n = ZSTD_compressCCtx(t.zstd, t.packed + IV_BYTES + DATA_HEADER_BYTES, h.raw_bytes, data, h.raw_bytes,
                              DATA_LEVEL)
        if not ZSTD_isError(n) and n < h.raw_bytes:
            h.flags |= DATA_IS_ZSTD
            frame = t.packed
            k = n
    put_data_header(frame + IV_BYTES, &h)
    if counters.first_ns == 0:
        clock_gettime(CLOCK_MONOTONIC, &now)
        escp_count(&counters.first_ns, now.tv_sec * <uint64_t>1000000000 + now.tv_nsec)
    if send_frame(t, FRAME_DATA, frame, DATA_HEADER_BYTES + k, False, err) < 0:
        return -1
    escp_count(&counters.n_payload, k)
    escp_count(&counters.n_bytes, h.raw_bytes)
    clock_gettime(CLOCK_MONOTONIC, &now)
    escp_count(&counters.last_ns, now.tv_sec * <uint64_t>1000000000 + now.tv_nsec - counters.last_ns)
    return 0


cdef void describe(entry *e, int kind, uint64_t id, const stat_t *status) noexcept nogil:
    memset(e, 0, sizeof(entry))
    e.kind = <uint8_t>kind
    e.id = id
    e.size = status.st_size if kind != ENTRY_DIRECTORY else 0
    e.mode = status.st_mode & 0o7777
    e.mtime_s, e.mtime_ns = status.st_mtim.tv_sec, <uint32_t>status.st_mtim.tv_nsec
    e.atime_s, e.atime_ns = status.st_atim.tv_sec, <uint32_t>status.st_atim.tv_nsec
    e.uid, e.gid = status.st_uid, status.st_gid


cdef size_t add_entry(send_stream *t, size_t at, entry *e, dir_node *dir, const char *name,
                      size_t n_name) noexcept nogil:
    """Write an entry at offset *at* of the metadata body; its path is the directory's and the name. Bytes written."""
    cdef char path[MAX_PATH_BYTES + 1]
    cdef size_t n = dir.n_target
    memcpy(path, dir.target, n)
    if n and n_name:
        path[n] = 47
        n += 1
    if n_name:
        memcpy(path + n, name, n_name)
    e.path = path
    e.path_bytes = <uint16_t>(n + n_name)
    return put_entry(t.meta + IV_BYTES + META_HEADER_BYTES + at, e)


# ---- Small files and directories ----------------------------------------------------------------

cdef bint is_changed(int fd, const stat_t *before) noexcept nogil:
    cdef stat_t now
    return (fstat(fd, &now) < 0 or now.st_size != before.st_size or now.st_mtim.tv_sec != before.st_mtim.tv_sec
            or now.st_mtim.tv_nsec != before.st_mtim.tv_nsec)


cdef int read_small(send_stream *t, const item *it, uint8_t *to, fast_err *err) noexcept nogil:
    cdef int64_t have = 0
    cdef ssize_t k
    if t.state.config.engine == ENGINE_DUMMY:
        return 0
    while have < it.status.st_size:
        k = pread(it.fd, to + have, it.status.st_size - have, have)
        if k < 0 and errno == EINTR:
            continue
        if k < 0:
            return fail(err, FAST_SYS, errno, "read")
        if k == 0:
            return fail(err, FAST_CHANGED, 0, "read")
        have += k
    return fail(err, FAST_CHANGED, 0, "read") if is_changed(it.fd, &it.status) else 0


cdef void drop(send_stream *t, flight *f, const fast_err *err, const item *it) noexcept nogil:
    report(t.state, err, False, it.dir, it.name, it.n_name)
    pthread_mutex_lock(&t.state.lock)
    flight_end_locked(t.state, f)
    pthread_mutex_unlock(&t.state.lock)


cdef int send_batch(send_stream *t, int n_dirs, int n_files, fast_err *err) noexcept nogil:
    """Send t.flights: first directories, then the files of t.batch."""
    cdef io_slot *slot = ring_free_slot(&t.ring)
    cdef size_t body = 0
    cdef size_t fill = 0
    cdef int count = 0
    cdef int i
    cdef entry e
    cdef item *it
    cdef flight *f
    cdef fast_err own
    cdef data_header h
    cdef uint64_t faulty = <uint64_t>t.state.config.fault_offset
    for i in range(n_dirs):
        f = t.flights[i]
        describe(&e, ENTRY_DIRECTORY, f.id, &f.dir.status)
        body += add_entry(t, body, &e, f.dir, NULL, 0)
        count += 1
    for i in range(n_files):
        f, it = t.flights[n_dirs + i], &t.batch[i]
        clear(&own)
        if read_small(t, it, slot.data + fill, &own) < 0:
            c_close(it.fd)
            drop(t, f, &own, it)
            continue
        c_close(it.fd)
        describe(&e, ENTRY_SMALL, f.id, &it.status)
        if t.state.config.has_checksum:
            digest_update(&f.digest, slot.data + fill, e.size, 0)
            digest_finish(&f.digest, e.size)
            e.digest = f.digest
        if t.state.config.fault_offset >= 0 and faulty < e.size:
            slot.data[fill + faulty] ^= 1
        f.size = e.size
        fill += e.size
        body += add_entry(t, body, &e, it.dir, it.name, it.n_name)
        count += 1
    t.n_entries += count
    if count == 0:
        return 0
    pthread_mutex_lock(&t.state.lock)
    for i in range(n_dirs + n_files):
        t.flights[i].is_sent = t.flights[i].id != 0  # from here on their directories belong to the results
    pthread_mutex_unlock(&t.state.lock)
    if send_meta(t, MESSAGE_ENTRIES, count, body, fill > 0, err) < 0:
        return -1
    if fill == 0:
        return 0
    h.id, h.offset, h.raw_bytes, h.flags = 0, 0, <uint32_t>fill, DATA_IS_BUNDLE
    return send_data(t, slot.data, &h, err)


cdef int take_batch_locked(send_stream *t, int *n_dirs, int *n_files) noexcept nogil:
    """Move finished directories and small files into t.flights and t.batch, as much as fits one bundle."""
    cdef send_state *s = t.state
    cdef size_t body = 0
    cdef int64_t fill = 0
    cdef int share = s.n_items // s.config.n_streams
    cdef item *it
    cdef flight *f
    cdef dir_node *node
    n_dirs[0] = n_files[0] = 0
    while s.finished != NULL and n_dirs[0] < MAX_BATCH // 2 and body < MAX_META_BYTES // 2:
        f = flight_new_locked(s, ENTRY_DIRECTORY, s.finished)
        if f == NULL:
            break
        node = s.finished
        s.finished = node.next
        s.n_finished -= 1
        node.n_refs = 1  # the flight's
        node.is_unlisted = True  # once that flight ends the node is freed
        t.flights[n_dirs[0]] = f
        n_dirs[0] += 1
        body += ENTRY_BYTES + node.n_target
    if share < MIN_SHARE:
        share = MIN_SHARE
    while s.n_items and n_files[0] < share:
        it = &s.items[s.items_head]
        if it.status.st_size > SMALL_FILE_BYTES or fill + it.status.st_size > s.config.block:
            break
        if body + ENTRY_BYTES + it.dir.n_target + 1 + it.n_name > MAX_META_BYTES - META_HEADER_BYTES:
            break
        f = flight_new_locked(s, ENTRY_SMALL, it.dir)
        if f == NULL:
            break
        f.n_name = it.n_name
        memcpy(f.name, it.name, it.n_name)
        t.flights[n_dirs[0] + n_files[0]] = f
        t.batch[n_files[0]] = it[0]
        n_files[0] += 1
        fill += it.status.st_size
        body += ENTRY_BYTES + it.dir.n_target + 1 + it.n_name
        s.items_head = (s.items_head + 1) % N_ITEMS
        s.n_items -= 1
    if n_files[0]:
        pthread_cond_broadcast(&s.room)
    return n_dirs[0] + n_files[0]


# ---- Large files ----------------------------------------------------------------------------------

cdef large_file *begin_large_locked(send_state *s) noexcept nogil:
    """Give the large file at the head of the queue a place among the open ones; NULL when none is free."""
    cdef item *it = &s.items[s.items_head]
    cdef large_file *l = NULL
    cdef flight *f
    cdef int i
    for i in range(MAX_OPEN_LARGE):
        if not s.large[i].is_used:
            l = &s.large[i]
            break
    if l == NULL:
        return NULL
    f = flight_new_locked(s, ENTRY_LARGE, it.dir)
    if f == NULL:
        return NULL
    memset(l, 0, sizeof(large_file))
    l.is_used = True
    l.what = it[0]
    l.fd = it.fd
    l.size = it.status.st_size
    l.id = f.id
    f.large = l
    f.size = l.size
    f.n_name = it.n_name
    memcpy(f.name, it.name, it.n_name)
    s.items_head = (s.items_head + 1) % N_ITEMS
    s.n_items -= 1
    pthread_cond_broadcast(&s.room)
    s.current = l
    l.is_direct = s.config.is_direct and s.config.engine != ENGINE_DUMMY and can_direct(l.fd)
    if s.n_items or l.size > s.config.block:
        pthread_cond_broadcast(&s.work)
    return l


cdef void claim_block_locked(send_stream *t, large_file *l, io_slot *slot) noexcept nogil:
    """Hand the file's next block to this stream and start reading it."""
    cdef send_state *s = t.state
    cdef uint64_t n = l.size - l.next
    cdef uint64_t bit = <uint64_t>1 << t.index
    n = n if n < s.config.block else s.config.block
    slot.owner = l
    slot.note = 0 if l.announced & bit else NOTE_ANNOUNCE
    l.announced |= bit
    slot_read(&t.ring, slot, l.fd, l.next, <uint32_t>n, l.is_direct)
    l.next += n
    l.n_claimed += 1
    if l.next >= l.size:
        s.current = NULL
        pthread_cond_broadcast(&s.work)


cdef size_t put_large_entry(send_stream *t, large_file *l, int kind) noexcept nogil:
    """Write the file's only entry of a metadata body; its length."""
    cdef entry e
    describe(&e, kind, l.id, &l.what.status)
    if kind == ENTRY_LARGE_END:
        e.size = l.n_sent_bytes
        e.flags = ENTRY_IS_ABANDONED if l.has_failed else 0
        e.digest = l.digest
    t.n_entries += 1
    return add_entry(t, 0, &e, l.what.dir, l.what.name, l.what.n_name)


cdef void give_up_large(send_stream *t, large_file *l, const fast_err *err) noexcept nogil:
    """The source can't be read on: told once, no more of its blocks are handed out."""
    cdef send_state *s = t.state
    cdef bint is_first
    pthread_mutex_lock(&s.lock)
    is_first = not l.has_failed
    l.has_failed = True
    if s.current == l:
        s.current = NULL
        pthread_cond_broadcast(&s.work)
    pthread_mutex_unlock(&s.lock)
    if is_first:
        report(s, err, False, l.what.dir, l.what.name, l.what.n_name)


cdef int finish_large(send_stream *t, large_file *l, fast_err *err) noexcept nogil:
    """All blocks that were handed out are sent: close the books of this file."""
    cdef send_state *s = t.state
    cdef fast_err own
    cdef size_t n = 0
    cdef flight *f = &s.flights[l.id % N_FLIGHTS]
    clear(&own)
    if not l.has_failed and s.config.engine != ENGINE_DUMMY and is_changed(l.fd, &l.what.status):
        fail(&own, FAST_CHANGED, 0, "read")
        give_up_large(t, l, &own)
    if s.config.has_checksum:
        digest_finish(&l.digest, l.size)
    pthread_mutex_lock(&s.lock)
    f.digest = l.digest
    c_close(l.fd)
    l.fd = -1
    if l.n_sent_bytes:
        n = put_large_entry(t, l, ENTRY_LARGE_END)
        f.is_sent = True  # from here on the file belongs to its result
    else:
        flight_end_locked(s, f)  # the receiver has not heard of it
    pthread_mutex_unlock(&s.lock)
    return send_meta(t, MESSAGE_ENTRIES, 1, n, False, err) if n else 0


cdef int send_block(send_stream *t, io_slot *slot, fast_err *err) noexcept nogil:
    """Finish reading one block, send it, and end its file if it was the last one to be sent."""
    cdef send_state *s = t.state
    cdef large_file *l = <large_file *>slot.owner
    cdef digest128 part
    cdef data_header h
    cdef fast_err own
    cdef bint is_last
    cdef bint is_sent = False
    clear(&own)
    part.high = part.low = 0
    if not l.has_failed:
        if slot_finish(&t.ring, slot, &own) < 0:
            own.offset = slot.offset
            give_up_large(t, l, &own)
        else:
            is_sent = True
    else:
        slot_finish(&t.ring, slot, &own)
    if is_sent:
        if s.config.has_checksum:
            digest_update(&part, slot.data, slot.n_bytes, slot.offset // SLICE_BYTES)
        if slot.offset <= s.config.fault_offset < slot.offset + slot.n_bytes:
            slot.data[s.config.fault_offset - slot.offset] ^= 1
        if slot.note & NOTE_ANNOUNCE and send_meta(
                t, MESSAGE_ENTRIES, 1, put_large_entry(t, l, ENTRY_LARGE), True, err) < 0:
            return -1
        h.id, h.offset, h.raw_bytes, h.flags = l.id, slot.offset, slot.n_bytes, 0
        if send_data(t, slot.data, &h, err) < 0:
            return -1
    slot.state = SLOT_FREE
    pthread_mutex_lock(&s.lock)
    if is_sent:
        digest_add(&l.digest, &part)
        l.n_sent_bytes += slot.n_bytes
    l.n_done += 1
    is_last = l.n_done == l.n_claimed and (l.has_failed or l.next >= l.size) and not l.is_ending
    if is_last:
        l.is_ending = True
    pthread_mutex_unlock(&s.lock)
    return finish_large(t, l, err) if is_last else 0


# ---- The stream -----------------------------------------------------------------------------------

cdef bint wants_block_locked(send_stream *t) noexcept nogil:
    """Whether to claim one more block: several where the disk works on them at once, else one at a time,
    so that a block is read, hashed and sealed in the same warm buffer."""
    cdef send_state *s = t.state
    if t.n_order and not ((<large_file *>t.order[0].owner).is_direct and t.ring.aio == AIO_ON):
        return False
    if s.current != NULL:
        return True
    if s.n_items == 0 or s.items[s.items_head].status.st_size <= SMALL_FILE_BYTES:
        return False
    return begin_large_locked(s) != NULL


cdef int next_work(send_stream *t, int *n_dirs, int *n_files, large_file **ending) noexcept nogil:
    """Fill the ring with blocks, then say what to do next; waits while there is nothing."""
    cdef send_state *s = t.state
    cdef io_slot *slot
    cdef int work = -1
    pthread_mutex_lock(&s.lock)
    while work < 0:
        if escp_flag(&s.is_stopped):
            work = WORK_STOP
            break
        while t.n_order < t.ring.depth and wants_block_locked(t):
            slot = ring_free_slot(&t.ring)
            claim_block_locked(t, s.current, slot)
            t.order[t.n_order] = slot
            t.n_order += 1
        if t.n_order:
            work = WORK_BLOCK
        elif s.ending != NULL:
            ending[0] = s.ending
            s.ending = s.ending.next_ending
            work = WORK_END_LARGE
        elif take_batch_locked(t, n_dirs, n_files):
            work = WORK_BATCH
        elif is_all_done_locked(s):
            pthread_cond_broadcast(&s.work)
            work = WORK_END
        else:
            pthread_cond_wait(&s.work, &s.lock)
    pthread_mutex_unlock(&s.lock)
    return work


cdef int send_oldest(send_stream *t, fast_err *err) noexcept nogil:
    cdef io_slot *slot = t.order[0]
    t.n_order -= 1
    memmove(t.order, t.order + 1, t.n_order * sizeof(io_slot *))
    return send_block(t, slot, err)


cdef void send_loop(send_stream *t) noexcept nogil:
    cdef fast_err err
    cdef int n_dirs = 0
    cdef int n_files = 0
    cdef int work
    cdef int rc = 0
    cdef large_file *ending = NULL
    clear(&err)
    while rc == 0:
        work = next_work(t, &n_dirs, &n_files, &ending)
        if work == WORK_BLOCK:
            rc = send_oldest(t, &err)
        elif work == WORK_BATCH:
            rc = send_batch(t, n_dirs, n_files, &err)
        elif work == WORK_END_LARGE:
            rc = finish_large(t, ending, &err)
        elif work == WORK_END:
            put_end(t.meta + IV_BYTES + META_HEADER_BYTES, escp_load(&t.state.streams[t.index].n_bytes), t.n_entries)
            rc = send_meta(t, MESSAGE_END, 1, END_BYTES, False, &err)
            break
        else:
            break
    if rc < 0:
        state_fail(t.state, &err)
