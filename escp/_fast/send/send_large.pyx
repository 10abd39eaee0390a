"""Large files, block by block; see send_large.pxd."""

from libc.stdint cimport uint32_t, uint64_t, uint8_t

from escp._fast.base.counters cimport count_contents
from escp._fast.base.libc cimport escp_flag, pthread_mutex_lock, pthread_mutex_unlock
from escp._fast.base.types cimport FAST_CHANGED, FAST_STOPPED, SLICE_BYTES, clear, fail, fast_err
from escp._fast.crypto.digest cimport digest128, digest_add, digest_finish, digest_update
from escp._fast.io.ring cimport (SLOT_FREE, io_slot, slot_contents, slot_finish, slot_give_back, slot_read,
                                 slot_wait)
from escp._fast.send.flights cimport flight_end_locked
from escp._fast.send.gather cimport gather
from escp._fast.send.large_files cimport advance_locked, count_block_locked, give_up_locked, put_opened_locked
from escp._fast.send.send_kept cimport is_there
from escp._fast.send.send_frames cimport add_begun, add_entry, describe, send_data, send_entries
from escp._fast.send.send_state cimport (N_FLIGHTS, check_unchanged, flight, large_close_locked, large_file, report,
                                         send_state)
from escp._fast.send.send_stream cimport send_stream
from escp._fast.wire.extras cimport EXTRA_HEADER_BYTES, SOURCE_BYTES, put_source
from escp._fast.wire.payloads cimport (ENTRY_ASKS_PART, ENTRY_HAS_HOLES, ENTRY_IS_ABANDONED, ENTRY_LARGE,
                                       ENTRY_LARGE_END, data_header, entry)


cdef void claim_block_locked(send_stream *t, large_file *l, io_slot *slot) noexcept nogil:
    """Hand the file's next block to this stream and start reading it."""
    slot.owner = l
    slot_read(&t.ring, slot, l.fd, l.next, l.n_next, l.is_direct)
    advance_locked(t.state, l)


cdef int add_large_entry(send_stream *t, large_file *l, flight *f, bint is_abandoned, uint32_t n_extras,
                         fast_err *err) noexcept nogil:
    """Its LARGE; or with *f* its LARGE_END, with what t.extras holds."""
    cdef const send_state *s = t.state
    cdef uint8_t source[EXTRA_HEADER_BYTES + SOURCE_BYTES]
    cdef size_t n_source = 0
    cdef entry e
    describe(&e, ENTRY_LARGE if f == NULL else ENTRY_LARGE_END, l.id, &l.what.status, l.size)
    e.flags = (ENTRY_HAS_HOLES if l.has_holes else 0) | (ENTRY_ASKS_PART if l.asks else 0)
    if f == NULL and s.config.partial_min and l.size >= s.config.partial_min:
        put_source(source, &n_source, l.what.status.st_ino, l.what.status.st_ctim.tv_sec,
                   <uint32_t>l.what.status.st_ctim.tv_nsec)
        e.extras, e.extras_bytes = source, <uint32_t>n_source
    if f != NULL:
        e.size = l.n_sent_bytes
        e.flags |= ENTRY_IS_ABANDONED if is_abandoned else 0
        e.extras, e.extras_bytes = t.extras, n_extras
        e.digest = l.digest
    if add_begun(t, l.what.dir, err) < 0:
        return -1
    return add_entry(t, &e, f, l.what.dir, l.what.name, l.what.n_name, err)


cdef bint is_first_here_locked(const send_stream *t, large_file *l) noexcept nogil:
    """Whether this stream has still to tell of the file; from here on it has, and results about it are expected.

    It does so only before what keeps the file open at the receiver until it has come: a block, the end, or a question.
    A LARGE alone could be read when the file has come over other streams, and begin it anew.
    """
    cdef uint64_t bit = <uint64_t>1 << t.index
    cdef bint is_first = not l.announced & bit
    l.announced |= bit
    return is_first


cdef int announce(send_stream *t, large_file *l, bint has_more, fast_err *err) noexcept nogil:
    """The file's LARGE, in a message of its own. has_more: a block of it follows at once."""
    if add_large_entry(t, l, NULL, False, 0, err) < 0:
        return -1
    return send_entries(t, has_more, err)


cdef void give_up_large(send_stream *t, large_file *l, const fast_err *err) noexcept nogil:
    """The source can't be read on: told once, no more of its blocks are handed out."""
    cdef send_state *s = t.state
    cdef bint is_first
    pthread_mutex_lock(&s.lock)
    is_first = give_up_locked(s, l)
    pthread_mutex_unlock(&s.lock)
    if is_first:
        report(s, err, False, l.what.dir, l.what.name, l.what.n_name)


