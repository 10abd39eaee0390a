"""What this host lets a session reach and take: the rules of `--restrict` and of the `server:` block of /etc/escp.conf.

They are this process's, set once before there are threads, and nobody who names a path is asked for them: not a config
of a plane, which a peer's order fills. Where none were set, each of these is the plain call, or says yes.

A name is opened first, and then it is asked of the kernel where the descriptor is (/proc/self/fd). So whatever links
lead there, and whoever changes names meanwhile, what is looked at is what is used. A directory or file may be reached
that is an allowed one or below it, and not a denied one or below that. Nobody reaches what copies leave for
themselves: parts, journals, marks, temporary files (they are known by their names).

ERRNO_FORBIDDEN: no system call's; `fail` makes FAST_FORBIDDEN of it.
"""

from libc.stdint cimport uint64_t

from escp._fast.base.libc cimport stat_t
from escp._fast.base.types cimport fast_err


# As openat(2), fstatat(2) and readlinkat(2) without a mode. -1 with errno.
cdef int guarded_openat(int dirfd, const char *path, int flags) noexcept nogil
cdef int guarded_fstatat(int dirfd, const char *path, stat_t *status, int flags) noexcept nogil
cdef ssize_t guarded_readlinkat(int dirfd, const char *path, char *text, size_t n) noexcept nogil
# The descriptor itself, or -1 with errno, and then it is closed; -1 stays that.
cdef int guard_keep(int fd) noexcept nogil
# Whether *name* in that directory ("": the directory itself) may be reached; 0, or -1 with errno.
cdef int guard_name(int dirfd, const char *name) noexcept nogil
# One more name, or file that is removed, and its bytes, count to the ceilings. -1: it is one too many. What is made
# once more, after a stream broke, counts again.
cdef int guard_take(uint64_t n_bytes, fast_err *err) noexcept nogil
cdef int guard_remove(fast_err *err) noexcept nogil
# Whether contents that are here may be read: not where all that a session may do is write (--write-only).
cdef bint guard_reads() noexcept nogil
