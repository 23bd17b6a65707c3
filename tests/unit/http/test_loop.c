/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Many requests at a time against server.py: argv is the Python to run it with and its path. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "http/loop.h"
#include "unit/http/server.h"

#define BIG ((size_t)8 << 20)

static char folder[] = "/tmp/vodpipe-loop-XXXXXX";
static int plain_port, tls_port;
static vp_context *context;
static uint8_t *big; /* BIG bytes */

static int start(void **state)
{
    int ports[3];

    (void)state;
    if (server_start(folder, ports) != 3) return -1;
    plain_port = ports[0];
    tls_port = ports[1];
    big = malloc(BIG);
    for (size_t i = 0; i < BIG; i++) big[i] = (uint8_t)(i * 2654435761u >> 13);
    return vp_context_new(NULL, &context, NULL);
}

static int stop(void **state)
{
    (void)state;
    free(big);
    vp_context_unref(context);
    return server_stop(folder);
}

/* libcurl's own: this many sends go their way, the one after them waits until the server has closed. -1: all go. */
static atomic_int sends_before_end = -1;

ssize_t send(int fd, const void *data, size_t size, int flags)
{
    int left = atomic_load(&sends_before_end);

    if (left > 0) {
        atomic_fetch_sub(&sends_before_end, 1);
    } else if (left == 0) {
        struct pollfd p = { .fd = fd };

        poll(&p, 1, 20000); /* POLLHUP or POLLERR */
    }
    return sendto(fd, data, size, flags, NULL, 0);
}

static vpi_loop *new_loop(uint32_t connections)
{
    vp_http_options o = VP_HTTP_OPTIONS_INIT;
    vp_error err = VP_ERROR_INIT;
    vpi_loop *loop = NULL;
    char ca[64];

    snprintf(ca, sizeof(ca), "%s/ca.pem", folder);
    o.ca_file = ca;
    o.headers = "X-Api-Key: abc";
    assert_int_equal(vpi_loop_new(context, &o, connections, &loop, &err), VP_OK);
    return loop;
}

/* ---- a call and whoever waits for it ---- */

typedef struct asked {
    vpi_call call;
    char url[256];
    vp_status status;
    bool done;
    int again;      /* started so often again from done */
    unsigned order; /* of its end */
    vpi_loop *loop;
} asked;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t news = PTHREAD_COND_INITIALIZER;
static unsigned ends;

static void on_done(vpi_call *call, vp_status status)
{
    asked *a = call->user;

    assert_true(vpi_loop_here(a->loop));
    if (status == VP_OK && a->again > 0) {
        a->again--;
        assert_int_equal(vpi_loop_start(a->loop, call, NULL), VP_OK);
        return;
    }
    pthread_mutex_lock(&lock);
    a->status = status;
    a->order = ends++;
    a->done = true;
    pthread_cond_broadcast(&news);
    pthread_mutex_unlock(&lock);
}

static asked *prepare(vpi_loop *loop, asked *a, const char *method, const char *path)
{
    vpi_http_answer_dispose(&a->call.answer);
    memset(a, 0, sizeof(*a));
    a->loop = loop;
    snprintf(a->url, sizeof(a->url), "http://127.0.0.1:%d%s", plain_port, path);
    a->call = (vpi_call){ .method = method, .url = a->url, .done = on_done, .user = a };
    return a;
}

static void go(asked *a)
{
    vp_error err = VP_ERROR_INIT;

    pthread_mutex_lock(&lock);
    a->done = false;
    pthread_mutex_unlock(&lock);
    if (vpi_loop_start(a->loop, &a->call, &err) != VP_OK) fail_msg("%s: %s", err.reason, err.message);
}

static vp_status await(asked *a)
{
    pthread_mutex_lock(&lock);
    while (!a->done) pthread_cond_wait(&news, &lock);
    pthread_mutex_unlock(&lock);
    return a->status;
}

static vp_status run(asked *a)
{
    go(a);
    return await(a);
}

static void drop(asked *a)
{
    vpi_http_answer_dispose(&a->call.answer);
}

static void expect(const asked *a, vp_status status, const char *reason)
{
    const vp_error *err = &a->call.err;

    if (a->status != status || strcmp(err->reason, reason) != 0)
        fail_msg("%s: %d %s: %s (HTTP %d)", a->url, (int)a->status, err->reason, err->message,
                 a->call.answer.status);
}

static void expect_status(const asked *a, int status)
{
    expect(a, VP_OK, "");
    assert_int_equal(a->call.answer.status, status);
}

static bool contains(const vpi_buf *b, const char *text)
{
    return b->data && memmem(b->data, b->size, text, strlen(text)) != NULL;
}

static uint32_t crc32_of(const uint8_t *p, size_t n)
{
    uint32_t c = ~0u;

    while (n-- > 0) {
        c ^= *p++;
        for (int i = 0; i < 8; i++) c = c >> 1 ^ (c & 1 ? 0xEDB88320u : 0);
    }
    return ~c;
}

