"""The sender's shared state; see send_state.pxd."""

from libc.stdint cimport int64_t, uint64_t

from escp._fast.base.events cimport EVENT_FATAL, EVENT_FILE_FAILED, events_close, push_event
from escp._fast.base.libc cimport (c_close, c_write, errno, escp_flag, escp_raise_flag, free, fstat, malloc, memcpy,
                                   memset, pthread_cond_broadcast, pthread_cond_signal, pthread_cond_wait,
                                   pthread_mutex_lock, pthread_mutex_unlock, stat_t, timespec_t)
from escp._fast.base.paths cimport join_path, joined_length
from escp._fast.base.types cimport FAST_CHANGED, FAST_STOPPED, FAST_SYS, SMALL_FILE_BYTES, fail, fast_err
from escp._fast.files.death cimport find_source_death
from escp._fast.files.sizes cimport peek
from escp._fast.wire.connection cimport connection_stop
from escp._fast.wire.told cimport tell_entry


cdef void state_stop(send_state *s) noexcept nogil:
    cdef int i
    escp_raise_flag(&s.is_stopped)
    events_close(&s.events)
    pthread_mutex_lock(&s.lock)
    pthread_cond_broadcast(&s.work)
    pthread_cond_broadcast(&s.walk)
    pthread_cond_broadcast(&s.room)
    pthread_cond_broadcast(&s.count)
    pthread_mutex_unlock(&s.lock)
    for i in range(s.config.n_streams):
        connection_stop(&s.connections[i])
    state_wake(s)


cdef void state_wake(send_state *s) noexcept nogil:
    cdef uint64_t one = 1
    if s.wake_fd >= 0:
        c_write(s.wake_fd, &one, 8)
    pthread_mutex_lock(&s.lock)
    pthread_cond_broadcast(&s.work)
    pthread_mutex_unlock(&s.lock)


cdef void state_fail(send_state *s, const fast_err *err) noexcept nogil:
    cdef bint is_first = not escp_flag(&s.is_stopped)
    if is_first and err.code != FAST_STOPPED:
        push_event(&s.events, EVENT_FATAL, err, False, NULL, 0, NULL, 0)
    state_stop(s)


cdef bint is_source_gone(send_state *s, const fast_err *err, dir_node *source) noexcept nogil:
    """Whether *source* is gone as a whole. That is told, and counted, once, in place of every file below it."""
    cdef fast_err gone = err[0]
    cdef bint is_first
    if err.code != FAST_SYS or source.is_root_file:
        return False
    gone.sys_errno = find_source_death(source.source, err.sys_errno)
    if gone.sys_errno == 0:
        return False
    pthread_mutex_lock(&s.lock)
    is_first = not source.is_gone
    source.is_gone = True
    s.n_failed += is_first
    pthread_mutex_unlock(&s.lock)
    if is_first:
        push_event(&s.events, EVENT_FILE_FAILED, &gone, False, source.source, source.n_source, NULL, 0)
    return True


cdef void report(send_state *s, const fast_err *err, bint is_remote, dir_node *dir,
                 const char *name, size_t n_name) noexcept nogil:
    if not is_remote and is_source_gone(s, err, dir.root):
        return
    pthread_mutex_lock(&s.lock)
    s.n_failed += 1
    pthread_mutex_unlock(&s.lock)
    if is_remote:
        push_event(&s.events, EVENT_FILE_FAILED, err, True, dir.target, dir.n_target, name, n_name)
    else:
        push_event(&s.events, EVENT_FILE_FAILED, err, False, dir.source, dir.n_source, name, n_name)


cdef void tell_name(send_state *s, int event, int reason, int kind, uint64_t size, dir_node *dir,
                    const char *name, size_t n_name) noexcept nogil:
    tell_entry(&s.events, event, reason, kind, size, dir.target, dir.n_target, name, n_name, NULL)


cdef dir_node *node_new(dir_node *parent, const char *source, size_t n_source,
                        const char *target, size_t n_target) noexcept nogil:
    """A node with one reference, below *parent* (whose reference the caller has taken) if there is one.

    With a parent, *source* and *target* are one name to be added to the parent's paths.
    """
    cdef dir_node *node
    cdef size_t n_s = n_source
    cdef size_t n_t = n_target
    if parent != NULL:
        n_s = joined_length(parent.source, parent.n_source, n_source)
        n_t = joined_length(parent.target, parent.n_target, n_target)
    node = <dir_node *>malloc(sizeof(dir_node) + n_s + n_t + 2)
    if node == NULL:
        return NULL
    memset(node, 0, sizeof(dir_node))
    node.parent = parent
    node.root = parent.root if parent != NULL else node
    node.n_refs = 1
    node.n_source = <unsigned int>n_s
    node.n_target = <unsigned int>n_t
    node.source = <char *>node + sizeof(dir_node)
    node.target = node.source + n_s + 1
    if parent != NULL:
        memcpy(node.source, parent.source, parent.n_source)
        memcpy(node.target, parent.target, parent.n_target)
    join_path(node.source, parent.n_source if parent != NULL else 0, source, n_source)
    join_path(node.target, parent.n_target if parent != NULL else 0, target, n_target)
    node.source[n_s] = 0
    node.target[n_t] = 0
    return node


