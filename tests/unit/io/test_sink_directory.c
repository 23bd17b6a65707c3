/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/fault.h"
#include "base/hash.h"
#include "io/object.h"

static vp_sink *open_sink(room *r, const char *name)
{
    vp_sink *s = NULL;

    assert_int_equal(vp_sink_directory(r->context, in_room(r, name), &s, &r->err), VP_OK);
    return s;
}

static void life_of_an_object(void **state)
{
    room *r = *state;
    vp_sink *s = open_sink(r, "new/out");
    vp_object_info info = VP_OBJECT_INFO_INIT;
    vp_object *o = NULL;
    vp_bytes *b = NULL;
    struct stat st;

    /* The constructor makes nothing. */
    assert_false(exists(in_room(r, "new")));
    assert_int_equal(vp_sink_has(s), 15);
    assert_int_equal(vp_sink_stat(s, "v/a", &info, &r->err), VP_END);
    assert_int_equal(vp_sink_flush(s, &r->err), VP_OK);
    info.key = "v/a";
    assert_int_equal(vp_sink_begin(s, &info, &o, &r->err), VP_OK);
    assert_int_equal(vp_object_write(o, "hello ", 6, &r->err), VP_OK);
    assert_int_equal(vp_object_write(o, "world", 5, &r->err), VP_OK);
    /* Nothing under its name, one temporary file in its place that no listing shows. */
    assert_false(exists(in_room(r, "new/out/v/a")));
    assert_int_equal(count_below(in_room(r, "new/out/v"), "-type f -name '.a.tmp-*'"), 1);
    assert_int_equal(vp_sink_stat(s, "v/a", &info, &r->err), VP_END);
    assert_int_equal(vp_object_commit(o, NULL, NULL, &r->err), VP_OK);
    assert_int_equal(vp_sink_flush(s, &r->err), VP_OK);
    expect_file(in_room(r, "new/out/v/a"), "hello world", 11);
    assert_int_equal(count_below(in_room(r, "new/out"), "-name '.*'"), 0);
    assert_int_equal(stat(in_room(r, "new/out/v/a"), &st), 0);
    assert_int_equal(st.st_mode & 0133, 0);
    assert_int_equal(vp_sink_stat(s, "v/a", &info, &r->err), VP_OK);
    assert_int_equal(info.size, 11);
    assert_true(info.mtime_us > UINT64_C(1600000000000000));
    assert_int_equal(vp_sink_get(s, "v/a", 0, &b, &r->err), VP_OK);
    assert_string_equal(vp_bytes_data(b), "hello world");
    vp_bytes_unref(b);
    assert_int_equal(vp_sink_stat(s, "v", &info, &r->err), VP_END);
    assert_int_equal(vp_sink_get(s, "v", 0, &b, &r->err), VP_END);
    assert_int_equal(vp_sink_get(s, "v/a/b", 0, &b, &r->err), VP_END);
    /* Removing takes empty folders along; the root stays. */
    assert_int_equal(vp_sink_remove(s, "v", &r->err), VP_OK);
    assert_int_equal(vp_sink_remove(s, "v/a", &r->err), VP_OK);
    assert_int_equal(vp_sink_remove(s, "v/a", &r->err), VP_OK);
    assert_false(exists(in_room(r, "new/out/v")));
    assert_true(exists(in_room(r, "new/out")));
    /* Folder and object of one name, one after the other. */
    assert_int_equal(put(s, "n/a", "x", 1, &r->err), VP_OK);
    assert_int_equal(vp_sink_remove(s, "n/a", &r->err), VP_OK);
    assert_int_equal(put(s, "n", "x", 1, &r->err), VP_OK);
    assert_int_equal(vp_sink_flush(s, &r->err), VP_OK);
    vp_sink_unref(s);
}

