"""Counting ahead; see count.pxd."""

from libc.stdint cimport int64_t, uint8_t, uint64_t

from escp._fast.base.libc cimport (AT_FDCWD, AT_SYMLINK_NOFOLLOW, DT_DIR, DT_REG, O_CLOEXEC, O_DIRECTORY, O_NOFOLLOW,
                                   O_NONBLOCK, O_RDONLY, S_ISDIR, S_ISLNK, S_ISREG, c_close, dirent64_t, escp_flag,
                                   escp_getdents, escp_raise_flag, free, fstatat, pthread_cond_signal,
                                   pthread_cond_wait, pthread_mutex_lock, pthread_mutex_unlock, stat_t)
from escp._fast.base.paths cimport is_dots
from escp._fast.base.types cimport MAX_PATH_BYTES
from escp._fast.files.bounds cimport next_name
from escp._fast.files.guard cimport guarded_openat
from escp._fast.send.send_state cimport dir_node, node_new, send_state
from escp._fast.walk.walk cimport is_left_out

cdef enum:
    LISTING_BYTES = 32768
    MAX_COUNTED = 65536  # directories and sources that wait; with more of them counting is given up


cdef void give_up_locked(send_state *s) noexcept nogil:
    """Count no more: s.n_counted stays as it is."""
    cdef dir_node *node
    escp_raise_flag(&s.is_uncountable)
    while s.to_count != NULL:
        node = s.to_count
        s.to_count = node.next
        free(node)


cdef void push_locked(send_state *s, dir_node *node) noexcept nogil:
    if node == NULL or s.is_uncountable or s.n_to_count == MAX_COUNTED:
        free(node)
        give_up_locked(s)
        return
    node.next = s.to_count
    s.to_count = node
    s.n_to_count += 1


cdef void count_source_locked(send_state *s, const char *path, size_t n_path, const char *target,
                              size_t n_target) noexcept nogil:
    if not s.is_uncountable:
        push_locked(s, node_new(NULL, path, n_path, target, n_target))
        pthread_cond_signal(&s.count)


cdef int type_of(const send_state *s, int fd, const char *name, int told) noexcept nogil:
    """DT_DIR; DT_REG for everything else that is sent; -1 for what is not."""
    cdef stat_t status
    if told == DT_DIR or told == DT_REG:
        return told
    if fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0:
        return -1
    if S_ISDIR(status.st_mode):
        return DT_DIR
    return DT_REG if S_ISREG(status.st_mode) or S_ISLNK(status.st_mode) or s.config.keeps_devices else -1


cdef uint64_t count_names(send_state *s, int fd, dir_node *dir, const uint8_t *listing, int64_t n) noexcept nogil:
    """Count the files in one part of a listing; its directories wait for their turn."""
    cdef const dirent64_t *d = NULL
    cdef const char *name
    cdef dir_node *child
    cdef uint64_t found = 0
    cdef size_t n_name = 0
    cdef size_t at = 0
    cdef int type
    while next_name(listing, n, &at, &d, &n_name) > 0:  # a longer one is not sent
        name = <const char *>d.d_name
        if is_dots(name, n_name) or dir.n_target + 1 + n_name > MAX_PATH_BYTES or (
                dir.n_source + 1 + n_name > MAX_PATH_BYTES):
            continue
        type = type_of(s, fd, name, d.d_type)
        if type < 0 or is_left_out(s, dir, name, n_name, type == DT_DIR):
            continue
        found += type == DT_REG
        if type == DT_DIR:
            child = node_new(dir, name, n_name, name, n_name)
            pthread_mutex_lock(&s.lock)
            push_locked(s, child)
            pthread_mutex_unlock(&s.lock)
    return found


cdef uint64_t count_below(send_state *s, dir_node *dir, uint8_t *listing) noexcept nogil:
    cdef uint64_t found = 0
    cdef int64_t n = 1
    cdef int fd = guarded_openat(AT_FDCWD, dir.source, O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC | (
        O_NOFOLLOW if s.config.keeps_links or dir.parent != NULL else 0))
    if fd < 0:
        return dir.parent == NULL  # a source that is a file
    while n > 0 and not escp_flag(&s.is_stopped) and not escp_flag(&s.is_uncountable):
        n = escp_getdents(fd, listing, LISTING_BYTES)
        if n > 0:
            found += count_names(s, fd, dir, listing, n)
    c_close(fd)
    return found


cdef void count_loop(send_state *s) noexcept nogil:
    cdef uint8_t listing[LISTING_BYTES]
    cdef dir_node *node
    cdef uint64_t found = 0
    pthread_mutex_lock(&s.lock)
    while not escp_flag(&s.is_stopped) and not s.is_uncountable and not s.is_walked:
        node = s.to_count
        if node == NULL and s.has_all_roots:
            s.n_counted = found
            break
        if node == NULL:
            pthread_cond_wait(&s.count, &s.lock)
            continue
        s.to_count = node.next
        s.n_to_count -= 1
        pthread_mutex_unlock(&s.lock)
        found += count_below(s, node, listing)
        free(node)
        pthread_mutex_lock(&s.lock)
    give_up_locked(s)
    pthread_mutex_unlock(&s.lock)
