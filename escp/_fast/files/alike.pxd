"""Whether a name that is there already is, in another spelling, one that this copy has given. See given.pxd."""

from escp._fast.base.types cimport MAX_NAME_BYTES, MAX_PATH_BYTES
from escp._fast.files.tree cimport tree
from escp._fast.wire.payloads cimport entry


# The path by which given.pxd knows an entry's file.
ctypedef struct own_path:
    const char *path
    size_t n
    char own[MAX_PATH_BYTES + 1 + MAX_NAME_BYTES + 1]


# The entry's, or, where links to directories have been followed, that of its directory (*dirfd*) without them.
cdef void find_own_path(tree *t, const entry *e, int dirfd, const char *name, own_path *out) noexcept nogil
# Of an entry whose path is folded to that of another one of this copy, and whose name is taken: whether they are one
# file. So they are if a name on the way is not listed in the way it is spelled, and if no directory on the way lists
# two that are folded to the same.
cdef bint is_alone(tree *t, const entry *e) noexcept nogil
