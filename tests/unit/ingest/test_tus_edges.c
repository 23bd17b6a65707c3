/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Want of memory at every place, requests that are closed in every state, a store that goes away under them. */
#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "tus_tools.h"

#include "base/fault.h"

/* ---- want of memory ---- */

typedef struct flow {
    const char *method, *target, *headers, *body;
    bool draft;
} flow;

/*
 * One request whose n-th allocation fails. Each call says OK or NOMEM; what was refused for want of memory can be
 * called again. Returns the status, 0: it could not begin.
 */
static int32_t starved(room *r, const flow *f, long n, bool *hit)
{
    vp_tus_request *q = NULL;
    vp_status st;
    int32_t status = 0;
    bool sent = false;

    atomic_store(&vpi_alloc_fail_at, n);
    st = f->draft ? vp_tus_begin_draft(r->tus, f->method, f->target, f->headers, 77, &q, NULL)
                  : vp_tus_begin(r->tus, f->method, f->target, f->headers, 77, &q, NULL);
    assert_true(st == VP_OK ? q != NULL : st == VP_E_NOMEM && !q);
    for (int turns = 0; q && vp_tus_state(q) != VP_TUS_ANSWER; turns++) {
        assert_true(turns < 20);
        if (vp_tus_state(q) == VP_TUS_ASK) {
            st = vp_tus_accept(q, NULL, NULL);
        } else {
            assert_int_equal(vp_tus_state(q), VP_TUS_BODY);
            if (f->body && !sent) st = vp_tus_body(q, f->body, strlen(f->body), NULL);
            assert_true(st == VP_OK || st == VP_E_NOMEM);
            sent = true;
            settle(r, q);
            if (vp_tus_state(q) == VP_TUS_BODY) st = vp_tus_end(q, NULL, NULL);
        }
        assert_true(st == VP_OK || st == VP_E_NOMEM);
        settle(r, q);
    }
    *hit = atomic_exchange(&vpi_alloc_fail_at, 0) <= 0;
    if (q) status = vp_tus_status(q);
    vp_tus_close(q);
    return status;
}

static void all_starved(room *r, const flow *f, int32_t good)
{
    bool hit = true;
    int32_t status = 0;
    long n;

    for (n = 1; hit; n++) {
        assert_true(n < 2000);
        status = starved(r, f, n, &hit);
        if (status != 0 && status != good && status != 503)
            fail_msg("%s, allocation %ld: %d", f->method, n, status);
    }
    assert_int_equal(status, good);
    assert_true(n > 3);
}

static void memory(void **state)
{
    room *r = *state;
    result whole, a, part;
    char target[128], lines[256];
    const flow one = { "POST", "/files/", TUS BYTES "Upload-Length: 5\nUpload-Metadata: a YQ==\n", "hello",
                       false };
    const flow draft = { "POST", "/files/", "Upload-Complete: ?1\nContent-Disposition: x; filename=y\n",
                         "hello", true };
    flow f = { 0 };

    whole = make(r, "Upload-Metadata: filename YQ==\n", "hello");
    all_starved(r, &one, 201);
    all_starved(r, &draft, 200);
    snprintf(target, sizeof(target), "%s", target_of(whole.id));
    f = (flow){ "HEAD", target, TUS, NULL, false };
    all_starved(r, &f, 200);
    f = (flow){ "GET", target, "Range: bytes=0-1\n", NULL, false };
    all_starved(r, &f, 206);
    f = (flow){ "HEAD", target, "", NULL, true };
    all_starved(r, &f, 204);
    part = create(r, "Upload-Length: 5\nUpload-Concat: partial\n");
    assert_answer(patch(r, part.id, 0, "", "hello"), 204);
    snprintf(lines, sizeof(lines), TUS "Upload-Concat: final;/files/%s /files/%s\n", part.id, part.id);
    f = (flow){ "POST", "/files/", lines, NULL, false };
    all_starved(r, &f, 201);
    /* An upload that is starved again and again goes on, and nothing of it is lost. */
    a = create(r, "Upload-Length: 1000\n");
    snprintf(target, sizeof(target), "%s", target_of(a.id));
    for (long n = 1, at = 0; n < 150 && at < 1000; n++) {
        bool hit;
        int32_t status;

        snprintf(lines, sizeof(lines), TUS BYTES "Upload-Offset: %ld\nUpload-Checksum: crc32c wdBDMA==\n",
                 at);
        f = (flow){ "PATCH", target, lines, "a", false };
        status = starved(r, &f, n, &hit);
        if (status != 0 && status != 204 && status != 503) fail_msg("allocation %ld: %d", n, status);
        whole = head(r, a.id);
        assert_answer(whole, 200);
        assert_true(strtol(header(&whole, "Upload-Offset"), NULL, 10) >= at + (status == 204));
        at = strtol(header(&whole, "Upload-Offset"), NULL, 10);
    }
}

