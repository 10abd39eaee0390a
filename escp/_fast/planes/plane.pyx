"""The two planes as Python sees them: configure, attach streams, start, read counters and events, stop, join.

    SendPlane:    walkers -> queue -> one thread a stream -> sockets; one thread for what comes back
    ReceivePlane: sockets -> one thread a stream -> files
    link_local(): one thread for each stream of both, no sockets

A plane knows neither who started whom nor who connected. Its methods are for Python's main thread;
none of them waits for a native thread but join(), which is called once the threads are known to end.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

import os

cimport cython

from escp._fast.base.counters cimport stream_counters
from escp._fast.base.events cimport (EVENT_FATAL, EVENT_FILE_FAILED, EVENT_FINISHED, EVENT_LISTED, EVENT_ROOM,
                                     event_queue, take_events)
from escp._fast.base.libc cimport (calloc, escp_load, escp_thread_start, free, geteuid, pthread_cond_broadcast,
                                   pthread_join, pthread_mutex_lock, pthread_mutex_unlock, pthread_t)
from escp._fast.base.types cimport (MAX_NAME_BYTES, MAX_PATH_BYTES, MAX_STREAMS, SELECT_ALL, SELECT_CHANGED,
                                    SELECT_NEWER, clear, fast_err)
from escp._fast.crypto.channel cimport Channel, channel as stream_channel
from escp._fast.files.filter cimport filter_set, filters_compile, filters_free
from escp._fast.io.engines cimport find_engine
from escp._fast.planes.local cimport local_join, local_link, local_loop, local_stream
from escp._fast.receive.receive cimport receive_loop
from escp._fast.receive.receive_state cimport (receive_free, receive_open, receive_state, receive_stop, receive_stream,
                                               receive_stream_close, receive_stream_open)
from escp._fast.receive.roots cimport MAX_WAITING, ROOTS_CLOSED, ROOTS_FULL, roots_allow, roots_open
from escp._fast.send.acks cimport ack_close, ack_loop, ack_open, ack_reader
from escp._fast.send.send cimport send_loop
from escp._fast.send.send_frames cimport send_stream, send_stream_close, send_stream_open
from escp._fast.send.send_state cimport N_ROOTS, dir_node, node_new, send_state, state_free, state_open, state_stop
from escp._fast.walk.walk cimport walk_loop

from escp._fast.errors import raise_error

SELECTIONS = {"all": SELECT_ALL, "newer": SELECT_NEWER, "changed": SELECT_CHANGED}
FILE_FAILED, FATAL, FINISHED, ROOM = EVENT_FILE_FAILED, EVENT_FATAL, EVENT_FINISHED, EVENT_ROOM
LISTED = EVENT_LISTED

cdef enum:
    MAX_WALKERS = 16


cdef void *run_walker(void *arg) noexcept nogil:
    walk_loop(<send_state *>arg)
    return NULL


cdef void *run_sender(void *arg) noexcept nogil:
    send_loop(<send_stream *>arg)
    return NULL


cdef void *run_acks(void *arg) noexcept nogil:
    ack_loop(<ack_reader *>arg)
    return NULL


cdef void *run_receiver(void *arg) noexcept nogil:
    receive_loop(<receive_stream *>arg)
    return NULL


cdef void *run_local(void *arg) noexcept nogil:
    local_loop(<local_stream *>arg)
    return NULL


cdef class Threads:
    """Started native threads, joined together."""
    cdef pthread_t handles[MAX_STREAMS + MAX_WALKERS + 1]
    cdef int n

    cdef int add(self, void *(*run)(void *) noexcept nogil, void *arg, const char *name) except -1:
        cdef int rc = escp_thread_start(&self.handles[self.n], run, arg, name)
        if rc:
            raise OSError(rc, f"can't start a thread: {os.strerror(rc)}")
        self.n += 1
        return 0

    cdef void join(self) noexcept nogil:
        while self.n:
            self.n -= 1
            pthread_join(self.handles[self.n], NULL)


cdef dict sum_counters(const stream_counters *streams, int n):
    """bytes, bytes_network, bytes_compressed of all streams; first_ns, last_ns: monotonic clock, 0 = no data yet."""
    cdef uint64_t first = 0
    cdef uint64_t last = 0
    cdef uint64_t value
    cdef int i
    total = wire = payload = 0
    for i in range(n):
        total += escp_load(&streams[i].n_bytes)
        wire += escp_load(&streams[i].n_wire)
        payload += escp_load(&streams[i].n_payload)
        value = escp_load(&streams[i].first_ns)
        if value and (first == 0 or value < first):
            first = value
        value = escp_load(&streams[i].last_ns)
        last = value if value > last else last
    return {"bytes": total, "bytes_network": wire, "bytes_compressed": payload, "first_ns": first, "last_ns": last}


def read_umask():
    """This process's umask, without changing it for a moment under other threads where the kernel tells it."""
    with open("/proc/self/status", "rb") as status:
        for line in status:
            if line.startswith(b"Umask:"):
                return int(line.split()[1], 8)
    umask = os.umask(0o077)  # before Linux 4.7
    os.umask(umask)
    return umask


