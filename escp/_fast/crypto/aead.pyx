"""AES-128-GCM on Intel IPSec_MB or libcrypto, and HKDF-SHA256 by libcrypto; see aead.pxd.

HKDF is done here, not in Python, because a stream's thread moves to its next epoch by itself,
in the middle of its data, without the GIL.
"""

from libc.stdint cimport uint32_t, uint8_t

import os

from escp._fast.base.libc cimport escp_thread_start, escp_wipe, free, htobe32, memcpy, memset, pthread_detach, pthread_t
from escp._fast.base.types cimport (FAST_AUTH, FAST_MEMORY, IV_BYTES, KEY_BYTES, SALT_BYTES, SECRET_BYTES, TAG_BYTES,
                                    fail, fast_err)


cdef extern from "imb.h" nogil:
    int escp_imb_rank()
    size_t escp_imb_key_size()
    void *escp_imb_key(const uint8_t *)
    void escp_imb_seal(void *, const uint8_t *, uint8_t *, uint8_t *, size_t, uint8_t *)
    void escp_imb_seal_from(void *, const uint8_t *, uint8_t *, uint8_t *, size_t, const uint8_t *, size_t, uint8_t *)
    void escp_imb_open(void *, const uint8_t *, uint8_t *, uint8_t *, size_t, uint8_t *)

cdef extern from "<openssl/evp.h>" nogil:
    ctypedef struct EVP_CIPHER_CTX:
        pass
    ctypedef struct EVP_KDF:
        pass
    ctypedef struct EVP_KDF_CTX:
        pass
    const void *EVP_aes_128_gcm()
    EVP_CIPHER_CTX *EVP_CIPHER_CTX_new()
    void EVP_CIPHER_CTX_free(EVP_CIPHER_CTX *)
    int EVP_CipherInit_ex(EVP_CIPHER_CTX *, const void *, void *, const uint8_t *, const uint8_t *, int)
    int EVP_CipherUpdate(EVP_CIPHER_CTX *, uint8_t *, int *, const uint8_t *, int)
    int EVP_CipherFinal_ex(EVP_CIPHER_CTX *, uint8_t *, int *)
    int EVP_CIPHER_CTX_ctrl(EVP_CIPHER_CTX *, int, int, void *)
    enum:
        EVP_CTRL_GCM_GET_TAG, EVP_CTRL_GCM_SET_TAG

cdef extern from "<openssl/kdf.h>" nogil:
    EVP_KDF *EVP_KDF_fetch(void *, const char *, const char *)
    void EVP_KDF_free(EVP_KDF *)
    EVP_KDF_CTX *EVP_KDF_CTX_new(EVP_KDF *)
    void EVP_KDF_CTX_free(EVP_KDF_CTX *)
    ctypedef struct OSSL_PARAM:
        pass
    int EVP_KDF_derive(EVP_KDF_CTX *, uint8_t *, size_t, const OSSL_PARAM *)

cdef extern from "<openssl/params.h>" nogil:
    OSSL_PARAM OSSL_PARAM_construct_utf8_string(const char *, char *, size_t)
    OSSL_PARAM OSSL_PARAM_construct_octet_string(const char *, void *, size_t)
    OSSL_PARAM OSSL_PARAM_construct_end()

cdef extern from "<openssl/crypto.h>" nogil:
    int CRYPTO_memcmp(const void *, const void *, size_t)


cdef int hkdf(const uint8_t *secret, uint8_t *info, size_t n_info, uint8_t *out, size_t n_out) noexcept nogil:
    cdef OSSL_PARAM params[4]
    cdef EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL)
    cdef EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf) if kdf != NULL else NULL
    cdef int rc = 0
    if ctx != NULL:
        params[0] = OSSL_PARAM_construct_utf8_string("digest", <char *>"SHA256", 0)
        params[1] = OSSL_PARAM_construct_octet_string("key", <void *>secret, SECRET_BYTES)
        params[2] = OSSL_PARAM_construct_octet_string("info", info, n_info)
        params[3] = OSSL_PARAM_construct_end()
        rc = EVP_KDF_derive(ctx, out, n_out, params)
    EVP_KDF_CTX_free(ctx)
    EVP_KDF_free(kdf)
    return 0 if rc == 1 else -1


