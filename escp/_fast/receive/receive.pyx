"""The receiver's streams; see receive.pxd. The flow of one block:

    receive into a ring's slot -> open -> [zstd] -> hash -> write (kernel AIO) -> count -> maybe finish the file

Nothing of a frame is looked at before its tag has verified. Results go back on the stream whose thread
found them.
"""

from libc.stdint cimport uint64_t, uint8_t

from escp._fast.base.counters cimport count_contents
from escp._fast.base.events cimport EVENT_FATAL, EVENT_FILE_FAILED, EVENT_FINISHED, push_event
from escp._fast.base.libc cimport (EAGAIN, ECONNRESET, EINTR, MSG_DONTWAIT, errno, escp_count, escp_flag, memcpy,
                                   pthread_mutex_lock, pthread_mutex_unlock, recv)
from escp._fast.base.types cimport (DATA_HEADER_BYTES, FAST_ABSENT, FAST_MISSING, FAST_NET, FAST_OK, FAST_PROTOCOL,
                                    IV_BYTES, MAX_OPEN_LARGE, MAX_PATH_BYTES, REASON_MISSING, TAG_BYTES, clear, fail,
                                    fast_err)
from escp._fast.crypto.channel cimport FRAME_DATA, FRAME_META, channel_expect, channel_open
from escp._fast.files.durable cimport sync_names
from escp._fast.files.nodes cimport make_node
from escp._fast.files.tree cimport directory_begin, directory_finish, source_id, was_made
from escp._fast.io.ring cimport io_slot, ring_free_slot
from escp._fast.receive.receive_again cimport (count_frame, get_taken, receive_again, receive_all, receive_first,
                                               stay, take_unheard)
from escp._fast.receive.receive_large cimport begin_large, end_large, end_writes, take_block
from escp._fast.receive.receive_kept cimport sweep_parts
from escp._fast.receive.receive_query cimport answer_query
from escp._fast.receive.receive_small cimport is_settling_due, settle_small, write_bundle
from escp._fast.receive.receive_state cimport (ANSWER_BEFORE, add_result, flush_results, identify, receive_state,
                                               receive_stop, receive_stream, send_answer)
from escp._fast.receive.roots cimport roots_absent, roots_check, roots_close, roots_take_missing
from escp._fast.wire.payloads cimport (DATA_IS_BUNDLE, DATA_IS_ZSTD, END_BYTES, ENTRY_ABSENT, ENTRY_BEGUN, ENTRY_DEVICE,
                                       ENTRY_DIRECTORY, ENTRY_LARGE, ENTRY_LARGE_END, ENTRY_LINK, ENTRY_QUERY,
                                       ENTRY_SMALL, MESSAGE_END, MESSAGE_ENTRIES, META_HEADER_BYTES, META_IS_ZSTD,
                                       TAKEN_BYTES, data_header, entry, get_data_header, get_end, get_entry,
                                       get_meta_header, meta_header, put_end)
from escp._fast.wire.zstd cimport ZSTD_decompressDCtx


cdef int receive_iv(receive_stream *t, uint8_t *iv, fast_err *err) noexcept nogil:
    """Receive the next frame's IV word. Until it is there, take in writes that complete."""
    cdef ssize_t k
    while t.ring.n_pending:
        k = recv(t.line.fd, iv, IV_BYTES, MSG_DONTWAIT)
        if k > 0:
            return receive_all(t, iv + k, IV_BYTES - k, err)
        if k == 0:
            return fail(err, FAST_NET, ECONNRESET, "receive")
        if errno != EAGAIN and errno != EINTR:
            return fail(err, FAST_NET, errno, "receive")
        if end_writes(t, 1, err) < 0:
            return -1
    return receive_all(t, iv, IV_BYTES, err)


