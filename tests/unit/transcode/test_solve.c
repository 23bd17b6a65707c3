/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How the bits of a title are shared out among its spans. */

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/common.h"
#include "transcode/solve_int.h"

#define OPTIONS "#options: 640x360 fps=25/1 timebase=1/25 bitdepth=8 cabac=1 bframes=3\n"
#define SECOND 1000000u

static vp_error err = VP_ERROR_INIT;

static vpi_span_cost cost_of(const char *text)
{
    vpi_span_cost cost;

    if (vpi_span_cost_parse(text, strlen(text), &cost, &err) != VP_OK) fail_msg("%s", err.message);
    return cost;
}

/* By hand: q 24 is 0.85 * 2^2 = 3.4 on the linear scale. */
static void test_parse(void **state)
{
    vpi_span_cost cost = cost_of(OPTIONS "in:0 out:0 type:I dur:2 cpbdur:2 q:24.00 aq:15.31 tex:1000 mv:10 "
                                         "misc:5 imb:240 pmb:0 smb:0 d:- ref:;\n"
                                         "in:4 out:1 type:P dur:2 cpbdur:2 q:12.00 aq:23.91 tex:500 mv:100 "
                                         "misc:7 imb:35 pmb:52 smb:153 d:- ref:0 ;\n");

    (void)state;
    assert_int_equal(cost.pictures, 2);
    assert_int_equal(cost.width, 640);
    assert_int_equal(cost.height, 360);
    assert_int_equal(cost.other, 12);
    assert_int_equal(cost.motion, 100); /* a quantiser below 1 counts as 1 */
    assert_int_equal(cost.motion_intra, lround(10 * sqrt(3.4)));
    assert_int_equal(cost.texture, lround(1000.1 * pow(3.4 * 1.4, 1.1) + 500.1 * pow(0.85, 1.1)));
}

static void test_refused(void **state)
{
    static const char *const bad[] = {
        "",
        OPTIONS,
        "#options: 640x fps=25/1\nin:0 out:0 type:I q:24.00 tex:1 mv:1 misc:1 ;\n",
        OPTIONS "in:0 out:0 type:X q:24.00 tex:1 mv:1 misc:1 ;\n",
        OPTIONS "in:0 out:0 type:I q:-1 tex:1 mv:1 misc:1 ;\n",
        OPTIONS "in:0 out:0 type:I q:24.00 tex:1 misc:1 ;\n",
        OPTIONS "in:0 out:0 type:I q:24.00 tex:99999999999 mv:1 misc:1 ;\n",
        OPTIONS "in:0 out:0 type:I q:24.00 tex:1 mv:1 misc:1 ;", /* cut off */
        OPTIONS "in:0 out:0 type:",
    };
    vpi_span_cost cost;

    (void)state;
    for (size_t i = 0; i < VPI_COUNT(bad); i++) {
        assert_int_equal(vpi_span_cost_parse(bad[i], strlen(bad[i]), &cost, &err), VP_E_DATA);
        assert_string_equal(err.reason, "INPUT_CORRUPT");
    }
}

/* Spans that cost 1, 2 and 4: textures alone, so that shares are as costs at any quantiser. */
static void shares(vpi_solve_span spans[3])
{
    for (unsigned i = 0; i < 3; i++)
        spans[i] = (vpi_solve_span){
            .cost = { .texture = UINT64_C(40000000) << i, .pictures = 250, .width = 640, .height = 360 },
            .duration_us = 10 * SECOND
        };
}

static void test_shares(void **state)
{
    const vpi_solve_rung rung = { 1920, 1080, 700, 0, 0 };
    vpi_solve_span spans[3];

    (void)state;
    shares(spans);
    vpi_solve(&rung, spans, 3);
    assert_int_equal(spans[0].kbps, 300);
    assert_int_equal(spans[1].kbps, 600);
    assert_int_equal(spans[2].kbps, 1200);
    spans[2].duration_us = 20 * SECOND; /* the same bits in twice the time */
    vpi_solve(&rung, spans, 3);
    assert_int_equal(spans[0].kbps, 400);
    assert_int_equal(spans[1].kbps, 800);
    assert_int_equal(spans[2].kbps, 800);
}

/* What a span cannot have goes to the others; when none can have more it stays unspent. */
static void test_maxrate(void **state)
{
    vpi_solve_rung rung = { 1920, 1080, 700, 1000, 1000 };
    vpi_solve_span spans[3];

    (void)state;
    shares(spans);
    vpi_solve(&rung, spans, 3);
    assert_int_equal(spans[2].kbps, 950);
    assert_in_range(spans[0].kbps, 382, 384); /* a third of the 1150 that are left */
    assert_in_range(spans[1].kbps, 766, 768);
    rung.maxrate_kbps = 700;
    vpi_solve(&rung, spans, 3);
    for (unsigned i = 0; i < 3; i++) assert_int_equal(spans[i].kbps, 665);
}

