"""An entry in an event for Python; see told.pxd."""

from libc.stdint cimport int64_t, uint64_t

from escp._fast.base.events cimport event_queue, push_event
from escp._fast.base.libc cimport htobe64, memcpy
from escp._fast.base.types cimport MAX_NAME_BYTES, clear, fast_err
from escp._fast.crypto.digest cimport digest128
from escp._fast.wire.payloads cimport ENTRY_DEVICE, ENTRY_DIRECTORY, ENTRY_LINK

cdef enum:
    DIGEST_BYTES = 16


cdef void tell_entry(event_queue *q, int event, int reason, int kind, uint64_t size,
                     const char *folder, size_t n_folder, const char *name, size_t n_name,
                     const digest128 *digest) noexcept nogil:
    cdef char text[MAX_NAME_BYTES + 1 + DIGEST_BYTES]
    cdef uint64_t half
    cdef fast_err what
    clear(&what)
    what.code = reason
    what.where = ("directory" if kind == ENTRY_DIRECTORY else "link" if kind == ENTRY_LINK
                  else "device" if kind == ENTRY_DEVICE else "file")
    what.offset = <int64_t>size
    if digest != NULL:
        if n_name:  # there may be none: memcpy takes no NULL, even for nothing
            memcpy(text, name, n_name)
        text[n_name] = 0
        half = htobe64(digest.high)
        memcpy(text + n_name + 1, &half, sizeof(uint64_t))
        half = htobe64(digest.low)
        memcpy(text + n_name + 1 + sizeof(uint64_t), &half, sizeof(uint64_t))
        name = text
        n_name += 1 + DIGEST_BYTES
    push_event(q, event, &what, False, folder, n_folder, name, n_name)
