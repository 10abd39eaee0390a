"""Questions of the sender; see receive_query.pxd.

What can't be told is wanted: sending it then fails with the reason, or succeeds. Only a path that leads out, or a
directory that can't be looked into, is a failure at once.
"""

from libc.stdint cimport uint64_t

from escp._fast.base.libc cimport (AT_SYMLINK_NOFOLLOW, O_CLOEXEC, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, S_ISLNK,
                                   S_ISREG, c_close, fstat, fstatat, openat, stat_t)
from escp._fast.base.types cimport (FAST_PROTOCOL, MAX_NAME_BYTES, REASON_ATTRIBUTES, REASON_MISSING, REASON_SAME,
                                    SELECT_ALL, SELECT_MISSING, SMALL_FILE_BYTES, clear, fail, fast_err)
from escp._fast.crypto.digest cimport digest128
from escp._fast.files.compare cimport digest_file, is_current
from escp._fast.files.reason cimport digest_text, judge, judge_node
from escp._fast.files.stamps cimport stamp_of
from escp._fast.files.tree cimport directory_find, file_find
from escp._fast.io.ring cimport io_slot, ring_free_slot
from escp._fast.receive.receive_large cimport end_writes
from escp._fast.receive.receive_state cimport add_result, receive_state, receive_stream
from escp._fast.receive.roots cimport roots_answer
from escp._fast.wire.payloads cimport (ENTRY_ASKS_DIRECTORY, ENTRY_ASKS_STAMP, ENTRY_HAS_EXTRAS, RESULT_IS_SAME,
                                       RESULT_IS_WANTED, entry)


cdef bint has_digest(receive_stream *t, int dirfd, const char *name, const entry *e, digest128 *digest) noexcept nogil:
    """Whether the file there has the entry's size, and its digest."""
    cdef io_slot *slot = ring_free_slot(&t.ring)
    cdef stat_t status
    cdef fast_err own
    cdef bint is_done
    cdef int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)
    if fd < 0:
        return False
    clear(&own)
    is_done = (slot != NULL and fstat(fd, &status) == 0 and S_ISREG(status.st_mode)
               and <uint64_t>status.st_size == e.size
               and digest_file(fd, e.size, slot.data, t.state.config.block, &t.state.is_stopped, digest, &own) == 0)
    c_close(fd)
    return is_done


cdef bint has_file(receive_stream *t, const entry *e, digest128 *digest, bint *is_stamped, int *reason,
                   fast_err *own) noexcept nogil:
    """*reason*: if not, why it would be copied. Where that is asked for a small file's digest is told, too, and that of
    a link's text.
    *is_stamped*: it is as an earlier run left it."""
    cdef receive_state *s = t.state
    cdef char name[MAX_NAME_BYTES + 1]
    cdef stat_t status
    cdef int dirfd = -1
    reason[0] = REASON_MISSING
    if file_find(&s.destination, &t.cache, e, name, &dirfd, own) < 0 or dirfd < 0:
        return False
    if s.destination.in_place_fd >= 0:
        return False
    if fstatat(dirfd, name, &status, AT_SYMLINK_NOFOLLOW) < 0:
        return False
    if e.flags & ENTRY_ASKS_STAMP and S_ISREG(status.st_mode) and stamp_of(&status) == e.digest.low:
        is_stamped[0] = True  # as an earlier run left it
        digest.low = e.digest.low
        return True
    if s.config.selection == SELECT_MISSING:
        return True
    if e.flags & ENTRY_HAS_EXTRAS:
        reason[0] = judge_node(&s.destination, dirfd, name, e, &status)
        if reason[0] == REASON_SAME and s.config.selection == SELECT_ALL:
            reason[0] = REASON_ATTRIBUTES  # in a dry run: it would be made again
        return reason[0] == REASON_SAME
    reason[0] = judge(e, &status)
    if S_ISLNK(status.st_mode) and s.config.itemizes and s.config.is_dry_run:
        digest_text(dirfd, name, digest)
    if not S_ISREG(status.st_mode):
        return False
    if s.config.compares_digests:
        return <uint64_t>status.st_size == e.size and has_digest(t, dirfd, name, e, digest)
    if s.config.selection != SELECT_ALL and is_current(s.config.selection, e, &status):
        return True
    if s.config.itemizes and s.config.is_dry_run and e.size <= SMALL_FILE_BYTES:
        has_digest(t, dirfd, name, e, digest)
    return False


cdef int answer_query(receive_stream *t, const entry *e, fast_err *err) noexcept nogil:
    cdef receive_state *s = t.state
    cdef fast_err own
    cdef digest128 digest
    cdef bint is_there = False
    cdef bint is_stamped = False
    cdef int fd = -1
    cdef int flags = 0
    cdef int reason = REASON_MISSING
    clear(&own)
    digest.high = digest.low = 0
    if s.config.selection == SELECT_ALL and not s.config.itemizes and not (
            e.flags & ENTRY_ASKS_STAMP and s.config.resumes):
        return fail(err, FAST_PROTOCOL, 0, "question")
    # Of a local link; else one is free here.
    while (s.config.compares_digests or s.config.itemizes) and ring_free_slot(&t.ring) == NULL:
        if end_writes(t, 1, err) < 0:
            return -1
    if not s.config.engine.has_files or s.destination.root_fd < 0:  # there is nothing yet
        pass
    elif e.flags & ENTRY_ASKS_DIRECTORY:
        is_there = directory_find(&s.destination, &t.cache, e, &fd, &own) == 0 and fd >= 0
    else:
        is_there = has_file(t, e, &digest, &is_stamped, &reason, &own)
    if not e.flags & ENTRY_ASKS_DIRECTORY and (own.code or is_there):
        roots_answer(&s.roots, e, own.code == 0 and s.config.compares_digests and not is_stamped
                     and not e.flags & ENTRY_HAS_EXTRAS)
    if own.code == 0:
        flags = RESULT_IS_SAME if is_there else RESULT_IS_WANTED
    if not s.config.itemizes and not (is_there and (is_stamped or s.config.compares_digests)):
        digest.high = digest.low = 0
    if s.config.itemizes and own.code == 0:
        own.sys_errno = reason
    return add_result(t, e, &own, flags, False, &digest, err)
