"""The sender's shared state; see send_state.pxd."""

from libc.stdint cimport uint8_t, uint16_t

from escp._fast.base.events cimport EVENT_FATAL, EVENT_FILE_FAILED, events_close, events_free, events_open, push_event
from escp._fast.base.libc cimport (SHUT_RDWR, c_close, calloc, escp_flag, escp_raise_flag, free, fstat, malloc, memcpy,
                                   memset, pthread_cond_broadcast, pthread_cond_destroy, pthread_cond_init,
                                   pthread_cond_signal, pthread_cond_wait, pthread_mutex_destroy, pthread_mutex_init,
                                   pthread_mutex_lock, pthread_mutex_unlock, shutdown)
from escp._fast.base.paths cimport join_path, joined_length
from escp._fast.base.types cimport FAST_STOPPED, MAX_NAME_BYTES, MAX_STREAMS, SELECT_ALL, fast_err
from escp._fast.files.owners cimport owners_close, owners_open
from escp._fast.wire.payloads cimport ENTRY_DIRECTORY, ENTRY_QUERY


cdef int state_open(send_state *s) except -1:
    """Set up *s*, which is zeroed but for its config."""
    cdef int i
    for i in range(MAX_STREAMS):
        s.sockets[i] = -1
    pthread_mutex_init(&s.lock, NULL)
    pthread_cond_init(&s.work, NULL)
    pthread_cond_init(&s.walk, NULL)
    pthread_cond_init(&s.room, NULL)
    s.flights = <flight *>calloc(N_FLIGHTS, sizeof(flight))
    s.long_names = <char *>calloc(N_FLIGHTS, MAX_NAME_BYTES)
    if s.flights == NULL or s.long_names == NULL:
        free(s.flights)
        free(s.long_names)
        s.flights = NULL
        raise MemoryError("flights")
    s.n_free = N_FLIGHTS
    owners_open(&s.owners)
    if s.config.selection != SELECT_ALL:
        s.questions = <item *>calloc(N_QUESTIONS, sizeof(item))
        if s.questions == NULL:
            raise MemoryError("questions")
    events_open(&s.events)
    return 0


cdef void free_put_off(send_state *s, put_off *w) noexcept nogil:
    cdef put_off *next
    while w != NULL:
        next = w.next
        node_unref_locked(s, w.dir)
        free(w)
        w = next


cdef void free_links(send_state *s) noexcept nogil:
    cdef hard_link *node
    cdef uint64_t i
    free_put_off(s, s.linkable)
    s.linkable = NULL
    for i in range(s.n_link_buckets):
        while s.link_buckets[i] != NULL:
            node = s.link_buckets[i]
            s.link_buckets[i] = node.next
            free_put_off(s, node.waiting)
            free(node)
    free(s.link_buckets)
    s.link_buckets = NULL
    s.n_link_buckets = 0


cdef void state_free(send_state *s) noexcept nogil:
    """Free what is left after all threads have ended."""
    cdef int i
    cdef dir_node *node
    if s.flights == NULL:
        return
    pthread_mutex_lock(&s.lock)
    while s.n_items:
        item_close(&s.items[s.items_head])
        node_unref_locked(s, s.items[s.items_head].dir)
        s.items_head = (s.items_head + 1) % N_ITEMS
        s.n_items -= 1
    for i in range(N_FLIGHTS):
        if s.flights[i].id:
            flight_end_locked(s, &s.flights[i])
    free_links(s)
    while s.n_questions:
        node_unref_locked(s, s.questions[s.questions_head].dir)
        s.questions_head = (s.questions_head + 1) % N_QUESTIONS
        s.n_questions -= 1
    while s.n_roots:
        node_unref_locked(s, s.roots[s.roots_head].node)
        s.roots_head = (s.roots_head + 1) % N_ROOTS
        s.n_roots -= 1
    while s.stack != NULL:
        node = s.stack
        s.stack = node.next
        node_unref_locked(s, node)
    while s.finished != NULL:
        node = s.finished
        s.finished = node.next
        if node.parent != NULL:
            node_unref_locked(s, node.parent)
        free(node)
    pthread_mutex_unlock(&s.lock)
    free(s.flights)
    free(s.long_names)
    free(s.questions)
    s.flights = NULL
    s.questions = NULL
    events_free(&s.events)
    owners_close(&s.owners)
    pthread_cond_destroy(&s.work)
    pthread_cond_destroy(&s.walk)
    pthread_cond_destroy(&s.room)
    pthread_mutex_destroy(&s.lock)


cdef void state_stop(send_state *s) noexcept nogil:
    cdef int i
    escp_raise_flag(&s.is_stopped)
    events_close(&s.events)
    pthread_mutex_lock(&s.lock)
    pthread_cond_broadcast(&s.work)
    pthread_cond_broadcast(&s.walk)
    pthread_cond_broadcast(&s.room)
    pthread_mutex_unlock(&s.lock)
    for i in range(s.config.n_streams):
        if s.sockets[i] >= 0:
            shutdown(s.sockets[i], SHUT_RDWR)


cdef void state_fail(send_state *s, const fast_err *err) noexcept nogil:
    cdef bint is_first = not escp_flag(&s.is_stopped)
    if is_first and err.code != FAST_STOPPED:
        push_event(&s.events, EVENT_FATAL, err, False, NULL, 0, NULL, 0)
    state_stop(s)


