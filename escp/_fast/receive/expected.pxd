"""Digests that the receiver's own side expects of files: what has another one does not get its name.

Filled before the streams start, and only read from then on: any thread may ask, without a lock. Of each path two hashes
are kept, 128 bits in all, whose seeds nobody knows who chooses the names.
"""

from libc.stdint cimport uint64_t

from escp._fast.base.types cimport fast_err
from escp._fast.crypto.digest cimport digest128
from escp._fast.wire.payloads cimport entry

cdef enum:
    MAX_EXPECTED = 4194304


ctypedef struct expectation:
    uint64_t hashes[2]  # the second one 0: a free place
    digest128 digest


ctypedef struct expected_set:
    expectation *places  # NULL: nothing is expected
    uint64_t n_places  # a power of two
    uint64_t n_used
    uint64_t seed  # random


# Of the path below the destination, as entries have it; the last digest that is given counts. -1 with FAST_MEMORY, also
# for more than MAX_EXPECTED.
cdef int expected_add(expected_set *x, const char *path, size_t n, const digest128 *digest,
                      fast_err *err) noexcept nogil
cdef void expected_free(expected_set *x) noexcept nogil
cdef bint is_expected(const expected_set *x, const entry *e) noexcept nogil  # with any digest
# -1 with FAST_DIGEST and EBADMSG where *digest*, of all that has come of the file, is another one.
cdef int expected_check(const expected_set *x, const entry *e, const digest128 *digest, fast_err *err) noexcept nogil
