/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Events: their JSON lines, their order, the queue. */

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/fault.h"
#include "job/job_int.h"

static void expect_json(const vp_event *e, const char *want)
{
    vp_bytes *text = NULL;
    assert_int_equal(vp_event_json(e, "OUT/.vodpipe", &text, NULL), VP_OK);
    assert_string_equal(vp_bytes_data(text), want);
    vp_bytes_unref(text);
}

static void test_json(void **state)
{
    vp_event e;
    (void)state;
    vp_event_init(&e, sizeof(e));
    e.kind = VP_EVENT_STAGE;
    e.stage = VP_STAGE_ANALYSE;
    expect_json(&e, "{\"event\":\"stage\",\"stage\":\"analyse\"}");
    vp_event_init(&e, sizeof(e));
    e.kind = VP_EVENT_PROGRESS;
    e.stage = VP_STAGE_ENCODE;
    e.done = 812;
    e.total = 1394;
    e.permille = 412;
    e.fps_milli = 87540;
    e.eta_us = 6600000;
    e.rung_count = 1;
    e.rung_kbps[0] = 2710;
    e.rung_bytes[0] = 9120334;
    vpi_strlcpy(e.rung_name[0], "720p", sizeof(e.rung_name[0]));
    vpi_strlcpy(e.unit, "frames", sizeof(e.unit));
    expect_json(
        &e, "{\"event\":\"progress\",\"stage\":\"encode\",\"done\":812,\"total\":1394,\"unit\":\"frames\","
            "\"permille\":412,\"fps\":87.5,\"eta_us\":6600000,"
            "\"rungs\":[{\"name\":\"720p\",\"kbps\":2710,\"bytes\":9120334}]}");
    vp_event_init(&e, sizeof(e));
    e.kind = VP_EVENT_WARNING;
    e.time_us = 4000000;
    vpi_strlcpy(e.reason, "TIMELINE_REPAIRED", sizeof(e.reason));
    vpi_strlcpy(e.text, "...", sizeof(e.text));
    expect_json(
        &e, "{\"event\":\"warning\",\"reason\":\"TIMELINE_REPAIRED\",\"time_us\":4000000,\"text\":\"...\"}");
    vp_event_init(&e, sizeof(e));
    e.kind = VP_EVENT_OBJECT;
    e.object_kind = VP_OBJECT_SEGMENT;
    e.bytes = 812331;
    e.crc32c = 0x1f2e3d4c;
    vpi_strlcpy(e.key, "v/video/720p/00001.m4s", sizeof(e.key));
    expect_json(
        &e, "{\"event\":\"object\",\"key\":\"v/video/720p/00001.m4s\",\"kind\":\"segment\",\"bytes\":812331,"
            "\"crc32c\":\"1f2e3d4c\"}");
    vp_event_init(&e, sizeof(e));
    e.kind = VP_EVENT_FAILED;
    vpi_strlcpy(e.reason, "INPUT_TRUNCATED", sizeof(e.reason));
    vpi_strlcpy(e.op, "scan", sizeof(e.op));
    expect_json(&e, "{\"event\":\"failed\",\"reason\":\"INPUT_TRUNCATED\",\"op\":\"scan\",\"text\":\"\","
                    "\"retryable\":false}");
    vp_event_init(&e, sizeof(e));
    e.kind = VP_EVENT_SUSPENDED;
    expect_json(&e, "{\"event\":\"suspended\",\"work\":\"OUT/.vodpipe\"}");
    e.kind = VP_EVENT_CANCELED;
    expect_json(&e, "{\"event\":\"canceled\"}");
    e.kind = 99;
    assert_int_equal(vp_event_json(&e, NULL, &(vp_bytes *){ NULL }, NULL), VP_E_ARG);
}

static bool readable(vp_queue *q)
{
    struct pollfd p = { vp_queue_fd(q), POLLIN, 0 };
    return poll(&p, 1, 0) == 1;
}

static void progress(vpi_emitter *e, uint64_t done)
{
    vp_event event;
    vp_event_init(&event, sizeof(event));
    event.kind = VP_EVENT_PROGRESS;
    event.done = done;
    event.total = done; /* the last of a stage is never thinned out */
    vpi_emit(e, &event);
}

static void test_queue(void **state)
{
    vp_queue *q = NULL;
    vpi_emitter a, b;
    vp_event e;
    (void)state;
    assert_int_equal(vp_queue_new(&q, NULL), VP_OK);
    vpi_emitter_init(&a, q, NULL, NULL, 11);
    vpi_emitter_init(&b, q, NULL, NULL, 22);
    vp_event_init(&e, sizeof(e));
    assert_int_equal(vp_queue_next(q, 0, &e, NULL), VP_AGAIN);
    assert_int_equal(vp_queue_next(q, 20, &e, NULL), VP_AGAIN);
    assert_false(readable(q));
    vpi_emit_stage(&a, VP_STAGE_SCAN);
    vpi_emit_stage(&a, VP_STAGE_SCAN); /* once only */
    progress(&a, 1);
    progress(&a, 2);
    progress(&a, 3); /* unread progress of one job coalesces */
    progress(&b, 4);
    assert_true(readable(q));
    assert_int_equal(vp_queue_next(q, 0, &e, NULL), VP_OK);
    assert_int_equal(e.kind, VP_EVENT_STAGE);
    assert_int_equal(e.tag, 11);
    assert_int_equal(e.seq, 0);
    assert_int_equal(vp_queue_next(q, 0, &e, NULL), VP_OK);
    assert_int_equal(e.done, 3);
    assert_int_equal(vp_queue_next(q, 0, &e, NULL), VP_OK);
    assert_int_equal(e.tag, 22);
    assert_int_equal(vp_queue_next(q, 0, &e, NULL), VP_AGAIN);
    assert_false(readable(q));
    vpi_emit_warning(&a, "X", VP_TIME_UNKNOWN, "left in the queue");
    vpi_emitter_dispose(&a);
    vpi_emitter_dispose(&b);
    assert_null(vp_queue_unref(q));
}

