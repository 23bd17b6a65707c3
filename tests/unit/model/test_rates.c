/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "model/presentation.h"

static uint32_t seed = 1;

static uint32_t draw(uint32_t below)
{
    seed = seed * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)(seed >> 8) * below) >> 24);
}

static vpi_ptrack *add_track(vpi_presentation *p, const char *name, int32_t kind, uint32_t timescale)
{
    vpi_ptrack *t = vpi_presentation_add_track(p);

    assert_non_null(t);
    t->name = vpi_strdup(name);
    t->group = vpi_strdup(kind == VP_TRACK_VIDEO ? "video" : "stereo");
    t->codecs = vpi_strdup(kind == VP_TRACK_VIDEO ? "avc1.64001f" : "mp4a.40.2");
    t->kind = kind;
    t->container = VP_CONTAINER_CMAF;
    t->timescale = timescale;
    return t;
}

static vpi_segment *add_segment(vpi_ptrack *t, uint64_t ticks, uint64_t bytes)
{
    uint64_t start = 0;
    vpi_segment *s;
    char key[64];

    if (t->segment_count) {
        start = t->segments[t->segment_count - 1].start + t->segments[t->segment_count - 1].ticks;
    }
    s = vpi_ptrack_add_segment(t);
    snprintf(key, sizeof(key), "v/%s/%05zu.m4s", t->name, t->segment_count);
    s->key = vpi_strdup(key);
    s->start = start;
    s->ticks = ticks;
    s->bytes = bytes;
    return s;
}

static uint64_t ceil_rate(uint64_t bytes, uint64_t ticks, uint32_t timescale)
{
    return (uint64_t)(((unsigned __int128)bytes * 8 * timescale + ticks - 1) / ticks);
}

/* The definition word by word: all runs, their rates compared as rounded up integers. */
static uint64_t brute_peak(const vpi_ptrack *t, uint32_t target)
{
    uint64_t best = 0, single = 0, average_bytes = 0;
    size_t i, k;

    for (i = 0; i < t->segment_count; i++) {
        uint64_t bytes = 0, ticks = 0;

        for (k = i; k < t->segment_count; k++) {
            uint64_t rate;

            bytes += t->segments[k].bytes;
            ticks += t->segments[k].ticks;
            rate = ceil_rate(bytes, ticks, t->timescale);
            if (k == i) single = VPI_MAX(single, rate);
            if (ticks * 2 >= (uint64_t)target * t->timescale &&
                ticks * 2 <= (uint64_t)target * 3 * t->timescale) {
                best = VPI_MAX(best, rate);
            }
        }
        average_bytes += t->segments[i].bytes;
    }
    return VPI_MAX(best ? best : single, ceil_rate(average_bytes, vpi_ptrack_ticks(t), t->timescale));
}

static void random_lists(void **state)
{
    size_t round, i;

    (void)state;
    for (round = 0; round < 400; round++) {
        vp_presentation *p = vpi_presentation_new();
        uint32_t timescale = round % 3 == 0 ? 24000 : round % 3 == 1 ? 90000 : 1 + draw(1000);
        vpi_ptrack *t = add_track(&p->p, "720p", VP_TRACK_VIDEO, timescale);
        size_t count = 1 + draw(60);
        uint32_t target;

        for (i = 0; i < count; i++) {
            add_segment(t, 1 + draw(round % 2 ? timescale * 8 : timescale), 1 + draw(5000000));
        }
        assert_int_equal(vpi_presentation_finish(&p->p, NULL), VP_OK);
        target = vpi_presentation_target(&p->p);
        assert_true(t->bandwidth == brute_peak(t, target));
        assert_true(t->average_bandwidth <= t->bandwidth);
        assert_true(p->p.duration == vpi_ptrack_ticks(t) && p->p.timescale == timescale);
        vp_presentation_unref(p);
    }
}

static void known_case(void **state)
{
    vp_presentation *p = vpi_presentation_new();
    vpi_ptrack *t = add_track(&p->p, "720p", VP_TRACK_VIDEO, 90000);

    (void)state;
    /* 6 s of 750000 bytes are 1 Mbit/s; the short dense tail only counts together with the one before. */
    add_segment(t, 540000, 750000);
    add_segment(t, 540000, 750000);
    add_segment(t, 90000, 500000);
    assert_int_equal(vpi_presentation_finish(&p->p, NULL), VP_OK);
    assert_int_equal(vpi_presentation_target(&p->p), 6);
    assert_int_equal(t->bandwidth, (750000 + 500000) * 8 / 7 + 1);
    assert_int_equal(t->average_bandwidth, (uint64_t)2000000 * 8 / 13 + 1);
    vp_presentation_unref(p);
}

static void target_rule(void **state)
{
    static const struct {
        uint32_t timescale;
        uint64_t ticks;
        uint32_t target;
    } cases[] = {
        { 24000, 144144, 6 }, /* 6.006 */
        { 2, 13, 7 },         /* 6.5 */
        { 1000000, 6499999, 6 },
        { 30000000, 194999999, 7 }, /* 6.49999997, which EXTINF prints as 6.500000 */
        { 90000, 100, 1 },
    };
    size_t i;

    (void)state;
    for (i = 0; i < VPI_COUNT(cases); i++) {
        vp_presentation *p = vpi_presentation_new();
        vpi_ptrack *t = add_track(&p->p, "a", VP_TRACK_AUDIO, cases[i].timescale);

        add_segment(t, cases[i].ticks, 1);
        assert_int_equal(vpi_presentation_target(&p->p), cases[i].target);
        vp_presentation_unref(p);
    }
}

