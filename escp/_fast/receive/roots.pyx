"""What a receiver may write; see roots.pxd.

A name is taken off once its entry has come, or was said to be absent, so memory depends on what is under way, not on
how much was asked for, and a peer can't write anything again. Where the peer may make hard links the names that came
stay, as what such links may lead to: to nothing that was here before under another name.
"""

from libc.stdint cimport uint16_t, uint64_t

from escp._fast.base.libc cimport (calloc, free, memchr, memcmp, memcpy, pthread_mutex_destroy, pthread_mutex_init,
                                   pthread_mutex_lock, pthread_mutex_unlock)
from escp._fast.base.paths cimport SLASH
from escp._fast.base.types cimport FAST_UNSAFE, fail, fast_err
from escp._fast.wire.extras cimport extras_view, get_extras
from escp._fast.wire.payloads cimport (ENTRY_ASKS_DIRECTORY, ENTRY_BEGUN, ENTRY_DIRECTORY, ENTRY_HARD_LINK,
                                       ENTRY_QUERY, entry)

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
    r.n_names = r.n_waiting = r.at = 0
    r.is_closed = False
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
    cdef int rc
    pthread_mutex_lock(&r.lock)
    if r.is_closed:
        rc = ROOTS_CLOSED
    elif r.n_waiting == MAX_WAITING:
        rc = ROOTS_FULL
    else:
        rc = allow_locked(r, h, name, n, is_directory)
    pthread_mutex_unlock(&r.lock)
    return rc


cdef int allow_locked(root_set *r, uint64_t h, const char *name, size_t n, bint is_directory) noexcept nogil:
    cdef root_name *one = find_locked(r, h, name, n)[0]
    cdef unsigned int to
    if one == NULL:
        one = <root_name *>calloc(1, sizeof(root_name) + n)
        if one == NULL:
            return ROOTS_NO_MEMORY
        if r.n_names > 2 * r.n_buckets:
            grow_locked(r)
        one.hash, one.n = h, <unsigned int>n
        memcpy(one.name, name, n)
        to = bucket_of(h, r.n_buckets)
        one.next = r.buckets[to]
        r.buckets[to] = one
        r.n_names += 1
    one.n_times += 1  # perhaps two sources of one name: given.pxd sees to it
    one.is_directory = one.is_directory or is_directory
    r.n_waiting += 1
    return 0


cdef root_name **find_entry_locked(root_set *r, const entry *e) noexcept nogil:
    return find_locked(r, hash_name(r, e.path, e.path_bytes), e.path, e.path_bytes)


cdef void tidy_locked(root_set *r, root_name **at) noexcept nogil:
    """Forget a name of which nothing is to be known any more."""
    cdef root_name *one = at[0]
    if one.n_times == 0 and one.n_claimed == 0 and not (one.has_come and r.keeps_names):
        at[0] = one.next
        free(one)
        r.n_names -= 1


cdef void take_off_locked(root_set *r, root_name *one) noexcept nogil:
    one.n_times -= 1
    r.n_waiting -= 1


cdef int find_above_locked(root_set *r, const char *path, size_t n, bint has_come, uint64_t *hash) noexcept nogil:
    """Length of the widest directory that was asked for and that the path lies below; *has_come*: or that was, and is
    finished. -1: there is none. On the way it gets the hash of the path itself."""
    cdef root_name *one
    cdef uint64_t h = hash_name(r, NULL, 0)
    cdef int widest = -1
    cdef size_t i
    for i in range(n):
        if widest < 0 and (i == 0 or path[i] == SLASH):  # "": the contents of a directory, straight into the target
            one = find_locked(r, h, path, i)[0]
            if one != NULL and one.is_directory and (one.n_times or has_come):
                widest = <int>i
        h = hash_more(h, path[i])
    hash[0] = h
    return widest


cdef int find_first_root_locked(root_set *r, const char *path, size_t n) noexcept nogil:
    """The same of the file that a hard link names: below a directory that was asked for, or a file that has come."""
    cdef root_name *one
    cdef uint64_t h = 0
    cdef int n_root = find_above_locked(r, path, n, True, &h)
    if n_root < 0:
        one = find_locked(r, h, path, n)[0]
        if one != NULL and one.has_come:
            return <int>n
    return n_root


cdef int first_component(const char *path, size_t n) noexcept nogil:
    cdef const void *slash = memchr(path, SLASH, n)
    return <int>n if slash == NULL else <int>(<const char *>slash - path)


