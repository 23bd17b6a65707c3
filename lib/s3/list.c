/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Listings, and what is done to all that they name. */

#include <stdio.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include "tree.h"

#define PAGE_MAX ((size_t)16 << 20) /* 1,000 keys of 1,024 bytes, each as three */
#define SLACK_US 2000000            /* servers tell whole seconds */
#define BATCH 1000u                 /* keys of one DeleteObjects */

/* ---- pages ---- */

/* One entry of ListObjectsV2 or ListMultipartUploads. */
typedef struct entry {
    char *key;
    char upload[1024];
    uint64_t size;
    int64_t time_us;
} entry;

typedef vp_status (*entry_fn)(void *user, const entry *e, vp_error *err);

typedef struct page {
    bool uploads; /* which of the two */
    bool encoded, truncated;
    char *token, *upload_token; /* for the next page */
    int64_t server_us;          /* the server's clock, by the Date of this page */
    entry now;
    entry_fn fn;
    void *user;
} page;

int vpi_s3_hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Of encoding-type=url: percent signs, and '+' for a space as AWS writes it. */
static char *decode(const char *text, bool encoded)
{
    char *out = vpi_strdup(text), *to = out;

    if (!out || !encoded) return out;
    for (const char *p = text; *p; p++) {
        int a, b;

        if (*p == '+') {
            *to++ = ' ';
        } else if (*p == '%' && (a = vpi_s3_hex_digit(p[1])) >= 0 && (b = vpi_s3_hex_digit(p[2])) >= 0) {
            *to++ = (char)(a * 16 + b);
            p += 2;
        } else {
            *to++ = *p;
        }
    }
    *to = 0;
    return out;
}

static vp_status take(char **to, const char *text, bool encoded, vp_error *err)
{
    vpi_free(*to);
    *to = decode(text, encoded);
    return *to ? VP_OK : vpi_fail_nomem(err);
}

static vp_status on_entry(page *p, const char *field, const char *text, vp_error *err)
{
    vp_status st;

    if (!field) { /* its end */
        st = p->now.key ? p->fn(p->user, &p->now, err) : VP_OK;
        vpi_free(p->now.key);
        memset(&p->now, 0, sizeof(p->now));
        return st;
    }
    if (vpi_streq(field, "Key")) return take(&p->now.key, text, p->encoded, err);
    if (vpi_streq(field, "UploadId")) vpi_strlcpy(p->now.upload, text, sizeof(p->now.upload));
    if (vpi_streq(field, "Size")) p->now.size = strtoull(text, NULL, 10);
    if (vpi_streq(field, "LastModified") || vpi_streq(field, "Initiated"))
        p->now.time_us = vpi_s3_parse_time(text);
    return VP_OK;
}

static vp_status on_element(void *user, const char *path, const char *text, vp_error *err)
{
    page *p = user;
    const char *item = p->uploads ? "ListMultipartUploadsResult/Upload" : "ListBucketResult/Contents";
    const char *field = strchr(path, '/');
    size_t n = strlen(item);

    if (strncmp(path, item, n) == 0 && (path[n] == 0 || path[n] == '/'))
        return on_entry(p, path[n] ? path + n + 1 : NULL, text, err);
    if (!field) return VP_OK;
    field++;
    if (vpi_streq(field, "IsTruncated")) p->truncated = vpi_streq(text, "true");
    if (vpi_streq(field, "NextContinuationToken")) return take(&p->token, text, false, err);
    if (vpi_streq(field, "NextKeyMarker")) return take(&p->token, text, p->encoded, err);
    if (vpi_streq(field, "NextUploadIdMarker")) return take(&p->upload_token, text, false, err);
    return VP_OK;
}

/* Servers that do not know encoding-type do not say it back, and AWS says it after the keys: looked for first. */
static bool says_encoded(const vpi_buf *body)
{
    static const char word[] = "<EncodingType>url</EncodingType>";

    return body->size && memmem(body->data, body->size, word, sizeof(word) - 1) != NULL;
}

