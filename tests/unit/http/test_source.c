/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A file on a web server, server.py: argv is the Python to run it with and its path. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fault.h"
#include "http/http.h"
#include "io/io.h"
#include "unit/http/server.h"

#define MIB ((size_t)1 << 20)
#define SIZE ((uint64_t)5000000)

static char folder[] = "/tmp/vodpipe-source-XXXXXX";
static int plain_port, tls_port;
static vp_context *context;
static vpi_http *asker;
static uint8_t *room; /* SIZE bytes and one */

static int start(void **state)
{
    int ports[3];

    (void)state;
    if (server_start(folder, ports) != 3) return -1;
    plain_port = ports[0];
    tls_port = ports[1];
    room = malloc(SIZE + 1);
    if (vp_context_new(NULL, &context, NULL) < 0) return -1;
    return vpi_http_new(context, NULL, &asker, NULL);
}

static int stop(void **state)
{
    (void)state;
    free(room);
    vpi_http_free(asker);
    vp_context_unref(context);
    return server_stop(folder);
}

static vp_source *at(const char *scheme, int port, const char *path, const char *headers)
{
    vp_http_options o = VP_HTTP_OPTIONS_INIT;
    vp_error err = VP_ERROR_INIT;
    vp_source *source = NULL;
    char url[512], ca[64];

    snprintf(ca, sizeof(ca), "%s/ca.pem", folder);
    snprintf(url, sizeof(url), "%s://localhost:%d%s", scheme, port, path);
    o.ca_file = ca;
    o.headers = headers;
    if (vp_source_http(context, url, &o, &source, &err) != VP_OK) fail_msg("%s: %s", err.reason, err.message);
    return source;
}

static vp_source *open_file(const char *path)
{
    return at("http", plain_port, path, NULL);
}

/* One line for each request. */
static const char *log_of(const char *name, unsigned *lines)
{
    static char text[8192];
    vpi_http_answer a = { 0 };
    char url[128];
    vpi_http_request r = { .method = "GET", .url = url };

    snprintf(url, sizeof(url), "http://localhost:%d/log/%s", plain_port, name);
    assert_int_equal(vpi_http_request_run(asker, &r, NULL, &a, NULL), VP_OK);
    assert_true(a.body.size < sizeof(text));
    if (a.body.size) memcpy(text, a.body.data, a.body.size);
    text[a.body.size] = 0;
    vpi_http_answer_dispose(&a);
    *lines = text[0] ? 1 : 0;
    for (const char *p = text; *p; p++) *lines += *p == '\n';
    return text;
}

static unsigned requests_of(const char *name)
{
    unsigned lines;

    log_of(name, &lines);
    return lines;
}

static bool good(const uint8_t *p, uint64_t offset, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (p[i] != (offset + i) % 251) return false;
    return true;
}

static void read_good(vp_source *source, uint64_t offset, size_t size)
{
    vp_error err = VP_ERROR_INIT;
    size_t got;

    memset(room, 255, size);
    if (vp_source_read_at(source, offset, room, size, &got, &err) != VP_OK)
        fail_msg("%s: %s", err.reason, err.message);
    assert_int_equal(got, size);
    assert_true(good(room, offset, size));
}

static void read_bad(vp_source *source, uint64_t offset, vp_status status, const char *reason)
{
    vp_error err = VP_ERROR_INIT;
    size_t got;
    vp_status st = vp_source_read_at(source, offset, room, 100, &got, &err);

    if (st != status || strcmp(err.reason, reason) != 0)
        fail_msg("%d %s: %s", (int)st, err.reason, err.message);
    assert_null(strstr(err.message, "size=")); /* never path or query */
}

static void whole(void **state)
{
    vp_source *s = open_file("/file/whole?size=5000000");
    char identity[64];
    uint64_t bytes;
    size_t got;
    unsigned lines;

    (void)state;
    assert_int_equal(requests_of("whole"), 0); /* nothing before the first use */
    assert_int_equal(vp_source_size(s, &bytes, NULL), VP_OK);
    assert_int_equal(bytes, SIZE);
    read_good(s, 0, SIZE);
    read_good(s, 4999999, 1);
    assert_int_equal(vp_source_read_at(s, SIZE, room, 10, &got, NULL), VP_OK);
    assert_int_equal(got, 0);
    assert_int_equal(vp_source_read_at(s, UINT64_MAX - 5, room, 100, &got, NULL), VP_OK);
    assert_int_equal(got, 0);
    assert_int_equal(vp_source_read_at(s, SIZE - 10, room, 100, &got, NULL), VP_OK);
    assert_int_equal(got, 10);
    assert_true(good(room, SIZE - 10, 10));
    assert_int_equal(requests_of("whole"), 5); /* each block once */
    assert_non_null(strstr(log_of("whole", &lines), "bytes=0-1048575 - -\n"));
    assert_non_null(strstr(log_of("whole", &lines), "bytes=1048576-2097151 \"v1\" -"));
    assert_non_null(strstr(log_of("whole", &lines), "bytes=4194304-4999999 \"v1\" -"));
    assert_int_equal(vp_source_identity(s, identity, sizeof(identity), NULL), VP_OK);
    assert_string_equal(identity, "\"v1\"");
    vp_source_unref(s);
}

