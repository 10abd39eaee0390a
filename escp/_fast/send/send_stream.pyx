"""What a sender's stream is made of; see send_stream.pxd."""

from libc.stdint cimport uint8_t, uint64_t

from escp._fast.base.libc cimport MSG_MORE, errno, escp_count, escp_send_all, free, malloc, memset
from escp._fast.base.types cimport (DATA_HEADER_BYTES, FAST_MEMORY, FAST_NET, IV_BYTES, MAX_BATCH, MAX_META_BYTES,
                                    PAGE_BYTES, TAG_BYTES, fail, fast_err)
from escp._fast.crypto.channel cimport channel_seal
from escp._fast.io.ring cimport io_slot, ring_close, ring_open, slot_give_back
from escp._fast.send.below cimport way_close
from escp._fast.send.gather cimport GATHER_BYTES
from escp._fast.send.send_state cimport LOG_BYTES, N_ITEMS, N_SENT, flight, item, send_state, sent_frame, sent_log
from escp._fast.wire.connection cimport line_close
from escp._fast.wire.zstd cimport ZSTD_createCCtx, ZSTD_freeCCtx

cdef enum:
    META_FRAME_BYTES = IV_BYTES + MAX_META_BYTES + TAG_BYTES


cdef int sent_open(sent_log *log, fast_err *err) noexcept nogil:
    log.frames = <sent_frame *>malloc(N_SENT * sizeof(sent_frame))
    log.kept = <uint8_t *>malloc(LOG_BYTES)
    if log.frames == NULL or log.kept == NULL:
        return fail(err, FAST_MEMORY, 0, "buffers")
    return 0


cdef void sent_close(sent_log *log) noexcept nogil:
    free(log.frames)
    free(log.kept)
    log.frames = NULL
    log.kept = NULL


cdef int send_stream_open(send_stream *t, send_state *s, int index, fast_err *err) noexcept nogil:
    cdef size_t n_packed = PAGE_BYTES + s.config.block + PAGE_BYTES
    memset(t, 0, sizeof(send_stream))
    t.state = s
    t.index = index
    t.line.whole = &s.connections[index]
    t.line.fd = -1
    if ring_open(&t.ring, s.config.engine, s.config.exchange, s.config.block, err) < 0:
        return -1
    t.ring.is_stopped, t.ring.is_private = &s.is_stopped, s.config.has_compression
    t.meta = <uint8_t *>malloc(META_FRAME_BYTES)
    t.extras = <uint8_t *>malloc(GATHER_BYTES)
    t.packed = <uint8_t *>malloc(n_packed if n_packed > META_FRAME_BYTES else <size_t>META_FRAME_BYTES)
    t.bundled = <uint64_t *>malloc(sizeof(uint64_t) * MAX_BATCH)
    t.zstd = ZSTD_createCCtx()
    t.batch = <item *>malloc(sizeof(item) * N_ITEMS)
    t.flights = <flight **>malloc(sizeof(flight *) * MAX_BATCH)
    t.complete = <flight **>malloc(sizeof(flight *) * MAX_BATCH)
    if (t.extras == NULL or t.meta == NULL or t.packed == NULL or t.zstd == NULL or t.batch == NULL or t.flights == NULL
            or t.complete == NULL or t.bundled == NULL):
        return fail(err, FAST_MEMORY, 0, "buffers")
    return sent_open(&s.sent[index], err) if s.config.reconnects else 0


cdef void send_stream_close(send_stream *t) noexcept nogil:
    ring_close(&t.ring)
    free(t.meta)
    free(t.extras)
    free(t.packed)
    free(t.bundled)
    ZSTD_freeCCtx(t.zstd)
    free(t.batch)
    free(t.flights)
    free(t.complete)
    way_close(&t.way)
    line_close(&t.line)
    t.meta = t.packed = t.extras = NULL
    t.bundled = NULL
    t.zstd = NULL
    t.batch = NULL
    t.flights = t.complete = NULL


cdef int transmit(send_stream *t, int type, uint8_t *frame, size_t n, io_slot *block, bint has_more,
                  fast_err *err) noexcept nogil:
    cdef size_t n_wire = IV_BYTES + n + TAG_BYTES
    cdef int rc
    if block == NULL or block.lent == NULL:
        rc = channel_seal(t.line.sealed, frame, type, n, NULL, 0, err)
    else:
        rc = channel_seal(t.line.sealed, frame, type, n, block.lent, n - DATA_HEADER_BYTES, err)
        slot_give_back(&t.ring, block)
    if rc < 0:
        return -1
    escp_count(&t.state.streams[t.index].n_wire, n_wire)
    escp_count(&t.state.sent[t.index].n_said, 1)
    if escp_send_all(t.line.fd, frame, n_wire, MSG_MORE if has_more else 0) < 0:
        return fail(err, FAST_NET, errno, "send")
    return 0
