/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ranges of a file on a web server: requests, tries, redirects, what an answer says of the file. */

#include <stdatomic.h>
#include <stdio.h>
#include <sys/random.h>

#include "http_int.h"
#include "loop.h"
#include "ranged.h"

#define CONNECTIONS VPI_RANGED_FLIGHT
#define TRIES 5u
#define HOPS_MAX 5u
#define DEADLINE_MS 30000u
#define STALL_MS 10000u
#define SLOW_RATE 1024u             /* bytes a second over STALL_MS */
#define PROGRESS ((size_t)64 << 10) /* bytes that a try must bring to be none of the TRIES */
#define DELAY_FIRST_MS 200u
#define RETRY_AFTER_MAX_S 30u

typedef struct remote {
    vpi_loop *loop;
    char *url, *headers;
    bool certificate; /* the loop shows one to every server that it connects to */
    uint32_t deadline_ms;
    pthread_mutex_t lock;
    struct {
        char *moved; /* where the first answers led to; NULL: nowhere */
    } synced;
} remote;

/* One fetch: requests until all of its bytes are there. */
typedef struct get {
    vpi_call call;
    vpi_timer timer;
    remote *remote;
    vpi_fetch *fetch;
    atomic_bool stopped;
    size_t have; /* bytes that are there */
    uint64_t total;
    uint32_t tries; /* since bytes came last */
    uint32_t hops;
    bool foreign; /* the address of this request is another host's */
    char *url;
    vpi_buf lines;
    char identity[VPI_RANGED_IDENTITY];
} get;

static void on_get(vpi_call *call, vp_status st);
static void on_delay(vpi_timer *timer, bool ended);

static void finish(get *g, vp_status st, const vp_error *err)
{
    vpi_fetch *f = g->fetch;
    vp_error copy = VP_ERROR_INIT; /* the call is another fetch's from here on */

    vpi_error_copy(&copy, err);
    vpi_http_answer_dispose(&g->call.answer);
    vpi_fetch_done(f, st, g->total, g->identity, g->have, &copy);
}

/* ---- asking ---- */

static bool same_origin(const char *a, const char *b)
{
    char x[VPI_HTTP_ORIGIN], y[VPI_HTTP_ORIGIN];

    vpi_http_origin(a, x, sizeof(x));
    vpi_http_origin(b, y, sizeof(y));
    return strcmp(x, y) == 0;
}

/*
 * If-Match where the identity is a strong ETag; what has a date or a weak one is compared behind the answer (RFC 9110
 * 13.1.1: a weak one never matches).
 */
static bool make_lines(get *g)
{
    const vpi_fetch *f = g->fetch;
    uint64_t from = f->offset + g->have, to = f->offset + f->size - 1;

    vpi_buf_clear(&g->lines);
    if (g->remote->headers && !g->foreign) {
        vpi_buf_str(&g->lines, g->remote->headers);
        vpi_buf_u8(&g->lines, '\n');
    }
    vpi_buf_printf(&g->lines, "Range: bytes=%llu-%llu\n", (unsigned long long)from, (unsigned long long)to);
    if (!f->probe && f->identity[0] == '"' && strlen(f->identity) + 1 < VPI_RANGED_IDENTITY)
        vpi_buf_printf(&g->lines, "If-Match: %s\n", f->identity);
    vpi_buf_u8(&g->lines, 0);
    return !vpi_buf_failed(&g->lines);
}

static vp_status send_off(get *g, vp_error *err)
{
    vpi_call *c = &g->call;
    vp_status st;

    if (!g->url || !make_lines(g)) return vpi_fail_nomem(err);
    c->method = "GET";
    c->url = g->url;
    c->headers = (const char *)g->lines.data;
    c->stall_ms = STALL_MS;
    c->slow_rate = SLOW_RATE;
    c->deadline_ms = g->remote->deadline_ms;
    c->to = g->fetch->to + g->have;
    c->to_capacity = g->fetch->size - g->have;
    c->done = on_get;
    c->user = g;
    st = vpi_loop_start(g->remote->loop, c, err);
    if (st == VP_OK && atomic_load(&g->stopped)) vpi_loop_cancel(g->remote->loop, c);
    return st;
}

static void send_again(get *g)
{
    vp_error err = VP_ERROR_INIT;
    vp_status st;

    if (atomic_load(&g->stopped)) {
        st = vpi_fail(&err, VP_E_CANCELED, "CANCELED", "canceled");
    } else {
        st = send_off(g, &err);
    }
    if (st < 0) finish(g, st, &err);
}

static void on_delay(vpi_timer *timer, bool ended)
{
    get *g = timer->user;

    if (ended) atomic_store(&g->stopped, true);
    send_again(g);
}

