"""--fsync: files and their names outlive a power cut. Small files are synced in batches, never one by one.

    written -> the batch is on the disk (sync_files) -> named -> directories, too (sync_names) -> success is told

One syncfs does for a whole batch; streams that want one while it runs share the next. It is trusted only on file
systems of the kernel that are known to write everything then. On others (NFS, FUSE, Lustre, ...) each file and
directory is synced by itself. syncfs tells of errors since Linux 5.8, and of those of any file: so a file's own error
is asked for at its descriptor, and where syncfs fails each file is synced by itself after all.
"""

from libc.stdint cimport uint64_t

from escp._fast.base.libc cimport pthread_cond_t, pthread_mutex_t
from escp._fast.base.types cimport fast_err

cdef enum:
    MAX_SYSTEMS = 8  # file systems that one copy syncs as a whole; in more than these it syncs one by one
    MAX_DIRTY = 16  # directories that wait for their sync, at most


cdef enum system_kind:
    SYSTEM_MEMORY = 0  # a tmpfs: there is no disk
    SYSTEM_WHOLE = 1  # syncfs is trusted
    SYSTEM_EACH = 2  # each file by itself


ctypedef struct file_system:
    uint64_t dev
    int kind
    int fd  # a directory there, or -1. Opened before anything was written: it is told of all errors since
    bint is_syncing
    uint64_t n_begun  # syncs that have
    uint64_t n_done
    int number  # errno of the first sync that failed: from then on each file is synced by itself


ctypedef struct dirty_directory:
    uint64_t dev
    uint64_t ino
    int fd


# A file that is written and has no name yet.
ctypedef struct unsynced:
    int fd
    file_system *system  # from *meet*
    fast_err err  # a file with an error is not synced


ctypedef struct durable_set:
    bint is_on
    pthread_mutex_t lock  # of all of this; nobody waits while holding it
    pthread_cond_t over  # a sync has ended
    int n
    file_system systems[MAX_SYSTEMS]
    int max_dirty  # set before the first thread; each holds a descriptor
    int n_dirty
    dirty_directory dirty[MAX_DIRTY]
    int number  # errno of the first directory that could not be synced


cdef void durable_open(durable_set *d) noexcept nogil
cdef void durable_free(durable_set *d) noexcept nogil
# The file system of an open directory; to be called before anything is written there. NULL: there are too many, or
# --fsync is off.
cdef file_system *meet(durable_set *d, int dirfd) noexcept nogil
# Brings the contents of n files to the disk; with *is_on* they outlive a power cut. Each file's *err* says why not.
cdef void sync_files(durable_set *d, unsynced *files, int n) noexcept nogil
# To be called when a file's attributes were changed after sync_files.
cdef int sync_again(durable_set *d, const file_system *s, int fd) noexcept nogil
# Names in the directory, or its attributes, have changed: sync_names will sync it.
cdef void note_directory(durable_set *d, const file_system *s, int dirfd) noexcept nogil
# Syncs every directory that was noted, at the end of the copy. *root_fd*: the target, which may be new itself.
cdef int sync_names(durable_set *d, int root_fd, fast_err *err) noexcept nogil
