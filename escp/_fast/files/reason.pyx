"""Why an entry is copied; see reason.pxd."""

from libc.stdint cimport uint8_t, uint64_t

from escp._fast.base.libc cimport (AT_SYMLINK_NOFOLLOW, O_CLOEXEC, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, S_ISBLK,
                                   S_ISCHR, S_ISFIFO, S_ISLNK, S_ISREG, c_close, escp_pread_all, fstatat, memcmp,
                                   openat, readlinkat, stat_t)
from escp._fast.base.types cimport (MAX_NAME_BYTES, MAX_PATH_BYTES, REASON_ATTRIBUTES, REASON_CONTENTS, REASON_MISSING,
                                    REASON_TYPE, SMALL_FILE_BYTES, clear, fast_err)
from escp._fast.crypto.digest cimport digest128, digest_finish, digest_update
from escp._fast.files.cached cimport dir_cache
from escp._fast.files.tree cimport file_find, tree
from escp._fast.wire.extras cimport extras_view, get_extras
from escp._fast.wire.payloads cimport ENTRY_DEVICE, ENTRY_LINK, ENTRY_SMALL, entry


cdef int judge(const entry *e, const stat_t *there) noexcept nogil:
    cdef bint is_same_type
    if e.kind == ENTRY_LINK:
        is_same_type = S_ISLNK(there.st_mode)
    elif e.kind == ENTRY_DEVICE:
        is_same_type = S_ISCHR(there.st_mode) or S_ISBLK(there.st_mode) or S_ISFIFO(there.st_mode)
    else:
        is_same_type = S_ISREG(there.st_mode)
    return REASON_CONTENTS if is_same_type else REASON_TYPE


cdef bint has_same_contents(int dirfd, const char *name, const entry *e, uint8_t *buffer) noexcept nogil:
    cdef digest128 digest
    cdef int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)
    cdef bint is_read
    if fd < 0:
        return False
    is_read = <uint64_t>escp_pread_all(fd, buffer, e.size, 0) == e.size
    c_close(fd)
    digest.high = digest.low = 0
    digest_update(&digest, buffer, e.size, 0)
    digest_finish(&digest, e.size)
    return is_read and digest.high == e.digest.high and digest.low == e.digest.low


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
    return reason
