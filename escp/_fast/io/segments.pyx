"""Segments that are attached; see segments.pxd."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from escp._fast.base.libc cimport (EBUSY, ECANCELED, EINVAL, EIO, ENOMEM, EOWNERDEAD, F_DUPFD_CLOEXEC, c_close, calloc,
                                   errno, escp_flag, fcntl, free, pthread_mutex_init, pthread_mutex_lock,
                                   pthread_mutex_t, pthread_mutex_unlock, stat_t)
from escp._fast.base.types cimport FAST_OK, FAST_STOPPED, FAST_SYS, clear, fail, fast_err
from escp._fast.io.ring cimport io_ring

cdef extern from "shared.h" nogil:
    int segment_check_file(int fd, stat_t *)  # these three: 0, or an errno
    int segment_read_plan(int fd, uint64_t file_bytes, segment_plan *)
    int segment_lock(int fd, int party)
    bint segment_is_alive(int fd, int party)
    void segment_sleep(uint32_t *bell, uint32_t *waits, uint32_t seen, int ms)
    void segment_unlink(int fd)
    int shared_map(int fd, size_t n, void **memory)
    void shared_unmap(int)
    bint shared_is_spoiled(int)
    uint32_t shared_add(uint32_t *, uint32_t)
    enum:
        SEGMENT_LOOK_MS, SEGMENT_SEND, SEGMENT_RECEIVE, PARTY_CLIENT, PARTY_ESCP
        CLIENT_ENDED, CLIENT_FAILED, ESCP_ATTACHED, ESCP_COMPLETE, ESCP_FAILED


cdef pthread_mutex_t lock  # of the list
cdef attached *first = NULL
pthread_mutex_init(&lock, NULL)


# ---- Segments of a plane ----------------------------------------------------------------------------

cdef int refuse(int number, fast_err *err) noexcept nogil:
    return fail(err, FAST_SYS, number, "segment")


cdef void unmap(attached *a) noexcept nogil:
    if a.mapping >= 0:
        shared_unmap(a.mapping)
    if a.fd >= 0:
        c_close(a.fd)
    free(a.n_moved)
    free(a)


cdef void conclude_locked(attached *a, const fast_err *err) noexcept nogil:
    if a.is_told:
        return
    segment_store(&a.shared.escp_code, <uint32_t>err.code)
    segment_store(&a.shared.escp_errno, <uint32_t>err.sys_errno)
    segment_store(&a.shared.escp_state, ESCP_COMPLETE if err.code == FAST_OK else ESCP_FAILED)
    segment_ring(&a.shared.client_bell, &a.shared.client_waits)
    a.is_told = True


cdef void conclude(attached *a, const fast_err *err) noexcept nogil:
    pthread_mutex_lock(&lock)
    conclude_locked(a, err)
    pthread_mutex_unlock(&lock)


cdef bint claim_target(attached *a) noexcept nogil:
    cdef bint was_begun
    pthread_mutex_lock(&lock)
    was_begun = a.is_begun
    a.is_begun = True
    pthread_mutex_unlock(&lock)
    return not was_begun


cdef int map_segment(attached *a, bint is_source, fast_err *err) noexcept nogil:
    cdef stat_t status
    cdef int number = segment_check_file(a.fd, &status)
    cdef void *memory = NULL
    if number == 0:
        number = segment_read_plan(a.fd, status.st_size, &a.plan)
    if number == 0 and a.plan.direction != <uint32_t>(SEGMENT_SEND if is_source else SEGMENT_RECEIVE):
        number = EINVAL
    if number == 0:
        number = segment_lock(a.fd, PARTY_ESCP)
    if number:
        return refuse(number, err)
    segment_unlink(a.fd)  # from here on it lives as long as the two that have it open
    if not segment_is_alive(a.fd, PARTY_CLIENT):
        return fail(err, FAST_SYS, EOWNERDEAD, "client")
    a.mapping = shared_map(a.fd, a.plan.segment_bytes, &memory)
    if a.mapping < 0:
        return refuse(errno, err)
    a.n_moved = <uint32_t *>calloc(a.plan.n_blocks, sizeof(uint32_t))
    if a.n_moved == NULL:
        return refuse(ENOMEM, err)
    a.shared = <segment *>memory
    a.data = <uint8_t *>memory + a.plan.data_offset
    a.dev, a.ino = status.st_dev, status.st_ino
    if segment_load(&a.shared.escp_state):
        return refuse(EBUSY, err)
    if is_source:
        a.size = segment_load8(&a.shared.size)
        if a.size >> 63:
            return refuse(EINVAL, err)
    segment_store(&a.shared.escp_state, ESCP_ATTACHED)
    segment_ring(&a.shared.client_bell, &a.shared.client_waits)
    return 0


cdef int segment_attach(const void *plane, int fd, bint is_source, uint64_t *size, void **exchange,
                        fast_err *err) noexcept nogil:
    cdef attached *a = <attached *>calloc(1, sizeof(attached))
    cdef attached *other
    cdef int rc
    global first
    if a == NULL:
        return refuse(ENOMEM, err)
    a.plane, a.source_fd, a.mapping = plane, fd if is_source else -1, -1
    a.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0)
    if a.fd < 0:
        rc = refuse(errno, err)
        free(a)
        return rc
    pthread_mutex_lock(&lock)
    rc = map_segment(a, is_source, err)
    if rc == 0:
        other = first
        while other != NULL:
            if other.source_fd == a.source_fd:
                other.source_fd = -1  # of a file that is closed
            other = other.next
        a.next = first
        first = a
    pthread_mutex_unlock(&lock)
    if rc < 0:
        unmap(a)
        return -1
    size[0], exchange[0] = a.size, a
    return 0


cdef attached *find_source(int fd) noexcept nogil:
    cdef attached *a
    pthread_mutex_lock(&lock)
    a = first
    while a != NULL and a.source_fd != fd:
        a = a.next
    pthread_mutex_unlock(&lock)
    return a


cdef void segment_detach(const void *plane) noexcept nogil:
    cdef attached **at = &first
    cdef attached *a
    cdef fast_err err
    clear(&err)
    fail(&err, FAST_STOPPED, ECANCELED, "segment")
    pthread_mutex_lock(&lock)
    while at[0] != NULL:
        a = at[0]
        if a.plane != plane:
            at = &a.next
            continue
        at[0] = a.next
        conclude_locked(a, &err)
        unmap(a)
    pthread_mutex_unlock(&lock)


cdef void segment_tell(const void *plane, uint64_t dev, uint64_t ino, const fast_err *err) noexcept nogil:
    cdef attached *a
    pthread_mutex_lock(&lock)
    a = first
    while a != NULL:
        if a.plane == plane and a.dev == dev and a.ino == ino:
            conclude_locked(a, err)
        a = a.next
    pthread_mutex_unlock(&lock)


# ---- Waiting for the program ------------------------------------------------------------------------

cdef int check_client(const io_ring *ring, attached *a, fast_err *err) noexcept nogil:
    if shared_is_spoiled(a.mapping):
        return fail(err, FAST_SYS, EIO, "segment")
    if escp_flag(ring.is_stopped):
        return fail(err, FAST_STOPPED, 0, "segment")
    if segment_load(&a.shared.client_state) == CLIENT_FAILED:
        return fail(err, FAST_SYS, ECANCELED, "client")
    return 0


cdef int sleep(attached *a, uint32_t seen, fast_err *err) noexcept nogil:
    segment_sleep(&a.shared.escp_bell, &a.shared.escp_waits, seen, SEGMENT_LOOK_MS)
    if segment_load(&a.shared.escp_bell) == seen and not segment_is_alive(a.fd, PARTY_CLIENT):
        return fail(err, FAST_SYS, EOWNERDEAD, "client")
    return 0


cdef bint has_word(attached *a, uint64_t number, uint32_t state) noexcept nogil:
    cdef uint32_t *word = &a.shared.words[number % a.plan.n_blocks]
    return segment_load(word) == segment_word(number, a.plan.n_blocks, state)


cdef int await_word(const io_ring *ring, attached *a, uint64_t number, uint32_t state, fast_err *err) noexcept nogil:
    cdef uint32_t seen
    while True:
        seen = segment_load(&a.shared.escp_bell)
        if has_word(a, number, state):
            return 0
        if check_client(ring, a, err) < 0 or sleep(a, seen, err) < 0:
            return -1


cdef int await_ended(const io_ring *ring, attached *a, fast_err *err) noexcept nogil:
    cdef uint32_t seen
    while True:
        seen = segment_load(&a.shared.escp_bell)
        if check_client(ring, a, err) < 0:
            return -1
        if segment_load(&a.shared.client_state) == CLIENT_ENDED:
            return 0
        if sleep(a, seen, err) < 0:
            return -1


cdef inline uint32_t length_of(const attached *a, uint64_t number) noexcept nogil:
    """Of a block of the program's."""
    cdef uint64_t left = a.size - number * a.plan.block_bytes
    return <uint32_t>left if left < a.plan.block_bytes else a.plan.block_bytes


cdef void move(attached *a, uint64_t number, uint32_t n, uint32_t state) noexcept nogil:
    cdef uint32_t slot = <uint32_t>(number % a.plan.n_blocks)
    if shared_add(&a.n_moved[slot], n) != length_of(a, number):
        return
    a.n_moved[slot] = 0  # nobody else has this block, and the slot's next one is not begun
    if state == WORD_FREE:
        number += a.plan.n_blocks
    segment_store(&a.shared.words[slot], segment_word(number, a.plan.n_blocks, state))


cdef void tell_moved(attached *a) noexcept nogil:
    segment_ring(&a.shared.client_bell, &a.shared.client_waits)
