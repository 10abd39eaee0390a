"""Walkers: list directories, open and stat files; see walk.pxd.

Links are followed, as scp does (one that leads back to a directory above itself is reported), or are
themselves what is copied. Opened small files are announced to the kernel at once (readahead), so that by the
time a stream reads them the disk has worked on many of them in parallel.
"""

from libc.stdint cimport int64_t, uint64_t, uint8_t

from escp._fast.compare cimport digest_file
from escp._fast.digest cimport digest128
from escp._fast.engine cimport ENGINE_POSIX
from escp._fast.events cimport EVENT_LISTED, EVENT_ROOM, push_event
from escp._fast.filter cimport is_excluded
from escp._fast.hard_links cimport take_hard_link
from escp._fast.libc cimport (AT_FDCWD, AT_SYMLINK_NOFOLLOW, DT_DIR, DT_REG, ENAMETOOLONG, ENOENT, ENOMEM,
                              O_CLOEXEC, O_DIRECTORY, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY,
                              POSIX_FADV_WILLNEED, SEEK_SET, S_ISBLK, S_ISCHR, S_ISDIR, S_ISFIFO, S_ISLNK,
                              S_ISREG, c_close, dirent64_t, errno, escp_flag, escp_getdents, free, fstat, fstatat,
                              lseek, malloc, memcpy, memset, openat, posix_fadvise, pthread_cond_broadcast,
                              pthread_cond_signal, pthread_cond_wait, pthread_mutex_lock, pthread_mutex_unlock,
                              readlinkat, stat_t, strlen)
from escp._fast.questions cimport is_time_to_ask_locked, take_wanted_locked
from escp._fast.sources cimport (MAX_STACKED, N_QUESTIONS, N_ROOTS, SELECT_ALL, dir_node, flight, is_idle_locked,
                                 item, item_close, item_put, node_new, node_unref_locked, report, send_state)
from escp._fast.types cimport (FAST_INTO_ITSELF, FAST_LOOP, FAST_MEMORY, FAST_NAME, FAST_NEEDS_RECURSIVE, FAST_SPECIAL,
                               FAST_SYS,
                               MAX_NAME_BYTES, MAX_PATH_BYTES, SMALL_FILE_BYTES, clear, fail, fast_err)
from escp._fast.wire cimport ENTRY_DEVICE, ENTRY_DIRECTORY, ENTRY_LINK, ENTRY_SMALL

cdef enum:
    LISTING_BYTES = 32768
    COMPARED_BYTES = 1048576  # read at a time


cdef void tell(send_state *s, dir_node *dir, const char *name, int code, int sys_errno,
               const char *where) noexcept nogil:
    cdef fast_err err
    clear(&err)
    fail(&err, code, sys_errno, where)
    report(s, &err, False, dir, name, strlen(name))


cdef void unref(send_state *s, dir_node *dir) noexcept nogil:
    pthread_mutex_lock(&s.lock)
    node_unref_locked(s, dir)
    pthread_mutex_unlock(&s.lock)


cdef void queue(send_state *s, item *it, dir_node *dir, const char *name) noexcept nogil:
    """Takes over the item's descriptor and link text, and a reference to *dir*."""
    it.dir = dir
    it.n_name = <unsigned short>strlen(name)
    memcpy(it.name, name, it.n_name)
    if s.config.keeps_hard_links and it.status.st_nlink > 1 and take_hard_link(s, it):
        return
    item_put(s, it)


cdef bint is_node(send_state *s, const stat_t *status) noexcept nogil:
    """What is copied without contents. Sockets never are."""
    if S_ISLNK(status.st_mode):  # seen only where links are not followed
        return True
    return s.config.sends_devices and (S_ISCHR(status.st_mode) or S_ISBLK(status.st_mode)
                                       or S_ISFIFO(status.st_mode))


cdef void take_node(send_state *s, int dirfd, const char *path, dir_node *dir, const char *name,
                    const stat_t *status) noexcept nogil:
    """Queue a link or a device; takes over a reference to *dir*."""
    cdef char text[MAX_PATH_BYTES + 1]
    cdef ssize_t n = 0
    cdef item it
    if s.config.is_dry_run:
        list_name(s, dir, name, ENTRY_LINK if S_ISLNK(status.st_mode) else ENTRY_DEVICE, 0)
        unref(s, dir)
        return
    memset(&it, 0, sizeof(item))
    it.fd = -1
    it.kind = ENTRY_DEVICE
    it.status = status[0]
    it.status.st_size = 0
    if S_ISLNK(status.st_mode):
        it.kind = ENTRY_LINK
        n = readlinkat(dirfd, path, text, MAX_PATH_BYTES + 1)
        if n <= 0 or n > MAX_PATH_BYTES:
            tell(s, dir, name, FAST_NAME if n > 0 else FAST_SYS, errno if n < 0 else ENOENT, "read link")
            unref(s, dir)
            return
        it.link = <char *>malloc(n + 1)
        if it.link == NULL:
            tell(s, dir, name, FAST_SYS, ENOMEM, "read link")
            unref(s, dir)
            return
        memcpy(it.link, text, n)
        it.link[n] = 0
    queue(s, &it, dir, name)


