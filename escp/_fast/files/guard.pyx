"""This host's rules for a session; see guard.pxd."""

from libc.stdint cimport uint64_t

from escp._fast.base.libc cimport (AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, O_CLOEXEC, O_DIRECTORY, O_NOFOLLOW,
                                   O_PATH, c_close, calloc, errno, escp_fetch_add, escp_set_errno, fstatat, memcmp,
                                   memcpy, openat, readlinkat, stat_t, strlen, strncasecmp)
from escp._fast.base.paths cimport SLASH, join_path, last_slash
from escp._fast.base.types cimport (ERRNO_FORBIDDEN, FAST_FORBIDDEN, MAX_NAME_BYTES, MAX_PATH_BYTES, clear, fail,
                                    fast_err)
from escp._fast.files.attributes cimport PROC_PATH_BYTES, proc_path

import os

cdef enum:
    NO_CEILING = -1
    LARGEST_BITS = 56  # of a ceiling for bytes: what all streams add at once stays below 64 bits
    ANY_CWD = -100  # AT_FDCWD, for Python's calls


# A path as the kernel writes it. Denied ones fit in whatever case they are written: some file systems don't tell.
ctypedef struct rule:
    size_t n
    char path[MAX_PATH_BYTES + 1]


cdef rule *allowed = NULL
cdef rule *denied = NULL
cdef int n_allowed = 0
cdef int n_denied = 0
cdef bint is_on = False
cdef bint reads_nothing = False

cdef uint64_t max_names = <uint64_t>NO_CEILING
cdef uint64_t max_bytes = <uint64_t>NO_CEILING
cdef uint64_t max_removed = <uint64_t>NO_CEILING
cdef uint64_t n_names = 0
cdef uint64_t n_taken = 0
cdef uint64_t n_removed = 0


cdef int refuse() noexcept nogil:
    escp_set_errno(ERRNO_FORBIDDEN)
    return -1


cdef bint ends_with(const char *name, size_t n, const char *ending) noexcept nogil:
    cdef size_t m = strlen(ending)
    return n >= m and strncasecmp(name + n - m, ending, m) == 0


cdef bint is_of_copies(const char *name, size_t n) noexcept nogil:
    """Whether a copy calls something so that is its own: parts.pxd, remains.pxd, names/made."""
    return (n >= 6 and strncasecmp(name, ".escp-", 6) == 0) or ends_with(name, n, ".escp-part") or (
        ends_with(name, n, ".escp-journal") or ends_with(name, n, ".escp-made"))


cdef bint ends_there(const char *path, size_t n, const rule *r) noexcept nogil:
    return n == r.n or path[r.n] == SLASH or r.path[r.n - 1] == SLASH


cdef bint is_denied(const char *path, size_t n) noexcept nogil:
    cdef int i
    for i in range(n_denied):
        if n >= denied[i].n and strncasecmp(path, denied[i].path, denied[i].n) == 0 and (
                ends_there(path, n, &denied[i])):
            return True
    return False


cdef bint is_allowed(const char *path, size_t n) noexcept nogil:
    cdef int i
    for i in range(n_allowed):
        if n >= allowed[i].n and memcmp(path, allowed[i].path, allowed[i].n) == 0 and (
                ends_there(path, n, &allowed[i])):
            return True
    return False


cdef int guard_name(int dirfd, const char *name) noexcept nogil:
    cdef char path[MAX_PATH_BYTES + MAX_NAME_BYTES + 2]
    cdef char by_fd[PROC_PATH_BYTES]
    cdef size_t n_name
    cdef ssize_t n
    cdef ssize_t slash
    if not is_on:
        return 0
    n_name = strlen(name)
    proc_path(by_fd, dirfd)
    n = readlinkat(AT_FDCWD, by_fd, path, MAX_PATH_BYTES + 1)
    if n <= 0 or n > MAX_PATH_BYTES or path[0] != SLASH or n_name > MAX_NAME_BYTES:
        return refuse()  # also what lies in no place that this process could name
    n = join_path(path, n, name, n_name)
    path[n] = 0
    slash = last_slash(path, n)
    if is_denied(path, n) or not is_allowed(path, n) or is_of_copies(path + slash + 1, n - slash - 1):
        return refuse()
    return 0


cdef int guard_keep(int fd) noexcept nogil:
    if fd < 0 or guard_name(fd, "") == 0:
        return fd
    c_close(fd)
    return refuse()


cdef int guarded_openat(int dirfd, const char *path, int flags) noexcept nogil:
    cdef char by_fd[PROC_PATH_BYTES]
    cdef int looked
    cdef int fd
    cdef int number
    if not is_on or flags & (O_PATH | O_DIRECTORY):
        return guard_keep(openat(dirfd, path, flags))
    looked = guard_keep(openat(dirfd, path, O_PATH | O_CLOEXEC | (flags & O_NOFOLLOW)))
    if looked < 0:
        return -1
    proc_path(by_fd, looked)  # a pipe or device is not opened before it is known where it is
    fd = openat(AT_FDCWD, by_fd, flags & ~O_NOFOLLOW)
    number = errno
    c_close(looked)
    escp_set_errno(number)
    return fd