/* What /sum answers for these bytes. */
static const char *sum_of(const char *method, const uint8_t *p, size_t n)
{
    static char text[64];

    snprintf(text, sizeof(text), "%s %zu %08x -", method, n, crc32_of(p, n));
    return text;
}

/* ---- what goes and comes ---- */

static void methods(void **state)
{
    vpi_loop *loop = new_loop(2);
    asked a = { 0 };

    (void)state;
    prepare(loop, &a, "PUT", "/echo/a/../b%2Fc+d?x=%20y");
    a.call.body = "put";
    a.call.body_size = 3;
    a.call.headers = "Authorization: sign\nContent-Type: video/mp4";
    run(&a);
    expect_status(&a, 200);
    assert_true(contains(&a.call.answer.body, "PUT /echo/a/../b%2Fc+d?x=%20y\n"));
    assert_true(contains(&a.call.answer.body, "\n\nput"));
    assert_true(contains(&a.call.answer.body, "authorization: sign\n"));
    assert_true(contains(&a.call.answer.body, "x-api-key: abc\n"));
    assert_true(contains(&a.call.answer.body, "content-type: video/mp4\n"));
    assert_true(contains(&a.call.answer.body, "content-length: 3\n"));
    assert_true(contains(&a.call.answer.body, "user-agent: vodpipe/"));
    assert_false(contains(&a.call.answer.body, "expect:") ||
                 contains(&a.call.answer.body, "accept-encoding:"));
    assert_int_equal(a.call.sent, 3);
    assert_false(a.call.reused);
    /* the same handle with other methods: nothing of the call before stays */
    static const char *const empty[] = { "PUT", "POST" };
    for (size_t i = 0; i < 2; i++) {
        prepare(loop, &a, empty[i], "/echo");
        run(&a);
        expect_status(&a, 200);
        assert_true(contains(&a.call.answer.body, empty[i]));
        assert_true(contains(&a.call.answer.body, "content-length: 0\n"));
        assert_false(contains(&a.call.answer.body, "authorization"));
        assert_false(contains(&a.call.answer.body, "content-type"));
        assert_true(a.call.reused);
    }
    prepare(loop, &a, "POST", "/echo");
    a.call.fresh = true; /* none that waits is used */
    run(&a);
    expect_status(&a, 200);
    assert_false(a.call.reused);
    prepare(loop, &a, "HEAD", "/echo");
    run(&a);
    expect_status(&a, 200);
    assert_true(a.call.reused);
    assert_int_equal(a.call.answer.body.size, 0);
    assert_true(contains(&a.call.answer.headers, "X-Port: "));
    static const char *const bare[] = { "DELETE", "GET" };
    for (size_t i = 0; i < 2; i++) {
        prepare(loop, &a, bare[i], "/echo");
        run(&a);
        expect_status(&a, 200);
        assert_true(contains(&a.call.answer.body, bare[i]));
        assert_false(contains(&a.call.answer.body, "content-length"));
        assert_int_equal(a.call.received, a.call.answer.body.size);
    }
    prepare(loop, &a, "POST", "/sum");
    a.call.body = big;
    a.call.body_size = BIG;
    run(&a);
    expect_status(&a, 200);
    assert_true(contains(&a.call.answer.body, sum_of("POST", big, BIG)));
    assert_int_equal(a.call.sent, BIG);
    drop(&a);
    vpi_loop_free(loop);
}

static void tls(void **state)
{
    vpi_loop *loop = new_loop(4);
    asked a[4] = { 0 };

    (void)state;
    for (size_t i = 0; i < VPI_COUNT(a); i++) {
        prepare(loop, &a[i], "PUT", "");
        snprintf(a[i].url, sizeof(a[i].url), "https://localhost:%d/sum", tls_port);
        a[i].call.body = big;
        a[i].call.body_size = BIG / 4;
        go(&a[i]);
    }
    for (size_t i = 0; i < VPI_COUNT(a); i++) {
        await(&a[i]);
        expect_status(&a[i], 200);
        assert_true(contains(&a[i].call.answer.body, sum_of("PUT", big, BIG / 4)));
    }
    /* the certificate is of localhost */
    snprintf(a[0].url, sizeof(a[0].url), "https://127.0.0.1:%d/sum?t=secret", tls_port);
    run(&a[0]);
    expect(&a[0], VP_E_IO, "TLS_FAILED");
    assert_null(strstr(a[0].call.err.message, "secret"));
    for (size_t i = 0; i < VPI_COUNT(a); i++) drop(&a[i]);
    vpi_loop_free(loop);
}

