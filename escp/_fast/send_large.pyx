"""Large files, block by block; see send_large.pxd."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from escp._fast.counters cimport count_contents
from escp._fast.digest cimport digest128, digest_add, digest_finish, digest_update
from escp._fast.engine cimport ENGINE_DUMMY, SLOT_FREE, can_direct, io_slot, slot_finish, slot_read
from escp._fast.gather cimport gather
from escp._fast.libc cimport (ENXIO, SEEK_DATA, SEEK_HOLE, c_close, errno, lseek, memset,
                              pthread_cond_broadcast, pthread_mutex_lock, pthread_mutex_unlock)
from escp._fast.send_frames cimport add_entry, describe, send_data, send_meta, send_stream
from escp._fast.sources cimport (N_FLIGHTS, N_ITEMS, flight, flight_end_locked, flight_new_locked, flight_set_name,
                                 is_changed, item, large_file, report, send_state, settle_root_locked)
from escp._fast.types cimport FAST_CHANGED, MAX_OPEN_LARGE, SLICE_BYTES, clear, fail, fast_err
from escp._fast.wire cimport (ENTRY_HAS_HOLES, ENTRY_IS_ABANDONED, ENTRY_LARGE, ENTRY_LARGE_END,
                              MESSAGE_ENTRIES, data_header, entry)


cdef enum:
    NOTE_ANNOUNCE = 1  # this stream has not yet sent the file's entry


cdef void find_range_locked(send_state *s, large_file *l) noexcept nogil:
    """Set l.next and l.n_next to what is to be sent next, from l.next on; l.is_handed_out when nothing is left.

    Of a file with holes: one range of whole slices inside a block, from the first slice with data to the last,
    found with three calls at most. What is skipped no longer counts as found, so progress ends at 100 %.
    """
    cdef uint64_t block = s.config.block
    cdef uint64_t end
    cdef uint64_t start = l.next
    cdef int64_t hole
    if l.has_holes and l.next < l.size:
        if l.next_data <= l.next:
            l.next_data = data_from(l, l.next)
        if l.next_data >= l.size:
            l.next = l.size
        elif l.next_data - l.next_data % SLICE_BYTES > start:
            l.next = l.next_data - l.next_data % SLICE_BYTES
    if l.next >= l.size:
        l.next = l.size
        l.is_handed_out = True
        s.n_found_bytes -= l.size - start
        return
    end = l.next - l.next % block + block
    end = end if end < l.size else l.size
    if l.has_holes:
        hole = lseek(l.fd, l.next_data, SEEK_HOLE)
        if 0 <= hole < <int64_t>end:
            l.next_data = data_from(l, hole)
            if l.next_data >= end:
                hole += SLICE_BYTES - 1
                hole -= hole % SLICE_BYTES
                end = hole if <uint64_t>hole < end else end
    s.n_found_bytes -= l.next - start
    l.n_next = <uint32_t>(end - l.next)


cdef uint64_t data_from(large_file *l, uint64_t offset) noexcept nogil:
    """Where data goes on; the file's size when there is none. Where the system can't tell all is data."""
    cdef int64_t at = lseek(l.fd, offset, SEEK_DATA)
    if at < 0:
        return l.size if errno == ENXIO else offset
    return at if <uint64_t>at < l.size else l.size


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
    f.links = it.links
    f.size = l.size
    f.dev, f.ino = it.status.st_dev, it.status.st_ino
    flight_set_name(s, f, it.name, it.n_name)
    s.items_head = (s.items_head + 1) % N_ITEMS
    s.n_items -= 1
    pthread_cond_broadcast(&s.room)
    l.has_holes = (s.config.finds_holes and s.config.engine != ENGINE_DUMMY
                   and <uint64_t>it.status.st_blocks * 512 < l.size)
    find_range_locked(s, l)
    l.is_direct = (s.config.is_direct and l.size >= s.config.direct_bytes and s.config.engine != ENGINE_DUMMY
                   and can_direct(l.fd))
    if s.n_items or l.size > s.config.block:
        pthread_cond_broadcast(&s.work)
    return l


cdef void claim_block_locked(send_stream *t, large_file *l, io_slot *slot) noexcept nogil:
    """Hand the file's next block to this stream and start reading it."""
    cdef send_state *s = t.state
    cdef uint64_t bit = <uint64_t>1 << t.index
    slot.owner = l
    slot.note = 0 if l.announced & bit else NOTE_ANNOUNCE
    l.announced |= bit
    slot_read(&t.ring, slot, l.fd, l.next, l.n_next, l.is_direct)
    l.next += l.n_next
    l.n_claimed += 1
    find_range_locked(s, l)
    if l.is_handed_out:
        s.current = NULL
        pthread_cond_broadcast(&s.work)


