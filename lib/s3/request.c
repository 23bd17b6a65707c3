/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One operation's way: credentials, turn, signature, answer, and again where that helps. */

#include <stdlib.h>
#include <time.h>

#include "client.h"

#define EXPECT_MS 1000
#define PATIENCE_US 60000000
#define RETRY_AFTER_MAX_S 30u
#define WORK_STALLS 15u /* as long as so many times of silence elsewhere: five minutes */
#define MAX_ANSWER ((size_t)4 << 20)
#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static void on_call(vpi_call *call, vp_status st);
static void on_delay(vpi_timer *timer, bool ended);

void vpi_s3_header(const vpi_s3_op *op, const char *name, char *to, size_t capacity)
{
    if (!vpi_http_header(&op->call.answer, name, to, capacity) && capacity) *to = 0;
}

static void finish(vpi_s3_op *op, vp_status st)
{
    op->done(op, st);
}

void vpi_s3_finish_list(vpi_s3_op *list, vp_status st, const vp_error *err)
{
    while (list) {
        vpi_s3_op *op = list;

        list = op->next;
        op->next = NULL;
        vp_error_init(&op->err);
        vpi_error_copy(&op->err, err);
        finish(op, st);
    }
}

/* ---- making a request ---- */

static void add_sums(vpi_s3_op *op, vpi_buf *lines)
{
    const vpi_s3_sums *s = op->sums;
    bool refused = op->plains || op->s3->synced.no_sums;
    char text[32];
    uint8_t be[8];

    op->summed = op->sum_headers && !refused;
    if (op->summed) vpi_buf_str(lines, op->sum_headers);
    if (!op->body_size || op->flags & VPI_S3_NO_SUMS) return;
    if (op->s3->checksum == VP_S3_CHECKSUM_MD5) {
        vpi_s3_base64(s->md5, sizeof(s->md5), text);
        vpi_buf_printf(lines, "Content-MD5: %s\n", text);
    } else if (op->s3->checksum == VP_S3_CHECKSUM_CRC32C && !refused) {
        op->summed = true;
        for (int i = 0; i < 4; i++) be[i] = (uint8_t)(s->crc32c >> (24 - 8 * i));
        vpi_s3_base64(be, 4, text);
        vpi_buf_printf(lines, "x-amz-checksum-crc32c: %s\n", text);
    } else if (op->s3->checksum == VP_S3_CHECKSUM_CRC64NVME && !refused) {
        op->summed = true;
        for (int i = 0; i < 8; i++) be[i] = (uint8_t)(s->crc64 >> (56 - 8 * i));
        vpi_s3_base64(be, 8, text);
        vpi_buf_printf(lines, "x-amz-checksum-crc64nvme: %s\n", text);
    }
}

/* Address and headers, signed with the time of now (S06). */
static vp_status make_synced(vp_s3 *s3, vpi_s3_op *op)
{
    vp_s3_request request = VP_S3_REQUEST_INIT;
    vp_s3_credentials credentials;

    op->skew_us = s3->synced.skew_us;
    VPI_TRY(vpi_s3_address_synced(s3, op->bucket, op->key, op->query, &op->url, op->region, &op->err));
    vpi_buf_clear(&op->plain);
    if (op->headers) vpi_buf_str(&op->plain, op->headers);
    if (op->asks) vpi_buf_str(&op->plain, "Range: bytes=0-0\n");
    add_sums(op, &op->plain);
    vpi_buf_u8(&op->plain, 0);
    vpi_buf_clear(&op->lines);
    if (vpi_buf_failed(&op->plain)) return vpi_fail_nomem(&op->err);
    vpi_buf_str(&op->lines, (const char *)op->plain.data);
    if (!(s3->o.flags & VP_S3_ANONYMOUS)) {
        credentials = vpi_s3_secret_view(&s3->synced.secret);
        request.method = op->asks ? "GET" : op->method;
        request.url = (const char *)op->url.data;
        request.headers = (const char *)op->plain.data;
        request.region = op->region;
        request.time_us = vpi_s3_time_us() + s3->synced.skew_us;
        request.payload_sha256 = !op->body_size        ? EMPTY_SHA256
                                 : op->sums->sha256[0] ? op->sums->sha256
                                                       : NULL;
        VPI_TRY(vpi_s3_sign_lines(&request, &credentials, &s3->synced.day, &op->lines, &op->err));
    }
    vpi_buf_u8(&op->lines, 0);
    op->secret_id = s3->synced.secret_id;
    return vpi_buf_failed(&op->lines) ? vpi_fail_nomem(&op->err) : VP_OK;
}

