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
#include "base/fault.h"
#include "transcode/solve_int.h"

#define OPTIONS "#options: 640x360 fps=25/1 timebase=1/25 bitdepth=8 cabac=1 bframes=3\n"
#define SECOND 1000000u

static vp_error err = VP_ERROR_INIT;

/* By hand: q 24 is 0.85 * 2^2 = 3.4 on the linear scale. */
static void test_parse(void **state)
{
    static const char text[] = OPTIONS
        "in:0 out:0 type:I dur:2 cpbdur:2 q:24.00 aq:15.31 tex:1000 mv:10 misc:5 imb:240 pmb:0 d:- ref:;\n"
        "in:4 out:1 type:P dur:2 cpbdur:2 q:12.00 aq:9.00 tex:500 mv:100 misc:7 imb:35 pmb:52 d:- ref:0 ;\n"
        "in:3 out:2 type:b dur:2 cpbdur:2 q:24.00 aq:21.00 tex:190 mv:3 misc:9 imb:35 pmb:52 d:- ref:0 ;\n"
        "in:5 out:5 type:I dur:2 cpbdur:2 q:24.00 aq:15.31 tex:9 mv:0 misc:1 imb:240 pmb:0 d:- ref:;\n";
    vpi_costs c;

    (void)state;
    if (vpi_costs_parse(text, strlen(text), &c, &err) != VP_OK) fail_msg("%s", err.message);
    assert_int_equal(c.width, 640);
    assert_int_equal(c.height, 360);
    assert_int_equal(c.count, 2);
    assert_int_equal(c.kept, 3);
    assert_int_equal(c.gops[0].pictures, 3);
    assert_int_equal(c.gops[0].intra.other, 5);
    assert_int_equal(c.gops[0].inter.other, 16);
    assert_int_equal(c.gops[0].inter.motion,
                     lround(100 + 3 * sqrt(3.4))); /* a quantiser below 1 counts as 1 */
    assert_int_equal(c.gops[0].intra.motion, lround(10 * sqrt(3.4)));
    assert_int_equal(c.gops[0].intra.texture, lround(1000.1 * pow(3.4 * 1.4, 1.1)));
    assert_int_equal(c.gops[0].inter.texture, lround(500.1 * pow(0.85, 1.1) + 190.1 * pow(3.4, 1.1)));
    assert_int_equal(c.gops[0].intra.bits, 1015);
    assert_int_equal(c.gops[0].inter.bits, 809);
    assert_int_equal(c.gops[0].intra.qp_milli, 15310);
    assert_int_equal(c.gops[0].inter.qp_milli, lround((9000 * 607 + 21000 * 202) / 809.0)); /* by bits */
    assert_int_equal(c.gops[0].qp_milli, lround((12000 * 607 + 24000 * 202) / 809.0));
    assert_int_equal(c.gops[1].pictures, 1);
    assert_int_equal(c.gops[1].inter.bits, 0);
    assert_int_equal(c.gops[1].intra.texture, lround(9.1 * pow(3.4 * 1.4, 1.1)));
    assert_int_equal(c.gops[1].qp_milli, lround((24 + 6 * log2(1.4)) * 1000)); /* of an I picture alone */
    vpi_costs_dispose(&c);
    assert_null(c.gops);
}

static void test_refused(void **state)
{
    static const char *const bad[] = {
        "",
        OPTIONS,
        "#options: 640x fps=25/1\nin:0 out:0 type:I q:24.00 aq:9.00 tex:1 mv:1 misc:1 ;\n",
        OPTIONS "in:0 out:0 type:X q:24.00 aq:9.00 tex:1 mv:1 misc:1 ;\n",
        OPTIONS "in:0 out:0 type:P q:24.00 aq:9.00 tex:1 mv:1 misc:1 ;\n", /* no IDR before it */
        OPTIONS "in:0 out:0 type:I q:-1 aq:9.00 tex:1 mv:1 misc:1 ;\n",
        OPTIONS "in:0 out:0 type:I q:24.00 aq:9.00 tex:1 misc:1 ;\n",
        OPTIONS "in:0 out:0 type:I q:24.00 tex:1 mv:1 misc:1 ;\n",
        OPTIONS "in:0 out:0 type:I q:24.00 aq:9.00 tex:99999999999 mv:1 misc:1 ;\n",
        OPTIONS "in:0 out:0 type:I q:24.00 aq:9.00 tex:1 mv:1 misc:1 ;", /* cut off */
        OPTIONS "in:0 out:0 type:",
    };
    vpi_costs costs;

    (void)state;
    for (size_t i = 0; i < VPI_COUNT(bad); i++) {
        assert_int_equal(vpi_costs_parse(bad[i], strlen(bad[i]), &costs, &err), VP_E_DATA);
        assert_string_equal(err.reason, "INPUT_CORRUPT");
        assert_null(costs.gops);
    }
}

