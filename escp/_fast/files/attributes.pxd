"""What a received file or directory gets besides its contents: owner, extended attributes, ACLs, mode, times.

In this order: a change of owner takes setuid bits and capabilities away, and an ACL changes the mode.
"""

from libc.stdint cimport uint32_t

from escp._fast.base.types cimport fast_err
from escp._fast.files.tree cimport tree
from escp._fast.wire.payloads cimport entry

cdef enum:
    PROC_PATH_BYTES = 32
    UNFINISHED_MODE = 0o1700  # of a directory that was made here and waits for its own entry


# The mode's bits that may be set: setuid and setgid only with the owner, and only where both are kept.
cdef uint32_t mode_of(const tree *t, const entry *e, bint is_directory) noexcept nogil
# Everything that was asked for, for a file's own descriptor.
cdef int set_file_attributes(tree *t, int fd, const entry *e, fast_err *err) noexcept nogil
# The same for a directory, link or device (the entry's kind) opened with O_PATH. Of a directory the mode is always
# set. Nothing here goes by a name: who owns a directory may change what its names lead to.
cdef int set_path_attributes(tree *t, int fd, const entry *e, fast_err *err) noexcept nogil
cdef void proc_path(char *out, int fd) noexcept nogil  # PROC_PATH_BYTES
