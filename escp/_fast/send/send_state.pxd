"""The sender's shared state: what is still to be walked, opened, sent and acknowledged. All of it bounded.

    roots -> [walk] -> items -> [send] -> frames        results -> [acks] -> flights end, directories finish

One lock guards everything here but the counters. A directory is finished when it has been listed and all
that was found in it has been acknowledged; only then is its own entry sent, so that its times and mode are
set last, and so that memory depends on what is in flight, not on the size of the tree.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from escp._fast.base.counters cimport stream_counters
from escp._fast.base.events cimport event_queue
from escp._fast.base.libc cimport pthread_cond_t, pthread_mutex_t, stat_t, timespec_t
from escp._fast.base.types cimport (MAX_BATCH, MAX_META_BYTES, MAX_NAME_BYTES, MAX_OPEN_LARGE, MAX_STREAMS, TELL_BYTES,
                                    TELL_FRAMES, fast_err)
from escp._fast.crypto.digest cimport digest128
from escp._fast.files.filter cimport filter_set
from escp._fast.files.journal cimport kept_blocks
from escp._fast.files.owners cimport owner_cache
from escp._fast.files.stamps cimport stamp_book
from escp._fast.io.ring cimport io_engine
from escp._fast.wire.connection cimport connection

cdef enum:
    N_ITEMS = 256  # opened files waiting for a stream
    N_ROOTS = 256  # sources waiting for a walker
    N_FLIGHTS = 8192  # files sent and not yet acknowledged; a power of two
    SHORT_NAME_BYTES = 38  # of a name that a flight has room for
    MAX_FINISHED = 8192  # directories and absent sources to be told of, before walkers wait with the next source
    N_QUESTIONS = 1024  # files to be asked about, waiting for a stream
    MAX_ASKED = N_FLIGHTS // 2  # of the flights, so that files always find some
    ASK_ROOM = 256  # questions are asked only while so many more flights are free
    N_SENT = 1024  # frames of a stream on the way: in blocks of 1 MiB that is 1 GiB
    # Of a stream, to be sent again. Until the receiver tells what it has taken, with as much again on the way; the
    # ring's end and what is behind its oldest frame may be too short for the next.
    LOG_BYTES = 2 * (TELL_BYTES + TELL_FRAMES // 2 * MAX_BATCH * 8) + 2 * MAX_META_BYTES
    MAX_STACKED = 1024  # directories found and not yet listed, before a listing is put off


ctypedef struct dir_node:
    dir_node *parent
    dir_node *root  # the source that it lies below, or is
    uint64_t serial  # of a source: no two have the same
    dir_node *next  # in the stack of directories to list, or in the list of finished ones
    uint32_t n_refs  # itself while being listed, children listed, files open or in flight
    bint is_root_file  # stands for a source that is a file: it has paths and no entry of its own
    bint is_unlisted  # could not be listed: no entry is sent
    bint tells_absent  # of a source: the receiver waits for its entry, or hears that none comes
    uint64_t begun  # a bit for each stream that ENTRY_BEGUN was sent on; set under the lock, read without it
    bint is_settled  # of a source: it waits no more
    bint is_gone  # of a source: nothing below it can be read any more, which was told
    bint is_open  # its status is known
    bint is_destination  # it is the directory that everything is written below
    int64_t resume  # where its listing goes on
    stat_t status
    uint32_t n_source  # bytes of the source's path
    uint32_t n_target  # bytes of its path below the target
    char *source  # ended by NUL
    char *target


cdef enum links_state:
    LINKS_PENDING = 0
    LINKS_GOOD = 1
    LINKS_FAILED = 2
    LINKS_REFUSED = 3  # the receiver did not take the first name: the next one is to be the first


# An inode with several names, when hard links are kept.
ctypedef struct hard_link:
    hard_link *next  # in its bucket
    uint64_t dev
    uint64_t ino
    uint64_t n_disk  # st_size and st_mtim of the file as it was sent
    timespec_t mtim
    uint64_t ctime  # with a stamp: that of the source, in ns
    uint64_t stamp  # of the file at the target; 0: none is known
    put_off *waiting  # names that wait for the first one's result, or for what the receiver has of them
    uint32_t n_asked  # names about which the receiver has been asked, and has not answered
    uint8_t state  # links_state
    uint8_t is_sent  # by this session
    uint8_t node  # what has these names: ENTRY_LINK or ENTRY_DEVICE; 0, a file
    uint16_t n_path
    char *path  # of the first one, below the target


# One more name of a file, found before the first one's result was known.
ctypedef struct put_off:
    put_off *next
    hard_link *first
    dir_node *dir  # holds a reference
    uint16_t n_name
    char *name


ctypedef struct item:
    int fd  # -1: what has no contents, or a question, not yet opened
    uint8_t kind  # ENTRY_SMALL stands for every file with contents
    char *link  # text of a symbolic link, or NULL: to be freed
    hard_link *links  # of a file with several names, when hard links are kept
    dir_node *dir  # holds a reference
    stat_t status
    uint64_t size  # of its contents; status.st_size is what the system tells, to be compared with later
    bint is_measured  # it does not tell the truth: what is small is read to its end, and *size* is only a guess
    uint64_t stamp  # of a question: that which the file had when an earlier run had brought it; 0: none has
    uint16_t n_name
    char name[MAX_NAME_BYTES + 1]


ctypedef struct large_file:
    bint is_used
    int has_failed  # a bint, read without the lock, too
    bint is_ending  # one thread has taken it on to send its end
    int fd
    bint is_direct
    uint64_t id
    uint64_t size
    bint has_holes  # only ranges with data are handed out
    bint is_handed_out  # no range is left
    uint64_t next  # offset of the next block to hand out
    uint32_t n_next  # its length
    uint64_t next_data  # of a file with holes: where data goes on, at or behind *next*
    uint64_t n_claimed
    uint64_t n_done  # blocks read and sent, or given up
    uint64_t n_sent_bytes
    uint64_t announced  # a bit for each stream that its entry was sent on
    bint is_cloned  # the receiver has it without a block of it
    bint asks  # what the receiver has of it from a copy that was cut off
    bint is_asked  # and unanswered
    bint is_local  # the receiver is in this process: its answer comes before open_large goes on
    kept_blocks kept  # the answer; nothing changes in it once blocks are handed out
    uint64_t n_kept  # that were told
    digest128 digest
    large_file *next_ending  # or the next one in *opened*
    item what


# 160 bytes: a long copy has all of them in memory.
ctypedef struct flight:
    uint64_t id  # 0: free
    int to_next_free  # of a free one, from the one behind it on: so zeroed memory is a list, and stays untouched
    uint16_t n_name
    uint8_t kind  # entry_kind
    uint8_t is_sent  # its entry (the last one, of a large file) is on its way: a final result may come
    uint8_t is_good  # it had a good one
    uint8_t is_refused  # the receiver could not make it, whatever its contents are
    uint8_t is_digest_known  # of a question: *digest* is that of the receiver's file
    # Of a question: ENTRY_LINK or ENTRY_DEVICE if it is about one (if the receiver can't judge, ENTRY_LINK for both).
    # Of a hard link: what it is another name of. Else 0.
    uint8_t node
    uint8_t is_lone  # the source had no other name
    uint8_t reason  # of a question: the reason_kind of the answer
    uint8_t is_told  # the user knows already that it has failed
    char short_name[SHORT_NAME_BYTES]  # see flight_name
    uint64_t size
    uint64_t dev  # of the source
    uint64_t ino
    uint64_t n_disk  # its st_size
    uint64_t mtime  # in ns, modulo 2^64
    uint64_t ctime
    digest128 digest
    uint64_t stamp  # of the file at the target: as its receiver told it, or of a question is asked; 0: none
    dir_node *dir
    large_file *large
    hard_link *links  # those that wait for its result; of a question: its file, if that has several names
    flight *next_wanted


cdef enum sent_kind:
    SENT_META = 0  # its payload is kept
    SENT_BUNDLE = 1  # the ids of its files are kept
    SENT_BLOCK = 2


# A frame without the cryptography of the connection that it went over.
ctypedef struct sent_frame:
    uint64_t id  # of the file of which it is a block
    uint64_t offset  # in that file; or where it is kept
    uint32_t n  # bytes of the block, or of what is kept
    uint8_t kind


ctypedef struct sent_log:
    sent_frame *frames  # a ring; NULL: the stream has one connection only
    uint8_t *kept  # a ring of LOG_BYTES; what a frame needs lies in one piece
    size_t head  # where the next one may go
    uint64_t first_kept  # no frame before it is kept
    uint64_t n_sent  # frames there ever were
    uint64_t n_confirmed  # of them the receiver has taken
    uint32_t acks_on  # connection that the results are read from
    uint32_t confirmed_on  # connection on which the receiver has said what it has
    uint64_t n_results  # that have come over this stream
    # Of the stream's connection, each written by one thread and read by the other: frames that its own thread has begun
    # to send, and over which connection; frames that have come.
    uint64_t n_said
    uint64_t said_on
    uint64_t n_heard
    uint64_t end  # frames with the stream's END; 0: it is not to be sent yet
    bint is_ended  # the receiver has it: nothing will be sent again


ctypedef struct root:
    dir_node *node
    bint waits  # until all before it is acknowledged: it may write to the same names


ctypedef struct send_config:
    int n_streams
    int n_walkers
    uint32_t block
    const io_engine *engine
    void *exchange  # of io_ring; it outlives the plane
    bint is_direct
    uint64_t direct_bytes  # smaller files are read through the page cache all the same
    bint has_checksum
    bint has_compression
    bint is_recursive
    bint keeps_links  # symbolic ones go as such; none is followed
    bint keeps_hard_links
    bint keeps_xattrs
    bint keeps_acls
    bint keeps_owner_names
    bint has_extras  # any of the three above
    bint is_sparse
    bint keeps_devices
    bint is_root  # attributes of root's name spaces can be read
    const filter_set *filters
    int selection  # which files are sent at all
    bint compares_digests
    bint is_dry_run
    bint removes_sources  # what has arrived
    bint itemizes  # what has arrived is told, and why it was sent
    bint tells_digests  # and of a file, behind a NUL, its digest
    bint tells_same  # and what the receiver has already, or that arrived and lacks something
    bint tells_copied  # for a log here: EVENT_COPIED, by the source's name
    bint tells_begun  # the receiver knows ENTRY_BEGUN
    bint asks_nodes  # the receiver judges links and devices
    uint64_t min_bytes  # smaller files are left out
    uint64_t below_bytes  # and those that are not smaller than that; 0: no bound
    bint reconnects  # a stream whose connection breaks goes on over another one
    int max_open  # sources that are open at the same time: beyond that walkers wait
    int max_large  # large files begun and not yet acknowledged: the receiver has as many open
    int target_fd  # the directory that a receiver in this process writes below; else -1
    uint64_t partial_min  # of large files of this size and more the receiver may keep parts; 0: of none
    bint resumes  # and is asked for those that it has
    int64_t fault_offset  # tests: flip a bit of the block that holds it, between hash and seal; -1 = never


ctypedef struct send_state:
    send_config config
    pthread_mutex_t lock
    pthread_cond_t work  # streams: items, blocks, finished directories, or the end
    pthread_cond_t walk  # walkers: roots and directories to list, or the end
    pthread_cond_t room  # walkers: room for items
    pthread_cond_t count  # who counts ahead: sources, or the end
    int is_stopped
    bint has_all_roots
    int lacks_openat2
    uint64_t known_dev  # files/sizes.pxd
    root roots[N_ROOTS]
    uint64_t n_all_roots  # that there ever were
    int roots_head
    int n_roots
    bint wants_root_event
    dir_node *stack
    int n_stacked
    int n_walking
    bint is_walked
    dir_node *to_count  # walk/count.pxd: sources and directories; no references
    int n_to_count
    int is_uncountable  # or counted; a bint, read without the lock, too
    uint64_t n_counted  # files that there are; 0: not known
    item items[N_ITEMS]
    int items_head
    int n_items
    int n_open  # sources, in the queue or with a stream
    item *questions  # a ring of N_QUESTIONS; NULL unless the receiver is asked
    int questions_head
    int n_questions
    int n_asked  # flights of ENTRY_QUERY: unanswered, or waiting for a walker
    flight *wanted  # the oldest question whose answer is for a walker
    flight *last_wanted
    dir_node *finished
    int n_finished
    hard_link **link_buckets
    uint64_t n_link_buckets
    uint64_t n_hard_links
    put_off *linkable  # names whose first one's result is known
    put_off *again  # names that are to be the first one now
    int n_put_off  # of them and of those that wait
    owner_cache owners
    large_file large[MAX_OPEN_LARGE]
    large_file *current  # the file whose blocks are being handed out
    large_file *opened  # files that a receiver in this process has created, of which no block is under way
    large_file *ending  # files that the receiver gave up on, and of which no block is under way
    flight *flights
    char *long_names  # MAX_NAME_BYTES for each flight, in memory only where a long name has been
    int first_free
    int n_free
    uint64_t next_serial
    stamp_book stamps
    event_queue events
    stream_counters streams[MAX_STREAMS]
    connection connections[MAX_STREAMS]
    sent_log sent[MAX_STREAMS]
    int wake_fd  # of the thread that reads results: there is a new connection, or the end; -1: there is but one each
    # Counters written under the lock, read without it.
    uint64_t n_found_files
    uint64_t n_found_bytes
    uint64_t n_files  # acknowledged and verified
    uint64_t n_directories
    uint64_t n_failed
    uint64_t n_skipped  # the receiver has them already


# Functions ending in _locked need the lock held; the others take it.
cdef void state_stop(send_state *s) noexcept nogil  # wakes every thread and shuts the sockets
cdef void state_wake(send_state *s) noexcept nogil  # whoever waits for a stream's next connection
cdef void state_fail(send_state *s, const fast_err *err) noexcept nogil  # a fatal event, then state_stop
cdef void report(send_state *s, const fast_err *err, bint is_remote, dir_node *dir,
                 const char *name, size_t n_name) noexcept nogil  # one file failed
# EVENT_LISTED or EVENT_ITEM, of an entry of that kind and size, for that reason_kind.
cdef void tell_name(send_state *s, int event, int reason, int kind, uint64_t size, dir_node *dir,
                    const char *name, size_t n_name) noexcept nogil
cdef dir_node *node_new(dir_node *parent, const char *source, size_t n_source,
                        const char *target, size_t n_target) noexcept nogil
cdef void node_unref(send_state *s, dir_node *node) noexcept nogil
cdef void node_unref_locked(send_state *s, dir_node *node) noexcept nogil
cdef bint has_entry(const send_state *s, const dir_node *node) noexcept nogil  # a finished one: ENTRY_DIRECTORY is sent
cdef void item_close(item *it) noexcept nogil  # its descriptor and its link's text
cdef void item_put(send_state *s, const item *it) noexcept nogil  # waits for room; takes over fd and reference
cdef void sources_closed_locked(send_state *s, int n) noexcept nogil  # so many of *n_open*
cdef void large_close_locked(send_state *s, large_file *l) noexcept nogil  # its descriptor
cdef bint is_all_done_locked(send_state *s) noexcept nogil
cdef bint is_idle_locked(send_state *s) noexcept nogil  # all that was walked so far is acknowledged
# Whether the open file is still what it was when it was found, and the *n* bytes that were read of it are all of it;
# -1 with FAST_CHANGED, whose *where* says what is otherwise.
cdef int check_unchanged(int fd, const item *it, uint64_t n, fast_err *err) noexcept nogil
