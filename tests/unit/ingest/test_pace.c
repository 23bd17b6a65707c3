/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Past the page cache or through it, by what either takes. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ingest/dir_pace.h"

#define MIB ((size_t)1 << 20)

static unsigned past(const vpi_pace *p)
{
    return atomic_load(&p->past_us);
}

static unsigned through(const vpi_pace *p)
{
    return atomic_load(&p->through_us);
}

/* A fast disk is never left, a slow one is where others write to it already. */
static void disks(void **state)
{
    vpi_pace p = { 0 };

    (void)state;
    assert_false(vpi_pace_through(&p, 3));
    for (int i = 0; i < 50; i++) vpi_pace_past_took(&p, MIB, 1400, 2); /* 1.5 GB/s */
    assert_int_equal(past(&p), 700);
    assert_false(vpi_pace_through(&p, 3));
    for (int i = 0; i < 50; i++) vpi_pace_past_took(&p, MIB, 10000, 2); /* 0.2 GB/s */
    assert_in_range(past(&p), 4900, 5000);
    assert_false(vpi_pace_through(&p, 1));
    assert_true(vpi_pace_through(&p, 2));
}

/* Pages that are dear make the same disk the better way; later they may be cheap again, which is tried. */
static void pages(void **state)
{
    vpi_pace p = { 0 };
    int writes = 0;

    (void)state;
    for (int i = 0; i < 50; i++) vpi_pace_past_took(&p, MIB, 2000, 1);
    assert_true(vpi_pace_through(&p, 2));
    assert_int_equal(through(&p), 0);
    for (int i = 0; i < 20; i++) vpi_pace_through_took(&p, MIB, 250);
    assert_int_equal(through(&p), 250);
    assert_true(vpi_pace_through(&p, 2));
    for (int i = 0; i < 50; i++) vpi_pace_through_took(&p, MIB, 1250);
    assert_in_range(through(&p), 1200, 1250);
    assert_false(vpi_pace_through(&p, 2));
    for (; !vpi_pace_through(&p, 2); writes++) vpi_pace_past_took(&p, MIB, 2000, 1);
    assert_in_range(writes, 20, 200);
}

/* Sizes count; what is small, stands still or goes back in time says nothing. */
static void measures(void **state)
{
    vpi_pace p = { 0 };

    (void)state;
    vpi_pace_past_took(&p, MIB / 2, 400, 0);
    assert_int_equal(past(&p), 800);
    vpi_pace_past_took(&p, 4096, 100000, 1);
    vpi_pace_past_took(&p, MIB, -5, 1);
    vpi_pace_past_took(&p, MIB, INT64_MAX, 1);
    vpi_pace_past_took(&p, SIZE_MAX, 800, 1); /* as good as nothing for so much */
    assert_int_equal(past(&p), 700);
    vpi_pace_through_took(&p, 0, 7);
    vpi_pace_through_took(&p, MIB, INT64_MIN);
    vpi_pace_through_took(&p, MIB, INT64_MAX);
    assert_int_equal(through(&p), 0);
    vpi_pace_through_took(&p, MIB, 0);
    assert_int_equal(through(&p), 1); /* known */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(disks),
        cmocka_unit_test(pages),
        cmocka_unit_test(measures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
