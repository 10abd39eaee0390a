"""Why an entry is copied (--itemize): what has its name at the target before."""

from libc.stdint cimport uint8_t

from escp._fast.base.libc cimport stat_t
from escp._fast.crypto.digest cimport digest128
from escp._fast.files.cached cimport dir_cache
from escp._fast.files.tree cimport tree
from escp._fast.wire.payloads cimport entry


# A reason_kind, for a file, link or device, before anything is made of it. A small file's contents, of which *e* has
# the digest, are compared with those of a file of the same size, and so are those of a hard link's file; *buffer* has
# room for SMALL_FILE_BYTES, NULL: they are not. Any thread with its own cache.
cdef int find_reason(tree *t, dir_cache *cache, const entry *e, uint8_t *buffer) noexcept nogil
# The same where it is known what is there; contents are not compared.
cdef int judge(const entry *e, const stat_t *there) noexcept nogil
# The same for a link or device, or a question about one that has its extras: REASON_SAME if it would become what it
# is, with all attributes that are kept.
cdef int judge_node(tree *t, int dirfd, const char *name, const entry *e, const stat_t *there) noexcept nogil
# Of a symbolic link's text; False where it is none. By its digest the two ends of a dry run compare texts.
cdef bint digest_text(int dirfd, const char *name, digest128 *digest) noexcept nogil