/* One block for whoever jumps, more for whoever reads on. */
static void reading_ahead(void **state)
{
    vp_source *s = open_file("/file/ahead?size=30000000");

    (void)state;
    read_good(s, 0, 100);
    read_good(s, 20 * MIB, 100);
    read_good(s, 10 * MIB, 100);
    assert_int_equal(requests_of("ahead"), 3);
    read_good(s, 11 * MIB, 100); /* reads on: two more */
    read_good(s, 12 * MIB, 100); /* and on: up to 16 */
    usleep(300000);
    assert_int_equal(requests_of("ahead"), 9);
    for (uint64_t i = 13; i < 17; i++) read_good(s, i * MIB, 100);
    for (uint64_t n = 0; n < 200; n++) read_good(s, n * 7919 * 17 % 29000000, 1000);
    for (uint64_t n = 0; n < 20000000; n += 3000000) read_good(s, n, 3000000);
    vp_source_unref(s);
}

static void tries(void **state)
{
    vp_source *s;
    unsigned lines;

    (void)state;
    s = open_file("/file/tries?size=2000000&plan=503,cut,reset,short,429,cut,ok,cut,500,502,504");
    read_good(s, 0, 2000000);
    /* goes on where it broke */
    assert_non_null(strstr(log_of("tries", &lines), "bytes=524288-1048575 - -"));
    vp_source_unref(s);
    s = open_file("/file/vain?size=2000000&plan=503,503,503,503,503,ok");
    read_bad(s, 0, VP_E_IO, "CONNECTION_FAILED");
    assert_int_equal(requests_of("vain"), 5);
    read_good(s, 0, 100); /* the next one tries anew */
    vp_source_unref(s);
}

static void small(void **state)
{
    vp_source *s = open_file("/file/empty?size=0");
    uint64_t bytes = 1;
    size_t got;

    (void)state;
    assert_int_equal(vp_source_size(s, &bytes, NULL), VP_OK);
    assert_int_equal(bytes, 0);
    assert_int_equal(vp_source_read_at(s, 0, room, 10, &got, NULL), VP_OK);
    assert_int_equal(got, 0);
    vp_source_unref(s);
    s = open_file("/file/small?size=1000&plan=whole");
    read_good(s, 0, 1000);
    vp_source_unref(s);
    s = open_file("/file/large?size=1048577&plan=whole,whole");
    read_bad(s, 0, VP_E_UNSUPPORTED, "UNSUPPORTED");
    vp_source_unref(s);
    /* one that has served ranges does so again; other ranges than the one asked for are none */
    s = open_file("/file/later?size=2000000&plan=ok,whole,wrong");
    read_good(s, 0, 2000000);
    assert_int_equal(requests_of("later"), 4);
    vp_source_unref(s);
    s = open_file(
        "/file/wrong?size=2000000&plan=wrong,wrong,wrong,wrong,wrong,ok,whole,whole,whole,whole,whole");
    read_bad(s, 0, VP_E_IO, "CONNECTION_FAILED");
    read_good(s, 0, 1000);
    read_bad(s, MIB, VP_E_IO, "CONNECTION_FAILED");
    vp_source_unref(s);
}

