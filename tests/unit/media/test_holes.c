/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "media/holes_int.h"

#define MS 1000

/* 10 s of sound in packets of 20 ms, and pictures each 40 ms, by turns; nothing of either in the ranges given. */
typedef struct series {
    int64_t sound_from, sound_to, pictures_from, pictures_to; /* ms */
    int64_t pictures_late; /* so much later in the file than the sound of their time, ms; negative: earlier */
    bool no_pictures;
    int64_t pictures_end; /* ms; 0: 10 s */
} series;

static vpi_holes run(const series *s)
{
    vpi_holes h = { .count = 0 };

    for (int64_t at = -5000; at < 15000; at += 20) {
        int64_t picture = at - s->pictures_late, end = s->pictures_end ? s->pictures_end : 10000;

        if (at >= 0 && at < 10000 && !(at >= s->sound_from && at < s->sound_to))
            vpi_holes_sound(&h, at * MS, (at + 20) * MS);
        if (s->no_pictures || picture < 0 || picture >= end || picture % 40) continue;
        if (picture >= s->pictures_from && picture < s->pictures_to) continue;
        vpi_holes_picture(&h, picture * MS);
    }
    vpi_holes_finish(&h);
    return h;
}

static void expect(const series *s, uint64_t count, int64_t first, int64_t total)
{
    vpi_holes h = run(s);

    assert_int_equal(h.count, count);
    assert_int_equal(h.first, first * MS);
    assert_int_equal(h.total, total * MS);
}

static void test_whole(void **state)
{
    (void)state;
    expect(&(series){ .pictures_late = 0 }, 0, 0, 0);
    expect(&(series){ .pictures_late = 1500 }, 0, 0, 0);
    expect(&(series){ .pictures_late = -1500 }, 0, 0, 0);
    expect(&(series){ .no_pictures = true }, 0, 0, 0);
}

static void test_hole(void **state)
{
    static const int64_t late[] = { 0, 40, 600, 2000, -40, -600, -2000 };

    (void)state;
    for (size_t i = 0; i < VPI_COUNT(late); i++) {
        expect(&(series){ .sound_from = 4000,
                          .sound_to = 5000,
                          .pictures_from = 4100,
                          .pictures_to = 5100,
                          .pictures_late = late[i] },
               1, 4000, 1000);
    }
    expect(&(series){ .sound_from = 4000, .sound_to = 5000, .no_pictures = true }, 1, 4000, 1000);
}

static void test_no_hole(void **state)
{
    static const int64_t late[] = { 0, 600, 2000, -600, -2000 };

    (void)state;
    /* Sound or pictures alone may pause, both for a moment, and sound behind the last picture. */
    for (size_t i = 0; i < VPI_COUNT(late); i++) {
        expect(&(series){ .sound_from = 4000, .sound_to = 5000, .pictures_late = late[i] }, 0, 0, 0);
        expect(&(series){ .pictures_from = 4000, .pictures_to = 5000, .pictures_late = late[i] }, 0, 0, 0);
        expect(&(series){ .sound_from = 4000,
                          .sound_to = 4200,
                          .pictures_from = 4000,
                          .pictures_to = 4200,
                          .pictures_late = late[i] },
               0, 0, 0);
        expect(
            &(series){ .sound_from = 8000, .sound_to = 9000, .pictures_end = 6000, .pictures_late = late[i] },
            0, 0, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_hole),
        cmocka_unit_test(test_no_hole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
