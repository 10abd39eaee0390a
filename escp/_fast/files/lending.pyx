"""Another mode for a moment; see lending.pxd."""

from libc.stdint cimport uint16_t, uint32_t, uint64_t

from escp._fast.base.libc cimport (AT_EMPTY_PATH, AT_FDCWD, EACCES, calloc, errno, escp_set_errno, fchmodat, free,
                                   fstatat, geteuid, memcpy, pthread_mutex_destroy, pthread_mutex_init,
                                   pthread_mutex_lock, pthread_mutex_unlock, stat_t)
from escp._fast.files.attributes cimport FULL_MODE, PROC_PATH_BYTES, proc_path


cdef void lending_open(lent_set *s) noexcept nogil:
    cdef int i
    for i in range(N_BUCKETS):
        s.buckets[i] = NULL
    s.newest = NULL
    s.n = 0
    pthread_mutex_init(&s.lock, NULL)


cdef int set_mode_by_path(int fd, uint32_t mode) noexcept nogil:
    cdef char path[PROC_PATH_BYTES]
    proc_path(path, fd)  # a descriptor of O_PATH takes no fchmod
    return fchmodat(AT_FDCWD, path, mode, 0)


cdef lent_directory **find_locked(lent_set *s, const stat_t *status) noexcept nogil:
    """Where the pointer to that directory stands, or to NULL."""
    cdef lent_directory **at = &s.buckets[<uint64_t>status.st_ino % N_BUCKETS]
    while at[0] != NULL and not (at[0].ino == status.st_ino and at[0].dev == status.st_dev):
        at = &at[0].next
    return at


cdef bint add_locked(lent_set *s, lent_directory **at, const stat_t *status, uint32_t mode, const char *path, size_t n,
                     size_t n_root) noexcept nogil:
    cdef lent_directory *one = NULL
    if s.n < MAX_LENT:
        one = <lent_directory *>calloc(1, sizeof(lent_directory) + n)
    if one == NULL:
        return False
    one.dev, one.ino, one.mode = status.st_dev, status.st_ino, mode
    one.n, one.n_root = <uint16_t>n, <uint16_t>n_root
    memcpy(one.path, path, n)
    at[0] = one
    one.older, s.newest = s.newest, one
    if one.older != NULL:
        one.older.newer = one
    s.n += 1
    return True


cdef lent_directory *take_locked(lent_set *s, lent_directory **at) noexcept nogil:
    cdef lent_directory *one = at[0]
    at[0] = one.next
    if one.newer != NULL:
        one.newer.older = one.older
    else:
        s.newest = one.older
    if one.older != NULL:
        one.older.newer = one.newer
    s.n -= 1
    return one


cdef bint lend_locked(lent_set *s, int dirfd, const char *path, size_t n, size_t n_root) noexcept nogil:
    cdef lent_directory **at
    cdef stat_t status
    if fstatat(dirfd, "", &status, AT_EMPTY_PATH) < 0 or status.st_uid != geteuid():
        return False
    if status.st_mode & OWNER_RIGHTS == OWNER_RIGHTS:  # another thread has just lent it, or something else is wrong
        return s.n > 0
    at = find_locked(s, &status)
    if at[0] == NULL and not add_locked(s, at, &status, status.st_mode & FULL_MODE, path, n, n_root):
        return False
    if set_mode_by_path(dirfd, (status.st_mode & FULL_MODE) | OWNER_RIGHTS) == 0:
        return True
    free(take_locked(s, at))
    return False


cdef bint lend(lent_set *s, int dirfd, const char *path, size_t n, size_t n_root) noexcept nogil:
    cdef int number = errno
    cdef bint is_lent
    if number != EACCES:
        return False
    pthread_mutex_lock(&s.lock)
    is_lent = lend_locked(s, dirfd, path, n, n_root)
    pthread_mutex_unlock(&s.lock)
    escp_set_errno(number)
    return is_lent


cdef void lend_new(lent_set *s, int dirfd, uint32_t mode, const char *path, size_t n, size_t n_root) noexcept nogil:
    cdef lent_directory **at
    cdef stat_t status
    pthread_mutex_lock(&s.lock)
    if fstatat(dirfd, "", &status, AT_EMPTY_PATH) == 0 and status.st_uid == geteuid():
        at = find_locked(s, &status)
        if at[0] != NULL:  # another stream has lent it meanwhile, and noted the mode that it saw
            at[0].mode = mode
        else:
            add_locked(s, at, &status, mode, path, n, n_root)
        if status.st_mode & OWNER_RIGHTS != OWNER_RIGHTS:
            set_mode_by_path(dirfd, (status.st_mode & FULL_MODE) | OWNER_RIGHTS)
    pthread_mutex_unlock(&s.lock)


cdef void give_back(lent_set *s, int dirfd) noexcept nogil:
    cdef lent_directory **at
    cdef stat_t status
    pthread_mutex_lock(&s.lock)
    if s.n and fstatat(dirfd, "", &status, AT_EMPTY_PATH) == 0:
        at = find_locked(s, &status)
        if at[0] != NULL:
            set_mode_by_path(dirfd, at[0].mode)
            free(take_locked(s, at))
    pthread_mutex_unlock(&s.lock)


cdef lent_directory *take_newest(lent_set *s) noexcept nogil:
    cdef lent_directory **at
    cdef lent_directory *one = NULL
    pthread_mutex_lock(&s.lock)
    if s.newest != NULL:
        at = &s.buckets[s.newest.ino % N_BUCKETS]
        while at[0] != s.newest:
            at = &at[0].next
        one = take_locked(s, at)
    pthread_mutex_unlock(&s.lock)
    return one


cdef void restore(const lent_directory *one, int dirfd) noexcept nogil:
    cdef stat_t status
    if fstatat(dirfd, "", &status, AT_EMPTY_PATH) == 0 and status.st_ino == one.ino and status.st_dev == one.dev:
        set_mode_by_path(dirfd, one.mode)


cdef void lending_close(lent_set *s) noexcept nogil:
    cdef lent_directory *one = take_newest(s)
    while one != NULL:
        free(one)
        one = take_newest(s)
    pthread_mutex_destroy(&s.lock)
