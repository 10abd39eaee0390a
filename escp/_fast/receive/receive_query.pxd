"""Questions of the sender: does the receiver have this file? Nothing is created for them."""

from escp._fast.base.types cimport fast_err
from escp._fast.receive.receive_state cimport receive_stream
from escp._fast.wire.payloads cimport entry


# Adds the answer to the results; -1 where questions were not agreed on. May wait for a slot of the ring.
cdef int answer_query(receive_stream *t, const entry *e, fast_err *err) noexcept nogil
