"""What is used of libzstd. Contexts are void here: nobody looks into them."""


cdef extern from "<zstd.h>" nogil:
    void *ZSTD_createCCtx()
    size_t ZSTD_freeCCtx(void *)
    size_t ZSTD_compressCCtx(void *, void *, size_t, const void *, size_t, int)
    void *ZSTD_createDCtx()
    size_t ZSTD_freeDCtx(void *)
    size_t ZSTD_decompressDCtx(void *, void *, size_t, const void *, size_t)
    unsigned ZSTD_isError(size_t)