cdef int finish_large(send_stream *t, large_file *l, fast_err *err) noexcept nogil:
    """All blocks that were handed out are sent: close the books of this file."""
    cdef send_state *s = t.state
    cdef fast_err own
    cdef size_t n_extras = 0
    cdef bint has_failed
    cdef bint is_known
    cdef bint is_first
    cdef flight *f = &s.flights[l.id % N_FLIGHTS]
    clear(&own)
    if not escp_flag(&l.has_failed) and s.config.engine.await_end != NULL and s.config.engine.await_end(
            &t.ring, l.fd, &own) < 0:
        give_up_large(t, l, &own)
    if not escp_flag(&l.has_failed) and s.config.engine.has_files and check_unchanged(l.fd, &l.what, l.size, &own) < 0:
        give_up_large(t, l, &own)
    if not escp_flag(&l.has_failed) and s.config.has_extras and gather(
            s, l.fd, &l.what.status, t.extras, &n_extras, &own) < 0:
        give_up_large(t, l, &own)
        n_extras = 0
    if s.config.has_checksum:
        digest_finish(&l.digest, l.size)
    pthread_mutex_lock(&s.lock)
    f.digest = l.digest
    if not s.config.reconnects:  # or a block may have to be read again until the file's result is there
        large_close_locked(s, l)
    has_failed = l.has_failed  # the receiver's word may change it yet
    is_known = l.announced != 0 or not has_failed
    is_first = is_known and is_first_here_locked(t, l)
    if not is_known:
        if s.config.engine.tell != NULL:
            fail(&own, FAST_STOPPED, 0, "abandoned")
            s.config.engine.tell(s, f.dev, f.ino, &own)
        flight_end_locked(s, f)  # the receiver has not heard of it
    pthread_mutex_unlock(&s.lock)
    if not is_known:
        return 0
    if is_first and add_large_entry(t, l, NULL, False, 0, err) < 0:
        return -1
    if add_large_entry(t, l, f, has_failed, <uint32_t>n_extras, err) < 0:
        return -1
    return send_entries(t, False, err)


cdef void expect_answer(send_stream *t, large_file *l) noexcept nogil:
    """From here on the file belongs to the receiver's answer, which may be there before the question has gone."""
    pthread_mutex_lock(&t.state.lock)
    is_first_here_locked(t, l)
    l.is_asked = l.asks
    pthread_mutex_unlock(&t.state.lock)


cdef int open_large(send_stream *t, large_file *l, fast_err *err) noexcept nogil:
    """Tell the receiver of the file before any block of it is read, if it may not need them."""
    cdef send_state *s = t.state
    l.is_local = t.sink.link != NULL
    if l.asks and not l.is_local:
        if add_large_entry(t, l, NULL, False, 0, err) < 0:
            return -1
        expect_answer(t, l)  # what is sent from here on does not look at it
        return send_entries(t, False, err)
    if l.is_local:  # it has been read when the call returns
        expect_answer(t, l)
        if announce(t, l, False, err) < 0:
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
    put_opened_locked(s, l)
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
    cdef bint is_kept = False
    cdef bint is_first = False
    cdef int rc = 0
    clear(&own)
    part.high = part.low = 0
    if slot_wait(&t.ring, slot, err) < 0:
        return -1
    if not escp_flag(&l.has_failed):
        if slot_finish(&t.ring, slot, &own) < 0:
            own.offset = slot.offset
            if own.code == FAST_CHANGED:  # it ended too early: why?
                clear(&own)
                check_unchanged(l.fd, &l.what, slot.offset, &own)
            give_up_large(t, l, &own)
        else:
            is_sent = True
    else:
        slot_finish(&t.ring, slot, &own)
    if is_sent:
        if s.config.has_checksum:
            digest_update(&part, slot_contents(slot), slot.n_bytes, slot.offset // SLICE_BYTES)
        if slot.offset <= s.config.fault_offset < slot.offset + slot.n_bytes and slot.lent == NULL:
            slot.data[s.config.fault_offset - slot.offset] ^= 1
        is_kept = is_there(s, l, slot, &part)
    if is_sent and not is_kept:
        pthread_mutex_lock(&s.lock)
        is_first = is_first_here_locked(t, l)
        pthread_mutex_unlock(&s.lock)
    if is_first:
        rc = announce(t, l, True, err)
    if rc == 0 and is_sent and not is_kept:
        h.id, h.offset, h.raw_bytes, h.flags = l.id, slot.offset, slot.n_bytes, 0
        rc = send_data(t, slot, &h, err)
    slot_give_back(&t.ring, slot)
    if rc < 0:
        return -1
    slot.state = SLOT_FREE
    pthread_mutex_lock(&s.lock)
    if is_sent:
        digest_add(&l.digest, &part)
        if is_kept:
            s.n_found_bytes -= slot.n_bytes
        else:
            l.n_sent_bytes += slot.n_bytes
    is_last = count_block_locked(l)
    pthread_mutex_unlock(&s.lock)
    return finish_large(t, l, err) if is_last else 0
