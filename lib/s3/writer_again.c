/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Parts that the server has otherwise than they were sent, or has no more, go again where their bytes can be read. And
 * of an object that a process before us had completed, and which is another now, what is the same is copied.
 */

#include "writer_int.h"

#define RESENDS_MAX 3u

bool vpi_s3_writer_can_resend(const vpi_s3_writer *w)
{
    return w->source && w->resends < RESENDS_MAX;
}

bool vpi_s3_writer_lost(const vpi_s3_writer *w)
{
    return w->fin.resend && w->fin.lost > 0;
}

static void reopen(vpi_s3_writer *w)
{
    vpi_s3_finish_dispose(&w->fin);
    memset(&w->fin, 0, sizeof(w->fin));
    w->resends++;
    pthread_mutex_lock(&w->lock);
    w->synced.ended = w->synced.completing = false;
    if (!w->synced.stopping) {
        w->synced.st = VP_OK;
        vp_error_init(&w->synced.err);
    }
    pthread_mutex_unlock(&w->lock);
}

static vp_status send_again(vpi_s3_writer *w, uint32_t number, uint64_t at, uint64_t size, vp_error *err)
{
    w->number = number;
    w->bytes = at;
    w->used = 0;
    w->limit = (size_t)size;
    while (w->used < w->limit) {
        size_t room, got;
        void *data;

        VPI_TRY(vpi_s3_writer_space(w, w->limit - w->used, &data, &room, err));
        VPI_TRY(vp_source_read_at(w->source, w->bytes, data, room, &got, err));
        if (!got) return vpi_s3_source_changed(w->key, err);
        VPI_TRY(vpi_s3_writer_put(w, got, err));
    }
    VPI_TRY(vpi_s3_source_same(w->source, w->identity, w->source_size, w->key, err));
    return vpi_s3_writer_send_part(w, err);
}

vp_status vpi_s3_writer_resend(vpi_s3_writer *w, vp_error *err)
{
    vp_s3_upload *u = w->upload;
    uint32_t count = w->number;
    uint64_t total = w->bytes, at = 0;

    reopen(w);
    VPI_TRY(vpi_s3_writer_check(w, err));
    for (uint32_t n = 1; n < count; n++) {
        uint64_t size;
        bool in;

        pthread_mutex_lock(&u->lock);
        size = u->synced.parts[n - 1].size;
        in = u->synced.parts[n - 1].in;
        pthread_mutex_unlock(&u->lock);
        if (!in) VPI_TRY(send_again(w, n, at, size, err));
        at += size;
    }
    w->number = count;
    w->bytes = total;
    return VP_OK;
}

/* ---- an object that is there ---- */

static vp_status copy_same(vpi_s3_writer *w, vp_s3_upload *old, const char *etag, vp_error *err)
{
    uint64_t at = 0;

    for (uint32_t n = 1; n < w->number; n++) { /* nobody else has the old one */
        vpi_s3_part part = old->synced.parts[n - 1];

        VPI_TRY(vpi_s3_copy_part(w->upload, w->bucket, w->key, n, at, part.size, etag, w->cancel, err));
        pthread_mutex_lock(&w->upload->lock);
        w->upload->synced.parts[n - 1].crc32c = part.crc32c;
        w->upload->synced.parts[n - 1].crc64 = part.crc64;
        pthread_mutex_unlock(&w->upload->lock);
        VPI_TRY(vpi_s3_writer_note(w, err));
        at += part.size;
    }
    return VP_OK;
}

vp_status vpi_s3_writer_anew(vpi_s3_writer *w, vp_error *err)
{
    vp_s3_upload *old = w->upload;
    vp_s3_info info = VP_S3_INFO_INIT;
    vp_status st = vp_s3_head(w->s3, w->bucket, w->key, w->cancel, &info, err);

    if (st < 0) return st;
    if (st == VP_END || strcmp(info.upload, old->marker) != 0)
        return vpi_fail(err, VP_E_CONFLICT, NULL, "the object of the upload was replaced or removed");
    w->upload = NULL;
    w->there = false;
    st = vpi_s3_writer_begin(w, true, err);
    if (st >= 0) st = copy_same(w, old, info.etag, err);
    vp_s3_upload_unref(old);
    return st;
}
