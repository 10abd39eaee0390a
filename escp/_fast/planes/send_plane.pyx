"""The sending plane, and both planes of a copy within one host.

    walkers -> queue -> one thread a stream -> sockets; one thread for what comes back
    link_local(): one thread for each stream of both planes, no sockets
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

cimport cython

from escp._fast.base.libc cimport (calloc, escp_load, escp_store, free, geteuid, pthread_cond_broadcast,
                                   pthread_mutex_destroy, pthread_mutex_init, pthread_mutex_lock,
                                   pthread_mutex_unlock)
from escp._fast.base.types cimport MAX_OPEN_LARGE, MAX_PATH_BYTES, clear, fast_err
from escp._fast.files.filter cimport filter_set, filters_compile, filters_free
from escp._fast.files.stamps cimport STAMP_RECORD_BYTES, book_open
from escp._fast.io.block_source cimport BlockSource
from escp._fast.io.engines cimport find_engine
from escp._fast.planes.local cimport local_join, local_link, local_loop, local_stream
from escp._fast.planes.plane cimport Plane, check_memory, check_streams, find_selection, sum_counters
from escp._fast.planes.receive_plane cimport ReceivePlane
from escp._fast.planes.threads cimport MAX_WALKERS, Threads
from escp._fast.receive.receive_state cimport receive_state, receive_stop, receive_stream_open
from escp._fast.send.acks cimport ack_close, ack_loop, ack_open, ack_reader
from escp._fast.send.large_files cimport count_parts_locked
from escp._fast.send.send cimport send_loop
from escp._fast.send.send_setup cimport state_free, state_open
from escp._fast.send.send_state cimport (N_QUESTIONS, N_ROOTS, dir_node, item, node_new, send_config, send_state,
                                         state_stop, state_wake)
from escp._fast.send.send_stream cimport send_stream, send_stream_close, send_stream_open
from escp._fast.walk.count cimport count_loop, count_source_locked
from escp._fast.walk.walk cimport walk_loop


cdef enum:
    MAX_OPEN = 16384  # no limit: there are never so many


cdef void *run_walker(void *arg) noexcept nogil:
    walk_loop(<send_state *>arg)
    return NULL


cdef void *run_counter(void *arg) noexcept nogil:
    count_loop(<send_state *>arg)
    return NULL


cdef void *run_sender(void *arg) noexcept nogil:
    send_loop(<send_stream *>arg)
    return NULL


cdef void *run_acks(void *arg) noexcept nogil:
    ack_loop(<ack_reader *>arg)
    return NULL


cdef void *run_local(void *arg) noexcept nogil:
    local_loop(<local_stream *>arg)
    return NULL


cdef int obey(send_config *c, order) except -1:
    c.engine = find_engine(order.engine)
    c.is_direct = order.is_direct
    c.has_checksum = order.has_checksum
    c.has_compression = order.has_compression
    c.is_recursive = order.is_recursive
    c.keeps_links = order.keeps_links
    c.keeps_hard_links = order.keeps_hard_links
    c.keeps_xattrs = order.keeps_xattrs
    c.keeps_acls = order.keeps_acls
    c.keeps_owner_names = order.keeps_owner_names
    c.has_extras = c.keeps_xattrs or c.keeps_acls or c.keeps_owner_names
    c.is_sparse = order.is_sparse
    c.keeps_devices = order.keeps_devices
    c.selection = find_selection(order.selection, order.compares_digests)
    c.compares_digests = order.compares_digests
    c.is_dry_run = order.is_dry_run
    c.itemizes = order.itemizes
    c.tells_digests = order.tells_digests
    c.tells_same = order.tells_same
    c.removes_sources = order.removes_sources
    c.min_bytes = order.min_bytes
    c.below_bytes = order.below_bytes
    return 0


@cython.no_gc_clear
cdef class SendPlane(Plane):
    """Reads files and sends them over its streams.

    *order*: a escp.control.messages.Send, or anything with its attributes.
    *direct_bytes*: large files smaller than that go through the page cache, even if the order says is_direct.
    *max_open*: how many sources may be open at the same time, beside one for each walker.
    *has_openat2*: False does without that system call, as on kernels that lack it.
    *limit_bytes_per_s*: of a copy within this host; 0: none. Over a network the kernel paces the sockets.
    *reconnects*: a stream whose connection breaks waits for another one; CUT and RESUMED events tell of it.
    *memory*: a BlockSource, which has the contents of the only source, whatever engine the order names.
    *fault_offset* is for tests: it flips a bit of the byte at that offset of every file, after hashing.
    """
    cdef send_state *state
    cdef send_stream *streams
    cdef filter_set *filters
    cdef ack_reader acks
    cdef ReceivePlane local  # its partner in this process, which it keeps alive
    cdef local_link link
    cdef local_stream *links
    cdef BlockSource memory  # threads use it to their end

    def __cinit__(self, order, *, int n_streams, uint32_t block_bytes, uint64_t direct_bytes=0, int n_walkers=2,
                  int max_open=MAX_OPEN, bint has_openat2=True, int64_t fault_offset=-1,
                  uint64_t limit_bytes_per_s=0, bint reconnects=False, BlockSource memory=None):
        check_streams(n_streams, block_bytes)
        self.link.limit_bytes_per_s = limit_bytes_per_s
        pthread_mutex_init(&self.link.pace, NULL)
        self.filters = filters_compile([(rule[:1] == b"+", rule[1:]) for rule in order.filters])
        self.held = []
        self.threads = Threads()
        self.state = <send_state *>calloc(1, sizeof(send_state))
        self.streams = <send_stream *>calloc(n_streams, sizeof(send_stream))
        self.links = <local_stream *>calloc(n_streams, sizeof(local_stream))
        if self.state == NULL or self.streams == NULL or self.links == NULL:
            raise MemoryError
        self.events, self.connections = &self.state.events, self.state.connections
        self.state.lacks_openat2 = not has_openat2
        self.state.config.n_streams = n_streams
        self.state.config.n_walkers = min(max(n_walkers, 1), MAX_WALKERS)
        self.state.config.block = block_bytes
        self.state.config.direct_bytes = direct_bytes
        self.state.config.max_open = max(max_open, 1)
        self.limit_large(MAX_OPEN_LARGE)
        self.state.config.target_fd = -1
        self.state.config.fault_offset = fault_offset
        self.state.config.is_root = geteuid() == 0
        self.state.config.filters = self.filters if self.filters.n else NULL
        self.state.config.reconnects = reconnects
        obey(&self.state.config, order)
        if memory is not None:
            self.memory = memory
            self.state.config.engine, self.state.config.exchange = memory.engine(), &memory.s
        state_open(self.state)

    cdef int check_unbegun(self) except -1:
        """What threads go by must not change any more once they have a source."""
        if self.state.n_all_roots:
            raise ValueError("a source has been added")
        return 0

    def limit_large(self, int n):
        """At most *n* large files may be begun and not yet acknowledged, from now on."""
        self.state.config.max_large = max(1, min(n, self.state.config.max_open, <int>MAX_OPEN_LARGE))

    def tell_begun(self):
        """The receiver knows ENTRY_BEGUN. To be called before add_source()."""
        self.check_unbegun()
        self.state.config.tells_begun = True

    def ask_nodes(self):
        """The receiver judges links and devices. To be called before add_source()."""
        self.check_unbegun()
        self.state.config.asks_nodes = True

    def tell_copied(self):
        """A COPIED event for each file, link or device that is there. To be called before add_source()."""
        self.check_unbegun()
        self.state.config.tells_copied = True

    def keep_parts(self, uint64_t partial_min, bint resumes):
        """The receiver may keep parts of files of that size and more, 0: of none; *resumes*: it is asked for those that
        it has. Before there is any source.
        """
        self.check_unbegun()
        self.state.config.partial_min = partial_min
        self.state.config.resumes = resumes and partial_min > 0

    def keep_record(self, uint64_t seed, bytes records not None):
        """Files are asked about that these *records* of earlier runs know, and there are new ones: see take_record.
        Before there is any source.
        """
        cdef send_state *s = self.state
        cdef uint64_t n = len(records) // STAMP_RECORD_BYTES
        self.check_unbegun()
        if s.questions == NULL and n:
            s.questions = <item *>calloc(N_QUESTIONS, sizeof(item))
        if not book_open(&s.stamps, seed, records, n) or (s.questions == NULL and n):
            raise MemoryError("record")

    def take_record(self):
        """What has arrived since the last time, as `keep_record` takes it."""
        cdef send_state *s = self.state
        cdef bytes records
        if not escp_load(&s.stamps.n_logged):  # without the lock: then the next time
            return b""
        pthread_mutex_lock(&s.lock)
        records = (<char *>s.stamps.log)[:s.stamps.n_logged * STAMP_RECORD_BYTES]
        escp_store(&s.stamps.n_logged, 0)
        pthread_mutex_unlock(&s.lock)
        return records

    def start(self):
        cdef fast_err err
        cdef int i
        cdef int rc = 0
        clear(&err)
        if self.local is not None:
            self.start_local()
            return
        check_memory(self.state.config.n_streams, self.state.config.block, 1, False)
        for i in range(self.state.config.n_streams):
            if self.state.connections[i].number == 0:
                raise ValueError(f"stream {i} is not attached")
            if rc == 0:
                rc = send_stream_open(&self.streams[i], self.state, i, &err)
        if rc < 0 or ack_open(&self.acks, self.state, &err) < 0:
            check_memory(self.state.config.n_streams, self.state.config.block, 1, True)
        self.threads.add(run_acks, &self.acks, "escp-acks")
        for i in range(self.state.config.n_streams):
            self.threads.add(run_sender, &self.streams[i], "escp-send")
        self.start_walkers()

    cdef void wake(self) noexcept nogil:
        state_wake(self.state)

    cdef int start_walkers(self) except -1:
        for _ in range(self.state.config.n_walkers):
            self.threads.add(run_walker, self.state, "escp-walk")
        # Counting looks at names: which files are within --min-size and --max-size it can't say.
        if not (self.state.is_uncountable or self.state.config.min_bytes or self.state.config.below_bytes):
            self.threads.add(run_counter, self.state, "escp-count")
        return 0

    cdef int start_local(self) except -1:
        cdef fast_err err
        cdef int i
        clear(&err)
        check_memory(self.state.config.n_streams, self.state.config.block, 2, False)
        for i in range(self.state.config.n_streams):
            if (send_stream_open(&self.streams[i], self.state, i, &err) < 0
                    or receive_stream_open(&self.local.streams[i], self.local.state, i, &err) < 0):
                check_memory(self.state.config.n_streams, self.state.config.block, 2, True)
            local_join(&self.links[i], &self.link, &self.streams[i], &self.local.streams[i])
        for i in range(self.state.config.n_streams):
            self.threads.add(run_local, &self.links[i], "escp-local")
        self.start_walkers()
        return 0

    def add_source(self, bytes source not None, bytes target not None, *, bint waits=False, bint tells_absent=False):
        """Queue the file or directory *source*, to become *target* (a name, or a path) below the destination.

        *waits*: it may write to names that an earlier source writes to, so all of those are finished first.
        *tells_absent*: if it can't be sent, the receiver is told that it will not come.

        False when the queue is full: a ROOM event tells when to try again.
        """
        cdef dir_node *node
        cdef bint has_room
        if not source or b"\0" in source or len(target) > MAX_PATH_BYTES:
            raise ValueError("a source is a path, its target a relative one")
        node = node_new(NULL, source, len(source), target, len(target))
        if node == NULL:
            raise MemoryError
        node.tells_absent = tells_absent
        pthread_mutex_lock(&self.state.lock)
        has_room = self.state.n_roots < N_ROOTS
        if has_room:
            self.state.roots[(self.state.roots_head + self.state.n_roots) % N_ROOTS].node = node
            self.state.roots[(self.state.roots_head + self.state.n_roots) % N_ROOTS].waits = waits
            self.state.n_roots += 1
            self.state.n_all_roots += 1
            node.serial = self.state.n_all_roots
            count_source_locked(self.state, node.source, node.n_source, node.target, node.n_target)
        else:
            self.state.wants_root_event = True
        pthread_cond_broadcast(&self.state.walk)
        pthread_mutex_unlock(&self.state.lock)
        if not has_room:
            free(node)
        return bool(has_room)

    def end_sources(self):
        """All sources have been added: when they are sent and acknowledged, the plane finishes."""
        pthread_mutex_lock(&self.state.lock)
        self.state.has_all_roots = True
        pthread_cond_broadcast(&self.state.walk)
        pthread_cond_broadcast(&self.state.count)
        pthread_mutex_unlock(&self.state.lock)

    def counters(self):
        cdef send_state *s = self.state
        cdef uint64_t found_files
        cdef uint64_t found_bytes
        cdef uint64_t counted_files
        cdef uint64_t files
        cdef uint64_t directories
        cdef uint64_t failed
        cdef uint64_t skipped
        cdef bint is_walked
        cdef int parts
        with nogil:  # all numbers under one lock, to fit each other: found_bytes also shrinks, by holes
            pthread_mutex_lock(&s.lock)
            found_files, found_bytes, is_walked = s.n_found_files, s.n_found_bytes, s.is_walked
            files, directories, failed, skipped = s.n_files, s.n_directories, s.n_failed, s.n_skipped
            counted_files = found_files + skipped if is_walked else s.n_counted
            parts = count_parts_locked(s)
            pthread_mutex_unlock(&s.lock)
        return sum_counters(s.streams, s.config.n_streams) | {
            "found_files": found_files, "found_bytes": found_bytes, "files": files, "directories": directories,
            "failed": failed, "skipped": skipped, "is_walked": bool(is_walked), "counted_files": counted_files,
            "parts": parts}

    def stop(self):
        """Make all threads end soon. May be called at any time, and again."""
        with nogil:
            state_stop(self.state)
            if self.link.receiving != NULL:
                receive_stop(self.link.receiving)

    def __dealloc__(self):
        cdef int i
        if self.state == NULL:
            filters_free(self.filters)
            return
        if self.threads is not None and self.threads.n:
            state_stop(self.state)
            if self.link.receiving != NULL:
                receive_stop(self.link.receiving)
            self.threads.join()
        if self.local is not None:
            self.local.partner = NULL
        pthread_mutex_destroy(&self.link.pace)
        free(self.links)
        if self.streams != NULL:
            for i in range(self.state.config.n_streams):
                send_stream_close(&self.streams[i])
            free(self.streams)
        ack_close(&self.acks)
        state_free(self.state)
        filters_free(self.filters)
        self.filters = NULL
        free(self.state)
        self.state = NULL


def link_local(SendPlane sender not None, ReceivePlane receiver not None):
    """Join two planes of this process instead of attaching streams; before start(), and for good.

    The sender's start() starts both, stop() and join() of either are those of both; events and counters stay
    separate, and both planes finish or fail. The two must agree on n_streams, block_bytes, has_checksum and the
    selection; nothing is compressed.
    """
    cdef send_state *s = sender.state
    cdef receive_state *r = receiver.state
    if sender.local is not None or receiver.partner != NULL or sender.threads.n or receiver.threads.n:
        raise ValueError("a plane is linked once, before it starts")
    if (s.config.n_streams != r.config.n_streams or s.config.block != r.config.block
            or s.config.has_checksum != r.config.has_checksum or s.config.selection != r.config.selection
            or s.config.compares_digests != r.config.compares_digests):
        raise ValueError("the planes differ in streams, blocks, digests or selection")
    s.config.has_compression = r.config.has_compression = False
    if r.config.engine.has_files and r.destination.in_place_fd < 0:
        s.config.target_fd = r.destination.root_fd
    sender.local = receiver
    sender.link.sending = s
    sender.link.receiving = r
    receiver.partner = s
    receiver.threads = sender.threads
