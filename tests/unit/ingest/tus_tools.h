/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPT_INGEST_TUS_TOOLS_H
#define VPT_INGEST_TUS_TOOLS_H

/*
 * What the tests of the upload handler share: a store in a scratch directory, a handler over it, and a host that drives
 * requests to their answers. With `queued` the handler has a queue, and the host waits for its events.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <vodpipe/tus.h>

#include "base/common.h"
#include "base/error.h"
#include "ingest/tus_int.h"

#define TUS "Tus-Resumable: 1.0.0\n"
#define BYTES "Content-Type: application/offset+octet-stream\n"
#define WAIT_MS 60000 /* for an event; only a hang reaches it */

static bool queued;

typedef struct room {
    vp_context *context;
    vp_ingest *ingest;
    vp_queue *queue;
    vp_tus *tus;
    int64_t now_us;           /* of the store, since 1970 */
    _Atomic int64_t clock_us; /* of the handler, whose threads ask too */
    char path[64];
} room;

static int64_t room_now(void *user)
{
    return ((room *)user)->now_us;
}

static int64_t room_clock(void *user)
{
    return ((room *)user)->clock_us;
}

/* Another store over the same directory, and another handler. */
static void room_use(room *r, vp_ingest_options io, vp_tus_options to)
{
    r->tus = vp_tus_unref(r->tus);
    r->ingest = vp_ingest_unref(r->ingest);
    io.now_us = room_now;
    io.now_user = r;
    io.flags |= VP_INGESTF_VOLATILE;
    to.queue = r->queue;
    assert_int_equal(vp_ingest_directory(r->context, r->path, &io, &r->ingest, NULL), VP_OK);
    assert_int_equal(vp_tus_new(r->ingest, &to, &r->tus, NULL), VP_OK);
    vpi_tus_set_clock(r->tus, room_clock, r);
}

static int room_open(void **state)
{
    room *r = calloc(1, sizeof(*r));
    vp_ingest_options io = VP_INGEST_OPTIONS_INIT;
    vp_tus_options to = VP_TUS_OPTIONS_INIT;

    if (!r) return -1;
    *state = r;
    snprintf(r->path, sizeof(r->path), "/tmp/vpt-tus-XXXXXX");
    r->now_us = INT64_C(1800000000) * 1000000;
    r->clock_us = 5000000;
    if (!mkdtemp(r->path) || vp_context_new(NULL, &r->context, NULL) != VP_OK) return -1;
    if (queued && vp_queue_new(&r->queue, NULL) != VP_OK) return -1;
    room_use(r, io, to);
    return 0;
}

static int room_close(void **state)
{
    room *r = *state;
    char command[128];
    int rc;

    vp_tus_unref(r->tus);
    vp_ingest_unref(r->ingest);
    vp_queue_unref(r->queue);
    vp_context_unref(r->context);
    snprintf(command, sizeof(command), "rm -rf %s", r->path);
    rc = system(command);
    free(r);
    return rc;
}

/* ---- a host ---- */

typedef struct host {
    size_t piece; /* bytes of the body at a time; 0: all */
    const char *trailers;
    const vp_tus_accept_options *accept; /* of the first ASK */
    const vp_tus_accept_options *finish; /* of the second */
    int32_t reject, reject_finish;       /* statuses instead */
    bool draft, stop;                    /* stop: the client is gone behind the body */
} host;

typedef struct result {
    int32_t status, asked; /* asked: the operation of the first ASK */
    uint32_t asks, finishes, finish_flags;
    char headers[8192], body[4096], interim[1024];
    uint64_t body_size;
    vp_tus_info info, finish; /* at both */
    char metadata[512];       /* at the last ASK: "name=value;" */
    char id[68];
} result;

/* Until the request is no longer busy. Its event comes once for each time. */
static void settle(room *r, vp_tus_request *q)
{
    while (vp_tus_state(q) == VP_TUS_BUSY) {
        vp_event e = { .struct_size = sizeof(e) };

        assert_non_null(r->queue);
        assert_int_equal(vp_queue_next(r->queue, WAIT_MS, &e, NULL), VP_OK);
        assert_int_equal(e.kind, VP_EVENT_UPLOAD_SYNCED);
        assert_int_equal(vp_tus_step(q, NULL), VP_OK);
    }
}