/* Complete, copies and the like: silent, or with a space now and then, for as long as the server works. */
static bool works(const vpi_s3_op *op)
{
    return op->flags & VPI_S3_MAYBE_ERROR && !vpi_streq(op->method, "GET");
}

/*
 * Some servers copy all of an object before they answer to Complete, without a word meanwhile. Where a second one came
 * while the first was at work, versitygw 1.8 called both a success, and for a while there was no object.
 */
static uint32_t stall_ms(const vpi_s3_op *op)
{
    uint64_t ms = op->s3->o.stall_ms;

    return (uint32_t)VPI_MIN(works(op) ? ms * WORK_STALLS : ms, UINT32_MAX);
}

static vp_status send_synced(vp_s3 *s3, vpi_s3_op *op)
{
    vpi_call *c = &op->call;
    vpi_http_answer answer = c->answer;
    int64_t now = vpi_now_us();

    if (!op->deadline_us) {
        op->began_us = now;
        op->deadline_us = now + (int64_t)(op->limit_ms ? op->limit_ms : s3->o.deadline_ms) * 1000;
    }
    VPI_TRY(make_synced(s3, op));
    memset(c, 0, sizeof(*c));
    c->answer = answer;
    c->method = op->asks ? "GET" : op->method;
    c->url = (const char *)op->url.data;
    c->headers = (const char *)op->lines.data;
    c->body = op->body;
    c->body_size = op->body_size;
    c->read = op->read;
    c->read_user = op->read_user;
    c->expect_ms = op->flags & VPI_S3_LARGE && !s3->synced.no_expect ? EXPECT_MS : 0;
    c->stall_ms = stall_ms(op);
    c->slow_rate = works(op) ? 0 : s3->o.slow_rate;
    c->deadline_ms = (uint32_t)VPI_MIN(VPI_MAX((op->deadline_us - now) / 1000, 1), UINT32_MAX);
    c->max_body = op->max_body ? op->max_body : MAX_ANSWER;
    c->fresh = (op->flags & VPI_S3_ONCE) != 0;
    c->to = op->to;
    c->to_capacity = op->to_capacity;
    c->done = on_call;
    c->user = op;
    op->tries++;
    op->state = VPI_S3_RUNNING;
    s3->synced.running++;
    s3->synced.counts.requests++;
    if (op->tries > 1) s3->synced.counts.retries++;
    vp_status st = vpi_loop_start(s3->loop, c, &op->err);
    if (st < 0) s3->synced.running--;
    return st;
}

/* ---- turns ---- */

/* Nobody else wakes those who wait for the end of a slow time. */
static bool set_pace_synced(vp_s3 *s3)
{
    vp_error err = VP_ERROR_INIT;

    if (s3->synced.pacing) return true;
    s3->synced.pace.at_us = s3->synced.slow_until_us;
    s3->synced.pace.fn = vpi_s3_on_pace;
    s3->synced.pace.user = s3;
    s3->synced.pacing = vpi_loop_timer(s3->loop, &s3->synced.pace, &err) >= 0;
    return s3->synced.pacing;
}

