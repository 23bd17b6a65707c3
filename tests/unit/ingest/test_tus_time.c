/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Clients that hang, drip or come back; expiry; room that runs out. */
#include "tus_tools.h"

#include "ingest/store_int.h"

#define SECOND INT64_C(1000000)

static vp_tus_request *begin_patch(room *r, const char *id, uint64_t offset)
{
    char lines[256];
    vp_tus_request *q = NULL;

    snprintf(lines, sizeof(lines), TUS BYTES "Upload-Offset: %llu\n", (unsigned long long)offset);
    assert_int_equal(vp_tus_begin(r->tus, "PATCH", target_of(id), lines, 77, &q, NULL), VP_OK);
    assert_int_equal(vp_tus_state(q), VP_TUS_ASK);
    assert_int_equal(vp_tus_due(q), -1);
    assert_int_equal(vp_tus_accept(q, NULL, NULL), VP_OK);
    settle(r, q);
    assert_int_equal(vp_tus_state(q), VP_TUS_BODY);
    return q;
}

static void use(room *r, uint32_t min_rate, uint32_t max_wait_ms)
{
    vp_ingest_options io = VP_INGEST_OPTIONS_INIT;
    vp_tus_options to = VP_TUS_OPTIONS_INIT;

    to.min_rate = min_rate;
    to.max_wait_ms = max_wait_ms;
    room_use(r, io, to);
}

/* U15: not a byte for too long. */
static void idle(void **state)
{
    room *r = *state;
    result a;
    vp_tus_request *q;

    use(r, UINT32_MAX, 5000);
    a = create(r, "Upload-Length: 1000\n");
    q = begin_patch(r, a.id, 0);
    assert_int_equal(vp_tus_due(q), 5000);
    r->clock_us += 4 * SECOND;
    assert_int_equal(vp_tus_due(q), 1000);
    assert_int_equal(vp_tus_body(q, "x", 1, NULL), VP_OK);
    assert_int_equal(vp_tus_due(q), 5000);
    r->clock_us += 5 * SECOND - 1;
    assert_int_equal(vp_tus_due(q), 1);
    r->clock_us += 1;
    assert_int_equal(vp_tus_due(q), 0);
    assert_int_equal(vp_tus_state(q), VP_TUS_ANSWER);
    assert_int_equal(vp_tus_status(q), 503);
    assert_int_equal(vp_tus_due(q), -1);
    vp_tus_close(q);
    expect_offset(r, a.id, "1");
}

/* U15: a byte now and then is not enough, and what was enough once is not for ever. */
static void drip(void **state)
{
    room *r = *state;
    static char block[4096];
    result a;
    vp_tus_request *q;

    use(r, 100, 60000);
    a = create(r, "Upload-Length: 100000\n");
    q = begin_patch(r, a.id, 0);
    assert_int_equal(vp_tus_due(q), 30000);
    for (int i = 0; i < 29; i++) {
        r->clock_us += SECOND;
        assert_int_equal(vp_tus_body(q, block, 1, NULL), VP_OK);
        assert_int_equal(vp_tus_due(q), 29000 - 1000 * i);
    }
    r->clock_us += SECOND;
    assert_int_equal(vp_tus_due(q), 0);
    assert_int_equal(vp_tus_status(q), 503);
    vp_tus_close(q);
    expect_offset(r, a.id, "29");

    q = begin_patch(r, a.id, 29);
    for (int i = 0; i < 3; i++) { /* 3000 bytes in each window */
        assert_int_equal(vp_tus_body(q, block, 3000, NULL), VP_OK);
        r->clock_us += 30 * SECOND;
        assert_int_equal(vp_tus_due(q), 30000);
    }
    assert_int_equal(vp_tus_body(q, block, 2999, NULL), VP_OK);
    r->clock_us += 30 * SECOND;
    assert_int_equal(vp_tus_due(q), 0);
    assert_int_equal(vp_tus_status(q), 503);
    vp_tus_close(q);

    expect_offset(r, a.id, "12028"); /* the last close is through before the store is another one */
    use(r, UINT32_MAX, 3600000);
    q = begin_patch(r, a.id, 29 + 9000 + 2999);
    r->clock_us += 3000 * SECOND;
    assert_int_equal(vp_tus_due(q), 600000);
    vp_tus_close(q);
}

