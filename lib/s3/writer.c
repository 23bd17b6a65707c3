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
        vpi_s3_writer_release(w->s3, more, false);
        return vpi_fail_nomem(err);
    }
    w->data = data;
    w->capacity = capacity;
    return VP_OK;
}

/* ---- filling ---- */

vp_status vpi_s3_writer_begin(vpi_s3_writer *w, bool plain, vp_error *err)
{
    vp_status st;

    if (w->work) VPI_TRY(vpi_s3_journal_intend(w->work, w->bucket, w->key, err));
    VPI_TRY(
        vpi_s3_upload_new(w->s3, w->bucket, w->key, w->size, w->lines, plain, w->cancel, &w->upload, err));
    st = w->work ? vpi_s3_journal_begin(w->work, w->upload, err) : VP_OK;
    if (st < 0) w->keep = false; /* nothing is written down that a later try could find */
    return st;
}

static vp_status begin_upload(vpi_s3_writer *w, vp_error *err)
{
    vp_s3_upload *u = NULL;
    vp_status st = VP_END;

    if (w->work) st = vpi_s3_journal_load(w->s3, w->work, w->bucket, w->key, w->size, w->cancel, &u, err);
    if (st == VP_END) return vpi_s3_writer_begin(w, false, err);
    w->upload = u;
    w->there = u && u->synced.complete;
    return st;
}
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
    w->ends = o->ends && o->work;
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
        VPI_TRY(vpi_s3_writer_send_part(w, err));
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
