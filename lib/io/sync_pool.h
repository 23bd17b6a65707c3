/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_IO_SYNC_POOL_H
#define VPI_IO_SYNC_POOL_H

/*
 * Makes finished files durable: fsync, close, rename, on a few threads, because one fsync after another costs
 * three times as much as several at once. Commits of one key keep their order. Thread-safe.
 */

#include "io/dir.h"

typedef struct vpi_sync_pool vpi_sync_pool;

/* Borrows dir. Starts no thread before the first commit. */
vp_status vpi_sync_pool_new(vp_context *context, vpi_dir *dir, vpi_sync_pool **out, vp_error *err);
/* Waits for what is pending and joins the threads; in a forked child it only frees. */
vpi_sync_pool *vpi_sync_pool_free(vpi_sync_pool *pool);

/*
 * Takes over the file and the key (a string of vpi_strdup) when it answers VP_OK. Blocks while many files wait:
 * the back pressure, and the bound of open descriptors. What fails later is reported by the next flush.
 */
vp_status vpi_sync_pool_commit(vpi_sync_pool *pool, const vpi_dir_file *file, char *key, vp_error *err);
/* Returns when all commits of this key that began before are done; NULL: of all keys. */
void vpi_sync_pool_wait(vpi_sync_pool *pool, const char *key);
/* The same of all keys, and makes the names durable; the first failure since the last flush. */
vp_status vpi_sync_pool_flush(vpi_sync_pool *pool, vp_error *err);
/* The folder of this key has changed: the next flush syncs it. */
void vpi_sync_pool_touch(vpi_sync_pool *pool, const char *key);

#endif
