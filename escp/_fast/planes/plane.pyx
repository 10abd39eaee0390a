"""The two planes as Python sees them: configure, attach streams, start, read counters and events, stop, join.

Here is what both have in common; send_plane.pyx and receive_plane.pyx have the rest.

A plane knows neither who started whom nor who connected. Its methods are for Python's main thread. Only join() waits
for native threads: it is called when they are about to end.
"""

from libc.stdint cimport uint64_t

cimport cython

from escp._fast.base.counters cimport stream_counters
from escp._fast.base.events cimport (EVENT_COPIED, EVENT_CUT, EVENT_FATAL, EVENT_FILE_FAILED, EVENT_FINISHED,
                                     EVENT_ITEM, EVENT_LISTED, EVENT_PART, EVENT_RESUMED, EVENT_ROOM, take_events)
from escp._fast.base.libc cimport escp_load, escp_memory_room
from escp._fast.base.types cimport MAX_STREAMS, SELECT_ALL, SELECT_CHANGED, SELECT_MISSING, SELECT_NEWER
from escp._fast.crypto.channel cimport Channel
from escp._fast.io.ring cimport ring_bytes
from escp._fast.wire.connection cimport connection_is, connection_replace

from escp._fast.errors import BuffersError

cdef enum:
    LARGE_BYTES = 268435456  # of buffers

SELECTIONS = {"all": SELECT_ALL, "newer": SELECT_NEWER, "changed": SELECT_CHANGED, "missing": SELECT_MISSING}
FILE_FAILED, FATAL, FINISHED, ROOM = EVENT_FILE_FAILED, EVENT_FATAL, EVENT_FINISHED, EVENT_ROOM
LISTED, ITEM, PART, CUT, RESUMED = EVENT_LISTED, EVENT_ITEM, EVENT_PART, EVENT_CUT, EVENT_RESUMED
COPIED = EVENT_COPIED


cdef dict sum_counters(const stream_counters *streams, int n):
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


cdef int check_streams(int n_streams, size_t block_bytes) except -1:
    if not 1 <= n_streams <= MAX_STREAMS:
        raise ValueError("1 to 64 streams")
    if block_bytes < 1 << 18 or block_bytes > 1 << 25 or block_bytes % (1 << 18):
        raise ValueError("a block is a multiple of 256 KiB, 32 MiB at most")
    return 0


cdef int check_memory(int n_streams, size_t block, int n_ends, bint is_refused) except -1:
    """The kernel grants more memory than there is, and kills who uses it: so large buffers need free memory."""
    cdef uint64_t n = ring_bytes(block) * <uint64_t>(n_streams * n_ends)
    cdef uint64_t limit = 0
    cdef uint64_t room = escp_memory_room(&limit) if n >= LARGE_BYTES else n
    if not is_refused and n <= room:
        return 0
    if n < LARGE_BYTES:  # something else has used up the memory
        raise MemoryError
    raise BuffersError(n_streams, block >> 20, (n >> 20) + 1, room >> 20 if n > room else None, limit >> 20)


cdef int find_selection(selection, bint compares_digests) except -1:
    if selection not in SELECTIONS:
        raise ValueError(f"a selection is one of {', '.join(SELECTIONS)}")
    if compares_digests and selection != "changed":
        raise ValueError("digests are compared to find what has changed")
    return SELECTIONS[selection]


@cython.no_gc_clear  # __dealloc__ needs all of it to end the threads
cdef class Plane:
    def attach(self, int fd, Channel channel not None):
        """Give the stream of *channel* its connected socket. With *reconnects*: at any time also the next one.

        The caller keeps *fd* open until the next one is attached, or join() has returned.
        """
        self.held.append(channel)
        connection_replace(&self.connections[channel.c.stream], fd, &channel.c)
        self.wake()

    cdef void wake(self) noexcept nogil:
        pass

    @property
    def event_fd(self):
        """Readable when take_events() has something."""
        return self.events.fd

    def take_events(self):
        """(kind, code, errno, where, offset, is_remote, path) of each waiting event.

        Two threads see a stream's connections: what they tell of one may be overtaken. So of CUT and RESUMED only
        those come that are so now.
        """
        return [event for event in take_events(self.events) if self.is_so(event)]

    cdef bint is_so(self, tuple event) except -1:
        if event[0] != EVENT_CUT and event[0] != EVENT_RESUMED:
            return True
        return connection_is(&self.connections[<int>event[4]], event[0] == EVENT_CUT)

    def join(self):
        """Wait for the threads: after FINISHED, FATAL or stop()."""
        with nogil:
            self.threads.join()
