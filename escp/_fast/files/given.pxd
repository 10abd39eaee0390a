"""Which names this copy has given to files: no second source gets one of them, however the file system spells it.

Two hashes of each file are kept: of its path, and of its folded path (folding.pxd). With free places in the table that
is 32 bytes a file. A path that was given is refused. Where only the folded path was given the file is named while
nobody else names anything, and whoever names it looks whether both are one file (alike.pxd).
"""

from libc.stdint cimport uint64_t

from escp._fast.base.libc cimport pthread_mutex_t, pthread_rwlock_t
from escp._fast.base.types cimport MAX_NAME_BYTES, MAX_PATH_BYTES

cdef enum:
    # Of a path here: the directory's may be the one that the kernel has for it, which alone may be that long.
    MAX_GIVEN_BYTES = MAX_PATH_BYTES + 1 + MAX_NAME_BYTES


cdef enum given_answer:
    GIVEN_NEW = 0
    GIVEN_ALIKE = 1  # another one that is folded to the same was given
    GIVEN_TAKEN = 2


ctypedef struct given_set:
    bint is_on  # without it every name is a new one
    pthread_mutex_t lock
    pthread_rwlock_t naming  # held from given_begin to given_end
    uint64_t *slots  # 0: free; 1: was taken back
    uint64_t n_slots
    uint64_t n_used
    uint64_t seed  # random: who chooses the names must not choose where they lie


cdef int given_open(given_set *g, uint64_t seed) except -1
cdef void given_free(given_set *g) noexcept nogil
# Claims the path, and returns a given_answer. Unless that is GIVEN_TAKEN the same thread must call given_end, and say
# whether the file was named.
cdef int given_begin(given_set *g, const char *path, size_t n) noexcept nogil
# Whether the path is claimed, or was given.
cdef bint given_has(given_set *g, const char *path, size_t n) noexcept nogil
# Whether the directory of that path was not asked about before.
cdef bint given_first(given_set *g, const char *path, size_t n) noexcept nogil
cdef void given_end(given_set *g, const char *path, size_t n, bint is_named) noexcept nogil
