/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * FFmpeg and libx264 come when they are first needed, not before: by one of several threads at once, and with the log
 * where the host wanted it before they were there.
 */
#include "api/host.h"

#include <pthread.h>

#define THREADS 6

static bool loaded(void)
{
    char line[1024];
    bool found = false;
    FILE *f = fopen("/proc/self/maps", "r");

    assert_non_null(f);
    while (fgets(line, sizeof(line), f))
        if (strstr(line, "/libavcodec.so") || strstr(line, "/libx264.so")) found = true;
    fclose(f);
    return found;
}

static unsigned lines; /* of libav; one thread at a time writes in this test */

static void count_line(void *user, int32_t level, const char *module, const char *line)
{
    (void)user;
    (void)level;
    (void)line;
    if (!strcmp(module, "libav")) lines++;
}

static void *look(void *user)
{
    room *r = user;
    vp_error err = VP_ERROR_INIT;
    vp_source *source = NULL;
    vp_media *media = NULL;

    if (vp_source_memory(r->context, "no video at all", 15, &source, &err) != VP_OK) return NULL;
    vp_status st = vp_probe(r->context, source, NULL, NULL, &media, &err);
    vp_source_unref(source);
    return st == VP_E_DATA && !strcmp(err.reason, "INPUT_UNRECOGNISED") ? "as it should be" : NULL;
}

static void first_use(void **state)
{
    room *r = *state;
    vp_context_options o = VP_CONTEXT_OPTIONS_INIT;
    vp_context *listener = NULL;
    pthread_t threads[THREADS];
    void *answers[THREADS];

    o.log = count_line;
    o.log_level = VP_LOG_DEBUG;
    assert_ok(vp_context_new(&o, &listener, &r->err));
    assert_false(loaded());
    assert_int_equal(sink_count(r->sink), 0);
    assert_int_equal(store_count(r->work), 0);
    vp_libav_log_redirect(listener);
    assert_true(vp_feature("s3") >= 0 && vp_feature("crypt") >= 0);
    assert_false(loaded());

    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, look, r), 0);
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_join(threads[i], &answers[i]), 0);
    for (int i = 0; i < THREADS; i++) assert_non_null(answers[i]);
    assert_true(loaded());
    assert_int_equal(vp_feature("media"), 1);

    void (*say)(void *, int, const char *, ...) = NULL;
    *(void **)&say = av_symbol("av_log");
    assert_non_null(say);
    lines = 0;
    say(NULL, 16, "x\n");
    assert_int_equal(lines, 1);
    vp_libav_log_redirect(NULL);
    say(NULL, 48, "y\n"); /* too fine for FFmpeg's default, which has it again */
    assert_int_equal(lines, 1);
    vp_context_unref(listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test_setup_teardown(first_use, room_open, room_close) };
    const char *soname = getenv("VODPIPE_AVUTIL");

    if (!soname || !*soname) {
        fprintf(stderr, "skipped: FFmpeg is linked or left out\n");
        return SKIPPED;
    }
    return cmocka_run_group_tests_name("load", tests, NULL, NULL);
}
