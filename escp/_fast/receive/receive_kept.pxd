"""Large files that a copy before this one was cut off in: what is there, and what the sender hears of it.

The blocks are read and compared with the part's journal before the sender is told; it compares what it is told with
its own digests and sends what differs. So what somebody else put there is read for nothing, no more.
"""

from libc.stdint cimport uint64_t

from escp._fast.base.types cimport fast_err
from escp._fast.crypto.digest cimport digest128
from escp._fast.receive.receive_state cimport open_large, receive_state, receive_stream
from escp._fast.wire.payloads cimport entry


# Before the file is made: notes whether it is to be a part, and of which command.
cdef int wish_part(receive_state *s, open_large *l, const entry *e, fast_err *err) noexcept nogil
# Once the file is made: verifies the blocks of an old part, and makes zero of all where nothing will come. Tells Python
# of it. Whether there is an old part; it has the file's size now.
cdef bint verify_part(receive_stream *t, open_large *l, fast_err *own) noexcept nogil
# Tells a sender that asked which blocks are kept, and that it may begin.
cdef int answer_part(receive_stream *t, open_large *l, fast_err *err) noexcept nogil
# A block has come. True: it was a kept one, and no longer counts as that.
cdef bint replace_kept_locked(receive_state *s, open_large *l, uint64_t number) noexcept nogil
# The block has been written.
cdef void note_block(receive_state *s, open_large *l, uint64_t offset, const digest128 *digest) noexcept nogil
# All that comes into the directory is there: parts that dead runs of the same command have left in it are removed, or
# with --resume told of.
cdef void sweep_parts(receive_stream *t, const entry *e) noexcept nogil
# Makes zero of what lies there.
cdef int clear_block(receive_state *s, const open_large *l, uint64_t number, fast_err *err) noexcept nogil
