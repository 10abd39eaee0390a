"""What is written stays written; see durable.pxd."""

from libc.stdint cimport uint64_t

from escp._fast.base.libc cimport (EACCES, EINVAL, EMFILE, ENFILE, ENOSYS, EPERM, ESPIPE, O_CLOEXEC, O_DIRECTORY,
                                   O_PATH, O_RDONLY, SYNC_FILE_RANGE_WAIT_AFTER, SYNC_FILE_RANGE_WAIT_BEFORE,
                                   SYNC_FILE_RANGE_WRITE, c_close, errno, escp_is_memory_fs, escp_syncs_whole, fstat,
                                   fsync, memset, openat, pthread_cond_broadcast, pthread_cond_destroy,
                                   pthread_cond_init, pthread_cond_wait, pthread_mutex_destroy, pthread_mutex_init,
                                   pthread_mutex_lock, pthread_mutex_unlock, stat_t, sync_file_range, syncfs)
from escp._fast.base.types cimport FAST_OK, FAST_SYS, fail, fast_err

cdef enum:
    FEW_FILES = 2  # so few are synced by themselves: syncfs would wait for others' files, too


cdef void durable_open(durable_set *d) noexcept nogil:
    pthread_mutex_init(&d.lock, NULL)
    pthread_cond_init(&d.over, NULL)


cdef void durable_free(durable_set *d) noexcept nogil:
    cdef int i
    for i in range(d.n):
        if d.systems[i].fd >= 0:
            c_close(d.systems[i].fd)
    for i in range(d.n_dirty):
        c_close(d.dirty[i].fd)
    d.n = d.n_dirty = 0
    pthread_mutex_destroy(&d.lock)
    pthread_cond_destroy(&d.over)


# ---- File systems -----------------------------------------------------------------------------------

cdef file_system *find_locked(durable_set *d, uint64_t dev) noexcept nogil:
    cdef int i
    for i in range(d.n):
        if d.systems[i].dev == dev:
            return &d.systems[i]
    return NULL


cdef file_system *meet(durable_set *d, int dirfd) noexcept nogil:
    cdef file_system *found
    cdef stat_t status
    cdef int fd
    if not d.is_on or fstat(dirfd, &status) < 0:
        return NULL
    pthread_mutex_lock(&d.lock)
    found = find_locked(d, status.st_dev)
    pthread_mutex_unlock(&d.lock)
    if found != NULL:
        return found
    fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    pthread_mutex_lock(&d.lock)
    found = find_locked(d, status.st_dev)
    if found == NULL and d.n < MAX_SYSTEMS:
        found = &d.systems[d.n]
        memset(found, 0, sizeof(file_system))
        found.dev = status.st_dev
        found.fd = fd
        found.kind = (SYSTEM_EACH if fd < 0 else SYSTEM_MEMORY if escp_is_memory_fs(fd) else
                      SYSTEM_WHOLE if escp_syncs_whole(fd) else SYSTEM_EACH)
        fd = -1
        d.n += 1
    pthread_mutex_unlock(&d.lock)
    if fd >= 0:
        c_close(fd)
    return found


cdef int sync_system(durable_set *d, file_system *s) noexcept nogil:
    """Bring to the disk what was written there before this call. 0, or an errno: then some may be missing."""
    cdef uint64_t wanted
    cdef int number
    pthread_mutex_lock(&d.lock)
    wanted = s.n_begun + 1
    while s.n_done < wanted:
        if s.is_syncing:
            pthread_cond_wait(&d.over, &d.lock)
            continue
        s.is_syncing = True
        s.n_begun += 1
        pthread_mutex_unlock(&d.lock)
        # Before Linux 5.17 syncfs does not tell of a broken journal; a directory's own sync does.
        number = errno if syncfs(s.fd) < 0 or fsync(s.fd) < 0 else 0
        pthread_mutex_lock(&d.lock)
        s.number = s.number if s.number else number
        s.n_done = s.n_begun
        s.is_syncing = False
        pthread_cond_broadcast(&d.over)
    number = s.number
    pthread_mutex_unlock(&d.lock)
    return number


# ---- Files ------------------------------------------------------------------------------------------

cdef bint is_no_disk(int number) noexcept nogil:
    """Whether pipes and devices answer so to a sync."""
    return number == EINVAL or number == ESPIPE or number == ENOSYS


cdef void write_out(unsynced *files, int n) noexcept nogil:
    """Begin with all, then wait for each: so the disk can sort them."""
    cdef int i
    for i in range(n):
        if files[i].err.code == FAST_OK:
            sync_file_range(files[i].fd, 0, 0, SYNC_FILE_RANGE_WRITE)
    for i in range(n):
        if files[i].err.code == FAST_OK and sync_file_range(
                files[i].fd, 0, 0,
                SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER) < 0:
            if not is_no_disk(errno):
                fail(&files[i].err, FAST_SYS, errno, "sync")


cdef bint is_synced_whole(durable_set *d, unsynced *files, int n, file_system *s) noexcept nogil:
    """Sync that file system as a whole, if many of the files are there; whether that was done."""
    cdef int n_there = 0
    cdef int i
    for i in range(n):
        n_there += files[i].system == s and files[i].err.code == FAST_OK
    return n_there > FEW_FILES and s.kind == SYSTEM_WHOLE and sync_system(d, s) == 0


