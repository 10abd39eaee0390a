"""Comparing a sender's file with a receiver's; see compare.pxd."""

from libc.stdint cimport int64_t, uint32_t, uint64_t, uint8_t

from escp._fast.base.libc cimport errno, escp_flag, escp_pread_all, free, malloc, stat_t
from escp._fast.base.types cimport FAST_CHANGED, FAST_STOPPED, FAST_SYS, SELECT_NEWER, SLICE_BYTES, fail, fast_err
from escp._fast.crypto.digest cimport digest128, digest_finish, digest_update
from escp._fast.wire.payloads cimport entry

cdef enum:
    AT_ONCE_BYTES = 1048576


cdef bint is_cut_off(uint32_t coarse_ns, uint32_t ns) noexcept nogil:
    """Whether *coarse_ns* is *ns* with its last digits cut off, as by a file system that keeps 100 ns (NTFS, SMB),
    10 ms (exFAT) or whole seconds."""
    cdef uint32_t unit = 1
    while unit < 1000000000 and coarse_ns % (10 * unit) == 0:
        unit *= 10
    return ns - ns % unit == coarse_ns


cdef bint is_same_time(const entry *e, const stat_t *there) noexcept nogil:
    cdef int64_t s = there.st_mtim.tv_sec
    cdef uint32_t ns = <uint32_t>there.st_mtim.tv_nsec
    # One of them may lie on a file system, or have come through an archive, that keeps less of a time.
    if s == e.mtime_s:
        return is_cut_off(ns, e.mtime_ns) or is_cut_off(e.mtime_ns, ns)
    return s == e.mtime_s - 1 and s % 2 == 0 and ns == 0  # FAT has every other second


cdef bint is_current(int selection, const entry *e, const stat_t *there) noexcept nogil:
    cdef int64_t s = there.st_mtim.tv_sec
    cdef uint32_t ns = <uint32_t>there.st_mtim.tv_nsec
    if is_same_time(e, there):
        return <uint64_t>there.st_size == e.size
    return selection == SELECT_NEWER and (s > e.mtime_s or (s == e.mtime_s and ns > e.mtime_ns))


cdef int digest_file(int fd, uint64_t size, uint8_t *buffer, size_t n_buffer, const int *is_stopped,
                     digest128 *digest, fast_err *err) noexcept nogil:
    cdef uint64_t at = 0
    cdef size_t want
    cdef int64_t k
    digest.high = digest.low = 0
    while at < size:
        if escp_flag(is_stopped):
            return fail(err, FAST_STOPPED, 0, "compare")
        want = n_buffer if size - at > n_buffer else <size_t>(size - at)
        k = escp_pread_all(fd, buffer, want, <int64_t>at)
        if k < 0:
            return fail(err, FAST_SYS, errno, "read")
        if <size_t>k < want:
            return fail(err, FAST_CHANGED, 0, "read")
        digest_update(digest, buffer, want, at // SLICE_BYTES)
        at += want
    digest_finish(digest, size)
    return 0


def sum_slices(int fd, uint64_t offset, uint64_t n_bytes):
    """What the slices of an open file add to its digest, from *offset* on; and how many bytes were there, *n_bytes* at
    most. Both are multiples of 1 MiB. Raises OSError."""
    cdef digest128 total
    cdef uint8_t *buffer = <uint8_t *>malloc(AT_ONCE_BYTES)
    cdef uint64_t at = offset
    cdef int64_t k = 0
    cdef int number = 0
    if buffer == NULL:
        raise MemoryError
    total.high = total.low = 0
    with nogil:
        while at < offset + n_bytes:
            k = escp_pread_all(fd, buffer, AT_ONCE_BYTES, <int64_t>at)
            if k < 0:
                number = errno
                break
            digest_update(&total, buffer, k, at // SLICE_BYTES)
            at += k
            if k < AT_ONCE_BYTES:
                break
        free(buffer)
    if k < 0:
        raise OSError(number, "read")
    return int(total.high) << 64 | int(total.low), at - offset


def finish_sum(total not None, uint64_t size):
    """The digest of a file of *size* bytes whose slices add up to *total*: 16 bytes."""
    cdef digest128 sum
    sum.high, sum.low = total >> 64 & 0xffffffffffffffff, total & 0xffffffffffffffff
    digest_finish(&sum, size)
    return (int(sum.high) << 64 | int(sum.low)).to_bytes(16, "big")
