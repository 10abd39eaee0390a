"""Walkers: they list directories, and deal with each name there; see walk.pxd.

Symbolic links are followed, as by scp; one that leads back to a directory above itself is reported. With keeps_links
the links themselves are copied.
"""

from libc.stdint cimport int64_t, uint8_t

from escp._fast.base.events cimport EVENT_ROOM, push_event
from escp._fast.base.libc cimport (AT_FDCWD, AT_SYMLINK_NOFOLLOW, DT_DIR, DT_REG, EIO, ENAMETOOLONG, ENOMEM, O_CLOEXEC,
                                   O_DIRECTORY, O_RDONLY, SEEK_SET, S_ISDIR, S_ISREG, c_close, dirent64_t, errno,
                                   escp_flag, escp_getdents, fstat, fstatat, lseek, memcpy, pthread_cond_broadcast,
                                   pthread_cond_signal, pthread_cond_wait, pthread_mutex_lock, pthread_mutex_unlock,
                                   stat_t, strlen)
from escp._fast.base.paths cimport is_dots, join_path, last_slash
from escp._fast.base.types cimport (FAST_CHANGED, FAST_INTO_ITSELF, FAST_LOOP, FAST_NAME, FAST_NEEDS_RECURSIVE,
                                    FAST_SPECIAL, FAST_SYS, MAX_NAME_BYTES, MAX_PATH_BYTES, SELECT_ALL, SELECT_MISSING,
                                    clear, fast_err)
from escp._fast.files.bounds cimport bound_status, next_dirent
from escp._fast.files.filter cimport is_excluded
from escp._fast.files.guard cimport guarded_fstatat
from escp._fast.send.below cimport is_same_file, open_below, root_way, way_close
from escp._fast.send.hard_links cimport N_PUT_OFF, settle_again_locked, take_again_locked
from escp._fast.send.questions cimport is_time_to_ask_locked, take_wanted_locked, wanted_file
from escp._fast.send.send_state cimport (MAX_FINISHED, MAX_STACKED, N_ROOTS, dir_node, hard_link, is_idle_locked,
                                         node_new, node_unref, put_off, send_state)
from escp._fast.walk.walk_files cimport is_node, take_below, take_file, take_node, tell
from escp._fast.walk.walk_query cimport consider, consider_directory, consider_node, take_wanted

cdef enum:
    LISTING_BYTES = 32768


cdef bint asks_about_nodes(const send_state *s) noexcept nogil:
    return (s.config.selection == SELECT_MISSING or (s.config.itemizes and s.config.is_dry_run)
            or (s.config.selection != SELECT_ALL and s.config.asks_nodes))


cdef bint is_left_out(send_state *s, dir_node *dir, const char *name, size_t n, bint is_directory) noexcept nogil:
    cdef char path[MAX_PATH_BYTES + 1]
    if s.config.filters == NULL:
        return False
    memcpy(path, dir.target, dir.n_target)
    return is_excluded(s.config.filters, path, join_path(path, dir.n_target, name, n), is_directory)


cdef bint is_root_left_out(send_state *s, dir_node *node, bint is_directory) noexcept nogil:
    """The same for a source that the user named, by its name below the destination. A file that gets a new name goes by
    its old one."""
    cdef size_t start
    if s.config.filters == NULL:
        return False
    if node.n_target:
        return is_excluded(s.config.filters, node.target, node.n_target, is_directory)
    if is_directory:  # the destination itself
        return False
    start = last_slash(node.source, node.n_source) + 1
    return is_excluded(s.config.filters, node.source + start, node.n_source - start, False)


cdef bint is_above(dir_node *node, const stat_t *status) noexcept nogil:
    """Whether that directory is *node* or above it: going down would never end."""
    while node != NULL:
        if node.is_open and node.status.st_ino == status.st_ino and node.status.st_dev == status.st_dev:
            return True
        node = node.parent
    return False


cdef bint is_own_target(send_state *s, const dir_node *dir, const stat_t *status) noexcept nogil:
    """Whether the source *dir* (*status* is its own) is the place to which it, or one above it, is copied: that would
    have no end."""
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
    """Whether *dir* must not be listed, in a copy within this host. That is told once; everything else of the
    destination is copied, as by cp."""
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


cdef void take_again(send_state *s, root_way *way, const put_off *one, const char *name) noexcept nogil:
    """Send a file under another of its names: the receiver could not make the first."""
    cdef hard_link *first = one.first
    take_below(s, way, one.dir, name, one.n_name)
    pthread_mutex_lock(&s.lock)
    settle_again_locked(s, first)
    pthread_mutex_unlock(&s.lock)


