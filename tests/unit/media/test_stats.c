/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "media/stats_int.h"

typedef struct series {
    vpi_rational rate, tb, declared;
    unsigned count;
    unsigned drop_each, double_each; /* one picture of so many left out, or given twice; 0 none */
    unsigned bframes;                /* pictures between anchors, given behind their anchor */
    double jitter;                   /* of a frame, alternating */
    double drift;                    /* factor on the rate */
} series;

static int64_t time_of_frame(const series *s, unsigned n)
{
    double frame = (double)s->rate.den / (double)s->rate.num * (s->drift != 0 ? s->drift : 1);
    double at = (n + (n % 2 ? s->jitter : 0)) * frame;

    return (int64_t)floor(at * (double)s->tb.den / (double)s->tb.num + 0.5);
}

static void feed(vpi_stats *stats, const series *s, unsigned n, unsigned order)
{
    vpi_stats_packet p = { .has_pts = true, .has_dts = true, .key = n % 30 == 0 };

    if (s->drop_each && n % s->drop_each == s->drop_each - 1) return;
    p.pts = time_of_frame(s, n);
    p.dts = time_of_frame(s, order) - 1000;
    assert_true(vpi_stats_add(stats, &p));
    if (s->double_each && n % s->double_each == s->double_each - 1) assert_true(vpi_stats_add(stats, &p));
}

static vpi_stats_result run(const series *s)
{
    vpi_stats_options o = { .tb = s->tb, .declared = { s->declared, { 0, 1 }, { 0, 1 } }, .video = true };
    vpi_stats *stats = vpi_stats_new(&o);
    vpi_stats_result r;
    unsigned order = 0, step = s->bframes + 1;

    assert_non_null(stats);
    for (unsigned n = 0; n < s->count; n += step) {
        feed(stats, s, n, order++);
        for (unsigned b = 0; b < s->bframes && n >= step; b++) feed(stats, s, n - s->bframes + b, order++);
    }
    vpi_stats_finish(stats, &r);
    vpi_free(r.keyframes);
    vpi_stats_free(stats);
    return r;
}

#define TB(d)                                                                                                \
    {                                                                                                        \
        1, (d)                                                                                               \
    }
#define R(n, d)                                                                                              \
    {                                                                                                        \
        (n), (d)                                                                                             \
    }

static void expect(const series *s, int variable, int64_t num, int64_t den)
{
    vpi_stats_result r = run(s);

    if (r.variable != variable || (variable == 0 && r.rate.num * den != num * r.rate.den)) {
        fail_msg("%lld/%lld in ticks of 1/%lld: found %lld/%lld, variable %d", (long long)s->rate.num,
                 (long long)s->rate.den, (long long)s->tb.den, (long long)r.rate.num, (long long)r.rate.den,
                 r.variable);
    }
}

/* Each rate, with the file's own word for it and without, in the ticks of MP4, TS, Matroska and QuickTime. */
static void test_rates(void **state)
{
    static const vpi_rational rates[] = {
        R(24000, 1001), R(24, 1), R(25, 1),       R(30000, 1001), R(30, 1),
        R(50, 1),       R(25, 2), R(60000, 1001), R(60, 1),       R(10, 1)
    };
    static const int64_t tbs[] = { 90000, 1000, 600, 24000, 15360 };

    (void)state;
    for (size_t i = 0; i < VPI_COUNT(rates); i++) {
        for (size_t t = 0; t < VPI_COUNT(tbs); t++) {
            for (unsigned declared = 0; declared < 2; declared++) {
                for (unsigned b = 0; b < 3; b += 2) {
                    series s = { .rate = rates[i], .tb = TB(tbs[t]), .count = 3000, .bframes = b };

                    s.declared = declared ? rates[i] : (vpi_rational){ 0, 1 };
                    expect(&s, 0, rates[i].num, rates[i].den);
                }
            }
        }
    }
}

/* What a container says wrongly, or absurdly, does not win. */
static void test_wrong_word(void **state)
{
    (void)state;
    expect(&(series){ .rate = R(30, 1), .tb = TB(600), .declared = R(600, 1), .count = 900 }, 0, 30, 1);
    expect(&(series){ .rate = R(30, 1), .tb = TB(90000), .declared = R(90000, 1), .count = 900 }, 0, 30, 1);
    expect(&(series){ .rate = R(30, 1), .tb = TB(1000), .declared = R(60, 1), .count = 900 }, 0, 30, 1);
    expect(&(series){ .rate = R(30000, 1001), .tb = TB(1000), .declared = R(1000, 1), .count = 900 }, 0,
           30000, 1001);
    /* 2997/125 and 24000/1001 are meant as the same. */
    expect(&(series){ .rate = R(24000, 1001), .tb = TB(24000), .declared = R(2997, 125), .count = 900 }, 0,
           24000, 1001);
}

