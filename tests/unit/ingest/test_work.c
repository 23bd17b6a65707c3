/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Time, events, work behind the caller, what it costs. */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>

#include "tools.h"

#include "ingest/dir_int.h"

/* ---- time ---- */

/* U17 */
static void expiry(void **state)
{
    room *r = *state;
    vp_ingest_options o = VP_INGEST_OPTIONS_INIT;
    vp_upload_options uo = VP_UPLOAD_OPTIONS_INIT;
    vp_upload_info info = VP_UPLOAD_INFO_INIT;
    vp_ingest *other;
    vp_upload *u, *busy, *v = NULL;
    uint64_t n = 99;

    o.expire_ms = 60000;
    o.now_us = room_clock;
    o.now_user = r;
    room_again(r, &o);
    other = room_store(r, &o); /* as another process */
    u = make_upload(r, "old", 100);
    assert_int_equal(append(u, 10, 1, &r->err), VP_OK);
    vp_upload_close(u);
    busy = make_upload(r, "busy", 100);
    u = make_upload(r, "done", 10);
    assert_int_equal(append(u, 10, 1, &r->err), VP_OK);
    assert_int_equal(vp_upload_finish(u, NULL, &info, &r->err), VP_OK);
    assert_int_equal(info.expires_us, 0);
    vp_upload_close(u);
    uo.id = "long";
    uo.expire_ms = 10000000;
    assert_int_equal(vp_ingest_create(r->store, &uo, &u, &r->err), VP_OK);
    vp_upload_close(u);
    assert_int_equal(vp_ingest_stat(r->store, "old", &info, NULL, &r->err), VP_OK);
    assert_int_equal(info.expires_us, r->now_us + 60000000);

    r->now_us += 59999999;
    assert_int_equal(vp_ingest_expire(r->store, NULL, &n, &r->err), VP_OK);
    assert_int_equal(n, 0);
    /* Bytes that come push the time away. */
    assert_int_equal(vp_ingest_open(r->store, "old", &u, &r->err), VP_OK);
    assert_int_equal(append(u, 10, 1, &r->err), VP_OK);
    vp_upload_close(u);
    r->now_us += 59999999;
    assert_int_equal(vp_ingest_expire(other, NULL, &n, &r->err), VP_OK);
    assert_int_equal(n, 0); /* "busy" is over, but somebody has it open, seen from the other process, too */
    r->now_us += 1;
    assert_int_equal(vp_ingest_expire(r->store, NULL, &n, &r->err), VP_OK);
    assert_int_equal(n, 1);
    assert_int_equal(vp_ingest_stat(r->store, "old", &info, NULL, &r->err), VP_END);
    assert_string_equal(r->err.reason, "UPLOAD_EXPIRED");
    assert_int_equal(vp_ingest_open(other, "old", &v, &r->err), VP_END);
    assert_string_equal(r->err.reason, "UPLOAD_EXPIRED");
    assert_int_equal(append(busy, 100, 1, &r->err), VP_OK); /* nothing was taken from it */
    assert_int_equal(vp_upload_finish(busy, NULL, NULL, &r->err), VP_OK);
    vp_upload_close(busy);
    assert_int_equal(vp_ingest_stat(r->store, "long", &info, NULL, &r->err), VP_OK);
    r->now_us += INT64_C(86400000000);
    assert_int_equal(vp_ingest_expire(other, NULL, &n, &r->err), VP_OK);
    assert_int_equal(n, 1); /* "long" */
    assert_int_equal(vp_ingest_stat(r->store, "old", &info, NULL, &r->err), VP_END);
    assert_string_equal(r->err.reason, "UPLOAD_UNKNOWN");
    assert_int_equal(vp_ingest_stat(r->store, "done", &info, NULL, &r->err), VP_OK);
    vp_ingest_unref(other);
}

/* ---- events ---- */

static int32_t on_event(void *user, const vp_event *event)
{
    char *text = user;

    snprintf(text + strlen(text), 20, "%d:%d ", event->kind, (int)event->done);
    return 0;
}

