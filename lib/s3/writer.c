/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Bytes in order become an object: one request where they are few, else parts that go out while the next one is
 * filled. Each buffer is hashed as it is filled, by whoever fills it.
 */

#include "writer_int.h"

#define NOTE_US 250000 /* what came in since is looked for on the server (parts.c) */
#define FIRST_ROOM ((size_t)64 << 10)

/* ---- memory ---- */

vp_status vpi_s3_writer_room_synced(vpi_s3_writer *w, vp_error *err)
{
    vp_s3 *s3 = w->s3;
    vp_status st;

    vpi_s3_wait_synced(s3, &s3->room);
    pthread_mutex_unlock(&s3->lock);
    st = vpi_s3_writer_note(w, err);
    if (st >= 0) st = vpi_cancel_check_scope(w->cancel, err);
    pthread_mutex_lock(&s3->lock);
    return st;
}

/* Waits while others' bytes are on their way and will make room; who waits for nobody takes what it needs. */
static vp_status hold(vpi_s3_writer *w, size_t bytes, vp_error *err)
{
    vp_s3 *s3 = w->s3;
    vp_status st = VP_OK;

    pthread_mutex_lock(&s3->lock);
    while (st >= 0 && s3->synced.held + bytes > s3->o.memory && s3->synced.flying && !s3->synced.closed) {
        st = vpi_s3_writer_room_synced(w, err);
    }
    if (st >= 0) s3->synced.held += bytes;
    pthread_mutex_unlock(&s3->lock);
    return st;
}

static void release(vp_s3 *s3, size_t bytes, bool flew)
{
    pthread_mutex_lock(&s3->lock);
    s3->synced.held -= bytes;
    if (flew) s3->synced.flying--;
    pthread_cond_broadcast(&s3->room);
    pthread_mutex_unlock(&s3->lock);
}

static void take_off(vp_s3 *s3)
{
    pthread_mutex_lock(&s3->lock);
    s3->synced.flying++;
    pthread_mutex_unlock(&s3->lock);
}

static vp_status grow(vpi_s3_writer *w, size_t want, vp_error *err)
{
    size_t capacity = w->capacity, more;
    uint8_t *data;

    if (w->size != VP_SIZE_UNKNOWN)
        capacity = (size_t)VPI_MIN((uint64_t)w->limit, VPI_MAX(w->size - w->bytes + w->used, 1));
    else
        capacity = VPI_MAX(VPI_MAX(capacity * 2, FIRST_ROOM), w->used + VPI_MIN(want, w->limit - w->used));
    capacity = VPI_MIN(capacity, w->limit);
    if (capacity <= w->capacity) capacity = VPI_MIN(w->limit, w->capacity + FIRST_ROOM);
    more = capacity - w->capacity;
    VPI_TRY(hold(w, more, err));
    data = vpi_realloc(w->data, capacity, 1);
    if (!data) {
        release(w->s3, more, false);
        return vpi_fail_nomem(err);
    }
    w->data = data;
    w->capacity = capacity;
    return VP_OK;
}

/* ---- on the way ---- */

static void after_last(vpi_s3_writer *w);

static void note_failure_synced(vpi_s3_writer *w, vp_status st, const vp_error *err)
{
    if (w->synced.st < 0) return;
    w->synced.st = st;
    vp_error_init(&w->synced.err);
    vpi_error_copy(&w->synced.err, err);
}

/* After it the writer may be gone. */
static void landed(vpi_s3_writer *w)
{
    bool last;

    pthread_mutex_lock(&w->lock);
    last = --w->synced.running == 0 && w->synced.finishing;
    if (last) w->synced.running++; /* the end counts as running */
    if (!w->synced.running) pthread_cond_broadcast(&w->idle);
    pthread_mutex_unlock(&w->lock);
    if (last) after_last(w);
}

static void on_part(vpi_s3_op *op, vp_status st)
{
    vpi_s3_slot *s = op->user;
    vpi_s3_writer *w = s->writer;

    if (st == VP_END) st = vpi_fail(&op->err, VP_E_IO, "S3_ERROR", "the server knows no such upload");
    if (st >= 0) st = vpi_s3_part_note(w->upload, &s->part, &op->err);
    vpi_free(s->data);
    s->data = NULL;
    release(w->s3, s->capacity, true);
    pthread_mutex_lock(&w->lock);
    if (st < 0)
        note_failure_synced(w, st, &op->err);
    else
        w->synced.parts_in++;
    s->busy = false;
    pthread_mutex_unlock(&w->lock);
    if (st >= 0 && w->part_in) w->part_in(w->part_user);
    landed(w);
}