cdef void report(send_state *s, const fast_err *err, bint is_remote, dir_node *dir,
                 const char *name, size_t n_name) noexcept nogil:
    pthread_mutex_lock(&s.lock)
    s.n_failed += 1
    pthread_mutex_unlock(&s.lock)
    if is_remote:
        push_event(&s.events, EVENT_FILE_FAILED, err, True, dir.target, dir.n_target, name, n_name)
    else:
        push_event(&s.events, EVENT_FILE_FAILED, err, False, dir.source, dir.n_source, name, n_name)


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


cdef void settle_root_locked(send_state *s, const flight *f) noexcept nogil:
    if f.kind == ENTRY_DIRECTORY or f.dir.is_root_file:
        f.dir.is_settled = True


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
    while s.n_items == N_ITEMS and not escp_flag(&s.is_stopped):
        pthread_cond_wait(&s.room, &s.lock)
    if escp_flag(&s.is_stopped):
        copy = it[0]
        item_close(&copy)
        node_unref_locked(s, it.dir)
    else:
        s.items[(s.items_head + s.n_items) % N_ITEMS] = it[0]
        s.n_items += 1
        s.n_found_files += 1
        s.n_found_bytes += it.status.st_size
        pthread_cond_signal(&s.work)
    pthread_mutex_unlock(&s.lock)


cdef flight *flight_new_locked(send_state *s, uint8_t kind, dir_node *dir) noexcept nogil:
    """A flight that takes over the caller's reference to *dir*; NULL when all are in the air."""
    cdef flight *f
    cdef int i = s.first_free
    if s.n_free == 0:
        return NULL
    f = &s.flights[i]
    s.first_free = i + 1 + f.to_next_free
    s.n_free -= 1
    s.next_serial += 1
    f.id = s.next_serial * N_FLIGHTS + i  # its place in the table is the id's remainder
    f.kind = kind
    f.dir = dir
    f.large = NULL
    f.links = NULL
    f.is_sent = f.is_good = f.is_digest_known = False
    f.size = 0
    f.digest.high = f.digest.low = 0
    f.n_name = 0
    s.n_asked += kind == ENTRY_QUERY
    return f


cdef char *name_room(send_state *s, const flight *f, uint16_t n_name) noexcept nogil:
    return <char *>f.short_name if n_name <= SHORT_NAME_BYTES else s.long_names + (f - s.flights) * MAX_NAME_BYTES


cdef const char *flight_name(send_state *s, const flight *f) noexcept nogil:
    return name_room(s, f, f.n_name)


cdef void flight_set_name(send_state *s, flight *f, const char *name, uint16_t n_name) noexcept nogil:
    f.n_name = n_name
    memcpy(name_room(s, f, n_name), name, n_name)


cdef void resolve_links_locked(send_state *s, hard_link *first, bint is_good) noexcept nogil:
    """The first name's result is known: those that wait can go."""
    cdef put_off *w
    first.state = LINKS_GOOD if is_good else LINKS_FAILED
    while first.waiting != NULL:
        w = first.waiting
        first.waiting = w.next
        w.next = s.linkable
        s.linkable = w
    if s.linkable != NULL:
        pthread_cond_broadcast(&s.work)


cdef void flight_end_locked(send_state *s, flight *f) noexcept nogil:
    cdef dir_node *dir = f.dir
    cdef int i = <int>(f - s.flights)
    cdef bint was_large = f.large != NULL
    cdef bint was_question = f.kind == ENTRY_QUERY
    if f.links != NULL:
        resolve_links_locked(s, f.links, f.is_good)
        f.links = NULL
    if f.large != NULL:
        if f.large.fd >= 0:
            c_close(f.large.fd)
        f.large.is_used = False
    f.id = 0
    f.large = NULL
    f.dir = NULL
    f.to_next_free = s.first_free - i - 1
    s.first_free = i
    s.n_free += 1
    node_unref_locked(s, dir)
    if was_question:
        s.n_asked -= 1
        if s.n_asked == 0:  # perhaps the last work for walkers
            pthread_cond_broadcast(&s.walk)
        if s.n_asked == MAX_ASKED - ASK_ROOM:
            pthread_cond_broadcast(&s.work)
    # A free flight or place for a large file may be what streams wait for; the last one may end the work.
    if was_large or s.n_free == 1 or s.n_free == N_FLIGHTS:
        pthread_cond_broadcast(&s.work)


cdef bint is_all_done_locked(send_state *s) noexcept nogil:
    return s.is_walked and is_idle_locked(s)


cdef bint is_idle_locked(send_state *s) noexcept nogil:
    return (s.n_walking == 0 and s.stack == NULL and not s.n_items and not s.n_put_off and s.current == NULL
            and s.finished == NULL and s.n_questions == 0 and s.n_free == N_FLIGHTS)


cdef bint is_changed(int fd, const stat_t *before) noexcept nogil:
    cdef stat_t now
    return (fstat(fd, &now) < 0 or now.st_size != before.st_size or now.st_mtim.tv_sec != before.st_mtim.tv_sec
            or now.st_mtim.tv_nsec != before.st_mtim.tv_nsec)