static void common_target(void **state)
{
    vp_presentation *p = vpi_presentation_new();
    vpi_ptrack *v = add_track(&p->p, "720p", VP_TRACK_VIDEO, 90000), *a;

    (void)state;
    add_segment(v, 540000, 1000);
    a = add_track(&p->p, "en", VP_TRACK_AUDIO, 48000);
    add_segment(a, 48000 * 8, 1000);
    assert_int_equal(vpi_presentation_finish(&p->p, NULL), VP_OK);
    assert_int_equal(vpi_presentation_target(&p->p), 8);
    /* The shortest track is what all cover. */
    assert_int_equal(p->p.duration, 540000);
    assert_int_equal(p->p.timescale, 90000);
    vp_presentation_unref(p);
}

static void iframes(void **state)
{
    vp_presentation *p = vpi_presentation_new();
    vpi_ptrack *t = add_track(&p->p, "720p", VP_TRACK_VIDEO, 90000);
    uint64_t peak, average;
    size_t i, k;

    (void)state;
    for (i = 0; i < 3; i++) {
        vpi_segment *s = add_segment(t, 540000, 30000);

        for (k = 0; k < 3; k++) {
            vpi_fragment *f = vpi_segment_add_fragment(s);

            *f = (vpi_fragment){ k * 10000, 10000, 180000, i == 1 && k == 1 ? 9000 : 3000 };
        }
    }
    assert_int_equal(vpi_presentation_finish(&p->p, NULL), VP_OK);
    vpi_ptrack_iframe_rates(t, 6, &peak, &average);
    /* Runs of 3 to 9 s are two to four entries: (9000 + 3000) bytes in 4 s. */
    assert_int_equal(peak, 24000);
    assert_int_equal(average, (8 * 3000 + 9000) * 8 / 18 + 1);
    vp_presentation_unref(p);
}

static void refusals(void **state)
{
    vp_presentation *p = vpi_presentation_new();
    vpi_ptrack *t = add_track(&p->p, "720p", VP_TRACK_VIDEO, 90000);
    vp_error err = VP_ERROR_INIT;

    (void)state;
    assert_int_equal(vpi_presentation_finish(&p->p, &err), VP_E_INTERNAL);
    assert_string_equal(err.message, "presentation.tracks[0].segments: none");
    add_segment(t, 540000, 1);
    add_segment(t, 540000, 1);
    t->segments[1].start++;
    vp_error_init(&err);
    assert_int_equal(vpi_presentation_finish(&p->p, &err), VP_E_INTERNAL);
    assert_string_equal(err.message, "presentation.tracks[0].segments[1]: a gap before it");
    t->segments[1].start -= 2;
    vp_error_init(&err);
    assert_int_equal(vpi_presentation_finish(&p->p, &err), VP_E_INTERNAL);
    assert_string_equal(err.message, "presentation.tracks[0].segments[1]: it overlaps the one before");
    t->segments[1].start++;
    assert_int_equal(vpi_presentation_finish(&p->p, NULL), VP_OK);
    t = add_track(&p->p, "720p", VP_TRACK_VIDEO, 90000);
    add_segment(t, 540000, 1);
    vp_error_init(&err);
    assert_int_equal(vpi_presentation_finish(&p->p, &err), VP_E_INTERNAL);
    assert_string_equal(err.message, "presentation.tracks[1].name: 720p is taken");
    t->container = VP_CONTAINER_TS;
    assert_int_equal(vpi_presentation_finish(&p->p, NULL), VP_OK);
    vp_presentation_unref(p);
}

/* All of these lie within one target duration: runs of any length would take the square of their number. */
static void many_short(void **state)
{
    vp_presentation *p = vpi_presentation_new();
    vpi_ptrack *t = add_track(&p->p, "720p", VP_TRACK_VIDEO, 1000000);
    uint64_t peak, average;
    vpi_fragment *f;
    size_t i;

    (void)state;
    for (i = 0; i < 200000; i++) {
        vpi_segment *s = add_segment(t, 1, 1);

        f = vpi_segment_add_fragment(s);
        assert_non_null(f);
        *f = (vpi_fragment){ 0, 1, 1, 1 };
    }
    assert_int_equal(vpi_presentation_finish(&p->p, NULL), VP_OK);
    assert_int_equal(t->bandwidth, 8000000);
    vpi_ptrack_iframe_rates(t, 1, &peak, &average);
    assert_int_equal(peak, 8000000);
    assert_int_equal(average, 8000000);
    vp_presentation_unref(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_lists),  cmocka_unit_test(known_case), cmocka_unit_test(target_rule),
        cmocka_unit_test(common_target), cmocka_unit_test(iframes),    cmocka_unit_test(refusals),
        cmocka_unit_test(many_short),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
