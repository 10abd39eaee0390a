"""Room on the disk, a bounded way ahead of what has come; see reserve.pxd."""

from libc.stdint cimport uint64_t

from escp._fast.base.libc cimport (EDQUOT, EFBIG, ENOMEM, ENOSPC, errno, escp_memory_room, escp_room, fallocate,
                                   pthread_mutex_lock, pthread_mutex_unlock)
from escp._fast.base.types cimport FAST_OK, FAST_SYS, MAX_OPEN_LARGE, fail, fast_err
from escp._fast.receive.receive_state cimport open_large, receive_state


cdef int check_room(receive_state *s, const open_large *l, fast_err *err) noexcept nogil:
    cdef uint64_t wanted = l.what.size
    cdef uint64_t limit
    cdef bint is_due
    cdef int i
    if wanted > escp_room(l.file.fd):
        return fail(err, FAST_SYS, ENOSPC, "allocate")
    if not l.is_in_memory:
        return 0
    pthread_mutex_lock(&s.lock)
    s.n_to_memory += wanted
    is_due = s.n_to_memory >= RESERVE_BYTES  # a look at the memory takes as long as a small file
    if is_due:
        s.n_to_memory = 0
    for i in range(MAX_OPEN_LARGE):
        if s.large[i].is_used and s.large[i].is_made and s.large[i].is_in_memory and s.large[i].failure.code == FAST_OK:
            wanted += s.large[i].what.size - s.large[i].n_begun
    pthread_mutex_unlock(&s.lock)
    return fail(err, FAST_SYS, ENOMEM, "allocate") if is_due and wanted > escp_memory_room(&limit) else 0


cdef bint is_worth_reserving(const open_large *l) noexcept nogil:
    # A tmpfs clears what it reserves, and keeps all other streams out of the file meanwhile.
    if l.is_sparse or l.file.is_over or l.is_in_memory:
        return False
    return l.is_direct or l.what.size >= RESERVE_BYTES


cdef void claim_room_locked(receive_state *s, open_large *l, stretch *out) noexcept nogil:
    cdef uint64_t written = l.low_block * s.config.block
    cdef uint64_t left
    cdef uint64_t n
    out.n = 0
    if l.n_ahead > RESERVE_BYTES // 2:
        return
    if l.n_reserved < written:  # there was no room to be had for a while: what has come needs none any more
        l.n_reserved = written
    if l.n_reserved >= l.what.size:
        return
    n = l.n_begun if l.n_begun > RESERVE_BYTES else <uint64_t>RESERVE_BYTES
    left = MAX_AHEAD_BYTES - s.n_ahead
    n = n if n < left else left
    left = l.what.size - l.n_reserved
    n = n if n < left else left
    if n < RESERVE_BYTES // 4 and n < left:  # a session's last crumbs would cost a call for each block
        return
    out.offset, out.n = l.n_reserved, n
    l.n_reserved += n
    l.n_ahead += n
    s.n_ahead += n


cdef int reserve(const open_large *l, const stretch *where, fast_err *err) noexcept nogil:
    if fallocate(l.file.fd, 0, where.offset, where.n) == 0:
        return 0
    if errno == ENOSPC or errno == EDQUOT or errno == EFBIG:
        return fail(err, FAST_SYS, errno, "allocate")
    return 1


cdef void earn_room_locked(receive_state *s, open_large *l, uint64_t n) noexcept nogil:
    n = n if n < l.n_ahead else l.n_ahead
    l.n_ahead -= n
    s.n_ahead -= n
