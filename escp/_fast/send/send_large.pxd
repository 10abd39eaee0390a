"""Large files, block by block: read ahead, sent, ended. Which file is next is large_files's."""

from escp._fast.base.types cimport fast_err
from escp._fast.io.ring cimport io_slot
from escp._fast.send.send_stream cimport send_stream
from escp._fast.send.send_state cimport large_file


# Tells a receiver in this process of a file before any block of it is read: it may not need them, and then the file
# is ended, too, as it is when there are none. Else it is among s.opened now.
cdef int open_large(send_stream *t, large_file *l, fast_err *err) noexcept nogil
# Hands the file's next block to this stream and starts reading it into *slot*.
cdef void claim_block_locked(send_stream *t, large_file *l, io_slot *slot) noexcept nogil
# Finishes reading one block, sends it, and ends its file if it was the last one to be sent.
cdef int send_block(send_stream *t, io_slot *slot, fast_err *err) noexcept nogil
# All blocks that were handed out are sent, or given up: closes the books of this file.
cdef int finish_large(send_stream *t, large_file *l, fast_err *err) noexcept nogil
