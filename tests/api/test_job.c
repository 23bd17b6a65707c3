/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A whole publish as a host sees it: events, outcomes, what is left behind, what is not touched. */

#include "api/host.h"

#include <locale.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>

/* ---- a job whose events are all kept ---- */

typedef struct record {
    vp_event *events;
    size_t count;
    uint32_t stop_at; /* permille at which the callback acts; 0: never */
    vp_status (*act)(vp_job *, vp_error *);
    vp_job **job;
    size_t answer_at; /* the n-th event is answered with answer; 0: none */
    int32_t answer;
    sigset_t blocked; /* signals that are blocked on the thread of the callbacks */
    char thread[32];
    int inside, overlaps;
    vp_status wait_status, close_status;
    vp_context *context;
} record;

static int32_t keep_event(void *user, const vp_event *event)
{
    record *r = user;
    if (__atomic_add_fetch(&r->inside, 1, __ATOMIC_SEQ_CST) != 1) r->overlaps++;
    r->events = realloc(r->events, (r->count + 1) * sizeof(*event));
    assert_non_null(r->events);
    r->events[r->count++] = *event;
    pthread_sigmask(SIG_SETMASK, NULL, &r->blocked);
    pthread_getname_np(pthread_self(), r->thread, sizeof(r->thread));
    if (r->job) r->wait_status = vp_job_wait(*r->job, 0, NULL);
    if (r->context) r->close_status = vp_context_close(r->context, NULL);
    if (r->stop_at && event->permille >= r->stop_at && r->act) {
        assert_ok(r->act(*r->job, NULL));
        r->act = NULL;
    }
    __atomic_sub_fetch(&r->inside, 1, __ATOMIC_SEQ_CST);
    return r->answer_at && r->count == r->answer_at ? r->answer : 0;
}

static void record_free(record *r)
{
    free(r->events);
    *r = (record){ 0 };
}

static void start_recorded(room *r, record *rec, vp_sink *sink, vp_store *work, uint32_t span_ms)
{
    vp_transcode_options t = VP_TRANSCODE_OPTIONS_INIT;
    vp_job_options o = VP_JOB_OPTIONS_INIT;
    t.span_ms = span_ms;
    o.source = r->source;
    o.sink = sink;
    o.work = work;
    o.queue = r->queue;
    o.transcode = &t;
    o.settings_json = QUICK;
    o.on_event = keep_event;
    o.event_user = rec;
    o.tag = 7;
    r->job = vp_job_unref(r->job);
    assert_end(VP_OK, vp_job_new(r->context, &o, &r->job, &r->err), &r->err);
    assert_end(VP_OK, vp_job_start(r->job, &r->err), &r->err);
}

static vp_status run_recorded(room *r, record *rec, vp_sink *sink, vp_store *work, uint32_t span_ms)
{
    start_recorded(r, rec, sink, work, span_ms);
    return vp_job_wait(r->job, -1, &r->err);
}

/* What holds for the events of every job, however it ends. */
static void check_events(const record *rec, int32_t last_kind)
{
    int32_t stage = 0;
    uint32_t permille = 0;
    assert_true(rec->count > 0);
    assert_int_equal(rec->overlaps, 0);
    for (size_t i = 0; i < rec->count; i++) {
        const vp_event *e = &rec->events[i];
        assert_int_equal(e->struct_size, sizeof(*e));
        assert_int_equal(e->tag, 7);
        assert_int_equal(e->seq, rec->events[0].seq + i);
        assert_true(e->permille >= permille && e->permille <= 1000);
        permille = e->permille;
        if (e->kind == VP_EVENT_STAGE) assert_true(e->stage > stage);
        if (e->kind == VP_EVENT_STAGE) stage = e->stage;
        if (e->kind == VP_EVENT_PROGRESS) assert_true(e->done <= e->total && e->unit[0]);
        assert_int_equal(is_terminal(e), i == rec->count - 1);
    }
    assert_int_equal(rec->events[rec->count - 1].kind, last_kind);
}

