"""Small files and finished directories: taken as a batch, read into one bundle, sent."""

from escp._fast.base.types cimport fast_err
from escp._fast.send.send_state cimport flight, item
from escp._fast.send.send_stream cimport send_stream
from escp._fast.wire.payloads cimport entry


# Moves what fits one bundle into t.flights and t.batch; how much in all. The lock is held.
cdef int take_batch_locked(send_stream *t, int *n_dirs, int *n_files) noexcept nogil
# Reads the batch's files and sends everything. No block may be under way in the ring.
cdef int send_batch(send_stream *t, int n_dirs, int n_files, fast_err *err) noexcept nogil
# Gives the entry its extras, which lie in t.extras; -1 when it can't be sent: drop() reports that, and ends its flight.
cdef int describe_item(send_stream *t, const item *it, entry *e, fast_err *own) noexcept nogil
cdef void drop(send_stream *t, flight *f, const fast_err *err, const item *it) noexcept nogil
