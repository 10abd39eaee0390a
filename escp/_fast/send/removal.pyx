"""Removing what has arrived; see removal.pxd."""

from escp._fast.base.libc cimport (AT_FDCWD, AT_SYMLINK_NOFOLLOW, ENOENT, ESTALE, O_CLOEXEC, O_DIRECTORY, O_PATH,
                                   O_RDONLY, c_close, errno, escp_set_errno, fstat, fstatat, memcpy, stat_t, unlinkat)
from escp._fast.base.paths cimport DOT, SLASH, last_slash
from escp._fast.base.types cimport (FAST_CHANGED, FAST_SYS, MAX_NAME_BYTES, MAX_PATH_BYTES, clear, fail, fast_err)
from escp._fast.files.beneath cimport open_beneath
from escp._fast.files.guard cimport guard_keep, guard_name, guard_remove, guarded_openat
from escp._fast.send.below cimport is_same_file
from escp._fast.send.flights cimport flight_name, is_marked
from escp._fast.send.send_state cimport dir_node, flight, report, send_state


cdef int open_above(const dir_node *root) noexcept nogil:
    """The directory of a source that the user named."""
    cdef char path[MAX_PATH_BYTES + 1]
    cdef ssize_t slash = last_slash(root.source, root.n_source)
    cdef size_t n = slash + 1  # with the slash
    memcpy(path, root.source, n)
    if n == 0:
        path[0] = DOT
        n = 1
    path[n] = 0
    return guarded_openat(AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC)


cdef int open_own(send_state *s, const dir_node *dir) noexcept nogil:
    """The directory, if no link below the source leads to it: what is elsewhere is read through links, but who makes
    links in a tree is not to have other files removed."""
    cdef const char *path = dir.source + dir.root.n_source
    cdef stat_t now
    cdef int fd
    cdef int number = ESTALE
    cdef int top = guarded_openat(AT_FDCWD, dir.root.source, O_PATH | O_DIRECTORY | O_CLOEXEC)
    if top < 0:
        return -1
    if fstat(top, &now) == 0 and is_same_file(&now, &dir.root.status):
        fd = guard_keep(open_beneath(top, path + (path[0] == SLASH), O_RDONLY | O_DIRECTORY | O_CLOEXEC, False,
                                     &s.lacks_openat2))
        number = errno
    else:
        fd = -1
    c_close(top)
    escp_set_errno(number)
    return fd


cdef void remove_source(send_state *s, flight *f) noexcept nogil:
    cdef dir_node *dir = f.dir
    cdef char name[MAX_NAME_BYTES + 1]
    cdef const char *path = name
    cdef stat_t now
    cdef fast_err own
    cdef int fd
    clear(&own)
    memcpy(name, flight_name(s, f), f.n_name)
    name[f.n_name] = 0
    if f.n_name:
        fd = open_own(s, dir)
    else:  # a source that the user named
        path = dir.source + last_slash(dir.source, dir.n_source) + 1
        fd = open_above(dir)
    if fd < 0 or guard_name(fd, path) < 0:
        fail(&own, FAST_SYS, errno, "remove")
    elif fstatat(fd, path, &now, AT_SYMLINK_NOFOLLOW if s.config.keeps_links else 0) < 0:
        if errno != ENOENT:  # else somebody else has done it
            fail(&own, FAST_SYS, errno, "remove")
    elif not is_marked(f, &now):
        fail(&own, FAST_CHANGED, 0, "remove")
    elif guard_remove(&own) == 0 and unlinkat(fd, path, 0) < 0 and errno != ENOENT:
        fail(&own, FAST_SYS, errno, "remove")
    if fd >= 0:
        c_close(fd)
    if own.code:
        report(s, &own, False, dir, name, f.n_name)
