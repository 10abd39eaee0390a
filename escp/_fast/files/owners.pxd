"""Names of users and groups <-> numbers, each looked up once: a name service may take milliseconds.

A table of fixed size: a new name replaces the one in its place, so memory is bounded whatever a peer names. Any thread
may ask; lookups wait for each other.
"""

from libc.stdint cimport uint32_t

from escp._fast.base.libc cimport pthread_mutex_t

cdef enum:
    N_OWNERS = 256
    OWNER_NAME_BYTES = 256


ctypedef struct owner:
    bint is_used
    bint is_group
    bint is_known  # the system knows the name, or the number
    uint32_t id
    char name[OWNER_NAME_BYTES]


ctypedef struct owner_cache:
    pthread_mutex_t lock
    owner places[N_OWNERS]


cdef void owners_open(owner_cache *c) noexcept nogil
cdef void owners_close(owner_cache *c) noexcept nogil
# The name of a number into *name* (OWNER_NAME_BYTES): its length, 0 when it has none.
cdef size_t find_name(owner_cache *c, bint is_group, uint32_t id, char *name) noexcept nogil
# The number of a name (n bytes, at most 255), or *otherwise* when it is not known here.
cdef uint32_t find_id(owner_cache *c, bint is_group, const char *name, size_t n, uint32_t otherwise) noexcept nogil
