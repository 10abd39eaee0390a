"""Writable for a moment; see lending.pxd."""

from libc.stdint cimport uint32_t

from escp._fast.base.libc cimport (AT_EMPTY_PATH, AT_FDCWD, EACCES, c_close, calloc, dup, errno, escp_set_errno,
                                   fchmodat, free, fstatat, geteuid, pthread_mutex_destroy, pthread_mutex_init,
                                   pthread_mutex_lock, pthread_mutex_unlock, snprintf, stat_t)

cdef enum:
    PROC_PATH_BYTES = 32
    OWNER_RIGHTS = 0o700
    FULL_MODE = 0o7777


cdef void lending_open(lent_set *s) noexcept nogil:
    s.first = NULL
    s.n = 0
    pthread_mutex_init(&s.lock, NULL)


cdef int set_mode_by_path(int fd, uint32_t mode) noexcept nogil:
    cdef char path[PROC_PATH_BYTES]
    snprintf(path, PROC_PATH_BYTES, "/proc/self/fd/%d", fd)  # a descriptor of O_PATH takes no fchmod
    return fchmodat(AT_FDCWD, path, mode, 0)


cdef bint lend_locked(lent_set *s, int dirfd) noexcept nogil:
    cdef lent_directory *one
    cdef stat_t status
    if fstatat(dirfd, "", &status, AT_EMPTY_PATH) < 0 or status.st_uid != geteuid():
        return False
    if status.st_mode & OWNER_RIGHTS == OWNER_RIGHTS:  # another thread has just done it, or it is something else
        return s.n > 0
    one = <lent_directory *>calloc(1, sizeof(lent_directory))
    if one == NULL:
        return False
    one.dev, one.ino, one.mode = status.st_dev, status.st_ino, status.st_mode & FULL_MODE
    one.fd = dup(dirfd)
    if one.fd < 0 or set_mode_by_path(dirfd, one.mode | OWNER_RIGHTS) < 0:
        if one.fd >= 0:
            c_close(one.fd)
        free(one)
        return False
    one.next, s.first = s.first, one
    s.n += 1
    return True


cdef bint lend(lent_set *s, int dirfd) noexcept nogil:
    cdef int number = errno
    cdef bint is_lent
    if number != EACCES:
        return False
    pthread_mutex_lock(&s.lock)
    is_lent = lend_locked(s, dirfd)
    pthread_mutex_unlock(&s.lock)
    escp_set_errno(number)
    return is_lent


cdef void end_locked(lent_set *s, lent_directory **at) noexcept nogil:
    cdef lent_directory *one = at[0]
    set_mode_by_path(one.fd, one.mode)
    at[0] = one.next
    s.n -= 1
    c_close(one.fd)
    free(one)


cdef void give_back(lent_set *s, int dirfd) noexcept nogil:
    cdef lent_directory **at
    cdef stat_t status
    pthread_mutex_lock(&s.lock)
    if s.n and fstatat(dirfd, "", &status, AT_EMPTY_PATH) == 0:
        at = &s.first
        while at[0] != NULL and not (at[0].ino == status.st_ino and at[0].dev == status.st_dev):
            at = &at[0].next
        if at[0] != NULL:
            end_locked(s, at)
    pthread_mutex_unlock(&s.lock)


cdef void give_all_back(lent_set *s) noexcept nogil:
    pthread_mutex_lock(&s.lock)
    while s.first != NULL:
        end_locked(s, &s.first)
    pthread_mutex_unlock(&s.lock)


cdef void lending_close(lent_set *s) noexcept nogil:
    give_all_back(s)
    pthread_mutex_destroy(&s.lock)
