"""Opening below a directory, whatever its owner does with links meanwhile: by openat2(2), or component by component."""


# *path* below the directory *top* ("": that itself), opened with *flags* as for openat(2); -1 with errno, which is
# ELOOP or EXDEV where it leads out. follows_links: those that stay below *top*; without, or without openat2, none is
# followed, and the last component may not be one either. lacks_openat2: a flag that any thread may raise here.
cdef int open_beneath(int top, const char *path, int flags, bint follows_links, int *lacks_openat2) noexcept nogil
# The same; links are followed that stay there, which raises the flag *has_followed*.
cdef int open_noting_links(int top, const char *path, int flags, int *lacks_openat2, int *has_followed) noexcept nogil
