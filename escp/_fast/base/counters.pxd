"""What each stream counts, on either side. Its own thread writes them, with relaxed atomics; any may read."""

from libc.stdint cimport uint64_t

from escp._fast.base.libc cimport CLOCK_MONOTONIC, clock_gettime, escp_count, timespec_t


ctypedef struct stream_counters:
    uint64_t n_bytes  # of file contents, sent or received
    uint64_t n_wire  # of frames
    uint64_t n_payload  # of data frames, after compression
    uint64_t first_ns  # monotonic clock of the first and the last data frame
    uint64_t last_ns
    uint64_t padding[3]  # a cache line of its own


# CLOCK_MONOTONIC, in nanoseconds.
cdef inline uint64_t read_clock() noexcept nogil:
    cdef timespec_t now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <uint64_t>now.tv_sec * 1000000000 + <uint64_t>now.tv_nsec


# Counts contents of a file, sent or received: n_raw bytes, which were n_payload in their frame.
cdef inline void count_contents(stream_counters *counters, uint64_t n_payload, uint64_t n_raw) noexcept nogil:
    cdef uint64_t now_ns = read_clock()
    if counters.first_ns == 0:
        escp_count(&counters.first_ns, now_ns)
    escp_count(&counters.n_payload, n_payload)
    escp_count(&counters.n_bytes, n_raw)
    escp_count(&counters.last_ns, now_ns - counters.last_ns)
