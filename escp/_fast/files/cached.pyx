"""Directories that are kept open; see cached.pxd."""

from escp._fast.base.libc cimport c_close, memcmp, memcpy


cdef void cache_open(dir_cache *cache, int n) noexcept nogil:
    cdef int i
    for i in range(n):
        cache.fds[i] = -1
    cache.n = n
    cache.next = 0


cdef void cache_close(dir_cache *cache) noexcept nogil:
    cdef int i
    for i in range(cache.n):
        if cache.fds[i] >= 0:
            c_close(cache.fds[i])
            cache.fds[i] = -1


cdef int find_cached(const dir_cache *cache, const char *path, size_t n, size_t n_root) noexcept nogil:
    cdef int i
    for i in range(cache.n):
        if (cache.fds[i] >= 0 and cache.n_paths[i] == n and cache.n_roots[i] == n_root
                and memcmp(cache.paths[i], path, n) == 0):
            return cache.fds[i]
    return -1


cdef int keep(dir_cache *cache, const char *path, size_t n, size_t n_root, int fd) noexcept nogil:
    """Give the cache the descriptor; it closes its oldest one."""
    cdef int i = cache.next
    cache.next = (i + 1) % cache.n
    if cache.fds[i] >= 0:
        c_close(cache.fds[i])
    cache.fds[i] = fd
    cache.n_paths[i], cache.n_roots[i] = n, n_root
    memcpy(cache.paths[i], path, n)
    return fd
