"""SHA-256 by libcrypto, which finds the processor's instructions for it. See sha256.pxd."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint8_t


cdef extern from "<openssl/evp.h>" nogil:
    ctypedef struct EVP_MD_CTX:
        pass
    EVP_MD_CTX *EVP_MD_CTX_new()
    void EVP_MD_CTX_free(EVP_MD_CTX *)
    int EVP_MD_CTX_copy_ex(EVP_MD_CTX *, const EVP_MD_CTX *)
    const void *EVP_sha256()
    int EVP_DigestInit_ex(EVP_MD_CTX *, const void *, void *)
    int EVP_DigestUpdate(EVP_MD_CTX *, const void *, size_t)
    int EVP_DigestFinal_ex(EVP_MD_CTX *, uint8_t *, unsigned int *)


cdef class Sha256:
    """As hashlib's: `update` with bytes, `digest` of all of them so far. One thread at a time."""

    def __cinit__(self):
        self.ctx = EVP_MD_CTX_new()
        if self.ctx == NULL or EVP_DigestInit_ex(<EVP_MD_CTX *>self.ctx, EVP_sha256(), NULL) != 1:
            raise MemoryError

    def __dealloc__(self):
        EVP_MD_CTX_free(<EVP_MD_CTX *>self.ctx)

    def update(self, data not None):
        """Others may run meanwhile: nobody may write to *data* until it returns."""
        cdef Py_buffer view
        cdef int rc
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        with nogil:
            rc = EVP_DigestUpdate(<EVP_MD_CTX *>self.ctx, view.buf, <size_t>view.len)
        PyBuffer_Release(&view)
        if rc != 1:
            raise MemoryError

    def digest(self):
        """32 bytes; more may follow."""
        cdef uint8_t[32] out
        cdef unsigned int n = 0
        cdef EVP_MD_CTX *copy = EVP_MD_CTX_new()
        cdef bint is_done = (copy != NULL and EVP_MD_CTX_copy_ex(copy, <EVP_MD_CTX *>self.ctx) == 1
                             and EVP_DigestFinal_ex(copy, out, &n) == 1)
        EVP_MD_CTX_free(copy)
        if not is_done:
            raise MemoryError
        return (<char *>out)[:n]
