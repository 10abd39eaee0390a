"""The connection that carries a stream now, and the next one when it breaks.

Python hands in connections; the newest one counts. Each thread adopts it when it is ready, and duplicates its
descriptor: so none is closed under a thread that still uses it.

    connection_replace -> line_adopt ... connection_cut (it broke: said once) -> connection_replace -> line_adopt ...
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from escp._fast.base.libc cimport pthread_cond_t, pthread_mutex_t
from escp._fast.base.types cimport fast_err
from escp._fast.crypto.channel cimport channel


ctypedef struct connection:
    pthread_mutex_t lock
    pthread_cond_t changed  # signalled at each change of what follows; others may signal it for reasons of their own
    int fd  # the newest one's, owned by Python; -1: there has been none
    channel *sealed  # its channel
    uint32_t number  # how many there have been
    bint is_cut  # the newest one is broken
    bint is_resumed  # it is not the first, and the stream goes on over it
    bint is_over  # there will be none any more


# One thread's hold on a connection.
ctypedef struct line:
    connection *whole
    int fd
    channel *sealed
    uint32_t number  # 0: nothing yet
    bint is_own  # fd is a duplicate, which line_close closes


# Of the frames that this end says over a connection, behind HELLO, those that the other end has heard.
ctypedef struct echo:
    bint is_known  # it has said it once
    uint64_t n_heard  # as it said last
    uint64_t n_said  # there were so many when it said that first,
    int64_t since_s  # at that time


# Frames that did not verify, of one direction of a stream.
ctypedef struct bad_frames:
    int n  # connections in a row that ended with one
    uint64_t at  # how many frames had been right when the last one came


cdef enum:
    IDLE_BYTES = 256  # less in IDLE_S is next to nothing: it may be what an end that waits says
    SAY_S = 7  # as often a sender that waits says what it has heard
    MAX_BAD = 3  # so many in a row, and there is no other connection
    MANY_FRAMES = 256  # so many right ones between two bad ones, and these are not in a row


# Whether another connection may help after *err*: this one broke, or a frame did not verify, which happens now and
# then. *n_frames*: how many were right so far.
cdef bint is_passing(const fast_err *err, bad_frames *bad, uint64_t n_frames) noexcept nogil
# The other end, which hears next to nothing, says that it has heard n_heard frames, of n_said. -1: FAST_NET, something
# on the way has lost, or holds, what was said before it said the same the last time: both systems take the connection
# for sound. A low limit, with seconds between two packets, is no loss. Or FAST_PROTOCOL: there are not so many.
cdef int echo_take(echo *e, int fd, uint64_t n_heard, uint64_t n_said, fast_err *err) noexcept nogil
cdef void connection_open(connection *c) noexcept nogil
cdef void connection_close(connection *c) noexcept nogil
# Hands in the next connection: its socket and channel. The caller keeps them until the one after it, or the end.
cdef void connection_replace(connection *c, int fd, channel *sealed) noexcept nogil
# Shuts the socket and wakes the threads that wait; none adopts a connection any more.
cdef void connection_stop(connection *c) noexcept nogil
# Connection *number* is broken: shuts its socket, so that every thread notices. True if it is the newest one, and this
# is the first to say so.
cdef bint connection_cut(connection *c, uint32_t number) noexcept nogil
# The stream goes on over connection *number*. True if that is the newest one, and not broken since.
cdef bint connection_resumed(connection *c, uint32_t number) noexcept nogil
# Of what two threads tell Python one after the other: whether CUT, or else RESUMED, is so now.
cdef bint connection_is(connection *c, bint cut) noexcept nogil
# Whether the thread's connection is broken, or there is a newer one.
cdef bint line_is_stale(line *l) noexcept nogil
# Adopts the newest connection, if the thread has not got it and it is not broken: 1. 0: there is no such one, and
# *waits* is not set. -1: FAST_STOPPED after connection_stop, or FAST_NET. *is_own*: duplicates the descriptor, as
# another connection may come later.

cdef int line_adopt(line *l, bint is_own, bint waits, fast_err *err) noexcept nogil
cdef void line_close(line *l) noexcept nogil
