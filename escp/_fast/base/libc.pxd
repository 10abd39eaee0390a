"""System calls and C functions that Cython's own declarations lack."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_t:
        pass
    ctypedef struct pthread_mutex_t:
        pass
    ctypedef struct pthread_cond_t:
        pass
    int pthread_mutex_init(pthread_mutex_t *, const void *)
    int pthread_mutex_destroy(pthread_mutex_t *)
    int pthread_mutex_lock(pthread_mutex_t *)
    int pthread_mutex_unlock(pthread_mutex_t *)
    int pthread_cond_init(pthread_cond_t *, const void *)
    int pthread_cond_destroy(pthread_cond_t *)
    int pthread_cond_wait(pthread_cond_t *, pthread_mutex_t *)
    int pthread_cond_signal(pthread_cond_t *)
    int pthread_cond_broadcast(pthread_cond_t *)
    ctypedef struct pthread_rwlock_t:
        pass
    ctypedef struct pthread_rwlockattr_t:
        pass
    enum:
        PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP
    int pthread_rwlockattr_init(pthread_rwlockattr_t *)
    int pthread_rwlockattr_setkind_np(pthread_rwlockattr_t *, int)
    int pthread_rwlockattr_destroy(pthread_rwlockattr_t *)
    int pthread_rwlock_init(pthread_rwlock_t *, const pthread_rwlockattr_t *)
    int pthread_rwlock_destroy(pthread_rwlock_t *)
    int pthread_rwlock_rdlock(pthread_rwlock_t *)
    int pthread_rwlock_wrlock(pthread_rwlock_t *)
    int pthread_rwlock_unlock(pthread_rwlock_t *)
    int pthread_detach(pthread_t)
    int pthread_join(pthread_t, void **)

cdef extern from "native.h" nogil:
    # A condition for escp_cond_wait_until; 0 or an errno. *due_ns*: of read_clock.
    int escp_cond_init(pthread_cond_t *)
    int escp_cond_wait_until(pthread_cond_t *, pthread_mutex_t *, uint64_t due_ns)
    # A thread with all signals blocked (they stay with Python's main thread); 0 or an errno.
    int escp_thread_start(pthread_t *, void *(*)(void *) noexcept nogil, void *, const char *name)
    uint64_t escp_load(const uint64_t *)  # relaxed
    void escp_store(uint64_t *, uint64_t)  # relaxed
    void escp_count(uint64_t *, uint64_t)  # relaxed add by the counter's only writer
    uint64_t escp_fetch_add(uint64_t *, uint64_t)  # relaxed, any number of writers
    int escp_flag(const int *)  # acquire
    bint escp_is_paced(int fd)  # it has a limit, and bytes that wait for it, or for being acknowledged
    void escp_wake_idle(int fd, int seconds)  # recv says EAGAIN after so long without a byte
    void escp_raise_flag(int *)  # release
    int64_t escp_openat_beneath(int dirfd, const char *path, uint64_t flags, bint follows_links)
    int64_t escp_getdents(int fd, void *buf, uint64_t len)
    int64_t escp_pread_all(int fd, void *to, size_t n, int64_t offset)  # fewer than n: the file's end; -1 with errno
    bint escp_is_zero(const uint8_t *, size_t)
    int escp_send_all(int sock, const void *data, size_t n, int flags)  # 0, or -1 with errno
    int escp_clone(int to, int source)  # 0, or -1 with errno
    void escp_set_errno(int)
    void escp_wipe(void *secret, size_t)  # never optimised away
    int escp_dio_align(int fd, uint32_t *align)
    bint escp_is_memory_fs(int fd)
    bint escp_tells_sizes(int fd)
    bint escp_syncs_whole(int fd)
    uint64_t escp_room(int fd)
    uint64_t htobe64(uint64_t)
    uint32_t htobe32(uint32_t)
    uint16_t htobe16(uint16_t)
    uint64_t be64toh(uint64_t)
    uint32_t be32toh(uint32_t)
    uint16_t be16toh(uint16_t)
    ctypedef struct dirent64_t "struct linux_dirent64":
        int64_t d_off
        uint16_t d_reclen
        uint8_t d_type
        char d_name[1]
    enum:
        DIRENT_NAME_AT "ESCP_DIRENT_NAME_AT"
        DT_REG, DT_DIR

cdef extern from "<errno.h>" nogil:
    int errno
    enum:
        EACCES, EAGAIN, ETIMEDOUT, EEXIST, EINTR, EINVAL, EISDIR, ELOOP, ENAMETOOLONG, ENOENT, ENOMEM, ENOSPC
        ENOSYS, ENOTDIR, EOPNOTSUPP, EPERM, EXDEV, EBADMSG, EBUSY, ECANCELED, EDQUOT, EIO, EOWNERDEAD, ESPIPE, ESTALE
        ECONNRESET, EFBIG, ENXIO, ENODATA, ENOTTY, E2BIG, ERANGE, ENODEV, ENOTCONN, ECONNABORTED, ESHUTDOWN, EMFILE
        ENFILE

cdef extern from "<string.h>" nogil:
    void *memcpy(void *, const void *, size_t)
    void *memmove(void *, const void *, size_t)
    void *memset(void *, int, size_t)
    void *memchr(const void *, int, size_t)
    int memcmp(const void *, const void *, size_t)
    int strcmp(const char *, const char *)
    size_t strlen(const char *)
    int strncasecmp(const char *, const char *, size_t)

cdef extern from "<stdlib.h>" nogil:
    void *malloc(size_t)
    void *calloc(size_t, size_t)
    void free(void *)
    int posix_memalign(void **, size_t, size_t)

cdef extern from "<sys/mman.h>" nogil:
    int madvise(void *, size_t, int)
    enum:
        MADV_HUGEPAGE

cdef extern from "<stdio.h>" nogil:
    int snprintf(char *, size_t, const char *, ...)
    int renameat(int, const char *, int, const char *)

cdef extern from "<unistd.h>" nogil:
    ssize_t pread(int, void *, size_t, int64_t)
    ssize_t pwrite(int, const void *, size_t, int64_t)
    ssize_t c_write "write"(int, const void *, size_t)
    ssize_t c_read "read"(int, void *, size_t)
    int c_close "close"(int)
    int dup(int)
    int pipe2(int *, int)
    int ftruncate(int, int64_t)
    int fsync(int)
    int syncfs(int)
    int unlinkat(int, const char *, int)
    int linkat(int, const char *, int, const char *, int)
    int fchown(int, uint32_t, uint32_t)
    int fchownat(int, const char *, uint32_t, uint32_t, int)
    int symlinkat(const char *, int, const char *)
    ssize_t readlinkat(int, const char *, char *, size_t)
    uint32_t geteuid()
    int64_t lseek(int, int64_t, int)
    enum:
        SEEK_SET, SEEK_DATA, SEEK_HOLE

cdef extern from "<fcntl.h>" nogil:
    int openat(int, const char *, int, ...)
    int fcntl(int, int, ...)
    int posix_fadvise(int, int64_t, int64_t, int)
    int fallocate(int, int, int64_t, int64_t)
    int sync_file_range(int, int64_t, int64_t, unsigned int)
    ssize_t splice(int, int64_t *, int, int64_t *, size_t, unsigned int)
    enum:
        O_RDONLY, O_RDWR, O_WRONLY, O_CREAT, O_EXCL, O_DIRECT, O_DIRECTORY, O_CLOEXEC
        SPLICE_F_MOVE, SPLICE_F_NONBLOCK
        SYNC_FILE_RANGE_WAIT_AFTER, SYNC_FILE_RANGE_WAIT_BEFORE, SYNC_FILE_RANGE_WRITE
        O_NOFOLLOW, O_TMPFILE, O_NONBLOCK, O_NOCTTY, O_PATH
        F_GETFL, F_SETFL, F_SETPIPE_SZ, F_DUPFD_CLOEXEC, POSIX_FADV_DONTNEED, POSIX_FADV_WILLNEED, AT_FDCWD
        AT_EMPTY_PATH, AT_REMOVEDIR, AT_SYMLINK_FOLLOW, AT_SYMLINK_NOFOLLOW, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE

cdef extern from "<sys/file.h>" nogil:
    int flock(int, int)
    enum:
        LOCK_EX, LOCK_NB

cdef extern from "<sys/stat.h>" nogil:
    ctypedef struct timespec_t "struct timespec":
        int64_t tv_sec
        int64_t tv_nsec
    ctypedef struct stat_t "struct stat":
        uint64_t st_dev
        uint64_t st_ino
        uint32_t st_mode
        uint64_t st_nlink
        uint32_t st_uid
        uint32_t st_gid
        uint64_t st_rdev
        int64_t st_size
        int64_t st_blocks
        timespec_t st_atim
        timespec_t st_mtim
        timespec_t st_ctim
    int fstat(int, stat_t *)
    int fstatat(int, const char *, stat_t *, int)
    int fchmod(int, uint32_t)
    int fchmodat(int, const char *, uint32_t, int)
    int utimensat(int, const char *, const timespec_t *, int)
    int futimens(int, const timespec_t *)
    int mkdirat(int, const char *, uint32_t)
    bint S_ISREG(uint32_t)
    bint S_ISDIR(uint32_t)
    bint S_ISLNK(uint32_t)
    bint S_ISCHR(uint32_t)
    bint S_ISBLK(uint32_t)
    bint S_ISFIFO(uint32_t)
    int mknodat(int, const char *, uint32_t, uint64_t)
    enum:
        S_IFMT, S_IFCHR, S_IFBLK, S_IFIFO, S_ISGID

cdef extern from "<sys/sysmacros.h>" nogil:
    unsigned int major(uint64_t)
    unsigned int minor(uint64_t)
    uint64_t makedev(unsigned int, unsigned int)

cdef extern from "<sys/xattr.h>" nogil:
    ssize_t flistxattr(int, char *, size_t)
    ssize_t getxattr(const char *, const char *, void *, size_t)
    int fsetxattr(int, const char *, const void *, size_t, int)
    int fremovexattr(int, const char *)
    ssize_t lgetxattr(const char *, const char *, void *, size_t)
    ssize_t fgetxattr(int, const char *, void *, size_t)
    int setxattr(const char *, const char *, const void *, size_t, int)
    int removexattr(const char *, const char *)

cdef extern from "<pwd.h>" nogil:
    ctypedef struct passwd_t "struct passwd":
        char *pw_name
        uint32_t pw_uid
    int getpwuid_r(uint32_t, passwd_t *, char *, size_t, passwd_t **)
    int getpwnam_r(const char *, passwd_t *, char *, size_t, passwd_t **)

cdef extern from "<grp.h>" nogil:
    ctypedef struct group_t "struct group":
        char *gr_name
        uint32_t gr_gid
    int getgrgid_r(uint32_t, group_t *, char *, size_t, group_t **)
    int getgrnam_r(const char *, group_t *, char *, size_t, group_t **)

cdef extern from "<sys/socket.h>" nogil:
    ssize_t recv(int, void *, size_t, int)
    int shutdown(int, int)
    enum:
        MSG_MORE, MSG_PEEK, MSG_WAITALL, MSG_DONTWAIT, SHUT_RDWR, SHUT_WR

cdef extern from "<poll.h>" nogil:
    ctypedef struct pollfd_t "struct pollfd":
        int fd
        short events
        short revents
    int poll(pollfd_t *, unsigned long, int)
    enum:
        POLLIN, POLLOUT

cdef extern from "<sys/eventfd.h>" nogil:
    int eventfd(unsigned int, int)
    enum:
        EFD_CLOEXEC, EFD_NONBLOCK

cdef extern from "<time.h>" nogil:
    int clock_gettime(int, timespec_t *)
    enum:
        CLOCK_MONOTONIC

cdef extern from "<linux/aio_abi.h>" nogil:
    ctypedef struct iocb_t "struct iocb":
        uint64_t aio_data
        uint16_t aio_lio_opcode
        uint32_t aio_fildes
        uint64_t aio_buf
        uint64_t aio_nbytes
        int64_t aio_offset
    ctypedef struct io_event_t "struct io_event":
        uint64_t data
        int64_t res
    enum:
        IOCB_CMD_PREAD, IOCB_CMD_PWRITE

cdef extern from "native.h" nogil:
    ctypedef unsigned long aio_context_t
    int escp_io_setup(unsigned int, aio_context_t *)
    int escp_io_destroy(aio_context_t)
    int escp_io_submit(aio_context_t, iocb_t *)
    int escp_io_getevents(aio_context_t, long least, long most, io_event_t *)

cdef extern from "room.h" nogil:
    uint64_t escp_memory_room(uint64_t *limit)
