"""Creating files and directories below the destination; see tree.pxd."""

from libc.stdint cimport uint32_t, uint64_t

from escp._fast.base.libc cimport (AT_EMPTY_PATH, AT_FDCWD, AT_REMOVEDIR, EACCES, EEXIST, EINVAL, EISDIR, ELOOP, ENOENT,
                                   EOPNOTSUPP, EPERM, EXDEV, O_CLOEXEC, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW,
                                   O_PATH, O_RDWR, O_TMPFILE, O_WRONLY, S_ISGID, c_close, dup, errno, escp_flag,
                                   escp_raise_flag, fchmodat, free, fstatat, memcpy, mkdirat, openat, stat_t, strlen,
                                   unlinkat)
from escp._fast.base.paths cimport SLASH, last_slash
from escp._fast.base.types cimport (FAST_FORBIDDEN, FAST_SAME_FILE, FAST_SYS, FAST_UNSAFE, MAX_PATH_BYTES, clear, fail,
                                    fast_err, is_kept)
from escp._fast.files.attributes cimport (DIRECTORY_MODE, FULL_MODE, PROC_PATH_BYTES, UNFINISHED_MODE, kept_close,
                                          kept_open, limit_new, mode_to_begin, mode_to_make, proc_path,
                                          set_path_attributes, set_unfinished)
from escp._fast.files.beneath cimport open_beneath, open_noting_links
from escp._fast.files.cached cimport MAX_CACHED, cache_close, cache_open, dir_cache, find_cached, keep
from escp._fast.files.durable cimport durable_free, durable_open, meet, note_directory
from escp._fast.files.given cimport given_first, given_free, given_open
from escp._fast.files.guard cimport guard_keep, guard_name, guard_take
from escp._fast.files.lending cimport (OWNER_RIGHTS, give_back, lend, lend_new, lending_close, lending_open,
                                       lent_directory, restore, take_newest)
from escp._fast.files.parts cimport part_keep, part_open, part_remove
from escp._fast.files.remains cimport make_identity, name_temporary, remove_remains
from escp._fast.wire.payloads cimport entry


cdef int tree_open(tree *t, uint64_t seed) except -1:
    kept_open(&t.kept)
    given_open(&t.given, seed)
    lending_open(&t.lent)
    durable_open(&t.durable)
    t.is_stopped = NULL
    make_identity(&t.id)
    return 0


cdef void tree_close(tree *t) noexcept nogil:
    kept_close(&t.kept)
    given_free(&t.given)
    lending_close(&t.lent)
    durable_free(&t.durable)


cdef void tree_tidy(tree *t) noexcept nogil:
    cdef dir_cache cache
    cdef lent_directory *one = take_newest(&t.lent)
    cache_open(&cache, MAX_CACHED)
    while one != NULL:
        restore(one, open_existing(t, &cache, one.path, one.n, one.n_root))  # where it is still there
        free(one)
        one = take_newest(&t.lent)
    cache_close(&cache)


cdef int unsafe_or_system(int number, const char *where, fast_err *err) noexcept nogil:
    """Fail. With EXDEV and ELOOP the kernel says that a path leaves the tree."""
    return fail(err, FAST_UNSAFE if number == EXDEV or number == ELOOP else FAST_SYS, number, where)


# ---- Directories ----------------------------------------------------------------------------------

cdef int open_path(tree *t, int top, const char *path, bint follows_links) noexcept nogil:
    cdef int fd
    if follows_links:
        fd = open_noting_links(top, path, O_PATH | O_DIRECTORY | O_CLOEXEC, &t.lacks_openat2, &t.has_aliases)
    else:
        fd = open_beneath(top, path, O_PATH | O_DIRECTORY | O_CLOEXEC, False, &t.lacks_openat2)
    return guard_keep(fd)


cdef int open_existing(tree *t, dir_cache *cache, const char *path, size_t n, size_t n_root) noexcept nogil:
    """The directory *path* (n bytes and NUL) as an O_PATH descriptor, which the cache keeps, or -1 with errno."""
    cdef char root[MAX_PATH_BYTES + 1]
    cdef int top = t.root_fd
    cdef int fd
    n_root = n_root if n_root < n else n
    fd = find_cached(cache, path, n, n_root)
    if fd >= 0:
        return fd
    if n_root == n:  # the user has said where a root is: no link may lead elsewhere
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


