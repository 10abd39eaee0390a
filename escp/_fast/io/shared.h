/* Mapped memory of which another process may take away the end: reading it then raises SIGBUS in the thread that does.
 * Instead the whole mapping becomes private zeroes, so that nothing but the file in it is spoiled; shared_is_spoiled
 * tells. The handler stands in a process from its first segment on; a SIGBUS for other memory goes where it went before. */
#ifndef ESCP_SHARED_H
#define ESCP_SHARED_H

#include <signal.h>

#include "segment.h"

enum { SHARED_MAPPINGS = 256 };
static struct {
    uintptr_t from; /* 0: free */
    size_t n;
    int is_spoiled;
} shared_mappings[SHARED_MAPPINGS];
static struct sigaction shared_before;

static void shared_on_bus(int number, siginfo_t *info, void *context) {
    uintptr_t at = (uintptr_t)info->si_addr;
    int saved = errno;
    for (int i = 0; i < SHARED_MAPPINGS; i++) {
        uintptr_t from = __atomic_load_n(&shared_mappings[i].from, __ATOMIC_ACQUIRE);
        size_t n = __atomic_load_n(&shared_mappings[i].n, __ATOMIC_ACQUIRE);
        /* The place may get another mapping meanwhile; this thread's own stays. */
        if (!from || at < from || at - from >= n || __atomic_load_n(&shared_mappings[i].from, __ATOMIC_ACQUIRE) != from)
            continue;
        __atomic_store_n(&shared_mappings[i].is_spoiled, 1, __ATOMIC_SEQ_CST); /* before anybody reads zeroes there */
        if (mmap((void *)from, n, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED) break;
        errno = saved;
        return;
    }
    if (shared_before.sa_flags & SA_SIGINFO) shared_before.sa_sigaction(number, info, context);
    else if (shared_before.sa_handler != SIG_DFL && shared_before.sa_handler != SIG_IGN) shared_before.sa_handler(number);
    else sigaction(SIGBUS, &shared_before, NULL); /* and the access is made once more */
}

/* Its place, or -1 with errno. For one thread at a time. */
static int shared_map(int fd, size_t n, void **memory) {
    static int is_handled = 0;
    struct sigaction action;
    int i = 0;
    while (i < SHARED_MAPPINGS && __atomic_load_n(&shared_mappings[i].from, __ATOMIC_ACQUIRE)) i++;
    if (i == SHARED_MAPPINGS) {
        errno = EMFILE;
        return -1;
    }
    if (!is_handled) {
        memset(&action, 0, sizeof action);
        action.sa_sigaction = shared_on_bus;
        action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
        if (sigaction(SIGBUS, &action, &shared_before)) return -1;
        is_handled = 1;
    }
    *memory = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (*memory == MAP_FAILED) return -1;
    __atomic_store_n(&shared_mappings[i].is_spoiled, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&shared_mappings[i].n, n, __ATOMIC_RELEASE);
    __atomic_store_n(&shared_mappings[i].from, (uintptr_t)*memory, __ATOMIC_RELEASE);
    return i;
}

static void shared_unmap(int i) {
    void *memory = (void *)shared_mappings[i].from;
    size_t n = shared_mappings[i].n;
    __atomic_store_n(&shared_mappings[i].from, 0, __ATOMIC_RELEASE);
    munmap(memory, n);
}

static int shared_is_spoiled(int i) { return __atomic_load_n(&shared_mappings[i].is_spoiled, __ATOMIC_ACQUIRE); }

static inline uint32_t shared_add(uint32_t *p, uint32_t n) { return __atomic_add_fetch(p, n, __ATOMIC_ACQ_REL); }
#endif
