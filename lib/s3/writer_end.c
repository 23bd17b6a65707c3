/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The end of a writer: all of it as one request, or its parts made one object once the last of them is in; stopped
 * before that; freed.
 */

#include "writer_int.h"

static void end(vpi_s3_writer *w, vp_status st, const vp_error *err)
{
    void (*done)(void *, vp_status, const vp_s3_info *, const vp_error *) = w->done;
    void *user = w->user;
    vp_s3_info info = w->info;
    vp_error copy = VP_ERROR_INIT;

    if (st < 0) vpi_error_copy(&copy, err);
    pthread_mutex_lock(&w->lock);
    w->synced.ended = true;
    w->synced.finishing = false;
    w->synced.running--;
    pthread_cond_broadcast(&w->idle);
    pthread_mutex_unlock(&w->lock);
    done(user, st, &info, &copy);
}

static void on_finish(vpi_s3_finish *f, vp_status st)
{
    vpi_s3_writer *w = f->user;

    if (st >= 0) w->info = f->info;
    end(w, st, st < 0 ? &f->err : NULL);
}

void vpi_s3_writer_after_last(vpi_s3_writer *w)
{
    vp_error err = VP_ERROR_INIT;
    vp_status st, failed;

    pthread_mutex_lock(&w->lock);
    failed = w->synced.st;
    w->fin.upload = w->upload;
    w->synced.completing = w->upload != NULL;
    if (w->synced.stopping) atomic_store(&w->fin.stopping, true); /* then its abort is a short one */
    pthread_mutex_unlock(&w->lock);
    if (w->single || (failed < 0 && (w->keep || !w->upload))) {
        end(w, failed, &w->synced.err);
        return;
    }
    w->fin.done = on_finish;
    w->fin.user = w;
    w->fin.abort = !w->keep;
    w->fin.resend = vpi_s3_writer_can_resend(w);
    w->fin.if_absent = (w->flags & VP_S3_IF_ABSENT) != 0;
    if (failed < 0) {
        w->fin.st = failed;
        vpi_error_copy(&w->fin.err, &w->synced.err);
        st = vpi_s3_finish_abort(&w->fin, &err);
        if (st < 0) end(w, failed, &w->synced.err);
        return;
    }
    st = vpi_s3_finish_start(&w->fin, &err);
    if (st < 0) end(w, st, &err);
}

static void on_look(vpi_s3_op *op, vp_status st)
{
    vpi_s3_slot *s = op->user;
    vpi_s3_writer *w = s->writer;

    if (st == VP_OK) {
        vpi_s3_info_read(op, &w->info);
        if (strcmp(w->info.upload, w->marker) == 0) {
            pthread_mutex_lock(&w->lock);
            w->synced.st = VP_OK;
            pthread_mutex_unlock(&w->lock);
        }
    } else if (st < 0) { /* whose it is cannot be told */
        pthread_mutex_lock(&w->lock);
        w->synced.st = VP_OK;
        vpi_s3_writer_failed_synced(w, st, &op->err);
        pthread_mutex_unlock(&w->lock);
    }
    vpi_s3_writer_landed(w);
}

/* If-None-Match says "taken" too where our own first try was done and its answer lost. */
static bool look(vpi_s3_writer *w, vpi_s3_slot *s)
{
    vp_error err = VP_ERROR_INIT;

    w->look.method = "HEAD";
    w->look.bucket = w->bucket;
    w->look.key = w->key;
    w->look.done = on_look;
    w->look.user = s;
    pthread_mutex_lock(&w->lock);
    w->synced.running++; /* ours: the look may end before we are done with w */
    pthread_mutex_unlock(&w->lock);
    if (vpi_s3_writer_start(w, &w->look, &err) >= 0) {
        vpi_s3_writer_landed(w);
        return true;
    }
    pthread_mutex_lock(&w->lock);
    w->synced.running--; /* the single's is left */
    pthread_mutex_unlock(&w->lock);
    return false;
}

