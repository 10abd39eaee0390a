"""What a receiver may write; see roots.pxd.

A name is taken off once its entry has come, so memory depends on what is under way, not on how much was
asked for, and a peer can't write anything again. Where the peer may make hard links the names stay, as what
such links may lead to: to nothing that was here before under another name.
"""

from libc.stdint cimport uint64_t

from escp._fast.libc cimport (calloc, free, malloc, memcmp, memcpy, pthread_mutex_destroy, pthread_mutex_init,
                              pthread_mutex_lock, pthread_mutex_unlock)
from escp._fast.extras cimport extras_view, get_extras
from escp._fast.types cimport FAST_UNSAFE, clear, fail, fast_err
from escp._fast.wire cimport (ENTRY_ASKS_DIRECTORY, ENTRY_DIRECTORY, ENTRY_HARD_LINK, ENTRY_LARGE,
                              ENTRY_LARGE_END, ENTRY_QUERY, entry)

cdef enum:
    FIRST_BUCKETS = 64
    FNV_PRIME = 0x100000001b3


cdef inline uint64_t hash_more(uint64_t h, char c) noexcept nogil:
    return (h ^ <unsigned char>c) * <uint64_t>FNV_PRIME


cdef uint64_t hash_name(const root_set *r, const char *name, size_t n) noexcept nogil:
    """FNV-1a from a secret beginning."""
    cdef uint64_t h = r.seed
    cdef size_t i
    for i in range(n):
        h = hash_more(h, name[i])
    return h


cdef inline unsigned int bucket_of(uint64_t h, unsigned int n_buckets) noexcept nogil:
    return (h ^ (h >> 32)) % n_buckets  # the low bits alone depend on few bits of the seed


cdef int roots_open(root_set *r, bint is_on, bint keeps_names, uint64_t seed) except -1:
    r.seed = seed
    r.is_on = is_on
    r.keeps_names = keeps_names
    r.n_names = 0
    r.n_buckets = FIRST_BUCKETS
    r.buckets = <root_name **>calloc(FIRST_BUCKETS, sizeof(void *))
    if r.buckets == NULL:
        raise MemoryError("roots")
    pthread_mutex_init(&r.lock, NULL)
    return 0


cdef void roots_free(root_set *r) noexcept nogil:
    cdef unsigned int i
    cdef root_name *at
    if r.buckets == NULL:
        return
    for i in range(r.n_buckets):
        while r.buckets[i] != NULL:
            at = r.buckets[i]
            r.buckets[i] = at.next
            free(at)
    free(r.buckets)
    r.buckets = NULL
    pthread_mutex_destroy(&r.lock)


cdef root_name **find_locked(root_set *r, uint64_t h, const char *name, size_t n) noexcept nogil:
    """Where the pointer to that name stands, or to NULL."""
    cdef root_name **at = &r.buckets[bucket_of(h, r.n_buckets)]
    while at[0] != NULL and not (at[0].hash == h and at[0].n == n and memcmp(at[0].name, name, n) == 0):
        at = &at[0].next
    return at


cdef void grow_locked(root_set *r) noexcept nogil:
    cdef unsigned int n = 4 * r.n_buckets
    cdef root_name **buckets = <root_name **>calloc(n, sizeof(void *))
    cdef root_name *at
    cdef unsigned int i, to
    if buckets == NULL:
        return  # slower, no more
    for i in range(r.n_buckets):
        while r.buckets[i] != NULL:
            at = r.buckets[i]
            r.buckets[i] = at.next
            to = bucket_of(at.hash, n)
            at.next = buckets[to]
            buckets[to] = at
    free(r.buckets)
    r.buckets, r.n_buckets = buckets, n


