/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_INGEST_STORE_INT_H
#define VPI_INGEST_STORE_INT_H

/*
 * The core. Order of locks: an upload's, then the store's; those of pools are taken alone or inside an upload's.
 *
 * Each upload handle has a lock, because three may come to it at the same time: the request that has it, the pool that
 * syncs behind it, and a newer request in this process that takes it over.
 */

#include <pthread.h>
#include <stdatomic.h>

#include "base/context.h"
#include "base/queue.h"
#include "ingest/back.h"
#include "ingest/gather.h"

#define VPI_INGEST_BUCKETS 256u
#define VPI_INGEST_THREADS_MAX 64u

struct vp_ingest {
    atomic_uint refs;
    vp_context *context; /* a reference */
    uint32_t fork_mark;
    vp_ingest_options o; /* no zeroes where zero means a default */
    vpi_back back;
    vpi_hook hook;
    vpi_threads *pool;
    vpi_gather_pool *gather; /* NULL: the back end gathers itself */
    pthread_mutex_t lock;
    struct {
        vp_upload *open[VPI_INGEST_BUCKETS]; /* the newest handle of each id that is open here */
        /* of the quota, where the back end does not count */
        uint64_t occupied, came; /* came: what was taken while it is counted anew */
        uint32_t unsettled;      /* takes whose records are not there yet */
        bool counted, counting;
        int64_t count_us; /* not counted anew before */
    } synced;
};

/* What a start was asked for. */
enum {
    VPI_START_NONE = 0,
    VPI_START_SYNC = 1,
    VPI_START_FINISH = 2,
    VPI_START_BEHIND = 3,
    VPI_START_APPEND = 4
};

/* Of an append; the data are the host's. */
typedef struct vpi_piece {
    uint64_t offset;
    const void *data;
    size_t size;
} vpi_piece;

struct vp_upload {
    atomic_uint refs; /* the host's one, and whoever works on it for a moment */
    vp_ingest *ingest;
    vp_upload *next; /* of its bucket, by the store's lock */
    bool listed;
    char id[VP_UPLOAD_ID_MAX + 1]; /* as in rec, for whoever has not the handle's lock */
    uint64_t opened;               /* the number of this opening */
    pthread_mutex_t lock;
    pthread_cond_t idle; /* a start or a sync behind came to an end */
    void *item;
    vpi_record rec;            /* as it is durable, or on its way there in this call */
    bool begun;                /* the item's data are open */
    bool taken;                /* by a newer request in this process */
    vp_error failure;          /* status < 0: nothing more is written through this handle */
    _Atomic uint64_t position; /* where the next append goes; read without the lock */
    uint64_t counted; /* `position` without what is gathered or under way, or where it was at check_begin */
    vpi_digest hash, declared; /* of `counted` bytes, as far as they came in order */
    vpi_ranges ranges;         /* with ANY_ORDER: written; rec.ranges are durable */
    struct {
        vpi_block *block; /* that is filled; NULL: none is borrowed */
        int64_t since_us; /* of the first byte */
        size_t came;      /* of a slow one, since then */
        bool slow;        /* did not fill its block soon */
    } gather;
    vpi_flow flow; /* blocks that were filled */
    struct {
        bool running;
        vpi_digest digest;
        vpi_digest hash, declared; /* of all, with the bytes under check */
        vpi_ranges ranges;         /* with ANY_ORDER: what is under check */
    } check;
    struct {
        int kind; /* VPI_START_*: queued or running */
        bool running;
        vp_queue *queue;
        uint64_t tag;
        void *room; /* for the event */
        vpi_piece piece;
    } start;
    bool behind;     /* a sync behind is queued or runs */
    int64_t told_us; /* of the last progress event */
};

