"""A receiver's stream: receive, open, decompress, hash, write. One native thread each."""

from libc.stdint cimport uint8_t

from escp._fast.base.types cimport fast_err
from escp._fast.io.ring cimport io_slot
from escp._fast.receive.receive_state cimport receive_stream


# Takes in the opened metadata payload of n bytes at frame + IV_BYTES, which stays as it is until the next one.
cdef int take_meta(receive_stream *t, const uint8_t *frame, size_t n, bint *is_end, fast_err *err) noexcept nogil
# Takes in the opened data payload at frame + IV_BYTES; without compression its contents may lie at slot.data already.
cdef int take_data(receive_stream *t, io_slot *slot, uint8_t *frame, size_t n, fast_err *err) noexcept nogil
# After the sender's END: the last of its streams ends the plane.
cdef int end_stream(receive_stream *t, fast_err *err) noexcept nogil
# The body of the stream's thread; EVENT_FINISHED comes from the stream that ends last.
cdef void receive_loop(receive_stream *t) noexcept nogil
