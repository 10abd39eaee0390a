"""The receiving plane: sockets -> one thread a stream -> files; see receive_plane.pxd."""

from libc.stdint cimport uint32_t, uint64_t

import os

cimport cython

from escp._fast.base.libc cimport calloc, escp_load, free, pthread_mutex_lock, pthread_mutex_unlock
from escp._fast.base.types cimport MAX_NAME_BYTES, MAX_PATH_BYTES, clear, fast_err
from escp._fast.crypto.digest cimport digest128
from escp._fast.files.attributes cimport kept_rules
from escp._fast.files.cached cimport MAX_CACHED
from escp._fast.files.durable cimport MAX_DIRTY
from escp._fast.files.tree cimport tree, tree_tidy
from escp._fast.io.block_sink cimport BlockSink
from escp._fast.io.engines cimport find_engine
from escp._fast.planes.plane cimport Plane, check_memory, check_streams, find_selection, sum_counters
from escp._fast.planes.threads cimport Threads
from escp._fast.receive.expected cimport MAX_EXPECTED, expected_add
from escp._fast.receive.receive cimport receive_loop
from escp._fast.receive.receive_state cimport (MAX_HELD, receive_config, receive_free, receive_open, receive_state,
                                               receive_stop, receive_stream, receive_stream_close, receive_stream_open)
from escp._fast.receive.settle cimport settles
from escp._fast.receive.roots cimport MAX_WAITING, ROOTS_CLOSED, ROOTS_FULL, roots_allow, roots_open
from escp._fast.send.send_state cimport state_stop

from escp._fast.base.process import read_umask


cdef void *run_receiver(void *arg) noexcept nogil:
    receive_loop(<receive_stream *>arg)
    return NULL


def find_job(bytes words not None):
    """The command that a copy is of, as journals have it: two halves of a hash."""
    return int.from_bytes(words[:8], "big"), int.from_bytes(words[8:16], "big")


cdef int obey(receive_config *c, tree *destination, order) except -1:
    c.engine = find_engine(order.engine)
    c.is_direct = order.is_direct
    c.has_checksum = order.has_checksum
    c.has_compression = order.has_compression
    c.is_sparse = order.is_sparse
    c.selection = find_selection(order.selection, order.compares_digests)
    c.compares_digests = order.compares_digests
    c.is_dry_run = order.is_dry_run
    c.itemizes = order.itemizes
    c.names_attributes = order.names_attributes
    c.partial_min = order.partial_min
    c.resumes = order.resumes
    destination.notes_made = order.itemizes or order.partial_min > 0
    c.trusts_parts = order.trusts_parts
    c.job.high, c.job.low = find_job(order.job)
    destination.tells_stamps = order.tells_stamps
    destination.overwrites = order.is_inplace
    destination.durable.is_on = order.is_durable
    destination.reads_back = order.reads_back
    if order.reads_back and not order.has_checksum:
        raise ValueError("what is read back is compared with a digest")
    destination.given.is_on = order.names_once
    destination.kept.keeps_attributes = order.keeps_attributes
    destination.kept.keeps_owner = order.keeps_owner or (order.keeps_owner_if_root and os.geteuid() == 0)
    kept_rules(&destination.kept, order.mode_rules or [])
    destination.kept.keeps_xattrs = order.keeps_xattrs
    destination.kept.keeps_acls = order.keeps_acls
    destination.keeps_links = order.keeps_links
    destination.keeps_hard_links = order.keeps_hard_links
    destination.keeps_devices = order.keeps_devices
    return 0


