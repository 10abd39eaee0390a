/* A detector: frames of one size at a fixed rate, which wait for nobody. They go through shared memory into a copy of escp's.
 *
 *     detector FRAME_BYTES FRAMES FRAMES_PER_S [BUFFERED_FRAMES]      FRAMES_PER_S 0: as fast as they are taken
 *
 * It prints the segment's path, begins when escp has attached it, and then prints rate and losses. A frame for which no
 * block is free when it is due is lost: it counts, and the next one takes its place in the file. Exit status 0: nothing
 * was lost, and the other host has all of it, verified. */
#define _GNU_SOURCE
#include <errno.h>
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

static void sleep_until(double due_s) {
    struct timespec due = {(time_t)due_s, (long)((due_s - (double)(time_t)due_s) * 1e9)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL) == EINTR) {}
}

/* What a readout would do: number and time, then the pixels; a real one has its hardware write them here. */
static void expose(struct escp_shmem_block *block, uint64_t number) {
    uint64_t head[2] = {number, (uint64_t)(now_s() * 1e9)};
    memcpy(block->data, head, sizeof head);
}

int main(int argc, char **argv) {
    struct escp_shmem *s;
    struct escp_shmem_block block;
    uint64_t n_frames, n_sent = 0, n_lost = 0, number = 0;
    uint32_t n_bytes, n_buffered;
    double rate, begun_s, taken_s;
    int rc;
    if (argc < 4) {
        fprintf(stderr, "usage: detector FRAME_BYTES FRAMES FRAMES_PER_S [BUFFERED_FRAMES]\n");
        return 2;
    }
    n_bytes = (uint32_t)strtoul(argv[1], NULL, 10);
    n_frames = strtoull(argv[2], NULL, 10);
    rate = strtod(argv[3], NULL);
    n_buffered = argc > 4 ? (uint32_t)strtoul(argv[4], NULL, 10) : 64;
    rc = escp_shmem_create(NULL, ESCP_SHMEM_SEND, n_bytes, n_buffered, n_frames * n_bytes, &s);
    if (rc < 0) {
        fprintf(stderr, "detector: no shared memory: %s\n", strerror(-rc));
        return 1;
    }
    puts(escp_shmem_path(s));
    fflush(stdout);
    rc = escp_shmem_wait(s, -1);
    begun_s = now_s();
    while (rc >= 0 && n_sent < n_frames) {
        if (rate > 0) sleep_until(begun_s + (double)number / rate);
        number++;
        rc = escp_shmem_claim(s, &block, rate > 0 ? 0 : -1);
        if (rc == -ETIMEDOUT) {
            n_lost++;
            rc = 0;
        } else if (rc == 1) {
            expose(&block, number - 1);
            rc = escp_shmem_complete(s, &block);
            n_sent++;
        }
    }
    taken_s = now_s() - begun_s;
    if (rc >= 0) rc = escp_shmem_end(s);
    if (rc >= 0) rc = escp_shmem_outcome(s, -1);
    printf("detector: %llu frames of %u bytes in %.2f s: %.1f frames/s, %.1f MB/s; lost: %llu; %s\n",
           (unsigned long long)n_sent, n_bytes, taken_s, (double)n_sent / taken_s,
           (double)n_sent * n_bytes / taken_s / 1e6, (unsigned long long)n_lost, rc ? strerror(-rc) : "all verified");
    escp_shmem_close(s);
    return rc || n_lost;
}
