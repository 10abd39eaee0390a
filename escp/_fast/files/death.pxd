"""Whether the target, or a directory of it, is still there. Without it the copy would go on for nothing. And whether a
source is: what is gone as a whole is told once."""

from escp._fast.files.cached cimport dir_cache
from escp._fast.files.tree cimport tree
from escp._fast.wire.payloads cimport entry


# *e* has failed with the system's error *number*. 0: other files may do better; else an errno, for which nothing at all
# can be made any more in the target, or in the root of *e*.
cdef int find_death(tree *t, const dir_cache *cache, const entry *e, int number) noexcept nogil
# Whether the open directory (-1: none) was removed. A nameless file in it can still be written, but not named.
cdef bint is_removed(int dirfd) noexcept nogil
# After something below the source *path* has failed with the system's error *number*: 0, or why nothing below it can be
# read any more.
cdef int find_source_death(const char *path, int number) noexcept nogil