#define GOPS 3
static const vpi_solve_rung open_rung = { 640, 360, 640, 360, 700, 0, 0 };

/* GOPs that cost 1, 2 and 4: textures alone. */
static void three(vpi_solve_gop gops[GOPS])
{
    for (unsigned i = 0; i < GOPS; i++)
        gops[i] = (vpi_solve_gop){ .cost = { .inter.texture = UINT64_C(40000000) << i, .pictures = 50 },
                                   .duration_us = 2 * SECOND };
}

static vpi_solve_gop two_seconds(uint64_t texture, uint64_t motion, uint64_t motion_intra, uint64_t other)
{
    return (vpi_solve_gop){ .cost = { .intra = { .motion = motion_intra },
                                      .inter = { .texture = texture, .motion = motion, .other = other },
                                      .pictures = 50 },
                            .duration_us = 2 * SECOND };
}

static double kbps(const vpi_solve_gop *g)
{
    return g->bits * 1000 / (double)g->duration_us;
}

static double total_kbit(const vpi_solve_gop *gops, size_t count)
{
    double bits = 0;

    for (size_t i = 0; i < count; i++) bits += gops[i].bits;
    return bits / 1000;
}

#define NEAR(a, b) assert_true(fabs((a) - (b)) <= 0.002 * fabs(b))

/* A GOP of twice the cost gets a coarser quantiser by 2^0.2, so 2^(1 - 1.1 * 0.2) of the bits. */
static void test_shares(void **state)
{
    vpi_solve_gop gops[GOPS], other[GOPS];

    (void)state;
    three(gops);
    assert_int_equal(vpi_solve(&open_rung, gops, GOPS, &err), VP_OK);
    NEAR(total_kbit(gops, GOPS), 700.0 * 6);
    NEAR(gops[1].q / gops[0].q, pow(2, 0.2));
    NEAR(gops[2].q / gops[1].q, pow(2, 0.2));
    NEAR(gops[1].bits / gops[0].bits, pow(2, 1 - 1.1 * 0.2));
    NEAR(gops[2].bits / gops[1].bits, pow(2, 1 - 1.1 * 0.2));
    three(other);
    other[2].duration_us = 4 * SECOND; /* the same bits in twice the time: as hard as the second */
    assert_int_equal(vpi_solve(&open_rung, other, GOPS, &err), VP_OK);
    NEAR(total_kbit(other, GOPS), 700.0 * 8);
    NEAR(other[2].q, other[1].q);
    NEAR(kbps(&other[2]), kbps(&other[1]));
}

/* A GOP that costs next to nothing is not made finer without end. */
static void test_bounds(void **state)
{
    vpi_solve_gop gops[2] = {
        { .cost = { .inter.texture = 1000, .pictures = 50 }, .duration_us = 2 * SECOND },
        { .cost = { .inter.texture = 400000000, .pictures = 50 }, .duration_us = 2 * SECOND },
    };

    (void)state;
    assert_int_equal(vpi_solve(&open_rung, gops, 2, &err), VP_OK);
    NEAR(total_kbit(gops, 2), 700.0 * 4);
    assert_true(gops[1].q / gops[0].q <= 3.0 * 1.5);
    assert_true(gops[0].bits < 4000);
}

