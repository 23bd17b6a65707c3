/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Signature Version 4 of requests and addresses, over the canonical form of canonical.c. */

#include <stdio.h>
#include <time.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "sign.h"

#define ALGORITHM "AWS4-HMAC-SHA256"
#define EXPIRES_MAX 604800u /* 7 days: "Authenticating Requests: Using Query Parameters", X-Amz-Expires */
#define EXPIRES 3600u
#define NAME_MAX_SIZE 64u
#define FLAGS                                                                                                \
    (VP_S3_SIGN_NORMALIZE | VP_S3_SIGN_ENCODE_TWICE | VP_S3_SIGN_TOKEN_AFTER | VP_S3_SIGN_NO_BODY_HEADER)

/* ---- keys ---- */

static vp_status broken(vp_error *err)
{
    return vpi_fail(err, VP_E_INTERNAL, NULL, "no HMAC with SHA-256 in this OpenSSL");
}

static bool hmac(const void *key, size_t key_size, const void *data, size_t size, uint8_t out[32])
{
    unsigned n = 32;

    return key_size <= INT32_MAX && HMAC(EVP_sha256(), key, (int)key_size, data, size, out, &n) && n == 32;
}

static void to_hex(const uint8_t digest[32], char hex[65])
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < 32; i++) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
    hex[64] = 0;
}

/* "Create a signed AWS API request", "Derive a signing key". */
static vp_status derive(const vpi_s3_scope *scope, const char *secret_key, uint8_t key[32], vp_error *err)
{
    size_t n = strlen(secret_key);
    char *first = vpi_alloc(4 + n);
    bool ok;

    if (!first) return vpi_fail_nomem(err);
    memcpy(first, "AWS4", 4);
    memcpy(first + 4, secret_key, n);
    ok = hmac(first, 4 + n, scope->stamp, 8, key) &&
         hmac(key, 32, scope->region, strlen(scope->region), key) &&
         hmac(key, 32, scope->service, strlen(scope->service), key) && hmac(key, 32, "aws4_request", 12, key);
    vpi_s3_wipe(first, 4 + n);
    vpi_free(first);
    return ok ? VP_OK : broken(err);
}

vp_status vpi_s3_scope_sign(const vpi_s3_scope *scope, const char *secret_key, vpi_s3_day *day,
                            const void *data, size_t size, char hex[65], vp_error *err)
{
    vpi_s3_day none = { 0 }, *d = day ? day : &none;
    uint8_t mark[32], digest[32];
    vp_status st = VP_OK;

    if (!hmac(secret_key, strlen(secret_key), scope->text, strlen(scope->text), mark)) return broken(err);
    if (!d->have || memcmp(d->mark, mark, 32) != 0) {
        d->have = false;
        VPI_GO(derive(scope, secret_key, d->key, err));
        memcpy(d->mark, mark, 32);
        d->have = true;
    }
    if (!hmac(d->key, 32, data, size, digest)) VPI_GO(broken(err));
    to_hex(digest, hex);
done:
    vpi_s3_wipe(&none, sizeof(none));
    return st;
}

bool vpi_s3_day_sign(const vpi_s3_day *day, const void *data, size_t size, char hex[65])
{
    uint8_t digest[32];

    if (!day->have || !hmac(day->key, 32, data, size, digest)) return false;
    to_hex(digest, hex);
    return true;
}

bool vpi_s3_sha256_hex(const void *data, size_t size, char hex[65])
{
    uint8_t digest[32];

    if (EVP_Digest(data, size, digest, NULL, EVP_sha256(), NULL) != 1) return false;
    to_hex(digest, hex);
    return true;
}

/* ---- scope ---- */

/* Regions and services are words; a slash or a blank would be another scope. */
static bool word(const char *text)
{
    size_t n = text ? strlen(text) : 0;

    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];

        if (!(c >= 'A' && c <= 'Z') && !(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') &&
            !strchr("-_.", c))
            return false;
    }
    return n > 0 && n <= NAME_MAX_SIZE;
}