/* The last of five pictures, 40 ms apart or uneven, lasts so many ms: where it ends. */
static void test_last_picture(void **state)
{
    static const struct {
        int64_t step, third, duration, end;
        int variable;
    } cases[] = {
        { 40, 80, 40, 200, 0 }, { 40, 80, 25, 185, 0 },     { 40, 80, 1, 200, 0 },
        { 40, 80, 15, 200, 0 }, { 1000, 2000, 1, 5000, 0 }, { 1000, 2000, 100, 4100, 1 },
        { 40, 100, 1, 180, 1 }, { 40, 100, 10, 170, 1 },
    };

    (void)state;
    for (size_t i = 0; i < VPI_COUNT(cases); i++) {
        vpi_stats_options o = { .tb = TB(1000), .video = true };
        vpi_stats *stats = vpi_stats_new(&o);
        vpi_stats_result r;

        for (int64_t n = 0; n < 5; n++) {
            vpi_stats_packet p = { .has_pts = true, .pts = n * cases[i].step, .key = n == 0 };

            if (n == 2) p.pts = cases[i].third;
            p.duration = n == 4 ? cases[i].duration : cases[i].step;
            assert_true(vpi_stats_add(stats, &p));
        }
        vpi_stats_finish(stats, &r);
        if (r.end != cases[i].end || r.variable != cases[i].variable)
            fail_msg("case %zu: ends at %lld, variable %d", i, (long long)r.end, r.variable);
        vpi_free(r.keyframes);
        vpi_stats_free(stats);
    }
}

static void test_own_rate(void **state)
{
    series s = { .rate = R(5198, 100), .tb = TB(90000), .count = 5000 };
    vpi_stats_result r = run(&s);

    (void)state;
    assert_int_equal(r.variable, 0);
    assert_true(fabs((double)r.rate.num / (double)r.rate.den - 51.98) < 0.001);
    assert_true(r.rate.num <= VPI_RATE_MAX && r.rate.den <= VPI_RATE_MAX);
}

static void test_gaps(void **state)
{
    (void)state;
    /* One in 200 is missing, or there twice: a grid with holes. */
    expect(&(series){ .rate = R(30, 1), .tb = TB(90000), .count = 3000, .drop_each = 200 }, 0, 30, 1);
    expect(&(series){ .rate = R(30, 1), .tb = TB(90000), .count = 3000, .double_each = 200 }, 0, 30, 1);
    /* One in ten: no rate describes it. */
    expect(&(series){ .rate = R(30, 1), .tb = TB(90000), .count = 3000, .drop_each = 10 }, 1, 0, 0);
    expect(&(series){ .rate = R(30, 1), .tb = TB(90000), .count = 3000, .double_each = 10 }, 1, 0, 0);
}

static void test_jitter(void **state)
{
    (void)state;
    expect(&(series){ .rate = R(30, 1), .tb = TB(90000), .count = 3000, .jitter = 0.15 }, 0, 30, 1);
    expect(&(series){ .rate = R(30, 1), .tb = TB(90000), .count = 3000, .jitter = 0.45 }, 1, 0, 0);
}

/* A camera whose clock is off by 0.1 %: its own constant rate, not the nearest standard one. */
static void test_drift(void **state)
{
    series s = { .rate = R(25, 1), .tb = TB(90000), .declared = R(25, 1), .count = 90000, .drift = 1.0005 };
    vpi_stats_result r = run(&s);

    (void)state;
    assert_int_equal(r.variable, 0);
    assert_true(fabs((double)r.rate.num / (double)r.rate.den - 25 / 1.0005) < 0.0001);
}

static void test_counts(void **state)
{
    series s = { .rate = R(25, 1), .tb = TB(1000), .count = 100, .double_each = 10 };
    vpi_stats_result r = run(&s);

    (void)state;
    assert_int_equal(r.packets, 110);
    assert_int_equal(r.duplicates, 10);
    assert_true(fabs((double)r.rate.num / (double)r.rate.den - 25) < 0.01); /* of what is shown */
    assert_int_equal(r.min_delta, 0);
    assert_int_equal(r.max_delta, 40);
    assert_int_equal(r.start, 0);
    assert_int_equal(r.jumps, 0);
    s = (series){ .rate = R(25, 1), .tb = TB(1000), .count = 100 };
    r = run(&s);
    assert_int_equal(r.end, 4000); /* the last one lasts an average frame */
    assert_int_equal(r.min_delta, 40);
}

