"""Keys, epochs and sequence numbers of one stream; see channel.pxd and docs/protocol.md 4."""

from libc.stdint cimport uint32_t, uint64_t, uint8_t

from escp._fast.base.libc cimport be64toh, escp_wipe, htobe64, memcpy, memset
from escp._fast.base.types cimport (DATA_HEADER_BYTES, FAST_AUTH, FAST_KEY_LIMIT, IV_BYTES, MAX_BLOCK_BYTES,
                                    MAX_META_BYTES, MAX_STREAMS, SECRET_BYTES, TAG_BYTES, clear, fail, fast_err)
from escp._fast.crypto.aead cimport aead_open, aead_rekey, aead_seal, aead_wipe

from escp._fast.crypto.aead import BACKENDS, choose_backend
from escp._fast.errors import raise_error

# IV word, big-endian: type 1 bit | zero 1 bit | payload length 26 bits | sequence number 36 bits
cdef enum:
    SEQUENCE_BITS = 36
    LENGTH_BITS = 26
    ROLLS_PER_CONNECTION = 65536  # epochs n * 65536 to n * 65536 + 65535 belong to a stream's n-th connection
DEFAULT_EPOCH_LIMIT = 64 << 30


cdef int roll(channel *c, half_channel *h, bint is_sealing, size_t n, fast_err *err) noexcept nogil:
    """Move to the next epoch if a payload of n bytes would take this one over its limit; both ends count alike."""
    if h.epoch_bytes + n > c.epoch_limit or h.sequence >> SEQUENCE_BITS:
        if h.epoch % ROLLS_PER_CONNECTION == ROLLS_PER_CONNECTION - 1:
            return fail(err, FAST_KEY_LIMIT, 0, "epoch")
        h.epoch += 1
        h.sequence = 0
        h.epoch_bytes = 0
        return aead_rekey(&h.key, c.backend, is_sealing, c.secret, c.stream, h.direction, h.epoch, err)
    return 0


cdef int channel_seal(channel *c, uint8_t *frame, int type, size_t n, const uint8_t *contents, size_t n_contents,
                      fast_err *err) noexcept nogil:
    cdef half_channel *h = &c.sealing
    cdef uint64_t word
    if roll(c, h, True, n, err) < 0:
        return -1
    word = htobe64((<uint64_t>type << 63) | (<uint64_t>n << SEQUENCE_BITS) | h.sequence)
    h.sequence += 1
    h.epoch_bytes += n
    memcpy(frame, &word, IV_BYTES)
    return aead_seal(&h.key, frame, n, contents, n_contents, err)


cdef int channel_expect(channel *c, const uint8_t *iv, int *type, size_t *n, fast_err *err) noexcept nogil:
    cdef uint64_t word
    memcpy(&word, iv, IV_BYTES)
    word = be64toh(word)
    type[0] = <int>(word >> 63)
    n[0] = <size_t>((word >> SEQUENCE_BITS) & ((1 << LENGTH_BITS) - 1))
    if word >> 62 & 1 or n[0] > (c.max_data if type[0] == FRAME_DATA else <size_t>MAX_META_BYTES):
        return fail(err, FAST_AUTH, 0, "frame header")
    if roll(c, &c.opening, False, n[0], err) < 0:
        return -1
    if word & ((<uint64_t>1 << SEQUENCE_BITS) - 1) != c.opening.sequence:
        return fail(err, FAST_AUTH, 0, "sequence number")
    return 0


cdef int channel_open(channel *c, uint8_t *frame, size_t n, fast_err *err) noexcept nogil:
    cdef half_channel *h = &c.opening
    if aead_open(&h.key, frame, n, err) < 0:
        return -1
    h.sequence += 1
    h.epoch_bytes += n
    return 0


cdef uint32_t channel_connection(const channel *c) noexcept nogil:
    return c.sealing.epoch // ROLLS_PER_CONNECTION


