"""What killed copies have left; see remains.pxd."""

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport strtoull

import os

from escp._fast.base.libc cimport (AT_SYMLINK_NOFOLLOW, ENOENT, O_CLOEXEC, O_DIRECTORY, O_RDONLY, S_ISREG, c_close,
                                   c_read, dirent64_t, errno, escp_fetch_add, escp_getdents, fstat, fstatat, memcmp,
                                   openat, snprintf, stat_t, unlinkat)
from escp._fast.crypto.digest cimport hash_bytes
from escp._fast.files.bounds cimport next_name

cdef enum:
    LISTING_BYTES = 32768
    STAT_BYTES = 1024
    OWNER_AT = 6  # behind ".escp-"
    N_OWNER = 8
    N_SESSION = 16
    FIELDS_TO_START = 20  # of /proc/PID/stat behind the name


cdef uint64_t find_start(const char *text, size_t n) noexcept nogil:
    """When a process began, from its /proc/PID/stat; 0: that is none."""
    cdef size_t at = n
    while at and text[at - 1] != 41:  # ')'
        at -= 1
    if at == 0:
        return 0
    for _ in range(FIELDS_TO_START):
        while at < n and text[at] != 32:
            at += 1
        at += 1
    return strtoull(text + at, NULL, 10) if at < n else 0


cdef void make_identity(copy_identity *id):
    id.session = int.from_bytes(os.urandom(4), "big")
    id.pid = id.start = id.n_names = 0
    try:
        with open("/proc/sys/kernel/random/boot_id", "rb") as boot, open("/proc/self/stat", "rb") as status:
            owner = b"%s %s %d" % (boot.read(), os.readlink(b"/proc/self/ns/pid"), os.geteuid())
            text = status.read(STAT_BYTES - 1)
    except OSError:
        return
    id.session |= (hash_bytes(<const char *>owner, len(owner), 0) >> 32) << 32
    id.start = find_start(text, len(text))
    id.pid = os.getpid() if id.start else 0


cdef void name_temporary(copy_identity *id, char *name) noexcept nogil:
    snprintf(name, TEMP_NAME_BYTES, ".escp-%016llx-%llx-%llx-%llx.part", <unsigned long long>id.session,
             <unsigned long long>id.pid, <unsigned long long>id.start,
             <unsigned long long>escp_fetch_add(&id.n_names, 1))


cdef bint is_of_host(const copy_identity *own, const copy_identity *other) noexcept nogil:
    return own.pid != 0 and own.session >> 32 == other.session >> 32


cdef bint is_dead(uint64_t pid, uint64_t start) noexcept nogil:
    cdef char path[64]
    cdef char text[STAT_BYTES]
    cdef ssize_t n
    cdef int fd
    snprintf(path, sizeof(path), "/proc/%llu/stat", <unsigned long long>pid)
    fd = openat(-1, path, O_RDONLY | O_CLOEXEC)
    if fd < 0:
        return errno == ENOENT
    n = c_read(fd, text, STAT_BYTES - 1)
    c_close(fd)
    if n <= 0:
        return False
    text[n] = 0
    return find_start(text, n) != start


cdef bint is_of_dead_copy(const char *own, const char *name, size_t n) noexcept nogil:
    cdef char *at = NULL
    cdef uint64_t pid
    cdef uint64_t start
    if n <= OWNER_AT + N_SESSION + 5 or memcmp(name, own, OWNER_AT + N_OWNER) != 0:
        return False
    if memcmp(name + n - 5, <const char *>".part", 5) != 0 or name[OWNER_AT + N_SESSION] != 45:  # '-'
        return False
    pid = strtoull(name + OWNER_AT + N_SESSION + 1, &at, 16)
    if pid == 0 or at[0] != 45:
        return False
    start = strtoull(at + 1, &at, 16)
    return start != 0 and at[0] == 45 and is_dead(pid, start)


cdef void remove_remains(const copy_identity *id, int dirfd, int own_fd) noexcept nogil:
    cdef uint8_t listing[LISTING_BYTES]
    cdef char own[TEMP_NAME_BYTES]
    cdef copy_identity known
    cdef const dirent64_t *d = NULL
    cdef stat_t ours
    cdef stat_t status
    cdef size_t n_name = 0
    cdef size_t at
    cdef int64_t n
    cdef int fd
    if id.pid == 0 or fstat(own_fd, &ours) < 0:
        return
    fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if fd < 0:
        return
    known.session, known.pid, known.start, known.n_names = id.session, id.pid, id.start, 0  # others count
    name_temporary(&known, own)
    while True:
        n = escp_getdents(fd, listing, LISTING_BYTES)
        if n <= 0:
            break
        at = 0
        while next_name(listing, n, &at, &d, &n_name) > 0:
            if (is_of_dead_copy(own, d.d_name, n_name) and fstatat(fd, d.d_name, &status, AT_SYMLINK_NOFOLLOW) == 0
                    and S_ISREG(status.st_mode) and status.st_nlink == 1 and status.st_uid == ours.st_uid):
                unlinkat(fd, d.d_name, 0)
    c_close(fd)
