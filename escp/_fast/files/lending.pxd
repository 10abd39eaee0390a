"""Directories that have another mode for a moment than they are to have.

Those of the user's in which their owner may not write are made writable, as rsync does it, and new ones get the last of
their mode late: what keeps their owner out, or what must not be there before their owner and ACL are. They are those
that the copy brings, so their own entry comes when all in them is there; what is left when the copy ends early is set
then. Known by their path: each of these might be one descriptor too many.
"""

from libc.stdint cimport uint16_t, uint32_t, uint64_t

from escp._fast.base.libc cimport pthread_mutex_t

cdef enum:
    OWNER_RIGHTS = 0o700
    FULL_MODE = 0o7777
    MAX_LENT = 65536
    N_BUCKETS = 256  # a tree of them has some thousand under way


ctypedef struct lent_directory:
    lent_directory *next  # in its bucket
    lent_directory *older
    lent_directory *newer
    uint64_t dev
    uint64_t ino
    uint32_t mode
    uint16_t n
    uint16_t n_root
    char path[1]


ctypedef struct lent_set:
    pthread_mutex_t lock
    lent_directory *buckets[N_BUCKETS]
    lent_directory *newest
    int n


cdef void lending_open(lent_set *s) noexcept nogil
# Makes the directory (O_PATH; its path as tree.pxd's find_directory has it) writable. False, and errno stays: it is not
# ours, or that is not what is wrong.
cdef bint lend(lent_set *s, int dirfd, const char *path, size_t n, size_t n_root) noexcept nogil
# The same for one that was just made here, which is to have *mode*.
cdef void lend_new(lent_set *s, int dirfd, uint32_t mode, const char *path, size_t n, size_t n_root) noexcept nogil
# The directory has the mode that it is to have, if it was lent.
cdef void give_back(lent_set *s, int dirfd) noexcept nogil
# What is left: what lies in a directory before that, which may let nobody in. To be freed; NULL: none.
cdef lent_directory *take_newest(lent_set *s) noexcept nogil
cdef void restore(const lent_directory *one, int dirfd) noexcept nogil
cdef void lending_close(lent_set *s) noexcept nogil
