"""Small files as they arrive in bundles."""

from libc.stdint cimport uint8_t

from escp._fast.base.types cimport fast_err
from escp._fast.receive.receive_state cimport receive_stream


# Verifies, writes and names the files of t.bundle, whose contents lie behind one another at *data*.
cdef int write_bundle(receive_stream *t, const uint8_t *data, fast_err *err) noexcept nogil
