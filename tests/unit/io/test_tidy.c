/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Temporary files of processes that were killed go, those of living ones and of strangers stay; disks that fail. */

#include "tools.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/fault.h"

static vp_object *begin(vp_sink *s, const char *key)
{
    vp_object_info info = VP_OBJECT_INFO_INIT;
    vp_object *o = NULL;

    info.key = key;
    assert_int_equal(vp_sink_begin(s, &info, &o, NULL), VP_OK);
    assert_int_equal(vp_object_write(o, "half", 4, NULL), VP_OK);
    return o;
}

/* A process that ends between begin and commit of an object and of a value. */
static void killed_writer(room *r)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        vp_context *c = NULL;
        vp_sink *sink = NULL;
        vp_store *store = NULL;
        vp_value *v = NULL;

        if (vp_context_new(NULL, &c, NULL) == VP_OK &&
            vp_sink_directory(c, in_room(r, "out"), &sink, NULL) == VP_OK &&
            vp_store_directory(c, in_room(r, "work"), &store, NULL) == VP_OK &&
            vp_store_begin(store, "result/a", &v, NULL) == VP_OK) {
            begin(sink, "v/video/00001.m4s");
            begin(sink, "v/video/new/00001.m4s");
            begin(sink, "other/00001.m4s");
            begin(sink, "master.m3u8");
            kill(getpid(), SIGKILL);
        }
        _exit(1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
}

static int temporary(room *r, const char *where)
{
    return count_below(in_room(r, where), "-name '.*.tmp-*' -type f");
}

static void of_the_dead(void **state)
{
    room *r = *state;
    vp_sink *sink = NULL;
    vp_store *store = NULL;
    vp_object *mine;
    vp_value *value = NULL;

    assert_int_equal(vp_sink_directory(r->context, in_room(r, "out"), &sink, &r->err), VP_OK);
    assert_int_equal(vp_store_directory(r->context, in_room(r, "work"), &store, &r->err), VP_OK);
    vpi_sink_tidy(sink, ""); /* nothing is there, and nothing is made */
    vpi_store_tidy(store, "");
    assert_false(exists(in_room(r, "out")) || exists(in_room(r, "work")));
    assert_int_equal(put(sink, "v/video/00000.m4s", "whole", 5, &r->err), VP_OK);
    assert_int_equal(vp_sink_flush(sink, &r->err), VP_OK);
    killed_writer(r);
    mine = begin(sink, "v/video/00001.m4s");
    assert_int_equal(vp_store_begin(store, "result/a", &value, &r->err), VP_OK);
    assert_int_equal(temporary(r, "out"), 5);
    assert_int_equal(temporary(r, "work"), 2);

    vpi_sink_tidy(sink, "v/");
    assert_int_equal(temporary(r, "out/v"), 1);
    assert_false(exists(in_room(r, "out/v/video/new")));
    assert_int_equal(temporary(r, "out/other"), 1);
    vpi_sink_tidy(sink, "master.m3u8");
    assert_int_equal(count_below(in_room(r, "out"), "-maxdepth 1 -name '.*'"), 0);
    vpi_sink_tidy(sink, "");
    assert_false(exists(in_room(r, "out/other")));
    vpi_store_tidy(store, "");
    assert_int_equal(temporary(r, "work"), 1);

    assert_int_equal(vp_object_commit(mine, NULL, NULL, &r->err), VP_OK);
    assert_int_equal(vp_value_commit(value, &r->err), VP_OK);
    assert_int_equal(vp_sink_flush(sink, &r->err), VP_OK);
    expect_file(in_room(r, "out/v/video/00000.m4s"), "whole", 5);
    expect_file(in_room(r, "out/v/video/00001.m4s"), "half", 4);
    assert_int_equal(temporary(r, "out") + temporary(r, "work"), 0);
    vp_sink_unref(sink);
    vp_store_unref(store);
}

static void of_strangers(void **state)
{
    static const char *const names[] = {
        ".notes.tmp-old", ".a.tmp-1-2-x", ".a.tmp-1-2",     ".a.tmp-1-2-",
        ".tmp-1-2-3",     "a.tmp-1-2-3",  ".a.tmp-1-2-3-4", ".a",
    };
    room *r = *state;
    vp_sink *sink = NULL;
    char path[128];
    size_t i;

    assert_int_equal(vp_sink_directory(r->context, in_room(r, "out"), &sink, &r->err), VP_OK);
    assert_int_equal(mkdir(in_room(r, "out"), 0700), 0);
    for (i = 0; i < VPI_COUNT(names); i++) {
        snprintf(path, sizeof(path), "out/%s", names[i]);
        write_file(in_room(r, path), "x", 1);
    }
    assert_int_equal(mkdir(in_room(r, "out/.folder.tmp-1-2-3"), 0700), 0);
    assert_int_equal(mkdir(in_room(r, "elsewhere"), 0700), 0);
    write_file(in_room(r, "elsewhere/.b.tmp-1-2-3"), "x", 1);
    assert_int_equal(symlink(in_room(r, "elsewhere"), in_room(r, "out/link")), 0);
    assert_int_equal(symlink(in_room(r, "elsewhere/.b.tmp-1-2-3"), in_room(r, "out/.b.tmp-1-2-3")), 0);
    assert_int_equal(mkfifo(in_room(r, "out/.c.tmp-1-2-3"), 0600), 0);
    write_file(in_room(r, "out/.ours.tmp-1-2-3"), "x", 1);
    vpi_sink_tidy(sink, "");
    assert_int_equal(count_below(in_room(r, "out"), ""), (int)VPI_COUNT(names) + 4);
    assert_false(exists(in_room(r, "out/.ours.tmp-1-2-3")));
    expect_file(in_room(r, "elsewhere/.b.tmp-1-2-3"), "x", 1);
    vp_sink_unref(sink);
}

