/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sources that fail, give a few bytes at a time, or tell nonsense. */

#include "fault/faulty.h"

static void one_failure(room *r, unsigned at, bool silent)
{
    faulty f;
    faulty_init(&f);
    f.fail_kind = CALL_READ;
    f.fail_at = at;
    f.silent = silent;
    faulty_source(r, &f);
    vp_sink_unref(r->sink);
    assert_ok(vp_sink_memory(r->context, &r->sink, NULL));
    vp_store_unref(r->work);
    assert_ok(vp_store_memory(r->context, &r->work, NULL));
    room_start(r, QUICK);
    vp_status st = vp_job_wait(r->job, -1, &r->err);
    if (!f.failed) { /* threads read in another order than the one that was counted */
        assert_end(VP_OK, st, &r->err);
    } else {
        if (st != VP_E_IO) print_error("read %u: %s\n", at, vp_status_name(st));
        assert_end(VP_E_IO, st, &r->err);
        expect_trouble(r, &f);
        assert_false(sink_holds(r->sink, "master.m3u8"));
        f.fail_at = 0;
        room_publish(r, QUICK, VP_OK);
    }
    r->job = vp_job_unref(r->job);
    r->source = vp_source_unref(r->source);
    assert_int_equal(f.released, 1);
}

static unsigned count_reads(room *r)
{
    faulty f;
    faulty_init(&f);
    faulty_source(r, &f);
    room_publish(r, QUICK, VP_OK);
    r->job = vp_job_unref(r->job);
    r->source = vp_source_unref(r->source);
    return f.calls[CALL_READ];
}

static void try_reads(room *r, bool silent)
{
    unsigned reads = count_reads(r), tries = 0;
    for (unsigned n = 1; n <= reads; n = next_try(n, reads), tries++) one_failure(r, n, silent);
    print_message("%u of %u reads\n", tries, reads);
}

static void reads_fail(void **state)
{
    try_reads(*state, false);
}
static void reads_fail_silently(void **state)
{
    try_reads(*state, true);
}

static void short_reads(void **state)
{
    room *r = *state;
    vp_sink *plain = r->sink;
    char path[] = "/tmp/vpt-clip-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, the_clip.data, the_clip.size) == (ssize_t)the_clip.size);
    close(fd);
    vp_source_unref(r->source);
    assert_ok(vp_source_file(r->context, path, &r->source, &r->err));
    unlink(path);
    room_publish(r, QUICK, VP_OK);
    for (uint32_t seed = 1; seed <= (full_run() ? 20u : 2u); seed++) {
        faulty f;
        faulty_init(&f);
        f.seed = seed;
        faulty_source(r, &f);
        assert_ok(vp_sink_memory(r->context, &r->sink, NULL));
        room_publish(r, QUICK, VP_OK);
        assert_true(f.calls[CALL_READ] > 100);
        assert_same_title(plain, r->sink);
        vp_sink_unref(r->sink);
        r->sink = NULL;
        r->job = vp_job_unref(r->job);
        r->source = vp_source_unref(r->source);
    }
    vp_sink_unref(plain);
}

/* ---- nonsense ---- */

typedef struct liar {
    int how;
    const clip *clip;
} liar;

enum { SAYS_MORE, SAYS_NOTHING, SAYS_POSITIVE, SAYS_UNKNOWN, SIZE_TOO_LARGE, LIES };

static vp_status liar_read(void *user, uint64_t offset, void *data, size_t capacity, size_t *got,
                           vp_error *err)
{
    liar *l = user;
    size_t n = offset < l->clip->size ? l->clip->size - (size_t)offset : 0;
    (void)err;
    if (n > capacity) n = capacity;
    if (n) memcpy(data, l->clip->data + offset, n);
    *got = n;
    switch (l->how) {
    case SAYS_MORE:
        *got = capacity + 1;
        return VP_OK;
    case SAYS_NOTHING:
        *got = 0;
        return VP_OK;
    case SAYS_POSITIVE:
        return 17;
    case SAYS_UNKNOWN:
        return -99;
    default:
        return VP_OK;
    }
}

static vp_status liar_size(void *user, uint64_t *bytes, vp_error *err)
{
    liar *l = user;
    (void)err;
    *bytes = l->how == SIZE_TOO_LARGE ? l->clip->size + 100000 : l->clip->size;
    return VP_OK;
}

static void nonsense(void **state)
{
    room *r = *state;
    for (int how = 0; how < LIES; how++) {
        vp_source_ops ops = VP_SOURCE_OPS_INIT;
        liar l = { how, &the_clip };
        ops.read_at = liar_read;
        ops.size = liar_size;
        vp_source_unref(r->source);
        assert_ok(vp_source_new(r->context, &ops, &l, &r->source, NULL));
        room_start(r, QUICK);
        vp_status st = vp_job_wait(r->job, -1, &r->err);
        if (st >= 0 && how != SIZE_TOO_LARGE) fail_msg("lie %d: %s", how, vp_status_name(st));
        print_message("lie %d: %s %s: %s\n", how, vp_status_name(st), r->err.reason, r->err.message);
        if (st < 0) assert_false(sink_holds(r->sink, "master.m3u8"));
        r->job = vp_job_unref(r->job);
        r->source = vp_source_unref(r->source);
    }
}

/* One that has no identity and says so; at the second question, after the tasks, the job is cancelled. */
typedef struct nameless {
    liar liar;
    room *room;
    unsigned asked;
} nameless;

static vp_status nameless_identity(void *user, char *text, size_t capacity, vp_error *err)
{
    nameless *n = user;
    (void)text;
    (void)capacity;
    if (++n->asked == 2) assert_ok(vp_job_cancel(n->room->job, NULL));
    return vp_error_set(err, VP_E_UNSUPPORTED, NULL, 0, "no identity");
}

static void no_identity(void **state)
{
    room *r = *state;
    vp_source_ops ops = VP_SOURCE_OPS_INIT;
    nameless n = { { LIES, &the_clip }, r, 0 };
    ops.read_at = liar_read;
    ops.size = liar_size;
    ops.identity = nameless_identity;
    vp_source_unref(r->source);
    assert_ok(vp_source_new(r->context, &ops, &n, &r->source, NULL));
    room_publish(r, QUICK, VP_E_CANCELED);
    assert_int_equal(n.asked, 2);
    room_publish(r, QUICK, VP_OK);
    r->job = vp_job_unref(r->job);
    r->source = vp_source_unref(r->source);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, room_open, room_close)

int main(void)
{
    const struct CMUnitTest tests[] = { TEST(reads_fail), TEST(reads_fail_silently), TEST(short_reads),
                                        TEST(nonsense), TEST(no_identity) };
    int rc = clips_open();
    return rc ? clips_close(rc)
              : clips_close(cmocka_run_group_tests_name("source faults", tests, NULL, NULL));
}
