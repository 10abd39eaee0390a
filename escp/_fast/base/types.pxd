"""Constants, error codes and plain structs that several native modules share."""

from libc.stdint cimport int64_t


cdef enum:
    # Protocol; the same numbers stand in escp/constants.py and docs/protocol.md.
    IV_BYTES = 8
    TAG_BYTES = 16
    SALT_BYTES = 4
    KEY_BYTES = 16
    SECRET_BYTES = 32
    DATA_HEADER_BYTES = 64
    SLICE_BYTES = 262144
    MAX_META_BYTES = 262144  # payload of a metadata frame, before and after decompression
    MAX_BLOCK_BYTES = 33554432
    MAX_STREAMS = 64
    MAX_PATH_BYTES = 4095
    MAX_NAME_BYTES = 255
    MAX_BATCH = 1024  # entries or results in one metadata frame
    MAX_OPEN_LARGE = 128  # large files begun and not finished at the same time
    MAX_EXTRAS_BYTES = 131072  # what follows the path of one entry
    MAX_XATTRS = 256  # extended attributes and ACLs of one file
    MAX_XATTR_BYTES = 65536  # the value of one of them
    MAX_KEPT_BLOCKS = 1048576  # of a part: those behind come again; 16 bytes of memory for each, at both ends

    # Tuning
    PAGE_BYTES = 4096
    SMALL_FILE_BYTES = 131072  # files up to here travel in bundles
    TELL_FRAMES = 64  # taken from a stream before its sender is told, or
    TELL_BYTES = 262144  # of metadata
    IDLE_S = 5  # without a byte: then it is told as well
    RING_DEPTH = 4  # asynchronous reads or writes of one stream


# Words, class and hint of each stand in escp/failures.py.
cdef enum fast_code:
    FAST_OK = 0
    FAST_SYS = 1  # a system call on a file failed
    FAST_NET = 2  # the connection broke
    FAST_AUTH = 3  # a tag, sequence number or frame header was wrong
    FAST_PROTOCOL = 4  # an authentic frame held what the protocol forbids
    FAST_DIGEST = 5  # what was written is not what was read
    FAST_CHANGED = 6  # the source changed while it was read
    FAST_UNSAFE = 7  # the path leads out of the destination
    FAST_LOOP = 8  # a link leads to a directory above itself
    FAST_SPECIAL = 9  # not a regular file
    FAST_STOPPED = 10  # stopped from outside
    FAST_MEMORY = 11
    FAST_KEY_LIMIT = 12  # no nonce is left under the last epoch
    FAST_NEEDS_RECURSIVE = 13  # a directory without -r
    FAST_NAME = 14  # a name or path longer than the protocol carries
    FAST_SAME_FILE = 15  # the file would replace itself (copies within one host)
    FAST_INTO_ITSELF = 16  # the target lies in the directory that is copied (copies within one host)
    FAST_XATTR = 17  # an extended attribute can't be read, carried or set
    FAST_ACL = 18  # an ACL can't be read, carried or set
    FAST_OWNER = 19  # owner or group can't be set
    FAST_HARD_LINK = 20  # the file of which this is another name was not copied
    # Of a receiver that was told what to expect.
    FAST_ABSENT = 21  # the sender says that this root will not come
    FAST_MISSING = 22  # this root was offered, and neither came nor was said to be absent
    FAST_GONE = 23  # nothing can be made in the target any more: it was removed, or its file system died
    FAST_FORBIDDEN = 24  # this host's rules for a session don't allow it (files/guard.pxd)
    N_FAST_CODES = 25
    # The file, directory, link or device is there, whole and verified, but some attribute that was to be kept could not
    # be set. The code is this plus the attribute_kinds that it lacks. Only for senders that asked for it.
    FAST_LACKS = 32


# FAST_FORBIDDEN as it stands in a place for an errno: no system has so high a number.
cdef enum:
    ERRNO_FORBIDDEN = 4000


cdef enum attribute_kind:
    LACKS_OWNER = 1
    LACKS_XATTRS = 2
    LACKS_ACL = 4
    LACKS_MODE = 8
    LACKS_TIMES = 16
    LACKS_ALL = 31


cdef inline bint may_be_result(int code) noexcept nogil:
    """Whether a receiver may answer *code* for a file."""
    return (0 <= code < N_FAST_CODES and not FAST_ABSENT <= code <= FAST_GONE) or (
        FAST_LACKS < code <= (FAST_LACKS | LACKS_ALL))


cdef enum selection_kind:
    SELECT_ALL = 0
    SELECT_NEWER = 1  # not those whose target is as new, and of their size, or newer
    SELECT_CHANGED = 2  # not those whose target has their size and time, or digest
    SELECT_MISSING = 3  # not those whose name something has at the target


# Why an entry is copied, for --itemize: what was there before.
cdef enum reason_kind:
    REASON_NONE = 0  # not known, or nothing to tell
    REASON_MISSING = 1  # nothing
    REASON_TYPE = 2  # something of another type
    REASON_CONTENTS = 3  # other contents, or such as were not compared
    REASON_ATTRIBUTES = 4  # the same contents
    N_REASONS = 5  # of what is copied
    REASON_SAME = 5  # it was there already: no peer says that


ctypedef struct fast_err:
    int code
    int sys_errno
    const char *where  # a static string: the call that failed
    int64_t offset  # in the file, or -1


cdef inline int fail(fast_err *err, int code, int sys_errno, const char *where) noexcept nogil:
    """Fill *err* unless an earlier error is there already; returns -1 for the caller to return."""
    if err.code == FAST_OK:
        err.code = FAST_FORBIDDEN if sys_errno == ERRNO_FORBIDDEN else code
        err.sys_errno = 0 if sys_errno == ERRNO_FORBIDDEN else sys_errno
        err.where = where
        err.offset = -1
    return -1


cdef inline void lack(fast_err *err, int kind, int sys_errno) noexcept nogil:
    """Note in *err*, which holds nothing else, that an attribute can't be set; the first error number stays."""
    if err.code == FAST_OK:
        fail(err, FAST_LACKS, sys_errno, "attributes")
    err.code |= kind


cdef inline bint is_kept(int code) noexcept nogil:
    """Whether what the result is about is there."""
    return code == FAST_OK or code >= FAST_LACKS


cdef inline void clear(fast_err *err) noexcept nogil:
    err.code = FAST_OK
    err.sys_errno = 0
    err.where = NULL
    err.offset = -1
