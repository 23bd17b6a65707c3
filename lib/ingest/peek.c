/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is durable of an upload while more comes, as a source: what is not there yet is VP_AGAIN. */

#include "ingest/store_int.h"

typedef struct peek {
    vp_ingest *ingest; /* a reference */
    pthread_mutex_t lock;
    vpi_record rec;   /* as it was looked at last */
    vp_source *bytes; /* of rec; NULL: none were asked for yet */
    uint64_t size;    /* that `bytes` was opened for */
    char id[VP_UPLOAD_ID_MAX + 1];
} peek;

/* Bytes that are there from offset on. */
static uint64_t there(const vpi_record *r, uint64_t offset)
{
    vpi_range g;

    if (offset < r->offset) return r->offset - offset;
    if (r->ranges.count == 0) return 0;
    for (size_t i = 0; i < r->ranges.count; i++) {
        g = r->ranges.at[i];
        if (offset >= g.from && offset < g.to) return g.to - offset;
    }
    return 0;
}

static uint64_t reach(const vpi_record *r)
{
    uint64_t end = r->ranges.count > 0 ? r->ranges.at[r->ranges.count - 1].to : 0;

    return VPI_MAX(end, r->offset);
}

static vp_status refresh_synced(peek *p, vp_error *err)
{
    vpi_record r = { 0 };
    vp_status st = vpi_ingest_look(p->ingest, p->id, &r, err);

    if (st == VP_END) {
        vp_error_init(err);
        return vpi_fail(err, VP_E_STATE, NULL, "the upload is gone");
    }
    if (st < 0) return st;
    if (r.created_us != p->rec.created_us || r.offset < p->rec.offset) {
        vpi_record_dispose(&r);
        return vpi_fail(err, VP_E_STATE, NULL, "the upload is gone, and another has its id");
    }
    vpi_record_dispose(&p->rec);
    p->rec = r;
    return VP_OK;
}

/*
 * Of a directory the record is looked at once more, after the bytes: whether they are its, and whether that there are
 * none, or fewer, means that the upload is gone.
 */
static vp_status open_bytes_synced(peek *p, vp_error *err)
{
    const vpi_back *back = &p->ingest->back;
    vp_error e = VP_ERROR_INIT, gone = VP_ERROR_INIT;
    vp_source *bytes = NULL;
    uint64_t size = reach(&p->rec);
    vp_status st = back->ops->source(back->user, p->id, &p->rec.token, size,
                                     p->rec.state == VP_UPLOAD_FINISHED, &bytes, &e);

    if (back->ops->growing && refresh_synced(p, &gone) < 0) {
        st = gone.status;
        e = gone;
    }
    if (st < 0) {
        vp_source_unref(bytes);
        vpi_error_copy(err, &e);
        return st;
    }
    vp_source_unref(p->bytes);
    p->bytes = bytes;
    p->size = size;
    return VP_OK;
}

static vp_status read_synced(peek *p, uint64_t offset, void *data, size_t capacity, size_t *got,
                             vp_error *err)
{
    uint64_t n = there(&p->rec, offset);

    if (n == 0 && p->rec.state != VP_UPLOAD_FINISHED) {
        VPI_TRY(refresh_synced(p, err));
        n = there(&p->rec, offset);
    }
    if (n == 0) {
        if (p->rec.length != VP_SIZE_UNKNOWN && offset >= p->rec.length) return VP_OK;
        return VP_AGAIN;
    }
    /* A file shows what was added; others are opened anew. */
    if (!p->bytes || (!p->ingest->back.ops->growing && p->size < offset + VPI_MIN(n, (uint64_t)capacity)))
        VPI_TRY(open_bytes_synced(p, err));
    return vp_source_read_at(p->bytes, offset, data, (size_t)VPI_MIN(n, (uint64_t)capacity), got, err);
}

static vp_status peek_read(void *user, uint64_t offset, void *data, size_t capacity, size_t *got,
                           vp_error *err)
{
    peek *p = user;
    vp_status st;

    *got = 0;
    VPI_TRY(vpi_ingest_check(p->ingest, err));
    pthread_mutex_lock(&p->lock);
    st = read_synced(p, offset, data, capacity, got, err);
    pthread_mutex_unlock(&p->lock);
    return st;
}

static vp_status peek_size(void *user, uint64_t *bytes, vp_error *err)
{
    peek *p = user;
    vp_status st = VP_OK;

    VPI_TRY(vpi_ingest_check(p->ingest, err));
    pthread_mutex_lock(&p->lock);
    if (p->rec.length == VP_SIZE_UNKNOWN) st = refresh_synced(p, err);
    *bytes = p->rec.length;
    pthread_mutex_unlock(&p->lock);
    if (st == VP_OK && *bytes == VP_SIZE_UNKNOWN) {
        *bytes = 0;
        return VP_AGAIN;
    }
    return st;
}

static void peek_release(void *user)
{
    peek *p = user;
    vp_ingest *s = p->ingest;

    vp_source_unref(p->bytes);
    vpi_record_dispose(&p->rec);
    if (!vpi_forked(s->fork_mark)) pthread_mutex_destroy(&p->lock);
    vpi_free(p);
    vp_ingest_unref(s);
}

vp_status vp_ingest_peek(vp_ingest *ingest, const char *id, vp_source **out, vp_error *err)
{
    vp_source_ops ops = VP_SOURCE_OPS_INIT;
    peek *p;
    vp_status st;

    vp_error_init(err);
    if (!out) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    *out = NULL;
    VPI_TRY(vpi_ingest_check(ingest, err));
    VPI_TRY(vpi_ingest_id(id, err));
    p = vpi_calloc(1, sizeof(*p));
    if (!p) return vpi_fail_nomem(err);
    p->ingest = vp_ingest_ref(ingest);
    vpi_strlcpy(p->id, id, sizeof(p->id));
    pthread_mutex_init(&p->lock, NULL);
    st = vpi_ingest_look(ingest, id, &p->rec, err);
    ops.read_at = peek_read;
    ops.size = peek_size;
    ops.release = peek_release;
    if (st == VP_OK) st = vpi_source_new_internal(ingest->context, &ops, p, out, err);
    if (st != VP_OK) peek_release(p);
    if (st < 0) vpi_error_op(err, "ingest.peek");
    return st;
}
