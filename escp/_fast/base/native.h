/* The few lines that need C itself: threads with signals blocked, atomics, bare system calls. */
#ifndef ESCP_NATIVE_H
#define ESCP_NATIVE_H

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

/* Enough for a stream's call depth with room for the C library; the default of 8 MiB times 64 streams is not. */
#define ESCP_THREAD_STACK (512 * 1024)

static inline int escp_thread_start(pthread_t *thread, void *(*run)(void *), void *arg, const char *name) {
    sigset_t all, before;
    pthread_attr_t attr;
    int rc = pthread_attr_init(&attr);
    if (rc) return rc;
    pthread_attr_setstacksize(&attr, ESCP_THREAD_STACK);
    sigfillset(&all);
    sigdelset(&all, SIGBUS); /* of memory that others have taken away (io/shared.h): blocked, it would end the process */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(thread, &attr, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    if (!rc) pthread_setname_np(*thread, name);
    return rc;
}

/* A condition that can be waited for with a limit of time, whatever happens to the clock on the wall. */
static inline int escp_cond_init(pthread_cond_t *cond) {
    pthread_condattr_t attr;
    int rc = pthread_condattr_init(&attr);
    if (rc) return rc;
    rc = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    if (!rc) rc = pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
    return rc;
}
/* 0: woken; ETIMEDOUT: *due* (of CLOCK_MONOTONIC) is over. */
static inline int escp_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t due_ns) {
    struct timespec due = {(time_t)(due_ns / 1000000000u), (long)(due_ns % 1000000000u)};
    return pthread_cond_timedwait(cond, lock, &due);
}

static inline uint64_t escp_load(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }
static inline void escp_store(uint64_t *p, uint64_t value) { __atomic_store_n(p, value, __ATOMIC_RELAXED); }
static inline void escp_count(uint64_t *p, uint64_t n) {
    __atomic_store_n(p, __atomic_load_n(p, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}
static inline uint64_t escp_fetch_add(uint64_t *p, uint64_t n) { return __atomic_fetch_add(p, n, __ATOMIC_RELAXED); }
/* recv(2) of this socket returns EAGAIN after so long without a byte; but not of a tunnel's. */
static inline void escp_wake_idle(int fd, int seconds) {
    int domain = AF_UNIX;
    socklen_t n = sizeof(domain);
    struct timeval limit = {seconds, 0};
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n) == 0 && domain != AF_UNIX)
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
}

#ifndef SO_MAX_PACING_RATE
#define SO_MAX_PACING_RATE 47
#endif
/* Whether this system still has bytes of a socket that is only to send so many a second. */
static inline int escp_is_paced(int fd) {
    uint64_t rate = 0;
    socklen_t size = sizeof(rate);
    int n = 0;
    if (getsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, &size)) return 0;
    return rate < (size == 4 ? UINT32_MAX : UINT64_MAX) && ioctl(fd, TIOCOUTQ, &n) == 0 && n > 0;
}

