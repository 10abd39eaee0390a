"""Asking the receiver what it has, before files are opened (protocol.md 5.9).

    walker: stat -> questions -> stream: ENTRY_QUERY -> receiver
                                                            |
    walker: open -> items  <-  wanted  <-  acks thread: result, SAME or WANTED

An answered question is done (SAME), or waits in the list of wanted ones until a walker takes it. Nobody here
waits for anybody but walkers for room, and while they do so they take wanted ones: that is what makes room.
Questions may fill half of the flights at most, so that the files behind them always find some.
"""

from escp._fast.send_frames cimport send_stream
from escp._fast.sources cimport flight, send_state
from escp._fast.types cimport fast_err
from escp._fast.wire cimport result


# Whether streams should ask now: when a batch has come together, or nobody adds to it.
cdef bint is_time_to_ask_locked(send_state *s) noexcept nogil
# Moves questions into t.batch and t.flights; how many.
cdef int take_questions_locked(send_stream *t) noexcept nogil
cdef int send_questions(send_stream *t, int n, fast_err *err) noexcept nogil
# The receiver's answer to a question that was asked. 0; or -1, an answer that is none.
cdef int take_answer_locked(send_state *s, flight *f, const result *r, fast_err *err) noexcept nogil
# Moves the oldest wanted one into *copy*, with its reference to the directory; False when there is none.
cdef bint take_wanted_locked(send_state *s, flight *copy) noexcept nogil
