"""Parts of large files; see parts.pxd."""

from libc.stdint cimport int64_t, uint32_t, uint8_t

from escp._fast.base.libc cimport (AT_SYMLINK_NOFOLLOW, EAGAIN, EEXIST, ENOENT, ESTALE, LOCK_EX, LOCK_NB, O_CLOEXEC,
                                   O_CREAT, O_DIRECTORY, O_EXCL, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR,
                                   O_TMPFILE, O_WRONLY, S_ISREG, c_close, dirent64_t, errno, escp_fetch_add, escp_flag,
                                   escp_getdents, escp_set_errno, fchmod, flock, fstat, fstatat, geteuid, memcmp,
                                   memcpy, memset, openat, poll, renameat, snprintf, stat_t, strlen, unlinkat)
from escp._fast.base.paths cimport join_path, last_slash
from escp._fast.base.types cimport MAX_NAME_BYTES, MAX_PATH_BYTES
from escp._fast.crypto.digest cimport digest128, hash_bytes
from escp._fast.files.attributes cimport FILE_MODE, mode_to_make
from escp._fast.files.bounds cimport next_name
from escp._fast.files.given cimport given_has
from escp._fast.files.journal cimport (journal_begin, journal_has_blocks, journal_is_of, journal_read, journal_writer,
                                       kept_close)
from escp._fast.files.remains cimport TEMP_NAME_BYTES, copy_identity, is_dead, is_of_host, name_temporary
from escp._fast.wire.payloads cimport entry

cdef enum:
    ROOM_BYTES = 14  # in front of and behind the file's name
    OTHERS_MAY_WRITE = 0o022
    OLD_FLAGS = O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC
    NEW_FLAGS = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC
    WAIT_MS = 100
    WAITS = 100  # 10 s for the run before, which may be about to end
    LISTING_BYTES = 32768

cdef const char *PART = ".escp-part"
cdef const char *JOURNAL = ".escp-journal"

cdef enum found:
    FOUND_NONE
    FOUND_OLD  # and locked: its run is dead
    FOUND_OTHERS  # to be left alone


cdef void compose_name(char *out, const char *name, const char *ending) noexcept nogil:
    cdef size_t n = strlen(name)
    if n + ROOM_BYTES <= MAX_NAME_BYTES:
        snprintf(out, MAX_NAME_BYTES + 1, ".%s%s", name, ending)
    else:
        snprintf(out, MAX_NAME_BYTES + 1, ".escp-%016llx%s", <unsigned long long>hash_bytes(name, n, 0), ending)


cdef void name_journal(char *out, const char *name) noexcept nogil:
    compose_name(out, name, JOURNAL)


cdef bint is_sound(int fd, stat_t *status) noexcept nogil:
    """A file that only this user has written to, and that has no other name."""
    return (fstat(fd, status) == 0 and S_ISREG(status.st_mode) and status.st_nlink == 1
            and status.st_uid == geteuid() and not status.st_mode & OTHERS_MAY_WRITE)


cdef bint has_name(int dirfd, const char *name, const stat_t *status) noexcept nogil:
    cdef stat_t there
    return (fstatat(dirfd, name, &there, AT_SYMLINK_NOFOLLOW) == 0 and there.st_ino == status.st_ino
            and there.st_dev == status.st_dev)


cdef bint lock(tree *t, int fd, bint waits, bint *is_locked) noexcept nogil:
    """False: another run has it. *is_locked*: whether locks work there at all."""
    is_locked[0] = True
    for _ in range(WAITS):
        if flock(fd, LOCK_EX | LOCK_NB) == 0:
            return True
        if errno != EAGAIN:
            is_locked[0] = False
            return True
        if not waits or (t.is_stopped != NULL and escp_flag(t.is_stopped)):
            break
        poll(NULL, 0, WAIT_MS)
    return False


cdef const char *find_writer(tree *t, const copy_identity *writer) noexcept nogil:
    """Where nothing can be locked: NULL if whoever wrote it is dead, or who may be at it."""
    if writer.pid == 0:
        return NULL
    if not is_of_host(&t.id, writer):
        return "host"
    if not is_dead(writer.pid, writer.start):
        return "in use"
    return NULL


