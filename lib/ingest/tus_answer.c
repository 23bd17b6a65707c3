/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Building answers: headers that all have, CORS, refusals. */

#include <stdarg.h>
#include <stdio.h>

#include "ingest/tus_int.h"

void vpi_tus_header(vp_tus_request *r, const char *name, const char *format, ...)
{
    va_list args, again;
    int size;
    uint8_t *to;

    vpi_buf_add(&r->headers, name, strlen(name) + 1);
    va_start(args, format);
    va_copy(again, args);
    size = vsnprintf(NULL, 0, format, args);
    to = size < 0 ? NULL : vpi_buf_space(&r->headers, (size_t)size + 1);
    if (to) vsnprintf((char *)to, (size_t)size + 1, format, again);
    va_end(again);
    va_end(args);
    r->header_count++;
}

void vpi_tus_answer(vp_tus_request *r, int32_t status)
{
    r->status = status;
    vpi_buf_clear(&r->headers);
    vpi_buf_clear(&r->text);
    r->header_count = 0;
    r->source = vp_source_unref(r->source);
    if (!r->draft) vpi_tus_header(r, "Tus-Resumable", "1.0.0");
    /* Bytes that do not change may be kept by whoever was allowed to read them, but not given out without asking. */
    vpi_tus_header(r, "Cache-Control", "%s",
                   r->operation == VP_TUS_GET && status < 400 ? "private, no-cache" : "no-store");
    vpi_tus_cors(r, false);
}

static bool has_header(const vp_tus_request *r, const char *name)
{
    const char *p = (const char *)r->headers.data;

    for (uint32_t i = 0; !vpi_buf_failed(&r->headers) && i < r->header_count; i++) {
        if (vpi_tus_same(p, name)) return true;
        p += strlen(p) + 1;
        p += strlen(p) + 1;
    }
    return false;
}

void vpi_tus_answer_done(vp_tus_request *r)
{
    bool bodiless = r->status == 204 || r->status == 304;
    uint64_t size;

    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < r->host[k].count; i++)
            vpi_tus_header(r, r->host[k].field[i].name, "%s", r->host[k].field[i].value);
    if (r->operation == VP_TUS_HEAD) vpi_buf_clear(&r->text);
    if (bodiless) vpi_buf_clear(&r->text);
    size = r->source ? r->source_size : r->text.size;
    if (r->text.size && !has_header(r, "Content-Type"))
        vpi_tus_header(r, "Content-Type", "text/plain; charset=utf-8");
    if (r->text.size) vpi_tus_header(r, "X-Content-Type-Options", "nosniff");
    /* RFC 9110 8.6: none in 204, and in answers to HEAD only what GET would have. Who frames goes by the line. */
    if (!bodiless && !(r->head && r->operation == VP_TUS_HEAD))
        vpi_tus_header(r, "Content-Length", "%llu", (unsigned long long)size);
    if (r->head) {
        vpi_buf_clear(&r->text);
        r->source = vp_source_unref(r->source);
    }
    if (vpi_buf_failed(&r->headers) || vpi_buf_failed(&r->text)) {
        /* No memory even for the answer: its status is all there is. */
        vpi_buf_dispose(&r->headers);
        vpi_buf_dispose(&r->text);
        r->source = vp_source_unref(r->source);
        r->header_count = 0;
        r->status = 503;
    }
    r->next = VP_TUS_ANSWER;
}

void vpi_tus_refuse(vp_tus_request *r, int32_t status, const char *text)
{
    /* Whoever has taken the upload knows the url. */
    r->lost = r->operation == VP_TUS_CREATE && !r->url_told && !r->extra.id && status != 409;
    vpi_tus_answer(r, status);
    if (status == 405)
        vpi_tus_header(r, "Allow", "POST, %sHEAD, %sPATCH, %sOPTIONS", r->draft ? "PUT, " : "",
                       !r->draft && (r->tus->flags & VP_TUSF_NO_GET) ? "" : "GET, ",
                       r->tus->flags & VP_TUSF_NO_DELETE ? "" : "DELETE, ");
    if (status == 423 || status == 503) vpi_tus_header(r, "Retry-After", "2");
    if (r->draft && status == 413) vpi_draft_limits(r);
    if (!r->draft && r->operation == VP_TUS_PATCH) vpi_tus_expires(r); /* tus, Expiration: in every answer */
    vpi_buf_printf(&r->text, "%s\n", text);
    vpi_tus_answer_done(r);
}

/* ---- failures of the store ---- */

typedef struct row {
    const char *reason;
    int32_t status;
    const char *text;
} row;

