"""How long a file is where its file system does not tell: 0 in /proc, one size for all in sysfs, anything in FUSE."""

from libc.stdint cimport int64_t, uint64_t

from escp._fast.base.libc cimport stat_t
from escp._fast.base.types cimport fast_err


# Whether that file is as long as its status says: it is on a disk, or where find_size has found so before.
cdef bint is_size_true(const stat_t *status, const uint64_t *known_dev) noexcept nogil
# How many bytes can be read of the open file, without reading all of it where that shows; -1 with *err*. is_measured:
# that is not what *status* says, or may not be: of one that fits into a bundle not even what it is a moment later.
# known_dev: a device that tells true sizes, for all threads to remember; 0 at first.
cdef int find_size(int fd, const stat_t *status, uint64_t *known_dev, const int *is_stopped, uint64_t *size,
                   bint *is_measured, fast_err *err) noexcept nogil
# How many there are, by reading them all.
cdef int measure(int fd, const int *is_stopped, uint64_t *size, fast_err *err) noexcept nogil
# Whether there is something at *offset*: 1, 0; -1 with errno.
cdef int64_t peek(int fd, uint64_t offset) noexcept nogil