/* Of one name, in folders of the first level alone; of these what was not emptied stays. */
static void of_one_name(void **state)
{
    room *r = *state;
    vp_sink *sink = NULL;

    assert_int_equal(vp_sink_directory(r->context, in_room(r, "out"), &sink, &r->err), VP_OK);
    vpi_sink_tidy_named(sink, "mark");
    assert_int_equal(mkdir(in_room(r, "out"), 0700), 0);
    assert_int_equal(mkdir(in_room(r, "out/a"), 0700), 0);
    assert_int_equal(mkdir(in_room(r, "out/b"), 0700), 0);
    assert_int_equal(mkdir(in_room(r, "out/b/c"), 0700), 0);
    assert_int_equal(mkdir(in_room(r, "out/empty"), 0700), 0);
    write_file(in_room(r, "out/a/.mark.tmp-1-2-3"), "x", 1);
    write_file(in_room(r, "out/b/.mark.tmp-1-2-3"), "x", 1);
    write_file(in_room(r, "out/b/.markets.tmp-1-2-3"), "x", 1);
    write_file(in_room(r, "out/b/c/.mark.tmp-1-2-3"), "x", 1);
    write_file(in_room(r, "out/.mark.tmp-1-2-3"), "x", 1);
    vpi_sink_tidy_named(sink, "mark");
    assert_false(exists(in_room(r, "out/a")) || exists(in_room(r, "out/b/.mark.tmp-1-2-3")));
    assert_true(exists(in_room(r, "out/empty")));
    assert_int_equal(temporary(r, "out"), 3);
    vp_sink_unref(sink);
}

/* ---- tidying beside work ---- */

typedef struct tidier {
    vp_sink *sink;
    atomic_bool stop;
} tidier;

static void *tidy_main(void *arg)
{
    tidier *t = arg;

    while (!atomic_load(&t->stop)) vpi_sink_tidy(t->sink, "");
    return NULL;
}

static void beside_work(void **state)
{
    room *r = *state;
    vp_sink *sink = NULL;
    tidier t = { .stop = false };
    pthread_t thread;
    char key[32];
    int i;

    assert_int_equal(vp_sink_directory(r->context, in_room(r, "out"), &sink, &r->err), VP_OK);
    /* Another handle, as in another process. */
    assert_int_equal(vp_sink_directory(r->context, in_room(r, "out"), &t.sink, &r->err), VP_OK);
    assert_int_equal(pthread_create(&thread, NULL, tidy_main, &t), 0);
    for (i = 0; i < 100; i++) {
        snprintf(key, sizeof(key), "v/%d/00001.m4s", i % 7);
        assert_int_equal(put(sink, key, key, strlen(key), &r->err), VP_OK);
        if (i % 30 == 0) assert_int_equal(vp_sink_flush(sink, &r->err), VP_OK);
    }
    assert_int_equal(vp_sink_flush(sink, &r->err), VP_OK);
    atomic_store(&t.stop, true);
    pthread_join(thread, NULL);
    assert_int_equal(count_below(in_room(r, "out"), "-type f"), 7);
    vp_sink_unref(sink);
    vp_sink_unref(t.sink);
}

/* Values that come and go take their folders with them, while others are about to be made in these. */
static void *begin_and_abort(void *arg)
{
    vp_store *store = arg;
    vp_status st = VP_OK;
    char name[32];
    int i;

    for (i = 0; i < 3000 && st == VP_OK; i++) {
        vp_value *v = NULL;

        snprintf(name, sizeof(name), "part/360p/%p", (void *)&v);
        st = vp_store_begin(store, name, &v, NULL);
        vp_value_abort(v);
    }
    return (void *)(intptr_t)st;
}

static void folders_come_and_go(void **state)
{
    room *r = *state;
    vp_store *store = NULL;
    pthread_t threads[4];
    size_t i;

    assert_int_equal(vp_store_directory(r->context, in_room(r, "work"), &store, &r->err), VP_OK);
    for (i = 0; i < VPI_COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, begin_and_abort, store), 0);
    for (i = 0; i < VPI_COUNT(threads); i++) {
        void *end = NULL;

        pthread_join(threads[i], &end);
        assert_int_equal((intptr_t)end, VP_OK);
    }
    vp_store_unref(store);
}

