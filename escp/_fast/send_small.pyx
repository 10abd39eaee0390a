"""Small files and finished directories: taken as a batch, read into one bundle, sent; see send_small.pxd."""

from libc.stdint cimport int64_t, uint32_t, uint64_t, uint8_t

from escp._fast.digest cimport digest_finish, digest_update
from escp._fast.engine cimport ENGINE_DUMMY, io_slot, ring_free_slot
from escp._fast.extras cimport (DEVICE_BLOCK, DEVICE_CHARACTER, DEVICE_FIFO, EXTRA_TARGET, put_device,
                                put_extra)
from escp._fast.gather cimport gather
from escp._fast.hard_links cimport pop_link_locked
from escp._fast.libc cimport (AT_FDCWD, O_CLOEXEC, O_DIRECTORY, O_RDONLY, S_IFBLK, S_IFIFO, S_IFMT, c_close,
                              errno, escp_pread_all, major, minor, openat, pthread_cond_broadcast,
                              pthread_mutex_lock, pthread_mutex_unlock, strlen)
from escp._fast.send_frames cimport add_entry, describe, send_data, send_meta, send_stream
from escp._fast.sources cimport (LINKS_GOOD, MAX_FINISHED, N_ITEMS, dir_node, flight, flight_end_locked,
                                 flight_new_locked, flight_set_name, has_entry, is_changed, item, item_close, report,
                                 send_state, settle_root_locked)
from escp._fast.types cimport (FAST_CHANGED, FAST_HARD_LINK, FAST_SYS, FAST_XATTR, MAX_BATCH, MAX_META_BYTES,
                               SMALL_FILE_BYTES, clear, fail, fast_err)
from escp._fast.wire cimport (DATA_IS_BUNDLE, ENTRY_ABSENT, ENTRY_BYTES, ENTRY_DEVICE, ENTRY_DIRECTORY, ENTRY_HARD_LINK,
                              ENTRY_LINK, ENTRY_SMALL, MESSAGE_ENTRIES, META_HEADER_BYTES, data_header, entry)


cdef enum:
    MIN_SHARE = 16  # files taken at a time even when the queue is short


cdef int read_small(send_stream *t, const item *it, uint8_t *to, fast_err *err) noexcept nogil:
    cdef int64_t k
    if t.state.config.engine == ENGINE_DUMMY:
        return 0
    k = escp_pread_all(it.fd, to, it.status.st_size, 0)
    if k < 0:
        return fail(err, FAST_SYS, errno, "read")
    return fail(err, FAST_CHANGED, 0, "read") if k < it.status.st_size or is_changed(it.fd, &it.status) else 0


cdef void drop(send_stream *t, flight *f, const fast_err *err, const item *it) noexcept nogil:
    report(t.state, err, False, it.dir, it.name, it.n_name)
    pthread_mutex_lock(&t.state.lock)
    flight_end_locked(t.state, f)
    pthread_mutex_unlock(&t.state.lock)


cdef int flush_batch(send_stream *t, io_slot *slot, int n_done, fast_err *err) noexcept nogil:
    """Send what has been composed of the batch: the entries of its first *n_done* flights, and their contents."""
    cdef data_header h
    cdef size_t fill = t.fill
    cdef size_t body = t.body
    cdef int count = t.count
    cdef int i
    if count:
        pthread_mutex_lock(&t.state.lock)
        for i in range(t.n_flagged, n_done):
            if t.flights[i] != NULL:
                t.flights[i].is_sent = True  # from here on its directory belongs to its result
                settle_root_locked(t.state, t.flights[i])
        pthread_mutex_unlock(&t.state.lock)
    t.n_flagged = n_done
    t.n_entries += count
    t.body = t.fill = 0
    t.count = 0
    if count and send_meta(t, MESSAGE_ENTRIES, count, body, fill > 0, err) < 0:
        return -1
    if fill == 0:
        return 0
    h.id, h.offset, h.raw_bytes, h.flags = 0, 0, <uint32_t>fill, DATA_IS_BUNDLE
    return send_data(t, slot.data, &h, err)


