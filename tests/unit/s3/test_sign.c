/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Signature Version 4: AWS's suite of vectors, the examples of S3's documentation, addresses, the key of a day. */

#include <dirent.h>

#include <openssl/evp.h>

#include "base/fault.h"
#include "unit/s3/signing.h"

/* ---- AWS's vectors ---- */

typedef struct vector {
    char request[4096], context[4096], url[8192], headers[4096], token[1024], body_hash[65];
    vp_s3_request r;
    vp_s3_credentials c;
    bool sign_body, raw; /* raw: the target has bytes that a url cannot have */
} vector;

static void slurp(const char *root, const char *folder, const char *name, char *to, size_t capacity)
{
    char path[600];
    FILE *f;
    size_t n;

    snprintf(path, sizeof(path), "%s/vectors/sigv4/%s/%s", root, folder, name);
    f = fopen(path, "rb");
    if (!f) fail_msg("%s cannot be read", path);
    n = fread(to, 1, capacity - 1, f);
    fclose(f);
    assert_true(n < capacity - 1);
    to[n] = 0;
}

static void hash_hex(const char *data, size_t size, char hex[65])
{
    uint8_t digest[32];

    assert_int_equal(EVP_Digest(data, size, digest, NULL, EVP_sha256(), NULL), 1);
    for (size_t i = 0; i < 32; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

/* The request as it is on the wire: first line, header lines with Host among them, body. */
static void take_request(vector *v)
{
    char *end = strchr(v->request, '\n'), *target = strchr(v->request, ' '), *version, *line, *host = NULL;
    size_t n = 0;

    assert_non_null(end);
    *end = 0;
    version = strrchr(v->request, ' ');
    assert_true(target && version > target);
    *target++ = *version = 0;
    for (line = end + 1; *line && *line != '\n'; line = end + 1) {
        end = strchr(line, '\n');
        if (!end) end = line + strlen(line) - 1;
        if (strncmp(line, "Host:", 5) == 0) {
            host = line + 5;
            *end = 0;
            continue;
        }
        memcpy(v->headers + n, line, (size_t)(end + 1 - line));
        n += (size_t)(end + 1 - line);
    }
    v->headers[n] = 0;
    if (*line == '\n') line++;
    hash_hex(line, strlen(line), v->body_hash);
    assert_non_null(host);
    snprintf(v->url, sizeof(v->url), "https://%s%s", host, target);
    for (const char *p = target; *p; p++) v->raw |= (unsigned char)*p <= ' ' || (unsigned char)*p > '~';
}

static bool has(const vector *v, const char *word)
{
    return strstr(v->context, word) != NULL;
}

static void load(const char *root, const char *folder, vector *v)
{
    const char *token;
    static const vp_s3_request init = VP_S3_REQUEST_INIT;

    memset(v, 0, sizeof(*v));
    slurp(root, folder, "request.txt", v->request, sizeof(v->request));
    slurp(root, folder, "context.json", v->context, sizeof(v->context));
    take_request(v);
    assert_true(has(v, "\"timestamp\": \"2015-08-30T12:36:00Z\""));
    assert_true(has(v, "\"region\": \"us-east-1\"") && has(v, "\"service\": \"service\""));
    assert_true(has(v, "\"expiration_in_seconds\": 3600"));
    assert_true(has(v, "\"secret_access_key\": \"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY\""));
    v->c = (vp_s3_credentials)VP_S3_CREDENTIALS_INIT;
    v->c.access_key = "AKIDEXAMPLE";
    v->c.secret_key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    token = strstr(v->context, "\"token\": \"");
    if (token) {
        snprintf(v->token, sizeof(v->token), "%.*s", (int)strcspn(token + 10, "\""), token + 10);
        v->c.session_token = v->token;
    }
    v->sign_body = has(v, "\"sign_body\": true");
    v->r = init;
    v->r.method = v->request; /* cut behind its first word */
    v->r.url = v->url;
    v->r.headers = v->headers;
    v->r.region = "us-east-1";
    v->r.service = "service";
    v->r.payload_sha256 = v->body_hash;
    v->r.time_us = 1440938160000000;
    v->r.flags = (has(v, "\"normalize\": true") ? VP_S3_SIGN_NORMALIZE : 0) |
                 (has(v, "\"omit_session_token\": true") ? VP_S3_SIGN_TOKEN_AFTER : 0);
}

static void same(const char *root, const char *folder, const char *name, const void *data, size_t size)
{
    char want[4096];

    slurp(root, folder, name, want, sizeof(want));
    if (strlen(want) != size || memcmp(want, data, size) != 0)
        fail_msg("%s/%s: wanted\n%s\nis\n%.*s", folder, name, want, (int)size, (const char *)data);
}

static void check_making(const char *root, const char *folder, vector *v, bool in_query, vpi_s3_day *day)
{
    vpi_s3_signature s = { 0 };
    char name[64];
    vp_error err = VP_ERROR_INIT;

    if (vpi_s3_signature_make(&v->r, &v->c, in_query, day, &s, &err) != VP_OK)
        fail_msg("%s: %s", folder, err.message);
    snprintf(name, sizeof(name), "%s-canonical-request.txt", in_query ? "query" : "header");
    same(root, folder, name, s.canonical.data, s.canonical.size);
    snprintf(name, sizeof(name), "%s-string-to-sign.txt", in_query ? "query" : "header");
    same(root, folder, name, s.to_sign.data, s.to_sign.size);
    snprintf(name, sizeof(name), "%s-signature.txt", in_query ? "query" : "header");
    same(root, folder, name, s.hex, strlen(s.hex));
    vpi_s3_signature_dispose(&s);
}

/* All that we add is in the signed request of the suite, whose lines have no blank behind the colon. */
static void check_lines(const char *root, const char *folder, vector *v)
{
    char want[8192], line[8192];
    vp_bytes *lines = NULL;
    size_t count = 0;

    slurp(root, folder, "header-signed-request.txt", want, sizeof(want));
    for (char *p = want; *p; p++) /* "X-Amz-Date" of the suite is our "x-amz-date" */
        if (strncmp(p, "\nX-Amz-", 7) == 0)
            for (size_t i = 1; p[i] != ':'; i++) p[i] |= 0x20;
    assert_int_equal(vp_s3_sign(&v->r, &v->c, &lines, NULL), VP_OK);
    for (const char *p = text_of(lines); *p; p = strchr(p, '\n') + 1, count++) {
        const char *colon = strchr(p, ':');

        snprintf(line, sizeof(line), "\n%.*s:%.*s\n", (int)(colon - p), p, (int)strcspn(colon + 2, "\n"),
                 colon + 2);
        if (!strstr(want, line)) fail_msg("%s: %s is not wanted", folder, line);
    }
    assert_int_equal(count, 2 + (v->c.session_token != NULL) + v->sign_body);
    vp_bytes_unref(lines);
}

static void check_url(const char *root, const char *folder, vector *v)
{
    char want[8192], *target, *end;
    vp_bytes *url = NULL;

    slurp(root, folder, "query-signed-request.txt", want, sizeof(want));
    *strchr(want, '\n') = 0;
    target = strchr(want, ' ') + 1;
    end = strrchr(want, ' ');
    *end = 0;
    assert_int_equal(vp_s3_presign(&v->r, &v->c, &url, NULL), VP_OK);
    if (v->raw) {
        assert_null(strchr(text_of(url), ' '));
        assert_string_equal(strstr(text_of(url), "X-Amz-Algorithm"), strstr(target, "X-Amz-Algorithm"));
    } else {
        assert_string_equal(text_of(url) + strlen("https://example.amazonaws.com"), target);
    }
    vp_bytes_unref(url);
}

static void test_vectors(void **state)
{
    const char *shared = getenv("VODPIPE_SHARED"), *root = shared && *shared ? shared : "../shared";
    char path[600];
    vpi_s3_day day = { 0 };
    unsigned count = 0;
    struct dirent *e;
    vector *v;
    DIR *d;

    (void)state;
    snprintf(path, sizeof(path), "%s/vectors/sigv4", root);
    d = opendir(path);
    if (!d) {
        print_message("skipped: no vectors at %s (set VODPIPE_SHARED)\n", path);
        skip();
    }
    v = malloc(sizeof(*v));
    assert_non_null(v);
    while ((e = readdir(d))) {
        if (strncmp(e->d_name, "get-", 4) != 0 && strncmp(e->d_name, "post-", 5) != 0) continue;
        load(root, e->d_name, v);
        if (!v->sign_body) v->r.flags |= VP_S3_SIGN_NO_BODY_HEADER;
        check_making(root, e->d_name, v, false, count++ % 2 ? &day : NULL);
        check_lines(root, e->d_name, v);
        v->r.flags |= VP_S3_SIGN_NO_BODY_HEADER;
        check_making(root, e->d_name, v, true, &day);
        check_url(root, e->d_name, v);
    }
    closedir(d);
    print_message("%u vectors, each signed in headers and in its query\n", count);
    assert_int_equal(count, 38);
    vpi_s3_wipe(&day, sizeof(day));
    free(v);
}

/* ---- examples of the documentation ---- */

static void signs(const vp_s3_request *r, const char *names, const char *signature)
{
    vp_s3_credentials c = example();
    vp_bytes *lines = NULL;
    vp_error err = VP_ERROR_INIT;
    char want[512];

    if (vp_s3_sign(r, &c, &lines, &err) != VP_OK) fail_msg("%s: %s", r->url, err.message);
    snprintf(want, sizeof(want),
             "\nAuthorization: AWS4-HMAC-SHA256 "
             "Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
             "SignedHeaders=%s, Signature=%s\n",
             names, signature);
    if (!strstr(text_of(lines), want)) fail_msg("%s: wanted %s is %s", r->url, want, text_of(lines));
    assert_non_null(strstr(text_of(lines), "x-amz-date: 20130524T000000Z\n"));
    vp_bytes_unref(lines);
}

/* "Signature Calculations for the Authorization Header: Transferring Payload in a Single Chunk", "Examples". */
static void test_documented(void **state)
{
    static const char host[] = "https://examplebucket.s3.amazonaws.com";
    char url[200], hash[65];
    vp_s3_request r;

    (void)state;
    snprintf(url, sizeof(url), "%s/test.txt", host);
    r = request_of("GET", url);
    r.headers = "Range: bytes=0-9";
    r.payload_sha256 = EMPTY;
    signs(&r, "host;range;x-amz-content-sha256;x-amz-date",
          "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
    hash_hex("Welcome to Amazon S3.", 21, hash);
    for (int i = 0; i < 2; i++) { /* '$' is encoded by the signer where it was not */
        snprintf(url, sizeof(url), "%s/test%sfile.text", host, i ? "$" : "%24");
        r = request_of("PUT", url);
        r.headers = "Date: Fri, 24 May 2013 00:00:00 GMT\r\nx-amz-storage-class: REDUCED_REDUNDANCY\r\n";
        r.payload_sha256 = hash;
        signs(&r, "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
              "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
    }
    snprintf(url, sizeof(url), "%s:443?lifecycle", host);
    r = request_of("GET", url);
    r.payload_sha256 = "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855"; /* made lower */
    signs(&r, "host;x-amz-content-sha256;x-amz-date",
          "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
    snprintf(url, sizeof(url), "%s/?prefix=J&max-keys=2", host);
    r = request_of("GET", url);
    r.payload_sha256 = EMPTY;
    signs(&r, "host;x-amz-content-sha256;x-amz-date",
          "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

/* "Authenticating Requests: Using Query Parameters", "An Example". */
static void test_documented_presigned(void **state)
{
    vp_s3_request r = request_of("GET", "https://examplebucket.s3.amazonaws.com/test.txt");
    vp_s3_credentials c = example();
    vp_bytes *url = NULL;

    (void)state;
    r.expires_s = 86400;
    assert_int_equal(vp_s3_presign(&r, &c, &url, NULL), VP_OK);
    assert_string_equal(text_of(url),
                        "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&"
                        "X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&"
                        "X-Amz-Date=20130524T000000Z&X-Amz-SignedHeaders=host&X-Amz-Expires=86400&"
                        "X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
    vp_bytes_unref(url);
}

/* ---- addresses ---- */

static char *presigned(const vp_s3_request *r, const vp_s3_credentials *c)
{
    vp_bytes *url = NULL;
    vp_error err = VP_ERROR_INIT;
    char *copy;

    if (vp_s3_presign(r, c, &url, &err) != VP_OK) fail_msg("%s", err.message);
    copy = strdup(text_of(url));
    assert_non_null(copy);
    vp_bytes_unref(url);
    return copy;
}

static void test_presigned(void **state)
{
    vp_s3_credentials c = example();
    vp_s3_request r = request_of("PUT", "https://h:9000/a b/\xC3\xA9?partNumber=1&uploadId=x%2By");
    char *url, *again, *cut;
    vp_bytes *out = NULL;

    (void)state;
    r.headers = "Content-Type: video/mp4\nx-amz-meta-a: b";
    c.session_token = "to/k+en==";
    r.payload_sha256 = EMPTY;
    url = presigned(&r, &c);
    assert_ptr_equal(strstr(url, "https://h:9000/a%20b/%C3%A9?partNumber=1&uploadId=x%2By&X-Amz-Algorithm="),
                     url);
    assert_non_null(
        strstr(url, "&X-Amz-SignedHeaders=content-type%3Bhost%3Bx-amz-meta-a&X-Amz-Expires=3600&"));
    assert_non_null(strstr(url, "&X-Amz-Content-Sha256=" EMPTY "&X-Amz-Security-Token=to%2Fk%2Ben%3D%3D&"));
    /* Encoded beforehand it is the same address. */
    r.url = "https://h:9000/a%20b/%C3%A9?partNumber=1&uploadId=x%2By";
    again = presigned(&r, &c);
    assert_string_equal(url, again);
    free(again);
    /* A token that is not signed changes only what is signed. */
    r.flags = VP_S3_SIGN_TOKEN_AFTER;
    again = presigned(&r, &c);
    cut = strstr(url, "&X-Amz-Signature=");
    assert_memory_equal(url, again, (size_t)(cut - url));
    assert_string_not_equal(url, again);
    free(again);
    free(url);
    r = request_of("GET", "https://h?");
    c.session_token = NULL;
    url = presigned(&r, &c);
    assert_ptr_equal(strstr(url, "https://h/?X-Amz-Algorithm="), url);
    assert_null(strstr(url, "Sha256="));
    free(url);
    r.expires_s = 604800;
    url = presigned(&r, &c);
    assert_non_null(strstr(url, "&X-Amz-Expires=604800&"));
    free(url);
    r.expires_s = 1;
    free(presigned(&r, &c));
    r.expires_s = 604801;
    assert_int_equal(vp_s3_presign(&r, &c, &out, NULL), VP_E_ARG);
    assert_int_equal(vp_s3_sign(&r, &c, &out, NULL), VP_OK); /* is of no account there */
    vp_bytes_unref(out);
}

/* The key of a day is found again by secret, day, region and service, and only so; time 0 is now. */
static void test_day(void **state)
{
    vp_s3_credentials c = example();
    vp_s3_request r = request_of("GET", "https://h/");
    vpi_s3_day day = { 0 };
    uint8_t seen[6][32];

    (void)state;
    for (size_t i = 0; i < 6; i++) {
        vpi_buf kept = { 0 }, fresh = { 0 };

        if (i == 1) r.time_us += 86399999999; /* the same day */
        if (i == 2) r.time_us += 1;
        if (i == 3) r.region = "eu-west-1";
        if (i == 4) r.service = "sts";
        if (i == 5) c.secret_key = "other";
        assert_int_equal(vpi_s3_sign_lines(&r, &c, &day, &kept, NULL), VP_OK);
        assert_int_equal(vpi_s3_sign_lines(&r, &c, NULL, &fresh, NULL), VP_OK);
        assert_true(kept.size == fresh.size && memcmp(kept.data, fresh.data, kept.size) == 0);
        memcpy(seen[i], day.key, 32);
        if (i) assert_int_equal(memcmp(seen[i], seen[i - 1], 32) == 0, i == 1);
        vpi_buf_dispose(&kept);
        vpi_buf_dispose(&fresh);
    }
    r.time_us = 0;
    r.payload_sha256 = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
    for (int i = 0; i < 2; i++) {
        vpi_buf b = { 0 };

        assert_int_equal(vpi_s3_sign_lines(&r, &c, &day, &b, NULL), VP_OK);
        vpi_buf_u8(&b, 0);
        assert_memory_equal(b.data, "x-amz-date: 20", 14);
        assert_non_null(strstr((char *)b.data, "x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER\n"));
        vpi_buf_dispose(&b);
    }
}

/* Each allocation fails once: no memory is what is told, and nothing stays behind. */
static void test_memory(void **state)
{
    vp_s3_request r = request_of("PUT", "https://h/a b?uploads&b=2&a=1&c=3&d=4&e=5&f=6&g=7&h=8&i=9");
    vp_s3_post p = VP_S3_POST_INIT;
    vp_s3_credentials c = example();

    (void)state;
    r.headers = "a: b\nc: d\ne: f\ng: h\ni: j\nk: l\nm: n\no: p\nq: r";
    c.session_token = "token";
    p.url = "https://b.h/";
    p.bucket = "b";
    p.region = "us-east-1";
    p.key = "k";
    for (int which = 0; which < 3; which++) {
        long n = 0;
        bool done = false;

        while (!done) {
            vp_bytes *out = NULL;
            vp_error err = VP_ERROR_INIT;
            vp_status st;

            atomic_store(&vpi_alloc_fail_at, ++n);
            st = which == 0   ? vp_s3_sign(&r, &c, &out, &err)
                 : which == 1 ? vp_s3_presign(&r, &c, &out, &err)
                              : vp_s3_post_policy(&p, &c, &out, &err);
            done = atomic_exchange(&vpi_alloc_fail_at, 0) > 0;
            if (st != VP_OK) assert_int_equal(st, VP_E_NOMEM);
            assert_true((st == VP_OK) == (out != NULL));
            if (done) assert_int_equal(st, VP_OK);
            vp_bytes_unref(out);
        }
        assert_true(n > 5);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_documented),
        cmocka_unit_test(test_documented_presigned),
        cmocka_unit_test(test_presigned),
        cmocka_unit_test(test_day),
        cmocka_unit_test(test_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
