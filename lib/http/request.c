/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One request: asked, watched, its redirects followed. */

#include "http_int.h"

#define POLL_MS 100

typedef struct transfer {
    vpi_http *http;
    const vpi_http_request *request;
    vp_cancel *cancel;
    vpi_http_intake in;
    const char *url; /* of this step */
    bool foreign;    /* a redirect has led to another host */
    int64_t deadline_us;
    vpi_http_lines headers;
} transfer;

/* ---- asking ---- */

static bool set_request(transfer *t)
{
    const vpi_http_request *r = t->request;
    CURL *easy = t->in.easy;
    struct curl_slist *list;
    bool ok = true;

    if (!vpi_http_lines_set(&t->headers, t->foreign ? NULL : t->http->headers, t->foreign ? NULL : r->headers,
                            false, &list))
        return false;
    vpi_http_set_wiping(easy);
    VPI_CURL_SET(ok, easy, CURLOPT_URL, t->url);
    VPI_CURL_SET(ok, easy, CURLOPT_HTTPHEADER, list);
    VPI_CURL_SET(ok, easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)t->in.max_body);
    if (r->direct) VPI_CURL_SET(ok, easy, CURLOPT_PROXY, ""); /* overrides the environment */
    /* HTTP/2 copies what comes through buffers that nobody can zeroise */
    if (r->secret) VPI_CURL_SET(ok, easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    return ok && vpi_http_set_method(easy, r->method, r->body, r->body_size);
}

static vp_status watch(transfer *t, vp_error *err)
{
    VPI_TRY(vpi_cancel_check(t->cancel, err));
    VPI_TRY(vpi_cancel_check(vpi_context_cancel(t->http->context), err));
    if (vpi_now_us() < t->deadline_us) return VP_OK;
    return vpi_http_fail(&t->in, t->url, CURLE_OPERATION_TIMEDOUT, err);
}

/* ---- running ---- */

static vp_status drive(transfer *t, CURLM *multi, vp_error *err)
{
    int running = 1, left;

    for (;;) {
        CURLMcode code;
        CURLMsg *msg;
        vpi_calm calm;

        VPI_TRY(watch(t, err));
        vpi_calm_begin(&calm);
        code = curl_multi_perform(multi, &running);
        msg = curl_multi_info_read(multi, &left);
        vpi_calm_end(&calm);
        if (code == CURLM_OUT_OF_MEMORY) return vpi_fail_nomem(err);
        if (code != CURLM_OK)
            return vpi_fail(err, VP_E_INTERNAL, NULL, "libcurl: %s", curl_multi_strerror(code));
        if (msg && msg->msg == CURLMSG_DONE)
            return msg->data.result == CURLE_OK ? VP_OK
                                                : vpi_http_fail(&t->in, t->url, msg->data.result, err);
        if (!running) return vpi_fail(err, VP_E_INTERNAL, NULL, "libcurl ends without an answer");
        code = curl_multi_poll(multi, NULL, 0, POLL_MS, NULL);
        if (code != CURLM_OK)
            return vpi_fail(err, VP_E_INTERNAL, NULL, "libcurl: %s", curl_multi_strerror(code));
    }
}

/* One step: a request and its answer. */
static vp_status step(transfer *t, vpi_http_slot *slot, vp_error *err)
{
    vpi_http_answer *a = t->in.answer;
    long status = 0;
    vpi_calm calm;
    vp_status st;

    vpi_http_intake_begin(&t->in, a, t->request->max_body);
    /* in one piece: growing would leave copies behind */
    if (t->in.secret && !vpi_buf_reserve(&a->body, t->in.max_body)) return vpi_fail_nomem(err);
    curl_easy_reset(t->in.easy);
    if (!vpi_http_set_safety(t->http, &t->in, !t->foreign) || !set_request(t))
        return vpi_fail(err, VP_E_NOMEM, NULL, "libcurl takes not what it is told");
    if (curl_multi_add_handle(slot->multi, t->in.easy) != CURLM_OK) return vpi_fail_nomem(err);
    st = drive(t, slot->multi, err);
    if (st >= 0) {
        curl_easy_getinfo(t->in.easy, CURLINFO_RESPONSE_CODE, &status);
        a->status = (int)status;
    }
    vpi_calm_begin(&calm);
    curl_multi_remove_handle(slot->multi, t->in.easy);
    vpi_calm_end(&calm);
    return st;
}

