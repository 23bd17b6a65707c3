/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Clocks that jump: one list of shifts for all tracks of a file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "media/repair_int.h"

/* Two tracks of a transport stream: pictures each 3600 ticks, sound each 1920. */
enum { PICTURE, SOUND };
static const int64_t step[2] = { 3600, 1920 };
static const vpi_rational tb = { 1, 90000 };

typedef struct feed {
    vpi_repairer *r;
    int64_t position;
    int64_t next[2]; /* times on the file's clock */
    int64_t seen[2]; /* last repaired times */
} feed;

static void begin(feed *f, bool forward)
{
    *f = (feed){ .r = vpi_repairer_new(2, forward, false) };
    assert_non_null(f->r);
}

static int64_t one_at(feed *f, int32_t stream, int64_t time, int64_t position)
{
    const vpi_repair_packet p = { .stream = stream,
                                  .has_pts = true,
                                  .has_dts = true,
                                  .pts = time,
                                  .dts = time,
                                  .duration = step[stream],
                                  .tb = tb,
                                  .position = position };
    int64_t shift = 0;
    assert_true(vpi_repairer_see(f->r, &p, &shift));
    /* wild times may wrap here; the library's own stay in range */
    f->seen[stream] = (int64_t)((uint64_t)time - (uint64_t)shift);
    return f->seen[stream];
}

/* So many ticks of both tracks, interleaved, from each track's own time. */
static void run(feed *f, int64_t ticks)
{
    int64_t end[2] = { f->next[0] + ticks, f->next[1] + ticks };
    while (f->next[0] < end[0] || f->next[1] < end[1]) {
        int s = f->next[0] - end[0] <= f->next[1] - end[1] ? PICTURE : SOUND;
        int64_t before = f->seen[s], now = one_at(f, s, f->next[s], f->position += 188);
        if (before) assert_true(now - before > 0 && now - before < 2 * step[s] + 200);
        f->next[s] += step[s];
    }
}

static void set_clock(feed *f, int64_t picture, int64_t sound)
{
    f->next[PICTURE] = picture;
    f->next[SOUND] = sound;
}

/* Ends the feed; gives the list. */
static uint64_t end(feed *f, vpi_repair **list, size_t *count)
{
    int64_t at = 0, by = 0;
    uint64_t jumps = vpi_repairer_result(f->r, list, count, &at, &by);
    f->r = vpi_repairer_free(f->r);
    return jumps;
}

static void nothing_to_do(void **state)
{
    feed f;
    vpi_repair *list;
    size_t n;
    (void)state;
    begin(&f, true);
    set_clock(&f, 126000, 124080);
    run(&f, 40 * 90000);
    assert_int_equal(end(&f, &list, &n), 0);
    assert_int_equal(n, 0);
    assert_null(list);
}

/* Back to the start, far ahead, back again: in any order, sound and picture keep their distance. */
static void restarts(void **state)
{
    static const int64_t clocks[] = { 126000, 450000000, 126000, 90000 };
    feed f;
    vpi_repair *list;
    size_t n;
    int64_t skew;
    (void)state;
    begin(&f, true);
    set_clock(&f, 90000, 90900);
    run(&f, 8 * 90000);
    for (size_t i = 0; i < VPI_COUNT(clocks); i++) {
        set_clock(&f, clocks[i], clocks[i] + 900);
        run(&f, 8 * 90000);
        skew = (f.seen[PICTURE] + step[PICTURE]) - (f.seen[SOUND] + step[SOUND]);
        assert_true(skew > -step[PICTURE] && skew < step[PICTURE]);
    }
    assert_int_equal(end(&f, &list, &n), VPI_COUNT(clocks));
    assert_int_equal(n, VPI_COUNT(clocks));
    for (size_t i = 1; i < n; i++) assert_true(list[i].position > list[i - 1].position);
    /* what a reader that begins anywhere finds */
    assert_int_equal(vpi_repair_shift(list, n, list[0].position - 1), 0);
    assert_int_equal(vpi_repair_shift(list, n, list[0].position), list[0].shift);
    assert_int_equal(vpi_repair_shift(list, n, INT64_MAX), list[n - 1].shift);
    vpi_free(list);
}

/* The first sound of the new recording comes after its first picture, but lies before it in the file. */
static void lies_before(void **state)
{
    feed f;
    vpi_repair *list;
    size_t n;
    int64_t picture, sound;
    (void)state;
    begin(&f, true);
    set_clock(&f, 900000, 900000);
    run(&f, 5 * 90000);
    picture = one_at(&f, PICTURE, 126000, f.position + 2000);
    sound = one_at(&f, SOUND, 126000, f.position + 1000);
    assert_int_equal(sound, picture); /* the same distance as in the recording */
    assert_int_equal(end(&f, &list, &n), 1);
    assert_int_equal(n, 1);
    assert_int_equal(list[0].position, f.position + 1000);
    vpi_free(list);
}

