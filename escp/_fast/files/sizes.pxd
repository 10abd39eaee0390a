"""How long a file is where its file system does not tell: 0 in /proc, one size for all in sysfs, anything in FUSE."""

from libc.stdint cimport int64_t, uint64_t

from escp._fast.base.libc cimport stat_t
from escp._fast.base.types cimport fast_err


# Whether the file is as long as its status says: it is on a disk, or on a device of which find_size has found that.
cdef bint is_size_true(const stat_t *status, const uint64_t *known_dev) noexcept nogil
# How many bytes of the open file can be read; it is read for that only if there is no other way. -1 with *err*.
# is_measured: *status* need not be right. Then the size of a small file (for a bundle) is a guess, until it is read.
# known_dev: a device that tells true sizes, which all threads remember; 0 at first.
cdef int find_size(int fd, const stat_t *status, uint64_t *known_dev, const int *is_stopped, uint64_t *size,
                   bint *is_measured, fast_err *err) noexcept nogil
# How many bytes there are, by reading them all.
cdef int measure(int fd, const int *is_stopped, uint64_t *size, fast_err *err) noexcept nogil
# 1: the file has a byte at *offset*; 0: it has not; -1 with errno.
cdef int64_t peek(int fd, uint64_t offset) noexcept nogil