cdef size_t put_large_entry(send_stream *t, size_t at, large_file *l, int kind, uint32_t n_extras) noexcept nogil:
    """Write an entry of the file at offset *at* of the metadata body, its end with what t.extras holds; its length."""
    cdef entry e
    describe(&e, kind, l.id, &l.what.status)
    e.flags = ENTRY_HAS_HOLES if l.has_holes else 0
    if kind == ENTRY_LARGE_END:
        e.size = l.n_sent_bytes
        e.flags |= ENTRY_IS_ABANDONED if l.has_failed else 0
        e.extras, e.extras_bytes = t.extras, n_extras
        e.digest = l.digest
    t.n_entries += 1
    return add_entry(t, at, &e, l.what.dir, l.what.name, l.what.n_name)


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
    cdef size_t n_extras = 0
    cdef int count = 1
    cdef flight *f = &s.flights[l.id % N_FLIGHTS]
    clear(&own)
    if not l.has_failed and s.config.engine != ENGINE_DUMMY and is_changed(l.fd, &l.what.status):
        fail(&own, FAST_CHANGED, 0, "read")
        give_up_large(t, l, &own)
    if not l.has_failed and s.config.has_extras and gather(
            s, l.fd, &l.what.status, t.extras, &n_extras, &own) < 0:
        give_up_large(t, l, &own)
        n_extras = 0
    if s.config.has_checksum:
        digest_finish(&l.digest, l.size)
    pthread_mutex_lock(&s.lock)
    f.digest = l.digest
    c_close(l.fd)
    l.fd = -1
    if l.n_sent_bytes or (l.has_holes and not l.has_failed) or t.sink.link != NULL:
        if l.has_failed or l.n_sent_bytes == 0:  # this stream may have sent no block of it; its end must not come first
            n = put_large_entry(t, 0, l, ENTRY_LARGE, 0)
            count = 2
        n += put_large_entry(t, n, l, ENTRY_LARGE_END, <uint32_t>n_extras)
        f.is_sent = True  # from here on the file belongs to its result
        settle_root_locked(s, f)
    else:
        flight_end_locked(s, f)  # the receiver has not heard of it
    pthread_mutex_unlock(&s.lock)
    return send_meta(t, MESSAGE_ENTRIES, count, n, False, err) if n else 0


cdef int open_large(send_stream *t, large_file *l, fast_err *err) noexcept nogil:
    """Tell a receiver in this process of the file before any block of it is read: it may not need them."""
    cdef send_state *s = t.state
    l.announced |= <uint64_t>1 << t.index
    if send_meta(t, MESSAGE_ENTRIES, 1, put_large_entry(t, 0, l, ENTRY_LARGE, 0), False, err) < 0:
        return -1
    if l.is_cloned:
        l.n_sent_bytes = l.size
        pthread_mutex_lock(&s.lock)
        l.is_ending = True
        s.n_found_bytes += l.next  # the hole before its first data is copied, too
        pthread_mutex_unlock(&s.lock)
        count_contents(&t.state.streams[t.index], l.size, l.size)
        return finish_large(t, l, err)
    pthread_mutex_lock(&s.lock)
    if l.is_handed_out:  # nothing but a hole
        l.is_ending = True
        pthread_mutex_unlock(&s.lock)
        return finish_large(t, l, err)
    l.next_ending = s.opened
    s.opened = l
    pthread_cond_broadcast(&s.work)
    pthread_mutex_unlock(&s.lock)
    return 0


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
                t, MESSAGE_ENTRIES, 1, put_large_entry(t, 0, l, ENTRY_LARGE, 0), True, err) < 0:
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
    is_last = l.n_done == l.n_claimed and (l.has_failed or l.is_handed_out) and not l.is_ending
    if is_last:
        l.is_ending = True
    pthread_mutex_unlock(&s.lock)
    return finish_large(t, l, err) if is_last else 0
