"""Creating files and directories below the destination; see tree.pxd."""

from escp._fast.base.libc cimport (AT_FDCWD, AT_SYMLINK_FOLLOW, AT_SYMLINK_NOFOLLOW, ECONNABORTED, EEXIST, EINVAL, EIO,
                                   EISDIR, ELOOP, ENODEV, ENOENT, ENOTCONN, ENXIO, EOPNOTSUPP, EPERM, ESHUTDOWN, ESTALE,
                                   EXDEV, O_CLOEXEC, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_PATH, O_TMPFILE,
                                   O_WRONLY, S_ISDIR, S_ISREG, c_close, dup, errno, escp_fetch_add, escp_flag,
                                   escp_raise_flag, fchmod, fchown, fstatat, linkat, memcmp, memcpy, mkdirat, openat,
                                   renameat, snprintf, stat_t, strlen, unlinkat)
from escp._fast.base.paths cimport SLASH, last_slash
from escp._fast.base.types cimport FAST_SAME_FILE, FAST_SYS, FAST_UNSAFE, MAX_PATH_BYTES, fail, fast_err
from escp._fast.files.attributes cimport (FILE_MODE, PROC_PATH_BYTES, UNFINISHED_MODE, kept_close, kept_open, proc_path,
                                          set_file_attributes, set_path_attributes)
from escp._fast.files.beneath cimport open_beneath
from escp._fast.wire.payloads cimport entry


cdef void tree_open(tree *t) noexcept nogil:
    kept_open(&t.kept)


cdef void tree_close(tree *t) noexcept nogil:
    kept_close(&t.kept)


cdef void cache_open(dir_cache *cache, int n) noexcept nogil:
    cdef int i
    for i in range(n):
        cache.fds[i] = -1
    cache.n = n
    cache.next = 0


cdef void cache_close(dir_cache *cache) noexcept nogil:
    cdef int i
    for i in range(cache.n):
        if cache.fds[i] >= 0:
            c_close(cache.fds[i])
            cache.fds[i] = -1


cdef int unsafe_or_system(int number, const char *where, fast_err *err) noexcept nogil:
    """EXDEV and ELOOP are how the kernel says that a path leaves the tree."""
    return fail(err, FAST_UNSAFE if number == EXDEV or number == ELOOP else FAST_SYS, number, where)


# ---- Directories ----------------------------------------------------------------------------------

cdef int open_path(tree *t, int top, const char *path, bint follows_links) noexcept nogil:
    return open_beneath(top, path, O_PATH | O_DIRECTORY | O_CLOEXEC, follows_links, &t.lacks_openat2)


cdef int find_cached(const dir_cache *cache, const char *path, size_t n, size_t n_root) noexcept nogil:
    cdef int i
    for i in range(cache.n):
        if (cache.fds[i] >= 0 and cache.n_paths[i] == n and cache.n_roots[i] == n_root
                and memcmp(cache.paths[i], path, n) == 0):
            return cache.fds[i]
    return -1


cdef int keep(dir_cache *cache, const char *path, size_t n, size_t n_root, int fd) noexcept nogil:
    """Hand the descriptor to the cache, which closes the one that it has had for longest."""
    cdef int i = cache.next
    cache.next = (i + 1) % cache.n
    if cache.fds[i] >= 0:
        c_close(cache.fds[i])
    cache.fds[i] = fd
    cache.n_paths[i], cache.n_roots[i] = n, n_root
    memcpy(cache.paths[i], path, n)
    return fd


cdef int open_existing(tree *t, dir_cache *cache, const char *path, size_t n, size_t n_root) noexcept nogil:
    """The directory *path* (n bytes and NUL) as an O_PATH descriptor, which the cache keeps, or -1 with errno."""
    cdef char root[MAX_PATH_BYTES + 1]
    cdef int top = t.root_fd
    cdef int fd
    n_root = n_root if n_root < n else n
    fd = find_cached(cache, path, n, n_root)
    if fd >= 0:
        return fd
    if n_root == n:  # where a root is, nobody but the user decides: no link does
        fd = open_path(t, top, path, False)
    else:
        if n_root:
            memcpy(root, path, n_root)
            root[n_root] = 0
            top = find_cached(cache, root, n_root, n_root)
            if top < 0:
                top = open_path(t, t.root_fd, root, False)
                if top < 0:
                    return -1
                keep(cache, root, n_root, n_root, top)
        fd = open_path(t, top, path + n_root + (n_root > 0), not t.keeps_links)
    return keep(cache, path, n, n_root, fd) if fd >= 0 else -1