static void events(void **state)
{
    room *r = *state;
    vp_ingest_options o = VP_INGEST_OPTIONS_INIT;
    vp_queue *queue = NULL;
    vp_event e;
    vp_upload *u;
    char text[400] = "", wanted[100];
    int progress = 0;

    assert_int_equal(vp_queue_new(&queue, NULL), VP_OK);
    o.event = on_event;
    o.event_user = text;
    o.queue = queue;
    o.tag = 77;
    o.expire_ms = 1000;
    o.now_us = room_clock;
    o.now_user = r;
    room_again(r, &o);
    u = make_upload(r, "a", 3000);
    assert_int_equal(append(u, 1000, 1, &r->err), VP_OK);
    assert_int_equal(vp_upload_sync(u, &r->err), VP_OK);
    for (int i = 0; i < 200; i++) { /* far more than ten a second */
        assert_int_equal(append(u, 10, 1, &r->err), VP_OK);
        assert_int_equal(vp_upload_sync(u, &r->err), VP_OK);
    }
    assert_int_equal(vp_upload_finish(u, NULL, NULL, &r->err), VP_OK);
    vp_upload_close(u);
    assert_int_equal(vp_ingest_remove(r->store, "a", &r->err), VP_OK);
    vp_upload_close(make_upload(r, "b", 10));
    r->now_us += 2000000;
    assert_int_equal(vp_ingest_expire(r->store, NULL, NULL, &r->err), VP_OK);
    snprintf(wanted, sizeof(wanted), "%d:0 %d:1000 ", VP_EVENT_UPLOAD_CREATED, VP_EVENT_UPLOAD_PROGRESS);
    assert_memory_equal(text, wanted, strlen(wanted));
    assert_non_null(strstr(text, "10:3000 11:3000 13:3000 9:0 12:0 "));

    vp_event_init(&e, sizeof(e));
    assert_int_equal(vp_queue_next(queue, 0, &e, NULL), VP_OK);
    assert_int_equal(e.kind, VP_EVENT_UPLOAD_CREATED);
    assert_int_equal(e.tag, 77);
    assert_string_equal(e.key, "a");
    assert_true(e.total == 3000);
    while (vp_queue_next(queue, 0, &e, NULL) == VP_OK) progress += e.kind == VP_EVENT_UPLOAD_PROGRESS;
    assert_int_equal(progress, 1); /* those that nobody read became one */
    room_again(r, NULL);
    vp_queue_unref(queue);
}

/* Progress of two uploads in one queue does not mix. */
static void events_of_two(void **state)
{
    room *r = *state;
    vp_ingest_options o = VP_INGEST_OPTIONS_INIT;
    vp_queue *queue = NULL;
    vp_event e;
    vp_upload *u[2];
    uint64_t done[2] = { 0, 0 };

    assert_int_equal(vp_queue_new(&queue, NULL), VP_OK);
    o.queue = queue;
    room_again(r, &o);
    u[0] = make_upload(r, "a", 100);
    u[1] = make_upload(r, "b", 200);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(append(u[i], 50, 1, &r->err), VP_OK);
        assert_int_equal(vp_upload_sync(u[i], &r->err), VP_OK);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(append(u[i], i ? 150 : 50, 1, &r->err), VP_OK);
        assert_int_equal(vp_upload_sync(u[i], &r->err), VP_OK);
        vp_upload_close(u[i]);
    }
    vp_event_init(&e, sizeof(e));
    while (vp_queue_next(queue, 0, &e, NULL) == VP_OK) {
        if (e.kind == VP_EVENT_UPLOAD_PROGRESS) done[e.key[0] - 'a'] = e.done;
    }
    assert_int_equal(done[0], 100);
    assert_int_equal(done[1], 200);
    room_again(r, NULL);
    vp_queue_unref(queue);
}

/* ---- behind the caller ---- */

static void wait_synced(vp_queue *queue, uint64_t tag, vp_status status, const char *reason)
{
    vp_event e;

    vp_event_init(&e, sizeof(e));
    assert_int_equal(vp_queue_next(queue, 60000, &e, NULL), VP_OK);
    assert_int_equal(e.kind, VP_EVENT_UPLOAD_SYNCED);
    assert_int_equal(e.tag, tag);
    assert_int_equal(e.status, status);
    assert_string_equal(e.reason, reason);
}

