"""What the kernel says about files is input, too: a file system may run in a user's process, or be changed meanwhile.

Pure. Nothing here trusts an answer: each is bounded before anything becomes an offset, a length or a pointer.
"""

from libc.stdint cimport int64_t, uint8_t, uint64_t

from escp._fast.base.libc cimport dirent64_t, stat_t

# lseek(2) on some file with SEEK_DATA or SEEK_HOLE: where, or -errno.
ctypedef int64_t (*seek_call)(void *file, uint64_t offset, int whence) noexcept nogil


# A piece of a file with holes.
ctypedef struct data_range:
    uint64_t start
    uint64_t n
    uint64_t next_data  # next_range's own: where data goes on, as far as it knows


# Whether an entry can carry its size. Sets times that no entry can carry to ones that it can.
cdef bint bound_status(stat_t *status) noexcept nogil
# The next entry of a listing of n bytes, from at[0] on. 1: here it is, its name is one component and ends with NUL; 0:
# there are no more; -1: this is no listing. FUSE has names of up to 4,095 bytes: who copies one bounds it, or asks for
# the next name.
cdef int next_dirent(const uint8_t *listing, size_t n, size_t *at, const dirent64_t **d) noexcept nogil
# The same without names that are longer than any of escp's, for which nobody need have room. *n_name*: its length,
# MAX_NAME_BYTES at most.
cdef int next_name(const uint8_t *listing, size_t n, size_t *at, const dirent64_t **d, size_t *n_name) noexcept nogil
# As next_dirent, for a list of names that ends at *end*.
cdef int next_attribute(const char **at, const char *end, const char **name) noexcept nogil
# Sets *r* to what is to be sent next, from r.start on; False when nothing is left. It is a range of whole slices (or up
# to the file's end) inside one block, and never empty: from the first slice with data to the last, found with three
# calls. seek: NULL for a file without holes.
cdef bint next_range(seek_call seek, void *file, uint64_t size, uint64_t block, data_range *r) noexcept nogil