static void replacing(void **state)
{
    room *r = *state;
    vp_sink *s = open_sink(r, "out");
    char text[16];
    int i, fd;

    assert_int_equal(put(s, "m", "old", 3, &r->err), VP_OK);
    assert_int_equal(vp_sink_flush(s, &r->err), VP_OK);
    fd = open(in_room(r, "out/m"), O_RDONLY);
    /* Many in a row, without a flush: the last one wins. */
    for (i = 0; i < 60; i++) {
        snprintf(text, sizeof(text), "%04d", i);
        assert_int_equal(put(s, "m", text, 4, &r->err), VP_OK);
    }
    assert_int_equal(vp_sink_flush(s, &r->err), VP_OK);
    expect_file(in_room(r, "out/m"), "0059", 4);
    /* A reader of the old one still has it whole: it was replaced, not rewritten. */
    assert_int_equal(read(fd, text, sizeof(text)), 3);
    assert_memory_equal(text, "old", 3);
    close(fd);
    vp_sink_unref(s);
}

static void aborting(void **state)
{
    room *r = *state;
    vp_sink *s = open_sink(r, "out");
    vp_object_info info = VP_OBJECT_INFO_INIT;
    vp_object *o = NULL;

    assert_int_equal(mkdir(in_room(r, "out"), 0755), 0);
    assert_int_equal(mkdir(in_room(r, "out/mine"), 0755), 0);
    info.key = "a/b/c";
    assert_int_equal(vp_sink_begin(s, &info, &o, &r->err), VP_OK);
    assert_int_equal(vp_object_write(o, "x", 1, &r->err), VP_OK);
    vp_object_abort(o);
    info.key = "mine/c";
    assert_int_equal(vp_sink_begin(s, &info, &o, &r->err), VP_OK);
    vp_object_abort(o);
    /* Folders that were there before stay. */
    assert_true(exists(in_room(r, "out/mine")));
    assert_int_equal(count_below(in_room(r, "out"), ""), 1);
    vp_sink_unref(s);
}

static void no_escape(void **state)
{
    static const char *const bad[] = { "../x", "/tmp/x", "a/../../x", "a/./x", "", "a\\x", ".x.tmp-1" };
    room *r = *state;
    vp_sink *s = open_sink(r, "out");
    vp_object_info info = VP_OBJECT_INFO_INIT;
    vp_bytes *b = NULL;
    keys k = { .count = 0 };
    size_t i;

    for (i = 0; i < VPI_COUNT(bad); i++) assert_int_equal(put(s, bad[i], "x", 1, &r->err), VP_E_ARG);
    assert_int_equal(put(s, "plain", "x", 1, &r->err), VP_OK);
    assert_int_equal(vp_sink_flush(s, &r->err), VP_OK);
    assert_int_equal(mkdir(in_room(r, "outside"), 0755), 0);
    write_file(in_room(r, "outside/secret"), "s", 1);
    assert_int_equal(symlink("../outside", in_room(r, "out/link")), 0);
    assert_int_equal(symlink("../outside/secret", in_room(r, "out/file")), 0);
    /* A link to a folder is not followed by anything. */
    assert_int_equal(put(s, "link/x", "x", 1, &r->err), VP_E_IO);
    assert_int_equal(count_below(in_room(r, "outside"), ""), 1);
    assert_int_equal(vp_sink_get(s, "link/secret", 0, &b, &r->err), VP_END);
    assert_int_equal(vp_sink_get(s, "file", 0, &b, &r->err), VP_END);
    assert_int_equal(vp_sink_stat(s, "file", &info, &r->err), VP_END);
    assert_int_equal(vp_sink_remove(s, "link/secret", &r->err), VP_OK);
    assert_true(exists(in_room(r, "outside/secret")));
    assert_int_equal(vp_sink_list(s, "", keep_key, &k, &r->err), VP_OK);
    assert_string_equal(k.text, "plain");
    /* A link in the place of an object is replaced itself, not what it points to. */
    assert_int_equal(put(s, "file", "new", 3, &r->err), VP_OK);
    assert_int_equal(vp_sink_flush(s, &r->err), VP_OK);
    expect_file(in_room(r, "out/file"), "new", 3);
    expect_file(in_room(r, "outside/secret"), "s", 1);
    vp_sink_unref(s);
}

