"""A sender's stream; see send.pxd. The flow of one block, all of it in one buffer:

    claim -> read (kernel AIO, RING_DEPTH ahead) -> hash -> [zstd] -> seal -> send

and of small files: up to a queue's share of them are read behind one another into one bundle, their
entries with digests go in a metadata frame before it.
"""

from escp._fast.base.libc cimport (escp_flag, escp_load, memmove, pthread_cond_broadcast, pthread_mutex_lock,
                                   pthread_mutex_unlock)
from escp._fast.base.types cimport FAST_STOPPED, clear, fast_err
from escp._fast.io.ring cimport io_slot, ring_free_slot
from escp._fast.send.large_files cimport begin_large_locked, find_current_locked, take_ending_locked
from escp._fast.send.questions cimport is_time_to_ask_locked, send_questions, take_questions_locked
from escp._fast.send.send_again cimport await_end, await_work_locked, say_heard, send_again, send_first
from escp._fast.send.send_frames cimport send_end
from escp._fast.send.send_large cimport claim_block_locked, finish_large, open_large, send_block
from escp._fast.send.send_small cimport send_batch, take_batch_locked
from escp._fast.send.send_state cimport is_all_done_locked, is_idle_locked, large_file, send_state, state_fail
from escp._fast.send.send_stream cimport send_stream
from escp._fast.wire.connection cimport line_is_stale


cdef enum work_kind:
    WORK_STOP
    WORK_END
    WORK_BATCH
    WORK_QUESTIONS
    WORK_OPEN  # the receiver is to open the next large file, and may not need its blocks
    WORK_BLOCK  # the ring's oldest block is to be sent
    WORK_END_LARGE  # a file that the receiver gave up on
    WORK_AGAIN  # the connection broke: what the receiver lacks
    WORK_SETTLE  # writes are at the disk, and else there is nothing to do
    WORK_SAY  # what is heard of the receiver


cdef bint wants_block_locked(send_stream *t) noexcept nogil:
    """Whether to claim one more block: several, because the disk works on them at once, but for O_DIRECT
    where it does not."""
    if t.n_order and (<large_file *>t.order[0].owner).is_direct and not t.ring.is_asynchronous:
        return False
    return find_current_locked(t.state, t.sink.link == NULL and not t.state.config.resumes)


cdef int next_work(send_stream *t, int *n_dirs, int *n_files, large_file **chosen) noexcept nogil:
    """Fill the ring with blocks, then say what to do next; waits while there is nothing."""
    cdef send_state *s = t.state
    cdef io_slot *slot
    cdef int work = -1
    pthread_mutex_lock(&s.lock)
    while work < 0:
        if escp_flag(&s.is_stopped):
            work = WORK_STOP
            break
        if s.config.reconnects and line_is_stale(&t.line):
            work = WORK_AGAIN
            break
        while t.n_order < t.ring.depth and wants_block_locked(t):
            slot = ring_free_slot(&t.ring)
            claim_block_locked(t, s.current, slot)
            t.order[t.n_order] = slot
            t.n_order += 1
        if s.n_questions and is_time_to_ask_locked(s):
            n_files[0] = take_questions_locked(t)
            if n_files[0]:
                work = WORK_QUESTIONS
                break
        chosen[0] = NULL
        if (t.sink.link != NULL or s.config.resumes) and t.n_order < t.ring.depth:
            chosen[0] = begin_large_locked(s)
        if chosen[0] != NULL:
            work = WORK_OPEN
        elif t.n_order:
            work = WORK_BLOCK
        elif s.ending != NULL:
            chosen[0] = take_ending_locked(s)
            work = WORK_END_LARGE
        elif take_batch_locked(t, n_dirs, n_files):
            work = WORK_BATCH
        elif is_all_done_locked(s):
            pthread_cond_broadcast(&s.work)
            work = WORK_END
        elif t.sink.link != NULL and t.sink.n_writes[0]:
            work = WORK_SETTLE
        else:
            if s.n_roots and is_idle_locked(s):
                pthread_cond_broadcast(&s.walk)  # the next source may have waited for this
            if await_work_locked(t):
                work = WORK_SAY
    pthread_mutex_unlock(&s.lock)
    return work


cdef int send_oldest(send_stream *t, fast_err *err) noexcept nogil:
    cdef io_slot *slot = t.order[0]
    t.n_order -= 1
    memmove(t.order, t.order + 1, t.n_order * sizeof(io_slot *))
    return send_block(t, slot, err)


cdef void send_loop(send_stream *t) noexcept nogil:
    cdef fast_err err
    cdef int n_dirs = 0
    cdef int n_files = 0
    cdef int work
    cdef int rc = 0
    cdef large_file *chosen = NULL
    clear(&err)
    if t.sink.link == NULL:
        rc = send_first(t, &err)
    while rc == 0:
        work = next_work(t, &n_dirs, &n_files, &chosen)
        if work == WORK_BLOCK:
            rc = send_oldest(t, &err)
        elif work == WORK_BATCH:
            rc = send_batch(t, n_dirs, n_files, &err)
        elif work == WORK_QUESTIONS:
            rc = send_questions(t, n_files, &err)
        elif work == WORK_OPEN:
            rc = open_large(t, chosen, &err)
        elif work == WORK_SETTLE:
            rc = t.sink.settle(t.sink.link, &err)
        elif work == WORK_END_LARGE:
            rc = finish_large(t, chosen, &err)
        elif work == WORK_END:
            rc = send_end(t, escp_load(&t.state.streams[t.index].n_bytes), &err)
            if rc == 0 and t.state.config.reconnects:
                rc = await_end(t, &err)
            break
        elif work == WORK_AGAIN:
            rc = send_again(t, &err)
        elif work == WORK_SAY:
            say_heard(t)
        else:
            break
    if rc < 0:
        err.offset = t.index  # of the plane's end it says which stream
        if t.sink.link != NULL and err.code != FAST_STOPPED:
            t.sink.fail(t.sink.link, &err)
        state_fail(t.state, &err)