static void events_in_order(void **state)
{
    room *r = *state;
    record rec = { 0 };
    uint64_t objects = 0, bytes = 0;
    vp_presentation *p = NULL;
    vp_presentation_info info;
    assert_end(VP_OK, run_recorded(r, &rec, r->sink, r->work, 0), &r->err);
    check_events(&rec, VP_EVENT_DONE);
    const vp_event *done = &rec.events[rec.count - 1];
    for (size_t i = 0; i < rec.count; i++) {
        const vp_event *e = &rec.events[i];
        vp_object_info stat = VP_OBJECT_INFO_INIT;
        if (e->kind != VP_EVENT_OBJECT) continue;
        assert_ok(vp_sink_stat(r->sink, e->key, &stat, NULL));
        assert_int_equal(stat.size, e->bytes);
        objects++;
        bytes += e->bytes;
    }
    assert_int_equal(done->permille, 1000);
    assert_int_equal(done->objects, objects);
    assert_int_equal(done->bytes, bytes);
    assert_int_equal(sink_count(r->sink), objects);
    assert_int_equal(store_count(r->work), 0);
    assert_string_equal(done->reason, "");
    assert_ok(vp_job_presentation(r->job, &p, NULL));
    vp_presentation_info_init(&info, sizeof(info));
    assert_ok(vp_presentation_get_info(p, &info, NULL));
    assert_string_equal(info.version, done->version);
    assert_true(info.duration_us > 2900000 && info.duration_us < 3200000);
    vp_presentation_unref(p);
    /* as often as it is asked */
    assert_ok(vp_job_wait(r->job, 0, NULL));
    assert_status(VP_E_STATE, vp_job_start(r->job, NULL));
    record_free(&rec);
}

/* The queue gives the same events; of progress that was not read in time only the newest. */
static void events_from_queue(void **state)
{
    room *r = *state;
    record rec = { 0 };
    vp_event e;
    struct pollfd poller = { .fd = vp_queue_fd(r->queue), .events = POLLIN };
    size_t at = 0, objects = 0;
    assert_true(poller.fd >= 0);
    assert_int_equal(poll(&poller, 1, 0), 0);
    vp_event_init(&e, sizeof(e));
    assert_status(VP_AGAIN, vp_queue_next(r->queue, 0, &e, NULL));
    assert_status(VP_AGAIN, vp_queue_next(r->queue, 20, &e, NULL));
    assert_end(VP_OK, run_recorded(r, &rec, r->sink, r->work, 0), &r->err);
    for (;;) {
        assert_int_equal(poll(&poller, 1, 0), 1);
        assert_ok(vp_queue_next(r->queue, 0, &e, NULL));
        while (at < rec.count && rec.events[at].seq != e.seq) {
            assert_int_equal(rec.events[at].kind, VP_EVENT_PROGRESS);
            at++;
        }
        assert_true(at < rec.count);
        assert_memory_equal(&e, &rec.events[at++], sizeof(e));
        objects += e.kind == VP_EVENT_OBJECT;
        if (is_terminal(&e)) break;
    }
    assert_true(objects > 5);
    assert_int_equal(poll(&poller, 1, 0), 0);
    assert_status(VP_AGAIN, vp_queue_next(r->queue, 0, &e, NULL));
    record_free(&rec);
}

static void events_as_json(void **state)
{
    room *r = *state;
    vp_bytes *line = NULL;
    uint64_t tag = 0;
    bool done = false;
    assert_end(VP_OK,
               vp_job_new_json(r->context, r->source, r->sink, NULL, r->queue, 99, QUICK, &r->job, &r->err),
               &r->err);
    assert_ok(vp_job_start(r->job, NULL));
    while (!done) {
        assert_ok(vp_queue_next_json(r->queue, 60000, &tag, &line, &r->err));
        assert_int_equal(tag, 99);
        const char *text = vp_bytes_data(line);
        assert_true(strncmp(text, "{\"event\":\"", 10) == 0);
        assert_null(strchr(text, '\n'));
        done = strncmp(text + 10, "done\"", 5) == 0;
        vp_bytes_unref(line);
    }
    assert_status(VP_AGAIN, vp_queue_next_json(r->queue, 0, &tag, &line, NULL));
    assert_ok(vp_job_wait(r->job, -1, NULL));
}