/* ---- the end of requests ---- */

static vp_tus_request *begin(room *r, const char *method, const char *target, const char *lines)
{
    vp_tus_request *q = NULL;

    assert_int_equal(vp_tus_begin(r->tus, method, target, lines, 77, &q, NULL), VP_OK);
    return q;
}

/* Closed in ASK, BUSY, BODY, BUSY of the end, ASK of FINISH. */
static void closed(void **state)
{
    room *r = *state;
    const char *lines = TUS BYTES "Upload-Length: 5\n";

    for (int stage = 0; stage < 5; stage++) {
        vp_tus_request *q = begin(r, "POST", "/files/", lines);

        if (stage > 0) assert_int_equal(vp_tus_accept(q, NULL, NULL), VP_OK);
        if (stage > 1) settle(r, q);
        if (stage > 1) assert_int_equal(vp_tus_body(q, "hello", 5, NULL), VP_OK);
        if (stage > 2) assert_int_equal(vp_tus_end(q, NULL, NULL), VP_OK);
        if (stage > 3) settle(r, q);
        if (stage > 3) assert_int_equal(vp_tus_state(q), VP_TUS_ASK);
        assert_null(vp_tus_close(q));
    }
}

/* The same, and nobody holds the handler or the store any more: the step under way lets them go. */
static void abandoned(void **state)
{
    room *r = *state;
    vp_ingest_options io = VP_INGEST_OPTIONS_INIT;
    vp_tus_options to = VP_TUS_OPTIONS_INIT;
    result a = create(r, "Upload-Length: 10\n");

    for (int i = 0; i < 20; i++) {
        vp_tus_request *q = begin(r, "PATCH", target_of(a.id), TUS BYTES "Upload-Offset: 0\n");

        assert_int_equal(vp_tus_accept(q, NULL, NULL), VP_OK);
        if (i % 2) settle(r, q);
        if (i % 2 && vp_tus_state(q) == VP_TUS_BODY) assert_int_equal(vp_tus_end(q, NULL, NULL), VP_OK);
        r->tus = vp_tus_unref(r->tus);
        r->ingest = vp_ingest_unref(r->ingest);
        assert_null(vp_tus_close(q));
        room_use(r, io, to);
    }
    expect_offset(r, a.id, "0");
}

#define MANY 64

/* As far as it goes without waiting. */
static void go_on(vp_tus_request *q, unsigned *busy)
{
    while (vp_tus_state(q) == VP_TUS_ASK || vp_tus_state(q) == VP_TUS_BODY) {
        if (vp_tus_state(q) == VP_TUS_ASK) {
            assert_int_equal(vp_tus_accept(q, NULL, NULL), VP_OK);
        } else {
            assert_int_equal(vp_tus_body(q, "hello", 5, NULL), VP_OK);
            assert_int_equal(vp_tus_end(q, NULL, NULL), VP_OK);
        }
    }
    if (vp_tus_state(q) == VP_TUS_BUSY) ++*busy;
}

