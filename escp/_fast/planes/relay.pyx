"""Passes on the bytes of streams between two other hosts, as they are: no key is here, nothing is looked at.

One native thread a stream moves pages from socket to socket through a pipe (splice): they are not copied
into this process.
"""

from libc.stdint cimport uint64_t

import os

cimport cython

from escp._fast.base.libc cimport (EAGAIN, EINTR, F_SETPIPE_SZ, O_CLOEXEC, O_NONBLOCK, POLLIN, POLLOUT, SHUT_RDWR,
                                   SHUT_WR, SPLICE_F_MOVE, SPLICE_F_NONBLOCK, c_close, calloc, errno, escp_count,
                                   escp_load, escp_store, fcntl, free, pipe2, poll, pollfd_t, shutdown, splice)
from escp._fast.base.types cimport MAX_STREAMS
from escp._fast.planes.threads cimport Threads

cdef enum:
    PIPE_BYTES = 1048576


ctypedef struct direction:
    int source
    int target
    int pipe[2]
    size_t n_inside  # bytes in the pipe
    bint is_read  # nothing more comes
    bint is_done


ctypedef struct relay_stream:
    direction ways[2]
    uint64_t n_bytes
    uint64_t sys_errno  # why its thread gave up; 0: it did not
    uint64_t is_over  # its thread needs its sockets no more


cdef bint would_wait() noexcept nogil:
    return errno == EAGAIN or errno == EINTR


cdef void move(relay_stream *s, direction *way) noexcept nogil:
    """Move on what is there, without waiting."""
    cdef ssize_t k
    if not way.is_read and way.n_inside < PIPE_BYTES:
        k = splice(way.source, NULL, way.pipe[1], NULL, PIPE_BYTES, SPLICE_F_MOVE | SPLICE_F_NONBLOCK)
        if k > 0:
            way.n_inside += k
        elif k == 0 or not would_wait():
            way.is_read = True
    if way.n_inside:
        k = splice(way.pipe[0], NULL, way.target, NULL, way.n_inside, SPLICE_F_MOVE | SPLICE_F_NONBLOCK)
        if k > 0:
            way.n_inside -= k
            escp_count(&s.n_bytes, k)
        elif k < 0 and not would_wait():  # nobody takes it any more
            way.n_inside = 0
            way.is_read = True
            shutdown(way.source, SHUT_RDWR)
    if way.is_read and way.n_inside == 0:
        way.is_done = True
        shutdown(way.target, SHUT_WR)


cdef void *run_relay(void *arg) noexcept nogil:
    cdef relay_stream *s = <relay_stream *>arg
    cdef pollfd_t fds[4]
    cdef direction *way
    cdef int i
    while not (s.ways[0].is_done and s.ways[1].is_done):
        for i in range(2):
            way = &s.ways[i]
            # A descriptor with nothing to wait for is left out: its hang-up would wake us all the time.
            # A full pipe may hold less than PIPE_BYTES, in many small pieces: then only its end is waited for.
            fds[2 * i].fd = -1 if way.is_read or way.n_inside else way.source
            fds[2 * i].events = POLLIN
            fds[2 * i + 1].fd = way.target if way.n_inside else -1
            fds[2 * i + 1].events = POLLOUT
        if poll(fds, 4, -1) < 0:
            if errno == EINTR:
                continue
            escp_store(&s.sys_errno, errno)  # both hosts only see that the stream ends; the reason is here
            shutdown(s.ways[0].target, SHUT_RDWR)
            shutdown(s.ways[1].target, SHUT_RDWR)
            break
        for i in range(2):
            if not s.ways[i].is_done and (fds[2 * i].revents or fds[2 * i + 1].revents):
                move(s, &s.ways[i])
    escp_store(&s.is_over, 1)
    return NULL