cdef void take_file(send_state *s, int dirfd, const char *path, dir_node *dir, const char *name) noexcept nogil:
    """Open the file *path* (relative to dirfd) and queue it; takes over a reference to *dir*."""
    cdef item it
    it.kind = ENTRY_SMALL
    it.link, it.links = NULL, NULL
    it.fd = openat(dirfd, path, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC
                   | (0 if s.config.follows_links else O_NOFOLLOW))
    if it.fd < 0:
        tell(s, dir, name, FAST_SYS, errno, "open")
    elif fstat(it.fd, &it.status) < 0:
        tell(s, dir, name, FAST_SYS, errno, "stat")
    elif not S_ISREG(it.status.st_mode):  # it was one a moment ago
        tell(s, dir, name, FAST_SPECIAL, 0, "open")
    else:
        if s.config.engine == ENGINE_POSIX and 0 < it.status.st_size <= SMALL_FILE_BYTES:
            posix_fadvise(it.fd, 0, 0, POSIX_FADV_WILLNEED)
        queue(s, &it, dir, name)
        return
    item_close(&it)
    unref(s, dir)


cdef void list_name(send_state *s, dir_node *dir, const char *name, int kind, uint64_t size) noexcept nogil:
    """A dry run: this would be copied."""
    cdef fast_err what
    clear(&what)
    what.where = ("directory" if kind == ENTRY_DIRECTORY else "link" if kind == ENTRY_LINK
                  else "device" if kind == ENTRY_DEVICE else "file")
    what.offset = <int64_t>size
    pthread_mutex_lock(&s.lock)
    if kind == ENTRY_DIRECTORY:
        s.n_directories += 1
    else:
        s.n_found_files += 1
        s.n_found_bytes += size
        s.n_files += 1
    pthread_mutex_unlock(&s.lock)
    push_event(&s.events, EVENT_LISTED, &what, False, dir.target, dir.n_target, name, strlen(name))


cdef int is_same(send_state *s, int fd, const flight *asked, fast_err *err) noexcept nogil:
    """1: the file has the digest that the receiver's has; 0: it has not."""
    cdef stat_t status
    cdef digest128 digest
    cdef uint8_t *buffer
    cdef int rc
    if fstat(fd, &status) < 0:
        return fail(err, FAST_SYS, errno, "stat")
    if <uint64_t>status.st_size != asked.size:
        return 0
    buffer = <uint8_t *>malloc(COMPARED_BYTES)
    if buffer == NULL:
        return fail(err, FAST_MEMORY, 0, "compare")
    rc = digest_file(fd, asked.size, buffer, COMPARED_BYTES, &s.is_stopped, &digest, err)
    free(buffer)
    return rc if rc < 0 else digest.high == asked.digest.high and digest.low == asked.digest.low


cdef void take_wanted(send_state *s, flight *asked) noexcept nogil:
    """Send a file, or list it, that the receiver says it has not. Takes over the reference to the directory."""
    cdef char path[2 * MAX_PATH_BYTES + 2]
    cdef dir_node *dir = asked.dir
    cdef size_t n = dir.n_source
    cdef fast_err err
    cdef int fd
    cdef int rc = 0
    clear(&err)
    asked.name[asked.n_name] = 0
    memcpy(path, dir.source, n)
    if asked.n_name:
        path[n] = 47  # '/'
        n += 1
        memcpy(path + n, asked.name, asked.n_name)
    path[n + asked.n_name] = 0
    if asked.is_digest_known:
        fd = openat(AT_FDCWD, path, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC
                    | (0 if s.config.follows_links else O_NOFOLLOW))
        rc = fail(&err, FAST_SYS, errno, "open") if fd < 0 else is_same(s, fd, asked, &err)
        if fd >= 0:
            c_close(fd)
    if rc == 0 and not s.config.is_dry_run:
        take_file(s, AT_FDCWD, path, dir, asked.name)
        return
    if rc == 0:
        if asked.n_name == 0 and not dir.is_root_file:
            list_name(s, dir, "", ENTRY_DIRECTORY, 0)
        else:
            list_name(s, dir, asked.name, ENTRY_SMALL, asked.size)
    elif rc < 0:
        report(s, &err, False, dir, asked.name, asked.n_name)
    pthread_mutex_lock(&s.lock)
    s.n_skipped += rc == 1
    node_unref_locked(s, dir)
    pthread_mutex_unlock(&s.lock)


