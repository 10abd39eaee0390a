"""Walkers: native threads that list directories and open files in parallel, feeding the sender's queue."""

from escp._fast.send.send_state cimport dir_node, send_state


# What a walker's thread runs: until all sources have been walked, or the plane is stopped.
cdef void walk_loop(send_state *s) noexcept nogil
# Whether the user's rules exclude *name* in *dir*; both are short enough for a path.
cdef bint is_left_out(send_state *s, dir_node *dir, const char *name, size_t n, bint is_directory) noexcept nogil
