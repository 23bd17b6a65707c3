/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Origin, grid and which grid point a source time belongs to. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "transcode/plan_int.h"

typedef struct fixture {
    vp_plan plan;
    vpi_plan_audio audio[2];
    vpi_track video, sound[2];
    const vpi_track *sounds[2];
    vp_transcode_options options;
} fixture;

/* A title of `seconds` at num/den pictures a second, ticks of 1/tb, with sound of the same length from `sound_us`. */
static void make(fixture *f, int64_t num, int64_t den, int64_t tb, double seconds, int64_t sound_us)
{
    memset(f, 0, sizeof(*f));
    vp_transcode_options_init(&f->options, sizeof(f->options));
    f->options.segment_ms = 6000;
    f->options.gop_ms = 2000;
    f->options.max_fps = 60;
    f->video.has_times = true;
    f->video.tb = (vpi_rational){ 1, tb };
    f->video.frame_rate = (vpi_rational){ num, den };
    f->video.end = (int64_t)(seconds * (double)tb + 0.5);
    for (int i = 0; i < 2; i++) {
        f->sound[i].has_times = true;
        f->sound[i].tb = (vpi_rational){ 1, 48000 };
        f->sound[i].start = vpi_rescale(sound_us, 48000, 1000000, VPI_NEAREST);
        f->sound[i].end = (int64_t)(seconds * 48000);
        f->sounds[i] = &f->sound[i];
        f->audio[i].audio.sample_rate = 48000;
    }
    f->plan.audio = f->audio;
    f->plan.audio_count = 2;
    f->plan.has_video = true;
}

static void settle(fixture *f)
{
    vp_error err = VP_ERROR_INIT;
    assert_int_equal(vpi_plan_timeline(&f->plan, &f->video, f->sounds, 2, &f->options, &err), VP_OK);
}

static void test_rates(void **state)
{
    static const struct {
        int64_t num, den, tb;
        uint32_t timescale, frame, gop;
    } rows[] = {
        { 25, 1, 12800, 90000, 3600, 180000 },       { 24000, 1001, 24000, 24000, 1001, 48048 },
        { 30000, 1001, 90000, 90000, 3003, 180180 }, { 60000, 1001, 60000, 60000, 1001, 120120 },
        { 25, 2, 12800, 90000, 7200, 180000 },       { 120, 1, 15360, 90000, 1500, 180000 },
        { 1, 1, 1000, 90000, 90000, 180000 },
    };
    (void)state;
    for (size_t i = 0; i < VPI_COUNT(rows); i++) {
        fixture f;
        make(&f, rows[i].num, rows[i].den, rows[i].tb, 20, 0);
        settle(&f);
        assert_false(f.plan.video.variable);
        assert_int_equal(f.plan.grid.timescale, rows[i].timescale);
        assert_int_equal(f.plan.video.frame_ticks, rows[i].frame);
        assert_int_equal(f.plan.grid.fragment, rows[i].gop);
        assert_int_equal(f.plan.grid.per_segment, 3);
        assert_int_equal(f.plan.grid.total, f.plan.video.points * rows[i].frame);
        /* sound ends within one frame of the picture, never before it */
        uint64_t samples = f.audio[0].audio.frames * 1024;
        assert_true(samples * rows[i].timescale >= f.plan.grid.total * 48000);
        assert_true((samples - 1024) * rows[i].timescale < f.plan.grid.total * 48000);
    }
}

static void test_variable(void **state)
{
    fixture f;
    (void)state;
    make(&f, 30, 1, 1000, 10, 0);
    f.video.variable = 1;
    settle(&f);
    assert_true(f.plan.video.variable);
    assert_int_equal(f.plan.grid.timescale, 90000);
    assert_int_equal(f.plan.grid.fragment, 180000);
    assert_int_equal(f.plan.grid.total, 900000);
    assert_int_equal(vpi_plan_point(&f.plan.video, 333), 29970);
    make(&f, 1, 3, 1000, 30, 0); /* slides: less than a picture in a GOP */
    settle(&f);
    assert_true(f.plan.video.variable);
}

/* Sound that begins first moves the origin by whole pictures; a picture that begins first keeps its place. */
static void test_origin(void **state)
{
    fixture f;
    (void)state;
    make(&f, 25, 1, 12800, 10, 0);
    f.video.start = 6400; /* half a second late */
    f.video.end += 6400;
    settle(&f);
    assert_int_equal(vpi_plan_point(&f.plan.video, 6400), 13);
    assert_int_equal(f.audio[0].audio.origin, -960); /* -0.02 s: the grid stays the picture's */
    make(&f, 25, 1, 12800, 10, 1500000);
    settle(&f);
    assert_int_equal(vpi_plan_point(&f.plan.video, 0), 0);
    assert_int_equal(f.audio[0].audio.origin, 0);
    make(&f, 25, 1, 12800, 10, -5000); /* 5 ms: cut, not held */
    settle(&f);
    assert_int_equal(vpi_plan_point(&f.plan.video, 0), 0);
    make(&f, 25, 1, 90000, 10, 1400000); /* a transport stream does not begin at 0 */
    f.video.start = 126000;
    f.video.end += 126000;
    settle(&f);
    assert_int_equal(vpi_plan_point(&f.plan.video, 126000), 0);
    assert_int_equal(f.audio[1].audio.origin, 67200);
}

