/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What says that a task is done: its record. One that is torn, damaged, of another title or names what is gone counts
 * as none, and its task is done again; who comes too late changes nothing.
 */

#include "api/host.h"

#include <pthread.h>

typedef struct planned {
    vp_media *media;
    vp_plan *plan;
} planned;

static void plan_with(room *r, planned *p, const vp_transcode_options *more)
{
    vp_probe_options o = VP_PROBE_OPTIONS_INIT;
    vp_ladder_options l = VP_LADDER_OPTIONS_INIT;
    vp_transcode_options t = *more;
    vp_ladder *ladder = NULL;
    o.full = 1;
    t.preset = "ultrafast";
    t.segment_ms = t.gop_ms = 500;
    if (!t.rate) t.rate = VP_RATE_ABR;
    if (!t.span_ms) t.span_ms = 1000;
    l.rungs = "240p";
    assert_end(VP_OK, vp_probe(r->context, r->source, &o, NULL, &p->media, &r->err), &r->err);
    assert_end(VP_OK, vp_ladder_derive(p->media, &l, &ladder, &r->err), &r->err);
    assert_end(VP_OK, vp_plan_new(r->context, p->media, ladder, &t, &p->plan, &r->err), &r->err);
    vp_ladder_unref(ladder);
}

static void make_plan(room *r, planned *p)
{
    const vp_transcode_options t = VP_TRANSCODE_OPTIONS_INIT;
    plan_with(r, p, &t);
}

static void drop_plan(planned *p)
{
    vp_plan_unref(p->plan);
    vp_media_unref(p->media);
}

static vp_status run_named(room *r, const planned *p, const char *name)
{
    return vp_task_run(r->context, p->plan, name, r->source, r->work, r->sink, NULL, NULL, &r->err);
}

/* Runs what is left, and tells how many that were. */
static unsigned run_rest(room *r, const planned *p)
{
    char name[64];
    unsigned n = 0;
    vp_status st;
    while ((st = vp_plan_next(p->plan, r->work, name, sizeof(name), &r->err)) == VP_OK) {
        assert_end(VP_OK, run_named(r, p, name), &r->err);
        n++;
    }
    assert_end(VP_END, st, &r->err);
    return n;
}

static vp_status finish(room *r, const planned *p, vp_bytes **missing)
{
    vp_job_options o = VP_JOB_OPTIONS_INIT;
    o.sink = r->sink;
    o.work = r->work;
    return vp_plan_finish(r->context, p->plan, &o, NULL, missing, &r->err);
}

/* finish says that this task, and no other, is not done. */
static void expect_missing(room *r, const planned *p, const char *task)
{
    vp_bytes *missing = NULL;
    char want[80];
    snprintf(want, sizeof(want), "[\"%s\"]", task);
    assert_end(VP_E_CONFLICT, finish(r, p, &missing), &r->err);
    assert_string_equal(r->err.reason, "TASKS_MISSING");
    assert_non_null(missing);
    assert_string_equal(vp_bytes_data(missing), want);
    vp_bytes_unref(missing);
    assert_false(sink_holds(r->sink, "master.m3u8"));
}

static void expect_next(room *r, const planned *p, const char *task)
{
    char name[64] = "";
    vp_progress done = VP_PROGRESS_INIT;
    assert_end(VP_OK, vp_plan_next(p->plan, r->work, name, sizeof(name), &r->err), &r->err);
    assert_string_equal(name, task);
    assert_ok(vp_plan_progress(p->plan, r->work, &done, &r->err));
    assert_int_equal(done.tasks_done, done.tasks_total - 1);
    assert_true(done.permille < 1000 && done.cpu_done_us < done.cpu_total_us);
}

static void replace_value(room *r, const char *name, const void *data, size_t size)
{
    assert_ok(vp_store_remove(r->work, name, &r->err));
    assert_ok(vp_store_put(r->work, name, data, size, &r->err));
}

