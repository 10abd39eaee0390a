"""Whether a file that the receiver has is the sender's: by size and time, or by digest. Reads files, writes none."""

from libc.stdint cimport uint8_t, uint64_t

from escp._fast.base.libc cimport stat_t
from escp._fast.base.types cimport fast_err
from escp._fast.crypto.digest cimport digest128
from escp._fast.wire.payloads cimport entry


# Whether *e* need not be sent, as the receiver has the file *there*. selection: a selection_kind of types.pxd.
cdef bint is_current(int selection, const entry *e, const stat_t *there) noexcept nogil
# Whether the modification times are the same, as far as both keep them.
cdef bint is_same_time(const entry *e, const stat_t *there) noexcept nogil
# The digest of a file of *size* bytes, read by way of *buffer*, whose length is a multiple of SLICE_BYTES. -1: the file
# is shorter, can't be read, or *is_stopped* was raised.
cdef int digest_file(int fd, uint64_t size, uint8_t *buffer, size_t n_buffer, const int *is_stopped,
                     digest128 *digest, fast_err *err) noexcept nogil
