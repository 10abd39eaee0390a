"""Giving files their names; see commit.pxd."""

from libc.stdint cimport uint64_t

from escp._fast.base.libc cimport (AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_FOLLOW, AT_SYMLINK_NOFOLLOW, EEXIST, EISDIR,
                                   ENOENT, ESTALE, O_CLOEXEC, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK, O_RDWR, O_WRONLY,
                                   S_ISDIR, S_ISREG, c_close, dup, errno, escp_flag, escp_raise_flag, fchown, fstat,
                                   fstatat, ftruncate, linkat, openat, renameat, stat_t, unlinkat)
from escp._fast.base.types cimport (FAST_SAME_FILE, FAST_SYS, LACKS_ACL, LACKS_MODE, clear, fail, fast_err, lack)
from escp._fast.files.alike cimport find_own_path, is_alone, own_path
from escp._fast.files.attributes cimport (FILE_MODE, PROC_PATH_BYTES, hand_on_acl, proc_path, set_file_attributes,
                                          set_mode)
from escp._fast.files.cached cimport dir_cache
from escp._fast.files.durable cimport note_directory, sync_again
from escp._fast.files.given cimport GIVEN_ALIKE, GIVEN_TAKEN, given_begin, given_end
from escp._fast.files.parts cimport part_clear, part_rename
from escp._fast.files.remains cimport name_temporary
from escp._fast.files.stamps cimport stamp_of
from escp._fast.files.tree cimport file_create, file_discard, file_find, keep_directory, new_file, refuse_itself, tree
from escp._fast.wire.payloads cimport entry


