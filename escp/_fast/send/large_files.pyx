"""The large files that are open at the sender; see large_files.pxd."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from escp._fast.base.libc cimport errno, escp_raise_flag, lseek, memset, pthread_cond_broadcast
from escp._fast.base.types cimport MAX_OPEN_LARGE, SMALL_FILE_BYTES
from escp._fast.files.bounds cimport data_range, next_range, seek_call
from escp._fast.io.pages cimport can_direct
from escp._fast.send.flights cimport flight_new_locked, flight_set_name, mark_source
from escp._fast.send.send_state cimport N_ITEMS, flight, item, large_file, send_state
from escp._fast.wire.payloads cimport ENTRY_LARGE


cdef int64_t seek_file(void *file, uint64_t offset, int whence) noexcept nogil:
    cdef int64_t at = lseek((<large_file *>file).fd, offset, whence)
    return at if at >= 0 else -errno


cdef void find_range_locked(send_state *s, large_file *l) noexcept nogil:
    """Set l.next and l.n_next to what is to be sent next, from l.next on; l.is_handed_out when nothing is left.

    What is skipped no longer counts as found, so progress ends at 100 %.
    """
    cdef seek_call seek = NULL
    cdef data_range r
    if l.has_holes:
        seek = seek_file
    r.start, r.next_data = l.next, l.next_data
    l.is_handed_out = not next_range(seek, l, l.size, s.config.block, &r)
    s.n_found_bytes -= r.start - l.next
    l.next, l.n_next, l.next_data = r.start, <uint32_t>r.n, r.next_data


cdef large_file *begin_large_locked(send_state *s) noexcept nogil:
    cdef item *it = &s.items[s.items_head]
    cdef large_file *l = NULL
    cdef flight *f
    cdef int i
    if s.n_items == 0 or it.size <= SMALL_FILE_BYTES or s.current != NULL or s.opened != NULL:
        return NULL
    for i in range(s.config.max_large):
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
    l.size = it.size
    l.id = f.id
    f.large = l
    f.links = it.links
    f.size = l.size
    mark_source(f, &it.status)
    flight_set_name(s, f, it.name, it.n_name)
    s.items_head = (s.items_head + 1) % N_ITEMS
    s.n_items -= 1
    pthread_cond_broadcast(&s.room)
    l.has_holes = (s.config.is_sparse and s.config.engine.has_files and not it.is_measured
                   and <uint64_t>it.status.st_blocks * 512 < l.size)
    find_range_locked(s, l)
    l.is_direct = (s.config.is_direct and l.size >= s.config.direct_bytes and s.config.engine.has_files
                   and not it.is_measured and can_direct(l.fd))
    l.asks = (s.config.resumes and l.size >= s.config.partial_min and s.config.engine.has_files
              and not it.is_measured)
    if s.n_items or l.size > s.config.block:
        pthread_cond_broadcast(&s.work)
    return l


cdef void put_ending_locked(send_state *s, large_file *l) noexcept nogil:
    l.is_ending = True
    l.next_ending = s.ending
    s.ending = l


cdef bint find_current_locked(send_state *s, bint begins) noexcept nogil:
    cdef large_file *l
    if s.current == NULL and s.opened != NULL:
        s.current = s.opened
        s.opened = s.current.next_ending
    elif s.current == NULL and begins:
        l = begin_large_locked(s)
        if l != NULL and l.is_handed_out:  # nothing but a hole
            put_ending_locked(s, l)
        else:
            s.current = l
    return s.current != NULL


cdef void advance_locked(send_state *s, large_file *l) noexcept nogil:
    l.next += l.n_next
    l.n_claimed += 1
    find_range_locked(s, l)
    if l.is_handed_out:
        s.current = NULL
        pthread_cond_broadcast(&s.work)


cdef void put_opened_locked(send_state *s, large_file *l) noexcept nogil:
    l.next_ending = s.opened
    s.opened = l
    pthread_cond_broadcast(&s.work)


cdef void take_off_locked(send_state *s, large_file *l) noexcept nogil:
    """No block of it is claimed any more. One pointer chains those whose turn has not come, and those that end."""
    cdef large_file **at = &s.opened
    if s.current == l:
        s.current = NULL
    while at[0] != NULL and at[0] != l:
        at = &at[0].next_ending
    if at[0] == l:
        at[0] = l.next_ending


cdef bint give_up_locked(send_state *s, large_file *l) noexcept nogil:
    if l.has_failed:
        return False
    escp_raise_flag(&l.has_failed)
    take_off_locked(s, l)
    if l.n_done == l.n_claimed and not l.is_ending:  # no block is under way that would end it
        put_ending_locked(s, l)
    pthread_cond_broadcast(&s.work)
    return True


cdef bint count_block_locked(large_file *l) noexcept nogil:
    l.n_done += 1
    if l.n_done != l.n_claimed or l.is_ending or not (l.has_failed or l.is_handed_out):
        return False
    l.is_ending = True
    return True


cdef large_file *take_ending_locked(send_state *s) noexcept nogil:
    cdef large_file *l = s.ending
    if l != NULL:
        s.ending = l.next_ending
    return l


cdef int count_parts_locked(const send_state *s) noexcept nogil:
    cdef int i
    cdef int n = 0
    if s.config.partial_min:
        for i in range(MAX_OPEN_LARGE):
            n += (s.large[i].is_used and not s.large[i].has_failed and s.large[i].size >= s.config.partial_min
                  and s.large[i].n_sent_bytes > 0)
    return n