cdef class Channel:
    """One end of one stream of a session.

    *secret*: the session's 32 bytes. *stream*: 0 to 63. *connection*: how often this stream connected
    before. *is_sender*: whether this end sends the files. *block_bytes* bounds the data frames accepted.
    A plane that takes the channel over becomes the only user of it.
    """

    def __cinit__(self, bytes secret not None, uint32_t stream, *, bint is_sender, size_t block_bytes,
                  uint32_t connection=0, backend=None, uint64_t epoch_limit=DEFAULT_EPOCH_LIMIT):
        cdef channel *c = &self.c
        memset(c, 0, sizeof(channel))
        if len(secret) != SECRET_BYTES or stream >= MAX_STREAMS or block_bytes > MAX_BLOCK_BYTES:
            raise ValueError("secret, stream or block out of range")
        memcpy(c.secret, <const char *>secret, SECRET_BYTES)
        c.stream = stream
        c.backend = BACKENDS[choose_backend(backend)]
        c.epoch_limit = epoch_limit
        c.max_data = DATA_HEADER_BYTES + block_bytes
        c.sealing.direction = 0 if is_sender else 1
        c.opening.direction = 1 if is_sender else 0
        self.connect(connection)

    cdef int connect(self, uint32_t connection) except -1:
        """Set the keys of that connection of the stream."""
        cdef fast_err err
        cdef channel *c = &self.c
        cdef uint32_t epoch = connection * ROLLS_PER_CONNECTION
        clear(&err)
        if connection >= ROLLS_PER_CONNECTION:
            raise ValueError("the stream has had too many connections")
        c.sealing.epoch = c.opening.epoch = epoch
        c.sealing.sequence = c.opening.sequence = 0
        c.sealing.epoch_bytes = c.opening.epoch_bytes = 0
        if (aead_rekey(&c.sealing.key, c.backend, True, c.secret, c.stream, c.sealing.direction, epoch, &err) < 0
                or aead_rekey(&c.opening.key, c.backend, False, c.secret, c.stream, c.opening.direction, epoch,
                              &err) < 0):
            raise_error(err.code, err.sys_errno, "AEAD key", -1)
        return 0

    def again(self, uint32_t connection):
        """The same end of the same stream for another connection, with a key of its own."""
        cdef Channel next = Channel(bytes(SECRET_BYTES), self.c.stream, is_sender=self.c.sealing.direction == 0,
                                    block_bytes=self.c.max_data - DATA_HEADER_BYTES, epoch_limit=self.c.epoch_limit)
        memcpy(next.c.secret, self.c.secret, SECRET_BYTES)
        next.c.backend = self.c.backend
        next.connect(connection)
        return next

    def __dealloc__(self):
        aead_wipe(&self.c.sealing.key)
        aead_wipe(&self.c.opening.key)
        escp_wipe(self.c.secret, SECRET_BYTES)

    def __reduce__(self):
        raise TypeError("a channel holds keys and is not copied")

    @property
    def stream(self):
        return self.c.stream

    def seal(self, bint is_data, bytes payload not None):
        """The sealed frame of *payload*: 24 bytes longer."""
        cdef fast_err err
        cdef size_t n = len(payload)
        cdef bytearray frame = bytearray(IV_BYTES) + payload + bytearray(TAG_BYTES)
        clear(&err)
        if n >= 1 << LENGTH_BITS:
            raise ValueError("payload too long")
        if channel_seal(&self.c, frame, FRAME_DATA if is_data else FRAME_META, n, NULL, 0, &err) < 0:
            raise_error(err.code, err.sys_errno, err.where.decode(), -1)
        return bytes(frame)

    def seal_memory(self, size_t n_bytes, unsigned int n_times):
        """Seal a data frame of *n_bytes* in place, again and again, without the GIL: to measure the backend."""
        cdef fast_err err
        cdef bytearray room
        cdef uint8_t *frame
        cdef unsigned int _i
        cdef int rc = 0
        clear(&err)
        if n_bytes >= 1 << LENGTH_BITS:
            raise ValueError("payload too long")
        room = bytearray(IV_BYTES + n_bytes + TAG_BYTES)
        frame = room
        with nogil:
            for _i in range(n_times):
                rc = channel_seal(&self.c, frame, FRAME_DATA, n_bytes, NULL, 0, &err)
                if rc < 0:
                    break
        if rc < 0:
            raise_error(err.code, err.sys_errno, err.where.decode(), -1)

    def expect(self, bytes iv not None):
        """(is_data, payload length) that the IV word announces; raises FastError when it can't be the next frame."""
        cdef fast_err err
        cdef int type = 0
        cdef size_t n = 0
        clear(&err)
        if len(iv) != IV_BYTES:
            raise ValueError("an IV word has 8 bytes")
        if channel_expect(&self.c, iv, &type, &n, &err) < 0:
            raise_error(err.code, err.sys_errno, err.where.decode(), -1)
        return type == FRAME_DATA, n

    def open(self, bytes frame not None):
        """(is_data, payload) of the next frame, whole; raises FastError."""
        cdef fast_err err
        cdef bytearray copy = bytearray(frame)
        clear(&err)
        is_data, n = self.expect(frame[:IV_BYTES])
        if len(copy) != IV_BYTES + n + TAG_BYTES:
            raise_error(FAST_AUTH, 0, "frame length", -1)
        if channel_open(&self.c, copy, n, &err) < 0:
            raise_error(err.code, err.sys_errno, err.where.decode(), -1)
        return is_data, bytes(copy[IV_BYTES:IV_BYTES + n])
