"""What the sending and the receiving plane have in common."""

from libc.stdint cimport uint64_t

from escp._fast.base.counters cimport stream_counters
from escp._fast.base.events cimport event_queue
from escp._fast.planes.threads cimport Threads
from escp._fast.wire.connection cimport connection


cdef class Plane:
    """Base of SendPlane and ReceivePlane."""
    cdef event_queue *events  # these two lie in the plane's state
    cdef connection *connections
    cdef Threads threads
    cdef list held  # channels: they must outlive the threads

    # After attach(): wakes threads that wait for a connection, but not by connection.changed.
    cdef void wake(self) noexcept nogil
    cdef bint is_so(self, tuple event) except -1


# ValueError: there can't be so many streams, or blocks of that size.
cdef int check_streams(int n_streams, size_t block_bytes) except -1
# The selection_kind of that name. ValueError: there is none, or digests can't be compared with it.
cdef int find_selection(selection, bint compares_digests) except -1
# MemoryError: *n_ends* ends of each stream need more memory for buffers than is free, or were refused it already
# (*is_refused*).
cdef int check_memory(int n_streams, size_t block, int n_ends, bint is_refused) except -1
# bytes, bytes_network, bytes_compressed of all streams; first_ns, last_ns: monotonic clock, 0 = no data yet.
cdef dict sum_counters(const stream_counters *streams, int n)
