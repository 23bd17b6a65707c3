/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Several requests, threads and processes at a time. */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>

#include "tools.h"

#define ROUNDS 1000

/* ---- U20: two finishers of equal bytes ---- */

typedef struct finisher {
    room *r;
    pthread_barrier_t *barrier;
    const char *name;
    unsigned shared;
} finisher;

static void finish_one(finisher *f, int round)
{
    vp_upload_options o = VP_UPLOAD_OPTIONS_INIT;
    vp_upload_info info = VP_UPLOAD_INFO_INIT;
    vp_error err = VP_ERROR_INIT;
    vp_upload *u = NULL;
    char id[32];

    snprintf(id, sizeof(id), "%s%d", f->name, round);
    o.id = id;
    o.length = 600;
    o.scope = "s";
    if (vp_ingest_create(f->r->store, &o, &u, &err) != VP_OK ||
        append(u, 600, (unsigned)round, &err) != VP_OK || vp_upload_sync(u, &err) != VP_OK)
        abort();
    pthread_barrier_wait(f->barrier);
    if (vp_upload_finish(u, NULL, &info, &err) != VP_OK) {
        fprintf(stderr, "finish: %s: %s\n", err.reason, err.message);
        abort();
    }
    f->shared += info.shared;
    vp_upload_close(u);
    pthread_barrier_wait(f->barrier);
}

static void *finish_many(void *arg)
{
    for (int round = 0; round < ROUNDS; round++) finish_one(arg, round);
    return NULL;
}

static ino_t inode(room *r, const char *id)
{
    char path[256];
    struct stat s;

    snprintf(path, sizeof(path), "%s/uploads/%02x/%s.data", r->path, vpi_crc32c(0, id, strlen(id)) % 16, id);
    assert_int_equal(stat(path, &s), 0);
    assert_int_equal(s.st_nlink, 3);
    return s.st_ino;
}

static void two_finishers(void **state)
{
    room *r = *state;
    vp_ingest_options o = VP_INGEST_OPTIONS_INIT;
    pthread_barrier_t barrier;
    pthread_t thread;
    finisher a = { r, &barrier, "a", 0 }, b = { r, &barrier, "b", 0 };
    vp_source *s = NULL;

    o.flags = VP_INGESTF_VOLATILE; /* it is the race that counts */
    room_again(r, &o);
    pthread_barrier_init(&barrier, NULL, 2);
    assert_int_equal(pthread_create(&thread, NULL, finish_many, &b), 0);
    finish_many(&a);
    pthread_join(thread, NULL);
    pthread_barrier_destroy(&barrier);
    assert_int_equal(a.shared + b.shared, ROUNDS); /* one of two each time */
    for (int round = 0; round < ROUNDS; round++) {
        char ida[32], idb[32];

        snprintf(ida, sizeof(ida), "a%d", round);
        snprintf(idb, sizeof(idb), "b%d", round);
        assert_int_equal(inode(r, ida), inode(r, idb));
        if (round % 100) continue;
        assert_int_equal(vp_ingest_remove(r->store, ida, &r->err), VP_OK);
        assert_int_equal(vp_ingest_source(r->store, idb, &s, &r->err), VP_OK);
        assert_content(s, 600, (unsigned)round);
        vp_source_unref(s);
    }
}

static uint32_t finish_in(room *r, const char *id, const char *scope, unsigned seed)
{
    vp_upload_options o = VP_UPLOAD_OPTIONS_INIT;
    vp_upload_info info = VP_UPLOAD_INFO_INIT;
    vp_upload *u = NULL;

    o.id = id;
    o.scope = scope;
    o.length = scope && scope[0] ? 600 : 200000; /* small ones that are nobody's are not shared */
    assert_int_equal(vp_ingest_create(r->store, &o, &u, &r->err), VP_OK);
    assert_int_equal(append(u, (size_t)o.length, seed, &r->err), VP_OK);
    assert_int_equal(vp_upload_finish(u, NULL, &info, &r->err), VP_OK);
    vp_upload_close(u);
    return info.shared;
}