cdef void wait_for_links_locked(send_state *s, root_way *way) noexcept nogil:
    """Wait while too many hard links wait for the first names of their files. Meanwhile this walker tries again what is
    to be tried again: all walkers may be waiting here."""
    cdef put_off one
    cdef wanted_file wanted
    cdef char name[MAX_NAME_BYTES + 1]
    while s.n_put_off >= N_PUT_OFF and not escp_flag(&s.is_stopped):
        if take_again_locked(s, &one, name):
            pthread_mutex_unlock(&s.lock)
            take_again(s, way, &one, name)
            pthread_mutex_lock(&s.lock)
        elif take_wanted_locked(s, &wanted):
            pthread_mutex_unlock(&s.lock)
            take_wanted(s, way, &wanted)
            pthread_mutex_lock(&s.lock)
        elif is_time_to_ask_locked(s):
            pthread_cond_signal(&s.work)
            pthread_cond_wait(&s.room, &s.lock)
        else:
            pthread_cond_wait(&s.room, &s.lock)


cdef bint list_entry(send_state *s, root_way *way, int fd, dir_node *dir,
                     const dirent64_t *d) noexcept nogil:
    """Deal with one name of a listing; True when the listing is to be put off until what was stacked is done."""
    cdef const char *name = <const char *>d.d_name
    cdef size_t n = strlen(name)
    cdef stat_t status
    cdef int look = AT_SYMLINK_NOFOLLOW if s.config.keeps_links else 0
    cdef int type = d.d_type
    cdef dir_node *child
    cdef bint is_full
    if is_dots(name, n):
        return False
    if n > MAX_NAME_BYTES or dir.n_target + 1 + n > MAX_PATH_BYTES or dir.n_source + 1 + n > MAX_PATH_BYTES:
        tell(s, dir, name, FAST_NAME, ENAMETOOLONG, "path")
        return False
    if type != DT_DIR and type != DT_REG:
        if guarded_fstatat(fd, name, &status, look) < 0:
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
    if type != DT_DIR:
        wait_for_links_locked(s, way)
    dir.n_refs += 1
    pthread_mutex_unlock(&s.lock)
    if type == DT_REG:
        if s.config.selection != SELECT_ALL or s.config.is_dry_run or s.stamps.known != NULL:
            consider(s, way, fd, name, dir, name)
        else:
            take_file(s, fd, name, dir, name)
        return False
    if type != DT_DIR:
        if asks_about_nodes(s):
            consider_node(s, way, fd, name, dir, name, &status)
        else:
            take_node(s, fd, name, dir, name, &status)
        return False
    child = node_new(dir, name, n, name, n)
    if child == NULL:
        tell(s, dir, name, FAST_SYS, ENOMEM, "stat")
        node_unref(s, dir)
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


