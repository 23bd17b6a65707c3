/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The n-th allocation fails, for many n (CI_FULL=1: every n): ours, jansson's and what we ask libav* for (wrapped.c),
 * also the start of a thread. Each flow ends in NOMEM, or does without and gives what it gives otherwise; then the
 * same handles finish the work. Nothing of a failed title can be seen, no thread and no descriptor is left; leaks
 * are what AddressSanitizer says at the end. Linked with the static library: the hook is not exported.
 */

#include "fault/tiny.h"

#include <errno.h>
#include <ftw.h>
#include <jansson.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>

#include "base/fault.h"

#define BOTH "{\"preset\":\"ultrafast\",\"ladder\":\"240p\",\"segment\":1,\"gop\":1,\"format\":\"both\"}"

typedef struct world {
    vp_context *context;
    vp_source *source;
    vp_sink *sink;
    vp_store *work;
    vp_queue *queue;
    vp_error err;
    const char *folder; /* NULL: in memory */
    uint64_t answer;    /* what else the flow found out, for a comparison */
} world;

typedef struct flow {
    const char *name;
    vp_status (*run)(world *w);
    bool title;     /* makes one */
    bool directory; /* in a directory */
    bool random;    /* with other bytes every time: IVs */
} flow;

static char now_running[128];
static unsigned wrong;

static void too_long(int number)
{
    static const char text[] = "no end: ";

    (void)number;
    if (write(2, text, sizeof(text) - 1) < 0 || write(2, now_running, strlen(now_running)) < 0) _exit(3);
    signal(SIGABRT, SIG_DFL);
    abort();
}

/*
 * jansson's reader cannot always tell a lack of memory from a bad token (its lexer drops what does not fit), so it
 * fails as a whole, as it does when its first allocation fails.
 */
static _Thread_local bool in_reader;

static void *json_alloc(size_t size)
{
    return !in_reader && vpi_fault_hit() ? NULL : malloc(size);
}

json_t *__real_json_loadb(const char *text, size_t size, size_t flags, json_error_t *error);
json_t *__wrap_json_loadb(const char *text, size_t size, size_t flags, json_error_t *error);
json_t *__wrap_json_loadb(const char *text, size_t size, size_t flags, json_error_t *error)
{
    json_t *json;

    if (vpi_fault_hit()) {
        memset(error, 0, sizeof(*error));
        error->line = error->column = -1;
        return NULL;
    }
    in_reader = true;
    json = __real_json_loadb(text, size, flags, error);
    in_reader = false;
    return json;
}

/* ---- the flows ---- */

#define TRY(call)                                                                                            \
    do {                                                                                                     \
        vp_status try_status = (call);                                                                       \
        if (try_status < 0) return try_status;                                                               \
    } while (0)

static vp_status open_world(world *w)
{
    vp_context_options o = VP_CONTEXT_OPTIONS_INIT;
    char path[256];

    o.threads = 2;
    TRY(vp_context_new(&o, &w->context, &w->err));
    TRY(vp_source_memory(w->context, the_clip.data, the_clip.size, &w->source, &w->err));
    TRY(vp_queue_new(&w->queue, &w->err));
    if (!w->folder) {
        TRY(vp_sink_memory(w->context, &w->sink, &w->err));
        return vp_store_memory(w->context, &w->work, &w->err);
    }
    snprintf(path, sizeof(path), "%s/out", w->folder);
    TRY(vp_sink_directory(w->context, path, &w->sink, &w->err));
    snprintf(path, sizeof(path), "%s/work", w->folder);
    return vp_store_directory(w->context, path, &w->work, &w->err);
}

static void close_world(world *w)
{
    w->work = vp_store_unref(w->work);
    w->sink = vp_sink_unref(w->sink);
    w->queue = vp_queue_unref(w->queue);
    w->source = vp_source_unref(w->source);
    w->context = vp_context_unref(w->context);
}