/* What a GOP cannot have goes to the others; when none can have more it stays unspent. */
static void test_maxrate(void **state)
{
    vpi_solve_rung rung = { 640, 360, 640, 360, 700, 900, 900 };
    vpi_solve_gop gops[GOPS], open[GOPS];

    (void)state;
    three(open);
    assert_int_equal(vpi_solve(&open_rung, open, GOPS, &err), VP_OK);
    assert_true(kbps(&open[2]) > 900);
    three(gops);
    assert_int_equal(vpi_solve(&rung, gops, GOPS, &err), VP_OK);
    NEAR(kbps(&gops[2]), 855.0);
    assert_true(gops[0].bits > open[0].bits && gops[1].bits > open[1].bits);
    NEAR(total_kbit(gops, GOPS), 700.0 * 6);
    assert_true(gops[2].q > open[2].q); /* it is told how coarse it must be */
    rung.maxrate_kbps = 700;
    assert_int_equal(vpi_solve(&rung, gops, GOPS, &err), VP_OK);
    for (unsigned i = 0; i < GOPS; i++) NEAR(kbps(&gops[i]), 665.0);
}

/* Motion and headers cost the same at a coarse quantiser: simple GOPs get relatively more at a low rate. */
static void test_model(void **state)
{
    vpi_solve_rung rung = { 640, 360, 640, 360, 1000, 0, 0 };
    vpi_solve_gop gops[2] = {
        two_seconds(10000000, 20000, 200, 40000),
        two_seconds(80000000, 20000, 200, 40000),
    };
    double rich, poor;

    (void)state;
    assert_int_equal(vpi_solve(&rung, gops, 2, &err), VP_OK);
    NEAR(total_kbit(gops, 2), 1000.0 * 4);
    rich = gops[1].bits / gops[0].bits;
    rung.kbps = 50;
    assert_int_equal(vpi_solve(&rung, gops, 2, &err), VP_OK);
    NEAR(total_kbit(gops, 2), 50.0 * 4);
    poor = gops[1].bits / gops[0].bits;
    assert_true(poor < rich && poor > 1 && rich < 8);
}

/* From another size of the first pass: bits grow by less than the area, shares stay. */
static void test_area(void **state)
{
    vpi_solve_rung rung = { 1280, 720, 640, 360, 700, 0, 0 };
    vpi_solve_gop small[GOPS], large[GOPS];

    (void)state;
    three(small);
    three(large);
    assert_int_equal(vpi_solve(&open_rung, small, GOPS, &err), VP_OK);
    assert_int_equal(vpi_solve(&rung, large, GOPS, &err), VP_OK);
    for (unsigned i = 0; i < GOPS; i++) {
        NEAR(large[i].bits, small[i].bits);
        NEAR(large[i].q / small[i].q, pow(4, 0.7 / 1.1));
    }
}

/* Nothing to share out. */
static void test_edges(void **state)
{
    vpi_solve_gop one = { .cost = { .pictures = 1 }, .duration_us = 40000 };

    (void)state;
    assert_int_equal(vpi_solve(&open_rung, &one, 1, &err), VP_OK);
    assert_true(one.bits >= 0 && one.bits < 1 && one.q > 0);
    one.duration_us = 0;
    one.cost.inter.texture = 1000000;
    assert_int_equal(vpi_solve(&open_rung, &one, 1, &err), VP_OK);
    assert_true(one.bits >= 0 && isfinite(one.bits) && one.q > 0 && isfinite(one.q));
    assert_int_equal(vpi_solve(&open_rung, &one, 0, &err), VP_OK);
}

/* Never below what x264 says that headers cost. */
static void test_least(void **state)
{
    vpi_solve_gop gop = { .cost = { .inter.other = 10000, .pictures = 50 },
                          .duration_us = 2 * SECOND,
                          .bits = 100,
                          .inter_scale = 1 };

    (void)state;
    assert_int_equal(vpi_solve_kbps(&open_rung, &gop, 1), 7); /* 5.5, and one more */
    gop.bits = 2000000;
    assert_int_equal(vpi_solve_kbps(&open_rung, &gop, 1), 1001);
    gop.duration_us = 0;
    assert_int_equal(vpi_solve_kbps(&open_rung, &gop, 1), 1);
}