cdef int claim_locked(root_set *r, const entry *e) noexcept nogil:
    """The length of the entry's root, or -1 for what was not asked for. What lies below a directory that was may come
    as often as it likes."""
    cdef uint64_t h = 0
    cdef int n_root = find_above_locked(r, e.path, e.path_bytes, False, &h)
    cdef root_name *one = find_locked(r, h, e.path, e.path_bytes)[0]
    cdef bint is_question = e.kind == ENTRY_QUERY or e.kind == ENTRY_BEGUN  # which claims nothing
    cdef bint is_directory = (e.kind == ENTRY_DIRECTORY or e.kind == ENTRY_BEGUN
                              or (is_question and e.flags & ENTRY_ASKS_DIRECTORY))
    cdef bint is_root = one != NULL and one.n_times and (one.is_directory or not is_directory)
    if n_root >= 0:
        if is_root and not is_question:
            one.n_below += 1
        return n_root
    if not is_root:
        return -1
    if not is_question:
        take_off_locked(r, one)
        one.n_claimed += 1
        one.n_same -= one.n_same > 0  # it differs after all
    return e.path_bytes


cdef int roots_check(root_set *r, entry *e, fast_err *err) noexcept nogil:
    cdef extras_view x
    cdef int n_root = 0
    cdef int n_first = 0
    x.target, x.n_target = NULL, 0
    if e.kind == ENTRY_HARD_LINK and (get_extras(e.extras, e.extras_bytes, &x, err) < 0 or x.target == NULL):
        return fail(err, FAST_UNSAFE, 0, "name")
    if r.is_on:
        pthread_mutex_lock(&r.lock)
        n_root = claim_locked(r, e)
        if x.target != NULL and n_root >= 0:
            n_first = find_first_root_locked(r, x.target, x.n_target)
        pthread_mutex_unlock(&r.lock)
    else:
        n_root = first_component(e.path, e.path_bytes)
        n_first = first_component(x.target, x.n_target) if x.target != NULL else 0
    if n_root < 0 or n_first < 0:
        return fail(err, FAST_UNSAFE, 0, "name")
    e.root_bytes, e.first_root_bytes = <uint16_t>n_root, <uint16_t>n_first
    return 0


cdef void roots_settle(root_set *r, const entry *e, bint is_good) noexcept nogil:
    cdef root_name **at
    if not r.is_on or e.root_bytes != e.path_bytes:  # part of a root claims nothing
        return
    pthread_mutex_lock(&r.lock)
    at = find_entry_locked(r, e)
    if at[0] != NULL and at[0].n_claimed:
        at[0].n_claimed -= 1
        # Of a directory that can't get its mode the files are there all the same.
        at[0].has_come = at[0].has_come or is_good or e.kind == ENTRY_DIRECTORY
        tidy_locked(r, at)
    pthread_mutex_unlock(&r.lock)


cdef void roots_answer(root_set *r, const entry *e, bint is_compared) noexcept nogil:
    cdef root_name **at
    if not r.is_on:
        return
    pthread_mutex_lock(&r.lock)
    at = find_entry_locked(r, e)
    if at[0] != NULL and at[0].n_times:
        if e.root_bytes != e.path_bytes:  # asked as part of a directory, and perhaps for itself
            at[0].n_below += 1
        elif is_compared:
            at[0].n_same += 1
        else:
            at[0].has_come = True
            take_off_locked(r, at[0])
            tidy_locked(r, at)
    pthread_mutex_unlock(&r.lock)


cdef int roots_absent(root_set *r, const entry *e, fast_err *err) noexcept nogil:
    cdef root_name **at
    cdef int rc = -1
    if r.is_on:
        pthread_mutex_lock(&r.lock)
        at = find_entry_locked(r, e)
        if at[0] != NULL and at[0].n_times:
            rc = at[0].n_same == 0 and at[0].n_below == 0
            if at[0].n_same:
                at[0].n_same -= 1
            elif at[0].n_below:  # what is here may be what a directory brought, or had
                at[0].n_below -= 1
            take_off_locked(r, at[0])
            tidy_locked(r, at)
        pthread_mutex_unlock(&r.lock)
    return rc if rc >= 0 else fail(err, FAST_UNSAFE, 0, "absent name")


cdef void roots_close(root_set *r) noexcept nogil:
    pthread_mutex_lock(&r.lock)
    r.is_closed = True
    pthread_mutex_unlock(&r.lock)


cdef bint roots_take_missing(root_set *r, char *name, size_t *n) noexcept nogil:
    cdef root_name *one = NULL
    pthread_mutex_lock(&r.lock)
    while one == NULL and r.at < r.n_buckets:
        one = r.buckets[r.at]
        while one != NULL and one.n_times <= one.n_below + one.n_same:
            one = one.next
        r.at += one == NULL
    if one != NULL:
        take_off_locked(r, one)
        n[0] = one.n
        memcpy(name, one.name, one.n)
    pthread_mutex_unlock(&r.lock)
    return one != NULL
