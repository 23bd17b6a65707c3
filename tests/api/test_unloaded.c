/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A host on a machine where FFmpeg cannot be loaded: what needs media answers UNSUPPORTED and says which library is
 * wanted, everything else works. A child process, where it can be loaded, makes the plan whose tasks are refused.
 */
#include "api/host.h"

#include <sys/wait.h>

static bool deny = true;
static char plan_path[] = "/tmp/vpt-plan-XXXXXX";

/* The program's own, before the C library's. */
void *dlopen(const char *name, int flags)
{
    static void *(*real)(const char *, int);

    if (!real) *(void **)&real = dlsym(RTLD_NEXT, "dlopen");
    return real(deny && name && strncmp(name, "libavcodec", 10) == 0 ? "libavcodec-is-not-here.so.1" : name,
                flags);
}

static void refused_at(vp_status st, vp_error *err, const char *call, int line)
{
    if (st != VP_E_UNSUPPORTED || err->status != st || strcmp(err->reason, "FEATURE_DISABLED") ||
        !strstr(err->message, "libavcodec.so.")) {
        print_error("%s: %s %s: %s\n", call, vp_status_name(st), err->reason, err->message);
        _fail(__FILE__, line);
    }
    vp_error_init(err);
}
#define refused(call) refused_at((call), &r->err, #call, __LINE__)

static void version(void **state)
{
    (void)state;
    assert_int_equal(vp_feature("media"), 0);
    assert_int_equal(vp_feature("h264"), 0);
    assert_non_null(strstr(vp_build_info(), "\nmedia unavailable\n"));
    assert_true(strncmp(vp_build_license(), "GPL-", 4) == 0);
}

static void probe(void **state)
{
    room *r = *state;
    vp_probe_options full = VP_PROBE_OPTIONS_INIT;
    vp_media *media = NULL;

    full.full = 1;
    vp_libav_log_redirect(r->context);
    refused(vp_probe(r->context, r->source, NULL, NULL, &media, &r->err));
    refused(vp_probe(r->context, r->source, &full, NULL, &media, &r->err));
    vp_libav_log_redirect(NULL);
    assert_null(media);
}

static void jobs(void **state)
{
    room *r = *state;
    vp_job_options o = VP_JOB_OPTIONS_INIT;
    const char *name = "clip";

    assert_ok(vp_job_new_json(r->context, r->source, r->sink, r->work, NULL, 0, QUICK, &r->job, &r->err));
    assert_ok(vp_job_start(r->job, &r->err));
    refused(vp_job_wait(r->job, -1, &r->err));
    r->job = vp_job_unref(r->job);
    o.sink = r->sink;
    o.work = r->work;
    assert_ok(vp_job_new_package(r->context, &o, &r->source, &name, 1, &r->job, &r->err));
    assert_ok(vp_job_start(r->job, &r->err));
    refused(vp_job_wait(r->job, -1, &r->err));
    assert_int_equal(sink_count(r->sink), 0);
}

static void tasks(void **state)
{
    room *r = *state;
    clip json = { 0 };
    vp_plan *plan = NULL;
    vp_task_info info;

    vp_task_info_init(&info, sizeof(info));
    assert_true(clip_load(plan_path, &json));
    assert_end(VP_OK, vp_plan_parse(json.data, json.size, &plan, &r->err), &r->err);
    free(json.data);
    assert_ok(vp_plan_get_task(plan, 0, &info, &r->err));
    refused(vp_task_run(r->context, plan, info.name, r->source, r->work, r->sink, NULL, NULL, &r->err));
    vp_plan_unref(plan);
}

static void verify(void **state)
{
    room *r = *state;
    vp_verify_options o = VP_VERIFY_OPTIONS_INIT;
    vp_report *report = NULL;

    o.decode = 1;
    refused(vp_verify(r->context, r->sink, &o, NULL, &report, &r->err));
    o.source = r->source;
    refused(vp_verify(r->context, r->sink, &o, NULL, &report, &r->err));
    o = (vp_verify_options)
        VP_VERIFY_OPTIONS_INIT; /* without decoding it gets as far as seeing that nothing is there */
    assert_status(VP_E_IO, vp_verify(r->context, r->sink, &o, NULL, &report, &r->err));
    assert_null(report);
}

/* In the child: 0, or what the test returns. */
static int make_plan(int fd)
{
    void *state = NULL;
    vp_probe_options full = VP_PROBE_OPTIONS_INIT;
    vp_media *media = NULL;
    vp_plan *plan = NULL;
    vp_bytes *json = NULL;
    int rc = clips_open();

    if (rc) return rc;
    if (room_open(&state)) return 1;
    room *r = state;
    full.full = 1;
    bool ok = vp_probe(r->context, r->source, &full, NULL, &media, &r->err) == VP_OK &&
              vp_plan_new(r->context, media, NULL, NULL, &plan, &r->err) == VP_OK &&
              vp_plan_json(plan, &json, &r->err) == VP_OK &&
              write(fd, vp_bytes_data(json), (size_t)vp_bytes_size(json)) == (ssize_t)vp_bytes_size(json);
    if (!ok) fprintf(stderr, "no plan: %s %s\n", r->err.reason, r->err.message);
    vp_bytes_unref(json);
    vp_plan_unref(plan);
    vp_media_unref(media);
    room_close(&state);
    return clips_close(!ok);
}

static int open_with_source(void **state)
{
    static const char nothing[] = "no video at all";

    if (room_open(state)) return -1;
    room *r = *state;
    return vp_source_memory(r->context, nothing, sizeof(nothing), &r->source, NULL) == VP_OK ? 0 : -1;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_with_source, room_close)

int main(void)
{
    const struct CMUnitTest tests[] = { TEST(probe), TEST(jobs), TEST(tasks), TEST(verify), TEST(version) };
    const char *soname = getenv("VODPIPE_AVUTIL");
    int fd, status = 1, rc = 1;

    if (!soname || !*soname) {
        fprintf(stderr, "skipped: FFmpeg is linked or left out\n");
        return SKIPPED;
    }
    if ((fd = mkstemp(plan_path)) < 0) return 1;
    pid_t child = fork();
    if (child == 0) {
        deny = false;
        exit(make_plan(fd));
    }
    if (child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status)) {
        rc = WEXITSTATUS(status);
        if (!rc) rc = cmocka_run_group_tests_name("unloaded", tests, NULL, NULL);
    }
    close(fd);
    unlink(plan_path);
    return rc;
}