/* Motion and headers cost the same at a coarse quantiser: simple spans get relatively more at a low rate. */
static void test_model(void **state)
{
    vpi_solve_rung rung = { 640, 360, 1000, 0, 0 };
    vpi_solve_span spans[2] = {
        { .cost = { 50000000, 100000, 1000, 200000, 250, 640, 360 }, .duration_us = 10 * SECOND },
        { .cost = { 400000000, 100000, 1000, 200000, 250, 640, 360 }, .duration_us = 10 * SECOND },
    };
    double rich, poor;

    (void)state;
    vpi_solve(&rung, spans, 2);
    assert_in_range(spans[0].kbps + spans[1].kbps, 1999, 2001);
    rich = (double)spans[1].kbps / spans[0].kbps;
    rung.kbps = 50;
    vpi_solve(&rung, spans, 2);
    assert_in_range(spans[0].kbps + spans[1].kbps, 99, 101);
    poor = (double)spans[1].kbps / spans[0].kbps;
    assert_true(poor < rich && poor > 1 && rich < 8);
}

/* Nothing to share out: still a rate that an encoder takes. */
static void test_edges(void **state)
{
    const vpi_solve_rung rung = { 640, 360, 1000, 1500, 1500 };
    vpi_solve_span one = { .cost = { 0, 0, 0, 0, 1, 640, 360 }, .duration_us = 40000 };

    (void)state;
    vpi_solve(&rung, &one, 1);
    assert_int_equal(one.kbps, 1);
    one.cost.texture = 1000000000;
    vpi_solve(&rung, &one, 1);
    assert_int_equal(one.kbps, 1000);
    one.duration_us = 0;
    vpi_solve(&rung, &one, 1);
    assert_int_equal(one.kbps, 1);
}

/* Beyond the cap nobody sees a difference: an easy title leaves bits unspent, a hard one does not. */
static void test_easy(void **state)
{
    vpi_solve_rung rung = { 640, 360, 1000, 0, 0 };
    vpi_solve_span spans[2] = {
        { .cost = { 4000000, 10000, 100, 20000, 250, 640, 360 }, .duration_us = 10 * SECOND },
        { .cost = { 8000000, 10000, 100, 20000, 250, 640, 360 }, .duration_us = 10 * SECOND },
    };
    double cap, hard;
    uint32_t easy;

    (void)state;
    cap = vpi_solve(&rung, spans, 2);
    easy = spans[0].kbps + spans[1].kbps;
    assert_true(easy > 0 && easy < 1000);
    rung.kbps = 5000; /* more to spend changes nothing */
    assert_true(fabs(vpi_solve(&rung, spans, 2) - cap) < 1e-9);
    assert_int_equal(spans[0].kbps + spans[1].kbps, easy);
    rung.kbps = 50;
    hard = vpi_solve(&rung, spans, 2);
    assert_true(hard > cap);
    assert_in_range(spans[0].kbps + spans[1].kbps, 99, 101);
}

/* 50 pictures in two seconds: a large I picture and P pictures, all at the quantiser that is asked for later. */
static const char *pictures(unsigned intra, unsigned peak_at, unsigned peak)
{
    static char text[8192];
    int n = snprintf(text, sizeof(text), OPTIONS);

    for (unsigned i = 0; i < 50; i++)
        n += snprintf(text + n, sizeof(text) - (size_t)n,
                      "in:%u out:%u type:%c dur:2 cpbdur:2 q:24.00 aq:1.00 tex:%u mv:0 misc:0 imb:0 ;\n", i,
                      i, i ? 'P' : 'I',
                      i == 0                             ? intra
                      : i >= peak_at && i < peak_at + 10 ? peak
                                                         : 1000);
    return text;
}

static bool tight(const vpi_solve_rung *rung, const char *text, uint32_t kbps)
{
    const vpi_solve_span span = { .duration_us = 2 * SECOND, .kbps = kbps };
    bool answer = false;

    assert_int_equal(vpi_solve_buffer(text, strlen(text), rung, 3.4, &span, &answer, &err), VP_OK);
    return answer;
}

static void test_buffer(void **state)
{
    vpi_solve_rung rung = { 640, 360, 800, 1200, 1200 };
    bool answer = true;

    (void)state;
    assert_false(tight(&rung, pictures(5000, 50, 0), 800));    /* even: two thirds of the maxrate */
    assert_true(tight(&rung, pictures(5000, 50, 0), 1500));    /* above it all through */
    assert_true(tight(&rung, pictures(5000, 20, 20000), 800)); /* most of the bits within 0.4 s */
    assert_true(tight(&rung, pictures(500000, 50, 0), 800));   /* in one picture */
    rung.bufsize_kbit = 3000;                                  /* which a larger buffer holds */
    assert_false(tight(&rung, pictures(500000, 50, 0), 800));
    rung.maxrate_kbps = rung.bufsize_kbit = 0; /* no buffer, nothing to mind */
    assert_false(tight(&rung, pictures(500000, 20, 20000), 5000));
    rung.maxrate_kbps = 1200;
    assert_int_equal(
        vpi_solve_buffer("x", 1, &rung, 3.4, &(vpi_solve_span){ .duration_us = 1 }, &answer, &err),
        VP_E_DATA);
    assert_false(answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),   cmocka_unit_test(test_refused), cmocka_unit_test(test_shares),
        cmocka_unit_test(test_maxrate), cmocka_unit_test(test_model),   cmocka_unit_test(test_edges),
        cmocka_unit_test(test_easy),    cmocka_unit_test(test_buffer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
