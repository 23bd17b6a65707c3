/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the folder answers where libav* or x264 cannot be loaded: every function that needs no handle of it, so that no
 * call goes through the empty table. tests/abi/lint.py sees to it that none is forgotten.
 *
 *   test_unloaded missing          libx264 is not there
 *   test_unloaded symbol           libswscale is there, its functions are not
 *   test_unloaded old LIBRARY      LIBRARY is libavcodec, but of an older minor version
 */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <vodpipe/probe.h>

#include "base/build.h"
#include "media/audio.h"
#include "media/demux.h"
#include "media/measure.h"
#include "media/video.h"

static const char *mode = "", *old_library = "";
static unsigned asked;
static vp_error err;

/* The program's own, before the C library's. */
void *dlopen(const char *name, int flags)
{
    static void *(*real)(const char *, int);

    if (!real) *(void **)&real = dlsym(RTLD_NEXT, "dlopen");
    if (!name || (strncmp(name, "libav", 5) && strncmp(name, "libsw", 5) && strncmp(name, "libx264", 7)))
        return real(name, flags);
    asked++;
    if (!strcmp(mode, "missing") && strstr(name, "x264")) name = "libx264-is-not-here.so.1";
    if (!strcmp(mode, "symbol") && strstr(name, "swscale")) name = "libm.so.6";
    if (!strcmp(mode, "old") && strstr(name, "avcodec")) name = old_library;
    return real(name, flags);
}

/* What is at fault is named. */
static void refused_at(vp_status st, const char *call, int line)
{
    const char *library = !strcmp(mode, "missing")  ? "libx264.so."
                          : !strcmp(mode, "symbol") ? "libswscale.so."
                                                    : "libavcodec.so.";

    if (st != VP_E_UNSUPPORTED || strcmp(err.reason, "FEATURE_DISABLED") || !strstr(err.message, library)) {
        print_error("%s: %d %s %s\n", call, st, err.reason, err.message);
        _fail(__FILE__, line);
    }
    vp_error_init(&err);
}
#define refused(call) refused_at((call), #call, __LINE__)

static void test_reading(void **state)
{
    vp_context *context = NULL;
    vp_source *source = NULL;
    vp_media *media = NULL;
    vp_probe_options full = VP_PROBE_OPTIONS_INIT;
    vpi_demux *demux = NULL;
    vpi_packet packet = { 0 }, other = { 0 };
    uint64_t bad = 1;

    (void)state;
    full.full = 1;
    assert_int_equal(vp_context_new(NULL, &context, &err), VP_OK);
    assert_int_equal(vp_source_memory(context, "x", 1, &source, &err), VP_OK);
    vp_libav_log_redirect(context);
    assert_int_equal(asked, 0); /* up to here nothing has needed media */
    vpi_packet_move(&packet, &other);
    vpi_packet_dispose(&packet);
    assert_null(vpi_demux_close(NULL));

    refused(vpi_media_load(&err));
    refused(vp_probe(context, source, NULL, NULL, &media, &err));
    refused(vp_probe(context, source, &full, NULL, &media, &err));
    refused(vpi_scan(context, source, NULL, NULL, NULL, NULL, &media, &err));
    refused(vpi_demux_open(context, source, NULL, NULL, &demux, &err));
    refused(vpi_measure_pictures(context, source, -1, NULL, NULL, NULL, NULL, &bad, &err));
    assert_null(media);
    assert_null(demux);
    assert_int_equal(bad, 0);
    vpi_packet_move(&packet, &other);
    vpi_packet_dispose(&packet);
    vp_libav_log_redirect(NULL);
    vp_source_unref(source);
    vp_context_unref(context);
}

static void test_coding(void **state)
{
    vp_context *context = NULL;
    vp_source *source = NULL;
    vpi_video_reader_options v = { .width = 64, .height = 64, .decoder_threads = 1 };
    vpi_h264enc_options h = { .width = 64, .height = 64, .fps_num = 25, .fps_den = 1, .timebase_num = 1 };
    vpi_audio_options a = { .sample_rate = 48000, .channels = 2, .kbps = 128 };
    vpi_audio_copy_options c = { .sample_rate = 48000, .silence_size = 1 };
    vpi_ac3 ac3 = { .sample_rate = 48000 };
    vpi_video_reader *reader = NULL;
    vpi_scaler *scaler = NULL;
    vpi_h264enc *encoder = NULL;
    vpi_audio *audio = NULL;
    vpi_audio_copy *copy = NULL;
    vpi_ear *ear = NULL;
    vpi_buf out = { 0 };
    uint8_t asc[16];
    size_t size = 1;

    (void)state;
    h.timebase_den = 25;
    strcpy(h.preset, "ultrafast");
    strcpy(h.profile, "high");
    h.crf_milli = 23000;
    assert_int_equal(vp_context_new(NULL, &context, &err), VP_OK);
    assert_int_equal(vp_source_memory(context, "x", 1, &source, &err), VP_OK);
    refused(vpi_video_reader_open(context, source, &v, NULL, &reader, &err));
    refused(vpi_scaler_new(64, 64, 32, 32, &scaler, &err));
    refused(vpi_scaler_new(64, 64, 64, 64, &scaler, &err));
    refused(vpi_h264enc_new(context, &h, &encoder, &err));
    refused(vpi_audio_open(context, source, &a, NULL, &audio, &err));
    a.origin = INT64_MIN;
    refused(vpi_audio_open(context, source, &a, NULL, &audio, &err));
    refused(vpi_audio_asc(48000, 2, 128, asc, &size, &err));
    refused(vpi_audio_copy_open(context, source, &c, NULL, &copy, &err));
    refused(vpi_ac3_silence(&ac3, &out, &err));
    refused(vpi_ear_new(context, NULL, NULL, NULL, &ear, &err));
    assert_true(!reader && !scaler && !encoder && !audio && !copy && !ear && !size);
    assert_true(vpi_h264enc_memory(&h) > 64 * 64);
    assert_true(vpi_frame_memory(64, 64) > 64 * 64);
    assert_null(vpi_video_reader_close(NULL));
    assert_null(vpi_scaler_free(NULL));
    assert_null(vpi_h264enc_free(NULL));
    assert_null(vpi_audio_close(NULL));
    assert_null(vpi_audio_copy_close(NULL));
    assert_null(vpi_ear_free(NULL));
    assert_null(vpi_frame_unref(NULL));
    vp_source_unref(source);
    vp_context_unref(context);
}

static void test_build(void **state)
{
    (void)state;
    assert_string_equal(vpi_media_build_info(), "media unavailable\n");
    assert_true(!strncmp(vpi_media_license(), "GPL-", 4));
    assert_int_equal(vpi_media_feature("media"), 0);
    assert_int_equal(vpi_media_feature("h264"), 0);
    assert_true(asked > 0 && asked <= 7); /* once each, in all of these tests */
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_reading), cmocka_unit_test(test_coding),
                                        cmocka_unit_test(test_build) };

    if (argc < 2) return 2;
    mode = argv[1];
    if (argc > 2) old_library = argv[2];
    vp_error_init(&err);
    return cmocka_run_group_tests_name("media/unloaded", tests, NULL, NULL);
}