static void add_query(vpi_buf *query, const char *name, const char *value)
{
    vpi_buf_printf(query, "&%s=", name);
    vpi_s3_encode(query, value, false);
}

/* In the order that signatures want: by name. */
static vp_status page_query(const page *p, const char *prefix, vpi_buf *query, vp_error *err)
{
    vpi_buf_clear(query);
    if (!p->uploads && p->token) {
        vpi_buf_str(query, "continuation-token=");
        vpi_s3_encode(query, p->token, false);
        vpi_buf_u8(query, '&');
    }
    vpi_buf_str(query, "encoding-type=url");
    if (p->uploads && p->token) add_query(query, "key-marker", p->token);
    if (!p->uploads) vpi_buf_str(query, "&list-type=2");
    if (*prefix) add_query(query, "prefix", prefix);
    if (p->uploads && p->token && p->upload_token) add_query(query, "upload-id-marker", p->upload_token);
    if (p->uploads) vpi_buf_str(query, "&uploads=");
    vpi_buf_u8(query, 0);
    return vpi_buf_failed(query) ? vpi_fail_nomem(err) : VP_OK;
}

static void read_clock(const vpi_s3_op *op, page *p)
{
    char date[64];

    vpi_s3_header(op, "date", date, sizeof(date));
    p->server_us = date[0] ? vpi_s3_parse_time(date) : 0;
    if (!p->server_us) p->server_us = vpi_s3_time_us();
}

static vp_status list_all(vp_s3 *s3, const char *bucket, const char *prefix, page *p, vp_cancel *cancel,
                          vp_error *err)
{
    vpi_s3_op op = { .method = "GET", .bucket = bucket, .max_body = PAGE_MAX };
    const char *root_wanted = p->uploads ? "ListMultipartUploadsResult" : "ListBucketResult";
    vpi_buf query = { 0 };
    char root[64], *last = NULL, *last_upload = NULL;
    vp_status st;

    do {
        VPI_GO(page_query(p, prefix, &query, err));
        op.query = (const char *)query.data;
        op.flags = VPI_S3_MAYBE_ERROR;
        VPI_GO(vpi_s3_run(s3, &op, cancel, err));
        p->encoded = says_encoded(&op.call.answer.body);
        p->truncated = false;
        read_clock(&op, p);
        vpi_free(last);
        last = p->token;
        p->token = NULL;
        vpi_free(last_upload);
        last_upload = p->upload_token;
        p->upload_token = NULL;
        VPI_GO(vpi_s3_xml(op.call.answer.body.data, op.call.answer.body.size, on_element, p, root, err));
        if (st != VP_OK) goto done; /* the caller has seen enough */
        if (strcmp(root, root_wanted) != 0) {
            st = vpi_fail(err, VP_E_IO, "S3_ERROR", "the server answers a listing with <%s>", root);
            goto done;
        }
        if (p->truncated && (!p->token || (vpi_streq(p->token, last) &&
                                           (!p->uploads || vpi_streq(p->upload_token, last_upload))))) {
            st = vpi_fail(err, VP_E_IO, "S3_ERROR", "the server's listing does not go on");
            goto done;
        }
    } while (p->truncated && p->token);
    st = VP_OK;
done:
    vpi_free(last);
    vpi_free(last_upload);
    vpi_free(p->token);
    vpi_free(p->upload_token);
    vpi_free(p->now.key);
    vpi_buf_dispose(&query);
    vpi_s3_op_dispose(&op);
    return st;
}

/* ---- for the host ---- */

typedef struct listing {
    vp_list_fn fn;
    void *user;
} listing;

static vp_status give_entry(void *user, const entry *e, vp_error *err)
{
    const listing *l = user;
    vp_object_info info = VP_OBJECT_INFO_INIT;
    vp_status st;

    info.key = e->key;
    info.size = e->size;
    info.mtime_us = (uint64_t)VPI_MAX(e->time_us, 0);
    st = l->fn(l->user, &info);
    return st < 0 ? vpi_fail_host(err, st, "the listing's callback failed") : st;
}

