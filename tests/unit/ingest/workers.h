/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPT_INGEST_WORKERS_H
#define VPT_INGEST_WORKERS_H

/* Work on uploads that tells what it may tell, in a child that is killed at its n-th change of the disk. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "tools.h"

#define SIZE 90000u
#define SEED 7u
#define STEPS_MAX 2000

/* What a worker has told its clients, through a pipe. */
typedef struct told {
    bool created, finished, removed;
    uint64_t offset;
} told;

typedef struct worker {
    vp_context *context;
    vp_ingest *store;
    int pipe;
    told told;
} worker;

static inline void tell(worker *w)
{
    char bytes[sizeof(w->told)];

    memcpy(bytes, &w->told, sizeof(bytes));
    if (w->pipe >= 0 && write(w->pipe, bytes, sizeof(bytes)) != (ssize_t)sizeof(bytes)) _exit(3);
}

typedef vp_status (*work_fn)(worker *w, vp_error *err);

/* Opens the upload, or makes it where there is none; goes on to its end in three requests. */
static inline vp_status upload_work(worker *w, vp_error *err)
{
    static const size_t steps[] = { SIZE / 3, SIZE / 2, SIZE };
    vp_upload_options o = VP_UPLOAD_OPTIONS_INIT;
    vp_upload *u = NULL;
    vp_status st = vp_ingest_open(w->store, "x", &u, err);

    if (st == VP_END) {
        o.id = "x";
        o.length = SIZE;
        o.scope = made_scope;
        o.metadata = "m";
        o.metadata_size = 1;
        st = vp_ingest_create(w->store, &o, &u, err);
    }
    if (st < 0) return st;
    w->told.created = true;
    if (w->told.offset < vp_upload_offset(u)) w->told.offset = vp_upload_offset(u);
    tell(w);
    for (int i = 0; i < 3 && st == VP_OK; i++) {
        if (steps[i] > vp_upload_offset(u)) st = append(u, steps[i] - vp_upload_offset(u), SEED, err);
        if (st == VP_OK && i < 2) {
            st = vp_upload_sync(u, err);
            if (st == VP_OK) {
                w->told.offset = vp_upload_offset(u);
                tell(w);
                u = vp_upload_close(u);
                st = vp_ingest_open(w->store, "x", &u, err);
            }
        }
    }
    if (st == VP_OK) st = vp_upload_finish(u, NULL, NULL, err);
    if (st == VP_OK) {
        w->told.finished = true;
        w->told.offset = SIZE;
        tell(w);
    }
    vp_upload_close(u);
    return st;
}

static inline vp_status remove_work(worker *w, vp_error *err)
{
    vp_status st = vp_ingest_remove(w->store, "x", err);

    if (st == VP_OK) {
        w->told.removed = true;
        tell(w);
    }
    return st;
}

static inline vp_status concat_work(worker *w, vp_error *err)
{
    vp_upload_options o = VP_UPLOAD_OPTIONS_INIT;
    vp_upload *u = NULL;
    vp_status st;

    o.id = "x";
    o.parts = "p1 p2 p1";
    st = vp_ingest_create(w->store, &o, &u, err);
    if (st < 0) return st;
    w->told.created = true;
    tell(w);
    st = vp_upload_finish(u, NULL, NULL, err);
    if (st == VP_OK) {
        w->told.finished = true;
        tell(w);
    }
    vp_upload_close(u);
    return st;
}

/* The last bytes of a part that a waiting concatenation needs. */
static inline vp_status grow_work(worker *w, vp_error *err)
{
    vp_upload *u = NULL;
    vp_status st = vp_ingest_open(w->store, "p2", &u, err);

    if (st != VP_OK) return st;
    if (vp_upload_offset(u) < 1000) st = append(u, 1000 - vp_upload_offset(u), SEED, err);
    if (st == VP_OK) st = vp_upload_sync(u, err);
    if (st == VP_OK) {
        w->told.offset = 1000;
        tell(w);
    }
    vp_upload_close(u);
    return st;
}

static int64_t future_days;

static inline int64_t far_future(void *user)
{
    (void)user;
    return INT64_C(4000000000000000) + future_days * INT64_C(86400000000);
}

static inline vp_status expire_work(worker *w, vp_error *err)
{
    return vp_ingest_expire(w->store, NULL, NULL, err);
}

