/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an answer means: done, failed, or to be sent again, and what is put right before. */

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "client.h"

#define SKEW_LEAST_US 1000000
#define ASKED_MAX 3u

/* What an error document says ("Error responses", docs.aws.amazon.com). */
typedef struct problem {
    char code[64], message[200], region[64], time[40];
} problem;

static vp_status on_problem(void *user, const char *path, const char *text, vp_error *err)
{
    problem *p = user;

    (void)err;
    if (vpi_streq(path, "Error/Code")) vpi_strlcpy(p->code, text, sizeof(p->code));
    if (vpi_streq(path, "Error/Message")) vpi_strlcpy(p->message, text, sizeof(p->message));
    if (vpi_streq(path, "Error/Region")) vpi_strlcpy(p->region, text, sizeof(p->region));
    if (vpi_streq(path, "Error/ServerTime")) vpi_strlcpy(p->time, text, sizeof(p->time));
    return VP_OK;
}

static void plain(char *text) /* what a server says is shown, not believed: no control characters */
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7F) *text = ' ';
}

static void read_problem(const vpi_s3_op *op, problem *p)
{
    const vpi_buf *body = &op->call.answer.body;
    char root[64];

    memset(p, 0, sizeof(*p));
    if (body->size) vpi_s3_xml(body->data, body->size, on_problem, p, root, NULL);
    plain(p->code);
    plain(p->message);
    if (!p->region[0]) vpi_s3_header(op, "x-amz-bucket-region", p->region, sizeof(p->region));
}

/* ---- putting right ---- */

int64_t vpi_s3_parse_time(const char *text)
{
    struct tm tm = { 0 };
    const char *rest = strptime(text, "%a, %d %b %Y %H:%M:%S", &tm);

    if (!rest) {
        memset(&tm, 0, sizeof(tm));
        rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    }
    return rest ? (int64_t)timegm(&tm) * 1000000 : 0;
}

/* The server's clock (S07). False: it tells none, or it is the one we know. */
static bool learn_skew(vp_s3 *s3, const vpi_s3_op *op, const problem *p)
{
    char date[64];
    int64_t theirs = p->time[0] ? vpi_s3_parse_time(p->time) : 0, skew;

    vpi_s3_header(op, "date", date, sizeof(date));
    if (!theirs && date[0]) theirs = vpi_s3_parse_time(date);
    if (!theirs) return false;
    skew = theirs - vpi_s3_time_us();
    if (llabs(skew - op->skew_us) < SKEW_LEAST_US) return false;
    if (llabs(skew - s3->synced.skew_us) >= SKEW_LEAST_US) s3->synced.skew_us = skew;
    return true;
}

static bool one_of(const char *code, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(code, *list) == 0) return true;
    return false;
}

static bool is_slow(int status, const char *code)
{
    static const char *const codes[] = { "SlowDown",
                                         "SlowDownRead",
                                         "SlowDownWrite",
                                         "TooManyRequests",
                                         "Throttling",
                                         "ThrottlingException",
                                         "RequestLimitExceeded",
                                         "BandwidthLimitExceeded",
                                         "RequestThrottled",
                                         "ServiceUnavailable",
                                         "Busy",
                                         NULL };

    return status == 503 || status == 429 || one_of(code, codes);
}

static bool is_passing(int status, const char *code)
{
    static const char *const codes[] = { "RequestTimeout",
                                         "InternalError",
                                         "OperationAborted",
                                         "IncompleteBody",
                                         "ConditionalRequestConflict",
                                         "BadDigest",
                                         "XAmzContentSHA256Mismatch",
                                         "PriorRequestNotComplete",
                                         "InternalServerError",
                                         NULL };

    return vpi_http_retryable(status) || one_of(code, codes);
}

bool vpi_s3_passing(const char *code)
{
    return is_slow(0, code) || is_passing(0, code);
}

static bool is_old(const char *code)
{
    static const char *const codes[] = { "ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired",
                                         "RequestExpired", NULL };

    return one_of(code, codes);
}

