"""Owner's names, extended attributes and ACLs into an entry's extras; see gather.pxd."""

from libc.stdint cimport uint8_t

from escp._fast.base.libc cimport (E2BIG, EIO, ENODATA, EOPNOTSUPP, ERANGE, errno, fgetxattr, flistxattr, memcpy,
                                   stat_t, strlen)
from escp._fast.base.types cimport (FAST_ACL, FAST_OWNER, FAST_XATTR, MAX_EXTRAS_BYTES, MAX_XATTRS, MAX_XATTR_BYTES,
                                    fail, fast_err)
from escp._fast.files.bounds cimport next_attribute
from escp._fast.files.owners cimport OWNER_NAME_BYTES, find_name
from escp._fast.send.send_state cimport send_state
from escp._fast.wire.extras cimport (EXTRA_GROUP, EXTRA_HEADER_BYTES, EXTRA_USER, EXTRA_XATTR, XATTR_ACL_ACCESS,
                                     XATTR_ACL_DEFAULT, XATTR_NONE, XATTR_USER, classify_xattr, put_extra)


cdef int add_xattr(int fd, const char *name, size_t n_name, int code, uint8_t *out, size_t *n,
                   fast_err *err) noexcept nogil:
    """Its value is read where it will lie."""
    cdef size_t at = n[0] + EXTRA_HEADER_BYTES + 1 + n_name
    cdef ssize_t k
    if at >= MAX_EXTRAS_BYTES:
        return fail(err, code, E2BIG, "read attributes")
    k = fgetxattr(fd, name, out + at, MAX_EXTRAS_BYTES - at)
    if k < 0 and errno == ENODATA:  # it went away meanwhile
        return 0
    if k < 0 or k > MAX_XATTR_BYTES:
        return fail(err, code, E2BIG if k > 0 or errno == ERANGE else errno, "read attributes")
    out[at - n_name - 1] = <uint8_t>n_name
    memcpy(out + at - n_name, name, n_name)
    if not put_extra(out, n, EXTRA_XATTR, out + n[0] + EXTRA_HEADER_BYTES, 1 + n_name + k):
        return fail(err, code, E2BIG, "read attributes")
    return 0


cdef int gather_xattrs(send_state *s, int fd, uint8_t *out, size_t *n, fast_err *err) noexcept nogil:
    cdef const char *at = <const char *>out + MAX_EXTRAS_BYTES
    cdef ssize_t n_names = flistxattr(fd, <char *>at, LIST_BYTES)
    cdef const char *end = at + n_names
    cdef const char *name = NULL
    cdef size_t n_name
    cdef int kind
    cdef int code
    cdef int count = 0
    cdef int rc
    if n_names < 0:
        return 0 if errno == EOPNOTSUPP else fail(err, FAST_XATTR, errno, "read attributes")
    while True:
        rc = next_attribute(&at, end, &name)
        if rc <= 0:
            return 0 if rc == 0 else fail(err, FAST_XATTR, EIO, "read attributes")
        n_name = strlen(name)
        kind = classify_xattr(name, n_name)
        code = FAST_ACL if kind == XATTR_ACL_ACCESS or kind == XATTR_ACL_DEFAULT else FAST_XATTR
        if (s.config.keeps_acls if code == FAST_ACL else
                s.config.keeps_xattrs and (kind == XATTR_USER or (kind != XATTR_NONE and s.config.is_root))):
            count += 1
            if count > MAX_XATTRS:
                return fail(err, code, E2BIG, "read attributes")
            if add_xattr(fd, name, n_name, code, out, n, err) < 0:
                return -1


cdef int gather(send_state *s, int fd, const stat_t *status, uint8_t *out, size_t *n, fast_err *err) noexcept nogil:
    cdef char name[OWNER_NAME_BYTES]
    cdef size_t k
    if s.config.keeps_owner_names:
        k = find_name(&s.owners, False, status.st_uid, name)
        if k and not put_extra(out, n, EXTRA_USER, name, k):
            return fail(err, FAST_OWNER, E2BIG, "name of the owner")
        k = find_name(&s.owners, True, status.st_gid, name)
        if k and not put_extra(out, n, EXTRA_GROUP, name, k):
            return fail(err, FAST_OWNER, E2BIG, "name of the group")
    if fd >= 0 and (s.config.keeps_xattrs or s.config.keeps_acls):
        return gather_xattrs(s, fd, out, n, err)
    return 0
