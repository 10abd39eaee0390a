"""Owner, extended attributes, ACLs, mode and times of what was received; see attributes.pxd."""

from libc.stdint cimport UINT32_MAX, uint8_t, uint32_t

from escp._fast.base.libc cimport (AT_EMPTY_PATH, AT_FDCWD, EACCES, EINVAL, ENODATA, EOPNOTSUPP, EPERM, S_ISGID, errno,
                                   fchmod, fchmodat, fchownat, fstatat, futimens, geteuid, memcpy, removexattr,
                                   setxattr, snprintf, stat_t, timespec_t, utimensat)
from escp._fast.base.types cimport FAST_ACL, FAST_OWNER, FAST_SYS, FAST_XATTR, MAX_NAME_BYTES, fail, fast_err
from escp._fast.files.owners cimport find_id, owners_close, owners_open
from escp._fast.wire.extras cimport (XATTR_ACL_ACCESS, XATTR_ACL_DEFAULT, XATTR_CAPABILITY, XATTR_USER, extras_view,
                                     get_extras, next_xattr, xattr)
from escp._fast.wire.payloads cimport ENTRY_DEVICE, ENTRY_DIRECTORY, entry

cdef enum:
    DIRECTORY_MODE = 0o1777
    FULL_MODE = 0o7777


cdef void kept_open(kept_attributes *k) noexcept nogil:
    k.is_root = geteuid() == 0
    owners_open(&k.owners)


cdef void kept_close(kept_attributes *k) noexcept nogil:
    owners_close(&k.owners)


cdef void proc_path(char *out, int fd) noexcept nogil:
    snprintf(out, PROC_PATH_BYTES, "/proc/self/fd/%d", fd)


cdef void times_of(const entry *e, timespec_t *times) noexcept nogil:
    times[0].tv_sec, times[0].tv_nsec = e.atime_s, e.atime_ns
    times[1].tv_sec, times[1].tv_nsec = e.mtime_s, e.mtime_ns


cdef uint32_t mode_of(const kept_attributes *k, const entry *e, bint is_directory) noexcept nogil:
    """The mode's bits that may be set: setuid and setgid only with the owner, and only where both are kept."""
    if k.keeps_owner and k.keeps_attributes:
        return e.mode & FULL_MODE
    return e.mode & (DIRECTORY_MODE if is_directory else FILE_MODE)


cdef int set_owner(kept_attributes *k, int fd, const entry *e, fast_err *err) noexcept nogil:
    cdef extras_view x
    cdef uint32_t uid = e.uid
    cdef uint32_t gid = e.gid
    if get_extras(e.extras, e.extras_bytes, &x, err) < 0:
        return -1
    if x.user != NULL:
        uid = find_id(&k.owners, False, x.user, x.n_user, uid)
    if x.group != NULL:
        gid = find_id(&k.owners, True, x.group, x.n_group, gid)
    if uid == UINT32_MAX or gid == UINT32_MAX:  # to chown it means: leave it
        return fail(err, FAST_OWNER, EINVAL, "set owner")
    if fchownat(fd, "", uid, gid, AT_EMPTY_PATH) < 0:
        return fail(err, FAST_OWNER, errno, "set owner")
    return 0


cdef bint is_wanted(const kept_attributes *k, int kind, bint is_directory) noexcept nogil:
    """Only what this side asked for; names of root's name spaces by root only."""
    if kind == XATTR_ACL_ACCESS or kind == XATTR_ACL_DEFAULT:
        return k.keeps_acls and (is_directory or kind == XATTR_ACL_ACCESS)
    if kind == XATTR_CAPABILITY and not (k.keeps_owner and k.keeps_attributes):
        return False
    return k.keeps_xattrs and (kind == XATTR_USER or k.is_root)


cdef int set_xattr(int fd, const char *path, const char *name, const xattr *a) noexcept nogil:
    """0 or -1 with errno. The owner of a read-only file may not set its attributes: it is opened for the moment."""
    cdef stat_t status
    cdef int rc = setxattr(path, name, a.value, a.n_value, 0)
    if rc < 0 and errno == EACCES and fstatat(fd, "", &status, AT_EMPTY_PATH) == 0 and fchmodat(
            AT_FDCWD, path, (status.st_mode & FULL_MODE) | 0o200, 0) == 0:
        rc = setxattr(path, name, a.value, a.n_value, 0)
        fchmodat(AT_FDCWD, path, status.st_mode & FULL_MODE, 0)
    return rc


