"""Files with several names; see hard_links.pxd. The table is guarded by the state's lock."""

from libc.stdint cimport uint64_t

from escp._fast.base.libc cimport (ENOMEM, calloc, free, malloc, memcpy, memset, pthread_cond_broadcast,
                                   pthread_cond_signal, pthread_mutex_lock, pthread_mutex_unlock)
from escp._fast.base.paths cimport join_path, joined_length
from escp._fast.base.types cimport FAST_SYS, clear, fail, fast_err
from escp._fast.send.send_state cimport (LINKS_FAILED, LINKS_PENDING, LINKS_REFUSED, hard_link, item, item_close,
                                         node_unref_locked, put_off, report, send_state)
from escp._fast.wire.payloads cimport ENTRY_HARD_LINK

cdef enum:
    FIRST_BUCKETS = 1024


cdef inline uint64_t bucket_of(uint64_t dev, uint64_t ino, uint64_t n_buckets) noexcept nogil:
    return ((ino ^ dev << 32) * <uint64_t>0x9E3779B97F4A7C15 >> 32) & (n_buckets - 1)


cdef void grow_locked(send_state *s) noexcept nogil:
    """Twice the buckets; without the memory for it the chains only get longer."""
    cdef uint64_t n = s.n_link_buckets * 2 if s.n_link_buckets else <uint64_t>FIRST_BUCKETS
    cdef hard_link **table = <hard_link **>calloc(n, sizeof(hard_link *))
    cdef hard_link *node
    cdef hard_link *next
    cdef uint64_t i
    if table == NULL:
        return
    for i in range(s.n_link_buckets):
        node = s.link_buckets[i]
        while node != NULL:
            next = node.next
            node.next = table[bucket_of(node.dev, node.ino, n)]
            table[bucket_of(node.dev, node.ino, n)] = node
            node = next
    free(s.link_buckets)
    s.link_buckets = table
    s.n_link_buckets = n


cdef bint name_first_locked(send_state *s, hard_link *first, const item *it) noexcept nogil:
    """It is this name that is sent; False without memory."""
    cdef size_t n = joined_length(it.dir.target, it.dir.n_target, it.n_name)
    free(first.path)
    first.path = <char *>malloc(n + 1)
    if first.path == NULL:
        resolve_links_locked(s, first, LINKS_FAILED)
        return False
    memcpy(first.path, it.dir.target, it.dir.n_target)
    join_path(first.path, it.dir.n_target, it.name, it.n_name)
    first.n_path = <unsigned short>n
    first.state = LINKS_PENDING
    first.n_disk, first.mtim = it.status.st_size, it.status.st_mtim
    return True


cdef hard_link *find_locked(send_state *s, const item *it) noexcept nogil:
    """The inode's node, made without a first name if there is none; NULL without memory."""
    cdef hard_link *node
    cdef uint64_t i
    if s.n_hard_links >= s.n_link_buckets:
        grow_locked(s)
    if s.n_link_buckets == 0:
        return NULL
    i = bucket_of(it.status.st_dev, it.status.st_ino, s.n_link_buckets)
    node = s.link_buckets[i]
    while node != NULL:
        if node.ino == it.status.st_ino and node.dev == it.status.st_dev:
            return node
        node = node.next
    node = <hard_link *>calloc(1, sizeof(hard_link))
    if node == NULL:
        return NULL
    node.dev, node.ino, node.state = it.status.st_dev, it.status.st_ino, LINKS_REFUSED
    node.next = s.link_buckets[i]
    s.link_buckets[i] = node
    s.n_hard_links += 1
    return node


cdef put_off *put_off_new(hard_link *first, const item *it) noexcept nogil:
    cdef put_off *w = <put_off *>malloc(sizeof(put_off) + it.n_name)
    if w == NULL:
        return NULL
    w.first = first
    w.dir = it.dir
    w.n_name = it.n_name
    w.name = <char *>w + sizeof(put_off)
    memcpy(w.name, it.name, it.n_name)
    return w