static vp_status probe_and_plan(world *w)
{
    vp_probe_options o = VP_PROBE_OPTIONS_INIT;
    vp_media *media = NULL;
    vp_ladder *ladder = NULL;
    vp_plan *plan = NULL, *again = NULL;
    vp_bytes *json = NULL, *text = NULL, *rungs = NULL;
    vp_status st;

    o.full = 1;
    st = vp_probe(w->context, w->source, &o, NULL, &media, &w->err);
    if (st >= 0) st = vp_media_json(media, &text, &w->err);
    if (st >= 0) st = vp_ladder_derive(media, NULL, &ladder, &w->err);
    if (st >= 0) st = vp_ladder_json(ladder, &rungs, &w->err);
    if (st >= 0) st = vp_plan_new(w->context, media, ladder, NULL, &plan, &w->err);
    if (st >= 0) st = vp_plan_json(plan, &json, &w->err);
    if (st >= 0) st = vp_plan_parse(vp_bytes_data(json), vp_bytes_size(json), &again, &w->err);
    if (st >= 0) {
        /* The IV seed is drawn anew for each plan; what was asked for is not. */
        assert_string_equal(vp_plan_hash(plan), vp_plan_hash(again));
        w->answer = vp_bytes_size(text) * 1000 + vp_bytes_size(rungs);
        for (const char *c = vp_plan_request(plan); *c; c++) w->answer = w->answer * 31 + (uint8_t)*c;
    }
    vp_bytes_unref(text);
    vp_bytes_unref(rungs);
    vp_bytes_unref(json);
    vp_plan_unref(again);
    vp_plan_unref(plan);
    vp_ladder_unref(ladder);
    vp_media_unref(media);
    return st;
}

static vp_status look_at_title(world *w, vp_job *job)
{
    vp_presentation *p = NULL, *again = NULL;
    vp_bytes *json = NULL;
    vp_report *report = NULL;
    vp_status st = vp_job_presentation(job, &p, &w->err);

    if (st >= 0) st = vp_presentation_json(p, &json, &w->err);
    if (st >= 0) st = vp_presentation_parse(vp_bytes_data(json), vp_bytes_size(json), &again, &w->err);
    if (st >= 0) st = vp_verify(w->context, w->sink, NULL, NULL, &report, &w->err);
    if (st >= 0) w->answer = vp_report_checks(report);
    vp_report_unref(report);
    vp_bytes_unref(json);
    vp_presentation_unref(again);
    vp_presentation_unref(p);
    return st;
}

static vp_status run_job(world *w, vp_job *job)
{
    vp_error late = VP_ERROR_INIT;
    vp_bytes *line = NULL;
    vp_status st = vp_job_start(job, &w->err);

    if (st < 0) {
        vp_job_unref(job);
        return st;
    }
    st = vp_job_wait(job, -1, &w->err);
    /* The end of a job is never lost, whatever is lacking; other events may be, which is said as NOMEM. */
    for (bool end = false; !end; line = vp_bytes_unref(line)) {
        vp_status next = vp_queue_next_json(w->queue, 10000, NULL, &line, &late);

        if (next == VP_E_NOMEM) continue;
        assert_end(VP_OK, next, &late);
        if (strstr(vp_bytes_data(line), st < 0 ? w->err.reason : "{\"event\":\"done\"")) end = true;
    }
    if (st >= 0) st = look_at_title(w, job);
    vp_job_unref(job);
    return st;
}

static vp_status publish(world *w)
{
    vp_job *job = NULL;

    TRY(vp_job_new_json(w->context, w->source, w->sink, w->work, w->queue, 7, BOTH, &job, &w->err));
    return run_job(w, job);
}

static vp_status package_as(world *w, const char *settings)
{
    vp_job_options o = VP_JOB_OPTIONS_INIT;
    const char *name = "clip";
    vp_job *job = NULL;

    o.sink = w->sink;
    o.work = w->work;
    o.queue = w->queue;
    o.settings_json = settings;
    TRY(vp_job_new_package(w->context, &o, &w->source, &name, 1, &job, &w->err));
    return run_job(w, job);
}

static vp_status package(world *w)
{
    return package_as(w, "{\"segment\":1,\"gop\":1,\"format\":\"both\"}");
}

static vp_status package_encrypted(world *w)
{
    return package_as(w, "{\"segment\":1,\"gop\":1,\"format\":\"both\",\"encrypt\":\"cbcs\",\"clear_lead\":1,"
                         "\"keys\":{\"keys\":[{\"label\":\"*\",\"kid\":\"0123456789abcdef0123456789abcdef\","
                         "\"key\":\"00112233445566778899aabbccddeeff\"}],\"uri\":\"https://k/{kid}\","
                         "\"drm\":[{\"system\":\"widevine\"},{\"system\":\"playready\"}]}}");
}

