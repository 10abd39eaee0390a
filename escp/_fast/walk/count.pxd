"""Counting ahead: how many files there are, long before walkers have found them all, for the percentage that is shown.

Walkers are never far ahead of the streams, so that memory is bounded; this only lists directories, and keeps no file's
name. What it says is an estimate: links to directories count as one, and the tree may change.
"""

from escp._fast.send.send_state cimport send_state


# A source has been added; the state's lock is held. What can't be remembered ends the counting.
cdef void count_source_locked(send_state *s, const char *path, size_t n_path, const char *target,
                              size_t n_target) noexcept nogil
# The body of the thread; ends when everything is counted, or it is not worth while any more.
cdef void count_loop(send_state *s) noexcept nogil
