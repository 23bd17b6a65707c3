/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The last step, and the bytes as a source. */

#include "ingest/store_int.h"

#define PIECE (256u << 10)

/* What came out of order, or came while no state was kept, is read. */
static vp_status hash_rest_synced(vp_upload *u, vp_error *err)
{
    uint64_t size = u->rec.length;
    uint8_t *piece;
    vp_status st = VP_OK;

    if ((!u->hash.algorithm || u->hash.length == size) &&
        (!u->declared.algorithm || u->declared.length == size))
        return VP_OK;
    if (!u->ingest->back.ops->read) return vpi_fail(err, VP_E_INTERNAL, NULL, "bytes were not hashed");
    VPI_TRY(vpi_upload_begin_synced(u, err));
    piece = vpi_alloc(PIECE);
    if (!piece) return vpi_fail_nomem(err);
    for (uint64_t at = VPI_MIN(u->hash.algorithm ? u->hash.length : size,
                               u->declared.algorithm ? u->declared.length : size);
         at < size && st == VP_OK;) {
        size_t n = (size_t)VPI_MIN(size - at, (uint64_t)PIECE);

        if (u->hash.length > at) n = (size_t)VPI_MIN((uint64_t)n, u->hash.length - at);
        if (u->declared.length > at) n = (size_t)VPI_MIN((uint64_t)n, u->declared.length - at);
        st = u->ingest->back.ops->read(u->item, at, piece, n, err);
        if (st == VP_OK) vpi_digest_add_at(&u->hash, at, piece, n);
        if (st == VP_OK) vpi_digest_add_at(&u->declared, at, piece, n);
        at += n;
    }
    vpi_free(piece);
    return st;
}

static vp_status compare_synced(vp_upload *u, vp_error *err)
{
    vpi_record *r = &u->rec;
    uint8_t found[VPI_DIGEST_MAX];

    if (u->hash.algorithm) {
        vpi_digest_peek(&u->hash, r->sha256);
        r->has_sha256 = true;
    }
    if (r->want_algorithm == VPI_DIGEST_NONE) return VP_OK;
    if (r->want_algorithm == VPI_DIGEST_SHA256)
        memcpy(found, r->sha256, sizeof(r->sha256));
    else
        vpi_digest_peek(&u->declared, found);
    if (memcmp(found, r->want, vpi_digest_size(r->want_algorithm)) == 0) return VP_OK;
    vpi_fail(err, VP_E_DATA, "CHECKSUM_MISMATCH", "the upload has not the digest that was told");
    (void)vpi_upload_remove_synced(u, NULL);
    vpi_upload_fail_synced(u, err);
    return VP_E_DATA;
}

static vp_status share_synced(vp_upload *u, vp_error *err)
{
    vpi_record *r = &u->rec;
    char hex[65];

    if (!u->ingest->back.ops->share || !r->has_sha256 || (u->ingest->o.flags & VP_INGESTF_NO_DEDUP))
        return VP_OK;
    vpi_hex(r->sha256, sizeof(r->sha256), hex);
    return u->ingest->back.ops->share(u->item, &r->token, r->scope ? r->scope : "", hex, r->length,
                                      &r->shared, err);
}

/* All bytes are here; the record has no length that says otherwise. */
static vp_status whole_synced(vp_upload *u, vp_error *err)
{
    if (u->rec.state == VP_UPLOAD_WAITING) {
        vp_status st = vpi_concat_try_synced(u, err);

        if (st < 0) return st;
        if (st > 0) {
            vp_error_init(err);
            return vpi_fail(err, VP_E_CONFLICT, "LENGTH_MISMATCH",
                            "parts of the upload are not whole or gone");
        }
    }
    if (u->check.running) return vpi_fail(err, VP_E_STATE, NULL, "a chunk is under check");
    if (u->rec.length == VP_SIZE_UNKNOWN)
        return vpi_fail(err, VP_E_CONFLICT, "LENGTH_MISMATCH", "the upload's length was not told");
    if (u->counted != u->rec.length)
        return vpi_fail(err, VP_E_CONFLICT, "LENGTH_MISMATCH", "%llu of %llu bytes have come",
                        (unsigned long long)u->counted, (unsigned long long)u->rec.length);
    return VP_OK;
}

