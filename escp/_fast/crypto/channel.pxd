"""One end of a stream's cryptography: keys, epochs and sequence numbers of both directions. No I/O.

The sealing half belongs to the thread that sends, the opening half to the thread that receives;
they share no field that either changes.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from escp._fast.base.types cimport fast_err
from escp._fast.crypto.aead cimport aead_key


cdef enum frame_type:
    FRAME_META = 0
    FRAME_DATA = 1


ctypedef struct half_channel:
    aead_key key
    uint32_t epoch
    uint64_t sequence  # of the next frame
    uint64_t epoch_bytes  # payload under this epoch so far
    uint8_t direction  # 0: from the plane that sends files, 1: from the one that receives them


ctypedef struct channel:
    half_channel sealing
    half_channel opening
    uint8_t secret[32]
    uint32_t stream
    int backend
    uint64_t epoch_limit  # payload bytes under one key
    size_t max_data  # payload of a data frame


# Writes the IV word of the next frame, then seals. *frame* has room for 8 + n + 16 bytes. The only giver of nonces.
# *contents*, *n_contents*: as for aead_seal.
cdef int channel_seal(channel *c, uint8_t *frame, int type, size_t n, const uint8_t *contents, size_t n_contents,
                      fast_err *err) noexcept nogil
# Checks an IV word that nothing has authenticated yet: gives type and length, or -1 when it can't be the next frame.
cdef int channel_expect(channel *c, const uint8_t *iv, int *type, size_t *n, fast_err *err) noexcept nogil
# Opens the frame whose IV word channel_expect accepted.
cdef int channel_open(channel *c, uint8_t *frame, size_t n, fast_err *err) noexcept nogil
# Which of the stream's connections it is, the first is 0. For the thread that seals.
cdef uint32_t channel_connection(const channel *c) noexcept nogil


cdef class Channel:
    cdef channel c

    cdef int connect(self, uint32_t connection) except -1
