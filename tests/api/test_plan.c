/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Plan, tasks and finish on threads of the host: the same bytes as a job makes. And their missing arguments. */

#include "api/host.h"

#include <pthread.h>

typedef struct planned {
    vp_media *media;
    vp_plan *plan;
} planned;

static void make_plan(room *r, planned *p)
{
    vp_probe_options o = VP_PROBE_OPTIONS_INIT;
    vp_transcode_options t = VP_TRANSCODE_OPTIONS_INIT;
    vp_ladder_options l = VP_LADDER_OPTIONS_INIT;
    vp_ladder *ladder = NULL;
    o.full = 1;
    t.preset = "ultrafast";
    t.segment_ms = t.gop_ms = 1000;
    t.span_ms = 1000;
    l.rungs = "240p";
    assert_end(VP_OK, vp_probe(r->context, r->source, &o, NULL, &p->media, &r->err), &r->err);
    assert_end(VP_OK, vp_ladder_derive(p->media, &l, &ladder, &r->err), &r->err);
    assert_end(VP_OK, vp_plan_new(r->context, p->media, ladder, &t, &p->plan, &r->err), &r->err);
    vp_ladder_unref(ladder);
}

static void drop_plan(planned *p)
{
    vp_plan_unref(p->plan);
    vp_media_unref(p->media);
}

typedef struct worker {
    room *r;
    const vp_plan *plan;
    unsigned ran;
} worker;

static void *work_main(void *arg)
{
    worker *w = arg;
    char name[64];
    for (;;) {
        vp_status st = vp_plan_next(w->plan, w->r->work, name, sizeof(name), NULL);
        if (st == VP_END) return NULL;
        if (st == VP_AGAIN) {
            sleep_ms(5);
            continue;
        }
        if (st == VP_OK)
            st = vp_task_run(w->r->context, w->plan, name, w->r->source, w->r->work, w->r->sink, NULL, NULL,
                             NULL);
        if (st < 0) return (void *)(intptr_t)st;
        w->ran += st == VP_OK;
    }
}

static void own_threads(void **state)
{
    room *r = *state;
    planned p = { 0 };
    worker workers[3];
    pthread_t threads[3];
    vp_job_options o = VP_JOB_OPTIONS_INIT;
    vp_presentation *out = NULL;
    vp_bytes *missing = NULL, *json = NULL, *again = NULL;
    vp_plan *copy = NULL;
    vp_sink *other = NULL;
    vp_progress done = VP_PROGRESS_INIT;
    unsigned ran = 0;
    make_plan(r, &p);
    assert_ok(vp_plan_progress(p.plan, r->work, &done, NULL));
    assert_int_equal(done.tasks_done + done.permille + done.cpu_done_us, 0);
    assert_int_equal(done.tasks_total, vp_plan_task_count(p.plan));
    /* the plan as text is the plan */
    assert_ok(vp_plan_json(p.plan, &json, NULL));
    assert_end(VP_OK, vp_plan_parse(vp_bytes_data(json), vp_bytes_size(json), &copy, &r->err), &r->err);
    assert_ok(vp_plan_json(copy, &again, NULL));
    assert_int_equal(vp_bytes_size(json), vp_bytes_size(again));
    assert_memory_equal(vp_bytes_data(json), vp_bytes_data(again), (size_t)vp_bytes_size(json));
    assert_string_equal(vp_plan_hash(p.plan), vp_plan_hash(copy));
    vp_bytes_unref(json);
    vp_bytes_unref(again);
    assert_end(VP_OK, vp_plan_claim(r->context, copy, r->sink, 0, &r->err), &r->err);
    /* too early */
    o.sink = r->sink;
    o.work = r->work;
    assert_status(VP_E_CONFLICT, vp_plan_finish(r->context, copy, &o, &out, &missing, &r->err));
    assert_string_equal(r->err.reason, "TASKS_MISSING");
    assert_non_null(missing);
    assert_non_null(strstr(vp_bytes_data(missing), "video-"));
    vp_bytes_unref(missing);
    for (int i = 0; i < 3; i++) {
        workers[i] = (worker){ .r = r, .plan = copy };
        assert_int_equal(pthread_create(&threads[i], NULL, work_main, &workers[i]), 0);
    }
    for (int i = 0; i < 3; i++) {
        void *result = NULL;
        pthread_join(threads[i], &result);
        assert_int_equal((intptr_t)result, VP_OK);
        ran += workers[i].ran;
    }
    assert_int_equal(ran, vp_plan_task_count(copy));
    assert_ok(vp_plan_progress(copy, r->work, &done, NULL));
    assert_int_equal(done.tasks_done, ran);
    assert_int_equal(done.permille, 1000);
    assert_true(done.cpu_total_us > 0 && done.cpu_done_us == done.cpu_total_us);
    vp_task_info info;
    vp_task_info_init(&info, sizeof(info));
    assert_ok(vp_plan_get_task(copy, 0, &info, NULL));
    assert_status(VP_END,
                  vp_task_run(r->context, copy, info.name, r->source, r->work, r->sink, NULL, NULL, NULL));
    assert_end(VP_OK, vp_plan_finish(r->context, copy, &o, &out, &missing, &r->err), &r->err);
    assert_null(missing);
    vp_presentation_unref(out);
    assert_status(VP_END, vp_plan_claim(r->context, copy, r->sink, 0, NULL));
    /* a job of the same settings */
    assert_ok(vp_sink_memory(r->context, &other, NULL));
    vp_transcode_options t = VP_TRANSCODE_OPTIONS_INIT;
    t.span_ms = 1000;
    o = (vp_job_options)VP_JOB_OPTIONS_INIT;
    o.source = r->source;
    o.sink = other;
    o.transcode = &t;
    o.settings_json = QUICK;
    assert_end(VP_OK, vp_job_new(r->context, &o, &r->job, &r->err), &r->err);
    assert_ok(vp_job_start(r->job, NULL));
    assert_end(VP_OK, vp_job_wait(r->job, -1, &r->err), &r->err);
    assert_same_title(other, r->sink);
    vp_sink_unref(other);
    vp_plan_unref(copy);
    drop_plan(&p);
}