/* A host with one thread for all: each wait has one event, with its request's tag. */
static void many(void **state)
{
    room *r = *state;
    vp_tus_request *q[MANY];
    unsigned busy = 0, events = 0;

    for (unsigned i = 0; i < MANY; i++) {
        assert_int_equal(
            vp_tus_begin(r->tus, "POST", "/files/", TUS BYTES "Upload-Length: 5\n", i, &q[i], NULL), VP_OK);
        go_on(q[i], &busy);
    }
    while (events < busy) {
        vp_event e = { .struct_size = sizeof(e) };

        assert_int_equal(vp_queue_next(r->queue, WAIT_MS, &e, NULL), VP_OK);
        assert_int_equal(e.kind, VP_EVENT_UPLOAD_SYNCED);
        assert_true(e.tag < MANY);
        events++;
        assert_int_equal(vp_tus_state(q[e.tag]), VP_TUS_BUSY);
        assert_int_equal(vp_tus_step(q[e.tag], NULL), VP_OK);
        assert_int_not_equal(vp_tus_state(q[e.tag]), VP_TUS_BUSY);
        go_on(q[e.tag], &busy);
    }
    assert_int_equal(events, queued ? 2 * MANY : 0);
    for (unsigned i = 0; i < MANY; i++) {
        assert_int_equal(vp_tus_status(q[i]), 201);
        vp_tus_close(q[i]);
    }
}

static atomic_bool disk_over;
static pthread_t loop;

/* A disk that stands still for all but the thread of the event loop. */
static void disk_waits(void)
{
    struct timespec pause = { 0, 1000000 };

    while (!pthread_equal(pthread_self(), loop) && !atomic_load(&disk_over)) nanosleep(&pause, NULL);
}

/* An event loop does not wait for the disk: the request is BUSY with the piece that has to, and so its client waits. */
static void still(void **state)
{
    enum { LENGTH = 12 << 20, PIECE = 100000 };
    static const uint8_t zeroes[PIECE];
    room *r = *state;
    vp_ingest_options io = VP_INGEST_OPTIONS_INIT;
    vp_tus_options to = VP_TUS_OPTIONS_INIT;
    result a = create(r, "Upload-Length: 12582912\n");
    vp_tus_request *q = begin(r, "PATCH", target_of(a.id), TUS BYTES "Upload-Offset: 0\n");
    vp_event e = { .struct_size = sizeof(e) };
    uint64_t at = 0;
    unsigned waits = 0;

    assert_int_equal(vp_tus_accept(q, NULL, NULL), VP_OK);
    settle(r, q);
    loop = pthread_self();
    atomic_store(&disk_over, !queued);
    atomic_store(&vpi_disk_hook, disk_waits);
    while (at < LENGTH) {
        size_t n = VPI_MIN(PIECE, LENGTH - (size_t)at);

        assert_int_equal(vp_tus_state(q), VP_TUS_BODY);
        assert_int_equal(vp_tus_body(q, zeroes, n, NULL), VP_OK);
        at += n;
        if (vp_tus_state(q) == VP_TUS_BUSY && waits++ == 0) {
            assert_true(at > 3 << 20); /* in memory */
            assert_int_equal(vp_queue_next(r->queue, 50, &e, NULL), VP_AGAIN);
            assert_int_equal(vp_tus_step(q, NULL), VP_OK);
            assert_int_equal(vp_tus_state(q), VP_TUS_BUSY);
            assert_int_equal(vp_tus_due(q), -1);
            r->clock_us += INT64_C(3600000000); /* not the client's */
            atomic_store(&disk_over, true);
        }
        settle(r, q);
        if (waits) assert_true(vp_tus_due(q) > 0);
    }
    assert_int_equal(waits > 0, queued);
    atomic_store(&vpi_disk_hook, NULL);
    assert_int_equal(vp_tus_end(q, NULL, NULL), VP_OK);
    settle(r, q);
    assert_int_equal(vp_tus_state(q), VP_TUS_ASK);
    assert_int_equal(vp_tus_accept(q, NULL, NULL), VP_OK);
    settle(r, q);
    assert_int_equal(vp_tus_status(q), 204);
    vp_tus_close(q);
    expect_offset(r, a.id, "12582912");
    /* Closed while it is BUSY: what came is kept. */
    a = create(r, "Upload-Length: 12582912\n");
    q = begin(r, "PATCH", target_of(a.id), TUS BYTES "Upload-Offset: 0\n");
    assert_int_equal(vp_tus_accept(q, NULL, NULL), VP_OK);
    settle(r, q);
    atomic_store(&disk_over, !queued);
    atomic_store(&vpi_disk_hook, disk_waits);
    for (at = 0; at < LENGTH && vp_tus_state(q) == VP_TUS_BODY; at += PIECE)
        assert_int_equal(vp_tus_body(q, zeroes, VPI_MIN(PIECE, LENGTH - (size_t)at), NULL), VP_OK);
    assert_null(vp_tus_close(q));
    atomic_store(&disk_over, true);
    atomic_store(&vpi_disk_hook, NULL);
    if (queued) {
        char offset[24];

        snprintf(offset, sizeof(offset), "%llu", (unsigned long long)at);
        assert_true(at < LENGTH);
        /* The handler goes when its last step is over: a HEAD before that may take the upload from it. */
        room_use(r, io, to);
        expect_offset(r, a.id, offset);
    }
}

