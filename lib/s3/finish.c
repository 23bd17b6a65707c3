/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The end of an upload in parts. Complete may have been done although its answer was lost, and then the server knows no
 * such upload any more: so the object is looked at before anything is called a failure, and nothing is aborted before
 * (S01, S02). Where the server has other parts than it was told, its list of them is asked for.
 */

#include <stdio.h>

#include "upload.h"

enum { COMPLETE, LOOK, LIST, ABORT };
#define MENDS_MAX 3u /* parts that came in late may be followed by others */
#define LATE_MS 5000 /* for taking parts away once nobody wants to wait */

static void on_op(vpi_s3_op *op, vp_status st);

static vp_status upload_query(vpi_s3_finish *f, vp_error *err)
{
    vpi_buf_clear(&f->query);
    vpi_buf_str(&f->query, "uploadId=");
    vpi_s3_encode(&f->query, f->upload->id, false);
    vpi_buf_u8(&f->query, 0);
    return vpi_buf_failed(&f->query) ? vpi_fail_nomem(err) : VP_OK;
}

/* The list of parts, and what is said of the whole; STATE where one is missing. With the upload's lock held. */
static vp_status list_synced(vpi_s3_finish *f, vp_error *err)
{
    vp_s3_upload *u = f->upload;
    bool foreign = false;
    uint64_t crc = 0, total = 0;
    bool first = true;
    char text[32];
    uint8_t be[8];

    if (!u->synced.count) return vpi_fail(err, VP_E_STATE, NULL, "no part of the upload is in");
    vpi_buf_clear(&f->body);
    vpi_buf_str(&f->body, "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (size_t i = 0; i < u->synced.count; i++) {
        const vpi_s3_part *p = &u->synced.parts[i];

        if (!p->in && u->sparse) continue;
        if (!p->in) return vpi_fail(err, VP_E_STATE, NULL, "part %zu of the upload is missing", i + 1);
        vpi_buf_printf(&f->body, "<Part><PartNumber>%zu</PartNumber><ETag>", i + 1);
        vpi_s3_xml_escape(&f->body, p->etag);
        vpi_buf_str(&f->body, "</ETag>");
        if (u->checksum == VP_S3_CHECKSUM_CRC32C) {
            for (int k = 0; k < 4; k++) be[k] = (uint8_t)(p->crc32c >> (24 - 8 * k));
            vpi_s3_base64(be, 4, text);
            vpi_buf_printf(&f->body, "<ChecksumCRC32C>%s</ChecksumCRC32C>", text);
        }
        if (u->checksum == VP_S3_CHECKSUM_CRC64NVME && !p->foreign) { /* AWS can do without, others cannot */
            for (int k = 0; k < 8; k++) be[k] = (uint8_t)(p->crc64 >> (56 - 8 * k));
            vpi_s3_base64(be, 8, text);
            vpi_buf_printf(&f->body, "<ChecksumCRC64NVME>%s</ChecksumCRC64NVME>", text);
            crc = first ? p->crc64 : vpi_s3_crc64_combine(crc, p->crc64, p->size);
            first = false;
        }
        vpi_buf_str(&f->body, "</Part>");
        total += p->size;
        foreign = foreign || p->foreign;
    }
    vpi_buf_str(&f->body, "</CompleteMultipartUpload>");
    f->headers[0] = 0;
    if (u->checksum == VP_S3_CHECKSUM_CRC64NVME && !foreign) {
        for (int k = 0; k < 8; k++) be[k] = (uint8_t)(crc >> (56 - 8 * k));
        vpi_s3_base64(be, 8, text);
        snprintf(f->headers, sizeof(f->headers),
                 "x-amz-checksum-crc64nvme: %s\nx-amz-checksum-type: FULL_OBJECT\n", text);
    }
    f->info = (vp_s3_info)VP_S3_INFO_INIT;
    f->info.size = total;
    vpi_strlcpy(f->info.upload, u->marker, sizeof(f->info.upload));
    return vpi_buf_failed(&f->body) ? vpi_fail_nomem(err) : VP_OK;
}

/* ---- stages ---- */

