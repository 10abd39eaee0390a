"""Walkers: native threads that list directories and open files in parallel, feeding the sender's queue."""

from escp._fast.send.send_state cimport send_state


# The body of a walker's thread; ends when all sources have been walked or the state is stopped.
cdef void walk_loop(send_state *s) noexcept nogil