static bool is_bad_credentials(const char *code)
{
    static const char *const codes[] = {
        "InvalidAccessKeyId",   "SignatureDoesNotMatch", "InvalidToken",
        "InvalidSecurity",      "ExpiredToken",          "ExpiredTokenException",
        "TokenRefreshRequired", "NotSignedUp",           "AuthorizationHeaderMalformed",
        "RequestTimeTooSkewed", "InvalidClientTokenId",  NULL
    };

    return one_of(code, codes);
}

static bool elsewhere(int status, const char *code)
{
    return status == 301 || status == 307 || status == 308 || (status == 400 && !code[0]) ||
           strcmp(code, "PermanentRedirect") == 0 || strcmp(code, "TemporaryRedirect") == 0 ||
           strcmp(code, "AuthorizationHeaderMalformed") == 0 ||
           strcmp(code, "IllegalLocationConstraintException") == 0;
}

/*
 * Stores that do not know checksum headers say so in many ways, some as a wrong signature (S14); where one request with
 * them has gone well it is something else.
 */
static bool sums_refused(const vp_s3 *s3, const vpi_s3_op *op, int status, const char *code)
{
    static const char *const codes[] = { "NotImplemented",
                                         "InvalidRequest",
                                         "InvalidArgument",
                                         "XNotImplemented",
                                         "SignatureDoesNotMatch",
                                         "AccessDenied",
                                         "Unauthorized",
                                         "InvalidDigest",
                                         "UnsupportedHeader",
                                         "BadRequest",
                                         NULL };

    if (!op->summed || s3->synced.sums_work || op->plains || is_passing(status, code)) return false;
    if (s3->checksum != VP_S3_CHECKSUM_CRC32C && s3->checksum != VP_S3_CHECKSUM_CRC64NVME) return false;
    return status == 400 || status == 401 || status == 403 || status == 501 || one_of(code, codes);
}

/* ---- failures ---- */

static const char *what(const problem *p, int status, char *text, size_t capacity)
{
    if (p->code[0] && p->message[0])
        snprintf(text, capacity, "HTTP %d %s: %s", status, p->code, p->message);
    else if (p->code[0])
        snprintf(text, capacity, "HTTP %d %s", status, p->code);
    else
        snprintf(text, capacity, "HTTP %d", status);
    return text;
}

static vp_status fail_answer(vpi_s3_op *op, const problem *p, int status)
{
    vp_error *err = &op->err;
    const char *object = op->key ? op->key : op->bucket;
    char text[320];
    vp_status st;

    what(p, status, text, sizeof(text));
    vpi_error_key(err, object);
    if (is_slow(status, p->code))
        st = vpi_fail(err, VP_E_IO, "S3_SLOW_DOWN", "the server asks to slow down: %s", text);
    else if (is_bad_credentials(p->code) || status == 401)
        st = vpi_fail(err, VP_E_AUTH, "S3_BAD_CREDENTIALS", "%s", text);
    else if (status == 403)
        st = vpi_fail(err, VP_E_AUTH, "S3_ACCESS_DENIED", "%s", text);
    else if (status == 412 || (status == 409 && strcmp(p->code, "ConditionalRequestConflict") == 0))
        st = vpi_fail(err, VP_E_CONFLICT, NULL, "%s", text);
    else
        st = vpi_fail(err, VP_E_IO, "S3_ERROR", "%s", text);
    err->native = status;
    err->domain = VP_DOM_HTTP;
    if (is_slow(status, p->code) || is_passing(status, p->code)) err->flags |= VP_ERRF_RETRYABLE;
    return st;
}

/* By what is known now the request has another host or scope than it had. */
static bool goes_elsewhere(vp_s3 *s3, const vpi_s3_op *op)
{
    vpi_buf url = { 0 };
    char region[64];
    bool other =
        vpi_s3_address_synced(s3, op->bucket, op->key, op->query, &url, region, NULL) >= 0 &&
        (strcmp(region, op->region) != 0 || strcmp((const char *)url.data, (const char *)op->url.data) != 0);

    vpi_buf_dispose(&url);
    return other;
}

static vpi_s3_verdict done(vp_status st)
{
    return (vpi_s3_verdict){ VPI_S3_DONE, st };
}