static atomic_uint changes;

static void disk_is_slow(void)
{
    struct timespec pause = { 0, 20000000 };

    nanosleep(&pause, NULL);
    atomic_fetch_add(&changes, 1);
}

/* Nothing runs any more when the host has let go of all: it may free what its clocks and back ends use. */
static void let_go(void **state)
{
    static const uint8_t zeroes[100000];
    room *r = *state;
    result a = create(r, "Upload-Length: 4194304\n");
    vp_tus_request *q = begin(r, "PATCH", target_of(a.id), TUS BYTES "Upload-Offset: 0\n");
    struct timespec pause = { 0, 200000000 };
    unsigned n;

    assert_int_equal(vp_tus_accept(q, NULL, NULL), VP_OK);
    settle(r, q);
    assert_int_equal(vp_tus_body(q, zeroes, sizeof(zeroes), NULL), VP_OK);
    atomic_store(&changes, 0);
    atomic_store(&vpi_disk_hook, disk_is_slow);
    vp_tus_close(q);
    r->tus = vp_tus_unref(r->tus);
    r->ingest = vp_ingest_unref(r->ingest);
    n = atomic_load(&changes);
    assert_true(n > 0);
    nanosleep(&pause, NULL);
    assert_int_equal(atomic_load(&changes), n);
    atomic_store(&vpi_disk_hook, NULL);
}

/* The context is closed with requests under way: they end, and new ones are refused. */
static void going_down(void **state)
{
    room *r = *state;
    result a = create(r, "Upload-Length: 10\n"), b;
    vp_tus_request *q = begin(r, "PATCH", target_of(a.id), TUS BYTES "Upload-Offset: 0\n");
    vp_tus_request *p = begin(r, "HEAD", target_of(a.id), TUS), *w = NULL;

    assert_int_equal(vp_tus_accept(q, NULL, NULL), VP_OK);
    settle(r, q);
    assert_int_equal(vp_tus_accept(p, NULL, NULL), VP_OK);
    assert_int_equal(vp_context_close(r->context, NULL), VP_OK);
    settle(r, p); /* its step was done, or refused */
    assert_int_equal(vp_tus_state(p), VP_TUS_ANSWER);
    assert_int_equal(vp_tus_body(q, "hello", 5, NULL), VP_OK);
    assert_int_equal(vp_tus_end(q, NULL, NULL), VP_OK);
    settle(r, q);
    assert_int_equal(vp_tus_state(q), VP_TUS_ANSWER);
    assert_true(vp_tus_status(q) >= 400);
    vp_tus_close(q);
    vp_tus_close(p);
    b = head(r, a.id);
    assert_answer(b, 503);
    assert_header(b, "Retry-After", "2");
    w = begin(r, "POST", "/files/", TUS "Upload-Length: 1\n");
    assert_null(vp_tus_close(w));
}

/*
 * U13: the n-th change of the disk fails, for every n. The answer says so without a word of where; what was
 * acknowledged before is there, and the upload goes on.
 */
