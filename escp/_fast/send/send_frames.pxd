"""What a sender's stream is made of, and the frames it sends.

All functions are for the stream's own thread. Every entry goes through add_entry, which alone knows how much room there
is: what has been composed goes first when there is none. So nobody has to know how long a message gets.
"""

from libc.stdint cimport uint8_t, uint64_t

from escp._fast.base.libc cimport stat_t
from escp._fast.base.types cimport RING_DEPTH, fast_err
from escp._fast.crypto.digest cimport digest128
from escp._fast.io.ring cimport io_ring, io_slot
from escp._fast.send.below cimport root_way
from escp._fast.send.send_state cimport dir_node, flight, item, send_state
from escp._fast.wire.payloads cimport data_header, entry


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
    frame_sink sink


cdef int send_stream_open(send_stream *t, send_state *s, int index, fast_err *err) noexcept nogil
cdef void send_stream_close(send_stream *t) noexcept nogil
# Adds an entry to the message; its path is the directory's and the name. f: what nothing more is to be told of, so that
# its result may come as soon as this has gone; NULL when more follows.
cdef int add_entry(send_stream *t, entry *e, flight *f, const dir_node *dir, const char *name, size_t n_name,
                   fast_err *err) noexcept nogil
# The receiver hears of the directory, and of those above it, if this stream has not told of them yet: before anything
# that lies in it is added.
cdef int add_begun(send_stream *t, dir_node *dir, fast_err *err) noexcept nogil
# The entry that was added last: its size and digest; or it is not to go after all, nor its flight.
cdef void set_contents(send_stream *t, uint64_t size, const digest128 *digest) noexcept nogil
cdef void take_back(send_stream *t) noexcept nogil
# Sends the message, if there is one, and its bundle. has_more: another data frame follows at once.
cdef int send_entries(send_stream *t, bint has_more, fast_err *err) noexcept nogil
cdef int send_end(send_stream *t, uint64_t n_bytes, fast_err *err) noexcept nogil
# Sends what lies at *data* in a ring's slot; the frame is built around it.
cdef int send_data(send_stream *t, uint8_t *data, const data_header *what, fast_err *err) noexcept nogil
# As it is taken from stat, but for its size; no extras.
cdef void describe(entry *e, int kind, uint64_t id, const stat_t *status, uint64_t size) noexcept nogil
