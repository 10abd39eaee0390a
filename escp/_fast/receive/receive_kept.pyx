"""What copies that were cut off have left of large files; see receive_kept.pxd."""

from libc.stdint cimport int64_t, uint64_t, uint8_t

from escp._fast.base.events cimport EVENT_PART, push_event
from escp._fast.base.libc cimport (FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, errno, escp_fetch_add, escp_flag,
                                   escp_pread_all, escp_thread_start, fallocate, free, fstat, ftruncate, malloc,
                                   memcpy, memset, pthread_join, pthread_t, stat_t, strlen)
from escp._fast.base.paths cimport join_path
from escp._fast.base.types cimport (FAST_PROTOCOL, FAST_SYS, MAX_BATCH, MAX_NAME_BYTES, MAX_PATH_BYTES, SLICE_BYTES,
                                    TAG_BYTES, clear, fail, fast_err)
from escp._fast.crypto.digest cimport digest128, digest_add, digest_update
from escp._fast.files.journal cimport forget_block, is_block_kept, journal_add, journal_forget, kept_blocks
from escp._fast.files.parts cimport parts_left, parts_sweep
from escp._fast.files.tree cimport directory_find
from escp._fast.receive.receive_state cimport (ANSWER_BEFORE, add_result, flush_results, open_large, receive_state,
                                               receive_stream, send_answer)
from escp._fast.wire.extras cimport extras_view, get_extras
from escp._fast.wire.payloads cimport (ENTRY_ASKS_PART, KEPT_BYTES, KEPT_HEAD_BYTES, MESSAGE_KEPT, RESULT_IS_WANTED,
                                       entry, put_id, put_kept)

cdef enum:
    CHECK_BYTES = 1048576  # read at a time: whole slices
    MAX_HELPERS = 7


# What the threads that read a part share.
ctypedef struct part_check:
    int fd
    uint64_t size
    uint64_t block
    kept_blocks *kept
    const int *is_stopped
    uint64_t next  # block


cdef int wish_part(receive_state *s, open_large *l, const entry *e, fast_err *err) noexcept nogil:
    cdef extras_view x
    memset(&l.wish, 0, sizeof(l.wish))
    l.file.wish = NULL
    l.n_kept = 0
    if e.flags & ENTRY_ASKS_PART and not s.config.resumes:
        return fail(err, FAST_PROTOCOL, 0, "question")
    if e.extras_bytes and get_extras(e.extras, e.extras_bytes, &x, err) < 0:
        return -1
    # Contents in place are lost as they come, and an old part could show through.
    if (e.extras_bytes == 0 or s.config.partial_min == 0 or e.size < s.config.partial_min or s.destination.overwrites
            or not s.config.has_checksum):
        return 0
    l.wish.source.job, l.wish.source.size, l.wish.source.block = s.config.job, e.size, s.config.block
    l.wish.source.mtime_s, l.wish.source.mtime_ns = e.mtime_s, e.mtime_ns
    l.wish.source.ino, l.wish.source.ctime_s, l.wish.source.ctime_ns = x.ino, x.ctime_s, x.ctime_ns
    l.wish.resumes = (e.flags & ENTRY_ASKS_PART) != 0
    l.file.wish = &l.wish
    return 0


cdef uint64_t length_of(uint64_t size, uint64_t block, uint64_t number) noexcept nogil:
    return block if size - number * block > block else size - number * block


