/* XXH3-128 compiled for AVX2; xxh.h calls it only where the CPU has that. */
#if defined(__x86_64__)
#pragma GCC target("avx2")
#include <immintrin.h>
#define XXH_VECTOR 2 /* XXH_AVX2 */
#define XXH_INLINE_ALL
#include <xxhash.h>

__attribute__((visibility("hidden"))) XXH128_hash_t escp_xxh128_avx2(const void *data, size_t n, uint64_t seed) {
    return XXH3_128bits_withSeed(data, n, seed);
}
#endif
