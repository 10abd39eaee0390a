"""A file system that takes no notice of case, where the kernel has none: a library in front of libc's calls.

It makes small letters of the names that are used below directories of one device, as old FAT does.
"""

import os
import subprocess
from pathlib import Path

from tests.support.sanitized import skip_preloads

SOURCE = r"""
#define _GNU_SOURCE
#define _LARGEFILE64_SOURCE
#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static const char *fold(int dirfd, const char *path, char *out) {
    struct stat there;
    const char *device = getenv("FOLDS_DEVICE");
    size_t i;
    if (!device || *path == '/' || fstat(dirfd, &there)) return path;
    if (there.st_dev != strtoul(device, 0, 10)) return path;
    for (i = 0; path[i] && i < 4095; i++) out[i] = (char)tolower((unsigned char)path[i]);
    out[i] = 0;
    return out;
}
#define REAL(name) \
    static __typeof__(name) *real; \
    if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

int openat(int fd, const char *path, int flags, ...) {
    char out[4096];
    va_list rest;
    va_start(rest, flags);
    unsigned mode = va_arg(rest, unsigned);
    va_end(rest);
    REAL(openat);
    return real(fd, fold(fd, path, out), flags, mode);
}
int openat64(int fd, const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    unsigned mode = va_arg(rest, unsigned);
    va_end(rest);
    return openat(fd, path, flags, mode);
}
int __openat64_2(int fd, const char *path, int flags) { return openat(fd, path, flags, 0); }
int mkdirat(int fd, const char *path, mode_t mode) {
    char out[4096];
    REAL(mkdirat);
    return real(fd, fold(fd, path, out), mode);
}
int fstatat(int fd, const char *path, struct stat *status, int flags) {
    char out[4096];
    REAL(fstatat);
    return real(fd, fold(fd, path, out), status, flags);
}
int fstatat64(int fd, const char *path, struct stat64 *status, int flags) {
    return fstatat(fd, path, (struct stat *)status, flags); /* the same where a long has 64 bits */
}
int linkat(int from, const char *old, int fd, const char *path, int flags) {
    char out[4096], first[4096];
    REAL(linkat);
    return real(from, fold(from, old, first), fd, fold(fd, path, out), flags);
}
int symlinkat(const char *text, int fd, const char *path) {
    char out[4096];
    REAL(symlinkat);
    return real(text, fd, fold(fd, path, out));
}
int mknodat(int fd, const char *path, mode_t mode, dev_t device) {
    char out[4096];
    REAL(mknodat);
    return real(fd, fold(fd, path, out), mode, device);
}
int renameat(int from, const char *old, int fd, const char *path) {
    char out[4096], first[4096];
    REAL(renameat);
    return real(from, fold(from, old, first), fd, fold(fd, path, out));
}
int unlinkat(int fd, const char *path, int flags) {
    char out[4096];
    REAL(unlinkat);
    return real(fd, fold(fd, path, out), flags);
}
long syscall(long number, ...) {
    long a[6];
    va_list rest;
    va_start(rest, number);
    for (int i = 0; i < 6; i++) a[i] = va_arg(rest, long);
    va_end(rest);
    REAL(syscall);
    if (number == 437) { errno = ENOSYS; return -1; } /* openat2 */
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
"""


def build(folder: Path) -> Path:
    skip_preloads()
    path = folder / "folding.so"
    (folder / "folding.c").write_text(SOURCE)
    command = ["cc", "-shared", "-fPIC", "-O1", "-w", "-o", path, folder / "folding.c", "-ldl"]
    subprocess.run(command, check=True, timeout=60)
    return path


def settings(library: Path, target: Path) -> dict[str, str]:
    """What an escp has in its environment to which all of *target*'s device is such a file system."""
    return {"LD_PRELOAD": str(library), "FOLDS_DEVICE": str(os.stat(target).st_dev)}
