/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_INGEST_BACK_H
#define VPI_INGEST_BACK_H

/*
 * What the core asks of a back end. The directory has a table of its own; ops.c makes one of a host's vp_ingest_ops.
 *
 * An item is one upload opened to write. Whoever opens it later takes it: from then on every step of the older item
 * answers CONFLICT TAKEN_OVER. Calls with one item never overlap, but for what `overlap` allows.
 */

#include "ingest/record.h"
#include "io/io.h"

#define VPI_SMALL (128u << 10)
#define VPI_PAST_CACHE                                                                                       \
    (64u << 10) /* a write of so many bytes may go past the page cache, and wait for the disk */

typedef struct vpi_back_ops {
    bool any_order; /* write takes any offset below the length, and drop is at hand */
    bool overlap;   /* sync_data, check and, where it is not small, put may run while write does */
    bool
        growing; /* bytes that were synced and not finished are found whole without a second record (a directory) */

    /*
     * A new upload of this id. Nothing of it is visible until create_end, which stores the first record: durable, or
     * so that the first put makes it and its name durable. CONFLICT ALREADY_EXISTS. room: bytes that the record may
     * come to. small: at most VPI_SMALL bytes will come, in order, and are not shared.
     */
    vp_status (*create)(void *back, const char *id, size_t room, bool small, void **item, vp_error *err);
    vp_status (*create_end)(void *item, const void *record, size_t size, bool durable, vp_error *err);
    /*
     * Takes it. record gets its bytes. VP_END: there is none. CONFLICT ALREADY_RUNNING. idle: nothing happens where
     * anybody has it open, VP_AGAIN. *fence: how often it was opened; 0: the back end does not count that and the item
     * is the newest only after a put.
     */
    vp_status (*open)(void *back, const char *id, bool idle, void **item, vpi_buf *record, uint64_t *fence,
                      vp_error *err);
    /* The durable record, without taking or waiting. VP_END: there is none. *fence as for open. */
    vp_status (*look)(void *back, const char *id, vpi_buf *record, uint64_t *fence, vp_error *err);
    /* The record is replaced, durably. */
    vp_status (*put)(void *item, const void *record, size_t size, vp_error *err);
    /* Whether the item is still the newest; for CONFLICT TAKEN_OVER before an answer. */
    vp_status (*check)(void *item, vp_error *err);
    /*
     * Before the first write: bytes beyond `offset` mean nothing any more. length: VP_SIZE_UNKNOWN, or all.
     */
    vp_status (*begin)(void *item, const vpi_buf *token, uint64_t offset, uint64_t length, vp_error *err);
    /* *done: bytes that were written, also on failure. */
    vp_status (*write)(void *item, uint64_t offset, const void *data, size_t size, size_t *done,
                       vp_error *err);
    /* All that was written is durable; token (empty before) gets what the record has to keep. */
    vp_status (*sync_data)(void *item, vpi_buf *token, vp_error *err);
    /* What was written before, for hashing; only with any_order. */
    vp_status (*read)(void *item, uint64_t offset, void *data, size_t size, vp_error *err);
    /* size bytes of another upload's data are put at `offset`. NULL: through source and write. */
    vp_status (*copy)(void *item, uint64_t offset, const char *from, uint64_t size, vp_error *err);
    vp_status (*finish)(void *item, const vpi_buf *token, uint64_t size,
                        vp_error *err); /* NULL: nothing to do */
    /* NULL: cannot. token: as it is in the record; becomes what it has to be from now on. */
    vp_status (*share)(void *item, vpi_buf *token, const char *scope, const char *sha256, uint64_t size,
                       bool *shared, vp_error *err);
    /* Data and record of an item go, in an order that a crash leaves removable. scope, sha256: of shared data. */
    vp_status (*remove)(void *item, const vpi_buf *token, const char *scope, const char *sha256,
                        vp_error *err);
    /* The same where the record cannot be read. */
    vp_status (*destroy)(void *back, const char *id, vp_error *err);
    /* The data alone. */
    vp_status (*remove_data)(void *item, const vpi_buf *token, const char *scope, const char *sha256,
                             vp_error *err);
    void (*close)(void *item); /* also in a forked child */

    /* size: valid bytes. finished: they will not change. */
    vp_status (*source)(void *back, const char *id, const vpi_buf *token, uint64_t size, bool finished,
                        vp_source **out, vp_error *err);
    vp_status (*list)(void *back, vp_status (*fn)(void *user, const char *id), void *user, vp_error *err);
    /* Names of concatenations that wait; NULL: they are only looked at when asked for. */
    vp_status (*waiting)(void *back, const char *id, bool add, vp_error *err);
    vp_status (*waiting_list)(void *back, vp_status (*fn)(void *user, const char *id), void *user,
                              vp_error *err);
    /*
     * The sum of what uploads occupy, over processes. NULL: the core counts for this one. take: QUOTA_EXCEEDED above
     * limit; recount tells the true sum. *hold (may be NULL) keeps others from counting anew until settle, because the
     * record that the bytes are for is not there yet. give: what was counted anew since quota_mark, which is asked
     * before a record says less, does not hold those bytes any more, and they are not given back a second time.
     */
    vp_status (*quota_take)(void *back, uint64_t bytes, uint64_t limit,
                            vp_status (*recount)(void *user, uint64_t *sum, vp_error *err), void *user,
                            intptr_t *hold, bool *fits, vp_error *err);
    void (*quota_settle)(void *back, intptr_t hold);
    uint64_t (*quota_mark)(void *back);
    void (*quota_give)(void *back, uint64_t bytes, uint64_t mark);
    /* What killed processes left, older than an hour. NULL: nothing to do. */
    void (*tidy)(void *back, int64_t now_us, vp_cancel *cancel);
    void (*interrupt)(void *back);
    void (*release)(void *back); /* also in a forked child */
} vpi_back_ops;

typedef struct vpi_back {
    const vpi_back_ops *ops;
    void *user;
} vpi_back;

/* dir_store.c; touches nothing yet. unsynced: VP_INGESTF_VOLATILE. */
vp_status vpi_back_directory(vp_context *context, const char *path, bool unsynced, uint32_t wait_ms,
                             vpi_back *out, vp_error *err);
/* ops.c; copies ops. host: the callbacks are not ours. */
vp_status vpi_back_host(vp_context *context, const vp_ingest_ops *ops, void *user, bool host, vpi_back *out,
                        vp_error *err);
/* Frees it without the host's release: nothing was made of it. */
void vpi_back_host_forget(vpi_back *back);

#endif