/* What a host with a scheduler of its own does: plan, tasks, finish. */
static vp_status tasks(world *w)
{
    vp_probe_options o = VP_PROBE_OPTIONS_INIT;
    vp_transcode_options t = VP_TRANSCODE_OPTIONS_INIT;
    vp_job_options f = VP_JOB_OPTIONS_INIT;
    vp_presentation *p = NULL;
    vp_media *media = NULL;
    vp_plan *plan = NULL;
    vp_report *report = NULL;
    vp_verify_options v = VP_VERIFY_OPTIONS_INIT;
    vp_bytes *missing = NULL, *json = NULL;
    char name[64];
    vp_status st;

    o.full = 1;
    t.segment_ms = t.gop_ms = 1000;
    t.preset = "ultrafast";
    t.single_file = 1;
    v.decode = 1;
    st = vp_probe(w->context, w->source, &o, NULL, &media, &w->err);
    if (st >= 0) st = vp_plan_new(w->context, media, NULL, &t, &plan, &w->err);
    if (st >= 0) st = vp_plan_claim(w->context, plan, w->sink, 0, &w->err);
    while (st >= 0 && st != VP_END &&
           (st = vp_plan_next(plan, w->work, name, sizeof(name), &w->err)) == VP_OK)
        st = vp_task_run(w->context, plan, name, w->source, w->work, w->sink, NULL, NULL, &w->err);
    f.sink = w->sink;
    f.work = w->work;
    f.queue = w->queue;
    if (st >= 0) st = vp_plan_finish(w->context, plan, &f, &p, &missing, &w->err);
    if (st >= 0) st = vp_verify(w->context, w->sink, &v, NULL, &report, &w->err);
    if (st >= 0) st = vp_report_json(report, &json, &w->err);
    if (st >= 0) w->answer = vp_report_checks(report) * 1000 + vp_bytes_size(json);
    vp_bytes_unref(json);
    vp_bytes_unref(missing);
    vp_report_unref(report);
    vp_presentation_unref(p);
    vp_plan_unref(plan);
    vp_media_unref(media);
    return st;
}

static const flow flows[] = {
    { "probe", probe_and_plan, false, false, false },
    { "package", package, true, false, false },
    { "package to a directory", package, true, true, false },
    { "package encrypted", package_encrypted, true, false, true },
    { "publish", publish, true, false, false },
    { "publish to a directory", publish, true, true, false },
    { "plan, tasks, finish, verify", tasks, true, false, false },
    { "plan, tasks, finish, verify in a directory", tasks, true, true, false },
};

/* ---- the rounds ---- */

static int drop(const char *path, const struct stat *s, int type, struct FTW *ftw)
{
    (void)s;
    (void)type;
    (void)ftw;
    return remove(path);
}

static vp_status no_temporary(void *user, const vp_object_info *info)
{
    if (strstr(info->key, ".tmp-")) fail_msg("%s: %s is left", (const char *)user, info->key);
    return VP_OK;
}

static void expect_nothing_visible(world *w)
{
    vp_report *report = NULL;
    vp_error err = VP_ERROR_INIT;

    if (!w->sink) return;
    assert_ok(vp_sink_list(w->sink, "", no_temporary, now_running, NULL));
    if (!sink_holds(w->sink, "master.m3u8")) return; /* players come in by it, it is last */
    /* The job has published and failed after that: what can be seen is whole. */
    assert_end(VP_OK, vp_verify(w->context, w->sink, NULL, NULL, &report, &err), &err);
    vp_report_unref(report);
}

/* One round with the n-th allocation failing; false when there were fewer. */
static bool one_round(const flow *f, world *w, const world *model, long n, bool again)
{
    vp_status st;
    long left;

    snprintf(now_running, sizeof(now_running), "%s, allocation %ld\n", f->name, n);
    alarm(120);
    vp_error_init(&w->err);
    atomic_store(&vpi_alloc_fail_at, n);
    st = open_world(w);
    if (st >= 0) st = f->run(w);
    left = atomic_exchange(&vpi_alloc_fail_at, 0);
    if (st < 0) {
        bool thread = st == VP_E_IO && w->err.native == EAGAIN; /* that could not be started */

        if (st != VP_E_NOMEM && !thread) {
            print_error("%s: allocation %ld: %s %s (%s, %s): %s\n", f->name, n, vp_status_name(st),
                        w->err.reason, w->err.op, w->err.key, w->err.message);
            wrong++;
        }
        if (w->err.status != st) {
            print_error("%s: allocation %ld: an error that says %d (%s): %s\n", f->name, n, w->err.status,
                        w->err.op, w->err.message);
            wrong++;
        }
        if (f->title) expect_nothing_visible(w);
        if (again && w->work) { /* all handles are there: they go on with what is kept */
            st = f->run(w);
            if (st < 0) fail_msg("%s: again after allocation %ld: %s", f->name, n, w->err.message);
        }
    }
    if (st >= 0) {
        if (w->answer != model->answer) fail_msg("%s: allocation %ld: another answer", f->name, n);
        if (f->title && !f->random) assert_same_title(model->sink, w->sink);
    }
    alarm(0);
    return left <= 0;
}