cdef void ask(send_state *s, const item *q) noexcept nogil:
    """Queue a question; takes over its reference. While there is no room, wanted files are sent."""
    cdef flight wanted
    pthread_mutex_lock(&s.lock)
    while s.n_questions == N_QUESTIONS and not escp_flag(&s.is_stopped):
        if take_wanted_locked(s, &wanted):
            pthread_mutex_unlock(&s.lock)
            take_wanted(s, &wanted)
            pthread_mutex_lock(&s.lock)
        else:
            pthread_cond_wait(&s.room, &s.lock)
    if escp_flag(&s.is_stopped):
        node_unref_locked(s, q.dir)
    else:
        s.questions[(s.questions_head + s.n_questions) % N_QUESTIONS] = q[0]
        s.n_questions += 1
        if is_time_to_ask_locked(s):
            pthread_cond_signal(&s.work)
    pthread_mutex_unlock(&s.lock)


cdef void consider(send_state *s, int dirfd, const char *path, dir_node *dir, const char *name) noexcept nogil:
    """A file that may not have to be sent: ask for it, or in a dry run list it. Takes over a reference to *dir*."""
    cdef item q
    if fstatat(dirfd, path, &q.status, 0 if s.config.follows_links else AT_SYMLINK_NOFOLLOW) < 0:
        tell(s, dir, name, FAST_SYS, errno, "stat")
    elif not S_ISREG(q.status.st_mode):  # it was one a moment ago
        tell(s, dir, name, FAST_SPECIAL, 0, "stat")
    elif s.config.selection != SELECT_ALL:
        q.fd = -1
        q.dir = dir
        q.n_name = <unsigned short>strlen(name)
        memcpy(q.name, name, q.n_name)
        ask(s, &q)
        return
    else:
        list_name(s, dir, name, ENTRY_SMALL, q.status.st_size)
    unref(s, dir)


cdef void consider_directory(send_state *s, dir_node *dir) noexcept nogil:
    """A dry run: list a directory, where the receiver is asked only if it has none."""
    cdef item q
    if s.config.selection == SELECT_ALL:
        list_name(s, dir, "", ENTRY_DIRECTORY, 0)
        return
    q.fd = -1
    q.dir = dir
    q.n_name = 0
    q.status = dir.status
    pthread_mutex_lock(&s.lock)
    dir.n_refs += 1
    pthread_mutex_unlock(&s.lock)
    ask(s, &q)


cdef bint is_left_out(send_state *s, dir_node *dir, const char *name, size_t n, bint is_directory) noexcept nogil:
    """Whether the user's rules exclude *name* in *dir*; both are short enough for a path."""
    cdef char path[MAX_PATH_BYTES + 1]
    cdef size_t start = dir.n_target
    if s.config.filters == NULL:
        return False
    memcpy(path, dir.target, start)
    if start:
        path[start] = 47
        start += 1
    memcpy(path + start, name, n)
    return is_excluded(s.config.filters, path, start + n, is_directory)


cdef bint is_root_left_out(send_state *s, dir_node *node, bint is_directory) noexcept nogil:
    """The same for a source, by its name below the destination; a file under a new name goes by its old one."""
    cdef size_t start = node.n_source
    if s.config.filters == NULL:
        return False
    if node.n_target:
        return is_excluded(s.config.filters, node.target, node.n_target, is_directory)
    if is_directory:  # the destination itself
        return False
    while start and node.source[start - 1] != 47:
        start -= 1
    return is_excluded(s.config.filters, node.source + start, node.n_source - start, False)


cdef bint is_above(dir_node *node, const stat_t *status) noexcept nogil:
    """Whether that directory is *node* or above it: going down would never end."""
    while node != NULL:
        if node.is_open and node.status.st_ino == status.st_ino and node.status.st_dev == status.st_dev:
            return True
        node = node.parent
    return False


