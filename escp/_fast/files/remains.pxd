"""Temporary files that a killed copy has left, where the file system has no nameless ones: found by their names.

    .escp-OOOOOOOORRRRRRRR-PID-START-N.part      all hexadecimal

O says who: this boot of this host, its name space of processes, and the user. R is random, START when the process
began. So whether it still runs can be told where O is one's own; what others have left is left alone.
"""

from libc.stdint cimport uint64_t

cdef enum:
    TEMP_NAME_BYTES = 80


ctypedef struct copy_identity:
    uint64_t session  # O and R
    uint64_t pid  # 0: nothing is known, and nothing removed
    uint64_t start
    uint64_t n_names


cdef void make_identity(copy_identity *id)
cdef bint is_of_host(const copy_identity *own, const copy_identity *other) noexcept nogil  # and of the user, as O says
cdef bint is_dead(uint64_t pid, uint64_t start) noexcept nogil  # of this host
cdef void name_temporary(copy_identity *id, char *name) noexcept nogil  # TEMP_NAME_BYTES
# Removes from the directory what dead copies of this user and host have left; *own_fd*: a file of this one there.
cdef void remove_remains(const copy_identity *id, int dirfd, int own_fd) noexcept nogil
