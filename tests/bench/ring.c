/* A program that shares its memory with escp, which it starts. What it does with the bytes itself costs nothing.
 *
 *     ring send|receive BLOCK N_BLOCKS BYTES COMMAND...     a word @ of COMMAND, or its end, becomes the segment's path
 *
 * It ends with escp's exit status, or with 3 where the memory's part of the copy went wrong. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "escp_shmem.h"

#define LOOK_MS 500 /* between two looks at whether escp has ended before it attached the segment */

static pid_t start(char **words, const char *path) {
    pid_t pid = fork();
    if (pid) return pid;
    for (char **word = words; *word; word++) {
        size_t n = strlen(*word);
        char *whole;
        if (!n || (*word)[n - 1] != '@') continue;
        if (asprintf(&whole, "%.*s%s", (int)n - 1, *word, path) < 0) _exit(3);
        *word = whole;
    }
    execvp(words[0], words);
    perror(words[0]);
    _exit(127);
}

int main(int argc, char **argv) {
    struct escp_shmem *s;
    struct escp_shmem_block block;
    int is_sent, status, rc;
    pid_t pid;
    if (argc < 6) return 2;
    is_sent = !strcmp(argv[1], "send");
    rc = escp_shmem_create("/dev/shm", is_sent ? ESCP_SHMEM_SEND : ESCP_SHMEM_RECEIVE, (uint32_t)atol(argv[2]),
                           (uint32_t)atol(argv[3]), is_sent ? strtoull(argv[4], NULL, 10) : 0, &s);
    if (rc) {
        fprintf(stderr, "ring: no shared memory: %s\n", strerror(-rc));
        return 3;
    }
    pid = start(argv + 5, escp_shmem_path(s));
    while ((rc = escp_shmem_wait(s, LOOK_MS)) == -ETIMEDOUT)
        if (waitpid(pid, &status, WNOHANG) != 0) {
            escp_shmem_close(s);
            return 3; /* it has said why */
        }
    while (rc >= 0 && (rc = escp_shmem_claim(s, &block, -1)) == 1) rc = escp_shmem_complete(s, &block);
    if (rc == 0 && is_sent) rc = escp_shmem_end(s);
    if (rc == 0) rc = escp_shmem_outcome(s, -1);
    escp_shmem_close(s);
    if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status)) return 3;
    return rc ? 3 : WEXITSTATUS(status);
}
