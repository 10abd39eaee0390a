"""Between a file's last byte and its name, with --fsync or --verify: to the disk, and back from there."""

from escp._fast.base.types cimport fast_err
from escp._fast.crypto.digest cimport digest128
from escp._fast.files.tree cimport new_file, tree
from escp._fast.receive.receive_state cimport receive_stream
from escp._fast.wire.payloads cimport entry


# Whether files wait for anything before they get their names.
cdef bint settles(const tree *t) noexcept nogil
# With --verify, of a file as sync_files leaves it: reads back what is on the disk, and compares. FAST_DIGEST with
# an error number: it is not what was written.
cdef int read_back(receive_stream *t, new_file *f, const entry *e, const digest128 *expected,
                   fast_err *err) noexcept nogil
# file_commit for one that is synced, and read, by itself.
cdef void commit_settled(receive_stream *t, new_file *f, const entry *e, const digest128 *expected,
                         fast_err *err) noexcept nogil
