/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Canonical forms that AWS's vectors leave out (S12, S13), and what cannot be signed. */

#include "unit/s3/signing.h"

/* ---- canonical forms ---- */

/* The line of that number, from 0, of the canonical request. */
static void line_is(const char *url, const char *headers, uint32_t flags, unsigned number, const char *want)
{
    vp_s3_request r = request_of("GET", url);
    vp_s3_credentials c = example();
    vpi_s3_signature s = { 0 };
    vp_error err = VP_ERROR_INIT;
    const char *p, *end;

    r.headers = headers;
    r.flags = flags;
    if (vpi_s3_signature_make(&r, &c, false, NULL, &s, &err) != VP_OK) fail_msg("%s: %s", url, err.message);
    vpi_buf_u8(&s.canonical, 0);
    p = (const char *)s.canonical.data;
    while (number--) p = strchr(p, '\n') + 1;
    end = p + strcspn(p, "\n");
    if (strlen(want) != (size_t)(end - p) || strncmp(want, p, (size_t)(end - p)) != 0)
        fail_msg("%s: wanted %s is %.*s", url, want, (int)(end - p), p);
    vpi_s3_signature_dispose(&s);
}

enum { PATH = 1, QUERY = 2, FIRST_HEADER = 3 };

static void test_paths(void **state)
{
    (void)state;
    line_is("https://h/a%2Bb%20c~%40%28%C3%A9%29/../%25", NULL, 0, PATH, "/a%2Bb%20c~%40%28%C3%A9%29/../%25");
    line_is("https://h/a+b c~@(\xC3\xA9)/../%25", NULL, 0, PATH, "/a%2Bb%20c~%40%28%C3%A9%29/../%25");
    line_is("https://h//a//b/", NULL, 0, PATH, "//a//b/");
    line_is("https://h//a//b/", NULL, VP_S3_SIGN_NORMALIZE, PATH, "/a/b/");
    line_is("https://h/a/b/../../../c/./d/..", NULL, VP_S3_SIGN_NORMALIZE, PATH, "/c/");
    line_is("https://h/%2e%2E/a", NULL, VP_S3_SIGN_NORMALIZE, PATH, "/a");
    line_is("https://h/%2e%2E/a", NULL, 0, PATH, "/../a");
    line_is("https://h/a%2fb%7ec", NULL, 0, PATH, "/a/b~c");
    line_is("https://h/a%2fb%20c", NULL, VP_S3_SIGN_ENCODE_TWICE, PATH, "/a%252Fb%2520c");
    line_is("https://h/a b", NULL, VP_S3_SIGN_ENCODE_TWICE | VP_S3_SIGN_NORMALIZE, PATH, "/a%2520b");
    line_is("https://h", NULL, 0, PATH, "/");
    line_is("https://h?a", NULL, 0, PATH, "/");
    line_is("HTTPS://h/%00", NULL, 0, PATH, "/%00");
}

static void test_queries(void **state)
{
    (void)state;
    line_is("https://h/?uploads", NULL, 0, QUERY, "uploads=");
    line_is("https://h/?uploads=", NULL, 0, QUERY, "uploads=");
    line_is("https://h/?b=2&a=2&a=1&a&a=10", NULL, 0, QUERY, "a=&a=1&a=10&a=2&b=2");
    line_is("https://h/?a-b=1&a=1&aa=1&A=1", NULL, 0, QUERY, "A=1&a=1&a-b=1&aa=1");
    line_is("https://h/?x=a/b%2fc&%7ey=1=2", NULL, 0, QUERY, "x=a%2Fb%2Fc&~y=1%3D2");
    line_is("https://h/?&&a=b&&", NULL, 0, QUERY, "a=b");
    line_is("https://h/?=", NULL, 0, QUERY, "=");
    line_is("https://h/?", NULL, 0, QUERY, "");
    line_is("https://h/?k=\xC3\xA9 %2B%20", NULL, 0, QUERY, "k=%C3%A9%20%2B%20");
    line_is("https://h/?a?b", NULL, 0, QUERY, "a%3Fb=");
}

static void test_hosts(void **state)
{
    (void)state;
    line_is("https://h:443/", NULL, 0, FIRST_HEADER, "host:h");
    line_is("http://h:80/", NULL, 0, FIRST_HEADER, "host:h");
    line_is("http://h:443/", NULL, 0, FIRST_HEADER, "host:h:443");
    line_is("https://h:80/", NULL, 0, FIRST_HEADER, "host:h:80");
    line_is("https://h:9000", NULL, 0, FIRST_HEADER, "host:h:9000");
    line_is("https://h:/", NULL, 0, FIRST_HEADER, "host:h");
    line_is("http://[::1]:9000/", NULL, 0, FIRST_HEADER, "host:[::1]:9000");
    line_is("http://[::1]/", NULL, 0, FIRST_HEADER, "host:[::1]");
    line_is("http://127.0.0.1:0443/", NULL, 0, FIRST_HEADER, "host:127.0.0.1:0443");
}