cdef int examine(tree *t, int dirfd, const char *name, new_file *f, bint is_locked) noexcept nogil:
    """The journal beside a part that is locked: f.journal."""
    cdef copy_identity writer
    cdef stat_t there
    f.journal.fd = openat(dirfd, name, OLD_FLAGS)
    if f.journal.fd < 0 and errno != ENOENT:  # without one it was killed in between
        return FOUND_OTHERS
    if f.journal.fd >= 0 and not is_sound(f.journal.fd, &there):
        return FOUND_OTHERS
    f.wish.news = NULL
    if f.journal.fd >= 0 and not is_locked:
        journal_writer(&f.journal, &writer)
        f.wish.news = find_writer(t, &writer)
    return FOUND_OLD if f.wish.news == NULL else FOUND_OTHERS


cdef int find_old(tree *t, int dirfd, const char *journal_name, new_file *f) noexcept nogil:
    """The part that is there: FOUND_OLD with f.fd and f.journal."""
    cdef stat_t status
    cdef bint is_locked = False
    cdef int what = FOUND_OTHERS
    memset(&status, 0, sizeof(status))
    f.journal.fd = -1
    f.fd = openat(dirfd, f.temporary, OLD_FLAGS)
    if f.fd < 0 and errno == ENOENT:
        return FOUND_NONE
    f.wish.news = "foreign"
    if f.fd >= 0 and is_sound(f.fd, &status):
        if not lock(t, f.fd, f.wish.resumes, &is_locked):
            f.wish.news = "in use"
        elif has_name(dirfd, f.temporary, &status):
            what = examine(t, dirfd, journal_name, f, is_locked)
    if f.fd >= 0 and what == FOUND_OTHERS and not has_name(dirfd, f.temporary, &status):
        f.wish.news = NULL
        what = FOUND_NONE  # another run has just ended with it: it has no name any more, or its own one and mode
    if what != FOUND_OLD:
        close_both(f)
    return what


cdef void close_both(new_file *f) noexcept nogil:
    if f.fd >= 0:
        c_close(f.fd)
    if f.journal.fd >= 0:
        c_close(f.journal.fd)
    f.fd = f.journal.fd = -1


cdef uint32_t find_mode(tree *t, int dirfd, const entry *e) noexcept nogil:
    """What umask and default ACLs leave of the entry's mode in this directory."""
    cdef char name[TEMP_NAME_BYTES]
    cdef stat_t status
    cdef uint32_t mode = PART_MODE
    cdef int fd = openat(dirfd, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, mode_to_make(&t.kept, e))
    if fd < 0:
        name_temporary(&t.id, name)
        fd = openat(dirfd, name, NEW_FLAGS, mode_to_make(&t.kept, e))
        if fd >= 0:
            unlinkat(dirfd, name, 0)
    if fd >= 0:
        if fstat(fd, &status) == 0:
            mode = status.st_mode & FILE_MODE
        c_close(fd)
    return mode


cdef bint open_journal(tree *t, int dirfd, new_file *f) noexcept nogil:
    cdef char name[MAX_NAME_BYTES + 1]
    cdef stat_t status
    cdef bint is_orphan
    name_journal(name, f.name)
    f.journal.fd = openat(dirfd, name, NEW_FLAGS, PART_MODE)
    if f.journal.fd < 0 and errno == EEXIST:
        f.journal.fd = openat(dirfd, name, OLD_FLAGS)
        is_orphan = f.journal.fd >= 0 and is_sound(f.journal.fd, &status)
        if f.journal.fd >= 0:
            c_close(f.journal.fd)
        f.journal.fd = -1
        if is_orphan and unlinkat(dirfd, name, 0) == 0:
            f.journal.fd = openat(dirfd, name, NEW_FLAGS, PART_MODE)
    if f.journal.fd >= 0:
        fchmod(f.journal.fd, PART_MODE)  # whatever the umask leaves of it
    if f.journal.fd >= 0 and not journal_begin(&f.journal, &f.wish.source, &t.id,
                                               t.id.session ^ escp_fetch_add(&t.id.n_names, 1)):
        unlinkat(dirfd, name, 0)
        return False
    return f.journal.fd >= 0


