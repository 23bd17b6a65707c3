/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The measures behind --decode and --source, the XML reader and WebVTT, without any media. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "verify/mpd_int.h"
#include "verify/sound_int.h"

#define PI 3.14159265358979323846
enum { RATE = 48000, BLOCK = 1000 };

/* ---- loudness ---- */

/* Adds `seconds` of a sine of 1 kHz in both channels, at dB below full scale. */
static void add_sine(vpi_loudness *l, uint32_t rate, double seconds, double db)
{
    static float samples[BLOCK];
    vpi_heard h = { .sample_rate = rate, .channels = 2, .planes = { samples, samples }, .weights = { 1, 1 } };
    uint64_t total = (uint64_t)(seconds * rate);

    for (uint64_t at = 0; at < total; at += h.samples) {
        h.samples = (uint32_t)VPI_MIN(total - at, (uint64_t)BLOCK);
        for (uint32_t i = 0; i < h.samples; i++)
            samples[i] = (float)(pow(10, db / 20) * sin(2 * PI * 1000 * (double)(at + i) / rate));
        vpi_loudness_add(l, &h);
    }
}

static void expect_loudness(const vpi_loudness *l, double due, double slack)
{
    double is = vpi_loudness_integrated(l);

    if (fabs(is - due) > slack) fail_msg("%.3f LUFS, due is %.3f", is, due);
}

/* EBU Tech 3341, table 1: cases 1, 2, 3 and 4. */
static void test_loudness(void **state)
{
    (void)state;
    static const struct {
        double seconds[5], db[5];
    } cases[] = { { { 20 }, { -23 } },
                  { { 20 }, { -33 } },
                  { { 10, 60, 10 }, { -36, -23, -36 } },
                  { { 10, 10, 60, 10, 10 }, { -72, -36, -23, -36, -72 } } };
    static const double due[] = { -23, -33, -23, -23 };
    static const uint32_t rates[] = { 48000, 44100, 32000 };

    for (size_t r = 0; r < VPI_COUNT(rates); r++) {
        for (size_t i = 0; i < VPI_COUNT(cases); i++) {
            vpi_loudness *l = vpi_loudness_new();

            assert_non_null(l);
            for (size_t k = 0; k < 5; k++) add_sine(l, rates[r], cases[i].seconds[k], cases[i].db[k]);
            expect_loudness(l, due[i], 0.1);
            vpi_loudness_free(l);
        }
    }
}

static void test_silence(void **state)
{
    (void)state;
    vpi_loudness *l = vpi_loudness_new();

    assert_non_null(l);
    expect_loudness(l, -70, 0);
    add_sine(l, RATE, 3, -200);
    expect_loudness(l, -70, 0);
    vpi_loudness_free(l);
}

/* ---- lags ---- */

/* Noise of 32 bits, the same in every run. */
static uint32_t noise(uint32_t n)
{
    n = (n ^ 61) ^ n >> 16;
    n *= 9;
    n ^= n >> 4;
    n *= 0x27d4eb2d;
    return n ^ n >> 15;
}

static vpi_sound_trace *make_sound(int lag, bool steady)
{
    vpi_sound_trace *t = calloc(1, sizeof(*t));

    assert_non_null(t);
    for (int i = 0; i < 20000; i++) {
        if (steady)
            t->energy[i] = 0.1f;
        else
            t->energy[i + lag] = (float)(noise((uint32_t)i / 40) % 1000 + 1) / 1e5f;
    }
    t->any = true;
    return t;
}

static void expect_sound_lag(int lag, bool steady)
{
    vpi_sound_trace *a = make_sound(lag + 600, steady), *b = make_sound(600, steady);
    int64_t us = 0;

    assert_int_equal(vpi_sound_lag(a, b, &us), !steady);
    if (!steady) assert_int_equal(us, lag * 1000);
    free(a);
    free(b);
}

static void test_sound_lag(void **state)
{
    (void)state;
    expect_sound_lag(0, false);
    expect_sound_lag(21, false);
    expect_sound_lag(-240, false);
    expect_sound_lag(480, false);
    expect_sound_lag(21, true);
    /* farther off than is looked for at first */
    expect_sound_lag(-590, false);
    expect_sound_lag(2400, false);
}

