"""What a received file or directory gets besides its contents: owner, extended attributes, ACLs, mode, times.

In this order: a change of owner takes setuid bits and capabilities away, and an ACL changes the mode.
"""

from libc.stdint cimport uint32_t

from escp._fast.base.types cimport fast_err
from escp._fast.files.owners cimport owner_cache
from escp._fast.wire.payloads cimport entry

cdef enum:
    PROC_PATH_BYTES = 32
    FILE_MODE = 0o777  # scp takes no more of a file's mode, with -p or without
    DIRECTORY_MODE = 0o1777
    MAX_MODE_RULES = 64
    UNFINISHED_MODE = 0o1700  # of a directory that was made here and waits for its own entry


# One clause of --chmod: of a mode the bits of *keeps* stay, then those of *adds* come.
ctypedef struct mode_rule:
    uint32_t keeps
    uint32_t adds
    bint is_for_directories
    bint is_for_others  # that are no directories
    bint needs_execute  # X: no execute bits for what is no directory and has none


# What of it is wanted, and what this process has to do with it.
ctypedef struct kept_attributes:
    bint keeps_attributes  # -p: times and modes
    bint keeps_owner
    bint keeps_xattrs
    bint keeps_acls
    bint follows_umask  # directories are the user's own, made here; else as scp makes them on the other host
    uint32_t umask
    bint is_root
    mode_rule rules[MAX_MODE_RULES]
    int n_rules
    owner_cache owners


cdef void kept_open(kept_attributes *k) noexcept nogil
cdef void kept_close(kept_attributes *k) noexcept nogil
# Rules as the protocol has them (3.2, `mode_rules`): ValueError for what is none.
cdef int kept_rules(kept_attributes *k, list rules) except -1
# What the mode of a new file, link or device is made of, before umask and ACLs.
cdef uint32_t mode_to_make(const kept_attributes *k, const entry *e) noexcept nogil
cdef uint32_t mode_to_begin(const kept_attributes *k, const entry *e) noexcept nogil  # of a directory
# Everything that was asked for, for a file's own descriptor. *lacks*: what can't be set, which ends nothing.
cdef void set_file_attributes(kept_attributes *k, int fd, const entry *e, fast_err *lacks) noexcept nogil
# The same for a directory, link or device (the entry's kind) opened with O_PATH. Of a directory the mode is always
# set. Nothing here goes by a name: who owns a directory may change what its names lead to.
cdef void set_path_attributes(kept_attributes *k, int fd, const entry *e, fast_err *lacks) noexcept nogil
# A directory that was just made here, opened with O_PATH, gets *mode* whatever umask and ACLs left of that. -1 with
# errno.
cdef int set_unfinished(int fd, uint32_t mode) noexcept nogil
# The mode that the kernel would have given the new directory *path*, if it had been asked for *mode*: a default ACL
# above it, which it has from there as its own, counts in place of the umask.
cdef uint32_t limit_new(const char *path, uint32_t mode, uint32_t umask) noexcept nogil
# fchmod(2), content with a file that has that mode where none can be set. -1 with errno.
cdef int set_mode(int fd, uint32_t mode) noexcept nogil
# The file *name*'s ACL, or that it has none, for the file that is to take its place, whose descriptor is *fd*. -1 with
# errno.
cdef int hand_on_acl(int fd, int dirfd, const char *name) noexcept nogil
cdef void proc_path(char *out, int fd) noexcept nogil  # PROC_PATH_BYTES
