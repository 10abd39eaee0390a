"""Large files under a name of their own until they are whole, so that what a copy that is cut off has brought stays.

    .NAME.escp-part      the contents, as far as they have come; mode 0600
    .NAME.escp-journal   what of it is there (journal.pxd)

Whose a part is its lock says, taken on the descriptor that is written to and held until the file has its name. What
another run holds, or what is none of escp's (a link, a file with two names, somebody else's), is left alone, and the
file is made as without parts: tree.pxd. Where nothing can be locked the journal says who writes.
"""

from escp._fast.base.types cimport MAX_NAME_BYTES
from escp._fast.crypto.digest cimport digest128
from escp._fast.files.tree cimport new_file, part_wish, tree
from escp._fast.wire.payloads cimport entry

cdef enum:
    PART_MODE = 0o600


ctypedef struct parts_left:
    void *context
    void (*tell)(void *context, const char *path, size_t n, const char *name) noexcept nogil


# Opens the part of f.name that f.wish wants in the directory: f.fd, f.journal, and what it keeps. False: there can be
# none; f.wish.news says why, if that is to be told.
cdef bint part_open(tree *t, int dirfd, const entry *e, new_file *f) noexcept nogil
# Removes what a dead run has left of a part of the file *f*, which has its directory and name, and is itself no part.
cdef void part_clear(tree *t, const new_file *f, const entry *e) noexcept nogil
# Looks through the directory *path* (n bytes and NUL, below the root; its descriptor is *dirfd*), in which nothing of
# this copy is under way, for parts of that command which dead runs have left: of files that have not come this time.
# Removes them, or leaves them where *left* is given: it gets the name of each.
cdef void parts_sweep(tree *t, int dirfd, const char *path, size_t n, const digest128 *job,
                      parts_left *left) noexcept nogil
# Gives the part its file's name, and removes the journal. 0, or -1 with errno. Before: the part is whole, f.fd open or
# not, and *held* another descriptor of it, which keeps the lock.
cdef int part_rename(new_file *f) noexcept nogil
# Both are closed, and stay. Those that hold nothing are removed.
cdef void part_keep(new_file *f) noexcept nogil
# Both are removed; f.fd stays open.
cdef void part_remove(new_file *f) noexcept nogil