void vpi_s3_pump(vp_s3 *s3)
{
    vpi_s3_op *failed = NULL;

    pthread_mutex_lock(&s3->lock);
    while (s3->synced.first) {
        vpi_s3_op *op = s3->synced.first;
        bool urgent = (op->flags & VPI_S3_URGENT) != 0;
        int64_t until =
            vpi_s3_slow_until_synced(s3); /* and with it the limit, which may be a lower one now */
        vp_status st;

        if (s3->synced.running >= s3->synced.limit + (urgent ? VPI_S3_RESERVED : 0)) break;
        if (!urgent && vpi_now_us() < until && !s3->synced.closed && set_pace_synced(s3)) break;
        vpi_s3_unqueue_synced(s3, op);
        st = send_synced(s3, op);
        if (st >= 0) continue;
        op->state = VPI_S3_IDLE;
        op->next = failed;
        failed = op;
    }
    pthread_mutex_unlock(&s3->lock);
    while (failed) {
        vpi_s3_op *op = failed;

        failed = op->next;
        op->next = NULL;
        finish(op, op->err.status);
    }
}

void vpi_s3_on_pace(vpi_timer *timer, bool ended)
{
    vp_s3 *s3 = timer->user;

    (void)ended;
    pthread_mutex_lock(&s3->lock);
    s3->synced.pacing = false;
    pthread_mutex_unlock(&s3->lock);
    vpi_s3_pump(s3);
}

/* Where it goes first: to who waits for credentials, or for a turn. */
static vp_status admit_synced(vp_s3 *s3, vpi_s3_op *op, bool first)
{
    switch (vpi_s3_secret_synced(s3)) {
    case VPI_S3_HAVE:
        vpi_s3_queue_synced(s3, op, first || op->flags & VPI_S3_URGENT);
        return VP_OK;
    case VPI_S3_WAIT:
        op->state = VPI_S3_PARKED;
        op->next = s3->synced.parked;
        s3->synced.parked = op;
        return VP_OK;
    default:
        if (s3->synced.closed) return vpi_fail(&op->err, VP_E_CANCELED, NULL, "the context closes");
        return vpi_fail(&op->err, VP_E_NOMEM, NULL, "no thread for asking after credentials");
    }
}

/* ---- after an answer ---- */

static vpi_s3_verdict limit_tries(vp_s3 *s3, vpi_s3_op *op, int64_t delay_us, vpi_s3_verdict v)
{
    int64_t now = vpi_now_us();
    bool late = op->deadline_us && now + delay_us >= op->deadline_us;
    /* A server that restarts is away for longer than the unluckiest of many objects draws delays. */
    bool patient = s3->patient && s3->synced.answered && now - op->began_us < PATIENCE_US;

    if (v.act == VPI_S3_DONE || v.act == VPI_S3_NOW || v.act == VPI_S3_RENEW) return v;
    if ((op->tries >= s3->o.attempts && !patient) || late || s3->synced.closed) v.act = VPI_S3_DONE;
    return v;
}

static vp_status wait_synced(vp_s3 *s3, vpi_s3_op *op, int64_t delay_us)
{
    op->state = VPI_S3_DELAYED;
    op->timer.at_us = vpi_now_us() + delay_us;
    op->timer.fn = on_delay;
    op->timer.user = op;
    return vpi_loop_timer(s3->loop, &op->timer, &op->err);
}

static void count_synced(vp_s3 *s3, const vpi_s3_op *op)
{
    s3->synced.counts.sent += op->call.sent;
    s3->synced.counts.received += op->call.received;
}

/* What the server asks for, in seconds (RFC 9110 10.2.3); a date or nothing: 0. */
static int64_t retry_after(const vpi_s3_op *op)
{
    char text[16];
    size_t n;

    vpi_s3_header(op, "retry-after", text, sizeof(text));
    n = strlen(text);
    if (!n || n > 5 || strspn(text, "0123456789") != n) return 0;
    return (int64_t)VPI_MIN(strtoul(text, NULL, 10), RETRY_AFTER_MAX_S) * 1000000;
}

/* Whether this try may have been done though its answer does not say so. SlowDown is said before anything is. */
static bool may_be_done(const vpi_s3_op *op, vp_status st, const vpi_s3_verdict *v)
{
    int status = op->call.answer.status;

    if (st < 0 || op->call.sends > 1) return true;
    if (status >= 500) return strcmp(op->code, "SlowDown") != 0;
    return status < 300 && v->act != VPI_S3_DONE;
}

