"""What the receiver has of large files; see send_kept.pxd."""

from libc.stdint cimport uint8_t, uint64_t

from escp._fast.base.libc cimport pthread_mutex_lock, pthread_mutex_unlock
from escp._fast.base.types cimport FAST_PROTOCOL, fail, fast_err
from escp._fast.crypto.digest cimport digest128
from escp._fast.files.journal cimport is_block_kept, kept_open
from escp._fast.io.ring cimport io_slot
from escp._fast.send.large_files cimport put_ending_locked, put_opened_locked
from escp._fast.send.send_state cimport N_FLIGHTS, flight, large_file, send_state
from escp._fast.wire.payloads cimport ENTRY_LARGE, KEPT_BYTES, KEPT_HEAD_BYTES, get_id, get_kept


cdef int take_kept_locked(send_state *s, large_file *l, const uint8_t *at, int count, fast_err *err) noexcept nogil:
    cdef uint64_t n_blocks = (l.size + s.config.block - 1) // s.config.block
    cdef uint64_t number = 0
    cdef digest128 digest
    cdef int i
    l.n_kept += count
    if l.n_kept > n_blocks:  # each is told once
        return fail(err, FAST_PROTOCOL, 0, "kept blocks")
    if l.kept.digests == NULL:
        kept_open(&l.kept, l.size, s.config.block)  # where it can't be, all blocks are sent
    for i in range(count):
        get_kept(at + i * KEPT_BYTES, &number, &digest)
        if number >= n_blocks:
            return fail(err, FAST_PROTOCOL, 0, "kept blocks")
        if number < l.kept.n:
            l.kept.digests[number] = digest
    return 0


cdef int take_kept(send_state *s, const uint8_t *body, int count, fast_err *err) noexcept nogil:
    cdef uint64_t id = get_id(body)
    cdef flight *f = &s.flights[id % N_FLIGHTS]
    cdef int rc
    pthread_mutex_lock(&s.lock)
    if id == 0 or f.id != id or f.kind != ENTRY_LARGE or f.large == NULL or not f.large.is_asked or count == 0:
        rc = fail(err, FAST_PROTOCOL, 0, "kept blocks")
    else:
        rc = take_kept_locked(s, f.large, body + KEPT_HEAD_BYTES, count, err)
    pthread_mutex_unlock(&s.lock)
    return rc


cdef int begin_blocks_locked(send_state *s, large_file *l, fast_err *err) noexcept nogil:
    if not l.is_asked:
        return fail(err, FAST_PROTOCOL, 0, "answer")
    l.is_asked = False
    if l.is_local or l.has_failed:  # whoever asks goes on by itself; or it is ended already
        return 0
    if l.is_handed_out:  # nothing but a hole
        put_ending_locked(s, l)
    else:
        put_opened_locked(s, l)
    return 0


cdef bint is_there(const send_state *s, const large_file *l, const io_slot *slot,
                   const digest128 *digest) noexcept nogil:
    cdef uint64_t number = slot.offset // s.config.block
    return (l.kept.digests != NULL and is_block_kept(&l.kept, number) and l.kept.digests[number].high == digest.high
            and l.kept.digests[number].low == digest.low)
