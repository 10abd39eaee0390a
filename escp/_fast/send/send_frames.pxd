"""The frames that a sender's stream sends.

All functions are for the stream's own thread. Every entry goes through add_entry, which alone knows how much room there
is: what has been composed goes first when there is none. So nobody has to know how long a message gets.
"""

from libc.stdint cimport uint8_t, uint64_t

from escp._fast.base.libc cimport stat_t
from escp._fast.base.types cimport fast_err
from escp._fast.crypto.digest cimport digest128
from escp._fast.io.ring cimport io_slot
from escp._fast.send.send_state cimport dir_node, flight
from escp._fast.send.send_stream cimport send_stream
from escp._fast.wire.payloads cimport data_header, entry


# Adds an entry to the message; its path is the directory's and the name. f: what nothing more is to be told of, so that
# its result may come as soon as this has gone; NULL when more follows.
cdef int add_entry(send_stream *t, entry *e, flight *f, const dir_node *dir, const char *name, size_t n_name,
                   fast_err *err) noexcept nogil
# The receiver hears of the directory, and of those above it, if this stream has not told of them yet: before anything
# that lies in it is added.
cdef int add_begun(send_stream *t, dir_node *dir, fast_err *err) noexcept nogil
# The entry that was added last: its size and digest; or it is not to go after all, nor its flight.
cdef void set_contents(send_stream *t, uint64_t size, const digest128 *digest) noexcept nogil
cdef void take_back(send_stream *t) noexcept nogil
# Sends the message, if there is one, and its bundle. has_more: another data frame follows at once.
cdef int send_entries(send_stream *t, bint has_more, fast_err *err) noexcept nogil
cdef int send_end(send_stream *t, uint64_t n_bytes, fast_err *err) noexcept nogil
# Sends the contents of a ring's slot; the frame is built around its buffer, where they are unless they were lent.
cdef int send_data(send_stream *t, io_slot *block, const data_header *what, fast_err *err) noexcept nogil
# As it is taken from stat, but for its size; no extras.
cdef void describe(entry *e, int kind, uint64_t id, const stat_t *status, uint64_t size) noexcept nogil