/* The same title as a job makes in one go. */
static void expect_title(room *r, const vp_transcode_options *more)
{
    vp_sink *other = NULL;
    vp_job_options o = VP_JOB_OPTIONS_INIT;
    vp_transcode_options t = *more;
    if (!t.rate) t.rate = VP_RATE_ABR;
    if (!t.span_ms) t.span_ms = 1000;
    assert_ok(vp_sink_memory(r->context, &other, NULL));
    o.source = r->source;
    o.sink = other;
    o.transcode = &t;
    o.settings_json = "{\"preset\":\"ultrafast\",\"ladder\":\"240p\",\"segment\":0.5,\"gop\":0.5}";
    r->job = vp_job_unref(r->job);
    assert_end(VP_OK, vp_job_new(r->context, &o, &r->job, &r->err), &r->err);
    assert_ok(vp_job_start(r->job, NULL));
    assert_end(VP_OK, vp_job_wait(r->job, -1, &r->err), &r->err);
    assert_same_title(other, r->sink);
    vp_sink_unref(other);
}

/* ---- records ---- */

static void torn(void **state)
{
    room *r = *state;
    const vp_transcode_options plain = VP_TRANSCODE_OPTIONS_INIT;
    planned p = { 0 };
    vp_bytes *record = NULL;
    uint8_t *copy;
    make_plan(r, &p);
    assert_int_equal(run_rest(r, &p), vp_plan_task_count(p.plan));
    assert_ok(vp_store_get(r->work, "result/video-0001", 0, &record, &r->err));
    size_t size = (size_t)vp_bytes_size(record);
    const uint8_t *text = vp_bytes_data(record);
    assert_true(size > 100 && text[size - 1] == '\n' && memchr(text, '\n', size) == text + size - 1);
    copy = malloc(size + 1);
    assert_non_null(copy);
    for (size_t n = 0; n < size; n += full_run() ? 1 : 13) {
        memcpy(copy, text, size);
        replace_value(r, "result/video-0001", copy, n);
        expect_next(r, &p, "video-0001");
        copy[n] ^= 0x10;
        replace_value(r, "result/video-0001", copy, size);
        expect_next(r, &p, "video-0001");
    }
    memcpy(copy, text, size);
    copy[size] = '\n';
    replace_value(r, "result/video-0001", copy, size + 1);
    expect_next(r, &p, "video-0001");
    expect_missing(r, &p, "video-0001");
    assert_int_equal(run_rest(r, &p), 1);
    vp_bytes *again = NULL;
    assert_ok(vp_store_get(r->work, "result/video-0001", 0, &again, &r->err));
    assert_int_equal(vp_bytes_size(again), size);
    assert_memory_equal(vp_bytes_data(again), text, size);
    assert_end(VP_OK, finish(r, &p, NULL), &r->err);
    assert_end(VP_END, finish(r, &p, NULL), &r->err);
    expect_title(r, &plain);
    free(copy);
    vp_bytes_unref(record);
    vp_bytes_unref(again);
    drop_plan(&p);
}

/* A whole record, but not of this plan, or not of this task. */
static void of_another(void **state)
{
    room *r = *state;
    vp_transcode_options t = VP_TRANSCODE_OPTIONS_INIT;
    planned p = { 0 }, q = { 0 };
    vp_store *own = r->work;
    vp_bytes *record = NULL, *neighbour = NULL;
    make_plan(r, &p);
    t.span_ms = 1500;
    plan_with(r, &q, &t);
    assert_ok(vp_store_memory(r->context, &r->work, NULL));
    assert_end(VP_OK, run_named(r, &q, "video-0001"), &r->err);
    assert_ok(vp_store_get(r->work, "result/video-0001", 0, &record, &r->err));
    vp_store_unref(r->work);
    r->work = own;
    vp_sink_unref(r->sink);
    assert_ok(vp_sink_memory(r->context, &r->sink, NULL));
    run_rest(r, &p);
    assert_ok(vp_store_get(r->work, "result/video-0002", 0, &neighbour, &r->err));
    replace_value(r, "result/video-0001", vp_bytes_data(record), (size_t)vp_bytes_size(record));
    expect_next(r, &p, "video-0001");
    replace_value(r, "result/video-0001", vp_bytes_data(neighbour), (size_t)vp_bytes_size(neighbour));
    expect_next(r, &p, "video-0001");
    expect_missing(r, &p, "video-0001");
    assert_int_equal(run_rest(r, &p), 1);
    assert_end(VP_OK, finish(r, &p, NULL), &r->err);
    vp_bytes_unref(record);
    vp_bytes_unref(neighbour);
    drop_plan(&p);
    drop_plan(&q);
}

