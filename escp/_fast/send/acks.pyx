"""Results from the receiver; see acks.pxd. Each is compared with what the sender knows of that file."""

from libc.stdint cimport uint16_t, uint64_t, uint8_t

from escp._fast.base.events cimport EVENT_COPIED, EVENT_CUT, EVENT_FINISHED, EVENT_ITEM, EVENT_RESUMED, push_event
from escp._fast.base.libc cimport (EAGAIN, ECONNRESET, EINTR, MSG_DONTWAIT, POLLIN, c_read, errno, escp_count,
                                   escp_flag, escp_load, escp_store, free, malloc, memcpy, memset, poll,
                                   pollfd_t, pthread_cond_broadcast, pthread_mutex_lock, pthread_mutex_unlock, recv)
from escp._fast.base.types cimport (FAST_AUTH, FAST_DIGEST, FAST_MEMORY, FAST_NET, FAST_OK, FAST_PROTOCOL, IV_BYTES,
                                    MAX_META_BYTES, MAX_NAME_BYTES, MAX_STREAMS, N_REASONS, REASON_CONTENTS,
                                    REASON_NONE, REASON_SAME, TAG_BYTES, clear, fail, fast_err, is_kept)
from escp._fast.crypto.channel cimport FRAME_META, channel_connection, channel_expect, channel_open
from escp._fast.crypto.digest cimport digest128
from escp._fast.send.flights cimport flight_end_locked, flight_name, settle_root_locked
from escp._fast.send.large_files cimport give_up_locked
from escp._fast.send.send_kept cimport begin_blocks_locked, take_kept
from escp._fast.send.send_stamps cimport note_arrived_locked, take_stamps
from escp._fast.send.questions cimport take_answer_locked
from escp._fast.send.removal cimport remove_source
from escp._fast.send.send_again cimport sent_confirm_locked
from escp._fast.send.send_state cimport (N_FLIGHTS, dir_node, flight, node_unref_locked, report, send_state,
                                         sent_log, state_fail)
from escp._fast.wire.connection cimport (connection, connection_cut, connection_resumed, echo_take, is_passing,
                                         line_adopt, line_close)
from escp._fast.wire.payloads cimport (END_BYTES, ENTRY_ABSENT, ENTRY_DIRECTORY, ENTRY_HARD_LINK, ENTRY_LARGE,
                                       ENTRY_QUERY, KEPT_BYTES, KEPT_HEAD_BYTES, MESSAGE_END, MESSAGE_KEPT,
                                       MESSAGE_RESULTS, MESSAGE_STAMPS, MESSAGE_TAKEN, META_HEADER_BYTES, RESULT_BYTES,
                                       RESULT_IS_EARLY, RESULT_IS_WANTED, STAMP_BYTES, TAKEN_BYTES, get_end,
                                       get_meta_header, get_result, meta_header, result)
from escp._fast.wire.told cimport tell_entry


cdef int ack_open(ack_reader *r, send_state *s, fast_err *err) noexcept nogil:
    cdef int i
    memset(r, 0, sizeof(ack_reader))
    r.state = s
    for i in range(s.config.n_streams):
        r.frames[i] = <uint8_t *>malloc(IV_BYTES + MAX_META_BYTES + TAG_BYTES)
        if r.frames[i] == NULL:
            return fail(err, FAST_MEMORY, 0, "buffers")
        r.lines[i].whole = &s.connections[i]
        r.lines[i].fd = -1
    return 0


cdef void ack_close(ack_reader *r) noexcept nogil:
    cdef int i
    if r.state == NULL:
        return
    for i in range(r.state.config.n_streams):
        line_close(&r.lines[i])
        free(r.frames[i])
        r.frames[i] = NULL


cdef const digest128 *find_digest(const send_state *s, const flight *f) noexcept nogil:
    return &f.digest if s.config.has_checksum and f.kind <= ENTRY_LARGE else NULL