cdef int guarded_fstatat(int dirfd, const char *path, stat_t *status, int flags) noexcept nogil:
    cdef int fd
    cdef int rc
    if not is_on or (dirfd != AT_FDCWD and flags & AT_SYMLINK_NOFOLLOW):  # of a directory that may be reached
        return fstatat(dirfd, path, status, flags)
    fd = guarded_openat(dirfd, path, O_PATH | O_CLOEXEC | (O_NOFOLLOW if flags & AT_SYMLINK_NOFOLLOW else 0))
    if fd < 0:
        return -1
    rc = fstatat(fd, "", status, AT_EMPTY_PATH)
    c_close(fd)
    return rc


cdef ssize_t guarded_readlinkat(int dirfd, const char *path, char *text, size_t n) noexcept nogil:
    cdef int fd
    cdef ssize_t found
    if not is_on or dirfd != AT_FDCWD:
        return readlinkat(dirfd, path, text, n)
    fd = guarded_openat(dirfd, path, O_PATH | O_CLOEXEC | O_NOFOLLOW)
    if fd < 0:
        return -1
    found = readlinkat(fd, "", text, n)
    c_close(fd)
    return found


# ---- Ceilings -------------------------------------------------------------------------------------------

cdef int guard_take(uint64_t n_bytes, fast_err *err) noexcept nogil:
    if max_names != <uint64_t>NO_CEILING and escp_fetch_add(&n_names, 1) >= max_names:
        return fail(err, FAST_FORBIDDEN, 0, "files")
    if max_bytes == <uint64_t>NO_CEILING:
        return 0
    if n_bytes > max_bytes:
        return fail(err, FAST_FORBIDDEN, 0, "bytes")
    if escp_fetch_add(&n_taken, n_bytes) > max_bytes - n_bytes:
        escp_fetch_add(&n_taken, -n_bytes)  # or refused ones would add up until the sum begins again at 0
        return fail(err, FAST_FORBIDDEN, 0, "bytes")
    return 0


cdef int guard_remove(fast_err *err) noexcept nogil:
    if max_removed != <uint64_t>NO_CEILING and escp_fetch_add(&n_removed, 1) >= max_removed:
        return fail(err, FAST_FORBIDDEN, 0, "deletions")
    return 0


cdef bint guard_reads() noexcept nogil:
    return not reads_nothing


# ---- For Python -----------------------------------------------------------------------------------------

cdef int fill(rule *rules, list paths) except -1:
    cdef bytes path
    cdef int i = 0
    for path in paths:
        if path[:1] != b"/" or len(path) > MAX_PATH_BYTES or b"\0" in path:
            raise ValueError("a rule is no absolute path")
        rules[i].n = len(path)
        memcpy(rules[i].path, <const char *>path, len(path))
        i += 1
    return 0


def set_guard(list allow not None, list deny not None):
    """From now on this process reaches only what is below *allow* and not below *deny*: paths as the kernel writes
    them. Once, before there are threads. Raises ValueError."""
    global allowed, denied, n_allowed, n_denied, is_on
    if is_on:
        raise ValueError("the rules are set")
    allowed = <rule *>calloc(len(allow) + 1, sizeof(rule))
    denied = <rule *>calloc(len(deny) + 1, sizeof(rule))
    if allowed == NULL or denied == NULL:
        raise MemoryError("rules")
    fill(allowed, allow)
    fill(denied, deny)
    n_allowed, n_denied = len(allow), len(deny)
    is_on = True


def set_ceilings(n_files, n_bytes, n_deletions):
    """Of this process; None: none."""
    global max_names, max_bytes, max_removed
    max_names = <uint64_t>NO_CEILING if n_files is None else <uint64_t>n_files
    max_bytes = <uint64_t>NO_CEILING if n_bytes is None else min(<uint64_t>n_bytes, <uint64_t>1 << LARGEST_BITS)
    max_removed = <uint64_t>NO_CEILING if n_deletions is None else <uint64_t>n_deletions


def forbid_reading():
    """From now on this process compares nothing with contents that are here: it would tell them. Once, as above."""
    global reads_nothing
    reads_nothing = True


def take_guarded(uint64_t n_bytes):
    """Whether a file of that size is within the ceilings; it counts then. For tests."""
    cdef fast_err err
    clear(&err)
    return guard_take(n_bytes, &err) == 0


def open_guarded(bytes path not None, int flags, int dirfd=ANY_CWD):
    """As os.open, of what is there. Raises OSError; its errno is ERRNO_FORBIDDEN for what may not be reached."""
    cdef int fd
    cdef int number
    if b"\0" in path:
        raise ValueError("a path holds no NUL")
    fd = guarded_openat(dirfd, path, flags)
    if fd < 0:
        number = errno
        raise OSError(number, os.strerror(number), path)
    return fd


def check_guarded(int dirfd, bytes name not None):
    """Raises OSError, as above, where nothing of that name may be made in the directory."""
    if guard_name(dirfd, name) < 0:
        raise OSError(ERRNO_FORBIDDEN, "forbidden", name)