static int count_files(const room *r, const char *where, const char *type)
{
    char command[256];
    int n = -1;
    FILE *f;

    snprintf(command, sizeof(command), "find %s/%s -mindepth 1 -type %s | wc -l", r->path, where, type);
    f = popen(command, "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%d", &n), 1);
    pclose(f);
    return n;
}

/* Bytes are shared within a scope only, and stay until the last owner is gone. */
static void scopes(void **state)
{
    room *r = *state;
    vp_ingest_options o = VP_INGEST_OPTIONS_INIT;
    vp_source *s = NULL;

    assert_int_equal(finish_in(r, "a", "x", 1), 0);
    assert_int_equal(finish_in(r, "b", "y", 1), 0);
    assert_int_equal(finish_in(r, "c", "../x", 1), 0); /* no name is made of what the host says */
    assert_int_equal(finish_in(r, "d", NULL, 1), 0);
    assert_int_equal(finish_in(r, "e", "", 1), 1);
    assert_int_equal(finish_in(r, "f", "x", 1), 1);
    assert_int_equal(count_files(r, "shared", "f"), 4);
    assert_int_equal(vp_ingest_remove(r->store, "a", &r->err), VP_OK);
    assert_int_equal(vp_ingest_source(r->store, "f", &s, &r->err), VP_OK);
    assert_content(s, 600, 1);
    vp_source_unref(s);
    assert_int_equal(finish_in(r, "g", "x", 1), 1); /* still there for the next */
    assert_int_equal(vp_ingest_remove(r->store, "f", &r->err), VP_OK);
    assert_int_equal(vp_ingest_remove(r->store, "g", &r->err), VP_OK);
    assert_int_equal(count_files(r, "shared", "f"), 3);
    assert_int_equal(vp_ingest_remove(r->store, "b", &r->err), VP_OK);
    assert_int_equal(vp_ingest_remove(r->store, "c", &r->err), VP_OK);
    assert_int_equal(vp_ingest_remove(r->store, "d", &r->err), VP_OK);
    assert_int_equal(vp_ingest_remove(r->store, "e", &r->err), VP_OK);
    assert_int_equal(count_files(r, "shared", "d"), 0);
    assert_int_equal(count_files(r, "uploads", "f"), 0);
    o.flags = VP_INGESTF_NO_DEDUP;
    room_again(r, &o);
    assert_int_equal(finish_in(r, "a", NULL, 1), 0);
    assert_int_equal(finish_in(r, "b", NULL, 1), 0);
    assert_int_equal(count_files(r, ".", "f"), 4);
}

/* ---- two processes take one upload from each other ---- */

#define TAKES 60
#define TAKE_SIZE 400000u

/* Opens, writes a little, syncs, and is taken over at any moment. What it was told is in shared memory. */
static int taker(const char *path, unsigned number, int out)
{
    vp_ingest_options o = VP_INGEST_OPTIONS_INIT;
    vp_context *context = NULL;
    vp_ingest *store = NULL;
    vp_upload *u = NULL;
    vp_error err = VP_ERROR_INIT;
    vp_status st = vp_context_new(NULL, &context, &err);
    uint64_t told[2] = { number, 0 };

    o.lock_wait_ms = 60000; /* a busy machine is no failure */
    if (st == VP_OK) st = vp_ingest_directory(context, path, &o, &store, &err);
    for (int i = 0; st == VP_OK && i < TAKES; i++) {
        st = vp_ingest_open(store, "x", &u, &err);
        if (st != VP_OK) break;
        for (int k = 0; st == VP_OK && k < 3 && vp_upload_offset(u) < TAKE_SIZE; k++) {
            size_t n = (size_t)((TAKE_SIZE - vp_upload_offset(u)) % 1777 + 1);

            if (n > TAKE_SIZE - vp_upload_offset(u)) n = (size_t)(TAKE_SIZE - vp_upload_offset(u));
            st = append(u, n, 9, &err);
            if (st == VP_OK) st = vp_upload_sync(u, &err);
            told[1] = vp_upload_offset(u);
            if (st == VP_OK && write(out, told, sizeof(told)) != (ssize_t)sizeof(told)) return 9;
        }
        vp_upload_close(u);
        if (st == VP_E_CONFLICT && strcmp(err.reason, "TAKEN_OVER") == 0) st = VP_OK;
    }
    if (st != VP_OK) fprintf(stderr, "taker: %s: %s\n", err.reason, err.message);
    return st == VP_OK ? 0 : 1;
}

