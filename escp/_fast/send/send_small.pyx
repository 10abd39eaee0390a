"""Small files and finished directories: taken as a batch, read into one bundle, sent; see send_small.pxd."""

from libc.stdint cimport int64_t, uint32_t, uint64_t, uint8_t

from escp._fast.base.libc cimport (O_CLOEXEC, O_DIRECTORY, O_RDONLY, S_IFBLK, S_IFIFO, S_IFMT, c_close, errno, fstat,
                                   major, minor, pthread_cond_broadcast, pthread_mutex_lock, pthread_mutex_unlock,
                                   stat_t, strlen)
from escp._fast.base.types cimport (FAST_CHANGED, FAST_HARD_LINK, FAST_SYS, FAST_XATTR, MAX_BATCH, SMALL_FILE_BYTES,
                                    clear, fail, fast_err)
from escp._fast.crypto.digest cimport digest_finish, digest_update
from escp._fast.io.ring cimport io_engine, ring_free_slot
from escp._fast.send.below cimport is_same_file, open_below
from escp._fast.send.flights cimport (flight_end_locked, flight_new_locked, flight_set_name, mark_name,
                                      mark_source)
from escp._fast.send.gather cimport gather
from escp._fast.send.hard_links cimport pop_link_locked
from escp._fast.send.send_frames cimport add_begun, add_entry, describe, send_entries, set_contents, take_back
from escp._fast.send.send_state cimport (LINKS_GOOD, MAX_FINISHED, N_ITEMS, check_unchanged, dir_node, flight,
                                         has_entry, item, item_close, report, send_state, sources_closed_locked)
from escp._fast.send.send_stream cimport send_stream
from escp._fast.wire.extras cimport DEVICE_BLOCK, DEVICE_CHARACTER, DEVICE_FIFO, EXTRA_TARGET, put_device, put_extra
from escp._fast.wire.payloads cimport (ENTRY_ABSENT, ENTRY_DEVICE, ENTRY_DIRECTORY, ENTRY_HARD_LINK, ENTRY_LINK,
                                       ENTRY_SMALL, entry)


cdef enum:
    MIN_SHARE = 16  # files taken at a time even when the queue is short


cdef int64_t room_for(const item *it) noexcept nogil:
    """Bytes in a bundle, of which there may be that many."""
    return SMALL_FILE_BYTES if it.is_measured else it.size


cdef int64_t read_small(send_stream *t, const item *it, uint8_t *to, fast_err *err) noexcept nogil:
    """Its contents: how many bytes, or -1."""
    cdef const io_engine *engine = t.state.config.engine
    cdef int64_t k = engine.read_small(&t.ring, it.fd, to, room_for(it))
    if k < 0:
        return fail(err, FAST_SYS, errno, "read")
    return -1 if engine.has_files and check_unchanged(it.fd, it, k, err) < 0 else k


cdef void drop(send_stream *t, flight *f, const fast_err *err, const item *it) noexcept nogil:
    report(t.state, err, False, it.dir, it.name, it.n_name)
    pthread_mutex_lock(&t.state.lock)
    flight_end_locked(t.state, f)
    pthread_mutex_unlock(&t.state.lock)


