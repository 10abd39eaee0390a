"""Owner, extended attributes, ACLs, mode and times of what was received; see attributes.pxd."""

from libc.stdint cimport UINT32_MAX, uint8_t, uint32_t, uint64_t

from escp._fast.base.libc cimport (AT_EMPTY_PATH, AT_FDCWD, EACCES, EINVAL, ENODATA, EOPNOTSUPP, EPERM, S_ISGID,
                                   S_ISLNK, errno, escp_set_errno, fchmod, fchmodat, fchownat, fremovexattr, fsetxattr,
                                   fstat, fstatat, futimens, getxattr, geteuid, lgetxattr, memcpy, removexattr,
                                   setxattr, snprintf, stat_t, timespec_t, utimensat)
from escp._fast.base.types cimport (LACKS_ACL, LACKS_MODE, LACKS_OWNER, LACKS_TIMES, LACKS_XATTRS, MAX_NAME_BYTES,
                                    MAX_XATTR_BYTES, clear, fast_err, lack)
from escp._fast.files.compare cimport is_same_time
from escp._fast.files.owners cimport find_id, owners_close, owners_open
from escp._fast.wire.extras cimport (XATTR_ACL_ACCESS, XATTR_ACL_DEFAULT, XATTR_CAPABILITY, XATTR_USER, extras_view,
                                     get_extras, next_xattr, xattr)
from escp._fast.wire.payloads cimport ENTRY_DEVICE, ENTRY_DIRECTORY, entry

cdef enum:
    RULE_BITS = 30
    ACL_OWNER = 0x01
    ACL_GROUP = 0x04
    ACL_MASK = 0x10
    ACL_OTHERS = 0x20


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


cdef int kept_rules(kept_attributes *k, list rules) except -1:
    cdef mode_rule *r
    cdef uint64_t rule
    if len(rules) > MAX_MODE_RULES:
        raise ValueError(f"more than {MAX_MODE_RULES} rules for modes")
    for rule in rules:
        if rule >> RULE_BITS:
            raise ValueError("a rule for modes is none")
        r = &k.rules[k.n_rules]
        r.adds, r.keeps = rule & FULL_MODE, rule >> 12 & FULL_MODE
        r.is_for_directories, r.is_for_others = not rule >> 24 & 1, not rule >> 25 & 1
        r.needs_execute = rule >> 26 & 1
        r.copied, r.takes = rule >> 27 & 3, rule >> 29 & 1
        if r.takes and not r.copied:
            raise ValueError("a rule for modes is none")
        k.n_rules += 1
    return 0


cdef uint32_t change_mode(const kept_attributes *k, uint32_t mode, bint is_directory) noexcept nogil:
    """Special bits come with -p alone, as of a mode that is kept."""
    cdef bint is_executable = is_directory or mode & 0o111
    cdef uint32_t may_add = FULL_MODE if k.keeps_attributes else FILE_MODE
    cdef const mode_rule *r
    cdef uint32_t bits
    cdef int i
    for i in range(k.n_rules):
        r = &k.rules[i]
        if r.is_for_directories if is_directory else r.is_for_others:
            bits = r.adds & ~<uint32_t>(0o111 if r.needs_execute and not is_executable else 0)
            if r.copied:
                bits &= (mode >> 3 * (3 - r.copied) & 7) * 0o111
            if r.takes:
                mode &= ~bits
            else:
                mode = (mode & r.keeps) | (bits & may_add)
    return mode


cdef uint32_t allowed_mode(const kept_attributes *k, const entry *e, bint is_directory) noexcept nogil:
    if k.keeps_owner and k.keeps_attributes:
        return e.mode & FULL_MODE
    return e.mode & (DIRECTORY_MODE if is_directory else FILE_MODE)


cdef uint32_t mode_of(const kept_attributes *k, const entry *e, bint is_directory) noexcept nogil:
    """First the bits go that a peer may not ask for. Then --chmod counts, which this side's user has asked for."""
    return change_mode(k, allowed_mode(k, e, is_directory), is_directory)


cdef uint32_t mode_to_make(const kept_attributes *k, const entry *e) noexcept nogil:
    return mode_of(k, e, False) & FILE_MODE


cdef uint32_t mode_to_begin(const kept_attributes *k, const entry *e) noexcept nogil:
    return change_mode(k, e.mode & FULL_MODE, True)


cdef void owner_of(kept_attributes *k, const entry *e, uint32_t *uid, uint32_t *gid) noexcept nogil:
    cdef extras_view x
    cdef fast_err own
    uid[0], gid[0] = e.uid, e.gid
    clear(&own)
    if get_extras(e.extras, e.extras_bytes, &x, &own) == 0 and x.user != NULL:
        uid[0] = find_id(&k.owners, False, x.user, x.n_user, e.uid)
    if own.code == 0 and x.group != NULL:
        gid[0] = find_id(&k.owners, True, x.group, x.n_group, e.gid)