static void disk(void **state)
{
    static const struct {
        int number;
        int32_t status;
    } kinds[] = { { ENOSPC, 507 }, { EDQUOT, 507 }, { EIO, 500 } };
    room *r = *state;

    for (size_t k = 0; k < VPI_COUNT(kinds); k++) {
        result a = create(r, "Upload-Length: 10\n"), b = { 0 };
        unsigned failed = 0;
        char lines[256];

        assert_answer(patch(r, a.id, 0, "", "hello"), 204);
        snprintf(lines, sizeof(lines), TUS BYTES "Upload-Offset: 5\n");
        for (long n = 1; b.status != 204; n++) {
            assert_true(n < 100);
            vpi_disk_fail_with = kinds[k].number;
            vpi_disk_fail_at = n;
            b = ask(r, "PATCH", target_of(a.id), lines, "world");
            vpi_disk_fail_at = 0;
            if (b.status == 204) break; /* none was left to fail, or one that does not matter */
            assert_answer(b, kinds[k].status);
            assert_null(strstr(b.body, r->path));
            assert_null(strstr(b.headers, r->path));
            failed++;
            b = head(r, a.id);
            assert_answer(b, 200);
            assert_true(strtol(header(&b, "Upload-Offset"), NULL, 10) >= 5);
            if (strcmp(header(&b, "Upload-Offset"), "10") == 0) { /* durable, and only the end failed */
                b = patch(r, a.id, 10, "", "");
                assert_answer(b, 204);
            }
        }
        assert_true(failed > 0);
        assert_string_equal(ask(r, "GET", target_of(a.id), "", NULL).body, "helloworld");
        for (long n = 1; n < 100; n++) {
            vpi_disk_fail_at = n;
            b = create(r, "Upload-Length: 10\n");
            if (atomic_exchange(&vpi_disk_fail_at, 0) > 0) break;
            if (b.status != 201) assert_answer(b, kinds[k].status);
        }
        assert_answer(b, 201);
    }
}

/* What a host that waits for hundreds of clients pays for each. */
static void size_of_a_request(void **state)
{
    const char *lines =
        TUS BYTES "Upload-Offset: 0\nContent-Length: 1000\nHost: example.org\nUser-Agent: x\n";
    vpi_tus_fields f;

    (void)state;
    assert_int_equal(0, vpi_tus_fields_read(&f, lines));
    print_message("a request: %zu bytes, and %zu of headers\n", sizeof(vp_tus_request),
                  f.count * sizeof(*f.field) + strlen(lines) + 1);
    assert_true(sizeof(vp_tus_request) + f.count * sizeof(*f.field) + strlen(lines) + 1 < 4096);
    vpi_tus_fields_dispose(&f);
}

static void wrong_calls(void **state)
{
    room *r = *state;
    vp_tus_request *q = begin(r, "POST", "/files/", TUS "Upload-Length: 5\n");
    vp_tus_info info = VP_TUS_INFO_INIT;
    const char *name, *value;
    const void *data;
    vp_source *source = NULL;
    uint64_t from, size;

    assert_int_equal(vp_tus_answer_header(q, 0, &name, &value, NULL), VP_E_STATE);
    assert_int_equal(vp_tus_answer_body(q, &data, &size, NULL), VP_E_STATE);
    assert_int_equal(vp_tus_answer_source(q, &source, &from, &size, NULL), VP_E_STATE);
    assert_int_equal(vp_tus_step(q, NULL), VP_OK);
    assert_int_equal(vp_tus_state(q), VP_TUS_ASK);
    info.struct_size = 2;
    assert_int_equal(vp_tus_get_info(q, &info, NULL), VP_E_ARG);
    info.struct_size = offsetof(vp_tus_info, length); /* an older host's */
    info.length = 99;
    assert_int_equal(vp_tus_get_info(q, &info, NULL), VP_OK);
    assert_int_equal(info.operation, VP_TUS_CREATE);
    assert_int_equal(info.length, 99);
    assert_int_equal(info.struct_size, offsetof(vp_tus_info, length));
    assert_int_equal(vp_tus_reject(q, 403, "X: y\n", NULL, 0, NULL), VP_OK);
    assert_int_equal(vp_tus_reject(q, 403, NULL, NULL, 0, NULL), VP_E_STATE);
    assert_int_equal(vp_tus_answer_source(q, &source, &from, &size, NULL), VP_END);
    assert_int_equal(vp_tus_answer_header(q, 99, &name, &value, NULL), VP_END);
    vp_tus_close(q);
}