/* Every n at first, then fewer and fewer of them. */
static long next_round(long n)
{
    if (full_run()) return n + 1;
    return n < 50 ? n + 1 : n + n / 15 + n % 7;
}

static void try_flow(const flow *f)
{
    char folder[64] = "/tmp/vpt-memory-XXXXXX";
    world model = { .folder = NULL };
    unsigned threads = thread_count(), files, rounds = 0;
    const char *only = getenv("VODPIPE_FAULT_ONLY"); /* "publish", or "publish:2067": where to look closer */
    const char *from = only ? strchr(only, ':') : NULL;
    long n = 1, last = LONG_MAX;

    if (only) {
        size_t length = from ? (size_t)(from - only) : strlen(only);
        if (strlen(f->name) != length || strncmp(only, f->name, length) != 0) skip();
    }
    if (from) {
        n = strtol(from + 1, NULL, 10);
        last = n + 20;
    }

    wrong = 0;
    vp_error_init(&model.err);
    assert_end(VP_OK, open_world(&model), &model.err);
    assert_end(VP_OK, f->run(&model), &model.err);
    files = count_files();
    threads = thread_count_settled(threads);
    for (;; n = from ? n + 1 : next_round(n)) {
        world w = { .folder = NULL };
        bool hit;

        if (f->directory) {
            memcpy(folder + sizeof("/tmp/vpt-memory"), "XXXXXX", 6);
            assert_non_null(mkdtemp(folder));
            w.folder = folder;
        }
        hit = one_round(f, &w, &model, n, rounds % 4 == 0);
        close_world(&w);
        if (f->directory) nftw(folder, drop, 16, FTW_DEPTH | FTW_PHYS);
        if (thread_count_settled(threads) != threads)
            fail_msg("%s: allocation %ld: threads left", f->name, n);
        if (count_files() != files) fail_msg("%s: allocation %ld: files left", f->name, n);
        rounds++;
        if (!hit || n >= last) break;
    }
    print_message("%s: %u of %ld allocations\n", f->name, rounds, n);
    assert_true(n > 20);
    assert_int_equal(wrong, 0);
    close_world(&model);
}

static void each_flow(void **state)
{
    try_flow(*state);
}

/* A start that fails, of a host that does not ask why: who waits is told. */
static void start_unheard(void **state)
{
    const char *only = getenv("VODPIPE_FAULT_ONLY");
    vp_status st = VP_E_NOMEM;

    (void)state;
    if (only && strcmp(only, "start_unheard") != 0) skip();
    for (long n = 1; st < 0; n++) {
        world w = { .folder = NULL };
        vp_job *job = NULL;

        vp_error_init(&w.err);
        assert_end(VP_OK, open_world(&w), &w.err);
        assert_ok(vp_job_new_json(w.context, w.source, w.sink, w.work, NULL, 0, BOTH, &job, NULL));
        atomic_store(&vpi_alloc_fail_at, n);
        st = vp_job_start(job, NULL);
        atomic_store(&vpi_alloc_fail_at, 0);
        assert_true(st >= 0 || vp_job_wait(job, -1, &w.err) == st);
        if (st < 0) assert_int_equal(w.err.status, st);
        vp_job_unref(job);
        close_world(&w);
        assert_in_range(n, st < 0 ? 1 : 5, 20); /* two threads: a handle and a start each */
    }
}

int main(void)
{
    enum { FLOWS = sizeof(flows) / sizeof(flows[0]) };
    struct CMUnitTest tests[FLOWS + 1] = { [FLOWS] = cmocka_unit_test(start_unheard) };

    int rc = tiny_clip();

    if (rc) return clips_close(rc);
    signal(SIGALRM, too_long);
    json_set_alloc_funcs(json_alloc, free);
    for (size_t i = 0; i < FLOWS; i++) {
        tests[i].name = flows[i].name;
        tests[i].test_func = each_flow;
        tests[i].initial_state = (void *)(uintptr_t)&flows[i];
    }
    return clips_close(cmocka_run_group_tests_name("memory", tests, NULL, NULL));
}