static vp_status ask(vpi_s3_finish *f, int stage, vp_error *err)
{
    static const char *const methods[] = { "POST", "HEAD", "GET", "DELETE" };
    vp_s3_upload *u = f->upload;
    vpi_s3_op *op = &f->op;

    vpi_s3_op_reset(u->s3, op);
    f->stage = stage;
    op->bucket = u->bucket;
    op->key = u->key;
    op->done = on_op;
    op->user = f;
    op->method = methods[stage];
    if (stage != LOOK) op->query = (const char *)f->query.data;
    if (stage == COMPLETE) {
        op->body = f->body.data;
        op->body_size = f->body.size;
        op->headers = f->lines;
        op->flags = VPI_S3_MAYBE_ERROR | VPI_S3_NO_SUMS;
    }
    if (stage == LIST) {
        op->flags = VPI_S3_MAYBE_ERROR;
        op->max_body = VPI_S3_PAGE_MAX;
    }
    if (stage == ABORT && atomic_load(&f->stopping)) op->limit_ms = LATE_MS;
    VPI_TRY(vpi_s3_start(u->s3, op, err));
    if (stage != ABORT && atomic_load(&f->stopping)) vpi_s3_stop(u->s3, op);
    return VP_OK;
}

void vpi_s3_finish_stop(vpi_s3_finish *f)
{
    if (!atomic_exchange(&f->stopping, true)) vpi_s3_stop(f->upload->s3, &f->op);
}

static void end(vpi_s3_finish *f, vp_status st)
{
    if (st < 0) vpi_error_key(&f->err, f->upload->key);
    f->done(f, st);
}

static vp_status on_complete_text(void *user, const char *path, const char *text, vp_error *err)
{
    vpi_s3_finish *f = user;

    (void)err;
    if (strcmp(path, "CompleteMultipartUploadResult/ETag") == 0)
        vpi_strlcpy(f->info.etag, text, sizeof(f->info.etag));
    return VP_OK;
}

/* Whatever the first failure was is told, also where what follows fails too. */
static void give_up(vpi_s3_finish *f)
{
    vp_error err = VP_ERROR_INIT;

    if (f->abort && !(f->resend && f->lost) && upload_query(f, &err) >= 0 && ask(f, ABORT, &err) >= 0) return;
    end(f, f->st);
}

/* ---- other parts than they were ---- */

static vp_status next_page(vpi_s3_finish *f, vp_error *err)
{
    VPI_TRY(vpi_s3_page_query(f->page, f->upload, &f->query, err));
    return ask(f, LIST, err);
}

static void drop_page(vpi_s3_finish *f)
{
    vpi_s3_page_free(f->page);
    f->page = NULL;
}

static void fail(vpi_s3_finish *f)
{
    vp_error err = VP_ERROR_INIT;

    if (f->stale && f->mends < MENDS_MAX && !atomic_load(&f->stopping) &&
        vpi_s3_page_new(&f->page, &err) >= 0) {
        f->mends++;
        if (next_page(f, &err) >= 0) return;
        drop_page(f);
    }
    give_up(f);
}

static vp_status complete(vpi_s3_finish *f, vp_error *err);

static vp_status complete_again(vpi_s3_finish *f, vp_error *err)
{
    vp_status st;

    pthread_mutex_lock(&f->upload->lock);
    st = list_synced(f, err);
    pthread_mutex_unlock(&f->upload->lock);
    return st < 0 ? st : complete(f, err);
}

static void listed(vpi_s3_finish *f, vp_status st)
{
    vp_error err = VP_ERROR_INIT;
    uint32_t taken;

    if (st == VP_OK) st = vpi_s3_page_read(f->page, &f->op, &err);
    if (st == VP_AGAIN && next_page(f, &err) >= 0) return;
    if (st == VP_OK) {
        vpi_s3_parts_mend(f->upload, f->page->parts, &taken, &f->lost);
        drop_page(f);
        if (taken && !f->lost && complete_again(f, &err) >= 0) return;
        if (f->lost) {
            vp_error_init(&f->err);
            f->st =
                vpi_fail(&f->err, VP_E_IO, "S3_ERROR",
                         "InvalidPart: the server has %u parts of the upload otherwise than they were sent",
                         (unsigned)f->lost);
            f->err.flags |= VP_ERRF_RETRYABLE; /* once they are sent again */
        }
    }
    drop_page(f);
    give_up(f);
}

/* ---- what came of it ---- */

static void succeed(vpi_s3_finish *f)
{
    vp_error_init(&f->err);
    pthread_mutex_lock(&f->upload->lock);
    f->upload->synced.complete = true;
    pthread_mutex_unlock(&f->upload->lock);
    end(f, VP_OK);
}