cdef bint open_new(tree *t, int dirfd, const entry *e, new_file *f) noexcept nogil:
    cdef stat_t status
    cdef bint is_locked = False
    f.fd = openat(dirfd, f.temporary, NEW_FLAGS, mode_to_make(&t.kept, e))
    if f.fd < 0:
        return False
    if not lock(t, f.fd, False, &is_locked):  # another run was quicker
        close_both(f)
        escp_set_errno(EEXIST)
        return False
    if fstat(f.fd, &status) == 0 and open_journal(t, dirfd, f):
        f.final_mode = status.st_mode & FILE_MODE
        fchmod(f.fd, PART_MODE)
        return True
    unlinkat(dirfd, f.temporary, 0)
    close_both(f)
    escp_set_errno(ENOENT)
    return False


cdef bint take_old(tree *t, int dirfd, const entry *e, new_file *f) noexcept nogil:
    """Whether the copy goes on with the part that was found; f.wish.news: why not."""
    if not f.wish.resumes or f.journal.fd < 0:
        return False
    f.wish.news = journal_read(&f.journal, &f.wish.source, &t.id, &f.wish.kept)
    if f.wish.news != NULL:
        return False
    f.final_mode = find_mode(t, dirfd, e)
    return True


cdef bint is_given_in(tree *t, const char *directory, size_t n, const char *name) noexcept nogil:
    """Whether this copy has brought a file of that name into the directory."""
    cdef char path[MAX_PATH_BYTES + MAX_NAME_BYTES + 2]
    memcpy(path, directory, n)
    n = join_path(path, n, name, strlen(name))
    return given_has(&t.given, path, n)


cdef bint is_given(tree *t, const entry *e, const char *name) noexcept nogil:
    cdef ssize_t n = last_slash(e.path, e.path_bytes)
    return is_given_in(t, e.path, n if n > 0 else 0, name)


cdef void remove_old(int dirfd, const char *journal_name, new_file *f) noexcept nogil:
    unlinkat(dirfd, journal_name, 0)
    unlinkat(dirfd, f.temporary, 0)
    close_both(f)


cdef void part_clear(tree *t, const new_file *f, const entry *e) noexcept nogil:
    cdef char name[MAX_NAME_BYTES + 1]
    cdef part_wish wish
    cdef new_file old
    cdef int what
    memset(&wish, 0, sizeof(wish))
    memset(&old, 0, sizeof(old))
    memcpy(old.name, f.name, strlen(f.name) + 1)
    old.dirfd, old.wish = f.dirfd, &wish
    compose_name(old.temporary, old.name, PART)
    name_journal(name, old.name)
    what = find_old(t, f.dirfd, name, &old)
    if what == FOUND_NONE and examine(t, f.dirfd, name, &old, False) == FOUND_OLD and old.journal.fd >= 0:
        what = FOUND_OLD  # its run was killed when the part had just got its name
    if what != FOUND_OLD or is_given(t, e, old.temporary) or is_given(t, e, name):
        close_both(&old)
    elif old.fd >= 0:
        remove_old(f.dirfd, name, &old)
    else:
        remove_journal(&old)


# ---- Of files that do not come any more ------------------------------------------------------------

cdef bint find_left(tree *t, int dirfd, const char *journal_name, const digest128 *job, new_file *f) noexcept nogil:
    """Whether that journal is of a dead run of the command: f.journal, and f.fd where there is a part with it."""
    cdef size_t n = strlen(journal_name) - strlen(JOURNAL)
    cdef int what
    memcpy(f.temporary, journal_name, n)
    memcpy(f.temporary + n, PART, strlen(PART) + 1)
    what = find_old(t, dirfd, journal_name, f)
    if what == FOUND_NONE:  # it was renamed, or not made yet, when its run was killed
        what = examine(t, dirfd, journal_name, f, False)
    if what == FOUND_OLD and f.journal.fd >= 0 and journal_is_of(&f.journal, job):
        return True
    close_both(f)
    return False