def check_streams(int n_streams, size_t block_bytes):
    if not 1 <= n_streams <= MAX_STREAMS:
        raise ValueError("1 to 64 streams")
    if block_bytes < 1 << 18 or block_bytes > 1 << 25 or block_bytes % (1 << 18):
        raise ValueError("a block is a multiple of 256 KiB, 32 MiB at most")


def check_selection(selection, bint compares_digests):
    if selection not in SELECTIONS:
        raise ValueError(f"a selection is one of {', '.join(SELECTIONS)}")
    if compares_digests and selection != "changed":
        raise ValueError("digests are compared to find what has changed")


@cython.no_gc_clear  # __dealloc__ needs all of it to end the threads
cdef class Plane:
    """What both planes have. The pointers lead into their state."""
    cdef event_queue *events
    cdef int *sockets
    cdef stream_channel **channels
    cdef Threads threads
    cdef list held  # channels: they must outlive the threads

    def attach(self, int fd, Channel channel not None):
        """Give the stream of *channel* its connected socket; the caller keeps it open until after join()."""
        self.sockets[channel.c.stream] = fd
        self.channels[channel.c.stream] = &channel.c
        self.held.append(channel)

    @property
    def event_fd(self):
        """Readable when take_events() has something."""
        return self.events.fd

    def take_events(self):
        """(kind, code, errno, where, offset, is_remote, path) of each waiting event."""
        return take_events(self.events)

    def join(self):
        """Wait for the threads: after FINISHED, FATAL or stop()."""
        with nogil:
            self.threads.join()


