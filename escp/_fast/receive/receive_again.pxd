"""A receiver's stream goes on over its next connection.

    it breaks -> receive_again: what is pending is written -> the next connection -> TAKEN both ways -> lost results

Only whole frames count, and each is taken once. The last N_TOLD results are kept: a sender that has more files under
way can't go on.
"""

from libc.stdint cimport uint64_t, uint8_t

from escp._fast.base.types cimport fast_err
from escp._fast.receive.receive_state cimport receive_stream


# Takes the first connection that the stream has at this end. If the other end has had one before, this is a later one.
cdef int receive_first(receive_stream *t, fast_err *err) noexcept nogil
cdef int receive_all(receive_stream *t, uint8_t *to, size_t n, fast_err *err) noexcept nogil
# Whether the opened metadata payload of n bytes is a TAKEN: 1, and what the sender says; 0; -1: it can't be right.
cdef int get_taken(const uint8_t *payload, size_t n, uint64_t *n_results, uint64_t *n_heard,
                   fast_err *err) noexcept nogil
# The sender hears nothing, and says what it has heard over this connection, and which results it has.
cdef int take_unheard(receive_stream *t, uint64_t n_results, uint64_t n_heard, fast_err *err) noexcept nogil
# The stream's connection is broken, *err* says how. Goes on over the next one, or -1: there is none.
cdef int receive_again(receive_stream *t, fast_err *err) noexcept nogil
# A frame has been taken, of n_meta bytes of metadata: tells the sender from time to time.
cdef int count_frame(receive_stream *t, size_t n_meta, fast_err *err) noexcept nogil
# After the stream's end, until the plane is stopped: the sender may not have heard of it.
cdef void stay(receive_stream *t) noexcept nogil
