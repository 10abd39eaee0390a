"""Large files as they arrive, block by block; see receive_large.pxd."""

from libc.stdint cimport int64_t, uint32_t, uint64_t, uint8_t

from escp._fast.base.counters cimport count_contents
from escp._fast.base.libc cimport (ENOENT, ESPIPE, SYNC_FILE_RANGE_WRITE, calloc, errno, escp_fetch_add,
                                   escp_is_memory_fs, free, ftruncate, malloc, memcmp, memcpy, pthread_cond_broadcast,
                                   pthread_cond_wait, pthread_mutex_lock, pthread_mutex_unlock, sync_file_range)
from escp._fast.base.types cimport (FAST_DIGEST, FAST_MEMORY, FAST_OK, FAST_PROTOCOL, FAST_STOPPED, FAST_SYS,
                                    MAX_OPEN_LARGE, PAGE_BYTES, SLICE_BYTES, clear, fail, fast_err)
from escp._fast.crypto.digest cimport digest128, digest_add, digest_finish, digest_update
from escp._fast.files.commit cimport file_begin, file_commit
from escp._fast.files.death cimport is_removed
from escp._fast.files.journal cimport kept_close
from escp._fast.files.tree cimport file_discard
from escp._fast.io.pages cimport can_direct, has_zero_page, write_all, write_pages
from escp._fast.io.ring cimport (SLOT_FREE, SLOT_PENDING, io_slot, ring_done_slot, ring_reap, slot_finish,
                                 slot_write)
from escp._fast.receive.expected cimport expected_check, is_expected
from escp._fast.receive.grid cimport check_block_locked
from escp._fast.receive.receive_kept cimport (answer_part, clear_block, note_block, replace_kept_locked, verify_part,
                                              wish_part)
from escp._fast.receive.receive_state cimport (WINDOW_BLOCKS, add_result, flush_results, identify, open_large,
                                               receive_state, receive_stream)
from escp._fast.receive.reserve cimport (check_room, claim_room_locked, earn_room_locked, is_worth_reserving, reserve,
                                         stretch)
from escp._fast.receive.roots cimport roots_check
from escp._fast.receive.settle cimport commit_settled, settles
from escp._fast.wire.payloads cimport (ENTRY_HAS_HOLES, ENTRY_IS_ABANDONED, ENTRY_LARGE, RESULT_IS_EARLY, data_header,
                                       entry)


cdef enum:
    LOOK_BYTES = 16777216


cdef open_large *find_large_locked(receive_state *s, uint64_t id) noexcept nogil:
    cdef int i
    for i in range(MAX_OPEN_LARGE):
        if s.large[i].is_used and s.large[i].id == id:
            return &s.large[i]
    return NULL