cdef int take_absent(receive_stream *t, const entry *e, fast_err *err) noexcept nogil:
    """A source that will not come; why is told on the control channel, if at all: escp/jobs/accounts.py."""
    cdef fast_err own
    cdef int is_counted = roots_absent(&t.state.roots, e, err)
    if is_counted < 0:
        return -1
    clear(&own)
    if add_result(t, e, &own, 0, False, NULL, err) < 0:
        return -1
    if is_counted and not t.state.config.is_dry_run:
        fail(&own, FAST_ABSENT, 0, "absent")
        push_event(&t.state.events, EVENT_FILE_FAILED, &own, False, e.path, e.path_bytes, NULL, 0)
    return 0


cdef void tell_missing(receive_state *s) noexcept nogil:
    """Tell Python of each name that was asked for, and neither came nor was said to be absent."""
    cdef char name[MAX_PATH_BYTES]
    cdef size_t n = 0
    cdef fast_err own
    if not s.roots.is_on:
        return
    roots_close(&s.roots)
    if s.config.is_dry_run:
        return
    clear(&own)
    fail(&own, FAST_MISSING, 0, "missing")
    while roots_take_missing(&s.roots, name, &n):
        push_event(&s.events, EVENT_FILE_FAILED, &own, False, name, n, NULL, 0)


cdef int take_entries(receive_stream *t, const meta_header *h, const uint8_t *body, fast_err *err) noexcept nogil:
    cdef const uint8_t *at = body
    cdef const uint8_t *end = body + h.raw_bytes
    cdef source_id source
    cdef fast_err own
    cdef entry e
    for _ in range(h.count):
        if get_entry(&at, end, &e, err) < 0:
            return -1
        if t.state.config.is_dry_run and (e.kind < ENTRY_QUERY or e.kind == ENTRY_BEGUN):
            return fail(err, FAST_PROTOCOL, 0, "data in a dry run")
        # Names of large files are checked when the files are begun; one that is absent does not come.
        if e.kind != ENTRY_LARGE and e.kind != ENTRY_LARGE_END and e.kind != ENTRY_ABSENT and roots_check(
                &t.state.roots, &e, err) < 0:
            return -1
        t.n_entries += 1
        clear(&own)
        if e.kind == ENTRY_SMALL:
            t.bundle_bytes += e.size
            if t.bundle_bytes > t.state.config.block:
                return fail(err, FAST_PROTOCOL, 0, "bundle length")
            t.bundle[t.n_bundle] = e
            t.n_bundle += 1
        elif e.kind == ENTRY_DIRECTORY:
            if t.state.config.engine.has_files:
                directory_finish(&t.state.destination, &t.cache, &e, &own)
            if t.state.destination.notes_made and own.code == FAST_OK:
                if not was_made(&t.state.destination, &e):
                    sweep_parts(t, &e)
                elif t.state.config.itemizes:
                    own.sys_errno = REASON_MISSING
            if add_result(t, &e, &own, 0, False, NULL, err) < 0:
                return -1
        elif ENTRY_LINK <= e.kind <= ENTRY_DEVICE:
            if t.state.config.engine.has_files:
                identify(t, &e, &source)
                make_node(&t.state.destination, &t.cache, &e, &source, &own)
            if t.state.config.itemizes and own.code == FAST_OK and t.state.config.engine.has_files:
                own.sys_errno = source.reason
            if add_result(t, &e, &own, 0, False, NULL, err) < 0:
                return -1
        elif e.kind == ENTRY_LARGE:
            if begin_large(t, &e, err) < 0:
                return -1
        elif e.kind == ENTRY_QUERY:
            if answer_query(t, &e, err) < 0:
                return -1
        elif e.kind == ENTRY_BEGUN:
            if t.state.config.engine.has_files:
                directory_begin(&t.state.destination, &t.cache, &e)
        elif e.kind == ENTRY_ABSENT:
            if take_absent(t, &e, err) < 0:
                return -1
        elif end_large(t, &e, err) < 0:
            return -1
    if at != end:
        return fail(err, FAST_PROTOCOL, 0, "entries length")
    if t.bundle_bytes == 0:
        return write_bundle(t, body, err)
    return 0