/* Beyond the cap nobody sees a difference: an easy title leaves bits unspent, a hard one does not. */
static void test_easy(void **state)
{
    vpi_solve_rung rung = { 640, 360, 640, 360, 1000, 0, 0 };
    vpi_solve_gop gops[2] = {
        two_seconds(800000, 2000, 20, 4000),
        two_seconds(1600000, 2000, 20, 4000),
    };
    double easy, q;

    (void)state;
    assert_int_equal(vpi_solve(&rung, gops, 2, &err), VP_OK);
    easy = total_kbit(gops, 2);
    q = gops[0].q;
    assert_true(easy > 0 && easy < 2000);
    rung.kbps = 5000; /* more to spend changes nothing */
    assert_int_equal(vpi_solve(&rung, gops, 2, &err), VP_OK);
    NEAR(total_kbit(gops, 2), easy);
    NEAR(gops[0].q, q);
    rung.kbps = 50;
    assert_int_equal(vpi_solve(&rung, gops, 2, &err), VP_OK);
    assert_true(gops[0].q > q);
    NEAR(total_kbit(gops, 2), 50.0 * 4);
}

/* 50 pictures in two seconds: a large I picture and P pictures, some of another size. */
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
                                                         : 100000);
    return text;
}

static bool tight(const vpi_solve_rung *rung, const char *text, double rate)
{
    vpi_solve_gop gop = { .duration_us = 2 * SECOND };
    vpi_solve_rung open = *rung;
    bool answer = false;
    vpi_costs c;

    assert_int_equal(vpi_costs_parse(text, strlen(text), &c, &err), VP_OK);
    gop.cost = c.gops[0];
    vpi_costs_dispose(&c);
    open.kbps = (uint32_t)rate;
    open.maxrate_kbps = 0;
    assert_int_equal(vpi_solve(&open, &gop, 1, &err), VP_OK);
    assert_int_equal(vpi_solve_buffer(text, strlen(text), rung, &gop, 1, &answer, &err), VP_OK);
    return answer;
}

static void test_buffer(void **state)
{
    vpi_solve_rung rung = { 640, 360, 640, 360, 800, 1200, 1200 };
    vpi_solve_gop none = { .duration_us = SECOND };
    const char *text;
    bool answer = true;

    (void)state;
    assert_false(tight(&rung, pictures(500000, 50, 0), 800));        /* even: two thirds of the maxrate */
    assert_true(tight(&rung, pictures(500000, 50, 0), 1500));        /* above it all through */
    assert_true(tight(&rung, pictures(50000000, 20, 2000000), 800)); /* most of the bits within 0.4 s */
    assert_true(tight(&rung, pictures(50000000, 50, 0), 800));       /* in one picture */
    rung.bufsize_kbit = 3000;                                        /* which a larger buffer holds */
    assert_false(tight(&rung, pictures(50000000, 50, 0), 800));
    rung.maxrate_kbps = rung.bufsize_kbit = 0; /* no buffer, nothing to mind */
    assert_false(tight(&rung, pictures(50000000, 20, 2000000), 5000));
    rung.maxrate_kbps = 1200;
    text = pictures(500000, 50, 0);
    assert_int_equal(vpi_solve_buffer(text, strlen(text), &rung, &none, 1, &answer, &err), VP_E_DATA);
    assert_false(answer); /* statistics of more than the GOPs */
    assert_int_equal(vpi_solve_buffer("x", 1, &rung, &none, 1, &answer, &err), VP_E_DATA);
}

/* ---- what was measured ---- */

/* As if its pictures had been coded at QP 23 (26 without tree): bits fall to a `by`th from point to point. */
static vpi_solve_gop gauged(double by, uint64_t bits)
{
    vpi_solve_gop g = { .duration_us = 2 * SECOND };
    vpi_cost_part *p = &g.cost.inter;

    g.cost.pictures = 50;
    g.cost.qp_milli = 26000;
    *p = (vpi_cost_part){ .texture = (uint64_t)((double)bits * pow(0.85 * pow(2, (26 - 12) / 6.0), 1.1)),
                          .bits = bits,
                          .qp_milli = 23000 };
    for (unsigned i = 0; i < VPI_GAUGE_POINTS; i++) p->gauge[i] = (uint64_t)(1e6 * pow(by, -(double)i));
    return g;
}