cdef bint has_entry(const send_state *s, const dir_node *node) noexcept nogil:
    return not node.is_root_file and node.is_open and not node.is_unlisted and not s.config.is_dry_run


cdef void node_unref_locked(send_state *s, dir_node *node) noexcept nogil:
    cdef dir_node *parent
    while node != NULL:
        node.n_refs -= 1
        if node.n_refs:
            return
        if (has_entry(s, node) or (node.tells_absent and not node.is_settled)) and not escp_flag(&s.is_stopped):
            node.next = s.finished
            s.finished = node
            s.n_finished += 1
            pthread_cond_signal(&s.work)
            return
        parent = node.parent
        free(node)
        node = parent


cdef void node_unref(send_state *s, dir_node *node) noexcept nogil:
    pthread_mutex_lock(&s.lock)
    node_unref_locked(s, node)
    pthread_mutex_unlock(&s.lock)


cdef void item_close(item *it) noexcept nogil:
    if it.fd >= 0:
        c_close(it.fd)
    it.fd = -1
    free(it.link)
    it.link = NULL


cdef void item_put(send_state *s, const item *it) noexcept nogil:
    cdef item copy
    pthread_mutex_lock(&s.lock)
    while ((s.n_items == N_ITEMS or (it.fd >= 0 and s.n_open >= s.config.max_open))
            and not escp_flag(&s.is_stopped)):
        pthread_cond_wait(&s.room, &s.lock)
    if escp_flag(&s.is_stopped):
        copy = it[0]
        item_close(&copy)
        node_unref_locked(s, it.dir)
    else:
        s.items[(s.items_head + s.n_items) % N_ITEMS] = it[0]
        s.n_items += 1
        s.n_open += it.fd >= 0
        s.n_found_files += 1
        s.n_found_bytes += it.size
        pthread_cond_signal(&s.work)
    pthread_mutex_unlock(&s.lock)


cdef void sources_closed_locked(send_state *s, int n) noexcept nogil:
    cdef bint was_full = s.n_open >= s.config.max_open
    s.n_open -= n
    if n and was_full:
        pthread_cond_broadcast(&s.room)


cdef void large_close_locked(send_state *s, large_file *l) noexcept nogil:
    if l.fd >= 0:
        c_close(l.fd)
        l.fd = -1
        sources_closed_locked(s, 1)


cdef bint is_same_time(const timespec_t *one, const timespec_t *other) noexcept nogil:
    return one.tv_sec == other.tv_sec and one.tv_nsec == other.tv_nsec


cdef bint is_all_done_locked(send_state *s) noexcept nogil:
    return s.is_walked and is_idle_locked(s)


cdef bint is_idle_locked(send_state *s) noexcept nogil:
    return (s.n_walking == 0 and s.stack == NULL and not s.n_items and not s.n_put_off and s.current == NULL
            and s.finished == NULL and s.n_questions == 0 and s.n_free == N_FLIGHTS)


cdef int check_unchanged(int fd, const item *it, uint64_t n, fast_err *err) noexcept nogil:
    cdef stat_t now
    cdef int64_t more
    if fstat(fd, &now) < 0:
        return fail(err, FAST_SYS, errno, "stat")
    if now.st_size != it.status.st_size:
        return fail(err, FAST_CHANGED, 0, "size")
    if not is_same_time(&now.st_mtim, &it.status.st_mtim):
        return fail(err, FAST_CHANGED, 0, "time")
    # Who sets the other one back can't set this. A name more or less changes it, too: a file that was replaced.
    if now.st_nlink == it.status.st_nlink and not is_same_time(&now.st_ctim, &it.status.st_ctim):
        return fail(err, FAST_CHANGED, 0, "status")
    if n < it.size and not (it.is_measured and it.size <= SMALL_FILE_BYTES):
        return fail(err, FAST_CHANGED, 0, "short")
    if it.is_measured and n >= SMALL_FILE_BYTES:
        more = peek(fd, n)
        if more:
            return fail(err, FAST_SYS, errno, "read") if more < 0 else fail(err, FAST_CHANGED, 0, "long")
    return 0