/* ---- disks ---- */

static vp_status use_disk(room *r, vp_error *err)
{
    vp_sink *sink = NULL;
    vp_store *store = NULL;
    vp_lease *lease = NULL;
    vp_status st;

    VPI_GO(vp_sink_directory(r->context, in_room(r, "out"), &sink, err));
    VPI_GO(vp_store_directory(r->context, in_room(r, "work"), &store, err));
    VPI_GO(vp_store_lease(store, "lease/job", &lease, NULL, err));
    VPI_GO(put(sink, "v/a", "hello", 5, err));
    VPI_GO(put(sink, "v/w/b", "world", 5, err));
    VPI_GO(vp_sink_flush(sink, err));
    VPI_GO(vp_store_put(store, "result/a", "done", 4, err));
    st = VP_OK;
done:
    vp_lease_release(lease);
    vp_store_unref(store);
    vp_sink_unref(sink);
    return st;
}

static void each_change_fails(void **state)
{
    static const int numbers[] = { EIO, ENOSPC };
    room *r = *state;
    long n = 0, left = 0;
    size_t i;

    for (i = 0; i < VPI_COUNT(numbers); i++) {
        for (n = 1; left == 0; n += i ? 7 : 2) {
            vp_status st;

            room_empty(r);
            vp_error_init(&r->err);
            atomic_store(&vpi_disk_fail_with, numbers[i]);
            atomic_store(&vpi_disk_fail_at, n);
            st = use_disk(r, &r->err);
            left = atomic_exchange(&vpi_disk_fail_at, 0);
            if (left > 0) {
                assert_int_equal(st, VP_OK);
                continue;
            }
            assert_int_equal(st, VP_E_IO);
            assert_int_equal(r->err.native, numbers[i]);
            assert_string_equal(r->err.reason, numbers[i] == ENOSPC ? "DISK_FULL" : "IO_ERROR");
            assert_int_equal(temporary(r, "."), 0);
            /* A value is there whole or not at all, and a second try needs no help. */
            st = use_disk(r, &r->err);
            assert_true(st == VP_OK || st == VP_END);
            expect_file(in_room(r, "out/v/w/b"), "world", 5);
            expect_file(in_room(r, "work/result/a"), "done", 4);
        }
        assert_true(n > 20);
        left = 0;
    }
}

/* Two threads write; one is told of the object that was lost, the other must know that it may have been its own. */
static void failures_are_counted(void **state)
{
    room *r = *state;
    vp_sink *sink = NULL;

    assert_int_equal(vp_sink_directory(r->context, in_room(r, "out"), &sink, &r->err), VP_OK);
    assert_int_equal(put(sink, "a", "x", 1, &r->err), VP_OK);
    assert_int_equal(vp_sink_flush(sink, &r->err), VP_OK);
    assert_int_equal(vpi_sink_failures(sink), 0);
    atomic_store(&vpi_disk_fail_with, EIO);
    atomic_store(&vpi_disk_fail_at, 3); /* made, written, synced */
    assert_int_equal(put(sink, "b", "x", 1, &r->err), VP_OK);
    assert_int_equal(vp_sink_flush(sink, &r->err), VP_E_IO);
    assert_string_equal(r->err.key, "b");
    assert_int_equal(atomic_load(&vpi_disk_fail_at), 0);
    assert_int_equal(vp_sink_flush(sink, &r->err), VP_OK);
    assert_int_equal(vpi_sink_failures(sink), 1);
    assert_false(exists(in_room(r, "out/b")));
    vp_sink_unref(sink);
}

static void killed_at_each_change(void **state)
{
    room *r = *state;
    vp_sink *sink = NULL;
    int status = 1;
    long n;

    for (n = 1; status != 0; n += 2) {
        pid_t pid;

        room_empty(r);
        pid = fork();
        if (pid == 0) {
            vp_context *c = NULL;

            atomic_store(&vpi_disk_fail_with, 0);
            atomic_store(&vpi_disk_fail_at, n);
            if (vp_context_new(NULL, &c, NULL) != VP_OK) _exit(1);
            r->context = c;
            _exit(use_disk(r, NULL) == VP_OK ? 0 : 1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) || status == 0);
        assert_int_equal(vp_sink_directory(r->context, in_room(r, "out"), &sink, &r->err), VP_OK);
        vpi_sink_tidy(sink, "");
        vp_sink_unref(sink);
        assert_int_equal(temporary(r, "out"), 0);
        assert_true(use_disk(r, &r->err) >= 0);
        expect_file(in_room(r, "work/result/a"), "done", 4);
    }
    assert_true(n > 20);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, room_open, room_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(of_the_dead),          TEST(of_strangers),          TEST(of_one_name),
        TEST(beside_work),          TEST(folders_come_and_go),   TEST(each_change_fails),
        TEST(failures_are_counted), TEST(killed_at_each_change),
    };

    return cmocka_run_group_tests_name("tidy", tests, NULL, NULL);
}
