/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pieces of a body on their way into the upload; how fast they must come. */

#include "ingest/tus_int.h"

#define WINDOW_US INT64_C(30000000)
#define INTERIM_BYTES ((uint64_t)8 << 20) /* draft: bytes between two answers that tell the offset */

static int64_t now(const vp_tus_request *r)
{
    return r->tus->clock(r->tus->clock_user);
}

void vpi_tus_body_start(vp_tus_request *r)
{
    r->last_us = r->window_us = now(r);
    r->window_bytes = r->received = 0;
    r->told = r->at;
    r->next = VP_TUS_BODY;
    /* Here it may wait. */
    if (r->tus->pool && r->upload && r->flags & VP_TUS_HAS_BODY) vpi_tus_store_begin(r->upload);
}

/* ---- time ---- */

static uint64_t window_quota(const vp_tus_request *r)
{
    return r->tus->min_rate == UINT32_MAX ? 0 : (uint64_t)r->tus->min_rate * (WINDOW_US / 1000000);
}

/* Windows that are over and brought enough end. */
static void roll(vp_tus_request *r, int64_t t)
{
    if (t - r->window_us < WINDOW_US || r->window_bytes < window_quota(r)) return;
    r->window_us = t;
    r->window_bytes = 0;
}

/* Microseconds that are left; below zero: late. */
static int64_t left(vp_tus_request *r, int64_t t)
{
    int64_t by = r->last_us + (int64_t)r->tus->max_wait_ms * 1000;

    roll(r, t);
    if (window_quota(r)) {
        /* A window that has what it needs runs to its end, and then another one. */
        int64_t end = r->window_us + (r->window_bytes < window_quota(r) ? WINDOW_US : 2 * WINDOW_US);

        by = VPI_MIN(by, end);
    }
    return by - t;
}

int64_t vp_tus_due(vp_tus_request *r)
{
    int64_t rest;

    if (!r || r->state != VP_TUS_BODY) return -1;
    if (r->upload && vpi_tus_store_taken(r->upload)) {
        vpi_tus_refuse(r, 409, "a newer request has taken the upload");
        r->state = r->next;
        return 0;
    }
    rest = left(r, now(r));
    if (rest > 0) return (rest + 999) / 1000;
    /* Not 408: clients of tus take 4xx for final but for 409 and 423; after 5xx they ask for the offset and go on. */
    vpi_tus_refuse(r, 503, "the body came too slowly");
    r->state = r->next;
    return 0;
}

/* ---- bytes ---- */

/*
 * More bytes than the upload has. Sets next. True: the upload is to be removed. (A chunk under check is dropped when
 * the upload is closed: that may wait for the disk.)
 */
static bool too_long(vp_tus_request *r)
{
    if (!r->draft) {
        vpi_tus_refuse(r, 413, "the body is longer than the upload");
        return false;
    }
    /* The draft, Upload Append: an upload that exceeds its length is invalid, but not one that is complete. */
    vpi_draft_refuse_length(r);
    return r->upload != NULL;
}

/* So many of the piece's bytes are in the upload. Sets next. True: the upload is to be removed. */
static bool took(vp_tus_request *r, uint64_t size, bool longer)
{
    r->next = VP_TUS_BODY;
    r->at += size;
    if (longer) return too_long(r);
    if (r->draft && r->interop && r->at - r->told >= INTERIM_BYTES) vpi_draft_interim_offset(r);
    return false;
}

static void note_bytes(vp_tus_request *r, uint64_t size)
{
    int64_t t = now(r);

    roll(r, t);
    r->last_us = t;
    r->window_bytes += size;
    r->received += size;
}

/* On an event loop only where that waits for no disk: else VP_AGAIN. */
static vp_status append(vp_tus_request *r, const void *data, size_t size, vp_error *err)
{
    return r->tus->pool ? vpi_tus_store_append_now(r->upload, r->at, data, size, err)
                        : vp_upload_append(r->upload, r->at, data, size, err);
}

static void work_append(vp_tus_request *r)
{
    vp_error err = VP_ERROR_INIT;
    int64_t began = now(r);
    vp_status st = vp_upload_append(r->upload, r->at, r->piece.data, r->piece.size, &err);
    int64_t waited = now(r) - began;

    vpi_free(r->piece.data);
    r->piece.data = NULL;
    /* It was not the client that was slow. */
    r->last_us += waited;
    r->window_us += waited;
    if (st < 0)
        vpi_tus_refuse_status(r, st, &err);
    else if (took(r, r->piece.size, r->piece.longer))
        vpi_tus_work_remove(r);
}

