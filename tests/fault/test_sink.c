/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The n-th call of a sink fails: the job ends with the host's own error, nothing is visible, a retry succeeds. */

#include "fault/faulty.h"

static void one_failure(room *r, call_kind kind, unsigned at, bool silent)
{
    faulty f;
    faulty_init(&f);
    f.fail_kind = kind;
    f.fail_at = at;
    f.silent = silent;
    faulty_sink(r, &f);
    vp_store_unref(r->work);
    assert_ok(vp_store_memory(r->context, &r->work, NULL));
    room_start(r, QUICK);
    vp_status st = vp_job_wait(r->job, -1, &r->err);
    if (st != VP_E_IO) print_error("%s %u: %s\n", call_names[kind], at, vp_status_name(st));
    assert_end(VP_E_IO, st, &r->err);
    expect_trouble(r, &f);
    assert_int_equal(f.open, 0);
    assert_true(f.master_first || !faulty_find(&f, "master.m3u8"));
    assert_true(r->err.op[0] != 0);
    /* again, with what was kept */
    f.fail_at = 0;
    room_publish(r, QUICK, VP_OK);
    assert_non_null(faulty_find(&f, "master.m3u8"));
    assert_int_equal(f.open, 0);
    r->job = vp_job_unref(r->job);
    r->sink = vp_sink_unref(r->sink);
    assert_int_equal(f.released, 1);
    faulty_empty(&f);
}

static void count_calls(room *r, unsigned calls[CALL_KINDS])
{
    faulty f;
    faulty_init(&f);
    faulty_sink(r, &f);
    room_publish(r, QUICK, VP_OK);
    memcpy(calls, f.calls, sizeof(f.calls));
    r->job = vp_job_unref(r->job);
    r->sink = vp_sink_unref(r->sink);
    faulty_empty(&f);
}

static void try_kind(room *r, call_kind kind, bool silent)
{
    unsigned calls[CALL_KINDS], tries = 0;
    count_calls(r, calls);
    for (unsigned n = 1; n <= calls[kind]; n = next_try(n, calls[kind]), tries++)
        one_failure(r, kind, n, silent);
    print_message("%s: %u of %u calls\n", call_names[kind], tries, calls[kind]);
    assert_true(tries > 0);
}

static void begin_fails(void **state)
{
    try_kind(*state, CALL_BEGIN, false);
}
static void write_fails(void **state)
{
    try_kind(*state, CALL_WRITE, false);
}
static void commit_fails(void **state)
{
    try_kind(*state, CALL_COMMIT, false);
}
static void flush_fails(void **state)
{
    try_kind(*state, CALL_FLUSH, false);
}
static void silent_failure(void **state)
{
    try_kind(*state, CALL_COMMIT, true);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, room_open, room_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(begin_fails), TEST(write_fails), TEST(commit_fails), TEST(flush_fails), TEST(silent_failure),
    };
    int rc = clips_open();
    return rc ? clips_close(rc) : clips_close(cmocka_run_group_tests_name("sink faults", tests, NULL, NULL));
}
