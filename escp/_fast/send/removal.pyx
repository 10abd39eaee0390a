"""Removing what has arrived; see removal.pxd."""

from libc.stdint cimport uint64_t

from escp._fast.base.libc cimport (AT_FDCWD, AT_SYMLINK_NOFOLLOW, ENOENT, O_CLOEXEC, O_DIRECTORY, O_RDONLY, S_ISDIR,
                                   S_ISREG, c_close, errno, fstatat, memcpy, stat_t, timespec_t, unlinkat)
from escp._fast.base.types cimport FAST_CHANGED, FAST_SYS, MAX_NAME_BYTES, clear, fail, fast_err
from escp._fast.send.below cimport open_below, root_way, way_close
from escp._fast.send.flights cimport flight_name
from escp._fast.send.send_state cimport dir_node, flight, hard_link, report, send_state


cdef uint64_t to_ns(const timespec_t *time) noexcept nogil:
    return <uint64_t>time.tv_sec * 1000000000 + <uint64_t>time.tv_nsec


cdef void mark_source(flight *f, const stat_t *status) noexcept nogil:
    f.dev, f.ino = status.st_dev, status.st_ino
    f.n_disk = status.st_size
    f.mtime, f.ctime = to_ns(&status.st_mtim), to_ns(&status.st_ctim)
    f.is_lone = status.st_nlink == 1


cdef void mark_name(flight *f, const hard_link *first) noexcept nogil:
    f.dev, f.ino = first.dev, first.ino
    f.n_disk, f.mtime = first.n_disk, to_ns(&first.mtim)
    f.is_lone = False


cdef bint is_marked(const flight *f, const stat_t *now) noexcept nogil:
    if S_ISDIR(now.st_mode) or now.st_dev != f.dev or now.st_ino != f.ino or to_ns(&now.st_mtim) != f.mtime:
        return False
    if S_ISREG(now.st_mode) and <uint64_t>now.st_size != f.n_disk:
        return False
    return not f.is_lone or to_ns(&now.st_ctim) == f.ctime  # another name less changes it, too


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
