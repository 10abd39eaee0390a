"""Contents that were sent and not taken, read once more from their source; see read_again.pxd."""

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t, uint8_t

from escp._fast.base.libc cimport (O_CLOEXEC, O_NOCTTY, O_NONBLOCK, O_RDONLY, c_close, errno, fstat, memcpy, memset,
                                   pthread_mutex_lock, pthread_mutex_unlock, stat_t)
from escp._fast.base.types cimport FAST_CHANGED, FAST_PROTOCOL, FAST_SYS, MAX_NAME_BYTES, clear, fail, fast_err
from escp._fast.io.pages cimport whole_pages
from escp._fast.io.ring cimport SLOT_READY, io_slot
from escp._fast.send.below cimport open_below
from escp._fast.send.flights cimport flight_name, is_marked
from escp._fast.send.send_state cimport (N_FLIGHTS, dir_node, flight, large_file, node_unref, report, send_state,
                                         sent_frame)
from escp._fast.send.send_stream cimport send_stream


# What is needed of a flight while a receiver's result could end it.
ctypedef struct source:
    flight *flight
    dir_node *dir  # holds a reference
    large_file *large  # may be another file's by now: what is read of it counts if the flight is still there
    int fd  # of that
    bint is_direct
    uint64_t size
    uint16_t n_name
    char name[MAX_NAME_BYTES + 1]


cdef int find_source(send_state *s, uint64_t id, source *found, fast_err *err) noexcept nogil:
    cdef flight *f = &s.flights[id % N_FLIGHTS]
    cdef bint is_found
    pthread_mutex_lock(&s.lock)
    is_found = f.id == id
    if is_found:
        found.flight, found.dir, found.large, found.size, found.n_name = f, f.dir, f.large, f.size, f.n_name
        found.fd, found.is_direct = -1, False
        if f.large != NULL:
            found.fd, found.is_direct = f.large.fd, f.large.is_direct
        memcpy(found.name, flight_name(s, f), f.n_name)
        found.name[f.n_name] = 0
        f.dir.n_refs += 1
    pthread_mutex_unlock(&s.lock)
    return 0 if is_found else fail(err, FAST_PROTOCOL, 0, "frames taken")  # it has its result, so all of it was


cdef bint is_there(send_state *s, uint64_t id) noexcept nogil:
    """Whether no result has ended it: then its descriptor was its own while a block was read from it."""
    cdef bint is_same
    pthread_mutex_lock(&s.lock)
    is_same = s.flights[id % N_FLIGHTS].id == id
    pthread_mutex_unlock(&s.lock)
    return is_same


cdef int tell_changed(send_state *s, uint64_t id, const source *found, const fast_err *own,
                      fast_err *err) noexcept nogil:
    cdef flight *f = found.flight
    cdef bint is_news
    if not s.config.has_checksum:
        return fail(err, FAST_CHANGED, 0, "read again")
    pthread_mutex_lock(&s.lock)
    is_news = f.id == id and not f.is_told and not (f.large != NULL and f.large.has_failed)
    if is_news:
        f.is_told = True
    pthread_mutex_unlock(&s.lock)
    if is_news:
        report(s, own, False, found.dir, found.name, found.n_name)
    return 0


cdef int read_block_again(send_stream *t, const sent_frame *f, io_slot *slot, fast_err *err) noexcept nogil:
    cdef send_state *s = t.state
    cdef source found
    cdef fast_err own
    cdef int rc = 0
    clear(&own)
    if find_source(s, f.id, &found, err) < 0:
        return -1
    if found.large == NULL:
        fail(err, FAST_PROTOCOL, 0, "frames taken")
        rc = -1
    else:
        slot.owner, slot.fd, slot.offset = found.large, found.fd, f.offset
        slot.n_bytes, slot.result = f.n, 0
        slot.n_io = <uint32_t>whole_pages(f.n) if found.is_direct else f.n
        slot.is_direct = found.is_direct
        slot.state = SLOT_READY
        if s.config.engine.attach != NULL:  # the program has written over it, or may at any time
            fail(&own, FAST_CHANGED, 0, "again")
        if own.code or s.config.engine.finish(&t.ring, slot, &own) < 0:
            memset(slot.data, 0, f.n)
            rc = tell_changed(s, f.id, &found, &own, err)
        if rc == 0 and not is_there(s, f.id):
            rc = fail(err, FAST_PROTOCOL, 0, "frames taken")
    node_unref(s, found.dir)
    return rc


cdef int read_small_again(send_stream *t, const source *found, uint8_t *to, fast_err *own) noexcept nogil:
    cdef send_state *s = t.state
    cdef int fd = open_below(s, &t.way, found.dir, found.name, found.n_name,
                             O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)
    cdef stat_t now
    cdef int rc = 0
    if fd < 0:
        return fail(own, FAST_SYS, errno, "open")
    if fstat(fd, &now) < 0:
        rc = fail(own, FAST_SYS, errno, "stat")
    elif not is_marked(found.flight, &now):
        rc = fail(own, FAST_CHANGED, 0, "read again")
    elif s.config.engine.read_small(&t.ring, fd, to, found.size) != <int64_t>found.size:
        rc = fail(own, FAST_CHANGED, 0, "read again")
    c_close(fd)
    return rc


cdef int64_t read_bundle_again(send_stream *t, const uint8_t *ids, size_t n, uint8_t *to,
                               fast_err *err) noexcept nogil:
    cdef send_state *s = t.state
    cdef int64_t fill = 0
    cdef uint64_t id = 0
    cdef source found
    cdef fast_err own
    cdef size_t i
    cdef int rc = 0
    for i in range(n):
        memcpy(&id, ids + i * sizeof(uint64_t), sizeof(uint64_t))
        if find_source(s, id, &found, err) < 0:
            return -1
        clear(&own)
        if found.size > <uint64_t>(s.config.block - fill):  # a flight that a result ended and another file took
            rc = fail(err, FAST_PROTOCOL, 0, "frames taken")
        elif read_small_again(t, &found, to + fill, &own) < 0:
            memset(to + fill, 0, found.size)
            rc = tell_changed(s, id, &found, &own, err)
        fill += found.size
        node_unref(s, found.dir)
        if rc < 0:
            return -1
    return fill