static void on_single(vpi_s3_op *op, vp_status st)
{
    vpi_s3_slot *s = op->user;
    vpi_s3_writer *w = s->writer;

    if (st == VP_END) st = vpi_fail(&op->err, VP_E_IO, "S3_ERROR", "the server knows no such bucket");
    vpi_free(s->data);
    s->data = NULL;
    vpi_s3_writer_release(w->s3, s->capacity, true);
    w->info = (vp_s3_info)VP_S3_INFO_INIT;
    w->info.size = w->bytes;
    vpi_s3_header(op, "etag", w->info.etag, sizeof(w->info.etag));
    pthread_mutex_lock(&w->lock);
    if (st < 0) vpi_s3_writer_failed_synced(w, st, &op->err);
    pthread_mutex_unlock(&w->lock);
    if (st == VP_E_CONFLICT && w->flags & VP_S3_IF_ABSENT && look(w, s)) return;
    vpi_s3_writer_landed(w);
}

static vp_status send_single(vpi_s3_writer *w, vp_error *err)
{
    vpi_s3_op *op;
    vp_status st;
    vpi_s3_slot *s;

    if (w->file) VPI_TRY(vpi_s3_file_hold(w, err));
    s = vpi_s3_writer_slot(w);
    if (!s) return vpi_fail_nomem(err);
    op = &s->part.op;
    VPI_TRY(vpi_s3_summer_done(&w->summer, &s->part.sums, err));
    if (w->flags & VP_S3_IF_ABSENT) {
        char *lines;

        vpi_s3_marker_make(w->marker);
        lines = vpi_asprintf("%sx-amz-meta-vodpipe-upload: %s\nIf-None-Match: *\n", w->lines, w->marker);
        if (!lines) return vpi_fail_nomem(err);
        vpi_free(w->lines);
        w->lines = lines;
    }
    op->method = "PUT";
    op->bucket = w->bucket;
    op->key = w->key;
    op->headers = w->lines;
    op->sums = &s->part.sums;
    op->flags = VPI_S3_TAGGED | (w->used >= (1u << 20) ? VPI_S3_LARGE : 0);
    op->done = on_single;
    op->user = s;
    w->single = true;
    vpi_s3_writer_move(w, s);
    vpi_s3_writer_take_off(w->s3);
    pthread_mutex_lock(&w->lock);
    w->synced.running++;
    pthread_mutex_unlock(&w->lock);
    st = vpi_s3_writer_start(w, op, err);
    if (st >= 0) return VP_OK;
    vpi_free(s->data);
    s->data = NULL;
    vpi_s3_writer_release(w->s3, s->capacity, true);
    pthread_mutex_lock(&w->lock);
    w->synced.running--; /* its starter's is left */
    pthread_mutex_unlock(&w->lock);
    return st;
}

/* An earlier try may have come further, with other bytes: what is behind our last part is not of this object. */
static void forget_rest(vpi_s3_writer *w)
{
    vp_s3_upload *u = w->upload;

    pthread_mutex_lock(&u->lock);
    u->synced.count = VPI_MIN(u->synced.count, (size_t)w->number - 1);
    pthread_mutex_unlock(&u->lock);
}

/* The object that is there, of which all is the same so far. */
static bool has_more(const vpi_s3_writer *w)
{
    return w->upload->synced.count >= w->number;
}

void vpi_s3_writer_finish(vpi_s3_writer *w,
                          void (*done)(void *user, vp_status st, const vp_s3_info *info, const vp_error *err),
                          void *user)
{
    vp_error err = VP_ERROR_INIT;
    vp_status st;

    w->done = done;
    w->user = user;
    vpi_s3_file_give(w);
    pthread_mutex_lock(&w->lock);
    w->synced.running++; /* ours, so that the end does not come while we still add */
    w->synced.finishing = true;
    pthread_mutex_unlock(&w->lock);
    st = vpi_s3_writer_check(w, &err);
    if (st >= 0 && w->size != VP_SIZE_UNKNOWN && w->bytes != w->size)
        st = vpi_fail(&err, VP_E_ARG, NULL, "fewer bytes than the object was to have");
    if (st >= 0 && !w->upload) {
        st = send_single(w, &err);
    } else if (st >= 0 && (w->used || w->number == 1)) {
        st = vpi_s3_writer_send_part(w, &err);
    }
    if (st >= 0 && w->there && has_more(w)) st = vpi_s3_writer_anew(w, &err);
    if (st >= 0 && w->upload) forget_rest(w);
    if (st >= 0 && w->upload && w->ends && !w->there) st = vpi_s3_journal_end(w->work, w->upload, &err);
    if (st < 0) {
        pthread_mutex_lock(&w->lock);
        vpi_s3_writer_failed_synced(w, st, &err);
        pthread_mutex_unlock(&w->lock);
    }
    vpi_s3_writer_landed(w);
}