@cython.no_gc_clear
cdef class SendPlane(Plane):
    """Reads files and sends them over its streams.

    *direct_bytes*: large files below that size are read through the page cache, with is_direct, too.

    *follows_links*: False sends symbolic links as they are. *keeps_hard_links*: further names of a file go as such.
    *keeps_owner_names*: owner and group go by name, too. *finds_holes*: holes are neither read nor sent.
    *sends_devices*: devices and fifos, too.
    *filters*: (is_include, pattern) each, in the order in which they are tried; see filter.pxd.
    *selection*: "all", "newer" (not what is newer, or the same, on the other side) or "changed" (not what has the
    same size and time there; with *compares_digests* the same size and digest). The receiver must know of it.
    *is_dry_run*: nothing is sent; what would be copied is told as LISTED events and counted.
    *has_openat2*: False does without that system call, as on kernels that lack it.
    *fault_offset* is for tests: it flips a bit of the byte at that offset of every file, after hashing.
    """
    cdef send_state *state
    cdef send_stream *streams
    cdef filter_set *filters
    cdef ack_reader acks
    cdef ReceivePlane local  # its partner in this process, which it keeps alive
    cdef local_link link
    cdef local_stream *links

    def __cinit__(self, *, int n_streams, uint32_t block_bytes, engine="posix", bint is_direct=True,
                  uint64_t direct_bytes=0,
                  bint has_checksum=True, bint has_compression=False, bint is_recursive=False, int n_walkers=2,
                  int64_t fault_offset=-1, bint follows_links=True, bint keeps_hard_links=False,
                  bint keeps_xattrs=False, bint keeps_acls=False, bint keeps_owner_names=False,
                  bint finds_holes=False, bint sends_devices=False,
                  filters=(), selection="all", bint compares_digests=False, bint is_dry_run=False,
                  bint has_openat2=True):
        check_streams(n_streams, block_bytes)
        check_selection(selection, compares_digests)
        self.filters = filters_compile(list(filters))
        self.held = []
        self.threads = Threads()
        self.state = <send_state *>calloc(1, sizeof(send_state))
        self.streams = <send_stream *>calloc(n_streams, sizeof(send_stream))
        self.links = <local_stream *>calloc(n_streams, sizeof(local_stream))
        if self.state == NULL or self.streams == NULL or self.links == NULL:
            raise MemoryError
        self.events, self.sockets, self.channels = &self.state.events, self.state.sockets, self.state.channels
        self.state.lacks_openat2 = not has_openat2
        self.state.config.n_streams = n_streams
        self.state.config.n_walkers = min(max(n_walkers, 1), MAX_WALKERS)
        self.state.config.block = block_bytes
        self.state.config.engine = find_engine(engine)
        self.state.config.is_direct = is_direct
        self.state.config.direct_bytes = direct_bytes
        self.state.config.has_checksum = has_checksum
        self.state.config.has_compression = has_compression
        self.state.config.is_recursive = is_recursive
        self.state.config.target_fd = -1
        self.state.config.fault_offset = fault_offset
        self.state.config.follows_links = follows_links
        self.state.config.keeps_hard_links = keeps_hard_links
        self.state.config.keeps_xattrs = keeps_xattrs
        self.state.config.keeps_acls = keeps_acls
        self.state.config.keeps_owner_names = keeps_owner_names
        self.state.config.has_extras = keeps_xattrs or keeps_acls or keeps_owner_names
        self.state.config.finds_holes = finds_holes
        self.state.config.sends_devices = sends_devices
        self.state.config.is_root = geteuid() == 0
        self.state.config.filters = self.filters if self.filters.n else NULL
        self.state.config.selection = SELECTIONS[selection]
        self.state.config.compares_digests = compares_digests
        self.state.config.is_dry_run = is_dry_run
        state_open(self.state)

    def start(self):
        cdef fast_err err
        cdef int i
        cdef int rc = 0
        clear(&err)
        if self.local is not None:
            self.start_local()
            return
        for i in range(self.state.config.n_streams):
            if self.state.channels[i] == NULL:
                raise ValueError(f"stream {i} is not attached")
            if rc == 0:
                rc = send_stream_open(&self.streams[i], self.state, i, &err)
        if rc < 0 or ack_open(&self.acks, self.state, &err) < 0:
            raise_error(err.code, err.sys_errno, "buffers", -1)
        self.threads.add(run_acks, &self.acks, "escp-acks")
        for i in range(self.state.config.n_streams):
            self.threads.add(run_sender, &self.streams[i], "escp-send")
        self.start_walkers()

    cdef int start_walkers(self) except -1:
        for _ in range(self.state.config.n_walkers):
            self.threads.add(run_walker, self.state, "escp-walk")
        return 0

    cdef int start_local(self) except -1:
        cdef fast_err err
        cdef int i
        clear(&err)
        for i in range(self.state.config.n_streams):
            if (send_stream_open(&self.streams[i], self.state, i, &err) < 0
                    or receive_stream_open(&self.local.streams[i], self.local.state, i, &err) < 0):
                raise_error(err.code, err.sys_errno, "buffers", -1)
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
        pthread_mutex_unlock(&self.state.lock)

    def counters(self):
        cdef send_state *s = self.state
        cdef uint64_t found_files
        cdef uint64_t found_bytes
        cdef uint64_t files
        cdef uint64_t directories
        cdef uint64_t failed
        cdef uint64_t skipped
        cdef bint is_walked
        with nogil:  # of one moment: walkers take holes from what they have found
            pthread_mutex_lock(&s.lock)
            found_files, found_bytes, is_walked = s.n_found_files, s.n_found_bytes, s.is_walked
            files, directories, failed, skipped = s.n_files, s.n_directories, s.n_failed, s.n_skipped
            pthread_mutex_unlock(&s.lock)
        return sum_counters(s.streams, s.config.n_streams) | {
            "found_files": found_files, "found_bytes": found_bytes, "files": files, "directories": directories,
            "failed": failed, "skipped": skipped, "is_walked": bool(is_walked)}

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


