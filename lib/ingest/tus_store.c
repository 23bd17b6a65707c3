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

    pthread_mutex_lock(&upload->lock);
    taken = upload->taken;
    pthread_mutex_unlock(&upload->lock);
    return taken;
}

bool vpi_tus_store_lost(vp_ingest *ingest, const char *id)
{
    return vpi_concat_lost(ingest, id);
}
