/* What a program's threads, and several programs, do to one another with packaging/clib. FOLDER: a tmpfs.
 *
 * crowd FOLDER N   makes N segments, one after the other, and tells how many could not be had, or were gone
 * claims FOLDER    one thread waits for a block; another waits 100 ms for one, which is told as `waited`
 * complete FOLDER  of a block that nobody has claimed: what that returned
 * leave FOLDER K   completes K blocks of 20 in a ring of 8, all but the second, tells the path and waits to be killed
 * go-on FOLDER PATH   attaches that, completes the rest, and tells how many blocks it claimed, and what came of it
 * give-up FOLDER   calls error before escp has come, and outcome
 */
#include <escp_shmem.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void *wait_long(void *s) {
    struct escp_shmem_block block;
    escp_shmem_claim(s, &block, 4000);
    return NULL;
}

static long clock_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int main(int n, char **words) {
    struct escp_shmem *s;
    struct escp_shmem_block block;
    pthread_t thread;
    int n_wrong = 0, rc;
    long since;
    if (n < 3) return 2;
    if (!strcmp(words[1], "crowd")) {
        for (int i = 0; i < atoi(words[3]); i++) {
            if (escp_shmem_create(words[2], ESCP_SHMEM_SEND, 4096, 1, 1, &s)) {
                n_wrong++;
                continue;
            }
            n_wrong += access(escp_shmem_path(s), F_OK) != 0;
            escp_shmem_close(s);
        }
        printf("wrong %d\n", n_wrong);
        return 0;
    }
    if (!strcmp(words[1], "leave")) {
        if (escp_shmem_create(words[2], ESCP_SHMEM_SEND, 4096, 8, 20 * 4096 - 5, &s)) return 1;
        for (int i = 0; i < atoi(words[3]) && escp_shmem_claim(s, &block, 0) == 1; i++) {
            memset(block.data, 'a' + (int)(block.offset / 4096), block.n);
            if (i != 1) escp_shmem_complete(s, &block);
        }
        puts(escp_shmem_path(s));
        fflush(stdout);
        for (;;) pause();
    }
    if (!strcmp(words[1], "go-on")) {
        if (escp_shmem_attach(words[3], &s)) return 1;
        puts("attached");
        fflush(stdout);
        while ((rc = escp_shmem_claim(s, &block, 20000)) == 1) {
            memset(block.data, 'a' + (int)(block.offset / 4096), block.n);
            escp_shmem_complete(s, &block);
            n_wrong++;
        }
        printf("claim %d claimed %d end %d ", rc, n_wrong, escp_shmem_end(s));
        printf("outcome %d\n", escp_shmem_outcome(s, 20000));
        escp_shmem_close(s);
        return 0;
    }
    if (escp_shmem_create(words[2], ESCP_SHMEM_SEND, 4096, 2, 40960, &s)) return 1;
    if (!strcmp(words[1], "give-up")) {
        escp_shmem_error(s, 5);
        since = clock_ms();
        rc = escp_shmem_outcome(s, 5000);
        printf("outcome %d waited %ld\n", rc, clock_ms() - since);
        escp_shmem_close(s);
        return 0;
    }
    if (escp_shmem_claim(s, &block, 0) != 1) return 1;
    if (!strcmp(words[1], "complete")) {
        block.offset += 4096;
        printf("complete %d\n", escp_shmem_complete(s, &block));
        escp_shmem_close(s);
        return 0;
    }
    if (escp_shmem_claim(s, &block, 0) != 1) return 1;
    pthread_create(&thread, NULL, wait_long, s);
    usleep(200000);
    since = clock_ms();
    rc = escp_shmem_claim(s, &block, 100);
    printf("claim %d waited %ld\n", rc, clock_ms() - since);
    fflush(stdout);
    since = clock_ms();
    escp_shmem_error(s, 1);
    pthread_join(thread, NULL);
    printf("error %ld\n", clock_ms() - since);
    escp_shmem_close(s);
    return 0;
}