/*
 * Where an answer leads to, NULL: nowhere that is followed. From https to https; what changes something only by 307 and
 * 308, which keep method and body (RFC 9110 15.4), and only at the same host.
 */
static char *redirect(const transfer *t, bool *foreign)
{
    char from[VPI_HTTP_ORIGIN], to[VPI_HTTP_ORIGIN];
    int s = t->in.answer->status;
    bool reads = vpi_streq(t->request->method, "GET") || vpi_streq(t->request->method, "HEAD");
    char *url = NULL;

    if (!(s == 307 || s == 308 || (reads && (s == 301 || s == 302 || s == 303)))) return NULL;
    if (curl_easy_getinfo(t->in.easy, CURLINFO_REDIRECT_URL, &url) != CURLE_OK || !url) return NULL;
    vpi_http_origin(t->url, from, sizeof(from));
    vpi_http_origin(url, to, sizeof(to));
    if (strncmp(from, "https://", 8) != 0 || strncmp(to, "https://", 8) != 0) return NULL;
    *foreign = t->foreign || strcmp(from, to) != 0;
    if (!reads && *foreign) return NULL;
    return vpi_strdup(url);
}

static vp_status keep_redirect(transfer *t, vp_error *err)
{
    vpi_http_answer *a = t->in.answer;
    char *url = NULL;

    vpi_free(a->redirect);
    a->redirect = NULL;
    if (a->status < 300 || a->status > 399) return VP_OK;
    if (curl_easy_getinfo(t->in.easy, CURLINFO_REDIRECT_URL, &url) != CURLE_OK || !url) return VP_OK;
    a->redirect = vpi_strdup(url);
    return a->redirect ? VP_OK : vpi_fail_nomem(err);
}

static vp_status run(transfer *t, vpi_http_slot *slot, vp_error *err)
{
    char *url = NULL, *next;
    uint32_t hops = 0;
    vp_status st;

    for (;;) {
        st = step(t, slot, err);
        next = st >= 0 && hops++ < t->request->max_redirect ? redirect(t, &t->foreign) : NULL;
        if (!next) break;
        vpi_free(url);
        t->url = url = next;
    }
    if (st >= 0) st = keep_redirect(t, err);
    vpi_free(url);
    return st;
}

vp_status vpi_http_request_run(vpi_http *http, const vpi_http_request *request, vp_cancel *cancel,
                               vpi_http_answer *out, vp_error *err)
{
    transfer t = { .http = http, .request = request, .cancel = cancel, .url = request->url };
    uint32_t timeout = http->timeout_ms;
    vpi_http_slot *slot;
    vp_status st;

    if (vpi_forked(http->fork_mark))
        return vpi_fail(err, VP_E_STATE, NULL, "this handle was inherited by fork()");
    VPI_TRY(vpi_context_check(http->context, err));
    VPI_TRY(vpi_http_slot_take(http, &slot, err));
    if (request->timeout_ms && request->timeout_ms < timeout) timeout = request->timeout_ms;
    t.deadline_us = vpi_now_us() + (int64_t)timeout * 1000;
    t.in.easy = slot->easy;
    t.in.answer = out;
    t.in.secret = request->secret;
    st = run(&t, slot, err);
    vpi_http_slot_give(http, slot, st >= 0);
    vpi_http_lines_dispose(&t.headers);
    if (st < 0) {
        vpi_http_answer_dispose(out);
        vpi_error_op(err, "http");
    }
    return st;
}
