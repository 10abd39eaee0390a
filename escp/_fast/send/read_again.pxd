"""Contents that were sent and not taken, read once more from their source, for a stream's next connection.

A flight that has its result has been taken, so the flights of what is read here are still there. A source that has
changed since is told of at once; its digest, sent before, makes the receiver refuse it. Without digests nobody would
find out, so then it ends the copy.
"""

from libc.stdint cimport int64_t, uint8_t

from escp._fast.base.types cimport fast_err
from escp._fast.io.ring cimport io_slot
from escp._fast.send.send_state cimport sent_frame
from escp._fast.send.send_stream cimport send_stream

# A block of a large file, into the slot: 0, or -1.
cdef int read_block_again(send_stream *t, const sent_frame *f, io_slot *slot, fast_err *err) noexcept nogil
# A bundle, of the n files whose ids lie at *ids* (8 bytes each, not aligned), into *to*: its bytes, or -1.
cdef int64_t read_bundle_again(send_stream *t, const uint8_t *ids, size_t n, uint8_t *to, fast_err *err) noexcept nogil