cdef int take_meta(receive_stream *t, const uint8_t *frame, size_t n, bint *is_end, fast_err *err) noexcept nogil:
    cdef meta_header h
    cdef const uint8_t *body = frame + IV_BYTES + META_HEADER_BYTES
    cdef uint64_t n_bytes = 0
    cdef uint64_t n_entries = 0
    if get_meta_header(frame + IV_BYTES, n, &h, err) < 0:
        return -1
    if t.n_bundle:
        return fail(err, FAST_PROTOCOL, 0, "bundle without data")
    if h.flags & META_IS_ZSTD:
        if ZSTD_decompressDCtx(t.zstd, t.body, h.raw_bytes, body, n - META_HEADER_BYTES) != h.raw_bytes:
            return fail(err, FAST_PROTOCOL, 0, "decompress")
        body = t.body
    if h.message == MESSAGE_ENTRIES:
        return take_entries(t, &h, body, err)
    if h.message == MESSAGE_END and h.raw_bytes == END_BYTES:
        get_end(body, &n_bytes, &n_entries)
        if n_bytes != t.state.streams[t.index].n_bytes or n_entries != t.n_entries:
            return fail(err, FAST_PROTOCOL, 0, "totals")
        is_end[0] = True
        return 0
    return fail(err, FAST_PROTOCOL, 0, "message")


cdef int take_data(receive_stream *t, io_slot *slot, uint8_t *frame, size_t n, fast_err *err) noexcept nogil:
    cdef data_header h
    cdef uint8_t *contents = frame + IV_BYTES + DATA_HEADER_BYTES
    if get_data_header(frame + IV_BYTES, n, t.state.config.block, &h, err) < 0:
        return -1
    if h.flags & DATA_IS_ZSTD:
        if not t.state.config.has_compression or ZSTD_decompressDCtx(
                t.zstd, slot.data, h.raw_bytes, contents, n - DATA_HEADER_BYTES) != h.raw_bytes:
            return fail(err, FAST_PROTOCOL, 0, "decompress")
    elif contents != slot.data:
        memcpy(slot.data, contents, h.raw_bytes)
    count_contents(&t.state.streams[t.index], n - DATA_HEADER_BYTES, h.raw_bytes)
    if ((h.flags & DATA_IS_BUNDLE) != 0) != (t.n_bundle > 0):
        return fail(err, FAST_PROTOCOL, 0, "bundle")
    if not t.n_bundle:
        return take_block(t, slot, &h, err)
    if h.raw_bytes != t.bundle_bytes:
        return fail(err, FAST_PROTOCOL, 0, "bundle length")
    return write_bundle(t, slot.data, err)


cdef int receive_frame(receive_stream *t, bint *is_end, fast_err *err) noexcept nogil:
    cdef uint8_t iv[8]
    cdef uint8_t taken[IV_BYTES + META_HEADER_BYTES + TAKEN_BYTES + TAG_BYTES]
    cdef uint8_t *frame
    cdef io_slot *slot
    cdef bint may_be_taken
    cdef uint64_t n_results = 0
    cdef uint64_t n_heard = 0
    cdef int type = 0
    cdef int rc = 0
    cdef size_t n = 0
    if is_settling_due(t) and settle_small(t, err) < 0:
        return -1
    # Where data is at hand all the time nobody waits for a write until all slots are used: a journal would lack blocks
    # that the disk has long had, and a copy that is killed would lose them.
    if t.ring.n_pending and end_writes(t, 0, err) < 0:
        return -1
    slot = ring_free_slot(&t.ring)
    while slot == NULL:
        if end_writes(t, 1, err) < 0:
            return -1
        slot = ring_free_slot(&t.ring)
    if receive_iv(t, iv, err) < 0 or channel_expect(t.line.sealed, iv, &type, &n, err) < 0:
        return -1
    may_be_taken = type == FRAME_META and n == META_HEADER_BYTES + TAKEN_BYTES
    frame = t.meta
    if may_be_taken:
        frame = taken
    elif type == FRAME_DATA or t.n_bundle:  # a bundle's entries stay where they are until their data has verified
        frame = t.packed if t.packed != NULL else slot.data - DATA_HEADER_BYTES - IV_BYTES
    memcpy(frame, iv, IV_BYTES)
    if receive_all(t, frame + IV_BYTES, n + TAG_BYTES, err) < 0:
        return -1
    if channel_open(t.line.sealed, frame, n, err) < 0:
        return -1
    t.n_heard += 1
    if may_be_taken and t.state.config.reconnects:  # between a bundle's entries, which stay, and its contents, too
        rc = get_taken(frame + IV_BYTES, n, &n_results, &n_heard, err)
        if rc:
            return -1 if rc < 0 else take_unheard(t, n_results, n_heard, err)
    escp_count(&t.state.streams[t.index].n_wire, IV_BYTES + n + TAG_BYTES)
    if (take_data(t, slot, frame, n, err) if type == FRAME_DATA else take_meta(t, frame, n, is_end, err)) < 0:
        return -1
    if flush_results(t, err) < 0:
        return -1
    if is_end[0] or not t.state.config.reconnects:
        return 0
    return count_frame(t, 0 if type == FRAME_DATA else n, err)