/* ---- store.c ---- */
vp_status vpi_ingest_check(vp_ingest *ingest, vp_error *err);
int64_t vpi_ingest_now(vp_ingest *ingest);
vp_status vpi_ingest_id(const char *id, vp_error *err);
/* Of a new upload; ARG. */
vp_status vpi_ingest_terms(const char *scope, uint64_t expire_ms, vp_error *err);
vp_status vpi_ingest_unknown(const char *id, vp_error *err); /* VP_END, UPLOAD_UNKNOWN */
vp_status vpi_ingest_expired(const char *id, vp_error *err); /* VP_END, UPLOAD_EXPIRED */
/* An upload holds its store for the host, not for whoever works on it: the last hold is never given up by the pool. */
void vpi_ingest_event(vp_ingest *ingest, int32_t kind, const vpi_record *r, uint64_t done);
/* Lists the handle as the newest of its id here, where it is. */
void vpi_ingest_list_open(vp_upload *upload);
void vpi_ingest_unlist(vp_upload *upload);
vp_upload *vpi_ingest_find_open(vp_ingest *ingest, const char *id); /* with a reference, or NULL */
/* Looks a record up. VP_END: UPLOAD_UNKNOWN or UPLOAD_EXPIRED. */
vp_status vpi_ingest_look(vp_ingest *ingest, const char *id, vpi_record *r, vp_error *err);
void vpi_ingest_info(const vpi_record *r, vp_upload_info *info);
vp_status vpi_ingest_give_info(const vpi_record *r, vp_upload_info *info, vp_error *err);

/* ---- upload.c ---- */
vp_status vpi_upload_new(vp_ingest *ingest, vp_upload **out, vp_error *err);
vp_upload *vpi_upload_unref(vp_upload *upload);
#define VPI_TAKE_IDLE 1u /* VP_AGAIN where anybody has it open */
#define VPI_TAKE_GONE 2u /* also one that expired */
#define VPI_TAKE_DUE 4u  /* VP_AGAIN where its time is not over (any more) */
/* Takes it, from this process and others. The store is not held. */
vp_status vpi_upload_take(vp_ingest *ingest, const char *id, unsigned how, vp_upload **out, vp_error *err);
/* The handle gives up; with sync what was written is made durable if it can be. */
void vpi_upload_leave(vp_upload *upload, bool sync);
/*
 * Locks the handle for a call of the host: not forked, not closed, not taken over, not failed, no start under way. e is
 * the call's own, for what comes until vpi_upload_exit; err, the host's, may be NULL and gets a failure of this.
 */
vp_status vpi_upload_enter(vp_upload *upload, vp_error *e, vp_error *err);
/* Not taken over, not failed. */
vp_status vpi_upload_usable_synced(const vp_upload *upload, vp_error *err);
/* Unlocks, and gives e to err. */
vp_status vpi_upload_exit(vp_upload *upload, vp_status st, const char *op, vp_error *e, vp_error *err);
/* Nothing more is written through this handle. */
void vpi_upload_fail_synced(vp_upload *upload, const vp_error *e);
/* The data are open for writing. */
vp_status vpi_upload_begin_synced(vp_upload *upload, vp_error *err);
/* Bytes that it may have at most. */
uint64_t vpi_upload_limit(const vp_upload *upload);
/* What a failed write means for the handle. */
void vpi_upload_write_failed_synced(vp_upload *upload, const vp_error *e);
/* Writes and hashes; what it means is the caller's to note. *done also on failure. */
vp_status vpi_upload_write_synced(vp_upload *upload, uint64_t offset, const void *data, size_t size,
                                  size_t *done, vp_error *err);

vp_status vpi_upload_append_synced(vp_upload *upload, uint64_t offset, const void *data, size_t size,
                                   vp_error *err);
/*
 * vp_upload_append where that waits for nothing but memory, the page cache included; else VP_AGAIN, and nothing was
 * taken.
 */
vp_status vpi_upload_append_now(vp_upload *upload, uint64_t offset, const void *data, size_t size,
                                vp_error *err);

/* ---- gather.c ---- */
/* For tests, of stores that are made later: bytes of a block, a multiple of 4096; blocks of an upload under way. */
extern _Atomic size_t vpi_gather_bytes;
extern _Atomic unsigned vpi_gather_ahead;
vp_status vpi_gather_pool_new(vp_context *context, vpi_gather_pool **out, vp_error *err);
vpi_gather_pool *vpi_gather_pool_free(vpi_gather_pool *pool, bool forked);
/*
 * Takes the next bytes as far as they are to be gathered and hands on what has become worth it. VP_END: those behind
 * *done go straight to the back end. After a failure `position` says what was taken.
 */
vp_status vpi_gather_add_synced(vp_upload *upload, const uint8_t *data, size_t size, size_t *done,
                                vp_error *err);
