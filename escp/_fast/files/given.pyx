"""The names that were given; see given.pxd."""

from libc.stdint cimport uint64_t

from escp._fast.base.libc cimport (PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP, calloc, free, pthread_mutex_destroy,
                                   pthread_mutex_init, pthread_mutex_lock, pthread_mutex_unlock,
                                   pthread_rwlock_destroy, pthread_rwlock_init, pthread_rwlock_rdlock,
                                   pthread_rwlock_unlock, pthread_rwlock_wrlock, pthread_rwlockattr_destroy,
                                   pthread_rwlockattr_init, pthread_rwlockattr_setkind_np, pthread_rwlockattr_t)
from escp._fast.crypto.digest cimport hash_bytes
from escp._fast.files.folding cimport fold_name

cdef enum:
    FIRST_SLOTS = 1024
    TAKEN_BACK = 1


cdef int given_open(given_set *g, uint64_t seed) except -1:
    cdef pthread_rwlockattr_t how
    g.seed = seed
    g.n_slots, g.n_used = FIRST_SLOTS, 0
    g.slots = <uint64_t *>calloc(FIRST_SLOTS, sizeof(uint64_t))
    if g.slots == NULL:
        raise MemoryError("names")
    pthread_mutex_init(&g.lock, NULL)
    pthread_rwlockattr_init(&how)
    pthread_rwlockattr_setkind_np(&how, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP)  # no writer waits for ever
    pthread_rwlock_init(&g.naming, &how)
    pthread_rwlockattr_destroy(&how)
    return 0


cdef void given_free(given_set *g) noexcept nogil:
    if g.slots == NULL:
        return
    free(g.slots)
    g.slots = NULL
    pthread_mutex_destroy(&g.lock)
    pthread_rwlock_destroy(&g.naming)


cdef uint64_t hash_path(const given_set *g, const char *path, size_t n) noexcept nogil:
    cdef uint64_t h = hash_bytes(path, n, g.seed)
    return h if h > TAKEN_BACK else h + 2


cdef uint64_t hash_folded(const given_set *g, const char *path, size_t n) noexcept nogil:
    cdef char folded[MAX_GIVEN_BYTES]
    cdef uint64_t h = hash_bytes(folded, fold_name(path, n, folded), ~g.seed)
    return h if h > TAKEN_BACK else h + 2


cdef uint64_t *find_locked(given_set *g, uint64_t h) noexcept nogil:
    """Where the hash stands, or the free place where it would."""
    cdef uint64_t i = h & (g.n_slots - 1)
    while g.slots[i] != h and g.slots[i] != 0:
        i = (i + 1) & (g.n_slots - 1)
    return &g.slots[i]


cdef void add_locked(given_set *g, uint64_t h) noexcept nogil:
    cdef uint64_t *old = g.slots
    cdef uint64_t n = g.n_slots
    cdef uint64_t i
    cdef uint64_t *at
    if g.n_used >= n - n // 4:
        g.slots = <uint64_t *>calloc(2 * n, sizeof(uint64_t))
        if g.slots == NULL:  # no memory: go on with the table as it is
            g.slots = old
        else:
            g.n_slots, g.n_used = 2 * n, 0
            for i in range(n):
                if old[i] > TAKEN_BACK:
                    find_locked(g, old[i])[0] = old[i]
                    g.n_used += 1
            free(old)
    at = find_locked(g, h)
    if at[0] == 0 and g.n_used < g.n_slots - 1:  # one stays free, for searches to end at
        at[0] = h
        g.n_used += 1


cdef int given_begin(given_set *g, const char *path, size_t n) noexcept nogil:
    cdef uint64_t own
    cdef uint64_t folded
    cdef bint is_taken
    cdef bint is_alike
    if not g.is_on:
        return GIVEN_NEW
    own, folded = hash_path(g, path, n), hash_folded(g, path, n)
    pthread_rwlock_rdlock(&g.naming)
    pthread_mutex_lock(&g.lock)
    is_taken = find_locked(g, own)[0] == own
    is_alike = find_locked(g, folded)[0] == folded
    if not is_taken:
        add_locked(g, own)
    if not is_alike:
        add_locked(g, folded)
    pthread_mutex_unlock(&g.lock)
    if is_taken:
        pthread_rwlock_unlock(&g.naming)
        return GIVEN_TAKEN
    if not is_alike:
        return GIVEN_NEW
    pthread_rwlock_unlock(&g.naming)  # the other one may be about to get its name
    pthread_rwlock_wrlock(&g.naming)
    return GIVEN_ALIKE


cdef void given_end(given_set *g, const char *path, size_t n, bint is_named) noexcept nogil:
    cdef uint64_t own
    cdef uint64_t *at
    if not g.is_on:
        return
    if not is_named:
        own = hash_path(g, path, n)
        pthread_mutex_lock(&g.lock)
        at = find_locked(g, own)
        if at[0] == own:
            at[0] = TAKEN_BACK
        pthread_mutex_unlock(&g.lock)
    pthread_rwlock_unlock(&g.naming)


cdef bint given_has(given_set *g, const char *path, size_t n) noexcept nogil:
    cdef uint64_t own
    cdef bint is_there
    if not g.is_on:
        return False
    own = hash_path(g, path, n)
    pthread_mutex_lock(&g.lock)
    is_there = find_locked(g, own)[0] == own
    pthread_mutex_unlock(&g.lock)
    return is_there


cdef bint given_first(given_set *g, const char *path, size_t n) noexcept nogil:
    cdef uint64_t h = hash_bytes(path, n, g.seed + 1) | 2
    cdef bint is_first
    pthread_mutex_lock(&g.lock)
    is_first = find_locked(g, h)[0] != h
    if is_first:
        add_locked(g, h)
    pthread_mutex_unlock(&g.lock)
    return is_first
