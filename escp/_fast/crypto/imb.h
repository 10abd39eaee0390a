/* Intel IPSec_MB behind six functions, so that a build without it only loses speed.
 * One MB_MGR serves all threads: the direct GCM calls do not use its state (tried with 8 threads: no mismatch);
 * its global errno does, so it is read once, at set-up. */
#ifndef ESCP_IMB_H
#define ESCP_IMB_H
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef ESCP_HAVE_IMB
#include <intel-ipsec-mb.h>
#include <pthread.h>

static IMB_MGR *escp_imb_mgr;
static pthread_once_t escp_imb_once = PTHREAD_ONCE_INIT;

static void escp_imb_init(void) {
    IMB_MGR *mgr = alloc_mb_mgr(0);
    if (!mgr) return;
    init_mb_mgr_auto(mgr, NULL);
    /* Without AES-NI the calls "succeed" and leave NULL pointers. */
    if (imb_get_errno(mgr) == 0 && mgr->gcm128_enc && mgr->gcm128_dec && mgr->gcm128_pre) escp_imb_mgr = mgr;
    else free_mb_mgr(mgr);
}
/* 0: not usable here; 1: usable; 2: usable and faster than libcrypto (VAES with AVX-512). */
static int escp_imb_rank(void) {
    const uint64_t wide = IMB_FEATURE_VAES | IMB_FEATURE_VPCLMULQDQ | IMB_FEATURE_AVX512_SKX;
    pthread_once(&escp_imb_once, escp_imb_init);
    if (!escp_imb_mgr) return 0;
    return (escp_imb_mgr->features & wide) == wide ? 2 : 1;
}
/* The key schedule must lie on 64 bytes; the caller frees it after wiping escp_imb_key_size() bytes. */
static size_t escp_imb_key_size(void) { return sizeof(struct gcm_key_data); }
static void *escp_imb_key(const uint8_t *key) {
    void *data = NULL;
    if (posix_memalign(&data, 64, sizeof(struct gcm_key_data))) return NULL;
    IMB_AES128_GCM_PRE(escp_imb_mgr, key, (struct gcm_key_data *)data);
    return data;
}
static void escp_imb_seal(void *key, const uint8_t *nonce, uint8_t *aad, uint8_t *payload, size_t n, uint8_t *tag) {
    struct gcm_context_data ctx;
    IMB_AES128_GCM_ENC(escp_imb_mgr, (struct gcm_key_data *)key, &ctx, payload, payload, n, nonce, aad, 8, tag, 16);
}
/* The payload's first n bytes are sealed in place; what follows them, m bytes of cipher text, is made of *contents*. */
static void escp_imb_seal_from(void *key, const uint8_t *nonce, uint8_t *aad, uint8_t *payload, size_t n,
                               const uint8_t *contents, size_t m, uint8_t *tag) {
    struct gcm_key_data *data = key;
    struct gcm_context_data ctx;
    IMB_AES128_GCM_INIT(escp_imb_mgr, data, &ctx, nonce, aad, 8);
    IMB_AES128_GCM_ENC_UPDATE(escp_imb_mgr, data, &ctx, payload, payload, n);
    IMB_AES128_GCM_ENC_UPDATE(escp_imb_mgr, data, &ctx, payload + n, contents, m);
    IMB_AES128_GCM_ENC_FINALIZE(escp_imb_mgr, data, &ctx, tag, 16);
}
static void escp_imb_open(void *key, const uint8_t *nonce, uint8_t *aad, uint8_t *payload, size_t n, uint8_t *tag) {
    struct gcm_context_data ctx;
    IMB_AES128_GCM_DEC(escp_imb_mgr, (struct gcm_key_data *)key, &ctx, payload, payload, n, nonce, aad, 8, tag, 16);
}
#else
static int escp_imb_rank(void) { return 0; }
static size_t escp_imb_key_size(void) { return 0; }
static void *escp_imb_key(const uint8_t *key) { (void)key; return NULL; }
static void escp_imb_seal(void *k, const uint8_t *n, uint8_t *a, uint8_t *p, size_t c, uint8_t *t) { (void)k, (void)n, (void)a, (void)p, (void)c, (void)t; }
static void escp_imb_seal_from(void *k, const uint8_t *n, uint8_t *a, uint8_t *p, size_t c, const uint8_t *s, size_t m, uint8_t *t) { (void)k, (void)n, (void)a, (void)p, (void)c, (void)s, (void)m, (void)t; }
static void escp_imb_open(void *k, const uint8_t *n, uint8_t *a, uint8_t *p, size_t c, uint8_t *t) { (void)k, (void)n, (void)a, (void)p, (void)c, (void)t; }
#endif
#endif