vp_status vp_s3_list(vp_s3 *s3, const char *bucket, const char *prefix, vp_list_fn fn, void *user,
                     vp_cancel *cancel, vp_error *err)
{
    listing l = { fn, user };
    page p = { .fn = give_entry, .user = &l };
    vp_status st;

    vpi_error_reset(err);
    if (!s3 || !prefix || !fn) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    VPI_TRY(vpi_s3_bucket_check(bucket, NULL, err));
    VPI_TRY(vpi_s3_ready(s3, cancel, err));
    st = list_all(s3, bucket, prefix, &p, cancel, err);
    vpi_error_op(err, "s3.list");
    return st;
}

/* ---- deleting many ---- */

typedef struct batch {
    vp_s3 *s3;
    const char *bucket;
    vp_cancel *cancel;
    vpi_buf xml, keys; /* keys: each with its NUL, for servers without DeleteObjects */
    uint32_t count;
    uint64_t removed;
    uint64_t there[3]; /* by rank, as the first listing found them */
    int rank;          /* of what is taken away now */
    bool singly;
    char code[64], key[256];
} batch;

static vp_status on_delete_result(void *user, const char *path, const char *text, vp_error *err)
{
    batch *b = user;

    (void)err;
    if (vpi_streq(path, "DeleteResult/Error/Code") && !b->code[0])
        vpi_strlcpy(b->code, text, sizeof(b->code));
    if (vpi_streq(path, "DeleteResult/Error/Key") && !b->key[0]) vpi_strlcpy(b->key, text, sizeof(b->key));
    return VP_OK;
}

static vp_status delete_singly(batch *b, vp_error *err)
{
    const char *key = (const char *)b->keys.data, *end = key + b->keys.size;

    for (; key < end; key += strlen(key) + 1) VPI_TRY(vp_s3_delete(b->s3, b->bucket, key, b->cancel, err));
    return VP_OK;
}

/* Some stores do not know DeleteObjects, and say so in many ways; what is wrong with a request is so singly, too. */
static bool together_refused(const vpi_s3_op *op, vp_status st)
{
    int status = op->call.answer.status;

    return st == VP_E_IO && (status == 400 || status == 404 || status == 405 || status == 501) &&
           strcmp(op->code, "NoSuchBucket") != 0;
}

/* Content-MD5 is what every store takes for it; AWS wants it or another sum. */
static vp_status delete_together(batch *b, vp_error *err)
{
    vpi_s3_op op = { .method = "POST",
                     .bucket = b->bucket,
                     .query = "delete=",
                     .body = b->xml.data,
                     .body_size = b->xml.size,
                     .flags = VPI_S3_MAYBE_ERROR | VPI_S3_NO_SUMS };
    unsigned char md5[16];
    char text[32], headers[100], root[64];
    vp_status st;

    if (!EVP_Digest(b->xml.data, b->xml.size, md5, NULL, EVP_md5(), NULL))
        return vpi_fail(err, VP_E_INTERNAL, NULL, "MD5 is not to be had");
    vpi_s3_base64(md5, sizeof(md5), text);
    snprintf(headers, sizeof(headers), "Content-MD5: %s\nContent-Type: application/xml\n", text);
    op.headers = headers;
    VPI_GO(vpi_s3_run(b->s3, &op, b->cancel, err));
    b->code[0] = b->key[0] = 0;
    VPI_GO(vpi_s3_xml(op.call.answer.body.data, op.call.answer.body.size, on_delete_result, b, root, err));
    if (b->code[0] && vpi_s3_passing(b->code)) { /* of some keys; one by one each has tries of its own */
        st = delete_singly(b, err);
    } else if (b->code[0]) {
        vpi_error_key(err, b->key);
        st = vpi_fail(err, strcmp(b->code, "AccessDenied") == 0 ? VP_E_AUTH : VP_E_IO,
                      strcmp(b->code, "AccessDenied") == 0 ? "S3_ACCESS_DENIED" : "S3_ERROR",
                      "an object was not deleted: %s", b->code);
    }
done:
    if (together_refused(&op, st)) {
        vpi_error_reset(err);
        b->singly = true;
        st = delete_singly(b, err);
    }
    vpi_s3_op_dispose(&op);
    return st;
}