cdef void tell_item(send_state *s, flight *f, int reason) noexcept nogil:
    cdef int kind = f.kind
    cdef uint64_t size = f.size
    if kind == ENTRY_HARD_LINK and f.node:
        kind = f.node
    elif kind == ENTRY_HARD_LINK:
        size = f.n_disk  # of its file
    tell_entry(&s.events, EVENT_ITEM, reason, kind, size, f.dir.target, f.dir.n_target, flight_name(s, f),
               f.n_name, find_digest(s, f) if s.config.tells_digests else NULL)


cdef void tell_copied(send_state *s, flight *f) noexcept nogil:
    tell_entry(&s.events, EVENT_COPIED, REASON_NONE, f.kind, f.size, f.dir.source, f.dir.n_source,
               flight_name(s, f), f.n_name, find_digest(s, f))


cdef void tell_engine(send_state *s, const flight *f, const result *r, const fast_err *own) noexcept nogil:
    cdef fast_err err = own[0]
    if s.config.engine.tell != NULL and f.kind <= ENTRY_LARGE:
        if not is_kept(r.code):
            fail(&err, r.code, r.sys_errno, "write")
        s.config.engine.tell(s, f.dev, f.ino, &err)


cdef void judge_locked(send_state *s, flight *f, const result *r, fast_err *own) noexcept nogil:
    """What has come of a file of which nothing was told: it counts, or *own* says what is wrong with it."""
    if is_kept(r.code) and s.config.has_checksum and f.kind <= ENTRY_LARGE and (
            r.digest.high != f.digest.high or r.digest.low != f.digest.low):
        fail(own, FAST_DIGEST, 0, "verify")
        return
    if r.code:  # that of one that is kept: it is there, but lacks something
        fail(own, r.code, r.sys_errno, "write")
    if not is_kept(r.code):
        f.is_refused = r.code != FAST_DIGEST
        settle_root_locked(s, f)  # of a question: nothing more is sent
        return
    f.is_good = True
    if f.kind == ENTRY_DIRECTORY:
        s.n_directories += 1
    elif f.kind != ENTRY_ABSENT:
        s.n_files += 1
        if r.code == FAST_OK:
            note_arrived_locked(s, f)