static vpi_s3_slot *take_slot(vpi_s3_writer *w)
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
static void move_body(vpi_s3_writer *w, vpi_s3_slot *s)
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
static vp_status start(vpi_s3_writer *w, vpi_s3_op *op, vp_error *err)
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
    if (w->file) VPI_TRY(vpi_s3_file_hold(w, err));
    s = take_slot(w);
    if (!s) return vpi_fail_nomem(err);
    st = vpi_s3_part_prepare(w->upload, &s->part, w->number, w->data, w->used, sums, err);
    if (st < 0) {
        give_slot(w, s);
        return st;
    }
    s->part.op.done = on_part;
    s->part.op.user = s;
    move_body(w, s);
    w->number++;
    take_off(w->s3);
    pthread_mutex_lock(&w->lock);
    w->synced.running++;
    pthread_mutex_unlock(&w->lock);
    st = start(w, &s->part.op, err);
    if (st >= 0) return VP_OK;
    vpi_free(s->data);
    s->data = NULL;
    release(w->s3, s->capacity, true);
    give_slot(w, s);
    landed(w);
    return st;
}

static vp_status send_part(vpi_s3_writer *w, vp_error *err)
{
    vpi_s3_sums sums;

    VPI_TRY(vpi_s3_summer_done(&w->summer, &sums, err));
    return vpi_s3_writer_send(w, &sums, err);
}

static vp_status begin_upload(vpi_s3_writer *w, vp_error *err)
{
    vp_s3_upload *u = NULL;
    vp_status st = VP_END;

    if (w->work) st = vpi_s3_journal_load(w->s3, w->work, w->bucket, w->key, w->size, w->cancel, &u, err);
    if (st == VP_END) {
        if (w->work) VPI_TRY(vpi_s3_journal_intend(w->work, w->bucket, w->key, err));
        VPI_TRY(vpi_s3_upload_new(w->s3, w->bucket, w->key, w->size, w->lines, w->cancel, &u, err));
        st = w->work ? vpi_s3_journal_begin(w->work, u, err) : VP_OK;
        if (st < 0) w->keep = false; /* nothing is written down that a later try could find */
    }
    w->upload = u; /* also after a failure: its parts have to go */
    return st;
}

/* ---- filling ---- */

static vp_status set_limit(vpi_s3_writer *w, vp_error *err)
{
    uint64_t limit;

    if (w->upload)
        limit = vpi_s3_part_room(w->upload, w->number);
    else if (w->size != VP_SIZE_UNKNOWN && w->size < w->s3->o.multipart_from)
        limit = VPI_MAX(w->size, 1);
    else
        limit = vpi_s3_part_size(w->s3, w->size);
    if (!limit || limit > SIZE_MAX / 2)
        return vpi_fail(err, VP_E_LIMIT, "INPUT_LIMIT", "no object has so many bytes");
    w->limit = (size_t)limit;
    return VP_OK;
}

vp_status vpi_s3_writer_check(vpi_s3_writer *w, vp_error *err)
{
    vp_status st;

    VPI_TRY(vpi_cancel_check_scope(w->cancel, err));
    pthread_mutex_lock(&w->lock);
    st = w->synced.st;
    if (st < 0) vpi_error_copy(err, &w->synced.err);
    pthread_mutex_unlock(&w->lock);
    return st;
}

vp_status vpi_s3_writer_parts(vpi_s3_writer *w, vp_error *err)
{
    if (w->upload) return VP_OK;
    VPI_TRY(begin_upload(w, err));
    return set_limit(w, err);
}

vp_status vpi_s3_writer_new(vp_s3 *s3, const vpi_s3_writer_options *o, vpi_s3_writer **out, vp_error *err)
{
    vpi_s3_writer *w = vpi_calloc(1, sizeof(*w));
    vp_status st;

    *out = NULL;
    if (!w) return vpi_fail_nomem(err);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->idle, NULL);
    w->s3 = vp_s3_ref(s3);
    w->bucket = vpi_strdup(o->bucket);
    w->key = vpi_strdup(o->key);
    w->lines = vpi_strdup(o->lines ? o->lines : "");
    w->size = o->size;
    w->flags = o->flags;
    w->keep = o->keep && o->work;
    w->cancel = o->cancel;
    w->part_in = o->part_in;
    w->part_user = o->user;
    w->work = vp_store_ref(o->work);
    w->number = 1;
    if (!w->bucket || !w->key || !w->lines) {
        st = vpi_fail_nomem(err);
        goto fail;
    }
    st = vpi_s3_summer_init(&w->summer, s3, err);
    if (st < 0) goto fail;
    w->summer.no_crc32c = !w->work && s3->checksum != VP_S3_CHECKSUM_CRC32C;
    st = set_limit(w, err);
    if (st < 0) goto fail;
    *out = w;
    return VP_OK;
fail:
    w->keep = true;
    vpi_s3_writer_free(w);
    return st;
}

vp_status vpi_s3_writer_note(vpi_s3_writer *w, vp_error *err)
{
    uint32_t in;

    if (!w->work || !w->upload) return VP_OK;
    in = vpi_s3_writer_parts_in(w);
    if (in == w->noted || vpi_now_us() - w->noted_us < NOTE_US) return VP_OK;
    w->noted = in;
    w->noted_us = vpi_now_us();
    return vpi_s3_journal_parts(w->work, w->upload, err);
}

