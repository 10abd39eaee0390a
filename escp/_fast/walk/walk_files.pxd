"""What a walker does with the names it has found: opens the files, reads the links, and queues them to be sent.

Opened small files are announced to the kernel at once (readahead), so that by the time a stream reads them the
disk has worked on many of them in parallel. All of it is called by walkers' threads, without the state's lock.

*dirfd*, *path*: where the name is, as for openat(2). *dir*, *name*: its directory and its name there, "" for a
source that the user named.
"""

from libc.stdint cimport uint64_t

from escp._fast.base.libc cimport stat_t
from escp._fast.send.below cimport root_way
from escp._fast.send.send_state cimport dir_node, send_state


# Report and count the failure of one name on this side.
cdef void tell(send_state *s, dir_node *dir, const char *name, int code, int sys_errno,
               const char *where) noexcept nogil
# In a dry run: this would be copied. kind: of wire.pxd.
cdef void list_name(send_state *s, dir_node *dir, const char *name, int kind, uint64_t size) noexcept nogil
# What is copied without contents: links where they are not followed, devices if they are sent. Sockets never are.
cdef bint is_node(send_state *s, const stat_t *status) noexcept nogil
# Does not wait for the other end of a fifo.
cdef int open_flags(send_state *s) noexcept nogil
# Of a size that the user did not want; files below these bounds don't fail, they are left out.
cdef bint is_out_of_bounds(const send_state *s, uint64_t size) noexcept nogil

# Queue one, or report why not; all take over a reference to *dir*, and may wait for room. take_opened: the file is
# open, and *fd* is taken over; -1 with errno where it could not be.
cdef void take_file(send_state *s, int dirfd, const char *path, dir_node *dir, const char *name) noexcept nogil
cdef void take_opened(send_state *s, int fd, dir_node *dir, const char *name) noexcept nogil
# Whatever it is: a file, link or device.
cdef void take_name(send_state *s, int dirfd, const char *path, dir_node *dir, const char *name) noexcept nogil
# The same, its directory not being open.
cdef void take_below(send_state *s, root_way *way, dir_node *dir, const char *name, size_t n_name) noexcept nogil
cdef void take_node(send_state *s, int dirfd, const char *path, dir_node *dir, const char *name,
                    const stat_t *status) noexcept nogil