/* ---- what records name ---- */

static void object_name(const planned *p, const char *file, char to[256])
{
    snprintf(to, 256, "%s/video/%s", vp_plan_prefix(p->plan), file);
}

static void lost_objects(void **state)
{
    room *r = *state;
    const vp_transcode_options plain = VP_TRANSCODE_OPTIONS_INIT;
    planned p = { 0 };
    char key[256];
    vp_object_info info = VP_OBJECT_INFO_INIT;
    vp_object *object = NULL;
    make_plan(r, &p);
    run_rest(r, &p);
    assert_end(VP_END, run_named(r, &p, "video-0001"), &r->err);
    object_name(&p, "180p/00002.m4s", key);
    assert_true(sink_holds(r->sink, key));
    assert_ok(vp_sink_remove(r->sink, key, &r->err));
    assert_end(VP_END, run_named(r, &p, "video-0002"), &r->err);
    assert_end(VP_OK, run_named(r, &p, "video-0001"), &r->err);
    assert_true(sink_holds(r->sink, key));
    /* another size, found by finish */
    info.key = key;
    assert_ok(vp_sink_begin(r->sink, &info, &object, &r->err));
    assert_ok(vp_object_write(object, "x", 1, &r->err));
    assert_ok(vp_object_commit(object, NULL, NULL, &r->err));
    expect_missing(r, &p, "video-0001");
    expect_next(r, &p, "video-0001");
    assert_int_equal(run_rest(r, &p), 1);
    assert_end(VP_OK, finish(r, &p, NULL), &r->err);
    expect_title(r, &plain);
    drop_plan(&p);
}

static void flip_value(room *r, const char *name, bool cut)
{
    vp_bytes *value = NULL;
    assert_ok(vp_store_get(r->work, name, 0, &value, &r->err));
    size_t size = (size_t)vp_bytes_size(value);
    uint8_t *copy = malloc(size);
    assert_non_null(copy);
    memcpy(copy, vp_bytes_data(value), size);
    copy[size / 2] ^= 1;
    replace_value(r, name, copy, cut ? size - 1 : size);
    free(copy);
    vp_bytes_unref(value);
}

static void lost_parts(void **state)
{
    room *r = *state;
    vp_transcode_options t = VP_TRANSCODE_OPTIONS_INIT;
    planned p = { 0 };
    t.single_file = 1;
    plan_with(r, &p, &t);
    run_rest(r, &p);
    assert_ok(vp_store_remove(r->work, "part/180p/video-0001", &r->err));
    expect_missing(r, &p, "video-0001");
    assert_int_equal(run_rest(r, &p), 1);
    flip_value(r, "part/180p/video-0003", true);
    expect_missing(r, &p, "video-0003");
    assert_int_equal(run_rest(r, &p), 1);
    /* as long as it was: only its checksum tells */
    flip_value(r, "part/180p/video-0002", false);
    assert_end(VP_E_DATA, finish(r, &p, NULL), &r->err);
    assert_string_equal(r->err.reason, "CHECKSUM_MISMATCH");
    assert_false(sink_holds(r->sink, "master.m3u8"));
    expect_next(r, &p, "video-0002");
    assert_int_equal(run_rest(r, &p), 1);
    assert_end(VP_OK, finish(r, &p, NULL), &r->err);
    expect_title(r, &t);
    drop_plan(&p);
}

