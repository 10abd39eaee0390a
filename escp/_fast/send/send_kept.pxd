"""What the receiver has of large files from a copy that was cut off, and need not come again.

    LARGE that asks -> KEPT, KEPT, ... -> a result, WANTED -> blocks are handed out, read and hashed as any file's;
    those whose digests the receiver has told are not sent

So the receiver's word only saves sending what this side has read, and found to be the same.
"""

from libc.stdint cimport uint8_t

from escp._fast.base.types cimport fast_err
from escp._fast.crypto.digest cimport digest128
from escp._fast.io.ring cimport io_slot
from escp._fast.send.send_state cimport large_file, send_state


# The body of a message of *count* blocks.
cdef int take_kept(send_state *s, const uint8_t *body, int count, fast_err *err) noexcept nogil
# All was told: the file's blocks may be handed out.
cdef int begin_blocks_locked(send_state *s, large_file *l, fast_err *err) noexcept nogil
# Whether the receiver has the block that was read into *slot* and has that digest.
cdef bint is_there(const send_state *s, const large_file *l, const io_slot *slot,
                   const digest128 *digest) noexcept nogil
