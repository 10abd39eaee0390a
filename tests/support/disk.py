"""A library in front of libc's calls that tells what is asked of a disk, and lets calls fail.

DISK_LOG    a file that gets a line for each: `write 12`, `name 12`, `sync 12`, `syncfs`, `directory 7`
DISK_FAILS  NAME:ERRNO[:N[:M]] with spaces between: that call of libc fails from its Nth time on, to its Mth;
            `reopen` is the opening of a directory by its own descriptor
DISK_TYPE   what fstatfs says of file systems' type: one that is not known, for one
DISK_BREAKS a command that is run when pages of a file are to be dropped: before it is read back
"""

import os
import subprocess
from pathlib import Path

from tests.support.sanitized import skip_preloads

SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define REAL(name) \
    static __typeof__(name) *real; \
    if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

static void tell(const char *what, int fd) {
    const char *path = getenv("DISK_LOG");
    char line[64];
    struct stat st;
    int number = errno, n, log;
    if (!path || (log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)) < 0) return;
    n = fd < 0 || fstat(fd, &st) ? snprintf(line, sizeof line, "%s\n", what)
                                 : snprintf(line, sizeof line, "%s %lu\n", what, (unsigned long)st.st_ino);
    if (write(log, line, n) != n) abort();
    close(log);
    errno = number;
}
static int fails(const char *name, int *count) {
    const char *at = getenv("DISK_FAILS");
    size_t n = strlen(name);
    for (; at && *at; at = strchr(at, ' ') ? strchr(at, ' ') + 1 : "") {
        if (strncmp(at, name, n) || at[n] != ':') continue;
        char *end;
        long number = strtol(at + n + 1, &end, 10), first = *end == ':' ? strtol(end + 1, &end, 10) : 1;
        long last = *end == ':' ? strtol(end + 1, 0, 10) : 1L << 60;
        long now = __atomic_add_fetch(count, 1, __ATOMIC_RELAXED);
        if (now < first || now > last) return 0;
        errno = (int)number;
        return 1;
    }
    return 0;
}
#define MAY_FAIL(name) \
    static int count; \
    if (fails(#name, &count)) return -1

int fsync(int fd) { REAL(fsync); MAY_FAIL(fsync); tell("sync", fd); return real(fd); }
int syncfs(int fd) { REAL(syncfs); MAY_FAIL(syncfs); tell("syncfs", -1); return real(fd); }
int sync_file_range(int fd, off64_t at, off64_t n, unsigned flags) {
    REAL(sync_file_range);
    if (flags & SYNC_FILE_RANGE_WAIT_AFTER) { MAY_FAIL(sync_file_range); }
    return real(fd, at, n, flags);
}
ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at) {
    REAL(pwrite64);
    MAY_FAIL(pwrite64);
    tell("write", fd);
    return real(fd, data, n, at);
}
ssize_t pread64(int fd, void *data, size_t n, off64_t at) {
    REAL(pread64);
    MAY_FAIL(pread64);
    return real(fd, data, n, at);
}
int fallocate64(int fd, int mode, off64_t at, off64_t n) {
    REAL(fallocate64);
    MAY_FAIL(fallocate64);
    return real(fd, mode, at, n);
}
int openat64(int fd, const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    unsigned mode = va_arg(rest, unsigned);
    va_end(rest);
    REAL(openat64);
    if ((flags & O_DIRECTORY) && !(flags & (O_PATH | O_TMPFILE & ~O_DIRECTORY)) && !strcmp(path, ".")) {
        static int count;
        if (fails("reopen", &count)) return -1;
    }
    if (flags & (O_CREAT | O_TMPFILE & ~O_DIRECTORY)) { MAY_FAIL(openat64); }
    return real(fd, path, flags, mode);
}
int close(int fd) {
    struct stat st;
    REAL(close);
    int is_written = !fstat(fd, &st) && S_ISREG(st.st_mode) && (fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY;
    if (is_written && getenv("DISK_FAILS")) {
        static int count;
        if (fails("close", &count)) { int number = errno; real(fd); errno = number; return -1; }
    }
    return real(fd);
}
static void tell_name(int fd, const char *path) {
    int made = open(path, O_PATH | O_NOFOLLOW);
    char full[4096];
    if (made >= 0) close(made);
    snprintf(full, sizeof full, "/proc/self/fd/%d/%s", fd, path);
    made = open(full, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    tell("name", made);
    if (made >= 0) close(made);
}
int linkat(int from, const char *old, int fd, const char *path, int flags) {
    REAL(linkat);
    MAY_FAIL(linkat);
    int rc = real(from, old, fd, path, flags);
    if (rc == 0) tell_name(fd, path);
    return rc;
}
int renameat(int from, const char *old, int fd, const char *path) {
    REAL(renameat);
    MAY_FAIL(renameat);
    int rc = real(from, old, fd, path);
    if (rc == 0) tell_name(fd, path);
    return rc;
}
int mkdirat(int fd, const char *path, mode_t mode) {
    REAL(mkdirat);
    MAY_FAIL(mkdirat);
    int rc = real(fd, path, mode);
    if (rc == 0) tell("directory", fd);
    return rc;
}
int fstatfs64(int fd, struct statfs64 *fs) {
    REAL(fstatfs64);
    int rc = real(fd, fs);
    if (rc == 0 && getenv("DISK_TYPE")) fs->f_type = strtol(getenv("DISK_TYPE"), 0, 0);
    return rc;
}
int posix_fadvise64(int fd, off64_t at, off64_t n, int advice) {
    REAL(posix_fadvise64);
    int rc = real(fd, at, n, advice);
    if (advice == POSIX_FADV_DONTNEED && getenv("DISK_BREAKS")) {
        char *line;
        if (asprintf(&line, "LD_PRELOAD= %s", getenv("DISK_BREAKS")) < 0 || system(line)) abort();
    }
    return rc;
}
"""


def build(folder: Path) -> Path:
    skip_preloads()
    path = folder / "disk.so"
    (folder / "disk.c").write_text(SOURCE)
    command = ["cc", "-shared", "-fPIC", "-O1", "-w", "-o", path, folder / "disk.c", "-ldl"]
    subprocess.run(command, check=True, timeout=60)
    return path


def run_on(escp, library: Path, way, *words, code: int = 0, **settings: str):
    """Run escp where both ends have the library, and *settings* go to the end that writes."""
    log = settings.get("DISK_LOG")
    if log and os.path.exists(log):
        os.unlink(log)
    env = {"LD_PRELOAD": str(library), **settings}
    if not way.is_to_remote:
        return escp.fail(code, *words, env=env) if code else escp.copy(*words, env=env)
    agent = escp.write_agent("disk-agent", *(f"export {name}='{value}'" for name, value in env.items()))
    return escp.fail(code, *words, agent=agent) if code else escp.copy(*words, agent=agent)
