/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a library without media answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <vodpipe/probe.h>

#include "media/audio.h"
#include "media/demux.h"
#include "media/video.h"

static void disabled(vp_status st, vp_error *err)
{
    assert_int_equal(st, VP_E_UNSUPPORTED);
    assert_string_equal(err->reason, "FEATURE_DISABLED");
    vp_error_init(err);
}

static void test_answers(void **state)
{
    vp_error err = VP_ERROR_INIT;
    vp_probe_options a = VP_PROBE_OPTIONS_INIT, b;
    vp_context *context = NULL;
    vp_source *source = NULL;
    vp_media *media = NULL;
    vpi_demux *demux = NULL;
    vpi_packet packet = { 0 };
    vpi_scaler *scaler = NULL;
    vpi_audio *audio = NULL;
    uint8_t asc[16];
    size_t size;

    (void)state;
    vp_probe_options_init(&b, sizeof(b));
    assert_memory_equal(&a, &b, sizeof(a));
    assert_int_equal(vp_context_new(NULL, &context, &err), VP_OK);
    assert_int_equal(vp_source_memory(context, "x", 1, &source, &err), VP_OK);
    disabled(vp_probe(context, source, NULL, NULL, &media, &err), &err);
    disabled(vpi_scan(context, source, NULL, NULL, NULL, NULL, &media, &err), &err);
    disabled(vpi_demux_open(context, source, NULL, NULL, &demux, &err), &err);
    disabled(vpi_scaler_new(64, 64, 32, 32, &scaler, &err), &err);
    disabled(vpi_audio_open(context, source, NULL, NULL, &audio, &err), &err);
    disabled(vpi_audio_asc(48000, 2, 128, asc, &size, &err), &err);
    assert_null(media);
    assert_null(demux);
    vpi_packet_dispose(&packet);
    assert_null(vpi_demux_close(NULL));
    assert_null(vpi_frame_unref(NULL));
    assert_int_equal(vp_feature("media"), 0);
    vp_source_unref(source);
    vp_context_unref(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_answers) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