cdef bint is_secret(const tree *t, int mode) noexcept nogil:
    """Whether nobody else may enter the new directory yet, because it is not yet known or set who may."""
    return mode == MODE_UNKNOWN or t.kept.keeps_owner or t.kept.keeps_acls


cdef uint32_t mode_to_ask(const tree *t, int mode) noexcept nogil:
    if is_secret(t, mode):
        return UNFINISHED_MODE if t.kept.follows_umask else 0o700
    return (<uint32_t>mode & DIRECTORY_MODE) | OWNER_RIGHTS


cdef void settle_new(tree *t, int fd, uint32_t asked, int mode, const char *path, size_t n,
                     size_t n_root) noexcept nogil:
    """The directory *fd* was just made here with the mode *asked*, less what the kernel took away. See to it that its
    owner can use it, and that at the end of the copy it has what a new directory gets of its source's *mode*."""
    cdef char by_fd[PROC_PATH_BYTES]
    cdef stat_t status
    cdef uint32_t lasting
    if is_secret(t, mode):
        set_unfinished(fd, asked)
    if mode == MODE_UNKNOWN or fstatat(fd, "", &status, AT_EMPTY_PATH) < 0 or status.st_mode & DIRECTORY_MODE & ~asked:
        return  # as in set_unfinished, it may be another one
    if is_secret(t, mode):
        proc_path(by_fd, fd)
        lasting = limit_new(by_fd, mode & DIRECTORY_MODE, t.kept.umask) | (status.st_mode & S_ISGID)
    else:
        lasting = status.st_mode & FULL_MODE & (<uint32_t>mode | ~<uint32_t>OWNER_RIGHTS)
    if lasting != status.st_mode & FULL_MODE or lasting & OWNER_RIGHTS != OWNER_RIGHTS:
        lend_new(&t.lent, fd, lasting, path, n, n_root)