static void on_call(vpi_call *call, vp_status st)
{
    vpi_s3_op *op = call->user;
    vp_s3 *s3 = op->s3;
    vpi_s3_verdict v;
    int64_t delay_us;

    pthread_mutex_lock(&s3->lock);
    s3->synced.running--;
    count_synced(s3, op);
    v = vpi_s3_judge_synced(s3, op, st);
    if (v.act == VPI_S3_SLOW)
        vpi_s3_slow_synced(s3, retry_after(op));
    else if (v.st >= 0)
        vpi_s3_good_synced(s3);
    if (v.st >= 0) s3->synced.answered = true;
    if (may_be_done(op, st, &v)) op->lost = true;
    delay_us = vpi_s3_delay_synced(s3, op->tries);
    v = limit_tries(s3, op, delay_us, v);
    op->state = VPI_S3_IDLE;
    if (v.act == VPI_S3_NOW || v.act == VPI_S3_RENEW)
        st = admit_synced(s3, op, true);
    else if (v.act != VPI_S3_DONE)
        st = wait_synced(s3, op, delay_us);
    if (v.act != VPI_S3_DONE && st < 0) {
        op->state = VPI_S3_IDLE;
        v = (vpi_s3_verdict){ VPI_S3_DONE, op->err.status }; /* the first failure is what is told */
    }
    pthread_mutex_unlock(&s3->lock);
    if (v.act == VPI_S3_DONE) finish(op, v.st);
    vpi_s3_pump(s3);
}

static void on_delay(vpi_timer *timer, bool ended)
{
    vpi_s3_op *op = timer->user;
    vp_s3 *s3 = op->s3;
    vp_status st = VP_OK;

    pthread_mutex_lock(&s3->lock);
    op->state = VPI_S3_IDLE;
    if (op->canceled || ended) {
        vp_error_init(&op->err);
        st = vpi_fail(&op->err, VP_E_CANCELED, NULL, "canceled");
    } else {
        st = admit_synced(s3, op, true);
    }
    pthread_mutex_unlock(&s3->lock);
    if (st < 0) finish(op, op->err.status);
    vpi_s3_pump(s3);
}

/* ---- from outside ---- */

vp_status vpi_s3_start(vp_s3 *s3, vpi_s3_op *op, vp_error *err)
{
    vp_status st;

    VPI_TRY(vpi_context_check(s3->context, err));
    if (op->body_size && !op->sums) {
        VPI_TRY(vpi_s3_sum(s3, op->body, op->body_size, &op->own, err));
        op->sums = &op->own;
    }
    pthread_mutex_lock(&s3->lock);
    op->s3 = s3;
    op->deadline_us = 0;
    op->tries = op->skews = op->regions = op->renewals = op->plains = op->asked = 0;
    op->canceled = op->lost = op->asks = false;
    op->next = NULL;
    vp_error_init(&op->err);
    st = admit_synced(s3, op, false);
    if (st < 0) vpi_error_copy(err, &op->err);
    pthread_mutex_unlock(&s3->lock);
    if (st >= 0) vpi_s3_pump(s3);
    return st;
}

static bool unpark_synced(vp_s3 *s3, vpi_s3_op *op)
{
    for (vpi_s3_op **at = &s3->synced.parked; *at; at = &(*at)->next) {
        if (*at != op) continue;
        *at = op->next;
        op->next = NULL;
        op->state = VPI_S3_IDLE;
        return true;
    }
    return false;
}

