/* A segment of shared memory between a program and escp: docs/shmem.md, "Layout". The engine and the program's library
 * (packaging/clib) are both made of this file. Everything in a segment is the other process's to change at any time:
 * what is needed of it is loaded once, into memory of one's own, and checked there. */
#ifndef ESCP_SEGMENT_H
#define ESCP_SEGMENT_H

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/magic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#define SEGMENT_VERSION 1u
enum {
    SEGMENT_PAGE = 4096,
    SEGMENT_MIN_BLOCK = 4096,
    SEGMENT_MAX_BLOCK = 33554432,
    SEGMENT_MAX_BLOCKS = 65536,
    SEGMENT_NAME_BYTES = 256,
    SEGMENT_LOOK_MS = 200, /* how long one side sleeps at most before it looks whether the other is alive */
};
#define SEGMENT_MAX_BYTES (1ULL << 34)
#define SEGMENT_UNKNOWN UINT64_MAX

enum segment_direction { SEGMENT_SEND = 1, SEGMENT_RECEIVE = 2 };
enum segment_party { PARTY_CLIENT = 0, PARTY_ESCP = 1 }; /* the byte of the file that it has locked */
enum segment_client { CLIENT_OPEN = 1, CLIENT_ENDED = 2, CLIENT_FAILED = 3 };
enum segment_escp { ESCP_AWAITED = 0, ESCP_ATTACHED = 1, ESCP_COMPLETE = 2, ESCP_FAILED = 3 };
enum segment_word { WORD_FREE = 0, WORD_FULL = 1 }; /* the low bits of a block's word; above them is its lap */

struct segment {
    /* Written by the program before the segment has its name. */
    char magic[8];
    uint32_t version, direction, block_bytes, n_blocks;
    uint64_t data_offset, segment_bytes;
    uint8_t spare0[64 - 40];
    /* The program's. */
    uint32_t client_state, client_code;
    uint64_t size; /* of the file that it sends */
    uint8_t spare1[64 - 16];
    /* escp's. */
    uint32_t escp_state, escp_code, escp_errno, spare2;
    uint64_t received_size; /* of the file that it brings */
    uint8_t spare3[64 - 24];
    uint32_t escp_bell, escp_waits; /* rung for escp */
    uint8_t spare4[64 - 8];
    uint32_t client_bell, client_waits; /* rung for the program */
    uint8_t spare5[256 - 8];
    char name[SEGMENT_NAME_BYTES]; /* of the file that escp brings, ended by NUL */
    uint8_t spare6[SEGMENT_PAGE - 768];
    uint32_t words[]; /* one a block */
};
_Static_assert(sizeof(struct segment) == SEGMENT_PAGE && offsetof(struct segment, client_state) == 64 &&
                   offsetof(struct segment, escp_state) == 128 && offsetof(struct segment, escp_bell) == 192 &&
                   offsetof(struct segment, client_bell) == 256 && offsetof(struct segment, name) == 512,
               "docs/shmem.md has the layout");
static const char segment_magic[8] = {'E', 'S', 'C', 'P', 'S', 'H', 'M', '1'};

/* What of it does not change, once it was checked. */
struct segment_plan {
    uint32_t direction, block_bytes, n_blocks;
    uint64_t data_offset, segment_bytes;
};