cdef bint take_hard_link(send_state *s, item *it) noexcept nogil:
    cdef fast_err own
    cdef hard_link *first
    cdef put_off *w = NULL
    cdef bint is_first = False
    cdef bint is_resolved = False
    pthread_mutex_lock(&s.lock)
    first = find_locked(s, it)
    if first != NULL and first.state == LINKS_REFUSED:
        is_first = name_first_locked(s, first, it)
    elif first != NULL and first.state == LINKS_PENDING:
        w = put_off_new(first, it)
        if w != NULL:
            w.next = first.waiting
            first.waiting = w
            s.n_put_off += 1
            s.n_found_files += 1
    elif first != NULL:
        is_resolved = True
    pthread_mutex_unlock(&s.lock)
    if is_first:
        it.links = first
        return False
    item_close(it)
    if is_resolved:
        it.kind, it.links = ENTRY_HARD_LINK, first
        it.size = 0
        return False
    if w == NULL:
        clear(&own)
        fail(&own, FAST_SYS, ENOMEM, "open")
        report(s, &own, False, it.dir, it.name, it.n_name)
        pthread_mutex_lock(&s.lock)
        node_unref_locked(s, it.dir)
        pthread_mutex_unlock(&s.lock)
    return True


cdef void end_put_off_locked(send_state *s) noexcept nogil:
    s.n_put_off -= 1
    pthread_cond_broadcast(&s.room)
    if s.n_put_off == 0 or s.n_put_off == N_PUT_OFF - 1:
        pthread_cond_broadcast(&s.walk)  # perhaps they waited for this only


cdef bint pop_link_locked(send_state *s, item *it) noexcept nogil:
    cdef put_off *w = s.linkable
    if w == NULL:
        return False
    memset(it, 0, sizeof(item))
    it.fd = -1
    it.kind, it.links, it.dir = ENTRY_HARD_LINK, w.first, w.dir
    it.n_name = w.n_name
    memcpy(it.name, w.name, w.n_name)
    s.linkable = w.next
    free(w)
    end_put_off_locked(s)
    return True


cdef void resolve_links_locked(send_state *s, hard_link *first, int state) noexcept nogil:
    cdef put_off *w
    first.state = state
    if state == LINKS_REFUSED:
        settle_again_locked(s, first)
        return
    while first.waiting != NULL:
        w = first.waiting
        first.waiting = w.next
        w.next = s.linkable
        s.linkable = w
    if s.linkable != NULL:
        pthread_cond_broadcast(&s.work)


cdef void settle_again_locked(send_state *s, hard_link *first) noexcept nogil:
    cdef put_off *w = first.waiting
    if first.state == LINKS_REFUSED and w != NULL:
        first.waiting = w.next
        w.next = s.again
        s.again = w
        pthread_cond_signal(&s.walk)
        if s.n_put_off >= N_PUT_OFF:  # then walkers wait there, and take it
            pthread_cond_broadcast(&s.room)


cdef bint take_again_locked(send_state *s, put_off *one, char *name) noexcept nogil:
    cdef put_off *w = s.again
    if w == NULL:
        return False
    s.again = w.next
    one[0] = w[0]
    memcpy(name, w.name, w.n_name)
    name[w.n_name] = 0
    free(w)
    s.n_found_files -= 1  # it is found once more
    end_put_off_locked(s)
    return True


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
    free_put_off(s, s.again)
    s.linkable = s.again = NULL
    for i in range(s.n_link_buckets):
        while s.link_buckets[i] != NULL:
            node = s.link_buckets[i]
            s.link_buckets[i] = node.next
            free_put_off(s, node.waiting)
            free(node.path)
            free(node)
    free(s.link_buckets)
    s.link_buckets = NULL
    s.n_link_buckets = 0