/* What stands between, a portal or a proxy, answers 200 as well. */
static vpi_s3_verdict not_so(vpi_s3_op *op, const char *how)
{
    vpi_error_key(&op->err, op->key);
    vpi_fail(&op->err, VP_E_IO, "S3_ERROR", "%s", how);
    op->err.flags |= VP_ERRF_RETRYABLE;
    return (vpi_s3_verdict){ VPI_S3_AGAIN, VP_E_IO };
}

static bool says_nothing(const vpi_s3_op *op)
{
    return op->call.answer.body.size == 0 || vpi_streq(op->call.method, "HEAD");
}

static vpi_s3_verdict judge_failure(vp_s3 *s3, vpi_s3_op *op, int status)
{
    vpi_s3_verdict again = { VPI_S3_AGAIN, VP_OK };
    problem p;

    read_problem(op, &p);
    vpi_strlcpy(op->code, p.code, sizeof(op->code));
    if (status == 404 && op->key && (says_nothing(op) || strcmp(p.code, "NoSuchKey") == 0))
        return done(VP_END);
    /* A proxy that has lost its server says 404 as well: by that nothing is gone. */
    if (status == 404 && !p.code[0] && !says_nothing(op))
        return not_so(op, "HTTP 404 with a page that is none of an S3 server's");
    again.st = fail_answer(op, &p, status);
    if (status == 417) { /* where we did not ask, a proxy did */
        s3->synced.no_expect = true;
        again.act = op->call.expect_ms ? VPI_S3_NOW : VPI_S3_AGAIN;
    } else if ((strcmp(p.code, "RequestTimeTooSkewed") == 0 || strcmp(p.code, "AccessDenied") == 0 ||
                (status == 403 && !p.code[0])) &&
               op->skews == 0 && learn_skew(s3, op, &p)) {
        op->skews++;
        again.act = VPI_S3_NOW;
    } else if (is_old(p.code) && op->renewals < 2 && vpi_s3_renew_synced(s3, op->secret_id)) {
        op->renewals++;
        again.act = VPI_S3_RENEW;
    } else if (elsewhere(status, p.code) && op->regions < 2 && p.region[0]) {
        op->regions++;
        vpi_s3_learn_region_synced(s3, op->bucket, p.region);
        again.act = goes_elsewhere(s3, op) ? VPI_S3_NOW : VPI_S3_DONE;
    } else if (vpi_streq(op->method, "HEAD") && !op->asks && !p.code[0] && (status == 400 || status == 403) &&
               op->asked < ASKED_MAX) {
        op->asked++; /* an answer to HEAD has no body: what it would have said a GET of one byte tells */
        op->asks = true;
        again.act = VPI_S3_NOW;
        return again;
    } else if (sums_refused(s3, op, status, p.code)) {
        op->plains++;
        again.act = VPI_S3_NOW;
    } else if (is_slow(status, p.code)) {
        again.act = VPI_S3_SLOW;
    } else {
        again.act = is_passing(status, p.code) ? VPI_S3_AGAIN : VPI_S3_DONE;
    }
    return again;
}

/* All documents of S3 that are no errors end so; a page of a portal may well be XML, too. */
static bool is_result(const vpi_s3_op *op, const char *root)
{
    size_t n = strlen(root);

    /* a part or an object with an ETag is in, whatever its server says besides */
    return op->flags & VPI_S3_TAGGED || (n > 6 && strcmp(root + n - 6, "Result") == 0);
}

/*
 * A 200 of all but GetObject may turn out to be a failure (FEATURES fact 34); where a document was to come and has no
 * root
 * element it broke off (S01).
 */
static vpi_s3_verdict judge_body(vp_s3 *s3, vpi_s3_op *op)
{
    const vpi_buf *body = &op->call.answer.body;
    vp_error err = VP_ERROR_INIT;
    char root[64];

    if (vpi_s3_xml(body->data, body->size, NULL, NULL, root, &err) < 0) {
        vpi_error_copy(&op->err, &err);
        vpi_error_key(&op->err, op->key ? op->key : op->bucket);
        if (err.status == VP_E_NOMEM) return done(VP_E_NOMEM);
        op->err.flags |= VP_ERRF_RETRYABLE;
        return (vpi_s3_verdict){ VPI_S3_AGAIN, op->err.status };
    }
    if (strcmp(root, "Error") != 0 && !is_result(op, root))
        return not_so(op, "the answer is a document, and none of an S3 server's");
    if (strcmp(root, "Error") == 0) {
        vpi_s3_verdict v = judge_failure(s3, op, 200);

        /* "InternalError" and "SlowDown" are what it says; any other is tried again as well (it is safe) */
        if (v.act == VPI_S3_DONE && strncmp(op->code, "Invalid", 7) != 0 &&
            strncmp(op->code, "NoSuch", 6) != 0 && strcmp(op->code, "EntityTooSmall") != 0)
            v.act = VPI_S3_AGAIN;
        return v;
    }
    return done(VP_OK);
}

