"""What a receiver may write, and waits for: the names that its own side asked for. Any thread may ask.

    allowed -> claimed by the first entry of that name -> settled with its result
            -> or said to be absent, or there already (a question's answer)
            -> or still there when the last stream has ended: missing
"""

from libc.stdint cimport uint64_t

from escp._fast.base.libc cimport pthread_mutex_t
from escp._fast.base.types cimport fast_err
from escp._fast.wire.payloads cimport entry

cdef enum:
    # Allowed names that have not come. An honest sender has at most some 39,000 of them at hand: a page of roots,
    # what is queued, asked, in flight, put off as hard links, and not yet said to be absent.
    MAX_WAITING = 65536

cdef enum:  # of roots_allow, beside 0
    ROOTS_NO_MEMORY = -1
    ROOTS_FULL = -2
    ROOTS_CLOSED = -3  # the last stream has ended


ctypedef struct root_name:
    root_name *next
    uint64_t hash
    unsigned int n_times  # it may come: once for each source of that name
    unsigned int n_below  # times that it came while it could as well be part of a directory that was asked for
    unsigned int n_claimed  # entries of it without a result
    unsigned int n_same  # answers that it is here with a digest, which the sender has yet to compare
    bint has_come  # at least once, and well: a hard link may name it
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
    unsigned int n_waiting  # the sum of n_times
    unsigned int at  # bucket, of roots_take_missing
    bint is_closed
    uint64_t seed  # of the hashes: who chooses the names must not choose where they lie


# *seed*: random.
cdef int roots_open(root_set *r, bint is_on, bint keeps_names, uint64_t seed) except -1
cdef void roots_free(root_set *r) noexcept nogil
# 0, or one of those above.
cdef int roots_allow(root_set *r, const char *name, size_t n, bint is_directory) noexcept nogil
# -1 with FAST_UNSAFE unless this entry, and the file that a hard link names, were asked for. A root is claimed by that
# and may not come again; a question claims nothing. For a large file's first entry only.
# Notes in the entry how much of its path, and of that file's, is the root's: tree.pyx confines it to that. It is the
# widest root that it lies below, or, where there is no list, the first component.
cdef int roots_check(root_set *r, entry *e, fast_err *err) noexcept nogil
# The final result of what was claimed.
cdef void roots_settle(root_set *r, const entry *e, bint is_good) noexcept nogil
# A question was answered so that nothing will come of that name; *is_compared*: unless the sender finds a difference.
cdef void roots_answer(root_set *r, const entry *e, bint is_compared) noexcept nogil
# Takes ENTRY_ABSENT. 1; 0: the sender found it to be here; -1 with FAST_UNSAFE: nobody waits for it.
cdef int roots_absent(root_set *r, const entry *e, fast_err *err) noexcept nogil
# Nothing can be allowed from now on.
cdef void roots_close(root_set *r) noexcept nogil
# One of the names that were allowed and never came, of MAX_PATH_BYTES at most; False when there is none (left).
cdef bint roots_take_missing(root_set *r, char *name, size_t *n) noexcept nogil
