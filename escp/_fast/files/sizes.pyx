"""How long a file is; see sizes.pxd."""

from libc.stdint cimport int64_t, uint8_t, uint64_t

from escp._fast.base.libc cimport (errno, escp_flag, escp_load, escp_pread_all, escp_store, escp_tells_sizes, free,
                                   major, malloc, stat_t)
from escp._fast.base.types cimport FAST_MEMORY, FAST_STOPPED, FAST_SYS, SMALL_FILE_BYTES, fail, fast_err

cdef enum:
    MEASURED_BYTES = 262144  # read at a time


cdef int64_t peek(int fd, uint64_t offset) noexcept nogil:
    cdef uint8_t byte
    return escp_pread_all(fd, &byte, 1, <int64_t>offset)


cdef int measure(int fd, const int *is_stopped, uint64_t *size, fast_err *err) noexcept nogil:
    cdef uint8_t *buffer = <uint8_t *>malloc(MEASURED_BYTES)
    cdef int64_t k = MEASURED_BYTES
    if buffer == NULL:
        return fail(err, FAST_MEMORY, 0, "read")
    size[0] = 0
    while k == MEASURED_BYTES:
        if escp_flag(is_stopped):
            fail(err, FAST_STOPPED, 0, "read")
            break
        k = escp_pread_all(fd, buffer, MEASURED_BYTES, <int64_t>size[0])
        if k < 0:
            fail(err, FAST_SYS, errno, "read")
            break
        size[0] += k
    free(buffer)
    return -1 if err.code else 0


cdef bint is_size_true(const stat_t *status, const uint64_t *known_dev) noexcept nogil:
    return major(status.st_dev) != 0 or status.st_dev == escp_load(known_dev)


cdef int find_size(int fd, const stat_t *status, uint64_t *known_dev, const int *is_stopped, uint64_t *size,
                   bint *is_measured, fast_err *err) noexcept nogil:
    size[0] = status.st_size
    is_measured[0] = False
    if is_size_true(status, known_dev):
        return 0
    if escp_tells_sizes(fd):
        escp_store(known_dev, status.st_dev)
        return 0
    if size[0] > SMALL_FILE_BYTES and peek(fd, size[0] - 1) == 1 and peek(fd, size[0]) == 0:
        return 0  # its last byte is there, and nothing behind it
    is_measured[0] = True
    if size[0] <= SMALL_FILE_BYTES and peek(fd, SMALL_FILE_BYTES) <= 0:
        return 0
    return measure(fd, is_stopped, size, err)
