/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Processes that are killed at each change of the disk: what was told stays true, the work goes on (U06, U09, U11). */

#include "workers.h"

/* What was killed before anybody was told of it leaves nothing for ever. */
static void left_behind(void **state, const char *scope)
{
    room *r = *state;
    bool killed = true;
    int finished = 0;

    made_scope = scope;
    for (long n = 1; killed && n < STEPS_MAX; n++) {
        worker w = { .pipe = -1 };
        told t = { 0 };

        clear(r);
        killed = killed_at(r, upload_work, false, n, &t);
        assert_int_equal(begin(&w, r, true), VP_OK);
        assert_int_equal(expire_work(&w, NULL), VP_OK);
        future_days = 2;
        assert_int_equal(expire_work(&w, NULL), VP_OK);
        future_days = 0;
        /* It may be finished without having told it. */
        if (vp_ingest_stat(w.store, "x", NULL, NULL, NULL) == VP_OK) {
            finished++;
        } else {
            assert_false(t.finished);
            assert_int_equal(files_like(r, "*.rec"), 0);
            assert_int_equal(files_like(r, "*x.*"), 0);
            assert_int_equal(files_like(r, "*"), 0);
        }
        end(&w);
    }
    assert_false(killed);
    assert_true(finished > 0 && finished < 6);
}

static void killed_and_left(void **state)
{
    left_behind(state, NULL);
    left_behind(state, "s");
}

static void killed_upload(void **state)
{
    room *r = *state;
    long n = 0;
    bool killed = true;

    for (int way = 0; way < 4; way++) {
        bool twin = way % 2;

        made_scope = way < 2 ? NULL : "s";
        for (n = 1, killed = true; killed && n < STEPS_MAX; n++) {
            told t = { 0 };

            clear(r);
            if (twin) make_twin(r);
            killed = killed_at(r, upload_work, false, n, &t);
            check_upload(r, &t, twin);
        }
        assert_false(killed);
        assert_true(n > (way < 2 ? 15 : 20)); /* there were steps to be killed at */
    }
}

/* Two kills in one upload: the second while the first is recovered from. */
static void twice(void **state, const char *scope)
{
    room *r = *state;
    bool first = true;

    made_scope = scope;
    for (long n = 1; first && n < STEPS_MAX; n += 5) {
        bool second = true;

        for (long m = 1; second && m < STEPS_MAX; m += 3) {
            told t = { 0 };

            clear(r);
            first = killed_at(r, upload_work, false, n, &t);
            if (!first) break;
            second = killed_at(r, upload_work, false, m, &t);
            check_upload(r, &t, false);
        }
    }
    assert_false(first);
}

static void killed_twice(void **state)
{
    twice(state, NULL);
    twice(state, "s");
}

static void killed_removing(void **state, const char *scope)
{
    room *r = *state;
    bool killed = true;

    made_scope = scope;
    for (long n = 1; killed && n < STEPS_MAX; n++) {
        worker w = { .pipe = -1 };
        told t = { 0 };
        vp_upload_info info = VP_UPLOAD_INFO_INIT;
        vp_source *s = NULL;
        vp_status st;

        clear(r);
        make_twin(r);
        assert_int_equal(begin(&w, r, false), VP_OK);
        assert_int_equal(upload_work(&w, NULL), VP_OK);
        end(&w);
        killed = killed_at(r, remove_work, false, n, &t);
        assert_int_equal(begin(&w, r, false), VP_OK);
        st = vp_ingest_stat(w.store, "x", &info, NULL, NULL);
        assert_true(st == VP_OK || st == VP_END);
        if (t.removed) assert_int_equal(st, VP_END);
        if (st == VP_OK) {
            assert_int_equal(vp_ingest_source(w.store, "x", &s, NULL), VP_OK); /* none or all */
            assert_content(s, SIZE, SEED);
            vp_source_unref(s);
        }
        check_twin(&w);
        assert_int_equal(vp_ingest_remove(w.store, "x", NULL), VP_OK);
        assert_int_equal(vp_ingest_remove(w.store, "twin", NULL), VP_OK);
        end(&w);
        assert_int_equal(begin(&w, r, true), VP_OK);
        assert_int_equal(expire_work(&w, NULL), VP_OK);
        end(&w);
        assert_int_equal(files_like(r, "*.data"), 0);
        assert_int_equal(files_like(r, "*.rec"), 0);
        assert_int_equal(files_like(r, "????????????????????????????????????????????????????????????????"),
                         0);
    }
    assert_false(killed);
}

static void killed_remove(void **state)
{
    killed_removing(state, NULL);
    killed_removing(state, "s");
}

