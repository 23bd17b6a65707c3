/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Steps that write: creation, opening, the end of a body, removal. */

#include "ingest/tus_int.h"

/* Runs on after FINISHED; a handle is no longer needed. */
void vpi_tus_ask_finish(vp_tus_request *r)
{
    r->upload = vp_upload_close(r->upload);
    memcpy(r->sha256, r->info.sha256, sizeof(r->sha256));
    r->length = r->info.length;
    r->finishing = true;
    /* Of a creation they are those of the request already. */
    if (r->operation != VP_TUS_CREATE) {
        vpi_tus_metadata_dispose(&r->metadata);
        if (vpi_tus_metadata_read(&r->metadata, r->kept.metadata) == VPI_TUS_NOMEM) {
            vpi_tus_refuse(r, 503, "out of memory");
            return;
        }
    }
    r->next = VP_TUS_ASK;
}

static void fail(vp_tus_request *r, vp_status st, const vp_error *err)
{
    vpi_tus_refuse_status(r, st, err);
    vpi_tus_work_release(r);
}

/* From r->upload to r->info. */
static vp_status look(vp_tus_request *r, vp_error *err)
{
    vp_upload_info_init(&r->info, sizeof(r->info));
    VPI_TRY(vp_upload_get_info(r->upload, &r->info, err));
    r->length = r->info.length;
    return VP_OK;
}

/* ---- creation ---- */

/* What is kept with the upload; false: refused. */
static bool make_kept(vp_tus_request *r, vpi_buf *to)
{
    const char *concat = vpi_tus_field_get(&r->fields, "Upload-Concat");
    vpi_buf text = { 0 };
    char *metadata = NULL;
    bool fits;
    int refusal = 0;

    vpi_tus_metadata_write(&r->metadata, &text);
    metadata = vpi_buf_steal_string(&text);
    vpi_buf_dispose(&text);
    if (!metadata) {
        vpi_tus_refuse(r, 503, "out of memory");
        return false;
    }
    fits = vpi_tus_kept_write(metadata, r->draft ? NULL : concat, r->extra.max_size, to);
    vpi_free(metadata);
    if (!fits) {
        vpi_tus_refuse(r, 400, "metadata and list of parts are too long");
        return false;
    }
    if (!vpi_buf_failed(to)) refusal = vpi_tus_kept_read(to->data, to->size, &r->kept);
    if (!vpi_buf_failed(to) && !refusal) return true;
    vpi_tus_refuse(r, 503, "out of memory");
    return false;
}

/* Most bytes of this upload: its own limit; that of the store is the store's. */
static void set_limit(vp_tus_request *r)
{
    r->limit = r->kept.max_size ? r->kept.max_size : VP_SIZE_UNKNOWN;
}

/* The chunk is held back until its checksum was found right. */
static vp_status begin_check(vp_tus_request *r, vp_error *err)
{
    if (r->trailer) {
        r->sums = vpi_tus_sums_new();
        if (!r->sums) return vpi_fail_nomem(err);
    }
    if (r->trailer) return vp_upload_check_begin(r->upload, "crc32c", err);
    return r->sum.algorithm ? vp_upload_check_begin(r->upload, r->sum.algorithm, err) : VP_OK;
}

void vpi_tus_work_create(vp_tus_request *r)
{
    vp_upload_options o = VP_UPLOAD_OPTIONS_INIT;
    vp_error err = VP_ERROR_INIT;
    vpi_buf kept = { 0 };
    vp_status st = VP_OK;

    if (r->extra.max_size && r->length != VP_SIZE_UNKNOWN && r->length > r->extra.max_size) {
        vpi_tus_refuse(r, 413, "the upload is too large");
        return;
    }
    if (!make_kept(r, &kept)) goto done;
    set_limit(r);
    o.flags = r->flags & VP_TUS_IS_PARTIAL ? VP_UPLOADF_PARTIAL : 0;
    o.length = r->length;
    o.id = r->extra.id;
    o.scope = r->extra.scope;
    o.metadata = kept.data;
    o.metadata_size = kept.size;
    o.digest = r->digest;
    o.expire_ms = r->extra.expire_ms;
    o.parts = r->parts;
    o.parts_may_grow = (r->tus->flags & VP_TUSF_CONCAT_EARLY) != 0;
    st = vp_ingest_create(r->tus->ingest, &o, &r->upload, &err);
    if (st == VP_OK) st = look(r, &err);
    if (st == VP_OK) {
        memcpy(r->id, r->info.id, sizeof(r->id));
        r->at = 0;
        st = begin_check(r, &err);
    }
    if (st != VP_OK) {
        /* A part that is missing or not whole is the request's fault, not that of an upload in its path. */
        if (r->parts && (st == VP_END || st == VP_E_CONFLICT || st == VP_E_ARG)) {
            vpi_tus_refuse(r, 400, "a part is unknown, not a partial upload, or not finished");
        } else {
            fail(r, st, &err);
        }
        goto done;
    }
    if (r->draft && r->interop) vpi_draft_interim_location(r);
    vpi_tus_body_start(r);
done:
    vpi_buf_dispose(&kept);
}

