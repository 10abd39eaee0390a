"""Asking the receiver what it has, before files are opened (protocol.md 5.9).

    walker: stat -> questions -> stream: ENTRY_QUERY -> receiver
                                                            |
    walker: open -> items  <-  wanted  <-  acks thread: result, SAME or WANTED

An answered question is done (SAME), or waits in the list of wanted ones until a walker takes it. Nobody here
waits for anybody but walkers for room, and while they do so they take wanted ones: that is what makes room.
Questions may fill half of the flights at most, so that the files behind them always find some.
"""

from libc.stdint cimport uint16_t, uint64_t

from escp._fast.base.types cimport MAX_NAME_BYTES, fast_err
from escp._fast.crypto.digest cimport digest128
from escp._fast.send.send_stream cimport send_stream
from escp._fast.send.send_state cimport dir_node, flight, hard_link, send_state
from escp._fast.wire.payloads cimport result


# A file that the receiver has not, or that digests are to be compared of.
ctypedef struct wanted_file:
    dir_node *dir  # holds a reference
    uint64_t size
    digest128 digest  # of the receiver's file
    bint is_digest_known
    bint is_for_reason  # the digest only tells why it is sent
    int reason
    int node  # as of a flight
    hard_link *links  # of a file with several names, whose question is answered when this is dealt with
    flight mark  # with *links*: the marks of the source
    uint16_t n_name
    char name[MAX_NAME_BYTES + 1]


# Whether streams should ask now: when a batch has come together, or nobody adds to it.
cdef bint is_time_to_ask_locked(send_state *s) noexcept nogil
# Moves questions into t.batch and t.flights; how many.
cdef int take_questions_locked(send_stream *t) noexcept nogil
cdef int send_questions(send_stream *t, int n, fast_err *err) noexcept nogil
# The receiver's answer to a question that was asked. 0; 1: it has that file, which is to be told before the caller ends
# the flight; or -1, an answer that is none.
cdef int take_answer_locked(send_state *s, flight *f, const result *r, fast_err *err) noexcept nogil
# The oldest wanted one; False when there is none.
cdef bint take_wanted_locked(send_state *s, wanted_file *w) noexcept nogil
