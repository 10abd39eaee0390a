"""Bounds on what the kernel says about files; see bounds.pxd."""

from libc.stdint cimport int64_t, uint8_t, uint64_t

from escp._fast.base.libc cimport (DIRENT_NAME_AT, ENXIO, SEEK_DATA, SEEK_HOLE, dirent64_t, memchr, stat_t, strlen,
                                   timespec_t)
from escp._fast.base.paths cimport SLASH
from escp._fast.base.types cimport MAX_NAME_BYTES, SLICE_BYTES

cdef enum:
    SECOND_NS = 1000000000


cdef void bound_time(timespec_t *time) noexcept nogil:
    if not 0 <= time.tv_nsec < SECOND_NS:
        time.tv_nsec = 0


cdef bint bound_status(stat_t *status) noexcept nogil:
    bound_time(&status.st_mtim)
    bound_time(&status.st_atim)
    return status.st_size >= 0


cdef int next_dirent(const uint8_t *listing, size_t n, size_t *at, const dirent64_t **d) noexcept nogil:
    cdef size_t room = n - at[0]
    cdef const char *name
    if at[0] >= n:
        return 0
    d[0] = <const dirent64_t *>(listing + at[0])
    if room <= DIRENT_NAME_AT or d[0].d_reclen % 8 or not DIRENT_NAME_AT < d[0].d_reclen <= room:
        return -1
    name = <const char *>d[0].d_name
    if (memchr(name, 0, d[0].d_reclen - DIRENT_NAME_AT) == NULL or name[0] == 0
            or memchr(name, SLASH, strlen(name)) != NULL):
        return -1
    at[0] += d[0].d_reclen
    return 1


cdef int next_name(const uint8_t *listing, size_t n, size_t *at, const dirent64_t **d, size_t *n_name) noexcept nogil:
    cdef int rc = 1
    n_name[0] = MAX_NAME_BYTES + 1
    while rc > 0 and n_name[0] > MAX_NAME_BYTES:
        rc = next_dirent(listing, n, at, d)
        if rc > 0:
            n_name[0] = strlen(d[0].d_name)
    return rc


cdef int next_attribute(const char **at, const char *end, const char **name) noexcept nogil:
    cdef const char *stop
    name[0] = at[0]
    if at[0] >= end:
        return 0
    stop = <const char *>memchr(at[0], 0, end - at[0])
    if stop == NULL:
        return -1
    at[0] = stop + 1
    return 1


# ---- Holes ------------------------------------------------------------------------------------------

cdef uint64_t data_from(seek_call seek, void *file, uint64_t offset, uint64_t size) noexcept nogil:
    """Where data goes on; the file's size if it does not. If the system can't tell, all is data."""
    cdef int64_t at = seek(file, offset, SEEK_DATA)
    if at == -ENXIO:
        return size
    if at < <int64_t>offset:
        return offset
    return <uint64_t>at if <uint64_t>at < size else size


cdef uint64_t hole_from(seek_call seek, void *file, uint64_t offset, uint64_t end) noexcept nogil:
    """Where the data at *offset* ends, or *end* if it reaches that far.

    Somebody may have punched a hole since the data was found: it is sent as the zeroes that it holds now.
    """
    cdef int64_t at = seek(file, offset, SEEK_HOLE)
    return <uint64_t>at if <int64_t>offset < at < <int64_t>end else end


cdef bint next_range(seek_call seek, void *file, uint64_t size, uint64_t block, data_range *r) noexcept nogil:
    cdef uint64_t end
    cdef uint64_t hole
    if seek != NULL and r.start < size:
        if r.next_data <= r.start:
            r.next_data = data_from(seek, file, r.start, size)
        if r.next_data >= size:
            r.start = size
        elif r.next_data - r.next_data % SLICE_BYTES > r.start:
            r.start = r.next_data - r.next_data % SLICE_BYTES
    if r.start >= size:
        r.start = size
        r.n = 0
        return False
    end = r.start - r.start % block + block
    end = end if end < size else size
    if seek != NULL:
        hole = hole_from(seek, file, r.next_data, end)
        if hole < end:
            r.next_data = data_from(seek, file, hole, size)
            if r.next_data >= end:
                hole += SLICE_BYTES - 1
                hole -= hole % SLICE_BYTES
                end = hole if hole < end else end
    r.n = end - r.start
    return True


# ---- For tests: the same with answers that no honest kernel gives ------------------------------------

cdef enum:
    N_ANSWERS = 64

ctypedef struct script:
    int64_t answers[N_ANSWERS]
    int n
    int next


cdef int64_t seek_scripted(void *file, uint64_t offset, int whence) noexcept nogil:
    cdef script *told = <script *>file
    told.next += 1
    return told.answers[(told.next - 1) % told.n]


def find_ranges(uint64_t size, uint64_t block, list answers not None):
    """(start, n) of each range of a file of which lseek says *answers*, again and again."""
    cdef script told
    cdef data_range r
    told.n, told.next = min(len(answers), N_ANSWERS), 0
    if not told.n or not size or block % SLICE_BYTES or not block:
        raise ValueError("a file, a block and answers")
    for i in range(told.n):
        told.answers[i] = answers[i]
    r.start = r.next_data = 0
    ranges = []
    while next_range(seek_scripted, &told, size, block, &r):
        ranges.append((r.start, r.n))
        if r.n == 0:  # a fault: the loop would have no end
            break
        r.start += r.n
    return ranges


def split_listing(bytes listing not None):
    """The names in what getdents gave, and whether all of it made sense."""
    cdef const dirent64_t *d = NULL
    cdef size_t at = 0
    cdef int rc = 1
    names = []
    while rc > 0:
        rc = next_dirent(listing, len(listing), &at, &d)
        if rc > 0:
            names.append(<bytes>d.d_name)
    return names, rc == 0


def split_attributes(bytes names not None):
    """The same of what listxattr gave."""
    cdef const char *at = names
    cdef const char *end = at + len(names)
    cdef const char *name = NULL
    cdef int rc = 1
    found = []
    while rc > 0:
        rc = next_attribute(&at, end, &name)
        if rc > 0:
            found.append(<bytes>name)
    return found, rc == 0
