/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What happens between two steps of others: calls of the system are held here while somebody else comes. */

#include <pthread.h>
#include <sys/syscall.h>

#include "workers.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turn = PTHREAD_COND_INITIALIZER;
static bool hold, held;
static int syncs;
static void (*before_unlink)(const char *name);
static void (*before_sync)(void);

/* Those of libc, which the library's come to in this program. */
int fdatasync(int fd)
{
    void (*fn)(void) = before_sync;

    pthread_mutex_lock(&lock);
    syncs++;
    while (hold) {
        held = true;
        pthread_cond_broadcast(&turn);
        pthread_cond_wait(&turn, &lock);
    }
    pthread_mutex_unlock(&lock);
    if (fn) {
        before_sync = NULL;
        fn();
    }
    return (int)syscall(SYS_fdatasync, fd);
}

int unlinkat(int at, const char *name, int flags)
{
    void (*fn)(const char *) = before_unlink;

    if (fn) {
        before_unlink = NULL;
        fn(name);
    }
    return (int)syscall(SYS_unlinkat, at, name, flags);
}

static void set_hold(bool on)
{
    pthread_mutex_lock(&lock);
    hold = on;
    held = false;
    pthread_cond_broadcast(&turn);
    pthread_mutex_unlock(&lock);
}

static void wait_held(void)
{
    pthread_mutex_lock(&lock);
    while (!held) pthread_cond_wait(&turn, &lock);
    pthread_mutex_unlock(&lock);
}

/* ---- two who wait for a sync behind ---- */

typedef struct waiter {
    room *r;
    vp_upload *upload;
    vp_status st;
    char reason[sizeof(((vp_error *)0)->reason)];
} waiter;

static void *taker(void *arg)
{
    waiter *w = arg;

    w->st = vp_ingest_open(w->r->store, "a", &w->upload, NULL);
    return NULL;
}

static void *syncer(void *arg)
{
    waiter *w = arg;
    vp_error err = VP_ERROR_INIT;

    w->st = vp_upload_sync(w->upload, &err);
    memcpy(w->reason, err.reason, sizeof(w->reason));
    return NULL;
}

/* U05: a request that waits for a sync behind it, and a newer one that takes the upload as soon as that ends. */
static void taken_while_waiting(void **state)
{
    room *r = *state;
    vp_ingest_options o = VP_INGEST_OPTIONS_INIT;
    vp_upload *u;

    o.sync_bytes = 1000;
    o.lock_wait_ms = 60000;
    room_again(r, &o);
    u = make_upload(r, "a", 1000000);
    for (int i = 0; i < 100; i++) {
        waiter newer = { .r = r }, older = { .r = r, .upload = u };
        pthread_t threads[2];

        set_hold(true);
        assert_int_equal(append(u, 1500, SEED, &r->err), VP_OK);
        wait_held();
        assert_int_equal(pthread_create(&threads[0], NULL, taker, &newer), 0);
        usleep(i % 2 ? 0 : 2000); /* any order is right */
        assert_int_equal(pthread_create(&threads[1], NULL, syncer, &older), 0);
        usleep(2000);
        set_hold(false);
        pthread_join(threads[0], NULL);
        pthread_join(threads[1], NULL);
        assert_int_equal(newer.st, VP_OK);
        if (older.st != VP_OK) assert_string_equal(older.reason, "TAKEN_OVER");
        assert_int_equal(vp_upload_offset(newer.upload), 1500 * (i + 1));
        vp_upload_close(u);
        u = newer.upload;
    }
    vp_upload_close(u);
}

/* ---- made anew while it is tidied away ---- */

static room *tidied;
static bool made;

static void make_again(const char *name)
{
    vp_upload_options o = VP_UPLOAD_OPTIONS_INIT;
    vp_upload *u = NULL;

    if (strcmp(name, "x.data") != 0) return;
    o.id = "x";
    o.length = 1000;
    o.scope = "s";
    if (vp_ingest_create(tidied->store, &o, &u, NULL) != VP_OK) return;
    made = append(u, 1000, SEED, NULL) == VP_OK && vp_upload_finish(u, NULL, NULL, NULL) == VP_OK;
    vp_upload_close(u);
}

/* Bytes of an upload whose record is gone are removed; not those of one that is made under the same id right then. */
static void made_while_tidied(void **state)
{
    room *r = *state;
    vp_ingest_options o = VP_INGEST_OPTIONS_INIT;
    worker w = { .pipe = -1 };
    vp_source *s = NULL;
    char path[256];

    o.lock_wait_ms = 50;
    room_again(r, &o);
    made_scope = "s";
    vp_upload_close(make_upload(r, "x", 1000));
    snprintf(path, sizeof(path), "%s/uploads/%02x/x.rec", r->path, vpi_crc32c(0, "x", 1) % 16);
    assert_int_equal(unlink(path), 0);
    tidied = r;
    made = false;
    assert_int_equal(begin(&w, r, true), VP_OK);
    before_unlink = make_again;
    assert_int_equal(expire_work(&w, NULL), VP_OK);
    assert_null(before_unlink); /* there was something to tidy away */
    end(&w);
    if (made) {
        assert_int_equal(vp_ingest_source(r->store, "x", &s, &r->err), VP_OK);
        assert_content(s, 1000, SEED);
        vp_source_unref(s);
    } else {
        assert_int_equal(files_like(r, "x.*"), 0);
        vp_upload_close(make_upload(r, "x", 1000));
    }
}

