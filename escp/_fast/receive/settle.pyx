"""To the disk, and back from there; see settle.pxd.

What is read back must not come from memory: the pages are dropped, and past the page cache there are none. Where the
file system has no O_DIRECT dropping is all that can be done. A tmpfs is memory.
"""

from libc.stdint cimport int64_t, uint64_t, uint8_t

from escp._fast.base.libc cimport EINTR, EINVAL, EIO, POSIX_FADV_DONTNEED, errno, escp_flag, posix_fadvise, pread
from escp._fast.base.types cimport (FAST_DIGEST, FAST_OK, FAST_STOPPED, FAST_SYS, SLICE_BYTES, clear, fail, fast_err)
from escp._fast.crypto.digest cimport digest128, digest_finish, digest_update
from escp._fast.files.commit cimport file_dress, file_place
from escp._fast.files.durable cimport sync_files, unsynced
from escp._fast.files.tree cimport file_discard, new_file, tree
from escp._fast.io.pages cimport can_direct, set_direct, whole_pages
from escp._fast.receive.receive_state cimport CHECK_BYTES, receive_stream
from escp._fast.wire.payloads cimport entry


cdef bint settles(const tree *t) noexcept nogil:
    return t.durable.is_on or t.reads_back


cdef int64_t read_part(int fd, uint8_t *to, int64_t n, int64_t offset, bint *is_direct) noexcept nogil:
    """Up to n bytes, fewer where the file ends; -1 with errno. *to* has room for whole pages."""
    cdef int64_t have = 0
    cdef ssize_t k
    while have < n:
        k = pread(fd, to + have, whole_pages(n) - have if is_direct[0] else n - have, offset + have)
        if k < 0 and errno == EINVAL and is_direct[0]:  # stricter alignment than was said, or a short read before
            set_direct(fd, False)
            is_direct[0] = False
            continue
        if k < 0 and errno != EINTR:
            return -1
        if k == 0:
            break
        have += k if k > 0 else 0
    return have if have < n else n


cdef int read_back(receive_stream *t, new_file *f, const entry *e, const digest128 *expected,
                   fast_err *err) noexcept nogil:
    cdef uint64_t size = e.size
    cdef uint64_t at = 0
    cdef digest128 digest
    cdef bint is_direct
    cdef int64_t k
    cdef int64_t n
    if not t.state.destination.reads_back or f.is_in_place:
        return 0
    posix_fadvise(f.fd, 0, 0, POSIX_FADV_DONTNEED)
    is_direct = can_direct(f.fd)
    digest.high = digest.low = 0
    while at < size:
        if escp_flag(&t.state.is_stopped):
            return fail(err, FAST_STOPPED, 0, "read back")
        n = <int64_t>(size - at if size - at < CHECK_BYTES else CHECK_BYTES)
        k = read_part(f.fd, t.check, n, at, &is_direct)
        if k < 0:
            return fail(err, FAST_SYS, errno, "read back")
        if k < n:
            return fail(err, FAST_DIGEST, EIO, "read back")
        digest_update(&digest, t.check, n, at // SLICE_BYTES)
        at += n
    if is_direct:
        set_direct(f.fd, False)
    digest_finish(&digest, size)
    if digest.high != expected.high or digest.low != expected.low:
        return fail(err, FAST_DIGEST, EIO, "read back")
    return 0


cdef void commit_settled(receive_stream *t, new_file *f, const entry *e, const digest128 *expected,
                         fast_err *err) noexcept nogil:
    cdef tree *destination = &t.state.destination
    cdef unsynced one
    cdef fast_err lacks
    clear(&lacks)
    clear(&one.err)
    if file_dress(destination, f, e, &lacks, err) == 0:
        one.fd, one.system = f.fd, f.system
        sync_files(&destination.durable, &one, 1)
        if one.err.code != FAST_OK:
            err[0] = one.err
        else:
            read_back(t, f, e, expected, err)
    if err.code != FAST_OK:
        file_discard(f)
    else:
        file_place(destination, f, e, &lacks, err)