/* The body of 200 and 206 goes where it is wanted, that of a refusal not. */
static void straight(void **state)
{
    vpi_loop *loop = new_loop(2);
    uint8_t *room = malloc(100001);
    asked a = { 0 };

    (void)state;
    prepare(loop, &a, "GET", "/bytes/100000");
    memset(room, 1, 100001);
    a.call.to = room;
    a.call.to_capacity = 100000;
    run(&a);
    expect_status(&a, 200);
    assert_int_equal(a.call.to_size, 100000);
    assert_int_equal(a.call.answer.body.size, 0);
    assert_int_equal(room[99999], 0);
    assert_int_equal(room[100000], 1);
    a.call.to_capacity = 99999;
    run(&a);
    expect(&a, VP_E_LIMIT, "INPUT_LIMIT");
    snprintf(a.url, sizeof(a.url), "http://127.0.0.1:%d/status/404", plain_port);
    run(&a);
    expect_status(&a, 404);
    assert_int_equal(a.call.to_size, 0);
    assert_memory_equal(a.call.answer.body.data, "why", 3);
    drop(&a);
    free(room);
    vpi_loop_free(loop);
}

static void limits(void **state)
{
    vpi_loop *loop = new_loop(2);
    asked a = { 0 };

    (void)state;
    prepare(loop, &a, "GET", "/chunks/5000");
    a.call.max_body = 5000;
    run(&a);
    expect_status(&a, 200);
    assert_int_equal(a.call.answer.body.size, 5000);
    prepare(loop, &a, "GET", "/chunks/5001");
    a.call.max_body = 5000;
    run(&a);
    expect(&a, VP_E_LIMIT, "INPUT_LIMIT");
    prepare(loop, &a, "GET", "/bytes/10000000");
    run(&a);
    expect(&a, VP_E_LIMIT, "INPUT_LIMIT");
    prepare(loop, &a, "GET", "/headers/60");
    run(&a);
    expect_status(&a, 200);
    prepare(loop, &a, "GET", "/headers/90");
    run(&a);
    expect(&a, VP_E_LIMIT, "INPUT_LIMIT");
    prepare(loop, &a, "GET", "/to/307/http://127.0.0.1:1/echo");
    run(&a);
    expect_status(&a, 307);
    drop(&a);
    vpi_loop_free(loop);
}

static void wrong_calls(void **state)
{
    vpi_loop *loop = new_loop(1);
    asked a = { 0 };

    (void)state;
    prepare(loop, &a, "GET", "/echo");
    a.call.headers = "A: b\rC: d";
    run(&a);
    expect(&a, VP_E_ARG, "ARG");
    static const char *const urls[] = { "ftp://host/?secret", "file:///etc/passwd",
                                        "https://u:secret@ho st/" };
    for (size_t i = 0; i < VPI_COUNT(urls); i++) {
        prepare(loop, &a, "GET", "");
        snprintf(a.url, sizeof(a.url), "%s", urls[i]);
        run(&a);
        expect(&a, VP_E_ARG, "ARG");
        assert_null(strstr(a.call.err.message, "secret"));
    }
    assert_string_equal(a.call.err.op, "http");
    vpi_loop_free(loop);
    vp_error err = VP_ERROR_INIT;
    assert_int_equal(vpi_loop_new(context, NULL, 0, &loop, &err), VP_E_ARG);
    assert_null(loop);
}

/* ---- whose turn it is ---- */

static void many(void **state)
{
    enum { CALLS = 200 };
    vpi_loop *loop = new_loop(8);
    asked *a = calloc(CALLS, sizeof(*a)), most = { 0 };
    char most_text[8] = { 0 };
    unsigned reused = 0;

    (void)state;
    prepare(loop, &most, "GET", "/most");
    run(&most);
    for (size_t i = 0; i < CALLS; i++) {
        prepare(loop, &a[i], i % 3 ? "GET" : "PUT", i % 3 == 1 ? "/wait/5" : "/sum");
        if (i % 3 == 0) a[i].call.body = big + i, a[i].call.body_size = 100000 + i;
        go(&a[i]);
    }
    for (size_t i = 0; i < CALLS; i++) {
        await(&a[i]);
        expect_status(&a[i], 200);
        if (i % 3 == 0) assert_true(contains(&a[i].call.answer.body, sum_of("PUT", big + i, 100000 + i)));
        reused += a[i].call.reused;
        drop(&a[i]);
    }
    assert_true(reused >= CALLS - 8);
    run(&most);
    memcpy(most_text, most.call.answer.body.data, most.call.answer.body.size);
    assert_in_range(atoi(most_text), 1, 8);
    drop(&most);
    free(a);
    vpi_loop_free(loop);
}

