"""Removing what has arrived; see removal.pxd."""

from escp._fast.base.libc cimport (AT_FDCWD, AT_SYMLINK_NOFOLLOW, ENOENT, O_CLOEXEC, O_DIRECTORY, O_RDONLY, c_close,
                                   errno, fstatat, memcpy, stat_t, unlinkat)
from escp._fast.base.types cimport FAST_CHANGED, FAST_SYS, MAX_NAME_BYTES, clear, fail, fast_err
from escp._fast.send.below cimport open_below, root_way, way_close
from escp._fast.send.flights cimport flight_name, is_marked
from escp._fast.send.send_state cimport dir_node, flight, report, send_state


cdef void remove_source(send_state *s, flight *f) noexcept nogil:
    cdef dir_node *dir = f.dir
    cdef char name[MAX_NAME_BYTES + 1]
    cdef const char *path = name
    cdef root_way way
    cdef stat_t now
    cdef fast_err own
    cdef int fd = AT_FDCWD
    clear(&own)
    way.serial = 0
    memcpy(name, flight_name(s, f), f.n_name)
    name[f.n_name] = 0
    if f.n_name:
        fd = open_below(s, &way, dir, "", 0, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    else:  # a source that the user named
        path = dir.source
    if fd < 0 and f.n_name:
        fail(&own, FAST_SYS, errno, "remove")
    elif fstatat(fd, path, &now, AT_SYMLINK_NOFOLLOW if s.config.keeps_links else 0) < 0:
        if errno != ENOENT:  # else somebody else has done it
            fail(&own, FAST_SYS, errno, "remove")
    elif not is_marked(f, &now):
        fail(&own, FAST_CHANGED, 0, "remove")
    elif unlinkat(fd, path, 0) < 0 and errno != ENOENT:
        fail(&own, FAST_SYS, errno, "remove")
    if fd >= 0:
        c_close(fd)
    way_close(&way)
    if own.code:
        report(s, &own, False, dir, name, f.n_name)
