"""Room on the disk for large files: contiguous, and there before the blocks are.

It is reserved in steps, from the file's beginning on, a bounded way ahead of what has come: RESERVE_BYTES, or as
much again as has come of that file, and MAX_AHEAD_BYTES for all files of a session together. So a peer that announces
a file of any size, or 128 of them, gets no more of the disk than that for nothing. Where there is no room to
reserve, blocks are written all the same, only slower.

    open_large.n_reserved  up to where room was asked for
    open_large.n_ahead     of these bytes, how many were not earned by as many that have come
    receive_state.n_ahead  the sum of all files; all three belong to the session's lock
"""

from libc.stdint cimport uint64_t

from escp._fast.base.types cimport fast_err
from escp._fast.receive.receive_state cimport open_large, receive_state

cdef enum:
    RESERVE_BYTES = 67108864  # one step, at least: an extent of ext4 has twice that at most
    MAX_AHEAD_BYTES = 1073741824


# A stretch of the file that its claimant must reserve; n = 0: none.
ctypedef struct stretch:
    uint64_t offset
    uint64_t n


# 0; -1: the file can't fit. On a tmpfs all announced bytes count: without memory for them the kernel kills processes.
cdef int check_room(receive_state *s, const open_large *l, fast_err *err) noexcept nogil
# Whether its room is reserved at all: without O_DIRECT small steps are not worth their calls.
cdef bint is_worth_reserving(const open_large *l) noexcept nogil
# The next stretch, if it is time for it: whoever gets one reserves it, without the lock.
cdef void claim_room_locked(receive_state *s, open_large *l, stretch *out) noexcept nogil
# Allocates it. 0; 1: the file system can't reserve; -1: it will not fit.
cdef int reserve(const open_large *l, const stretch *where, fast_err *err) noexcept nogil
# n more bytes of the file have come. When it is over, all that are left.
cdef void earn_room_locked(receive_state *s, open_large *l, uint64_t n) noexcept nogil
