"""--remove-source-files: a source goes once its good final result is there, and only if it is what was read."""

from escp._fast.send.send_state cimport flight, send_state


# Removes the flight's source by its directory's descriptor, over no link below what the user named. What can't be
# removed, or is another file by now, is reported, and stays. Without the state's lock; the flight is the caller's.
cdef void remove_source(send_state *s, flight *f) noexcept nogil