cdef int open_over(tree *t, int dirfd, const entry *e, new_file *f, fast_err *err) noexcept nogil:
    """The regular file that has the name, to be written into; f.fd stays -1 where none has. What is in it is lost from
    its first new byte on, so it must be nobody's who has just got it."""
    cdef stat_t status
    cdef int way = O_RDWR if t.reads_back else O_WRONLY
    cdef own_path own
    cdef int given
    if fstatat(dirfd, f.name, &status, AT_SYMLINK_NOFOLLOW) < 0 or not S_ISREG(status.st_mode):
        return 0
    find_own_path(t, e, dirfd, f.name, &own)
    given = given_begin(&t.given, own.path, own.n)
    if given == GIVEN_TAKEN:
        return fail(err, FAST_SYS, EEXIST, "name")
    if given == GIVEN_ALIKE and is_alone(t, e):
        fail(err, FAST_SYS, EEXIST, "name")
    else:
        f.fd = openat(dirfd, f.name, way | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
        if f.fd < 0:
            fail(err, FAST_SYS, errno, "open")
        elif fstat(f.fd, &status) < 0 or not S_ISREG(status.st_mode):
            fail(err, FAST_SYS, ESTALE, "open")
        elif f.source.ino and status.st_ino == f.source.ino and status.st_dev == f.source.dev:
            fail(err, FAST_SAME_FILE, 0, "create")
    given_end(&t.given, own.path, own.n, err.code == 0)
    f.is_over = err.code == 0
    if err.code and f.fd >= 0:
        c_close(f.fd)
        f.fd = -1
    return -1 if err.code else 0


cdef int begin_over(tree *t, dir_cache *cache, const entry *e, bint is_brief, new_file *f,
                    fast_err *err) noexcept nogil:
    cdef int dirfd = -1
    f.fd = f.dirfd = -1
    f.system = NULL
    f.is_in_place = f.is_over = f.is_part = f.has_temporary_name = f.owns_dirfd = False
    if file_find(t, cache, e, f.name, &dirfd, err) < 0 or (dirfd >= 0 and open_over(t, dirfd, e, f, err) < 0):
        return -1
    return keep_directory(t, f, dirfd, is_brief, err) if f.fd >= 0 else file_create(t, cache, e, is_brief, f, err)


cdef int file_begin(tree *t, dir_cache *cache, const entry *e, bint is_brief, new_file *f,
                    fast_err *err) noexcept nogil:
    cdef int done
    if t.overwrites and t.in_place_fd < 0:
        done = begin_over(t, cache, e, is_brief, f, err)
    else:
        done = file_create(t, cache, e, is_brief, f, err)
    if done == 0 and not is_brief and f.wish == NULL and not f.is_in_place:
        part_clear(t, f, e)
    return done


cdef int inherit(tree *t, new_file *f, const entry *e, int given, fast_err *lacks, fast_err *err) noexcept nogil:
    """Look at what has the name. Without -p a file that is replaced hands on its mode, ACL and owner, as if it had
    been written over."""
    cdef stat_t old
    if fstatat(f.dirfd, f.name, &old, AT_SYMLINK_NOFOLLOW) < 0:
        return 0
    if refuse_itself(f, err) < 0:
        return -1
    if S_ISDIR(old.st_mode):
        return fail(err, FAST_SYS, EISDIR, "rename")
    if given == GIVEN_ALIKE and is_alone(t, e):
        return fail(err, FAST_SYS, EEXIST, "name")
    if S_ISREG(old.st_mode) and not t.kept.keeps_attributes:
        if not t.kept.keeps_owner:
            fchown(f.fd, old.st_uid, old.st_gid)  # root only; for others the new owner is right
        if not t.kept.keeps_acls and hand_on_acl(f.fd, f.dirfd, f.name) < 0:
            lack(lacks, LACKS_ACL, errno)
        if not t.kept.keeps_acls and set_mode(f.fd, old.st_mode & FILE_MODE) < 0:
            lack(lacks, LACKS_MODE, errno)
        if sync_again(&t.durable, f.system, f.fd) < 0:
            return fail(err, FAST_SYS, errno, "fsync")
    return 0


cdef int close_checked(new_file *f, fast_err *err) noexcept nogil:
    """Some file systems (NFS, quotas) tell only here that the data did not fit."""
    cdef int rc = c_close(f.fd)
    f.fd = -1
    return 0 if rc == 0 else fail(err, FAST_SYS, errno, "close")


cdef int rename_temporary(new_file *f, fast_err *err) noexcept nogil:
    if (part_rename(f) if f.is_part else renameat(f.dirfd, f.temporary, f.dirfd, f.name)) < 0:
        return fail(err, FAST_SYS, errno, "rename")
    f.is_part = f.has_temporary_name = False
    return 0


cdef int close_and_rename(new_file *f, fast_err *err) noexcept nogil:
    cdef int held = dup(f.fd) if f.is_part else -1  # its lock, until it has its name
    cdef int rc = close_checked(f, err)
    if rc == 0:
        rc = rename_temporary(f, err)
    if held >= 0:
        c_close(held)
    return rc


cdef int link_open(tree *t, const new_file *f, const char *name) noexcept nogil:
    """Give an open file *name* in its directory; -1 with errno.

    By its descriptor alone it costs 3.5 us less, of 40 for a small file, than by the path in /proc. That takes
    CAP_DAC_READ_SEARCH before Linux 6.10, and is refused with ENOENT, which a directory that is gone gives, too.
    """
    cdef char by_fd[PROC_PATH_BYTES]
    cdef int done
    if not escp_flag(&t.lacks_link_by_fd):
        done = linkat(f.fd, "", f.dirfd, name, AT_EMPTY_PATH)
        if done == 0 or errno != ENOENT:
            return done
    proc_path(by_fd, f.fd)
    done = linkat(AT_FDCWD, by_fd, f.dirfd, name, AT_SYMLINK_FOLLOW)
    if done == 0:
        escp_raise_flag(&t.lacks_link_by_fd)
    return done


cdef int link_nameless(tree *t, new_file *f, const entry *e, int given, fast_err *lacks,
                       fast_err *err) noexcept nogil:
    """Name an O_TMPFILE; over an existing name it takes a temporary one and a rename."""
    if link_open(t, f, f.name) == 0:
        return 0
    if errno != EEXIST:
        return fail(err, FAST_SYS, errno, "link")
    if inherit(t, f, e, given, lacks, err) < 0:
        return -1
    name_temporary(&t.id, f.temporary)
    if link_open(t, f, f.temporary) < 0:
        return fail(err, FAST_SYS, errno, "link")
    f.has_temporary_name = True
    return rename_temporary(f, err)


cdef int name_file(tree *t, new_file *f, const entry *e, fast_err *lacks, fast_err *err) noexcept nogil:
    cdef own_path own
    cdef int given
    cdef int rc
    find_own_path(t, e, f.dirfd, f.name, &own)
    given = given_begin(&t.given, own.path, own.n)
    if given == GIVEN_TAKEN:
        return fail(err, FAST_SYS, EEXIST, "name")
    if f.has_temporary_name:
        rc = inherit(t, f, e, given, lacks, err)
        if rc == 0:
            rc = close_and_rename(f, err)
    else:
        rc = link_nameless(t, f, e, given, lacks, err)
    given_end(&t.given, own.path, own.n, rc == 0)
    return rc


cdef int file_dress(tree *t, new_file *f, const entry *e, fast_err *lacks, fast_err *err) noexcept nogil:
    if f.is_over and ftruncate(f.fd, e.size) < 0:  # it may have been longer
        return fail(err, FAST_SYS, errno, "truncate")
    if f.is_part and set_mode(f.fd, f.final_mode) < 0:
        lack(lacks, LACKS_MODE, errno)
    if not f.is_in_place:
        set_file_attributes(&t.kept, f.fd, e, lacks)
    return 0


cdef void take_name_back(const new_file *f, const entry *e) noexcept nogil:
    """Of a nameless file that turned out not to be whole when it was closed, unless another has the name by now."""
    cdef stat_t there
    if (fstatat(f.dirfd, f.name, &there, AT_SYMLINK_NOFOLLOW) == 0 and S_ISREG(there.st_mode)
            and there.st_nlink == 1 and <uint64_t>there.st_size == e.size):
        unlinkat(f.dirfd, f.name, 0)


cdef int file_place(tree *t, new_file *f, const entry *e, fast_err *lacks, fast_err *err) noexcept nogil:
    cdef stat_t status
    cdef int rc = 0
    f.stamp = 0
    if t.tells_stamps and not f.is_in_place and fstat(f.fd, &status) == 0:  # a name changes nothing of it
        f.stamp = stamp_of(&status)
    if not f.is_in_place and not f.is_over:
        rc = name_file(t, f, e, lacks, err)
    if rc == 0 and f.fd >= 0:
        rc = close_checked(f, err)
        if rc < 0 and not f.is_in_place and not f.is_over:
            take_name_back(f, e)
    if rc == 0 and f.dirfd >= 0:
        note_directory(&t.durable, f.system, f.dirfd)
    file_discard(f)
    if rc == 0 and lacks.code:
        err[0] = lacks[0]
    return rc


cdef int file_commit(tree *t, new_file *f, const entry *e, fast_err *err) noexcept nogil:
    cdef fast_err lacks
    clear(&lacks)
    if file_dress(t, f, e, &lacks, err) < 0:
        file_discard(f)
        return -1
    return file_place(t, f, e, &lacks, err)
