"""Where the blocks of a large file may lie: whole, each in its place, and once."""

from escp._fast.base.types cimport fast_err
from escp._fast.receive.receive_state cimport open_large, receive_state
from escp._fast.wire.payloads cimport data_header


# Notes that this block has come. -1: it must not come.
cdef int check_block_locked(receive_state *s, open_large *l, const data_header *h, fast_err *err) noexcept nogil