/* The piece is the host's: of what has to wait the request takes a copy. */
static vp_status set_aside(vp_tus_request *r, const void *data, size_t size, bool longer)
{
    r->piece.data = vpi_alloc(size);
    if (!r->piece.data) {
        vpi_tus_refuse(r, 503, "out of memory");
        r->state = r->next;
        return VP_OK;
    }
    memcpy(r->piece.data, data, size);
    r->piece.size = size;
    r->piece.longer = longer;
    vpi_tus_run(r, work_append);
    return VP_OK;
}

vp_status vp_tus_body(vp_tus_request *r, const void *data, uint64_t size, vp_error *err)
{
    vp_error why = VP_ERROR_INIT;
    uint64_t room, taken;
    vp_status st = VP_OK;

    vpi_error_reset(err);
    if (!r || (size && !data))
        return vpi_fail(err, VP_E_ARG, NULL, "vp_tus_body: request and data are needed");
    if (r->state == VP_TUS_ANSWER || (r->state == VP_TUS_BODY && size == 0)) return VP_OK;
    if (r->state != VP_TUS_BODY) return vpi_fail(err, VP_E_STATE, NULL, "vp_tus_body: no body is wanted now");
    if (r->untyped) {
        vpi_tus_refuse(r, 415, "the content type must be " VPI_TUS_BODY_TYPE);
        r->state = r->next;
        return VP_OK;
    }
    note_bytes(r, size);
    room = (r->length == VP_SIZE_UNKNOWN ? r->limit : VPI_MIN(r->length, r->limit));
    room = r->upload ? room - VPI_MIN(room, r->at) : 0;
    taken = VPI_MIN(size, room);
    if (r->sums && !vpi_tus_sums_add(r->sums, data, (size_t)taken)) {
        vpi_tus_refuse(r, 500, "the checksum could not be computed");
        r->state = r->next;
        return VP_OK;
    }
    if (taken) st = append(r, data, (size_t)taken, &why);
    if (st == VP_AGAIN) return set_aside(r, data, (size_t)taken, taken < size);
    if (st < 0) {
        vpi_tus_refuse_status(r, st, &why);
    } else if (took(r, taken, taken < size)) {
        vpi_tus_run(r, vpi_tus_work_remove);
        return VP_OK;
    }
    r->state = r->next;
    return VP_OK;
}

/* The checksum behind the body; false: refused. */
static bool read_trailer(vp_tus_request *r, const char *lines, vp_error *err, vp_status *st)
{
    vpi_tus_fields f = { 0 };
    int refusal = vpi_tus_fields_read(&f, lines);
    const char *value, *why = NULL;

    *st = VP_OK;
    if (refusal == VPI_TUS_NOMEM) {
        *st = vpi_fail_nomem(err);
        return false;
    }
    value = vpi_tus_field_get(&f, "Upload-Checksum");
    if (refusal) {
        why = "a trailer is malformed";
    } else if (r->trailer && !value) {
        why = "the checksum that was announced did not come";
    } else if (!r->trailer && value && !r->sum.algorithm && r->upload) {
        why = "a checksum in a trailer must be announced by the header Trailer";
    } else if (r->trailer && vpi_tus_sum_read(value, &r->sum)) {
        why = "the checksum or its algorithm is not supported";
    }
    vpi_tus_fields_dispose(&f);
    if (!why) return true;
    vpi_tus_refuse(r, 400, why);
    r->state = r->next;
    return false;
}

vp_status vp_tus_end(vp_tus_request *r, const char *trailers, vp_error *err)
{
    vp_status st;

    vpi_error_reset(err);
    if (!r) return vpi_fail(err, VP_E_ARG, NULL, "vp_tus_end: no request");
    if (r->state == VP_TUS_ANSWER) return VP_OK;
    if (r->state != VP_TUS_BODY) return vpi_fail(err, VP_E_STATE, NULL, "vp_tus_end: no body is wanted now");
    if (!read_trailer(r, trailers, err, &st)) return st;
    vpi_tus_run(r, vpi_tus_work_end);
    return VP_OK;
}