/* Between the two files. */
static void make_when_data_go(const char *name)
{
    if (strcmp(name, "x.data") == 0)
        make_again(name);
    else
        before_unlink = make_when_data_go;
}

/* Nor does a removal take the bytes of one that is made under the same id right then. */
static void made_while_removed(void **state)
{
    room *r = *state;
    vp_ingest_options o = VP_INGEST_OPTIONS_INIT;
    vp_upload *u;
    vp_source *s = NULL;

    o.lock_wait_ms = 50;
    room_again(r, &o);
    made_scope = "s";
    u = make_upload(r, "x", 1000);
    assert_int_equal(append(u, 500, SEED, &r->err), VP_OK);
    vp_upload_close(u);
    tidied = r;
    made = false;
    before_unlink = make_when_data_go;
    assert_int_equal(vp_ingest_remove(r->store, "x", &r->err), VP_OK);
    assert_null(before_unlink);
    if (!made) make_again("x.data");
    assert_true(made);
    assert_int_equal(vp_ingest_source(r->store, "x", &s, &r->err), VP_OK);
    assert_content(s, 1000, SEED);
    vp_source_unref(s);
}

/* ---- counted while it grows ---- */

static room *counted;
static vp_status counted_st;

static void count_anew(void)
{
    vp_upload_options o = VP_UPLOAD_OPTIONS_INIT;
    vp_upload *u = NULL;

    o.id = "other";
    o.length = 900;
    counted_st = vp_ingest_create(counted->store, &o, &u, NULL);
    vp_upload_close(u);
}

/* Bytes that a length was told for are set apart, also where another counts before the record says so. */
static void counted_while_told(void **state)
{
    room *r = *state;
    vp_ingest_options o = VP_INGEST_OPTIONS_INIT;
    vp_upload *u, *v = NULL;
    vp_upload_options uo = VP_UPLOAD_OPTIONS_INIT;

    o.quota = 1000;
    o.lock_wait_ms = 50;
    room_again(r, &o);
    u = make_upload(r, "a", VP_SIZE_UNKNOWN);
    counted = r;
    counted_st = VP_OK;
    before_sync = count_anew;
    assert_int_equal(vp_upload_set_length(u, 600, &r->err), VP_OK);
    assert_null(before_sync);
    assert_true(counted_st < 0); /* 600 and 900 are above 1000 */
    uo.id = "third";
    uo.length = 500;
    assert_int_equal(vp_ingest_create(r->store, &uo, &v, &r->err), VP_E_LIMIT);
    assert_reason(&r->err, VP_E_LIMIT, "QUOTA_EXCEEDED");
    vp_upload_close(u);
}

static void count_without(const char *name)
{
    (void)name;
    count_anew();
}

/* What is removed while another counts is not given back to a sum that has it no more. */
static void counted_while_removed(void **state)
{
    room *r = *state;
    vp_ingest_options o = VP_INGEST_OPTIONS_INIT;
    vp_upload_options uo = VP_UPLOAD_OPTIONS_INIT;
    vp_upload *u = NULL;

    o.quota = 1000;
    o.lock_wait_ms = 50;
    room_again(r, &o);
    made_scope = "s";
    vp_upload_close(make_upload(r, "a", 600));
    vp_upload_close(make_upload(r, "b", 300));
    counted = r;
    counted_st = VP_OK;
    before_unlink = count_without;
    assert_int_equal(vp_ingest_remove(r->store, "a", &r->err), VP_OK);
    assert_null(before_unlink);
    assert_int_equal(counted_st, VP_E_LIMIT); /* 900 beside b's 300 */
    uo.id = "third";
    uo.length = 701;
    assert_int_equal(vp_ingest_create(r->store, &uo, &u, &r->err), VP_E_LIMIT);
    uo.length = 700;
    assert_int_equal(vp_ingest_create(r->store, &uo, &u, &r->err), VP_OK);
    vp_upload_close(u);
}

/* ---- a sync of the record that fails ---- */

/* What the failed sync may have left on the disk is taken back there, too, before the next opening cuts the data. */
static void taken_back_of(room *r, const char *scope)
{
    vp_upload *u;

    made_scope = scope;
    u = make_upload(r, "a", 1000);
    assert_int_equal(append(u, 500, SEED, &r->err), VP_OK);
    syncs = 0;
    atomic_store(&vpi_disk_fail_with, EIO);
    atomic_store(&vpi_disk_fail_at, scope ? 4 : 2); /* data, their folder, slot, and then its sync */
    assert_int_equal(vp_upload_sync(u, &r->err), VP_E_IO);
    assert_int_equal(syncs, scope ? 2 : 1); /* data, and the slot that was wiped */
    assert_int_equal(stat_offset(r->store, "a"), 0);
    vp_upload_close(u);
    assert_int_equal(vp_ingest_remove(r->store, "a", &r->err), VP_OK);
}

static void taken_back(void **state)
{
    taken_back_of(*state, "s");
    taken_back_of(*state, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(taken_while_waiting, room_open, room_close),
        cmocka_unit_test_setup_teardown(made_while_tidied, room_open, room_close),
        cmocka_unit_test_setup_teardown(made_while_removed, room_open, room_close),
        cmocka_unit_test_setup_teardown(counted_while_told, room_open, room_close),
        cmocka_unit_test_setup_teardown(counted_while_removed, room_open, room_close),
        cmocka_unit_test_setup_teardown(taken_back, room_open, room_close),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
