"""Files with several names; see hard_links.pxd. The table is guarded by the state's lock."""

from libc.stdint cimport int64_t, uint8_t, uint64_t

from escp._fast.base.libc cimport (ENOMEM, S_ISREG, calloc, free, malloc, memcpy, memset, pthread_cond_broadcast,
                                   pthread_cond_signal, pthread_mutex_lock, pthread_mutex_unlock)
from escp._fast.base.paths cimport join_path, joined_length
from escp._fast.base.types cimport FAST_SYS, clear, fail, fast_err
from escp._fast.send.send_state cimport (LINKS_FAILED, LINKS_GOOD, LINKS_PENDING, LINKS_REFUSED, dir_node, flight,
                                         hard_link, item, item_close, node_unref_locked, put_off, report, send_state)
from escp._fast.wire.payloads cimport ENTRY_DEVICE, ENTRY_HARD_LINK, ENTRY_LINK, ENTRY_SMALL

cdef enum:
    FIRST_BUCKETS = 1024
    NS = 1000000000


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


cdef bint name_path_locked(hard_link *first, const dir_node *dir, const char *name, size_t n_name) noexcept nogil:
    """It is this name that others are linked to; False without memory."""
    cdef size_t n = joined_length(dir.target, dir.n_target, n_name)
    free(first.path)
    first.path = <char *>malloc(n + 1)
    if first.path == NULL:
        return False
    memcpy(first.path, dir.target, dir.n_target)
    join_path(first.path, dir.n_target, name, n_name)
    first.n_path = <unsigned short>n
    return True


cdef bint name_first_locked(send_state *s, hard_link *first, const item *it) noexcept nogil:
    """It is this name that is sent; False without memory."""
    if not name_path_locked(first, it.dir, it.name, it.n_name):
        resolve_links_locked(s, first, LINKS_FAILED)
        return False
    first.state, first.is_sent = LINKS_PENDING, True
    first.node = it.kind if it.kind == ENTRY_LINK or it.kind == ENTRY_DEVICE else 0
    first.n_disk, first.mtim = it.status.st_size, it.status.st_mtim
    return True


cdef hard_link *look_up_locked(send_state *s, uint64_t dev, uint64_t ino) noexcept nogil:
    cdef hard_link *node = NULL
    if s.n_link_buckets:
        node = s.link_buckets[bucket_of(dev, ino, s.n_link_buckets)]
    while node != NULL and (node.ino != ino or node.dev != dev):
        node = node.next
    return node


cdef hard_link *find_locked(send_state *s, const item *it) noexcept nogil:
    """The inode's node, made without a first name if there is none; NULL without memory."""
    cdef hard_link *node = look_up_locked(s, it.status.st_dev, it.status.st_ino)
    cdef uint64_t i
    if node != NULL:
        return node
    if s.n_hard_links >= s.n_link_buckets:
        grow_locked(s)
    if s.n_link_buckets == 0:
        return NULL
    i = bucket_of(it.status.st_dev, it.status.st_ino, s.n_link_buckets)
    node = <hard_link *>calloc(1, sizeof(hard_link))
    if node == NULL:
        return NULL
    node.dev, node.ino, node.state = it.status.st_dev, it.status.st_ino, LINKS_REFUSED
    node.next = s.link_buckets[i]
    s.link_buckets[i] = node
    s.n_hard_links += 1
    return node


cdef put_off *put_off_new(hard_link *first, dir_node *dir, const char *name, size_t n_name) noexcept nogil:
    cdef put_off *w = <put_off *>malloc(sizeof(put_off) + n_name)
    if w == NULL:
        return NULL
    w.first = first
    w.dir = dir
    w.n_name = <unsigned short>n_name
    w.name = <char *>w + sizeof(put_off)
    memcpy(w.name, name, n_name)
    return w


cdef void put_off_locked(send_state *s, put_off *w) noexcept nogil:
    """The name waits until its file's first one is known to be there."""
    w.next = w.first.waiting
    w.first.waiting = w
    s.n_put_off += 1
    s.n_found_files += 1


cdef bint take_hard_link(send_state *s, item *it) noexcept nogil:
    cdef fast_err own
    cdef hard_link *first
    cdef put_off *w = NULL
    cdef bint is_first = False
    cdef bint is_resolved = False
    pthread_mutex_lock(&s.lock)
    first = find_locked(s, it)
    if first != NULL and first.state == LINKS_REFUSED and first.n_asked == 0:
        is_first = name_first_locked(s, first, it)
    elif first != NULL and (first.state == LINKS_PENDING or first.state == LINKS_REFUSED):
        w = put_off_new(first, it.dir, it.name, it.n_name)
        if w != NULL:
            put_off_locked(s, w)
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
    first.state = <uint8_t>state
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


cdef hard_link *ask_links_locked(send_state *s, const item *q) noexcept nogil:
    cdef hard_link *links = NULL
    # What is asked about a directory has its own status.
    if s.config.keeps_hard_links and not s.config.is_dry_run and q.status.st_nlink > 1 and (
            S_ISREG(q.status.st_mode) if q.kind == ENTRY_SMALL else s.config.asks_nodes):
        links = find_locked(s, q)
    if links != NULL:
        links.n_asked += 1
    return links


cdef void same_links_locked(send_state *s, hard_link *links, const flight *f, dir_node *dir, const char *name,
                            size_t n_name) noexcept nogil:
    cdef put_off *w
    if links.state == LINKS_REFUSED and name_path_locked(links, dir, name, n_name):
        links.n_disk, links.ctime, links.stamp, links.node = f.n_disk, f.ctime, f.stamp, f.node
        links.mtim.tv_sec, links.mtim.tv_nsec = <int64_t>(f.mtime // NS), <int64_t>(f.mtime % NS)
        resolve_links_locked(s, links, LINKS_GOOD)
    elif links.is_sent and not dir.is_root_file and links.state != LINKS_FAILED:
        w = put_off_new(links, dir, name, n_name)  # without memory for it what is there stays as it is
        if w != NULL:
            dir.n_refs += 1
            put_off_locked(s, w)
            if links.state != LINKS_PENDING:
                resolve_links_locked(s, links, links.state)


cdef void answer_links_locked(send_state *s, hard_link *links, bint settles) noexcept nogil:
    links.n_asked -= 1
    if settles:
        settle_again_locked(s, links)


cdef void stamp_links_locked(send_state *s, const flight *f) noexcept nogil:
    f.links.stamp, f.links.ctime = f.stamp, f.ctime


cdef uint64_t find_links_stamp_locked(send_state *s, const flight *f, uint64_t *ctime) noexcept nogil:
    cdef hard_link *links = look_up_locked(s, f.dev, f.ino)
    if links == NULL:
        return 0
    ctime[0] = links.ctime
    return links.stamp


cdef void settle_again_locked(send_state *s, hard_link *first) noexcept nogil:
    cdef put_off *w = first.waiting
    if first.state == LINKS_REFUSED and first.n_asked == 0 and w != NULL:
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