static void processes(void **state)
{
    room *r = *state;
    vp_upload *u = make_upload(r, "x", TAKE_SIZE);
    uint64_t told[2], most = 0;
    int ends[2], status;
    pid_t pids[2];
    vp_source *s = NULL;

    vp_upload_close(u);
    assert_int_equal(pipe(ends), 0);
    for (unsigned i = 0; i < 2; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            close(ends[0]);
            _exit(taker(r->path, i, ends[1]));
        }
    }
    close(ends[1]);
    /* While they work: nothing is below what was told, and looking never waits or fails. */
    while (read(ends[0], told, sizeof(told)) == (ssize_t)sizeof(told)) {
        most = told[1] > most ? told[1] : most;
        assert_true(stat_offset(r->store, "x") >= most);
    }
    close(ends[0]);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    assert_true(most > 0);
    assert_int_equal(vp_ingest_open(r->store, "x", &u, &r->err), VP_OK);
    assert_true(vp_upload_offset(u) >= most);
    assert_int_equal(append(u, (size_t)(TAKE_SIZE - vp_upload_offset(u)), 9, &r->err), VP_OK);
    assert_int_equal(vp_upload_finish(u, &s, NULL, &r->err), VP_OK);
    assert_content(s, TAKE_SIZE, 9);
    vp_source_unref(s);
    vp_upload_close(u);
}

/* U06: who is stopped in the middle of a step is waited for, but not for ever; who is killed holds nothing. */
static void stopped(void **state)
{
    room *r = *state;
    vp_ingest_options o = VP_INGEST_OPTIONS_INIT;
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1 };
    vp_upload *u = make_upload(r, "x", 100);
    char path[256];
    int ends[2], fd, status;
    pid_t pid;
    char c;

    vp_upload_close(u);
    snprintf(path, sizeof(path), "%s/uploads/%02x/x.rec", r->path, vpi_crc32c(0, "x", 1) % 16);
    assert_int_equal(pipe(ends), 0);
    pid = fork();
    if (pid == 0) {
        fd = open(path, O_RDWR);
        c = 'l';
        if (fcntl(fd, F_OFD_SETLK, &lock) != 0 || write(ends[1], &c, 1) != 1) _exit(1);
        for (;;) pause();
    }
    assert_int_equal(read(ends[0], &c, 1), 1);
    o.lock_wait_ms = 30;
    room_again(r, &o);
    assert_int_equal(vp_ingest_open(r->store, "x", &u, &r->err), VP_E_CONFLICT);
    assert_reason(&r->err, VP_E_CONFLICT, "ALREADY_RUNNING");
    assert_int_equal(stat_offset(r->store, "x"), 0); /* looking does not wait */
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    assert_int_equal(vp_ingest_open(r->store, "x", &u, &r->err), VP_OK);
    vp_upload_close(u);
    close(ends[0]);
    close(ends[1]);
}

/* ---- many at a time ---- */

#define WRITERS 8
#define UPLOADS 40

static void *many(void *arg)
{
    finisher *f = arg;

    for (int i = 0; i < UPLOADS; i++) {
        vp_upload_options o = VP_UPLOAD_OPTIONS_INIT;
        vp_upload *u = NULL;
        vp_error err = VP_ERROR_INIT;

        o.length = 5000;
        o.scope = i % 2 ? "s" : NULL;
        if (vp_ingest_create(f->r->store, &o, &u, &err) != VP_OK ||
            append(u, 5000, (unsigned)i, &err) != VP_OK || vp_upload_finish(u, NULL, NULL, &err) != VP_OK) {
            fprintf(stderr, "%s: %s\n", err.reason, err.message);
            abort();
        }
        vp_upload_close(u);
    }
    return NULL;
}

static vp_status count_finished(void *user, const vp_upload_info *info)
{
    if (info->state == VP_UPLOAD_FINISHED) ++*(int *)user;
    return VP_OK;
}