cdef int take_result(send_state *s, const result *r, fast_err *err) noexcept nogil:
    cdef flight *f = &s.flights[r.id % N_FLIGHTS]
    cdef dir_node *dir = NULL
    cdef char name[MAX_NAME_BYTES]
    cdef uint16_t n_name = 0
    cdef fast_err own
    cdef bint is_copied = False
    cdef bint tells = False
    cdef bint lacks = False
    cdef bint stays = False  # for what is done with it without the lock
    cdef int rc
    clear(&own)
    pthread_mutex_lock(&s.lock)
    if r.flags & RESULT_IS_EARLY and f.id != r.id and 0 < r.id // N_FLIGHTS <= s.next_serial:
        pthread_mutex_unlock(&s.lock)
        return 0  # its final result was faster, on another stream
    if r.flags == RESULT_IS_WANTED and r.id and f.id == r.id and f.large != NULL:
        rc = begin_blocks_locked(s, f.large, err)
        pthread_mutex_unlock(&s.lock)
        return rc
    # A result may name what was sent and nothing else: what still is being sent belongs to another thread.
    if r.id == 0 or f.id != r.id or (
            (f.large == NULL or f.large.announced == 0) if r.flags & RESULT_IS_EARLY else not f.is_sent):
        pthread_mutex_unlock(&s.lock)
        return fail(err, FAST_PROTOCOL, 0, "result of an unknown file")
    if f.kind == ENTRY_QUERY and r.code == FAST_OK:
        rc = take_answer_locked(s, f, r, err)
        if rc == 1:
            pthread_mutex_unlock(&s.lock)
            tell_item(s, f, REASON_SAME)  # nobody else has this flight, as below
            pthread_mutex_lock(&s.lock)
            flight_end_locked(s, f)
            rc = 0
        pthread_mutex_unlock(&s.lock)
        return rc
    if r.flags & ~RESULT_IS_EARLY:
        pthread_mutex_unlock(&s.lock)
        return fail(err, FAST_PROTOCOL, 0, "answer")
    if r.flags & RESULT_IS_EARLY:
        if give_up_locked(s, f.large):
            fail(&own, r.code, r.sys_errno, "write")
            f.is_refused = True
            f.dir.n_refs += 1
    else:
        if not (f.is_told or (f.large != NULL and f.large.has_failed)):
            judge_locked(s, f, r, &own)
        tell_engine(s, f, r, &own)
        is_copied = own.code == FAST_OK and f.is_good and f.kind != ENTRY_DIRECTORY and f.kind != ENTRY_ABSENT
        tells = s.config.itemizes and own.code == FAST_OK and f.is_good and 0 < r.sys_errno < N_REASONS
        lacks = s.config.tells_same and f.is_good and r.code != FAST_OK
        stays = tells or (is_copied and (s.config.tells_copied or s.config.removes_sources))
        if own.code == FAST_OK and not stays:
            flight_end_locked(s, f)
    if own.code:
        dir, n_name = f.dir, f.n_name
        memcpy(name, flight_name(s, f), n_name)
    pthread_mutex_unlock(&s.lock)
    if tells or lacks:  # nobody else has this flight: its result has come
        tell_item(s, f, <int>r.sys_errno if tells else REASON_CONTENTS)
    if stays and is_copied and s.config.tells_copied:
        tell_copied(s, f)
    if stays and is_copied and s.config.removes_sources:
        remove_source(s, f)
    if stays:
        pthread_mutex_lock(&s.lock)
        flight_end_locked(s, f)
        pthread_mutex_unlock(&s.lock)
    if own.code:
        report(s, &own, True, dir, name, n_name)
        pthread_mutex_lock(&s.lock)
        if r.flags & RESULT_IS_EARLY:
            node_unref_locked(s, dir)
        else:  # not before the report: it needs the path, and with the last flight the streams end
            flight_end_locked(s, f)
        pthread_mutex_unlock(&s.lock)
    return 0


cdef int take_taken(ack_reader *r, int i, uint64_t n, uint64_t n_heard, fast_err *err) noexcept nogil:
    """The receiver has taken n frames of stream i, and heard n_heard over this connection."""
    cdef send_state *s = r.state
    cdef connection *c = &s.connections[i]
    cdef sent_log *log = &s.sent[i]
    cdef bint is_first
    cdef int rc
    if not s.config.reconnects:
        return fail(err, FAST_PROTOCOL, 0, "message")
    pthread_mutex_lock(&c.lock)
    rc = sent_confirm_locked(log, n, err)
    is_first = log.confirmed_on != r.lines[i].number
    log.confirmed_on = r.lines[i].number
    r.is_ended[i] = rc == 0 and log.end and log.n_confirmed == log.end
    log.is_ended = r.is_ended[i]
    if rc == 0 and log.said_on == r.lines[i].number:  # who says nothing for its disk tells nothing here
        rc = echo_take(&r.echoes[i], r.lines[i].fd, n_heard, escp_load(&log.n_said), err)
    pthread_cond_broadcast(&c.changed)
    pthread_mutex_unlock(&c.lock)
    if rc == 0 and is_first and r.lines[i].number > 1 and connection_resumed(c, r.lines[i].number):
        err.offset = i
        push_event(&s.events, EVENT_RESUMED, err, False, NULL, 0, NULL, 0)
    return rc


cdef int take_end(ack_reader *r, int i, fast_err *err) noexcept nogil:
    """It answers this end's, which follows the last result. Before that the stream's thread needs who reads from it."""
    cdef send_state *s = r.state
    cdef connection *c = &s.connections[i]
    pthread_mutex_lock(&c.lock)
    r.is_ended[i] = s.sent[i].is_ended = s.sent[i].end != 0
    pthread_cond_broadcast(&c.changed)
    pthread_mutex_unlock(&c.lock)
    return 0 if r.is_ended[i] else fail(err, FAST_PROTOCOL, 0, "end before the last result")


