/* Preloaded into a process: counts the bytes that it copies within its memory, in pieces of LEAST bytes and more.
 *
 * The sum is the first 8 bytes of $COPIED_FILE, which whoever wants to know maps or reads. Processes that this one starts
 * are not counted: it takes both variables away. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define LEAST 1024

typedef void *mover(void *, const void *, size_t);
static mover *move;
static _Atomic uint64_t *sum;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("COPIED_FILE");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    move = (mover *)dlsym(RTLD_NEXT, "memmove");
    if (fd >= 0) {
        void *found = mmap(NULL, sizeof *sum, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (found != MAP_FAILED) sum = found;
        close(fd);
    }
    unsetenv("LD_PRELOAD");
    unsetenv("COPIED_FILE");
}

static void *count(void *to, const void *from, size_t n) {
    if (n >= LEAST && sum) *sum += n;
    if (move) return move(to, from, n);
    for (size_t i = 0; i < n; i++) ((volatile char *)to)[i] = ((const char *)from)[i]; /* before `begin` */
    return to;
}

void *memmove(void *to, const void *from, size_t n) { return count(to, from, n); }
void *memcpy(void *to, const void *from, size_t n) { return count(to, from, n); }
void *mempcpy(void *to, const void *from, size_t n) { return (char *)count(to, from, n) + n; }
void *__memmove_chk(void *to, const void *from, size_t n, size_t room) { return n > room ? (abort(), to) : count(to, from, n); }
void *__memcpy_chk(void *to, const void *from, size_t n, size_t room) { return n > room ? (abort(), to) : count(to, from, n); }
void *__mempcpy_chk(void *to, const void *from, size_t n, size_t room) {
    return n > room ? (abort(), to) : (char *)count(to, from, n) + n;
}
