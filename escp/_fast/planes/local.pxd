"""Both ends of a stream in one process: one thread, no socket, no key, no copy of a block.

    send_stream: read, hash -> frame_sink -> receive_stream: check, hash, write (kernel AIO)
    receive_stream: results -> answer_sink -> what the sender does with results

The planes and their streams are those of a copy over a network. Only frames and answers take another way.
"""

from libc.stdint cimport uint64_t

from escp._fast.base.libc cimport pthread_mutex_t
from escp._fast.receive.receive_state cimport receive_state, receive_stream
from escp._fast.send.send_stream cimport send_stream
from escp._fast.send.send_state cimport send_state


# What the streams of one copy share.
ctypedef struct local_link:
    send_state *sending
    receive_state *receiving
    uint64_t n_ended  # streams that have
    uint64_t no_clones_from  # device of a source whose files can't be cloned to the destination
    uint64_t limit_bytes_per_s  # of all streams together; 0: none
    uint64_t busy_until_ns  # CLOCK_MONOTONIC: when all that has passed is through at that rate
    pthread_mutex_t pace


ctypedef struct local_stream:
    local_link *link
    send_stream *sender
    receive_stream *receiver


# Joins two streams that are open and not yet started.
cdef void local_join(local_stream *t, local_link *link, send_stream *sender, receive_stream *receiver) noexcept nogil
# What the thread of both runs.
cdef void local_loop(local_stream *t) noexcept nogil
