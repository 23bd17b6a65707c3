/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Jobs, contexts and queues used from several threads at once. Also runs under ThreadSanitizer. */

#include "api/host.h"

#include <pthread.h>
#include <stdatomic.h>

#define TINY "{\"preset\":\"ultrafast\",\"ladder\":\"240p\",\"segment\":2,\"gop\":1}"

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

/* ---- two jobs, one context, one queue, a reader ---- */

typedef struct reader {
    vp_queue *queue;
    int jobs;
    uint64_t seq[4];
    uint32_t permille[4];
    int32_t kinds[4];
    atomic_int bad;
} reader;

static void *read_main(void *arg)
{
    reader *r = arg;
    vp_event e;
    for (int open = r->jobs; open > 0;) {
        vp_event_init(&e, sizeof(e));
        if (vp_queue_next(r->queue, 60000, &e, NULL) != VP_OK || e.tag >= 4) {
            r->bad++;
            break;
        }
        if (r->kinds[e.tag] || e.seq < r->seq[e.tag] || e.permille < r->permille[e.tag]) r->bad++;
        r->seq[e.tag] = e.seq + 1;
        r->permille[e.tag] = e.permille;
        if (!is_terminal(&e)) continue;
        r->kinds[e.tag] = e.kind;
        open--;
    }
    return NULL;
}

static void two_jobs(void **state)
{
    room *r = *state;
    reader rd = { .queue = r->queue, .jobs = 2 };
    vp_sink *sinks[2] = { NULL, NULL };
    vp_job *jobs[2] = { NULL, NULL };
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, read_main, &rd), 0);
    for (int i = 0; i < 2; i++) {
        assert_ok(vp_sink_memory(r->context, &sinks[i], NULL));
        assert_end(VP_OK,
                   vp_job_new_json(r->context, r->source, sinks[i], NULL, r->queue, (uint64_t)i, TINY,
                                   &jobs[i], &r->err),
                   &r->err);
        assert_end(VP_OK, vp_job_start(jobs[i], &r->err), &r->err);
    }
    for (int i = 0; i < 2; i++) assert_end(VP_OK, vp_job_wait(jobs[i], -1, &r->err), &r->err);
    pthread_join(thread, NULL);
    assert_int_equal(rd.bad, 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(rd.kinds[i], VP_EVENT_DONE);
        vp_job_unref(jobs[i]);
    }
    assert_same_title(sinks[0], sinks[1]);
    vp_sink_unref(sinks[0]);
    vp_sink_unref(sinks[1]);
}

/* ---- cancel and suspend at many moments, from another thread ---- */

typedef struct stopper {
    vp_job *job;
    int64_t after_us;
    bool cancel;
} stopper;

static void *stop_main(void *arg)
{
    stopper *s = arg;
    struct timespec t = { s->after_us / 1000000, (long)(s->after_us % 1000000) * 1000 };
    nanosleep(&t, NULL);
    if (s->cancel)
        vp_job_cancel(s->job, NULL);
    else
        vp_job_suspend(s->job, NULL);
    vp_job_unref(s->job);
    return NULL;
}

static void stop_at_moments(void **state)
{
    room *r = *state;
    uint32_t seed = 20240229;
    int rounds = full_run() ? 200 : 12, stopped = 0;
    int64_t length = now_ms();
    vp_event e;
    room_publish(r, TINY, VP_OK);
    length = now_ms() - length;
    read_until_end(r->queue, &e);
    for (int i = 0; i < rounds; i++) {
        stopper s = { .cancel = i % 2 == 0 };
        pthread_t thread;
        vp_sink_unref(r->sink);
        assert_ok(vp_sink_memory(r->context, &r->sink, NULL));
        room_start(r, TINY);
        s.job = vp_job_ref(r->job);
        s.after_us = (int64_t)(next_random(&seed) % (uint32_t)(length * 1000));
        assert_int_equal(pthread_create(&thread, NULL, stop_main, &s), 0);
        vp_status st = vp_job_wait(r->job, -1, &r->err);
        pthread_join(thread, NULL);
        read_until_end(r->queue, &e);
        if (st == VP_OK) {
            assert_int_equal(e.kind, VP_EVENT_DONE);
            assert_true(sink_holds(r->sink, "master.m3u8"));
        } else {
            assert_end(VP_E_CANCELED, st, &r->err);
            assert_int_equal(e.kind, s.cancel ? VP_EVENT_CANCELED : VP_EVENT_SUSPENDED);
            stopped++;
        }
        if (st != VP_OK && s.cancel) {
            assert_int_equal(sink_count(r->sink), 0);
            assert_int_equal(store_count(r->work), 0);
        } else if (st != VP_OK) {
            room_publish(r, TINY, VP_OK); /* goes on with what is kept */
            read_until_end(r->queue, &e);
            assert_int_equal(e.kind, VP_EVENT_DONE);
        }
        assert_int_equal(store_count(r->work), 0);
    }
    print_message("stopped %d of %d\n", stopped, rounds);
    assert_true(stopped > 0);
}

