/* XXH3-128 with the widest vectors this CPU has: inlined for the build's baseline, once more for AVX2
 * (22 and 48 GB/s on a Zen 4 core; AVX-512 gave 39). libxxhash's own dispatcher is not in every distribution's build. */
#ifndef ESCP_XXH_H
#define ESCP_XXH_H
#define XXH_INLINE_ALL
#include <xxhash.h>

#if defined(__x86_64__)
#include <cpuid.h>

XXH128_hash_t escp_xxh128_avx2(const void *data, size_t n, uint64_t seed);
static int escp_has_avx2;

/* Asked once: CPUID leaves a virtual machine. Not __builtin_cpu_supports: with zig's runtime that always says no. */
__attribute__((constructor)) static void escp_look_for_avx2(void) {
    const unsigned saved_by_kernel = bit_OSXSAVE | bit_AVX, ymm = 6;
    unsigned a, b, c, d, enabled;
    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & saved_by_kernel) != saved_by_kernel) return;
    __asm__("xgetbv" : "=a"(enabled), "=d"(d) : "c"(0));
    if ((enabled & ymm) != ymm || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return;
    escp_has_avx2 = (b & bit_AVX2) != 0;
}
static inline XXH128_hash_t escp_xxh128(const void *data, size_t n, uint64_t seed) {
    return escp_has_avx2 ? escp_xxh128_avx2(data, n, seed) : XXH3_128bits_withSeed(data, n, seed);
}
#else
static inline XXH128_hash_t escp_xxh128(const void *data, size_t n, uint64_t seed) {
    return XXH3_128bits_withSeed(data, n, seed);
}
#endif
#endif
