"""Two spellings of one file; see alike.pxd."""

from libc.stdint cimport int64_t, uint8_t

from escp._fast.base.libc cimport (AT_FDCWD, O_CLOEXEC, O_DIRECTORY, O_RDONLY, c_close, dirent64_t, escp_flag,
                                   escp_getdents, memcmp, memcpy, openat, readlinkat, strlen)
from escp._fast.base.paths cimport SLASH, join_path
from escp._fast.base.types cimport MAX_NAME_BYTES, MAX_PATH_BYTES, clear, fast_err
from escp._fast.files.attributes cimport PROC_PATH_BYTES, proc_path
from escp._fast.files.bounds cimport next_name
from escp._fast.files.cached cimport MAX_CACHED, cache_close, cache_open, dir_cache
from escp._fast.files.folding cimport fold_name
from escp._fast.files.tree cimport NOT_MADE, find_directory, tree
from escp._fast.wire.payloads cimport entry

cdef enum:
    LISTING_BYTES = 32768


cdef int count_alike(int dirfd, const char *name, size_t n_name, bint *is_listed) noexcept nogil:
    """How many names in the directory fold to the same as *name*, and whether *name* is one of them."""
    cdef uint8_t listing[LISTING_BYTES]
    cdef char own[MAX_NAME_BYTES + 1]
    cdef char other[MAX_NAME_BYTES + 1]
    cdef size_t n_own = fold_name(name, n_name, own)
    cdef size_t n_other = 0
    cdef const dirent64_t *d = NULL
    cdef size_t at = 0
    cdef int64_t n = 0
    cdef int n_alike = 0
    cdef int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    is_listed[0] = fd < 0  # it can't be listed: nothing speaks against the name
    if fd < 0:
        return 0
    while True:
        n = escp_getdents(fd, listing, LISTING_BYTES)
        if n <= 0:
            break
        at = 0
        while next_name(listing, n, &at, &d, &n_other) > 0:  # no longer one was given
            if fold_name(d.d_name, n_other, other) == n_own and memcmp(own, other, n_own) == 0:
                n_alike += 1
                is_listed[0] = is_listed[0] or (n_other == n_name and memcmp(d.d_name, name, n_name) == 0)
    c_close(fd)
    return n_alike


cdef ssize_t read_place(int fd, char *path, size_t n) noexcept nogil:
    """The path that the kernel has for the open directory."""
    cdef char by_fd[PROC_PATH_BYTES]
    proc_path(by_fd, fd)
    return readlinkat(AT_FDCWD, by_fd, path, n)


cdef void find_own_path(tree *t, const entry *e, int dirfd, const char *name, own_path *out) noexcept nogil:
    cdef char top[MAX_PATH_BYTES + 1]
    cdef size_t n_name = strlen(name)
    cdef ssize_t n_top
    cdef ssize_t n
    out.path, out.n = e.path, e.path_bytes
    if e.path_bytes == 0 or not escp_flag(&t.has_aliases):
        return
    n_top = read_place(t.root_fd, top, MAX_PATH_BYTES)
    n = read_place(dirfd, out.own, MAX_PATH_BYTES)
    if n_top <= 0 or n < n_top or n >= MAX_PATH_BYTES or memcmp(out.own, top, n_top) != 0:
        return  # the kernel does not tell: the sender's path has to do
    if top[n_top - 1] == SLASH:
        n_top -= 1
    n -= n_top
    out.path = out.own + n_top + (n > 0)
    out.n = join_path(out.own + n_top + (n > 0), n - (n > 0), name, n_name)


cdef bint is_alone(tree *t, const entry *e) noexcept nogil:
    cdef char path[MAX_PATH_BYTES + 1]
    cdef dir_cache cache  # one of its own: the stream's holds the descriptor with which the file is named
    cdef fast_err own
    cdef size_t start = 0
    cdef size_t end
    cdef int fd = -1
    cdef bint is_one = True
    cdef bint is_listed = True
    clear(&own)
    cache_open(&cache, MAX_CACHED)
    while is_listed and start < e.path_bytes:
        end = start
        while end < e.path_bytes and e.path[end] != SLASH:
            end += 1
        memcpy(path, e.path, start)
        path[start - 1 if start else 0] = 0
        if find_directory(t, &cache, path, start - 1 if start else 0, e.root_bytes, NOT_MADE, &fd, &own) < 0 or fd < 0:
            break
        is_one = count_alike(fd, e.path + start, end - start, &is_listed) < 2 and is_one
        start = end + 1
    cache_close(&cache)
    return is_one or not is_listed