static void changes(void **state)
{
    static const char *const tags[] = { "", "&tag=weak", "&tag=date" };
    char path[128], identity[64];
    vp_source *s;

    (void)state;
    for (unsigned i = 0; i < 2 * VPI_COUNT(tags); i++) {
        snprintf(path, sizeof(path), "/file/change%u?size=3000000&plan=ok,%s%s", i, i % 2 ? "new" : "newer",
                 tags[i / 2]);
        s = open_file(path);
        read_good(s, 0, 1000);
        read_bad(s, 2 * MIB, VP_E_CONFLICT, "SOURCE_CHANGED");
        read_bad(s, 0, VP_E_CONFLICT, "SOURCE_CHANGED"); /* and stays so */
        vp_source_unref(s);
    }
    /* in the middle of a block */
    s = open_file("/file/middle?size=3000000&plan=cut,newer");
    read_bad(s, 0, VP_E_CONFLICT, "SOURCE_CHANGED");
    vp_source_unref(s);
    /* who asks again hears of it */
    s = open_file("/file/asked?size=3000000&plan=ok,ok,newer");
    assert_int_equal(vp_source_identity(s, identity, sizeof(identity), NULL), VP_OK);
    assert_string_equal(identity, "\"v1\"");
    assert_int_equal(vp_source_identity(s, identity, sizeof(identity), NULL), VP_OK);
    assert_string_equal(identity, "\"v1\"");
    assert_int_equal(vp_source_identity(s, identity, sizeof(identity), NULL), VP_OK);
    assert_string_equal(identity, "\"v2\"");
    vp_source_unref(s);
    s = open_file("/file/nameless?size=3000000&tag=none");
    read_good(s, 0, 3000000);
    assert_int_equal(vp_source_identity(s, identity, sizeof(identity), NULL), VP_OK);
    assert_string_equal(identity, "");
    vp_source_unref(s);
}

static void refusals(void **state)
{
    vp_source *s = open_file("/file/gone?size=10&plan=404,403,401,400");
    vp_http_options o = VP_HTTP_OPTIONS_INIT;
    vp_error err = VP_ERROR_INIT;
    static const char *const urls[] = { "ftp://host/x", "/etc/passwd", "https://", "https://a b/" };

    (void)state;
    read_bad(s, 0, VP_E_IO, "NOT_FOUND");
    for (int i = 0; i < 2; i++) read_bad(s, 0, VP_E_AUTH, "AUTH");
    read_bad(s, 0, VP_E_IO, "CONNECTION_FAILED");
    assert_int_equal(requests_of("gone"), 4);
    vp_source_unref(s);
    for (size_t i = 0; i < VPI_COUNT(urls); i++) {
        assert_int_equal(vp_source_http(context, urls[i], NULL, &s, &err), VP_E_ARG);
        assert_null(s);
    }
    o.headers = "no colon";
    assert_int_equal(vp_source_http(context, "https://localhost/", &o, &s, &err), VP_E_ARG);
    assert_int_equal(vp_source_http(context, NULL, NULL, &s, &err), VP_E_ARG);
    assert_int_equal(vp_source_http(NULL, "https://localhost/", NULL, &s, &err), VP_E_ARG);
    s = at("http", 1, "/file/x?size=5", NULL);
    read_bad(s, 0, VP_E_IO, "CONNECTION_FAILED");
    vp_source_unref(s);
    s = at("https", plain_port, "/file/x?size=5", NULL); /* speaks no TLS */
    read_bad(s, 0, VP_E_IO, "TLS_FAILED");
    vp_source_unref(s);
}

static void redirects(void **state)
{
    char path[256];
    unsigned lines;
    vp_source *s;

    (void)state;
    s = at("https", tls_port, "/to/302//file/moved?size=3000000", "X-Api-Key: abc");
    read_good(s, 0, 3000000);
    assert_non_null(strstr(log_of("moved", &lines), "bytes=0-1048575 - abc"));
    assert_int_equal(lines, 3);
    vp_source_unref(s);
    /* an address that is good no more: from the begin */
    s = at("https", tls_port, "/to/307//file/expires?size=3000000&plan=ok,403", NULL);
    read_good(s, 0, 100);
    read_good(s, 2 * MIB, 100);
    vp_source_unref(s);
    /* another name is another host: the key stays behind, and its certificate is not trusted */
    snprintf(path, sizeof(path), "/to/302/https://127.0.0.1:%d/file/foreign?size=3000000", tls_port);
    s = at("https", tls_port, path, "X-Api-Key: abc");
    read_bad(s, 0, VP_E_IO, "TLS_FAILED");
    vp_source_unref(s);
    /* never down to http, never from it, never in circles */
    snprintf(path, sizeof(path), "/to/302/http://localhost:%d/file/down?size=3000000", plain_port);
    s = at("https", tls_port, path, NULL);
    read_bad(s, 0, VP_E_IO, "CONNECTION_FAILED");
    vp_source_unref(s);
    s = open_file("/to/302//file/from?size=3000000");
    read_bad(s, 0, VP_E_IO, "CONNECTION_FAILED");
    vp_source_unref(s);
    s = at("https", tls_port, "/to/302//to/302//to/302//to/302//to/302//to/302//file/far?size=100", NULL);
    read_bad(s, 0, VP_E_IO, "CONNECTION_FAILED");
    vp_source_unref(s);
    assert_int_equal(requests_of("down") + requests_of("from") + requests_of("far"), 0);
}

