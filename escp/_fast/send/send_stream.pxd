"""What a sender's stream is made of: for its own thread."""

from libc.stdint cimport uint8_t, uint64_t

from escp._fast.base.types cimport RING_DEPTH, fast_err
from escp._fast.io.ring cimport io_ring, io_slot
from escp._fast.send.below cimport root_way
from escp._fast.send.send_state cimport flight, item, send_state, sent_log
from escp._fast.wire.connection cimport line


# Where frames go instead of a socket when the receiver is in this process; all by the stream's own thread.
ctypedef struct frame_sink:
    void *link  # NULL: there is a socket
    # The payload at frame + IV_BYTES, unsealed. A data frame lies in a slot of *ring*, whose buffer is exchanged.
    int (*take)(void *link, int type, uint8_t *frame, size_t n, fast_err *err) noexcept nogil
    # Before waiting for anything else: waits for a write of those at the disk (n_writes of them).
    int (*settle)(void *link, fast_err *err) noexcept nogil
    const int *n_writes
    # The sender can't go on.
    int (*fail)(void *link, const fast_err *err) noexcept nogil


ctypedef struct send_stream:
    send_state *state
    int index
    line line
    uint64_t told_ns  # read_clock: when this side has last said what it has heard
    io_ring ring
    io_slot *order[RING_DEPTH]  # blocks being read, in the order they will be sent
    int n_order
    uint8_t *meta  # a metadata frame: IV word, payload, tag
    uint8_t *extras  # of the entry that is being composed
    uint8_t *packed  # the same, compressed; and blocks when compressing
    void *zstd
    item *batch
    flight **flights
    root_way way  # for the walkers' directories, when their attributes are read
    uint64_t n_entries  # sent in all
    # The message that is being composed.
    size_t body  # bytes of it
    size_t last  # where its last entry begins
    int count
    flight **complete  # those that it tells all of
    int n_complete
    io_slot *bundle  # contents of its small files
    size_t fill  # bytes of them
    uint64_t *bundled  # the ids of those that have any
    int n_bundled
    frame_sink sink


cdef int send_stream_open(send_stream *t, send_state *s, int index, fast_err *err) noexcept nogil
cdef void send_stream_close(send_stream *t) noexcept nogil  # before its state ends
cdef void sent_close(sent_log *log) noexcept nogil
# Seals the payload of n bytes at frame + IV_BYTES and sends it over the connection that there is. *block*: NULL, or
# whose contents are the payload behind its header, wherever they are; they are given back before anything can wait.
cdef int transmit(send_stream *t, int type, uint8_t *frame, size_t n, io_slot *block, bint has_more,
                  fast_err *err) noexcept nogil