cdef void sync_files(durable_set *d, unsynced *files, int n) noexcept nogil:
    cdef bint is_synced[MAX_SYSTEMS]
    cdef file_system *s
    cdef int i
    write_out(files, n)
    if not d.is_on:
        return
    for i in range(MAX_SYSTEMS):  # another stream may just meet one: it has no file here, and is not looked at
        is_synced[i] = is_synced_whole(d, files, n, &d.systems[i])
    for i in range(n):
        s = files[i].system
        if files[i].err.code == FAST_OK and (s == NULL or not (s.kind == SYSTEM_MEMORY or is_synced[s - d.systems])):
            if fsync(files[i].fd) < 0 and not is_no_disk(errno):
                fail(&files[i].err, FAST_SYS, errno, "fsync")


cdef int sync_again(durable_set *d, const file_system *s, int fd) noexcept nogil:
    return fsync(fd) if d.is_on and (s == NULL or s.kind == SYSTEM_EACH) else 0


# ---- Directories ------------------------------------------------------------------------------------

cdef void note_number(durable_set *d, int number) noexcept nogil:
    pthread_mutex_lock(&d.lock)
    d.number = d.number if d.number else number
    pthread_mutex_unlock(&d.lock)


cdef void sync_directory(durable_set *d, int fd) noexcept nogil:
    cdef int number = errno if fsync(fd) < 0 and not is_no_disk(errno) else 0
    c_close(fd)
    if number:
        note_number(d, number)


cdef void sync_waiting(durable_set *d) noexcept nogil:
    cdef int fd
    while True:
        fd = -1
        pthread_mutex_lock(&d.lock)
        if d.n_dirty:
            d.n_dirty -= 1
            fd = d.dirty[d.n_dirty].fd
        pthread_mutex_unlock(&d.lock)
        if fd < 0:
            return
        sync_directory(d, fd)


cdef void note_unreadable(durable_set *d, int number) noexcept nogil:
    """A directory that may not be read can't be synced. As a rule it is on a server then, which keeps the names itself.
    Of all else its names are not safe."""
    if number != EACCES and number != EPERM:
        note_number(d, number)


cdef int take_place_locked(durable_set *d, int fd, const stat_t *status) noexcept nogil:
    """Let *fd* wait for its sync. Returns the descriptor that does not wait any more: the oldest one if there were too
    many, *fd* if its directory waits already, else -1."""
    cdef int oldest = -1
    cdef int i
    for i in range(d.n_dirty):
        if d.dirty[i].ino == status.st_ino and d.dirty[i].dev == status.st_dev:
            return fd
    if d.n_dirty == d.max_dirty:
        oldest = d.dirty[0].fd
        d.n_dirty -= 1
        for i in range(d.n_dirty):
            d.dirty[i] = d.dirty[i + 1]
    d.dirty[d.n_dirty].fd = fd
    d.dirty[d.n_dirty].dev, d.dirty[d.n_dirty].ino = status.st_dev, status.st_ino
    d.n_dirty += 1
    return oldest


cdef void note_directory(durable_set *d, const file_system *s, int dirfd) noexcept nogil:
    cdef stat_t status
    cdef int fd
    cdef int out
    if not d.is_on:
        return
    s = s if s != NULL else meet(d, dirfd)
    if s != NULL and s.kind != SYSTEM_EACH:
        return
    fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if fd < 0 and (errno == EMFILE or errno == ENFILE):
        sync_waiting(d)  # those that wait hold descriptors
        fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if fd < 0:
        note_unreadable(d, errno)
        return
    if fstat(fd, &status) < 0:
        sync_directory(d, fd)
        return
    pthread_mutex_lock(&d.lock)
    out = take_place_locked(d, fd, &status)
    pthread_mutex_unlock(&d.lock)
    if out == fd:
        c_close(fd)
    elif out >= 0:
        sync_directory(d, out)


cdef void note_target(durable_set *d, int root_fd) noexcept nogil:
    """Note the target and the directories above it: they may be new."""
    cdef uint64_t ino = 0
    cdef stat_t status
    cdef int fd = openat(root_fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC)
    cdef int above
    for _ in range(MAX_DIRTY):
        if fd < 0 or fstat(fd, &status) < 0:
            note_unreadable(d, errno)
            break
        if status.st_ino == ino:  # above / is /
            break
        ino = status.st_ino
        note_directory(d, NULL, fd)
        above = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC)
        c_close(fd)
        fd = above
    if fd >= 0:
        c_close(fd)


cdef int sync_names(durable_set *d, int root_fd, fast_err *err) noexcept nogil:
    cdef int i
    cdef int number
    if not d.is_on:
        return 0
    sync_waiting(d)  # all other threads have ended: none is added
    note_target(d, root_fd)
    sync_waiting(d)
    for i in range(d.n):
        number = sync_system(d, &d.systems[i]) if d.systems[i].kind == SYSTEM_WHOLE else 0
        d.number = d.number if d.number else number
    return fail(err, FAST_SYS, d.number, "sync names") if d.number else 0
