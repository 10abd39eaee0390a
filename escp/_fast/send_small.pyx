"""Small files and finished directories: taken as a batch, read into one bundle, sent; see send_small.pxd."""

from libc.stdint cimport int64_t, uint32_t, uint64_t, uint8_t

from escp._fast.digest cimport digest_finish, digest_update
from escp._fast.engine cimport ENGINE_DUMMY, io_slot, ring_free_slot
from escp._fast.libc cimport (EINTR, c_close, errno, memcpy, pread, pthread_cond_broadcast, pthread_mutex_lock,
                              pthread_mutex_unlock)
from escp._fast.send_frames cimport add_entry, describe, send_data, send_meta, send_stream
from escp._fast.sources cimport (N_ITEMS, dir_node, flight, flight_end_locked, flight_new_locked, is_changed,
                                 item, report, send_state)
from escp._fast.types cimport (FAST_CHANGED, FAST_SYS, MAX_BATCH, MAX_META_BYTES, SMALL_FILE_BYTES, clear, fail,
                               fast_err)
from escp._fast.wire cimport (DATA_IS_BUNDLE, ENTRY_BYTES, ENTRY_DIRECTORY, ENTRY_SMALL, MESSAGE_ENTRIES,
                              META_HEADER_BYTES, data_header, entry)


cdef enum:
    MIN_SHARE = 16  # files taken at a time even when the queue is short


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
            t.flights[n_dirs + i] = NULL  # another stream's by now
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
        if t.flights[i] != NULL:
            t.flights[i].is_sent = True  # from here on its directory belongs to its result
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
        f.dev, f.ino = it.status.st_dev, it.status.st_ino
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