/* Several threads wait for, ask and stop the same job. */
static void *ask_main(void *arg)
{
    vp_job *job = arg;
    vp_presentation *p = NULL;
    vp_status st;
    while ((st = vp_job_wait(job, 5, NULL)) == VP_AGAIN)
        if (vp_job_presentation(job, &p, NULL) == VP_OK) p = vp_presentation_unref(p);
    vp_job_suspend(job, NULL);
    vp_job_unref(job);
    return (void *)(intptr_t)st;
}

static void many_askers(void **state)
{
    room *r = *state;
    pthread_t threads[4];
    room_start(r, TINY);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_main, vp_job_ref(r->job)), 0);
    for (int i = 0; i < 4; i++) {
        void *result = NULL;
        pthread_join(threads[i], &result);
        assert_int_equal((vp_status)(intptr_t)result, VP_OK);
    }
    assert_ok(vp_job_wait(r->job, 0, NULL)); /* a stop after the end changes nothing */
}

/* ---- the context ---- */

static atomic_int closed, late;

static int32_t watch_event(void *user, const vp_event *event)
{
    (void)event;
    atomic_fetch_add((atomic_int *)user, 1);
    if (atomic_load(&closed)) atomic_fetch_add(&late, 1);
    return 0;
}

static void close_with_running_jobs(void **state)
{
    room *r = *state;
    unsigned before = thread_count();
    for (int round = 0; round < 4; round++) {
        vp_context *c = NULL;
        vp_source *source = NULL;
        vp_job *jobs[2] = { NULL, NULL }, *more = NULL;
        vp_sink *sinks[2] = { NULL, NULL };
        vp_job_options o = VP_JOB_OPTIONS_INIT;
        atomic_int calls = 0;
        int64_t start;
        atomic_store(&closed, 0);
        assert_ok(vp_context_new(NULL, &c, NULL));
        assert_ok(vp_source_memory(c, the_clip.data, the_clip.size, &source, NULL));
        for (int i = 0; i < 2; i++) {
            assert_ok(vp_sink_memory(c, &sinks[i], NULL));
            o.source = source;
            o.sink = sinks[i];
            o.on_event = watch_event;
            o.event_user = &calls;
            o.settings_json = TINY;
            assert_end(VP_OK, vp_job_new(c, &o, &jobs[i], &r->err), &r->err);
            assert_ok(vp_job_start(jobs[i], NULL));
        }
        sleep_ms(round * 20);
        start = now_ms();
        assert_ok(vp_context_close(c, NULL));
        atomic_store(&closed, 1);
        assert_true(now_ms() - start < 10000);
        assert_status(VP_E_STATE, vp_context_close(c, NULL));
        for (int i = 0; i < 2; i++) {
            vp_status st = vp_job_wait(jobs[i], 0, &r->err);
            if (st != VP_OK) assert_end(VP_E_CANCELED, st, &r->err);
        }
        assert_status(VP_E_STATE, vp_job_new(c, &o, &more, NULL));
        for (int i = 0; i < 2; i++) {
            vp_job_unref(jobs[i]);
            vp_sink_unref(sinks[i]);
            assert_status(VP_E_STATE, vp_sink_memory(c, &sinks[i], NULL));
        }
        vp_source_unref(source);
        vp_context_unref(c);
        assert_int_equal(atomic_load(&late), 0);
        assert_int_equal(thread_count_settled(before), before);
    }
}

/* The last reference goes away while the job runs, and while a second thread holds one. */
static void drop_while_running(void **state)
{
    room *r = *state;
    for (int i = 0; i < 6; i++) {
        pthread_t thread;
        stopper s = { .after_us = i * 9000 };
        room_start(r, TINY);
        s.job = vp_job_ref(r->job);
        s.cancel = i % 2;
        assert_int_equal(pthread_create(&thread, NULL, stop_main, &s), 0);
        sleep_ms(i * 7);
        r->job = vp_job_unref(r->job);
        pthread_join(thread, NULL);
        vp_sink_unref(r->sink);
        assert_ok(vp_sink_memory(r->context, &r->sink, NULL));
    }
}

/* One work store, one lease: the second job is told that somebody works on it. */
static void same_work_twice(void **state)
{
    room *r = *state;
    vp_job *second = NULL;
    vp_status st;
    room_start(r, TINY);
    sleep_ms(20);
    assert_ok(vp_job_new_json(r->context, r->source, r->sink, r->work, NULL, 0, TINY, &second, NULL));
    assert_ok(vp_job_start(second, NULL));
    st = vp_job_wait(second, -1, &r->err);
    if (st != VP_END) assert_end(VP_E_CONFLICT, st, &r->err);
    if (st != VP_END) assert_string_equal(r->err.reason, "ALREADY_RUNNING");
    vp_job_unref(second);
    assert_end(VP_OK, vp_job_wait(r->job, -1, &r->err), &r->err);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, room_open, room_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(two_jobs),           TEST(stop_at_moments), TEST(many_askers), TEST(close_with_running_jobs),
        TEST(drop_while_running), TEST(same_work_twice),
    };
    int rc = clips_open();
    return rc ? clips_close(rc) : clips_close(cmocka_run_group_tests_name("job threads", tests, NULL, NULL));
}
