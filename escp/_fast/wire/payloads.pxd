"""Payloads of frames: bytes <-> structs. Pure; every length and value of a peer is bounded here.

Layouts: docs/protocol.md 5. All integers are big-endian on the wire, native in the structs.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from escp._fast.base.types cimport fast_err
from escp._fast.crypto.digest cimport digest128


cdef enum:
    META_HEADER_BYTES = 8
    ENTRY_BYTES = 72  # then the path, then perhaps the extras
    RESULT_BYTES = 32
    END_BYTES = 16
    HELLO_BYTES = 8
    TAKEN_BYTES = END_BYTES
    KEPT_HEAD_BYTES = 8  # then KEPT_BYTES for each block
    KEPT_BYTES = 24
    STAMP_BYTES = 16

cdef enum message_type:
    MESSAGE_HELLO = 1
    MESSAGE_ENTRIES = 2
    MESSAGE_RESULTS = 3
    MESSAGE_END = 4
    MESSAGE_TAKEN = 5  # how many frames (or results) of this stream its author has taken, then 0: END's layout
    MESSAGE_KEPT = 6  # a receiver's: blocks of a large file that it has from a copy that was cut off
    MESSAGE_STAMPS = 7  # a receiver's: how files that are there now can be known again; before their results

cdef enum:
    META_IS_ZSTD = 1

cdef enum entry_kind:
    ENTRY_SMALL = 1  # its contents follow in this batch's bundle
    ENTRY_LARGE = 2  # its blocks follow, on this stream and others
    ENTRY_LARGE_END = 3  # all its blocks have been sent; size: how many bytes they had
    ENTRY_DIRECTORY = 4  # everything in it is finished
    ENTRY_LINK = 5  # a symbolic link
    ENTRY_HARD_LINK = 6  # another name of a file that is there already
    ENTRY_DEVICE = 7  # a device or a fifo
    ENTRY_QUERY = 8  # whether to send this at all: nothing follows unless the answer is RESULT_IS_WANTED
    ENTRY_ABSENT = 9  # this root, which the receiver waits for, will not come
    ENTRY_BEGUN = 10  # this directory's mode, before anything in it comes on this stream; it has no result

cdef enum:
    ENTRY_IS_ABANDONED = 1  # of ENTRY_LARGE_END: the sender could not read it all; discard
    ENTRY_HAS_EXTRAS = 2  # behind the path: their length (4 bytes) and they (extras.pxd); of ENTRY_QUERY those of the
    # link or device that it is about
    ENTRY_HAS_HOLES = 4  # of ENTRY_LARGE and its end: what is not sent is zero
    ENTRY_ASKS_PART = 16  # of ENTRY_LARGE and its end: MESSAGE_KEPT, and RESULT_IS_WANTED, come before any block
    ENTRY_ASKS_STAMP = 32  # of ENTRY_QUERY: whether the file there has the stamp that *digest* ends with
    ENTRY_ASKS_DIRECTORY = 128  # of ENTRY_QUERY: whether this directory is there

cdef enum:
    DATA_IS_BUNDLE = 1
    DATA_IS_ZSTD = 2

cdef enum:
    RESULT_IS_EARLY = 1  # the file has failed; another result follows its ENTRY_LARGE_END
    RESULT_IS_SAME = 2  # to an ENTRY_QUERY: the receiver has it
    RESULT_IS_WANTED = 4  # to an ENTRY_QUERY: the receiver has not; to a LARGE that asks: all that is kept was told


ctypedef struct meta_header:
    uint8_t message
    uint8_t flags
    uint16_t count
    uint32_t raw_bytes  # of the body, decompressed


ctypedef struct entry:
    uint8_t kind
    uint8_t flags
    uint16_t path_bytes
    uint32_t mode
    uint64_t id
    uint64_t size
    int64_t mtime_s
    int64_t atime_s
    uint32_t mtime_ns
    uint32_t atime_ns
    uint32_t uid
    uint32_t gid
    digest128 digest
    const char *path  # into the payload, not ended by NUL
    uint32_t extras_bytes
    const uint8_t *extras  # into the payload; well-formed, as get_entry has seen
    # Not on the wire. roots_check sets how much of *path*, and of the path of a hard link's file, is its root.
    uint16_t root_bytes
    uint16_t first_root_bytes


ctypedef struct data_header:
    uint64_t id
    uint64_t offset
    uint32_t raw_bytes
    uint32_t flags


ctypedef struct result:
    uint64_t id
    uint8_t code  # fast_code
    uint8_t flags
    uint32_t sys_errno
    digest128 digest


cdef void put_meta_header(uint8_t *out, const meta_header *h) noexcept nogil
cdef int get_meta_header(const uint8_t *payload, size_t n, meta_header *h, fast_err *err) noexcept nogil
# Returns how many bytes were written; 0: *room* is too small, and nothing was. Sets ENTRY_HAS_EXTRAS if there are
# extras_bytes.
cdef size_t put_entry(uint8_t *out, size_t room, const entry *e) noexcept nogil
# Sets size and digest in an entry that was put at *out*.
cdef void put_entry_contents(uint8_t *out, uint64_t size, const digest128 *digest) noexcept nogil
# Reads one entry at *at[0]* and moves it on; -1 with FAST_PROTOCOL or FAST_UNSAFE.
cdef int get_entry(const uint8_t **at, const uint8_t *end, entry *e, fast_err *err) noexcept nogil
cdef void put_data_header(uint8_t *out, const data_header *h) noexcept nogil
cdef int get_data_header(const uint8_t *payload, size_t n, size_t block, data_header *h, fast_err *err) noexcept nogil
cdef void put_result(uint8_t *out, const result *r) noexcept nogil
cdef int get_result(const uint8_t *at, result *r, fast_err *err) noexcept nogil
# A block that is kept, and its digest.
cdef void put_kept(uint8_t *out, uint64_t number, const digest128 *digest) noexcept nogil
cdef void get_kept(const uint8_t *at, uint64_t *number, digest128 *digest) noexcept nogil
# A file's id, and its stamp.
cdef void put_stamp(uint8_t *out, uint64_t id, uint64_t stamp) noexcept nogil
cdef void get_stamp(const uint8_t *at, uint64_t *id, uint64_t *stamp) noexcept nogil
cdef void put_id(uint8_t *out, uint64_t id) noexcept nogil
cdef uint64_t get_id(const uint8_t *at) noexcept nogil
cdef void put_end(uint8_t *out, uint64_t n_bytes, uint64_t n_entries) noexcept nogil
cdef void get_end(const uint8_t *at, uint64_t *n_bytes, uint64_t *n_entries) noexcept nogil
