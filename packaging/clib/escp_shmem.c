/* The program's side of a segment; see escp_shmem.h, and docs/shmem.md for who writes what when. */
#define _GNU_SOURCE
#include "escp_shmem.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "segment.h"

#define NAME_PREFIX "escp-"
enum { PREFIX_BYTES = 5, NAME_BYTES = PREFIX_BYTES + 32 };

struct escp_shmem {
    struct segment *shared;
    struct segment_plan plan;
    uint8_t *data;
    uint64_t size; /* of a file that is sent */
    uint64_t next; /* block to claim; below the lock */
    uint64_t n_complete;
    uint64_t n_found; /* blocks that a program before this one may have completed: of the first lap */
    pthread_mutex_t lock;
    int fd;
    char path[];
};

static int is_segment_name(const char *name) {
    return strncmp(name, NAME_PREFIX, PREFIX_BYTES) == 0 && strlen(name) == NAME_BYTES &&
           strspn(name + PREFIX_BYTES, "0123456789abcdef") == 32;
}

/* Where nobody has a segment open any more, its program was killed before escp attached it. */
static void remove_dead(int folder) {
    int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    struct stat status;
    if (!list) {
        if (fd >= 0) close(fd);
        return;
    }
    while ((entry = readdir(list))) {
        if (!is_segment_name(entry->d_name)) continue;
        fd = openat(folder, entry->d_name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0) continue;
        if (segment_check_file(fd, &status) == 0 && segment_lock(fd, PARTY_CLIENT) == 0 && !segment_is_alive(fd, PARTY_ESCP))
            segment_unlink(fd);
        close(fd);
    }
    closedir(list);
}

/* getrandom(2) is not on every system that escp runs on. */
static int fill_random(uint8_t *to, size_t n) {
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    ssize_t k = fd < 0 ? -1 : read(fd, to, n);
    if (fd >= 0) close(fd);
    return k == (ssize_t)n ? 0 : EIO;
}

