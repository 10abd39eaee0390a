"""Files that have arrived, for the next run, and those that an earlier one has brought: see files/stamps.pxd."""

from libc.stdint cimport uint8_t, uint64_t

from escp._fast.base.types cimport fast_err
from escp._fast.send.send_state cimport dir_node, flight, item, send_state


# MESSAGE_STAMPS of the receiver: *count* files whose results come next.
cdef int take_stamps(send_state *s, const uint8_t *body, int count, fast_err *err) noexcept nogil
# A good result has come.
cdef void note_arrived_locked(send_state *s, const flight *f) noexcept nogil
# What the file had at the target when an earlier run had brought it, as it is now; 0: none has.
cdef uint64_t find_stamp(send_state *s, const item *it, const dir_node *dir, const char *name) noexcept nogil