@cython.no_gc_clear  # __dealloc__ needs all of it to end the threads
cdef class RelayPlane:
    """Relays *n_streams* pairs of connected, non-blocking sockets until both sides have ended them.

    A stream that has ended may be started again, with other sockets.
    """
    cdef relay_stream *streams
    cdef list threads  # one a stream, once it was started
    cdef int n_streams

    def __cinit__(self, int n_streams):
        cdef int i
        if not 1 <= n_streams <= MAX_STREAMS:
            raise ValueError("1 to 64 streams")
        self.n_streams = n_streams
        self.threads = []
        self.streams = <relay_stream *>calloc(n_streams, sizeof(relay_stream))
        if self.streams == NULL:
            raise MemoryError
        for i in range(2 * n_streams):
            self.streams[i // 2].ways[i % 2].pipe[0] = self.streams[i // 2].ways[i % 2].pipe[1] = -1

    def attach(self, int stream, int near_fd, int far_fd):
        """Give a stream its sockets; the caller keeps them open until after join()."""
        cdef direction *way
        cdef int i
        if not 0 <= stream < self.n_streams:
            raise ValueError("no such stream")
        self.empty(stream)
        for i in range(2):
            way = &self.streams[stream].ways[i]
            way.source, way.target = (far_fd, near_fd) if i else (near_fd, far_fd)
            if way.pipe[0] < 0 and pipe2(way.pipe, O_CLOEXEC | O_NONBLOCK) < 0:
                raise OSError(errno, os.strerror(errno))
            fcntl(way.pipe[0], F_SETPIPE_SZ, PIPE_BYTES)  # if the user's limit is lower, it is only slower

    cdef int empty(self, int stream) except -1:
        """Nothing that an earlier pair of sockets brought goes into the next one."""
        cdef relay_stream *s = &self.streams[stream]
        cdef direction *way
        cdef int i
        if len(self.threads) > stream:
            if not escp_load(&s.is_over):
                raise ValueError("the stream has not ended")
            self.wait_for(stream)
        for i in range(2):
            way = &s.ways[i]
            if way.pipe[0] >= 0:  # what nobody took is still in it, and counted no more
                c_close(way.pipe[0])
                c_close(way.pipe[1])
                way.pipe[0] = way.pipe[1] = -1
            way.n_inside = 0
            way.is_read = way.is_done = False
        escp_store(&s.is_over, 0)
        return 0

    cdef int wait_for(self, int stream) except -1:
        cdef Threads thread = self.threads[stream]
        with nogil:
            thread.join()
        return 0

    cdef int begin(self, int stream) except -1:
        cdef Threads thread = self.threads[stream]
        thread.add(run_relay, &self.streams[stream], "escp-relay")
        return 0

    def start(self):
        while len(self.threads) < self.n_streams:
            self.threads.append(Threads())
            self.begin(len(self.threads) - 1)

    def start_again(self, int stream):
        """Once that stream is over, and was given other sockets."""
        self.begin(stream)

    def is_over(self, int stream):
        """Whether the stream has ended, and its sockets may be closed."""
        return bool(escp_load(&self.streams[stream].is_over))

    @property
    def n_bytes(self):
        """Passed on so far, in both directions."""
        return sum(escp_load(&self.streams[i].n_bytes) for i in range(self.n_streams))

    @property
    def sys_errno(self):
        """Why a thread gave up; 0 while none has."""
        return max(escp_load(&self.streams[i].sys_errno) for i in range(self.n_streams))

    def stop(self):
        """Shut the sockets of started streams: the threads end soon."""
        cdef int i
        for i in range(len(self.threads)):
            if escp_load(&self.streams[i].is_over):
                continue  # its descriptors may be others by now
            shutdown(self.streams[i].ways[0].source, SHUT_RDWR)
            shutdown(self.streams[i].ways[0].target, SHUT_RDWR)

    def join(self):
        """Wait for the threads: after both sides have ended, or stop()."""
        cdef int i
        for i in range(len(self.threads)):
            self.wait_for(i)

    def __dealloc__(self):
        cdef int i
        cdef int k
        if self.streams == NULL:
            return
        self.stop()
        self.join()
        for i in range(self.n_streams):
            for k in range(4):
                if self.streams[i].ways[k // 2].pipe[k % 2] >= 0:
                    c_close(self.streams[i].ways[k // 2].pipe[k % 2])
        free(self.streams)
