"""Small files as they arrive in bundles; see receive_small.pxd."""

from libc.stdint cimport int64_t, uint8_t

from escp._fast.base.counters cimport read_clock
from escp._fast.base.libc cimport (MSG_DONTWAIT, MSG_PEEK, dup, errno, escp_fetch_add, ftruncate, memcmp, memcpy,
                                   recv)
from escp._fast.base.paths cimport last_slash
from escp._fast.base.types cimport FAST_DIGEST, FAST_OK, FAST_SYS, clear, fail, fast_err
from escp._fast.crypto.digest cimport digest128, digest_finish, digest_update
from escp._fast.files.commit cimport file_begin, file_commit, file_dress, file_place
from escp._fast.files.durable cimport sync_files, unsynced
from escp._fast.files.tree cimport file_discard, new_file
from escp._fast.io.pages cimport has_zero_page, write_all, write_pages
from escp._fast.io.ring cimport io_engine
from escp._fast.receive.expected cimport expected_check
from escp._fast.receive.receive_state cimport (add_result, drop_held, flush_results, held_file, identify,
                                               receive_state, receive_stream)
from escp._fast.receive.settle cimport read_back
from escp._fast.wire.payloads cimport entry

cdef enum:
    HELD_NS = 500000000


cdef int verify_small(receive_state *s, const entry *e, const uint8_t *data, digest128 *digest,
                      fast_err *own) noexcept nogil:
    digest.high = digest.low = 0
    if not s.config.has_checksum:
        return 0
    digest_update(digest, data, e.size, 0)
    digest_finish(digest, e.size)
    if digest.high != e.digest.high or digest.low != e.digest.low:
        return fail(own, FAST_DIGEST, 0, "verify")
    return expected_check(&s.expected, e, digest, own)


cdef int share_small(receive_stream *t, const entry *e, const uint8_t *data, fast_err *own) noexcept nogil:
    """To another program, which hears of a failure, too."""
    cdef const io_engine *engine = t.state.config.engine
    if own.code == FAST_OK and engine.begin(t.state.config.exchange, e.path, e.path_bytes, e.size, own) == 0 and e.size:
        engine.put_small(&t.ring, data, e.size, own)
    return engine.settle(&t.ring, own)


cdef int write_small(receive_stream *t, const entry *e, const uint8_t *data, new_file *f, digest128 *digest,
                     fast_err *own) noexcept nogil:
    """Verify and write the file, which has no name yet."""
    cdef receive_state *s = t.state
    cdef int64_t n = e.size
    f.fd = -1
    f.is_part = False
    f.source.reason = 0
    f.stamp = 0
    verify_small(s, e, data, digest, own)
    if s.config.engine.settle != NULL:
        return share_small(t, e, data, own)
    if own.code:
        return -1
    if s.config.engine.takes_blocks:
        return s.config.engine.put_small(&t.ring, data, e.size, own) if e.size else 0
    if not s.config.engine.has_files:
        return 0
    identify(t, e, &f.source)
    f.wish = NULL
    if file_begin(&s.destination, &t.cache, e, True, f, own) < 0:
        return -1
    if s.config.is_sparse and not f.is_in_place and not f.is_over and has_zero_page(data, e.size):
        if ftruncate(f.fd, e.size) < 0:
            fail(own, FAST_SYS, errno, "truncate")
        else:
            n = write_pages(f.fd, <uint8_t *>data, e.size, 0, False, own)
    else:
        write_all(f.fd, data, e.size, -1 if f.is_in_place else 0, own)
    if own.code:
        file_discard(f)
        return -1
    escp_fetch_add(&s.n_disk, n)
    return 0


# ---- Held until a batch of them is at the disk --------------------------------------------------------

cdef bint is_neighbour(const entry *a, const entry *b) noexcept nogil:
    """Whether both are in one directory."""
    cdef ssize_t n = last_slash(a.path, a.path_bytes)
    return n == last_slash(b.path, b.path_bytes) and (a.root_bytes == b.root_bytes or n < 0) and (
        n < 0 or memcmp(a.path, b.path, n) == 0)


