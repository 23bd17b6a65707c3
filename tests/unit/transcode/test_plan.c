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
    o.rate = VP_RATE_ABR;
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

/* Tasks of analysis come first; every video task needs all of them, and with muxed sound that too. */
static void test_two_passes(void **state)
{
    vp_transcode_options o = VP_TRANSCODE_OPTIONS_INIT;
    vp_plan *again = NULL;
    vp_bytes *json = NULL;
    vp_error err = VP_ERROR_INIT;
    vp_task_info info;
    (void)state;
    o.formats = VP_FORMAT_TS; /* two passes are the default */
    o.span_ms = 12000;
    vp_plan *plan = make_plan(60, true, 1, &o);
    uint32_t spans = (uint32_t)plan->span_count;
    assert_true(spans > 2 && plan->mux_audio);
    assert_int_equal(vp_plan_task_count(plan), 2 * spans + 1);
    vp_task_info_init(&info, sizeof(info));
    assert_int_equal(vp_plan_get_task(plan, 1, &info, NULL), VP_OK);
    assert_int_equal(info.kind, VP_TASK_ANALYSE);
    assert_string_equal(info.name, "analyse-0002");
    assert_int_equal(info.need_count, 0);
    assert_true(info.memory_bytes > 0 && info.cpu_us > 0 && info.end_us > info.start_us);
    assert_int_equal(vp_plan_get_task(plan, spans + 2, &info, NULL), VP_OK);
    assert_string_equal(info.name, "video-0002");
    assert_int_equal(info.need_count, spans + 1);
    assert_string_equal(vp_plan_get_need(plan, spans + 2, 0), "analyse-0001");
    assert_string_equal(vp_plan_get_need(plan, spans + 2, spans), "audio-0001");
    assert_null(vp_plan_get_need(plan, spans + 2, spans + 1));
    assert_null(vp_plan_get_need(plan, 0, 0));
    assert_int_equal(plan->rungs[0].enc.width, 2 * plan->analysis.width); /* 1280x720 */
    assert_int_equal(plan->rungs[0].enc.height, 2 * plan->analysis.height);
    assert_int_equal(plan->rungs[0].enc.pass, VPI_PASS_SECOND);
    assert_int_equal(vp_plan_json(plan, &json, &err), VP_OK);
    assert_int_equal(vp_plan_parse(vp_bytes_data(json), vp_bytes_size(json), &again, &err), VP_OK);
    assert_int_equal(again->analysis.pass, VPI_PASS_FIRST);
    assert_int_equal(again->analysis.crf_milli, plan->analysis.crf_milli);
    assert_int_equal(again->rungs[0].enc.pass, VPI_PASS_SECOND);
    assert_string_equal(vp_plan_hash(again), vp_plan_hash(plan));
    vp_bytes_unref(json);
    vp_plan_unref(again);
    vp_plan_unref(plan);
    plan = make_plan(60, false, 1, &o); /* nothing to analyse */
    assert_int_equal(vp_plan_task_count(plan), 1);
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

/* The head of an AC-3 (bsid 8) or E-AC-3 frame of 384 kbit/s at 48 kHz, 5.1. */
static void make_surround(vpi_track *t, bool eac3)
{
    static const uint8_t ac3[] = { 0x0b, 0x77, 0, 0, 0x1c, 0x40, 0xe1, 0, 0, 0, 0, 0 };
    static const uint8_t second[] = { 0x0b, 0x77, 0x02, 0xff, 0x3f, 0x87, 0xc0, 0, 0, 0, 0, 0 };
    t->codec = eac3 ? VPI_CODEC_EAC3 : VPI_CODEC_AC3;
    t->sample_rate = 48000;
    t->channels = 6;
    vpi_strlcpy(t->layout, "5.1(side)", sizeof(t->layout));
    memcpy(t->ac3_head, eac3 ? second : ac3, sizeof(ac3));
    t->ac3_size = sizeof(ac3);
}

static vp_plan *plan_of(vp_media *media, const vp_transcode_options *o)
{
    vp_plan *plan = NULL;
    vp_error err = VP_ERROR_INIT;
    if (vp_plan_new(context, media, NULL, o, &plan, &err) != VP_OK)
        fail_msg("%s %s", err.reason, err.message);
    return plan;
}

static void assert_survives(const vp_plan *plan)
{
    vp_plan *again = NULL;
    vp_bytes *text = json_of(plan), *second;
    assert_int_equal(vp_plan_parse(vp_bytes_data(text), vp_bytes_size(text), &again, NULL), VP_OK);
    second = json_of(again);
    assert_int_equal(vp_bytes_size(text), vp_bytes_size(second));
    assert_memory_equal(vp_bytes_data(text), vp_bytes_data(second), (size_t)vp_bytes_size(text));
    vp_bytes_unref(text);
    vp_bytes_unref(second);
    vp_plan_unref(again);
}

/* Stereo of all tracks, then surround; names, labels, defaults; what is passed through and what is encoded. */
static void test_surround(void **state)
{
    vp_transcode_options o = VP_TRANSCODE_OPTIONS_INIT;
    vp_media *media = make_media(20, true, 3); /* en, en, fr */
    vpi_track *t = media->m.tracks;
    (void)state;
    make_surround(&t[2], false);
    t[2].is_default = true;
    vp_plan *plan = plan_of(media, &o);
    assert_int_equal(plan->audio_count, 4);
    assert_string_equal(plan->audio[3].name, "en-5.1");
    assert_string_equal(plan->audio[3].group, "surround");
    assert_string_equal(plan->audio[3].label, "English 2"); /* as its stereo form */
    assert_true(plan->audio[3].is_default && plan->audio[1].is_default && !plan->audio[0].is_default);
    assert_int_equal(plan->audio[3].audio.stream, 2);
    /* others of the group could not be AC-3 */
    assert_int_equal(plan->audio[3].codec, VPI_CODEC_AAC);
    assert_int_equal(plan->audio[3].audio.channels, 6);
    assert_int_equal(plan->audio[3].audio.kbps, 384);
    assert_string_equal(plan->audio[3].codecs, "mp4a.40.2");
    assert_survives(plan);
    vp_plan_unref(plan);

    make_surround(&t[1], false);
    make_surround(&t[3], false);
    t[1].start = 441; /* 10 ms late: 480 samples */
    plan = plan_of(media, &o);
    assert_int_equal(plan->audio_count, 6);
    for (size_t i = 3; i < 6; i++) {
        assert_int_equal(plan->audio[i].codec, VPI_CODEC_AC3);
        assert_string_equal(plan->audio[i].codecs, "ac-3");
        assert_int_equal(plan->audio[i].audio.kbps, 384);
        assert_int_equal(plan->audio[i].phase, i == 3 ? 480 : 0);
        assert_int_equal(plan->audio[i].audio.frames, 625);
        assert_true(plan->audio[i].silence.size > 1000);
    }
    assert_string_equal(plan->audio[4].name, "en-5.1-2");
    assert_string_equal(plan->audio[5].name, "fr-5.1");
    /* segments begin at the frame nearest to the picture's: 6 s are frame 187.5 less 480 samples */
    assert_int_equal(vpi_plan_audio_border(plan, 3, 0), 0);
    assert_int_equal(vpi_plan_audio_border(plan, 3, 1), 187);
    assert_int_equal(vpi_plan_audio_border(plan, 4, 1), 188);
    assert_int_equal(vpi_plan_audio_border(plan, 3, vpi_grid_segments(&plan->grid)), 625);
    assert_survives(plan);
    vp_plan_unref(plan);

    o.formats = VP_FORMAT_TS;
    plan = plan_of(media, &o);
    assert_int_equal(plan->audio[3].codec, VPI_CODEC_AC3);
    assert_false(plan->mux_audio);
    vp_plan_unref(plan);
    o.formats = VP_FORMAT_CMAF;
    make_surround(&t[2], true); /* not one codec */
    plan = plan_of(media, &o);
    assert_int_equal(plan->audio[4].codec, VPI_CODEC_AAC);
    vp_plan_unref(plan);
    make_surround(&t[1], true);
    make_surround(&t[3], true);
    plan = plan_of(media, &o);
    assert_int_equal(plan->audio[4].codec, VPI_CODEC_EAC3);
    assert_string_equal(plan->audio[4].codecs, "ec-3");
    assert_survives(plan);
    vp_plan_unref(plan);
    t[2].ac3_size = 0; /* the scan found frames that differ */
    plan = plan_of(media, &o);
    assert_int_equal(plan->audio[4].codec, VPI_CODEC_AAC);
    vp_plan_unref(plan);
    t[1].channels = t[2].channels = t[3].channels = 2;
    plan = plan_of(media, &o);
    assert_int_equal(plan->audio_count, 3);
    vp_plan_unref(plan);
    vp_media_unref(media);
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
    BAD(o.timeline = 3);
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
        cmocka_unit_test(test_two_passes), cmocka_unit_test(test_surround), cmocka_unit_test(test_identity),
        cmocka_unit_test(test_tampered),   cmocka_unit_test(test_refusals),
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
