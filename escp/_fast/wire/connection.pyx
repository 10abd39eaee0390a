"""The connection of a stream, and the next one; see connection.pxd."""

from libc.stdint cimport uint32_t, uint64_t

from escp._fast.base.libc cimport (CLOCK_MONOTONIC, ETIMEDOUT, F_DUPFD_CLOEXEC, SHUT_RDWR, c_close, clock_gettime,
                                   errno, escp_cond_init, escp_is_paced, fcntl, pthread_cond_broadcast,
                                   pthread_cond_destroy, pthread_cond_wait, pthread_mutex_destroy, pthread_mutex_init,
                                   pthread_mutex_lock, pthread_mutex_unlock, shutdown, timespec_t)
from escp._fast.base.types cimport FAST_AUTH, FAST_NET, FAST_PROTOCOL, FAST_STOPPED, IDLE_S, fail, fast_err
from escp._fast.crypto.channel cimport channel


cdef bint is_passing(const fast_err *err, bad_frames *bad, uint64_t n_frames) noexcept nogil:
    if err.code != FAST_AUTH:
        return err.code == FAST_NET
    bad.n = bad.n + 1 if n_frames - bad.at < MANY_FRAMES else 1
    bad.at = n_frames
    return bad.n < MAX_BAD


cdef int echo_take(echo *e, int fd, uint64_t n_heard, uint64_t n_said, fast_err *err) noexcept nogil:
    cdef timespec_t now
    if n_heard > n_said:
        return fail(err, FAST_PROTOCOL, 0, "frames heard")
    clock_gettime(CLOCK_MONOTONIC, &now)
    if e.is_known and n_heard == e.n_heard and n_heard < e.n_said and not escp_is_paced(fd):
        return fail(err, FAST_NET, ETIMEDOUT, "stream") if now.tv_sec - e.since_s >= IDLE_S - 1 else 0
    e.is_known, e.n_heard, e.n_said, e.since_s = True, n_heard, n_said, now.tv_sec
    return 0


cdef void connection_open(connection *c) noexcept nogil:
    pthread_mutex_init(&c.lock, NULL)
    escp_cond_init(&c.changed)
    c.fd = -1


cdef void connection_close(connection *c) noexcept nogil:
    pthread_cond_destroy(&c.changed)
    pthread_mutex_destroy(&c.lock)


cdef void connection_replace(connection *c, int fd, channel *sealed) noexcept nogil:
    pthread_mutex_lock(&c.lock)
    if c.fd >= 0:
        shutdown(c.fd, SHUT_RDWR)  # a thread may still wait for it
    c.fd = fd
    c.sealed = sealed
    c.number += 1
    c.is_cut = c.is_resumed = False
    pthread_cond_broadcast(&c.changed)
    pthread_mutex_unlock(&c.lock)


cdef void connection_stop(connection *c) noexcept nogil:
    pthread_mutex_lock(&c.lock)
    c.is_over = True
    if c.fd >= 0:
        shutdown(c.fd, SHUT_RDWR)
    pthread_cond_broadcast(&c.changed)
    pthread_mutex_unlock(&c.lock)


cdef bint connection_cut(connection *c, uint32_t number) noexcept nogil:
    cdef bint is_first
    pthread_mutex_lock(&c.lock)
    is_first = number == c.number and not c.is_cut and not c.is_over
    if is_first:
        c.is_cut = True
        c.is_resumed = False
        shutdown(c.fd, SHUT_RDWR)
        pthread_cond_broadcast(&c.changed)
    pthread_mutex_unlock(&c.lock)
    return is_first


cdef bint connection_resumed(connection *c, uint32_t number) noexcept nogil:
    cdef bint is_so
    pthread_mutex_lock(&c.lock)
    is_so = number == c.number and not c.is_cut
    if is_so:
        c.is_resumed = True
    pthread_mutex_unlock(&c.lock)
    return is_so


cdef bint connection_is(connection *c, bint cut) noexcept nogil:
    cdef bint is_so
    pthread_mutex_lock(&c.lock)
    is_so = c.is_cut if cut else c.is_resumed
    pthread_mutex_unlock(&c.lock)
    return is_so


cdef bint line_is_stale(line *l) noexcept nogil:
    cdef bint is_stale
    pthread_mutex_lock(&l.whole.lock)
    is_stale = l.whole.is_cut or l.whole.number != l.number
    pthread_mutex_unlock(&l.whole.lock)
    return is_stale


cdef int line_adopt(line *l, bint is_own, bint waits, fast_err *err) noexcept nogil:
    cdef connection *c = l.whole
    cdef int rc = 1
    pthread_mutex_lock(&c.lock)
    while waits and (c.number == l.number or c.is_cut) and not c.is_over:
        pthread_cond_wait(&c.changed, &c.lock)
    if c.is_over:
        rc = fail(err, FAST_STOPPED, 0, "connection")
    elif c.number == l.number or c.is_cut:
        rc = 0
    else:
        line_close(l)
        l.fd = fcntl(c.fd, F_DUPFD_CLOEXEC, 0) if is_own else c.fd
        l.is_own = is_own
        l.sealed = c.sealed
        l.number = c.number
        if l.fd < 0:
            rc = fail(err, FAST_NET, errno, "connection")
    pthread_mutex_unlock(&c.lock)
    return rc


cdef void line_close(line *l) noexcept nogil:
    if l.is_own and l.fd >= 0:
        c_close(l.fd)
    l.fd = -1
    l.is_own = False