cdef int keep_held_directory(held_file *h, const held_file *before) noexcept nogil:
    """Keep the directory open until the file has its name: the cache may close its descriptor before. A neighbour's
    descriptor will do."""
    if h.file.dirfd < 0:  # a pipe or a device
        return 0
    if before != NULL and before.dirfd >= 0 and is_neighbour(&h.what, &before.what):
        h.dirfd = before.dirfd
    else:
        h.dirfd = h.own_dirfd = dup(h.file.dirfd)
    if h.dirfd < 0:
        return -1
    h.file.dirfd = h.dirfd
    return 0


cdef void hold(receive_stream *t, const entry *e, const uint8_t *data) noexcept nogil:
    """Write a file that gets its name later."""
    cdef held_file *h = &t.held[t.n_waiting]
    cdef unsynced *u = &t.unsynced[t.n_waiting]
    clear(&u.err)
    clear(&h.lacks)
    h.what = e[0]
    memcpy(h.path, e.path, e.path_bytes)
    h.what.path, h.what.extras, h.what.extras_bytes = h.path, NULL, 0
    h.dirfd = h.own_dirfd = h.file.dirfd = -1
    h.file.is_part = h.file.has_temporary_name = h.file.owns_dirfd = False
    if t.n_waiting == 0:
        t.held_since_ns = read_clock()
    t.n_waiting += 1
    if write_small(t, e, data, &h.file, &h.digest, &u.err) < 0:
        return
    if keep_held_directory(h, h - 1 if t.n_waiting > 1 else NULL) < 0:
        fail(&u.err, FAST_SYS, errno, "create")
    else:
        file_dress(&t.state.destination, &h.file, e, &h.lacks, &u.err)
    if u.err.code:
        file_discard(&h.file)
    u.fd, u.system = h.file.fd, h.file.system


cdef int settle_small(receive_stream *t, fast_err *err) noexcept nogil:
    cdef held_file *h
    cdef fast_err *own
    cdef int rc = 0
    cdef int i
    sync_files(&t.state.destination.durable, t.unsynced, t.n_waiting)
    for i in range(t.n_waiting):
        h, own = &t.held[i], &t.unsynced[i].err
        if own.code == FAST_OK:
            read_back(t, &h.file, &h.what, &h.what.digest, own)
        if own.code == FAST_OK:
            if file_place(&t.state.destination, &h.file, &h.what, &h.lacks, own) == 0 and own.code == FAST_OK:
                own.sys_errno = h.file.source.reason
        else:
            file_discard(&h.file)
        t.stamp = h.file.stamp
        if add_result(t, &h.what, own, 0, False, &h.digest, err) < 0:
            rc = -1
            break
    drop_held(t)
    return rc if rc else flush_results(t, err)


cdef bint is_settling_due(const receive_stream *t) noexcept nogil:
    """As long as files come, the batch may grow; not for long, because directories wait for their files."""
    cdef uint8_t byte
    if t.n_waiting == 0:
        return False
    return (t.n_waiting == t.state.config.n_held or read_clock() - t.held_since_ns > HELD_NS
            or recv(t.line.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0)


cdef int hold_bundle(receive_stream *t, const uint8_t *data, fast_err *err) noexcept nogil:
    cdef int i
    for i in range(t.n_bundle):
        hold(t, &t.bundle[i], data)
        data += t.bundle[i].size
        if t.n_waiting == t.state.config.n_held and settle_small(t, err) < 0:
            return -1
    # Within one host nothing piles up meanwhile.
    return settle_small(t, err) if t.sink.link != NULL and t.n_waiting else 0


cdef int write_bundle(receive_stream *t, const uint8_t *data, fast_err *err) noexcept nogil:
    cdef fast_err own
    cdef digest128 digest
    cdef new_file f
    cdef int i
    if t.held != NULL and hold_bundle(t, data, err) < 0:
        return -1
    for i in range(t.n_bundle if t.held == NULL else 0):
        clear(&own)
        if write_small(t, &t.bundle[i], data, &f, &digest, &own) == 0 and f.fd >= 0:
            file_commit(&t.state.destination, &f, &t.bundle[i], &own)
        if own.code == FAST_OK:
            own.sys_errno = f.source.reason
        data += t.bundle[i].size
        t.stamp = f.stamp
        if add_result(t, &t.bundle[i], &own, 0, False, &digest, err) < 0:
            return -1
    t.n_bundle = 0
    t.bundle_bytes = 0
    return 0