static void listing(void **state)
{
    static const char *const names[] = { "a/1", "a/2", "a/b/3", "ab", "b/.hidden", "c" };
    room *r = *state;
    vp_sink *s = open_sink(r, "out");
    keys k = { .count = 0 };
    size_t i;

    assert_int_equal(vp_sink_list(s, "", keep_key, &k, &r->err), VP_OK);
    assert_int_equal(k.count, 0);
    for (i = 0; i < VPI_COUNT(names); i++) assert_int_equal(put(s, names[i], "xy", 2, &r->err), VP_OK);
    assert_int_equal(vp_sink_flush(s, &r->err), VP_OK);
    write_file(in_room(r, "out/.c.tmp-left-over"), "x", 1);
    assert_int_equal(vp_sink_list(s, "", keep_key, &k, &r->err), VP_OK);
    assert_string_equal(k.text, "a/1 a/2 a/b/3 ab b/.hidden c");
    assert_int_equal(k.bytes, 12);
    k = (keys){ .count = 0 };
    assert_int_equal(vp_sink_list(s, "a", keep_key, &k, &r->err), VP_OK);
    assert_string_equal(k.text, "a/1 a/2 a/b/3 ab");
    k = (keys){ .count = 0 };
    assert_int_equal(vp_sink_list(s, "a/", keep_key, &k, &r->err), VP_OK);
    assert_string_equal(k.text, "a/1 a/2 a/b/3");
    k = (keys){ .count = 0 };
    assert_int_equal(vp_sink_list(s, "a/b/3x", keep_key, &k, &r->err), VP_OK);
    assert_int_equal(vp_sink_list(s, "../", keep_key, &k, &r->err), VP_OK);
    assert_int_equal(k.count, 0);
    k = (keys){ .stop_after = 2 };
    assert_int_equal(vp_sink_list(s, "", keep_key, &k, &r->err), VP_END);
    assert_int_equal(k.count, 2);
    vp_sink_unref(s);
}

static void gathered_writes(void **state)
{
    room *r = *state;
    vp_sink *s = open_sink(r, "out");
    vp_object_info info = VP_OBJECT_INFO_INIT;
    vp_object *o = NULL;
    size_t size = 20u << 20, at = 0, count = 0, cap = 0;
    uint8_t *data = malloc(size);
    struct iovec *iov = NULL;
    uint64_t bytes = 0;
    uint32_t crc = 0, seed = 5;

    fill(data, size, 6);
    /* Pieces of 0 to 50 KB, more than one batch of them; a small write before and behind. */
    for (at = 10; at < size - 10;) {
        size_t n;

        seed = seed * 1664525u + 1013904223u;
        n = VPI_MIN((size_t)(seed >> 8) % 50000, size - 10 - at);
        assert_true(VPI_GROW(iov, count, cap));
        iov[count].iov_base = data + at;
        iov[count++].iov_len = n;
        at += n;
    }
    assert_true(count > 600);
    info.key = "big";
    info.size = size;
    assert_int_equal(vp_sink_begin(s, &info, &o, &r->err), VP_OK);
    assert_int_equal(vp_object_write(o, data, 10, &r->err), VP_OK);
    assert_int_equal(vpi_object_writev(o, iov, count, &r->err), VP_OK);
    assert_int_equal(vp_object_write(o, data + size - 10, 10, &r->err), VP_OK);
    assert_int_equal(vp_object_commit(o, &bytes, &crc, &r->err), VP_OK);
    assert_int_equal(bytes, size);
    assert_int_equal(crc, vpi_crc32c(0, data, size));
    assert_int_equal(vp_sink_flush(s, &r->err), VP_OK);
    expect_file(in_room(r, "out/big"), data, size);
    vp_sink_unref(s);
    vpi_free(iov);
    free(data);
}

