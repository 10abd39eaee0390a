"""What both planes have."""

from libc.stdint cimport uint64_t

from escp._fast.base.counters cimport stream_counters
from escp._fast.base.events cimport event_queue
from escp._fast.planes.threads cimport Threads
from escp._fast.wire.connection cimport connection


cdef class Plane:
    """The pointers lead into its state."""
    cdef event_queue *events
    cdef connection *connections
    cdef Threads threads
    cdef list held  # channels: they must outlive the threads

    cdef void wake(self) noexcept nogil  # threads that wait for a connection in another way than its own


# ValueError when there can't be such streams.
cdef int check_streams(int n_streams, size_t block_bytes) except -1
# selection_kind; ValueError when there is none of that name, or digests can't be compared for it.
cdef int find_selection(selection, bint compares_digests) except -1
# MemoryError where the buffers of *n_ends* ends of the streams are more than there is memory for, or *is_refused*.
cdef int check_memory(int n_streams, size_t block, int n_ends, bint is_refused) except -1
# bytes, bytes_network, bytes_compressed of all streams; first_ns, last_ns: monotonic clock, 0 = no data yet.
cdef dict sum_counters(const stream_counters *streams, int n)