cdef int make_parents(tree *t, dir_cache *cache, const char *path, size_t n, size_t n_root) noexcept nogil:
    """Create what is missing of *path*, private until its own entry sets its mode. -1 with errno."""
    cdef char upper[MAX_PATH_BYTES + 1]
    cdef char name[MAX_PATH_BYTES + 1]
    cdef size_t i = 0
    cdef size_t start
    cdef size_t n_upper
    cdef int fd
    while i < n:
        start = i
        while i < n and path[i] != SLASH:
            i += 1
        n_upper = start - 1 if start else 0
        memcpy(upper, path, n_upper)
        upper[n_upper] = 0
        fd = open_existing(t, cache, upper, n_upper, n_root)
        if fd < 0:
            return -1
        memcpy(name, path + start, i - start)
        name[i - start] = 0
        if mkdirat(fd, name, UNFINISHED_MODE if t.kept.follows_umask else 0o700) < 0 and errno != EEXIST:
            return -1
        i += 1
    return 0


cdef int find_directory(tree *t, dir_cache *cache, const char *path, size_t n, size_t n_root, bint creates, int *fd,
                        fast_err *err) noexcept nogil:
    """The directory *path*; the cache keeps the descriptor. Missing: it is created, or fd = -1."""
    fd[0] = open_existing(t, cache, path, n, n_root)
    if fd[0] >= 0 or (errno == ENOENT and not creates):
        return 0
    if errno == ENOENT:
        if make_parents(t, cache, path, n, n_root) < 0:
            return unsafe_or_system(errno, "create directory", err)
        fd[0] = open_existing(t, cache, path, n, n_root)
    return 0 if fd[0] >= 0 else unsafe_or_system(errno, "open directory", err)


cdef int directory_find(tree *t, dir_cache *cache, const entry *e, int *fd, fast_err *err) noexcept nogil:
    cdef char path[MAX_PATH_BYTES + 1]
    if t.target_name[0]:
        return fail(err, FAST_UNSAFE, 0, "path")
    memcpy(path, e.path, e.path_bytes)
    path[e.path_bytes] = 0
    return find_directory(t, cache, path, e.path_bytes, e.root_bytes, False, fd, err)


cdef int directory_finish(tree *t, dir_cache *cache, const entry *e, fast_err *err) noexcept nogil:
    """Everything in the directory is there: create it if nothing was, and set its mode and what else is kept."""
    cdef char path[MAX_PATH_BYTES + 1]
    cdef int fd = -1
    if t.target_name[0]:
        return fail(err, FAST_UNSAFE, 0, "path")  # a file was asked for
    memcpy(path, e.path, e.path_bytes)
    path[e.path_bytes] = 0
    if find_directory(t, cache, path, e.path_bytes, e.root_bytes, True, &fd, err) < 0:
        return -1
    return set_path_attributes(&t.kept, fd, e, err)


# ---- Files ----------------------------------------------------------------------------------------

cdef int split_path(tree *t, const entry *e, char *directory, size_t *n, char *name, fast_err *err) noexcept nogil:
    """Directory and last component of an entry's path below the root."""
    cdef ssize_t slash
    if t.target_name[0]:  # one file, under the name that the user gave
        if e.path_bytes:
            return fail(err, FAST_UNSAFE, 0, "path")
        memcpy(name, t.target_name, strlen(t.target_name) + 1)
        directory[0] = 0
        n[0] = 0
        return 0
    if e.path_bytes == 0:
        return fail(err, FAST_UNSAFE, 0, "path")
    slash = last_slash(e.path, e.path_bytes)
    memcpy(name, e.path + slash + 1, e.path_bytes - slash - 1)
    name[e.path_bytes - slash - 1] = 0
    n[0] = slash if slash > 0 else 0
    memcpy(directory, e.path, n[0])
    directory[n[0]] = 0
    return 0


