/* XXH3-128 compiled for AVX2; xxh.h calls it only where the CPU has that. */
#if defined(__x86_64__)
#include <immintrin.h>
#ifdef __clang__ /* which passes over gcc's pragma */
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC target("avx2")
#endif
#define XXH_VECTOR 2 /* XXH_AVX2 */
#define XXH_INLINE_ALL
#include <xxhash.h>

__attribute__((visibility("hidden"))) XXH128_hash_t escp_xxh128_avx2(const void *data, size_t n, uint64_t seed) {
    return XXH3_128bits_withSeed(data, n, seed);
}
#ifdef __clang__
#pragma clang attribute pop
#endif
#endif
