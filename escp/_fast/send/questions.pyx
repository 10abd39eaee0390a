"""Asking the receiver what it has; see questions.pxd."""

from libc.stdint cimport uint64_t, uint8_t

from escp._fast.base.libc cimport free, memcpy, pthread_cond_broadcast, pthread_cond_signal
from escp._fast.base.types cimport (FAST_PROTOCOL, N_REASONS, REASON_NONE, REASON_TYPE, SELECT_CHANGED, SELECT_MISSING,
                                    clear, fail, fast_err)
from escp._fast.send.flights cimport (flight_end_locked, flight_name, flight_new_locked, flight_set_name,
                                      mark_source, settle_root_locked)
from escp._fast.send.hard_links cimport N_PUT_OFF, same_links_locked
from escp._fast.send.send_frames cimport add_entry, describe, send_entries
from escp._fast.send.send_small cimport describe_item, drop
from escp._fast.send.send_state cimport ASK_ROOM, MAX_ASKED, N_ITEMS, N_QUESTIONS, flight, item, send_state
from escp._fast.send.send_stream cimport send_stream
from escp._fast.wire.payloads cimport (ENTRY_ASKS_DIRECTORY, ENTRY_ASKS_STAMP, ENTRY_QUERY, ENTRY_SMALL, RESULT_IS_SAME,
                                       RESULT_IS_WANTED, entry, result)

cdef enum:
    ASK_BATCH = 64  # fewer are asked only when nobody adds to them
    COMPARED_BYTES = 67108864  # of files whose digests one message asks for: others wait behind it


cdef bint is_time_to_ask_locked(send_state *s) noexcept nogil:
    cdef bint is_enough = s.n_questions >= ASK_BATCH or s.n_walking == 0 or s.n_put_off >= N_PUT_OFF
    return s.n_questions and is_enough and s.n_asked <= MAX_ASKED - ASK_ROOM


cdef int take_questions_locked(send_stream *t) noexcept nogil:
    cdef send_state *s = t.state
    cdef int share = s.n_questions // s.config.n_streams
    cdef uint64_t compared = 0
    cdef int n = 0
    cdef item *q
    cdef flight *f
    share = ASK_BATCH if share < ASK_BATCH else share if share < N_ITEMS else N_ITEMS
    while n < share and s.n_questions and compared <= COMPARED_BYTES:
        q = &s.questions[s.questions_head]
        f = flight_new_locked(s, ENTRY_QUERY, q.dir)
        if f == NULL:
            break
        flight_set_name(s, f, q.name, q.n_name)
        f.size = q.size
        f.node = q.kind if q.kind != ENTRY_SMALL else 0
        f.stamp = q.stamp
        f.links = q.links
        mark_source(f, &q.status)
        t.flights[n] = f
        t.batch[n] = q[0]
        n += 1
        if s.config.compares_digests:
            compared += q.size
        s.questions_head = (s.questions_head + 1) % N_QUESTIONS
        s.n_questions -= 1
    if n:
        pthread_cond_broadcast(&s.room)
    return n


cdef int send_question(send_stream *t, flight *f, const item *q, fast_err *err) noexcept nogil:
    cdef fast_err own
    cdef entry e
    clear(&own)
    describe(&e, ENTRY_QUERY, f.id, &q.status, q.size)
    if q.n_name == 0 and not q.dir.is_root_file:
        e.flags, e.size = ENTRY_ASKS_DIRECTORY, 0
    elif q.stamp:
        e.flags, e.digest.low = ENTRY_ASKS_STAMP, q.stamp
    elif f.node and t.state.config.asks_nodes and describe_item(t, q, &e, &own) < 0:
        drop(t, f, &own, q)
        return 0
    return add_entry(t, &e, f, q.dir, q.name, q.n_name, err)


cdef int send_questions(send_stream *t, int n, fast_err *err) noexcept nogil:
    cdef int rc = 0
    cdef int i
    for i in range(n):
        if rc == 0:
            rc = send_question(t, t.flights[i], &t.batch[i], err)
        free(t.batch[i].link)
        t.batch[i].link = NULL
    return send_entries(t, False, err) if rc == 0 else -1


cdef int take_answer_locked(send_state *s, flight *f, const result *r, fast_err *err) noexcept nogil:
    cdef bint is_stamped = f.stamp != 0 and r.digest.high == 0 and r.digest.low == f.stamp
    if r.flags != RESULT_IS_SAME and r.flags != RESULT_IS_WANTED:
        return fail(err, FAST_PROTOCOL, 0, "answer")
    f.reason = <uint8_t>(r.sys_errno if r.sys_errno < N_REASONS else REASON_NONE)
    if r.flags == RESULT_IS_SAME and (is_stamped or f.node or not (
            s.config.compares_digests and (f.n_name or f.dir.is_root_file))):
        s.n_skipped += f.n_name != 0 or f.dir.is_root_file
        settle_root_locked(s, f)
        # What is newer, or merely there, may be another file.
        if f.links != NULL and (is_stamped or s.config.selection == SELECT_CHANGED or (
                f.node and s.config.selection != SELECT_MISSING)):
            f.stamp = f.stamp if is_stamped else 0
            same_links_locked(s, f.links, f, f.dir, flight_name(s, f), f.n_name)
        if s.config.tells_same and not f.node and (f.n_name or f.dir.is_root_file):
            return 1
        flight_end_locked(s, f)
        return 0
    f.is_sent = False  # a second answer is refused
    # Of something of another type than a question's file it is that of a link's text.
    f.is_digest_known = r.flags == RESULT_IS_SAME or (
        s.config.itemizes and (r.digest.high or r.digest.low) and (f.node or f.reason != REASON_TYPE))
    f.digest = r.digest
    f.next_wanted = NULL
    if s.wanted == NULL:
        s.wanted = f
    else:
        s.last_wanted.next_wanted = f
    s.last_wanted = f
    pthread_cond_signal(&s.walk)
    if s.n_questions == N_QUESTIONS:
        pthread_cond_broadcast(&s.room)  # walkers that wait there take it
    return 0


cdef bint take_wanted_locked(send_state *s, wanted_file *w) noexcept nogil:
    cdef flight *f = s.wanted
    if f == NULL:
        return False
    s.wanted = f.next_wanted
    w.dir, f.dir = f.dir, NULL
    w.links, f.links = f.links, NULL
    w.mark = f[0]
    w.mark.stamp = 0
    w.size = f.size
    w.digest = f.digest
    w.is_digest_known = f.is_digest_known
    w.is_for_reason = not s.config.compares_digests
    w.reason = f.reason
    w.node = f.node
    w.n_name = f.n_name
    memcpy(w.name, flight_name(s, f), f.n_name)
    w.name[f.n_name] = 0
    flight_end_locked(s, f)
    return True
