"""What a stream has sent and the receiver has not taken yet: sent once more over the stream's next connection.

    sent_add -> transmit -> the receiver's TAKEN -> sent_confirm
                 it breaks -> send_again: the next connection, what is unconfirmed, in the order it was sent

Metadata is kept; contents are read again. So memory depends on neither rate nor distance.
The log belongs to the lock of the stream's connection.
"""

from libc.stdint cimport uint8_t, uint64_t

from escp._fast.base.types cimport fast_err
from escp._fast.send.send_state cimport sent_log
from escp._fast.send.send_stream cimport send_stream
from escp._fast.wire.payloads cimport data_header

# Wait for the state's *work*, with its lock, or until this side has said nothing for SAY_S: then 1, and `say_heard` is
# to follow, without the lock.
cdef bint await_work_locked(send_stream *t) noexcept nogil
# Says what this side has heard over the connection, unless results lie there that nobody has read yet.
cdef void say_heard(send_stream *t) noexcept nogil
# Takes the stream's first connection here. Where it is a later one of the other end's it goes on as those do.
cdef int send_first(send_stream *t, fast_err *err) noexcept nogil
# Before a frame is sealed: what it takes to send it again. what: of a data frame. Waits while too much is unconfirmed.
cdef int sent_add(send_stream *t, const uint8_t *payload, size_t n, const data_header *what,
                  fast_err *err) noexcept nogil
# The receiver has taken n frames in all. -1 with FAST_PROTOCOL when that can't be. With the connection's lock.
cdef int sent_confirm_locked(sent_log *log, uint64_t n, fast_err *err) noexcept nogil
# The stream's connection is broken, *err* says how: go on over the next one, as often as it takes.
cdef int send_again(send_stream *t, fast_err *err) noexcept nogil
# After the END, until the receiver has it.
cdef int await_end(send_stream *t, fast_err *err) noexcept nogil
