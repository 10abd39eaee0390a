/* escp_shmem.h: a program's memory as a file that escp copies, without a disk between them.
 *
 *     struct escp_shmem *s;                          escp --ioengine=shmem::posix PATH dtn2:data/run42
 *     escp_shmem_create(NULL, ESCP_SHMEM_SEND, 1 << 20, 64, size, &s);
 *     puts(escp_shmem_path(s));                      the PATH, for that command
 *     while (escp_shmem_claim(s, &block, -1) == 1) {
 *         fill(block.data, block.n, block.offset);
 *         escp_shmem_complete(s, &block);
 *     }
 *     escp_shmem_end(s);                             all of it is there
 *     rc = escp_shmem_outcome(s, -1);                0: the other host has it, verified
 *     escp_shmem_close(s);
 *
 * The other way round (ESCP_SHMEM_RECEIVE) claim gives blocks that have come, each verified, and complete gives the memory
 * back. That the *file* is whole and verified is known at its end only: from outcome.
 *
 * Functions return 0 or more, or a negative errno; none of them prints, exits or takes a signal. claim and complete may be
 * called by several threads at once, each with blocks of its own. Blocks may be completed in any order. A timeout is in
 * milliseconds; -1 waits for as long as escp lives. -EOWNERDEAD: escp has died. -ECANCELED: the copy has failed, or this
 * program has called error. -ETIMEDOUT: not in time. The layout in memory is specified in escp's docs/shmem.md.
 */
#ifndef ESCP_SHMEM_H
#define ESCP_SHMEM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ESCP_SHMEM_VERSION 1
#define ESCP_SHMEM_MIN_BLOCK 4096u
#define ESCP_SHMEM_MAX_BLOCK 33554432u
#define ESCP_SHMEM_MAX_BLOCKS 65536u

enum escp_shmem_direction {
    ESCP_SHMEM_SEND = 1,    /* the program writes, escp reads */
    ESCP_SHMEM_RECEIVE = 2, /* escp writes, the program reads */
};

struct escp_shmem; /* one file */

struct escp_shmem_block {
    void *data;
    size_t n;        /* bytes: block_bytes, and of the file's last block what is left */
    uint64_t offset; /* in the file */
};

/* Makes a segment with room for n_blocks blocks of block_bytes (a multiple of 4096) and becomes its program. folder: NULL,
 * or where it has its name until escp attaches it; it must be a tmpfs. NULL is $XDG_RUNTIME_DIR, or /dev/shm. size: bytes
 * of the file that is sent, 0 for ESCP_SHMEM_RECEIVE. Segments there that killed programs have left are removed. */
int escp_shmem_create(const char *folder, int direction, uint32_t block_bytes, uint32_t n_blocks, uint64_t size,
                      struct escp_shmem **made);
/* Becomes the program of a segment that another one has made and that no living one has (-EBUSY). Blocks that it has
 * completed stay so: claim gives the others. */
int escp_shmem_attach(const char *path, struct escp_shmem **attached);
/* For the command line. It stays valid until close, but nothing has the name once escp has attached the segment. */
const char *escp_shmem_path(const struct escp_shmem *s);
/* 0 once escp has attached it. */
int escp_shmem_wait(struct escp_shmem *s, int timeout_ms);
/* 1: the next block to be filled, or read. 0: there is none after those that were claimed before. */
int escp_shmem_claim(struct escp_shmem *s, struct escp_shmem_block *block, int timeout_ms);
/* It was filled, or read. -EINVAL: of a block that nobody has claimed, or that is complete already. */
int escp_shmem_complete(struct escp_shmem *s, const struct escp_shmem_block *block);
/* ESCP_SHMEM_SEND: all blocks are complete, and the file may get its name. Without it the file gets none. */
int escp_shmem_end(struct escp_shmem *s);
/* Gives up: the file gets no name. code is the program's own, for escp's records. */
int escp_shmem_error(struct escp_shmem *s, uint32_t code);
/* Waits for the end of the copy. 0: the whole file is there and verified. */
int escp_shmem_outcome(struct escp_shmem *s, int timeout_ms);
/* Bytes of the file; UINT64_MAX: of one that is received, and has not begun to come. */
uint64_t escp_shmem_size(const struct escp_shmem *s);
/* The name of the file that is received, "" before it comes. At most 256 bytes are written, NUL included. */
int escp_shmem_name(const struct escp_shmem *s, char *name, size_t room);
/* Ends the program's part. Without end, or outcome, that is an error for escp. */
void escp_shmem_close(struct escp_shmem *s);

#ifdef __cplusplus
}
#endif
#endif
