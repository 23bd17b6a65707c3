/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Policies of forms that upload ("Authenticating Requests: Browser-Based Uploads Using POST", "POST Policy"): each
 * field of the form but file, policy and x-amz-signature needs a condition, and so does the bucket; the signature is
 * over the policy in base64.
 */

#include <strings.h>

#include <openssl/evp.h>

#include "sign.h"

#define FILENAME "${filename}"
#define KEY_MAX 1024u
#define SIZE_MAX_POST ((uint64_t)5 << 30) /* S04 */

/* ---- JSON ---- */

static void put_json(vpi_buf *out, const char *text, size_t size)
{
    vpi_buf_u8(out, '"');
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '"' || text[i] == '\\') vpi_buf_u8(out, '\\');
        vpi_buf_u8(out, (unsigned char)text[i]); /* control bytes were refused */
    }
    vpi_buf_u8(out, '"');
}

/* Bytes of the sequence at p (RFC 3629 4), 0 for none. */
static size_t sequence(const unsigned char *p)
{
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    size_t n = p[0] < 0x80 ? 1 : p[0] >> 5 == 6 ? 2 : p[0] >> 4 == 14 ? 3 : p[0] >> 3 == 30 ? 4 : 0;
    uint32_t c = n > 1 ? p[0] & (0x7Fu >> n) : 0;

    if (n <= 1) return n;
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xC0) != 0x80) return 0;
        c = c << 6 | (p[i] & 0x3F);
    }
    return c < least[n] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000) ? 0 : n;
}

/* Text of one line that JSON can hold. */
static bool plain(const char *text, size_t size)
{
    const unsigned char *p = (const unsigned char *)text;

    for (size_t i = 0, n; i < size; i += n) {
        n = sequence(p + i);
        if (!n || n > size - i || (n == 1 && (p[i] < 0x20 || p[i] == 0x7F))) return false;
    }
    return true;
}

/* ---- what there is of a form ---- */

typedef struct form {
    vpi_buf conditions, fields; /* JSON, without brackets */
} form;

static void put_pair(vpi_buf *out, const char *name, size_t name_size, const char *value, size_t value_size)
{
    put_json(out, name, name_size);
    vpi_buf_u8(out, ':');
    put_json(out, value, value_size);
}

/* A field that the form has with this value and no other. */
static void add_exact(form *f, const char *name, size_t name_size, const char *value, size_t value_size)
{
    if (f->conditions.size) vpi_buf_u8(&f->conditions, ',');
    vpi_buf_u8(&f->conditions, '{');
    put_pair(&f->conditions, name, name_size, value, value_size);
    vpi_buf_u8(&f->conditions, '}');
    if (f->fields.size) vpi_buf_u8(&f->fields, ',');
    put_pair(&f->fields, name, name_size, value, value_size);
}

static void add(form *f, const char *name, const char *value)
{
    add_exact(f, name, strlen(name), value, strlen(value));
}

static void add_prefix(form *f, const char *variable, const char *prefix, size_t size)
{
    if (f->conditions.size) vpi_buf_u8(&f->conditions, ',');
    vpi_buf_printf(&f->conditions, "[\"starts-with\",\"%s\",", variable);
    put_json(&f->conditions, prefix, size);
    vpi_buf_u8(&f->conditions, ']');
}

static vp_status add_key(form *f, const char *key, vp_error *err)
{
    size_t n = key ? strlen(key) : 0;
    const char *name = n ? strstr(key, FILENAME) : NULL;

    if (!n || n > KEY_MAX || !plain(key, n))
        return vpi_fail(err, VP_E_ARG, NULL, "key: is missing, over 1024 bytes or no UTF-8 text of one line");
    if (!name) {
        add(f, "key", key);
        return VP_OK;
    }
    if (name[strlen(FILENAME)]) return vpi_fail(err, VP_E_ARG, NULL, "key: " FILENAME " can only be its end");
    add_prefix(f, "$key", key, (size_t)(name - key));
    put_pair(&f->fields, "key", 3, key, n); /* the first of them */
    return VP_OK;
}

static vp_status add_type(form *f, const char *type, vp_error *err)
{
    size_t n = type ? strlen(type) : 0;

    if (!plain(type ? type : "", n))
        return vpi_fail(err, VP_E_ARG, NULL, "content_type: no text of one line");
    if (!n || type[n - 1] == '/') {
        add_prefix(f, "$Content-Type", type ? type : "", n);
    } else {
        add(f, "Content-Type", type);
    }
    return VP_OK;
}