cdef int derive(const uint8_t *secret, uint32_t stream, uint8_t direction, uint32_t epoch, uint8_t *out) noexcept nogil:
    """20 bytes, key then salt: docs/protocol.md 4.1."""
    cdef uint8_t info[20]
    cdef uint32_t be
    memcpy(info, <const char *>"escp/1 data", 11)
    be = htobe32(stream)
    memcpy(info + 11, &be, 4)
    info[15] = direction
    be = htobe32(epoch)
    memcpy(info + 16, &be, 4)
    return hkdf(secret, info, 20, out, KEY_BYTES + SALT_BYTES)


cdef int aead_rekey(aead_key *key, int backend, bint is_sealing, const uint8_t *secret,
                    uint32_t stream, uint8_t direction, uint32_t epoch, fast_err *err) noexcept nogil:
    cdef uint8_t material[20]
    cdef EVP_CIPHER_CTX *ctx
    aead_wipe(key)
    key.backend = backend
    key.is_sealing = is_sealing
    if derive(secret, stream, direction, epoch, material) < 0:
        return fail(err, FAST_MEMORY, 0, "HKDF")
    memcpy(key.salt, material + KEY_BYTES, SALT_BYTES)
    if backend == AEAD_IPSEC_MB:
        key.schedule = escp_imb_key(material)
    else:
        ctx = EVP_CIPHER_CTX_new()
        if ctx != NULL and EVP_CipherInit_ex(ctx, EVP_aes_128_gcm(), NULL, material, NULL, is_sealing) != 1:
            EVP_CIPHER_CTX_free(ctx)
            ctx = NULL
        key.schedule = ctx
    escp_wipe(material, sizeof(material))
    return 0 if key.schedule != NULL else fail(err, FAST_MEMORY, 0, "AEAD key")


cdef void aead_wipe(aead_key *key) noexcept nogil:
    if key.schedule == NULL:
        return
    if key.backend == AEAD_IPSEC_MB:
        escp_wipe(key.schedule, escp_imb_key_size())
        free(key.schedule)
    else:
        EVP_CIPHER_CTX_free(<EVP_CIPHER_CTX *>key.schedule)  # wipes the schedule itself
    key.schedule = NULL
    escp_wipe(key.salt, SALT_BYTES)


cdef inline void make_nonce(const aead_key *key, const uint8_t *frame, uint8_t *nonce) noexcept nogil:
    memcpy(nonce, key.salt, SALT_BYTES)
    memcpy(nonce + SALT_BYTES, frame, IV_BYTES)


cdef int evp_run(EVP_CIPHER_CTX *ctx, const uint8_t *nonce, uint8_t *frame, size_t n,
                 const uint8_t *contents, size_t n_contents) noexcept nogil:
    cdef int k = 0
    cdef uint8_t *payload = frame + IV_BYTES
    if EVP_CipherInit_ex(ctx, NULL, NULL, NULL, nonce, -1) != 1:
        return -1
    if EVP_CipherUpdate(ctx, NULL, &k, frame, IV_BYTES) != 1:
        return -1
    if n > n_contents and EVP_CipherUpdate(ctx, payload, &k, payload, <int>(n - n_contents)) != 1:
        return -1
    if n_contents == 0:
        return 0
    return 0 if EVP_CipherUpdate(ctx, payload + n - n_contents, &k, contents, <int>n_contents) == 1 else -1