static void starts(void **state)
{
    room *r = *state;
    vp_queue *queue = NULL;
    vp_upload *u = make_upload(r, "a", 3000), *v = NULL;
    vp_source *s = NULL;

    assert_int_equal(vp_queue_new(&queue, NULL), VP_OK);
    assert_int_equal(append(u, 1000, 1, &r->err), VP_OK);
    assert_int_equal(vp_upload_sync_start(u, NULL, 5, &r->err), VP_E_ARG);
    assert_int_equal(vp_upload_sync_start(u, queue, 5, &r->err), VP_OK);
    wait_synced(queue, 5, VP_OK, "");
    assert_int_equal(stat_offset(r->store, "a"), 1000);
    assert_int_equal(vp_upload_finish_start(u, queue, 6, &r->err), VP_OK);
    wait_synced(queue, 6, VP_E_CONFLICT, "LENGTH_MISMATCH");
    assert_int_equal(append(u, 2000, 1, &r->err), VP_OK);
    assert_int_equal(vp_upload_finish_start(u, queue, 7, &r->err), VP_OK);
    vp_upload_close(u); /* waits */
    wait_synced(queue, 7, VP_OK, "");
    assert_int_equal(vp_ingest_source(r->store, "a", &s, &r->err), VP_OK);
    assert_content(s, 3000, 1);
    vp_source_unref(s);
    /* Many at a time, one of which was taken over meanwhile. */
    for (int i = 0; i < 20; i++) {
        char id[8];

        snprintf(id, sizeof(id), "m%d", i);
        u = make_upload(r, id, 100);
        assert_int_equal(append(u, 100, 1, &r->err), VP_OK);
        assert_int_equal(vp_upload_sync_start(u, queue, 100 + (uint64_t)i, &r->err), VP_OK);
        if (i == 7) {
            assert_int_equal(vp_ingest_open(r->store, id, &v, &r->err), VP_OK);
            assert_int_equal(vp_upload_offset(v), 100); /* whether the start came first or not */
            vp_upload_close(v);
        }
        vp_upload_close(u);
    }
    for (int i = 0; i < 20; i++) {
        vp_event e;

        vp_event_init(&e, sizeof(e));
        assert_int_equal(vp_queue_next(queue, 60000, &e, NULL), VP_OK);
        assert_true(e.status == VP_OK || e.tag == 107);
    }
    vp_queue_unref(queue);
}

/* While a request runs its bytes become durable behind it, without a sync of its own. */
static void behind(void **state)
{
    room *r = *state;
    vp_ingest_options o = VP_INGEST_OPTIONS_INIT;
    vp_upload *u;
    vp_source *s = NULL;

    o.sync_bytes = 65536;
    room_again(r, &o);
    u = make_upload(r, "a", 4000000);
    for (int i = 0; i < 400; i++) {
        assert_int_equal(append(u, 10000, 1, &r->err), VP_OK);
        /* Never more than two windows are at risk. */
        assert_true(vp_upload_offset(u) - stat_offset(r->store, "a") <= 2 * 65536 + 10000);
    }
    assert_int_equal(vp_upload_finish(u, &s, NULL, &r->err), VP_OK);
    assert_content(s, 4000000, 1);
    vp_source_unref(s);
    vp_upload_close(u);
}

/* A sync behind the request that fails is the request's failure; what was confirmed before stays. */
static void behind_fails(void **state)
{
    room *r = *state;
    vp_ingest_options o = VP_INGEST_OPTIONS_INIT;
    int failed = 0;

    o.sync_bytes = 10000;
    room_again(r, &o);
    for (long n = 1; n < 60; n += 3) {
        vp_upload *u = make_upload(r, "a", 4000000);
        vp_source *s = NULL;
        vp_status st = VP_OK;
        uint64_t before;

        atomic_store(&vpi_disk_fail_with, EIO);
        atomic_store(&vpi_disk_fail_at, n);
        while (st == VP_OK && vp_upload_offset(u) < 4000000) st = append(u, 5000, 1, &r->err);
        assert_true(st == VP_OK || st == VP_E_IO);
        failed += st == VP_E_IO;
        if (st != VP_OK) assert_int_equal(vp_upload_sync(u, &r->err), VP_E_IO);
        if (st == VP_OK)
            assert_int_equal(vp_upload_sync(u, &r->err), VP_OK); /* a head that was not written */
        before = stat_offset(r->store, "a");
        vp_upload_close(u);
        assert_int_equal(stat_offset(r->store, "a"), before);
        assert_int_equal(vp_ingest_open(r->store, "a", &u, &r->err), VP_OK);
        assert_true(vp_upload_offset(u) == before);
        assert_int_equal(append(u, (size_t)(4000000 - before), 1, &r->err), VP_OK);
        assert_int_equal(vp_upload_finish(u, &s, NULL, &r->err), VP_OK);
        assert_content(s, 4000000, 1);
        vp_source_unref(s);
        vp_upload_close(u);
        assert_int_equal(vp_ingest_remove(r->store, "a", &r->err), VP_OK);
    }
    assert_true(failed > 10);
}

/* ---- what it costs ---- */

/* Changes of the disk in fn. */
static long changes(room *r, void (*fn)(room *r))
{
    atomic_store(&vpi_disk_fail_at, 1000000);
    fn(r);
    return 1000000 - atomic_exchange(&vpi_disk_fail_at, 0);
}

static void make_one(room *r)
{
    vp_upload_close(make_upload(r, "cost", 5000));
}

static void fill_one(room *r)
{
    vp_upload *u = NULL;

    assert_int_equal(vp_ingest_open(r->store, "cost", &u, &r->err), VP_OK);
    assert_int_equal(append(u, 5000, 1, &r->err), VP_OK);
    assert_int_equal(vp_upload_finish(u, NULL, NULL, &r->err), VP_OK);
    vp_upload_close(u);
}