cdef bint awaits_taken(const ack_reader *r, int i) noexcept nogil:
    """A further connection of the stream begins with what the receiver has. Only this thread notes that it came."""
    return (r.state.config.reconnects and channel_connection(r.lines[i].sealed) != 0
            and r.state.sent[i].confirmed_on != r.lines[i].number)


cdef int take_frame(ack_reader *r, int i, size_t n, fast_err *err) noexcept nogil:
    """One whole frame of stream i is there: open and obey it."""
    cdef send_state *s = r.state
    cdef uint8_t *payload = r.frames[i] + IV_BYTES
    cdef uint64_t n_taken = 0
    cdef uint64_t n_heard = 0
    cdef meta_header h
    cdef result one
    cdef int k
    if channel_open(r.lines[i].sealed, r.frames[i], n, err) < 0:
        return -1
    r.n_frames[i] += 1
    escp_count(&s.sent[i].n_heard, 1)
    if get_meta_header(payload, n, &h, err) < 0:
        return -1
    if r.is_ended[i] or h.flags or (h.message != MESSAGE_TAKEN and awaits_taken(r, i)):
        return fail(err, FAST_PROTOCOL, 0, "message")
    if h.message == MESSAGE_RESULTS and h.raw_bytes == h.count * <uint64_t>RESULT_BYTES:
        for k in range(h.count):
            if get_result(payload + META_HEADER_BYTES + k * RESULT_BYTES, &one, err) < 0:
                return -1
            if take_result(s, &one, err) < 0:
                return -1
            escp_count(&s.sent[i].n_results, 1)
        return 0
    if h.message == MESSAGE_TAKEN and h.raw_bytes == TAKEN_BYTES:
        get_end(payload + META_HEADER_BYTES, &n_taken, &n_heard)
        return take_taken(r, i, n_taken, n_heard, err)
    if h.message == MESSAGE_KEPT and h.raw_bytes == KEPT_HEAD_BYTES + h.count * <uint64_t>KEPT_BYTES:
        return take_kept(s, payload + META_HEADER_BYTES, h.count, err)
    if h.message == MESSAGE_STAMPS and h.raw_bytes == h.count * <uint64_t>STAMP_BYTES:
        return take_stamps(s, payload + META_HEADER_BYTES, h.count, err)
    if h.message == MESSAGE_END and h.raw_bytes == END_BYTES:
        return take_end(r, i, err)
    return fail(err, FAST_PROTOCOL, 0, "message")


cdef int read_some(ack_reader *r, int i, fast_err *err) noexcept nogil:
    """Read what stream i has without waiting; 0, or -1."""
    cdef ssize_t k
    cdef int type = 0
    cdef size_t n = 0
    while True:
        k = recv(r.lines[i].fd, r.frames[i] + r.n_have[i], r.n_want[i] - r.n_have[i], MSG_DONTWAIT)
        if k < 0:
            if errno == EINTR:
                continue
            return 0 if errno == EAGAIN else fail(err, FAST_NET, errno, "receive")
        if k == 0:
            return 0 if r.is_ended[i] else fail(err, FAST_NET, ECONNRESET, "receive")
        r.n_have[i] += k
        if r.n_have[i] < r.n_want[i]:
            continue
        if r.n_want[i] == IV_BYTES:
            if channel_expect(r.lines[i].sealed, r.frames[i], &type, &n, err) < 0:
                return -1
            if type != FRAME_META:
                return fail(err, FAST_AUTH, 0, "frame header")  # nothing has proven that it is the receiver's
            r.n_want[i] = IV_BYTES + n + TAG_BYTES
            continue
        if take_frame(r, i, r.n_want[i] - IV_BYTES - TAG_BYTES, err) < 0:
            return -1
        r.n_have[i] = 0
        r.n_want[i] = IV_BYTES
        if r.is_ended[i]:
            return 0


