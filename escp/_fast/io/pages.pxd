"""Pages: buffers that begin on them, files that are written by them.

O_DIRECT wants memory, offsets and lengths in whole pages, and file systems allocate in them.
"""

from libc.stdint cimport int64_t, uint8_t

from escp._fast.base.types cimport PAGE_BYTES, fast_err


cdef inline size_t whole_pages(size_t n) noexcept nogil:
    """n bytes, and what is missing to the end of their last page."""
    return (n + PAGE_BYTES - 1) & ~<size_t>(PAGE_BYTES - 1)


cdef inline size_t buffer_stride(size_t block) noexcept nogil:
    """From one buffer to the next: a page before the block's own for headers, one behind them for the tag."""
    return PAGE_BYTES + whole_pages(block) + PAGE_BYTES


# Memory for n buffers, buffer_stride apart; NULL: there is none. free() takes it back.
cdef uint8_t *buffers_new(int n, size_t block) noexcept nogil
cdef int write_all(int fd, const uint8_t *data, size_t n, int64_t offset, fast_err *err) noexcept nogil
# Whether one of the pages of n bytes is all zero.
cdef bint has_zero_page(const uint8_t *data, size_t n) noexcept nogil
# Writes the pages of n bytes at *offset* (a multiple of a page) that are not all zero; the rest of the file must be
# a hole. Returns the bytes written, or -1. is_direct: *data* is aligned, with room to pad its last page.
cdef int64_t write_pages(int fd, uint8_t *data, size_t n, int64_t offset, bint is_direct, fast_err *err) noexcept nogil
cdef void set_direct(int fd, bint wanted) noexcept nogil
cdef bint can_direct(int fd) noexcept nogil
