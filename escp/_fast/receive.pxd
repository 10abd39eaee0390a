"""A receiver's stream: receive, open, decompress, hash, write. One native thread each."""

from escp._fast.receive_state cimport receive_stream


# The body of the stream's thread; EVENT_FINISHED comes from the stream that ends last.
cdef void receive_loop(receive_stream *t) noexcept nogil
