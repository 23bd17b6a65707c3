/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_INGEST_GATHER_H
#define VPI_INGEST_GATHER_H

/*
 * Bytes of large uploads on their way from the request to the disk. A request fills a block (gather.c) and hands it on;
 * threads of the store write and hash it (flow.c), while the request fills the next.
 *
 * Order of locks: an upload's, then the pool's. The threads take the pool's alone. Who has the upload's lock may wait
 * for its blocks; they need nothing of it but what is named here.
 */

#include <pthread.h>

#include "base/error.h"
#include "ingest/digest.h"
#include "ingest/threads.h"

#define VPI_GATHER_BLOCKS 16u
#define VPI_GATHER_WRITERS 3u

/* What is made of the bytes. */
typedef struct vpi_sums {
    vpi_digest hash, declared;
    vpi_digest check; /* of a chunk under check */
} vpi_sums;

typedef struct vpi_block {
    uint8_t *data; /* aligned; `have` bytes at data + from */
    size_t from, have;
    uint64_t offset;  /* of the upload, where they go */
    int64_t since_us; /* of the first of them */
    vp_upload *upload;
    struct vpi_block *next;                   /* of the upload, or idle */
    struct vpi_block *next_write, *next_hash; /* that wait */
    uint64_t number;                          /* of those of the upload */
    bool written, hashed;
    size_t done;   /* bytes in the file */
    vp_error err;  /* status < 0: the rest is not */
    vpi_sums sums; /* behind the last of them */
} vpi_block;

/* Blocks of one upload that were handed on; by the pool's lock, and by the upload's for changes of the list. */
typedef struct vpi_flow {
    vpi_block *first, *last; /* oldest first */
    unsigned count;
    uint64_t submitted;    /* by this handle */
    bool writing, hashing; /* one of them is, right now */
    bool failed;           /* those that follow are not written */
    vpi_sums sums;         /* of what was handed on, as far as it is hashed; whoever hashes has it */
} vpi_flow;

typedef struct vpi_gather_pool {
    pthread_mutex_t lock;
    pthread_cond_t moved; /* a block was written or hashed */
    vpi_threads *threads;
    size_t bytes;   /* of a block */
    unsigned ahead; /* blocks of one upload under way at most */
    vpi_block blocks[VPI_GATHER_BLOCKS];
    unsigned made;
    vpi_block *idle; /* the one that was used last first */
    struct {
        vpi_block *first, *last;
    } to_write, to_hash;
    struct vpi_pump {
        vpi_threads_job job;
        struct vpi_gather_pool *pool;
        bool busy;
    } writers[VPI_GATHER_WRITERS], hasher;
} vpi_gather_pool;

/* ---- flow.c; with the pool's lock, which is let go meanwhile ---- */
void vpi_flow_init(vpi_gather_pool *pool);
/* The block is under way from now on. Its flow's sums are those in front of it. */
void vpi_flow_submit(vpi_gather_pool *pool, vpi_flow *flow, vpi_block *block);
/* Until something moves on of what `block` waits for: does what no thread does. */
void vpi_flow_wait(vpi_gather_pool *pool, const vpi_block *block);

#endif
