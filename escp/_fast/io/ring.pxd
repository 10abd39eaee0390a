"""The buffers of one stream, and what an engine does with them.

A ring belongs to one thread. It owns RING_DEPTH slots; each slot's *data* is page-aligned, with room
before it for a frame's IV word and data header and behind it for the tag, so that a whole frame is
sealed, sent, received and opened where the disk reads and writes.

    slot_read, slot_write -> engine.submit -> READY: nothing has begun, slot_finish will do it
                                           -> PENDING: under way; ring_reap or slot_wait finds it DONE
                                           -> DONE

Each engine is an io_engine in a module of its own. The rest of the code asks what the engine can do, never which one
it is.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from escp._fast.base.types cimport RING_DEPTH, fast_err
from escp._fast.crypto.digest cimport digest128

cdef enum slot_state:
    SLOT_FREE = 0
    SLOT_READY = 1  # to be done by slot_finish, synchronously
    SLOT_PENDING = 2  # being done
    SLOT_DONE = 3


ctypedef struct io_slot:
    uint8_t *data
    void *owner  # the file, for whoever submitted
    const uint8_t *lent  # of a finished read: the contents lie there, not at *data*, until give_back; NULL: at *data*
    void *lender  # the engine's own
    int64_t offset  # in the file
    uint32_t n_bytes  # wanted
    uint32_t n_io  # with O_DIRECT's padding
    int64_t result  # bytes, or -errno
    int fd
    bint is_write
    bint is_direct  # asked for: the engine may do without
    int state
    digest128 digest  # of its contents


ctypedef struct io_ring:
    io_slot slots[RING_DEPTH]
    int depth
    int n_pending
    const io_engine *engine
    bint is_asynchronous  # direct blocks can be pending; an engine may find out with the first one that they can't
    void *own  # the engine's
    void *exchange  # what all rings of a plane share with its engine; NULL: nothing
    const int *is_stopped  # whether the plane is; an engine that waits for others looks at it
    bint is_private  # nothing may be lent: contents are looked at more than once, or their buffer changes hands
    uint8_t *memory


# An engine's module fills its struct when it is loaded; nobody changes it later. All functions but prefetch are for the
# ring's own thread.
ctypedef struct io_engine:
    const char *name  # as in --ioengine
    # What it can do.
    bint has_files  # receivers make files and name them; sources have holes, O_DIRECT, and may change meanwhile
    bint can_clone  # a source's contents may be shared with its copy (FICLONE)
    bint is_asynchronous  # several direct blocks of a ring at a time
    bint takes_blocks  # of what arrives every verified block is submitted, though there are no files
    # What it does.
    # Makes what the engine needs in a ring that has all else; the ring's buffers have n bytes together. NULL: nothing.
    void (*open)(io_ring *ring, size_t n) noexcept nogil
    # Waits until nothing is pending. Where that fails n_pending stays above 0: the kernel may still write to the
    # buffers, which are never freed then. NULL: there is nothing to end.
    void (*close)(io_ring *ring) noexcept nogil
    # A hint: all of the small file *fd* is read soon. Any thread. NULL: it is of no use.
    void (*prefetch)(int fd) noexcept nogil
    # Reads the n bytes of a small file into *to*. Returns how many there were, or -1 with errno.
    int64_t (*read_small)(io_ring *ring, int fd, uint8_t *to, size_t n) noexcept nogil
    # Takes the n bytes of a small file that was verified, if the engine takes_blocks. -1: it can't.
    int (*put_small)(io_ring *ring, const uint8_t *data, size_t n, fast_err *err) noexcept nogil
    # Begins to read or write what the slot says: sets its state, and counts it in n_pending if it is PENDING.
    void (*submit)(io_ring *ring, io_slot *slot) noexcept nogil
    # Waits until *least* pending slots are done (there are at least as many; 0: without waiting), and sets *result* and
    # state of all that are. -1: waiting failed, and would fail again. NULL: no slot is ever pending.
    int (*reap)(io_ring *ring, int least, fast_err *err) noexcept nogil
    # Does at once what is left of a slot: of a READY one everything, of a DONE one what is missing. -1: it can't.
    # It may read another block of the same file than was asked for, and says so in *offset* and *n_bytes*.
    int (*finish)(io_ring *ring, io_slot *slot, fast_err *err) noexcept nogil
    # What was lent is needed no more. NULL: nothing ever is.
    void (*give_back)(io_ring *ring, io_slot *slot) noexcept nogil
    # Waits until the receiver may be told that the large file is whole. -1: it must not be. NULL: it may be at once.
    int (*await_end)(io_ring *ring, int fd, fast_err *err) noexcept nogil
    # The following are of engines whose files are shared with other programs; all NULL for those that have none.
    # The open file, which must be open for writing, too, is now a source or target of *plane*: gives a source's *size*,
    # or for a target the rings' *exchange*. It stays the caller's to close. Any thread.
    int (*attach)(const void *plane, int fd, bint is_source, uint64_t *size, void **exchange,
                  fast_err *err) noexcept nogil
    # What became of the source with that inode. Any thread.
    void (*tell)(const void *plane, uint64_t dev, uint64_t ino, const fast_err *err) noexcept nogil
    # A file of that name and size begins to arrive. -1: it can't.
    int (*begin)(void *exchange, const char *name, size_t n_name, uint64_t size, fast_err *err) noexcept nogil
    # It has arrived, or *err* says already why it has failed. Waits until the other program has all of it, and tells.
    int (*settle)(io_ring *ring, fast_err *err) noexcept nogil
    # The plane ends: all that were attached for it are told so. No thread of it uses them any more.
    void (*detach)(const void *plane) noexcept nogil


# How many slots a ring has with blocks of that size.
cdef int depth_of(size_t block) noexcept nogil
# The size of all buffers of a ring together.
cdef size_t ring_bytes(size_t block) noexcept nogil
cdef int ring_open(io_ring *ring, const io_engine *engine, void *exchange, size_t block, fast_err *err) noexcept nogil
cdef void ring_close(io_ring *ring) noexcept nogil
# The first half of ring_close: waits until nothing is pending. Two rings that have exchanged buffers must both end
# before either is closed.
cdef void ring_end(io_ring *ring) noexcept nogil
cdef io_slot *ring_free_slot(io_ring *ring) noexcept nogil  # NULL when all are in use
# is_direct: *fd* has O_DIRECT; what is padded for it is cut off when the file is finished.
cdef void slot_read(io_ring *ring, io_slot *slot, int fd, int64_t offset, uint32_t n, bint is_direct) noexcept nogil
cdef void slot_write(io_ring *ring, io_slot *slot, int fd, int64_t offset, uint32_t n, bint is_direct) noexcept nogil
# Waits until *slot* is not pending. -1: the ring can't be used any more, and the kernel still uses its buffers.
cdef int slot_wait(io_ring *ring, io_slot *slot, fast_err *err) noexcept nogil
# Finishes a slot that is not pending. -1: fewer than n_bytes could be read or written.
cdef int slot_finish(io_ring *ring, io_slot *slot, fast_err *err) noexcept nogil
# Waits until *least* pending slots are done, or all if there are fewer; 0: without waiting. -1: as slot_wait.
cdef int ring_reap(io_ring *ring, int least, fast_err *err) noexcept nogil
# Where the contents of a slot are that was read.
cdef const uint8_t *slot_contents(const io_slot *slot) noexcept nogil
# The contents of a slot that was read are needed no more. May be called again.
cdef void slot_give_back(io_ring *ring, io_slot *slot) noexcept nogil
# Any slot that is DONE, or NULL. Who has dealt with it sets it free.
cdef io_slot *ring_done_slot(io_ring *ring) noexcept nogil