static void already_done(void **state)
{
    room *r = *state;
    record rec = { 0 };
    vp_presentation *p = NULL;
    unsigned count;
    room_publish(r, QUICK, VP_OK);
    count = sink_count(r->sink);
    assert_end(VP_END, run_recorded(r, &rec, r->sink, r->work, 0), &r->err);
    check_events(&rec, VP_EVENT_DONE);
    assert_string_equal(rec.events[rec.count - 1].reason, "ALREADY_DONE");
    for (size_t i = 0; i < rec.count; i++) assert_int_not_equal(rec.events[i].kind, VP_EVENT_OBJECT);
    assert_int_equal(sink_count(r->sink), count);
    assert_int_equal(store_count(r->work), 0);
    assert_ok(vp_job_presentation(r->job, &p, NULL));
    vp_presentation_unref(p);
    record_free(&rec);
}

/* ---- stopping ---- */

static unsigned segments_of(const record *rec)
{
    unsigned n = 0;
    for (size_t i = 0; i < rec->count; i++)
        n += rec->events[i].kind == VP_EVENT_OBJECT && rec->events[i].object_kind == VP_OBJECT_SEGMENT;
    return n;
}

/* One span after the other, stopped in the middle; the second job goes on where the first one was. */
static void suspend_and_resume(void **state)
{
    room *r = *state;
    record whole = { 0 }, first = { 0 }, second = { 0 };
    vp_sink *other = NULL;
    unsigned all;
    room_source(r, &long_clip);
    assert_ok(vp_sink_memory(r->context, &other, NULL));
    assert_end(VP_OK, run_recorded(r, &whole, other, NULL, 2000), &r->err);
    all = segments_of(&whole);
    first.job = &r->job;
    first.stop_at = 600;
    first.act = vp_job_suspend;
    assert_end(VP_E_CANCELED, run_recorded(r, &first, r->sink, r->work, 2000), &r->err);
    assert_string_equal(r->err.reason, "CANCELED");
    check_events(&first, VP_EVENT_SUSPENDED);
    assert_int_equal(first.wait_status, VP_E_STATE);
    assert_true(store_count(r->work) > 1);
    assert_false(sink_holds(r->sink, "master.m3u8"));
    assert_end(VP_OK, run_recorded(r, &second, r->sink, r->work, 2000), &r->err);
    check_events(&second, VP_EVENT_DONE);
    print_message("segments: %u in all, %u before, %u after; permille %u -> %u\n", all, segments_of(&first),
                  segments_of(&second), first.events[first.count - 1].permille, second.events[0].permille);
    assert_true(segments_of(&second) < all);
    assert_true(segments_of(&first) + segments_of(&second) >= all);
    assert_true(second.events[0].permille >= first.events[first.count - 1].permille);
    assert_int_equal(store_count(r->work), 0);
    assert_same_title(other, r->sink);
    record_free(&whole);
    record_free(&first);
    record_free(&second);
    vp_sink_unref(other);
}

/* Another title in the same work store: its work is not mixed with the old one's. */
static void suspend_then_another(void **state)
{
    room *r = *state;
    record first = { 0 }, second = { 0 };
    room_source(r, &long_clip);
    first.job = &r->job;
    first.stop_at = 500;
    first.act = vp_job_suspend;
    assert_end(VP_E_CANCELED, run_recorded(r, &first, r->sink, r->work, 2000), &r->err);
    room_source(r, &the_clip);
    assert_end(VP_OK, run_recorded(r, &second, r->sink, r->work, 2000), &r->err);
    assert_int_equal(store_count(r->work), 0);
    record_free(&first);
    record_free(&second);
}

static void cancel_leaves_nothing(void **state)
{
    room *r = *state;
    static const uint32_t moments[] = { 1, 100, 400, 700, 960 };
    room_source(r, &long_clip);
    for (size_t i = 0; i < sizeof(moments) / sizeof(moments[0]); i++) {
        record rec = { .job = &r->job, .stop_at = moments[i], .act = vp_job_cancel };
        vp_status st = run_recorded(r, &rec, r->sink, r->work, 2000);
        assert_end(VP_E_CANCELED, st, &r->err);
        check_events(&rec, VP_EVENT_CANCELED);
        assert_int_equal(sink_count(r->sink), 0);
        assert_int_equal(store_count(r->work), 0);
        record_free(&rec);
    }
}

