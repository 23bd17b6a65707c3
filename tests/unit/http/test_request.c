/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Requests against server.py: argv is the Python to run it with and its path. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "http/http.h"
#include "unit/http/server.h"

static char folder[] = "/tmp/vodpipe-http-XXXXXX";
static int plain_port, tls_port, client_port;
static vp_context *context;

static int start(void **state)
{
    int ports[3];

    (void)state;
    if (server_start(folder, ports) != 3) return -1;
    plain_port = ports[0];
    tls_port = ports[1];
    client_port = ports[2];
    return vp_context_new(NULL, &context, NULL);
}

static int stop(void **state)
{
    (void)state;
    vp_context_unref(context);
    return server_stop(folder);
}

static char *in_folder(const char *name)
{
    static char paths[4][64];
    static unsigned next;
    char *path = paths[next++ % VPI_COUNT(paths)];

    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

static vpi_http *client(const vp_http_options *options)
{
    vp_http_options o = VP_HTTP_OPTIONS_INIT;
    vp_error err = VP_ERROR_INIT;
    vpi_http *http = NULL;

    if (!options) {
        o.ca_file = in_folder("ca.pem");
        options = &o;
    }
    assert_int_equal(vpi_http_new(context, options, &http, &err), VP_OK);
    return http;
}

static char *address(int port, const char *path)
{
    static char url[1024];

    snprintf(url, sizeof(url), "%s://localhost:%d%s", port == plain_port ? "http" : "https", port, path);
    return url;
}

static vp_status get(vpi_http *http, const char *url, vpi_http_answer *a, vp_error *err)
{
    vpi_http_request r = { .method = "GET", .url = url };

    vpi_http_answer_dispose(a);
    vp_error_init(err);
    return vpi_http_request_run(http, &r, NULL, a, err);
}

static void expect(vp_status st, const vp_error *err, vp_status status, const char *reason)
{
    if (st != status || strcmp(err->reason, reason) != 0)
        fail_msg("%d %s: %s", (int)st, err->reason, err->message);
}

static bool contains(const vpi_buf *b, const char *text)
{
    return b->data && memmem(b->data, b->size, text, strlen(text)) != NULL;
}

static void methods(void **state)
{
    vp_http_options o = VP_HTTP_OPTIONS_INIT;
    vpi_http_request r = { .method = "POST", .body = "a=b&c", .body_size = 5, .secret = true };
    vpi_http_answer a = { 0 };
    vp_error err = VP_ERROR_INIT;
    vpi_http *http;

    (void)state;
    o.headers = "X-Api-Key: abc\nX-Other:d\n";
    http = client(&o);
    r.url = address(plain_port, "/echo/x?y=z");
    r.headers = "Content-Type: application/xml";
    assert_int_equal(vpi_http_request_run(http, &r, NULL, &a, &err), VP_OK);
    assert_int_equal(a.status, 200);
    assert_true(contains(&a.body, "POST /echo/x?y=z\n"));
    assert_true(contains(&a.body, "\n\na=b&c"));
    assert_true(contains(&a.body, "content-type: application/xml\n"));
    assert_true(contains(&a.body, "x-api-key: abc\n") && contains(&a.body, "x-other: d\n"));
    assert_true(contains(&a.body, "user-agent: vodpipe/"));
    assert_false(contains(&a.body, "expect:") || contains(&a.body, "accept-encoding:"));
    vpi_http_answer_dispose(&a);
    r = (vpi_http_request){ .method = "PUT", .url = r.url, .body = "put", .body_size = 3 };
    assert_int_equal(vpi_http_request_run(http, &r, NULL, &a, &err), VP_OK);
    assert_true(contains(&a.body, "PUT /echo") && contains(&a.body, "\n\nput"));
    assert_false(contains(&a.body, "content-type"));
    vpi_http_answer_dispose(&a);
    r = (vpi_http_request){ .method = "DELETE", .url = r.url };
    assert_int_equal(vpi_http_request_run(http, &r, NULL, &a, &err), VP_OK);
    assert_true(contains(&a.body, "DELETE /echo"));
    vpi_http_answer_dispose(&a);
    r = (vpi_http_request){ .method = "HEAD", .url = r.url };
    assert_int_equal(vpi_http_request_run(http, &r, NULL, &a, &err), VP_OK);
    assert_int_equal(a.body.size, 0);
    assert_true(contains(&a.headers, "X-Port: "));
    vpi_http_answer_dispose(&a);
    vpi_http_free(http);
}

/* A second request goes over the connection of the first, several at once over several. */
static void connections(void **state)
{
    vpi_http *http = client(NULL);
    vpi_http_answer a = { 0 };
    vp_error err = VP_ERROR_INIT;
    char first[16], second[16];

    (void)state;
    assert_int_equal(get(http, address(tls_port, "/echo"), &a, &err), VP_OK);
    assert_true(vpi_http_header(&a, "X-Port", first, sizeof(first)));
    assert_int_equal(get(http, address(tls_port, "/echo"), &a, &err), VP_OK);
    assert_true(vpi_http_header(&a, "X-Port", second, sizeof(second)));
    assert_string_equal(first, second);
    vpi_http_answer_dispose(&a);
    vpi_http_free(http);
}

static void statuses(void **state)
{
    vpi_http *http = client(NULL);
    vpi_http_answer a = { 0 };
    vp_error err = VP_ERROR_INIT;
    char after[8];

    (void)state;
    assert_int_equal(get(http, address(plain_port, "/status/404"), &a, &err), VP_OK);
    assert_int_equal(a.status, 404);
    assert_memory_equal(a.body.data, "why", 3);
    assert_int_equal(get(http, address(plain_port, "/status/503"), &a, &err), VP_OK);
    assert_int_equal(a.status, 503);
    assert_true(vpi_http_header(&a, "retry-after", after, sizeof(after)));
    assert_string_equal(after, "7");
    vpi_http_answer_dispose(&a);
    vpi_http_free(http);
}

static void trust(void **state)
{
    vp_http_options o = VP_HTTP_OPTIONS_INIT;
    vpi_http_answer a = { 0 };
    vp_error err = VP_ERROR_INIT;
    vpi_http *http = client(NULL);
    char url[64];

    (void)state;
    assert_int_equal(get(http, address(tls_port, "/echo"), &a, &err), VP_OK);
    assert_int_equal(a.status, 200);
    /* the certificate is of localhost */
    snprintf(url, sizeof(url), "https://127.0.0.1:%d/echo?t=secret", tls_port);
    expect(get(http, url, &a, &err), &err, VP_E_IO, "TLS_FAILED");
    assert_null(strstr(err.message, "secret"));
    assert_non_null(strstr(err.message, "https://127.0.0.1"));
    /* speaks no TLS */
    snprintf(url, sizeof(url), "https://localhost:%d/", plain_port);
    expect(get(http, url, &a, &err), &err, VP_E_IO, "TLS_FAILED");
    vpi_http_free(http);
    o.ca_file = in_folder("other.pem");
    http = client(&o);
    expect(get(http, address(tls_port, "/echo"), &a, &err), &err, VP_E_IO, "TLS_FAILED");
    assert_false(err.flags & VP_ERRF_RETRYABLE);
    vpi_http_free(http);
    o.ca_file = NULL; /* the system's know nothing of it */
    http = client(&o);
    expect(get(http, address(tls_port, "/echo"), &a, &err), &err, VP_E_IO, "TLS_FAILED");
    vpi_http_free(http);
    o.ca_file = in_folder("nothing.pem");
    http = client(&o);
    expect(get(http, address(tls_port, "/echo"), &a, &err), &err, VP_E_IO, "TLS_FAILED");
    vpi_http_free(http);
}

static void client_certificate(void **state)
{
    vp_http_options o = VP_HTTP_OPTIONS_INIT;
    vpi_http_answer a = { 0 };
    vp_error err = VP_ERROR_INIT;
    vpi_http *http = client(NULL);

    (void)state;
    assert_int_equal(get(http, address(client_port, "/echo"), &a, &err), VP_OK);
    assert_true(contains(&a.body, "peer: False"));
    vpi_http_free(http);
    o.ca_file = in_folder("ca.pem");
    o.cert_file = in_folder("client.pem");
    http = client(&o);
    assert_int_equal(get(http, address(client_port, "/echo"), &a, &err), VP_OK);
    assert_true(contains(&a.body, "peer: True"));
    vpi_http_answer_dispose(&a);
    vpi_http_free(http);
}

static void limits(void **state)
{
    vpi_http *http = client(NULL);
    vpi_http_request r = { .method = "GET", .max_body = 5000 };
    vpi_http_answer a = { 0 };
    vp_error err = VP_ERROR_INIT;

    (void)state;
    for (int secret = 0; secret < 2; secret++) {
        r.secret = secret;
        r.url = address(plain_port, "/bytes/5000");
        assert_int_equal(vpi_http_request_run(http, &r, NULL, &a, &err), VP_OK);
        assert_int_equal(a.body.size, 5000);
        vpi_http_answer_dispose(&a);
        r.url = address(plain_port, "/bytes/5001");
        expect(vpi_http_request_run(http, &r, NULL, &a, &err), &err, VP_E_LIMIT, "INPUT_LIMIT");
        vp_error_init(&err);
        r.url = address(plain_port, "/chunks/5000");
        assert_int_equal(vpi_http_request_run(http, &r, NULL, &a, &err), VP_OK);
        assert_int_equal(a.body.size, 5000);
        vpi_http_answer_dispose(&a);
        r.url = address(plain_port, "/chunks/5001");
        expect(vpi_http_request_run(http, &r, NULL, &a, &err), &err, VP_E_LIMIT, "INPUT_LIMIT");
        vp_error_init(&err);
    }
    assert_null(a.body.data);
    expect(get(http, address(plain_port, "/bytes/1048577"), &a, &err), &err, VP_E_LIMIT, "INPUT_LIMIT");
    assert_int_equal(get(http, address(plain_port, "/bytes/1048576"), &a, &err), VP_OK);
    vpi_http_answer_dispose(&a);
    vpi_http_free(http);
}

/* A listening socket that nobody accepts from, with a queue that is full: connecting waits. */
static int deaf(int *port)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    assert_int_equal(listen(fd, 8), 0);
    *port = ntohs(at.sin_port);
    return fd;
}