typedef struct writer {
    vp_queue *queue;
    uint64_t tag;
} writer;

#define EVENTS 2000u

static void *write_events(void *arg)
{
    writer *w = arg;
    vpi_emitter e;
    vpi_emitter_init(&e, w->queue, NULL, NULL, w->tag);
    for (uint32_t i = 0; i < EVENTS; i++) vpi_emit_warning(&e, "X", i, "");
    vpi_emitter_dispose(&e);
    return NULL;
}

/* Nothing is lost, and each job's events keep their order. */
static void test_threads(void **state)
{
    vp_queue *q = NULL;
    pthread_t threads[3];
    writer writers[3];
    uint64_t seen[3] = { 0 };
    (void)state;
    assert_int_equal(vp_queue_new(&q, NULL), VP_OK);
    for (unsigned i = 0; i < 3; i++) {
        writers[i] = (writer){ q, i };
        assert_int_equal(pthread_create(&threads[i], NULL, write_events, &writers[i]), 0);
    }
    for (unsigned n = 0; n < 3 * EVENTS; n++) {
        vp_event e;
        vp_event_init(&e, sizeof(e));
        assert_int_equal(vp_queue_next(q, 10000, &e, NULL), VP_OK);
        assert_true(e.tag < 3);
        assert_int_equal(e.seq, seen[e.tag]);
        assert_int_equal(e.time_us, seen[e.tag]++);
    }
    for (unsigned i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    vp_queue_unref(q);
}

static int32_t stop_at_third(void *user, const vp_event *e)
{
    uint64_t *last = user;
    *last = e->seq;
    return e->seq == 2 ? 42 : 0;
}

static void test_host_stops(void **state)
{
    vpi_emitter e;
    uint64_t last = 0;
    vp_cancel *stop = NULL;
    (void)state;
    assert_int_equal(vp_cancel_new(&stop, NULL), VP_OK);
    vpi_emitter_init(&e, NULL, stop_at_third, &last, 0);
    e.stop = stop;
    for (int i = 0; i < 2; i++) vpi_emit_warning(&e, "X", 0, "");
    assert_false(vp_cancel_fired(stop));
    vpi_emit_warning(&e, "X", 0, "");
    assert_true(vp_cancel_fired(stop));
    assert_int_equal(vpi_emitter_answer(&e), 42);
    assert_int_equal(last, 2);
    vpi_emitter_dispose(&e);
    vp_cancel_unref(stop);
}

/* The end of a job comes through whatever is lacking; other events may be lost, which the reader is told once. */
static void test_no_memory(void **state)
{
    vp_queue *q = NULL;
    vp_bytes *line = NULL;
    vpi_emitter e;
    vp_event event;

    (void)state;
    assert_int_equal(vp_queue_new(&q, NULL), VP_OK);
    vpi_emitter_init(&e, q, NULL, NULL, 5);
    vpi_alloc_fail_at = 1;
    assert_false(vpi_emitter_reserve(&e));
    assert_true(vpi_emitter_reserve(&e));
    vpi_alloc_fail_at = 1;
    vpi_emit_stage(&e, VP_STAGE_SCAN);
    assert_int_equal(vpi_alloc_fail_at, 0);
    vpi_alloc_fail_at = 1;
    vp_event_init(&event, sizeof(event));
    event.kind = VP_EVENT_DONE;
    vpi_emit(&e, &event);
    assert_int_equal(vpi_alloc_fail_at, 1); /* asked for none */
    vpi_alloc_fail_at = 0;
    assert_int_equal(vp_queue_next(q, 0, &event, NULL), VP_E_NOMEM);
    assert_true(readable(q));
    /* As JSON it needs memory: the event stays until there is some. */
    vpi_alloc_fail_at = 1;
    assert_int_equal(vp_queue_next_json(q, 0, NULL, &line, NULL), VP_E_NOMEM);
    assert_null(line);
    assert_true(readable(q));
    assert_int_equal(vp_queue_next_json(q, 0, NULL, &line, NULL), VP_OK);
    assert_non_null(strstr(vp_bytes_data(line), "done"));
    vp_bytes_unref(line);
    assert_int_equal(vp_queue_next(q, 0, &event, NULL), VP_AGAIN);
    vpi_emitter_dispose(&e);
    vp_queue_unref(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_json), cmocka_unit_test(test_queue),
                                        cmocka_unit_test(test_threads), cmocka_unit_test(test_host_stops),
                                        cmocka_unit_test(test_no_memory) };
    return cmocka_run_group_tests_name("job/events", tests, NULL, NULL);
}
