"""SHA-256 of a file's contents, for manifests.

A frozen Python has none of OpenSSL's: its own takes four times as long, without the processor's instructions.
"""


cdef class Sha256:
    cdef void *ctx  # libcrypto's EVP_MD_CTX