cdef int open_directory(send_stream *t, const dir_node *dir, fast_err *own) noexcept nogil:
    """Once more, for its attributes: the one that was listed; -1 when it is not there any more."""
    cdef stat_t now
    cdef int fd = open_below(t.state, &t.way, dir, "", 0, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if fd < 0:
        return fail(own, FAST_XATTR, errno, "read attributes")
    if fstat(fd, &now) == 0 and is_same_file(&now, &dir.status):
        return fd
    c_close(fd)
    return fail(own, FAST_CHANGED, 0, "read attributes")


cdef int send_directory(send_stream *t, flight *f, fast_err *err) noexcept nogil:
    """Compose the entry of a finished directory, whose mode and times count even where its attributes can't be
    read, or of an absent source."""
    cdef fast_err own
    cdef entry e
    cdef size_t n = 0
    cdef int fd = -1
    clear(&own)
    describe(&e, f.kind, f.id, &f.dir.status, 0)
    if f.kind == ENTRY_DIRECTORY and (t.state.config.keeps_xattrs or t.state.config.keeps_acls):
        fd = open_directory(t, f.dir, &own)
    if f.kind == ENTRY_DIRECTORY and (gather(t.state, fd, &f.dir.status, t.extras, &n, &own) < 0 or own.code):
        report(t.state, &own, False, f.dir, NULL, 0)
    if fd >= 0:
        c_close(fd)
    e.extras, e.extras_bytes = t.extras, <uint32_t>n
    return add_entry(t, &e, f, f.dir, NULL, 0, err)


cdef int describe_item(send_stream *t, const item *it, entry *e, fast_err *own) noexcept nogil:
    cdef send_state *s = t.state
    cdef size_t n = 0
    cdef uint32_t type = it.status.st_mode & S_IFMT
    e.extras, e.extras_bytes = t.extras, 0
    if it.kind == ENTRY_HARD_LINK:
        if it.links.state != LINKS_GOOD:  # settled before this item came to be
            return fail(own, FAST_HARD_LINK, 0, "link")
        put_extra(t.extras, &n, EXTRA_TARGET, it.links.path, it.links.n_path)
    else:
        if it.kind == ENTRY_LINK:
            put_extra(t.extras, &n, EXTRA_TARGET, it.link, strlen(it.link))
        elif it.kind == ENTRY_DEVICE:
            put_device(t.extras, &n, DEVICE_FIFO if type == S_IFIFO else DEVICE_BLOCK if type == S_IFBLK
                       else DEVICE_CHARACTER, major(it.status.st_rdev) if type != S_IFIFO else 0,
                       minor(it.status.st_rdev) if type != S_IFIFO else 0)
        if s.config.has_extras and gather(s, it.fd, &it.status, t.extras, &n, own) < 0:
            return -1
    e.extras_bytes = <uint32_t>n
    return 0


cdef int send_item(send_stream *t, flight *f, item *it, fast_err *err) noexcept nogil:
    """Compose the entry of one file, read behind the bundle's others, or of a link or device."""
    cdef uint64_t faulty = <uint64_t>t.state.config.fault_offset
    cdef uint8_t *contents
    cdef int64_t n = 0
    cdef fast_err own
    cdef entry e
    clear(&own)
    describe(&e, it.kind, f.id, &it.status, it.size)
    if describe_item(t, it, &e, &own) < 0:
        drop(t, f, &own, it)
        return 0
    # Before it is read: what is in the bundle may have to go first.
    if add_begun(t, it.dir, err) < 0 or add_entry(t, &e, f, it.dir, it.name, it.n_name, err) < 0:
        return -1
    contents = t.bundle.data + t.fill
    if it.kind == ENTRY_SMALL:
        n = read_small(t, it, contents, &own)
    if n < 0:
        take_back(t)
        drop(t, f, &own, it)
        return 0
    if it.kind == ENTRY_SMALL and t.state.config.has_checksum:
        digest_update(&f.digest, contents, n, 0)
        digest_finish(&f.digest, n)
    if it.kind == ENTRY_SMALL:
        set_contents(t, n, &f.digest)
    if it.is_measured:  # only now it is known
        pthread_mutex_lock(&t.state.lock)
        t.state.n_found_bytes += n - it.size
        pthread_mutex_unlock(&t.state.lock)
    if t.state.config.fault_offset >= 0 and faulty < <uint64_t>n:
        contents[faulty] ^= 1
    f.size = n
    t.fill += n
    if n:
        t.bundled[t.n_bundled] = f.id
        t.n_bundled += 1
    return 0


cdef int send_batch(send_stream *t, int n_dirs, int n_files, fast_err *err) noexcept nogil:
    """Send t.flights: first directories, then the files of t.batch."""
    cdef int rc = 0
    cdef int n_open = 0
    cdef int i
    t.bundle = ring_free_slot(&t.ring)
    for i in range(n_dirs):
        if rc == 0:
            rc = send_directory(t, t.flights[i], err)
    for i in range(n_files):
        if rc == 0:
            rc = send_item(t, t.flights[n_dirs + i], &t.batch[i], err)
        n_open += t.batch[i].fd >= 0
        item_close(&t.batch[i])
    if n_open:
        pthread_mutex_lock(&t.state.lock)
        sources_closed_locked(t.state, n_open)
        pthread_mutex_unlock(&t.state.lock)
    return send_entries(t, False, err) if rc == 0 else -1


cdef void add_flight_locked(send_stream *t, const item *it, int n_dirs, int *n_files) noexcept nogil:
    """The item at the end of t.batch takes one of the free flights."""
    cdef flight *f = flight_new_locked(t.state, it.kind, it.dir)
    flight_set_name(t.state, f, it.name, it.n_name)
    if it.kind == ENTRY_HARD_LINK:
        mark_name(f, it.links)
    else:
        mark_source(f, &it.status)
        f.links = it.links
    t.flights[n_dirs + n_files[0]] = f
    n_files[0] += 1


cdef int take_batch_locked(send_stream *t, int *n_dirs, int *n_files) noexcept nogil:
    """Move finished directories and small files into t.flights and t.batch, as much as fits one bundle."""
    cdef send_state *s = t.state
    cdef int64_t fill = 0
    cdef int share = s.n_items // s.config.n_streams
    cdef item *it
    cdef flight *f
    cdef dir_node *node
    n_dirs[0] = n_files[0] = 0
    while s.finished != NULL and n_dirs[0] < MAX_BATCH // 2:
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
    share = share if share > MIN_SHARE else <int>MIN_SHARE
    # Names that have waited for the first one's result.
    while n_files[0] < N_ITEMS // 2 and s.linkable != NULL and s.n_free:
        it = &t.batch[n_files[0]]
        pop_link_locked(s, it)
        add_flight_locked(t, it, n_dirs[0], n_files)
    while s.n_items and n_files[0] < share:
        it = &s.items[s.items_head]
        if it.size > SMALL_FILE_BYTES or fill + room_for(it) > s.config.block:
            break
        if s.n_free == 0:
            break
        t.batch[n_files[0]] = it[0]
        add_flight_locked(t, it, n_dirs[0], n_files)
        fill += room_for(it)
        s.items_head = (s.items_head + 1) % N_ITEMS
        s.n_items -= 1
    if n_files[0]:
        pthread_cond_broadcast(&s.room)
    return n_dirs[0] + n_files[0]