static double qp_of(const vpi_solve_gop *g)
{
    return 12 + 6 * log2(g->q / 0.85);
}

/* A measured GOP costs by its own curve, not by x264's, and its statistics are scaled to say so. */
static void test_gauge(void **state)
{
    vpi_solve_rung rung = { 640, 360, 640, 360, 1000, 0, 0 };
    vpi_solve_gop g = gauged(3, 1000000);
    double model;

    (void)state;
    assert_int_equal(vpi_solve(&rung, &g, 1, &err), VP_OK);
    NEAR(g.bits, 2000000.0);
    NEAR(qp_of(&g), 26 - 7 * log(2) / log(3)); /* twice the bits: so much of a step of 7 */
    model = (double)g.cost.inter.texture / pow(g.q, 1.1);
    NEAR(g.inter_scale, 2000000 / model);
    rung.kbps = 500; /* what the first pass had */
    assert_int_equal(vpi_solve(&rung, &g, 1, &err), VP_OK);
    NEAR(qp_of(&g), 26.0);
    NEAR(g.inter_scale, 1.0);
    g.cost.inter.gauge[1] = 0; /* not measured: x264's model */
    rung.kbps = 1000;
    assert_int_equal(vpi_solve(&rung, &g, 1, &err), VP_OK);
    NEAR(qp_of(&g), 26 - 6 / 1.1);
    NEAR(g.inter_scale, 1.0);
}

/* For 2.4 times the bits of the first pass, at four times its size. */
static double area_qp(double by)
{
    double power = 0.7 + 0.2 * (log(by) / (7 * log(2) / 6) - 1.2);

    return 26 + 7 * (power * log(4) - log(2.4)) / log(by);
}

/* Grain: costs more with the size of the pictures than even ground does. */
static void test_gauge_area(void **state)
{
    vpi_solve_rung rung = { 1280, 720, 640, 360, 1200, 0, 0 };
    vpi_solve_gop even = gauged(1.5, 1000000), grain = gauged(4, 1000000);

    (void)state;
    assert_int_equal(vpi_solve(&rung, &even, 1, &err), VP_OK);
    assert_int_equal(vpi_solve(&rung, &grain, 1, &err), VP_OK);
    NEAR(even.bits, grain.bits);
    NEAR(qp_of(&even), area_qp(1.5));
    NEAR(qp_of(&grain), area_qp(4));
    rung.kbps = 5000000; /* at the cap: what was measured does not go on without end */
    assert_int_equal(vpi_solve(&rung, &grain, 1, &err), VP_OK);
    assert_true(isfinite(grain.bits) && grain.bits < 1e9);
}

/* Noise: hardly fewer bits at each point, and yet fewer beyond the last as x264's model has it. */
static void test_gauge_noise(void **state)
{
    vpi_solve_rung rung = { 640, 360, 640, 360, 100, 0, 0 };
    vpi_solve_gop g = gauged(1.3, 1000000);

    (void)state;
    assert_int_equal(vpi_solve(&rung, &g, 1, &err), VP_OK);
    NEAR(g.bits, 200000.0);
    NEAR(qp_of(&g), 33 + 6 / 1.1 * log2(5 / 1.3)); /* a step to QP 30 (33 without tree), the rest behind it */
}

/* Measurements that rise or stay where bits have to fall do not turn the search round. */
static void test_gauge_odd(void **state)
{
    vpi_solve_rung rung = { 640, 360, 640, 360, 2000, 0, 0 };
    vpi_solve_gop g = gauged(0.5, 1000000), fine, coarse;

    (void)state;
    assert_int_equal(vpi_solve(&rung, &g, 1, &err), VP_OK);
    fine = g;
    rung.kbps = 100;
    assert_int_equal(vpi_solve(&rung, &g, 1, &err), VP_OK);
    coarse = g;
    assert_true(coarse.q > fine.q && coarse.bits < fine.bits);
    memset(g.cost.inter.gauge, 0xff, sizeof(g.cost.inter.gauge));
    assert_int_equal(vpi_solve(&rung, &g, 1, &err), VP_OK);
    assert_true(isfinite(g.bits) && isfinite(g.q) && g.q > 0);
}

