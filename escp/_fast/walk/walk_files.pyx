"""Opening and queueing what walkers find; see walk_files.pxd."""

from libc.stdint cimport uint64_t

from escp._fast.base.events cimport EVENT_LISTED
from escp._fast.base.libc cimport (AT_FDCWD, AT_SYMLINK_NOFOLLOW, EFBIG, EIO, ENOENT, ENOMEM, O_CLOEXEC, O_DIRECTORY,
                                   O_NOCTTY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR, S_ISBLK, S_ISCHR, S_ISFIFO,
                                   S_ISLNK, S_ISREG, c_close, errno, fstat, malloc, memcpy, memset, pthread_mutex_lock,
                                   pthread_mutex_unlock, stat_t, strlen)
from escp._fast.base.types cimport (FAST_NAME, FAST_SPECIAL, FAST_SYS, MAX_PATH_BYTES, REASON_NONE, SMALL_FILE_BYTES,
                                    clear, fail, fast_err)
from escp._fast.files.bounds cimport bound_status
from escp._fast.files.guard cimport guard_take, guarded_fstatat, guarded_openat, guarded_readlinkat
from escp._fast.files.sizes cimport find_size, is_size_true
from escp._fast.send.below cimport open_below, root_way
from escp._fast.send.hard_links cimport take_hard_link
from escp._fast.send.send_state cimport dir_node, item, item_close, item_put, node_unref, report, send_state, tell_name
from escp._fast.wire.payloads cimport ENTRY_DEVICE, ENTRY_DIRECTORY, ENTRY_LINK, ENTRY_SMALL


cdef void tell(send_state *s, dir_node *dir, const char *name, int code, int sys_errno,
               const char *where) noexcept nogil:
    cdef fast_err err
    clear(&err)
    fail(&err, code, sys_errno, where)
    report(s, &err, False, dir, name, strlen(name))


cdef void list_name(send_state *s, dir_node *dir, const char *name, int kind, uint64_t size,
                    int reason) noexcept nogil:
    pthread_mutex_lock(&s.lock)
    if kind == ENTRY_DIRECTORY:
        s.n_directories += 1
    else:
        s.n_found_files += 1
        s.n_found_bytes += size
        s.n_files += 1
    pthread_mutex_unlock(&s.lock)
    tell_name(s, EVENT_LISTED, reason, kind, size, dir, name, strlen(name))


cdef void queue(send_state *s, item *it, dir_node *dir, const char *name) noexcept nogil:
    """Takes over the item's descriptor and link text, and a reference to *dir*."""
    cdef fast_err own
    clear(&own)
    if guard_take(it.size if it.kind == ENTRY_SMALL else 0, &own) < 0:
        report(s, &own, False, dir, name, strlen(name))
        item_close(it)
        node_unref(s, dir)
        return
    it.dir = dir
    it.n_name = <unsigned short>strlen(name)
    memcpy(it.name, name, it.n_name)
    if s.config.keeps_hard_links and it.status.st_nlink > 1 and take_hard_link(s, it):
        return
    item_put(s, it)


cdef bint is_node(send_state *s, const stat_t *status) noexcept nogil:
    if S_ISLNK(status.st_mode):  # seen only where links are not followed
        return True
    return s.config.keeps_devices and (S_ISCHR(status.st_mode) or S_ISBLK(status.st_mode)
                                       or S_ISFIFO(status.st_mode))


cdef bint read_node(send_state *s, int dirfd, const char *path, dir_node *dir, const char *name, const stat_t *status,
                    item *it) noexcept nogil:
    cdef char text[MAX_PATH_BYTES + 1]
    cdef ssize_t n = 0
    memset(it, 0, sizeof(item))
    it.fd = -1
    it.kind = ENTRY_DEVICE
    it.status = status[0]
    bound_status(&it.status)
    if not S_ISLNK(status.st_mode):
        return True
    it.kind = ENTRY_LINK
    n = guarded_readlinkat(dirfd, path, text, MAX_PATH_BYTES + 1)
    if n <= 0 or n > MAX_PATH_BYTES:
        tell(s, dir, name, FAST_NAME if n > 0 else FAST_SYS, errno if n < 0 else ENOENT, "read link")
        return False
    if text[0] == 0:  # a link without a text, which no link can have
        tell(s, dir, name, FAST_SYS, EIO, "read link")
        return False
    it.link = <char *>malloc(n + 1)
    if it.link == NULL:
        tell(s, dir, name, FAST_SYS, ENOMEM, "read link")
        return False
    memcpy(it.link, text, n)
    it.link[n] = 0
    return True