static inline uint32_t segment_load(const uint32_t *p) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); }
static inline void segment_store(uint32_t *p, uint32_t value) { __atomic_store_n(p, value, __ATOMIC_SEQ_CST); }
static inline uint64_t segment_load8(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
static inline void segment_store8(uint64_t *p, uint64_t value) { __atomic_store_n(p, value, __ATOMIC_RELEASE); }

/* The word of the block with this number in that state: laps count modulo 2^30. */
static inline uint32_t segment_word(uint64_t number, uint32_t n_blocks, uint32_t state) {
    return (uint32_t)(number / n_blocks) << 2 | state;
}

static inline uint64_t segment_data_offset(uint32_t n_blocks) {
    return SEGMENT_PAGE + ((uint64_t)n_blocks * 4 + SEGMENT_PAGE - 1) / SEGMENT_PAGE * SEGMENT_PAGE;
}

static inline int segment_fits(uint32_t direction, uint32_t block_bytes, uint32_t n_blocks) {
    return (direction == SEGMENT_SEND || direction == SEGMENT_RECEIVE) && block_bytes >= SEGMENT_MIN_BLOCK &&
           block_bytes <= SEGMENT_MAX_BLOCK && block_bytes % SEGMENT_PAGE == 0 && n_blocks >= 1 &&
           n_blocks <= SEGMENT_MAX_BLOCKS &&
           segment_data_offset(n_blocks) + (uint64_t)block_bytes * n_blocks <= SEGMENT_MAX_BYTES;
}

/* 0, or an errno: whether the open file may be a segment of this user's, before anything of it is mapped. */
static inline int segment_check_file(int fd, struct stat *status) {
    struct statfs fs;
    if (fstat(fd, status) || fstatfs(fd, &fs)) return errno;
    if (!S_ISREG(status->st_mode) || status->st_nlink > 1 || fs.f_type != TMPFS_MAGIC) return EINVAL;
    if (status->st_uid != geteuid() || (status->st_mode & 07777) != 0600) return EACCES;
    if (status->st_size < SEGMENT_PAGE || (uint64_t)status->st_size > SEGMENT_MAX_BYTES) return EINVAL;
    return 0;
}

/* 0, or an errno: reads the plan of a file of that size, once, and checks it. */
static inline int segment_read_plan(int fd, uint64_t file_bytes, struct segment_plan *plan) {
    struct segment head;
    ssize_t n = pread(fd, &head, sizeof head, 0);
    if (n != (ssize_t)sizeof head || memcmp(head.magic, segment_magic, sizeof segment_magic)) return EINVAL;
    if (head.version != SEGMENT_VERSION) return EPROTONOSUPPORT;
    if (!segment_fits(head.direction, head.block_bytes, head.n_blocks)) return EINVAL;
    plan->direction = head.direction;
    plan->block_bytes = head.block_bytes;
    plan->n_blocks = head.n_blocks;
    plan->data_offset = segment_data_offset(head.n_blocks);
    plan->segment_bytes = plan->data_offset + (uint64_t)head.block_bytes * head.n_blocks;
    if (head.data_offset != plan->data_offset || head.segment_bytes != plan->segment_bytes ||
        file_bytes != plan->segment_bytes)
        return EINVAL;
    return 0;
}

/* A lock belongs to the open file, not to a process, so it is gone when all descriptors are: by kill -9, too, and across
 * name spaces of processes. The numbers are in glibc's headers from 2.20 on. */
#ifndef F_OFD_GETLK
#define F_OFD_GETLK 36
#define F_OFD_SETLK 37
#endif

/* 0, or an errno: EBUSY when another has it. */
static inline int segment_lock(int fd, int party) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = party, .l_len = 1};
    if (fcntl(fd, F_OFD_SETLK, &lock) == 0) return 0;
    return errno == EAGAIN || errno == EACCES ? EBUSY : errno;
}

/* Whether somebody else than this open file has that party's lock. */
static inline int segment_is_alive(int fd, int party) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = party, .l_len = 1};
    return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

/* What was stored before is seen by whoever wakes. No system call while nobody sleeps. */
static inline void segment_ring(uint32_t *bell, uint32_t *waits) {
    __atomic_add_fetch(bell, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(waits, __ATOMIC_SEQ_CST)) syscall(SYS_futex, bell, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

/* Sleeps until the bell is rung, unless it was since it read *seen*; MS at most. */
static inline void segment_sleep(uint32_t *bell, uint32_t *waits, uint32_t seen, int ms) {
    struct timespec most = {ms / 1000, ms % 1000 * 1000000L};
    __atomic_add_fetch(waits, 1, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, bell, FUTEX_WAIT, seen, &most, NULL, 0);
    __atomic_sub_fetch(waits, 1, __ATOMIC_SEQ_CST);
}

/* Takes the file's name away, if it is still this file's. */
static inline void segment_unlink(int fd) {
    char link[40], path[4096];
    struct stat own, named;
    ssize_t n;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof path - 1);
    if (n <= 0 || path[0] != '/') return;
    path[n] = 0;
    if (fstat(fd, &own) == 0 && lstat(path, &named) == 0 && own.st_dev == named.st_dev && own.st_ino == named.st_ino)
        unlink(path);
}
#endif
