/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A lease as an object: {"vodpipe_lease":1,"owner":"...","fence":7,"serial":12,"held":true}. When it was written the
 * server says itself (Last-Modified), and what time it is now (Date): no clock of ours takes part.
 */

#include <jansson.h>

#include "store.h"

#define ROOM 4096
#define NUMBER_MAX (INT64_MAX - 1)

/* ---- requests ---- */

static vp_status run(vpi_s3_store *s, vpi_s3_op *op, vp_cancel *cancel, vp_error *err)
{
    VPI_TRY(vpi_s3_bucket_check(s->bucket, op->key, err));
    VPI_TRY(vpi_s3_ready(s->s3, cancel, err));
    op->bucket = s->bucket;
    op->max_body = ROOM;
    op->flags |= VPI_S3_URGENT;
    return vpi_s3_run(s->s3, op, cancel, err);
}

/* ---- reading ---- */

static vp_status no_lease(const char *key, vp_error *err)
{
    vpi_error_key(err, key);
    return vpi_fail(err, VP_E_IO, "S3_ERROR", "the object in a lease's place is none");
}

static bool number(const json_t *root, const char *name, uint64_t *out)
{
    const json_t *n = json_object_get(root, name);
    json_int_t v = json_is_integer(n) ? json_integer_value(n) : -1;

    *out = (uint64_t)v;
    return v >= 0 && v <= NUMBER_MAX;
}

/* Strictly: a fence that is misread would fall. */
static bool parse(const vpi_buf *body, vpi_s3_lease_state *out)
{
    json_t *root = json_loadb((const char *)body->data, body->size, JSON_REJECT_DUPLICATES, NULL);
    const json_t *held = json_object_get(root, "held"), *owner = json_object_get(root, "owner");
    uint64_t version;
    bool good = number(root, "vodpipe_lease", &version) && version == 1 &&
                number(root, "fence", &out->fence) && number(root, "serial", &out->serial) &&
                json_is_boolean(held) && json_string_length(owner) == VPI_S3_MARKER - 1;

    if (good) {
        out->held = json_is_true(held);
        vpi_strlcpy(out->owner, json_string_value(owner), sizeof(out->owner));
    }
    json_decref(root);
    return good;
}

static vp_status read_headers(const vpi_s3_op *op, vpi_s3_lease_state *out, vp_error *err)
{
    char text[64];
    int64_t now, then;

    vpi_s3_header(op, "etag", out->etag, sizeof(out->etag));
    vpi_s3_header(op, "date", text, sizeof(text));
    now = vpi_s3_parse_time(text);
    vpi_s3_header(op, "last-modified", text, sizeof(text));
    then = vpi_s3_parse_time(text);
    out->age_s = (now - then) / 1000000;
    if (now && then && out->etag[0]) return VP_OK;
    vpi_error_key(err, op->key);
    return vpi_fail(err, VP_E_IO, "S3_ERROR",
                    "the server gives no Date, Last-Modified or ETag: no lease can live by it");
}

static vp_status look(vpi_s3_store *s, const char *method, const char *key, vp_cancel *cancel,
                      vpi_s3_lease_state *out, vp_error *err)
{
    vpi_s3_op op = { .method = method, .key = key };
    vp_status st;

    memset(out, 0, sizeof(*out));
    st = run(s, &op, cancel, err);
    if (st == VP_OK) st = read_headers(&op, out, err);
    if (st == VP_OK && method[0] == 'G' && !parse(&op.call.answer.body, out)) st = no_lease(key, err);
    vpi_s3_op_dispose(&op);
    return st;
}

vp_status vpi_s3_lease_get(vpi_s3_store *s, const char *key, vp_cancel *cancel, vpi_s3_lease_state *out,
                           vp_error *err)
{
    return look(s, "GET", key, cancel, out, err);
}

vp_status vpi_s3_lease_head(vpi_s3_store *s, const char *key, vp_cancel *cancel, vpi_s3_lease_state *out,
                            vp_error *err)
{
    return look(s, "HEAD", key, cancel, out, err);
}

static size_t bare(const char **etag)
{
    size_t n;

    if (strncmp(*etag, "W/", 2) == 0) *etag += 2;
    n = strlen(*etag);
    if (n < 2 || (*etag)[0] != '"' || (*etag)[n - 1] != '"') return n;
    ++*etag;
    return n - 2;
}

bool vpi_s3_same_etag(const char *a, const char *b)
{
    size_t n = bare(&a), m = bare(&b);

    return n > 0 && n == m && memcmp(a, b, n) == 0;
}

/* ---- writing ---- */

static vp_status refused(const vpi_s3_op *op, vp_status st, vp_error *err)
{
    if (st != VP_E_IO || op->call.answer.status != 501) return st;
    vp_error_init(err);
    vpi_error_key(err, op->key);
    return vpi_fail(
        err, VP_E_UNSUPPORTED, NULL,
        "the server does not know If-Match and If-None-Match for writing: no leases in its buckets");
}

vp_status vpi_s3_lease_put(vpi_s3_store *s, const char *key, vpi_s3_lease_state *state, vp_cancel *cancel,
                           vp_error *err)
{
    vpi_s3_op op = { .method = "PUT", .key = key };
    char *body = vpi_asprintf(
        "{\"vodpipe_lease\":1,\"owner\":\"%s\",\"fence\":%llu,\"serial\":%llu,\"held\":%s}\n", state->owner,
        (unsigned long long)state->fence, (unsigned long long)state->serial, state->held ? "true" : "false");
    char *headers =
        vpi_asprintf("Content-Type: application/json\n%s: %s\n",
                     state->etag[0] ? "If-Match" : "If-None-Match", state->etag[0] ? state->etag : "*");
    vp_error mine = VP_ERROR_INIT;
    vp_status st = VP_OK;

    if (!body || !headers) st = vpi_fail_nomem(&mine);
    if (st >= 0) {
        op.body = body;
        op.body_size = strlen(body);
        op.headers = headers;
        st = refused(&op, run(s, &op, cancel, &mine), &mine);
    }
    if (st == VP_OK) {
        vpi_s3_header(&op, "etag", state->etag, sizeof(state->etag));
        if (!state->etag[0])
            st = vpi_fail(&mine, VP_E_IO, "S3_ERROR", "the server takes an object without an ETag");
    }
    if (st < 0) vpi_error_copy(err, &mine);
    vpi_s3_op_dispose(&op);
    vpi_free(headers);
    vpi_free(body);
    return st;
}
