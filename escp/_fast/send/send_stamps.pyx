"""Files that have arrived; see send_stamps.pxd."""

from libc.stdint cimport uint8_t, uint64_t

from escp._fast.base.libc cimport pthread_mutex_lock, pthread_mutex_unlock, strlen
from escp._fast.base.types cimport FAST_PROTOCOL, fail, fast_err
from escp._fast.files.stamps cimport book_add, book_find, find_key, to_ns
from escp._fast.send.flights cimport flight_name
from escp._fast.send.hard_links cimport find_links_stamp_locked, stamp_links_locked
from escp._fast.send.send_state cimport N_FLIGHTS, dir_node, flight, item, send_state
from escp._fast.wire.payloads cimport ENTRY_HARD_LINK, ENTRY_LARGE, STAMP_BYTES, get_stamp


cdef int take_stamps(send_state *s, const uint8_t *body, int count, fast_err *err) noexcept nogil:
    cdef uint64_t id = 0
    cdef uint64_t stamp = 0
    cdef flight *f
    cdef int rc = 0
    cdef int i
    pthread_mutex_lock(&s.lock)
    for i in range(count):
        get_stamp(body + i * STAMP_BYTES, &id, &stamp)
        f = &s.flights[id % N_FLIGHTS]
        if not s.stamps.is_on or id == 0 or f.id != id or not f.is_sent or f.kind > ENTRY_LARGE:
            rc = fail(err, FAST_PROTOCOL, 0, "stamp")
            break
        f.stamp = stamp
    pthread_mutex_unlock(&s.lock)
    return rc


cdef void note_arrived_locked(send_state *s, const flight *f) noexcept nogil:
    cdef uint64_t stamp = f.stamp
    cdef uint64_t ctime = f.ctime
    if not s.stamps.is_on:
        return
    if f.kind == ENTRY_HARD_LINK:  # it is the same file at the target, too
        stamp = find_links_stamp_locked(s, f, &ctime)
    elif f.links != NULL:
        stamp_links_locked(s, f)
    if stamp:
        book_add(&s.stamps, find_key(&s.stamps, f.dir.target, f.dir.n_target, flight_name(s, f), f.n_name, f.ino,
                                     f.n_disk, f.mtime, ctime), stamp)


cdef uint64_t find_stamp(send_state *s, const item *it, const dir_node *dir, const char *name) noexcept nogil:
    if s.stamps.known == NULL or it.is_measured:  # what does not tell its size may have changed unseen
        return 0
    return book_find(&s.stamps, find_key(
        &s.stamps, dir.target, dir.n_target, name, strlen(name), it.status.st_ino, it.status.st_size,
        to_ns(&it.status.st_mtim), to_ns(&it.status.st_ctim)))