static void read_metadata(vp_tus_request *q, result *to)
{
    size_t n = 0;
    const char *name;
    const void *value;
    uint64_t size;

    to->metadata[0] = 0;
    for (uint32_t i = 0; vp_tus_metadata(q, i, &name, &value, &size, NULL) == VP_OK; i++)
        n +=
            (size_t)snprintf(to->metadata + n, sizeof(to->metadata) - n, "%s=%s;", name, (const char *)value);
}

static void answer_ask(vp_tus_request *q, const host *h, result *to)
{
    vp_tus_info info = VP_TUS_INFO_INIT;
    bool finish;

    assert_int_equal(vp_tus_get_info(q, &info, NULL), VP_OK);
    read_metadata(q, to);
    finish = info.operation == VP_TUS_FINISH;
    to->asks++;
    if (finish) {
        to->finishes++;
        to->finish_flags = info.flags;
        to->finish = info;
    } else {
        to->asked = info.operation;
        to->info = info;
    }
    if (finish ? h->reject_finish : h->reject) {
        assert_int_equal(
            vp_tus_reject(q, finish ? h->reject_finish : h->reject, "X-Why: said so\n", "no\n", 3, NULL),
            VP_OK);
    } else {
        assert_int_equal(vp_tus_accept(q, finish ? h->finish : h->accept, NULL), VP_OK);
    }
}

static void take_interim(vp_tus_request *q, result *to)
{
    const char *lines = NULL;
    int32_t status = vp_tus_interim(q, &lines);

    if (!status) return;
    assert_int_equal(status, 104);
    snprintf(to->interim + strlen(to->interim), sizeof(to->interim) - strlen(to->interim), "%s|", lines);
    assert_int_equal(vp_tus_interim(q, &lines), 0);
}

static void take_answer(vp_tus_request *q, result *to)
{
    size_t n = 0;
    const char *name, *value;
    const void *data;
    vp_source *source = NULL;
    uint64_t from, size;

    to->status = vp_tus_status(q);
    for (uint32_t i = 0; vp_tus_answer_header(q, i, &name, &value, NULL) == VP_OK; i++) {
        assert_true(vpi_tus_printable(name) && vpi_tus_printable(value));
        n += (size_t)snprintf(to->headers + n, sizeof(to->headers) - n, "%s: %s\n", name, value);
        if (strcmp(name, "Location") == 0) snprintf(to->id, sizeof(to->id), "%s", strrchr(value, '/') + 1);
    }
    assert_int_equal(vp_tus_answer_body(q, &data, &to->body_size, NULL), VP_OK);
    assert_true(to->body_size < sizeof(to->body));
    if (to->body_size) memcpy(to->body, data, (size_t)to->body_size);
    if (vp_tus_answer_source(q, &source, &from, &size, NULL) == VP_OK) {
        size_t got = 0;

        assert_int_equal(to->body_size, 0);
        assert_true(size < sizeof(to->body));
        assert_int_equal(vp_source_read_at(source, from, to->body, (size_t)size, &got, NULL), VP_OK);
        assert_int_equal(got, size);
        to->body_size = size;
        vp_source_unref(source);
    }
    to->body[to->body_size] = 0;
}

/* Hands the body over, in pieces. */
static void send_body(room *r, vp_tus_request *q, const host *h, const char *body, size_t size, result *to)
{
    size_t piece = h->piece ? h->piece : size;

    for (size_t at = 0; at < size; at += piece) {
        assert_int_equal(vp_tus_body(q, body + at, VPI_MIN(piece, size - at), NULL), VP_OK);
        settle(r, q);
        take_interim(q, to);
    }
    if (h->stop) return;
    assert_int_equal(vp_tus_end(q, h->trailers, NULL), VP_OK);
    settle(r, q);
}

static result ask_as(room *r, const host *h, const char *method, const char *target, const char *headers,
                     const char *body, size_t size)
{
    result to = { 0 };
    vp_tus_request *q = NULL;
    bool sent = false;

    if (h->draft) {
        assert_int_equal(vp_tus_begin_draft(r->tus, method, target, headers, 77, &q, NULL), VP_OK);
    } else {
        assert_int_equal(vp_tus_begin(r->tus, method, target, headers, 77, &q, NULL), VP_OK);
    }
    while (vp_tus_state(q) != VP_TUS_ANSWER) {
        assert_true(to.asks < 4);
        if (vp_tus_state(q) == VP_TUS_ASK) {
            answer_ask(q, h, &to);
            settle(r, q);
        } else {
            assert_int_equal(vp_tus_state(q), VP_TUS_BODY);
            assert_false(sent);
            sent = true;
            take_interim(q, &to);
            send_body(r, q, h, body, size, &to);
            if (h->stop) break;
        }
    }
    if (!h->stop) take_answer(q, &to);
    assert_null(vp_tus_close(q));
    return to;
}

