"""Counting ahead: how many files there are, long before walkers have found them all, for the percentage that is shown.

Walkers stay close to the streams, to bound memory. The counting thread runs ahead: it only lists directories, and keeps
no file's name. Its number is an estimate: a link to a directory counts as one file, and the tree may change.
"""

from escp._fast.send.send_state cimport send_state


# Counts a new source, too; the state's lock is held. Where there is no room for it, counting ends.
cdef void count_source_locked(send_state *s, const char *path, size_t n_path, const char *target,
                              size_t n_target) noexcept nogil
# What the counting thread runs: until all is counted, walkers have found all, or there is no room.
cdef void count_loop(send_state *s) noexcept nogil
