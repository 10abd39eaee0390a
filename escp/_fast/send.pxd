"""A sender's stream: takes work, reads, hashes, compresses, seals, sends. One native thread each."""

from libc.stdint cimport uint8_t, uint64_t

from escp._fast.engine cimport io_ring, io_slot
from escp._fast.sources cimport item, send_state, flight
from escp._fast.types cimport RING_DEPTH, fast_err


ctypedef struct send_stream:
    send_state *state
    int index
    io_ring ring
    io_slot *order[RING_DEPTH]  # blocks being read, in the order they will be sent
    int n_order
    uint8_t *meta  # a metadata frame: IV word, payload, tag
    uint8_t *packed  # the same, compressed; and blocks when compressing
    void *zstd
    item *batch
    flight **flights
    uint64_t n_entries  # sent in all


cdef int send_stream_open(send_stream *t, send_state *s, int index, fast_err *err) noexcept nogil
cdef void send_stream_close(send_stream *t) noexcept nogil
# The body of the stream's thread; ends with an END frame when all is acknowledged, or when stopped.
cdef void send_loop(send_stream *t) noexcept nogil