cdef int file_find(tree *t, dir_cache *cache, const entry *e, char *name, int *dirfd, fast_err *err) noexcept nogil:
    cdef char directory[MAX_PATH_BYTES + 1]
    cdef size_t n = 0
    if split_path(t, e, directory, &n, name, err) < 0:
        return -1
    return find_directory(t, cache, directory, n, e.root_bytes, False, dirfd, err)


cdef void name_temporary(tree *t, char *name) noexcept nogil:
    snprintf(name, TEMP_NAME_BYTES, ".escp-%016llx-%llx.part", <unsigned long long>t.session,
             <unsigned long long>escp_fetch_add(&t.n_temporary, 1))


cdef int file_create(tree *t, dir_cache *cache, const entry *e, bint is_brief, new_file *f,
                     fast_err *err) noexcept nogil:
    cdef char directory[MAX_PATH_BYTES + 1]
    cdef size_t n = 0
    cdef int dirfd = -1
    f.fd = f.dirfd = -1
    f.is_in_place = f.has_temporary_name = f.owns_dirfd = False
    if split_path(t, e, directory, &n, f.name, err) < 0:
        return -1
    if t.in_place_fd >= 0:
        f.is_in_place = True
        f.fd = dup(t.in_place_fd)
        return 0 if f.fd >= 0 else fail(err, FAST_SYS, errno, "open")
    if find_directory(t, cache, directory, n, e.root_bytes, True, &dirfd, err) < 0:
        return -1
    # The kernel applies umask and default ACLs to the source's mode, here as for any new file.
    if not escp_flag(&t.lacks_tmpfile):
        f.fd = openat(dirfd, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, e.mode & FILE_MODE)
        if f.fd < 0 and (errno == EOPNOTSUPP or errno == EISDIR or errno == EINVAL or errno == ENOENT):
            escp_raise_flag(&t.lacks_tmpfile)
    if f.fd < 0 and escp_flag(&t.lacks_tmpfile):
        name_temporary(t, f.temporary)
        f.fd = openat(dirfd, f.temporary, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY | O_CLOEXEC, e.mode & FILE_MODE)
        f.has_temporary_name = f.fd >= 0
    if f.fd < 0:
        return fail(err, FAST_SYS, errno, "create")
    f.dirfd = dirfd
    if not is_brief:  # the cache may drop its own
        f.dirfd = dup(dirfd)
        f.owns_dirfd = True
        if f.dirfd < 0:
            fail(err, FAST_SYS, errno, "create")
            f.dirfd, f.owns_dirfd = dirfd, False
            file_discard(f)
            return -1
        if refuse_itself(f, err) < 0:  # before it is read
            file_discard(f)
            return -1
    return 0


cdef void file_discard(new_file *f) noexcept nogil:
    if f.has_temporary_name:
        unlinkat(f.dirfd, f.temporary, 0)
        f.has_temporary_name = False
    if f.fd >= 0:
        c_close(f.fd)
    if f.owns_dirfd:
        c_close(f.dirfd)
    f.fd = f.dirfd = -1
    f.owns_dirfd = False


cdef int refuse_itself(new_file *f, fast_err *err) noexcept nogil:
    """Whatever path or link leads to it: a source is not replaced by its copy."""
    cdef stat_t there
    if f.source.ino and fstatat(f.dirfd, f.name, &there, 0) == 0 and (
            there.st_ino == f.source.ino and there.st_dev == f.source.dev):
        return fail(err, FAST_SAME_FILE, 0, "create")
    return 0