static void timeouts(void **state)
{
    vp_http_options o = VP_HTTP_OPTIONS_INIT;
    vpi_http_request r = { .method = "GET", .timeout_ms = 300 };
    vpi_http_answer a = { 0 };
    vp_error err = VP_ERROR_INIT;
    vpi_http *http = client(NULL);
    char url[64];
    int64_t began;
    int port, fd = deaf(&port);

    (void)state;
    r.url = address(plain_port, "/wait/3000");
    began = vpi_now_us();
    expect(vpi_http_request_run(http, &r, NULL, &a, &err), &err, VP_E_LIMIT, "TIMEOUT");
    assert_true(err.flags & VP_ERRF_RETRYABLE);
    assert_in_range(vpi_now_us() - began, 290000, 1000000);
    vp_error_init(&err);
    r.url = address(plain_port, "/drip");
    began = vpi_now_us();
    expect(vpi_http_request_run(http, &r, NULL, &a, &err), &err, VP_E_LIMIT, "TIMEOUT");
    assert_in_range(vpi_now_us() - began, 290000, 1000000);
    assert_null(a.body.data);
    vpi_http_free(http);
    /* TLS is never answered: that is connecting */
    o.connect_timeout_ms = 300;
    http = client(&o);
    snprintf(url, sizeof(url), "https://127.0.0.1:%d/", port);
    began = vpi_now_us();
    expect(get(http, url, &a, &err), &err, VP_E_LIMIT, "TIMEOUT");
    assert_in_range(vpi_now_us() - began, 290000, 1000000);
    vpi_http_free(http);
    close(fd);
}

