"""Payloads of frames: bytes <-> structs; see payloads.pxd and docs/protocol.md 5."""

from libc.stdint cimport INT64_MAX, int64_t, uint32_t, uint64_t, uint8_t

from escp._fast.base.libc cimport memchr, memcpy, memset
from escp._fast.base.paths cimport SLASH, is_dots
from escp._fast.base.types cimport (DATA_HEADER_BYTES, FAST_PROTOCOL, FAST_UNSAFE, MAX_BATCH,
                                    MAX_EXTRAS_BYTES, MAX_META_BYTES, MAX_NAME_BYTES, MAX_PATH_BYTES, clear, fail,
                                    fast_err, may_be_result)
from escp._fast.wire.extras cimport extras_view, get_extras
from escp._fast.wire.numbers cimport get16, get32, get64, put16, put32, put64

from escp._fast.errors import raise_error

cdef enum:
    DIGEST_BYTES = 16


cdef void put_meta_header(uint8_t *out, const meta_header *h) noexcept nogil:
    out[0] = h.message
    out[1] = h.flags
    put32(put16(out + 2, h.count), h.raw_bytes)


cdef int get_meta_header(const uint8_t *payload, size_t n, meta_header *h, fast_err *err) noexcept nogil:
    if n < META_HEADER_BYTES:
        return fail(err, FAST_PROTOCOL, 0, "metadata header")
    h.message = payload[0]
    h.flags = payload[1]
    h.count = get16(payload + 2)
    h.raw_bytes = get32(payload + 4)
    if (h.count > MAX_BATCH or h.raw_bytes > MAX_META_BYTES - META_HEADER_BYTES or h.flags & ~META_IS_ZSTD
            or (not h.flags and h.raw_bytes != n - META_HEADER_BYTES)
            or (h.flags and h.message != MESSAGE_ENTRIES)
            or (h.count != 1 and h.message in (MESSAGE_HELLO, MESSAGE_END, MESSAGE_TAKEN))):
        return fail(err, FAST_PROTOCOL, 0, "metadata header")
    return 0


cdef size_t entry_length(const entry *e) noexcept nogil:
    return ENTRY_BYTES + e.path_bytes + (4 + e.extras_bytes if e.extras_bytes else 0)


cdef void put_entry_contents(uint8_t *out, uint64_t size, const digest128 *digest) noexcept nogil:
    put64(out + 16, size)
    put64(put64(out + ENTRY_BYTES - DIGEST_BYTES, digest.high), digest.low)


cdef size_t put_entry(uint8_t *out, size_t room, const entry *e) noexcept nogil:
    cdef uint8_t *p = out
    if entry_length(e) > room:
        return 0
    p[0] = e.kind
    p[1] = e.flags | (ENTRY_HAS_EXTRAS if e.extras_bytes else 0)
    p = put16(p + 2, e.path_bytes)
    p = put32(p, e.mode)
    p = put64(p, e.id)
    p = put64(p + 8, <uint64_t>e.mtime_s)
    p = put64(p, <uint64_t>e.atime_s)
    p = put32(p, e.mtime_ns)
    p = put32(p, e.atime_ns)
    p = put32(p, e.uid)
    p = put32(p, e.gid)
    put_entry_contents(out, e.size, &e.digest)
    p += DIGEST_BYTES
    memcpy(p, e.path, e.path_bytes)
    if e.extras_bytes:
        memcpy(put32(p + e.path_bytes, e.extras_bytes), e.extras, e.extras_bytes)
    return entry_length(e)


cdef int check_path(const char *path, size_t n, fast_err *err) noexcept nogil:
    """A relative path of plain components, or nothing at all (the target itself)."""
    cdef size_t start = 0
    cdef size_t i
    cdef size_t k
    if n > MAX_PATH_BYTES:
        return fail(err, FAST_UNSAFE, 0, "path length")
    if n and memchr(path, 0, n) != NULL:
        return fail(err, FAST_UNSAFE, 0, "NUL in path")
    if n == 0:
        return 0
    for i in range(n + 1):
        if i < n and path[i] != SLASH:
            continue
        k = i - start
        if k == 0 or k > MAX_NAME_BYTES or is_dots(path + start, k):
            return fail(err, FAST_UNSAFE, 0, "path component")
        start = i + 1
    return 0


