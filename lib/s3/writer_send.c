/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bodies of a writer on their way, and what is known of a part before it is sent. */

#include "writer_int.h"

void vpi_s3_writer_release(vp_s3 *s3, size_t bytes, bool flew)
{
    pthread_mutex_lock(&s3->lock);
    s3->synced.held -= bytes;
    if (flew) s3->synced.flying--;
    pthread_cond_broadcast(&s3->room);
    pthread_mutex_unlock(&s3->lock);
}

void vpi_s3_writer_take_off(vp_s3 *s3)
{
    pthread_mutex_lock(&s3->lock);
    s3->synced.flying++;
    pthread_mutex_unlock(&s3->lock);
}

void vpi_s3_writer_failed_synced(vpi_s3_writer *w, vp_status st, const vp_error *err)
{
    if (w->synced.st < 0) return;
    w->synced.st = st;
    vp_error_init(&w->synced.err);
    vpi_error_copy(&w->synced.err, err);
}

/* After it the writer may be gone. */
void vpi_s3_writer_landed(vpi_s3_writer *w)
{
    bool last;

    pthread_mutex_lock(&w->lock);
    last = --w->synced.running == 0 && w->synced.finishing;
    if (last) w->synced.running++; /* the end counts as running */
    if (!w->synced.running) pthread_cond_broadcast(&w->idle);
    pthread_mutex_unlock(&w->lock);
    if (last) vpi_s3_writer_after_last(w);
}

static void on_part(vpi_s3_op *op, vp_status st)
{
    vpi_s3_slot *s = op->user;
    vpi_s3_writer *w = s->writer;

    if (st == VP_END) st = vpi_fail(&op->err, VP_E_IO, "S3_ERROR", "the server knows no such upload");
    if (st >= 0) st = vpi_s3_part_note(w->upload, &s->part, &op->err);
    vpi_free(s->data);
    s->data = NULL;
    vpi_s3_writer_release(w->s3, s->capacity, true);
    pthread_mutex_lock(&w->lock);
    if (st < 0)
        vpi_s3_writer_failed_synced(w, st, &op->err);
    else
        w->synced.parts_in++;
    s->busy = false;
    pthread_mutex_unlock(&w->lock);
    if (st >= 0 && w->part_in) w->part_in(w->part_user);
    vpi_s3_writer_landed(w);
}

vpi_s3_slot *vpi_s3_writer_slot(vpi_s3_writer *w)
{
    vpi_s3_slot *s;

    pthread_mutex_lock(&w->lock);
    for (s = w->synced.slots; s && s->busy; s = s->next) {}
    if (s) s->busy = true;
    pthread_mutex_unlock(&w->lock);
    if (s) {
        vpi_s3_op_reset(w->s3, &s->part.op);
        return s;
    }
    s = vpi_calloc(1, sizeof(*s));
    if (!s) return NULL;
    s->writer = w;
    s->busy = true;
    pthread_mutex_lock(&w->lock);
    s->next = w->synced.slots;
    w->synced.slots = s;
    pthread_mutex_unlock(&w->lock);
    return s;
}

static void give_slot(vpi_s3_writer *w, vpi_s3_slot *s)
{
    pthread_mutex_lock(&w->lock);
    s->busy = false;
    pthread_mutex_unlock(&w->lock);
}

/* VP_OK: the server has this part, as a token says and its list of parts confirms, or as that list alone says. */
static vp_status is_in(vpi_s3_writer *w, const vpi_s3_sums *sums, vp_error *err)
{
    vpi_s3_bytes bytes = { w->file ? NULL : w->data, w->file, w->bytes - w->used, w->used };
    uint64_t size;
    uint32_t crc32c;

    if (vp_s3_upload_has(w->upload, w->number, &size, &crc32c) == VP_OK && size == w->used &&
        crc32c == sums->crc32c)
        return VP_OK;
    return vpi_s3_part_offered(w->upload, w->number, sums, &bytes, err);
}

/* The bytes that were filled become the operation's. */
void vpi_s3_writer_move(vpi_s3_writer *w, vpi_s3_slot *s)
{
    vpi_s3_op *op = &s->part.op;

    op->body = w->used && !w->file ? w->data : NULL;
    op->body_size = w->used;
    if (w->file && w->used) {
        s->at = w->bytes - w->used;
        s->size = w->used;
        op->read = vpi_s3_file_read;
        op->read_user = s;
    }
    s->data = w->data;
    s->capacity = w->capacity;
    w->data = NULL;
    w->used = w->capacity = 0;
}

/* Of a writer that was stopped meanwhile nothing goes on. */
vp_status vpi_s3_writer_start(vpi_s3_writer *w, vpi_s3_op *op, vp_error *err)
{
    vp_s3 *s3 = w->s3;
    bool stopping;

    VPI_TRY(vpi_s3_start(s3, op, err));
    pthread_mutex_lock(&w->lock);
    stopping = w->synced.stopping;
    pthread_mutex_unlock(&w->lock);
    if (stopping) vpi_s3_stop(s3, op);
    return VP_OK;
}

/* What the part will be, for the journal's word of the end, which is written while it is on its way. */
static vp_status foretell(vpi_s3_writer *w, const vpi_s3_sums *sums, vp_error *err)
{
    vpi_s3_part part = { .size = w->used, .crc32c = sums->crc32c, .crc64 = sums->crc64 };

    return vpi_s3_part_note_whole(w->upload, w->number, &part, err);
}

vp_status vpi_s3_writer_send(vpi_s3_writer *w, const vpi_s3_sums *sums, vp_error *err)
{
    vpi_s3_slot *s;
    vp_status st;

    if (w->number > VPI_S3_PARTS_MAX)
        return vpi_fail(err, VP_E_LIMIT, "INPUT_LIMIT", "an object of more than %u parts", VPI_S3_PARTS_MAX);
    VPI_TRY(st = is_in(w, sums, err));
    if (st == VP_OK) {
        w->used = 0;
        w->number++;
        pthread_mutex_lock(&w->lock);
        w->synced.parts_in++;
        pthread_mutex_unlock(&w->lock);
        return VP_OK;
    }
    if (w->there) VPI_TRY(vpi_s3_writer_anew(w, err));
    if (w->ends) VPI_TRY(foretell(w, sums, err));
    if (w->file) VPI_TRY(vpi_s3_file_hold(w, err));
    s = vpi_s3_writer_slot(w);
    if (!s) return vpi_fail_nomem(err);
    st = vpi_s3_part_prepare(w->upload, &s->part, w->number, w->data, w->used, sums, err);
    if (st < 0) {
        give_slot(w, s);
        return st;
    }
    s->part.op.done = on_part;
    s->part.op.user = s;
    vpi_s3_writer_move(w, s);
    w->number++;
    vpi_s3_writer_take_off(w->s3);
    pthread_mutex_lock(&w->lock);
    w->synced.running++;
    pthread_mutex_unlock(&w->lock);
    st = vpi_s3_writer_start(w, &s->part.op, err);
    if (st >= 0) return VP_OK;
    vpi_free(s->data);
    s->data = NULL;
    vpi_s3_writer_release(w->s3, s->capacity, true);
    give_slot(w, s);
    vpi_s3_writer_landed(w);
    return st;
}

vp_status vpi_s3_writer_send_part(vpi_s3_writer *w, vp_error *err)
{
    vpi_s3_sums sums;

    VPI_TRY(vpi_s3_summer_done(&w->summer, &sums, err));
    return vpi_s3_writer_send(w, &sums, err);
}
