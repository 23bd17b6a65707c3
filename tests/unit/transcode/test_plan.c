/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A plan is a complete value: written, read and hashed. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/build.h"
#include "transcode/plan_int.h"

static vp_context *context;

static vp_media *make_media(double seconds, bool video, unsigned audio)
{
    static const char *const languages[] = { "en", "en", "fr", "und" };
    vp_media *media = vpi_media_new();
    assert_non_null(media);
    vpi_media *m = &media->m;
    m->tracks = vpi_calloc(5, sizeof(*m->tracks));
    assert_non_null(m->tracks);
    m->full = true;
    m->complete = 1;
    m->seekable = true;
    m->size = 1000000;
    m->duration_us = (int64_t)(seconds * 1e6);
    memset(m->fingerprint, 7, sizeof(m->fingerprint));
    memset(m->quick, 8, sizeof(m->quick));
    if (video) {
        vpi_track *t = &m->tracks[m->track_count++];
        t->kind = VPI_KIND_VIDEO;
        t->codec = VPI_CODEC_H264;
        t->tb = (vpi_rational){ 1, 12800 };
        t->has_times = true;
        t->end = (int64_t)(seconds * 12800);
        t->width = t->display_width = 1280;
        t->height = t->display_height = 720;
        t->sar_num = t->sar_den = 1;
        t->frame_rate = (vpi_rational){ 25, 1 };
        t->bit_depth = 8;
        t->cicp_primaries = t->cicp_transfer = t->cicp_matrix = 2;
        vpi_strlcpy(t->hdr, "none", sizeof(t->hdr));
    }
    for (unsigned i = 0; i < audio; i++) {
        vpi_track *t = &m->tracks[m->track_count];
        t->id = (int32_t)m->track_count++;
        t->kind = VPI_KIND_AUDIO;
        t->codec = VPI_CODEC_AAC;
        t->tb = (vpi_rational){ 1, 44100 };
        t->sample_rate = i ? 96000 : 44100;
        t->channels = 2;
        t->has_times = true;
        t->end = (int64_t)(seconds * 44100);
        vpi_strlcpy(t->language, languages[i], sizeof(t->language));
    }
    return media;
}

static vp_plan *make_plan(double seconds, bool video, unsigned audio, const vp_transcode_options *o)
{
    vp_plan *plan = NULL;
    vp_error err = VP_ERROR_INIT;
    vp_media *media = make_media(seconds, video, audio);
    vp_status st = vp_plan_new(context, media, NULL, o, &plan, &err);
    if (st != VP_OK) fprintf(stderr, "%s: %s\n", err.reason, err.message);
    assert_int_equal(st, VP_OK);
    vp_media_unref(media);
    return plan;
}

static vp_bytes *json_of(const vp_plan *plan)
{
    vp_bytes *text = NULL;
    assert_int_equal(vp_plan_json(plan, &text, NULL), VP_OK);
    return text;
}

static void test_round_trip(void **state)
{
    vp_transcode_options o = VP_TRANSCODE_OPTIONS_INIT;
    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        vp_plan *again = NULL;
        vp_error err = VP_ERROR_INIT;
        o.formats = kind == 1 ? VP_FORMAT_TS : VP_FORMAT_CMAF;
        o.single_file = kind == 2;
        vp_plan *plan = make_plan(100, kind != 3, kind == 0 ? 3 : 1, &o);
        vp_bytes *text = json_of(plan);
        assert_int_equal(vp_plan_parse(vp_bytes_data(text), vp_bytes_size(text), &again, &err), VP_OK);
        vp_bytes *twice = json_of(again);
        assert_int_equal(vp_bytes_size(text), vp_bytes_size(twice));
        assert_memory_equal(vp_bytes_data(text), vp_bytes_data(twice), vp_bytes_size(text));
        assert_string_equal(vp_plan_hash(plan), vp_plan_hash(again));
        assert_int_equal(vp_plan_task_count(plan), vp_plan_task_count(again));
        vp_bytes_unref(text);
        vp_bytes_unref(twice);
        vp_plan_unref(plan);
        vp_plan_unref(again);
    }
}