cdef bint is_node(const entry *e) noexcept nogil:
    """Whether it never has contents, and always extras."""
    return ENTRY_LINK <= e.kind <= ENTRY_DEVICE


cdef bint is_right_kind(const entry *e) noexcept nogil:
    """A known kind, with flags and a size that go with it."""
    if e.kind == ENTRY_LARGE:
        return e.size != 0 and not e.flags & ~(ENTRY_HAS_HOLES | ENTRY_HAS_EXTRAS | ENTRY_ASKS_PART)
    if e.kind == ENTRY_LARGE_END:
        return (e.size != 0 or e.flags & (ENTRY_HAS_HOLES | ENTRY_IS_ABANDONED | ENTRY_ASKS_PART)) and not e.flags & ~(
            ENTRY_IS_ABANDONED | ENTRY_HAS_HOLES | ENTRY_HAS_EXTRAS | ENTRY_ASKS_PART)
    if e.kind == ENTRY_QUERY:
        return not e.flags or e.flags == ENTRY_ASKS_STAMP or (
            (e.flags == ENTRY_ASKS_DIRECTORY or e.flags == ENTRY_HAS_EXTRAS) and e.size == 0)
    if is_node(e):
        return e.flags == ENTRY_HAS_EXTRAS and e.size == 0
    if e.kind == ENTRY_ABSENT or e.kind == ENTRY_BEGUN:
        return not e.flags and e.size == 0 and (e.kind == ENTRY_ABSENT or e.id == 0)
    return (e.kind == ENTRY_SMALL or e.kind == ENTRY_DIRECTORY) and not e.flags & ~ENTRY_HAS_EXTRAS


cdef int check_extras(const entry *e, fast_err *err) noexcept nogil:
    """Refuse items that the kind can't have, and a kind without the item that it needs. The path of a hard link's file
    is checked as every path."""
    cdef extras_view x
    if get_extras(e.extras, e.extras_bytes, &x, err) < 0:
        return -1
    if e.kind == ENTRY_QUERY and (x.target != NULL) == (x.device != 0):
        return fail(err, FAST_PROTOCOL, 0, "extras")
    if ((x.target != NULL) != (e.kind == ENTRY_LINK or e.kind == ENTRY_HARD_LINK) and e.kind != ENTRY_QUERY
            or (x.device != 0) != (e.kind == ENTRY_DEVICE) and e.kind != ENTRY_QUERY
            or (x.n_xattrs and (is_node(e) or e.kind == ENTRY_LARGE or e.kind == ENTRY_QUERY))
            or x.has_source != (e.kind == ENTRY_LARGE)
            or ((x.user != NULL or x.group != NULL) and (e.kind == ENTRY_HARD_LINK or e.kind == ENTRY_LARGE))):
        return fail(err, FAST_PROTOCOL, 0, "extras")
    return check_path(x.target, x.n_target, err) if e.kind == ENTRY_HARD_LINK else 0


