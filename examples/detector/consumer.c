/* Takes a detector's frames on the other host, as they come, and looks for gaps in their numbers.
 *
 *     consumer FRAME_BYTES [BUFFERED_FRAMES]
 *
 * It prints the segment's path, and at the end rate and losses. Exit status 0: nothing was lost, and all of it is verified. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <escp_shmem.h>

static double now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

int main(int argc, char **argv) {
    struct escp_shmem *s;
    struct escp_shmem_block block;
    uint64_t n_frames = 0, n_lost = 0, next = 0, number;
    uint32_t n_bytes;
    double begun_s = 0, taken_s = 0;
    int rc;
    if (argc < 2) {
        fprintf(stderr, "usage: consumer FRAME_BYTES [BUFFERED_FRAMES]\n");
        return 2;
    }
    n_bytes = (uint32_t)strtoul(argv[1], NULL, 10);
    rc = escp_shmem_create(NULL, ESCP_SHMEM_RECEIVE, n_bytes, argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 64, 0, &s);
    if (rc < 0) {
        fprintf(stderr, "consumer: no shared memory: %s\n", strerror(-rc));
        return 1;
    }
    puts(escp_shmem_path(s));
    fflush(stdout);
    while ((rc = escp_shmem_claim(s, &block, -1)) == 1) {
        memcpy(&number, block.data, sizeof number);
        if (number > next) n_lost += number - next;
        next = number + 1;
        if (n_frames++ == 0) begun_s = now_s();
        taken_s = now_s() - begun_s;
        rc = escp_shmem_complete(s, &block);
        if (rc < 0) break;
    }
    if (rc == 0) rc = escp_shmem_outcome(s, -1);
    printf("consumer: %llu frames of %u bytes, %.1f MB/s; lost: %llu; %s\n", (unsigned long long)n_frames, n_bytes,
           taken_s > 0 ? (double)(n_frames - 1) * n_bytes / taken_s / 1e6 : 0.0, (unsigned long long)n_lost,
           rc ? strerror(-rc) : "all verified");
    escp_shmem_close(s);
    return rc || n_lost;
}