/* Names that have a place of their own; names of fields know no case. */
static bool own(const char *name, size_t size)
{
    static const char *const names[] = { "key",
                                         "bucket",
                                         "content-type",
                                         "file",
                                         "policy",
                                         "x-amz-algorithm",
                                         "x-amz-credential",
                                         "x-amz-date",
                                         "x-amz-security-token",
                                         "x-amz-signature",
                                         "content-length-range" };

    for (size_t i = 0; i < VPI_COUNT(names); i++)
        if (strlen(names[i]) == size && strncasecmp(names[i], name, size) == 0) return true;
    return false;
}

static vp_status add_fields(form *f, const char *lines, vp_error *err)
{
    while (lines && *lines) {
        size_t size = strcspn(lines, "\n"), end = size;
        const char *colon = memchr(lines, ':', size), *value;
        size_t name = colon ? (size_t)(colon - lines) : 0;

        if (end && lines[end - 1] == '\r') end--;
        if (end) {
            if (!vpi_s3_token(lines, name))
                return vpi_fail(err, VP_E_ARG, NULL, "fields: not lines of \"name: value\"");
            if (own(lines, name)) {
                return vpi_fail(err, VP_E_ARG, NULL, "fields: %.*s has another place", (int)name, lines);
            }
            value = colon + 1;
            while (value < lines + end && (*value == ' ' || *value == '\t')) value++;
            while (end > (size_t)(value - lines) && (lines[end - 1] == ' ' || lines[end - 1] == '\t')) end--;
            if (!plain(value, (size_t)(lines + end - value)))
                return vpi_fail(err, VP_E_ARG, NULL, "fields: a value is no UTF-8 text");
            add_exact(f, lines, name, value, (size_t)(lines + end - value));
        }
        lines += size + (lines[size] == '\n');
    }
    return VP_OK;
}

/* ---- policy ---- */

static vp_status add_bucket(form *f, const vp_s3_post *p, vp_error *err)
{
    vpi_s3_url url;
    size_t n = p->bucket ? strlen(p->bucket) : 0;

    VPI_TRY(vpi_s3_url_split(p->url, &url, err));
    if (url.has_query) return vpi_fail(err, VP_E_ARG, NULL, "url: a form's address has no query");
    if (!n || n > 255 || !plain(p->bucket, n))
        return vpi_fail(err, VP_E_ARG, NULL, "bucket: is missing, or no name of a bucket");
    vpi_buf_str(&f->conditions, "{\"bucket\":");
    put_json(&f->conditions, p->bucket, n);
    vpi_buf_u8(&f->conditions, '}');
    return VP_OK;
}

static vp_status add_sizes(form *f, const vp_s3_post *p, vp_error *err)
{
    uint64_t max = p->max_size ? p->max_size : SIZE_MAX_POST;

    if (p->min_size > max) return vpi_fail(err, VP_E_ARG, NULL, "min_size: over max_size");
    if (p->min_size || p->max_size) {
        vpi_buf_printf(&f->conditions, ",[\"content-length-range\",%llu,%llu]",
                       (unsigned long long)p->min_size, (unsigned long long)max);
    }
    return VP_OK;
}

/* Policy in base64 from the conditions that there are. */
static vp_status write_policy(const form *f, const vpi_s3_scope *scope, uint32_t expires, vpi_buf *policy,
                              vp_error *err)
{
    vpi_s3_scope end;
    vpi_buf json = { 0 };
    uint8_t *to;
    vp_status st;

    VPI_TRY(vpi_s3_scope_make(scope->region, scope->service, (scope->time_s + expires) * 1000000, &end, err));
    vpi_buf_reserve(&json, f->conditions.size + 128);
    vpi_buf_printf(&json, "{\"expiration\":\"%.4s-%.2s-%.2sT%.2s:%.2s:%.2s.000Z\",\"conditions\":[",
                   end.stamp, end.stamp + 4, end.stamp + 6, end.stamp + 9, end.stamp + 11, end.stamp + 13);
    vpi_buf_add(&json, f->conditions.data, f->conditions.size);
    vpi_buf_str(&json, "]}");
    if (json.failed || f->conditions.failed || json.size > INT32_MAX / 2) VPI_GO(vpi_fail_nomem(err));
    to = vpi_buf_space(policy, (json.size + 2) / 3 * 4 + 1); /* and its NUL */
    if (!to) VPI_GO(vpi_fail_nomem(err));
    EVP_EncodeBlock(to, json.data, (int)json.size);
    policy->size--;
    st = VP_OK;
done:
    vpi_s3_buf_wipe(&json);
    return st;
}