/* What one task makes for another: statistics, and sound for transport streams. */
static void lost_needs(void **state)
{
    static const struct {
        const char *value, *task;
    } cases[] = { { "stats/analyse-0001", "analyse-0001" },
                  { "stats/analyse-0001.mbtree", "analyse-0001" },
                  { "audio/und-stereo.index", "audio-0001" } };
    room *r = *state;
    vp_transcode_options t = VP_TRANSCODE_OPTIONS_INIT;
    planned p = { 0 };
    t.rate = VP_RATE_2PASS;
    t.formats = VP_FORMAT_CMAF | VP_FORMAT_TS;
    plan_with(r, &p, &t);
    run_rest(r, &p);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_ok(vp_store_remove(r->work, "result/video-0001", &r->err));
        flip_value(r, cases[i].value, i == 2);
        assert_end(VP_E_DATA, run_named(r, &p, "video-0001"), &r->err);
        assert_string_equal(r->err.reason, "CHECKSUM_MISMATCH");
        assert_end(VP_OK, run_named(r, &p, cases[i].task), &r->err);
        assert_end(VP_OK, run_named(r, &p, "video-0001"), &r->err);
        assert_int_equal(run_rest(r, &p), 0);
    }
    assert_end(VP_OK, finish(r, &p, NULL), &r->err);
    expect_title(r, &t);
    drop_plan(&p);
}

/* What a killed run left without a record would keep the same values of the next run out. */
static void left_values(void **state)
{
    room *r = *state;
    vp_transcode_options t = VP_TRANSCODE_OPTIONS_INIT;
    planned p = { 0 };
    t.single_file = 1;
    t.rate = VP_RATE_2PASS;
    plan_with(r, &p, &t);
    assert_ok(vp_store_put(r->work, "part/180p/video-0001", "other bytes", 11, &r->err));
    assert_ok(vp_store_put(r->work, "stats/analyse-0002", "other bytes", 11, &r->err));
    assert_ok(vp_store_put(r->work, "result/video-0002", "{\"vodpipe\":1", 12, &r->err));
    assert_int_equal(run_rest(r, &p), vp_plan_task_count(p.plan));
    assert_end(VP_OK, finish(r, &p, NULL), &r->err);
    expect_title(r, &t);
    drop_plan(&p);
}

/* ---- late losers ---- */

/*
 * A store whose leases end by time, as those of a host or of S3 do: `expired` ends all that are out. And a sink that
 * stops whoever commits a key: a process that is stopped there, in the test a thread.
 */
typedef struct shared_store {
    vp_store *values;
    pthread_mutex_t lock;
    uint64_t now, fence;
    char names[16][64];
    uint64_t holders[16];
    size_t count;
    unsigned fail_open; /* the n-th time that a value is opened from now on has no success; 0: none */
} shared_store;

typedef struct shared_lease {
    size_t slot;
    uint64_t fence;
} shared_lease;

static vp_status shared_begin(void *user, const char *name, void **value, vp_error *err)
{
    return vp_store_begin(((shared_store *)user)->values, name, (vp_value **)value, err);
}

static vp_status shared_write(void *user, void *value, const void *data, size_t size, vp_error *err)
{
    (void)user;
    return vp_value_write(value, data, size, err);
}

static vp_status shared_commit(void *user, void *value, vp_error *err)
{
    (void)user;
    return vp_value_commit(value, err);
}

static void shared_abort(void *user, void *value)
{
    (void)user;
    vp_value_abort(value);
}