static void make_parts(const room *r, size_t second)
{
    worker w = { .pipe = -1 };
    vp_upload_options o = VP_UPLOAD_OPTIONS_INIT;
    vp_upload *u = NULL;

    assert_int_equal(begin(&w, r, false), VP_OK);
    o.flags = VP_UPLOADF_PARTIAL;
    o.length = 1000;
    o.scope = made_scope;
    for (int i = 0; i < 2; i++) {
        o.id = i ? "p2" : "p1";
        assert_int_equal(vp_ingest_create(w.store, &o, &u, NULL), VP_OK);
        assert_int_equal(append(u, i ? second : 1000, SEED, NULL), VP_OK);
        vp_upload_close(u);
    }
    end(&w);
}

static void check_parts(vp_source *s, unsigned count)
{
    uint64_t size = 0;
    uint8_t *all = malloc(1000 * count);
    size_t got;

    assert_int_equal(vp_source_size(s, &size, NULL), VP_OK);
    assert_int_equal(size, 1000 * count);
    assert_int_equal(vp_source_read_at(s, 0, all, 1000 * count, &got, NULL), VP_OK);
    for (size_t i = 0; i < 1000 * count; i++) assert_int_equal(all[i], byte_at(i % 1000, SEED));
    free(all);
}

/* U18: none or all. */
static void concat_of(void **state, const char *scope)
{
    room *r = *state;
    bool killed = true;
    int untold = 0;

    made_scope = scope;
    for (long n = 1; killed && n < STEPS_MAX; n++) {
        worker w = { .pipe = -1 };
        told t = { 0 };
        vp_upload_info info = VP_UPLOAD_INFO_INIT;
        vp_upload *u = NULL;
        vp_source *s = NULL;
        vp_status st;

        clear(r);
        make_parts(r, 1000);
        killed = killed_at(r, concat_work, false, n, &t);
        assert_int_equal(begin(&w, r, false), VP_OK);
        atomic_store(&vpi_disk_fail_at, 1000000);
        st = vp_ingest_stat(w.store, "x", &info, NULL, NULL);
        /* Its maker told nobody: whoever tells now has made record and name durable, and two folders to get there. */
        if (st == VP_OK && !t.created) {
            assert_true(atomic_load(&vpi_disk_fail_at) <= 1000000 - 4);
            untold++;
        }
        atomic_store(&vpi_disk_fail_at, 0);
        if (t.created) assert_int_equal(st, VP_OK);
        if (st == VP_END) {
            assert_int_equal(concat_work(&w, NULL), VP_OK);
        } else {
            assert_int_equal(st, VP_OK);
            assert_int_equal(info.offset, 3000);
            assert_int_equal(vp_ingest_open(w.store, "x", &u, NULL), VP_OK);
            assert_int_equal(vp_upload_finish(u, NULL, NULL, NULL), VP_OK);
            vp_upload_close(u);
        }
        assert_int_equal(vp_ingest_source(w.store, "x", &s, NULL), VP_OK);
        check_parts(s, 3);
        vp_source_unref(s);
        end(&w);
    }
    assert_false(killed);
    assert_true(untold >= 2); /* it is synced before anybody is told */
}

static void killed_concat(void **state)
{
    concat_of(state, NULL);
    concat_of(state, "s");
}

/* The same of one that waits for a part that grows; also after a restart it is made. */
static void waiting_for(void **state, const char *scope)
{
    room *r = *state;
    bool killed = true;

    made_scope = scope;
    for (long n = 1; killed && n < STEPS_MAX; n++) {
        worker w = { .pipe = -1 };
        told t = { 0 };
        vp_upload_options o = VP_UPLOAD_OPTIONS_INIT;
        vp_upload_info info = VP_UPLOAD_INFO_INIT;
        vp_upload *u = NULL;
        vp_source *s = NULL;

        clear(r);
        make_parts(r, 300);
        assert_int_equal(begin(&w, r, false), VP_OK);
        o.id = "x";
        o.parts = "p1 p2";
        o.parts_may_grow = 1;
        assert_int_equal(vp_ingest_create(w.store, &o, &u, NULL), VP_OK);
        assert_int_equal(vp_upload_get_info(u, &info, NULL), VP_OK);
        assert_int_equal(info.state, VP_UPLOAD_WAITING);
        assert_int_equal(vp_upload_finish(u, NULL, NULL, NULL), VP_E_CONFLICT);
        vp_upload_close(u);
        end(&w);
        assert_int_equal(files_like(r, "x"), 1); /* its name is where parts look */
        killed = killed_at(r, grow_work, false, n, &t);
        assert_int_equal(begin(&w, r, false), VP_OK);
        assert_true(stat_offset(w.store, "p2") >= t.offset);
        assert_int_equal(grow_work(&w, NULL), VP_OK);
        assert_int_equal(vp_ingest_stat(w.store, "x", &info, NULL, NULL), VP_OK);
        assert_int_equal(info.state, VP_UPLOAD_COMPLETE);
        assert_int_equal(info.offset, 2000);
        assert_int_equal(vp_ingest_open(w.store, "x", &u, NULL), VP_OK);
        assert_int_equal(vp_upload_finish(u, &s, NULL, NULL), VP_OK);
        check_parts(s, 2);
        vp_source_unref(s);
        vp_upload_close(u);
        end(&w);
    }
    assert_false(killed);
}

