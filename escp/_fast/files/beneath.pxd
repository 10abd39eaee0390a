"""Opens what lies below a directory, and no link leads out, whoever makes one meanwhile: by openat2(2), or component by
component."""


# Opens *path* below the directory *top* ("": *top* itself), with *flags* as for openat(2). -1 with errno: ELOOP or
# EXDEV if it leads out. follows_links: follows links that stay below *top*. Otherwise, and where there is no openat2,
# no link is followed, not even as the last component. lacks_openat2: a flag, raised by the thread that finds out.
cdef int open_beneath(int top, const char *path, int flags, bint follows_links, int *lacks_openat2) noexcept nogil
# The same; follows links that stay there, and raises the flag *has_followed* if there was one.
cdef int open_noting_links(int top, const char *path, int flags, int *lacks_openat2, int *has_followed) noexcept nogil
