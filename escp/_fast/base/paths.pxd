"""Paths and names as bytes: taken apart, and put together."""

from escp._fast.base.libc cimport memcpy

cdef enum:
    DOT = 46
    SLASH = 47


# Where the last slash is; -1: nowhere.
cdef inline ssize_t last_slash(const char *path, size_t n) noexcept nogil:
    while n and path[n - 1] != SLASH:
        n -= 1
    return <ssize_t>n - 1


# "." or "..", which are no names of anything below.
cdef inline bint is_dots(const char *name, size_t n) noexcept nogil:
    return (n == 1 or (n == 2 and name[1] == DOT)) and name[0] == DOT


# Whether a slash belongs between the two: not where one is empty, nor behind the root's.
cdef inline bint needs_slash(const char *path, size_t n, size_t n_name) noexcept nogil:
    return n and n_name and path[n - 1] != SLASH


# The length of both as one path.
cdef inline size_t joined_length(const char *path, size_t n, size_t n_name) noexcept nogil:
    return n + needs_slash(path, n, n_name) + n_name


# Adds the name to the n bytes at *path*, which has room; how many there are then.
cdef inline size_t join_path(char *path, size_t n, const char *name, size_t n_name) noexcept nogil:
    if needs_slash(path, n, n_name):
        path[n] = SLASH
        n += 1
    if n_name:  # *name* may be NULL then
        memcpy(path + n, name, n_name)
    return n + n_name
