"""Items behind an entry's path: bytes <-> views; see extras.pxd and docs/protocol.md 5.10."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from escp._fast.base.libc cimport memchr, memcmp, memcpy, memset
from escp._fast.base.types cimport (FAST_PROTOCOL, MAX_EXTRAS_BYTES, MAX_NAME_BYTES, MAX_PATH_BYTES, MAX_XATTR_BYTES,
                                    MAX_XATTRS, fail, fast_err)
from escp._fast.wire.numbers cimport get32, get64, put32, put64


cdef inline bint starts_with(const char *name, size_t n, const char *prefix, size_t n_prefix) noexcept nogil:
    return n > n_prefix and memcmp(name, prefix, n_prefix) == 0


cdef inline bint equals(const char *name, size_t n, const char *other, size_t n_other) noexcept nogil:
    return n == n_other and memcmp(name, other, n) == 0


cdef int classify_xattr(const char *name, size_t n) noexcept nogil:
    """The attributes that escp knows; everything else (other system.*, new name spaces) is XATTR_NONE."""
    if n == 0 or n > MAX_NAME_BYTES or memchr(name, 0, n) != NULL:
        return XATTR_NONE
    if starts_with(name, n, "user.", 5):
        return XATTR_USER
    if starts_with(name, n, "trusted.", 8):
        return XATTR_TRUSTED
    if equals(name, n, "security.capability", 19):
        return XATTR_CAPABILITY
    if starts_with(name, n, "security.", 9):
        return XATTR_SECURITY
    if equals(name, n, "system.posix_acl_access", 23):
        return XATTR_ACL_ACCESS
    if equals(name, n, "system.posix_acl_default", 24):
        return XATTR_ACL_DEFAULT
    return XATTR_NONE


cdef bint split_xattr(const uint8_t *value, uint32_t n, xattr *x) noexcept nogil:
    if n < 2 or value[0] == 0 or value[0] >= n:
        return False
    x.n_name = value[0]
    x.name = <const char *>value + 1
    x.value = value + 1 + x.n_name
    x.n_value = n - 1 - x.n_name
    x.kind = classify_xattr(x.name, x.n_name)
    return x.kind != XATTR_NONE and x.n_value <= MAX_XATTR_BYTES


cdef bint is_text(const uint8_t *value, uint32_t n, uint32_t most) noexcept nogil:
    return 0 < n <= most and memchr(value, 0, n) == NULL


cdef bint take_item(extras_view *x, int type, const uint8_t *value, uint32_t n) noexcept nogil:
    cdef xattr attribute
    if type == EXTRA_TARGET and x.target == NULL and is_text(value, n, MAX_PATH_BYTES):
        x.target, x.n_target = <const char *>value, n
    elif type == EXTRA_USER and x.user == NULL and is_text(value, n, MAX_NAME_BYTES):
        x.user, x.n_user = <const char *>value, n
    elif type == EXTRA_GROUP and x.group == NULL and is_text(value, n, MAX_NAME_BYTES):
        x.group, x.n_group = <const char *>value, n
    elif type == EXTRA_DEVICE and x.device == 0 and n == DEVICE_BYTES and 0 < value[0] <= DEVICE_FIFO:
        x.device, x.major, x.minor = value[0], get32(value + 1), get32(value + 5)
    elif type == EXTRA_SOURCE and not x.has_source and n == SOURCE_BYTES and get32(value + 16) < 1000000000:
        x.has_source = True
        x.ino, x.ctime_s, x.ctime_ns = get64(value), <int64_t>get64(value + 8), get32(value + 16)
    elif type == EXTRA_XATTR and x.n_xattrs < MAX_XATTRS and split_xattr(value, n, &attribute):
        x.n_xattrs += 1
    else:
        return False
    return True


cdef int get_extras(const uint8_t *at, size_t n, extras_view *x, fast_err *err) noexcept nogil:
    cdef const uint8_t *end = at + n
    cdef uint32_t head
    memset(x, 0, sizeof(extras_view))
    if n > MAX_EXTRAS_BYTES:
        return fail(err, FAST_PROTOCOL, 0, "extras length")
    while at < end:
        if end - at < EXTRA_HEADER_BYTES:
            return fail(err, FAST_PROTOCOL, 0, "extras length")
        head = get32(at)
        at += EXTRA_HEADER_BYTES
        if (head & 0xffffff) > <size_t>(end - at):
            return fail(err, FAST_PROTOCOL, 0, "extras length")
        if not take_item(x, head >> 24, at, head & 0xffffff):
            return fail(err, FAST_PROTOCOL, 0, "extras")
        at += head & 0xffffff
    return 0


cdef bint next_xattr(const uint8_t **at, const uint8_t *end, xattr *x) noexcept nogil:
    cdef uint32_t head
    cdef const uint8_t *value
    while at[0] < end:
        head = get32(at[0])
        value = at[0] + EXTRA_HEADER_BYTES
        at[0] = value + (head & 0xffffff)
        if head >> 24 == EXTRA_XATTR:
            return split_xattr(value, head & 0xffffff, x)
    return False


cdef bint put_extra(uint8_t *out, size_t *n, int type, const void *value, size_t n_value) noexcept nogil:
    cdef uint8_t *at = out + n[0]
    if n_value > MAX_EXTRAS_BYTES or n[0] + EXTRA_HEADER_BYTES + n_value > MAX_EXTRAS_BYTES:
        return False
    put32(at, <uint32_t>type << 24 | <uint32_t>n_value)
    if value != at + EXTRA_HEADER_BYTES:  # else the caller has composed it in its place
        memcpy(at + EXTRA_HEADER_BYTES, value, n_value)
    n[0] += EXTRA_HEADER_BYTES + n_value
    return True


cdef bint put_source(uint8_t *out, size_t *n, uint64_t ino, int64_t ctime_s, uint32_t ctime_ns) noexcept nogil:
    cdef uint8_t value[SOURCE_BYTES]
    put32(put64(put64(value, ino), <uint64_t>ctime_s), ctime_ns)
    return put_extra(out, n, EXTRA_SOURCE, value, SOURCE_BYTES)


cdef bint put_device(uint8_t *out, size_t *n, int device, uint32_t major, uint32_t minor) noexcept nogil:
    cdef uint8_t value[DEVICE_BYTES]
    value[0] = <uint8_t>device
    put32(put32(value + 1, major), minor)
    return put_extra(out, n, EXTRA_DEVICE, value, DEVICE_BYTES)