static void look_at_one(room *r)
{
    for (int i = 0; i < 10; i++) stat_offset(r->store, "cost");
}

/*
 * An upload that may be shared: two names and a write; then the bytes, a link, and three syncs. A small one that is
 * not: a name, a write and the size; then the fence, record and bytes in one write, a sync of both and of the name, and
 * that it is durable. Looking changes nothing.
 */
static void costs(void **state)
{
    room *r = *state;

    for (int small = 0; small < 2; small++) {
        made_scope = small ? NULL : "s";
        make_one(r); /* the folders */
        fill_one(r);
        assert_int_equal(vp_ingest_remove(r->store, "cost", &r->err), VP_OK);
        assert_int_equal(changes(r, make_one), 3);
        assert_int_equal(changes(r, look_at_one), 0);
        /* With pages that go past the cache those and the rest are two writes. */
        assert_true(changes(r, fill_one) <= (small ? 5 : 11) + (getenv("VPT_GATHER") ? 1 : 0));
        assert_int_equal(changes(r, look_at_one), 0);
        assert_int_equal(vp_ingest_remove(r->store, "cost", &r->err), VP_OK);
    }
}

typedef struct syncer {
    dir_store *store;
    dir_folder *folder;
    int rc;
} syncer;

static void *sync_folder(void *arg)
{
    syncer *s = arg;

    s->rc = vpi_dirs_sync(s->store, s->folder);
    return NULL;
}

/* Names that become durable while a sync of their folder runs share the next one. */
static void folder_syncs(void **state)
{
    room *r = *state;
    dir_store store = { .unsynced = false };
    dir_folder f;
    syncer s[8];
    pthread_t threads[8];
    uint64_t asked = 0;

    for (int number = 0; number <= EIO; number += EIO) {
        memset(&f, 0, sizeof(f));
        atomic_init(&f.fd, open(r->path, O_RDONLY | O_DIRECTORY));
        pthread_mutex_init(&f.lock, NULL);
        pthread_cond_init(&f.done_cond, NULL);
        f.running = true; /* as if */
        for (int i = 0; i < 8; i++) {
            s[i] = (syncer){ &store, &f, 99 };
            assert_int_equal(pthread_create(&threads[i], NULL, sync_folder, &s[i]), 0);
        }
        for (asked = 0; asked < 8;) {
            pthread_mutex_lock(&f.lock);
            asked = f.asked;
            pthread_mutex_unlock(&f.lock);
            usleep(100);
        }
        atomic_store(&vpi_disk_fail_with, number);
        atomic_store(&vpi_disk_fail_at, number ? 1 : 1000);
        pthread_mutex_lock(&f.lock);
        f.running = false;
        pthread_cond_broadcast(&f.done_cond);
        pthread_mutex_unlock(&f.lock);
        for (int i = 0; i < 8; i++) {
            pthread_join(threads[i], NULL);
            assert_int_equal(s[i].rc, -number); /* one's failure is the failure of all that it was for */
        }
        assert_int_equal(atomic_exchange(&vpi_disk_fail_at, 0), number ? 0 : 999);
        close(atomic_load(&f.fd));
        pthread_cond_destroy(&f.done_cond);
        pthread_mutex_destroy(&f.lock);
    }
}

/* Closing the context ends everything; handles can be given back afterwards. */
static void closed(void **state)
{
    room *r = *state;
    vp_upload *u = make_upload(r, "a", 3000), *v = NULL;
    vp_queue *queue = NULL;

    assert_int_equal(vp_queue_new(&queue, NULL), VP_OK);
    assert_int_equal(append(u, 1000, 1, &r->err), VP_OK);
    assert_int_equal(vp_upload_sync_start(u, queue, 5, &r->err), VP_OK);
    assert_int_equal(vp_context_close(r->context, NULL), VP_OK);
    wait_synced(queue, 5, VP_OK, "");
    assert_int_equal(append(u, 1000, 1, &r->err), VP_E_STATE);
    assert_int_equal(vp_ingest_open(r->store, "a", &v, &r->err), VP_E_STATE);
    vp_upload_close(u);
    vp_queue_unref(queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(expiry, room_open, room_close),
        cmocka_unit_test_setup_teardown(events, room_open, room_close),
        cmocka_unit_test_setup_teardown(events_of_two, room_open, room_close),
        cmocka_unit_test_setup_teardown(starts, room_open, room_close),
        cmocka_unit_test_setup_teardown(behind, room_open, room_close),
        cmocka_unit_test_setup_teardown(behind_fails, room_open, room_close),
        cmocka_unit_test_setup_teardown(costs, room_open, room_close),
        cmocka_unit_test_setup_teardown(folder_syncs, room_open, room_close),
        cmocka_unit_test_setup_teardown(closed, room_open, room_close),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