static void test_tasks(void **state)
{
    vp_transcode_options o = VP_TRANSCODE_OPTIONS_INIT;
    vp_task_info info;
    uint64_t frames = 0;
    int64_t at = 0;
    (void)state;
    o.formats = VP_FORMAT_CMAF | VP_FORMAT_TS;
    vp_plan *plan = make_plan(100, true, 1, &o);
    assert_string_equal(vp_plan_get_need(plan, 1, 0), "audio-0001"); /* TS muxes it */
    assert_null(vp_plan_get_need(plan, 0, 0));
    for (uint32_t i = 1; i < vp_plan_task_count(plan); i++) {
        vp_task_info_init(&info, sizeof(info));
        assert_int_equal(vp_plan_get_task(plan, i, &info, NULL), VP_OK);
        assert_int_equal(info.kind, VP_TASK_VIDEO);
        assert_int_equal(info.start_us, at);
        assert_true(info.end_us - info.start_us >= 4000000);
        assert_true(info.memory_bytes > 1000000 && info.cpu_us > 0 && info.threads > 0);
        at = info.end_us;
        frames += info.frames;
    }
    assert_int_equal(at, 100000000);
    assert_int_equal(frames, 2500);
    assert_int_equal(vp_plan_get_task(plan, vp_plan_task_count(plan), &info, NULL), VP_E_ARG);
    vp_plan_unref(plan);
}

static void test_names(void **state)
{
    vp_transcode_options o = VP_TRANSCODE_OPTIONS_INIT;
    (void)state;
    vp_plan *plan = make_plan(20, true, 4, &o);
    assert_string_equal(plan->audio[0].name, "en-stereo");
    assert_string_equal(plan->audio[1].name, "en-stereo-2");
    assert_string_equal(plan->audio[1].label, "English 2");
    assert_string_equal(plan->audio[2].name, "fr-stereo");
    assert_string_equal(plan->audio[3].name, "und-stereo");
    assert_int_equal(plan->audio[0].audio.sample_rate, 44100);
    assert_int_equal(plan->audio[1].audio.sample_rate, 48000);
    assert_string_equal(plan->rungs[0].name, "720p");
    assert_int_equal(strlen(vp_plan_version(plan)), 12);
    assert_string_equal(vp_plan_prefix(plan), vp_plan_version(plan));
    vp_plan_unref(plan);
    o.audio = "fr";
    o.prefix = "none";
    plan = make_plan(20, true, 4, &o);
    assert_int_equal(plan->audio_count, 1);
    assert_string_equal(vp_plan_prefix(plan), "");
    vp_plan_unref(plan);
}

/* Other settings are another request and another version; what does not decide bytes is in neither. */
static void test_identity(void **state)
{
    vp_transcode_options o = VP_TRANSCODE_OPTIONS_INIT;
    (void)state;
    vp_plan *a = make_plan(20, true, 1, &o), *b = make_plan(20, true, 1, &o);
    assert_string_equal(vp_plan_hash(a), vp_plan_hash(b));
    assert_string_equal(vp_plan_request(a), vp_plan_request(b));
    vp_plan_unref(b);
    o.audio_kbps = 96;
    b = make_plan(20, true, 1, &o);
    assert_string_not_equal(vp_plan_hash(a), vp_plan_hash(b));
    assert_string_not_equal(vp_plan_request(a), vp_plan_request(b));
    vp_plan_unref(b);
    vp_plan_unref(a);
}

