"""What a received file or directory gets besides its contents: owner, extended attributes, ACLs, mode, times.

In this order: a change of owner takes setuid bits and capabilities away, and an ACL changes the mode.
"""

from libc.stdint cimport uint32_t

from escp._fast.base.libc cimport stat_t
from escp._fast.base.types cimport fast_err
from escp._fast.files.owners cimport owner_cache
from escp._fast.wire.payloads cimport entry

cdef enum:
    PROC_PATH_BYTES = 32
    FULL_MODE = 0o7777  # all that a mode can hold
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
    uint32_t copied  # of *adds* only what user (1), group (2) or others (3) may by then; 0: all of it
    bint takes  # what would come goes instead


# Which attributes are wanted, and what setting them needs to know.
ctypedef struct kept_attributes:
    bint keeps_attributes  # -p: times and modes
    bint keeps_owner
    bint keeps_xattrs
    bint keeps_acls
    bint follows_umask  # new directories are as mkdir makes them; otherwise as scp makes them at the other host
    uint32_t umask
    bint is_root
    mode_rule rules[MAX_MODE_RULES]
    int n_rules
    owner_cache owners


cdef void kept_open(kept_attributes *k) noexcept nogil
cdef void kept_close(kept_attributes *k) noexcept nogil
# Rules as the protocol has them (3.2, `mode_rules`). ValueError: that is not one.
cdef int kept_rules(kept_attributes *k, list rules) except -1
# What the mode of a new file, link or device is made of, before umask and ACLs.
cdef uint32_t mode_to_make(const kept_attributes *k, const entry *e) noexcept nogil
cdef uint32_t mode_to_begin(const kept_attributes *k, const entry *e) noexcept nogil  # of a directory
# Sets all wanted attributes of an open file. *lacks* says what could not be set: the file is kept without it.
cdef void set_file_attributes(kept_attributes *k, int fd, const entry *e, fast_err *lacks) noexcept nogil
# The same for a directory, link or device (as the entry says) opened with O_PATH. A directory's mode is always set.
# Nothing here goes by a name: who owns a directory may change what its names lead to.
cdef void set_path_attributes(kept_attributes *k, int fd, const entry *e, fast_err *lacks) noexcept nogil
# Whether the link or device *there* has all that set_path_attributes would give it for *e*, its access time aside.
cdef bint has_path_attributes(kept_attributes *k, const entry *e, const stat_t *there) noexcept nogil
# Gives *mode* to a directory that was just made here (opened with O_PATH), whatever umask and ACLs have left of it. -1
# with errno.
cdef int set_unfinished(int fd, uint32_t mode) noexcept nogil
# The mode that mkdir(2) would have given the new directory *path* for *mode*. If the directory above has a default ACL,
# *path* has got the same: that counts then in place of the umask.
cdef uint32_t limit_new(const char *path, uint32_t mode, uint32_t umask) noexcept nogil
# fchmod(2). Where modes can't be set a file that has that mode already will do. -1 with errno.
cdef int set_mode(int fd, uint32_t mode) noexcept nogil
# *fd* is to take the place of the file *name*: gives it that file's ACL, or none if it has none. -1 with errno.
cdef int hand_on_acl(int fd, int dirfd, const char *name) noexcept nogil
cdef void proc_path(char *out, int fd) noexcept nogil  # PROC_PATH_BYTES