/* U05: the older request hangs; a newer HEAD and PATCH do not wait for it, and it hears so. */
static void taken_over(void **state)
{
    room *r = *state;
    result a = create(r, "Upload-Length: 10\n"), b;
    vp_tus_request *q = begin_patch(r, a.id, 0), *p;

    assert_int_equal(vp_tus_body(q, "hello", 5, NULL), VP_OK);
    b = head(r, a.id);
    assert_answer(b, 200);
    assert_header(b, "Upload-Offset", "5");
    assert_int_equal(vp_tus_due(q), 0);
    assert_int_equal(vp_tus_state(q), VP_TUS_ANSWER);
    assert_int_equal(vp_tus_status(q), 409);
    p = begin_patch(r, a.id, 5);
    assert_int_equal(vp_tus_body(q, "WRONG", 5, NULL), VP_OK); /* nobody listens */
    assert_null(vp_tus_close(q));
    assert_int_equal(vp_tus_body(p, "wo", 2, NULL), VP_OK);
    assert_answer(patch(r, a.id, 7, "", "rld"), 204);
    assert_int_equal(vp_tus_body(p, "xx", 2, NULL), VP_OK);
    assert_int_equal(vp_tus_status(p), 409);
    vp_tus_close(p);
    assert_string_equal(ask(r, "GET", target_of(a.id), "", NULL).body, "helloworld");
}

/* U05: where the older one is in a write that does not end, reading does not wait, and writing is told so. */
static void stuck(void **state)
{
    room *r = *state;
    vp_ingest_options io = VP_INGEST_OPTIONS_INIT;
    vp_tus_options to = VP_TUS_OPTIONS_INIT;
    vp_tus_request *q;
    result a, b;

    io.lock_wait_ms = 1;
    room_use(r, io, to);
    a = create(r, "Upload-Length: 10\n");
    assert_answer(patch(r, a.id, 0, "", "hello"), 204);
    q = begin_patch(r, a.id, 5);
    pthread_mutex_lock(&q->upload->lock);
    b = head(r, a.id);
    assert_answer(b, 200);
    assert_header(b, "Upload-Offset", "5");
    b = patch(r, a.id, 5, "", "world");
    assert_answer(b, 423);
    assert_header(b, "Retry-After", "2");
    pthread_mutex_unlock(&q->upload->lock);
    vp_tus_close(q);
    assert_answer(patch(r, a.id, 5, "", "world"), 204);
}

/* U05 of termination: what is being written goes. */
static void deleted_under(void **state)
{
    room *r = *state;
    result a = create(r, "Upload-Length: 10\n");
    vp_tus_request *q = begin_patch(r, a.id, 0);

    assert_int_equal(vp_tus_body(q, "hello", 5, NULL), VP_OK);
    assert_answer(ask(r, "DELETE", target_of(a.id), TUS, NULL), 204);
    assert_int_equal(vp_tus_body(q, "world", 5, NULL), VP_OK);
    assert_int_equal(vp_tus_end(q, NULL, NULL), VP_OK);
    settle(r, q);
    assert_int_equal(vp_tus_state(q), VP_TUS_ANSWER);
    assert_true(vp_tus_status(q) >= 400);
    vp_tus_close(q);
    assert_answer(head(r, a.id), 404);
}

/* U17 */
static void expiry(void **state)
{
    room *r = *state;
    vp_ingest_options io = VP_INGEST_OPTIONS_INIT;
    vp_tus_options to = VP_TUS_OPTIONS_INIT;
    vp_tus_accept_options o = VP_TUS_ACCEPT_OPTIONS_INIT;
    const host h = { .accept = &o };
    uint64_t count = 0;
    result a, b;

    io.expire_ms = 60000;
    room_use(r, io, to);
    r->now_us = INT64_C(784111777) * SECOND;
    a = create(r, "Upload-Length: 10\n");
    assert_header(a, "Upload-Expires", "Sun, 06 Nov 1994 08:50:37 GMT");
    r->now_us += 10 * SECOND;
    b = patch(r, a.id, 0, "", "hello");
    assert_header(b, "Upload-Expires", "Sun, 06 Nov 1994 08:50:47 GMT");
    b = head(r, a.id);
    if (!header(&b, "Upload-Expires")) fail_msg("no expiry in HEAD");
    b = patch(r, a.id, 4, "", "x");
    assert_answer(b, 409);
    assert_header(b, "Upload-Expires", "Sun, 06 Nov 1994 08:50:47 GMT");
    b = patch(r, a.id, 5, "Upload-Checksum: sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=\n", "x");
    assert_answer(b, 460);
    assert_header(b, "Upload-Expires", "Sun, 06 Nov 1994 08:50:47 GMT");
    r->now_us += 61 * SECOND;
    assert_int_equal(vp_ingest_expire(r->ingest, NULL, &count, NULL), VP_OK);
    assert_int_equal(count, 1);
    assert_answer(head(r, a.id), 410);
    b = patch(r, a.id, 5, "", "world");
    assert_answer(b, 410);
    assert_no_header(b, "Upload-Offset");
    assert_answer(ask(r, "GET", target_of(a.id), "", NULL), 410);
    /* Finished ones stay, and do not say that they go. */
    a = make(r, "", "hello");
    r->now_us += 3600 * SECOND;
    assert_int_equal(vp_ingest_expire(r->ingest, NULL, &count, NULL), VP_OK);
    assert_int_equal(count, 0);
    b = head(r, a.id);
    assert_answer(b, 200);
    assert_no_header(b, "Upload-Expires");
    b = patch(r, a.id, 5, "", "");
    assert_answer(b, 204);
    assert_no_header(b, "Upload-Expires");
    o.expire_ms = 1000;
    r->now_us = 0;
    a = ask_as(r, &h, "POST", "/files/", TUS "Upload-Length: 10\n", NULL, 0);
    assert_header(a, "Upload-Expires", "Thu, 01 Jan 1970 00:00:01 GMT");
}

