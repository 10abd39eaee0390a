/* A program that shares its memory with escp, for tests.
 *
 *     shmem_client FOLDER send FILE BLOCK N [ACT K]      FILE's contents
 *     shmem_client FOLDER receive FILE BLOCK N [ACT K]   into FILE
 *
 * After K blocks it does ACT: die (SIGKILL), error, stop (it waits for ever), end (it says that it has ended, which it has
 * not), truncate (takes the segment's memory away), words, plan (writes nonsense there), change (alters what it gave).
 * Prints the path; at the end a line with outcome's value, what claim said last, and the bytes. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "escp_shmem.h"

static void act(const char *what, struct escp_shmem *s, int segment) {
    struct stat status;
    uint32_t *memory;
    fstat(segment, &status);
    memory = mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, segment, 0);
    if (!strcmp(what, "die")) raise(SIGKILL);
    if (!strcmp(what, "error")) escp_shmem_error(s, 7);
    if (!strcmp(what, "end")) memory[64 / 4] = 2;
    if (!strcmp(what, "plan")) memset(memory, 0xff, 64);
    if (!strcmp(what, "words")) memset(memory + 1024, 0xa5, 4096);
    if (!strcmp(what, "all")) memset(memory, 0xff, (size_t)status.st_size);
    if (!strcmp(what, "truncate")) {
        if (ftruncate(segment, 0)) perror("ftruncate");
        for (;;) pause();
    }
    if (!strcmp(what, "stop") || !strcmp(what, "words") || !strcmp(what, "all") || !strcmp(what, "end"))
        for (;;) pause();
}

int main(int argc, char **argv) {
    int is_sent = argc > 2 && !strcmp(argv[2], "send");
    struct escp_shmem_block block = {0};
    struct escp_shmem *s;
    struct stat status = {0};
    uint64_t n_bytes = 0;
    long n_left = argc > 7 ? atol(argv[7]) : -1;
    int rc, file, segment, claimed;
    if (argc < 6) return 2;
    file = open(argv[3], is_sent ? O_RDONLY : O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (file < 0 || fstat(file, &status)) return 2;
    rc = escp_shmem_create(argv[1], is_sent ? ESCP_SHMEM_SEND : ESCP_SHMEM_RECEIVE, (uint32_t)atol(argv[4]),
                           (uint32_t)atol(argv[5]), is_sent ? (uint64_t)status.st_size : 0, &s);
    if (rc) {
        printf("create %d\n", rc);
        return 1;
    }
    segment = open(escp_shmem_path(s), O_RDWR);
    puts(escp_shmem_path(s));
    fflush(stdout);
    for (;;) {
        if (n_left == 0) act(argv[6], s, segment);
        n_left--;
        claimed = escp_shmem_claim(s, &block, -1);
        if (claimed != 1) break;
        if (is_sent && pread(file, block.data, block.n, (off_t)block.offset) != (ssize_t)block.n) return 3;
        if (!is_sent && pwrite(file, block.data, block.n, (off_t)block.offset) != (ssize_t)block.n) return 3;
        n_bytes += block.n;
        if (escp_shmem_complete(s, &block)) return 4;
        if (n_left == 0 && argc > 6 && !strcmp(argv[6], "change"))
            for (;;) ((volatile char *)block.data)[block.n - 1]++;
    }
    if (claimed == 0 && is_sent) escp_shmem_end(s);
    rc = escp_shmem_outcome(s, -1);
    printf("outcome %d claim %d bytes %llu\n", rc, claimed, (unsigned long long)n_bytes);
    escp_shmem_close(s);
    return 0;
}
