"""What the receiver makes without contents: symbolic links, further names of a file, devices and fifos."""

from escp._fast.base.types cimport fast_err
from escp._fast.files.cached cimport dir_cache
from escp._fast.files.tree cimport source_id, tree
from escp._fast.wire.extras cimport extras_view
from escp._fast.wire.payloads cimport entry


# Makes it, in one step in place of what has the name, unless that is a directory or the source itself. On failure
# nothing is left. Any thread, with its own cache.
cdef int make_node(tree *t, dir_cache *cache, const entry *e, const source_id *source, fast_err *err) noexcept nogil
# The directory and the name of the file of which a hard link's entry, with these extras, is to be another name; *name*
# has room for MAX_NAME_BYTES and a NUL. The directory is the cache's, and is not made.
cdef int first_find(tree *t, dir_cache *cache, const entry *e, const extras_view *x, char *name, int *dirfd,
                    fast_err *err) noexcept nogil
