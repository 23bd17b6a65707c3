/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Settings from structs and from JSON. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "job/job_int.h"

static vp_status load(const char *json, vpi_settings *s, vp_error *err)
{
    vp_job_options o = VP_JOB_OPTIONS_INIT;
    vp_error_init(err);
    memset(s, 0, sizeof(*s));
    o.settings_json = json;
    return vpi_settings_load(s, &o, err);
}

static void test_all_fields(void **state)
{
    vpi_settings s;
    vp_error err;
    (void)state;
    assert_int_equal(
        load("{\"format\":\"both\",\"ladder\":\"720p,360p\",\"segment\":4,\"gop\":1.5,\"single_file\":false,"
             "\"preset\":\"faster\",\"rate\":\"crf\",\"crf\":21.5,\"audio_bitrate\":96,\"audio\":\"en\","
             "\"max_fps\":30,\"prefix\":\"none\",\"player\":true,\"prune\":true,\"force\":true}",
             &s, &err),
        VP_OK);
    assert_int_equal(s.transcode.formats, VP_FORMAT_CMAF | VP_FORMAT_TS);
    assert_string_equal(s.ladder_list, "720p,360p");
    assert_int_equal(s.transcode.segment_ms, 4000);
    assert_int_equal(s.transcode.gop_ms, 1500);
    assert_string_equal(s.transcode.preset, "faster");
    assert_int_equal(s.transcode.rate, VP_RATE_CRF);
    assert_int_equal(s.transcode.crf_milli, 21500);
    assert_int_equal(s.transcode.audio_kbps, 96);
    assert_string_equal(s.transcode.audio, "en");
    assert_int_equal(s.transcode.max_fps, 30);
    assert_string_equal(s.transcode.prefix, "none");
    assert_true(s.player && s.prune && s.force);
    vpi_settings_dispose(&s);
    assert_int_equal(load("{\"ladder\":{\"rungs\":[{\"name\":\"a\",\"height\":100,\"kbps\":5}]}}", &s, &err),
                     VP_OK);
    assert_non_null(strstr(s.ladder_document, "\"rungs\""));
    vpi_settings_dispose(&s);
    assert_int_equal(load(NULL, &s, &err), VP_OK);
    assert_null(s.transcode.preset);
    vpi_settings_dispose(&s);
}

/* JSON goes over the structs, field by field. */
static void test_over_structs(void **state)
{
    vp_job_options o = VP_JOB_OPTIONS_INIT;
    vp_transcode_options t = VP_TRANSCODE_OPTIONS_INIT;
    vpi_settings s = { 0 };
    (void)state;
    t.segment_ms = 8000;
    t.preset = "slow";
    o.transcode = &t;
    o.player = 1;
    o.settings_json = "{\"preset\":\"fast\"}";
    assert_int_equal(vpi_settings_load(&s, &o, NULL), VP_OK);
    assert_int_equal(s.transcode.segment_ms, 8000);
    assert_string_equal(s.transcode.preset, "fast");
    assert_true(s.player);
    vpi_settings_dispose(&s);
}

static void test_refused(void **state)
{
    static const struct {
        const char *json, *names;
    } rows[] = {
        { "{\"segmnet\":6}", "segmnet" },
        { "{\"segment\":\"6\"}", "segment" },
        { "{\"segment\":-1}", "segment" },
        { "{\"format\":\"hls\"}", "format" },
        { "{\"format\":1}", "format" },
        { "{\"crf\":99}", "crf" },
        { "{\"rate\":\"3pass\"}", "rate" },
        { "{\"player\":1}", "player" },
        { "{\"max_fps\":0.5}", "max_fps" },
        { "{\"ladder\":3}", "ladder" },
        { "[]", "settings" },
        { "{", "settings" },
        { "{\"prefix\":null}", "prefix" },
        { "{\"audio_bitrate\":100000}", "audio_bitrate" },
    };
    (void)state;
    for (size_t i = 0; i < VPI_COUNT(rows); i++) {
        vpi_settings s;
        vp_error err;
        assert_int_equal(load(rows[i].json, &s, &err), VP_E_ARG);
        assert_non_null(strstr(err.message, rows[i].names));
        vpi_settings_dispose(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_all_fields),
                                        cmocka_unit_test(test_over_structs), cmocka_unit_test(test_refused) };
    return cmocka_run_group_tests_name("job/settings", tests, NULL, NULL);
}