static void test_statistics(void **state)
{
    static const char text[] = OPTIONS
        "in:0 out:0 type:I dur:2 cpbdur:2 q:24.00 aq:15.31 tex:1000 mv:10 misc:5 imb:240 pmb:0 d:- ref:;\n"
        "in:4 out:1 type:P dur:2 cpbdur:2 q:12.00 aq:9.00 tex:500 mv:100 misc:7 imb:35 pmb:52 d:- ref:0 ;\n"
        "in:5 out:5 type:I dur:2 cpbdur:2 q:24.00 aq:15.31 tex:9 mv:0 misc:1 imb:240 pmb:0 d:- ref:;\n";
    static const char expected[] = OPTIONS
        "in:0 out:0 type:I dur:2 cpbdur:2 q:24.00 aq:15.31 tex:2000 mv:20 misc:10 imb:240 pmb:0 d:- ref:;\n"
        "in:4 out:1 type:P dur:2 cpbdur:2 q:12.00 aq:9.00 tex:250 mv:50 misc:4 imb:35 pmb:52 d:- ref:0 ;\n"
        "in:5 out:5 type:I dur:2 cpbdur:2 q:24.00 aq:15.31 tex:1000000000 mv:0 misc:120000000 imb:240 pmb:0 "
        "d:- ref:;\n";
    vpi_solve_gop gops[2] = { { .intra_scale = 2, .inter_scale = 0.5 }, { .intra_scale = 1.2e8 } };
    vpi_buf out = { 0 };

    (void)state;
    assert_int_equal(vpi_solve_statistics(text, strlen(text), gops, 2, &out, &err), VP_OK);
    vpi_buf_u8(&out, 0);
    assert_string_equal((char *)out.data, expected);
    vpi_buf_dispose(&out);
    assert_int_equal(vpi_solve_statistics(text, strlen(text), gops, 1, &out, &err), VP_E_DATA);
    vpi_buf_dispose(&out);
    assert_int_equal(vpi_solve_statistics("x", 1, gops, 1, &out, &err), VP_E_DATA);
    vpi_buf_dispose(&out);
}

/* Each allocation fails once: NOMEM, and the error says the same; what is no memory is not taken for damage. */
static void test_no_memory(void **state)
{
    const vpi_solve_rung rung = { 640, 360, 640, 360, 800, 1200, 1200 };
    const char *text = pictures(500000, 50, 0);
    vp_status st = VP_E_NOMEM;

    (void)state;
    for (long n = 1; st < 0; n++) {
        vpi_solve_gop gop = { .duration_us = 2 * SECOND };
        vpi_buf out = { 0 };
        vpi_costs c;
        bool answer;

        vp_error_init(&err);
        vpi_alloc_fail_at = n;
        st = vpi_costs_parse(text, strlen(text), &c, &err);
        if (st >= 0) gop.cost = c.gops[0];
        if (st >= 0) st = vpi_solve(&rung, &gop, 1, &err);
        if (st >= 0) st = vpi_solve_buffer(text, strlen(text), &rung, &gop, 1, &answer, &err);
        if (st >= 0) st = vpi_solve_statistics(text, strlen(text), &gop, 1, &out, &err);
        assert_int_equal(st, vpi_alloc_fail_at > 0 ? VP_OK : VP_E_NOMEM);
        assert_int_equal(err.status, st);
        vpi_alloc_fail_at = 0;
        vpi_costs_dispose(&c);
        vpi_buf_dispose(&out);
        assert_in_range(n, st < 0 ? 1 : 6, 100);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),       cmocka_unit_test(test_refused),
        cmocka_unit_test(test_shares),      cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_maxrate),     cmocka_unit_test(test_model),
        cmocka_unit_test(test_area),        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_easy),        cmocka_unit_test(test_buffer),
        cmocka_unit_test(test_least),       cmocka_unit_test(test_gauge),
        cmocka_unit_test(test_gauge_area),  cmocka_unit_test(test_gauge_odd),
        cmocka_unit_test(test_gauge_noise), cmocka_unit_test(test_statistics),
        cmocka_unit_test(test_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
