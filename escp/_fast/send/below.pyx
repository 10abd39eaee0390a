"""Opening what lies below a source; see below.pxd."""

from escp._fast.base.libc cimport (AT_FDCWD, ENAMETOOLONG, ESTALE, O_CLOEXEC, O_DIRECTORY, O_NOFOLLOW, O_PATH, c_close,
                                   escp_set_errno, fstat, memcpy, stat_t)
from escp._fast.base.paths cimport SLASH, join_path
from escp._fast.base.types cimport MAX_PATH_BYTES
from escp._fast.files.beneath cimport open_beneath
from escp._fast.files.guard cimport guard_keep, guarded_openat


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
    way.fd = guarded_openat(AT_FDCWD, root.source, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
    if way.fd < 0:
        return -1
    way.serial = root.serial
    if root.is_open and (fstat(way.fd, &status) < 0 or not is_same_file(&status, &root.status)):
        way_close(way)
        return refuse(ESTALE)
    return 0


cdef int open_below(send_state *s, root_way *way, const dir_node *dir, const char *name, size_t n_name,
                    int flags) noexcept nogil:
    cdef char path[MAX_PATH_BYTES + 1]
    cdef bint is_path = not s.config.keeps_links or dir.is_root_file
    cdef size_t start = 0 if is_path else dir.root.n_source
    cdef size_t n = dir.n_source - start
    if dir.n_source + (1 + n_name if n_name else 0) > MAX_PATH_BYTES:
        return refuse(ENAMETOOLONG)
    if not is_path and n and dir.source[start] == SLASH:
        start += 1
        n -= 1
    memcpy(path, dir.source + start, n)
    n = join_path(path, n, name, n_name)
    path[n] = 0
    if is_path:
        return guarded_openat(AT_FDCWD, path, flags | (O_NOFOLLOW if s.config.keeps_links else 0))
    if lead_to(way, dir.root) < 0:
        return -1
    return guard_keep(open_beneath(way.fd, path, flags, False, &s.lacks_openat2))