cdef void sweep_one(tree *t, int dirfd, const char *path, size_t n, const char *journal_name, const digest128 *job,
                    parts_left *left) noexcept nogil:
    cdef part_wish wish
    cdef new_file f
    memset(&wish, 0, sizeof(wish))
    memset(&f, 0, sizeof(f))
    f.wish = &wish
    if not find_left(t, dirfd, journal_name, job, &f):
        return
    if is_given_in(t, path, n, journal_name) or is_given_in(t, path, n, f.temporary):
        close_both(&f)  # a file that only has such a name
    elif left == NULL:
        remove_old(dirfd, journal_name, &f)
    else:
        close_both(&f)
        left.tell(left.context, path, n, f.temporary)


cdef void parts_sweep(tree *t, int dirfd, const char *path, size_t n, const digest128 *job,
                      parts_left *left) noexcept nogil:
    cdef uint8_t listing[LISTING_BYTES]
    cdef const dirent64_t *d = NULL
    cdef size_t n_name = 0
    cdef size_t at
    cdef int64_t k = 1
    cdef int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    while fd >= 0 and k > 0:
        k = escp_getdents(fd, listing, LISTING_BYTES)
        at = 0
        while k > 0 and next_name(listing, k, &at, &d, &n_name) > 0:  # no longer one is a journal's
            if (d.d_name[0] == 46 and n_name > strlen(JOURNAL)  # '.'
                    and memcmp(d.d_name + n_name - strlen(JOURNAL), JOURNAL, strlen(JOURNAL)) == 0):
                sweep_one(t, dirfd, path, n, d.d_name, job, left)
    if fd >= 0:
        c_close(fd)


cdef bint part_open(tree *t, int dirfd, const entry *e, new_file *f) noexcept nogil:
    cdef char name[MAX_NAME_BYTES + 1]
    cdef stat_t status
    cdef bint is_there = False
    cdef int what
    compose_name(f.temporary, f.name, PART)
    name_journal(name, f.name)
    f.journal.fd = -1
    if is_given(t, e, f.temporary) or is_given(t, e, name):
        return False
    for _ in range(2):
        is_there = open_new(t, dirfd, e, f)
        if is_there or errno != EEXIST:
            break
        what = find_old(t, dirfd, name, f)
        if what == FOUND_OTHERS:
            break
        is_there = what == FOUND_OLD and take_old(t, dirfd, e, f)
        if is_there:
            break
        if what == FOUND_OLD:  # a dead run's
            remove_old(dirfd, name, f)
    if is_there and fstat(f.fd, &status) == 0:
        f.part.dev, f.part.ino = status.st_dev, status.st_ino
        f.is_part = f.has_temporary_name = True
        return True
    kept_close(&f.wish.kept)
    close_both(f)
    return False


cdef bint is_ours(const new_file *f) noexcept nogil:
    """Whether the part's name is still the part's: a peer may send a file of that name."""
    cdef stat_t there
    return (fstatat(f.dirfd, f.temporary, &there, AT_SYMLINK_NOFOLLOW) == 0 and there.st_ino == f.part.ino
            and there.st_dev == f.part.dev)


cdef void remove_journal(new_file *f) noexcept nogil:
    cdef char name[MAX_NAME_BYTES + 1]
    cdef stat_t status
    name_journal(name, f.name)
    if f.journal.fd >= 0 and fstat(f.journal.fd, &status) == 0 and has_name(f.dirfd, name, &status):
        unlinkat(f.dirfd, name, 0)
    if f.journal.fd >= 0:
        c_close(f.journal.fd)
    f.journal.fd = -1


cdef int part_rename(new_file *f) noexcept nogil:
    if not is_ours(f):
        escp_set_errno(ESTALE)
        return -1
    if renameat(f.dirfd, f.temporary, f.dirfd, f.name) < 0:
        return -1
    remove_journal(f)
    return 0


cdef void part_keep(new_file *f) noexcept nogil:
    if not journal_has_blocks(&f.journal):
        part_remove(f)
    close_both(f)


cdef void part_remove(new_file *f) noexcept nogil:
    if is_ours(f):
        unlinkat(f.dirfd, f.temporary, 0)
    remove_journal(f)
