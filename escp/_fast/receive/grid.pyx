"""Where the blocks of a large file may lie; see grid.pxd."""

from libc.stdint cimport uint64_t, uint8_t

from escp._fast.base.types cimport FAST_PROTOCOL, SLICE_BYTES, fail, fast_err
from escp._fast.receive.receive_state cimport WINDOW_BLOCKS, open_large, receive_state
from escp._fast.wire.payloads cimport data_header


cdef int count_coming_locked(open_large *l, uint64_t n, fast_err *err) noexcept nogil:
    l.n_begun += n
    if l.n_begun > (l.n_total if l.has_end else l.what.size):  # the file may be finished while this block comes
        return fail(err, FAST_PROTOCOL, 0, "block after the end")
    return 0


cdef int check_block_locked(receive_state *s, open_large *l, const data_header *h, fast_err *err) noexcept nogil:
    """-1 unless the block is whole, lies on the grid and comes for the first time."""
    cdef uint64_t block = s.config.block
    cdef uint64_t number = h.offset // block
    cdef uint64_t bit = number % l.window
    cdef uint64_t left
    if h.offset % (SLICE_BYTES if l.has_holes else block) or h.offset >= l.what.size:
        return fail(err, FAST_PROTOCOL, 0, "block offset")
    left = l.what.size - h.offset
    if l.has_holes:  # whole slices of one block
        if (h.raw_bytes > left or (h.raw_bytes % SLICE_BYTES and h.raw_bytes != left)
                or (h.offset + h.raw_bytes - 1) // block != number):
            return fail(err, FAST_PROTOCOL, 0, "block length")
    elif h.raw_bytes != (left if left < block else block):
        return fail(err, FAST_PROTOCOL, 0, "block length")
    if (l.has_holes or l.wish.kept.digests != NULL) and l.n_blocks > WINDOW_BLOCKS:
        # Holes never come, nor does what is kept, so there is no window that could move on. That a block comes
        # twice would be seen by what has come in all, and by the digest.
        return count_coming_locked(l, h.raw_bytes, err)
    if number < l.low_block or number - l.low_block >= l.window or l.came[bit >> 3] >> (bit & 7) & 1:
        return fail(err, FAST_PROTOCOL, 0, "block twice")
    if count_coming_locked(l, h.raw_bytes, err) < 0:
        return -1
    l.came[bit >> 3] |= <uint8_t>(1 << (bit & 7))
    while l.came[(l.low_block % l.window) >> 3] >> ((l.low_block % l.window) & 7) & 1:
        l.came[(l.low_block % l.window) >> 3] &= <uint8_t>~(1 << ((l.low_block % l.window) & 7))
        l.low_block += 1
    return 0