/* Full jitter: somewhere in a time that doubles; no sooner than the server says. */
static void send_later(get *g)
{
    uint64_t random = 0, most_ms = (uint64_t)DELAY_FIRST_MS << g->tries, wait_ms;
    uint64_t after_s = 0;
    remote *r = g->remote;
    char text[16];
    const char *p = text;
    vp_error err = VP_ERROR_INIT;
    vp_status st;

    if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != (ssize_t)sizeof(random))
        random = (uint64_t)vpi_now_us();
    wait_ms = random % most_ms;
    if (vpi_http_header(&g->call.answer, "Retry-After", text, sizeof(text)) && vpi_http_number(&p, &after_s))
        wait_ms = VPI_MAX(wait_ms, VPI_MIN(after_s, RETRY_AFTER_MAX_S) * 1000);
    g->timer.at_us = vpi_now_us() + (int64_t)wait_ms * 1000;
    g->timer.fn = on_delay;
    g->timer.user = g;
    pthread_mutex_lock(&r->lock); /* set and not stopped, or stopped and not set; then g may be gone */
    st = atomic_load(&g->stopped) ? vpi_fail(&err, VP_E_CANCELED, "CANCELED", "canceled")
                                  : vpi_loop_timer(r->loop, &g->timer, &err);
    pthread_mutex_unlock(&r->lock);
    if (st < 0) finish(g, st, &err);
}

/* ---- where it is ---- */

static bool set_url(get *g, const char *url)
{
    vpi_free(g->url);
    g->url = vpi_strdup(url);
    g->foreign = g->url && !same_origin(g->url, g->remote->url);
    return g->url != NULL;
}

static void remember(get *g)
{
    char *moved = vpi_strdup(g->url);

    pthread_mutex_lock(&g->remote->lock);
    vpi_free(g->remote->synced.moved);
    g->remote->synced.moved = moved;
    pthread_mutex_unlock(&g->remote->lock);
}

static bool is_moved(const get *g)
{
    return strcmp(g->url, g->remote->url) != 0;
}

/* An address that was good for a while: from the begin once more. */
static bool go_home(get *g)
{
    pthread_mutex_lock(&g->remote->lock);
    vpi_free(g->remote->synced.moved);
    g->remote->synced.moved = NULL;
    pthread_mutex_unlock(&g->remote->lock);
    return set_url(g, g->remote->url);
}

/* From https to https only, as in request.c; a certificate is not shown to another host. */
static bool follow(get *g)
{
    CURLU *u = curl_url();
    char *next = NULL;
    char location[4096];
    bool ok = false;

    if (u && g->hops++ < HOPS_MAX &&
        vpi_http_header(&g->call.answer, "Location", location, sizeof(location)) &&
        strlen(location) + 1 < sizeof(location) && curl_url_set(u, CURLUPART_URL, g->url, 0) == CURLUE_OK &&
        curl_url_set(u, CURLUPART_URL, location, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_URL, &next, 0) == CURLUE_OK) {
        ok = strncmp(g->url, "https://", 8) == 0 && strncmp(next, "https://", 8) == 0 &&
             (!g->remote->certificate || same_origin(next, g->remote->url)) && set_url(g, next);
    }
    curl_free(next);
    curl_url_cleanup(u);
    return ok;
}

/* ---- what an answer says ---- */

static vp_status fail_http(get *g, vp_status st, const char *reason, const char *what, vp_error *err)
{
    char origin[VPI_HTTP_ORIGIN];

    vpi_http_origin(g->url, origin, sizeof(origin));
    vpi_fail(err, st, reason, "%s %s (HTTP %d)", origin, what, g->call.answer.status);
    if (err && err->domain == VP_DOM_NONE) {
        err->native = g->call.answer.status;
        err->domain = VP_DOM_HTTP;
    }
    return st;
}

static vp_status fail_changed(get *g, vp_error *err)
{
    return fail_http(g, VP_E_CONFLICT, "SOURCE_CHANGED", "has another file there now", err);
}

/* ETag, else date; "" for neither. */
static void identity_of(const vpi_http_answer *answer, char identity[VPI_RANGED_IDENTITY])
{
    if (!vpi_http_header(answer, "ETag", identity, VPI_RANGED_IDENTITY) &&
        !vpi_http_header(answer, "Last-Modified", identity, VPI_RANGED_IDENTITY))
        identity[0] = 0;
}