static void disk_full(void **state)
{
    room *r = *state;
    vp_sink *s = open_sink(r, "out");
    struct rlimit before, small;
    static uint8_t data[1 << 20];

    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 500000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    assert_int_equal(put(s, "v/big", data, sizeof(data), &r->err), VP_E_IO);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_string_equal(r->err.reason, "DISK_FULL");
    assert_int_equal(r->err.native, EFBIG);
    assert_int_equal(r->err.domain, VP_DOM_ERRNO);
    assert_string_equal(r->err.key, "v/big");
    assert_string_equal(r->err.op, "sink.write");
    assert_int_equal(vp_sink_flush(s, &r->err), VP_OK);
    assert_int_equal(count_below(in_room(r, "out"), ""), 0);
    vp_sink_unref(s);
}

static void late_failure(void **state)
{
    room *r = *state;
    vp_sink *s = open_sink(r, "out");
    char name[300];

    /* A folder is in the place of the object: only the rename, behind the commit, can find out. */
    assert_int_equal(mkdir(in_room(r, "out"), 0755), 0);
    assert_int_equal(mkdir(in_room(r, "out/v"), 0755), 0);
    assert_int_equal(put(s, "v", "x", 1, &r->err), VP_OK);
    assert_int_equal(put(s, "w", "x", 1, &r->err), VP_OK);
    assert_int_equal(vp_sink_flush(s, &r->err), VP_E_IO);
    assert_string_equal(r->err.key, "v");
    assert_int_equal(r->err.native, EISDIR);
    assert_int_equal(count_below(in_room(r, "out"), "-name '.*'"), 0);
    /* Reported once. */
    assert_int_equal(vp_sink_flush(s, &r->err), VP_OK);
    memset(name, 'n', sizeof(name));
    name[256] = 0;
    assert_int_equal(put(s, name, "x", 1, &r->err), VP_E_IO);
    assert_int_equal(r->err.native, ENAMETOOLONG);
    name[255] = 0;
    assert_int_equal(put(s, name, "x", 1, &r->err), VP_OK);
    assert_int_equal(vp_sink_flush(s, &r->err), VP_OK);
    vp_sink_unref(s);
    /* The root cannot be made. */
    write_file(in_room(r, "file"), "x", 1);
    s = open_sink(r, "file/out");
    assert_int_equal(put(s, "v", "x", 1, &r->err), VP_E_IO);
    assert_int_equal(r->err.native, ENOTDIR);
    vp_sink_unref(s);
}

typedef struct worker {
    vp_sink *sink;
    int id, failed;
} worker;

#define OBJECTS 40

static void *put_many(void *arg)
{
    worker *w = arg;
    char key[64], text[128];
    int i;

    for (i = 0; i < OBJECTS; i++) {
        snprintf(key, sizeof(key), "d%d/e%d/o%d", i % 3, w->id % 2, w->id * 1000 + i);
        snprintf(text, sizeof(text), "content of %s", key);
        if (put(w->sink, key, text, strlen(text), NULL) < 0) w->failed++;
        /* Removing makes and unmakes folders under the feet of the other threads. */
        if (i % 4 == 3 && vp_sink_remove(w->sink, key, NULL) < 0) w->failed++;
        if (i % 10 == 9 && vp_sink_flush(w->sink, NULL) < 0) w->failed++;
    }
    return NULL;
}

static void many_threads(void **state)
{
    room *r = *state;
    vp_sink *s = open_sink(r, "out");
    worker w[4];
    pthread_t t[4];
    int i;

    for (i = 0; i < 4; i++) {
        w[i] = (worker){ s, i, 0 };
        pthread_create(&t[i], NULL, put_many, &w[i]);
    }
    for (i = 0; i < 4; i++) {
        pthread_join(t[i], NULL);
        assert_int_equal(w[i].failed, 0);
    }
    assert_int_equal(vp_sink_flush(s, &r->err), VP_OK);
    assert_int_equal(count_below(in_room(r, "out"), "-type f"), 4 * OBJECTS * 3 / 4);
    vp_sink_unref(s);
}

