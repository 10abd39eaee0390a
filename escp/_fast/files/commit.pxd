"""A file from its beginning to its name: new ones as tree.pxd says, or into the one that is there (--inplace)."""

from escp._fast.base.types cimport fast_err
from escp._fast.files.cached cimport dir_cache
from escp._fast.files.tree cimport new_file, tree
from escp._fast.wire.payloads cimport entry


# f.source is set. is_brief: as file_create's. Any thread with its own cache.
cdef int file_begin(tree *t, dir_cache *cache, const entry *e, bint is_brief, new_file *f,
                    fast_err *err) noexcept nogil
# Gives the file that is whole and verified its attributes and its name, in one step; closes it. 0 when it is there;
# *err* then says which attributes it lacks, if any. On failure nothing is left.
cdef int file_commit(tree *t, new_file *f, const entry *e, fast_err *err) noexcept nogil
# The same in two steps, between which it may be looked at: its length and attributes; then its name, after which it is
# closed, or gone. *lacks*: cleared; what it says when all is well, *err* says.
cdef int file_dress(tree *t, new_file *f, const entry *e, fast_err *lacks, fast_err *err) noexcept nogil
cdef int file_place(tree *t, new_file *f, const entry *e, fast_err *lacks, fast_err *err) noexcept nogil