static vp_status flush_batch(batch *b, vp_error *err)
{
    vp_status st;

    if (!b->count) return VP_OK;
    vpi_buf_str(&b->xml, "</Delete>");
    if (vpi_buf_failed(&b->xml) || vpi_buf_failed(&b->keys)) return vpi_fail_nomem(err);
    st = b->singly ? delete_singly(b, err) : delete_together(b, err);
    if (st >= 0) b->removed += b->count;
    vpi_buf_clear(&b->xml);
    vpi_buf_clear(&b->keys);
    b->count = 0;
    return st;
}

static vp_status add_to_batch(void *user, const entry *e, vp_error *err)
{
    batch *b = user;

    int rank = vpi_tree_rank(e->key);

    if (b->rank == 2) b->there[rank]++;
    if (rank != b->rank) return VP_OK;
    if (!b->count)
        vpi_buf_str(&b->xml, "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet>");
    vpi_buf_str(&b->xml, "<Object><Key>");
    vpi_s3_xml_escape(&b->xml, e->key);
    vpi_buf_str(&b->xml, "</Key></Object>");
    vpi_buf_add(&b->keys, e->key, strlen(e->key) + 1);
    return ++b->count == BATCH ? flush_batch(b, err) : VP_OK;
}

vp_status vp_s3_delete_prefix(vp_s3 *s3, const char *bucket, const char *prefix, vp_cancel *cancel,
                              uint64_t *count, vp_error *err)
{
    batch b = { .s3 = s3, .bucket = bucket, .cancel = cancel };
    vp_status st = VP_OK;

    vpi_error_reset(err);
    if (count) *count = 0;
    if (!s3 || !prefix || !*prefix)
        return vpi_fail(err, VP_E_ARG, NULL, "prefix: a whole bucket is not emptied");
    VPI_TRY(vpi_s3_bucket_check(bucket, NULL, err));
    VPI_TRY(vpi_s3_ready(s3, cancel, err));
    for (b.rank = 2; st >= 0 && b.rank >= 0; b.rank--) {
        page p = { .fn = add_to_batch, .user = &b };

        if (b.rank < 2 && !b.there[b.rank]) continue;
        st = list_all(s3, bucket, prefix, &p, cancel, err);
        if (st >= 0) st = flush_batch(&b, err);
    }
    if (count) *count = b.removed;
    vpi_buf_dispose(&b.xml);
    vpi_buf_dispose(&b.keys);
    vpi_error_op(err, "s3.delete_prefix");
    return st;
}

/* ---- uploads that nobody ends (S20) ---- */

typedef struct sweep {
    vp_s3 *s3;
    const char *bucket;
    vp_cancel *cancel;
    const page *page;
    int64_t older_us;           /* begun so long ago */
    int64_t since_us, until_us; /* or between these by our clock, 0: whenever */
    const char *prefix;         /* what the listing could not be kept to; NULL: all of it */
    const char *key, *but;      /* of this key only, NULL: of all; this one stays */
    vpi_s3_keep_fn keep;        /* NULL: none */
    void *keep_user;
    uint64_t count;
} sweep;

