"""Small files as they arrive in bundles; see receive_small.pxd."""

from libc.stdint cimport int64_t, uint8_t

from escp._fast.base.libc cimport errno, escp_fetch_add, ftruncate
from escp._fast.base.types cimport FAST_DIGEST, FAST_SYS, clear, fail, fast_err
from escp._fast.crypto.digest cimport digest128, digest_finish, digest_update
from escp._fast.files.commit cimport file_begin, file_commit
from escp._fast.files.tree cimport file_discard, new_file
from escp._fast.io.pages cimport has_zero_page, write_all, write_pages
from escp._fast.receive.receive_state cimport add_result, identify, receive_state, receive_stream
from escp._fast.wire.payloads cimport entry


cdef int write_small(receive_stream *t, const entry *e, const uint8_t *data, digest128 *digest,
                     fast_err *own) noexcept nogil:
    cdef new_file f
    cdef receive_state *s = t.state
    cdef int64_t n = e.size
    digest.high = digest.low = 0
    if s.config.has_checksum:
        digest_update(digest, data, e.size, 0)
        digest_finish(digest, e.size)
        if digest.high != e.digest.high or digest.low != e.digest.low:
            return fail(own, FAST_DIGEST, 0, "verify")
    if not s.config.engine.has_files:
        return 0
    identify(t, e, &f.source)
    if file_begin(&s.destination, &t.cache, e, True, &f, own) < 0:
        return -1
    if s.config.is_sparse and not f.is_in_place and not f.is_over and has_zero_page(data, e.size):
        if ftruncate(f.fd, e.size) < 0:
            fail(own, FAST_SYS, errno, "truncate")
        else:
            n = write_pages(f.fd, <uint8_t *>data, e.size, 0, False, own)
    else:
        write_all(f.fd, data, e.size, -1 if f.is_in_place else 0, own)
    if own.code:
        file_discard(&f)
        return -1
    escp_fetch_add(&s.n_disk, n)
    return file_commit(&s.destination, &f, e, own)


cdef int write_bundle(receive_stream *t, const uint8_t *data, fast_err *err) noexcept nogil:
    cdef fast_err own
    cdef digest128 digest
    cdef int i
    for i in range(t.n_bundle):
        clear(&own)
        write_small(t, &t.bundle[i], data, &digest, &own)
        data += t.bundle[i].size
        if add_result(t, &t.bundle[i], &own, 0, False, &digest, err) < 0:
            return -1
    t.n_bundle = 0
    t.bundle_bytes = 0
    return 0
