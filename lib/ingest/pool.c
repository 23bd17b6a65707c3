/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is made durable behind the caller, as work for threads. */

#include "ingest/store_int.h"

typedef struct work {
    vpi_threads_job job;
    vp_upload *upload;
    int kind;
} work;

static void run(void *arg)
{
    work *w = arg;
    vp_upload *upload = w->upload;

    vpi_upload_run(upload, w->kind);
    vpi_free(w);
    vpi_upload_unref(upload); /* perhaps the last of the store, which lets its threads go */
}

vp_status vpi_ingest_pool_add(vp_ingest *ingest, vp_upload *upload, int kind, vp_error *err)
{
    work *w = vpi_calloc(1, sizeof(*w));

    if (!w) return vpi_fail_nomem(err);
    *w = (work){ { run, w, NULL }, upload, kind };
    atomic_fetch_add(&upload->refs, 1);
    if (vpi_threads_add(ingest->pool, &w->job)) return VP_OK;
    atomic_fetch_sub(&upload->refs, 1); /* never the last */
    vpi_free(w);
    VPI_TRY(vpi_context_check(ingest->context, err));
    return vpi_fail_nomem(err);
}
