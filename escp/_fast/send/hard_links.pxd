"""Files with several names: the first one found is sent, the others become links once it is known to be there.

Memory: for the whole run one node per inode with several names (48 bytes and the path of the first), and
for names that wait for the first one's result at most N_PUT_OFF of put_off.
"""

from escp._fast.send.send_state cimport hard_link, item, send_state

cdef enum:
    N_PUT_OFF = 16384


# The walker has found a file with several names. True: *it* is dealt with (a name that waits, or out of memory,
# reported); its descriptor and link text are closed, its reference is taken over. False: to be queued, as the
# first (it.links set) or as another name (it.kind ENTRY_HARD_LINK). May wait.
cdef bint take_hard_link(send_state *s, item *it) noexcept nogil
# The next name that need not wait any more, as an item; False when there is none.
cdef bint pop_link_locked(send_state *s, item *it) noexcept nogil
# The first name's result is known: those that wait can go.
cdef void resolve_links_locked(send_state *s, hard_link *first, bint is_good) noexcept nogil
cdef void free_links(send_state *s) noexcept nogil