vp_status vpi_s3_writer_space(vpi_s3_writer *w, size_t want, void **data, size_t *room, vp_error *err)
{
    VPI_TRY(vpi_s3_writer_check(w, err));
    if (w->size != VP_SIZE_UNKNOWN && w->bytes >= w->size)
        return vpi_fail(err, VP_E_ARG, NULL, "more bytes than the object was to have");
    if (w->used == w->limit) {
        if (!w->upload) VPI_TRY(begin_upload(w, err));
        VPI_TRY(send_part(w, err));
        VPI_TRY(set_limit(w, err));
    }
    VPI_TRY(vpi_s3_writer_note(w, err));
    if (w->file) {
        VPI_TRY(vpi_s3_file_block(w, err));
        *data = w->block;
        *room = VPI_MIN(VPI_MIN(w->limit - w->used, VPI_S3_BLOCK), VPI_MAX(want, 1));
        return VP_OK;
    }
    if (w->used == w->capacity) VPI_TRY(grow(w, want, err));
    *data = w->data + w->used;
    *room = VPI_MIN(VPI_MIN(w->capacity, w->limit) - w->used, VPI_MAX(want, 1));
    return VP_OK;
}

vp_status vpi_s3_writer_put(vpi_s3_writer *w, size_t size, vp_error *err)
{
    VPI_TRY(vpi_s3_summer_add(&w->summer, w->file ? w->block : w->data + w->used, size, err));
    w->used += size;
    w->bytes += size;
    return VP_OK;
}

vp_s3_upload *vpi_s3_writer_upload(vpi_s3_writer *w)
{
    return w->upload;
}

uint32_t vpi_s3_writer_parts_in(vpi_s3_writer *w)
{
    uint32_t n;

    pthread_mutex_lock(&w->lock);
    n = w->synced.parts_in;
    pthread_mutex_unlock(&w->lock);
    return n;
}

/* ---- the end ---- */

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

static void after_last(vpi_s3_writer *w)
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
        note_failure_synced(w, st, &op->err);
        pthread_mutex_unlock(&w->lock);
    }
    landed(w);
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
    if (start(w, &w->look, &err) >= 0) {
        landed(w);
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
    release(w->s3, s->capacity, true);
    w->info = (vp_s3_info)VP_S3_INFO_INIT;
    w->info.size = w->bytes;
    vpi_s3_header(op, "etag", w->info.etag, sizeof(w->info.etag));
    pthread_mutex_lock(&w->lock);
    if (st < 0) note_failure_synced(w, st, &op->err);
    pthread_mutex_unlock(&w->lock);
    if (st == VP_E_CONFLICT && w->flags & VP_S3_IF_ABSENT && look(w, s)) return;
    landed(w);
}

static vp_status send_single(vpi_s3_writer *w, vp_error *err)
{
    vpi_s3_op *op;
    vp_status st;
    vpi_s3_slot *s;

    if (w->file) VPI_TRY(vpi_s3_file_hold(w, err));
    s = take_slot(w);
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
    move_body(w, s);
    take_off(w->s3);
    pthread_mutex_lock(&w->lock);
    w->synced.running++;
    pthread_mutex_unlock(&w->lock);
    st = start(w, op, err);
    if (st >= 0) return VP_OK;
    vpi_free(s->data);
    s->data = NULL;
    release(w->s3, s->capacity, true);
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
        st = send_part(w, &err);
    }
    if (st >= 0 && w->upload) forget_rest(w);
    if (st < 0) {
        pthread_mutex_lock(&w->lock);
        note_failure_synced(w, st, &err);
        pthread_mutex_unlock(&w->lock);
    }
    landed(w);
}

void vpi_s3_writer_stop(vpi_s3_writer *w)
{
    vp_error err = VP_ERROR_INIT;
    vpi_s3_slot *list;
    bool finishing;

    vpi_fail(&err, VP_E_CANCELED, NULL, "canceled");
    pthread_mutex_lock(&w->lock);
    w->synced.stopping = true;
    if (!w->synced.ended) note_failure_synced(w, VP_E_CANCELED, &err);
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
    landed(w);
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
        if (w->upload && !w->keep) abort_now(w);
    }
    while (w->synced.slots) {
        vpi_s3_slot *s = w->synced.slots;

        w->synced.slots = s->next;
        vpi_s3_op_dispose(&s->part.op);
        vpi_free(s);
    }
    vpi_s3_file_give(w);
    if (w->capacity) release(w->s3, w->capacity, false);
    vpi_free(w->data);
    vpi_s3_op_dispose(&w->look);
    vpi_s3_finish_dispose(&w->fin);
    vpi_s3_summer_dispose(&w->summer);
    vpi_s3_summers_free(w->summers);
    vp_s3_upload_unref(w->upload);
    vp_store_unref(w->work);
    vp_source_unref(w->file);
    vpi_free(w->bucket);
    vpi_free(w->key);
    vpi_free(w->lines);
    pthread_cond_destroy(&w->idle);
    pthread_mutex_destroy(&w->lock);
    vp_s3_unref(w->s3);
    vpi_free(w);
    return NULL;
}