static vp_status shared_open(void *user, const char *name, vp_source **out, vp_error *err)
{
    shared_store *s = user;
    if (s->fail_open && --s->fail_open == 0) return vp_error_set(err, VP_E_IO, "AWAY", 0, "not reached");
    return vp_store_open(s->values, name, out, err);
}

static vp_status shared_list(void *user, const char *prefix, vp_list_fn fn, void *fn_user, vp_error *err)
{
    return vp_store_list(((shared_store *)user)->values, prefix, fn, fn_user, err);
}

static vp_status shared_remove(void *user, const char *name, vp_error *err)
{
    return vp_store_remove(((shared_store *)user)->values, name, err);
}

static vp_status shared_take(void *user, const char *name, void **lease, uint64_t *fence, vp_error *err)
{
    shared_store *s = user;
    shared_lease *l;
    size_t i = 0;
    (void)err;
    pthread_mutex_lock(&s->lock);
    while (i < s->count && strcmp(s->names[i], name) != 0) i++;
    if (i == s->count) {
        assert_true(i < 16 && strlen(name) < 64);
        strcpy(s->names[s->count++], name);
        s->holders[i] = 0;
    }
    if (s->holders[i]) {
        pthread_mutex_unlock(&s->lock);
        return VP_AGAIN;
    }
    l = malloc(sizeof(*l));
    *fence = ++s->fence;
    *l = (shared_lease){ i, *fence };
    s->holders[i] = *fence;
    *lease = l;
    pthread_mutex_unlock(&s->lock);
    return VP_OK;
}

static vp_status shared_renew(void *user, void *lease, vp_error *err)
{
    shared_store *s = user;
    const shared_lease *l = lease;
    pthread_mutex_lock(&s->lock);
    bool held = s->holders[l->slot] == l->fence;
    pthread_mutex_unlock(&s->lock);
    return held ? VP_OK : vp_error_set(err, VP_E_CONFLICT, "ALREADY_RUNNING", 0, "the lease has ended");
}

static void shared_give(void *user, void *lease)
{
    shared_store *s = user;
    shared_lease *l = lease;
    pthread_mutex_lock(&s->lock);
    if (s->holders[l->slot] == l->fence) s->holders[l->slot] = 0;
    pthread_mutex_unlock(&s->lock);
    free(l);
}

static void expire_all(shared_store *s)
{
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->count; i++) s->holders[i] = 0;
    pthread_mutex_unlock(&s->lock);
}

static vp_store *shared_open_store(room *r, shared_store *s)
{
    vp_store_ops ops = VP_STORE_OPS_INIT;
    vp_store *out = NULL;
    *s = (shared_store){ .values = r->work };
    pthread_mutex_init(&s->lock, NULL);
    ops.begin = shared_begin;
    ops.write = shared_write;
    ops.commit = shared_commit;
    ops.abort = shared_abort;
    ops.open = shared_open;
    ops.list = shared_list;
    ops.remove = shared_remove;
    ops.lease = shared_take;
    ops.renew = shared_renew;
    ops.unlease = shared_give;
    assert_ok(vp_store_new(r->context, &ops, s, &out, &r->err));
    return out;
}

/* The sink of a process that is stopped when it is about to write a key that ends like this. */
typedef struct stopping_sink {
    vp_sink *inner;
    const char *at;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stopped, go_on;
    bool lost; /* the next flush tells of it, as a directory does of a file that could not be made durable */
} stopping_sink;

static vp_status stopping_begin(void *user, const vp_object_info *info, void **object, vp_error *err)
{
    stopping_sink *s = user;
    size_t n = strlen(info->key), m = strlen(s->at);
    if (n >= m && strcmp(info->key + n - m, s->at) == 0) {
        pthread_mutex_lock(&s->lock);
        s->stopped = true;
        pthread_cond_broadcast(&s->changed);
        while (!s->go_on) pthread_cond_wait(&s->changed, &s->lock);
        pthread_mutex_unlock(&s->lock);
    }
    return vp_sink_begin(s->inner, info, (vp_object **)object, err);
}

