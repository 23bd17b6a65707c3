/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Cancel, suspend and close at random moments: how long until all is quiet. One second is the promise; sanitizers
 * and loaded machines get three. */

#include "fault/faulty.h"

#define ALLOWED_MS 3000
#define SLOW "{\"preset\":\"medium\",\"ladder\":\"240p\",\"segment\":2,\"gop\":2}"

static uint32_t seed = 19650801;

static uint32_t next_random(uint32_t below)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
}

static void stop_times(void **state)
{
    room *r = *state;
    unsigned before = thread_count();
    int rounds = full_run() ? 200 : 8, stopped = 0;
    int64_t most = 0, sum = 0, length = now_ms();
    room_source(r, &long_clip);
    room_publish(r, SLOW, VP_OK);
    length = now_ms() - length;
    for (int i = 0; i < rounds; i++) {
        int64_t start;
        vp_sink_unref(r->sink);
        assert_ok(vp_sink_memory(r->context, &r->sink, NULL));
        vp_store_unref(r->work);
        assert_ok(vp_store_memory(r->context, &r->work, NULL));
        room_start(r, SLOW);
        sleep_ms(next_random((uint32_t)length + 1));
        start = now_ms();
        assert_ok(i % 2 ? vp_job_cancel(r->job, NULL) : vp_job_suspend(r->job, NULL));
        vp_status st = vp_job_wait(r->job, -1, &r->err);
        r->job = vp_job_unref(r->job);
        int64_t took = now_ms() - start;
        if (st != VP_OK) assert_end(VP_E_CANCELED, st, &r->err);
        stopped += st != VP_OK;
        sum += took;
        if (took > most) most = took;
        assert_int_equal(thread_count_settled(before), before);
        if (i % 2) assert_int_equal(store_count(r->work), 0);
    }
    print_message("a job of %d ms: stopped %d of %d, %d ms at most, %d ms on average\n", (int)length, stopped,
                  rounds, (int)most, (int)(sum / rounds));
    assert_true(most < ALLOWED_MS);
}

/* ---- callbacks that block until they are interrupted ---- */

typedef struct blocker {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool inside, interrupted;
    unsigned after; /* calls that pass */
    faulty under;
} blocker;

static void block(blocker *b)
{
    pthread_mutex_lock(&b->lock);
    if (b->after > 0) {
        b->after--;
    } else {
        b->inside = true;
        pthread_cond_broadcast(&b->wake);
        while (!b->interrupted) pthread_cond_wait(&b->wake, &b->lock);
    }
    pthread_mutex_unlock(&b->lock);
}

static void interrupt(void *user)
{
    blocker *b = user;
    pthread_mutex_lock(&b->lock);
    b->interrupted = true;
    pthread_cond_broadcast(&b->wake);
    pthread_mutex_unlock(&b->lock);
}

static vp_status blocking_read(void *user, uint64_t offset, void *data, size_t capacity, size_t *got,
                               vp_error *err)
{
    blocker *b = user;
    block(b);
    if (b->interrupted) return vp_error_set(err, VP_E_CANCELED, NULL, 0, "interrupted");
    return faulty_read(&b->under, offset, data, capacity, got, err);
}

static vp_status blocking_size(void *user, uint64_t *bytes, vp_error *err)
{
    return faulty_size(&((blocker *)user)->under, bytes, err);
}

static vp_status blocking_begin(void *user, const vp_object_info *info, void **object, vp_error *err)
{
    return faulty_begin(&((blocker *)user)->under, info, object, err);
}

static vp_status blocking_write(void *user, void *object, const void *data, size_t size, vp_error *err)
{
    blocker *b = user;
    block(b);
    if (b->interrupted) return vp_error_set(err, VP_E_IO, NULL, 5, "interrupted");
    return faulty_write(&b->under, object, data, size, err);
}

static vp_status blocking_commit(void *user, void *object, vp_error *err)
{
    return faulty_commit(&((blocker *)user)->under, object, err);
}

static void blocking_abort(void *user, void *object)
{
    faulty_abort(&((blocker *)user)->under, object);
}

static void blocker_init(blocker *b, unsigned after)
{
    memset(b, 0, sizeof(*b));
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->wake, NULL);
    b->after = after;
    faulty_init(&b->under);
}

static void stop_blocked(room *r, blocker *b, int how)
{
    int64_t start;
    unsigned before = thread_count();
    room_start(r, QUICK);
    pthread_mutex_lock(&b->lock);
    while (!b->inside) pthread_cond_wait(&b->wake, &b->lock);
    pthread_mutex_unlock(&b->lock);
    start = now_ms();
    if (how == 0) assert_ok(vp_job_cancel(r->job, NULL));
    if (how == 1) assert_ok(vp_job_suspend(r->job, NULL));
    if (how == 2) assert_ok(vp_context_close(r->context, NULL));
    assert_end(VP_E_CANCELED, vp_job_wait(r->job, -1, &r->err), &r->err);
    r->job = vp_job_unref(r->job);
    assert_true(now_ms() - start < ALLOWED_MS);
    assert_int_equal(thread_count_settled(before), before);
    assert_int_equal(b->under.open, 0);
    faulty_empty(&b->under);
}

static void source_blocks(void **state)
{
    for (int how = 0; how < 3; how++) {
        room_close(state);
        assert_int_equal(room_open(state), 0);
        room *r = *state;
        vp_source_ops ops = VP_SOURCE_OPS_INIT;
        blocker b;
        blocker_init(&b, how == 1 ? 0 : 3);
        ops.read_at = blocking_read;
        ops.size = blocking_size;
        ops.interrupt = interrupt;
        vp_source_unref(r->source);
        assert_ok(vp_source_new(r->context, &ops, &b, &r->source, NULL));
        stop_blocked(r, &b, how);
        r->source = vp_source_unref(r->source);
    }
}

static void sink_blocks(void **state)
{
    for (int how = 0; how < 3; how++) {
        room_close(state);
        assert_int_equal(room_open(state), 0);
        room *r = *state;
        vp_sink_ops ops = VP_SINK_OPS_INIT;
        blocker b;
        blocker_init(&b, 2);
        ops.begin = blocking_begin;
        ops.write = blocking_write;
        ops.commit = blocking_commit;
        ops.abort = blocking_abort;
        ops.interrupt = interrupt;
        vp_sink_unref(r->sink);
        assert_ok(vp_sink_new(r->context, &ops, &b, &r->sink, NULL));
        stop_blocked(r, &b, how);
        r->sink = vp_sink_unref(r->sink);
    }
}

/* A probe on the host's own thread sees a cancel too. */
static void probe_stops(void **state)
{
    room *r = *state;
    vp_probe_options o = VP_PROBE_OPTIONS_INIT;
    vp_cancel *cancel = NULL;
    vp_media *media = NULL;
    o.full = 1;
    assert_ok(vp_cancel_new(&cancel, NULL));
    vp_cancel_fire(cancel);
    assert_status(VP_E_CANCELED, vp_probe(r->context, r->source, &o, cancel, &media, &r->err));
    assert_string_equal(r->err.reason, "CANCELED");
    assert_null(media);
    vp_cancel_unref(cancel);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, room_open, room_close)

int main(void)
{
    const struct CMUnitTest tests[] = { TEST(stop_times), TEST(source_blocks), TEST(sink_blocks),
                                        TEST(probe_stops) };
    int rc = clips_open();
    return rc ? clips_close(rc) : clips_close(cmocka_run_group_tests_name("stop time", tests, NULL, NULL));
}
