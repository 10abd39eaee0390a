"""Directories that have for a while another mode than they are to have.

A directory in which its owner may not write is made writable, as by rsync. A new one gets a part of its mode late: what
would keep its owner out, and what must not be there before its owner and ACL are. All of them belong to the copy. So
their own entries, which come when everything in them is there, set their modes; for those whose entry has not come the
end of the copy does. They are kept as paths, because open descriptors would be too many.
"""

from libc.stdint cimport uint16_t, uint32_t, uint64_t

from escp._fast.base.libc cimport pthread_mutex_t

cdef enum:
    OWNER_RIGHTS = 0o700
    MAX_LENT = 65536
    N_BUCKETS = 256  # some thousand directories may be lent at a time


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
# Makes a directory writable of which *errno* says that it is not (*dirfd*: O_PATH; *path* and the rest as for
# find_directory in tree.pxd). False: it is not ours, or something else is wrong. errno stays as it is.
cdef bint lend(lent_set *s, int dirfd, const char *path, size_t n, size_t n_root) noexcept nogil
# The same for a directory that was just made here, and that is to have *mode* in the end.
cdef void lend_new(lent_set *s, int dirfd, uint32_t mode, const char *path, size_t n, size_t n_root) noexcept nogil
# Sets the mode that the directory is to have, if it was lent.
cdef void give_back(lent_set *s, int dirfd) noexcept nogil
# Takes out the one that was lent last, to be freed; NULL: there is none. The newest first: those above it are older,
# and may let nobody in afterwards.
cdef lent_directory *take_newest(lent_set *s) noexcept nogil
cdef void restore(const lent_directory *one, int dirfd) noexcept nogil
cdef void lending_close(lent_set *s) noexcept nogil
