"""The directories below the destination that a stream keeps open: opening one is a call for each, not for each file."""

from escp._fast.base.types cimport MAX_PATH_BYTES

cdef enum:
    MAX_CACHED = 8


ctypedef struct dir_cache:
    int n  # places; one is enough for all that uses them
    int fds[MAX_CACHED]
    size_t n_paths[MAX_CACHED]
    size_t n_roots[MAX_CACHED]  # how much of the path is its root's: below another root it may be another directory
    char paths[MAX_CACHED][MAX_PATH_BYTES + 1]
    int next


cdef void cache_open(dir_cache *cache, int n) noexcept nogil
cdef void cache_close(dir_cache *cache) noexcept nogil
# Where the cache has that directory (n bytes, of which the first n_root are its root's); -1: nowhere.
cdef int find_cached(const dir_cache *cache, const char *path, size_t n, size_t n_root) noexcept nogil
# Gives it the descriptor, and returns it; the oldest one is closed for it.
cdef int keep(dir_cache *cache, const char *path, size_t n, size_t n_root, int fd) noexcept nogil
