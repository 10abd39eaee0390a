"""The receiver's file system: everything it creates lies below one directory descriptor.

Paths come from the peer. payloads.pyx has checked their form; here every one is resolved below the root that it belongs
to (roots.pyx), so that links planted before or during the copy, or by an earlier copy, can't lead out of that:

    destination --no link is followed--> the root's directory --openat2(RESOLVE_BENEATH)--> the path's directory

Below the root's descriptor links are followed that stay below it, and none where links are made; without openat2
nothing is followed, component by component. A file has no name until it is whole (O_TMPFILE and linkat), or a
temporary one where the file system can't do that, or where it is to be gone on with when it is cut off (parts.pxd).
"""

from libc.stdint cimport uint32_t, uint64_t

from escp._fast.base.types cimport MAX_NAME_BYTES, fast_err
from escp._fast.files.attributes cimport kept_attributes
from escp._fast.files.cached cimport dir_cache
from escp._fast.files.durable cimport durable_set, file_system
from escp._fast.files.given cimport given_set
from escp._fast.files.journal cimport journal, kept_blocks, part_source
from escp._fast.files.lending cimport lent_set
from escp._fast.files.remains cimport copy_identity
from escp._fast.wire.payloads cimport entry

cdef enum:  # in place of the mode of a directory that may be missing
    MODE_UNKNOWN = -1  # of the source: nobody else may enter the new one
    NOT_MADE = -2


ctypedef struct tree:
    int root_fd
    int in_place_fd  # the target itself when it is a pipe or a device; else -1
    bint overwrites  # --inplace: into the file that has the name, if one has
    kept_attributes kept
    bint keeps_links  # symbolic ones; then none is followed on the way to a file, not even one that stays inside
    bint keeps_hard_links
    bint keeps_devices
    int lacks_openat2  # flags, raised by whichever thread finds out
    int lacks_tmpfile  # nameless files; not on NFS, for one
    int lacks_link_by_fd  # linkat with AT_EMPTY_PATH: not allowed
    int has_aliases  # a link was followed: one directory has two paths
    char target_name[MAX_NAME_BYTES + 1]  # the only name below root_fd that may be written; "" = any
    bint brings_root  # the directory root_fd is itself one that is copied
    bint has_old_root  # and was there before: it keeps its mode
    copy_identity id  # for temporary names
    given_set given
    lent_set lent
    durable_set durable
    bint tells_stamps
    bint reads_back  # --verify: what is written must be readable, too
    const int *is_stopped  # ends waiting; NULL: nothing does
    bint notes_made  # which directories are made, for was_made


# A file, link or device on this host.
ctypedef struct source_id:
    uint64_t dev
    uint64_t ino  # 0: not known
    int reason  # with --itemize the reason_kind of its copy; else 0


# A large file is to be a part (parts.pxd) until it is whole.
ctypedef struct part_wish:
    part_source source
    bint resumes  # an old one is gone on with
    kept_blocks kept  # what it holds; there only if one is gone on with
    const char *news  # NULL, or why there is no part, or not the old one


# A file between its creation and its name.
ctypedef struct new_file:
    int fd
    int dirfd  # its directory
    bint owns_dirfd
    file_system *system  # with --fsync
    bint is_in_place  # a pipe or a device
    bint is_over  # the file that had the name before
    bint has_temporary_name
    source_id source  # where that is on this host; set before file_create, and *wish*
    part_wish *wish  # NULL: no part
    bint is_part  # then *temporary* is its name, and
    journal journal
    source_id part  # itself
    uint64_t stamp  # once it has its name: stamps.pxd; 0: nobody wants to know
    uint32_t final_mode
    char temporary[MAX_NAME_BYTES + 1]
    char name[MAX_NAME_BYTES + 1]


cdef int tree_open(tree *t, uint64_t seed) except -1
cdef void tree_close(tree *t) noexcept nogil
# What was only changed for the time of the copy is as it was. After all threads have ended.
cdef void tree_tidy(tree *t) noexcept nogil
# For nodes.pyx: the directory *path* (n bytes and NUL, of which the first n_root are its root's) in the cache, which
# keeps the descriptor (-1: missing, and NOT_MADE); *mode*: its source's, if it must be made; the directory and the last
# component of an entry's path; whether that directory, of which *errno* says that it may not be written to, has been
# made writable.
cdef int find_directory(tree *t, dir_cache *cache, const char *path, size_t n, size_t n_root, int mode, int *fd,
                        fast_err *err) noexcept nogil
cdef int split_path(tree *t, const entry *e, char *directory, size_t *n, char *name, fast_err *err) noexcept nogil
# Both, and whether this host's rules let that name be made.
cdef int find_place(tree *t, dir_cache *cache, const entry *e, int mode, char *directory, size_t *n, char *name,
                    int *dirfd, fast_err *err) noexcept nogil
cdef bint lend_directory(tree *t, int dirfd, const char *path, size_t n, size_t n_root) noexcept nogil
# Both may be called by any thread with its own cache.
# is_brief: *f* is committed or discarded before the cache is used again, so it may borrow the directory.
cdef int file_create(tree *t, dir_cache *cache, const entry *e, bint is_brief, new_file *f,
                     fast_err *err) noexcept nogil
# The directory is there, with as much of its source's mode as a new one gets here and as lets files be made in it; what
# is missing of that it gets when it is finished, or the copy ends. What fails will fail with what lies in it.
cdef void directory_begin(tree *t, dir_cache *cache, const entry *e) noexcept nogil
cdef int directory_finish(tree *t, dir_cache *cache, const entry *e, fast_err *err) noexcept nogil
# Whether the directory of that entry, which is finished, was made by this copy. Asked once, where notes_made says so.
cdef bint was_made(tree *t, const entry *e) noexcept nogil
# Where the file *e* is or would be: its name, and its directory's descriptor, which is the cache's and is -1 where
# there is no such directory. Nothing is created.
cdef int file_find(tree *t, dir_cache *cache, const entry *e, char *name, int *dirfd, fast_err *err) noexcept nogil
# The same for a directory itself: its descriptor, or -1.
cdef int directory_find(tree *t, dir_cache *cache, const entry *e, int *fd, fast_err *err) noexcept nogil
# The file's directory, from the cache; discards the file where that fails.
cdef int keep_directory(tree *t, new_file *f, int dirfd, bint is_brief, fast_err *err) noexcept nogil
# Fails for a file that is its own source, where that is on this host.
cdef int refuse_itself(new_file *f, fast_err *err) noexcept nogil
cdef void file_discard(new_file *f) noexcept nogil
# The same, but a part stays.
cdef void file_keep(new_file *f) noexcept nogil
