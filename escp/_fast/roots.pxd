"""What a receiver may write: the names that its own side asked for. Any thread may ask."""

from libc.stdint cimport uint64_t

from escp._fast.libc cimport pthread_mutex_t
from escp._fast.types cimport fast_err
from escp._fast.wire cimport entry


ctypedef struct root_name:
    root_name *next
    uint64_t hash
    unsigned int n_times  # it may come: once for each source of that name
    bint has_come  # at least once: a hard link may name it
    bint is_directory  # what lies below it is wanted as well
    unsigned int n
    char name[1]


ctypedef struct root_set:
    bint is_on  # without it everything below the destination may be written
    bint keeps_names  # for hard links: names that have come are not forgotten
    pthread_mutex_t lock
    root_name **buckets
    unsigned int n_buckets
    unsigned int n_names
    uint64_t seed  # of the hashes: who chooses the names must not choose where they lie


# *seed*: random.
cdef int roots_open(root_set *r, bint is_on, bint keeps_names, uint64_t seed) except -1
cdef void roots_free(root_set *r) noexcept nogil
# 0, or -1 without memory.
cdef int roots_allow(root_set *r, const char *name, size_t n, bint is_directory) noexcept nogil
# Whether this entry was asked for, and of a hard link the file that it names; -1 with FAST_UNSAFE. An entry that is
# the last of a root takes it off the list. It also notes in the entry how much of its path, and of that file's, is
# the root's, which tree.pyx confines it to: the widest root that it lies below, or, where there is no list, the
# first component.
cdef int roots_check(root_set *r, entry *e, fast_err *err) noexcept nogil
# A large file, or a file that need not be sent, is over: its root may not come again.
cdef void roots_drop(root_set *r, const entry *e) noexcept nogil
