"""What flows back to the sender: one thread polls all streams and takes in the receiver's results.

It never waits for a stream's thread, and reads whatever is there, so the receiver can always send. Of a stream whose
connection breaks it goes on with the next one, where there may be one.
"""

from libc.stdint cimport uint8_t, uint64_t

from escp._fast.base.types cimport MAX_STREAMS, fast_err
from escp._fast.send.send_state cimport send_state
from escp._fast.wire.connection cimport bad_frames, echo, line
from escp._fast.wire.payloads cimport result


ctypedef struct ack_reader:
    send_state *state
    line lines[MAX_STREAMS]
    uint8_t *frames[MAX_STREAMS]  # one metadata frame each
    size_t n_have[MAX_STREAMS]
    size_t n_want[MAX_STREAMS]
    int type[MAX_STREAMS]
    bint is_ended[MAX_STREAMS]
    uint64_t n_frames[MAX_STREAMS]  # that were right
    bad_frames bad[MAX_STREAMS]
    echo echoes[MAX_STREAMS]


# Obeys one result; for the thread of a receiver in this process, too, which holds no lock of either side.
cdef int take_result(send_state *s, const result *r, fast_err *err) noexcept nogil
cdef int ack_open(ack_reader *r, send_state *s, fast_err *err) noexcept nogil
cdef void ack_close(ack_reader *r) noexcept nogil
# The body of the thread; pushes EVENT_FINISHED when every stream has ended well.
cdef void ack_loop(ack_reader *r) noexcept nogil
