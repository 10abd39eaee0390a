"""--fsync: what was written, and under which name, outlives a power cut. In batches, never one wait a small file.

    written -> all of a batch at the disk (sync_files) -> named -> directories, too (sync_names) -> success is said

One syncfs takes a whole batch, and streams that want one meanwhile share the next. It counts only for file systems
of the kernel's that are known to write everything then; on others (NFS, FUSE, Lustre, ...) each file and directory is
synced by itself. syncfs tells of errors since Linux 5.8 at best, and of anybody's: a file's own error is asked for at
its descriptor, and where syncfs fails each file is synced by itself after all.
"""

from libc.stdint cimport uint64_t

from escp._fast.base.libc cimport pthread_cond_t, pthread_mutex_t
from escp._fast.base.types cimport fast_err

cdef enum:
    MAX_SYSTEMS = 8  # file systems that one copy syncs as a whole; in more than these it syncs one by one
    MAX_DIRTY = 16  # directories that wait for their sync


cdef enum system_kind:
    SYSTEM_MEMORY = 0  # a tmpfs: there is no disk
    SYSTEM_WHOLE = 1
    SYSTEM_EACH = 2


ctypedef struct file_system:
    uint64_t dev
    int kind
    int fd  # a directory there, or -1: opened before anything was written, as errors count from there on
    bint is_syncing
    uint64_t n_begun  # syncs
    uint64_t n_done
    int number  # errno of the first that failed: from then on files are synced one by one


ctypedef struct dirty_directory:
    uint64_t dev
    uint64_t ino
    int fd


# A file that is written and has no name yet.
ctypedef struct unsynced:
    int fd
    file_system *system  # as *meet* said
    fast_err err  # one that has an error is left alone


ctypedef struct durable_set:
    bint is_on
    pthread_mutex_t lock  # of all of this; nothing is waited for under it
    pthread_cond_t over  # a sync is
    int n
    file_system systems[MAX_SYSTEMS]
    int n_dirty
    dirty_directory dirty[MAX_DIRTY]
    int number  # errno of the first directory that could not be synced


cdef void durable_open(durable_set *d) noexcept nogil
cdef void durable_free(durable_set *d) noexcept nogil
# The file system of a directory, by any descriptor of it, before anything is written there; NULL: not remembered.
cdef file_system *meet(durable_set *d, int dirfd) noexcept nogil
# The contents of n files are at the disk, and with *is_on* stay there; *err* of each says why not.
cdef void sync_files(durable_set *d, unsynced *files, int n) noexcept nogil
# The attributes of a file were changed after that.
cdef int sync_again(durable_set *d, const file_system *s, int fd) noexcept nogil
# Names in the directory, or its attributes, have changed: sync_names will see to it.
cdef void note_directory(durable_set *d, const file_system *s, int dirfd) noexcept nogil
# All that was noted, when nothing more is; *root_fd*: the target, which may be new itself.
cdef int sync_names(durable_set *d, int root_fd, fast_err *err) noexcept nogil
