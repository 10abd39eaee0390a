"""--remove-source-files: a source goes once its good final result is there, and only if it is what was read."""

from escp._fast.base.libc cimport stat_t
from escp._fast.send.send_state cimport flight, hard_link, send_state


# What tells later whether the file is still the one that is sent now.
cdef void mark_source(flight *f, const stat_t *status) noexcept nogil
cdef void mark_name(flight *f, const hard_link *first) noexcept nogil  # one more name of a file that was sent
# Removes the flight's source by its directory's descriptor, over no link that the copy does not follow. What can't be
# removed, or is another file by now, is reported, and stays. Without the state's lock; the flight is the caller's.
cdef void remove_source(send_state *s, flight *f) noexcept nogil
