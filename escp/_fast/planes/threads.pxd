"""Native threads of a plane."""

from escp._fast.base.libc cimport pthread_t
from escp._fast.base.types cimport MAX_STREAMS

cdef enum:
    MAX_WALKERS = 16
    MAX_THREADS = MAX_STREAMS + MAX_WALKERS + 2  # one for acknowledgements, one that counts ahead


cdef class Threads:
    """Threads that are joined together."""
    cdef pthread_t handles[MAX_THREADS]
    cdef readonly int n

    # Runs *run* in a new thread of that name. OSError: there can't be one more.
    cdef int add(self, void *(*run)(void *) noexcept nogil, void *arg, const char *name) except -1
    cdef void join(self) noexcept nogil
