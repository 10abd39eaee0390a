"""The connection that carries a stream now, and the next one when it breaks.

Python hands in connections, the newest one counts. Each thread adopts it in its own time, as a descriptor of its own:
no number changes its meaning under a thread that still uses it.

    connection_replace -> line_adopt ... connection_cut (it broke: said once) -> connection_replace -> line_adopt ...
"""

from libc.stdint cimport uint32_t, uint64_t

from escp._fast.base.libc cimport pthread_cond_t, pthread_mutex_t
from escp._fast.base.types cimport fast_err
from escp._fast.crypto.channel cimport channel


ctypedef struct connection:
    pthread_mutex_t lock
    pthread_cond_t changed  # with every change of what follows; users may wait for matters of their own with it
    int fd  # of the newest one, Python's; -1: there has been none
    channel *sealed  # its channel
    uint32_t number  # how many there have been
    bint is_cut  # the newest one is broken
    bint is_over  # there will be none any more


# What a thread has of it.
ctypedef struct line:
    connection *whole
    int fd
    channel *sealed
    uint32_t number  # 0: nothing yet
    bint is_own  # the descriptor


# Frames that did not verify, of one direction of a stream.
ctypedef struct bad_frames:
    int n  # connections in a row that ended so
    uint64_t at  # frames that were right before the last one


cdef enum:
    MAX_BAD = 3  # connections in a row that a changed byte may end
    MANY_FRAMES = 256  # that are right, and it is no longer in a row


# Whether another connection may do better: the network broke, or (not for long) brought something that is not genuine.
# n_frames: those that were right so far.
cdef bint is_passing(const fast_err *err, bad_frames *bad, uint64_t n_frames) noexcept nogil
cdef void connection_open(connection *c) noexcept nogil
cdef void connection_close(connection *c) noexcept nogil
# The channel and its socket, which the caller keeps open until the next one, or the end.
cdef void connection_replace(connection *c, int fd, channel *sealed) noexcept nogil
# Every thread that waits goes on, and none comes further; shuts the socket.
cdef void connection_stop(connection *c) noexcept nogil
# That one is broken: shut, so that every thread notices. True for whoever says it first of the newest one.
cdef bint connection_cut(connection *c, uint32_t number) noexcept nogil
# Whether there is a newer one than the thread has, or its own is broken.
cdef bint line_is_stale(line *l) noexcept nogil
# Takes a newer one that is not broken: 1; 0: there is none, and *waits* is not set; -1 with FAST_STOPPED at the end, or
# FAST_NET. is_own: with a descriptor of the thread's own, as there may be another one later.
cdef int line_adopt(line *l, bint is_own, bint waits, fast_err *err) noexcept nogil
cdef void line_close(line *l) noexcept nogil
