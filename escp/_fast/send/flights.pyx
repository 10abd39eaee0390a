"""What has been sent and has no result yet; see flights.pxd."""

from libc.stdint cimport uint8_t, uint16_t, uint64_t

from escp._fast.base.libc cimport S_ISDIR, S_ISREG, memcpy, pthread_cond_broadcast, stat_t
from escp._fast.base.types cimport MAX_NAME_BYTES
from escp._fast.files.journal cimport kept_close
from escp._fast.files.stamps cimport to_ns
from escp._fast.send.hard_links cimport answer_links_locked, resolve_links_locked
from escp._fast.send.send_state cimport (ASK_ROOM, LINKS_FAILED, LINKS_GOOD, LINKS_REFUSED, MAX_ASKED, N_FLIGHTS,
                                         SHORT_NAME_BYTES, dir_node, flight, hard_link, large_close_locked,
                                         node_unref_locked, send_state)
from escp._fast.wire.payloads cimport ENTRY_DIRECTORY, ENTRY_QUERY


cdef flight *flight_new_locked(send_state *s, uint8_t kind, dir_node *dir) noexcept nogil:
    cdef flight *f
    cdef int i = s.first_free
    if s.n_free == 0:
        return NULL
    f = &s.flights[i]
    s.first_free = i + 1 + f.to_next_free
    s.n_free -= 1
    s.next_serial += 1
    f.id = s.next_serial * N_FLIGHTS + i  # its place in the table is the id's remainder
    f.kind = kind
    f.dir = dir
    f.large = NULL
    f.links = NULL
    f.is_sent = f.is_good = f.is_refused = f.is_digest_known = f.is_told = False
    f.node = 0
    f.size = 0
    f.digest.high = f.digest.low = f.stamp = 0
    f.n_name = 0
    s.n_asked += kind == ENTRY_QUERY
    return f


cdef char *name_room(send_state *s, const flight *f, uint16_t n_name) noexcept nogil:
    return <char *>f.short_name if n_name <= SHORT_NAME_BYTES else s.long_names + (f - s.flights) * MAX_NAME_BYTES


cdef const char *flight_name(send_state *s, const flight *f) noexcept nogil:
    return name_room(s, f, f.n_name)


cdef void flight_set_name(send_state *s, flight *f, const char *name, uint16_t n_name) noexcept nogil:
    f.n_name = n_name
    memcpy(name_room(s, f, n_name), name, n_name)


cdef void flight_end_locked(send_state *s, flight *f) noexcept nogil:
    cdef dir_node *dir = f.dir
    cdef int i = <int>(f - s.flights)
    cdef bint was_large = f.large != NULL
    cdef bint was_question = f.kind == ENTRY_QUERY
    if f.links != NULL and was_question:
        answer_links_locked(s, f.links, True)
    elif f.links != NULL:
        resolve_links_locked(s, f.links, LINKS_GOOD if f.is_good else LINKS_REFUSED if f.is_refused else LINKS_FAILED)
    f.links = NULL
    if f.large != NULL:
        large_close_locked(s, f.large)
        kept_close(&f.large.kept)
        f.large.is_used = False
    f.id = 0
    f.large = NULL
    f.dir = NULL
    f.to_next_free = s.first_free - i - 1
    s.first_free = i
    s.n_free += 1
    node_unref_locked(s, dir)
    if was_question:
        s.n_asked -= 1
        if s.n_asked == 0:  # perhaps the last work for walkers
            pthread_cond_broadcast(&s.walk)
        if s.n_asked == MAX_ASKED - ASK_ROOM:
            pthread_cond_broadcast(&s.work)
    # A free flight or place for a large file may be what streams wait for; the last one may end the work.
    if was_large or s.n_free == 1 or s.n_free == N_FLIGHTS:
        pthread_cond_broadcast(&s.work)


cdef void settle_root_locked(send_state *s, const flight *f) noexcept nogil:
    if f.kind == ENTRY_DIRECTORY or f.dir.is_root_file:
        f.dir.is_settled = True


cdef void mark_source(flight *f, const stat_t *status) noexcept nogil:
    f.dev, f.ino = status.st_dev, status.st_ino
    f.n_disk = status.st_size
    f.mtime, f.ctime = to_ns(&status.st_mtim), to_ns(&status.st_ctim)
    f.is_lone = status.st_nlink == 1


cdef void mark_name(flight *f, const hard_link *first) noexcept nogil:
    f.dev, f.ino = first.dev, first.ino
    f.n_disk, f.mtime = first.n_disk, to_ns(&first.mtim)
    f.node = first.node
    f.is_lone = False


cdef bint is_marked(const flight *f, const stat_t *now) noexcept nogil:
    if S_ISDIR(now.st_mode) or now.st_dev != f.dev or now.st_ino != f.ino or to_ns(&now.st_mtim) != f.mtime:
        return False
    if S_ISREG(now.st_mode) and <uint64_t>now.st_size != f.n_disk:
        return False
    return not f.is_lone or to_ns(&now.st_ctim) == f.ctime  # another name less changes it, too
