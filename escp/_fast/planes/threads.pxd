"""Native threads of a plane."""

from escp._fast.base.libc cimport pthread_t
from escp._fast.base.types cimport MAX_STREAMS

cdef enum:
    MAX_WALKERS = 16
    MAX_THREADS = MAX_STREAMS + MAX_WALKERS + 2  # and one each for what comes back, and to count


cdef class Threads:
    """Started together, joined together."""
    cdef pthread_t handles[MAX_THREADS]
    cdef readonly int n

    # *run* in a thread of that name; OSError when there can be none more.
    cdef int add(self, void *(*run)(void *) noexcept nogil, void *arg, const char *name) except -1
    cdef void join(self) noexcept nogil
