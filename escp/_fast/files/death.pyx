"""Whether the target is still there; see death.pxd."""

from escp._fast.base.libc cimport (AT_FDCWD, ECONNABORTED, EIO, ENODEV, ENOENT, ENOTCONN, ENXIO, EPERM, ESHUTDOWN,
                                   ESTALE, O_CLOEXEC, O_CREAT, O_EXCL, O_NOFOLLOW, O_TMPFILE, O_WRONLY, c_close, errno,
                                   escp_flag, fstat, fstatat, openat, stat_t, unlinkat)
from escp._fast.files.cached cimport dir_cache, find_cached
from escp._fast.files.remains cimport TEMP_NAME_BYTES, name_temporary
from escp._fast.files.tree cimport tree
from escp._fast.wire.payloads cimport entry


cdef bint is_removed(int dirfd) noexcept nogil:
    cdef stat_t status
    return dirfd >= 0 and fstat(dirfd, &status) == 0 and status.st_nlink == 0


cdef bint is_deadly(int number) noexcept nogil:
    """Whether a removed directory, a lost server, an ended FUSE process or a broken disk may have answered so."""
    return (number == ENOENT or number == EIO or number == ENOTCONN or number == ECONNABORTED or number == ESTALE
            or number == ENODEV or number == ENXIO or number == ESHUTDOWN)


cdef int try_directory(tree *t, int dirfd) noexcept nogil:
    """Try to make a file there, for a moment. 0, or an errno."""
    cdef char name[TEMP_NAME_BYTES]
    cdef int fd = -1
    if not escp_flag(&t.lacks_tmpfile):
        fd = openat(dirfd, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0o600)
    if fd < 0:
        name_temporary(&t.id, name)
        fd = openat(dirfd, name, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY | O_CLOEXEC, 0o600)
        if fd < 0:
            return errno
        unlinkat(dirfd, name, 0)
    c_close(fd)
    return 0


cdef int find_death(tree *t, const dir_cache *cache, const entry *e, int number) noexcept nogil:
    cdef int root
    if t.in_place_fd >= 0 or t.root_fd < 0 or not (is_deadly(number) or number == EPERM):
        return 0  # EPERM: ext4 says so of a nameless file in a removed directory
    number = try_directory(t, t.root_fd)
    if number == 0 and e.root_bytes:
        root = find_cached(cache, e.path, e.root_bytes, e.root_bytes)
        if root >= 0:
            number = try_directory(t, root)
    return number if is_deadly(number) else 0


cdef int find_source_death(const char *path, int number) noexcept nogil:
    cdef stat_t status
    if not is_deadly(number) or fstatat(AT_FDCWD, path, &status, 0) == 0:
        return 0
    return errno if is_deadly(errno) else 0
