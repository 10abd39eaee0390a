"""Large files that a copy before this one was cut off in: what is there, and what the sender hears of it.

The blocks are read and compared with the part's journal before the sender is told; it compares what it is told with
its own digests and sends what differs. So what somebody else put there is read for nothing, no more.
"""

from libc.stdint cimport uint64_t

from escp._fast.base.types cimport fast_err
from escp._fast.crypto.digest cimport digest128
from escp._fast.receive.receive_state cimport open_large, receive_state, receive_stream
from escp._fast.wire.payloads cimport entry


# Before the file is made: whether it is to be a part, and whose.
cdef int wish_part(receive_state *s, open_large *l, const entry *e, fast_err *err) noexcept nogil
# Once it is made: what is there of an old part is verified, and all else is zero where nothing else will come. Tells
# Python of it. Whether it is an old one, which has the file's size now.
cdef bint verify_part(receive_stream *t, open_large *l, fast_err *own) noexcept nogil
# To a sender that asked: what is kept, and that it may begin.
cdef int answer_part(receive_stream *t, open_large *l, fast_err *err) noexcept nogil
# A block comes that may be kept; True where it was, and what is there of it is no longer counted.
cdef bint replace_kept_locked(receive_state *s, open_large *l, uint64_t number) noexcept nogil
# The block has been written.
cdef void note_block(receive_state *s, open_large *l, uint64_t offset, const digest128 *digest) noexcept nogil
# What lies at the block is gone.
cdef int clear_block(receive_state *s, const open_large *l, uint64_t number, fast_err *err) noexcept nogil
