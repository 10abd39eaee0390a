"""Small files as they arrive in bundles."""

from libc.stdint cimport uint8_t

from escp._fast.base.types cimport fast_err
from escp._fast.receive.receive_state cimport receive_stream


# Verifies, writes and names the files of t.bundle, whose contents lie behind one another at *data*; where they are to
# wait for the disk, they wait in t.held.
cdef int write_bundle(receive_stream *t, const uint8_t *data, fast_err *err) noexcept nogil
# Whether what waits must not wait longer: nothing else is there to be done, or there was for long.
cdef bint is_settling_due(const receive_stream *t) noexcept nogil
# Names those of t.held, once all are at the disk, and answers for each.
cdef int settle_small(receive_stream *t, fast_err *err) noexcept nogil
