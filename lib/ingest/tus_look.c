/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Steps that look: HEAD and GET. */

#include "ingest/tus_int.h"

/* What the store keeps for us with the upload, to r->kept. */
vp_status vpi_tus_keep(vp_tus_request *r, const vp_bytes *metadata, vp_error *err)
{
    int refusal;

    vpi_tus_kept_dispose(&r->kept);
    refusal = vpi_tus_kept_read(vp_bytes_data(metadata), (size_t)vp_bytes_size(metadata), &r->kept);
    return refusal == VPI_TUS_NOMEM ? vpi_fail_nomem(err) : VP_OK;
}

/* r->info and r->kept, as stored. */
vp_status vpi_tus_stat(vp_tus_request *r, vp_error *err)
{
    vp_bytes *metadata = NULL;
    vp_status st;

    vp_upload_info_init(&r->info, sizeof(r->info));
    st = vp_ingest_stat(r->tus->ingest, r->id, &r->info, &metadata, err);
    if (st != VP_OK) return st;
    st = vpi_tus_keep(r, metadata, err);
    vp_bytes_unref(metadata);
    r->length = r->info.length;
    return st;
}

/*
 * All bytes are there, but no request came to its end with them: a concatenation that waited for its parts, or a client
 * that was lost behind the last byte. Clients that see all bytes there do not come again: this is the moment to finish.
 * In the draft the client itself says when.
 */
static bool finish_whole(vp_tus_request *r, vp_error *err, vp_status *st)
{
    if (r->draft || (r->info.flags & VP_UPLOADF_PARTIAL) || r->info.state != VP_UPLOAD_COMPLETE) return false;
    *st = vp_upload_finish(r->upload, NULL, &r->info, err);
    if (*st != VP_OK) return false;
    r->length = r->info.length;
    vpi_tus_ask_finish(r);
    return true;
}

void vpi_tus_work_look(vp_tus_request *r)
{
    vp_error err = VP_ERROR_INIT;
    vp_status st = vpi_tus_stat(r, &err);

    /* Whoever asks for the offset will go on from there: a request that still writes has lost its client. */
    if (st == VP_OK && r->info.state != VP_UPLOAD_FINISHED) {
        st = vp_ingest_open(r->tus->ingest, r->id, &r->upload, &err);
        if (st == VP_OK) {
            st = vp_upload_get_info(r->upload, &r->info, &err);
            r->length = r->info.length;
            if (st == VP_OK && finish_whole(r, &err, &st)) return;
        } else if (strcmp(err.reason, "ALREADY_RUNNING") == 0) {
            /* It is in the middle of a long write: what is durable is true anyway. */
            vp_error_init(&err);
            st = vpi_tus_stat(r, &err);
        }
        r->upload = vp_upload_close(r->upload);
    }
    if (st != VP_OK) {
        vpi_tus_refuse_status(r, st, &err);
        return;
    }
    /* The request that finished it was closed without the host's answer. */
    if (r->info.state == VP_UPLOAD_FINISHED && vpi_tus_owes(r->tus, r->id)) {
        r->flags |= VP_TUS_WAS_ASKED;
        vpi_tus_ask_finish(r);
        return;
    }
    if (r->info.state == VP_UPLOAD_WAITING && vpi_tus_store_lost(r->tus->ingest, r->id)) {
        vpi_tus_refuse(r, 410, "a part is gone");
        return;
    }
    vpi_tus_reply_head(r);
}

void vpi_tus_work_give(vp_tus_request *r)
{
    vp_error err = VP_ERROR_INIT;
    vp_status st = vpi_tus_stat(r, &err);

    if (st == VP_OK && r->info.state != VP_UPLOAD_FINISHED) {
        bool lost = r->info.state == VP_UPLOAD_WAITING && vpi_tus_store_lost(r->tus->ingest, r->id);

        vpi_tus_refuse(r, lost ? 410 : 409, lost ? "a part is gone" : "the upload is not finished");
        return;
    }
    if (st == VP_OK) st = vp_ingest_source(r->tus->ingest, r->id, &r->source, &err);
    if (st != VP_OK) {
        vpi_tus_refuse_status(r, st, &err);
        return;
    }
    vpi_tus_reply_get(r);
}