/* With one connection calls end in the order of their start; a call starts again from done, behind those that wait. */
static void order(void **state)
{
    vpi_loop *loop = new_loop(1);
    asked a[10] = { 0 };

    (void)state;
    for (size_t i = 0; i < VPI_COUNT(a); i++) prepare(loop, &a[i], "GET", "/echo");
    a[0].again = 3;
    for (size_t i = 0; i < VPI_COUNT(a); i++) go(&a[i]);
    for (size_t i = 0; i < VPI_COUNT(a); i++) {
        await(&a[i]);
        expect_status(&a[i], 200);
        if (i > 1) assert_true(a[i].order > a[i - 1].order);
        drop(&a[i]);
    }
    assert_true(a[0].order > a[9].order);
    vpi_loop_free(loop);
}

/* ---- ends before the end ---- */

static void cancels(void **state)
{
    vpi_loop *loop = new_loop(4);
    static const char *const paths[] = { "/hang", "/deaf", "/drip", "/wait/5000", "/echo", "/echo" };
    asked a[VPI_COUNT(paths)] = { 0 };
    int64_t began = vpi_now_us();

    (void)state;
    for (size_t i = 0; i < VPI_COUNT(paths); i++) { /* the last two wait for their turn */
        prepare(loop, &a[i], "PUT", paths[i]);
        if (i == 1) a[i].call.body = big, a[i].call.body_size = BIG;
        go(&a[i]);
    }
    vpi_loop_cancel(loop, &a[4].call);
    await(&a[4]);
    expect(&a[4], VP_E_CANCELED, "CANCELED");
    usleep(200000);
    for (size_t i = 0; i < 4; i++) {
        vpi_loop_cancel(loop, &a[i].call);
        vpi_loop_cancel(loop, &a[i].call);
    }
    for (size_t i = 0; i < 4; i++) {
        await(&a[i]);
        expect(&a[i], VP_E_CANCELED, "CANCELED");
    }
    await(&a[5]);
    expect_status(&a[5], 200);
    vpi_loop_cancel(loop, &a[5].call); /* not running: nothing */
    /* cancelled again before anything happened, and started again */
    for (int n = 0; n < 20; n++) {
        prepare(loop, &a[0], "GET", "/wait/2000");
        go(&a[0]);
        usleep((unsigned)n * 100);
        vpi_loop_cancel(loop, &a[0].call);
        await(&a[0]);
        expect(&a[0], VP_E_CANCELED, "CANCELED");
    }
    assert_in_range(vpi_now_us() - began, 190000, 20000000);
    for (size_t i = 0; i < VPI_COUNT(paths); i++) drop(&a[i]);
    vpi_loop_free(loop);
}

static void deadlines(void **state)
{
    vpi_loop *loop = new_loop(1);
    static const char *const paths[] = { "/hang", "/deaf", "/drip", "/wait/5000" };
    asked a[2] = { 0 };

    (void)state;
    for (size_t i = 0; i < VPI_COUNT(paths); i++) {
        int64_t began = vpi_now_us();

        prepare(loop, &a[0], "PUT", paths[i]);
        a[0].call.deadline_ms = i == 3 ? 1500 : 200;
        a[0].call.body = big;
        a[0].call.body_size = BIG;
        prepare(loop, &a[1], "GET", "/wait/50");
        a[1].call.deadline_ms = 1400; /* from when its turn comes */
        go(&a[0]);
        go(&a[1]);
        await(&a[0]);
        expect(&a[0], VP_E_LIMIT, "TIMEOUT");
        assert_true(a[0].call.err.flags & VP_ERRF_RETRYABLE);
        assert_in_range(vpi_now_us() - began, 199000, 4000000);
        await(&a[1]);
        expect_status(&a[1], 200);
    }
    drop(&a[0]);
    drop(&a[1]);
    vpi_loop_free(loop);
}

/* Silence in both directions; a server that says a byte now and then is not silent. */
static void stalls(void **state)
{
    vpi_loop *loop = new_loop(4);
    static const char *const paths[] = { "/hang", "/deaf", "/wait/3000", "/drip" };
    asked a[VPI_COUNT(paths)] = { 0 };
    int64_t began = vpi_now_us();

    (void)state;
    for (size_t i = 0; i < VPI_COUNT(paths); i++) {
        prepare(loop, &a[i], i == 2 ? "GET" : "PUT", paths[i]);
        a[i].call.stall_ms = i == 3 ? 1500 : 400;
        a[i].call.deadline_ms = i == 3 ? 1800 : 20000;
        if (i != 2) a[i].call.body = big, a[i].call.body_size = i == 3 ? 10 : BIG;
        go(&a[i]);
    }
    for (size_t i = 0; i < VPI_COUNT(paths); i++) {
        await(&a[i]);
        expect(&a[i], VP_E_LIMIT, "TIMEOUT");
        if (i < 3) {
            assert_in_range(vpi_now_us() - began, 399000, 4000000);
        } else { /* not before its deadline */
            assert_true(vpi_now_us() - began >= 1799000);
            assert_true(a[3].call.received >= 5);
        }
        drop(&a[i]);
    }
    vpi_loop_free(loop);
}

