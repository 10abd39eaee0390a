"""Buffers that begin at a page, and files that are written page by page; see pages.pxd."""

from libc.stdint cimport int64_t, uint32_t, uint8_t

from escp._fast.base.libc cimport (EINTR, ESPIPE, F_GETFL, F_SETFL, MADV_HUGEPAGE, O_DIRECT, c_write, errno,
                                   escp_dio_align, escp_is_memory_fs, escp_is_zero, fcntl, madvise, memset,
                                   posix_memalign, pwrite)
from escp._fast.base.types cimport FAST_SYS, PAGE_BYTES, fail, fast_err

cdef enum:
    HUGE_BYTES = 2097152  # of a huge page


cdef uint8_t *buffers_new(int n, size_t block) noexcept nogil:
    cdef uint8_t *memory = NULL
    cdef size_t n_bytes = buffer_stride(block) * n
    cdef bint is_large = n_bytes >= HUGE_BYTES
    if posix_memalign(<void **>&memory, HUGE_BYTES if is_large else PAGE_BYTES, n_bytes):
        return NULL
    if is_large:  # one entry of the TLB for 512 pages; where the kernel has none to give, it gives small ones
        madvise(memory, n_bytes, MADV_HUGEPAGE)
    return memory


cdef void set_direct(int fd, bint wanted) noexcept nogil:
    cdef int flags = fcntl(fd, F_GETFL)
    fcntl(fd, F_SETFL, (flags | O_DIRECT) if wanted else (flags & ~O_DIRECT))


cdef bint can_direct(int fd) noexcept nogil:
    cdef uint32_t align = 0
    cdef int flags
    if escp_is_memory_fs(fd) or (escp_dio_align(fd, &align) == 0 and (align == 0 or align > PAGE_BYTES)):
        return False
    flags = fcntl(fd, F_GETFL)
    return fcntl(fd, F_SETFL, flags | O_DIRECT) == 0


cdef int write_all(int fd, const uint8_t *data, size_t n, int64_t offset, fast_err *err) noexcept nogil:
    cdef ssize_t k
    while n:
        k = c_write(fd, data, n) if offset < 0 else pwrite(fd, data, n, offset)
        if k < 0 and errno == ESPIPE:
            k = c_write(fd, data, n)
        if k < 0:
            if errno == EINTR:
                continue
            return fail(err, FAST_SYS, errno, "write")
        data += k
        offset += k if offset >= 0 else 0
        n -= k
    return 0


cdef bint has_zero_page(const uint8_t *data, size_t n) noexcept nogil:
    cdef size_t at = 0
    while at < n:
        if escp_is_zero(data + at, n - at if n - at < PAGE_BYTES else <size_t>PAGE_BYTES):
            return True
        at += PAGE_BYTES
    return False


cdef int64_t write_pages(int fd, uint8_t *data, size_t n, int64_t offset, bint is_direct, fast_err *err) noexcept nogil:
    """File systems allocate whole pages: so a copy of holes and data takes as much room as its source."""
    cdef size_t at = 0
    cdef size_t start
    cdef size_t k
    cdef ssize_t done
    cdef int64_t total = 0
    while at < n:
        start = at
        while at < n and not escp_is_zero(data + at, n - at if n - at < PAGE_BYTES else <size_t>PAGE_BYTES):
            at += PAGE_BYTES
        k = (at if at < n else n) - start
        at += PAGE_BYTES  # the zero page that ended it
        if k == 0:
            continue
        done = 0
        if is_direct:
            memset(data + start + k, 0, -k % PAGE_BYTES)
            done = pwrite(fd, data + start, whole_pages(k), offset + start)
            done = 0 if done < 0 else done if <size_t>done < k else <ssize_t>k
            if <size_t>done < k:
                set_direct(fd, False)
        if write_all(fd, data + start + done, k - done, offset + start + done, err) < 0:
            return -1
        total += k
    return total