cdef int get_entry(const uint8_t **at, const uint8_t *end, entry *e, fast_err *err) noexcept nogil:
    cdef const uint8_t *p = at[0]
    if <size_t>(end - p) < ENTRY_BYTES:
        return fail(err, FAST_PROTOCOL, 0, "entry length")
    e.kind = p[0]
    e.flags = p[1]
    e.path_bytes = get16(p + 2)
    e.mode = get32(p + 4)
    e.id = get64(p + 8)
    e.size = get64(p + 16)
    e.mtime_s = <int64_t>get64(p + 24)
    e.atime_s = <int64_t>get64(p + 32)
    e.mtime_ns = get32(p + 40)
    e.atime_ns = get32(p + 44)
    e.uid = get32(p + 48)
    e.gid = get32(p + 52)
    e.digest.high = get64(p + 56)
    e.digest.low = get64(p + 64)
    e.path = <const char *>p + ENTRY_BYTES
    if e.path_bytes > <size_t>(end - p) - ENTRY_BYTES:
        return fail(err, FAST_PROTOCOL, 0, "entry length")
    if (not is_right_kind(e) or e.size > <uint64_t>INT64_MAX or e.mode > 0o7777
            or e.mtime_ns >= 1000000000 or e.atime_ns >= 1000000000):
        return fail(err, FAST_PROTOCOL, 0, "entry fields")
    p += ENTRY_BYTES + e.path_bytes
    e.extras, e.extras_bytes = p, 0
    e.root_bytes = e.first_root_bytes = 0
    if e.flags & ENTRY_HAS_EXTRAS:
        if end - p < 4:
            return fail(err, FAST_PROTOCOL, 0, "extras length")
        e.extras, e.extras_bytes = p + 4, get32(p)
        if e.extras_bytes == 0 or e.extras_bytes > MAX_EXTRAS_BYTES or e.extras_bytes > <size_t>(end - p) - 4:
            return fail(err, FAST_PROTOCOL, 0, "extras length")
        p += 4 + e.extras_bytes
    at[0] = p
    if check_path(e.path, e.path_bytes, err) < 0:
        return -1
    if e.flags & ENTRY_ASKS_PART and e.kind == ENTRY_LARGE and e.extras_bytes == 0:
        return fail(err, FAST_PROTOCOL, 0, "extras")
    return check_extras(e, err) if e.extras_bytes else 0


cdef void put_data_header(uint8_t *out, const data_header *h) noexcept nogil:
    memset(out, 0, DATA_HEADER_BYTES)
    put32(put32(put64(put64(out, h.id), h.offset), h.raw_bytes), h.flags)


cdef int get_data_header(const uint8_t *payload, size_t n, size_t block, data_header *h, fast_err *err) noexcept nogil:
    cdef size_t i
    cdef size_t k
    if n < DATA_HEADER_BYTES:
        return fail(err, FAST_PROTOCOL, 0, "data header")
    h.id = get64(payload)
    h.offset = get64(payload + 8)
    h.raw_bytes = get32(payload + 16)
    h.flags = get32(payload + 20)
    k = n - DATA_HEADER_BYTES
    if (h.raw_bytes > block or h.raw_bytes == 0 or h.offset > <uint64_t>INT64_MAX
            or h.flags & ~(DATA_IS_BUNDLE | DATA_IS_ZSTD)
            or (k >= h.raw_bytes if h.flags & DATA_IS_ZSTD else k != h.raw_bytes)):
        return fail(err, FAST_PROTOCOL, 0, "data header")
    for i in range(24, DATA_HEADER_BYTES):
        if payload[i]:
            return fail(err, FAST_PROTOCOL, 0, "data header")
    return 0


cdef void put_result(uint8_t *out, const result *r) noexcept nogil:
    put64(out, r.id)
    out[8] = r.code
    out[9] = r.flags
    put16(out + 10, 0)
    put64(put64(put32(out + 12, r.sys_errno), r.digest.high), r.digest.low)


cdef int get_result(const uint8_t *at, result *r, fast_err *err) noexcept nogil:
    cdef bint is_right
    r.id = get64(at)
    r.code = at[8]
    r.flags = at[9]
    r.sys_errno = get32(at + 12)
    r.digest.high = get64(at + 16)
    r.digest.low = get64(at + 24)
    is_right = (r.flags & ~RESULT_IS_EARLY) == 0 if r.code else (
        r.flags == 0 or r.flags == RESULT_IS_SAME or r.flags == RESULT_IS_WANTED)
    if not is_right or not may_be_result(r.code) or get16(at + 10) or r.sys_errno > 4095:
        return fail(err, FAST_PROTOCOL, 0, "result fields")
    return 0


cdef void put_kept(uint8_t *out, uint64_t number, const digest128 *digest) noexcept nogil:
    put64(put64(put64(out, number), digest.high), digest.low)