static inline int escp_flag(const int *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
static inline void escp_raise_flag(int *p) { __atomic_store_n(p, 1, __ATOMIC_RELEASE); }

/* openat2(2): Linux 5.6; struct and numbers spelled out because older headers lack them. */
#ifndef SYS_openat2
#define SYS_openat2 437
#endif
struct escp_open_how {
    uint64_t flags, mode, resolve;
};
#define ESCP_RESOLVE_NO_MAGICLINKS 0x02
#define ESCP_RESOLVE_NO_SYMLINKS 0x04
#define ESCP_RESOLVE_BENEATH 0x08

/* follows_links: those that stay below DIRFD; without it any link on the way is ELOOP. */
static inline int64_t escp_openat_beneath(int dirfd, const char *path, uint64_t flags, int follows_links) {
    struct escp_open_how how = {flags, 0, ESCP_RESOLVE_BENEATH | ESCP_RESOLVE_NO_MAGICLINKS};
    if (!follows_links) how.resolve |= ESCP_RESOLVE_NO_SYMLINKS;
    long fd;
    int n_left = 1000;
    do fd = syscall(SYS_openat2, dirfd, path, &how, sizeof how);
    while (fd < 0 && (errno == EINTR || (errno == EAGAIN && n_left--))); /* EAGAIN: a rename raced with the lookup */
    return fd;
}

struct linux_dirent64 {
    uint64_t d_ino;
    int64_t d_off;
    unsigned short d_reclen;
    unsigned char d_type;
    char d_name[];
};
#define ESCP_DIRENT_NAME_AT offsetof(struct linux_dirent64, d_name)
#ifndef DT_UNKNOWN
enum { DT_UNKNOWN = 0, DT_DIR = 4, DT_REG = 8, DT_LNK = 10 };
#endif
static inline int64_t escp_getdents(int fd, void *buf, uint64_t len) { return syscall(SYS_getdents64, fd, buf, len); }

/* N bytes from OFFSET on, whatever interrupts: how many there are (fewer: the file ends), or -1 with errno. */
static inline int64_t escp_pread_all(int fd, void *to, size_t n, int64_t offset) {
    size_t have = 0;
    while (have < n) {
        ssize_t k = pread(fd, (char *)to + have, n - have, offset + (int64_t)have);
        if (k == 0) break;
        if (k > 0) have += (size_t)k;
        else if (errno != EINTR) return -1;
    }
    return (int64_t)have;
}

/* Whether all N bytes are 0: the first byte of real data says no, and memcmp is as fast as memory. */
static inline int escp_is_zero(const uint8_t *data, size_t n) {
    return n == 0 || (data[0] == 0 && memcmp(data, data + 1, n - 1) == 0);
}

/* All N bytes, whatever interrupts: 0, or -1 with errno, and without SIGPIPE. FLAGS: of send(2). */
static inline int escp_send_all(int sock, const void *data, size_t n, int flags) {
    const char *at = data;
    while (n) {
        ssize_t k = send(sock, at, n, flags | MSG_NOSIGNAL);
        if (k >= 0) at += k, n -= (size_t)k;
        else if (errno != EINTR) return -1;
    }
    return 0;
}

/* Kernel AIO: asynchronous for O_DIRECT on every kernel since 2.6, and allowed where io_uring is not. */
static inline int escp_io_setup(unsigned n, aio_context_t *ctx) { return (int)syscall(SYS_io_setup, n, ctx); }
static inline int escp_io_destroy(aio_context_t ctx) { return (int)syscall(SYS_io_destroy, ctx); }
static inline int escp_io_submit(aio_context_t ctx, struct iocb *cb) { return (int)syscall(SYS_io_submit, ctx, 1L, &cb); }
static inline int escp_io_getevents(aio_context_t ctx, long least, long most, struct io_event *events) {
    return (int)syscall(SYS_io_getevents, ctx, least, most, events, NULL);
}

/* set_mempolicy(2) with MPOL_BIND, spelled out because numaif.h is libnuma's. The kernel looks at one bit less than
   it is told. A long is 64 bits wherever this is built. */
static inline int escp_bind_memory(const uint64_t *nodes, unsigned n_words) {
    _Static_assert(sizeof(long) == sizeof(uint64_t), "the mask is made of longs");
    return (int)syscall(SYS_set_mempolicy, 2, nodes, n_words * 64ul + 1);
}

/* The whole file FROM becomes the contents of TO without a byte being read: btrfs, XFS, bcachefs, NFS 4.2, ... */
static inline int escp_clone(int to, int from) { return ioctl(to, FICLONE, from); }

static inline void escp_set_errno(int number) { errno = number; }

/* tmpfs takes O_DIRECT since Linux 6.6 and ignores it; statx tells nothing of it there. */
static inline int escp_is_memory_fs(int fd) {
    struct statfs fs;
    return fstatfs(fd, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

/* Whether files there are as long as fstat(2) says. What runs in a process (FUSE), makes contents up (proc, sysfs) or has
   them far away may say 0, or one size for all; in these the kernel itself ends every read where the size says. */
static inline int escp_tells_sizes(int fd) {
    static const uint32_t known[] = {
        0xef53 /* ext4 */, 0x58465342 /* XFS */, 0x9123683e /* btrfs */, 0xf2f52010 /* F2FS */, 0xca451a4e /* bcachefs */,
        0x2fc12fc1 /* ZFS */, TMPFS_MAGIC, RAMFS_MAGIC, 0x794c7630 /* overlay */, 0x6969 /* NFS */, 0x00c36400 /* Ceph */,
        0x0bd00bd0 /* Lustre */, 0x47504653 /* GPFS */};
    struct statfs fs;
    if (fstatfs(fd, &fs)) return 0;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if ((uint32_t)fs.f_type == known[i]) return 1;
    return 0;
}

/* Whether syncfs(2) makes everything of that file system durable. Of what runs in a process or on a server it only
   promises that the bytes have left this kernel's memory, if that. */
static inline int escp_syncs_whole(int fd) {
    static const uint32_t known[] = {0xef53 /* ext4 */, 0x58465342 /* XFS */, 0x9123683e /* btrfs */, 0xf2f52010 /* F2FS */,
                                     0xca451a4e /* bcachefs */, 0x2fc12fc1 /* ZFS */};
    struct statfs fs;
    if (fstatfs(fd, &fs)) return 0;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if ((uint32_t)fs.f_type == known[i]) return 1;
    return 0;
}

/* Bytes that may still be written where FD lies; as many as there can be where nobody knows. */
static inline uint64_t escp_room(int fd) {
    struct statfs fs;
    if (fstatfs(fd, &fs) || fs.f_blocks == 0) return UINT64_MAX; /* no blocks: a tmpfs without a limit, FUSE */
    return (uint64_t)(geteuid() ? fs.f_bavail : fs.f_bfree) * (uint64_t)fs.f_bsize;
}

/* O_DIRECT's alignment of FD into *ALIGN (0: the file system has none); -1 where the kernel can't tell (before 6.1).
   statx(2) spelled out: the function is in glibc from 2.28 on, the field in headers from 6.1 on. */
#define ESCP_STATX_DIOALIGN 0x2000u
struct escp_statx {
    uint32_t mask, other[37], dio_mem_align, dio_offset_align, spare[24];
};
_Static_assert(sizeof(struct escp_statx) == 256, "struct statx has 256 bytes");
#ifdef STATX_DIOALIGN
_Static_assert(offsetof(struct escp_statx, dio_mem_align) == offsetof(struct statx, stx_dio_mem_align), "statx");
#endif

static inline int escp_dio_align(int fd, uint32_t *align) {
#ifdef SYS_statx
    struct escp_statx sx = {0};
    if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH, ESCP_STATX_DIOALIGN, &sx) || !(sx.mask & ESCP_STATX_DIOALIGN)) return -1;
    *align = sx.dio_mem_align > sx.dio_offset_align ? sx.dio_mem_align : sx.dio_offset_align;
    return 0;
#else
    (void)fd, (void)align;
    return -1;
#endif
}

/* explicit_bzero(3), which glibc has from 2.25 on: the compiler must believe that somebody reads the zeroes. */
static inline void escp_wipe(void *secret, size_t n) {
    memset(secret, 0, n);
    __asm__ __volatile__("" : : "r"(secret) : "memory");
}
#endif