static int open_folder(const char *folder) {
    return open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int is_memory(int fd) {
    struct statfs fs;
    return fd >= 0 && fstatfs(fd, &fs) == 0 && fs.f_type == TMPFS_MAGIC;
}

/* A descriptor of the folder, and its path in *folder. */
static int find_folder(const char **folder) {
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    int fd = -1;
    if (*folder) return open_folder(*folder);
    if (runtime && runtime[0] == '/') fd = open_folder(*folder = runtime);
    if (is_memory(fd)) return fd;
    if (fd >= 0) close(fd);
    return open_folder(*folder = "/dev/shm");
}

static int take(int fd, const char *path, struct escp_shmem **taken) {
    struct stat status;
    struct escp_shmem *s = calloc(1, sizeof *s + strlen(path) + 1);
    void *memory = MAP_FAILED;
    int number;
    if (!s) {
        close(fd);
        return -ENOMEM;
    }
    number = segment_check_file(fd, &status);
    if (!number) number = segment_read_plan(fd, (uint64_t)status.st_size, &s->plan);
    if (!number) number = segment_lock(fd, PARTY_CLIENT);
    if (!number) memory = mmap(NULL, s->plan.segment_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (!number && memory == MAP_FAILED) number = errno;
    if (number) {
        close(fd);
        free(s);
        return -number;
    }
    s->fd = fd;
    s->shared = memory;
    s->data = (uint8_t *)memory + s->plan.data_offset;
    s->size = segment_load8(&s->shared->size);
    pthread_mutex_init(&s->lock, NULL);
    strcpy(s->path, path);
    *taken = s;
    return 0;
}

int escp_shmem_create(const char *folder, int direction, uint32_t block_bytes, uint32_t n_blocks, uint64_t size,
                      struct escp_shmem **made) {
    struct segment head = {.version = SEGMENT_VERSION, .direction = (uint32_t)direction, .block_bytes = block_bytes,
                           .n_blocks = n_blocks, .client_state = CLIENT_OPEN, .size = size};
    uint8_t random[16];
    char name[NAME_BYTES + 1] = NAME_PREFIX;
    char *path;
    int folder_fd, fd, rc;
    if (!segment_fits((uint32_t)direction, block_bytes, n_blocks) || size >> 63) return -EINVAL;
    folder_fd = find_folder(&folder);
    if (folder_fd < 0) return -errno;
    if (!is_memory(folder_fd)) {
        close(folder_fd);
        return -EINVAL;
    }
    remove_dead(folder_fd);
    if (fill_random(random, sizeof random)) {
        close(folder_fd);
        return -EIO;
    }
    for (int i = 0; i < 16; i++) snprintf(name + PREFIX_BYTES + 2 * i, 3, "%02x", random[i]);
    /* Not of mode 0600 before it is locked: until then another program takes it for none, and does not remove it. */
    fd = openat(folder_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0);
    rc = fd < 0 ? -errno : 0;
    if (rc) {
        close(folder_fd);
        return rc;
    }
    memcpy(head.magic, segment_magic, sizeof head.magic);
    head.data_offset = segment_data_offset(n_blocks);
    head.segment_bytes = head.data_offset + (uint64_t)block_bytes * n_blocks;
    rc = segment_lock(fd, PARTY_CLIENT);
    if (!rc && fchmod(fd, 0600)) rc = errno;
    /* All of it now: where there is no room for it later, a write would raise SIGBUS. */
    if (!rc) rc = posix_fallocate(fd, 0, (off_t)head.segment_bytes);
    if (!rc && pwrite(fd, &head, sizeof head, 0) != (ssize_t)sizeof head) rc = EIO;
    path = rc ? NULL : malloc(strlen(folder) + NAME_BYTES + 2);
    if (path) {
        sprintf(path, "%s/%s", folder, name);
        rc = -take(fd, path, made);
        fd = -1;
        free(path);
    } else if (!rc) {
        rc = ENOMEM;
    }
    if (fd >= 0) close(fd);
    if (rc) unlinkat(folder_fd, name, 0);
    close(folder_fd);
    return -rc;
}

int escp_shmem_attach(const char *path, struct escp_shmem **attached) {
    int fd = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    int rc = fd < 0 ? -errno : take(fd, path, attached);
    if (!rc && (*attached)->plan.direction == SEGMENT_SEND) (*attached)->n_found = (*attached)->plan.n_blocks;
    return rc;
}

const char *escp_shmem_path(const struct escp_shmem *s) { return s->path; }

uint64_t escp_shmem_size(const struct escp_shmem *s) {
    return s->plan.direction == SEGMENT_SEND ? s->size : segment_load8(&s->shared->received_size) - 1;
}

int escp_shmem_name(const struct escp_shmem *s, char *name, size_t room) {
    if (!room) return -EINVAL;
    name[0] = 0;
    if (segment_load8(&s->shared->received_size)) {
        room = room < SEGMENT_NAME_BYTES ? room : SEGMENT_NAME_BYTES;
        memcpy(name, s->shared->name, room);
        name[room - 1] = 0;
    }
    return 0;
}

/* ---- Waiting ------------------------------------------------------------------------------------------------------- */

static int64_t clock_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* What ends all waiting: 0, or a negative errno. Asked after what is waited for, which may have come before. */
static int check_escp(struct escp_shmem *s) {
    if (segment_load(&s->shared->client_state) == CLIENT_FAILED) return -ECANCELED;
    return segment_load(&s->shared->escp_state) == ESCP_FAILED ? -ECANCELED : 0;
}

/* Sleeps until escp rings, or for a while; *until* is on the clock, or -1. */
static int sleep_until(struct escp_shmem *s, uint32_t seen, int64_t until) {
    int64_t left = until < 0 ? SEGMENT_LOOK_MS : until - clock_ms();
    uint32_t state;
    if (left <= 0) return -ETIMEDOUT;
    segment_sleep(&s->shared->client_bell, &s->shared->client_waits, seen, left < SEGMENT_LOOK_MS ? (int)left : SEGMENT_LOOK_MS);
    state = segment_load(&s->shared->escp_state);
    if (segment_load(&s->shared->client_bell) != seen || state == ESCP_AWAITED) return 0;
    if (state == ESCP_ATTACHED && !segment_is_alive(s->fd, PARTY_ESCP)) {
        /* What it did last may have been seen by nobody yet. */
        return segment_load(&s->shared->client_bell) == seen ? -EOWNERDEAD : 0;
    }
    return 0;
}

static int64_t find_until(int timeout_ms) { return timeout_ms < 0 ? -1 : clock_ms() + timeout_ms; }

int escp_shmem_wait(struct escp_shmem *s, int timeout_ms) {
    int64_t until = find_until(timeout_ms);
    int rc;
    for (;;) {
        uint32_t seen = segment_load(&s->shared->client_bell);
        if (segment_load(&s->shared->escp_state) != ESCP_AWAITED) return 0;
        if ((rc = check_escp(s)) || (rc = sleep_until(s, seen, until))) return rc;
    }
}

/* 0 once escp has told the size of what it brings. */
static int await_size(struct escp_shmem *s, int64_t until, uint64_t *size) {
    int rc;
    *size = s->size;
    while (s->plan.direction == SEGMENT_RECEIVE) {
        uint32_t seen = segment_load(&s->shared->client_bell);
        *size = segment_load8(&s->shared->received_size) - 1;
        if (*size != SEGMENT_UNKNOWN) return 0;
        if ((rc = check_escp(s)) || (rc = sleep_until(s, seen, until))) return rc;
    }
    return 0;
}

/* Another thread may wait longer with the lock, which has a clock that can be set: so in short pieces. */
static int lock_until(struct escp_shmem *s, int64_t until) {
    for (;;) {
        int64_t left = until < 0 ? SEGMENT_LOOK_MS : until - clock_ms();
        struct timespec due;
        int rc;
        if (pthread_mutex_trylock(&s->lock) == 0) return 0;
        if ((rc = check_escp(s))) return rc;
        if (left <= 0) return -ETIMEDOUT;
        if (left > SEGMENT_LOOK_MS) left = SEGMENT_LOOK_MS;
        clock_gettime(CLOCK_REALTIME, &due);
        due.tv_nsec += left * 1000000;
        due.tv_sec += due.tv_nsec / 1000000000;
        due.tv_nsec %= 1000000000;
        if (pthread_mutex_timedlock(&s->lock, &due) == 0) return 0;
    }
}

int escp_shmem_claim(struct escp_shmem *s, struct escp_shmem_block *block, int timeout_ms) {
    int64_t until = find_until(timeout_ms);
    uint32_t wanted = s->plan.direction == SEGMENT_SEND ? WORD_FREE : WORD_FULL;
    uint64_t size, number, left;
    int rc = await_size(s, until, &size);
    if (rc) return rc;
    if ((rc = lock_until(s, until))) return rc;
    number = s->next;
    if (number * s->plan.block_bytes >= size) {
        pthread_mutex_unlock(&s->lock);
        rc = check_escp(s);
        return rc && s->plan.direction == SEGMENT_SEND ? rc : 0;
    }
    for (;;) {
        uint32_t seen = segment_load(&s->shared->client_bell);
        uint32_t word = segment_load(&s->shared->words[number % s->plan.n_blocks]);
        if ((rc = check_escp(s))) break;
        if (number < s->n_found && word == segment_word(number, s->plan.n_blocks, WORD_FULL)) {
            __atomic_add_fetch(&s->n_complete, 1, __ATOMIC_SEQ_CST);
            __atomic_store_n(&s->next, ++number, __ATOMIC_RELEASE);
            if (number * s->plan.block_bytes < size) continue;
            pthread_mutex_unlock(&s->lock);
            return 0;
        }
        if (word == segment_word(number, s->plan.n_blocks, wanted)) {
            __atomic_store_n(&s->next, number + 1, __ATOMIC_RELEASE);
            break;
        }
        if ((rc = sleep_until(s, seen, until))) break;
    }
    pthread_mutex_unlock(&s->lock);
    if (rc) return rc;
    block->offset = number * s->plan.block_bytes;
    left = size - block->offset;
    block->n = left < s->plan.block_bytes ? (size_t)left : s->plan.block_bytes;
    block->data = s->data + number % s->plan.n_blocks * s->plan.block_bytes;
    return 1;
}

int escp_shmem_complete(struct escp_shmem *s, const struct escp_shmem_block *block) {
    uint64_t number = block->offset / s->plan.block_bytes;
    uint32_t *word = &s->shared->words[number % s->plan.n_blocks];
    int is_sent = s->plan.direction == SEGMENT_SEND;
    uint32_t before = segment_word(number, s->plan.n_blocks, is_sent ? WORD_FREE : WORD_FULL);
    if (block->offset % s->plan.block_bytes || number >= __atomic_load_n(&s->next, __ATOMIC_ACQUIRE)) return -EINVAL;
    if (segment_load(word) != before) return -EINVAL;
    segment_store(word, is_sent ? segment_word(number, s->plan.n_blocks, WORD_FULL)
                                : segment_word(number + s->plan.n_blocks, s->plan.n_blocks, WORD_FREE));
    __atomic_add_fetch(&s->n_complete, 1, __ATOMIC_SEQ_CST);
    segment_ring(&s->shared->escp_bell, &s->shared->escp_waits);
    return 0;
}

static void set_state(struct escp_shmem *s, uint32_t state) {
    segment_store(&s->shared->client_state, state);
    segment_ring(&s->shared->escp_bell, &s->shared->escp_waits);
}

int escp_shmem_end(struct escp_shmem *s) {
    uint64_t n = (s->size + s->plan.block_bytes - 1) / s->plan.block_bytes;
    if (s->plan.direction != SEGMENT_SEND || __atomic_load_n(&s->n_complete, __ATOMIC_SEQ_CST) < n) return -EINVAL;
    if (segment_load(&s->shared->client_state) == CLIENT_FAILED) return -ECANCELED;
    set_state(s, CLIENT_ENDED);
    return 0;
}

int escp_shmem_error(struct escp_shmem *s, uint32_t code) {
    segment_store(&s->shared->client_code, code);
    set_state(s, CLIENT_FAILED);
    return 0;
}

int escp_shmem_outcome(struct escp_shmem *s, int timeout_ms) {
    int64_t until = find_until(timeout_ms);
    for (;;) {
        uint32_t seen = segment_load(&s->shared->client_bell);
        uint32_t state = segment_load(&s->shared->escp_state);
        int rc;
        if (state == ESCP_COMPLETE) return 0;
        if (state == ESCP_FAILED) return -ECANCELED;
        if (state == ESCP_AWAITED && segment_load(&s->shared->client_state) == CLIENT_FAILED) return -ECANCELED;
        if ((rc = sleep_until(s, seen, until))) return rc;
    }
}

void escp_shmem_close(struct escp_shmem *s) {
    if (!s) return;
    if (segment_load(&s->shared->escp_state) == ESCP_AWAITED) segment_unlink(s->fd);
    munmap(s->shared, s->plan.segment_bytes);
    close(s->fd);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