/* Nothing of the library's own messages: they may name files and servers. */
static const row by_reason[] = {
    { "UPLOAD_UNKNOWN", 404, "not found" },
    { "UPLOAD_EXPIRED", 410, "the upload has expired" },
    { "OFFSET_MISMATCH", 409, "the offset is another one" },
    { "TAKEN_OVER", 409, "a newer request has taken the upload" },
    { "ALREADY_RUNNING", 423, "another request is writing" },
    { "ALREADY_EXISTS", 409, "the upload exists already" },
    { "LENGTH_MISMATCH", 400, "the length is another one" },
    { "UPLOAD_TOO_LARGE", 413, "the upload is too large" },
    { "CHECKSUM_MISMATCH", 460, "the checksum is another one" },
    { "QUOTA_EXCEEDED", 507, "there is no room for the upload" },
    { "DISK_FULL", 507, "there is no room for the upload" },
    { "TIMEOUT", 503, "the storage does not answer" },
    { "FEATURE_DISABLED", 501, "not supported" },
};

static const struct {
    vp_status status;
    row answer;
} by_status[] = {
    { VP_END, { NULL, 404, "not found" } },
    { VP_E_NOMEM, { NULL, 503, "out of memory" } },
    { VP_E_STATE, { NULL, 503, "the server is going down" } },
    { VP_E_UNSUPPORTED, { NULL, 400, "not supported" } },
    { VP_E_LIMIT, { NULL, 503, "the server is busy" } },
    { VP_E_CONFLICT, { NULL, 409, "the upload is being changed" } },
    { VP_E_CANCELED, { NULL, 503, "the server is going down" } },
};

void vpi_tus_refuse_status(vp_tus_request *r, vp_status st, const vp_error *err)
{
    for (size_t i = 0; i < VPI_COUNT(by_reason); i++) {
        if (strcmp(by_reason[i].reason, err->reason) != 0) continue;
        vpi_tus_refuse(r, by_reason[i].status, by_reason[i].text);
        return;
    }
    for (size_t i = 0; i < VPI_COUNT(by_status); i++) {
        if (by_status[i].status != st) continue;
        vpi_tus_refuse(r, by_status[i].answer.status, by_status[i].answer.text);
        return;
    }
    if (err->flags & VP_ERRF_RETRYABLE) {
        vpi_tus_refuse(r, 503, "the storage failed for now");
    } else {
        vpi_tus_refuse(r, 500, "the storage failed");
    }
}

/* ---- CORS ---- */

#define REQUEST_HEADERS                                                                                      \
    "Content-Digest, Content-Disposition, Content-Type, Repr-Digest, Tus-Resumable, Upload-Checksum, "       \
    "Upload-Complete, Upload-Concat, Upload-Defer-Length, Upload-Draft-Interop-Version, Upload-Length, "     \
    "Upload-Metadata, Upload-Offset, X-HTTP-Method-Override, X-Requested-With, X-Request-ID"
#define ANSWER_HEADERS                                                                                       \
    "Location, Retry-After, Tus-Checksum-Algorithm, Tus-Extension, Tus-Max-Size, Tus-Resumable, "            \
    "Tus-Version, "                                                                                          \
    "Upload-Complete, Upload-Concat, Upload-Defer-Length, Upload-Expires, Upload-Length, Upload-Limit, "     \
    "Upload-Metadata, Upload-Offset"

/* origin is one of the blank-separated list. */
static bool allowed(const char *list, const char *origin)
{
    size_t n = strlen(origin);

    while (*list) {
        size_t k = strcspn(list, " ");

        if (k == n && k && memcmp(list, origin, n) == 0) return true;
        list += k;
        while (*list == ' ') list++;
    }
    return false;
}

void vpi_tus_cors(vp_tus_request *r, bool preflight)
{
    const vp_tus *t = r->tus;
    const char *origin = vpi_tus_field_get(&r->fields, "Origin");
    bool any = t->origins && strcmp(t->origins, "*") == 0;

    if (!t->origins) return;
    if (!any && !preflight) vpi_tus_header(r, "Vary", "Origin");
    if (!origin || (!any && !allowed(t->origins, origin))) return;
    if (!preflight) {
        vpi_tus_header(r, "Access-Control-Allow-Origin", "%s", any ? "*" : origin);
        if (t->flags & VP_TUSF_CREDENTIALS) vpi_tus_header(r, "Access-Control-Allow-Credentials", "true");
        if (r->operation != VP_TUS_OPTIONS)
            vpi_tus_header(r, "Access-Control-Expose-Headers", ANSWER_HEADERS);
        return;
    }
    if (!vpi_tus_field_get(&r->fields, "Access-Control-Request-Method")) return;
    vpi_tus_header(r, "Access-Control-Allow-Methods", "POST, HEAD, PATCH, OPTIONS%s%s%s",
                   t->flags & VP_TUSF_NO_GET ? "" : ", GET", t->flags & VP_TUSF_NO_DELETE ? "" : ", DELETE",
                   r->draft || (t->flags & VP_TUSF_DRAFT) ? ", PUT" : "");
    vpi_tus_header(r, "Access-Control-Allow-Headers", REQUEST_HEADERS "%s%s", t->allow_headers ? ", " : "",
                   t->allow_headers ? t->allow_headers : "");
    vpi_tus_header(r, "Access-Control-Max-Age", "86400");
}