static void many_writers(void **state)
{
    room *r = *state;
    pthread_t threads[WRITERS];
    finisher f = { r, NULL, NULL, 0 };
    int n = 0;

    for (int i = 0; i < WRITERS; i++) assert_int_equal(pthread_create(&threads[i], NULL, many, &f), 0);
    for (int i = 0; i < WRITERS; i++) pthread_join(threads[i], NULL);
    assert_int_equal(vp_ingest_list(r->store, count_finished, &n, &r->err), VP_OK);
    assert_int_equal(n, WRITERS * UPLOADS);
    assert_int_equal(count_files(r, "shared", "f"), UPLOADS / 2);
}

typedef struct rival {
    room *r;
    atomic_bool stop;
    atomic_int conflicts;
} rival;

static void *take_again_and_again(void *arg)
{
    rival *v = arg;

    while (!atomic_load(&v->stop)) {
        vp_upload *u = NULL;
        vp_error err = VP_ERROR_INIT;
        vp_status st = vp_ingest_open(v->r->store, "x", &u, &err);

        if (st == VP_OK && vp_upload_offset(u) < TAKE_SIZE) {
            uint64_t left = TAKE_SIZE - vp_upload_offset(u);

            st = append(u, left < 500 ? (size_t)left : 500, 9, &err);
        }
        if (st == VP_E_CONFLICT)
            atomic_fetch_add(&v->conflicts, 1);
        else if (st != VP_OK) {
            fprintf(stderr, "%s: %s\n", err.reason, err.message);
            abort();
        }
        vp_upload_close(u);
    }
    return NULL;
}

/* Threads of one process take an upload from each other, and nothing that one of them wrote is lost. */
static void rivals(void **state)
{
    room *r = *state;
    vp_ingest_options o = VP_INGEST_OPTIONS_INIT;
    rival v = { .r = r };
    pthread_t threads[3];
    vp_upload *u;
    vp_source *s = NULL;
    uint64_t last = 0, now = 0;

    o.flags = VP_INGESTF_VOLATILE;
    o.lock_wait_ms = 60000;
    room_again(r, &o);
    u = make_upload(r, "x", TAKE_SIZE);
    vp_upload_close(u);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_again_and_again, &v), 0);
    while (now < TAKE_SIZE) {
        struct timespec t = { 0, 200000 };

        now = stat_offset(r->store, "x");
        assert_true(now >= last);
        last = now;
        nanosleep(&t, NULL);
    }
    atomic_store(&v.stop, true);
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    assert_int_equal(vp_ingest_open(r->store, "x", &u, &r->err), VP_OK);
    assert_int_equal(vp_upload_finish(u, &s, NULL, &r->err), VP_OK);
    assert_content(s, TAKE_SIZE, 9);
    vp_source_unref(s);
    vp_upload_close(u);
}

/* ---- fork ---- */

static void forked(void **state)
{
    room *r = *state;
    vp_upload *u = make_upload(r, "x", 100), *v = NULL;
    int status;
    pid_t pid;

    assert_int_equal(append(u, 10, 1, &r->err), VP_OK);
    pid = fork();
    if (pid == 0) {
        vp_upload_info info = VP_UPLOAD_INFO_INIT;
        bool ok = append(u, 1, 1, NULL) == VP_E_STATE && vp_upload_sync(u, NULL) == VP_E_STATE &&
                  vp_ingest_open(r->store, "x", &v, NULL) == VP_E_STATE &&
                  vp_ingest_stat(r->store, "x", &info, NULL, NULL) == VP_E_STATE;

        vp_upload_close(u);
        vp_ingest_unref(r->store);
        _exit(ok ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(append(u, 90, 1, &r->err), VP_OK);
    assert_int_equal(vp_upload_finish(u, NULL, NULL, &r->err), VP_OK);
    vp_upload_close(u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(two_finishers, room_open, room_close),
        cmocka_unit_test_setup_teardown(scopes, room_open, room_close),
        cmocka_unit_test_setup_teardown(processes, room_open, room_close),
        cmocka_unit_test_setup_teardown(stopped, room_open, room_close),
        cmocka_unit_test_setup_teardown(many_writers, room_open, room_close),
        cmocka_unit_test_setup_teardown(rivals, room_open, room_close),
        cmocka_unit_test_setup_teardown(forked, room_open, room_close),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