/* Size and identity are those that were there first, of this fetch and of the source. */
static bool same(get *g, uint64_t total)
{
    char identity[VPI_RANGED_IDENTITY];
    const vpi_fetch *f = g->fetch;

    identity_of(&g->call.answer, identity);
    if (g->have == 0 && (f->probe || f->total == VP_SIZE_UNKNOWN)) {
        g->total = total;
        memcpy(g->identity, identity, sizeof(identity));
        return true;
    }
    if (f->total != VP_SIZE_UNKNOWN && g->have == 0) {
        g->total = f->total;
        memcpy(g->identity, f->identity, sizeof(g->identity));
    }
    return total == g->total && strcmp(identity, g->identity) == 0;
}

/* Of a server that has served some before it is one that another node behind the same name does not. */
static vp_status no_range(get *g, vp_error *err)
{
    if (g->fetch->total == VP_SIZE_UNKNOWN && g->have == 0)
        return fail_http(g, VP_E_UNSUPPORTED, NULL, "serves no ranges of the file", err);
    fail_http(g, VP_E_IO, "CONNECTION_FAILED", "answers a range with all of the file", err);
    if (err) err->flags |= VP_ERRF_RETRYABLE;
    return VP_E_IO;
}

/* Takes what a good answer brought, also one that broke off. VP_AGAIN: there is more to fetch. */
static vp_status take(get *g, vp_error *err)
{
    const vpi_fetch *f = g->fetch;
    const vpi_call *c = &g->call;
    uint64_t first, last, total, end;

    if (c->answer.status == 200) { /* all of it, of one that is small enough; cut off is of no use here */
        if (f->offset + g->have > 0) return no_range(g, err);
        if (!same(g, c->to_size)) return fail_changed(g, err);
        g->have = c->to_size;
        return VP_OK;
    }
    if (!vpi_http_content_range(&c->answer, &first, &last, &total) || first > last ||
        first != f->offset + g->have || c->to_size > last - first + 1) {
        fail_http(g, VP_E_IO, "CONNECTION_FAILED", "answers with another range", err);
        if (err) err->flags |= VP_ERRF_RETRYABLE;
        return VP_E_IO;
    }
    if (!same(g, total)) return fail_changed(g, err);
    g->have += c->to_size;
    if (c->to_size >= PROGRESS) g->tries = 0;
    end = VPI_MIN(f->offset + f->size, total);
    return f->offset + g->have >= end ? VP_OK : VP_AGAIN;
}

static vp_status none_there(get *g, vp_error *err)
{
    uint64_t first, last, total;

    /* a file without bytes has no range that can be asked for */
    if (vpi_http_content_range(&g->call.answer, &first, &last, &total) && total == 0 && same(g, 0))
        return VP_OK;
    return fail_changed(g, err);
}

typedef enum act { DONE, AGAIN, LATER } act;

static act judge_answer(get *g, vp_status *st, vp_error *err)
{
    int status = g->call.answer.status;

    *st = VP_OK;
    switch (status) {
    case 200:
    case 206:
        *st = take(g, err);
        if (*st >= 0 && is_moved(g)) remember(g);
        if (*st < 0 && err->flags & VP_ERRF_RETRYABLE) return LATER;
        return *st == VP_AGAIN ? AGAIN : DONE;
    case 301:
    case 302:
    case 303:
    case 307:
    case 308:
        if (follow(g)) return AGAIN;
        *st = fail_http(g, VP_E_IO, "CONNECTION_FAILED", "leads to a place that is not followed", err);
        return DONE;
    case 412:
        *st = fail_changed(g, err);
        return DONE;
    case 416:
        *st = none_there(g, err);
        return DONE;
    default:
        break;
    }
    if (vpi_http_retryable(status)) {
        *st = fail_http(g, VP_E_IO, "CONNECTION_FAILED", "fails", err);
        return LATER;
    }
    if (is_moved(g) && g->hops++ < HOPS_MAX && go_home(g)) return AGAIN;
    if (status == 404 || status == 410) {
        *st = fail_http(g, VP_E_IO, "NOT_FOUND", "has no such file", err);
    } else if (status == 401 || status == 403) {
        *st = fail_http(g, VP_E_AUTH, NULL, "does not give the file to whoever asks so", err);
    } else {
        *st = fail_http(g, VP_E_IO, "CONNECTION_FAILED", "refuses the file", err);
    }
    return DONE;
}

/* What has come of an answer that broke off is kept where it is of the right file. */
static act judge_failure(get *g, vp_status *st, vp_error *err)
{
    const vpi_call *c = &g->call;

    if (c->answer.status == 200 && c->err.status == VP_E_LIMIT && !(c->err.flags & VP_ERRF_RETRYABLE)) {
        if (g->fetch->probe) { /* its head is all that was wanted */
            identity_of(&c->answer, g->identity);
            *st = VP_OK;
            return DONE;
        }
        *st = no_range(g, err);
        return err->flags & VP_ERRF_RETRYABLE ? LATER : DONE;
    }
    vpi_error_copy(err, &c->err);
    if (!(c->err.flags & VP_ERRF_RETRYABLE)) return DONE;
    if (c->answer.status == 206 && c->to_size) {
        vp_error why = VP_ERROR_INIT;
        vp_status taken = take(g, &why);

        if (taken < 0) vpi_error_copy(err, &why);
        if (taken != VP_AGAIN) {
            *st = taken;
            return DONE;
        }
    }
    return LATER;
}