static void test_one_frame(void **state)
{
    (void)state;
    expect(&(series){ .rate = R(25, 1), .tb = TB(1000), .count = 1, .declared = R(50, 1) }, 0, 50, 1);
    expect(&(series){ .rate = R(25, 1), .tb = TB(1000), .count = 1 }, 0, 25, 1);
    expect(&(series){ .rate = R(25, 1), .tb = TB(1000), .count = 1, .declared = R(90000, 1) }, 0, 25, 1);
}

static void test_jumps(void **state)
{
    vpi_stats_options o = { .tb = TB(90000), .video = true, .jumps_forward = true };
    vpi_stats *stats = vpi_stats_new(&o);
    vpi_stats_result r;

    (void)state;
    for (int run_number = 0; run_number < 3; run_number++) { /* 0 s, 5000 s, 0 s again */
        for (int i = 0; i < 100; i++) {
            vpi_stats_packet p = { .has_pts = true, .has_dts = true, .key = i % 25 == 0, .duration = 3600 };

            p.pts = p.dts = i * 3600 + (run_number == 1 ? INT64_C(5000) * 90000 : 0);
            assert_true(vpi_stats_add(stats, &p));
        }
    }
    vpi_stats_finish(stats, &r);
    assert_int_equal(r.jumps, 2);
    assert_int_equal(r.jump_at, 99 * 3600);
    assert_int_equal(r.variable, 0);
    assert_int_equal(r.rate.num, 25);
    assert_int_equal(r.end - r.start, 300 * 3600);
    assert_int_equal(r.keyframe_max, 25 * 3600);
    for (size_t i = 1; i < r.keyframe_count; i++) assert_true(r.keyframes[i] > r.keyframes[i - 1]);
    vpi_free(r.keyframes);
    vpi_stats_free(stats);
}

/* Packets of sound that do not tell how long they last: the last one as the others, if no other tells. */
static void test_last_packet(void **state)
{
    (void)state;
    for (int told = 0; told < 2; told++) {
        vpi_stats_options o = { .tb = TB(1000) };
        vpi_stats *stats = vpi_stats_new(&o);
        vpi_stats_result r;

        for (int i = 0; i < 10; i++) {
            vpi_stats_packet p = { .has_pts = true, .pts = 100 + i * 85 + (i > 4 ? 3000 : 0) };

            if (told && i < 9) p.duration = 80;
            assert_true(vpi_stats_add(stats, &p));
        }
        vpi_stats_finish(stats, &r);
        assert_int_equal(r.start, 100);
        assert_int_equal(r.end, 100 + 9 * 85 + 3000 + (told ? 0 : 85));
        vpi_stats_free(stats);
    }
}

/* Ten hours and more keyframes than are kept: rising, spread over the whole. */
static void test_keyframe_list(void **state)
{
    vpi_stats_options o = { .tb = TB(1000), .video = true };
    vpi_stats *stats = vpi_stats_new(&o);
    vpi_stats_result r;
    int64_t last = 0;

    (void)state;
    for (int64_t i = 0; i < 1200000; i++) {
        vpi_stats_packet p = { .has_pts = true, .pts = i * 101, .key = true, .duration = 101 };

        last = p.pts;
        assert_true(vpi_stats_add(stats, &p));
    }
    vpi_stats_finish(stats, &r);
    assert_true(r.keyframe_count <= VPI_KEYFRAMES_MAX && r.keyframe_count >= VPI_KEYFRAMES_MAX / 4);
    for (size_t i = 1; i < r.keyframe_count; i++) assert_true(r.keyframes[i] >= r.keyframes[i - 1] + 100);
    assert_int_equal(r.keyframes[0], 0);
    assert_true(r.keyframes[r.keyframe_count - 1] > last - 1000);
    assert_int_equal(r.keyframe_min, 101);
    vpi_free(r.keyframes);
    vpi_stats_free(stats);
}

