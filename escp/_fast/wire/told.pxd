"""An entry in an event for Python: its kind in words, its size, and behind a NUL its digest."""

from libc.stdint cimport uint64_t

from escp._fast.base.events cimport event_queue
from escp._fast.crypto.digest cimport digest128


# Of an entry of that kind and size, with the name (of MAX_NAME_BYTES at most, perhaps none) in that folder.
# *reason*: a reason_kind. *digest*: NULL, none is told. Any thread; waits for room as push_event does.
cdef void tell_entry(event_queue *q, int event, int reason, int kind, uint64_t size,
                     const char *folder, size_t n_folder, const char *name, size_t n_name,
                     const digest128 *digest) noexcept nogil