cdef int open_directory(send_state *s, root_way *way, dir_node *dir) noexcept nogil:
    """Open *dir*, and note its status. -1: it must not be listed, and why was told."""
    cdef stat_t status
    cdef int fd = open_below(s, way, dir, "", 0, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if fd < 0 or fstat(fd, &status) < 0:
        tell(s, dir, "", FAST_SYS, errno, "open")
    elif dir.is_open:  # its listing goes on
        if is_same_file(&status, &dir.status):
            return fd
        tell(s, dir, "", FAST_CHANGED, 0, "open")
    elif is_above(dir.parent, &status):
        tell(s, dir, "", FAST_LOOP, 0, "open")
    elif s.config.target_fd < 0 or not goes_into_itself(s, dir, &status):
        bound_status(&status)
        dir.status = status
        if s.config.is_dry_run:
            consider_directory(s, way, dir)
        dir.is_open = True
        return fd
    dir.is_unlisted = not dir.is_open
    if fd >= 0:
        c_close(fd)
    return -1


cdef void list_directory(send_state *s, root_way *way, dir_node *dir, uint8_t *listing) noexcept nogil:
    cdef const dirent64_t *d = NULL
    cdef int fd = open_directory(s, way, dir)
    cdef int64_t n
    cdef size_t at
    cdef int rc = 1
    if fd < 0:
        return
    if dir.resume:
        lseek(fd, dir.resume, SEEK_SET)
    while rc > 0 and not escp_flag(&s.is_stopped):
        n = escp_getdents(fd, listing, LISTING_BYTES)
        if n < 0:
            tell(s, dir, "", FAST_SYS, errno, "read directory")
        if n <= 0:
            break
        at = 0
        rc = next_dirent(listing, n, &at, &d)
        while rc > 0 and not list_entry(s, way, fd, dir, d):
            rc = next_dirent(listing, n, &at, &d)
        if rc < 0:
            tell(s, dir, "", FAST_SYS, EIO, "read directory")
        rc = rc == 0
    c_close(fd)


cdef void take_root(send_state *s, root_way *way, dir_node *node) noexcept nogil:
    """Send a file that the user named, or stack a directory. Takes over the reference to *node*."""
    cdef stat_t status
    cdef int rc = guarded_fstatat(AT_FDCWD, node.source, &status, AT_SYMLINK_NOFOLLOW if s.config.keeps_links else 0)
    if is_root_left_out(s, node, rc == 0 and S_ISDIR(status.st_mode)):
        node.is_root_file = True
        node.tells_absent = False  # the other side knows the rules, too, and does not wait for it
    elif rc < 0:
        node.is_root_file = True
        tell(s, node, "", FAST_SYS, errno, "open")
    elif S_ISREG(status.st_mode):
        node.is_root_file = True
        if s.config.selection != SELECT_ALL or s.config.is_dry_run or s.stamps.known != NULL:
            consider(s, way, AT_FDCWD, node.source, node, "")
        else:
            take_file(s, AT_FDCWD, node.source, node, "")
        return
    elif is_node(s, &status):
        node.is_root_file = True
        if asks_about_nodes(s):
            consider_node(s, way, AT_FDCWD, node.source, node, "", &status)
        else:
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
    node_unref(s, node)


cdef bint is_all_found_locked(const send_state *s) noexcept nogil:
    return s.has_all_roots and s.n_roots == 0 and s.n_walking == 0 and s.n_questions == 0 and s.n_asked == 0


cdef void tell_walked_locked(send_state *s) noexcept nogil:
    s.is_walked = True
    pthread_cond_broadcast(&s.walk)
    pthread_cond_broadcast(&s.work)


cdef void offer_room(send_state *s) noexcept nogil:
    cdef fast_err none
    clear(&none)
    push_event(&s.events, EVENT_ROOM, &none, False, NULL, 0, NULL, 0)


cdef void walk_loop(send_state *s) noexcept nogil:
    cdef uint8_t listing[LISTING_BYTES]
    cdef root_way way
    cdef dir_node *node
    cdef wanted_file wanted
    cdef put_off one
    cdef char name[MAX_NAME_BYTES + 1]
    cdef bint is_root
    cdef bint wants_event = False
    cdef bint is_wanted
    cdef bint is_again
    way.serial = 0
    pthread_mutex_lock(&s.lock)
    while not escp_flag(&s.is_stopped):
        is_root = False
        node = NULL
        is_wanted = take_wanted_locked(s, &wanted)
        is_again = not is_wanted and take_again_locked(s, &one, name)
        if is_wanted or is_again:
            pass
        elif s.stack != NULL:
            node = s.stack
            s.stack = node.next
            s.n_stacked -= 1
        elif s.n_roots and s.n_finished < MAX_FINISHED and s.n_put_off < N_PUT_OFF and (
                not s.roots[s.roots_head].waits or is_idle_locked(s)):
            is_root, wants_event = True, s.wants_root_event
            s.wants_root_event = False
            node = s.roots[s.roots_head].node
            s.roots_head = (s.roots_head + 1) % N_ROOTS
            s.n_roots -= 1
        elif is_all_found_locked(s) and s.n_put_off == 0:
            break
        else:
            if is_all_found_locked(s) and not s.is_walked:  # all but hard links that may be tried again
                tell_walked_locked(s)
            pthread_cond_wait(&s.walk, &s.lock)
            continue
        s.n_walking += 1
        pthread_mutex_unlock(&s.lock)
        if is_wanted:
            take_wanted(s, &way, &wanted)
        elif is_again:
            take_again(s, &way, &one, name)
        elif is_root:
            if wants_event:
                offer_room(s)
            take_root(s, &way, node)
        else:
            list_directory(s, &way, node, listing)
            node_unref(s, node)
        pthread_mutex_lock(&s.lock)
        s.n_walking -= 1
        if s.n_questions and s.n_walking == 0:  # no walker adds another one: these are asked now
            pthread_cond_broadcast(&s.work)
    tell_walked_locked(s)
    pthread_mutex_unlock(&s.lock)
    way_close(&way)
