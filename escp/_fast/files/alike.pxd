"""Whether a name that is taken was given by this copy, in another spelling. See given.pxd."""

from escp._fast.files.given cimport MAX_GIVEN_BYTES
from escp._fast.files.tree cimport tree
from escp._fast.wire.payloads cimport entry


# The path by which given.pxd knows an entry's file.
ctypedef struct own_path:
    const char *path
    size_t n
    char own[MAX_GIVEN_BYTES]


# The entry's path; once links to directories have been followed, the path without them, as *dirfd* has it.
cdef void find_own_path(tree *t, const entry *e, int dirfd, const char *name, own_path *out) noexcept nogil
# The entry's name is taken, and its path folds to the path of another entry of this copy: whether both are one file.
# They are if some name on the way is not listed as it is spelled, or if no directory on the way lists two names that
# fold to the same.
cdef bint is_alone(tree *t, const entry *e) noexcept nogil