/* ---- answers that come early, connections that go ---- */

static void early_answers(void **state)
{
    enum { CALLS = 16 };
    vpi_loop *loop = new_loop(8);
    asked a[CALLS] = { 0 };
    static const char *const paths[] = { "/early/403", "/early/403/20", "/early/503/5", "/early/301" };

    (void)state;
    for (int round = 0; round < 4; round++) {
        for (size_t i = 0; i < CALLS; i++) {
            prepare(loop, &a[i], "PUT", paths[i % VPI_COUNT(paths)]);
            a[i].call.body = big;
            a[i].call.body_size = BIG;
            go(&a[i]);
        }
        for (size_t i = 0; i < CALLS; i++) {
            await(&a[i]);
            expect_status(&a[i], atoi(paths[i % VPI_COUNT(paths)] + 7));
            assert_memory_equal(a[i].call.answer.body.data, "early", 5);
            drop(&a[i]);
        }
    }
    vpi_loop_free(loop);
}

static void expectations(void **state)
{
    vpi_loop *loop = new_loop(2);
    asked a = { 0 };
    int64_t began;

    (void)state;
    /* the server says 100, not at all, or 417 */
    static const char *const paths[] = { "/sum", "/no100", "/417" };
    for (size_t i = 0; i < VPI_COUNT(paths); i++) {
        prepare(loop, &a, "PUT", paths[i]);
        a.call.body = big;
        a.call.body_size = BIG;
        a.call.expect_ms = 100;
        began = vpi_now_us();
        run(&a);
        if (i == 1) assert_true(vpi_now_us() - began >= 99000);
        if (i == 2 && a.call.answer.status == 417) continue;
        expect_status(&a, 200);
        assert_true(contains(&a.call.answer.body, i == 2 ? "-" : "100-continue"));
        assert_true(memmem(a.call.answer.body.data, a.call.answer.body.size, sum_of("PUT", big, BIG),
                           strlen(sum_of("PUT", big, BIG)) - 1) != NULL);
    }
    prepare(loop, &a, "PUT", "/echo");
    a.call.body = big;
    a.call.body_size = 10;
    run(&a);
    expect_status(&a, 200);
    assert_false(contains(&a.call.answer.body, "expect"));
    /* refused before the body was sent */
    prepare(loop, &a, "PUT", "/early/403");
    a.call.body = big;
    a.call.body_size = BIG;
    a.call.expect_ms = 2000;
    run(&a);
    expect_status(&a, 403);
    drop(&a);
    vpi_loop_free(loop);
}

/* The server says 100, and refuses when the body has begun; libcurl meets the end of the connection before it reads. */
static void refused_in_body(void **state)
{
    vpi_loop *loop = new_loop(1);
    asked a = { 0 };

    (void)state;
    for (int expect = 0; expect < 2; expect++) {
        prepare(loop, &a, "PUT", "/allowed/403");
        a.call.body = big;
        a.call.body_size = BIG;
        a.call.expect_ms = expect ? 5000 : 0;
        atomic_store(&sends_before_end, 2);
        run(&a);
        assert_int_equal(atomic_exchange(&sends_before_end, -1), 0);
        expect_status(&a, 403);
        assert_memory_equal(a.call.answer.body.data, "early", 5);
        drop(&a);
    }
    vpi_loop_free(loop);
}

/* ---- bodies that are read while they go ---- */

typedef struct reading {
    uint64_t until;         /* fails there; UINT64_MAX: never */
    uint64_t begins, reads; /* from 0 on; in all */
    size_t most;
} reading;

static size_t read_big(void *user, uint64_t at, void *to, size_t room, vp_error *err)
{
    reading *r = user;
    size_t n = VPI_MIN(VPI_MIN(room, r->most), (size_t)(BIG - at));

    r->reads++;
    r->begins += at == 0;
    assert_true(room > 0 && at < BIG && n > 0);
    if (at >= r->until) {
        vpi_fail(err, VP_E_CONFLICT, "SOURCE_CHANGED", "another one");
        return 0;
    }
    memcpy(to, big + at, n);
    return n;
}

static void prepare_reading(vpi_loop *loop, asked *a, const char *path, reading *r)
{
    *r = (reading){ .until = UINT64_MAX, .most = SIZE_MAX };
    prepare(loop, a, "PUT", path);
    a->call.read = read_big;
    a->call.read_user = r;
    a->call.body_size = BIG;
}