/* Sound that begins with the new recording, and is read before its first picture: its own times are those of it. */
static void begins_behind(void **state)
{
    feed f;
    vpi_repair *list;
    size_t n;
    int64_t last, sound;
    (void)state;
    for (int forward = 0; forward < 2; forward++) {
        begin(&f, forward);
        for (int i = 0; i < 1000; i++) last = one_at(&f, PICTURE, 90000 + i * step[PICTURE], ++f.position);
        sound = one_at(&f, SOUND, 126000, f.position + 1000);
        /* elsewhere tracks may lie one behind the other */
        assert_int_equal(sound, forward ? last : 126000);
        assert_int_equal(end(&f, &list, &n), forward);
        vpi_free(list);
    }
}

/*
 * Two recordings, of the first of which the sound ends a second before the picture, or the other way round: what
 * follows begins behind both, on the grid of the pictures. A clock that is set anew within a recording moves nothing,
 * however far sound and picture lie from each other in the file.
 */
static void ends_apart(void **state)
{
    (void)state;
    for (int early = 0; early < 2; early++) {
        for (int join = 0; join < 2; join++) {
            int late = !early;
            feed f;
            vpi_repair *list;
            size_t n;
            int64_t ends;
            begin(&f, true);
            set_clock(&f, 90000, 90000);
            run(&f, 4 * 90000);
            for (ends = f.next[late] + 90000; f.next[late] < ends; f.next[late] += step[late])
                one_at(&f, late, f.next[late], ++f.position);
            ends = f.next[late];
            one_at(&f, early, join ? 126000 : 50000000 + f.next[early], f.position += 188);
            one_at(&f, late, join ? 126000 : 50000000 + ends, f.position += 188);
            if (join)
                assert_true(f.seen[late] >= ends && f.seen[late] < ends + 2 * step[PICTURE]);
            else
                assert_int_equal(f.seen[late], ends);
            assert_int_equal(end(&f, &list, &n), 1);
            assert_int_equal(n, 1);
            vpi_free(list);
        }
    }
}

/* One track pauses while the other goes on: no jump. Nor is a long picture in a format that does not jump. */
static void pauses(void **state)
{
    feed f;
    vpi_repair *list;
    size_t n;
    (void)state;
    begin(&f, true);
    set_clock(&f, 90000, 90000);
    run(&f, 90000);
    for (int i = 0; i < 1000; i++, f.next[SOUND] += step[SOUND])
        one_at(&f, SOUND, f.next[SOUND], ++f.position);
    assert_int_equal(one_at(&f, PICTURE, f.next[SOUND], ++f.position), f.next[SOUND]);
    assert_int_equal(end(&f, &list, &n), 0);
    begin(&f, false);
    assert_int_equal(one_at(&f, PICTURE, 0, 0), 0);
    assert_int_equal(one_at(&f, PICTURE, 3600 * INT64_C(90000), 1), 3600 * INT64_C(90000));
    assert_int_equal(end(&f, &list, &n), 0);
}

/* Wild clocks do not overflow, and there is an end to the list. */
static void wild(void **state)
{
    feed f;
    vpi_repair *list;
    size_t n;
    (void)state;
    begin(&f, true);
    for (int64_t i = 0; i < 30000; i++) one_at(&f, (int32_t)(i % 2), (i % 3 - 1) * (INT64_MAX / 8) + i, i);
    one_at(&f, PICTURE, INT64_MAX, 40000);
    one_at(&f, PICTURE, INT64_MIN + 1, 40001);
    end(&f, &list, &n);
    assert_true(n <= 10000);
    vpi_free(list);
}

/* Recordings that begin at 0, whose decoder has priming before that: heard is what begins at 0. */
static void priming(void **state)
{
    static const int64_t lengths[] = { 20, 5, 20 }; /* packets; the second one lasts a tenth of a second */

    for (int exact = 0; exact < 2; exact++) {
        feed f = { .r = vpi_repairer_new(2, exact, exact) };
        vpi_repair *list;
        int64_t whole = 0;
        size_t n;

        (void)state;
        assert_non_null(f.r);
        for (size_t i = 0; i < VPI_COUNT(lengths); i++) {
            int64_t count = lengths[i] * (exact ? 1 : 60);

            for (int64_t k = -1; k < count; k++)
                assert_int_equal(one_at(&f, SOUND, k * step[SOUND], ++f.position), whole + k * step[SOUND]);
            whole += count * step[SOUND];
        }
        assert_int_equal(end(&f, &list, &n), 2);
        vpi_free(list);
    }
}

static void ticks(void **state)
{
    (void)state;
    assert_int_equal(vpi_repair_ticks(90, (vpi_rational){ 1, 1000 }), 1);
    assert_int_equal(vpi_repair_ticks(-3600, (vpi_rational){ 1, 25 }), -1);
    assert_int_equal(vpi_repair_ticks(123456789, tb), 123456789);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_to_do), cmocka_unit_test(restarts),   cmocka_unit_test(lies_before),
        cmocka_unit_test(begins_behind), cmocka_unit_test(ends_apart), cmocka_unit_test(pauses),
        cmocka_unit_test(wild),          cmocka_unit_test(ticks),      cmocka_unit_test(priming),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
