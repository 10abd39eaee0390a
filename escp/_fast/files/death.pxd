"""Whether the target, or a directory of it, is still there: what goes on without it would go on for nothing."""

from escp._fast.files.tree cimport dir_cache, tree
from escp._fast.wire.payloads cimport entry


# After *e* has failed with the system's error *number*: 0, or why nothing at all can be made in the target, or in the
# root that *e* belongs to, any more.
cdef int find_death(tree *t, const dir_cache *cache, const entry *e, int number) noexcept nogil
# Whether the open directory (-1: none) was removed. Blocks of a nameless file can be written then, but it gets no name.
cdef bint is_removed(int dirfd) noexcept nogil