static void read_bodies(void **state)
{
    vpi_loop *loop = new_loop(1);
    asked a = { 0 };
    reading r;
    uint32_t again = 0;

    (void)state;
    /* at once, after 100, after none, anew after 417; as much as there is room for, and little by little */
    static const char *const paths[] = { "/sum", "/no100", "/417", "/sum" };
    for (size_t i = 0; i < VPI_COUNT(paths); i++) {
        prepare_reading(loop, &a, paths[i], &r);
        if (i == 3) r.most = 5001;
        a.call.expect_ms = i && i < 3 ? 100 : 0;
        run(&a);
        if (i == 2 && a.call.answer.status == 417) continue;
        expect_status(&a, 200);
        assert_true(memmem(a.call.answer.body.data, a.call.answer.body.size, sum_of("PUT", big, BIG),
                           strlen(sum_of("PUT", big, BIG)) - 1) != NULL);
        assert_true(r.begins >= 1 && r.reads >= (i == 3 ? BIG / 5001 : 1));
        assert_int_equal(a.call.sent, BIG);
    }
    /* nothing of it stays for the next ones */
    prepare(loop, &a, "PUT", "/echo");
    run(&a);
    expect_status(&a, 200);
    assert_true(contains(&a.call.answer.body, "content-length: 0\n"));
    prepare(loop, &a, "PUT", "/echo");
    a.call.body = "put";
    a.call.body_size = 3;
    run(&a);
    expect_status(&a, 200);
    assert_true(contains(&a.call.answer.body, "\n\nput"));
    /* on a connection that the server closes meanwhile: once more from the start */
    prepare(loop, &a, "GET", "/echo");
    run(&a);
    expect_status(&a, 200);
    assert_int_equal(a.call.sends, 1);
    for (int i = 0; i < 3; i++) {
        prepare_reading(loop, &a, "/once", &r);
        run(&a);
        expect_status(&a, 200);
        assert_true(a.call.sends >= 1 && a.call.sends <= 2);
        again += a.call.sends - 1;
        assert_true(contains(&a.call.answer.body, sum_of("PUT", big, BIG)));
    }
    assert_true(again > 0); /* and that is told */
    /* what the reader says is what the call ends with, and is not to be tried again */
    for (uint64_t until = 0; until < BIG; until += BIG / 2) {
        prepare_reading(loop, &a, "/sum", &r);
        r.until = until;
        run(&a);
        assert_int_equal(a.status, VP_E_CONFLICT);
        assert_string_equal(a.call.err.reason, "SOURCE_CHANGED");
        assert_int_equal(a.call.err.flags & VP_ERRF_RETRYABLE, 0);
    }
    prepare(loop, &a, "GET", "/echo");
    run(&a);
    expect_status(&a, 200);
    drop(&a);
    vpi_loop_free(loop);
}

/* A connection that waited is gone: before the request, and in the middle of its body. */
static void idle_ends(void **state)
{
    vpi_loop *loop = new_loop(1);
    asked a = { 0 };

    (void)state;
    prepare(loop, &a, "GET", "/bye");
    run(&a);
    expect_status(&a, 200);
    usleep(100000);
    prepare(loop, &a, "PUT", "/sum");
    a.call.body = big;
    a.call.body_size = BIG;
    run(&a);
    expect_status(&a, 200);
    assert_true(contains(&a.call.answer.body, sum_of("PUT", big, BIG)));
    assert_false(a.call.reused);
    for (int i = 0; i < 5; i++) {
        prepare(loop, &a, "PUT", "/once");
        a.call.body = big;
        a.call.body_size = i % 2 ? 10 : BIG;
        run(&a);
        expect_status(&a, 200);
        assert_true(contains(&a.call.answer.body, sum_of("PUT", big, a.call.body_size)));
        assert_false(a.call.reused);
    }
    prepare(loop, &a, "GET", "/echo");
    run(&a);
    assert_true(a.call.reused);
    drop(&a);
    vpi_loop_free(loop);
}

static void broken(void **state)
{
    vpi_loop *loop = new_loop(2);
    uint8_t *room = malloc(1000000);
    asked a = { 0 };

    (void)state;
    prepare(loop, &a, "GET", "/cut");
    run(&a);
    expect(&a, VP_E_IO, "CONNECTION_FAILED");
    assert_true(a.call.err.flags & VP_ERRF_RETRYABLE);
    prepare(loop, &a, "GET", "/reset/300000");
    a.call.to = room;
    a.call.to_capacity = 1000000;
    run(&a);
    expect(&a, VP_E_IO, "CONNECTION_FAILED");
    assert_in_range(a.call.to_size, 0, 300000);
    prepare(loop, &a, "GET", "");
    snprintf(a.url, sizeof(a.url), "http://user:pass@127.0.0.1:1/x?token=secret");
    run(&a);
    expect(&a, VP_E_IO, "CONNECTION_FAILED");
    assert_null(strstr(a.call.err.message, "secret"));
    assert_null(strstr(a.call.err.message, "pass"));
    drop(&a);
    free(room);
    vpi_loop_free(loop);
}

/* ---- timers ---- */

