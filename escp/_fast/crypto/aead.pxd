"""AES-128-GCM of one frame in place, and the derivation of its keys. No I/O.

An aead_key belongs to one thread at a time. Wire layout of a frame: IV word 8 | payload n | tag 16,
nonce = salt || IV word, AAD = IV word (docs/protocol.md 4.2).
"""

from libc.stdint cimport uint8_t, uint32_t

from escp._fast.base.types cimport fast_err


cdef enum aead_backend:
    AEAD_OPENSSL = 1
    AEAD_IPSEC_MB = 2


ctypedef struct aead_key:
    int backend
    bint is_sealing
    void *schedule  # IPSec_MB's key data, or libcrypto's EVP_CIPHER_CTX
    uint8_t salt[4]


# Derives key and salt of (stream, direction, epoch) from the session's secret, replacing what *key* held.
cdef int aead_rekey(aead_key *key, int backend, bint is_sealing, const uint8_t *secret,
                    uint32_t stream, uint8_t direction, uint32_t epoch, fast_err *err) noexcept nogil
cdef void aead_wipe(aead_key *key) noexcept nogil
# Both take a whole frame whose IV word is set. aead_open compares the tag in constant time;
# after -1 (FAST_AUTH) the payload is garbage and must not be looked at.
# *contents*: the payload's last n_contents bytes lie there, and what the frame holds in their place is written over;
# NULL: all of it is in the frame.
cdef int aead_seal(aead_key *key, uint8_t *frame, size_t n, const uint8_t *contents, size_t n_contents,
                   fast_err *err) noexcept nogil
cdef int aead_open(aead_key *key, uint8_t *frame, size_t n, fast_err *err) noexcept nogil