/* Cancelling a second version leaves the published one alone. */
static void cancel_keeps_published(void **state)
{
    room *r = *state;
    record rec = { .job = &r->job, .stop_at = 500, .act = vp_job_cancel };
    unsigned count;
    room_publish(r, QUICK, VP_OK);
    count = sink_count(r->sink);
    room_source(r, &long_clip);
    assert_end(VP_E_CANCELED, run_recorded(r, &rec, r->sink, r->work, 2000), &r->err);
    assert_int_equal(sink_count(r->sink), count);
    room_source(r, &the_clip);
    room_publish(r, QUICK, VP_END);
    record_free(&rec);
}

static void stop_before_start(void **state)
{
    room *r = *state;
    assert_ok(vp_job_new_json(r->context, r->source, r->sink, r->work, r->queue, 0, QUICK, &r->job, &r->err));
    assert_status(VP_E_STATE, vp_job_wait(r->job, 0, NULL));
    assert_ok(vp_job_cancel(r->job, NULL));
    assert_ok(vp_job_start(r->job, &r->err));
    assert_status(VP_E_CANCELED, vp_job_wait(r->job, -1, &r->err));
    assert_int_equal(sink_count(r->sink), 0);
    assert_int_equal(store_count(r->work), 0);
}

static void host_cancel_suspends(void **state)
{
    room *r = *state;
    vp_job_options o = VP_JOB_OPTIONS_INIT;
    vp_event e;
    vp_cancel *cancel = NULL;
    int64_t fired;
    room_source(r, &long_clip);
    for (int how = 0; how < 2; how++) {
        assert_ok(vp_cancel_new(&cancel, NULL));
        o.source = r->source;
        o.sink = r->sink;
        o.work = r->work;
        o.queue = r->queue;
        o.cancel = cancel;
        o.settings_json = "{\"ladder\":\"240p\",\"preset\":\"veryslow\"}";
        r->job = vp_job_unref(r->job);
        assert_ok(vp_job_new(r->context, &o, &r->job, &r->err));
        if (how == 1) vp_cancel_deadline(cancel, 100);
        assert_ok(vp_job_start(r->job, NULL));
        if (how == 0) {
            assert_status(VP_AGAIN, vp_job_wait(r->job, 100, NULL));
            vp_cancel_fire(cancel);
        }
        fired = now_ms();
        cancel = vp_cancel_unref(cancel);
        assert_end(VP_E_CANCELED, vp_job_wait(r->job, -1, &r->err), &r->err);
        assert_true(now_ms() - fired < 3000);
        read_until_end(r->queue, &e);
        assert_int_equal(e.kind, VP_EVENT_SUSPENDED);
    }
}

/* ---- the callback's own answer ---- */

static void callback_answers(void **state)
{
    room *r = *state;
    for (size_t at = 1; at < 12; at += full_run() ? 1 : 3) {
        record rec = { .answer_at = at, .answer = -4711 + (int32_t)at, .job = &r->job };
        assert_end(VP_E_HOST, run_recorded(r, &rec, r->sink, r->work, 0), &r->err);
        assert_int_equal(r->err.native, rec.answer);
        assert_int_equal(r->err.domain, VP_DOM_HOST);
        assert_true(r->err.flags & VP_ERRF_FROM_HOST);
        assert_string_equal(r->err.reason, "HOST");
        assert_false(sink_holds(r->sink, "master.m3u8"));
        check_events(&rec, VP_EVENT_FAILED);
        assert_int_equal(rec.events[rec.count - 1].status, VP_E_HOST);
        record_free(&rec);
    }
}

static void callback_may_not_wait(void **state)
{
    room *r = *state;
    record rec = { .job = &r->job, .context = r->context };
    assert_end(VP_OK, run_recorded(r, &rec, r->sink, r->work, 0), &r->err);
    assert_int_equal(rec.wait_status, VP_E_STATE);
    assert_int_equal(rec.close_status, VP_E_STATE);
    record_free(&rec);
}

/* ---- what a publish does not touch ---- */

static int strayed;

static void stray_signal(int number)
{
    (void)number;
    strayed++;
}

static void threads_block_signals(void **state)
{
    room *r = *state;
    record rec = { 0 };
    assert_end(VP_OK, run_recorded(r, &rec, r->sink, r->work, 0), &r->err);
    for (int s = 1; s < 32; s++)
        if (s != SIGKILL && s != SIGSTOP) assert_int_equal(sigismember(&rec.blocked, s), 1);
    assert_true(strncmp(rec.thread, "vp-", 3) == 0);
    record_free(&rec);
}

static int av_lines;