cdef bint create_large(receive_stream *t, open_large *l, fast_err *own) noexcept nogil:
    """Create the file and room for its beginning. True when it is whole already, a clone of its source."""
    cdef receive_state *s = t.state
    cdef stretch room
    cdef bint is_old
    cdef int rc
    if s.config.engine.begin != NULL and not s.config.engine.has_files:
        if l.has_holes:
            fail(own, FAST_SYS, ESPIPE, "write")
        else:
            s.config.engine.begin(s.config.exchange, l.what.path, l.what.path_bytes, l.what.size, own)
        return False
    if not s.config.engine.has_files:
        return False
    identify(t, &l.what, &l.file.source)
    if file_begin(&s.destination, &t.cache, &l.what, False, &l.file, own) < 0:
        return False
    # What shares its source's blocks is not read, so there is nothing with which it could be compared.
    if (t.sink.link != NULL and not l.file.is_in_place and not s.destination.reads_back
            and not is_expected(&s.expected, &l.what) and t.sink.clone(t.sink.link, &l.what, l.file.fd, own)):
        count_contents(&s.streams[t.index], l.what.size, l.what.size)
        if own.code == FAST_OK:
            escp_fetch_add(&s.n_disk, l.what.size)
        return True
    if l.file.is_in_place:
        if l.has_holes:  # a pipe or a device can have none
            fail(own, FAST_SYS, ESPIPE, "write")
        return False
    if l.file.is_over and (l.has_holes or s.config.is_sparse) and ftruncate(l.file.fd, 0) < 0:
        fail(own, FAST_SYS, errno, "truncate")  # what is not written is to be zero
        return False
    l.is_sparse = s.config.is_sparse
    is_old = verify_part(t, l, own)  # while it is read through the page cache
    l.is_direct = s.config.is_direct and l.what.size >= s.config.direct_bytes and can_direct(l.file.fd)
    l.is_in_memory = escp_is_memory_fs(l.file.fd)
    room.n = 0
    if is_old:  # it has room for what is there, and the rest needs no steps
        return False
    # What never fits is not begun. How much a sparse file needs nobody knows yet; one that is written over has some.
    if not l.is_sparse and not l.file.is_over and check_room(s, l, own) < 0:
        return False
    if is_worth_reserving(l):
        pthread_mutex_lock(&s.lock)
        l.n_reserved = 0
        claim_room_locked(s, l, &room)
        pthread_mutex_unlock(&s.lock)
        rc = reserve(l, &room, own) if room.n else 0
        if rc < 0:
            ftruncate(l.file.fd, 0)  # what it got goes back at once: smaller files may still fit
            return False
        if rc:
            stop_reserving(s, l)
            room.n = 0
    # Inside the file's size blocks are written in any order, and by several streams at once.
    if (l.is_direct or l.is_sparse or l.has_holes) and room.n < l.what.size and ftruncate(l.file.fd, l.what.size) < 0:
        fail(own, FAST_SYS, errno, "allocate")
    return False


cdef void stop_reserving(receive_state *s, open_large *l) noexcept nogil:
    pthread_mutex_lock(&s.lock)
    l.n_reserved = l.what.size
    earn_room_locked(s, l, l.n_ahead)
    pthread_mutex_unlock(&s.lock)


cdef bint is_complete_locked(const open_large *l) noexcept nogil:
    """Asked by whoever has just made one of these so; the last one finishes the file."""
    return l.is_made and l.has_end and l.n_done == l.n_total