static void *fire(void *arg)
{
    usleep(200000);
    vp_cancel_fire(arg);
    return NULL;
}

static void cancel_at(const char *url)
{
    vpi_http *http = client(NULL);
    vpi_http_request r = { .method = "GET", .url = url };
    vpi_http_answer a = { 0 };
    vp_error err = VP_ERROR_INIT;
    vp_cancel *cancel;
    pthread_t thread;
    int64_t began = vpi_now_us();

    assert_int_equal(vp_cancel_new(&cancel, NULL), VP_OK);
    assert_int_equal(pthread_create(&thread, NULL, fire, cancel), 0);
    expect(vpi_http_request_run(http, &r, cancel, &a, &err), &err, VP_E_CANCELED, "CANCELED");
    assert_in_range(vpi_now_us() - began, 190000, 1200000);
    pthread_join(thread, NULL);
    assert_null(a.body.data);
    vp_cancel_unref(cancel);
    vpi_http_free(http);
}

static void cancels(void **state)
{
    char url[64];
    int port, fd = deaf(&port);

    (void)state;
    cancel_at(address(plain_port, "/wait/5000"));
    cancel_at(address(tls_port, "/drip"));
    snprintf(url, sizeof(url), "https://127.0.0.1:%d/", port);
    cancel_at(url);
    close(fd);
}

