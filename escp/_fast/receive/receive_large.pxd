"""Large files as they arrive, block by block. A file is finished by the stream that writes its last byte."""

from escp._fast.base.types cimport fast_err
from escp._fast.io.ring cimport io_slot
from escp._fast.receive.receive_state cimport receive_stream
from escp._fast.wire.payloads cimport data_header, entry


# The file of this entry is open, created by the first stream that hears of it: the states are in receive_state.pxd.
cdef int begin_large(receive_stream *t, entry *e, fast_err *err) noexcept nogil
# A block lies at slot.data: checked, hashed, written; the slot is free again now or by end_writes.
cdef int take_block(receive_stream *t, io_slot *slot, const data_header *h, fast_err *err) noexcept nogil
# The sender has sent all of the file.
cdef int end_large(receive_stream *t, const entry *e, fast_err *err) noexcept nogil
# Takes in completed writes, waiting for *least* of them.
cdef int end_writes(receive_stream *t, int least, fast_err *err) noexcept nogil