/* One that is being written is never removed. */
static void expiry_active(void **state)
{
    room *r = *state;
    vp_ingest_options io = VP_INGEST_OPTIONS_INIT;
    vp_tus_options to = VP_TUS_OPTIONS_INIT;
    vp_tus_request *q;
    uint64_t count = 7;
    result a;

    io.expire_ms = 60000;
    room_use(r, io, to);
    a = create(r, "Upload-Length: 10\n");
    q = begin_patch(r, a.id, 0);
    r->now_us += 3600 * SECOND;
    assert_int_equal(vp_ingest_expire(r->ingest, NULL, &count, NULL), VP_OK);
    assert_int_equal(count, 0);
    assert_int_equal(vp_tus_body(q, "helloworld", 10, NULL), VP_OK);
    assert_int_equal(vp_tus_end(q, NULL, NULL), VP_OK);
    settle(r, q);
    assert_int_equal(vp_tus_state(q), VP_TUS_ASK);
    assert_int_equal(vp_tus_accept(q, NULL, NULL), VP_OK);
    assert_int_equal(vp_tus_status(q), 204);
    vp_tus_close(q);
}

static void quota(void **state)
{
    room *r = *state;
    vp_ingest_options io = VP_INGEST_OPTIONS_INIT;
    vp_tus_options to = VP_TUS_OPTIONS_INIT;
    result a;

    io.quota = 100;
    room_use(r, io, to);
    a = create(r, "Upload-Length: 80\n");
    assert_answer(a, 201);
    assert_answer(create(r, "Upload-Length: 30\n"), 507);
    assert_answer(ask(r, "DELETE", target_of(a.id), TUS, NULL), 204);
    assert_answer(create(r, "Upload-Length: 30\n"), 201);
}

/* The host stops in the middle: what came counts. */
static void stopped(void **state)
{
    room *r = *state;
    result a = create(r, "Upload-Length: 10\n");
    vp_tus_request *q = begin_patch(r, a.id, 0);

    assert_int_equal(vp_tus_body(q, "hello", 5, NULL), VP_OK);
    assert_int_equal(vp_tus_reject(q, 503, "Retry-After: 60\n", NULL, 0, NULL), VP_OK);
    assert_int_equal(vp_tus_status(q), 503);
    vp_tus_close(q);
    expect_offset(r, a.id, "5");
}

/* U07: a reader does not wait for a writer, nor a writer for a reader. */
static void reading(void **state)
{
    room *r = *state;
    result a = make(r, "", "hello"), b = create(r, "Upload-Length: 10\n");
    vp_tus_request *q = begin_patch(r, b.id, 0), *g = NULL;
    vp_source *s = NULL;
    uint64_t from, size;
    char text[8] = "";
    size_t got;

    assert_int_equal(vp_tus_begin(r->tus, "GET", target_of(a.id), "", 77, &g, NULL), VP_OK);
    assert_int_equal(vp_tus_accept(g, NULL, NULL), VP_OK);
    settle(r, g);
    assert_int_equal(vp_tus_answer_source(g, &s, &from, &size, NULL), VP_OK);
    assert_int_equal(vp_tus_body(q, "hello", 5, NULL), VP_OK);
    /* Removed in between: whoever reads already goes on. */
    assert_answer(ask(r, "DELETE", target_of(a.id), TUS, NULL), 204);
    vp_tus_close(g);
    assert_int_equal(vp_source_read_at(s, from, text, sizeof(text), &got, NULL), VP_OK);
    assert_string_equal(text, "hello");
    vp_source_unref(s);
    vp_tus_close(q);
    expect_offset(r, b.id, "5");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROOM_TEST(idle),          ROOM_TEST(drip),    ROOM_TEST(taken_over),    ROOM_TEST(stuck),
        ROOM_TEST(deleted_under), ROOM_TEST(expiry),  ROOM_TEST(expiry_active), ROOM_TEST(quota),
        ROOM_TEST(stopped),       ROOM_TEST(reading),
    };
    int bad = cmocka_run_group_tests_name("in the call", tests, NULL, NULL);

    queued = true;
    return bad + cmocka_run_group_tests_name("with a queue", tests, NULL, NULL);
}