static void host_av_log(void *object, int level, const char *format, va_list args)
{
    (void)object;
    (void)level;
    (void)format;
    (void)args;
    av_lines++;
}

static void process_is_untouched(void **state)
{
    room *r = *state;
    struct sigaction before[32], after;
    sigset_t mask_before, mask_after;
    char cwd_before[512], cwd_after[512], locale_before[256];
    void (*set_callback)(void (*)(void *, int, const char *, va_list)) = NULL;
    void (*av_log)(void *, int, const char *, ...) = NULL;
    int (*get_level)(void) = NULL;
    mode_t mask = umask(027);
    umask(027);
    *(void **)&set_callback = av_symbol("av_log_set_callback");
    *(void **)&get_level = av_symbol("av_log_get_level");
    *(void **)&av_log = av_symbol("av_log");
    assert_true(set_callback && get_level && av_log);
    set_callback(host_av_log);
    assert_non_null(setlocale(LC_ALL, "C"));
    snprintf(locale_before, sizeof(locale_before), "%s", setlocale(LC_ALL, NULL));
    signal(SIGUSR1, stray_signal);
    for (int s = 1; s < 32; s++) sigaction(s, NULL, &before[s]);
    pthread_sigmask(SIG_SETMASK, NULL, &mask_before);
    assert_non_null(getcwd(cwd_before, sizeof(cwd_before)));
    int level = get_level();
    room_publish(r, QUICK, VP_OK);
    for (int s = 1; s < 32; s++) {
        sigaction(s, NULL, &after);
        assert_true(after.sa_handler == before[s].sa_handler && after.sa_flags == before[s].sa_flags);
    }
    pthread_sigmask(SIG_SETMASK, NULL, &mask_after);
    assert_memory_equal(&mask_before, &mask_after, sizeof(unsigned long));
    assert_string_equal(setlocale(LC_ALL, NULL), locale_before);
    assert_non_null(getcwd(cwd_after, sizeof(cwd_after)));
    assert_string_equal(cwd_before, cwd_after);
    assert_int_equal(umask(mask), 027);
    assert_int_equal(get_level(), level);
    int lines = av_lines;
    av_log(NULL, 16, "x");
    assert_int_equal(av_lines, lines + 1);
    assert_int_equal(strayed, 0);
    signal(SIGUSR1, SIG_DFL);
}

/* A host with a comma for the decimal point gets the same bytes. */
static void locale_changes_nothing(void **state)
{
    room *r = *state;
    vp_sink *other = NULL;
    static const char *const names[] = { "de_DE.UTF-8", "fr_FR.UTF-8", "de_DE.utf8", NULL };
    const char *set = NULL;
    for (size_t i = 0; names[i] && !set; i++) set = setlocale(LC_ALL, names[i]);
    if (!set) skip();
    room_publish(r, QUICK, VP_OK);
    setlocale(LC_ALL, "C");
    assert_ok(vp_sink_memory(r->context, &other, NULL));
    vp_sink *first = r->sink;
    r->sink = other;
    room_publish(r, QUICK, VP_OK);
    assert_same_title(first, other);
    vp_sink_unref(first);
}

static void no_thread_is_left(void **state)
{
    room *r = *state;
    unsigned before = thread_count();
    room_publish(r, QUICK, VP_OK);
    r->job = vp_job_unref(r->job);
    assert_int_equal(thread_count_settled(before), before);
    room_start(r, QUICK);
    r->job = vp_job_unref(r->job); /* running: cancels and waits */
    assert_int_equal(thread_count_settled(before), before);
    assert_int_equal(vp_context_close(r->context, NULL), VP_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, room_open, room_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(events_in_order),       TEST(events_from_queue),      TEST(events_as_json),
        TEST(already_done),          TEST(suspend_and_resume),     TEST(suspend_then_another),
        TEST(cancel_leaves_nothing), TEST(cancel_keeps_published), TEST(stop_before_start),
        TEST(host_cancel_suspends),  TEST(callback_answers),       TEST(callback_may_not_wait),
        TEST(threads_block_signals), TEST(process_is_untouched),   TEST(locale_changes_nothing),
        TEST(no_thread_is_left),
    };
    int rc = clips_open();
    return rc ? clips_close(rc) : clips_close(cmocka_run_group_tests_name("job", tests, NULL, NULL));
}
