"""What native threads tell Python: a bounded queue of plain structs and an eventfd that wakes it.

Any thread may push; a full queue makes it wait (until stopped), so nothing is lost and memory is fixed.
"""

from escp._fast.base.libc cimport pthread_cond_t, pthread_mutex_t
from escp._fast.base.types cimport fast_err

cdef enum:
    N_EVENTS = 64
    EVENT_TEXT_BYTES = 8448  # two paths

cdef enum event_kind:
    EVENT_FILE_FAILED = 1  # one file; the session goes on
    EVENT_FATAL = 2  # the plane has stopped
    EVENT_FINISHED = 3  # the plane has done all its work
    EVENT_ROOM = 4  # a source may be added again
    EVENT_PART = 8  # err.where: a large file's part is resumed, or why not; err.offset: bytes that are kept
    EVENT_LISTED = 5  # dry run: what would be copied; err.where: file, directory, link or device, err.offset: its size
    EVENT_CUT = 6  # err.offset: a stream whose connection broke; another one is waited for
    EVENT_RESUMED = 7  # err.offset: a stream that goes on over another connection
    EVENT_ITEM = 9  # something was copied; err.code: its reason_kind; err.where, err.offset: as in EVENT_LISTED
    EVENT_COPIED = 10  # for a log at this end: a file, link or device; as EVENT_ITEM, without a reason


ctypedef struct event:
    int kind
    bint is_remote  # found by the peer
    fast_err err
    int n_text
    char text[EVENT_TEXT_BYTES]


ctypedef struct event_queue:
    event *ring
    int head
    int count
    int fd
    bint is_closed
    pthread_mutex_t lock
    pthread_cond_t room


cdef int events_open(event_queue *q) except -1
cdef void events_close(event_queue *q) noexcept nogil  # nobody waits for room any more
cdef void events_free(event_queue *q) noexcept nogil
cdef void push_event(event_queue *q, int kind, const fast_err *err, bint is_remote,
                     const char *a, size_t n_a, const char *b, size_t n_b) noexcept nogil
cdef list take_events(event_queue *q)
