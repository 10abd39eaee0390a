"""Opening what lies below a source; see below.pxd."""

from escp._fast.base.libc cimport (AT_FDCWD, AT_SYMLINK_NOFOLLOW, ELOOP, ENAMETOOLONG, ENOSYS, ENOTDIR, EPERM, ESTALE,
                                   O_CLOEXEC, O_DIRECTORY, O_NOFOLLOW, O_PATH, S_ISLNK, c_close, errno, escp_flag,
                                   escp_openat_beneath, escp_raise_flag, escp_set_errno, fstat, fstatat, memcpy, openat,
                                   stat_t)
from escp._fast.base.paths cimport DOT, SLASH, join_path
from escp._fast.base.types cimport MAX_PATH_BYTES


cdef void way_close(root_way *way) noexcept nogil:
    if way.serial:
        c_close(way.fd)
    way.serial = 0


cdef bint is_same_file(const stat_t *one, const stat_t *other) noexcept nogil:
    return one.st_ino == other.st_ino and one.st_dev == other.st_dev


cdef int refuse(int number) noexcept nogil:
    escp_set_errno(number)
    return -1


cdef int lead_to(root_way *way, const dir_node *root) noexcept nogil:
    cdef stat_t status
    if way.serial == root.serial:
        return 0
    way_close(way)
    way.fd = openat(AT_FDCWD, root.source, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
    if way.fd < 0:
        return -1
    way.serial = root.serial
    if root.is_open and (fstat(way.fd, &status) < 0 or not is_same_file(&status, &root.status)):
        way_close(way)
        return refuse(ESTALE)
    return 0


cdef int open_by_component(int dirfd, char *path, int flags) noexcept nogil:
    """Takes *path* apart: without openat2(2), as before Linux 5.6 or in a sandbox."""
    cdef stat_t status
    cdef char *name = path
    cdef char *at = path
    cdef bint is_last = False
    cdef int fd = dirfd
    cdef int deeper
    cdef int number
    while not is_last:
        name = at
        while at[0] and at[0] != SLASH:
            at += 1
        is_last = at[0] == 0
        at[0] = 0
        at += 1
        deeper = openat(fd, name, O_NOFOLLOW | (flags if is_last else O_PATH | O_DIRECTORY | O_CLOEXEC))
        number = errno
        if (deeper < 0 and number == ENOTDIR and fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0
                and S_ISLNK(status.st_mode)):
            number = ELOOP  # O_DIRECTORY hides that it was a link
        if fd != dirfd:
            c_close(fd)
        fd = deeper
        if fd < 0:
            return refuse(number)
    return fd


cdef int open_below(send_state *s, root_way *way, const dir_node *dir, const char *name, size_t n_name,
                    int flags) noexcept nogil:
    cdef char path[MAX_PATH_BYTES + 1]
    cdef bint is_path = not s.config.keeps_links or dir.is_root_file
    cdef size_t start = 0 if is_path else dir.root.n_source
    cdef size_t n = dir.n_source - start
    cdef int fd
    if dir.n_source + (1 + n_name if n_name else 0) > MAX_PATH_BYTES:
        return refuse(ENAMETOOLONG)
    if not is_path and n and dir.source[start] == SLASH:
        start += 1
        n -= 1
    memcpy(path, dir.source + start, n)
    n = join_path(path, n, name, n_name)
    if n == 0:
        path[0] = DOT
        n = 1
    path[n] = 0
    if is_path:
        return openat(AT_FDCWD, path, flags | (O_NOFOLLOW if s.config.keeps_links else 0))
    if lead_to(way, dir.root) < 0:
        return -1
    if not escp_flag(&s.lacks_openat2):
        fd = <int>escp_openat_beneath(way.fd, path, flags, False)
        if fd >= 0 or (errno != ENOSYS and errno != EPERM):
            return fd
        escp_raise_flag(&s.lacks_openat2)
    return open_by_component(way.fd, path, flags)