cdef int make_room(send_stream *t, io_slot *slot, int n_done, const entry *e, size_t n_path,
                   fast_err *err) noexcept nogil:
    """Extras may make a batch longer than a message."""
    if not e.extras_bytes or t.body + ENTRY_BYTES + n_path + 4 + e.extras_bytes <= MAX_META_BYTES - META_HEADER_BYTES:
        return 0
    return flush_batch(t, slot, n_done, err)


cdef int send_directory(send_stream *t, io_slot *slot, int i, fast_err *err) noexcept nogil:
    """Compose the entry of a finished directory, whose mode and times count even where its attributes can't be
    read, or of an absent source."""
    cdef flight *f = t.flights[i]
    cdef fast_err own
    cdef entry e
    cdef size_t n = 0
    cdef int fd = -1
    clear(&own)
    describe(&e, f.kind, f.id, &f.dir.status)
    if f.kind == ENTRY_DIRECTORY and (t.state.config.keeps_xattrs or t.state.config.keeps_acls):
        fd = openat(AT_FDCWD, f.dir.source, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        if fd < 0:
            fail(&own, FAST_XATTR, errno, "read attributes")
    if f.kind == ENTRY_DIRECTORY and (gather(t.state, fd, &f.dir.status, t.extras, &n, &own) < 0 or own.code):
        report(t.state, &own, False, f.dir, NULL, 0)
    if fd >= 0:
        c_close(fd)
    e.extras, e.extras_bytes = t.extras, <uint32_t>n
    if make_room(t, slot, i, &e, f.dir.n_target, err) < 0:
        return -1
    t.body += add_entry(t, t.body, &e, f.dir, NULL, 0)
    t.count += 1
    return 0


cdef int describe_item(send_stream *t, const item *it, entry *e, fast_err *own) noexcept nogil:
    """The extras of the batch's next entry; -1 when it can't be sent."""
    cdef send_state *s = t.state
    cdef size_t n = 0
    cdef uint32_t type = it.status.st_mode & S_IFMT
    e.extras, e.extras_bytes = t.extras, 0
    if it.kind == ENTRY_HARD_LINK:
        if it.links.state != LINKS_GOOD:  # settled before this item came to be
            return fail(own, FAST_HARD_LINK, 0, "link")
        n = put_extra(t.extras, n, EXTRA_TARGET, it.links.path, it.links.n_path)
    else:
        if it.kind == ENTRY_LINK:
            n = put_extra(t.extras, n, EXTRA_TARGET, it.link, strlen(it.link))
        elif it.kind == ENTRY_DEVICE:
            n = put_device(t.extras, n, DEVICE_FIFO if type == S_IFIFO else DEVICE_BLOCK if type == S_IFBLK
                           else DEVICE_CHARACTER, major(it.status.st_rdev) if type != S_IFIFO else 0,
                           minor(it.status.st_rdev) if type != S_IFIFO else 0)
        if s.config.has_extras and gather(s, it.fd, &it.status, t.extras, &n, own) < 0:
            return -1
    e.extras_bytes = <uint32_t>n
    return 0


cdef int send_item(send_stream *t, io_slot *slot, int i, item *it, fast_err *err) noexcept nogil:
    """Compose the entry of one file, read behind the bundle's others, or of a link or device."""
    cdef uint64_t faulty = <uint64_t>t.state.config.fault_offset
    cdef flight *f = t.flights[i]
    cdef fast_err own
    cdef entry e
    clear(&own)
    describe(&e, it.kind, f.id, &it.status)
    if describe_item(t, it, &e, &own) == 0:
        if make_room(t, slot, i, &e, it.dir.n_target + 1 + it.n_name, err) < 0:
            return -1
        if it.kind == ENTRY_SMALL:
            read_small(t, it, slot.data + t.fill, &own)
    item_close(it)
    if own.code:
        drop(t, f, &own, it)
        t.flights[i] = NULL  # another stream's by now
        return 0
    if it.kind == ENTRY_SMALL and t.state.config.has_checksum:
        digest_update(&f.digest, slot.data + t.fill, e.size, 0)
        digest_finish(&f.digest, e.size)
        e.digest = f.digest
    if t.state.config.fault_offset >= 0 and faulty < e.size:
        slot.data[t.fill + faulty] ^= 1
    f.size = e.size
    t.fill += e.size
    t.body += add_entry(t, t.body, &e, it.dir, it.name, it.n_name)
    t.count += 1
    return 0


cdef int send_batch(send_stream *t, int n_dirs, int n_files, fast_err *err) noexcept nogil:
    """Send t.flights: first directories, then the files of t.batch."""
    cdef io_slot *slot = ring_free_slot(&t.ring)
    cdef int i
    t.body = t.fill = 0
    t.count = t.n_flagged = 0
    for i in range(n_dirs):
        if send_directory(t, slot, i, err) < 0:
            return -1
    for i in range(n_files):
        if send_item(t, slot, n_dirs + i, &t.batch[i], err) < 0:
            return -1
    return flush_batch(t, slot, n_dirs + n_files, err)


cdef void add_flight_locked(send_stream *t, const item *it, int n_dirs, int *n_files) noexcept nogil:
    """The item at the end of t.batch takes one of the free flights."""
    cdef flight *f = flight_new_locked(t.state, it.kind, it.dir)
    flight_set_name(t.state, f, it.name, it.n_name)
    f.dev, f.ino = it.status.st_dev, it.status.st_ino
    if it.kind == ENTRY_HARD_LINK:
        f.dev, f.ino = it.links.dev, it.links.ino
    else:
        f.links = it.links
    t.flights[n_dirs + n_files[0]] = f
    n_files[0] += 1


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
        f = flight_new_locked(s, ENTRY_DIRECTORY if has_entry(s, s.finished) else ENTRY_ABSENT, s.finished)
        if f == NULL:
            break
        node = s.finished
        s.finished = node.next
        s.n_finished -= 1
        if s.n_finished == MAX_FINISHED // 2:
            pthread_cond_broadcast(&s.walk)
        node.n_refs = 1  # the flight's
        node.is_unlisted = node.is_settled = True  # once that flight ends the node is freed
        t.flights[n_dirs[0]] = f
        n_dirs[0] += 1
        body += ENTRY_BYTES + node.n_target
    share = share if share > MIN_SHARE else <int>MIN_SHARE
    # Names that have waited for the first one's result.
    while n_files[0] < N_ITEMS // 2 and body < MAX_META_BYTES // 2 and s.linkable != NULL and s.n_free:
        it = &t.batch[n_files[0]]
        pop_link_locked(s, it)
        add_flight_locked(t, it, n_dirs[0], n_files)
        body += ENTRY_BYTES + it.dir.n_target + 1 + it.n_name
    while s.n_items and n_files[0] < share:
        it = &s.items[s.items_head]
        if it.status.st_size > SMALL_FILE_BYTES or fill + it.status.st_size > s.config.block:
            break
        if body + ENTRY_BYTES + it.dir.n_target + 1 + it.n_name > MAX_META_BYTES - META_HEADER_BYTES:
            break
        if s.n_free == 0:
            break
        t.batch[n_files[0]] = it[0]
        add_flight_locked(t, it, n_dirs[0], n_files)
        fill += it.status.st_size
        body += ENTRY_BYTES + it.dir.n_target + 1 + it.n_name
        s.items_head = (s.items_head + 1) % N_ITEMS
        s.n_items -= 1
    if n_files[0]:
        pthread_cond_broadcast(&s.room)
    return n_dirs[0] + n_files[0]