static vpi_picture_trace *make_pictures(int64_t lag_us, bool still, bool turned)
{
    vpi_picture_trace *t = calloc(1, sizeof(*t));
    uint8_t grid[VPI_LOOK_SIDE * VPI_LOOK_SIDE];

    assert_non_null(t);
    for (uint32_t i = 0; i < 250; i++) {
        for (uint32_t n = 0; n < sizeof(grid); n++) {
            uint32_t x = n % VPI_LOOK_SIDE, y = n / VPI_LOOK_SIDE, k = turned ? x * VPI_LOOK_SIDE + 7 - y : n;

            grid[n] = (uint8_t)(still ? k * 3 : noise(k + 64 * i) & 255);
        }
        assert_true(vpi_picture_trace_add(t, (int64_t)i * 40000 + lag_us, grid));
    }
    return t;
}

static void expect_picture_lag(int64_t lag, bool still, bool turned)
{
    vpi_picture_trace *a = make_pictures(lag, still, false), *b = make_pictures(0, still, turned);
    int64_t us = 0;

    assert_int_equal(vpi_picture_lag(a, b, &us), !still);
    if (!still) assert_int_equal(us, lag);
    free(a);
    free(b);
}

static void test_picture_lag(void **state)
{
    (void)state;
    expect_picture_lag(0, false, false);
    expect_picture_lag(40000, false, false);
    expect_picture_lag(-120000, false, true);
    expect_picture_lag(13000, false, false);
    expect_picture_lag(0, true, false);
}

static void test_trace_end(void **state)
{
    (void)state;
    vpi_picture_trace *t = calloc(1, sizeof(*t));
    const uint8_t grid[VPI_LOOK_SIDE * VPI_LOOK_SIDE] = { 0 };

    assert_non_null(t);
    t->start_us = 100000000;
    assert_true(vpi_picture_trace_add(t, 98999999, grid)); /* of none, but later ones may be */
    assert_int_equal(t->count, 0);
    assert_true(vpi_picture_trace_add(t, 129999999, grid));
    assert_false(vpi_picture_trace_add(t, 130000000, grid));
    for (size_t i = 1; i < VPI_TRACE_LOOKS; i++) assert_true(vpi_picture_trace_add(t, 100000000, grid));
    assert_false(vpi_picture_trace_add(t, 100000000, grid));
    free(t);
}

/* One behind the other where that covers the title, else its begin, middle and end. */
static void test_trace_places(void **state)
{
    static const int64_t rows[][4] = {
        { 5, 0, 30, 60 }, { 90, 0, 30, 60 }, { 100, 0, 35, 70 }, { 7230, 0, 3600, 7200 }
    };
    int64_t starts[VPI_TRACES];

    (void)state;
    for (size_t i = 0; i < VPI_COUNT(rows); i++) {
        vpi_traces_place(rows[i][0] * 1000000, starts);
        for (size_t k = 0; k < VPI_TRACES; k++) assert_int_equal(starts[k], rows[i][k + 1] * 1000000);
    }
}

/* ---- XML ---- */

static vpi_view view(const char *text)
{
    return (vpi_view){ text, strlen(text) };
}

static void test_tags(void **state)
{
    (void)state;
    static const char text[] = "<?xml version=\"1.0\"?><!-- <no/> --><a x='1>2' p:y=\"&lt;\"> t <p:b/></a >";
    vpi_tag_walk w = { text, text + strlen(text), false };
    vpi_view value;
    vpi_tag tag;

    assert_true(vpi_tag_next(&w, &tag));
    assert_true(vpi_view_is(tag.name, "a") && tag.kind == VPI_TAG_OPEN);
    assert_true(vpi_tag_attribute(&tag, "x", &value) && vpi_view_is(value, "1>2"));
    assert_true(vpi_tag_attribute(&tag, "p:y", &value) && vpi_view_is(value, "&lt;"));
    assert_false(vpi_tag_attribute(&tag, "y", &value));
    assert_true(vpi_view_is(vpi_tag_text(&w, &tag), " t "));
    assert_true(vpi_tag_next(&w, &tag));
    assert_true(vpi_view_is(tag.name, "b") && tag.kind == VPI_TAG_EMPTY);
    assert_true(vpi_tag_next(&w, &tag));
    assert_true(vpi_view_is(tag.name, "a") && tag.kind == VPI_TAG_CLOSE);
    assert_false(vpi_tag_next(&w, &tag));
    assert_false(w.broken);
}

