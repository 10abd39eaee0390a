"""What a program writes, in blocks of the streams' size; see block_places.pxd."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from escp._fast.base.libc cimport (escp_cond_wait_until, escp_fetch_add, memcpy, pthread_cond_broadcast,
                                   pthread_cond_signal, pthread_cond_wait, pthread_mutex_lock, pthread_mutex_unlock)


cdef void free_place_locked(block_source *s, place *p) noexcept nogil:
    s.n_busy -= 1
    if p.n_out != NULL:
        p.n_out[0] -= 1
    p.n_out = NULL
    p.state = PLACE_FREE


cdef bint wakes_writers(const block_source *s) noexcept nogil:
    return s.n_waiting and (s.n_ready == 0 or s.n_busy <= s.n_places * 3 // 4)


cdef place *find_place_locked(block_source *s, uint64_t number, bint *is_full) noexcept nogil:
    """The one in which that block is put together, or a free one. *is_full*: nothing under way will free any."""
    cdef place *found = NULL
    cdef int i
    found = s.recent[number % N_RECENT]
    if found != NULL and found.state == PLACE_FILLING and found.number == number:
        return found
    found = NULL
    is_full[0] = True
    for i in range(s.n_places):
        if s.places[i].state == PLACE_FILLING and s.places[i].number == number:
            return &s.places[i]
        if s.places[i].state == PLACE_FREE and found == NULL:
            found = &s.places[i]
        if s.places[i].state != PLACE_FILLING or s.places[i].n_writing:
            is_full[0] = False
    return found


cdef void put_ready_locked(block_source *s, place *p) noexcept nogil:
    p.state = PLACE_READY
    s.n_busy += 1
    s.ready[(s.first_ready + s.n_ready) % s.n_places] = <int>(p - s.places)
    s.n_ready += 1
    pthread_cond_signal(&s.filled)


cdef void fill_place_locked(block_source *s, place *p, uint64_t offset, const uint8_t *data, uint32_t n) noexcept nogil:
    """Copies n bytes of the program's, which belong to *offset* in the file, into the place's buffer."""
    cdef uint64_t start = p.number * s.block
    s.recent[p.number % N_RECENT] = p
    if p.state == PLACE_FREE:
        p.state = PLACE_FILLING
        p.n_filled = 0
        p.data = p.own
        p.n_bytes = <uint32_t>(s.size - start if s.size - start < s.block else s.block)
    p.n_writing += 1
    pthread_mutex_unlock(&s.lock)
    memcpy(p.own + (offset - start), data, n)
    pthread_mutex_lock(&s.lock)
    p.n_writing -= 1
    p.n_filled += n
    escp_fetch_add(&s.n_copied, n)
    if p.n_filled == p.n_bytes:
        put_ready_locked(s, p)


cdef uint64_t withdraw_locked(block_source *s, const int *n_out) noexcept nogil:
    """Takes back what is lent to no stream yet, of one write: its last bytes, for streams take in order. Returns how
    many."""
    cdef uint64_t n = 0
    cdef int i = 0
    cdef int n_kept = 0
    cdef int number
    for i in range(s.n_ready):
        number = s.ready[(s.first_ready + i) % s.n_places]
        if s.places[number].n_out == n_out:
            n += s.places[number].n_bytes
            free_place_locked(s, &s.places[number])
        else:
            s.ready[(s.first_ready + n_kept) % s.n_places] = number
            n_kept += 1
    s.n_ready = n_kept
    return n


cdef bint next_part(const block_source *s, uint64_t offset, uint64_t n, uint64_t done, uint64_t *end) noexcept nogil:
    """Of n bytes what comes next: all whole blocks of the streams' that lie together, which are lent (True), or what
    belongs to a block of which there is less."""
    cdef uint64_t at = offset + done
    cdef uint64_t left = n - done
    cdef uint64_t part = s.block - at % s.block
    cdef uint64_t whole = left if at + left == s.size else left // s.block * s.block
    if part == s.block and whole:
        end[0] = done + whole
        return True
    end[0] = done + (part if part < left else left)
    return False


cdef int put(block_source *s, uint64_t offset, const uint8_t *data, uint64_t n, bint lends, uint64_t *done,
             uint64_t due_ns) noexcept nogil:
    """Hands over n bytes from *done* on, which goes on as far as it gets. What is lent is free again on return."""
    cdef int n_out = 0
    cdef int rc = PUT_DONE
    cdef bint is_full = False
    cdef bint is_late
    cdef uint64_t number
    cdef uint64_t k
    cdef place *p
    pthread_mutex_lock(&s.lock)
    while rc == PUT_DONE and (done[0] < n or n_out):
        p = NULL
        if s.is_stopped:
            rc = PUT_STOPPED
            break
        if done[0] < n:
            number = (offset + done[0]) // s.block
            p = find_place_locked(s, number, &is_full)
        if p == NULL:
            s.n_waiting += done[0] < n
            is_late = escp_cond_wait_until(&s.emptied, &s.lock, due_ns) != 0
            s.n_waiting -= done[0] < n
            if is_late:
                rc = PUT_FULL if is_full and done[0] < n else PUT_LATE
            continue
        k = (number + 1) * s.block - offset - done[0]
        k = k if k < n - done[0] else n - done[0]
        p.number = number
        if lends:
            p.data, p.n_bytes, p.n_out = data + done[0], <uint32_t>k, &n_out
            n_out += 1
            put_ready_locked(s, p)
        else:
            fill_place_locked(s, p, offset + done[0], data + done[0], <uint32_t>k)
        done[0] += k
    if n_out:
        done[0] -= withdraw_locked(s, &n_out)
        pthread_cond_broadcast(&s.emptied)
    while n_out:  # streams are sealing them
        pthread_cond_wait(&s.emptied, &s.lock)
    if done[0] == n:
        rc = PUT_DONE
    pthread_mutex_unlock(&s.lock)
    return rc


cdef int put_all(block_source *s, uint64_t offset, const uint8_t *data, uint64_t n, uint64_t *done,
                 uint64_t due_ns) noexcept nogil:
    cdef uint64_t end = 0
    cdef bint lends
    cdef int rc = PUT_DONE
    while rc == PUT_DONE and done[0] < n:
        lends = next_part(s, offset, n, done[0], &end)
        rc = put(s, offset, data, end, lends, done, due_ns)
    return rc