/* What the host gives may be what the client sent: metadata last as long as the request, also when others are given. */
static void own_words(void **state)
{
    room *r = *state;
    vp_tus_accept_options o = VP_TUS_ACCEPT_OPTIONS_INIT;
    vp_tus_request *q = NULL;
    const char *name = NULL;
    const void *value = NULL;
    uint64_t size;

    assert_int_equal(vp_tus_begin(r->tus, "POST", "/files/",
                                  TUS "Upload-Length: 5\nUpload-Metadata: user YWxpY2U=\n", 5, &q, NULL),
                     VP_OK);
    assert_int_equal(vp_tus_metadata(q, 0, &name, &value, &size, NULL), VP_OK);
    o.id = o.scope = value;
    o.metadata = "x eQ==";
    assert_int_equal(vp_tus_accept(q, &o, NULL), VP_OK);
    settle(r, q);
    assert_string_equal(name, "user");
    assert_string_equal(value, "alice");
    assert_int_equal(vp_tus_metadata(q, 0, &name, &value, &size, NULL), VP_OK);
    assert_string_equal(name, "x");
    assert_int_equal(vp_tus_end(q, NULL, NULL), VP_OK);
    settle(r, q);
    assert_int_equal(vp_tus_status(q), 201);
    vp_tus_close(q);
    expect_offset(r, "alice", "0");
}

/*
 * A request that is closed while its upload is finished, or unanswered by the host: the client finds all bytes there
 * and does not come again, so its HEAD asks.
 */
static void unanswered(void **state)
{
    static const char *const ids[] = { "busy", "asked" };
    room *r = *state;
    vp_tus_accept_options o = VP_TUS_ACCEPT_OPTIONS_INIT, f = VP_TUS_ACCEPT_OPTIONS_INIT;
    host h = { .finish = &f };

    f.headers = "X-Video: /v/1\n";
    for (int way = 0; way < 2; way++) {
        vp_tus_request *q = NULL;
        vp_upload_info info = VP_UPLOAD_INFO_INIT;
        char target[32];
        result a;

        o.id = ids[way];
        snprintf(target, sizeof(target), "/files/%s", ids[way]);
        assert_int_equal(vp_tus_begin(r->tus, "POST", "/files/", TUS BYTES "Upload-Length: 5\n", 1, &q, NULL),
                         VP_OK);
        assert_int_equal(vp_tus_accept(q, &o, NULL), VP_OK);
        settle(r, q);
        assert_int_equal(vp_tus_body(q, "hello", 5, NULL), VP_OK);
        settle(r, q);
        assert_int_equal(vp_tus_end(q, NULL, NULL), VP_OK);
        if (way > 0) settle(r, q);
        vp_tus_close(q);
        while (info.state != VP_UPLOAD_FINISHED) {
            assert_int_equal(vp_ingest_stat(r->ingest, ids[way], &info, NULL, NULL), VP_OK);
            usleep(1000);
        }
        a = ask_as(r, &h, "HEAD", target, TUS, NULL, 0);
        assert_int_equal(a.status, 200);
        assert_int_equal(a.finishes, 1);
        assert_true(a.finish_flags & VP_TUS_WAS_ASKED);
        assert_non_null(strstr(a.headers, "X-Video: /v/1\n"));
        a = ask_as(r, &h, "HEAD", target, TUS, NULL, 0);
        assert_int_equal(a.status, 200);
        assert_int_equal(a.finishes, 0);
    }
}

int main(void)
{
    /* On the pool the n-th allocation or write is another one each time. */
    const struct CMUnitTest alone[] = { ROOM_TEST(memory), ROOM_TEST(disk),
                                        cmocka_unit_test(size_of_a_request) };
    const struct CMUnitTest tests[] = {
        ROOM_TEST(closed),     ROOM_TEST(abandoned),   ROOM_TEST(many),
        ROOM_TEST(going_down), ROOM_TEST(wrong_calls), ROOM_TEST(own_words),
        ROOM_TEST(still),      ROOM_TEST(unanswered),  ROOM_TEST(let_go),
    };
    int bad = cmocka_run_group_tests_name("memory", alone, NULL, NULL);

    bad += cmocka_run_group_tests_name("in the call", tests, NULL, NULL);
    queued = true;
    return bad + cmocka_run_group_tests_name("with a queue", tests, NULL, NULL);
}