static size_t length(const char *text)
{
    return text ? strlen(text) : 0;
}

/* Room for all, so that no piece of a token stays behind in memory that a growing buffer left. */
static void reserve(const vp_s3_post *p, const vp_s3_credentials *c, form *f, vpi_buf *out)
{
    size_t all = 2048 + 4 * (length(p->url) + length(p->bucket) + length(p->key) + length(p->content_type) +
                             length(p->fields) + length(c->access_key) + length(c->session_token));

    vpi_buf_reserve(&f->conditions, all);
    vpi_buf_reserve(&f->fields, 3 * all);
    vpi_buf_reserve(out, 4 * all);
}

static vp_status build(const vp_s3_post *p, const vp_s3_credentials *c, form *f, vpi_buf *out, vp_error *err)
{
    vpi_s3_scope scope;
    vpi_buf policy = { 0 }, credential = { 0 };
    uint32_t expires;
    char hex[65];
    vp_status st;

    VPI_TRY(vpi_s3_take_expires(p->expires_s, &expires, err));
    VPI_TRY(vpi_s3_scope_make(p->region, NULL, p->time_us, &scope, err));
    reserve(p, c, f, out);
    VPI_TRY(add_bucket(f, p, err));
    VPI_TRY(add_key(f, p->key, err));
    VPI_TRY(add_type(f, p->content_type, err));
    VPI_TRY(add_fields(f, p->fields, err));
    VPI_TRY(add_sizes(f, p, err));
    vpi_buf_printf(&credential, "%s/%s%c", c->access_key, scope.text, 0);
    if (vpi_buf_failed(&credential)) VPI_GO(vpi_fail_nomem(err));
    add(f, "x-amz-algorithm", "AWS4-HMAC-SHA256");
    add(f, "x-amz-credential", (const char *)credential.data);
    add(f, "x-amz-date", scope.stamp);
    if (c->session_token) add(f, "x-amz-security-token", c->session_token);
    VPI_GO(write_policy(f, &scope, expires, &policy, err));
    VPI_GO(vpi_s3_scope_sign(&scope, c->secret_key, NULL, policy.data, policy.size, hex, err));
    vpi_buf_u8(&f->fields, ',');
    put_pair(&f->fields, "policy", 6, (const char *)policy.data, policy.size);
    vpi_buf_u8(&f->fields, ',');
    put_pair(&f->fields, "x-amz-signature", 15, hex, 64);
    vpi_buf_str(out, "{\"url\":");
    put_json(out, p->url, strlen(p->url));
    vpi_buf_str(out, ",\"fields\":{");
    vpi_buf_add(out, f->fields.data, f->fields.size);
    vpi_buf_str(out, "}}");
    st = f->fields.failed ? vpi_fail_nomem(err) : VP_OK;
done:
    vpi_s3_buf_wipe(&policy);
    vpi_buf_dispose(&credential);
    return st;
}

vp_status vp_s3_post_policy(const vp_s3_post *post, const vp_s3_credentials *credentials, vp_bytes **json,
                            vp_error *err)
{
    vp_s3_post p = VP_S3_POST_INIT;
    vp_s3_credentials c;
    form f = { 0 };
    vpi_buf b = { 0 };
    vp_status st;

    vpi_error_reset(err);
    if (!json) return vpi_fail(err, VP_E_ARG, NULL, "nowhere to put the result");
    *json = NULL;
    if (!post) return vpi_fail(err, VP_E_ARG, NULL, "post: is missing");
    VPI_TRY(vpi_copy_struct(&p, sizeof(p), post, err));
    VPI_TRY(vpi_s3_take_credentials(credentials, &c, err));
    st = build(&p, &c, &f, &b, err);
    vpi_s3_buf_wipe(&f.conditions);
    vpi_s3_buf_wipe(&f.fields);
    if (st >= 0) return vpi_bytes_from_buf(&b, json, err);
    vpi_s3_buf_wipe(&b);
    return st;
}