cdef int settle_names(receive_state *s, fast_err *err) noexcept nogil:
    """With --fsync the last stream's end waits for the disk: while streams run nobody takes this end for lost."""
    cdef bint is_last
    if not s.destination.durable.is_on or s.config.is_dry_run or not s.config.engine.has_files:
        return 0
    pthread_mutex_lock(&s.lock)
    s.n_written += 1
    is_last = s.n_written == s.config.n_streams
    pthread_mutex_unlock(&s.lock)
    if not is_last or s.destination.in_place_fd >= 0:
        return 0
    return sync_names(&s.destination.durable, s.destination.root_fd, err)


cdef int end_stream(receive_stream *t, fast_err *err) noexcept nogil:
    """The sender has ended this stream; so does this side, and the last stream ends the plane."""
    cdef receive_state *s = t.state
    cdef uint8_t frame[ANSWER_BEFORE + END_BYTES + TAG_BYTES]
    cdef bint is_last
    cdef int i
    if end_writes(t, t.ring.n_pending, err) < 0 or (t.n_waiting and settle_small(t, err) < 0):
        return -1
    if settle_names(s, err) < 0:
        return -1
    put_end(frame + ANSWER_BEFORE, 0, t.n_entries)
    if send_answer(t, frame, MESSAGE_END, 1, END_BYTES, err) < 0:
        return -1
    pthread_mutex_lock(&s.lock)
    s.n_ended += 1
    is_last = s.n_ended == s.config.n_streams
    for i in range(MAX_OPEN_LARGE):
        if is_last and s.large[i].is_used:
            fail(err, FAST_PROTOCOL, 0, "end with an open file")
    pthread_mutex_unlock(&s.lock)
    if err.code:
        return -1
    if is_last:
        tell_missing(s)
        push_event(&s.events, EVENT_FINISHED, err, False, NULL, 0, NULL, 0)
    return 0


cdef void receive_loop(receive_stream *t) noexcept nogil:
    cdef fast_err err
    cdef bint is_end = False
    cdef int rc = 0
    clear(&err)
    rc = receive_first(t, &err)
    while rc == 0 and not is_end and not escp_flag(&t.state.is_stopped):
        rc = receive_frame(t, &is_end, &err)
        if rc < 0 and t.state.config.reconnects:
            rc = receive_again(t, &err)
    if rc == 0 and is_end:
        t.n_frames += t.state.config.reconnects
        rc = end_stream(t, &err)
        if rc == 0 and t.state.config.reconnects:
            stay(t)
    if rc < 0 and not escp_flag(&t.state.is_stopped):
        err.offset = t.index  # of the plane's end it says which stream
        push_event(&t.state.events, EVENT_FATAL, &err, False, NULL, 0, NULL, 0)
        receive_stop(t.state)