cdef void take_node(send_state *s, int dirfd, const char *path, dir_node *dir, const char *name,
                    const stat_t *status) noexcept nogil:
    cdef item it
    if s.config.is_dry_run:
        list_name(s, dir, name, ENTRY_LINK if S_ISLNK(status.st_mode) else ENTRY_DEVICE, 0, REASON_NONE)
        node_unref(s, dir)
    elif read_node(s, dirfd, path, dir, name, status, &it):
        queue(s, &it, dir, name)
    else:
        node_unref(s, dir)


cdef int open_flags(send_state *s) noexcept nogil:
    return ((O_RDONLY if s.config.engine.attach == NULL else O_RDWR) | O_NOCTTY | O_NONBLOCK | O_CLOEXEC
            | (O_NOFOLLOW if s.config.keeps_links else 0))


cdef bint is_out_of_bounds(const send_state *s, uint64_t size) noexcept nogil:
    return size < s.config.min_bytes or (s.config.below_bytes and size >= s.config.below_bytes)


cdef bint is_seen_out_of_bounds(send_state *s, int dirfd, const char *path) noexcept nogil:
    """Whether the size alone leaves it out. It is looked at before the file is opened: one that is not wanted may be
    unreadable."""
    cdef stat_t status
    if not (s.config.min_bytes or s.config.below_bytes):
        return False
    return (guarded_fstatat(dirfd, path, &status, AT_SYMLINK_NOFOLLOW if s.config.keeps_links else 0) == 0
            and S_ISREG(status.st_mode) and is_size_true(&status, &s.known_dev)
            and is_out_of_bounds(s, status.st_size))


cdef void take_file(send_state *s, int dirfd, const char *path, dir_node *dir, const char *name) noexcept nogil:
    if is_seen_out_of_bounds(s, dirfd, path):
        node_unref(s, dir)
    else:
        take_opened(s, guarded_openat(dirfd, path, open_flags(s)), dir, name)


cdef void take_name(send_state *s, int dirfd, const char *path, dir_node *dir, const char *name) noexcept nogil:
    cdef stat_t status
    if guarded_fstatat(dirfd, path, &status, AT_SYMLINK_NOFOLLOW if s.config.keeps_links else 0) < 0:
        tell(s, dir, name, FAST_SYS, errno, "stat")
        node_unref(s, dir)
    elif S_ISREG(status.st_mode) or not is_node(s, &status):  # take_opened tells why it can't be sent
        take_file(s, dirfd, path, dir, name)
    else:
        take_node(s, dirfd, path, dir, name, &status)


cdef void take_below(send_state *s, root_way *way, dir_node *dir, const char *name, size_t n_name) noexcept nogil:
    cdef int fd
    if n_name == 0:  # a source that the user named
        take_name(s, AT_FDCWD, dir.source, dir, name)
        return
    fd = open_below(s, way, dir, "", 0, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if fd < 0:
        tell(s, dir, name, FAST_SYS, errno, "open")
        node_unref(s, dir)
    else:
        take_name(s, fd, name, dir, name)
        c_close(fd)


cdef int measure_file(send_state *s, item *it, fast_err *err) noexcept nogil:
    cdef void *unused
    if s.config.engine.attach == NULL:
        return find_size(it.fd, &it.status, &s.known_dev, &s.is_stopped, &it.size, &it.is_measured, err)
    it.is_measured = False
    return s.config.engine.attach(s, it.fd, True, &it.size, &unused, err)


cdef void take_opened(send_state *s, int fd, dir_node *dir, const char *name) noexcept nogil:
    cdef item it
    cdef fast_err own
    clear(&own)
    it.kind = ENTRY_SMALL
    it.link, it.links = NULL, NULL
    it.fd = fd
    if it.fd < 0:
        tell(s, dir, name, FAST_SYS, errno, "open")
    elif fstat(it.fd, &it.status) < 0:
        tell(s, dir, name, FAST_SYS, errno, "stat")
    elif not S_ISREG(it.status.st_mode):  # it was a file a moment ago
        tell(s, dir, name, FAST_SPECIAL, 0, "open")
    elif not bound_status(&it.status):
        tell(s, dir, name, FAST_SYS, EFBIG, "stat")
    elif measure_file(s, &it, &own) < 0:
        report(s, &own, False, dir, name, strlen(name))
    elif not is_out_of_bounds(s, it.size):
        if s.config.engine.prefetch != NULL and 0 < it.status.st_size <= SMALL_FILE_BYTES:
            s.config.engine.prefetch(it.fd)
        queue(s, &it, dir, name)
        return
    item_close(&it)
    node_unref(s, dir)