cdef int aead_seal(aead_key *key, uint8_t *frame, size_t n, const uint8_t *contents, size_t n_contents,
                   fast_err *err) noexcept nogil:
    cdef uint8_t nonce[12]
    cdef int k = 0
    cdef EVP_CIPHER_CTX *ctx
    cdef uint8_t *tag = frame + IV_BYTES + n
    make_nonce(key, frame, nonce)
    if contents == NULL:
        n_contents = 0
    if key.backend == AEAD_IPSEC_MB and contents != NULL:
        escp_imb_seal_from(key.schedule, nonce, frame, frame + IV_BYTES, n - n_contents, contents, n_contents, tag)
        return 0
    if key.backend == AEAD_IPSEC_MB:
        escp_imb_seal(key.schedule, nonce, frame, frame + IV_BYTES, n, tag)
        return 0
    ctx = <EVP_CIPHER_CTX *>key.schedule
    if (evp_run(ctx, nonce, frame, n, contents, n_contents) < 0 or EVP_CipherFinal_ex(ctx, tag, &k) != 1
            or EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG_BYTES, tag) != 1):
        return fail(err, FAST_AUTH, 0, "seal")
    return 0


cdef int evp_open(EVP_CIPHER_CTX *ctx, const uint8_t *nonce, uint8_t *frame, size_t n, fast_err *err) noexcept nogil:
    cdef int k = 0
    cdef uint8_t *tag = frame + IV_BYTES + n
    # libcrypto compares the tag itself, in constant time, in CipherFinal.
    if (evp_run(ctx, nonce, frame, n, NULL, 0) < 0
            or EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG_BYTES, tag) != 1
            or EVP_CipherFinal_ex(ctx, tag, &k) != 1):
        return fail(err, FAST_AUTH, 0, "tag")
    return 0


cdef int aead_open(aead_key *key, uint8_t *frame, size_t n, fast_err *err) noexcept nogil:
    cdef uint8_t nonce[12]
    cdef uint8_t tag[16]
    make_nonce(key, frame, nonce)
    if key.backend == AEAD_IPSEC_MB:
        escp_imb_open(key.schedule, nonce, frame, frame + IV_BYTES, n, tag)
        if CRYPTO_memcmp(tag, frame + IV_BYTES + n, TAG_BYTES):
            return fail(err, FAST_AUTH, 0, "tag")
        return 0
    return evp_open(<EVP_CIPHER_CTX *>key.schedule, nonce, frame, n, err)


cdef void *run_warm_up(void *unused) noexcept nogil:
    cdef uint8_t secret[SECRET_BYTES]
    cdef uint8_t material[KEY_BYTES + SALT_BYTES]
    memset(secret, 0, SECRET_BYTES)
    derive(secret, 0, 0, 0, material)
    return NULL


# ---- What Python sees ---------------------------------------------------------------------------

BACKENDS = {"openssl": AEAD_OPENSSL, "ipsec_mb": AEAD_IPSEC_MB}


def available_backends():
    """Names of the backends that this build and this CPU offer, best first."""
    rank = escp_imb_rank()
    return {0: ["openssl"], 1: ["openssl", "ipsec_mb"], 2: ["ipsec_mb", "openssl"]}[rank]


def choose_backend(wanted=None):
    """The backend to use: *wanted* (default: $ESCP_AEAD), else the best; ValueError when it is not there."""
    names = available_backends()
    wanted = wanted or os.environ.get("ESCP_AEAD") or names[0]
    if wanted not in names:
        raise ValueError(f"AEAD backend {wanted!r} is not available here (there is: {', '.join(names)})")
    return wanted


def warm_up():
    """Use libcrypto for the first time, in a thread of its own: that reads its configuration, for 1.5 ms."""
    cdef pthread_t thread
    if escp_thread_start(&thread, run_warm_up, NULL, "escp-warm-up") == 0:
        pthread_detach(thread)  # without a thread it takes that time later


def derive_key(bytes secret not None, uint32_t stream, uint8_t direction, uint32_t epoch):
    """(16-byte key, 4-byte salt) of a stream's direction and epoch. For tests and vectors only."""
    cdef uint8_t out[20]
    if len(secret) != SECRET_BYTES:
        raise ValueError("the secret has 32 bytes")
    if derive(secret, stream, direction, epoch, out) < 0:
        raise MemoryError
    material = <bytes>(<char *>out)[:20]
    return material[:KEY_BYTES], material[KEY_BYTES:]