static void *close_context(void *arg)
{
    usleep(200000);
    vp_context_close(arg, NULL);
    return NULL;
}

static void closed_context(void **state)
{
    vp_http_options o = VP_HTTP_OPTIONS_INIT;
    vpi_http_answer a = { 0 };
    vp_error err = VP_ERROR_INIT;
    vp_context *own;
    vpi_http *http;
    pthread_t thread;
    int64_t began = vpi_now_us();

    (void)state;
    assert_int_equal(vp_context_new(NULL, &own, NULL), VP_OK);
    assert_int_equal(vpi_http_new(own, &o, &http, NULL), VP_OK);
    assert_int_equal(pthread_create(&thread, NULL, close_context, own), 0);
    expect(get(http, address(plain_port, "/wait/5000"), &a, &err), &err, VP_E_CANCELED, "CANCELED");
    assert_in_range(vpi_now_us() - began, 190000, 1200000);
    pthread_join(thread, NULL);
    expect(get(http, address(plain_port, "/echo"), &a, &err), &err, VP_E_STATE, "STATE");
    vpi_http_free(http);
    vp_context_unref(own);
}

static void failures(void **state)
{
    vpi_http *http = client(NULL);
    vpi_http_answer a = { 0 };
    vp_error err = VP_ERROR_INIT;
    char url[64];
    int port, fd = deaf(&port);

    (void)state;
    close(fd); /* nobody listens there now */
    snprintf(url, sizeof(url), "http://user:pass@127.0.0.1:%d/x?token=secret", port);
    expect(get(http, url, &a, &err), &err, VP_E_IO, "CONNECTION_FAILED");
    assert_true(err.flags & VP_ERRF_RETRYABLE);
    assert_int_equal(err.domain, VP_DOM_ERRNO);
    assert_int_equal(err.native, ECONNREFUSED);
    assert_null(strstr(err.message, "secret"));
    assert_null(strstr(err.message, "pass"));
    assert_string_equal(err.op, "http");
    expect(get(http, "https://no-such-host.invalid/", &a, &err), &err, VP_E_IO, "CONNECTION_FAILED");
    expect(get(http, address(plain_port, "/cut"), &a, &err), &err, VP_E_IO, "CONNECTION_FAILED");
    expect(get(http, "ftp://host/?secret", &a, &err), &err, VP_E_ARG, "ARG");
    expect(get(http, "file:///etc/passwd", &a, &err), &err, VP_E_ARG, "ARG");
    expect(get(http, "https://user:secret@ho st/", &a, &err), &err, VP_E_ARG, "ARG");
    assert_null(strstr(err.message, "secret"));
    vpi_http_free(http);
}