cdef int roots_allow(root_set *r, const char *name, size_t n, bint is_directory) noexcept nogil:
    cdef uint64_t h = hash_name(r, name, n)
    cdef root_name *one
    cdef unsigned int to
    pthread_mutex_lock(&r.lock)
    one = find_locked(r, h, name, n)[0]
    if one != NULL:  # two sources of one name: the later one wins, as with scp
        one.n_times += 1
        one.is_directory = one.is_directory or is_directory
        pthread_mutex_unlock(&r.lock)
        return 0
    one = <root_name *>malloc(sizeof(root_name) + n)
    if one != NULL:
        if r.n_names > 2 * r.n_buckets:
            grow_locked(r)
        one.hash, one.n, one.n_times, one.is_directory = h, <unsigned int>n, 1, is_directory
        one.has_come = False
        memcpy(one.name, name, n)
        to = bucket_of(h, r.n_buckets)
        one.next = r.buckets[to]
        r.buckets[to] = one
        r.n_names += 1
    pthread_mutex_unlock(&r.lock)
    return 0 if one != NULL else -1


cdef void drop_locked(root_set *r, root_name **at) noexcept nogil:
    cdef root_name *one = at[0]
    one.has_come = True
    one.n_times -= 1
    if one.n_times == 0 and not r.keeps_names:
        at[0] = one.next
        free(one)
        r.n_names -= 1


cdef bint is_below_locked(root_set *r, const char *path, size_t n, bint has_come) noexcept nogil:
    """Whether the path lies below a directory that was asked for; *has_come*: or that was, and is finished."""
    cdef root_name *one
    cdef uint64_t h = hash_name(r, NULL, 0)
    cdef size_t i
    for i in range(n):
        if i == 0 or path[i] == 47:  # '/'; "": the contents of a directory, straight into the destination
            one = find_locked(r, h, path, i)[0]
            if one != NULL and one.is_directory and (one.n_times or has_come):
                return True
        h = hash_more(h, path[i])
    return False


cdef bint may_link_locked(root_set *r, const entry *e) noexcept nogil:
    """A hard link leads to what is below a directory that was asked for, or to a file that has come."""
    cdef extras_view x
    cdef fast_err none
    cdef root_name *one
    clear(&none)
    if get_extras(e.extras, e.extras_bytes, &x, &none) < 0 or x.target == NULL:
        return False
    if is_below_locked(r, x.target, x.n_target, True):
        return True
    one = find_locked(r, hash_name(r, x.target, x.n_target), x.target, x.n_target)[0]
    return one != NULL and one.has_come


cdef int roots_check(root_set *r, const entry *e, fast_err *err) noexcept nogil:
    cdef root_name **at
    cdef bint is_directory = e.kind == ENTRY_DIRECTORY or (e.kind == ENTRY_QUERY and e.flags & ENTRY_ASKS_DIRECTORY)
    cdef bint is_wanted
    if not r.is_on:
        return 0
    pthread_mutex_lock(&r.lock)
    is_wanted = is_below_locked(r, e.path, e.path_bytes, False)
    if not is_wanted:
        at = find_locked(r, hash_name(r, e.path, e.path_bytes), e.path, e.path_bytes)
        if at[0] != NULL and at[0].n_times and (at[0].is_directory or not is_directory):
            is_wanted = True
            if not (e.kind == ENTRY_LARGE or e.kind == ENTRY_LARGE_END or e.kind == ENTRY_QUERY):
                drop_locked(r, at)
    if e.kind == ENTRY_HARD_LINK and is_wanted:
        is_wanted = may_link_locked(r, e)
    pthread_mutex_unlock(&r.lock)
    return 0 if is_wanted else fail(err, FAST_UNSAFE, 0, "name")


cdef void roots_drop(root_set *r, const entry *e) noexcept nogil:
    cdef root_name **at
    if not r.is_on:
        return
    pthread_mutex_lock(&r.lock)
    at = find_locked(r, hash_name(r, e.path, e.path_bytes), e.path, e.path_bytes)
    if at[0] != NULL and at[0].n_times:
        drop_locked(r, at)
    pthread_mutex_unlock(&r.lock)