@cython.no_gc_clear
cdef class ReceivePlane(Plane):
    """Receives files over its streams and writes them below *root_fd*.

    *order*: a escp.control.messages.Receive, or anything with its attributes. What it says of the target is not read:
    the target was opened, and is *root_fd*, *target_name* and *in_place_fd*.
    *direct_bytes*: large files smaller than that go through the page cache, even if the order says is_direct.
    *target_name*: the only name that may be written, for a file sent under a new name; b"": any name below *root_fd*.
    *n_cached*: how many directories each stream keeps open.
    *n_held*: how many small files each stream holds back while they wait for the disk (--fsync, --verify).
    *n_dirty*: how many directories wait open for their sync (--fsync).
    *follows_umask*: new directories are the user's own (a copy to this host): they get modes as mkdir gives. Otherwise
    they get those that scp gives at the other host.
    *in_place_fd*: the target itself, open for writing, when it is a pipe or a device, or what an engine shares with
    another program. Of the latter OSError says why it can't be shared.
    *brings_root*: the directory *root_fd* is itself one that is copied, and may be made writable meanwhile.
    *has_old_root*: that was there before, so it keeps its mode without --preserve.
    *reconnects*: as for SendPlane. Threads then stay until stop() or join(): the sender may not have heard of the end.
    *memory*: a BlockSink, which takes the blocks of the only file, whatever engine the order names.
    *has_openat2*, *has_tmpfile*: False does without, as on kernels and file systems that lack them.
    """

    def __cinit__(self, order, *, int root_fd, int n_streams, uint32_t block_bytes, uint64_t direct_bytes=0,
                  bytes target_name=b"", int n_cached=MAX_CACHED, int n_held=MAX_HELD, int n_dirty=MAX_DIRTY,
                  bint follows_umask=False, int in_place_fd=-1, bint has_openat2=True, bint has_tmpfile=True,
                  bint brings_root=False, bint has_old_root=False, bint reconnects=False, BlockSink memory=None):
        check_streams(n_streams, block_bytes)
        if len(target_name) > MAX_NAME_BYTES or b"/" in target_name or b"\0" in target_name:
            raise ValueError("the target's name is one component")
        self.held = []
        self.threads = Threads()
        self.state = <receive_state *>calloc(1, sizeof(receive_state))
        self.streams = <receive_stream *>calloc(n_streams, sizeof(receive_stream))
        if self.state == NULL or self.streams == NULL:
            raise MemoryError
        self.events, self.connections = &self.state.events, self.state.connections
        self.state.config.n_streams = n_streams
        self.state.config.block = block_bytes
        self.state.config.direct_bytes = direct_bytes
        self.state.config.n_cached = max(1, min(n_cached, <int>MAX_CACHED))
        self.state.destination.root_fd = root_fd
        self.state.destination.in_place_fd = in_place_fd
        self.state.destination.durable.max_dirty = max(1, min(n_dirty, <int>MAX_DIRTY))
        self.state.destination.kept.follows_umask = follows_umask
        self.state.destination.kept.umask = read_umask()
        self.state.destination.lacks_openat2 = not has_openat2
        self.state.destination.lacks_tmpfile = not has_tmpfile
        self.state.destination.brings_root = brings_root
        self.state.destination.has_old_root = has_old_root
        for i, c in enumerate(target_name):
            self.state.destination.target_name[i] = <char><int>c  # above 127 too
        self.state.config.reconnects = reconnects
        obey(&self.state.config, &self.state.destination, order)
        if memory is not None:
            self.state.config.engine = memory.open(n_streams, block_bytes)
            self.state.config.exchange, self.memory = &memory.s, memory
        if settles(&self.state.destination):
            self.state.config.n_held = max(1, min(n_held, <int>MAX_HELD))
        roots_open(&self.state.roots, order.has_roots, order.keeps_hard_links, int.from_bytes(os.urandom(8), "big"))
        self.state.expected.seed = int.from_bytes(os.urandom(8), "big")
        receive_open(self.state, int.from_bytes(os.urandom(8), "big"))
        if self.state.config.engine.attach != NULL:
            self.attach(in_place_fd)

    cdef int attach(self, int fd) except -1:
        cdef receive_state *s = self.state
        cdef uint64_t unused = 0
        cdef fast_err err
        clear(&err)
        if s.config.engine.attach(s, fd, False, &unused, &s.config.exchange, &err) < 0:
            raise OSError(err.sys_errno, os.strerror(err.sys_errno))
        return 0

    def allow(self, bytes name not None, bint is_directory=False):
        """If the order has_roots: *name* may be written once, and all below it if *is_directory*.

        A FILE_FAILED event tells of each name that does not come: FAST_ABSENT if the sender said so, else FAST_MISSING.
        OverflowError: too many names have not come yet. ValueError: the last stream has ended.
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

    def expect(self, bytes path not None, bytes digest not None):
        """Before start(): the file with this path below the destination gets its name only if it has this digest (16
        bytes). What has another one fails with FAST_DIGEST and EBADMSG.

        ValueError: no digests are computed, or the path is too long. OverflowError: there are too many.
        """
        cdef digest128 wanted
        cdef fast_err err
        if not self.state.config.has_checksum or len(digest) != 16 or len(path) > MAX_PATH_BYTES:
            raise ValueError("a digest can't be expected of this file")
        wanted.high, wanted.low = int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:], "big")
        clear(&err)
        if expected_add(&self.state.expected, path, len(path), &wanted, &err) < 0:
            raise OverflowError(f"digests of more than {MAX_EXPECTED} files are expected, or there is no memory")

    def tell_copied(self):
        """Before start(): a COPIED event for each file, link or device that has its name."""
        self.state.config.tells_copied = True

    def start(self):
        cdef fast_err err
        cdef int i
        clear(&err)
        if self.partner != NULL:
            return  # the sender's start() starts both
        check_memory(self.state.config.n_streams, self.state.config.block, 1, False)
        for i in range(self.state.config.n_streams):
            if self.state.connections[i].number == 0:
                raise ValueError(f"stream {i} is not attached")
            if receive_stream_open(&self.streams[i], self.state, i, &err) < 0:
                check_memory(self.state.config.n_streams, self.state.config.block, 1, True)
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

    def join(self):
        """Wait for the threads, as Plane.join; then set back what was changed only for the time of the copy."""
        with nogil:
            if self.state.config.reconnects:
                receive_stop(self.state)
            self.threads.join()
            tree_tidy(&self.state.destination)

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