cdef int make_parents(tree *t, dir_cache *cache, const char *path, size_t n, size_t n_root,
                      int mode, fast_err *err) noexcept nogil:
    """Create what is missing of *path*. *mode*: what is known of the last component's. -1 with errno, or *err*."""
    cdef char upper[MAX_PATH_BYTES + 1]
    cdef char name[MAX_PATH_BYTES + 1]
    cdef size_t i = 0
    cdef size_t start
    cdef size_t n_upper
    cdef uint32_t asked
    cdef int known
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
        known = mode if i == n else MODE_UNKNOWN
        asked = mode_to_ask(t, known)
        if guard_name(fd, name) < 0:
            return -1
        if mkdirat(fd, name, asked) < 0 and not (
                errno == EACCES and lend_directory(t, fd, upper, n_upper, n_root) and mkdirat(fd, name, asked) == 0):
            if errno != EEXIST:
                return -1
        else:  # one that its owner may not enter is of no use; and see set_path_attributes
            if guard_take(0, err) < 0:
                unlinkat(fd, name, AT_REMOVEDIR)
                return -1
            if t.notes_made:
                note_made(t, path, i)
            note_directory(&t.durable, NULL, fd)
            fd = openat(fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
            if fd >= 0:
                settle_new(t, fd, asked, known, path, i, n_root)
                c_close(fd)
        i += 1
    return 0


cdef int find_directory(tree *t, dir_cache *cache, const char *path, size_t n, size_t n_root, int mode, int *fd,
                        fast_err *err) noexcept nogil:
    fd[0] = open_existing(t, cache, path, n, n_root)
    if fd[0] >= 0 or (errno == ENOENT and mode == NOT_MADE):
        return 0
    if errno == ENOENT:
        if make_parents(t, cache, path, n, n_root, mode, err) < 0:
            return unsafe_or_system(errno, "create directory", err)
        fd[0] = open_existing(t, cache, path, n, n_root)
    return 0 if fd[0] >= 0 else unsafe_or_system(errno, "open directory", err)


cdef int directory_find(tree *t, dir_cache *cache, const entry *e, int *fd, fast_err *err) noexcept nogil:
    cdef char path[MAX_PATH_BYTES + 1]
    if t.target_name[0]:
        return fail(err, FAST_UNSAFE, 0, "path")
    memcpy(path, e.path, e.path_bytes)
    path[e.path_bytes] = 0
    return find_directory(t, cache, path, e.path_bytes, e.root_bytes, NOT_MADE, fd, err)


cdef bint note_made(tree *t, const char *path, size_t n) noexcept nogil:
    """The first time of the directory: it goes by its path with a slash, other questions by that without."""
    cdef char key[MAX_PATH_BYTES + 2]
    memcpy(key, path, n)
    key[n] = SLASH
    return given_first(&t.given, key, n + 1)


cdef bint was_made(tree *t, const entry *e) noexcept nogil:
    return t.brings_root and not t.has_old_root if e.path_bytes == 0 else not note_made(t, e.path, e.path_bytes)


cdef void directory_begin(tree *t, dir_cache *cache, const entry *e) noexcept nogil:
    cdef char path[MAX_PATH_BYTES + 1]
    cdef fast_err own
    cdef int fd = -1
    if t.target_name[0] or t.in_place_fd >= 0:
        return
    clear(&own)
    memcpy(path, e.path, e.path_bytes)
    path[e.path_bytes] = 0
    if e.path_bytes:
        find_directory(t, cache, path, e.path_bytes, e.root_bytes, <int>mode_to_begin(&t.kept, e), &fd, &own)
    elif t.brings_root and not t.has_old_root:
        open_root_up(t, <int>mode_to_begin(&t.kept, e))


cdef void open_root_up(tree *t, int mode) noexcept nogil:
    """The target itself was made before its source was known."""
    cdef char by_fd[PROC_PATH_BYTES]
    cdef stat_t status
    cdef uint32_t asked = mode_to_ask(t, mode)
    proc_path(by_fd, t.root_fd)
    if fstatat(t.root_fd, "", &status, AT_EMPTY_PATH) < 0 or status.st_mode & 0o077:
        return  # another stream has told of it
    if not is_secret(t, mode):
        fchmodat(AT_FDCWD, by_fd, limit_new(by_fd, asked, t.kept.umask) | (status.st_mode & S_ISGID), 0)
    settle_new(t, t.root_fd, asked, mode, "", 0, 0)


cdef int directory_finish(tree *t, dir_cache *cache, const entry *e, fast_err *err) noexcept nogil:
    """Everything in the directory is there: create it if nothing was, and set its mode and what else is kept."""
    cdef char path[MAX_PATH_BYTES + 1]
    cdef int fd = -1
    if t.target_name[0]:
        return fail(err, FAST_UNSAFE, 0, "path")  # a file was asked for
    memcpy(path, e.path, e.path_bytes)
    path[e.path_bytes] = 0
    if find_directory(t, cache, path, e.path_bytes, e.root_bytes, <int>mode_to_begin(&t.kept, e), &fd, err) < 0:
        return -1
    give_back(&t.lent, fd)
    set_path_attributes(&t.kept, fd, e, err)
    note_directory(&t.durable, NULL, fd)
    return 0 if is_kept(err.code) else -1


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


cdef int find_place(tree *t, dir_cache *cache, const entry *e, int mode, char *directory, size_t *n, char *name,
                    int *dirfd, fast_err *err) noexcept nogil:
    if split_path(t, e, directory, n, name, err) < 0 or (
            find_directory(t, cache, directory, n[0], e.root_bytes, mode, dirfd, err) < 0):
        return -1
    if dirfd[0] >= 0 and guard_name(dirfd[0], name) < 0:
        return fail(err, FAST_FORBIDDEN, 0, "name")
    return 0


cdef int file_find(tree *t, dir_cache *cache, const entry *e, char *name, int *dirfd, fast_err *err) noexcept nogil:
    cdef char directory[MAX_PATH_BYTES + 1]
    cdef size_t n = 0
    return find_place(t, cache, e, NOT_MADE, directory, &n, name, dirfd, err)


cdef bint lend_directory(tree *t, int dirfd, const char *path, size_t n, size_t n_root) noexcept nogil:
    return (n > 0 or t.brings_root) and lend(&t.lent, dirfd, path, n, n_root)


cdef int create_at(tree *t, int dirfd, const char *directory, size_t n, const entry *e, new_file *f) noexcept nogil:
    """A new file's descriptor, or -1 with errno."""
    cdef uint32_t mode = mode_to_make(&t.kept, e)
    cdef int way = (O_RDWR if t.reads_back else O_WRONLY) | O_CLOEXEC
    if f.wish != NULL and part_open(t, dirfd, e, f):
        return f.fd
    # The kernel applies umask and default ACLs to the source's mode, here as for any new file.
    if not escp_flag(&t.lacks_tmpfile):
        f.fd = openat(dirfd, ".", O_TMPFILE | way, mode)
        if f.fd >= 0 or (errno != EOPNOTSUPP and errno != EISDIR and errno != EINVAL and errno != ENOENT
                         and errno != EPERM):
            return f.fd
        if errno != EPERM:  # ext4 says so of a directory that was removed; of a name there it says the truth
            escp_raise_flag(&t.lacks_tmpfile)
    name_temporary(&t.id, f.temporary)
    f.fd = openat(dirfd, f.temporary, O_CREAT | O_EXCL | O_NOFOLLOW | way, mode)
    f.has_temporary_name = f.fd >= 0
    if f.fd >= 0 and given_first(&t.given, directory, n):
        remove_remains(&t.id, dirfd, f.fd)
    return f.fd


cdef int file_create(tree *t, dir_cache *cache, const entry *e, bint is_brief, new_file *f,
                     fast_err *err) noexcept nogil:
    cdef char directory[MAX_PATH_BYTES + 1]
    cdef size_t n = 0
    cdef int dirfd = -1
    f.fd = f.dirfd = -1
    f.system = NULL
    f.is_in_place = f.is_over = f.is_part = f.has_temporary_name = f.owns_dirfd = False
    if guard_take(e.size, err) < 0:
        return -1
    if t.in_place_fd >= 0:
        if split_path(t, e, directory, &n, f.name, err) < 0:
            return -1
        f.is_in_place = True
        f.fd = dup(t.in_place_fd)
        return 0 if f.fd >= 0 else fail(err, FAST_SYS, errno, "open")
    if find_place(t, cache, e, MODE_UNKNOWN, directory, &n, f.name, &dirfd, err) < 0:
        return -1
    if create_at(t, dirfd, directory, n, e, f) < 0 and not (
            lend_directory(t, dirfd, directory, n, e.root_bytes) and create_at(t, dirfd, directory, n, e, f) >= 0):
        return fail(err, FAST_SYS, errno, "create")
    return keep_directory(t, f, dirfd, is_brief, err)


cdef int keep_directory(tree *t, new_file *f, int dirfd, bint is_brief, fast_err *err) noexcept nogil:
    f.dirfd = dirfd
    f.system = meet(&t.durable, dirfd)
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
    if f.is_part:
        part_remove(f)
    elif f.has_temporary_name:
        unlinkat(f.dirfd, f.temporary, 0)
    f.is_part = f.has_temporary_name = False
    if f.fd >= 0:
        c_close(f.fd)
    if f.owns_dirfd:
        c_close(f.dirfd)
    f.fd = f.dirfd = -1
    f.owns_dirfd = False


cdef void file_keep(new_file *f) noexcept nogil:
    if f.is_part:
        part_keep(f)
        f.is_part = f.has_temporary_name = False
    file_discard(f)


cdef int refuse_itself(new_file *f, fast_err *err) noexcept nogil:
    """Whatever path or link leads to it: a source is not replaced by its copy."""
    cdef stat_t there
    if f.source.ino and fstatat(f.dirfd, f.name, &there, 0) == 0 and (
            there.st_ino == f.source.ino and there.st_dev == f.source.dev):
        return fail(err, FAST_SAME_FILE, 0, "create")
    return 0