cdef void get_kept(const uint8_t *at, uint64_t *number, digest128 *digest) noexcept nogil:
    number[0] = get64(at)
    digest.high, digest.low = get64(at + 8), get64(at + 16)


cdef void put_stamp(uint8_t *out, uint64_t id, uint64_t stamp) noexcept nogil:
    put64(put64(out, id), stamp)


cdef void get_stamp(const uint8_t *at, uint64_t *id, uint64_t *stamp) noexcept nogil:
    id[0], stamp[0] = get64(at), get64(at + 8)


cdef void put_id(uint8_t *out, uint64_t id) noexcept nogil:
    put64(out, id)


cdef uint64_t get_id(const uint8_t *at) noexcept nogil:
    return get64(at)


cdef void put_end(uint8_t *out, uint64_t n_bytes, uint64_t n_entries) noexcept nogil:
    put64(put64(out, n_bytes), n_entries)


cdef void get_end(const uint8_t *at, uint64_t *n_bytes, uint64_t *n_entries) noexcept nogil:
    n_bytes[0] = get64(at)
    n_entries[0] = get64(at + 8)


# ---- What Python sees: the hellos, and the codecs for vectors, fuzzing and hostile peers in tests -----

def encode_hello(uint32_t n_streams, uint32_t block_bytes):
    """Payload of the first metadata frame on a stream."""
    cdef uint8_t out[16]
    cdef meta_header h
    h.message, h.flags, h.count, h.raw_bytes = MESSAGE_HELLO, 0, 1, HELLO_BYTES
    put_meta_header(out, &h)
    put32(put32(out + 8, n_streams), block_bytes)
    return <bytes>(<char *>out)[:16]


def decode_hello(bytes payload not None):
    """(n_streams, block_bytes) of a hello; raises FastError."""
    cdef const uint8_t *body
    cdef fast_err err
    cdef meta_header h
    clear(&err)
    if (len(payload) != META_HEADER_BYTES + HELLO_BYTES
            or get_meta_header(payload, len(payload), &h, &err) < 0
            or h.message != MESSAGE_HELLO or h.flags or h.count != 1):
        raise_error(FAST_PROTOCOL, 0, "hello", -1)
    body = <const uint8_t *>payload + META_HEADER_BYTES
    return get32(body), get32(body + 4)


def encode_meta(int message, int count, bytes body not None, int flags=0, raw_bytes=None):
    """A metadata payload around *body*. Checks nothing: tests build wrong ones with it."""
    cdef uint8_t out[8]
    cdef meta_header h
    h.message, h.flags, h.count = message, flags, count
    h.raw_bytes = len(body) if raw_bytes is None else raw_bytes
    put_meta_header(out, &h)
    return <bytes>(<char *>out)[:8] + body


def encode_entry(*, int kind, uint64_t id, bytes path not None, uint64_t size=0, uint32_t mode=0o644, int flags=0,
                 int64_t mtime_ns=0, int64_t atime_ns=0, uint32_t uid=0, uint32_t gid=0, bytes digest=bytes(16),
                 bytes extras=b"", room=None):
    """The bytes of one entry; *extras* set their flag. Checks nothing but *room*, if that is given."""
    cdef entry e
    cdef bytearray out = bytearray(ENTRY_BYTES + len(path) + (4 + len(extras) if extras else 0))
    e.kind, e.flags, e.path_bytes, e.mode, e.id, e.size = kind, flags, len(path), mode, id, size
    e.mtime_s, e.mtime_ns = divmod(mtime_ns, 1000000000)
    e.atime_s, e.atime_ns = divmod(atime_ns, 1000000000)
    e.uid, e.gid = uid, gid
    e.digest.high, e.digest.low = int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:], "big")
    e.path = path
    e.extras, e.extras_bytes = extras, len(extras)
    cdef size_t n = put_entry(out, len(out) if room is None else room, &e)
    return bytes(out[:n])