static void redirects(void **state)
{
    vp_http_options o = VP_HTTP_OPTIONS_INIT;
    vpi_http_request r = { .method = "GET", .max_redirect = 3 };
    vpi_http_answer a = { 0 };
    vp_error err = VP_ERROR_INIT;
    vpi_http *http;
    char path[256];

    (void)state;
    o.ca_file = in_folder("ca.pem");
    o.cert_file = in_folder("client.pem");
    o.headers = "X-Api-Key: abc";
    http = client(&o);
#define RUN() (vpi_http_answer_dispose(&a), vpi_http_request_run(http, &r, NULL, &a, &err))
    /* libcurl before 8 fails on an address that is none, later ones give the answer */
    r.url = address(tls_port, "/to/302/https://localhost:x/");
    if (RUN() != VP_OK) assert_string_equal(err.reason, "CONNECTION_FAILED");
    vp_error_init(&err);
    r.url = address(tls_port, "/to/302//echo/there");
    assert_int_equal(RUN(), VP_OK);
    assert_int_equal(a.status, 200);
    assert_true(contains(&a.body, "GET /echo/there") && contains(&a.body, "x-api-key: abc"));
    /* another port is another host */
    snprintf(path, sizeof(path), "/to/307/https://localhost:%d/echo", client_port);
    r.url = address(tls_port, path);
    assert_int_equal(RUN(), VP_OK);
    assert_int_equal(a.status, 200);
    assert_true(contains(&a.body, "peer: False"));
    assert_false(contains(&a.body, "x-api-key"));
    /* never down to http, never from it */
    snprintf(path, sizeof(path), "/to/302/http://localhost:%d/echo", plain_port);
    r.url = address(tls_port, path);
    assert_int_equal(RUN(), VP_OK);
    assert_int_equal(a.status, 302);
    snprintf(path, sizeof(path), "/to/302/https://localhost:%d/echo", tls_port);
    r.url = address(plain_port, path);
    assert_int_equal(RUN(), VP_OK);
    assert_int_equal(a.status, 302);
    /* no more of them than asked for */
    r.url = address(tls_port, "/to/302//to/302//to/302//to/302//echo");
    assert_int_equal(RUN(), VP_OK);
    assert_int_equal(a.status, 302);
    r.max_redirect = 0;
    r.url = address(tls_port, "/to/302//echo");
    assert_int_equal(RUN(), VP_OK);
    assert_int_equal(a.status, 302);
    /* a body goes on to the same host only, and by 307 and 308 only */
    r = (vpi_http_request){ .method = "POST", .body = "body", .body_size = 4, .max_redirect = 3 };
    r.url = address(tls_port, "/to/308//echo");
    assert_int_equal(RUN(), VP_OK);
    assert_true(contains(&a.body, "POST /echo") && contains(&a.body, "\n\nbody"));
    r.url = address(tls_port, "/to/302//echo");
    assert_int_equal(RUN(), VP_OK);
    assert_int_equal(a.status, 302);
    snprintf(path, sizeof(path), "/to/307/https://localhost:%d/echo", client_port);
    r.url = address(tls_port, path);
    assert_int_equal(RUN(), VP_OK);
    assert_int_equal(a.status, 307);
    vpi_http_answer_dispose(&a);
    vpi_http_free(http);
}

static void wrong_options(void **state)
{
    vp_http_options o = VP_HTTP_OPTIONS_INIT;
    vp_error err = VP_ERROR_INIT;
    vpi_http *http;
    static const char *const headers[] = { "no colon", ": no name", "A: b\rC: d", "A: b\nno colon" };

    (void)state;
    for (size_t i = 0; i < VPI_COUNT(headers); i++) {
        o.headers = headers[i];
        vp_error_init(&err);
        expect(vpi_http_new(context, &o, &http, &err), &err, VP_E_ARG, "ARG");
        assert_null(http);
    }
    vp_error_init(&err);
    expect(vpi_http_new(NULL, NULL, &http, &err), &err, VP_E_ARG, "ARG");
}

