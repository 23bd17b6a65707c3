/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ingest/tus_store.h"

#include "ingest/store_int.h"

int64_t vpi_tus_store_now_us(vp_ingest *ingest)
{
    return vpi_ingest_now(ingest);
}

uint64_t vpi_tus_store_max_size(vp_ingest *ingest)
{
    return ingest->o.max_size;
}

uint64_t vpi_tus_store_expire_ms(vp_ingest *ingest)
{
    return ingest->o.expire_ms;
}

const vp_bytes *vpi_tus_store_metadata(const vp_upload *upload)
{
    return upload->rec.metadata;
}

bool vpi_tus_store_taken(vp_upload *upload)
{
    bool taken;

    /* It may be the newer request itself, which waits for the disk; an event loop asks here. */
    if (pthread_mutex_trylock(&upload->lock) != 0) return false;
    taken = upload->taken;
    pthread_mutex_unlock(&upload->lock);
    return taken;
}

bool vpi_tus_store_lost(vp_ingest *ingest, const char *id)
{
    return vpi_concat_lost(ingest, id);
}

void vpi_tus_store_begin(vp_upload *upload)
{
    vp_error e = VP_ERROR_INIT;

    if (vpi_upload_enter(upload, &e, NULL) < 0) return;
    (void)vpi_upload_begin_synced(upload, &e);
    vpi_upload_exit(upload, VP_OK, "upload.begin", &e, NULL);
}

vp_status vpi_tus_store_append_now(vp_upload *upload, uint64_t offset, const void *data, size_t size,
                                   vp_error *err)
{
    return vpi_upload_append_now(upload, offset, data, size, err);
}