static void test_headers(void **state)
{
    (void)state;
    line_is("https://h/", "A:one\n two\r\n\tthree\r\n", 0, FIRST_HEADER, "a:one two three");
    line_is("https://h/", "X-Amz-Meta-B: \t b  \t c \r\nE:\n\nx-amz-meta-b:\r\n\r\nx-Amz-Meta-B: d", 0,
            FIRST_HEADER, "e:");
    line_is("https://h/", "X-Amz-Meta-B: \t b  \t c \r\nE:\nx-amz-meta-b:\r\n\r\nx-Amz-Meta-B: d", 0,
            FIRST_HEADER + 4, "x-amz-meta-b:b c,,d");
    line_is("https://h/", "X-Amz-Meta-B: \t b\nx-amz-meta-b: d\nE: 1", 0, FIRST_HEADER + 6,
            "e;host;x-amz-content-sha256;x-amz-date;x-amz-meta-b");
}

/* ---- what is refused ---- */

static void refused(const vp_s3_request *r, const char *word)
{
    vp_s3_credentials c = example();
    vp_bytes *out = (vp_bytes *)&c;
    vp_error err = VP_ERROR_INIT;

    assert_int_equal(vp_s3_sign(r, &c, &out, &err), VP_E_ARG);
    assert_null(out);
    if (!strstr(err.message, word)) fail_msg("%s: wanted %s", err.message, word);
    assert_null(strstr(err.message, c.secret_key));
    assert_int_equal(vp_s3_presign(r, &c, &out, NULL), VP_E_ARG);
}

static void test_refused_urls(void **state)
{
    static const char *const urls[] = { "",
                                        "h",
                                        "//h/",
                                        "ftp://h/",
                                        "https:///a",
                                        "https://",
                                        "https://:80/",
                                        "https://u@h/",
                                        "https://h/#a",
                                        "https://h/%",
                                        "https://h/%4",
                                        "https://h/%zz",
                                        "https://h/a\nb",
                                        "https://h/\x7F",
                                        "https://h:x/",
                                        "https://h:65536/",
                                        "https://h:999999/",
                                        "https://h i/",
                                        "https://h/?a=b+c",
                                        "https://h/?%4g",
                                        "https://h/?X-Amz-Signature=1",
                                        "https://h/?x-amz-%64ate=1" };
    vp_s3_request r = request_of("GET", NULL);

    (void)state;
    refused(&r, "url");
    for (size_t i = 0; i < VPI_COUNT(urls); i++) {
        r.url = urls[i];
        refused(&r, "url");
    }
}

static void test_refused(void **state)
{
    static const char *const headers[] = { "a",
                                           ": b",
                                           "a b: c",
                                           " a: b",
                                           "a: b\x01",
                                           "a: b\rc",
                                           "Host: h",
                                           "authorization: x",
                                           "X-Amz-Date: 1",
                                           "x-amz-content-sha256: 1",
                                           "X-AMZ-Security-Token: 1",
                                           "a: b\nc" };
    vp_s3_request r = request_of("GET", "https://h/"), q;
    vp_bytes *out = NULL;
    vp_s3_credentials c = example();

    (void)state;
    for (size_t i = 0; i < VPI_COUNT(headers); i++) {
        q = r;
        q.headers = headers[i];
        refused(&q, "headers");
    }
#define REFUSED(field, value, word) (q = r, q.field = (value), refused(&q, word))
    REFUSED(method, NULL, "method");
    REFUSED(method, "", "method");
    REFUSED(method, "GET /", "method");
    REFUSED(region, NULL, "region");
    REFUSED(region, "", "region");
    REFUSED(region, "us/east", "region");
    REFUSED(region, "12345678901234567890123456789012345678901234567890123456789012345", "region");
    REFUSED(service, "", "service");
    REFUSED(payload_sha256, "", "payload_sha256");
    REFUSED(payload_sha256, "unsigned", "payload_sha256");
    REFUSED(time_us, -1, "time_us");
    REFUSED(time_us, INT64_MAX, "time_us");
    REFUSED(flags, 0x10, "flags");
    REFUSED(reserved, 1, "flags");
    refused(NULL, "request");
    assert_int_equal(vp_s3_sign(&r, NULL, &out, NULL), VP_E_ARG);
    assert_int_equal(vp_s3_sign(&r, &c, NULL, NULL), VP_E_ARG);
    r.struct_size = 0;
    assert_int_equal(vp_s3_sign(&r, &c, &out, NULL), VP_E_ARG);
}

static void test_refused_credentials(void **state)
{
    vp_s3_request r = request_of("GET", "https://h/");
    static const char *const bad[] = { "", "a b", "a\n", "\xC3\xA9" };
    vp_bytes *out = NULL;

    (void)state;
    for (size_t i = 0; i < 3 * VPI_COUNT(bad) + 2; i++) {
        vp_s3_credentials c = example();
        const char *value = i < 3 * VPI_COUNT(bad) ? bad[i / 3] : NULL;
        vp_error err = VP_ERROR_INIT;

        if (i % 3 == 0) c.access_key = value;
        if (i % 3 == 1) c.secret_key = value;
        if (i % 3 == 2) c.session_token = value;
        assert_int_equal(vp_s3_sign(&r, &c, &out, &err), VP_E_ARG);
        assert_non_null(strstr(err.message, "credentials"));
        assert_null(out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_queries),
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_refused_urls),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_refused_credentials),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