/* ---- threads ---- */

static void *read_all(void *arg)
{
    uint8_t *to = malloc(300000);
    intptr_t bad = 0;
    size_t got;

    for (uint64_t n = 0; n < SIZE; n += 300000) {
        if (vp_source_read_at(arg, n, to, 300000, &got, NULL) != VP_OK) bad++;
        if (got != VPI_MIN(300000, SIZE - n) || !good(to, n, got)) bad++;
    }
    free(to);
    return (void *)bad;
}

static void threads(void **state)
{
    vp_source *s = open_file("/file/threads?size=5000000&plan=ok,503,cut,reset");
    pthread_t thread[4];
    void *bad;

    (void)state;
    for (size_t i = 0; i < 4; i++) assert_int_equal(pthread_create(&thread[i], NULL, read_all, s), 0);
    for (size_t i = 0; i < 4; i++) {
        pthread_join(thread[i], &bad);
        assert_null(bad);
    }
    vp_source_unref(s);
}

static void *interrupt(void *arg)
{
    usleep(200000);
    vpi_source_interrupt(arg);
    return NULL;
}

static void *close_context(void *arg)
{
    usleep(200000);
    vp_context_close(arg, NULL);
    return NULL;
}

static void interrupts(void **state)
{
    vp_source *s = open_file("/file/hangs?size=5000000&plan=hang");
    vp_context *own;
    pthread_t thread;
    int64_t began = vpi_now_us();
    char url[128];

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, interrupt, s), 0);
    read_bad(s, 0, VP_E_CANCELED, "CANCELED");
    pthread_join(thread, NULL);
    vp_source_unref(s); /* what is under way ends with it */
    assert_in_range(vpi_now_us() - began, 190000, 3000000);
    s = open_file("/file/waits?size=5000000&plan=503,503,503"); /* between two tries too */
    assert_int_equal(pthread_create(&thread, NULL, interrupt, s), 0);
    size_t got;
    vp_source_read_at(s, 0, room, 100, &got, NULL);
    pthread_join(thread, NULL);
    vp_source_unref(s);
    assert_int_equal(vp_context_new(NULL, &own, NULL), VP_OK);
    snprintf(url, sizeof(url), "http://localhost:%d/file/closes?size=5000000&plan=hang", plain_port);
    assert_int_equal(vp_source_http(own, url, NULL, &s, NULL), VP_OK);
    began = vpi_now_us();
    assert_int_equal(pthread_create(&thread, NULL, close_context, own), 0);
    read_bad(s, 0, VP_E_CANCELED, "CANCELED");
    pthread_join(thread, NULL);
    assert_in_range(vpi_now_us() - began, 190000, 3000000);
    read_bad(s, 0, VP_E_STATE, "STATE");
    vp_source_unref(s);
    vp_context_unref(own);
}

/* Each allocation fails once: of that the read fails, at most. */
static void no_memory(void **state)
{
    char url[128];

    (void)state;
    snprintf(url, sizeof(url), "http://localhost:%d/file/memory?size=3000000", plain_port);
    for (long n = 1;; n++) {
        vp_source *s = NULL;
        vp_error err = VP_ERROR_INIT;
        size_t got = 0;
        vp_status st;
        bool hit;

        vpi_alloc_fail_at = n;
        st = vp_source_http(context, url, NULL, &s, &err);
        if (st == VP_OK) st = vp_source_read_at(s, 0, room, 3000000, &got, &err);
        if (st == VP_OK) assert_true(got == 3000000 && good(room, 0, got));
        vp_source_unref(s);
        hit = vpi_alloc_fail_at <= 0;
        vpi_alloc_fail_at = 0;
        if (st < 0) assert_true(hit && (st == VP_E_NOMEM || st == VP_E_IO));
        if (!hit) break;
        assert_true(n < 300);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole),     cmocka_unit_test(reading_ahead), cmocka_unit_test(tries),
        cmocka_unit_test(small),     cmocka_unit_test(changes),       cmocka_unit_test(refusals),
        cmocka_unit_test(redirects), cmocka_unit_test(threads),       cmocka_unit_test(interrupts),
        cmocka_unit_test(no_memory),
    };

    if (argc != 3) return 77;
    arguments = argv;
    return cmocka_run_group_tests(tests, start, stop);
}
