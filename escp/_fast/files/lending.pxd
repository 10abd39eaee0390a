"""Directories in which their owner may not write are made writable for a moment, as rsync does it, and set back.

They are those that the copy brings, so their own entry comes when all in them is there; what is left when the copy
ends early is set back then.
"""

from libc.stdint cimport uint32_t, uint64_t

from escp._fast.base.libc cimport pthread_mutex_t


ctypedef struct lent_directory:
    lent_directory *next
    uint64_t dev
    uint64_t ino
    uint32_t mode
    int fd  # O_PATH


ctypedef struct lent_set:
    pthread_mutex_t lock
    lent_directory *first
    int n  # of them


cdef void lending_open(lent_set *s) noexcept nogil
# Makes the directory (O_PATH) writable. False, and errno stays: it is not ours, or that is not what is wrong.
cdef bint lend(lent_set *s, int dirfd) noexcept nogil
# The directory has its old mode again, if it was lent.
cdef void give_back(lent_set *s, int dirfd) noexcept nogil
cdef void give_all_back(lent_set *s) noexcept nogil
cdef void lending_close(lent_set *s) noexcept nogil
