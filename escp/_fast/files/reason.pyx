"""Why an entry is copied; see reason.pxd."""

from libc.stdint cimport uint8_t, uint64_t

from escp._fast.base.libc cimport (AT_SYMLINK_NOFOLLOW, O_CLOEXEC, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, S_IFMT,
                                   S_ISBLK, S_ISCHR, S_ISFIFO, S_ISLNK, S_ISREG, c_close, escp_pread_all, fstatat,
                                   makedev, memcmp, openat, readlinkat, stat_t)
from escp._fast.base.types cimport (MAX_NAME_BYTES, MAX_PATH_BYTES, REASON_ATTRIBUTES, REASON_CONTENTS, REASON_MISSING,
                                    REASON_SAME, REASON_TYPE, SMALL_FILE_BYTES, clear, fast_err)
from escp._fast.crypto.digest cimport digest128, digest_finish, digest_update
from escp._fast.files.attributes cimport has_path_attributes
from escp._fast.files.cached cimport dir_cache
from escp._fast.files.nodes cimport first_find
from escp._fast.files.tree cimport file_find, tree
from escp._fast.wire.extras cimport DEVICE_CHARACTER, DEVICE_FIFO, extras_view, get_extras
from escp._fast.wire.payloads cimport ENTRY_DEVICE, ENTRY_HARD_LINK, ENTRY_LINK, ENTRY_SMALL, entry

cdef enum:
    READ_FLAGS = O_RDONLY | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK | O_CLOEXEC


cdef bint is_device(const stat_t *there) noexcept nogil:
    return S_ISCHR(there.st_mode) or S_ISBLK(there.st_mode) or S_ISFIFO(there.st_mode)


cdef int judge(const entry *e, const stat_t *there) noexcept nogil:
    return REASON_CONTENTS if S_ISREG(there.st_mode) else REASON_TYPE


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


cdef bint digest_text(int dirfd, const char *name, digest128 *digest) noexcept nogil:
    cdef char text[MAX_PATH_BYTES + 1]
    cdef ssize_t n = readlinkat(dirfd, name, text, sizeof(text))
    if n < 0:
        return False
    digest.high = digest.low = 0
    digest_update(digest, <const uint8_t *>text, n, 0)
    digest_finish(digest, n)
    return True


cdef bint has_same_text(int dirfd, const char *name, const extras_view *x) noexcept nogil:
    cdef char text[MAX_PATH_BYTES + 1]
    cdef ssize_t n = readlinkat(dirfd, name, text, sizeof(text))
    return n >= 0 and <size_t>n == x.n_target and memcmp(text, x.target, n) == 0


cdef bint is_same_device(const extras_view *x, const stat_t *there) noexcept nogil:
    if x.device == DEVICE_FIFO:
        return S_ISFIFO(there.st_mode)
    return ((S_ISCHR(there.st_mode) if x.device == DEVICE_CHARACTER else S_ISBLK(there.st_mode))
            and there.st_rdev == makedev(x.major, x.minor))


cdef int judge_node(tree *t, int dirfd, const char *name, const entry *e, const stat_t *there) noexcept nogil:
    cdef extras_view x
    cdef fast_err own
    clear(&own)
    if get_extras(e.extras, e.extras_bytes, &x, &own) < 0:
        return REASON_CONTENTS
    if not (S_ISLNK(there.st_mode) if x.target != NULL else is_device(there)):
        return REASON_TYPE
    if not (has_same_text(dirfd, name, &x) if x.target != NULL else is_same_device(&x, there)):
        return REASON_CONTENTS
    return REASON_SAME if has_path_attributes(&t.kept, e, there) else REASON_ATTRIBUTES


cdef bint is_same_kind(const stat_t *a, const stat_t *b) noexcept nogil:
    return a.st_mode & S_IFMT == b.st_mode & S_IFMT


cdef int judge_name(tree *t, dir_cache *cache, const entry *e, int dirfd, const char *name, const stat_t *there,
                    uint8_t *buffer) noexcept nogil:
    """Of a hard link: what *name* is beside the file, link or device of which it is to be a name."""
    cdef char first[MAX_NAME_BYTES + 1]
    cdef extras_view x
    cdef stat_t status
    cdef digest128 one
    cdef digest128 other
    cdef fast_err own
    cdef bint is_same = False
    cdef bint is_link
    cdef int reason = judge(e, there)
    cdef int first_dirfd = -1
    # First: the cache may close the directory for the other one.
    cdef int fd = openat(dirfd, name, READ_FLAGS) if S_ISREG(there.st_mode) else -1
    is_link = S_ISLNK(there.st_mode) and digest_text(dirfd, name, &one)
    clear(&own)
    if (get_extras(e.extras, e.extras_bytes, &x, &own) == 0 and x.target != NULL
            and first_find(t, cache, e, &x, first, &first_dirfd, &own) == 0
            and fstatat(first_dirfd, first, &status, AT_SYMLINK_NOFOLLOW) == 0):
        reason = REASON_CONTENTS if is_same_kind(&status, there) else REASON_TYPE
        is_same = status.st_dev == there.st_dev and status.st_ino == there.st_ino
        if is_same or reason == REASON_TYPE:
            pass
        elif is_link:
            is_same = digest_text(first_dirfd, first, &other) and one.high == other.high and one.low == other.low
        elif is_device(there):
            is_same = S_ISFIFO(there.st_mode) or status.st_rdev == there.st_rdev
        elif (buffer != NULL and status.st_size == there.st_size
                and <uint64_t>status.st_size <= SMALL_FILE_BYTES):
            is_same = digest_small(fd, status.st_size, buffer, &one) and digest_small(
                openat(first_dirfd, first, READ_FLAGS), status.st_size, buffer, &other) and (
                one.high == other.high and one.low == other.low)
            fd = -1
    if fd >= 0:
        c_close(fd)
    return REASON_ATTRIBUTES if is_same else reason


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
    if e.kind == ENTRY_LINK or e.kind == ENTRY_DEVICE:
        reason = judge_node(t, dirfd, name, e, &there)
        return REASON_ATTRIBUTES if reason == REASON_SAME else reason  # it is made again all the same
    if e.kind == ENTRY_HARD_LINK:
        return judge_name(t, cache, e, dirfd, name, &there, buffer)
    reason = judge(e, &there)
    if (reason == REASON_CONTENTS and e.kind == ENTRY_SMALL and buffer != NULL and e.size <= SMALL_FILE_BYTES
            and <uint64_t>there.st_size == e.size and has_same_contents(dirfd, name, e, buffer)):
        return REASON_ATTRIBUTES
    return reason