@cython.no_gc_clear
cdef class ReceivePlane(Plane):
    """Receives files over its streams and writes them below *root_fd*.

    *direct_bytes*: large files below that size are written through the page cache, with is_direct, too.
    *target_name*: the single name that may be written, for a file sent under a new name; b"" = any below.
    *follows_umask*: directories are made as the user's own programs make them, not as scp makes them elsewhere.
    *in_place_fd*: the target itself, open for writing, when it is a pipe or a device.
    *keeps_attributes*: times and modes. *keeps_owner*: for root; with both, setuid and setgid bits, too.
    *makes_sparse*: pages of zeroes become holes. *makes_links*, *makes_hard_links*, *makes_devices*: what else
    the peer may make; with *makes_links* no link is followed on the way to a file.
    *has_roots*: only what `allow` names may be written. *is_dry_run*: nothing may; there are questions only.
    *selection*, *compares_digests*: as the sender's; its questions are refused without.
    *has_openat2*, *has_tmpfile*: False to do without, as on kernels and file systems that lack them.
    """
    cdef receive_state *state
    cdef receive_stream *streams
    cdef send_state *partner  # the sender in this process, as long as there is one; *threads* are its

    def __cinit__(self, *, int root_fd, int n_streams, uint32_t block_bytes, engine="posix", bint is_direct=True,
                  uint64_t direct_bytes=0,
                  bint has_checksum=True, bint has_compression=False, bint keeps_attributes=False,
                  bint follows_umask=False, bytes target_name=b"", int in_place_fd=-1, bint has_openat2=True,
                  bint has_tmpfile=True, bint keeps_owner=False, bint keeps_xattrs=False, bint keeps_acls=False,
                  bint makes_sparse=False, bint makes_links=False, bint makes_hard_links=False,
                  bint makes_devices=False, bint has_roots=False, selection="all", bint compares_digests=False,
                  bint is_dry_run=False):
        check_streams(n_streams, block_bytes)
        check_selection(selection, compares_digests)
        if len(target_name) > MAX_NAME_BYTES or b"/" in target_name or b"\0" in target_name:
            raise ValueError("the target's name is one component")
        self.held = []
        self.threads = Threads()
        self.state = <receive_state *>calloc(1, sizeof(receive_state))
        self.streams = <receive_stream *>calloc(n_streams, sizeof(receive_stream))
        if self.state == NULL or self.streams == NULL:
            raise MemoryError
        self.events, self.sockets, self.channels = &self.state.events, self.state.sockets, self.state.channels
        self.state.config.n_streams = n_streams
        self.state.config.block = block_bytes
        self.state.config.engine = find_engine(engine)
        self.state.config.is_direct = is_direct
        self.state.config.direct_bytes = direct_bytes
        self.state.config.has_checksum = has_checksum
        self.state.config.has_compression = has_compression
        self.state.config.selection = SELECTIONS[selection]
        self.state.config.compares_digests = compares_digests
        self.state.config.is_dry_run = is_dry_run
        self.state.destination.root_fd = root_fd
        self.state.destination.in_place_fd = in_place_fd
        self.state.config.makes_sparse = makes_sparse
        self.state.destination.keeps_attributes = keeps_attributes
        self.state.destination.keeps_owner = keeps_owner
        self.state.destination.keeps_xattrs = keeps_xattrs
        self.state.destination.keeps_acls = keeps_acls
        self.state.destination.makes_links = makes_links
        self.state.destination.makes_hard_links = makes_hard_links
        self.state.destination.makes_devices = makes_devices
        self.state.destination.follows_umask = follows_umask
        self.state.destination.umask = read_umask()
        self.state.destination.lacks_openat2 = not has_openat2
        self.state.destination.lacks_tmpfile = not has_tmpfile
        self.state.destination.session = int.from_bytes(os.urandom(8), "big")
        for i, c in enumerate(target_name):
            self.state.destination.target_name[i] = <char><int>c  # above 127 too
        roots_open(&self.state.roots, has_roots, makes_hard_links, int.from_bytes(os.urandom(8), "big"))
        receive_open(self.state)

    def allow(self, bytes name not None, bint is_directory=False):
        """With has_roots: *name* may be written once, and all below it if *is_directory*.

        Of those that don't come FILE_FAILED events tell: FAST_ABSENT where the sender says so, FAST_MISSING where it
        doesn't. OverflowError when too many have not come yet, ValueError after the last stream's end.
        """
        cdef int rc
        if len(name) > MAX_PATH_BYTES:
            raise ValueError("the name is too long")
        rc = roots_allow(&self.state.roots, name, len(name), is_directory)
        if rc == ROOTS_FULL:
            raise OverflowError(f"more than {MAX_WAITING} names have not come")
        if rc == ROOTS_CLOSED:
            raise ValueError("all streams have ended")
        if rc < 0:
            raise MemoryError

    def start(self):
        cdef fast_err err
        cdef int i
        clear(&err)
        if self.partner != NULL:
            return  # the sender's start() starts both
        for i in range(self.state.config.n_streams):
            if self.state.channels[i] == NULL:
                raise ValueError(f"stream {i} is not attached")
            if receive_stream_open(&self.streams[i], self.state, i, &err) < 0:
                raise_error(err.code, err.sys_errno, "buffers", -1)
        for i in range(self.state.config.n_streams):
            self.threads.add(run_receiver, &self.streams[i], "escp-receive")

    def counters(self):
        cdef receive_state *s = self.state
        cdef uint64_t files
        cdef uint64_t directories
        cdef uint64_t failed
        cdef uint64_t skipped
        with nogil:
            pthread_mutex_lock(&s.lock)
            files, directories, failed, skipped = s.n_files, s.n_directories, s.n_failed, s.n_same
            pthread_mutex_unlock(&s.lock)
        return sum_counters(s.streams, s.config.n_streams) | {
            "files": files, "directories": directories, "failed": failed, "skipped": skipped,
            "bytes_disk": escp_load(&s.n_disk)}

    def stop(self):
        """Make all threads end soon. May be called at any time, and again."""
        with nogil:
            receive_stop(self.state)
            if self.partner != NULL:
                state_stop(self.partner)

    def __dealloc__(self):
        cdef int i
        if self.state == NULL:
            return
        if self.threads is not None and self.threads.n:
            receive_stop(self.state)
            if self.partner != NULL:
                state_stop(self.partner)
            self.threads.join()
        if self.streams != NULL:
            for i in range(self.state.config.n_streams):
                receive_stream_close(&self.streams[i])
            free(self.streams)
        receive_free(self.state)
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
