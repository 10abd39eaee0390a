"""The digest of a file: a sum over its slices that depends on neither order nor block size.

D = H(be64(size), 0) + sum over i of H(slice i, i + 1)  mod 2^128, H = XXH3-128 with that seed,
slices of 256 KiB, the last one short. Slices of zeroes are left out of the sum, so a hole costs nothing and
a file has the same digest with holes and without (docs/protocol.md 6).
"""

from libc.stdint cimport uint8_t, uint64_t


ctypedef struct digest128:
    uint64_t high
    uint64_t low


cdef void digest_add(digest128 *total, const digest128 *part) noexcept nogil
# *data* begins at slice *first_slice* of the file; all slices but the file's last are whole.
cdef void digest_update(digest128 *total, const uint8_t *data, size_t n, uint64_t first_slice) noexcept nogil
# A quick hash, of names for example. Who does not know *seed* can't find two names with one hash.
cdef uint64_t hash_bytes(const void *data, size_t n, uint64_t seed) noexcept nogil
# The last step: adds the file's size.
cdef void digest_finish(digest128 *total, uint64_t size) noexcept nogil
