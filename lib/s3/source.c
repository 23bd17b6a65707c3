/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An object as a source: signed ranges of what was there first, by its ETag. */

#include <inttypes.h>
#include <stdio.h>

#include "client.h"
#include "http/ranged.h"

typedef struct s3_source {
    vp_s3 *s3;
    char *bucket, *key;
} s3_source;

typedef struct own_fetch {
    vpi_s3_op op;
    vpi_fetch *fetch;
    char headers[256];
} own_fetch;

static void land(own_fetch *f, vp_status st, uint64_t total, const char *identity, size_t got)
{
    vpi_fetch_done(f->fetch, st, total, identity, got, &f->op.err);
}

static void fail(own_fetch *f, vp_status st)
{
    vpi_error_key(&f->op.err, f->op.key);
    land(f, st, VP_SIZE_UNKNOWN, "", 0);
}

static void identify(const vpi_s3_op *op, uint64_t total, char identity[VPI_RANGED_IDENTITY])
{
    char modified[64];

    vpi_s3_header(op, "etag", identity, VPI_RANGED_IDENTITY);
    if (identity[0]) return;
    vpi_s3_header(op, "last-modified", modified, sizeof(modified));
    snprintf(identity, VPI_RANGED_IDENTITY, "%s %" PRIu64, modified, total);
}

static void on_fetched(vpi_s3_op *op, vp_status st)
{
    own_fetch *f = op->user;
    char identity[VPI_RANGED_IDENTITY];
    int status = op->call.answer.status;
    uint64_t first, last, total;
    vp_s3_info info;

    if (st == VP_END) {
        fail(f, vpi_fail(&op->err, VP_E_IO, "NOT_FOUND", "there is no such object"));
    } else if (st < 0 && status == 416 && !f->fetch->offset) { /* no byte at all */
        land(f, VP_OK, 0, "empty", 0);
    } else if (st == VP_E_CONFLICT) { /* If-Match */
        vp_error_init(&op->err);
        fail(f, vpi_fail(&op->err, VP_E_CONFLICT, "SOURCE_CHANGED",
                         "the object was replaced while it was read"));
    } else if (st < 0) {
        fail(f, st);
    } else if (f->fetch->probe) {
        vpi_s3_info_read(op, &info);
        identify(op, info.size, identity);
        land(f, VP_OK, info.size, info.size ? identity : "empty", 0);
    } else {
        if (status == 200 || !vpi_http_content_range(&op->call.answer, &first, &last, &total))
            total = op->call.to_size;
        identify(op, total, identity);
        land(f, VP_OK, total, identity, op->call.to_size);
    }
}

static vp_status source_start(void *user, vpi_fetch *range, vp_error *err)
{
    s3_source *s = user;
    own_fetch *f = range->own;
    uint64_t last = range->offset + range->size - 1;
    int n = snprintf(f->headers, sizeof(f->headers), "Range: bytes=%" PRIu64 "-%" PRIu64 "\n", range->offset,
                     last);

    if (range->identity[0] == '"')
        snprintf(f->headers + n, sizeof(f->headers) - (size_t)n, "If-Match: %s\n", range->identity);
    VPI_TRY(vpi_s3_ready(s->s3, NULL, err)); /* the first time it may read what the environment says */
    vpi_s3_op_reset(s->s3, &f->op);
    f->fetch = range;
    f->op.method = range->probe ? "HEAD" : "GET";
    f->op.bucket = s->bucket;
    f->op.key = s->key;
    if (!range->probe) {
        f->op.headers = f->headers;
        f->op.flags = VPI_S3_RANGED;
        f->op.first = range->offset;
        f->op.to = range->to;
        f->op.to_capacity = range->size;
    }
    f->op.done = on_fetched;
    f->op.user = f;
    return vpi_s3_start(s->s3, &f->op, err);
}

static void source_stop(void *user, vpi_fetch *range)
{
    s3_source *s = user;
    own_fetch *f = range->own;

    vpi_s3_stop(s->s3, &f->op);
}

static void source_dispose(void *user, void *own)
{
    own_fetch *f = own;

    (void)user;
    vpi_s3_op_dispose(&f->op);
}

static void source_release(void *user)
{
    s3_source *s = user;

    vpi_free(s->bucket);
    vpi_free(s->key);
    vp_s3_unref(s->s3);
    vpi_free(s);
}

vp_status vp_source_s3(vp_s3 *s3, const char *bucket, const char *key, vp_source **out, vp_error *err)
{
    static const vpi_ranged_ops ops = { sizeof(own_fetch), source_start, source_stop, source_dispose,
                                        source_release };
    s3_source *s;
    vp_status st;

    vpi_error_reset(err);
    if (!s3 || !key || !out) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    *out = NULL;
    VPI_TRY(vpi_s3_bucket_check(bucket, key, err));
    VPI_TRY(vpi_context_check(s3->context, err));
    s = vpi_calloc(1, sizeof(*s));
    if (!s) return vpi_fail_nomem(err);
    s->s3 = vp_s3_ref(s3);
    s->bucket = vpi_strdup(bucket);
    s->key = vpi_strdup(key);
    st = s->bucket && s->key ? vpi_ranged_source(s3->context, &ops, s, out, err) : vpi_fail_nomem(err);
    if (st < 0) source_release(s);
    return st;
}