/* Times at the ends of 64 bits are damage; nothing overflows. */
static void test_wild(void **state)
{
    static const int64_t wild[] = { INT64_MIN,     INT64_MAX,     0, -1,
                                    INT64_MAX / 2, INT64_MIN / 2, 1, INT64_MAX / 4 };
    static const vpi_rational tbs[] = { R(1, 90000), R(INT32_MAX, 1), R(1, INT32_MAX), R(1001, 30000) };

    (void)state;
    for (size_t t = 0; t < VPI_COUNT(tbs); t++) {
        vpi_stats_options o = { .tb = tbs[t],
                                .declared = { R(INT32_MAX, 1), R(1, INT32_MAX), R(25, 1) },
                                .video = true };
        vpi_stats *stats = vpi_stats_new(&o);
        vpi_stats_result r;

        for (unsigned i = 0; i < 4096; i++) {
            vpi_stats_packet p = { .has_pts = i % 3 > 0, .has_dts = i % 5 > 0, .key = i % 2 };

            p.pts = wild[i % VPI_COUNT(wild)];
            p.dts = wild[(i / 8) % VPI_COUNT(wild)];
            p.duration = wild[(i / 64) % VPI_COUNT(wild)];
            p.skip_start = wild[(i / 3) % VPI_COUNT(wild)];
            p.skip_end = wild[(i / 7) % VPI_COUNT(wild)];
            assert_true(vpi_stats_add(stats, &p));
        }
        vpi_stats_finish(stats, &r);
        assert_true(r.rate.den > 0);
        vpi_free(r.keyframes);
        vpi_stats_free(stats);
    }
}

static void test_rational(void **state)
{
    vpi_rational r = vpi_nearest_rational(30000.0 / 1001, VPI_RATE_MAX);

    (void)state;
    assert_int_equal(r.num, 30000);
    assert_int_equal(r.den, 1001);
    r = vpi_nearest_rational(12.5, VPI_RATE_MAX);
    assert_int_equal(r.num, 25);
    assert_int_equal(r.den, 2);
    assert_int_equal(vpi_nearest_rational(0, 100).num, 0);
    assert_int_equal(vpi_nearest_rational(-3, 100).num, 0);
    assert_int_equal(vpi_nearest_rational(NAN, 100).num, 0);
    assert_int_equal(vpi_nearest_rational(1e300, 100).num, 100);
    r = vpi_nearest_rational(3.14159265358979, 1000);
    assert_int_equal(r.num, 355);
    assert_int_equal(r.den, 113);
}

/* A cut between two pictures: the first one is seen from the cut on, the others lie on their own grid. */
static void test_phase(void **state)
{
    static const int rates[] = { 5, 10, 15, 25, 30, 50, 60 };

    (void)state;
    for (size_t i = 0; i < VPI_COUNT(rates); i++) {
        int rate = rates[i];
        vpi_stats_options o = { .tb = TB(90000), .video = true };
        vpi_stats *stats = vpi_stats_new(&o);
        int64_t frame = 90000 / rate;
        vpi_stats_result r;

        for (int64_t n = 0; n < 40; n++) {
            const vpi_stats_packet p = { .has_pts = true, .pts = 900 + (n ? n * frame : frame * 6 / 10) };

            assert_true(vpi_stats_add(stats, &p));
        }
        vpi_stats_finish(stats, &r);
        assert_int_equal(r.variable, 0);
        assert_int_equal(r.rate.num, rate);
        assert_int_equal((r.phase + frame * 6 / 10) % frame, 0);
        vpi_free(r.keyframes);
        vpi_stats_free(stats);
    }
}

/* Jitter that people notice against the sound is not taken for a grid, however slow the pictures are. */
static void test_slow_jitter(void **state)
{
    const series slow = { .rate = R(3, 1), .tb = TB(90000), .count = 100, .jitter = 0.15 }, fast = {
        .rate = R(30, 1), .tb = TB(90000), .declared = R(30, 1), .count = 100, .jitter = 0.15
    };

    (void)state;
    expect(&slow, 1, 3, 1);
    expect(&fast, 0, 30, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_last_picture), cmocka_unit_test(test_rates),
        cmocka_unit_test(test_wrong_word),   cmocka_unit_test(test_own_rate),
        cmocka_unit_test(test_gaps),         cmocka_unit_test(test_jitter),
        cmocka_unit_test(test_drift),        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_one_frame),    cmocka_unit_test(test_jumps),
        cmocka_unit_test(test_last_packet),  cmocka_unit_test(test_keyframe_list),
        cmocka_unit_test(test_wild),         cmocka_unit_test(test_rational),
        cmocka_unit_test(test_phase),        cmocka_unit_test(test_slow_jitter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