cdef int adopt(ack_reader *r, int i, bint waits, fast_err *err) noexcept nogil:
    """Read stream i from its newest connection, if there is a new one: 1, or 0; -1: there is an end."""
    cdef send_state *s = r.state
    cdef connection *c = &s.connections[i]
    cdef int rc = line_adopt(&r.lines[i], s.config.reconnects, waits, err)
    if rc == 1:
        r.n_have[i] = 0
        r.n_want[i] = IV_BYTES
        r.echoes[i].is_known = False
        escp_store(&s.sent[i].n_heard, 0)
        pthread_mutex_lock(&c.lock)
        s.sent[i].acks_on = r.lines[i].number
        pthread_cond_broadcast(&c.changed)
        pthread_mutex_unlock(&c.lock)
    return rc


cdef int lose(ack_reader *r, int i, fast_err *err) noexcept nogil:
    """What came of stream i is at fault: 0 if there may be another connection."""
    cdef send_state *s = r.state
    err.offset = i
    if not s.config.reconnects or not is_passing(err, &r.bad[i], r.n_frames[i]):
        return -1
    if connection_cut(r.lines[i].whole, r.lines[i].number):
        push_event(&s.events, EVENT_CUT, err, False, NULL, 0, NULL, 0)
    clear(err)
    pthread_mutex_lock(&s.lock)
    pthread_cond_broadcast(&s.work)  # the stream's thread may have nothing to do, and see nothing
    pthread_mutex_unlock(&s.lock)
    return 0


cdef int poll_streams(ack_reader *r, pollfd_t *fds, fast_err *err) noexcept nogil:
    """Wait until something is there; streams with new connections are among them at once."""
    cdef send_state *s = r.state
    cdef int n_streams = s.config.n_streams
    cdef uint64_t n = 0
    cdef int i
    cdef int rc
    while poll(fds, n_streams + 1, -1) < 0:
        if errno != EINTR:
            return fail(err, FAST_NET, errno, "poll")
    if fds[n_streams].fd < 0 or not fds[n_streams].revents:
        return 0
    c_read(s.wake_fd, &n, 8)
    for i in range(n_streams):
        rc = 0 if r.is_ended[i] else adopt(r, i, False, err)
        if rc < 0:
            return -1
        if rc:
            fds[i].fd = r.lines[i].fd
            fds[i].revents = 0
    return 0


cdef int read_streams(ack_reader *r, fast_err *err) noexcept nogil:
    """Until all of them have ended, or the plane is stopped."""
    cdef send_state *s = r.state
    cdef pollfd_t fds[MAX_STREAMS + 1]
    cdef int n_open = s.config.n_streams
    cdef int i
    for i in range(s.config.n_streams):
        if adopt(r, i, True, err) < 0:
            return -1
        fds[i].fd = r.lines[i].fd
        fds[i].events = POLLIN
    fds[i + 1].fd = s.wake_fd
    fds[i + 1].events = POLLIN
    while n_open and not escp_flag(&s.is_stopped):
        if poll_streams(r, fds, err) < 0:
            return -1
        for i in range(s.config.n_streams):
            if fds[i].fd < 0 or not fds[i].revents:
                continue
            if read_some(r, i, err) < 0:
                if lose(r, i, err) < 0:
                    return -1
                fds[i].fd = -1
            elif r.is_ended[i]:
                fds[i].fd = -1
                n_open -= 1
    return 0


cdef void ack_loop(ack_reader *r) noexcept nogil:
    cdef send_state *s = r.state
    cdef fast_err err
    clear(&err)
    if read_streams(r, &err) < 0:
        state_fail(s, &err)
    elif not escp_flag(&s.is_stopped):
        push_event(&s.events, EVENT_FINISHED, &err, False, NULL, 0, NULL, 0)
