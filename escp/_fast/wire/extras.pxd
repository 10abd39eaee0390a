"""What an entry holds beyond its fixed fields: items of type (1), length (3) and value, docs/protocol.md 5.10.

Pure; every length, count and name of a peer is bounded here.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from escp._fast.base.types cimport fast_err


cdef enum:
    EXTRA_HEADER_BYTES = 4
    DEVICE_BYTES = 9
    SOURCE_BYTES = 20

cdef enum extra_type:
    EXTRA_TARGET = 1  # of a link: its text; of a hard link: the path of the file
    EXTRA_XATTR = 2  # length of the name (1), name, value
    EXTRA_USER = 3  # name of the owner
    EXTRA_GROUP = 4
    EXTRA_DEVICE = 5  # device_type (1), major (4), minor (4)
    EXTRA_SOURCE = 6  # of a large file: inode (8), seconds (8) and nanoseconds (4) of the last change of its status

cdef enum device_type:
    DEVICE_CHARACTER = 1
    DEVICE_BLOCK = 2
    DEVICE_FIFO = 3

cdef enum xattr_class:
    XATTR_NONE = 0  # not one that is ever carried
    XATTR_USER = 1
    XATTR_TRUSTED = 2
    XATTR_SECURITY = 3
    XATTR_CAPABILITY = 4  # security.capability: it gives rights, as setuid does
    XATTR_ACL_ACCESS = 5
    XATTR_ACL_DEFAULT = 6


# Views into the payload. Texts are not ended by NUL; their pointers are NULL where there is none.
ctypedef struct extras_view:
    const char *target
    uint32_t n_target
    const char *user
    uint32_t n_user
    const char *group
    uint32_t n_group
    uint8_t device  # device_type, or 0
    uint32_t major
    uint32_t minor
    int n_xattrs
    bint has_source
    uint64_t ino
    int64_t ctime_s
    uint32_t ctime_ns


ctypedef struct xattr:
    int kind  # xattr_class
    const char *name
    uint8_t n_name
    const uint8_t *value
    uint32_t n_value


# Checks the form of all items, and finds those that come once. -1: FAST_PROTOCOL. Does not check what the entry's kind
# may have.
cdef int get_extras(const uint8_t *at, size_t n, extras_view *x, fast_err *err) noexcept nogil
# The next xattr of well-formed extras from *at[0]* on; False when there is none.
cdef bint next_xattr(const uint8_t **at, const uint8_t *end, xattr *x) noexcept nogil
cdef int classify_xattr(const char *name, size_t n) noexcept nogil
# Appends an item at out + n[0]. False, and nothing is changed, when it does not fit into MAX_EXTRAS_BYTES.
cdef bint put_extra(uint8_t *out, size_t *n, int type, const void *value, size_t n_value) noexcept nogil
cdef bint put_source(uint8_t *out, size_t *n, uint64_t ino, int64_t ctime_s, uint32_t ctime_ns) noexcept nogil
cdef bint put_device(uint8_t *out, size_t *n, int device, uint32_t major, uint32_t minor) noexcept nogil