/* 200 is all of it: good where the range begins with the first byte, and has room for the last one. */
static bool right_range(const vpi_s3_op *op)
{
    uint64_t first, last, total;

    if (op->call.answer.status == 200) return op->first == 0;
    return op->call.answer.status == 206 && vpi_http_content_range(&op->call.answer, &first, &last, &total) &&
           first == op->first && last >= first && last < total && last - first + 1 == op->call.to_size;
}

/* What a HEAD failed with passed while it was asked about: the HEAD once more, behind a delay. */
static vpi_s3_verdict head_again(vpi_s3_op *op)
{
    op->asks = false;
    return not_so(op, "the server refuses a HEAD, and gives the object");
}

/* Each object has an ETag: without it, what a HEAD tells, and what a GET brings, is something else. */
static bool is_of_object(const vpi_s3_op *op)
{
    return op->key && !op->query && (vpi_streq(op->method, "HEAD") || vpi_streq(op->method, "GET"));
}

static vpi_s3_verdict judge(vp_s3 *s3, vpi_s3_op *op, vp_status st)
{
    int status = op->call.answer.status;

    vp_error_init(&op->err);
    op->code[0] = 0;
    if (op->canceled) return done(vpi_fail(&op->err, VP_E_CANCELED, NULL, "canceled"));
    if (st < 0) {
        bool portal = st == VP_E_LIMIT && vpi_streq(op->call.err.reason, "INPUT_LIMIT") &&
                      !(vpi_streq(op->method, "GET") && op->key);

        if (portal) /* no answer of S3 to this is so long (S25) */
            st = vpi_fail(&op->err, VP_E_IO, "S3_ERROR", "the answer is too long to be one of an S3 server");
        else
            vpi_error_copy(&op->err, &op->call.err);
        vpi_error_key(&op->err, op->key ? op->key : op->bucket);
        if (portal) return (vpi_s3_verdict){ VPI_S3_AGAIN, st };
        if (op->flags & VPI_S3_RANGED && status == 200 && st == VP_E_LIMIT) {
            vp_error_init(&op->err);
            return not_so(op, "the server answers a range with all of the object");
        }
        return (vpi_s3_verdict){ op->call.err.flags & VP_ERRF_RETRYABLE ? VPI_S3_AGAIN : VPI_S3_DONE, st };
    }
    if (op->asks && ((status >= 200 && status <= 299) || status == 416)) return head_again(op);
    if (status < 200 || status > 299) return judge_failure(s3, op, status);
    if (op->flags & VPI_S3_MAYBE_ERROR || (op->call.answer.body.size && !vpi_streq(op->method, "GET"))) {
        vpi_s3_verdict v = judge_body(s3, op);

        if (v.act != VPI_S3_DONE || v.st < 0) return v;
    }
    if (op->flags & VPI_S3_TAGGED || is_of_object(op)) {
        char etag[8];

        vpi_s3_header(op, "etag", etag, sizeof(etag));
        if (!etag[0]) return not_so(op, "the answer has no ETag: it is not from an S3 server");
    }
    if (op->flags & VPI_S3_RANGED && !right_range(op))
        return not_so(op, "the server answers a range with another one");
    if (op->summed && op->body_size) s3->synced.sums_work = true;
    if (op->plains) s3->synced.no_sums = true; /* without them it goes */
    return done(VP_OK);
}

vpi_s3_verdict vpi_s3_judge_synced(vp_s3 *s3, vpi_s3_op *op, vp_status st)
{
    vpi_s3_verdict v = judge(s3, op, st);

    if (op->asks && op->call.method && vpi_streq(op->call.method, "GET")) op->asks = false;
    return v;
}