/* Commits that wait when the context closes are finished, and so is the sink that is dropped without a flush. */
static void closing(void **state)
{
    room *r = *state;
    vp_sink *s = open_sink(r, "out");
    vp_object_info info = VP_OBJECT_INFO_INIT;
    vp_object *o = NULL;
    char key[16];
    int i;

    info.key = "open";
    assert_int_equal(vp_sink_begin(s, &info, &o, &r->err), VP_OK);
    for (i = 0; i < 30; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        assert_int_equal(put(s, key, key, strlen(key), &r->err), VP_OK);
    }
    assert_int_equal(vp_context_close(r->context, &r->err), VP_OK);
    assert_int_equal(count_below(in_room(r, "out"), "-name 'k*'"), 30);
    assert_int_equal(put(s, "late", "x", 1, &r->err), VP_E_STATE);
    assert_int_equal(vp_sink_flush(s, &r->err), VP_E_STATE);
    assert_int_equal(vp_object_commit(o, NULL, NULL, &r->err), VP_E_STATE);
    assert_int_equal(count_below(in_room(r, "out"), ""), 30);
    vp_sink_unref(s);
}

static void dropping(void **state)
{
    room *r = *state;
    vp_sink *s = open_sink(r, "out");
    vp_object_info info = VP_OBJECT_INFO_INIT;
    vp_object *o = NULL;

    info.key = "a";
    assert_int_equal(vp_sink_begin(s, &info, &o, &r->err), VP_OK);
    /* An open object holds its sink. */
    vp_sink_unref(s);
    assert_int_equal(vp_object_write(o, "x", 1, &r->err), VP_OK);
    assert_int_equal(vp_object_commit(o, NULL, NULL, &r->err), VP_OK);
    expect_file(in_room(r, "out/a"), "x", 1);
}

/* No thread to be had: whoever commits does the work. */
static void no_threads(void **state)
{
    room *r = *state;
    vp_sink *s = open_sink(r, "out");
    vp_object_info info = VP_OBJECT_INFO_INIT;
    vp_object *o = NULL;

    info.key = "a";
    assert_int_equal(vp_sink_begin(s, &info, &o, &r->err), VP_OK);
    assert_int_equal(vp_object_write(o, "x", 1, &r->err), VP_OK);
    /* The job is the first allocation of the commit, the thread the second. */
    atomic_store(&vpi_alloc_fail_at, 2);
    assert_int_equal(vp_object_commit(o, NULL, NULL, &r->err), VP_OK);
    assert_true(atomic_load(&vpi_alloc_fail_at) <= 0);
    atomic_store(&vpi_alloc_fail_at, 0);
    expect_file(in_room(r, "out/a"), "x", 1);
    assert_int_equal(vp_sink_flush(s, &r->err), VP_OK);
    vp_sink_unref(s);
}

/* A child has copies of everything and may drop them; the parent's files and threads do not notice. */
static void forked(void **state)
{
    room *r = *state;
    vp_sink *s = open_sink(r, "out");
    vp_object_info info = VP_OBJECT_INFO_INIT;
    vp_object *o = NULL;
    int status = -1;
    pid_t pid;

    assert_int_equal(put(s, "a", "x", 1, &r->err), VP_OK);
    info.key = "b/c";
    assert_int_equal(vp_sink_begin(s, &info, &o, &r->err), VP_OK);
    assert_int_equal(vp_object_write(o, "parent", 6, &r->err), VP_OK);
    pid = fork();
    if (pid == 0) {
        int ok = vp_sink_flush(s, NULL) == VP_E_STATE && vp_object_write(o, "child", 5, NULL) == VP_E_STATE &&
                 vp_sink_remove(s, "a", NULL) == VP_E_STATE;

        vp_object_abort(o);
        vp_sink_unref(s);
        _exit(ok ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(vp_object_commit(o, NULL, NULL, &r->err), VP_OK);
    assert_int_equal(vp_sink_flush(s, &r->err), VP_OK);
    expect_file(in_room(r, "out/b/c"), "parent", 6);
    expect_file(in_room(r, "out/a"), "x", 1);
    vp_sink_unref(s);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, room_open, room_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(life_of_an_object), TEST(replacing),  TEST(aborting),     TEST(no_escape),    TEST(listing),
        TEST(gathered_writes),   TEST(disk_full),  TEST(late_failure), TEST(many_threads), TEST(closing),
        TEST(dropping),          TEST(no_threads), TEST(forked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
