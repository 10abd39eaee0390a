"""Opening below a directory; see beneath.pxd."""

from escp._fast.base.libc cimport (AT_SYMLINK_NOFOLLOW, ELOOP, ENAMETOOLONG, ENOSYS, ENOTDIR, EPERM, O_CLOEXEC,
                                   O_DIRECTORY, O_NOFOLLOW, O_PATH, O_RDONLY, S_ISLNK, c_close, errno, escp_flag,
                                   escp_openat_beneath, escp_raise_flag, escp_set_errno, fstatat, memcpy, openat,
                                   stat_t, strlen)
from escp._fast.base.paths cimport SLASH
from escp._fast.base.types cimport MAX_PATH_BYTES

import os

cdef int cannot_openat2 = 0  # for Python's calls


cdef int open_component(int fd, const char *name, int flags) noexcept nogil:
    cdef stat_t status
    cdef int deeper = openat(fd, name, flags | O_NOFOLLOW)
    cdef int number = errno
    if (deeper < 0 and number == ENOTDIR and fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0
            and S_ISLNK(status.st_mode)):
        number = ELOOP  # O_DIRECTORY hides that it was a link
    escp_set_errno(number)
    return deeper


cdef int open_by_component(int top, const char *path, int flags) noexcept nogil:
    """For kernels before Linux 5.6, and sandboxes that forbid openat2."""
    cdef char copy[MAX_PATH_BYTES + 1]
    cdef size_t n = strlen(path)
    cdef char *name
    cdef char *at = copy
    cdef bint is_last = False
    cdef int fd = top
    cdef int deeper
    cdef int number
    if n > MAX_PATH_BYTES:
        escp_set_errno(ENAMETOOLONG)
        return -1
    memcpy(copy, path, n + 1)
    while fd >= 0 and not is_last:
        name = at
        while at[0] and at[0] != SLASH:
            at += 1
        is_last = at[0] == 0
        at[0] = 0
        at += 1
        deeper = open_component(fd, name, flags if is_last else O_PATH | O_DIRECTORY | O_CLOEXEC)
        if fd != top:
            number = errno
            c_close(fd)
            escp_set_errno(number)
        fd = deeper
    return fd


cdef int open_beneath(int top, const char *path, int flags, bint follows_links, int *lacks_openat2) noexcept nogil:
    cdef int fd
    if path[0] == 0:
        return openat(top, ".", flags)
    if not escp_flag(lacks_openat2):
        fd = <int>escp_openat_beneath(top, path, flags, follows_links)
        if fd >= 0 or (errno != ENOSYS and errno != EPERM):
            return fd
        escp_raise_flag(lacks_openat2)  # an old kernel, or a sandbox that forbids the call
    return open_by_component(top, path, flags)


cdef int open_noting_links(int top, const char *path, int flags, int *lacks_openat2, int *has_followed) noexcept nogil:
    cdef int fd = open_beneath(top, path, flags, False, lacks_openat2)
    if fd < 0 and errno == ELOOP:
        fd = open_beneath(top, path, flags, True, lacks_openat2)
        if fd >= 0:
            escp_raise_flag(has_followed)
    return fd


def open_inside(int top, bytes path not None):
    """What *path* leads to below *top*, over links as far as they stay there: an O_PATH descriptor. Raises OSError."""
    cdef int fd
    if b"\0" in path:
        raise ValueError("a path holds no NUL")
    fd = open_beneath(top, path, O_PATH | O_CLOEXEC, True, &cannot_openat2)
    if fd < 0:
        raise OSError(errno, os.strerror(errno))
    return fd


def open_directory(int top, bytes path not None):
    """The directory *path* below *top*, to be listed; no link is followed. Raises OSError."""
    cdef int fd
    if b"\0" in path:
        raise ValueError("a path holds no NUL")
    fd = open_beneath(top, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW, False, &cannot_openat2)
    if fd < 0:
        raise OSError(errno, os.strerror(errno))
    return fd