/* ---- a request for an upload that is there ---- */

static void refuse_offset(vp_tus_request *r, uint64_t expected)
{
    if (r->draft) {
        vpi_draft_refuse_offset(r, expected);
    } else {
        vpi_tus_refuse(r, 409, "the offset is another one");
    }
    r->upload = vp_upload_close(r->upload);
}

static void refuse_length(vp_tus_request *r)
{
    if (r->draft) {
        vpi_draft_refuse_length(r);
    } else {
        vpi_tus_refuse(r, 400, "the length is another one");
    }
    r->upload = vp_upload_close(r->upload);
}

/* The body as it says itself would go beyond the end. False: refused. */
static bool fits(vp_tus_request *r)
{
    uint64_t end;

    if (r->content_length == VP_SIZE_UNKNOWN) return true;
    if (!vpi_add_u64(r->at, r->content_length, &end)) end = UINT64_MAX;
    if (end <= VPI_MIN(r->length, r->limit)) return true;
    if (r->draft && end > r->length) {
        vpi_draft_refuse_length(r);
    } else {
        vpi_tus_refuse(r, 413, "the body is longer than the upload");
    }
    r->upload = vp_upload_close(r->upload);
    return false;
}

/* The client says how long the upload is, perhaps again. False: refused. */
static bool set_length(vp_tus_request *r)
{
    vp_error err = VP_ERROR_INIT;
    vp_status st;

    if (r->new_length == VP_SIZE_UNKNOWN) return true;
    if (r->length != VP_SIZE_UNKNOWN && r->length == r->new_length) return true;
    if (r->length != VP_SIZE_UNKNOWN || r->new_length < r->at) {
        refuse_length(r);
        return false;
    }
    if (r->new_length > r->limit) {
        vpi_tus_refuse(r, 413, "the upload is too large");
        r->upload = vp_upload_close(r->upload);
        return false;
    }
    r->length = r->new_length;
    if (!fits(r)) return false;
    /* With a checksum that is found wrong the upload stays as it was: after it. */
    r->length_later = r->sum.algorithm || r->trailer;
    if (r->length_later) return true;
    st = vp_upload_set_length(r->upload, r->new_length, &err);
    if (st == VP_OK) st = look(r, &err);
    if (st == VP_OK) return true;
    fail(r, st, &err);
    return false;
}

/* A finished upload: only its last request can come again, when the answer was lost. */
static void open_finished(vp_tus_request *r)
{
    if (r->offset != r->length) {
        refuse_offset(r, r->length);
        return;
    }
    r->at = r->length;
    if (r->new_length != VP_SIZE_UNKNOWN && r->new_length != r->length) {
        refuse_length(r);
        return;
    }
    if (!fits(r)) return;
    r->trailer = false; /* nothing comes that could be checked */
    r->sum.algorithm = NULL;
    r->flags |= VP_TUS_WAS_ASKED;
    vpi_tus_body_start(r);
}

void vpi_tus_work_open(vp_tus_request *r)
{
    vp_error err = VP_ERROR_INIT;
    vp_status st = vp_ingest_open(r->tus->ingest, r->id, &r->upload, &err);
    bool final;

    if (st == VP_OK) st = look(r, &err);
    if (st == VP_OK) st = vpi_tus_keep(r, vpi_tus_store_metadata(r->upload), &err);
    /* What is there already is too large only where parts that it waits for turned out so. */
    final =
        st == VP_OK ? (r->info.flags & VP_UPLOADF_FINAL) != 0 : strcmp(err.reason, "UPLOAD_TOO_LARGE") == 0;
    if (final) {
        vpi_tus_refuse(r, 403, "a concatenation takes no bytes");
        r->upload = vp_upload_close(r->upload);
        return;
    }
    if (st != VP_OK) {
        fail(r, st, &err);
        return;
    }
    set_limit(r);
    if (r->info.state == VP_UPLOAD_FINISHED) {
        r->upload = vp_upload_close(r->upload);
        open_finished(r);
        return;
    }
    r->at = vp_upload_offset(r->upload);
    if (r->offset != r->at) {
        refuse_offset(r, r->at);
        return;
    }
    if (!set_length(r) || !fits(r)) return;
    st = begin_check(r, &err);
    if (st != VP_OK) {
        fail(r, st, &err);
        return;
    }
    vpi_tus_body_start(r);
}