/* The mask of the caller stays as it was, and a connection that the server closed raises no SIGPIPE. */
static void signals(void **state)
{
    vpi_http *http = client(NULL);
    vpi_http_answer a = { 0 };
    vp_error err = VP_ERROR_INIT;
    sigset_t before, after, pending;

    (void)state;
    assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &before), 0);
    assert_int_equal(get(http, address(tls_port, "/bytes/10"), &a, &err), VP_OK);
    expect(get(http, address(tls_port, "/cut"), &a, &err), &err, VP_E_IO, "CONNECTION_FAILED");
    assert_int_equal(get(http, address(tls_port, "/bytes/10"), &a, &err), VP_OK);
    vpi_http_answer_dispose(&a);
    vpi_http_free(http);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &after), 0);
    assert_int_equal(sigpending(&pending), 0);
    for (int s = 1; s < NSIG; s++) assert_int_equal(sigismember(&before, s), sigismember(&after, s));
    assert_int_equal(sigismember(&pending, SIGPIPE), 0);
}

static void forked(void **state)
{
    vpi_http *http = client(NULL);
    vpi_http_answer a = { 0 };
    vp_error err = VP_ERROR_INIT;
    int status;
    pid_t pid;

    (void)state;
    assert_int_equal(get(http, address(tls_port, "/echo"), &a, &err), VP_OK);
    pid = fork();
    if (pid == 0) {
        bool good = get(http, address(tls_port, "/echo"), &a, &err) == VP_E_STATE;

        vpi_http_free(http);
        _exit(good ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(get(http, address(tls_port, "/echo"), &a, &err), VP_OK);
    vpi_http_answer_dispose(&a);
    vpi_http_free(http);
}

static void *ask_often(void *arg)
{
    vpi_http_answer a = { 0 };
    vp_error err = VP_ERROR_INIT;
    char url[64];
    intptr_t bad = 0;

    snprintf(url, sizeof(url), "http://localhost:%d/echo", plain_port);
    for (int i = 0; i < 20; i++)
        if (get(arg, url, &a, &err) != VP_OK || a.status != 200) bad++;
    vpi_http_answer_dispose(&a);
    return (void *)bad;
}

static void threads(void **state)
{
    vpi_http *http = client(NULL);
    pthread_t thread[4];
    void *bad;

    (void)state;
    for (size_t i = 0; i < 4; i++) assert_int_equal(pthread_create(&thread[i], NULL, ask_often, http), 0);
    for (size_t i = 0; i < 4; i++) {
        pthread_join(thread[i], &bad);
        assert_null(bad);
    }
    vpi_http_free(http);
}

/* Each allocation of ours fails once. */
static void no_memory(void **state)
{
    vp_http_options o = VP_HTTP_OPTIONS_INIT;
    char url[64];

    (void)state;
    o.headers = "A: b";
    o.ca_file = in_folder("ca.pem");
    snprintf(url, sizeof(url), "http://localhost:%d/echo", plain_port);
    for (long n = 1;; n++) {
        vpi_http *http = NULL;
        vpi_http_answer a = { 0 };
        vp_error err = VP_ERROR_INIT;
        vp_status st;
        bool hit;

        vpi_alloc_fail_at = n;
        st = vpi_http_new(context, &o, &http, &err);
        if (st >= 0) {
            vpi_http_request r = { .method = "GET", .url = url, .secret = n % 2 };

            st = vpi_http_request_run(http, &r, NULL, &a, &err);
        }
        hit = vpi_alloc_fail_at <= 0;
        vpi_alloc_fail_at = 0;
        if (hit) assert_int_equal(st, VP_E_NOMEM);
        vpi_http_answer_dispose(&a);
        vpi_http_free(http);
        if (!hit) {
            assert_int_equal(st, VP_OK);
            break;
        }
        assert_true(n < 100);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(methods),
        cmocka_unit_test(connections),
        cmocka_unit_test(statuses),
        cmocka_unit_test(trust),
        cmocka_unit_test(client_certificate),
        cmocka_unit_test(limits),
        cmocka_unit_test(timeouts),
        cmocka_unit_test(cancels),
        cmocka_unit_test(closed_context),
        cmocka_unit_test(failures),
        cmocka_unit_test(redirects),
        cmocka_unit_test(wrong_options),
        cmocka_unit_test(signals),
        cmocka_unit_test(forked),
        cmocka_unit_test(threads),
        cmocka_unit_test(no_memory),
    };

    if (argc != 3) return 77;
    arguments = argv;
    return cmocka_run_group_tests(tests, start, stop);
}
