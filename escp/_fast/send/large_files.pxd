"""The large files that are open at the sender: whose blocks are handed out now, which wait, which are to be ended.

    items -> begun -> current, whose blocks streams claim -> handed out ... all of it sent -> ended by that stream
               |         ^                                                                         ^
               +-> opened (only where the receiver may not need its blocks, and is asked first)    |
                                         given up, or nothing but a hole ----------> ending -------+

All of it under the state's lock; what is read and sent of them is send_large's.
"""

from escp._fast.send.send_state cimport large_file, send_state


# The large file at the head of the queue gets a place among the open ones; NULL when there is none there, none is free,
# or another one's turn is not over. When it is nothing but a hole it is handed out already.
cdef large_file *begin_large_locked(send_state *s) noexcept nogil
# Whether s.current has a block to claim: a file that was opened, or with *begins* the next one, becomes it.
cdef bint find_current_locked(send_state *s, bint begins) noexcept nogil
# The block at l.next, l.n_next has been claimed: they lead to the next one now.
cdef void advance_locked(send_state *s, large_file *l) noexcept nogil
# The receiver has opened it and wants its blocks.
cdef void put_opened_locked(send_state *s, large_file *l) noexcept nogil
# It can't be read on, or the receiver can't use it: no more of it is handed out. False: that had been said before.
cdef bint give_up_locked(send_state *s, large_file *l) noexcept nogil
# One of its blocks has been sent, or given up. True for the last one: then whoever asks ends the file.
cdef bint count_block_locked(large_file *l) noexcept nogil
# It is to be ended, by nobody in particular.
cdef void put_ending_locked(send_state *s, large_file *l) noexcept nogil
# How many of them would stay as parts if the copy were cut off now.
cdef int count_parts_locked(const send_state *s) noexcept nogil
# A file that nobody ends while sending its last block; NULL when there is none.
cdef large_file *take_ending_locked(send_state *s) noexcept nogil