typedef struct ticking {
    vpi_timer timer;
    vpi_loop *loop;
    int left, ends;
    int64_t at_us[4];
    int count;
    asked *start;
} ticking;

static void on_tick(vpi_timer *timer, bool ended)
{
    ticking *t = timer->user;

    pthread_mutex_lock(&lock);
    if (ended) t->ends++;
    if (t->count < 4) t->at_us[t->count] = vpi_now_us();
    t->count++;
    if (!ended && --t->left > 0) {
        timer->at_us = vpi_now_us() + 30000;
        assert_int_equal(vpi_loop_timer(t->loop, timer, NULL), VP_OK);
    }
    pthread_cond_broadcast(&news);
    pthread_mutex_unlock(&lock);
    if (t->start && !ended) go(t->start);
}

static void timers(void **state)
{
    vpi_loop *loop = new_loop(1);
    ticking t[4] = { 0 };
    asked a = { 0 };
    int64_t began = vpi_now_us();

    (void)state;
    prepare(loop, &a, "GET", "/echo");
    for (size_t i = 0; i < VPI_COUNT(t); i++) {
        t[i].timer.fn = on_tick;
        t[i].timer.user = &t[i];
        t[i].timer.at_us = began + (int64_t)(4 - i) * 40000; /* the last is first */
        t[i].loop = loop;
        t[i].left = 1;
    }
    t[0].timer.at_us = INT64_MAX;
    t[1].start = &a;
    t[3].left = 2;
    for (size_t i = 0; i < VPI_COUNT(t); i++)
        assert_int_equal(vpi_loop_timer(loop, &t[i].timer, NULL), VP_OK);
    t[2].timer.at_us = INT64_MAX; /* moved: set again */
    assert_true(vpi_loop_timer_stop(loop, &t[2].timer));
    assert_false(vpi_loop_timer_stop(loop, &t[2].timer));
    pthread_mutex_lock(&lock);
    while (t[1].count < 1 || t[3].count < 2) pthread_cond_wait(&news, &lock);
    pthread_mutex_unlock(&lock);
    assert_true(t[3].at_us[0] >= began + 40000);
    assert_true(t[3].at_us[1] >= t[3].at_us[0] + 30000);
    assert_true(t[1].at_us[0] >= began + 120000);
    await(&a);
    expect_status(&a, 200);
    assert_int_equal(t[2].count, 0);
    assert_int_equal(t[0].count, 0);
    drop(&a);
    vpi_loop_free(loop); /* tells the one that is still set */
    assert_int_equal(t[0].ends, 1);
    assert_int_equal(t[0].count, 1);
}

/* ---- ends of all ---- */

static void free_running(void **state)
{
    (void)state;
    for (int round = 0; round < 3; round++) {
        vpi_loop *loop = new_loop(4);
        asked a[10] = { 0 };
        int64_t began = vpi_now_us();

        for (size_t i = 0; i < VPI_COUNT(a); i++) {
            prepare(loop, &a[i], "PUT", i % 2 ? "/hang" : "/deaf");
            a[i].call.body = big;
            a[i].call.body_size = BIG;
            go(&a[i]);
        }
        usleep((unsigned)round * 50000);
        vpi_loop_free(loop);
        assert_true(vpi_now_us() - began < 2000000);
        for (size_t i = 0; i < VPI_COUNT(a); i++) {
            assert_true(a[i].done);
            expect(&a[i], VP_E_CANCELED, "CANCELED");
            drop(&a[i]);
        }
    }
}

static void closed_context(void **state)
{
    vp_context *own;
    vpi_loop *loop;
    asked a[6] = { 0 };
    ticking t = { .timer = { .at_us = INT64_MAX, .fn = on_tick }, .left = 1 };

    (void)state;
    assert_int_equal(vp_context_new(NULL, &own, NULL), VP_OK);
    assert_int_equal(vpi_loop_new(own, NULL, 3, &loop, NULL), VP_OK);
    t.timer.user = &t;
    t.loop = loop;
    for (size_t i = 0; i < VPI_COUNT(a); i++) {
        prepare(loop, &a[i], "GET", "/wait/5000");
        go(&a[i]);
    }
    assert_int_equal(vpi_loop_timer(loop, &t.timer, NULL), VP_OK);
    usleep(100000);
    assert_int_equal(vp_context_close(own, NULL), VP_OK);
    for (size_t i = 0; i < VPI_COUNT(a); i++) {
        assert_true(a[i].done);
        expect(&a[i], VP_E_CANCELED, "CANCELED");
    }
    assert_int_equal(t.ends, 1);
    assert_int_equal(vpi_loop_start(loop, &a[0].call, NULL), VP_E_STATE);
    assert_int_equal(vpi_loop_timer(loop, &t.timer, NULL), VP_E_STATE);
    vpi_loop_cancel(loop, &a[0].call);
    for (size_t i = 0; i < VPI_COUNT(a); i++) drop(&a[i]);
    vpi_loop_free(loop);
    vp_context_unref(own);
}