/* ---- the end of a body ---- */

/* What was held back counts now, or never. */
static vp_status end_check(vp_tus_request *r, vp_error *err)
{
    uint8_t crc[4];

    if (!r->sum.algorithm || !r->upload) return VP_OK;
    if (!r->sums) return vp_upload_check_end(r->upload, r->sum.digest, r->sum.size, err);
    if (!vpi_tus_sums_match(r->sums, r->sum.algorithm, r->sum.digest, r->sum.size)) {
        vp_upload_check_drop(r->upload);
        return vpi_fail(err, VP_E_DATA, "CHECKSUM_MISMATCH", "the body has another checksum");
    }
    vpi_tus_sums_crc32c(r->sums, crc);
    return vp_upload_check_end(r->upload, crc, sizeof(crc), err);
}

/* After this request the upload is to be finished: it says so, or all bytes are there. */
static bool is_last(const vp_tus_request *r)
{
    if (r->draft) return r->complete;
    return !(r->info.flags & VP_UPLOADF_PARTIAL) && r->info.state != VP_UPLOAD_WAITING &&
           r->length != VP_SIZE_UNKNOWN && r->at == r->length;
}

/* The draft: the client said that all was there, but the body ended early or the lengths differ. */
static bool broken_off(vp_tus_request *r, vp_error *err, vp_status *st)
{
    bool early = r->content_length != VP_SIZE_UNKNOWN && r->received < r->content_length;

    if (!r->draft || !r->complete || (!early && r->at == r->length)) return false;
    *st = vp_upload_sync(r->upload, err);
    if (*st == VP_OK) *st = look(r, err);
    if (*st != VP_OK) return false;
    if (early) {
        vpi_tus_refuse(r, 400, "the body ended early");
        vpi_tus_header(r, "Upload-Complete", "?0");
    } else {
        vpi_draft_refuse_length(r);
    }
    r->upload = vp_upload_close(r->upload);
    return true;
}

void vpi_tus_work_end(vp_tus_request *r)
{
    vp_error err = VP_ERROR_INIT;
    vp_status st = end_check(r, &err);

    if (!r->upload) { /* the last request again */
        if (st == VP_OK) vpi_tus_ask_finish(r);
        return;
    }
    if (st == VP_OK && r->length_later) st = vp_upload_set_length(r->upload, r->new_length, &err);
    if (st == VP_OK) st = look(r, &err);
    if (st == VP_OK) r->at = vp_upload_offset(r->upload);
    if (r->info.flags & VP_UPLOADF_FINAL && r->info.state != VP_UPLOAD_WAITING) r->at = r->length;
    if (st == VP_OK && r->draft && r->complete && r->length == VP_SIZE_UNKNOWN &&
        r->content_length == VP_SIZE_UNKNOWN) {
        st = vp_upload_set_length(r->upload, r->at, &err);
        if (st == VP_OK) st = look(r, &err);
    }
    if (st == VP_OK && broken_off(r, &err, &st)) return;
    if (st == VP_OK && is_last(r)) {
        st = vp_upload_finish(r->upload, NULL, &r->info, &err);
        if (st == VP_OK) {
            vpi_tus_ask_finish(r);
            return;
        }
    } else if (st == VP_OK) {
        if (r->received || r->operation != VP_TUS_CREATE) st = vp_upload_sync(r->upload, &err);
        if (st == VP_OK) st = look(r, &err);
    }
    if (st != VP_OK) {
        fail(r, st, &err);
        return;
    }
    vpi_tus_reply_written(r);
    r->upload = vp_upload_close(r->upload);
}

/* ---- the end of uploads ---- */

/* The answer stands already; what cannot be removed now expires. */
void vpi_tus_work_remove(vp_tus_request *r)
{
    r->upload = vp_upload_close(r->upload);
    vp_ingest_remove(r->tus->ingest, r->id, NULL);
}

void vpi_tus_work_release(vp_tus_request *r)
{
    if (r->lost && r->upload) {
        vpi_tus_work_remove(r);
    } else {
        r->upload = vp_upload_close(r->upload);
    }
}

void vpi_tus_work_delete(vp_tus_request *r)
{
    vp_error err = VP_ERROR_INIT;
    vp_status st = vpi_tus_stat(r, &err);

    /* Of what is there but cannot be told, or made of its parts, the end is wanted all the same. */
    if (st != VP_END) {
        vp_error_init(&err);
        st = vp_ingest_remove(r->tus->ingest, r->id, &err);
    }
    if (st != VP_OK) {
        vpi_tus_refuse_status(r, st, &err);
        return;
    }
    vpi_tus_answer(r, 204);
    vpi_tus_answer_done(r);
}
