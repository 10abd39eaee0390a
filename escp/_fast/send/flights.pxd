"""What has been sent and has no result yet: one flight for each file, link, directory and question.

A flight's place in the table is the remainder of its id, so a result finds it without a search.
"""

from libc.stdint cimport uint8_t, uint16_t

from escp._fast.base.libc cimport stat_t
from escp._fast.send.send_state cimport dir_node, flight, hard_link, send_state


# A flight that takes over the caller's reference to *dir*; NULL when there is no free one.
cdef flight *flight_new_locked(send_state *s, uint8_t kind, dir_node *dir) noexcept nogil
# Ends the flight: closes its file, and what waits for it may go on.
cdef void flight_end_locked(send_state *s, flight *f) noexcept nogil
# The last part of its path, n_name bytes, until the flight ends. A directory has none.
cdef const char *flight_name(send_state *s, const flight *f) noexcept nogil
cdef void flight_set_name(send_state *s, flight *f, const char *name, uint16_t n_name) noexcept nogil
# If the flight is of a source, the receiver waits for that no more.
cdef void settle_root_locked(send_state *s, const flight *f) noexcept nogil
# Note what tells later whether the file is still the one that was sent.
cdef void mark_source(flight *f, const stat_t *status) noexcept nogil
cdef void mark_name(flight *f, const hard_link *first) noexcept nogil  # one more name of a file that was sent
cdef bint is_marked(const flight *f, const stat_t *now) noexcept nogil