vp_status vpi_s3_scope_make(const char *region, const char *service, int64_t time_us, vpi_s3_scope *out,
                            vp_error *err)
{
    struct tm tm;
    time_t seconds;

    out->region = region;
    out->service = service ? service : "s3";
    if (!word(region)) return vpi_fail(err, VP_E_ARG, NULL, "region: is missing, or no name of a region");
    if (!word(out->service)) return vpi_fail(err, VP_E_ARG, NULL, "service: no name of a service");
    if (time_us < 0) return vpi_fail(err, VP_E_ARG, NULL, "time_us: before 1970");
    out->time_s = (time_us ? time_us : vpi_s3_time_us()) / 1000000;
    seconds = (time_t)out->time_s;
    if (!gmtime_r(&seconds, &tm) || !strftime(out->stamp, sizeof(out->stamp), "%Y%m%dT%H%M%SZ", &tm))
        return vpi_fail(err, VP_E_ARG, NULL, "time_us: after the year 9999");
    snprintf(out->text, sizeof(out->text), "%.8s/%.64s/%.64s/aws4_request", out->stamp, region, out->service);
    return VP_OK;
}

/* ---- what callers give ---- */

/* Both keys go into headers or addresses, the token too; a line break there would be another header. */
static bool printable(const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p; p++)
        if (*p <= 0x20 || *p >= 0x7F) return false;
    return *text != 0;
}

vp_status vpi_s3_take_credentials(const vp_s3_credentials *from, vp_s3_credentials *to, vp_error *err)
{
    static const vp_s3_credentials none = VP_S3_CREDENTIALS_INIT;

    *to = none;
    if (!from) return vpi_fail(err, VP_E_ARG, NULL, "credentials: are missing");
    VPI_TRY(vpi_copy_struct(to, sizeof(*to), from, err));
    if (!to->access_key || !printable(to->access_key) || strchr(to->access_key, ','))
        return vpi_fail(err, VP_E_ARG, NULL, "credentials: no access_key, or one that is none");
    if (!to->secret_key || !printable(to->secret_key))
        return vpi_fail(err, VP_E_ARG, NULL, "credentials: no secret_key, or one that is none");
    if (to->session_token && !printable(to->session_token))
        return vpi_fail(err, VP_E_ARG, NULL, "credentials: the session_token is none");
    return VP_OK;
}

vp_status vpi_s3_take_expires(uint32_t expires_s, uint32_t *out, vp_error *err)
{
    if (expires_s > EXPIRES_MAX)
        return vpi_fail(err, VP_E_ARG, NULL, "expires_s: over %u (7 days)", EXPIRES_MAX);
    *out = expires_s ? expires_s : EXPIRES;
    return VP_OK;
}

