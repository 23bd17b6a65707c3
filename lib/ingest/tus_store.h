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
/* A newer request of this process has the upload. */
bool vpi_tus_store_taken(vp_upload *upload);
/* A concatenation that waits for parts of which one is gone. */
bool vpi_tus_store_lost(vp_ingest *ingest, const char *id);

#endif