cdef bint is_own_target(send_state *s, const dir_node *dir, const stat_t *status) noexcept nogil:
    """Whether that directory, the source *dir*, is where it or one above it is copied to: it would have no end."""
    cdef stat_t there
    cdef const char *path
    while dir != NULL:
        path = "."
        if dir.n_target:
            path = dir.target
        if fstatat(s.config.target_fd, path, &there, 0) == 0 and (
                there.st_ino == status.st_ino and there.st_dev == status.st_dev):
            return True
        dir = dir.parent
    return False


cdef bint is_below_destination(const dir_node *dir) noexcept nogil:
    while dir != NULL:
        if dir.is_destination:
            return True
        dir = dir.parent
    return False


cdef bint goes_into_itself(send_state *s, dir_node *dir, const stat_t *status) noexcept nogil:
    """For a receiver in this process. Told once: what of the destination is copied nevertheless is as with cp."""
    cdef stat_t there
    cdef bint is_refused = is_own_target(s, dir, status)
    dir.is_destination = fstatat(s.config.target_fd, ".", &there, 0) == 0 and (
        there.st_ino == status.st_ino and there.st_dev == status.st_dev)
    if dir.is_destination or (is_refused and not is_below_destination(dir)):
        tell(s, dir, "", FAST_INTO_ITSELF, 0, "open")
    return is_refused


cdef void stack_locked(send_state *s, dir_node *node) noexcept nogil:
    node.next = s.stack
    s.stack = node
    s.n_stacked += 1
    pthread_cond_signal(&s.walk)


cdef bint list_entry(send_state *s, int fd, dir_node *dir, const dirent64_t *d) noexcept nogil:
    """Deal with one name of a listing; True when the listing is to be put off until what was stacked is done."""
    cdef const char *name = <const char *>d.d_name
    cdef size_t n = strlen(name)
    cdef stat_t status
    cdef int look = 0 if s.config.follows_links else AT_SYMLINK_NOFOLLOW
    cdef int type = d.d_type
    cdef dir_node *child
    cdef bint is_full
    if name[0] == 46 and (n == 1 or (n == 2 and name[1] == 46)):
        return False
    if n > MAX_NAME_BYTES or dir.n_target + 1 + n > MAX_PATH_BYTES or dir.n_source + 1 + n > MAX_PATH_BYTES:
        tell(s, dir, name, FAST_NAME, ENAMETOOLONG, "path")
        return False
    if type != DT_DIR and type != DT_REG:
        if fstatat(fd, name, &status, look) < 0:
            if not is_left_out(s, dir, name, n, False):
                tell(s, dir, name, FAST_SYS, errno, "stat")
            return False
        type = DT_DIR if S_ISDIR(status.st_mode) else DT_REG if S_ISREG(status.st_mode) else -1
    if is_left_out(s, dir, name, n, type == DT_DIR):
        return False
    if type != DT_DIR and type != DT_REG and not is_node(s, &status):
        tell(s, dir, name, FAST_SPECIAL, 0, "stat")
        return False
    pthread_mutex_lock(&s.lock)
    dir.n_refs += 1
    pthread_mutex_unlock(&s.lock)
    if type == DT_REG:
        if s.config.selection != SELECT_ALL or s.config.is_dry_run:
            consider(s, fd, name, dir, name)
        else:
            take_file(s, fd, name, dir, name)
        return False
    if type != DT_DIR:
        take_node(s, fd, name, dir, name, &status)
        return False
    child = node_new(dir, name, n, name, n)
    if child == NULL:
        tell(s, dir, name, FAST_SYS, ENOMEM, "stat")
        unref(s, dir)
        return False
    pthread_mutex_lock(&s.lock)
    is_full = s.n_stacked >= MAX_STACKED
    if is_full:  # this directory goes back below its child, which is listed first: the stack stays bounded
        dir.resume = d.d_off
        dir.n_refs += 1
        stack_locked(s, dir)
    stack_locked(s, child)
    pthread_mutex_unlock(&s.lock)
    return is_full


