"""Numbers as they are on the wire: big-endian, wherever they lie. Each put returns where the next one goes."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from escp._fast.base.libc cimport be16toh, be32toh, be64toh, htobe16, htobe32, htobe64, memcpy


cdef inline uint8_t *put16(uint8_t *p, uint16_t v) noexcept nogil:
    v = htobe16(v)
    memcpy(p, &v, 2)
    return p + 2


cdef inline uint8_t *put32(uint8_t *p, uint32_t v) noexcept nogil:
    v = htobe32(v)
    memcpy(p, &v, 4)
    return p + 4


cdef inline uint8_t *put64(uint8_t *p, uint64_t v) noexcept nogil:
    v = htobe64(v)
    memcpy(p, &v, 8)
    return p + 8


cdef inline uint16_t get16(const uint8_t *p) noexcept nogil:
    cdef uint16_t v
    memcpy(&v, p, 2)
    return be16toh(v)


cdef inline uint32_t get32(const uint8_t *p) noexcept nogil:
    cdef uint32_t v
    memcpy(&v, p, 4)
    return be32toh(v)


cdef inline uint64_t get64(const uint8_t *p) noexcept nogil:
    cdef uint64_t v
    memcpy(&v, p, 8)
    return be64toh(v)