static void completed(vpi_s3_finish *f)
{
    const vpi_buf *body = &f->op.call.answer.body;
    vp_error err = VP_ERROR_INIT;
    char root[64];

    vpi_s3_xml(body->data, body->size, on_complete_text, f, root, NULL);
    if (f->op.tries > 1 || f->op.lost) {
        /* another one may have been at work on the same parts: has it made all of the object? */
        f->st =
            vpi_fail(&f->err, VP_E_IO, "S3_ERROR", "the server has made another object than of these parts");
        f->answered = true;
        if (ask(f, LOOK, &err) >= 0) return;
    }
    succeed(f);
}

static void looked(vpi_s3_finish *f, vp_status st)
{
    vp_s3_info info = VP_S3_INFO_INIT;

    if (st == VP_OK) {
        vpi_s3_info_read(&f->op, &info);
        if (strcmp(info.upload, f->upload->marker) == 0 &&
            (f->info.size == VP_SIZE_UNKNOWN || info.size == f->info.size)) {
            f->info = info;
            succeed(f);
            return;
        }
    }
    /* Who may write need not be one who may read; and another's object may have come since. */
    if (f->answered && (st != VP_OK || strcmp(info.upload, f->upload->marker) != 0)) {
        succeed(f);
        return;
    }
    if (st < 0 && f->st == VP_E_CONFLICT) { /* nothing was seen, so "taken" would be a guess */
        f->st = st;
        vp_error_init(&f->err);
        vpi_error_copy(&f->err, &f->op.err);
    }
    fail(f);
}

static void on_op(vpi_s3_op *op, vp_status st)
{
    vpi_s3_finish *f = op->user;
    vp_error err = VP_ERROR_INIT;

    switch (f->stage) {
    case COMPLETE:
        if (st == VP_OK) {
            completed(f);
            return;
        }
        if (st == VP_END) st = vpi_fail(&op->err, VP_E_IO, "S3_ERROR", "the server knows no such upload");
        f->st = st;
        f->stale = strcmp(op->code, "InvalidPart") == 0;
        vp_error_init(&f->err);
        vpi_error_copy(&f->err, &op->err);
        /* what may have been done although it was not said */
        if ((strcmp(op->code, "NoSuchUpload") == 0 || st == VP_E_IO || st == VP_E_LIMIT ||
             st == VP_E_CONFLICT || (op->lost && st == VP_E_AUTH)) &&
            ask(f, LOOK, &err) >= 0)
            return;
        fail(f);
        return;
    case LOOK:
        looked(f, st);
        return;
    case LIST:
        listed(f, st);
        return;
    default:
        if (st == VP_E_CANCELED && f->abort && atomic_load(&f->stopping) && !op->limit_ms &&
            ask(f, ABORT, &err) >= 0)
            return; /* stopped while it took the parts away: once more, for a short time */
        if (f->st >= 0 && st < 0 && strcmp(op->code, "NoSuchUpload") != 0) {
            f->st = st;
            vpi_error_copy(&f->err, &op->err);
        }
        end(f, f->st);
    }
}

static vp_status complete(vpi_s3_finish *f, vp_error *err)
{
    snprintf(f->lines, sizeof(f->lines), "Content-Type: application/xml\n%s%s", f->headers,
             f->if_absent ? "If-None-Match: *\n" : "");
    VPI_TRY(upload_query(f, err));
    return ask(f, COMPLETE, err);
}

vp_status vpi_s3_finish_start(vpi_s3_finish *f, vp_error *err)
{
    bool done;
    vp_status st = VP_OK;

    pthread_mutex_lock(&f->upload->lock);
    done = f->upload->synced.complete;
    if (!done) st = list_synced(f, err);
    pthread_mutex_unlock(&f->upload->lock);
    VPI_TRY(st);
    if (done) {                         /* it is the object already: only looked at again */
        f->info.size = VP_SIZE_UNKNOWN; /* the token may be older than the last parts */
        f->st = vpi_fail(&f->err, VP_E_CONFLICT, NULL, "the object of the upload was replaced or removed");
        f->abort = false;
        return ask(f, LOOK, err);
    }
    return complete(f, err);
}

vp_status vpi_s3_finish_abort(vpi_s3_finish *f, vp_error *err)
{
    VPI_TRY(upload_query(f, err));
    return ask(f, ABORT, err);
}

void vpi_s3_finish_dispose(vpi_s3_finish *f)
{
    vpi_buf_dispose(&f->body);
    vpi_buf_dispose(&f->query);
    drop_page(f);
    vpi_s3_op_dispose(&f->op);
}