cdef bint set_owner(kept_attributes *k, int fd, const entry *e, fast_err *lacks) noexcept nogil:
    cdef uint32_t uid = 0
    cdef uint32_t gid = 0
    owner_of(k, e, &uid, &gid)
    if uid == UINT32_MAX or gid == UINT32_MAX:  # for chown that means: leave it as it is
        lack(lacks, LACKS_OWNER, EINVAL)
    elif fchownat(fd, "", uid, gid, AT_EMPTY_PATH) < 0:
        lack(lacks, LACKS_OWNER, errno)
    return not lacks.code


cdef bint is_wanted(const kept_attributes *k, int kind, bint is_directory) noexcept nogil:
    """Whether this side asked for it; what only root may set (trusted.*, security.*) is set by root only."""
    if kind == XATTR_ACL_ACCESS or kind == XATTR_ACL_DEFAULT:
        return k.keeps_acls and (is_directory or kind == XATTR_ACL_ACCESS)
    if kind == XATTR_CAPABILITY and not (k.keeps_owner and k.keeps_attributes):
        return False
    return k.keeps_xattrs and (kind == XATTR_USER or k.is_root)


cdef int set_xattr(int fd, const char *path, const char *name, const xattr *a) noexcept nogil:
    """0, or -1 with errno. Of a read-only file not even its owner may set them: it is made writable for the moment."""
    cdef stat_t status
    cdef int rc = setxattr(path, name, a.value, a.n_value, 0)
    if rc < 0 and errno == EACCES and fstatat(fd, "", &status, AT_EMPTY_PATH) == 0 and fchmodat(
            AT_FDCWD, path, (status.st_mode & FULL_MODE) | 0o200, 0) == 0:
        rc = setxattr(path, name, a.value, a.n_value, 0)
        fchmodat(AT_FDCWD, path, status.st_mode & FULL_MODE, 0)
    return rc


cdef void set_xattrs(kept_attributes *k, int fd, const entry *e, bint has_owner, bint is_directory,
                     fast_err *lacks) noexcept nogil:
    cdef char path[PROC_PATH_BYTES]
    cdef char name[MAX_NAME_BYTES + 1]
    cdef const uint8_t *at = e.extras
    cdef xattr a
    cdef bint is_acl
    proc_path(path, fd)
    if k.keeps_acls:  # what the directory's default ACL gave it is not the source's
        if removexattr(path, "system.posix_acl_access") < 0 and errno != ENODATA and errno != EOPNOTSUPP:
            lack(lacks, LACKS_ACL, errno)
        if is_directory and removexattr(path, "system.posix_acl_default") < 0 and errno != ENODATA and (
                errno != EOPNOTSUPP):
            lack(lacks, LACKS_ACL, errno)
    if e.extras_bytes == 0:
        return
    while next_xattr(&at, e.extras + e.extras_bytes, &a):
        if not is_wanted(k, a.kind, is_directory) or (a.kind == XATTR_CAPABILITY and not has_owner):
            continue
        memcpy(name, a.name, a.n_name)
        name[a.n_name] = 0
        if set_xattr(fd, path, name, &a) < 0:
            is_acl = a.kind == XATTR_ACL_ACCESS or a.kind == XATTR_ACL_DEFAULT
            # Some of root's can't be set here: a label of another policy, or trusted.* on NFS. They are left out.
            if is_acl or a.kind == XATTR_USER or (errno != EOPNOTSUPP and errno != EPERM and errno != EINVAL):
                lack(lacks, LACKS_ACL if is_acl else LACKS_XATTRS, errno)


cdef int set_mode(int fd, uint32_t mode) noexcept nogil:
    cdef stat_t status
    cdef int number
    if fchmod(fd, mode) == 0:
        return 0
    number = errno
    if fstat(fd, &status) == 0 and (status.st_mode & FULL_MODE) == mode:
        return 0
    escp_set_errno(number)
    return -1


cdef void set_file_attributes(kept_attributes *k, int fd, const entry *e, fast_err *lacks) noexcept nogil:
    cdef timespec_t times[2]
    cdef uint32_t mode = mode_of(k, e, False)
    cdef bint has_owner = not k.keeps_owner or set_owner(k, fd, e, lacks)
    if k.keeps_xattrs or k.keeps_acls:
        set_xattrs(k, fd, e, has_owner, False, lacks)
    if not has_owner:  # setuid bits are only for the source's owner
        mode &= FILE_MODE
    if (k.keeps_attributes or k.keeps_acls) and set_mode(fd, mode) < 0:
        lack(lacks, LACKS_MODE, errno)
    if k.keeps_attributes:
        times_of(e, times)
        if futimens(fd, times) < 0:
            lack(lacks, LACKS_TIMES, errno)


