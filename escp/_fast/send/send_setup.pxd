"""Making the sender's state before its threads start, and taking it apart when they have ended."""

from escp._fast.send.send_state cimport send_state


cdef int state_open(send_state *s) except -1  # zeroed but for its config
cdef void state_free(send_state *s) noexcept nogil  # with all that is left in it