cdef int inherit(tree *t, new_file *f, fast_err *err) noexcept nogil:
    """Without -p a file that is replaced hands on its mode and owner, as if it had been written over."""
    cdef stat_t old
    if fstatat(f.dirfd, f.name, &old, AT_SYMLINK_NOFOLLOW) < 0:
        return 0
    if refuse_itself(f, err) < 0:
        return -1
    if S_ISDIR(old.st_mode):
        return fail(err, FAST_SYS, EISDIR, "rename")
    if S_ISREG(old.st_mode) and not t.kept.keeps_attributes:
        if not t.kept.keeps_owner:
            fchown(f.fd, old.st_uid, old.st_gid)  # root only; for others the new owner is right
        if not t.kept.keeps_acls and fchmod(f.fd, old.st_mode & FILE_MODE) < 0:
            return fail(err, FAST_SYS, errno, "set mode")
    return 0


cdef int close_checked(new_file *f, fast_err *err) noexcept nogil:
    """Some file systems (NFS, quotas) tell only here that the data did not fit."""
    cdef int rc = c_close(f.fd)
    f.fd = -1
    return 0 if rc == 0 else fail(err, FAST_SYS, errno, "close")


cdef int rename_temporary(new_file *f, fast_err *err) noexcept nogil:
    if renameat(f.dirfd, f.temporary, f.dirfd, f.name) < 0:
        return fail(err, FAST_SYS, errno, "rename")
    f.has_temporary_name = False
    return 0


cdef int link_nameless(tree *t, new_file *f, fast_err *err) noexcept nogil:
    """Name an O_TMPFILE; over an existing name it takes a temporary one and a rename."""
    cdef char by_fd[PROC_PATH_BYTES]
    proc_path(by_fd, f.fd)
    if linkat(AT_FDCWD, by_fd, f.dirfd, f.name, AT_SYMLINK_FOLLOW) == 0:
        return 0
    if errno != EEXIST:
        return fail(err, FAST_SYS, errno, "link")
    if inherit(t, f, err) < 0:
        return -1
    name_temporary(t, f.temporary)
    if linkat(AT_FDCWD, by_fd, f.dirfd, f.temporary, AT_SYMLINK_FOLLOW) < 0:
        return fail(err, FAST_SYS, errno, "link")
    f.has_temporary_name = True
    return rename_temporary(f, err)


cdef int file_commit(tree *t, new_file *f, const entry *e, fast_err *err) noexcept nogil:
    cdef int rc = 0
    if not f.is_in_place:
        rc = set_file_attributes(&t.kept, f.fd, e, err)
    if rc == 0 and f.has_temporary_name:
        rc = inherit(t, f, err)
        if rc == 0:
            rc = close_checked(f, err)
        if rc == 0:
            rc = rename_temporary(f, err)
    elif rc == 0 and not f.is_in_place:
        rc = link_nameless(t, f, err)
    if rc == 0 and f.fd >= 0:
        rc = close_checked(f, err)
    file_discard(f)
    return rc


# ---- The target itself ------------------------------------------------------------------------------

cdef bint is_deadly(int number) noexcept nogil:
    """What a removed directory, a lost server, an ended file system process or a broken disk may answer."""
    return (number == ENOENT or number == EIO or number == ENOTCONN or number == ECONNABORTED or number == ESTALE
            or number == ENODEV or number == ENXIO or number == ESHUTDOWN)


cdef int try_directory(tree *t, int dirfd) noexcept nogil:
    """Make a file there that nobody sees: 0, or an errno."""
    cdef char name[TEMP_NAME_BYTES]
    cdef int fd = -1
    if not escp_flag(&t.lacks_tmpfile):
        fd = openat(dirfd, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0o600)
    if fd < 0:
        name_temporary(t, name)
        fd = openat(dirfd, name, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY | O_CLOEXEC, 0o600)
        if fd < 0:
            return errno
        unlinkat(dirfd, name, 0)
    c_close(fd)
    return 0


cdef int find_death(tree *t, const dir_cache *cache, const entry *e, int number) noexcept nogil:
    cdef int root
    if t.in_place_fd >= 0 or t.root_fd < 0 or not (is_deadly(number) or number == EPERM):
        return 0  # EPERM: what ext4 says of a nameless file in a removed directory
    number = try_directory(t, t.root_fd)
    if number == 0 and e.root_bytes:
        root = find_cached(cache, e.path, e.root_bytes, e.root_bytes)
        if root >= 0:
            number = try_directory(t, root)
    return number if is_deadly(number) else 0