static vp_status abort_stale(void *user, const entry *e, vp_error *err)
{
    sweep *s = user;
    int64_t ahead_us = s->page->server_us - vpi_s3_time_us(); /* of the server's clock */
    vpi_s3_op op = { .method = "DELETE", .bucket = s->bucket, .key = e->key };
    vpi_buf query = { 0 };
    bool kept = false;
    vp_status st;

    /* by the server's clock alone: ours may be hours off, and then what just began would seem old */
    if (!e->time_us || e->time_us > s->page->server_us - s->older_us) return VP_OK;
    if (s->since_us && e->time_us < s->since_us + ahead_us - SLACK_US) return VP_OK;
    if (s->until_us && e->time_us > s->until_us + ahead_us + SLACK_US) return VP_OK;
    if (s->prefix && strncmp(e->key, s->prefix, strlen(s->prefix)) != 0) return VP_OK;
    if (s->key && (strcmp(e->key, s->key) != 0 || vpi_streq(e->upload, s->but))) return VP_OK;
    if (s->keep) VPI_TRY(s->keep(s->keep_user, e->key, e->upload, &kept, err));
    if (kept) return VP_OK;
    vpi_buf_str(&query, "uploadId=");
    vpi_s3_encode(&query, e->upload, false);
    vpi_buf_u8(&query, 0);
    if (vpi_buf_failed(&query)) {
        st = vpi_fail_nomem(err);
        goto done;
    }
    op.query = (const char *)query.data;
    st = vpi_s3_run(s->s3, &op, s->cancel, err);
    if (st < 0 && strcmp(op.code, "NoSuchUpload") == 0) { /* somebody was quicker */
        vpi_error_reset(err);
        st = VP_OK;
    }
    if (st >= 0) s->count++;
done:
    vpi_buf_dispose(&query);
    vpi_s3_op_dispose(&op);
    return st;
}

/* Of all uploads below a prefix. */
static vp_status sweep_prefix(sweep *s, const char *prefix, int64_t older_than_s, vp_error *err)
{
    page p = { .uploads = true, .fn = abort_stale, .user = s };

    s->page = &p;
    s->older_us = older_than_s * 1000000;
    /* MinIO takes the prefix of this listing, and of no other, for a whole key. */
    if (s->s3->vendor == VP_S3_VENDOR_MINIO) s->prefix = prefix;
    return list_all(s->s3, s->bucket, s->prefix ? "" : prefix, &p, s->cancel, err);
}

vp_status vp_s3_sweep(vp_s3 *s3, const char *bucket, const char *prefix, int64_t older_than_s,
                      vp_cancel *cancel, uint64_t *count, vp_error *err)
{
    sweep s = { .s3 = s3, .bucket = bucket, .cancel = cancel };
    vp_status st;

    vpi_error_reset(err);
    if (count) *count = 0;
    if (!s3 || !prefix || older_than_s < 0 || older_than_s > INT32_MAX)
        return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL or out of range");
    VPI_TRY(vpi_s3_bucket_check(bucket, NULL, err));
    VPI_TRY(vpi_s3_ready(s3, cancel, err));
    st = sweep_prefix(&s, prefix, older_than_s, err);
    if (count) *count = s.count;
    vpi_error_op(err, "s3.sweep");
    return st;
}

vp_status vpi_s3_sweep_but(vp_s3 *s3, const char *bucket, const char *prefix, int64_t older_than_s,
                           vpi_s3_keep_fn keep, void *user, vp_cancel *cancel, vp_error *err)
{
    sweep s = { .s3 = s3, .bucket = bucket, .cancel = cancel, .keep = keep, .keep_user = user };

    VPI_TRY(vpi_s3_ready(s3, cancel, err)); /* whose server it is */
    return sweep_prefix(&s, prefix, older_than_s, err);
}

void vpi_s3_sweep_lost(vp_s3 *s3, const char *bucket, const char *key, const char *but, int64_t since_us,
                       int64_t until_us, vp_cancel *cancel)
{
    page p = { .uploads = true, .fn = abort_stale };
    sweep s = { .s3 = s3,
                .bucket = bucket,
                .cancel = cancel,
                .key = key,
                .but = but,
                .page = &p,
                .since_us = since_us,
                .until_us = until_us,
                .older_us = -SLACK_US };
    vp_error err = VP_ERROR_INIT;

    p.user = &s;
    if (list_all(s3, bucket, key, &p, cancel, &err) < 0)
        vpi_log(s3->context, VP_LOG_WARN, "s3", "uploads whose names were lost are not swept: %s",
                err.message);
}
