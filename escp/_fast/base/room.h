/* Memory that can still be taken before the kernel kills for it: the machine's, and that of this process's control group
   and of those above it (a batch job, a container). A look reads a few small files, so it is for large amounts only. */
#ifndef ESCP_ROOM_H
#define ESCP_ROOM_H
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ESCP_GROUP_LEVELS = 32 };
#define ESCP_NO_LIMIT UINT64_MAX

/* The file DIRECTORY/NAME as text of N bytes at most, with a newline before it; 0, or -1. */
static inline int escp_read_text(const char *directory, const char *name, char *text, size_t n) {
    char path[4608];
    ssize_t got = -1;
    int fd;
    snprintf(path, sizeof path, "%s/%s", directory, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    text[0] = '\n';
    if (fd >= 0) got = read(fd, text + 1, n - 2);
    if (fd >= 0) close(fd);
    text[got > 0 ? got + 1 : 1] = 0;
    return got > 0 ? 0 : -1;
}

/* The number behind NAME, which begins with a newline; NONE where there is no such line, or something else in it. */
static inline uint64_t escp_number_of(const char *text, const char *name, uint64_t none) {
    const char *at = strstr(text, name);
    if (!at) return none;
    at += strlen(name);
    at += strspn(at, " ");
    return *at >= '0' && *at <= '9' ? strtoull(at, NULL, 10) : none;
}

static inline uint64_t escp_number_in(const char *group, const char *name, uint64_t none) {
    char text[64];
    return escp_read_text(group, name, text, sizeof text) ? none : escp_number_of(text, "\n", none);
}

static inline uint64_t escp_less(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }
static inline uint64_t escp_least(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* What one group leaves, and its limit. Files in the page cache make room; of swap it has SWAP at most. */
static inline uint64_t escp_group_room(const char *group, int is_second, uint64_t swap, uint64_t *limit) {
    char stat[4096];
    uint64_t cache, room, both;
    *limit = escp_number_in(group, is_second ? "memory.max" : "memory.limit_in_bytes", ESCP_NO_LIMIT);
    if (is_second) *limit = escp_least(*limit, escp_number_in(group, "memory.high", ESCP_NO_LIMIT));
    if (*limit > ESCP_NO_LIMIT / 4) return ESCP_NO_LIMIT; /* the first version's word for none is 2^63 less a page */
    escp_read_text(group, "memory.stat", stat, sizeof stat);
    cache = escp_number_of(stat, is_second ? "\nactive_file" : "\ntotal_active_file", 0)
            + escp_number_of(stat, is_second ? "\ninactive_file" : "\ntotal_inactive_file", 0);
    room = escp_less(*limit, escp_less(
        escp_number_in(group, is_second ? "memory.current" : "memory.usage_in_bytes", 0), cache));
    if (is_second)
        return room + escp_least(swap, escp_less(escp_number_in(group, "memory.swap.max", ESCP_NO_LIMIT),
                                                 escp_number_in(group, "memory.swap.current", 0)));
    both = escp_number_in(group, "memory.memsw.limit_in_bytes", ESCP_NO_LIMIT);
    if (both > ESCP_NO_LIMIT / 4) return room + swap;
    return escp_least(room + swap, escp_less(both, escp_less(
        escp_number_in(group, "memory.memsw.usage_in_bytes", 0), cache)));
}

/* Whether the list of controllers, which a colon ends, has the one of memory. */
static inline int escp_has_memory(const char *list) {
    for (size_t n; (n = strcspn(list, ",:")) > 0; list += n + (list[n] == ','))
        if (n == 6 && !memcmp(list, "memory", 6)) return 1;
    return 0;
}

/* The least of a group and those above it, as far as they are mounted here. LINE: one of /proc/self/cgroup. */
static inline uint64_t escp_groups_room(const char *line, uint64_t swap, uint64_t *limit) {
    char path[4352];
    uint64_t own, room, least = ESCP_NO_LIMIT;
    const char *list = strchr(line, ':'), *group = list ? strchr(list + 1, ':') : NULL;
    int is_second = group && group == list + 1;
    size_t n_top;
    if (!group || !(is_second || escp_has_memory(list + 1))) return least;
    n_top = (size_t)snprintf(path, sizeof path, "/sys/fs/cgroup%s", is_second ? "" : "/memory");
    snprintf(path + n_top, sizeof path - n_top, "%s", group + 1);
    for (int i = 0; i < ESCP_GROUP_LEVELS && strlen(path) >= n_top; i++) {
        room = escp_group_room(path, is_second, swap, &own);
        if (room < least) {
            least = room;
            *limit = own;
        }
        *strrchr(path, '/') = 0;
    }
    return least;
}

/* UINT64_MAX: nobody knows. *LIMIT: that of the control group that leaves the least; 0: the machine has no more. */
static inline uint64_t escp_memory_room(uint64_t *limit) {
    char text[4096];
    uint64_t room, swap;
    char *next = text;
    *limit = 0;
    if (escp_read_text("/proc", "meminfo", text, sizeof text)) return ESCP_NO_LIMIT;
    swap = escp_number_of(text, "\nSwapFree:", 0) * 1024;
    room = escp_number_of(text, "\nMemAvailable:", ESCP_NO_LIMIT); /* from Linux 3.14 on */
    if (room != ESCP_NO_LIMIT) room = room * 1024 + swap;
    if (escp_read_text("/proc/self", "cgroup", text, sizeof text)) return room;
    for (char *line = strtok_r(text, "\n", &next); line; line = strtok_r(NULL, "\n", &next)) {
        uint64_t own = 0, left = escp_groups_room(line, swap, &own);
        if (left < room) {
            room = left;
            *limit = own;
        }
    }
    return room;
}
#endif
