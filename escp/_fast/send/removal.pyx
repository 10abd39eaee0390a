"""Removing what has arrived; see removal.pxd."""

from escp._fast.base.libc cimport (AT_FDCWD, AT_SYMLINK_NOFOLLOW, ENOENT, O_CLOEXEC, O_DIRECTORY, O_PATH, O_RDONLY,
                                   c_close, errno, fstatat, memcpy, stat_t, unlinkat)
from escp._fast.base.paths cimport DOT, last_slash
from escp._fast.base.types cimport (FAST_CHANGED, FAST_SYS, MAX_NAME_BYTES, MAX_PATH_BYTES, clear, fail, fast_err)
from escp._fast.files.guard cimport guard_name, guard_remove, guarded_openat
from escp._fast.send.below cimport open_below, root_way, way_close
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


cdef void remove_source(send_state *s, flight *f) noexcept nogil:
    cdef dir_node *dir = f.dir
    cdef char name[MAX_NAME_BYTES + 1]
    cdef const char *path = name
    cdef root_way way
    cdef stat_t now
    cdef fast_err own
    cdef int fd
    clear(&own)
    way.serial = 0
    memcpy(name, flight_name(s, f), f.n_name)
    name[f.n_name] = 0
    if f.n_name:
        fd = open_below(s, &way, dir, "", 0, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
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
    way_close(&way)
    if own.code:
        report(s, &own, False, dir, name, f.n_name)