cdef int begin_large(receive_stream *t, entry *e, fast_err *err) noexcept nogil:
    """The file of this entry is open, created by the first stream that hears of it."""
    cdef receive_state *s = t.state
    cdef open_large *l
    cdef uint64_t n_blocks = (e.size + s.config.block - 1) // s.config.block
    cdef bint is_same
    cdef bint is_whole
    cdef bint is_finished
    cdef fast_err own
    cdef int rc
    cdef int i
    clear(&own)
    pthread_mutex_lock(&s.lock)
    l = find_large_locked(s, e.id)
    if l != NULL:
        is_same = l.what.size == e.size and l.what.flags == e.flags and l.what.path_bytes == e.path_bytes and memcmp(
            l.path, e.path, e.path_bytes) == 0
        pthread_mutex_unlock(&s.lock)
        return 0 if is_same else fail(err, FAST_PROTOCOL, 0, "large file")
    for i in range(MAX_OPEN_LARGE):
        if not s.large[i].is_used:
            l = &s.large[i]
            break
    if l == NULL or e.size == 0 or e.kind != ENTRY_LARGE:
        pthread_mutex_unlock(&s.lock)
        return fail(err, FAST_PROTOCOL, 0, "large file")
    # Claimed once, however many streams tell of it.
    if wish_part(s, l, e, err) < 0 or roots_check(&s.roots, e, err) < 0:
        pthread_mutex_unlock(&s.lock)
        return -1
    l.is_used, l.is_made = True, False
    l.id = e.id
    l.what = e[0]
    memcpy(l.path, e.path, e.path_bytes)
    l.what.path = l.path
    l.what.extras_bytes = 0
    l.file.fd = l.file.dirfd = -1
    l.file.stamp = 0
    l.file.is_part = l.file.has_temporary_name = l.file.owns_dirfd = False
    l.has_holes = (e.flags & ENTRY_HAS_HOLES) != 0
    l.extras = NULL
    l.is_direct = l.is_sparse = l.is_in_memory = l.is_failure_told = l.has_end = l.is_abandoned = False
    l.n_begun = l.n_done = l.n_total = l.low_block = l.n_ahead = 0
    l.look_at = LOOK_BYTES
    l.n_reserved = e.size  # none, until create_large knows that it is wanted
    l.digest.high = l.digest.low = 0
    l.n_blocks = n_blocks
    l.window = n_blocks if n_blocks < WINDOW_BLOCKS else <uint64_t>WINDOW_BLOCKS
    l.came = <uint8_t *>calloc(l.window // 8 + 1, 1)
    clear(&l.failure)
    if l.came == NULL:
        l.is_used = False
        pthread_mutex_unlock(&s.lock)
        return fail(err, FAST_MEMORY, 0, "large file")
    pthread_mutex_unlock(&s.lock)
    is_whole = create_large(t, l, &own)
    # Before it is made: then no other stream can end it, and free what is told here.
    rc = answer_part(t, l, err)
    pthread_mutex_lock(&s.lock)
    if own.code:
        fail(&l.failure, own.code, own.sys_errno, own.where)
    if is_whole:
        l.n_begun = l.n_done = l.what.size  # no block of it will come
    l.is_made = True
    is_finished = is_complete_locked(l)
    pthread_cond_broadcast(&s.made)
    pthread_mutex_unlock(&s.lock)
    return finish_large(t, l, err) if is_finished and rc == 0 else rc


cdef int finish_large(receive_stream *t, open_large *l, fast_err *err) noexcept nogil:
    """All its bytes have come: verify, name and answer, or discard."""
    cdef receive_state *s = t.state
    cdef bint has_file = s.config.engine.has_files
    if l.is_abandoned:
        fail(&l.failure, FAST_STOPPED, 0, "abandoned")
    elif l.n_done + l.n_kept != l.what.size and not l.has_holes:
        fail(&l.failure, FAST_DIGEST, 0, "length")
    if s.config.has_checksum:
        digest_finish(&l.digest, l.what.size)
        if l.digest.high != l.expected.high or l.digest.low != l.expected.low:
            fail(&l.failure, FAST_DIGEST, 0, "verify")
        expected_check(&s.expected, &l.what, &l.digest, &l.failure)
    if has_file and l.failure.code == FAST_OK and l.is_direct and l.what.size % PAGE_BYTES:
        if ftruncate(l.file.fd, l.what.size) < 0:
            fail(&l.failure, FAST_SYS, errno, "truncate")
    if s.config.engine.settle != NULL:
        s.config.engine.settle(&t.ring, &l.failure)
    if l.failure.code:
        file_discard(&l.file)
    elif has_file and settles(&s.destination):
        commit_settled(t, &l.file, &l.what, &l.expected, &l.failure)
    elif has_file:
        file_commit(&s.destination, &l.file, &l.what, &l.failure)
    if l.failure.code == FAST_OK:
        l.failure.sys_errno = l.file.source.reason
    t.stamp = l.file.stamp
    # The reason once more: the early result may come later than this one, on another stream.
    if add_result(t, &l.what, &l.failure, 0, l.is_failure_told, &l.digest, err) < 0:
        return -1
    pthread_mutex_lock(&s.lock)
    kept_close(&l.wish.kept)
    free(l.came)
    free(l.extras)
    l.came = l.extras = NULL
    earn_room_locked(s, l, l.n_ahead)
    l.is_used = False
    pthread_mutex_unlock(&s.lock)
    return 0


cdef int count_block(receive_stream *t, open_large *l, uint64_t n, const digest128 *part, const fast_err *own,
                     fast_err *err) noexcept nogil:
    """A block has been written, or *own* says why not. The last one finishes the file."""
    cdef receive_state *s = t.state
    cdef bint is_finished
    cdef bint tells = False
    pthread_mutex_lock(&s.lock)
    if own.code:
        fail(&l.failure, own.code, own.sys_errno, own.where)
    if l.failure.code and not l.is_failure_told and not (l.has_end and l.n_done + n == l.n_total):
        l.is_failure_told = tells = True
    pthread_mutex_unlock(&s.lock)
    # The sender need not go on with it. Said before this block counts: then another stream may finish the file.
    if tells and add_result(t, &l.what, &l.failure, RESULT_IS_EARLY, False, NULL, err) < 0:
        return -1
    pthread_mutex_lock(&s.lock)
    if part != NULL:
        digest_add(&l.digest, part)
    l.n_done += n
    is_finished = is_complete_locked(l)
    pthread_mutex_unlock(&s.lock)
    return finish_large(t, l, err) if is_finished else 0


cdef int end_large(receive_stream *t, const entry *e, fast_err *err) noexcept nogil:
    cdef receive_state *s = t.state
    cdef open_large *l = NULL
    cdef uint8_t *extras = NULL
    cdef bint is_finished
    if e.extras_bytes:  # kept until the last block has come, on whatever stream
        extras = <uint8_t *>malloc(e.extras_bytes)
        if extras == NULL:
            return fail(err, FAST_MEMORY, 0, "large file")
        memcpy(extras, e.extras, e.extras_bytes)
    pthread_mutex_lock(&s.lock)
    l = find_large_locked(s, e.id)
    if (l == NULL or l.has_end or e.size < l.n_begun or e.size > l.what.size
            or (l.what.flags ^ e.flags) & ENTRY_HAS_HOLES):
        pthread_mutex_unlock(&s.lock)
        free(extras)
        return fail(err, FAST_PROTOCOL, 0, "end of a large file")
    l.extras = extras
    l.what.extras, l.what.extras_bytes = extras, e.extras_bytes
    l.has_end = True
    l.n_total = e.size
    l.is_abandoned = e.flags & ENTRY_IS_ABANDONED
    l.expected = e.digest
    is_finished = is_complete_locked(l)
    pthread_mutex_unlock(&s.lock)
    return finish_large(t, l, err) if is_finished else 0


cdef open_large *take_place_locked(receive_state *s, const data_header *h, stretch *room, bint *is_due, bint *was_kept,
                                   fast_err *err) noexcept nogil:
    """The file of a block that has come, once it is made; NULL when the block must not come. *is_due*: of a look
    whether the file can still get its name."""
    cdef open_large *l = find_large_locked(s, h.id)
    if l == NULL:
        fail(err, FAST_PROTOCOL, 0, "block of an unknown file")
        return NULL
    if check_block_locked(s, l, h, err) < 0:
        return NULL
    while not l.is_made:
        pthread_cond_wait(&s.made, &s.lock)
    was_kept[0] = replace_kept_locked(s, l, h.offset // s.config.block)
    earn_room_locked(s, l, h.raw_bytes)
    if l.failure.code == FAST_OK:
        claim_room_locked(s, l, room)
    is_due[0] = l.n_begun >= l.look_at
    if is_due[0]:
        l.look_at = l.n_begun + LOOK_BYTES
    return l


cdef int take_block(receive_stream *t, io_slot *slot, const data_header *h, fast_err *err) noexcept nogil:
    """A block of a large file lies at slot.data: check, hash, write."""
    cdef receive_state *s = t.state
    cdef open_large *l
    cdef digest128 part
    cdef stretch room
    cdef fast_err own
    cdef bint is_dropped = False
    cdef bint is_due = False
    cdef bint was_kept = False
    cdef int rc
    clear(&own)
    room.n = 0
    part.high = part.low = 0
    pthread_mutex_lock(&s.lock)
    l = take_place_locked(s, h, &room, &is_due, &was_kept, err)
    if l != NULL:
        is_dropped = l.failure.code != FAST_OK or not (s.config.engine.has_files or s.config.engine.takes_blocks)
    pthread_mutex_unlock(&s.lock)
    if l == NULL:
        return -1
    if is_due and not is_dropped and is_removed(l.file.dirfd):
        is_dropped = True
        fail(&own, FAST_SYS, ENOENT, "create")
    if room.n and not is_dropped:
        rc = reserve(l, &room, &own)
        if rc < 0:
            is_dropped = True
        elif rc:
            stop_reserving(s, l)
    if was_kept and (l.is_sparse or l.has_holes) and clear_block(s, l, h.offset // s.config.block, &own) < 0:
        is_dropped = True
    if s.config.has_checksum:
        digest_update(&part, slot.data, h.raw_bytes, h.offset // SLICE_BYTES)
    if l.is_sparse and not is_dropped and has_zero_page(slot.data, h.raw_bytes):
        return take_sparse_block(t, l, slot, h, &part, err)
    if (l.is_direct or s.config.engine.takes_blocks) and not is_dropped:
        pthread_mutex_lock(&s.lock)
        digest_add(&l.digest, &part)
        pthread_mutex_unlock(&s.lock)
        slot.owner = l
        slot.digest = part
        slot_write(&t.ring, slot, l.file.fd, h.offset, h.raw_bytes, l.is_direct)
        if slot.state == SLOT_PENDING:
            return 0
        return end_write(t, slot, err)
    if not is_dropped:  # through the page cache: one writer at a time, or they fight for the inode's lock
        pthread_mutex_lock(&l.writing)
        write_all(l.file.fd, slot.data, h.raw_bytes, -1 if l.file.is_in_place else <int64_t>h.offset, &own)
        pthread_mutex_unlock(&l.writing)
    if s.config.direct_bytes and not is_dropped:  # within one host the disk begins at once, and not when memory is full
        sync_file_range(l.file.fd, h.offset, h.raw_bytes, SYNC_FILE_RANGE_WRITE)
    if own.code == FAST_OK and not is_dropped:
        escp_fetch_add(&s.n_disk, h.raw_bytes)
        note_block(s, l, h.offset, &part)
    return count_block(t, l, h.raw_bytes, &part, &own, err)


cdef int take_sparse_block(receive_stream *t, open_large *l, io_slot *slot, const data_header *h,
                           const digest128 *part, fast_err *err) noexcept nogil:
    """A block of which some pages are not written."""
    cdef fast_err own
    cdef int64_t n
    clear(&own)
    if not l.is_direct:
        pthread_mutex_lock(&l.writing)
    n = write_pages(l.file.fd, slot.data, h.raw_bytes, h.offset, l.is_direct, &own)
    if not l.is_direct:
        pthread_mutex_unlock(&l.writing)
    if n > 0:
        escp_fetch_add(&t.state.n_disk, n)
    if own.code == FAST_OK:
        note_block(t.state, l, h.offset, part)
    return count_block(t, l, h.raw_bytes, part, &own, err)


cdef int end_write(receive_stream *t, io_slot *slot, fast_err *err) noexcept nogil:
    """A write is over, or never went to the kernel and is done now."""
    cdef fast_err own
    cdef uint32_t n = slot.n_bytes
    clear(&own)
    if slot_finish(&t.ring, slot, &own) == 0:
        escp_fetch_add(&t.state.n_disk, n)
        note_block(t.state, <open_large *>slot.owner, slot.offset, &slot.digest)
    slot.state = SLOT_FREE
    return count_block(t, <open_large *>slot.owner, n, NULL, &own, err)


cdef int end_writes(receive_stream *t, int least, fast_err *err) noexcept nogil:
    """Take in completed writes, waiting for *least* of them."""
    cdef io_slot *slot
    if ring_reap(&t.ring, least, err) < 0:
        return -1
    slot = ring_done_slot(&t.ring)
    while slot != NULL:
        if end_write(t, slot, err) < 0:
            return -1
        slot = ring_done_slot(&t.ring)
    return flush_results(t, err)