/* One changed character is never read as another plan. */
static void test_tampered(void **state)
{
    vp_transcode_options o = VP_TRANSCODE_OPTIONS_INIT;
    uint32_t seed = 1;
    unsigned mismatch = 0;
    (void)state;
    vp_plan *plan = make_plan(20, true, 1, &o);
    vp_bytes *text = json_of(plan);
    size_t size = (size_t)vp_bytes_size(text);
    for (int i = 0; i < 3000; i++) {
        vp_plan *again = NULL;
        vp_error err = VP_ERROR_INIT;
        char *copy = malloc(size);
        assert_non_null(copy);
        memcpy(copy, vp_bytes_data(text), size);
        seed = seed * 1664525u + 1013904223u;
        size_t at = seed % size;
        char was = copy[at];
        copy[at] = (char)(' ' + (seed >> 20) % 95);
        vp_status st = vp_plan_parse(copy, size, &again, &err);
        if (st >= 0) { /* request, prefix and white space are not under the hash */
            assert_string_equal(vp_plan_hash(plan), vp_plan_hash(again));
        } else {
            assert_true(st == VP_E_DATA || st == VP_E_CONFLICT || st == VP_E_VERSION);
            assert_true(err.reason[0] && err.message[0]);
            if (st == VP_E_CONFLICT) mismatch++;
        }
        (void)was;
        vp_plan_unref(again);
        free(copy);
    }
    assert_true(mismatch > 100);
    for (size_t n = 0; n < size; n += 7) {
        vp_plan *again = NULL;
        if (n + 3 < size) assert_true(vp_plan_parse(vp_bytes_data(text), n, &again, NULL) < 0);
        assert_null(again);
    }
    vp_bytes_unref(text);
    vp_plan_unref(plan);
}

static void expect_arg(const vp_transcode_options *o)
{
    vp_plan *plan = NULL;
    vp_error err = VP_ERROR_INIT;
    vp_media *media = make_media(20, true, 1);
    assert_int_equal(vp_plan_new(context, media, NULL, o, &plan, &err), VP_E_ARG);
    assert_null(plan);
    assert_true(err.message[0]);
    vp_media_unref(media);
}

static void test_refusals(void **state)
{
    (void)state;
#define BAD(...)                                                                                             \
    do {                                                                                                     \
        vp_transcode_options o = VP_TRANSCODE_OPTIONS_INIT;                                                  \
        __VA_ARGS__;                                                                                         \
        expect_arg(&o);                                                                                      \
    } while (0)
    BAD(o.formats = 8);
    BAD(o.segment_ms = 100);
    BAD(o.segment_ms = 5000); /* no multiple of 2 s */
    BAD(o.gop_ms = 100);
    BAD(o.single_file = 1, o.formats = VP_FORMAT_TS);
    BAD(o.rate = 9);
    BAD(o.crf_milli = 60000);
    BAD(o.audio_kbps = 8);
    BAD(o.max_fps = 1000);
    BAD(o.prefix = "../x");
    BAD(o.prefix = ".hidden");
    BAD(o.preset = "no-such-preset");
    vp_plan *plan = NULL;
    vp_error err = VP_ERROR_INIT;
    vp_media *media = make_media(20, false, 1);
    vp_transcode_options o = VP_TRANSCODE_OPTIONS_INIT;
    o.audio = "de";
    assert_int_equal(vp_plan_new(context, media, NULL, &o, &plan, &err), VP_E_DATA);
    assert_string_equal(err.reason, "INPUT_NO_VIDEO_OR_AUDIO");
    media->m.full = false;
    assert_int_equal(vp_plan_new(context, media, NULL, NULL, &plan, &err), VP_E_ARG);
    vp_media_unref(media);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_tasks),    cmocka_unit_test(test_names),
        cmocka_unit_test(test_identity),   cmocka_unit_test(test_tampered), cmocka_unit_test(test_refusals),
    };
    if (!vpi_media_feature("h264")) {
        puts("skipped: built without media");
        return 77;
    }
    if (vp_context_new(NULL, &context, NULL) != VP_OK) return 1;
    int failed = cmocka_run_group_tests_name("transcode/plan", tests, NULL, NULL);
    vp_context_unref(context);
    return failed;
}
