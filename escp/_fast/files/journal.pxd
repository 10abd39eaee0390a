"""The journal beside a part (parts.pxd): which blocks of a large file are there, and of which source they are.

    header   the source: size, times, inode; the command it was copied by; the block; who writes; a sum of all that
    record   number of a block, its digest, a sum of both; one for each block that has been written, in any order

It is never synced, and nobody believes it: the blocks are read and compared with it, and then with the sender's own.
A cut last record, and one of zeroes (room that a killed thread had taken), are skipped; a damaged one ends it.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from escp._fast.crypto.digest cimport digest128
from escp._fast.files.remains cimport copy_identity


# Of which file, copied by which command, a part is.
ctypedef struct part_source:
    digest128 job
    uint64_t size
    uint64_t ino
    uint64_t block
    int64_t mtime_s
    int64_t ctime_s
    uint32_t mtime_ns
    uint32_t ctime_ns


ctypedef struct journal:
    int fd  # -1: there is none
    uint64_t at  # where the next record goes
    uint64_t seed


# Blocks of a part, by number. What none has: a digest of ones only.
ctypedef struct kept_blocks:
    digest128 *digests  # to be freed; NULL: no block is kept
    uint64_t n  # that there is room for


cdef bint is_block_kept(const kept_blocks *kept, uint64_t number) noexcept nogil
cdef void forget_block(kept_blocks *kept, uint64_t number) noexcept nogil
# Room for the file's blocks, none of which is kept yet; *kept* has none. False: there is no memory, or all files of the
# process have as much of it as they may: a peer chooses their sizes.
cdef bint kept_open(kept_blocks *kept, uint64_t size, uint64_t block) noexcept nogil
cdef void kept_close(kept_blocks *kept) noexcept nogil
# Begins the empty file j.fd. False: it can't be written.
cdef bint journal_begin(journal *j, const part_source *source, const copy_identity *writer,
                        uint64_t seed) noexcept nogil
# Who wrote to it last; pid 0: it does not say.
cdef void journal_writer(const journal *j, copy_identity *writer) noexcept nogil
# Whether it is of a copy by that command.
cdef bint journal_is_of(const journal *j, const digest128 *job) noexcept nogil
# Reads the journal of that source into *kept*, and makes it *writer*'s. NULL; or a word on why none of it counts.
cdef const char *journal_read(journal *j, const part_source *source, const copy_identity *writer,
                              kept_blocks *kept) noexcept nogil
# The block is in the part. Any thread.
cdef void journal_add(journal *j, uint64_t number, const digest128 *digest) noexcept nogil
# No block is in the part any more.
cdef void journal_forget(journal *j) noexcept nogil
cdef bint journal_has_blocks(const journal *j) noexcept nogil
