"""The queue from native threads to Python; see events.pxd."""

from libc.errno cimport errno
from libc.stdint cimport uint64_t

from escp._fast.base.libc cimport (EFD_CLOEXEC, EFD_NONBLOCK, c_close, c_read, c_write, calloc, eventfd, free,
                                   pthread_cond_broadcast, pthread_cond_destroy, pthread_cond_init, pthread_cond_wait,
                                   pthread_mutex_destroy, pthread_mutex_init, pthread_mutex_lock, pthread_mutex_unlock)
from escp._fast.base.paths cimport join_path, joined_length
from escp._fast.base.types cimport fast_err


cdef int events_open(event_queue *q) except -1:
    q.head = q.count = 0
    q.is_closed = False
    pthread_mutex_init(&q.lock, NULL)
    pthread_cond_init(&q.room, NULL)
    q.ring = <event *>calloc(N_EVENTS, sizeof(event))
    q.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
    if q.ring == NULL:
        raise MemoryError("event queue")
    if q.fd < 0:
        raise OSError(errno, "eventfd")
    return 0


cdef void events_close(event_queue *q) noexcept nogil:
    pthread_mutex_lock(&q.lock)
    q.is_closed = True
    pthread_cond_broadcast(&q.room)
    pthread_mutex_unlock(&q.lock)


cdef void events_free(event_queue *q) noexcept nogil:
    if q.ring == NULL:
        return
    free(q.ring)
    q.ring = NULL
    c_close(q.fd)
    pthread_cond_destroy(&q.room)
    pthread_mutex_destroy(&q.lock)


cdef void push_event(event_queue *q, int kind, const fast_err *err, bint is_remote,
                     const char *a, size_t n_a, const char *b, size_t n_b) noexcept nogil:
    """Texts *a* and *b* are joined by '/' where both are there."""
    cdef event *e
    cdef uint64_t one = 1
    pthread_mutex_lock(&q.lock)
    while q.count == N_EVENTS and not q.is_closed:
        pthread_cond_wait(&q.room, &q.lock)
    if q.count < N_EVENTS:
        e = &q.ring[(q.head + q.count) % N_EVENTS]
        q.count += 1
        e.kind = kind
        e.is_remote = is_remote
        e.err = err[0]
        n_a = join_path(e.text, 0, a, n_a if n_a < EVENT_TEXT_BYTES else <size_t>EVENT_TEXT_BYTES)
        if joined_length(e.text, n_a, n_b) <= EVENT_TEXT_BYTES:
            n_a = join_path(e.text, n_a, b, n_b)
        e.n_text = <int>n_a
        c_write(q.fd, &one, 8)
    pthread_mutex_unlock(&q.lock)


cdef list take_events(event_queue *q):
    """All waiting events: (kind, code, errno, where, offset, is_remote, path) each. Python's main thread only."""
    cdef uint64_t n
    cdef event *e
    taken = []
    c_read(q.fd, &n, 8)
    pthread_mutex_lock(&q.lock)
    while q.count:
        e = &q.ring[q.head]
        taken.append((e.kind, e.err.code, e.err.sys_errno, "" if e.err.where == NULL else e.err.where.decode(),
                      e.err.offset, bool(e.is_remote), e.text[:e.n_text]))
        q.head = (q.head + 1) % N_EVENTS
        q.count -= 1
    pthread_cond_broadcast(&q.room)
    pthread_mutex_unlock(&q.lock)
    return taken
