"""What receivers' streams share and what each is made of, and the results they send.

Streams share the table of open large files; everything else is a stream's own. A place in that table:

    free ──first LARGE──> being created ──is_made──> open ──is_complete──> being finished ──> free

Any stream may bring the next step while another is still at the last one: LARGE_END may come while the file is
being created, and the last block is written when it is. So three things make a file complete, in any order: it is made,
its end is known, and as many bytes as the end says are done. Each of them is noted under the session's lock, and
whoever notes the last one, and nobody else, finishes the file. Until then its descriptors belong to its creator
(not is_made) or to those who hold a block of it (n_begun > n_done); blocks that come too early wait for *made*.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from escp._fast.base.counters cimport stream_counters
from escp._fast.base.events cimport event_queue
from escp._fast.base.libc cimport pthread_cond_t, pthread_mutex_t
from escp._fast.base.types cimport IV_BYTES, MAX_OPEN_LARGE, MAX_PATH_BYTES, MAX_STREAMS, fast_err
from escp._fast.crypto.digest cimport digest128
from escp._fast.files.cached cimport dir_cache
from escp._fast.files.durable cimport unsynced
from escp._fast.files.tree cimport new_file, part_wish, source_id, tree
from escp._fast.io.ring cimport io_engine, io_ring
from escp._fast.receive.expected cimport expected_set
from escp._fast.receive.roots cimport root_set
from escp._fast.wire.connection cimport bad_frames, connection, echo, line
from escp._fast.wire.payloads cimport META_HEADER_BYTES, entry

cdef enum:
    ANSWER_BEFORE = IV_BYTES + META_HEADER_BYTES  # of a frame, before its body
    MAX_HELD = 256
    CHECK_BYTES = 4194304  # read back at once; a multiple of SLICE_BYTES
    N_TOLD = 8448  # results that are kept; a sender has 8192 files, and the early ones of 128, under way
    WINDOW_BLOCKS = 1048576  # how far ahead of a file's first missing block another may arrive


ctypedef struct open_large:
    bint is_used
    uint64_t id
    entry what  # of its first ENTRY_LARGE; its path points to *path*
    char path[MAX_PATH_BYTES + 1]
    new_file file
    bint is_made  # or has failed to be: *file*, is_direct and is_sparse stay as they are from here on
    bint is_direct
    bint is_sparse  # pages of zeroes are not written
    bint is_in_memory  # on a tmpfs
    bint has_holes  # what does not come is zero
    uint8_t *extras  # of its end
    part_wish wish
    uint64_t n_kept  # bytes of blocks that it has from a copy that was cut off, and that have not come again
    fast_err failure  # the first; FAST_OK while all is well
    bint is_failure_told
    uint64_t n_begun  # bytes that have come
    uint64_t n_done  # of them written, or dropped after a failure
    uint64_t n_total  # bytes that were sent, once its end is known
    uint64_t n_reserved  # reserve.pxd
    uint64_t n_ahead
    uint64_t look_at  # when so many bytes have begun, look whether its directory is still there
    bint has_end
    bint is_abandoned
    digest128 digest  # of what came
    digest128 expected  # what the sender read
    uint64_t n_blocks
    uint64_t low_block  # the first that has not come
    uint64_t window  # bits in *came*
    uint8_t *came  # blocks beyond low_block that have come
    pthread_mutex_t writing  # held by the one buffered writer; no other lock is taken under it


ctypedef struct receive_config:
    int n_streams
    uint32_t block
    const io_engine *engine
    void *exchange  # of io_ring; it outlives the plane
    bint is_direct
    uint64_t direct_bytes  # smaller files are written through the page cache all the same
    bint has_checksum
    bint has_compression
    bint is_sparse
    int selection  # of types.pxd; questions are answered only where the user asked for it
    bint compares_digests
    bint is_dry_run  # nothing may come but questions
    bint itemizes  # results say why
    bint tells_copied  # for a log here: EVENT_COPIED, by the path below the target
    int n_cached  # directories that a stream keeps open, MAX_CACHED at most
    int n_held  # small files that a stream may hold; 0: none needs to wait for its name
    bint names_attributes  # the sender knows FAST_LACKS
    bint reconnects  # a stream whose connection breaks goes on over another one
    uint64_t partial_min  # files of this size and more are parts until they are whole; 0: none
    bint resumes
    bint trusts_parts  # what their journals say is not looked at
    digest128 job  # the command that this copy is of


ctypedef struct receive_state:
    receive_config config
    tree destination
    root_set roots
    expected_set expected
    pthread_mutex_t lock  # of *large* and the counters
    pthread_cond_t made  # one of *large* is
    open_large large[MAX_OPEN_LARGE]
    uint64_t n_ahead  # reserve.pxd
    uint64_t n_to_memory  # bytes of files on a tmpfs since the memory was looked at
    int is_stopped
    int n_written  # streams whose files all have their names
    int n_ended
    event_queue events
    stream_counters streams[MAX_STREAMS]
    connection connections[MAX_STREAMS]
    uint64_t n_files
    uint64_t n_directories
    uint64_t n_failed
    uint64_t n_same  # files that need not come, as the sender was told
    uint64_t n_disk  # bytes written to files


# Where answers go, and what is known of the sources, when the sender is in this process.
ctypedef struct answer_sink:
    void *link  # NULL: there is a socket
    int (*take)(void *link, int message, int count, const uint8_t *body, fast_err *err) noexcept nogil
    void (*identify)(void *link, uint64_t id, source_id *source) noexcept nogil  # the source with this id
    # Gives the large file's contents to *fd* as the file system can, without reading: 1 done, 0 it can't, -1 failed.
    int (*clone)(void *link, const entry *e, int fd, fast_err *err) noexcept nogil


# A small file that is written and waits, with others, for the disk.
ctypedef struct held_file:
    entry what  # without its extras; its path points to *path*
    char path[MAX_PATH_BYTES + 1]
    new_file file
    fast_err lacks
    digest128 digest
    int dirfd  # its directory, which may be another's
    int own_dirfd  # or its own, else -1


ctypedef struct receive_stream:
    receive_state *state
    int index
    line line
    uint64_t n_frames  # taken in all
    int n_untold  # of them since the sender was told
    size_t n_untold_bytes
    bad_frames bad
    uint64_t n_said  # frames sent over this connection
    uint64_t n_heard  # that have come
    echo echoed
    bint was_idle  # since the sender said what it has heard: what it says next is not old
    uint8_t *told  # a ring of results; NULL: there is one connection only
    uint64_t n_told  # in all
    io_ring ring
    dir_cache cache
    uint8_t *meta  # a metadata frame as received
    uint8_t *body  # the same, decompressed
    uint8_t *packed  # a data frame that may be compressed
    uint8_t *results  # a frame of results, filled by add_result and sent by flush_results; nothing else touches it
    void *zstd
    entry *bundle  # small files whose contents come in the next frame; paths point into meta or body
    int n_bundle
    uint64_t bundle_bytes
    held_file *held  # config.n_held of them; NULL: none is held
    unsynced *unsynced  # of each what is asked of the disk, and its answer
    int n_waiting  # of *held*
    uint64_t held_since_ns
    uint8_t *check  # CHECK_BYTES, page-aligned, with --verify
    uint8_t *old  # SMALL_FILE_BYTES, with --itemize: what is there before
    int n_results
    uint8_t *stamps  # a frame of them, of files among *results*
    int n_stamps
    uint64_t stamp  # of the file that add_result is told of next; 0: none
    uint64_t n_entries
    answer_sink sink


# Before anything is made of *e*: what it must not replace, and why it is copied.
cdef void identify(receive_stream *t, const entry *e, source_id *source) noexcept nogil
cdef int receive_open(receive_state *s, uint64_t seed) except -1  # seed: random
cdef void receive_free(receive_state *s) noexcept nogil
cdef void receive_stop(receive_state *s) noexcept nogil  # wakes every thread
cdef int receive_stream_open(receive_stream *t, receive_state *s, int index, fast_err *err) noexcept nogil
cdef void receive_stream_close(receive_stream *t) noexcept nogil
cdef void drop_held(receive_stream *t) noexcept nogil  # what is left of t.held
# Seals and sends *frame*: ANSWER_BEFORE bytes, the body of n_body bytes, TAG_BYTES. Results that wait go first.
cdef int send_answer(receive_stream *t, uint8_t *frame, int message, int count, size_t n_body,
                     fast_err *err) noexcept nogil
# Sends a frame of count results, and how many frames were taken. Where there may be another connection a broken one is
# no failure: the next receive finds out.
cdef int send_results(receive_stream *t, uint8_t *frame, int count, fast_err *err) noexcept nogil
cdef int tell_taken(receive_stream *t, uint64_t n, fast_err *err) noexcept nogil
# Adds the outcome of one entry to the next frame of results; *own* is FAST_OK or why it failed. -1 with FAST_GONE where
# that is because the target itself is gone.
# is_told: this side's Python knows of the failure already.
cdef int add_result(receive_stream *t, const entry *e, const fast_err *own, int flags, bint is_told,
                    const digest128 *digest, fast_err *err) noexcept nogil
cdef int flush_results(receive_stream *t, fast_err *err) noexcept nogil
