"""Opening what lies below a source. Where links are not followed, none is on the way either: who owns a tree could
otherwise put a link in a directory's place and lead the copy, perhaps root's, out of it.

The source itself is the user's word: its own path may have links in it, but for its last part. Each thread keeps the
last source that it had to do with open, so a directory costs no more system calls than by its path.
"""

from libc.stdint cimport uint64_t

from escp._fast.base.libc cimport stat_t
from escp._fast.send.send_state cimport dir_node, send_state


# A thread's own. Zeroed memory is one that leads nowhere.
ctypedef struct root_way:
    uint64_t serial  # of the source's node; 0: none
    int fd


cdef void way_close(root_way *way) noexcept nogil
# *dir* itself where the name is empty, or what is called so in it; a descriptor that the caller closes, or -1 with
# errno (ELOOP: there is a link on the way; ESTALE: the source is another directory than it was).
cdef int open_below(send_state *s, root_way *way, const dir_node *dir, const char *name, size_t n_name,
                    int flags) noexcept nogil
cdef bint is_same_file(const stat_t *one, const stat_t *other) noexcept nogil