static void on_get(vpi_call *call, vp_status st)
{
    get *g = call->user;
    vp_error err = VP_ERROR_INIT;
    act next = st == VP_OK ? judge_answer(g, &st, &err) : judge_failure(g, &st, &err);

    if (next == LATER && ++g->tries >= TRIES) {
        err.flags |= VP_ERRF_RETRYABLE;
        next = DONE;
    }
    if (next == DONE) {
        finish(g, st, &err);
    } else if (next == LATER) {
        send_later(g);
    } else {
        send_again(g);
    }
}

/* ---- fetches ---- */

static vp_status get_start(void *user, vpi_fetch *fetch, vp_error *err)
{
    remote *r = user;
    get *g = fetch->own;
    bool ok;

    g->remote = r;
    g->fetch = fetch;
    atomic_store(&g->stopped, false);
    g->have = 0;
    g->tries = g->hops = 0;
    g->total = 0;
    g->identity[0] = 0;
    pthread_mutex_lock(&r->lock);
    ok = set_url(g, r->synced.moved ? r->synced.moved : r->url);
    pthread_mutex_unlock(&r->lock);
    return ok ? send_off(g, err) : vpi_fail_nomem(err);
}

static void get_stop(void *user, vpi_fetch *fetch)
{
    remote *r = user;
    get *g = fetch->own;
    vp_error err = VP_ERROR_INIT;

    pthread_mutex_lock(&r->lock);
    atomic_store(&g->stopped, true);
    pthread_mutex_unlock(&r->lock);
    vpi_loop_cancel(r->loop, &g->call);
    if (vpi_loop_timer_stop(r->loop, &g->timer))
        finish(g, vpi_fail(&err, VP_E_CANCELED, "CANCELED", "canceled"), &err);
}

static void wipe_text(char *text)
{
    static void *(*const volatile set)(void *, int, size_t) = memset;

    if (text) set(text, 0, strlen(text));
    vpi_free(text);
}

static void get_dispose(void *user, void *own)
{
    get *g = own;

    (void)user;
    vpi_http_answer_dispose(&g->call.answer);
    if (g->lines.data) memset(g->lines.data, 0, g->lines.size);
    vpi_buf_dispose(&g->lines);
    wipe_text(g->url);
}

static void remote_release(void *user)
{
    remote *r = user;

    vpi_loop_free(r->loop);
    pthread_mutex_destroy(&r->lock);
    wipe_text(r->url);
    wipe_text(r->headers);
    wipe_text(r->synced.moved);
    vpi_free(r);
}

vp_status vp_source_http(vp_context *context, const char *url, const vp_http_options *options,
                         vp_source **out, vp_error *err)
{
    static const vpi_ranged_ops ops = { sizeof(get), get_start, get_stop, get_dispose, remote_release };
    vp_http_options o = VP_HTTP_OPTIONS_INIT;
    char origin[VPI_HTTP_ORIGIN];
    remote *r;
    vp_status st;

    vp_error_init(err);
    if (!out || !url) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    *out = NULL;
    VPI_TRY(vpi_context_check(context, err));
    VPI_TRY(vpi_copy_struct(&o, sizeof(o), options, err));
    vpi_http_origin(url, origin, sizeof(origin));
    if (strcmp(origin, "?") == 0) return vpi_fail(err, VP_E_ARG, NULL, "not an address of http or https");
    if (!vpi_http_headers_valid(o.headers))
        return vpi_fail(err, VP_E_ARG, NULL, "headers: not lines of \"Name: value\"");
    r = vpi_calloc(1, sizeof(*r));
    if (!r) return vpi_fail_nomem(err);
    pthread_mutex_init(&r->lock, NULL);
    r->url = vpi_strdup(url);
    r->headers = vpi_strdup(o.headers);
    r->certificate = o.cert_file != NULL;
    r->deadline_ms = o.timeout_ms ? o.timeout_ms : DEADLINE_MS;
    st = r->url && (r->headers || !o.headers) ? VP_OK : vpi_fail_nomem(err);
    o.headers = NULL; /* the loop's go to every host */
    if (st == VP_OK) st = vpi_loop_new(context, &o, CONNECTIONS, &r->loop, err);
    if (st == VP_OK) st = vpi_ranged_source(context, &ops, r, out, err);
    if (st < 0) remote_release(r);
    return st;
}