static void forked(void **state)
{
    vpi_loop *loop = new_loop(2);
    asked a[2] = { 0 };
    int status;
    pid_t pid;

    (void)state;
    prepare(loop, &a[0], "GET", "/echo");
    run(&a[0]);
    expect_status(&a[0], 200);
    prepare(loop, &a[1], "GET", "/wait/500");
    go(&a[1]);
    usleep(50000);
    pid = fork();
    if (pid == 0) {
        bool good = vpi_loop_start(loop, &a[0].call, NULL) == VP_E_STATE;

        vpi_loop_cancel(loop, &a[1].call);
        vpi_loop_free(loop);
        _exit(good ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    await(&a[1]);
    expect_status(&a[1], 200);
    run(&a[0]);
    expect_status(&a[0], 200);
    assert_true(a[0].call.reused);
    drop(&a[0]);
    drop(&a[1]);
    vpi_loop_free(loop);
}

/* Each allocation of ours fails once; every call that was taken is told its end. */
static void no_memory(void **state)
{
    vp_http_options o = VP_HTTP_OPTIONS_INIT;

    (void)state;
    o.headers = "A: b";
    for (long n = 1;; n++) {
        vpi_loop *loop = NULL;
        asked a[3] = { 0 };
        vp_error err = VP_ERROR_INIT;
        vp_status st;
        bool hit, nomem = false;

        vpi_alloc_fail_at = n;
        st = vpi_loop_new(context, &o, 2, &loop, &err);
        if (st < 0) nomem = st == VP_E_NOMEM;
        for (size_t i = 0; loop && i < VPI_COUNT(a); i++) {
            prepare(loop, &a[i], "PUT", "/echo");
            a[i].call.headers = "X-A: b";
            vp_error_init(&err);
            st = vpi_loop_start(loop, &a[i].call, &err);
            if (st < 0) {
                nomem = true;
                continue;
            }
            await(&a[i]);
            if (a[i].status < 0) {
                expect(&a[i], VP_E_NOMEM, "NOMEM");
                nomem = true;
            } else {
                assert_int_equal(a[i].call.answer.status, 200);
            }
        }
        hit = vpi_alloc_fail_at <= 0;
        vpi_alloc_fail_at = 0;
        for (size_t i = 0; i < VPI_COUNT(a); i++) drop(&a[i]);
        vpi_loop_free(loop);
        assert_int_equal(nomem, hit);
        if (!hit) break;
        assert_true(n < 100);
    }
}

/* Starts and cancels from several threads at a time. */
static void *start_many(void *arg)
{
    asked a[4] = { 0 };
    intptr_t bad = 0;

    for (int n = 0; n < 10; n++) {
        for (size_t i = 0; i < VPI_COUNT(a); i++) go(prepare(arg, &a[i], "GET", "/echo"));
        vpi_loop_cancel(arg, &a[n % 4].call);
        for (size_t i = 0; i < VPI_COUNT(a); i++) {
            vp_status st = await(&a[i]);

            if (st != VP_OK && st != VP_E_CANCELED) bad++;
            if (st == VP_OK && a[i].call.answer.status != 200) bad++;
        }
    }
    for (size_t i = 0; i < VPI_COUNT(a); i++) drop(&a[i]);
    return (void *)bad;
}

static void threads(void **state)
{
    vpi_loop *loop = new_loop(4);
    pthread_t thread[4];
    void *bad;

    (void)state;
    for (size_t i = 0; i < 4; i++) assert_int_equal(pthread_create(&thread[i], NULL, start_many, loop), 0);
    for (size_t i = 0; i < 4; i++) {
        pthread_join(thread[i], &bad);
        assert_null(bad);
    }
    vpi_loop_free(loop);
    vpi_loop_free(NULL);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(methods),         cmocka_unit_test(tls),           cmocka_unit_test(straight),
        cmocka_unit_test(limits),          cmocka_unit_test(wrong_calls),   cmocka_unit_test(many),
        cmocka_unit_test(order),           cmocka_unit_test(cancels),       cmocka_unit_test(deadlines),
        cmocka_unit_test(stalls),          cmocka_unit_test(early_answers), cmocka_unit_test(expectations),
        cmocka_unit_test(refused_in_body), cmocka_unit_test(idle_ends),     cmocka_unit_test(broken),
        cmocka_unit_test(timers),          cmocka_unit_test(free_running),  cmocka_unit_test(closed_context),
        cmocka_unit_test(forked),          cmocka_unit_test(no_memory),     cmocka_unit_test(threads),
        cmocka_unit_test(read_bodies),
    };

    if (argc != 3) return 77;
    arguments = argv;
    return cmocka_run_group_tests(tests, start, stop);
}
