"""Making the sender's state, and taking it apart; see send_setup.pxd."""

import os

from escp._fast.base.events cimport events_free, events_open
from escp._fast.base.libc cimport (EFD_CLOEXEC, EFD_NONBLOCK, c_close, calloc, errno, escp_cond_init, eventfd, free,
                                   pthread_cond_destroy, pthread_cond_init, pthread_mutex_destroy,
                                   pthread_mutex_init, pthread_mutex_lock, pthread_mutex_unlock)
from escp._fast.base.types cimport MAX_NAME_BYTES, MAX_STREAMS, SELECT_ALL
from escp._fast.files.owners cimport owners_close, owners_open
from escp._fast.files.stamps cimport book_close
from escp._fast.send.flights cimport flight_end_locked
from escp._fast.send.hard_links cimport free_links
from escp._fast.send.send_state cimport (N_FLIGHTS, N_ITEMS, N_QUESTIONS, N_ROOTS, dir_node, flight, item, item_close,
                                         node_unref_locked, send_state)
from escp._fast.send.send_stream cimport sent_close
from escp._fast.wire.connection cimport connection_close, connection_open


cdef int state_open(send_state *s) except -1:
    cdef int i
    for i in range(MAX_STREAMS):
        connection_open(&s.connections[i])
    s.wake_fd = -1
    pthread_mutex_init(&s.lock, NULL)
    escp_cond_init(&s.work)
    pthread_cond_init(&s.walk, NULL)
    pthread_cond_init(&s.room, NULL)
    pthread_cond_init(&s.count, NULL)
    s.is_uncountable = not s.config.is_recursive or s.config.is_dry_run
    s.flights = <flight *>calloc(N_FLIGHTS, sizeof(flight))
    s.long_names = <char *>calloc(N_FLIGHTS, MAX_NAME_BYTES)
    if s.flights == NULL or s.long_names == NULL:
        free(s.flights)
        free(s.long_names)
        s.flights = NULL
        raise MemoryError("flights")
    s.n_free = N_FLIGHTS
    owners_open(&s.owners)
    if s.config.selection != SELECT_ALL or s.config.itemizes:
        s.questions = <item *>calloc(N_QUESTIONS, sizeof(item))
        if s.questions == NULL:
            raise MemoryError("questions")
    if s.config.reconnects:
        s.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
        if s.wake_fd < 0:
            raise OSError(errno, os.strerror(errno))
    events_open(&s.events)
    return 0


cdef void state_free(send_state *s) noexcept nogil:
    cdef int i
    cdef dir_node *node
    if s.flights == NULL:
        return
    if s.config.engine.detach != NULL:
        s.config.engine.detach(s)
    pthread_mutex_lock(&s.lock)
    while s.n_items:
        item_close(&s.items[s.items_head])
        node_unref_locked(s, s.items[s.items_head].dir)
        s.items_head = (s.items_head + 1) % N_ITEMS
        s.n_items -= 1
    for i in range(N_FLIGHTS):
        if s.flights[i].id:
            flight_end_locked(s, &s.flights[i])
    free_links(s)
    while s.n_questions:
        free(s.questions[s.questions_head].link)
        node_unref_locked(s, s.questions[s.questions_head].dir)
        s.questions_head = (s.questions_head + 1) % N_QUESTIONS
        s.n_questions -= 1
    while s.n_roots:
        node_unref_locked(s, s.roots[s.roots_head].node)
        s.roots_head = (s.roots_head + 1) % N_ROOTS
        s.n_roots -= 1
    while s.stack != NULL:
        node = s.stack
        s.stack = node.next
        node_unref_locked(s, node)
    while s.to_count != NULL:
        node = s.to_count
        s.to_count = node.next
        free(node)
    while s.finished != NULL:
        node = s.finished
        s.finished = node.next
        if node.parent != NULL:
            node_unref_locked(s, node.parent)
        free(node)
    pthread_mutex_unlock(&s.lock)
    free(s.flights)
    free(s.long_names)
    book_close(&s.stamps)
    free(s.questions)
    s.flights = NULL
    s.questions = NULL
    for i in range(MAX_STREAMS):
        connection_close(&s.connections[i])
        sent_close(&s.sent[i])
    if s.wake_fd >= 0:
        c_close(s.wake_fd)
    events_free(&s.events)
    owners_close(&s.owners)
    pthread_cond_destroy(&s.work)
    pthread_cond_destroy(&s.walk)
    pthread_cond_destroy(&s.room)
    pthread_cond_destroy(&s.count)
    pthread_mutex_destroy(&s.lock)
