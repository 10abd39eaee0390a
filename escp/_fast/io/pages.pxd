"""Buffers that begin at a page, and files that are written page by page.

O_DIRECT wants memory, offsets and lengths in whole pages. File systems allocate whole pages.
"""

from libc.stdint cimport int64_t, uint8_t

from escp._fast.base.types cimport PAGE_BYTES, fast_err


cdef inline size_t whole_pages(size_t n) noexcept nogil:
    """n, rounded up to whole pages."""
    return (n + PAGE_BYTES - 1) & ~<size_t>(PAGE_BYTES - 1)


cdef inline size_t buffer_stride(size_t block) noexcept nogil:
    """How far one buffer lies behind another: a page for headers, the block, a page for the tag."""
    return PAGE_BYTES + whole_pages(block) + PAGE_BYTES


# Memory for n buffers, buffer_stride apart; NULL: there is not so much. free() takes it back.
cdef uint8_t *buffers_new(int n, size_t block) noexcept nogil
# Writes all n bytes at *offset*: a negative one, or a file without positions (a pipe), means where the file stands.
cdef int write_all(int fd, const uint8_t *data, size_t n, int64_t offset, fast_err *err) noexcept nogil
# Whether any page of the n bytes is all zero.
cdef bint has_zero_page(const uint8_t *data, size_t n) noexcept nogil
# Writes n bytes at *offset* (a multiple of a page), but leaves out pages of zeroes: there the file must have a hole.
# Returns the bytes written, or -1. is_direct: *data* is aligned, and has room to pad its last page.
cdef int64_t write_pages(int fd, uint8_t *data, size_t n, int64_t offset, bint is_direct, fast_err *err) noexcept nogil
cdef void set_direct(int fd, bint wanted) noexcept nogil
# Sets O_DIRECT where it works with page alignment and really leaves out the page cache. False: it is not set.
cdef bint can_direct(int fd) noexcept nogil