static vp_status stopping_write(void *user, void *object, const void *data, size_t size, vp_error *err)
{
    (void)user;
    return vp_object_write(object, data, size, err);
}

static vp_status stopping_commit(void *user, void *object, vp_error *err)
{
    (void)user;
    return vp_object_commit(object, NULL, NULL, err);
}

static void stopping_abort(void *user, void *object)
{
    (void)user;
    vp_object_abort(object);
}

static vp_status stopping_flush(void *user, vp_error *err)
{
    stopping_sink *s = user;
    pthread_mutex_lock(&s->lock);
    bool lost = s->lost;
    s->lost = false;
    pthread_mutex_unlock(&s->lock);
    return lost ? vp_error_set(err, VP_E_IO, NULL, 5, "an object is lost") : VP_OK;
}

static vp_status stopping_stat(void *user, const char *key, vp_object_info *info, vp_error *err)
{
    return vp_sink_stat(((stopping_sink *)user)->inner, key, info, err);
}

static vp_status stopping_list(void *user, const char *prefix, vp_list_fn fn, void *fn_user, vp_error *err)
{
    return vp_sink_list(((stopping_sink *)user)->inner, prefix, fn, fn_user, err);
}

static vp_status stopping_open(void *user, const char *key, vp_source **out, vp_error *err)
{
    return vp_sink_open(((stopping_sink *)user)->inner, key, out, err);
}

static vp_status stopping_remove(void *user, const char *key, vp_error *err)
{
    return vp_sink_remove(((stopping_sink *)user)->inner, key, err);
}

typedef struct late {
    room *r;
    const planned *p;
    const char *task; /* NULL: finish */
    vp_store *work;
    vp_sink *sink;
    stopping_sink stopping;
    pthread_t thread;
    vp_status status;
    vp_error err;
} late;

static void *late_main(void *arg)
{
    late *l = arg;
    vp_job_options o = VP_JOB_OPTIONS_INIT;
    o.sink = l->sink;
    o.work = l->work;
    l->status = l->task ? vp_task_run(l->r->context, l->p->plan, l->task, l->r->source, l->work, l->sink,
                                      NULL, NULL, &l->err)
                        : vp_plan_finish(l->r->context, l->p->plan, &o, NULL, NULL, &l->err);
    return NULL;
}

/* Starts it, and returns when it is stopped before the key is written. */
static void late_start(late *l, room *r, const planned *p, vp_store *work, const char *task, const char *at)
{
    vp_sink_ops ops = VP_SINK_OPS_INIT;
    *l = (late){ .r = r, .p = p, .task = task, .work = work, .stopping = { .inner = r->sink, .at = at } };
    pthread_mutex_init(&l->stopping.lock, NULL);
    pthread_cond_init(&l->stopping.changed, NULL);
    ops.begin = stopping_begin;
    ops.write = stopping_write;
    ops.commit = stopping_commit;
    ops.abort = stopping_abort;
    ops.flush = stopping_flush;
    ops.stat = stopping_stat;
    ops.list = stopping_list;
    ops.open = stopping_open;
    ops.remove = stopping_remove;
    assert_ok(vp_sink_new(r->context, &ops, &l->stopping, &l->sink, &r->err));
    assert_int_equal(pthread_create(&l->thread, NULL, late_main, l), 0);
    pthread_mutex_lock(&l->stopping.lock);
    while (!l->stopping.stopped) pthread_cond_wait(&l->stopping.changed, &l->stopping.lock);
    pthread_mutex_unlock(&l->stopping.lock);
}

static void late_go_on(late *l)
{
    pthread_mutex_lock(&l->stopping.lock);
    l->stopping.go_on = true;
    pthread_cond_broadcast(&l->stopping.changed);
    pthread_mutex_unlock(&l->stopping.lock);
    pthread_join(l->thread, NULL);
    vp_sink_unref(l->sink);
    pthread_cond_destroy(&l->stopping.changed);
    pthread_mutex_destroy(&l->stopping.lock);
}

