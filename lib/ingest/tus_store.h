/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_INGEST_TUS_STORE_H
#define VPI_INGEST_TUS_STORE_H

#include <vodpipe/ingest.h>

#include "base/common.h"

/* What the handler wants to know of the store. */
int64_t vpi_tus_store_now_us(vp_ingest *ingest);     /* for expiry */
uint64_t vpi_tus_store_max_size(vp_ingest *ingest);  /* 0: none */
uint64_t vpi_tus_store_expire_ms(vp_ingest *ingest); /* 0: never */
/* The upload's, which is the caller's alone; NULL: none. */
const vp_bytes *vpi_tus_store_metadata(const vp_upload *upload);
/* The file is opened and cut; if it cannot be, the first append says so. */
void vpi_tus_store_begin(vp_upload *upload);
/* vp_upload_append if that waits for no disk; else VP_AGAIN, and nothing was taken. */
vp_status vpi_tus_store_append_now(vp_upload *upload, uint64_t offset, const void *data, size_t size,
                                   vp_error *err);
/* A newer request of this process has the upload; not told while somebody is at work on it. */
bool vpi_tus_store_taken(vp_upload *upload);
/* A concatenation that waits for parts of which one is gone. */
bool vpi_tus_store_lost(vp_ingest *ingest, const char *id);

#endif