cdef int set_xattrs(kept_attributes *k, int fd, const entry *e, bint is_directory, fast_err *err) noexcept nogil:
    cdef char path[PROC_PATH_BYTES]
    cdef char name[MAX_NAME_BYTES + 1]
    cdef const uint8_t *at = e.extras
    cdef xattr a
    cdef int code
    proc_path(path, fd)
    if k.keeps_acls:  # what the directory's default ACL gave it is not the source's
        if removexattr(path, "system.posix_acl_access") < 0 and errno != ENODATA and errno != EOPNOTSUPP:
            return fail(err, FAST_ACL, errno, "set attributes")
        if is_directory and removexattr(path, "system.posix_acl_default") < 0 and errno != ENODATA and (
                errno != EOPNOTSUPP):
            return fail(err, FAST_ACL, errno, "set attributes")
    if e.extras_bytes == 0:
        return 0
    while next_xattr(&at, e.extras + e.extras_bytes, &a):
        if not is_wanted(k, a.kind, is_directory):
            continue
        memcpy(name, a.name, a.n_name)
        name[a.n_name] = 0
        if set_xattr(fd, path, name, &a) < 0:
            code = FAST_ACL if a.kind == XATTR_ACL_ACCESS or a.kind == XATTR_ACL_DEFAULT else FAST_XATTR
            # Of root's name spaces what can be set: a label of another policy, or trusted.* on NFS, can not.
            if code == FAST_ACL or a.kind == XATTR_USER or (
                    errno != EOPNOTSUPP and errno != EPERM and errno != EINVAL):
                return fail(err, code, errno, "set attributes")
    return 0


cdef int set_file_attributes(kept_attributes *k, int fd, const entry *e, fast_err *err) noexcept nogil:
    cdef timespec_t times[2]
    if k.keeps_owner and set_owner(k, fd, e, err) < 0:
        return -1
    if (k.keeps_xattrs or k.keeps_acls) and set_xattrs(k, fd, e, False, err) < 0:
        return -1
    if (k.keeps_attributes or k.keeps_acls) and fchmod(fd, mode_of(k, e, False)) < 0:
        return fail(err, FAST_SYS, errno, "set mode")
    if k.keeps_attributes:
        times_of(e, times)
        if futimens(fd, times) < 0:
            return fail(err, FAST_SYS, errno, "set times")
    return 0


cdef int set_directory_mode(kept_attributes *k, int fd, const char *path, const entry *e, fast_err *err) noexcept nogil:
    """scp pushing sets the source's mode whatever was there. Pulling, and cp, follow the umask: without -p a new
    directory gets the mode less the umask, one that was there keeps its own; the bit for the group that all in
    it inherits stays, which a project's directory has from its parent."""
    cdef stat_t status
    cdef uint32_t mode = mode_of(k, e, True)
    if fstatat(fd, "", &status, AT_EMPTY_PATH) < 0:
        return fail(err, FAST_SYS, errno, "set mode")
    if k.follows_umask and not (k.keeps_owner and k.keeps_attributes):
        mode |= status.st_mode & S_ISGID
    if k.follows_umask and not k.keeps_attributes and not k.keeps_acls:
        if (status.st_mode & DIRECTORY_MODE) != (UNFINISHED_MODE & ~k.umask):
            return 0
        mode &= ~k.umask
    if fchmodat(AT_FDCWD, path, mode, 0) < 0:
        return fail(err, FAST_SYS, errno, "set mode")
    return 0


cdef int set_path_attributes(kept_attributes *k, int fd, const entry *e, fast_err *err) noexcept nogil:
    cdef char path[PROC_PATH_BYTES]
    cdef timespec_t times[2]
    cdef bint is_directory = e.kind == ENTRY_DIRECTORY
    proc_path(path, fd)  # a descriptor of O_PATH takes no fchmod; this path leads to a link itself, too
    if k.keeps_owner and set_owner(k, fd, e, err) < 0:
        return -1
    if is_directory and (k.keeps_xattrs or k.keeps_acls) and set_xattrs(k, fd, e, True, err) < 0:
        return -1
    if is_directory and set_directory_mode(k, fd, path, e, err) < 0:
        return -1
    if e.kind == ENTRY_DEVICE and k.keeps_attributes and fchmodat(AT_FDCWD, path, mode_of(k, e, False), 0) < 0:
        return fail(err, FAST_SYS, errno, "set mode")
    if k.keeps_attributes:
        times_of(e, times)
        if utimensat(AT_FDCWD, path, times, 0) < 0:
            return fail(err, FAST_SYS, errno, "set times")
    return 0