void vpi_s3_writer_stop(vpi_s3_writer *w)
{
    vp_error err = VP_ERROR_INIT;
    vpi_s3_slot *list;
    bool finishing;

    vpi_fail(&err, VP_E_CANCELED, NULL, "canceled");
    pthread_mutex_lock(&w->lock);
    w->synced.stopping = true;
    if (!w->synced.ended) vpi_s3_writer_failed_synced(w, VP_E_CANCELED, &err);
    list = w->synced.slots;
    finishing = w->synced.completing && !w->synced.ended;
    w->synced.running++; /* ours: so the writer stays while its operations end one by one */
    pthread_mutex_unlock(&w->lock);
    for (vpi_s3_slot *s = list; s; s = s->next) vpi_s3_stop(w->s3, &s->part.op);
    vpi_s3_stop(w->s3, &w->look);
    if (finishing) vpi_s3_finish_stop(&w->fin);
    pthread_mutex_lock(&w->lock);
    if (w->synced.running > 1) {
        w->synced.running--;
        pthread_mutex_unlock(&w->lock);
        return;
    }
    pthread_mutex_unlock(&w->lock);
    vpi_s3_writer_landed(w);
}

vp_status vpi_s3_writer_forget(vpi_s3_writer *w, vp_error *err)
{
    return w->work && w->upload ? vpi_s3_journal_clear(w->work, w->bucket, w->key, err) : VP_OK;
}

uint64_t vpi_s3_writer_bytes(const vpi_s3_writer *w)
{
    return w->bytes;
}

static void on_aborted(vpi_s3_finish *f, vp_status st)
{
    vpi_s3_waiter_end(f->user, st);
}

/* An upload that was not brought to its end: its parts go. */
static void abort_now(vpi_s3_writer *w)
{
    vpi_s3_finish f = { .upload = w->upload, .done = on_aborted };
    vp_error err = VP_ERROR_INIT;
    vpi_s3_waiter waiter;

    vpi_s3_waiter_init(&waiter);
    f.user = &waiter;
    atomic_store(&f.stopping, true); /* nobody wants to wait long for it */
    if (vpi_s3_finish_abort(&f, &err) >= 0) vpi_s3_waiter_wait(&waiter, NULL, NULL, NULL, &err);
    vpi_s3_finish_dispose(&f);
    vpi_s3_waiter_dispose(&waiter);
}

vpi_s3_writer *vpi_s3_writer_free(vpi_s3_writer *w)
{
    bool ended;

    if (!w) return NULL;
    pthread_mutex_lock(&w->lock);
    ended = w->synced.ended;
    pthread_mutex_unlock(&w->lock);
    if (!ended) {
        vpi_s3_writer_stop(w);
        pthread_mutex_lock(&w->lock);
        while (w->synced.running) pthread_cond_wait(&w->idle, &w->lock);
        pthread_mutex_unlock(&w->lock);
    }
    if (w->upload && !w->keep && (!ended || vpi_s3_writer_lost(w))) abort_now(w);
    while (w->synced.slots) {
        vpi_s3_slot *s = w->synced.slots;

        w->synced.slots = s->next;
        vpi_s3_op_dispose(&s->part.op);
        vpi_free(s);
    }
    vpi_s3_file_give(w);
    if (w->capacity) vpi_s3_writer_release(w->s3, w->capacity, false);
    vpi_free(w->data);
    vpi_s3_op_dispose(&w->look);
    vpi_s3_finish_dispose(&w->fin);
    vpi_s3_summer_dispose(&w->summer);
    vpi_s3_summers_free(w->summers);
    vp_s3_upload_unref(w->upload);
    vp_store_unref(w->work);
    vp_source_unref(w->source);
    vpi_free(w->bucket);
    vpi_free(w->key);
    vpi_free(w->lines);
    pthread_cond_destroy(&w->idle);
    pthread_mutex_destroy(&w->lock);
    vp_s3_unref(w->s3);
    vpi_free(w);
    return NULL;
}
