"""Links, hard links and devices below the destination; see nodes.pxd.

A link's text is never looked at: it may be absolute or lead out, and nothing is ever written through it.

Whoever owns the directory may put something else in a new node's place before it has its owner and mode: for example
another name of a file of root's. So owner and mode go to a descriptor, after a look that it is what was just made.
"""

from libc.stdint cimport uint32_t

from escp._fast.base.libc cimport (AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, EEXIST, EISDIR, ENOENT, O_CLOEXEC, O_NOFOLLOW,
                                   O_PATH, S_IFBLK, S_IFCHR, S_IFIFO, S_IFMT, S_ISDIR, S_ISFIFO, c_close, dup, errno,
                                   fstatat, geteuid, linkat, makedev, memcmp, memcpy, mknodat, openat, readlinkat,
                                   renameat, stat_t, strlen, symlinkat, unlinkat)
from escp._fast.base.paths cimport last_slash
from escp._fast.base.types cimport (FAST_FORBIDDEN, FAST_SAME_FILE, FAST_SPECIAL, FAST_SYS, FAST_UNSAFE, MAX_NAME_BYTES,
                                    MAX_PATH_BYTES, clear, fail, fast_err, is_kept)
from escp._fast.files.alike cimport find_own_path, is_alone, own_path
from escp._fast.files.attributes cimport mode_to_make, set_path_attributes
from escp._fast.files.cached cimport dir_cache
from escp._fast.files.durable cimport note_directory
from escp._fast.files.given cimport GIVEN_ALIKE, GIVEN_TAKEN, given_begin, given_end
from escp._fast.files.guard cimport guard_name, guard_take
from escp._fast.files.remains cimport TEMP_NAME_BYTES, name_temporary
from escp._fast.files.tree cimport MODE_UNKNOWN, NOT_MADE, find_directory, find_place, lend_directory, source_id, tree
from escp._fast.wire.extras cimport DEVICE_BLOCK, DEVICE_CHARACTER, extras_view, get_extras
from escp._fast.wire.payloads cimport ENTRY_DEVICE, ENTRY_HARD_LINK, ENTRY_LINK, entry


# What is to be made, ready for the system's calls.
ctypedef struct new_node:
    int kind  # entry_kind
    char text[MAX_PATH_BYTES + 1]  # of a link
    char first[MAX_NAME_BYTES + 1]  # name of a hard link's file
    int first_dirfd
    uint32_t mode  # of a device, with its type
    uint32_t major
    uint32_t minor


cdef int make_at(const new_node *node, int dirfd, const char *name) noexcept nogil:
    if node.kind == ENTRY_LINK:
        return symlinkat(node.text, dirfd, name)
    if node.kind == ENTRY_HARD_LINK:
        return linkat(node.first_dirfd, node.first, dirfd, name, 0)  # a link itself, never what it leads to
    return mknodat(dirfd, name, node.mode, makedev(node.major, node.minor))


cdef bint is_just_made(const tree *t, const new_node *node, int fd) noexcept nogil:
    """Whether the descriptor (O_PATH) is that of the new node, or of one that can't be told from it: of the same type
    with the same text or numbers, under no other name, and ours."""
    cdef char text[MAX_PATH_BYTES + 1]
    cdef stat_t status
    cdef ssize_t n
    if fstatat(fd, "", &status, AT_EMPTY_PATH) < 0 or status.st_nlink > 1:  # some file systems count none
        return False
    if t.kept.keeps_owner and status.st_uid != geteuid():  # without keeps_owner a file system may call us otherwise
        return False
    if node.kind == ENTRY_DEVICE:
        return status.st_mode & S_IFMT == node.mode & S_IFMT and (
            S_ISFIFO(status.st_mode) or status.st_rdev == makedev(node.major, node.minor))
    n = readlinkat(fd, "", text, sizeof(text))  # fails where it is no link
    # Some file systems translate texts; times alone do no harm to another link.
    return n >= 0 and (not t.kept.keeps_owner or (
        n == <ssize_t>strlen(node.text) and memcmp(text, node.text, n) == 0))


cdef int finish_at(tree *t, const new_node *node, const entry *e, int dirfd, const char *name,
                   fast_err *lacks, fast_err *err) noexcept nogil:
    """Owner, mode and times of a link or device; a hard link shares those of its file."""
    cdef int fd
    if node.kind == ENTRY_HARD_LINK or not (t.kept.keeps_owner or t.kept.keeps_attributes):
        return 0
    fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC)
    if fd < 0:
        return fail(err, FAST_SYS, errno, "create")
    if not is_just_made(t, node, fd):
        fail(err, FAST_UNSAFE, 0, "create")
    else:
        set_path_attributes(&t.kept, fd, e, lacks)
    c_close(fd)
    return -1 if err.code else 0