cdef void list_directory(send_state *s, dir_node *dir, char *listing) noexcept nogil:
    cdef stat_t status
    cdef int64_t n
    cdef int64_t at
    cdef const dirent64_t *d
    cdef int fd = openat(AT_FDCWD, dir.source, O_RDONLY | O_DIRECTORY | O_CLOEXEC
                         | (0 if s.config.follows_links else O_NOFOLLOW))
    if fd < 0 or fstat(fd, &status) < 0:
        dir.is_unlisted = not dir.is_open
        tell(s, dir, "", FAST_SYS, errno, "open")
    elif not dir.is_open and is_above(dir.parent, &status):
        dir.is_unlisted = True
        tell(s, dir, "", FAST_LOOP, 0, "open")
    elif not dir.is_open and s.config.target_fd >= 0 and goes_into_itself(s, dir, &status):
        dir.is_unlisted = True
    else:
        dir.status = status
        if s.config.is_dry_run and not dir.is_open:
            consider_directory(s, dir)
        dir.is_open = True
        if dir.resume:
            lseek(fd, dir.resume, SEEK_SET)
        while not escp_flag(&s.is_stopped):
            n = escp_getdents(fd, listing, LISTING_BYTES)
            if n < 0:
                tell(s, dir, "", FAST_SYS, errno, "read directory")
            if n <= 0:
                break
            at = 0
            while at < n:
                d = <const dirent64_t *>(listing + at)
                at += d.d_reclen
                if list_entry(s, fd, dir, d):
                    n = -1
                    break
            if n < 0:
                break
    if fd >= 0:
        c_close(fd)


cdef void take_root(send_state *s, dir_node *node) noexcept nogil:
    """A source named by the user: a file, or a directory that is then stacked. Takes over the reference."""
    cdef stat_t status
    cdef int rc = fstatat(AT_FDCWD, node.source, &status, 0 if s.config.follows_links else AT_SYMLINK_NOFOLLOW)
    if is_root_left_out(s, node, rc == 0 and S_ISDIR(status.st_mode)):
        node.is_root_file = True
    elif rc < 0:
        node.is_root_file = True
        tell(s, node, "", FAST_SYS, errno, "open")
    elif S_ISREG(status.st_mode):
        node.is_root_file = True
        if s.config.selection != SELECT_ALL or s.config.is_dry_run:
            consider(s, AT_FDCWD, node.source, node, "")
        else:
            take_file(s, AT_FDCWD, node.source, node, "")
        return
    elif is_node(s, &status):
        node.is_root_file = True
        take_node(s, AT_FDCWD, node.source, node, "", &status)
        return
    elif not S_ISDIR(status.st_mode):
        node.is_root_file = True
        tell(s, node, "", FAST_SPECIAL, 0, "stat")
    elif not s.config.is_recursive:
        node.is_root_file = True
        tell(s, node, "", FAST_NEEDS_RECURSIVE, 0, "stat")
    else:
        pthread_mutex_lock(&s.lock)
        stack_locked(s, node)
        pthread_mutex_unlock(&s.lock)
        return
    unref(s, node)


cdef void offer_room(send_state *s) noexcept nogil:
    cdef fast_err none
    clear(&none)
    pthread_mutex_lock(&s.lock)
    s.wants_root_event = False
    pthread_mutex_unlock(&s.lock)
    push_event(&s.events, EVENT_ROOM, &none, False, NULL, 0, NULL, 0)


cdef void walk_loop(send_state *s) noexcept nogil:
    cdef char listing[LISTING_BYTES]
    cdef dir_node *node
    cdef flight wanted
    cdef bint is_root
    cdef bint is_wanted
    pthread_mutex_lock(&s.lock)
    while not escp_flag(&s.is_stopped):
        is_root = False
        node = NULL
        is_wanted = take_wanted_locked(s, &wanted)
        if is_wanted:
            pass
        elif s.stack != NULL:
            node = s.stack
            s.stack = node.next
            s.n_stacked -= 1
        elif s.n_roots and (not s.roots[s.roots_head].waits or is_idle_locked(s)):
            is_root = True
            node = s.roots[s.roots_head].node
            s.roots_head = (s.roots_head + 1) % N_ROOTS
            s.n_roots -= 1
        elif (s.has_all_roots and s.n_roots == 0 and s.n_walking == 0 and s.n_questions == 0
                and s.n_asked == 0):
            break
        else:
            pthread_cond_wait(&s.walk, &s.lock)
            continue
        s.n_walking += 1
        pthread_mutex_unlock(&s.lock)
        if is_wanted:
            take_wanted(s, &wanted)
        elif is_root:
            if s.wants_root_event:
                offer_room(s)
            take_root(s, node)
        else:
            list_directory(s, node, listing)
            unref(s, node)
        pthread_mutex_lock(&s.lock)
        s.n_walking -= 1
        if s.n_questions and s.n_walking == 0:  # nobody adds to them: they are to be asked
            pthread_cond_broadcast(&s.work)
    s.is_walked = True
    pthread_cond_broadcast(&s.walk)
    pthread_cond_broadcast(&s.work)
    pthread_mutex_unlock(&s.lock)
