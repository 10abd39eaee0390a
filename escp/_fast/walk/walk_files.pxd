"""What a walker does with the names it has found: opens the files, reads the links, and queues them to be sent.

Opened small files are announced to the kernel at once (readahead), so that by the time a stream reads them the
disk has worked on many of them in parallel. All of it is called by walkers' threads, without the state's lock.

*dirfd*, *path*: where the name is, as for openat(2). *dir*, *name*: its directory and its name there, "" for a
source that the user named.
"""

from libc.stdint cimport uint64_t

from escp._fast.base.libc cimport stat_t
from escp._fast.send.below cimport root_way
from escp._fast.send.send_state cimport dir_node, item, send_state


# Report and count the failure of one name on this side.
cdef void tell(send_state *s, dir_node *dir, const char *name, int code, int sys_errno,
               const char *where) noexcept nogil
# In a dry run: tell that this would be copied. *kind*: an entry_kind of payloads.pxd; *reason*: a reason_kind.
cdef void list_name(send_state *s, dir_node *dir, const char *name, int kind, uint64_t size, int reason) noexcept nogil
# Whether it is copied without contents: a link that is not followed, a device or fifo if these are sent; no socket.
cdef bint is_node(send_state *s, const stat_t *status) noexcept nogil
# Fills the item of a link or device, all but its name and directory; False: its text can't be read, which was told.
cdef bint read_node(send_state *s, int dirfd, const char *path, dir_node *dir, const char *name, const stat_t *status,
                    item *it) noexcept nogil
# With which a source is opened: should it be a fifo, nobody waits for its other end.
cdef int open_flags(send_state *s) noexcept nogil
# Whether --min-size or --max-size leave out files of that size.
cdef bint is_out_of_bounds(const send_state *s, uint64_t size) noexcept nogil

# Each of these queues one name, or reports why not. It takes over a reference to *dir*, and may wait for room.
# take_opened: the file is open, and *fd* is taken over; -1 with errno: it could not be opened.
cdef void take_file(send_state *s, int dirfd, const char *path, dir_node *dir, const char *name) noexcept nogil
cdef void take_opened(send_state *s, int fd, dir_node *dir, const char *name) noexcept nogil
# For whatever has the name: a file, link or device.
cdef void take_name(send_state *s, int dirfd, const char *path, dir_node *dir, const char *name) noexcept nogil
# The same, where the directory is not open.
cdef void take_below(send_state *s, root_way *way, dir_node *dir, const char *name, size_t n_name) noexcept nogil
cdef void take_node(send_state *s, int dirfd, const char *path, dir_node *dir, const char *name,
                    const stat_t *status) noexcept nogil
