"""What may not have to be sent: the walkers' side; see walk_query.pxd."""

from libc.stdint cimport uint64_t, uint8_t

from escp._fast.base.events cimport EVENT_ITEM
from escp._fast.base.libc cimport (AT_SYMLINK_NOFOLLOW, EFBIG, O_CLOEXEC, O_NOFOLLOW, O_PATH, S_ISREG, c_close, errno,
                                   escp_flag, free, fstat, malloc, memcpy, memset, pthread_cond_signal,
                                   pthread_cond_wait, pthread_mutex_lock, pthread_mutex_unlock, stat_t, strlen)
from escp._fast.base.types cimport (FAST_CHANGED, FAST_MEMORY, FAST_SPECIAL, FAST_SYS, REASON_ATTRIBUTES,
                                    REASON_CONTENTS, REASON_NONE, REASON_SAME, REASON_TYPE, SELECT_ALL,
                                    SMALL_FILE_BYTES, clear, fail, fast_err)
from escp._fast.crypto.digest cimport digest128
from escp._fast.files.bounds cimport bound_status
from escp._fast.files.compare cimport digest_file
from escp._fast.files.guard cimport guarded_fstatat, guarded_openat
from escp._fast.files.reason cimport digest_text
from escp._fast.files.sizes cimport find_size, is_size_true, measure, peek
from escp._fast.send.below cimport open_below, root_way
from escp._fast.send.hard_links cimport (answer_links_locked, ask_links_locked, same_links_locked,
                                         settle_again_locked)
from escp._fast.send.questions cimport is_time_to_ask_locked, take_wanted_locked, wanted_file
from escp._fast.send.send_stamps cimport find_stamp
from escp._fast.send.send_state cimport (N_QUESTIONS, dir_node, hard_link, item, node_unref, node_unref_locked, report,
                                         send_state, tell_name)
from escp._fast.walk.walk_files cimport (is_out_of_bounds, list_name, open_flags, read_node, take_below, take_file,
                                         take_opened, tell)
from escp._fast.wire.payloads cimport ENTRY_DEVICE, ENTRY_DIRECTORY, ENTRY_LINK, ENTRY_SMALL

cdef enum:
    COMPARED_BYTES = 1048576  # read at a time


cdef int is_same(send_state *s, int fd, const wanted_file *asked, fast_err *err) noexcept nogil:
    """1: the file has the digest that the receiver's has; 0: it has not."""
    cdef stat_t status
    cdef digest128 digest
    cdef uint8_t *buffer
    cdef uint64_t size = 0
    cdef bint is_measured = False
    cdef int rc
    if fstat(fd, &status) < 0:
        return fail(err, FAST_SYS, errno, "stat")
    if find_size(fd, &status, &s.known_dev, &s.is_stopped, &size, &is_measured, err) < 0:
        return -1
    if size != asked.size and not is_measured:
        return 0
    buffer = <uint8_t *>malloc(COMPARED_BYTES)
    if buffer == NULL:
        return fail(err, FAST_MEMORY, 0, "compare")
    rc = digest_file(fd, asked.size, buffer, COMPARED_BYTES, &s.is_stopped, &digest, err)
    free(buffer)
    if rc < 0 and err.code == FAST_CHANGED and is_measured:  # it is shorter now
        clear(err)
        return 0
    if rc == 0 and is_measured and peek(fd, asked.size) != 0:
        return 0
    return rc if rc < 0 else digest.high == asked.digest.high and digest.low == asked.digest.low


cdef void list_node(send_state *s, root_way *way, const wanted_file *asked) noexcept nogil:
    """In a dry run: a link or device. A receiver that can't judge it has told of what is there as if it had been asked
    for a file."""
    cdef int fd = -1
    cdef bint is_link = False
    cdef int reason = asked.reason
    cdef digest128 digest
    if s.config.asks_nodes:
        list_name(s, asked.dir, asked.name, asked.node, 0, reason)
        return
    fd = open_below(s, way, asked.dir, asked.name, asked.n_name, O_PATH | O_NOFOLLOW | O_CLOEXEC)
    if fd >= 0:
        is_link = digest_text(fd, "", &digest)
        c_close(fd)
    if reason == REASON_CONTENTS:  # there is a file
        reason = REASON_TYPE
    elif reason == REASON_TYPE and is_link and asked.is_digest_known:
        reason = REASON_ATTRIBUTES if (
            digest.high == asked.digest.high and digest.low == asked.digest.low) else REASON_CONTENTS
    elif reason == REASON_TYPE and not is_link and not asked.is_digest_known:  # a directory counts as a device, too
        reason = REASON_CONTENTS
    list_name(s, asked.dir, asked.name, ENTRY_LINK if is_link else ENTRY_DEVICE, 0, reason)