/* The data are made durable here and the record at the end, so that both are not written twice. */
static vp_status settle_synced(vp_upload *u, vpi_record *r, vp_error *err)
{
    const vpi_back_ops *ops = u->ingest->back.ops;
    vpi_buf token = { 0 };
    vp_status st;

    VPI_TRY(vpi_upload_wait_behind_synced(u, err));
    if (!ops->growing || (r->flags & VP_UPLOADF_ANY_ORDER)) {
        VPI_TRY(vpi_upload_sync_synced(u, err));
    } else if (r->offset != u->counted) {
        st = ops->sync_data(u->item, &token, err);
        vpi_buf_dispose(&token);
        if (st < 0) {
            vpi_upload_fail_synced(u, err);
            return st;
        }
    }
    VPI_TRY(hash_rest_synced(u, err));
    VPI_TRY(compare_synced(u, err));
    st = ops->finish ? ops->finish(u->item, &r->token, r->length, err) : VP_OK;
    if (st < 0 && ops->growing) vpi_upload_fail_synced(u, err); /* a sync may have failed */
    return st;
}

vp_status vpi_upload_finish_synced(vp_upload *upload, vp_error *err)
{
    vpi_record *r = &upload->rec, before;
    vp_status st;

    if (r->state == VP_UPLOAD_FINISHED) return upload->ingest->back.ops->check(upload->item, err);
    VPI_TRY(vpi_gather_flush_synced(upload, err));
    VPI_TRY(whole_synced(upload, err));
    VPI_TRY(settle_synced(upload, r, err));
    VPI_TRY(share_synced(upload, err));
    before = *r;
    r->state = VP_UPLOAD_FINISHED;
    r->offset = r->length;
    /* A concatenation that begins with this part goes on from its hash. */
    r->hash = r->flags & VP_UPLOADF_PARTIAL ? upload->hash : (vpi_digest){ 0 };
    r->declared = (vpi_digest){ 0 };
    r->ranges = (vpi_ranges){ 0 };
    st = vpi_upload_put_synced(upload, err);
    if (st < 0) {
        *r = before;
        return st;
    }
    vpi_ranges_dispose(&before.ranges);
    vpi_ingest_event(upload->ingest, VP_EVENT_UPLOAD_FINISHED, r, r->length);
    return VP_OK;
}

static vp_status source_of(vp_ingest *s, const vpi_record *r, vp_source **out, vp_error *err)
{
    return s->back.ops->source(s->back.user, r->id, &r->token, r->length, true, out, err);
}

vp_status vp_upload_finish(vp_upload *upload, vp_source **out, vp_upload_info *info, vp_error *err)
{
    vp_error e = VP_ERROR_INIT;
    vp_status st;
    bool whole;

    vp_error_init(err);
    if (out) *out = NULL;
    VPI_TRY(vpi_upload_enter(upload, &e, err));
    whole = upload->rec.state == VP_UPLOAD_FINISHED;
    st = vpi_upload_finish_synced(upload, &e);
    if (st == VP_OK) st = vpi_ingest_give_info(&upload->rec, info, &e);
    if (st == VP_OK && out) st = source_of(upload->ingest, &upload->rec, out, &e);
    if (st == VP_OK && !whole && (upload->rec.flags & VP_UPLOADF_PARTIAL)) {
        pthread_mutex_unlock(&upload->lock);
        vpi_concat_wake(upload->ingest, upload->rec.id);
        pthread_mutex_lock(&upload->lock);
    }
    return vpi_upload_exit(upload, st, "upload.finish", &e, err);
}

vp_status vp_ingest_source(vp_ingest *ingest, const char *id, vp_source **out, vp_error *err)
{
    vpi_record r = { 0 };
    vp_status st;

    vp_error_init(err);
    if (!out) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    *out = NULL;
    VPI_TRY(vpi_ingest_check(ingest, err));
    VPI_TRY(vpi_ingest_id(id, err));
    st = vpi_ingest_look(ingest, id, &r, err);
    if (st == VP_OK && r.state != VP_UPLOAD_FINISHED) {
        st = vpi_fail(err, VP_E_STATE, NULL, "the upload is not finished");
    }
    if (st == VP_OK) st = source_of(ingest, &r, out, err);
    vpi_record_dispose(&r);
    if (st < 0) vpi_error_op(err, "ingest.source");
    return st;
}