cdef int place(tree *t, const new_node *node, const entry *e, const source_id *source, int dirfd, const char *name,
               size_t n_directory, int given, fast_err *lacks, fast_err *err) noexcept nogil:
    """Make it under its name if that is free; else under a temporary name, and rename it."""
    cdef char temporary[TEMP_NAME_BYTES]
    cdef const char *made = name
    cdef stat_t old
    cdef int rc = make_at(node, dirfd, name)
    if rc < 0 and lend_directory(t, dirfd, e.path, n_directory, e.root_bytes):
        rc = make_at(node, dirfd, name)
    if rc < 0 and errno == EEXIST:
        if fstatat(dirfd, name, &old, AT_SYMLINK_NOFOLLOW) == 0:
            if S_ISDIR(old.st_mode):
                return fail(err, FAST_SYS, EISDIR, "rename")
            if source.ino and old.st_ino == source.ino and old.st_dev == source.dev:
                return fail(err, FAST_SAME_FILE, 0, "create")
            if given == GIVEN_ALIKE and is_alone(t, e):
                return fail(err, FAST_SYS, EEXIST, "name")
        name_temporary(&t.id, temporary)
        made = temporary
        rc = make_at(node, dirfd, made)
    if rc < 0:
        return fail(err, FAST_SYS, errno, "create")
    rc = finish_at(t, node, e, dirfd, made, lacks, err)
    if rc == 0 and made == name:
        return 0
    if rc == 0 and renameat(dirfd, temporary, dirfd, name) < 0:
        rc = fail(err, FAST_SYS, errno, "rename")
    if rc < 0 or node.kind == ENTRY_HARD_LINK:  # renaming one name of a file to another of it does nothing
        unlinkat(dirfd, made, 0)
    return rc


cdef int name_node(tree *t, const new_node *node, const entry *e, const source_id *source, int dirfd, const char *name,
                   size_t n_directory, fast_err *err) noexcept nogil:
    cdef own_path own
    cdef fast_err lacks
    cdef int given
    cdef int rc
    find_own_path(t, e, dirfd, name, &own)
    given = given_begin(&t.given, own.path, own.n)
    if given == GIVEN_TAKEN:
        return fail(err, FAST_SYS, EEXIST, "name")
    clear(&lacks)
    rc = place(t, node, e, source, dirfd, name, n_directory, given, &lacks, err)
    given_end(&t.given, own.path, own.n, rc == 0)
    if rc == 0 and lacks.code:
        err[0] = lacks
    return rc


cdef int first_find(tree *t, dir_cache *cache, const entry *e, const extras_view *x, char *name, int *dirfd,
                    fast_err *err) noexcept nogil:
    cdef char directory[MAX_PATH_BYTES + 1]
    cdef ssize_t slash = last_slash(x.target, x.n_target)
    cdef size_t n = slash if slash > 0 else 0
    memcpy(name, x.target + slash + 1, x.n_target - slash - 1)
    name[x.n_target - slash - 1] = 0
    memcpy(directory, x.target, n)
    directory[n] = 0
    if find_directory(t, cache, directory, n, e.first_root_bytes, NOT_MADE, dirfd, err) < 0:
        return -1
    if dirfd[0] < 0:
        return fail(err, FAST_SYS, ENOENT, "link")
    return fail(err, FAST_FORBIDDEN, 0, "link") if guard_name(dirfd[0], name) < 0 else 0


cdef int find_first(tree *t, dir_cache *cache, const entry *e, const extras_view *x, new_node *node,
                    fast_err *err) noexcept nogil:
    cdef int dirfd = -1
    if first_find(t, cache, e, x, node.first, &dirfd, err) < 0:
        return -1
    node.first_dirfd = dup(dirfd)  # the cache may close its own for the other directory
    return 0 if node.first_dirfd >= 0 else fail(err, FAST_SYS, errno, "link")


cdef int prepare(tree *t, dir_cache *cache, const entry *e, new_node *node, fast_err *err) noexcept nogil:
    """Refuse what was not asked for; fill *node* with what the system call needs."""
    cdef extras_view x
    cdef uint32_t type
    node.kind = e.kind
    node.first_dirfd = -1
    if t.in_place_fd >= 0 or (e.kind == ENTRY_DEVICE and not t.keeps_devices):
        return fail(err, FAST_SPECIAL, 0, "create")
    if (e.kind == ENTRY_LINK and not t.keeps_links) or (
            e.kind == ENTRY_HARD_LINK and (not t.keeps_hard_links or t.target_name[0])):
        return fail(err, FAST_UNSAFE, 0, "create")
    if get_extras(e.extras, e.extras_bytes, &x, err) < 0:
        return -1
    if e.kind == ENTRY_HARD_LINK:
        return find_first(t, cache, e, &x, node, err)
    if e.kind == ENTRY_LINK:
        memcpy(node.text, x.target, x.n_target)
        node.text[x.n_target] = 0
    else:
        type = S_IFCHR if x.device == DEVICE_CHARACTER else S_IFBLK if x.device == DEVICE_BLOCK else S_IFIFO
        node.mode = type | mode_to_make(&t.kept, e)
        node.major, node.minor = x.major, x.minor
    return 0


cdef int make_node(tree *t, dir_cache *cache, const entry *e, const source_id *source, fast_err *err) noexcept nogil:
    cdef char directory[MAX_PATH_BYTES + 1]
    cdef char name[MAX_NAME_BYTES + 1]
    cdef new_node node
    cdef size_t n = 0
    cdef int dirfd = -1
    if prepare(t, cache, e, &node, err) < 0:
        return -1
    if guard_take(0, err) == 0 and find_place(t, cache, e, MODE_UNKNOWN, directory, &n, name, &dirfd, err) == 0:
        name_node(t, &node, e, source, dirfd, name, n, err)
        note_directory(&t.durable, NULL, dirfd)
    if node.first_dirfd >= 0:
        c_close(node.first_dirfd)
    return 0 if is_kept(err.code) else -1