cdef void answer_links(send_state *s, hard_link *links, bint is_over) noexcept nogil:
    """The question about a name of that file is answered; *is_over*: and what came of it is done."""
    if links == NULL:
        return
    pthread_mutex_lock(&s.lock)
    if is_over:
        settle_again_locked(s, links)
    else:
        answer_links_locked(s, links, False)
    pthread_mutex_unlock(&s.lock)


cdef void take_wanted(send_state *s, root_way *way, const wanted_file *asked) noexcept nogil:
    cdef dir_node *dir = asked.dir
    cdef fast_err err
    cdef int fd = -1
    cdef int rc = 0
    cdef int reason = asked.reason
    cdef hard_link *links = asked.links
    clear(&err)
    if asked.node and not s.config.is_dry_run:
        answer_links(s, links, False)
        take_below(s, way, dir, asked.name, asked.n_name)
        answer_links(s, links, True)
        return
    if asked.node:
        list_node(s, way, asked)
        pthread_mutex_lock(&s.lock)
        node_unref_locked(s, dir)
        pthread_mutex_unlock(&s.lock)
        return
    if asked.is_digest_known or not s.config.is_dry_run:
        fd = open_below(s, way, dir, asked.name, asked.n_name, open_flags(s))
    if asked.is_digest_known:
        rc = fail(&err, FAST_SYS, errno, "open") if fd < 0 else is_same(s, fd, asked, &err)
    if rc == 1 and asked.is_for_reason:
        reason, rc = REASON_ATTRIBUTES, 0
    if rc == 0 and not s.config.is_dry_run:
        answer_links(s, links, False)
        take_opened(s, fd, dir, asked.name)
        answer_links(s, links, True)
        return
    if fd >= 0:
        c_close(fd)
    if rc == 1 and s.config.tells_same and (asked.n_name or dir.is_root_file):
        tell_name(s, EVENT_ITEM, REASON_SAME, ENTRY_SMALL, asked.size, dir, asked.name, asked.n_name)
    if rc == 0:
        if asked.n_name == 0 and not dir.is_root_file:
            list_name(s, dir, "", ENTRY_DIRECTORY, 0, reason)
        else:
            list_name(s, dir, asked.name, ENTRY_SMALL, asked.size, reason)
    elif rc < 0:
        report(s, &err, False, dir, asked.name, asked.n_name)
    pthread_mutex_lock(&s.lock)
    s.n_skipped += rc == 1
    if links != NULL and rc == 1 and not dir.is_root_file:
        same_links_locked(s, links, &asked.mark, dir, asked.name, asked.n_name)
    if links != NULL:
        answer_links_locked(s, links, True)
    node_unref_locked(s, dir)
    pthread_mutex_unlock(&s.lock)


cdef void ask(send_state *s, root_way *way, const item *q) noexcept nogil:
    """Queue a question; takes over its reference. While there is no room, this walker sends files that are wanted."""
    cdef wanted_file wanted
    pthread_mutex_lock(&s.lock)
    while s.n_questions == N_QUESTIONS and not escp_flag(&s.is_stopped):
        if take_wanted_locked(s, &wanted):
            pthread_mutex_unlock(&s.lock)
            take_wanted(s, way, &wanted)
            pthread_mutex_lock(&s.lock)
        else:
            pthread_cond_wait(&s.room, &s.lock)
    if escp_flag(&s.is_stopped):
        free(q.link)
        node_unref_locked(s, q.dir)
    else:
        s.questions[(s.questions_head + s.n_questions) % N_QUESTIONS] = q[0]
        s.questions[(s.questions_head + s.n_questions) % N_QUESTIONS].links = ask_links_locked(s, q)
        s.n_questions += 1
        if is_time_to_ask_locked(s):
            pthread_cond_signal(&s.work)
    pthread_mutex_unlock(&s.lock)


