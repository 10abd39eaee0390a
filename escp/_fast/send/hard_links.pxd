"""Files with several names: the first one found is sent, the others become links once it is known to be there.

If the receiver can't make the first one (its name is a directory's there, say), the next one is sent in its place: a
walker opens it again. If it can't be read its other names have failed, too: they are the same file's.

Where the receiver is asked what it has, no name is sent while an answer about another one is owed. One that it has is
the first one then, and others become links to that; one that is found to be there only after another one was sent
becomes a link to what was sent.

Memory: for the whole run one node per inode with several names (80 bytes and the path of the first), and
for names that wait for the first one's result put_off: while there are N_PUT_OFF of them walkers look for no more.
"""

from libc.stdint cimport uint64_t

from escp._fast.send.send_state cimport dir_node, flight, hard_link, item, put_off, send_state

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
# The receiver is to be asked about this name: its file's node, or NULL where that does not matter. One of the two that
# follow comes of it.
cdef hard_link *ask_links_locked(send_state *s, const item *q) noexcept nogil
# It has the file: *path* is a name to link to, *f* the question, of which the source's marks are taken.
cdef void same_links_locked(send_state *s, hard_link *links, const flight *f, dir_node *dir, const char *name,
                            size_t n_name) noexcept nogil
# Answered, whatever it was. *settles*: nothing comes of it any more.
cdef void answer_links_locked(send_state *s, hard_link *links, bint settles) noexcept nogil
# The first name has arrived, and its stamp is known; and the same for another name, which has become a link to it.
cdef void stamp_links_locked(send_state *s, const flight *f) noexcept nogil
cdef uint64_t find_links_stamp_locked(send_state *s, const flight *f, uint64_t *ctime) noexcept nogil
# It has been: if it has not become the first name, another one is to.
cdef void settle_again_locked(send_state *s, hard_link *first) noexcept nogil
cdef void free_links(send_state *s) noexcept nogil