static void test_broken_tags(void **state)
{
    (void)state;
    static const char *const texts[] = { "<a", "<a b='>", "<!-- x", "<?xml", "<>", "<!DOCTYPE a>", "<a><" };

    for (size_t i = 0; i < VPI_COUNT(texts); i++) {
        vpi_tag_walk w = { texts[i], texts[i] + strlen(texts[i]), false };
        vpi_tag tag;

        while (vpi_tag_next(&w, &tag)) continue;
        if (!w.broken) fail_msg("%s is not broken", texts[i]);
    }
}

static void test_values(void **state)
{
    (void)state;
    uint64_t ns = 0;
    char plain[16];

    assert_true(vpi_xml_duration(view("PT5S"), &ns) && ns == UINT64_C(5000000000));
    assert_true(vpi_xml_duration(view("PT1H2M3.5S"), &ns) && ns == UINT64_C(3723500000000));
    assert_false(vpi_xml_duration(view("5S"), &ns) || vpi_xml_duration(view("PT"), &ns));
    assert_false(vpi_xml_duration(view("PT5"), &ns) || vpi_xml_duration(view("PT1S2M"), &ns));
    assert_true(vpi_xml_plain(view("a&amp;b&lt;"), plain, sizeof(plain)));
    assert_string_equal(plain, "a&b<");
    assert_false(vpi_xml_plain(view("&nbsp;"), plain, sizeof(plain)));
    assert_false(vpi_xml_plain(view("0123456789abcdef"), plain, sizeof(plain)));
}

/* ---- WebVTT ---- */

/* Does a segment with this text fit a title over transport streams (or fMP4)? */
static bool text_fits(const char *text, bool ts)
{
    vpi_ptrack tracks[] = { { .kind = VP_TRACK_VIDEO, .container = ts ? VP_CONTAINER_TS : VP_CONTAINER_CMAF },
                            { .kind = VP_TRACK_TEXT, .container = VP_CONTAINER_TS } };
    vpi_presentation p = { .tracks = tracks, .track_count = 2 };
    vpi_verifier v = { .p = &p, .report = vpi_verify_report_new() };
    bool good;

    assert_non_null(v.report);
    vpi_verify_text(&v, &tracks[1], "v/text/en/00001.vtt", (const uint8_t *)text, strlen(text));
    good = vp_report_failed(v.report) == 0;
    if (!good) assert_string_equal(vp_report_failure(v.report, 0, NULL, NULL), "P25");
    vp_report_unref(v.report);
    return good;
}

static void test_text(void **state)
{
    (void)state;
    assert_true(text_fits("WEBVTT\n", false));
    assert_true(text_fits("WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\n\n", false));
    assert_true(
        text_fits("\xEF\xBB\xBFWEBVTT\r\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:900000\r\n\r\n", true));
    assert_false(text_fits("WEBVTT\n", true));
    assert_false(text_fits("", false));
    assert_false(text_fits("1\n00:00.000 --> 00:01.000\nx\n", false));
    assert_false(text_fits("WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:900000,LOCAL:00:00:00.000\n", false));
    assert_false(text_fits("WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:900000,LOCAL:00:00:01.000\n", true));
    assert_false(text_fits("WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:900000\n", true));
    assert_false(text_fits("WEBVTT\n\nX-TIMESTAMP-MAP=MPEGTS:900000,LOCAL:00:00:00.000\n", true));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_loudness),  cmocka_unit_test(test_silence),
                                        cmocka_unit_test(test_sound_lag), cmocka_unit_test(test_picture_lag),
                                        cmocka_unit_test(test_trace_end), cmocka_unit_test(test_trace_places),
                                        cmocka_unit_test(test_tags),      cmocka_unit_test(test_broken_tags),
                                        cmocka_unit_test(test_values),    cmocka_unit_test(test_text) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