cdef int set_unfinished(int fd, uint32_t mode) noexcept nogil:
    cdef char path[PROC_PATH_BYTES]
    cdef stat_t status
    if fstatat(fd, "", &status, AT_EMPTY_PATH) < 0:
        return -1
    # Who owns the directory above may have put another one in its place: only one with part of *mode* can be ours.
    if (status.st_mode & DIRECTORY_MODE) == mode or status.st_mode & DIRECTORY_MODE & ~mode:
        return 0
    proc_path(path, fd)
    return fchmodat(AT_FDCWD, path, mode | (status.st_mode & S_ISGID), 0)


cdef int hand_on_acl(int fd, int dirfd, const char *name) noexcept nogil:
    cdef char path[PROC_PATH_BYTES + MAX_NAME_BYTES + 1]
    cdef uint8_t acl[MAX_XATTR_BYTES]
    cdef ssize_t n
    snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dirfd, name)
    n = lgetxattr(path, "system.posix_acl_access", acl, sizeof(acl))
    if n > 0:
        return fsetxattr(fd, "system.posix_acl_access", acl, n, 0)
    if errno == ENODATA and fremovexattr(fd, "system.posix_acl_access") < 0 and errno != ENODATA:
        return -1
    return 0


cdef uint32_t limit_new(const char *path, uint32_t mode, uint32_t umask) noexcept nogil:
    cdef uint8_t acl[MAX_XATTR_BYTES]  # version (4); tag (2), permissions (2), id (4) each
    cdef ssize_t n = getxattr(path, "system.posix_acl_default", acl, sizeof(acl))
    cdef uint32_t owner = 0
    cdef uint32_t group = 0
    cdef uint32_t others = 0
    cdef bint has_mask = False
    cdef ssize_t at
    if n <= 4:
        return mode & ~umask
    for at in range(4, n - 7, 8):
        if acl[at] == ACL_OWNER:
            owner = acl[at + 2]
        elif acl[at] == ACL_MASK or (acl[at] == ACL_GROUP and not has_mask):
            group = acl[at + 2]
            has_mask = acl[at] == ACL_MASK
        elif acl[at] == ACL_OTHERS:
            others = acl[at + 2]
    return mode & (owner << 6 | group << 3 | others | ~<uint32_t>0o777)


cdef void set_directory_mode(kept_attributes *k, int fd, const char *path, const entry *e, bint has_owner,
                             fast_err *lacks) noexcept nogil:
    """scp that pushes sets the source's mode, whatever was there. scp that pulls, and cp, follow the umask: without -p
    a new directory gets the source's mode less the umask, and one that was there keeps its own. The set-group-ID bit,
    which a project's directory has from its parent, stays."""
    cdef stat_t status
    cdef uint32_t mode = mode_of(k, e, True)
    if not has_owner:
        mode &= DIRECTORY_MODE
    if fstatat(fd, "", &status, AT_EMPTY_PATH) < 0:
        lack(lacks, LACKS_MODE, errno)
        return
    if k.follows_umask and not (k.keeps_owner and k.keeps_attributes):
        mode |= status.st_mode & S_ISGID
    if k.follows_umask and not k.keeps_attributes and not k.keeps_acls:
        if (status.st_mode & DIRECTORY_MODE) != UNFINISHED_MODE:
            return
        mode = limit_new(path, mode, k.umask)
    if fchmodat(AT_FDCWD, path, mode, 0) < 0:
        lack(lacks, LACKS_MODE, errno)


cdef void set_path_attributes(kept_attributes *k, int fd, const entry *e, fast_err *lacks) noexcept nogil:
    cdef char path[PROC_PATH_BYTES]
    cdef timespec_t times[2]
    cdef bint is_directory = e.kind == ENTRY_DIRECTORY
    cdef bint has_owner = not k.keeps_owner or set_owner(k, fd, e, lacks)
    proc_path(path, fd)  # a descriptor of O_PATH takes no fchmod; this path leads to a link itself, too
    if is_directory and (k.keeps_xattrs or k.keeps_acls):
        set_xattrs(k, fd, e, has_owner, True, lacks)
    if is_directory:
        set_directory_mode(k, fd, path, e, has_owner, lacks)
    if e.kind == ENTRY_DEVICE and k.keeps_attributes and fchmodat(
            AT_FDCWD, path, mode_of(k, e, False) & (FULL_MODE if has_owner else FILE_MODE), 0) < 0:
        lack(lacks, LACKS_MODE, errno)
    if k.keeps_attributes:
        times_of(e, times)
        if utimensat(AT_FDCWD, path, times, 0) < 0:
            lack(lacks, LACKS_TIMES, errno)


cdef bint has_path_attributes(kept_attributes *k, const entry *e, const stat_t *there) noexcept nogil:
    cdef uint32_t uid = 0
    cdef uint32_t gid = 0
    if k.keeps_owner:
        owner_of(k, e, &uid, &gid)
        if there.st_uid != uid or there.st_gid != gid:
            return False
    if not k.keeps_attributes:
        return True
    return is_same_time(e, there) and (
        S_ISLNK(there.st_mode) or there.st_mode & FULL_MODE == mode_of(k, e, False))