static inline result ask(room *r, const char *method, const char *target, const char *headers,
                         const char *body)
{
    const host h = { 0 };

    return ask_as(r, &h, method, target, headers, body, body ? strlen(body) : 0);
}

/* ---- what came ---- */

/* Value of the first header of that name, or NULL; valid until the next call. */
static const char *header(const result *a, const char *name)
{
    static char value[4096];
    size_t n = strlen(name);

    for (const char *p = a->headers; *p; p = strchr(p, '\n') + 1) {
        if (strncmp(p, name, n) != 0 || p[n] != ':') continue;
        snprintf(value, sizeof(value), "%.*s", (int)(strchr(p, '\n') - p - (long)n - 2), p + n + 2);
        return value;
    }
    return NULL;
}

#define assert_answer(a, code)                                                                               \
    do {                                                                                                     \
        if ((a).status != (code))                                                                            \
            fail_msg("line %d: %d instead of %d\n%s\n%s", __LINE__, (a).status, (code), (a).headers,         \
                     (a).body);                                                                              \
    } while (0)

#define assert_header(a, name, want)                                                                         \
    do {                                                                                                     \
        const char *got_ = header(&(a), (name));                                                             \
        if (!got_ || strcmp(got_, (want)) != 0)                                                              \
            fail_msg("line %d: %s is %s instead of %s", __LINE__, (name), got_ ? got_ : "not there",         \
                     (want));                                                                                \
    } while (0)

#define assert_no_header(a, name)                                                                            \
    do {                                                                                                     \
        if (header(&(a), (name))) fail_msg("line %d: there is a header %s", __LINE__, (name));               \
    } while (0)

/* ---- uploads ---- */

static inline const char *target_of(const char *id)
{
    static char target[128];

    snprintf(target, sizeof(target), "/files/%s", id);
    return target;
}

/* POST without bytes; more: further header lines. */
static inline result create(room *r, const char *more)
{
    char lines[1024];

    snprintf(lines, sizeof(lines), TUS "%s", more);
    return ask(r, "POST", "/files/", lines, NULL);
}

static inline result patch(room *r, const char *id, uint64_t offset, const char *more, const char *body)
{
    char lines[1024];

    snprintf(lines, sizeof(lines), TUS BYTES "Upload-Offset: %llu\n%s", (unsigned long long)offset, more);
    return ask(r, "PATCH", target_of(id), lines, body);
}

static inline result head(room *r, const char *id)
{
    return ask(r, "HEAD", target_of(id), TUS, NULL);
}

/* HEAD tells this offset. */
static inline void expect_offset(room *r, const char *id, const char *offset)
{
    result a = head(r, id);

    assert_answer(a, 200);
    assert_header(a, "Upload-Offset", offset);
}

/* A finished upload. */
static inline result make(room *r, const char *more, const char *body)
{
    char lines[512];
    result a;

    snprintf(lines, sizeof(lines), "Upload-Length: %zu\n%s", strlen(body), more);
    a = create(r, lines);
    assert_answer(a, 201);
    assert_answer(patch(r, a.id, 0, "", body), 204);
    return a;
}

static inline vp_status count_one(void *user, const vp_upload_info *info)
{
    (void)info;
    ++*(unsigned *)user;
    return VP_OK;
}

/* With a queue vp_tus_close does not wait for what it removes. */
static inline void expect_uploads(room *r, unsigned want)
{
    const struct timespec pause = { 0, 1000000 };
    unsigned count = want + 1;

    for (unsigned i = 0; i < 5000 && count != want; i++) {
        if (i) nanosleep(&pause, NULL);
        count = 0;
        assert_int_equal(vp_ingest_list(r->ingest, count_one, &count, NULL), VP_OK);
    }
    assert_int_equal(count, want);
}

#define ROOM_TEST(fn) cmocka_unit_test_setup_teardown(fn, room_open, room_close)

#endif
