"""Why an entry is copied; see reason.pxd."""

from libc.stdint cimport uint8_t, uint64_t

from escp._fast.base.libc cimport (AT_SYMLINK_NOFOLLOW, O_CLOEXEC, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, S_ISBLK,
                                   S_ISCHR, S_ISFIFO, S_ISLNK, S_ISREG, c_close, escp_pread_all, fstatat, memcmp,
                                   openat, readlinkat, stat_t)
from escp._fast.base.types cimport (MAX_NAME_BYTES, MAX_PATH_BYTES, REASON_ATTRIBUTES, REASON_CONTENTS, REASON_MISSING,
                                    REASON_TYPE, SMALL_FILE_BYTES, clear, fast_err)
from escp._fast.crypto.digest cimport digest128, digest_finish, digest_update
from escp._fast.files.cached cimport dir_cache
from escp._fast.files.nodes cimport first_find
from escp._fast.files.tree cimport file_find, tree
from escp._fast.wire.extras cimport extras_view, get_extras
from escp._fast.wire.payloads cimport ENTRY_DEVICE, ENTRY_HARD_LINK, ENTRY_LINK, ENTRY_SMALL, entry

cdef enum:
    READ_FLAGS = O_RDONLY | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK | O_CLOEXEC


cdef int judge(const entry *e, const stat_t *there) noexcept nogil:
    cdef bint is_same_type
    if e.kind == ENTRY_LINK:
        is_same_type = S_ISLNK(there.st_mode)
    elif e.kind == ENTRY_DEVICE:
        is_same_type = S_ISCHR(there.st_mode) or S_ISBLK(there.st_mode) or S_ISFIFO(there.st_mode)
    else:
        is_same_type = S_ISREG(there.st_mode)
    return REASON_CONTENTS if is_same_type else REASON_TYPE


cdef bint digest_small(int fd, uint64_t size, uint8_t *buffer, digest128 *digest) noexcept nogil:
    """Of a small file of that size; *fd* is closed, and may be -1. False: it can't be read."""
    cdef bint is_read
    if fd < 0:
        return False
    is_read = <uint64_t>escp_pread_all(fd, buffer, size, 0) == size
    c_close(fd)
    digest.high = digest.low = 0
    digest_update(digest, buffer, size, 0)
    digest_finish(digest, size)
    return is_read


cdef bint has_same_contents(int dirfd, const char *name, const entry *e, uint8_t *buffer) noexcept nogil:
    cdef digest128 digest
    return (digest_small(openat(dirfd, name, READ_FLAGS), e.size, buffer, &digest)
            and digest.high == e.digest.high and digest.low == e.digest.low)


cdef bint has_contents_of_first(tree *t, dir_cache *cache, const entry *e, int dirfd, const char *name,
                                const stat_t *there, uint8_t *buffer) noexcept nogil:
    """Whether the file *name* is that of which the hard link is to be a name, or a small one of the same contents."""
    cdef char first[MAX_NAME_BYTES + 1]
    cdef extras_view x
    cdef stat_t status
    cdef digest128 one
    cdef digest128 other
    cdef fast_err own
    cdef bint is_same = False
    cdef int first_dirfd = -1
    cdef int fd = openat(dirfd, name, READ_FLAGS)  # first: the cache may close the directory for the other one
    clear(&own)
    if (get_extras(e.extras, e.extras_bytes, &x, &own) == 0 and x.target != NULL
            and first_find(t, cache, e, &x, first, &first_dirfd, &own) == 0
            and fstatat(first_dirfd, first, &status, AT_SYMLINK_NOFOLLOW) == 0 and S_ISREG(status.st_mode)):
        is_same = status.st_dev == there.st_dev and status.st_ino == there.st_ino
        if (not is_same and buffer != NULL and status.st_size == there.st_size
                and <uint64_t>status.st_size <= SMALL_FILE_BYTES):
            is_same = digest_small(fd, status.st_size, buffer, &one) and digest_small(
                openat(first_dirfd, first, READ_FLAGS), status.st_size, buffer, &other) and (
                one.high == other.high and one.low == other.low)
            fd = -1
    if fd >= 0:
        c_close(fd)
    return is_same


cdef bint digest_text(int dirfd, const char *name, digest128 *digest) noexcept nogil:
    cdef char text[MAX_PATH_BYTES + 1]
    cdef ssize_t n = readlinkat(dirfd, name, text, sizeof(text))
    if n < 0:
        return False
    digest.high = digest.low = 0
    digest_update(digest, <const uint8_t *>text, n, 0)
    digest_finish(digest, n)
    return True


cdef bint has_same_text(int dirfd, const char *name, const entry *e) noexcept nogil:
    cdef char text[MAX_PATH_BYTES + 1]
    cdef ssize_t n = readlinkat(dirfd, name, text, sizeof(text))
    cdef extras_view x
    cdef fast_err own
    clear(&own)
    return (get_extras(e.extras, e.extras_bytes, &x, &own) == 0 and x.target != NULL and n >= 0
            and <size_t>n == x.n_target and memcmp(text, x.target, n) == 0)


cdef int find_reason(tree *t, dir_cache *cache, const entry *e, uint8_t *buffer) noexcept nogil:
    cdef char name[MAX_NAME_BYTES + 1]
    cdef stat_t there
    cdef fast_err own
    cdef int dirfd = -1
    cdef int reason
    clear(&own)
    if t.in_place_fd >= 0:
        return REASON_CONTENTS
    if file_find(t, cache, e, name, &dirfd, &own) < 0 or dirfd < 0 or (
            fstatat(dirfd, name, &there, AT_SYMLINK_NOFOLLOW) < 0):
        return REASON_MISSING
    reason = judge(e, &there)
    if reason == REASON_CONTENTS and e.kind == ENTRY_LINK and has_same_text(dirfd, name, e):
        return REASON_ATTRIBUTES
    if (reason == REASON_CONTENTS and e.kind == ENTRY_SMALL and buffer != NULL and e.size <= SMALL_FILE_BYTES
            and <uint64_t>there.st_size == e.size and has_same_contents(dirfd, name, e, buffer)):
        return REASON_ATTRIBUTES
    if reason == REASON_CONTENTS and e.kind == ENTRY_HARD_LINK and (
            has_contents_of_first(t, cache, e, dirfd, name, &there, buffer)):
        return REASON_ATTRIBUTES
    return reason