static vp_status take_payload(const char *word, vpi_s3_signature *s, vp_error *err)
{
    size_t n = word ? strlen(word) : 0;

    s->payload = word ? word : "UNSIGNED-PAYLOAD";
    if (!word) return VP_OK;
    if (n == 64 && strspn(word, "0123456789ABCDEFabcdef") == n) {
        for (size_t i = 0; i <= n; i++)
            s->hash[i] = (char)(word[i] >= 'A' && word[i] <= 'F' ? word[i] | 0x20 : word[i]);
        s->payload = s->hash;
        return VP_OK;
    }
    if (n && n <= NAME_MAX_SIZE && strspn(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") == n) return VP_OK;
    return vpi_fail(err, VP_E_ARG, NULL, "payload_sha256: neither 64 hex digits nor a word in capitals");
}

vp_status vpi_s3_take_request(const vp_s3_request *from, vp_s3_request *to, vp_error *err)
{
    static const vp_s3_request none = VP_S3_REQUEST_INIT;

    *to = none;
    if (!from) return vpi_fail(err, VP_E_ARG, NULL, "request: is missing");
    VPI_TRY(vpi_copy_struct(to, sizeof(*to), from, err));
    if (to->flags & ~FLAGS || to->reserved) return vpi_fail(err, VP_E_ARG, NULL, "flags: unknown");
    return VP_OK;
}

/* ---- the signature ---- */

void vpi_s3_signature_dispose(vpi_s3_signature *signature)
{
    vpi_s3_buf_wipe(&signature->canonical);
    vpi_s3_buf_wipe(&signature->to_sign);
    vpi_buf_dispose(&signature->names);
    memset(signature, 0, sizeof(*signature));
}

static bool token_signed(const vp_s3_request *r, const vp_s3_credentials *c)
{
    return c->session_token && !(r->flags & VP_S3_SIGN_TOKEN_AFTER);
}

/* In an address the hash of a body is told only where there is one: S3 then compares it with what comes. */
static bool payload_told(const vp_s3_request *r, bool in_query)
{
    return !(r->flags & VP_S3_SIGN_NO_BODY_HEADER) && (!in_query || r->payload_sha256);
}

static vp_status collect_headers(const vp_s3_request *r, const vp_s3_credentials *c, bool in_query,
                                 const vpi_s3_signature *s, vpi_s3_fields *f, vp_error *err)
{
    VPI_TRY(vpi_s3_fields_headers(f, r->headers, err));
    VPI_TRY(vpi_s3_fields_add(f, "host", s->url.host, s->url.host_size, err));
    if (!in_query) {
        VPI_TRY(vpi_s3_fields_add(f, "x-amz-date", s->scope.stamp, 16, err));
        if (payload_told(r, false))
            VPI_TRY(vpi_s3_fields_add(f, "x-amz-content-sha256", s->payload, strlen(s->payload), err));
        if (token_signed(r, c))
            VPI_TRY(vpi_s3_fields_add(f, "x-amz-security-token", c->session_token, strlen(c->session_token),
                                      err));
    }
    vpi_s3_fields_sort(f, false);
    return VP_OK;
}

static void put_credential(vpi_buf *out, const vp_s3_credentials *c, const vpi_s3_scope *scope)
{
    vpi_s3_encode(out, c->access_key, false);
    vpi_buf_str(out, "%2F");
    vpi_s3_encode(out, scope->text, false);
}

static vp_status collect_query(const vp_s3_request *r, const vp_s3_credentials *c, bool in_query,
                               const vpi_s3_signature *s, vpi_s3_fields *f, vp_error *err)
{
    vpi_buf b = { 0 };
    uint32_t expires = 0;
    vp_status st = VP_OK;

    VPI_TRY(vpi_s3_fields_query(f, s->url.query, s->url.query_size, err));
    if (in_query) {
        VPI_TRY(vpi_s3_take_expires(r->expires_s, &expires, err));
        VPI_TRY(vpi_s3_fields_encoded(f, "X-Amz-Algorithm", ALGORITHM, err));
        VPI_TRY(vpi_s3_fields_encoded(f, "X-Amz-Date", s->scope.stamp, err));
        if (payload_told(r, true)) VPI_TRY(vpi_s3_fields_encoded(f, "X-Amz-Content-Sha256", s->payload, err));
        if (token_signed(r, c))
            VPI_TRY(vpi_s3_fields_encoded(f, "X-Amz-Security-Token", c->session_token, err));
        put_credential(&b, c, &s->scope);
        if (vpi_buf_failed(&b)) VPI_GO(vpi_fail_nomem(err));
        VPI_GO(vpi_s3_fields_add(f, "X-Amz-Credential", (const char *)b.data, b.size, err));
        vpi_buf_clear(&b);
        vpi_buf_printf(&b, "%u", (unsigned)expires);
        if (vpi_buf_failed(&b)) VPI_GO(vpi_fail_nomem(err));
        VPI_GO(vpi_s3_fields_add(f, "X-Amz-Expires", (const char *)b.data, b.size, err));
        vpi_buf_clear(&b);
        for (size_t i = 0; i < s->names.size; i++) vpi_s3_put_byte(&b, s->names.data[i]);
        if (vpi_buf_failed(&b)) VPI_GO(vpi_fail_nomem(err));
        VPI_GO(vpi_s3_fields_add(f, "X-Amz-SignedHeaders", (const char *)b.data, b.size, err));
    }
    vpi_s3_fields_sort(f, true);
done:
    vpi_buf_dispose(&b);
    return st;
}

/* Room for all, so that no piece of a token stays behind in memory that a growing buffer left. */
static bool reserve(const vp_s3_request *r, const vp_s3_credentials *c, vpi_s3_signature *s,
                    vpi_s3_fields *headers, vpi_s3_fields *query)
{
    size_t token = c->session_token ? strlen(c->session_token) : 0,
           lines = r->headers ? strlen(r->headers) : 0;
    size_t all = 1024 + 9 * strlen(r->url) + 3 * (token + strlen(c->access_key)) + 5 * lines;

    return vpi_buf_reserve(&s->canonical, all) && vpi_buf_reserve(&headers->text, all) &&
           vpi_buf_reserve(&query->text, all);
}

static vp_status finish(const vp_s3_credentials *c, vpi_s3_day *day, vpi_s3_signature *s, vp_error *err)
{
    char hex[65];

    if (vpi_buf_failed(&s->canonical) || vpi_buf_failed(&s->names)) return vpi_fail_nomem(err);
    if (!vpi_s3_sha256_hex(s->canonical.data, s->canonical.size, hex)) return broken(err);
    vpi_buf_printf(&s->to_sign, ALGORITHM "\n%s\n%s\n%s", s->scope.stamp, s->scope.text, hex);
    if (vpi_buf_failed(&s->to_sign)) return vpi_fail_nomem(err);
    return vpi_s3_scope_sign(&s->scope, c->secret_key, day, s->to_sign.data, s->to_sign.size, s->hex, err);
}

vp_status vpi_s3_signature_make(const vp_s3_request *request, const vp_s3_credentials *credentials,
                                bool in_query, vpi_s3_day *day, vpi_s3_signature *out, vp_error *err)
{
    vpi_s3_fields headers = { 0 }, query = { 0 };
    vp_status st;

    if (!request->method || !vpi_s3_token(request->method, strlen(request->method)))
        return vpi_fail(err, VP_E_ARG, NULL, "method: is missing, or no name of a method");
    VPI_TRY(vpi_s3_scope_make(request->region, request->service, request->time_us, &out->scope, err));
    VPI_TRY(vpi_s3_url_split(request->url, &out->url, err));
    VPI_TRY(take_payload(request->payload_sha256, out, err));
    if (!reserve(request, credentials, out, &headers, &query)) VPI_GO(vpi_fail_nomem(err));
    VPI_GO(collect_headers(request, credentials, in_query, out, &headers, err));
    vpi_s3_put_names(&out->names, &headers);
    VPI_GO(collect_query(request, credentials, in_query, out, &query, err));
    vpi_buf_str(&out->canonical, request->method);
    vpi_buf_u8(&out->canonical, '\n');
    vpi_s3_put_path(&out->canonical, out->url.path, out->url.path_size, request->flags);
    vpi_buf_u8(&out->canonical, '\n');
    vpi_s3_put_query(&out->canonical, &query);
    vpi_buf_u8(&out->canonical, '\n');
    vpi_s3_put_headers(&out->canonical, &headers);
    vpi_buf_u8(&out->canonical, '\n');
    vpi_buf_add(&out->canonical, out->names.data, out->names.size);
    vpi_buf_u8(&out->canonical, '\n');
    vpi_buf_str(&out->canonical, out->payload);
    st = finish(credentials, day, out, err);
done:
    vpi_s3_fields_dispose(&headers);
    vpi_s3_fields_dispose(&query);
    return st;
}

/* ---- what is added to a request ---- */

vp_status vpi_s3_signature_lines(const vp_s3_request *request, const vp_s3_credentials *credentials,
                                 const vpi_s3_signature *s, vpi_buf *lines, vp_error *err)
{
    const char *token = credentials->session_token;

    /* Room first: a growing buffer leaves pieces of a token behind. */
    vpi_buf_reserve(lines,
                    512 + (token ? strlen(token) : 0) + strlen(credentials->access_key) + s->names.size);
    vpi_buf_printf(lines, "x-amz-date: %s\n", s->scope.stamp);
    if (token) vpi_buf_printf(lines, "x-amz-security-token: %s\n", token);
    if (payload_told(request, false)) vpi_buf_printf(lines, "x-amz-content-sha256: %s\n", s->payload);
    vpi_buf_printf(lines, "Authorization: " ALGORITHM " Credential=%s/%s, SignedHeaders=%.*s, Signature=%s\n",
                   credentials->access_key, s->scope.text, (int)s->names.size, (const char *)s->names.data,
                   s->hex);
    return vpi_buf_failed(lines) ? vpi_fail_nomem(err) : VP_OK;
}

vp_status vpi_s3_sign_lines(const vp_s3_request *request, const vp_s3_credentials *credentials,
                            vpi_s3_day *day, vpi_buf *lines, vp_error *err)
{
    vpi_s3_signature s = { 0 };
    vp_status st = vpi_s3_signature_make(request, credentials, false, day, &s, err);

    if (st >= 0) st = vpi_s3_signature_lines(request, credentials, &s, lines, err);
    vpi_s3_signature_dispose(&s);
    return st;
}

static void put_address(const vpi_s3_url *u, const char *url, vpi_buf *out)
{
    vpi_s3_put_url(out, url, (size_t)(u->path - url));
    if (!u->path_size) vpi_buf_u8(out, '/');
    vpi_s3_put_url(out, u->path, u->path_size);
    vpi_buf_u8(out, '?');
    vpi_s3_put_url(out, u->query, u->query_size);
    if (u->query_size && u->query[u->query_size - 1] != '&') vpi_buf_u8(out, '&');
}

vp_status vpi_s3_sign_url(const vp_s3_request *request, const vp_s3_credentials *credentials, vpi_s3_day *day,
                          vpi_buf *url, vp_error *err)
{
    vpi_s3_signature s = { 0 };
    vp_status st = vpi_s3_signature_make(request, credentials, true, day, &s, err);
    uint32_t expires = 0;

    if (st >= 0) st = vpi_s3_take_expires(request->expires_s, &expires, err);
    if (st >= 0) {
        put_address(&s.url, request->url, url);
        vpi_buf_str(url, "X-Amz-Algorithm=" ALGORITHM "&X-Amz-Credential=");
        put_credential(url, credentials, &s.scope);
        vpi_buf_printf(url, "&X-Amz-Date=%s&X-Amz-SignedHeaders=", s.scope.stamp);
        for (size_t i = 0; i < s.names.size; i++) vpi_s3_put_byte(url, s.names.data[i]);
        vpi_buf_printf(url, "&X-Amz-Expires=%u", (unsigned)expires);
        if (payload_told(request, true)) vpi_buf_printf(url, "&X-Amz-Content-Sha256=%s", s.payload);
        if (credentials->session_token) {
            vpi_buf_str(url, "&X-Amz-Security-Token=");
            vpi_s3_encode(url, credentials->session_token, false);
        }
        vpi_buf_printf(url, "&X-Amz-Signature=%s", s.hex);
        if (vpi_buf_failed(url)) st = vpi_fail_nomem(err);
    }
    vpi_s3_signature_dispose(&s);
    return st;
}

static vp_status sign(bool in_query, const vp_s3_request *request, const vp_s3_credentials *credentials,
                      vp_bytes **out, vp_error *err)
{
    vp_s3_request r;
    vp_s3_credentials c;
    vpi_buf b = { 0 };
    vp_status st;

    vpi_error_reset(err);
    if (!out) return vpi_fail(err, VP_E_ARG, NULL, "nowhere to put the result");
    *out = NULL;
    VPI_TRY(vpi_s3_take_request(request, &r, err));
    VPI_TRY(vpi_s3_take_credentials(credentials, &c, err));
    st = in_query ? vpi_s3_sign_url(&r, &c, NULL, &b, err) : vpi_s3_sign_lines(&r, &c, NULL, &b, err);
    if (st >= 0) return vpi_bytes_from_buf(&b, out, err);
    vpi_s3_buf_wipe(&b);
    return st;
}

vp_status vp_s3_sign(const vp_s3_request *request, const vp_s3_credentials *credentials, vp_bytes **lines,
                     vp_error *err)
{
    return sign(false, request, credentials, lines, err);
}

vp_status vp_s3_presign(const vp_s3_request *request, const vp_s3_credentials *credentials, vp_bytes **url,
                        vp_error *err)
{
    return sign(true, request, credentials, url, err);
}