#define NO(call_with)                                                                                        \
    do {                                                                                                     \
        vp_error *e = &r->err;                                                                               \
        assert_status(VP_E_ARG, call_with);                                                                  \
        assert_int_equal(r->err.status, VP_E_ARG);                                                           \
        e = NULL;                                                                                            \
        assert_status(VP_E_ARG, call_with);                                                                  \
    } while (0)

static void missing_arguments(void **state)
{
    room *r = *state;
    planned p = { 0 };
    vp_plan *plan = NULL;
    vp_bytes *bytes = NULL;
    vp_task_info info;
    vp_job_options o = VP_JOB_OPTIONS_INIT;
    vp_presentation *out = NULL;
    vp_media_info media;
    char name[64];
    vp_progress done = VP_PROGRESS_INIT;
    make_plan(r, &p);
    vp_task_info_init(&info, sizeof(info));
    vp_media_info_init(&media, sizeof(media));
    NO(vp_media_get_info(p.media, NULL, e));
    NO(vp_media_get_video(p.media, 0, NULL, e));
    NO(vp_media_get_audio(p.media, 0, NULL, e));
    NO(vp_media_json(p.media, NULL, e));
    NO(vp_ladder_derive(p.media, NULL, NULL, e));
    NO(vp_plan_new(NULL, p.media, NULL, NULL, &plan, e));
    NO(vp_plan_new(r->context, p.media, NULL, NULL, NULL, e));
    NO(vp_plan_json(p.plan, NULL, e));
    NO(vp_plan_summary_json(p.plan, NULL, e));
    NO(vp_plan_get_task(p.plan, 0, NULL, e));
    NO(vp_plan_get_task(p.plan, 4711, &info, e));
    assert_null(vp_plan_get_need(p.plan, 4711, 0));
    assert_ok(vp_plan_get_task(p.plan, 0, &info, NULL));
    NO(vp_task_run(NULL, p.plan, info.name, r->source, r->work, r->sink, NULL, NULL, e));
    NO(vp_task_run(r->context, p.plan, NULL, r->source, r->work, r->sink, NULL, NULL, e));
    NO(vp_task_run(r->context, p.plan, "no-such-task", r->source, r->work, r->sink, NULL, NULL, e));
    NO(vp_task_run(r->context, p.plan, info.name, NULL, r->work, r->sink, NULL, NULL, e));
    NO(vp_task_run(r->context, p.plan, info.name, r->source, NULL, r->sink, NULL, NULL, e));
    NO(vp_task_run(r->context, p.plan, info.name, r->source, r->work, NULL, NULL, NULL, e));
    NO(vp_plan_next(p.plan, NULL, name, sizeof(name), e));
    NO(vp_plan_next(p.plan, r->work, NULL, sizeof(name), e));
    NO(vp_plan_next(p.plan, r->work, name, 0, e));
    NO(vp_plan_progress(p.plan, NULL, &done, e));
    NO(vp_plan_progress(p.plan, r->work, NULL, e));
    NO(vp_plan_finish(r->context, p.plan, NULL, &out, &bytes, e));
    NO(vp_plan_finish(r->context, p.plan, &o, &out, &bytes, e));
    o.sink = r->sink;
    NO(vp_plan_finish(r->context, p.plan, &o, &out, &bytes, e));
    o.work = r->work;
    NO(vp_plan_claim(NULL, p.plan, r->sink, 0, e));
    NO(vp_plan_claim(r->context, p.plan, NULL, 0, e));
    NO(vp_plan_finish(NULL, p.plan, &o, &out, &bytes, e));
    assert_null(plan);
    assert_null(bytes);
    assert_null(out);
    drop_plan(&p);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, room_open, room_close)

int main(void)
{
    const struct CMUnitTest tests[] = { TEST(own_threads), TEST(missing_arguments) };
    int rc = clips_open();
    return rc ? clips_close(rc) : clips_close(cmocka_run_group_tests_name("plan", tests, NULL, NULL));
}