static vp_status copy_key(void *user, const vp_object_info *info)
{
    vp_sink **sinks = user;
    vp_bytes *bytes = NULL;
    vp_object *object = NULL;
    assert_ok(vp_sink_get(sinks[0], info->key, 0, &bytes, NULL));
    assert_ok(vp_sink_begin(sinks[1], info, &object, NULL));
    assert_ok(vp_object_write(object, vp_bytes_data(bytes), (size_t)vp_bytes_size(bytes), NULL));
    assert_ok(vp_object_commit(object, NULL, NULL, NULL));
    vp_bytes_unref(bytes);
    return VP_OK;
}

/* As the sink is now. */
static vp_sink *picture_of(room *r, vp_sink *sink)
{
    vp_sink *sinks[2] = { sink, NULL };
    assert_ok(vp_sink_memory(r->context, &sinks[1], &r->err));
    assert_ok(vp_sink_list(sink, "", copy_key, sinks, &r->err));
    return sinks[1];
}

/* Stopped in a task until others have done it, and until the title is finished and its work is gone. */
static void late_task(void **state)
{
    static const char *const stops[] = { "180p/00003.m4s", "180p/00004.m4s" };
    room *r = *state;
    planned p = { 0 };
    make_plan(r, &p);
    for (size_t i = 0; i < 2; i++) {
        for (int finished = 0; finished < 2; finished++) {
            shared_store s;
            late l;
            vp_store *own = r->work;
            r->work = shared_open_store(r, &s);
            late_start(&l, r, &p, r->work, "video-0002", stops[i]);
            char name[64];
            assert_end(VP_OK, vp_plan_next(p.plan, r->work, name, sizeof(name), &r->err), &r->err);
            assert_string_not_equal(name, "video-0002");
            assert_end(VP_AGAIN, run_named(r, &p, "video-0002"), &r->err);
            expire_all(&s);
            run_rest(r, &p);
            if (finished) assert_end(VP_OK, finish(r, &p, NULL), &r->err);
            unsigned values = store_count(r->work);
            vp_sink *before = picture_of(r, r->sink);
            late_go_on(&l);
            assert_int_equal(l.status, VP_E_CONFLICT);
            assert_string_equal(l.err.reason, "ALREADY_RUNNING");
            assert_same_title(before, r->sink);
            assert_int_equal(store_count(r->work), values);
            if (!finished) assert_end(VP_OK, finish(r, &p, NULL), &r->err);
            assert_int_equal(store_count(r->work), 0);
            vp_sink_unref(before);
            vp_store_unref(r->work);
            r->work = own;
            vp_sink_unref(r->sink);
            assert_ok(vp_sink_memory(r->context, &r->sink, NULL));
            pthread_mutex_destroy(&s.lock);
        }
    }
    drop_plan(&p);
}

/* Which task comes next is not known while the store cannot be read, even if it can a moment later. */
static void next_without_store(void **state)
{
    room *r = *state;
    vp_store *own = r->work;
    planned p = { 0 };
    shared_store s;
    vp_status st = VP_OK;
    vp_transcode_options t = VP_TRANSCODE_OPTIONS_INIT;
    t.rate = VP_RATE_2PASS; /* tasks of which some need others */
    plan_with(r, &p, &t);
    r->work = shared_open_store(r, &s);
    while (st == VP_OK) {
        char name[64];
        for (unsigned n = 1;; n++) {
            strcpy(name, "untouched");
            s.fail_open = n;
            st = vp_plan_next(p.plan, r->work, name, sizeof(name), &r->err);
            if (s.fail_open) break;
            assert_end(VP_E_IO, st, &r->err);
            assert_string_equal(name, "untouched");
        }
        s.fail_open = 0;
        if (st == VP_OK) assert_end(VP_OK, run_named(r, &p, name), &r->err);
    }
    assert_end(VP_END, st, &r->err);
    vp_store_unref(r->work);
    r->work = own;
    pthread_mutex_destroy(&s.lock);
    drop_plan(&p);
}

