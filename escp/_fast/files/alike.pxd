"""Whether a name that is there already is, in another spelling, one that this copy has given. See given.pxd."""

from escp._fast.files.tree cimport tree
from escp._fast.wire.payloads cimport entry


# Of an entry whose path is folded to that of another one of this copy, and whose name is taken: whether they are one
# file. So they are if a name on the way is not listed in the way it is spelled, and if no directory on the way lists
# two that are folded to the same.
cdef bint is_alone(tree *t, const entry *e) noexcept nogil
