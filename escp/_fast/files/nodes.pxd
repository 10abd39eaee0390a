"""What the receiver makes without contents: symbolic links, further names of a file, devices and fifos."""

from escp._fast.base.types cimport fast_err
from escp._fast.files.cached cimport dir_cache
from escp._fast.files.tree cimport source_id, tree
from escp._fast.wire.payloads cimport entry


# Makes it, in one step in place of what has the name, unless that is a directory or the source itself. On failure
# nothing is left. Any thread, with its own cache.
cdef int make_node(tree *t, dir_cache *cache, const entry *e, const source_id *source, fast_err *err) noexcept nogil