/* Nothing is gathered or under way any more; on failure `position` goes back to what was written. */
vp_status vpi_gather_flush_synced(vp_upload *upload, vp_error *err);
/* Whether taking so many bytes may have to wait for the disk. */
bool vpi_gather_waits_synced(vp_upload *upload, size_t size);
/* Bytes that count or are under way. */
uint64_t vpi_gather_reach_synced(const vp_upload *upload);
/* Without the upload's lock: waits until what is under way now has come through. */
void vpi_gather_wait(vp_upload *upload);
/* Takes what has come through by now. */
void vpi_gather_settle_synced(vp_upload *upload);
/* What is gathered never came; nothing is under way. */
void vpi_gather_drop_synced(vp_upload *upload);
/* The same at the end of a handle. */
void vpi_gather_return_synced(vp_upload *upload);

/* ---- sync.c ---- */
/* Everything that counts is durable. */
vp_status vpi_upload_sync_synced(vp_upload *upload, vp_error *err);
/* The same where nobody is told of it: a handle that has nothing to save is not looked at. */
void vpi_upload_save_synced(vp_upload *upload);
/* The record is put as it is; no sync may run behind. */
vp_status vpi_upload_put_synced(vp_upload *upload, vp_error *err);
/* Opens the lock until no sync runs behind: then the handle may have been taken over, or it failed. */
vp_status vpi_upload_wait_behind_synced(vp_upload *upload, vp_error *err);
/* Whether so many bytes more would wait for one. */
bool vpi_upload_behind_waits_synced(const vp_upload *upload, size_t size);
/* Starts a sync behind when so many bytes are not durable. */
vp_status vpi_upload_behind_synced(vp_upload *upload, vp_error *err);
/* Called by the pool. */
void vpi_upload_run(vp_upload *upload, int kind);

/* ---- finish.c ---- */
vp_status vpi_upload_finish_synced(vp_upload *upload, vp_error *err);

/* ---- order.c ---- */
vp_status vpi_order_write_synced(vp_upload *upload, uint64_t offset, const void *data, size_t size,
                                 vp_error *err);

/* ---- check.c ---- */
void vpi_upload_check_drop_synced(vp_upload *upload);

/* ---- concat.c ---- */
/* The length of an upload that is made of parts; UNKNOWN while one of them may grow. */
vp_status vpi_concat_length(vp_upload *upload, bool may_grow, vp_error *err);
/* The parts' bytes into a new item, durable; or WAITING. */
vp_status vpi_concat_create(vp_upload *upload, vp_error *err);
/* The creation failed behind it: the bytes of the parts go again. */
void vpi_concat_undo(vp_upload *upload);
/* A concatenation that waits is made if its parts are whole now. VP_AGAIN: they are not; VP_END: one is gone. */
vp_status vpi_concat_try_synced(vp_upload *upload, vp_error *err);
/* The same where nobody has it open. */
vp_status vpi_concat_try(vp_ingest *ingest, const char *id, vp_error *err);
/* A partial upload became whole. */
void vpi_concat_wake(vp_ingest *ingest, const char *part);
/* It waits in vain: a part is gone. */
bool vpi_concat_lost(vp_ingest *ingest, const char *id);

/* ---- expire.c ---- */
/* Scope and digest are those of the record. */
vp_status vpi_upload_remove_synced(vp_upload *upload, vp_error *err);

/* ---- quota.c ---- */
/* Sets bytes apart: LIMIT QUOTA_EXCEEDED. *hold is for settle, when the record is there or won't be. */
vp_status vpi_quota_take(vp_ingest *ingest, uint64_t bytes, intptr_t *hold, vp_error *err);
void vpi_quota_settle(vp_ingest *ingest, intptr_t hold);
/* Before a record says less. */
uint64_t vpi_quota_mark(vp_ingest *ingest);
void vpi_quota_give(vp_ingest *ingest, uint64_t bytes, uint64_t mark);
/* What was taken and is not needed. */
void vpi_quota_undo(vp_ingest *ingest, uint64_t bytes, intptr_t hold);
/* What an upload occupies of it. */
uint64_t vpi_quota_of(const vpi_record *r);

/* ---- pool.c ---- */
/* Takes a reference of the upload until it has run. */
vp_status vpi_ingest_pool_add(vp_ingest *ingest, vp_upload *upload, int kind, vp_error *err);

#endif