/* A little more sound is cut, much more keeps the last picture on. */
static void test_end(void **state)
{
    fixture f;
    (void)state;
    make(&f, 25, 1, 12800, 4, 0);
    f.sound[0].end = 48000 * 8;
    settle(&f);
    assert_int_equal(f.plan.video.points, 100);
    make(&f, 25, 1, 12800, 4, 0);
    f.sound[0].end = 48000 * 20;
    settle(&f);
    assert_int_equal(f.plan.video.content_end, 100);
    assert_int_equal(f.plan.video.points, 500);
    make(&f, 25, 1, 12800, 0.04, 0);
    settle(&f);
    assert_int_equal(f.plan.video.points, 1);
    make(&f, 25, 1, 12800, 4, 0);
    f.video.end = 0;
    assert_int_equal(vpi_plan_timeline(&f.plan, &f.video, f.sounds, 2, &f.options, NULL), VP_E_DATA);
}

static void test_audio_only(void **state)
{
    fixture f;
    vp_error err = VP_ERROR_INIT;
    (void)state;
    make(&f, 25, 1, 12800, 13, 250000);
    assert_int_equal(vpi_plan_timeline(&f.plan, NULL, f.sounds, 1, &f.options, &err), VP_OK);
    assert_int_equal(f.plan.grid.timescale, 48000);
    assert_int_equal(f.plan.grid.fragment, 288000);
    assert_int_equal(f.audio[0].audio.origin, 12000);
    assert_int_equal(f.audio[0].audio.frames, (612000 + 1023) / 1024);
    assert_int_equal(f.plan.grid.total, f.audio[0].audio.frames * 1024);
}

/* vpi_plan_last_pts is the exact inverse of vpi_plan_point, whatever the clocks are. */
static void test_inverse(void **state)
{
    static const int64_t bases[] = { 1000, 12800, 90000, 24000, 1000000000 };
    uint32_t seed = 12345;
    (void)state;
    for (int i = 0; i < 20000; i++) {
        vpi_plan_video v = { 0 };
        seed = seed * 1664525u + 1013904223u;
        v.tb = (vpi_rational){ 1, bases[seed % 5] };
        v.rate = seed & 64    ? (vpi_rational){ 30000, 1001 }
                 : seed & 128 ? (vpi_rational){ 90000, 1 }
                              : (vpi_rational){ 25, 2 };
        v.divide = seed % 7;
        v.origin = vpi_reduce((int64_t)(seed >> 8) - 8000000, 90000);
        seed = seed * 1664525u + 1013904223u;
        int64_t n = (int64_t)(seed % 5000000);
        int64_t last = vpi_plan_last_pts(&v, n);
        assert_true(vpi_plan_point(&v, last) <= n);
        assert_true(vpi_plan_point(&v, last + 1) > n);
    }
}

/* The rate of interlaced pictures: their fields', or their own where that is too much. */
static void test_fields(void **state)
{
    static const struct {
        int64_t num, den;
        uint32_t most;
        vpi_scan_order order;
        int64_t fps_num, fps_den;
        vpi_deinterlace mode;
        bool bottom, parts;
    } rows[] = {
        { 25, 1, 60, VPI_SCAN_TOP_FIRST, 50, 1, VPI_DEINTERLACE_FIELDS, false, false },
        { 25, 1, 50, VPI_SCAN_TOP_FIRST, 50, 1, VPI_DEINTERLACE_FIELDS, false, false },
        { 25, 1, 49, VPI_SCAN_TOP_FIRST, 25, 1, VPI_DEINTERLACE_FRAMES, false, false },
        { 25, 1, 30, VPI_SCAN_BOTTOM_FIRST, 25, 1, VPI_DEINTERLACE_FRAMES, true, false },
        { 25, 1, 20, VPI_SCAN_BOTTOM_FIRST, 25, 2, VPI_DEINTERLACE_FRAMES, true, false },
        { 30000, 1001, 60, VPI_SCAN_BOTTOM_FIRST, 60000, 1001, VPI_DEINTERLACE_FIELDS, true, false },
        { 25, 1, 60, VPI_SCAN_PROGRESSIVE, 25, 1, VPI_DEINTERLACE_NONE, false, false },
        { 25, 1, 60, VPI_SCAN_PROGRESSIVE, 25, 1, VPI_DEINTERLACE_FLAGGED, false, true },
    };
    (void)state;
    for (size_t i = 0; i < VPI_COUNT(rows); i++) {
        for (int variable = 0; variable < 2; variable++) {
            fixture f;
            make(&f, rows[i].num, rows[i].den, 90000, 20, 0);
            f.options.max_fps = rows[i].most;
            f.video.order = rows[i].order;
            f.video.interlaced_parts = rows[i].parts;
            f.video.variable = variable;
            settle(&f);
            assert_int_equal(f.plan.video.fps.num, rows[i].fps_num);
            assert_int_equal(f.plan.video.fps.den, rows[i].fps_den);
            assert_int_equal(f.plan.video.deinterlace, rows[i].mode);
            assert_int_equal(f.plan.video.bottom_first, rows[i].bottom);
            assert_int_equal(f.plan.video.variable, variable);
        }
    }
}