/* ---- workers ---- */

static inline vp_status begin(worker *w, const room *r, bool later)
{
    vp_ingest_options o = VP_INGEST_OPTIONS_INIT;

    o.expire_ms = 1000;
    if (later) o.now_us = far_future;
    if (vp_context_new(NULL, &w->context, NULL) < 0) return VP_E_NOMEM;
    return vp_ingest_directory(w->context, r->path, &o, &w->store, NULL);
}

static inline void end(worker *w)
{
    vp_ingest_unref(w->store);
    vp_context_unref(w->context);
}

/* Works in a child that ends at its n-th change of the disk. False: it came to its end. */
static inline bool killed_at(const room *r, work_fn work, bool later, long n, told *out)
{
    int ends[2], status = 0;
    told t;
    pid_t pid;

    assert_int_equal(pipe(ends), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        worker w = { .pipe = ends[1] };
        vp_error err = VP_ERROR_INIT;

        close(ends[0]);
        if (begin(&w, r, later) < 0) _exit(2);
        atomic_store(&vpi_disk_fail_with, 0);
        atomic_store(&vpi_disk_fail_at, n);
        if (work(&w, &err) < 0) {
            fprintf(stderr, "worker: %s: %s\n", err.reason, err.message);
            _exit(4);
        }
        _exit(0);
    }
    close(ends[1]);
    while (read(ends[0], &t, sizeof(t)) == (ssize_t)sizeof(t)) *out = t;
    close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status)) {
        assert_int_equal(WTERMSIG(status), SIGKILL);
        return true;
    }
    assert_int_equal(WEXITSTATUS(status), 0);
    return false;
}

static inline void clear(const room *r)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf %s/*", r->path);
    assert_int_equal(system(command), 0);
}

/* Names below the directory that match. */
static inline int files_like(const room *r, const char *pattern)
{
    char command[256];
    int n = -1;
    FILE *f;

    snprintf(command, sizeof(command), "find %s -type f -name '%s' | wc -l", r->path, pattern);
    f = popen(command, "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%d", &n), 1);
    pclose(f);
    return n;
}

/* Another upload of the same bytes, so that finish has something to share where there is a scope. */
static inline void make_twin(const room *r)
{
    worker w = { .pipe = -1 };
    vp_upload_options o = VP_UPLOAD_OPTIONS_INIT;
    vp_upload *u = NULL;

    assert_int_equal(begin(&w, r, false), VP_OK);
    o.id = "twin";
    o.length = SIZE;
    o.scope = made_scope;
    assert_int_equal(vp_ingest_create(w.store, &o, &u, NULL), VP_OK);
    assert_int_equal(append(u, SIZE, SEED, NULL), VP_OK);
    assert_int_equal(vp_upload_finish(u, NULL, NULL, NULL), VP_OK);
    vp_upload_close(u);
    end(&w);
}

static inline void check_twin(worker *w)
{
    vp_source *s = NULL;

    assert_int_equal(vp_ingest_source(w->store, "twin", &s, NULL), VP_OK);
    assert_content(s, SIZE, SEED);
    vp_source_unref(s);
}

/* What was told holds, and the same work done again comes to its end with the right bytes. */
static inline void check_upload(const room *r, const told *t, bool twin)
{
    worker w = { .pipe = -1 };
    vp_upload_info info = VP_UPLOAD_INFO_INIT;
    vp_error err = VP_ERROR_INIT;
    vp_source *s = NULL;
    vp_status st;

    assert_int_equal(begin(&w, r, false), VP_OK);
    st = vp_ingest_stat(w.store, "x", &info, NULL, &err);
    if (st < 0) fail_msg("stat: %s", err.message);
    if (t->created) assert_int_equal(st, VP_OK);
    if (st == VP_OK) assert_true(info.offset >= t->offset);
    if (t->finished) assert_int_equal(info.state, VP_UPLOAD_FINISHED);
    st = upload_work(&w, &err);
    if (st != VP_OK) fail_msg("going on: %s: %s", err.reason, err.message);
    assert_int_equal(vp_ingest_source(w.store, "x", &s, &err), VP_OK);
    assert_content(s, SIZE, SEED);
    vp_source_unref(s);
    if (twin) check_twin(&w);
    end(&w);
}

#endif