cdef bint is_block_there(const part_check *c, uint64_t number, uint8_t *buffer) noexcept nogil:
    cdef uint64_t at = number * c.block
    cdef uint64_t left = length_of(c.size, c.block, number)
    cdef digest128 digest
    cdef size_t n
    digest.high = digest.low = 0
    while left:
        n = CHECK_BYTES if left > CHECK_BYTES else <size_t>left
        if escp_pread_all(c.fd, buffer, n, at) != <int64_t>n:
            return False
        digest_update(&digest, buffer, n, at // SLICE_BYTES)
        at += n
        left -= n
    return digest.high == c.kept.digests[number].high and digest.low == c.kept.digests[number].low


cdef void *check_blocks(void *arg) noexcept nogil:
    cdef part_check *c = <part_check *>arg
    cdef uint8_t *buffer = <uint8_t *>malloc(CHECK_BYTES)
    cdef uint64_t number = escp_fetch_add(&c.next, 1)
    while number < c.kept.n and not escp_flag(c.is_stopped):
        if is_block_kept(c.kept, number) and (buffer == NULL or not is_block_there(c, number, buffer)):
            forget_block(c.kept, number)
        number = escp_fetch_add(&c.next, 1)
    free(buffer)
    return NULL


cdef void forget_beyond(open_large *l, uint64_t block) noexcept nogil:
    """What is trusted has at least its length: after a crash a file may have lost its end."""
    cdef stat_t status
    cdef uint64_t i
    if fstat(l.file.fd, &status) < 0:
        status.st_size = 0
    for i in range(l.wish.kept.n):
        if i * block + length_of(l.what.size, block, i) > <uint64_t>status.st_size:
            forget_block(&l.wish.kept, i)


cdef void check_part(receive_state *s, open_large *l) noexcept nogil:
    """Read what is there, by as many threads as there are streams."""
    cdef pthread_t helpers[MAX_HELPERS]
    cdef part_check c
    cdef int n = 0
    c.fd, c.size, c.block, c.kept = l.file.fd, l.what.size, s.config.block, &l.wish.kept
    c.is_stopped, c.next = &s.is_stopped, 0
    while n < MAX_HELPERS and n < s.config.n_streams - 1 and escp_thread_start(
            &helpers[n], check_blocks, &c, "escp-verify") == 0:
        n += 1
    check_blocks(&c)
    while n:
        n -= 1
        pthread_join(helpers[n], NULL)


cdef int clear_block(receive_state *s, const open_large *l, uint64_t number, fast_err *err) noexcept nogil:
    if fallocate(l.file.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, number * s.config.block,
                 length_of(l.what.size, s.config.block, number)) < 0:
        return fail(err, FAST_SYS, errno, "allocate")
    return 0


cdef void start_again(open_large *l, fast_err *own) noexcept nogil:
    memset(l.wish.kept.digests, 0xff, l.wish.kept.n * sizeof(digest128))
    l.n_kept = l.digest.high = l.digest.low = 0
    journal_forget(&l.file.journal)
    if ftruncate(l.file.fd, 0) < 0:
        fail(own, FAST_SYS, errno, "truncate")


cdef void clear_rest(receive_state *s, open_large *l, fast_err *own) noexcept nogil:
    """Between the blocks that are kept there is nothing: what does not come of a file with holes is zero."""
    cdef uint64_t block = s.config.block
    cdef uint64_t at = 0
    cdef uint64_t end
    while at < l.what.size:
        end = at
        while end < l.what.size and not is_block_kept(&l.wish.kept, end // block):
            end = (end // block + 1) * block if end // block < l.wish.kept.n else l.what.size
        if end > at and fallocate(l.file.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, end - at) < 0:
            start_again(l, own)
            return
        at = end + block


cdef bint verify_part(receive_stream *t, open_large *l, fast_err *own) noexcept nogil:
    cdef receive_state *s = t.state
    cdef kept_blocks *kept = &l.wish.kept
    cdef fast_err what
    cdef uint64_t i
    if kept.digests != NULL:
        if s.config.trusts_parts:
            forget_beyond(l, s.config.block)
        else:
            check_part(s, l)
        for i in range(kept.n):
            if is_block_kept(kept, i):
                l.n_kept += length_of(l.what.size, s.config.block, i)
                digest_add(&l.digest, &kept.digests[i])
        if l.is_sparse or l.has_holes:
            clear_rest(s, l, own)
        if ftruncate(l.file.fd, l.what.size) < 0:
            fail(own, FAST_SYS, errno, "allocate")
        l.wish.news = "resumed" if l.n_kept else "damaged"
    if l.wish.news != NULL:
        clear(&what)
        what.where, what.offset = l.wish.news, <int64_t>l.n_kept
        push_event(&s.events, EVENT_PART, &what, False, l.path, l.what.path_bytes, NULL, 0)
    return kept.digests != NULL


cdef int answer_part(receive_stream *t, open_large *l, fast_err *err) noexcept nogil:
    cdef uint8_t frame[ANSWER_BEFORE + KEPT_HEAD_BYTES + MAX_BATCH * KEPT_BYTES + TAG_BYTES]
    cdef uint8_t *body = frame + ANSWER_BEFORE
    cdef kept_blocks *kept = &l.wish.kept
    cdef fast_err fine
    cdef uint64_t i
    cdef int n = 0
    if not l.what.flags & ENTRY_ASKS_PART:
        return 0
    put_id(body, l.id)
    for i in range(kept.n if l.n_kept else 0):
        if is_block_kept(kept, i):
            put_kept(body + KEPT_HEAD_BYTES + n * KEPT_BYTES, i, &kept.digests[i])
            n += 1
        if n and (n == MAX_BATCH or i + 1 == kept.n):
            if send_answer(t, frame, MESSAGE_KEPT, n, KEPT_HEAD_BYTES + n * KEPT_BYTES, err) < 0:
                return -1
            n = 0
            put_id(body, l.id)
    clear(&fine)
    if add_result(t, &l.what, &fine, RESULT_IS_WANTED, True, NULL, err) < 0:
        return -1
    return flush_results(t, err)


cdef bint replace_kept_locked(receive_state *s, open_large *l, uint64_t number) noexcept nogil:
    cdef kept_blocks *kept = &l.wish.kept
    cdef digest128 minus
    if not is_block_kept(kept, number):
        return False
    minus.low = ~kept.digests[number].low + 1  # modulo 2^128
    minus.high = ~kept.digests[number].high + (minus.low == 0)
    digest_add(&l.digest, &minus)
    l.n_kept -= length_of(l.what.size, s.config.block, number)
    forget_block(kept, number)
    return True


cdef void note_block(receive_state *s, open_large *l, uint64_t offset, const digest128 *digest) noexcept nogil:
    if l.file.is_part:
        journal_add(&l.file.journal, offset // s.config.block, digest)


# ---- Of files that do not come any more ------------------------------------------------------------

cdef void tell_left(void *state, const char *path, size_t n, const char *name) noexcept nogil:
    cdef receive_state *s = <receive_state *>state
    cdef char whole[MAX_PATH_BYTES + MAX_NAME_BYTES + 2]
    cdef fast_err what
    memcpy(whole, path, n)
    clear(&what)
    what.where, what.offset = "left", 0
    push_event(&s.events, EVENT_PART, &what, False, whole, join_path(whole, n, name, strlen(name)), NULL, 0)


cdef void sweep_parts(receive_stream *t, const entry *e) noexcept nogil:
    cdef receive_state *s = t.state
    cdef char path[MAX_PATH_BYTES + 1]
    cdef parts_left left
    cdef fast_err own
    cdef int fd = -1
    clear(&own)
    if s.config.partial_min == 0 or not s.config.engine.has_files or directory_find(
            &s.destination, &t.cache, e, &fd, &own) < 0 or fd < 0:
        return
    memcpy(path, e.path, e.path_bytes)
    path[e.path_bytes] = 0
    left.context, left.tell = s, tell_left
    parts_sweep(&s.destination, fd, path, e.path_bytes, &s.config.job, &left if s.config.resumes else NULL)
