"""What is expected of files; see expected.pxd."""

from libc.stdint cimport uint64_t

from escp._fast.base.libc cimport EBADMSG, calloc, free
from escp._fast.base.types cimport FAST_DIGEST, FAST_MEMORY, fail, fast_err
from escp._fast.crypto.digest cimport digest128, hash_bytes
from escp._fast.wire.payloads cimport entry

cdef enum:
    FIRST_PLACES = 64


cdef expectation *find_place(const expected_set *x, uint64_t first, uint64_t second) noexcept nogil:
    """Where these hashes stand, or the free place where they would; half of all places are free."""
    cdef uint64_t i = first & (x.n_places - 1)
    while x.places[i].hashes[1] and not (
            x.places[i].hashes[0] == first and x.places[i].hashes[1] == second):
        i = (i + 1) & (x.n_places - 1)
    return &x.places[i]


cdef expectation *find_path(const expected_set *x, const char *path, size_t n) noexcept nogil:
    return find_place(x, hash_bytes(path, n, x.seed), hash_bytes(path, n, ~x.seed) | 1)


cdef int grow(expected_set *x, fast_err *err) noexcept nogil:
    cdef expectation *old = x.places
    cdef uint64_t n = x.n_places
    cdef uint64_t i
    if x.n_used >= MAX_EXPECTED:
        return fail(err, FAST_MEMORY, 0, "expected digests")
    x.n_places = 2 * n if n else FIRST_PLACES
    x.places = <expectation *>calloc(x.n_places, sizeof(expectation))
    if x.places == NULL:
        x.places, x.n_places = old, n
        return fail(err, FAST_MEMORY, 0, "expected digests")
    for i in range(n):
        if old[i].hashes[1]:
            find_place(x, old[i].hashes[0], old[i].hashes[1])[0] = old[i]
    free(old)
    return 0


cdef int expected_add(expected_set *x, const char *path, size_t n, const digest128 *digest,
                      fast_err *err) noexcept nogil:
    cdef expectation *at
    if 2 * x.n_used >= x.n_places and grow(x, err) < 0:
        return -1
    at = find_path(x, path, n)
    x.n_used += at.hashes[1] == 0
    at.hashes[0], at.hashes[1] = hash_bytes(path, n, x.seed), hash_bytes(path, n, ~x.seed) | 1
    at.digest = digest[0]
    return 0


cdef void expected_free(expected_set *x) noexcept nogil:
    free(x.places)
    x.places = NULL


cdef bint is_expected(const expected_set *x, const entry *e) noexcept nogil:
    return x.places != NULL and find_path(x, e.path, e.path_bytes).hashes[1] != 0


cdef int expected_check(const expected_set *x, const entry *e, const digest128 *digest, fast_err *err) noexcept nogil:
    cdef const expectation *at
    if x.places == NULL:
        return 0
    at = find_path(x, e.path, e.path_bytes)
    if at.hashes[1] and (at.digest.high != digest.high or at.digest.low != digest.low):
        return fail(err, FAST_DIGEST, EBADMSG, "expected")
    return 0
