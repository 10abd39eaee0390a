"""Which names this copy has given to files: no second source gets one of them, however the file system spells it.

Kept are two hashes a file, of its path and of the path folded (folding.pxd): 16 bytes, and as much again in the table.
A path that was given is refused. One that only looks like another is named alone, while nobody else names anything,
and whoever names it looks whether the two are one there.
"""

from libc.stdint cimport uint64_t

from escp._fast.base.libc cimport pthread_mutex_t, pthread_rwlock_t


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
# Claims the path, a given_answer. Unless it is GIVEN_TAKEN, given_end follows, from the same thread, and says whether
# it was named.
cdef int given_begin(given_set *g, const char *path, size_t n) noexcept nogil
# Whether this is the first question about the directory of that path.
cdef bint given_first(given_set *g, const char *path, size_t n) noexcept nogil
cdef void given_end(given_set *g, const char *path, size_t n, bint is_named) noexcept nogil