/* The second field lies halfway to the next picture, and never behind it. */
static void test_second_field(void **state)
{
    fixture f;
    (void)state;
    make(&f, 25, 1, 25, 20, 0); /* a clock of whole pictures */
    f.video.order = VPI_SCAN_TOP_FIRST;
    settle(&f);
    assert_int_equal(vpi_plan_point(&f.plan.video, 7), 14);
    assert_int_equal(vpi_plan_second_field(&f.plan.video, 7, 1), 15);
    assert_int_equal(vpi_plan_second_field(&f.plan.video, 7, 5), 15); /* pictures missing behind it */
    assert_int_equal(vpi_plan_second_field(&f.plan.video, 7, 0), 15);
    make(&f, 25, 1, 1000, 20, 0);
    f.video.order = VPI_SCAN_TOP_FIRST;
    settle(&f);
    assert_int_equal(vpi_plan_second_field(&f.plan.video, 40, 3),
                     2); /* the next one takes this one's place */
    f.video.variable = 1;
    settle(&f);
    assert_int_equal(vpi_plan_second_field(&f.plan.video, 40, 40), 5400);
    assert_int_equal(vpi_plan_second_field(&f.plan.video, 40, 4000), 3600 + 2250);
    assert_int_equal(vpi_plan_second_field(&f.plan.video, 40, 0), 3600 + 2250);
}

/* Of pictures four times too dense those at the grid's own times are shown. */
static void test_divided(void **state)
{
    fixture f;
    (void)state;
    make(&f, 240, 1, 240, 20, 0);
    settle(&f);
    assert_int_equal(f.plan.video.divide, 4);
    assert_int_equal(f.plan.video.points, 1200);
    for (int64_t n = 0; n < 100; n++) {
        assert_int_equal(vpi_plan_point(&f.plan.video, 4 * n), n);
        assert_int_equal(vpi_plan_point(&f.plan.video, 4 * n + 1), n + 1);
        assert_int_equal(vpi_plan_last_pts(&f.plan.video, n), 4 * n);
    }
}

/* A cut between two pictures: pictures stay on their grid, and the sound with them. */
static void test_phase(void **state)
{
    static const int64_t frame = 512; /* of 1/12800 s */
    (void)state;
    for (int64_t phase = 1; phase < frame; phase++) {
        fixture f;
        make(&f, 25, 1, 12800, 20, 0);
        f.video.phase = phase + 3 * frame;
        settle(&f);
        const vpi_plan_video *v = &f.plan.video;
        assert_false(v->variable);
        int64_t origin = v->origin.num * 12800 / v->origin.den;
        assert_int_equal((origin + 10 * frame - phase) % frame, 0);
        assert_true(origin > -frame && origin <= frame / 2);
        for (int64_t n = 1; n < 20; n++)
            assert_int_equal((vpi_plan_point(v, phase + n * frame) * frame + origin - phase) / frame, n);
        assert_in_range(vpi_plan_point(v, 0), 0, 1);
        assert_true(llabs(f.audio[0].audio.origin - origin * 48000 / 12800) <= 1);
        make(&f, 15, 1, 12800, 20, 0);
        f.video.phase = phase;
        settle(&f);
        assert_true(f.plan.video.variable); /* half a picture is too much */
        assert_int_equal(f.plan.video.origin.num, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rates),  cmocka_unit_test(test_variable),     cmocka_unit_test(test_origin),
        cmocka_unit_test(test_end),    cmocka_unit_test(test_audio_only),   cmocka_unit_test(test_inverse),
        cmocka_unit_test(test_fields), cmocka_unit_test(test_second_field), cmocka_unit_test(test_divided),
        cmocka_unit_test(test_phase),
    };
    return cmocka_run_group_tests_name("transcode/timeline", tests, NULL, NULL);
}
