"""Files with several names: the first one found is sent, the others become links once it is known to be there.

If the receiver can't make the first one (its name is a directory's there, say), the next one is sent in its place: a
walker opens it again. If it can't be read its other names have failed, too: they are the same file's.

Memory: for the whole run one node per inode with several names (56 bytes and the path of the first), and
for names that wait for the first one's result put_off: while there are N_PUT_OFF of them walkers look for no more.
"""

from escp._fast.send.send_state cimport hard_link, item, put_off, send_state

cdef enum:
    N_PUT_OFF = 16384


# The walker has found a file with several names. True: *it* is dealt with (a name that waits, or out of memory,
# reported); its descriptor and link text are closed, its reference is taken over. False: to be queued, as the
# first (it.links set) or as another name (it.kind ENTRY_HARD_LINK).
cdef bint take_hard_link(send_state *s, item *it) noexcept nogil
# The next name that need not wait any more, as an item; False when there is none.
cdef bint pop_link_locked(send_state *s, item *it) noexcept nogil
# What came of the first name is known (links_state): those that wait can go, or one of them is to be the first.
cdef void resolve_links_locked(send_state *s, hard_link *first, int state) noexcept nogil
# The next name that a walker is to look at again, with the reference to its directory; False when there is none.
cdef bint take_again_locked(send_state *s, put_off *one, char *name) noexcept nogil
# It has been: if it has not become the first name, another one is to.
cdef void settle_again_locked(send_state *s, hard_link *first) noexcept nogil
cdef void free_links(send_state *s) noexcept nogil
