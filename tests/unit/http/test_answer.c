/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/http.h"

static void origins(void **state)
{
    static const char *const cases[][2] = {
        { "https://Keys.Example/speke?token=secret", "https://keys.example" },
        { "http://user:pass@host:8080/x", "http://host:8080" },
        { "HTTPS://a@b@host#f", "https://host" },
        { "https://[::1]:443/", "https://[::1]:443" },
        { "https://u:p/@w@host/", "?" }, /* the authority ends at the slash: what is before it is no host */
        { "https://ho st/", "?" },
        { "https://host\"/", "?" },
        { "https://", "?" },
        { "https:///path", "?" },
        { "https://user@/path", "?" },
        { "ftp://host/", "?" },
        { "host", "?" },
        { "", "?" },
    };
    char to[64];

    (void)state;
    for (size_t i = 0; i < VPI_COUNT(cases); i++) {
        vpi_http_origin(cases[i][0], to, sizeof(to));
        if (strncmp(cases[i][0], "https://u:p/", 12) == 0) {
            assert_null(strstr(to, "@"));
            continue;
        }
        assert_string_equal(to, cases[i][1]);
    }
    vpi_http_origin("https://a-host-that-is-too-long-for-the-room", to, 20);
    assert_string_equal(to, "?");
}

static void headers(void **state)
{
    vpi_http_answer a = { 0 };
    char to[16];

    (void)state;
    assert_false(vpi_http_header(&a, "Location", to, sizeof(to)));
    vpi_buf_str(&a.headers, "Content-Type:  application/xml\nretry-after:7\nRetry-After: 8\nEmpty:\nlast: x");
    assert_true(vpi_http_header(&a, "Retry-After", to, sizeof(to)));
    assert_string_equal(to, "7");
    assert_true(vpi_http_header(&a, "content-type", to, sizeof(to)));
    assert_string_equal(to, "application/xml");
    assert_true(vpi_http_header(&a, "empty", to, sizeof(to)));
    assert_string_equal(to, "");
    assert_true(vpi_http_header(&a, "LAST", to, sizeof(to)));
    assert_string_equal(to, "x");
    assert_false(vpi_http_header(&a, "Content", to, sizeof(to)));
    assert_true(vpi_http_header(&a, "content-type", to, 4));
    assert_string_equal(to, "app");
    vpi_http_answer_dispose(&a);
    assert_null(a.headers.data);
}

static void retryable(void **state)
{
    (void)state;
    assert_true(vpi_http_retryable(500) && vpi_http_retryable(503) && vpi_http_retryable(429) &&
                vpi_http_retryable(408));
    assert_false(vpi_http_retryable(200) || vpi_http_retryable(302) || vpi_http_retryable(400) ||
                 vpi_http_retryable(401) || vpi_http_retryable(403) || vpi_http_retryable(422) ||
                 vpi_http_retryable(501) || vpi_http_retryable(600));
}

/* An answer as it came, and its head and body; NULL: it is none. */
static void parsing(void **state)
{
    static const struct {
        const char *from;
        int status;
        const char *headers, *body;
    } t[] = {
        { "HTTP/1.1 403 Forbidden\r\nA: b\r\nContent-Length: 2\r\n\r\nno", 403, "A: b\nContent-Length: 2\n",
          "no" },
        { "HTTP/1.0 500\nA: b\n\ncut", 500, "A: b\n", "cut" },
        { "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 417 \r\nB: c\r\n\r\n", 417, "B: c\n", "" },
        { "HTTP/1.1 400 x\r\ntransfer-encoding: chunked\r\n\r\n3;a=b\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n",
          400, "transfer-encoding: chunked\n", "abc0123456789" },
        { "HTTP/1.1 400 x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nff\r\ncut", 400,
          "transfer-encoding: chunked\n", "abccut" },
        { "HTTP/1.1 400 x\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffffffffff\r\ncut", 400,
          "transfer-encoding: chunked\n", NULL },
        { "HTTP/1.1 400 x\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\ncut", 400,
          "transfer-encoding: chunked\n", "" },
        { "HTTP/1.1 403 Forbidden\r\nA: b\r\n", 0, NULL, NULL },
        { "HTTP/1.1 100 Continue\r\n\r\n", 0, NULL, NULL },
        { "HTTP/2 403 x\r\n\r\n", 0, NULL, NULL },
        { "HTTP/1.1 4x3 x\r\n\r\n", 0, NULL, NULL },
        { "HTTP/1.1 099 x\r\n\r\n", 0, NULL, NULL },
        { "", 0, NULL, NULL },
    };

    (void)state;
    for (size_t i = 0; i < VPI_COUNT(t); i++) {
        vpi_http_answer a = { 0 };

        assert_int_equal(vpi_http_parse(t[i].from, strlen(t[i].from), &a), t[i].status != 0);
        if (t[i].status) {
            assert_int_equal(a.status, t[i].status);
            assert_int_equal(a.headers.size, strlen(t[i].headers));
            assert_memory_equal(a.headers.data, t[i].headers, a.headers.size);
            if (t[i].body) {
                assert_int_equal(a.body.size, strlen(t[i].body));
                if (a.body.size) assert_memory_equal(a.body.data, t[i].body, a.body.size);
            }
        }
        vpi_http_answer_dispose(&a);
    }
}

static void ranges(void **state)
{
    static const struct {
        const char *text;
        uint64_t first, last, total; /* total 0 and first 0: none */
    } t[] = {
        { "bytes 0-9/100", 0, 9, 100 },
        { "Bytes 90-99/100", 90, 99, 100 },
        { "bytes */100", 1, 0, 100 },
        { "bytes 0-0/9223372036854775807", 0, 0, INT64_MAX },
        { "bytes 0-9/*", 0, 0, 0 },
        { "bytes 0-100/100", 0, 0, 0 },
        { "bytes 9-0/100", 0, 0, 0 },
        { "bytes 0-9/9223372036854775808", 0, 0, 0 },
        { "bytes 0-9/99999999999999999999999999", 0, 0, 0 },
        { "bytes -9/100", 0, 0, 0 },
        { "lines 0-9/100", 0, 0, 0 },
        { "bytes", 0, 0, 0 },
        { "", 0, 0, 0 },
    };

    (void)state;
    for (size_t i = 0; i < VPI_COUNT(t); i++) {
        vpi_http_answer a = { 0 };
        uint64_t first = 0, last = 0, total = 0;
        bool good;

        vpi_buf_printf(&a.headers, "A: b\nContent-Range: %s\n", t[i].text);
        good = vpi_http_content_range(&a, &first, &last, &total);
        assert_int_equal(good, t[i].total != 0);
        if (good) {
            assert_int_equal(first, t[i].first);
            assert_int_equal(last, t[i].last);
            assert_int_equal(total, t[i].total);
        }
        vpi_http_answer_dispose(&a);
    }
}

static void options(void **state)
{
    vp_http_options macro = VP_HTTP_OPTIONS_INIT, init;

    (void)state;
    memset(&init, 0xA5, sizeof(init));
    vp_http_options_init(&init, sizeof(init));
    assert_memory_equal(&macro, &init, sizeof(init));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(origins), cmocka_unit_test(headers), cmocka_unit_test(retryable),
        cmocka_unit_test(parsing), cmocka_unit_test(ranges),  cmocka_unit_test(options),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
