"""The digest of a file; see digest.pxd. Pure arithmetic, no I/O, any thread."""

from libc.stdint cimport uint64_t, uint8_t

from escp._fast.base.libc cimport escp_is_zero, htobe64
from escp._fast.base.types cimport SLICE_BYTES


cdef extern from "xxh.h" nogil:
    ctypedef struct XXH128_hash_t:
        uint64_t low64
        uint64_t high64
    XXH128_hash_t escp_xxh128(const void *, size_t, uint64_t)


cdef void digest_add(digest128 *total, const digest128 *part) noexcept nogil:
    total.low += part.low
    total.high += part.high + (1 if total.low < part.low else 0)


cdef inline void add_hash(digest128 *total, const void *data, size_t n, uint64_t seed) noexcept nogil:
    cdef XXH128_hash_t h = escp_xxh128(data, n, seed)
    cdef digest128 part
    part.high, part.low = h.high64, h.low64
    digest_add(total, &part)


cdef void digest_update(digest128 *total, const uint8_t *data, size_t n, uint64_t first_slice) noexcept nogil:
    cdef size_t k
    while n:
        k = n if n < SLICE_BYTES else SLICE_BYTES
        first_slice += 1
        if not escp_is_zero(data, k):
            add_hash(total, data, k, first_slice)
        data += k
        n -= k


cdef void digest_finish(digest128 *total, uint64_t size) noexcept nogil:
    cdef uint64_t be = htobe64(size)
    add_hash(total, &be, 8, 0)


def digest_of(bytes data not None):
    """The 16-byte digest of a whole file's contents. For tests, vectors and the self-test."""
    cdef digest128 total
    cdef size_t n = len(data)
    cdef const uint8_t *at = data
    total.high = total.low = 0
    if n:
        with nogil:
            digest_update(&total, at, n, 0)
    digest_finish(&total, n)
    return (int(total.high) << 64 | int(total.low)).to_bytes(16, "big")


cdef uint64_t hash_bytes(const void *data, size_t n, uint64_t seed) noexcept nogil:
    return escp_xxh128(data, n, seed).low64