void vpi_s3_stop(vp_s3 *s3, vpi_s3_op *op)
{
    bool ours = false;

    pthread_mutex_lock(&s3->lock);
    op->canceled = true;
    switch (op->state) {
    case VPI_S3_PARKED:
        ours = unpark_synced(s3, op);
        break;
    case VPI_S3_QUEUED:
        vpi_s3_unqueue_synced(s3, op);
        ours = true;
        break;
    case VPI_S3_DELAYED:
        ours = vpi_loop_timer_stop(s3->loop, &op->timer);
        if (ours) op->state = VPI_S3_IDLE;
        break;
    case VPI_S3_RUNNING:
        vpi_loop_cancel(s3->loop, &op->call);
        break;
    default:
        break;
    }
    pthread_mutex_unlock(&s3->lock);
    if (!ours) return;
    vp_error_init(&op->err);
    finish(op, vpi_fail(&op->err, VP_E_CANCELED, NULL, "canceled"));
}

/* ---- waiting for one ---- */

void vpi_s3_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock)
{
    struct timespec until;

    vpi_until_ms(100, &until);
    pthread_cond_timedwait(cond, lock, &until);
}

void vpi_s3_wait_synced(vp_s3 *s3, pthread_cond_t *what)
{
    vpi_s3_cond_wait(what, &s3->lock);
}

void vpi_s3_waiter_init(vpi_s3_waiter *w)
{
    memset(w, 0, sizeof(*w));
    pthread_mutex_init(&w->lock, NULL);
    vpi_cond_init(&w->ended);
}

void vpi_s3_waiter_end(vpi_s3_waiter *w, vp_status st)
{
    pthread_mutex_lock(&w->lock);
    w->done = true;
    w->st = st;
    pthread_cond_signal(&w->ended);
    pthread_mutex_unlock(&w->lock);
}

vp_status vpi_s3_waiter_wait(vpi_s3_waiter *w, vp_cancel *cancel, void (*stop)(void *user), void *user,
                             vp_error *why)
{
    vp_status st;

    pthread_mutex_lock(&w->lock);
    while (!w->done) {
        vpi_s3_cond_wait(&w->ended, &w->lock);
        if (w->done || why->status < 0 || !stop || vpi_cancel_check_scope(cancel, why) >= 0) continue;
        pthread_mutex_unlock(&w->lock);
        stop(user);
        pthread_mutex_lock(&w->lock);
    }
    st = w->st;
    pthread_mutex_unlock(&w->lock);
    return st;
}

void vpi_s3_waiter_dispose(vpi_s3_waiter *w)
{
    pthread_cond_destroy(&w->ended);
    pthread_mutex_destroy(&w->lock);
}

static void on_waited(vpi_s3_op *op, vp_status st)
{
    vpi_s3_waiter_end(op->user, st);
}

static void stop_op(void *user)
{
    vpi_s3_op *op = user;

    vpi_s3_stop(op->s3, op);
}

vp_status vpi_s3_run(vp_s3 *s3, vpi_s3_op *op, vp_cancel *cancel, vp_error *err)
{
    vp_error why = VP_ERROR_INIT;
    vpi_s3_waiter w;
    vp_status st;

    VPI_TRY(vpi_cancel_check_scope(cancel, err));
    vpi_s3_waiter_init(&w);
    op->done = on_waited;
    op->user = &w;
    st = vpi_s3_start(s3, op, err);
    if (st >= 0) {
        st = vpi_s3_waiter_wait(&w, cancel, stop_op, op, &why);
        if (st == VP_E_CANCELED && why.status < 0) { /* a deadline of the caller's is TIMEOUT */
            st = why.status;
            vpi_error_copy(err, &why);
        } else if (st < 0) {
            vpi_error_copy(err, &op->err);
        }
    }
    vpi_s3_waiter_dispose(&w);
    return st;
}

void vpi_s3_op_dispose(vpi_s3_op *op)
{
    vpi_http_answer_dispose(&op->call.answer);
    vpi_buf_dispose(&op->url);
    vpi_buf_dispose(&op->plain);
    vpi_s3_buf_wipe(&op->lines); /* a session token is among them */
}

void vpi_s3_op_reset(vp_s3 *s3, vpi_s3_op *op)
{
    pthread_mutex_lock(&s3->lock);
    vpi_s3_op_dispose(op);
    memset(op, 0, sizeof(*op));
    pthread_mutex_unlock(&s3->lock);
}
