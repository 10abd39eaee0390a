"""Whether nothing can be made in the target any more: it was removed, or its file system died."""

from escp._fast.files.tree cimport dir_cache, tree
from escp._fast.wire.payloads cimport entry


# After *e* has failed with the system's error *number*: 0, or why nothing at all can be made in the target, or in the
# root that *e* belongs to, any more.
cdef int find_death(tree *t, const dir_cache *cache, const entry *e, int number) noexcept nogil