def decode_entries(bytes payload not None):
    """The entries of an uncompressed ENTRIES payload, as dicts that encode_entry takes; raises FastError."""
    cdef fast_err err
    cdef meta_header h
    cdef entry e
    cdef const uint8_t *at
    cdef const uint8_t *end
    clear(&err)
    if len(payload) == 0 or get_meta_header(payload, len(payload), &h, &err) < 0:
        raise_error(FAST_PROTOCOL, 0, "metadata header", -1)
    if h.message != MESSAGE_ENTRIES or h.flags:
        raise_error(FAST_PROTOCOL, 0, "message", -1)
    at = <const uint8_t *>payload + META_HEADER_BYTES
    end = at + h.raw_bytes
    entries = []
    for _ in range(h.count):
        if get_entry(&at, end, &e, &err) < 0:
            raise_error(err.code, 0, err.where.decode(), -1)
        entries.append({
            "kind": e.kind, "id": e.id, "path": e.path[:e.path_bytes], "size": e.size, "mode": e.mode,
            "flags": e.flags, "uid": e.uid, "gid": e.gid,
            "mtime_ns": int(e.mtime_s) * 1000000000 + e.mtime_ns, "atime_ns": int(e.atime_s) * 1000000000 + e.atime_ns,
            "extras": (<const char *>e.extras)[:e.extras_bytes],
            "digest": int(e.digest.high).to_bytes(8, "big") + int(e.digest.low).to_bytes(8, "big"),
        })
    if at != end:
        raise_error(FAST_PROTOCOL, 0, "entries length", -1)
    return entries


def encode_extra(int type, bytes value not None, n_bytes=None):
    """One item of an entry's extras. Checks nothing."""
    return (type << 24 | (len(value) if n_bytes is None else n_bytes)).to_bytes(4, "big") + value


def encode_xattr(bytes name not None, bytes value not None):
    """An extended attribute as an item. Checks nothing."""
    return encode_extra(2, bytes([len(name) & 255]) + name + value)


def encode_data_header(uint64_t id, uint64_t offset, uint32_t raw_bytes, uint32_t flags=0):
    """The 64 bytes before a data frame's contents. Checks nothing."""
    cdef uint8_t out[64]
    cdef data_header h
    h.id, h.offset, h.raw_bytes, h.flags = id, offset, raw_bytes, flags
    put_data_header(out, &h)
    return <bytes>(<char *>out)[:64]


def decode_data_header(bytes payload not None, size_t block_bytes):
    """(id, offset, raw_bytes, flags) of a data frame's payload; raises FastError."""
    cdef fast_err err
    cdef data_header h
    clear(&err)
    if len(payload) == 0 or get_data_header(payload, len(payload), block_bytes, &h, &err) < 0:
        raise_error(FAST_PROTOCOL, 0, "data header", -1)
    return h.id, h.offset, h.raw_bytes, h.flags


def encode_result(uint64_t id, int code=0, int flags=0, uint32_t sys_errno=0, bytes digest=bytes(16)):
    """The 32 bytes of one result. Checks nothing."""
    cdef uint8_t out[32]
    cdef result r
    r.id, r.code, r.flags, r.sys_errno = id, code, flags, sys_errno
    r.digest.high, r.digest.low = int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:], "big")
    put_result(out, &r)
    return <bytes>(<char *>out)[:32]


def decode_result(bytes data not None):
    """(id, code, flags, errno, digest) of one result; raises FastError."""
    cdef fast_err err
    cdef result r
    clear(&err)
    if len(data) != RESULT_BYTES or get_result(data, &r, &err) < 0:
        raise_error(FAST_PROTOCOL, 0, "result", -1)
    return r.id, r.code, r.flags, r.sys_errno, (int(r.digest.high) << 64 | int(r.digest.low)).to_bytes(16, "big")


def encode_end(uint64_t n_bytes, uint64_t n_entries):
    """The body of an END message: what its author sent on this stream."""
    cdef uint8_t out[16]
    put_end(out, n_bytes, n_entries)
    return <bytes>(<char *>out)[:16]