static void killed_waiting(void **state)
{
    waiting_for(state, NULL);
    waiting_for(state, "s");
}

static vp_status wait_work(worker *w, vp_error *err)
{
    vp_upload_options o = VP_UPLOAD_OPTIONS_INIT;
    vp_upload *u = NULL;
    vp_status st;

    o.id = "x";
    o.parts = "p1 p2";
    o.parts_may_grow = 1;
    st = vp_ingest_create(w->store, &o, &u, err);
    if (st == VP_OK) {
        w->told.created = true;
        tell(w);
    }
    vp_upload_close(u);
    return st;
}

/* A concatenation that was killed while it was made leaves no name that waits for ever. */
static void killed_before_waiting(void **state)
{
    room *r = *state;
    bool killed = true;

    for (long n = 1; killed && n < STEPS_MAX; n++) {
        worker w = { .pipe = -1 };
        told t = { 0 };
        vp_status st;

        clear(r);
        make_parts(r, 300);
        killed = killed_at(r, wait_work, false, n, &t);
        assert_int_equal(begin(&w, r, false), VP_OK);
        st = vp_ingest_stat(w.store, "x", NULL, NULL, NULL);
        if (t.created) assert_int_equal(st, VP_OK);
        if (st == VP_OK) assert_int_equal(files_like(r, "x"), 1);
        end(&w);
        for (future_days = 0; future_days < 4; future_days += 2) {
            assert_int_equal(begin(&w, r, true), VP_OK);
            assert_int_equal(expire_work(&w, NULL), VP_OK);
            end(&w);
        }
        future_days = 0;
        assert_int_equal(files_like(r, "*"), 0);
    }
    assert_false(killed);
}

static void expiring(void **state, const char *scope)
{
    room *r = *state;
    bool killed = true;

    made_scope = scope;
    for (long n = 1; killed && n < STEPS_MAX; n++) {
        worker w = { .pipe = -1 };
        told t = { 0 };
        vp_upload_info info = VP_UPLOAD_INFO_INIT;

        clear(r);
        make_twin(r);
        make_parts(r, 300);
        killed = killed_at(r, expire_work, true, n, &t);
        assert_int_equal(begin(&w, r, true), VP_OK);
        assert_int_equal(expire_work(&w, NULL), VP_OK);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(vp_ingest_stat(w.store, i ? "p2" : "p1", &info, NULL, &r->err), VP_END);
            assert_string_equal(r->err.reason, "UPLOAD_EXPIRED");
        }
        check_twin(&w);  /* finished: stays */
        future_days = 2; /* what was killed in the middle leaves bytes as long as the id is remembered */
        assert_int_equal(expire_work(&w, NULL), VP_OK);
        future_days = 0;
        assert_int_equal(vp_ingest_stat(w.store, "p1", &info, NULL, &r->err), VP_END);
        assert_string_equal(r->err.reason, "UPLOAD_UNKNOWN");
        assert_int_equal(files_like(r, "*.data"), scope ? 1 : 0);
        assert_int_equal(files_like(r, "*.rec"), 1);
        end(&w);
    }
    assert_false(killed);
}

static void killed_expire(void **state)
{
    expiring(state, NULL);
    expiring(state, "s");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(killed_and_left, room_open, room_close),
        cmocka_unit_test_setup_teardown(killed_upload, room_open, room_close),
        cmocka_unit_test_setup_teardown(killed_before_waiting, room_open, room_close),
        cmocka_unit_test_setup_teardown(killed_twice, room_open, room_close),
        cmocka_unit_test_setup_teardown(killed_remove, room_open, room_close),
        cmocka_unit_test_setup_teardown(killed_concat, room_open, room_close),
        cmocka_unit_test_setup_teardown(killed_waiting, room_open, room_close),
        cmocka_unit_test_setup_teardown(killed_expire, room_open, room_close),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
