"""Files that have arrived; see stamps.pxd."""

from libc.stdint cimport uint8_t, uint64_t

from escp._fast.base.libc cimport calloc, escp_store, free, malloc, memcpy, stat_t, timespec_t
from escp._fast.crypto.digest cimport hash_bytes


cdef uint64_t to_ns(const timespec_t *t) noexcept nogil:
    return <uint64_t>t.tv_sec * 1000000000 + <uint64_t>t.tv_nsec


cdef uint64_t stamp_of(const stat_t *status) noexcept nogil:
    cdef uint64_t words[3]
    words[0], words[1], words[2] = status.st_ino, status.st_size, to_ns(&status.st_mtim)
    return hash_bytes(words, sizeof(words), 0) | 1


cdef uint64_t find_key(const stamp_book *b, const char *directory, size_t n_directory, const char *name, size_t n_name,
                       uint64_t ino, uint64_t size, uint64_t mtime_ns, uint64_t ctime_ns) noexcept nogil:
    cdef uint64_t words[7]
    words[0], words[1] = hash_bytes(directory, n_directory, b.seed), n_directory
    words[2] = hash_bytes(name, n_name, b.seed)
    words[3], words[4], words[5], words[6] = ino, size, mtime_ns, ctime_ns
    return hash_bytes(words, sizeof(words), b.seed)


cdef void put(stamp_book *b, const stamp_record *r) noexcept nogil:
    cdef uint64_t at = r.key & (b.n_places - 1)
    while b.known[at].stamp and b.known[at].key != r.key:
        at = (at + 1) & (b.n_places - 1)
    b.known[at] = r[0]


cdef bint book_open(stamp_book *b, uint64_t seed, const uint8_t *records, uint64_t n) noexcept nogil:
    cdef stamp_record r
    cdef uint64_t i
    b.seed, b.n_logged, b.n_places = seed, 0, 2
    b.log = <stamp_record *>malloc(N_LOGGED * sizeof(stamp_record))
    n = n if n < MAX_KNOWN else <uint64_t>MAX_KNOWN
    while b.n_places < 2 * n:
        b.n_places *= 2
    b.known = <stamp_record *>calloc(b.n_places, sizeof(stamp_record)) if n else NULL
    if b.log == NULL or (n and b.known == NULL):
        book_close(b)
        return False
    for i in range(n):
        memcpy(&r, records + i * STAMP_RECORD_BYTES, STAMP_RECORD_BYTES)
        if r.stamp:
            put(b, &r)
    b.is_on = True
    return True


cdef void book_close(stamp_book *b) noexcept nogil:
    free(b.log)
    free(b.known)
    b.log = b.known = NULL
    b.is_on = False


cdef uint64_t book_find(const stamp_book *b, uint64_t key) noexcept nogil:
    cdef uint64_t at = key & (b.n_places - 1)
    if b.known == NULL:
        return 0
    while b.known[at].stamp:
        if b.known[at].key == key:
            return b.known[at].stamp
        at = (at + 1) & (b.n_places - 1)
    return 0


cdef void book_add(stamp_book *b, uint64_t key, uint64_t stamp) noexcept nogil:
    if b.n_logged == N_LOGGED:
        return
    b.log[b.n_logged].key, b.log[b.n_logged].stamp = key, stamp
    escp_store(&b.n_logged, b.n_logged + 1)