/* Two tasks of one sink: who is told that an object is lost need not be who wrote it. Neither may have a record. */
static void lost_between_two(void **state)
{
    room *r = *state;
    const vp_transcode_options plain = VP_TRANSCODE_OPTIONS_INIT;
    planned p = { 0 };
    late l;
    vp_sink *inner = r->sink;
    make_plan(r, &p);
    late_start(&l, r, &p, r->work, "video-0001", "180p/00002.m4s");
    l.stopping.lost = true;
    r->sink = l.sink;
    assert_end(VP_E_IO, run_named(r, &p, "video-0002"), &r->err);
    r->sink = inner;
    late_go_on(&l);
    assert_int_equal(l.status, VP_E_IO);
    vp_progress done = VP_PROGRESS_INIT;
    assert_ok(vp_plan_progress(p.plan, r->work, &done, NULL));
    assert_int_equal(done.tasks_done, 0);
    run_rest(r, &p);
    assert_end(VP_OK, finish(r, &p, NULL), &r->err);
    expect_title(r, &plain);
    drop_plan(&p);
}

/* Stopped in finish until another one has finished it, and yet another title has taken its place. */
static void late_finish(void **state)
{
    static const char *const stops[] = { "180p/playlist.m3u8", "presentation.json", "manifest.mpd" };
    room *r = *state;
    planned p = { 0 };
    make_plan(r, &p);
    for (size_t i = 0; i < 3; i++) {
        shared_store s;
        late l;
        vp_store *own = r->work;
        r->work = shared_open_store(r, &s);
        run_rest(r, &p);
        late_start(&l, r, &p, r->work, NULL, stops[i]);
        assert_end(VP_E_CONFLICT, finish(r, &p, NULL), &r->err);
        assert_string_equal(r->err.reason, "ALREADY_RUNNING");
        expire_all(&s);
        assert_end(VP_OK, finish(r, &p, NULL), &r->err);
        room_publish(r,
                     "{\"preset\":\"ultrafast\",\"ladder\":\"240p\",\"segment\":1,\"gop\":1,\"player\":true}",
                     VP_OK);
        vp_sink *before = picture_of(r, r->sink);
        late_go_on(&l);
        assert_int_equal(l.status, VP_E_CONFLICT);
        assert_string_equal(l.err.reason, "ALREADY_RUNNING");
        vp_bytes *now = NULL, *then = NULL;
        assert_ok(vp_sink_get(r->sink, "master.m3u8", 0, &now, NULL));
        assert_ok(vp_sink_get(before, "master.m3u8", 0, &then, NULL));
        assert_string_equal(vp_bytes_data(now), vp_bytes_data(then));
        vp_bytes_unref(now);
        vp_bytes_unref(then);
        assert_same_title(before, r->sink);
        vp_sink_unref(before);
        vp_store_unref(r->work);
        r->work = own;
        vp_sink_unref(r->sink);
        assert_ok(vp_sink_memory(r->context, &r->sink, NULL));
        pthread_mutex_destroy(&s.lock);
    }
    drop_plan(&p);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, room_open, room_close)

int main(void)
{
    const struct CMUnitTest tests[] = { TEST(torn),         TEST(of_another),
                                        TEST(lost_objects), TEST(lost_parts),
                                        TEST(lost_needs),   TEST(left_values),
                                        TEST(late_task),    TEST(lost_between_two),
                                        TEST(late_finish),  TEST(next_without_store) };
    int rc = clips_open();
    return rc ? clips_close(rc) : clips_close(cmocka_run_group_tests_name("records", tests, NULL, NULL));
}
