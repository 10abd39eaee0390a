"""A receiver's stream goes on over its next connection.

    it breaks -> receive_again: what is pending is written -> the next connection -> TAKEN both ways -> lost results

Of frames only whole ones count, and each is taken once. Of results the last N_TOLD are kept: a sender that has more
files under way than that can't go on.
"""

from libc.stdint cimport uint8_t

from escp._fast.base.types cimport fast_err
from escp._fast.receive.receive_state cimport receive_stream


# Takes the stream's first connection here. Where it is a later one of the other end's it goes on as those do.
cdef int receive_first(receive_stream *t, fast_err *err) noexcept nogil
cdef int receive_all(receive_stream *t, uint8_t *to, size_t n, fast_err *err) noexcept nogil
# The stream's connection is broken, *err* says how. -1: that is the end.
cdef int receive_again(receive_stream *t, fast_err *err) noexcept nogil
# A frame has been taken, of n_meta bytes of metadata: tells the sender from time to time.
cdef int count_frame(receive_stream *t, size_t n_meta, fast_err *err) noexcept nogil
# After the stream's end, until the plane is stopped: the sender may not have heard of it.
cdef void stay(receive_stream *t) noexcept nogil
