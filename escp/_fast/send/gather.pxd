"""What the sender tells of a file beyond its fixed fields: owner's names, extended attributes, ACLs."""

from libc.stdint cimport uint8_t

from escp._fast.base.libc cimport stat_t
from escp._fast.base.types cimport MAX_EXTRAS_BYTES, fast_err
from escp._fast.send.send_state cimport send_state

cdef enum:
    LIST_BYTES = 65536  # the kernel's own limit of a list of names
    GATHER_BYTES = MAX_EXTRAS_BYTES + LIST_BYTES


# Appends at out + n to what is there, and gives the new length; -1 with FAST_XATTR or FAST_ACL. *out* has
# GATHER_BYTES. fd: of the file or directory, or -1 when there is none to ask for attributes.
cdef int gather(send_state *s, int fd, const stat_t *status, uint8_t *out, size_t *n, fast_err *err) noexcept nogil