cdef int find_asked_size(send_state *s, int dirfd, const char *path, item *q, fast_err *err) noexcept nogil:
    """Find the size that the receiver would get: the question names it."""
    cdef int fd = -1
    cdef int rc = 0
    q.size = q.status.st_size
    q.is_measured = False
    if not is_size_true(&q.status, &s.known_dev):
        fd = guarded_openat(dirfd, path, open_flags(s))
    if fd < 0:  # if it can't be opened, that is told once it is wanted
        return 0
    rc = find_size(fd, &q.status, &s.known_dev, &s.is_stopped, &q.size, &q.is_measured, err)
    if rc == 0 and q.is_measured and q.size <= SMALL_FILE_BYTES:
        rc = measure(fd, &s.is_stopped, &q.size, err)
    c_close(fd)
    return rc


cdef bint asks(send_state *s, const dir_node *dir, const char *name, item *q) noexcept nogil:
    q.stamp = find_stamp(s, q, dir, name)
    return q.stamp != 0 or s.config.selection != SELECT_ALL or (s.config.itemizes and s.config.is_dry_run)


cdef void consider(send_state *s, root_way *way, int dirfd, const char *path, dir_node *dir,
                   const char *name) noexcept nogil:
    cdef fast_err own
    cdef item q
    clear(&own)
    if guarded_fstatat(dirfd, path, &q.status, AT_SYMLINK_NOFOLLOW if s.config.keeps_links else 0) < 0:
        tell(s, dir, name, FAST_SYS, errno, "stat")
    elif not S_ISREG(q.status.st_mode):  # it was a file a moment ago
        tell(s, dir, name, FAST_SPECIAL, 0, "stat")
    elif not bound_status(&q.status):
        tell(s, dir, name, FAST_SYS, EFBIG, "stat")
    elif find_asked_size(s, dirfd, path, &q, &own) < 0:
        report(s, &own, False, dir, name, strlen(name))
    elif is_out_of_bounds(s, q.size):
        pass
    elif asks(s, dir, name, &q):
        q.fd = -1
        q.kind = ENTRY_SMALL
        q.link = NULL
        q.dir = dir
        q.n_name = <unsigned short>strlen(name)
        memcpy(q.name, name, q.n_name)
        ask(s, way, &q)
        return
    elif s.config.is_dry_run:
        list_name(s, dir, name, ENTRY_SMALL, q.size, REASON_NONE)
    else:
        take_file(s, dirfd, path, dir, name)
        return
    node_unref(s, dir)


cdef void consider_node(send_state *s, root_way *way, int dirfd, const char *path, dir_node *dir, const char *name,
                        const stat_t *status) noexcept nogil:
    cdef item q
    if not s.config.asks_nodes:
        memset(&q, 0, sizeof(item))
        q.fd = -1
        q.kind = ENTRY_LINK
        q.status = status[0]
        bound_status(&q.status)
    elif not read_node(s, dirfd, path, dir, name, status, &q):
        node_unref(s, dir)
        return
    q.dir = dir
    q.n_name = <unsigned short>strlen(name)
    memcpy(q.name, name, q.n_name)
    ask(s, way, &q)


cdef void consider_directory(send_state *s, root_way *way, dir_node *dir) noexcept nogil:
    cdef item q
    if s.config.selection == SELECT_ALL and not s.config.itemizes:
        list_name(s, dir, "", ENTRY_DIRECTORY, 0, REASON_NONE)
        return
    q.fd = -1
    q.kind = ENTRY_SMALL
    q.link = NULL
    q.dir = dir
    q.n_name = 0
    q.status = dir.status
    q.size = q.stamp = 0
    q.is_measured = False
    pthread_mutex_lock(&s.lock)
    dir.n_refs += 1
    pthread_mutex_unlock(&s.lock)
    ask(s, way, &q)
