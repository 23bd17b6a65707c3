/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A back end of the host: records by compare-and-swap and data that grow, in memory. */

#include <limits.h>
#include <pthread.h>

#include "tools.h"

#define THINGS 16
#define SEED_OF(i) ((unsigned)(i) + 3u)

/* One upload of the host. data beyond `confirmed` are lost by a crash. */
typedef struct thing {
    char id[80];
    uint8_t *record;
    uint64_t record_size, version;
    uint8_t *data;
    uint64_t size, confirmed;
    bool finished;
    char shared_as[200]; /* "scope/sha256" */
} thing;

typedef struct host {
    pthread_mutex_t lock;
    thing things[THINGS];
    uint64_t versions;
    int fail_append, fail_sync, fail_put, fail_source, fail_remove; /* the n-th fails */
    vp_status fail_half;                                            /* so, and half of the bytes were taken */
    int rivals;     /* so many puts find that another process was quicker */
    bool no_source; /* OK, but there is none */
    int calls, released, opens, closes;
} host;

static thing *find(host *h, const char *id)
{
    for (int i = 0; i < THINGS; i++) {
        if (strcmp(h->things[i].id, id) == 0) return &h->things[i];
    }
    return NULL;
}

static thing *find_or_make(host *h, const char *id)
{
    thing *t = find(h, id);

    if (t) return t;
    t = find(h, "");
    assert_non_null(t);
    memset(t, 0, sizeof(*t));
    snprintf(t->id, sizeof(t->id), "%s", id);
    return t;
}

static void drop_if_empty(thing *t)
{
    if (t && !t->record && !t->data) memset(t, 0, sizeof(*t));
}

static vp_status record_get(void *user, const char *id, vp_ingest_reply *reply, vp_error *err)
{
    host *h = user;
    thing *t;
    vp_status st = VP_END;

    pthread_mutex_lock(&h->lock);
    t = find(h, id);
    if (t && t->record) st = vp_ingest_reply_set(reply, t->record, t->record_size, t->version, err);
    pthread_mutex_unlock(&h->lock);
    return st;
}

static vp_status record_put(void *user, const char *id, const void *data, uint64_t size, uint64_t version,
                            uint64_t *now, vp_error *err)
{
    host *h = user;
    thing *t;
    vp_status st = VP_OK;

    pthread_mutex_lock(&h->lock);
    t = find_or_make(h, id);
    if (h->rivals > 0 && t->record) {
        h->rivals--;
        t->version = ++h->versions;
    }
    if (h->fail_put && --h->fail_put == 0) {
        st = vp_error_set(err, VP_E_IO, "HOST_DISK", 42, "put failed");
    } else if ((t->record ? t->version : 0) != version) {
        st = vp_error_set(err, VP_E_CONFLICT, NULL, 0, "another version");
    } else {
        free(t->record);
        t->record = malloc((size_t)size);
        memcpy(t->record, data, (size_t)size);
        t->record_size = size;
        *now = t->version = ++h->versions;
    }
    drop_if_empty(t);
    pthread_mutex_unlock(&h->lock);
    return st;
}

static vp_status record_remove(void *user, const char *id, vp_error *err)
{
    host *h = user;
    thing *t = find(h, id);

    (void)err;
    if (!t) return VP_OK;
    free(t->record);
    t->record = NULL;
    drop_if_empty(t);
    return VP_OK;
}

static vp_status record_list(void *user, vp_list_fn fn, void *fn_user, vp_error *err)
{
    host *h = user;

    (void)err;
    for (int i = 0; i < THINGS; i++) {
        vp_object_info info = VP_OBJECT_INFO_INIT;
        vp_status st;

        if (!h->things[i].record) continue;
        info.key = h->things[i].id;
        st = fn(fn_user, &info);
        if (st != VP_OK) return st;
    }
    return VP_OK;
}

/* The token is the size as text, so that a wrong one is seen. */
static void check_token(const void *token, uint64_t size, uint64_t at_least)
{
    char text[32] = "";

    assert_true(size < sizeof(text));
    memcpy(text, token, (size_t)size);
    if (at_least > 0) assert_true(strtoull(text, NULL, 10) >= at_least);
}

static vp_status data_open(void *user, const char *id, const void *token, uint64_t token_size,
                           uint64_t offset, uint64_t length, void **data, vp_error *err)
{
    host *h = user;
    thing *t;

    (void)length;
    (void)err;
    check_token(token, token_size, offset);
    pthread_mutex_lock(&h->lock);
    t = find_or_make(h, id);
    assert_true(t->confirmed >= offset);
    t->size = t->confirmed = offset;
    if (!t->data) t->data = malloc(1 << 20);
    h->opens++;
    *data = t;
    pthread_mutex_unlock(&h->lock);
    return VP_OK;
}

static vp_status data_append(void *user, void *data, const void *bytes, size_t size, vp_error *err)
{
    host *h = user;
    thing *t = data;

    if (h->fail_append && --h->fail_append == 0) {
        vp_status st = h->fail_half ? h->fail_half : VP_E_IO;

        if (h->fail_half) {
            memcpy(t->data + t->size, bytes, size / 2);
            t->size += size / 2;
        }
        return vp_error_set(err, st,
                            st == VP_E_NOMEM ? ""
                            : h->fail_half   ? "DISK_FULL"
                                             : "HOST_DISK",
                            42, "append failed");
    }
    assert_true(t->size + size <= 1 << 20);
    memcpy(t->data + t->size, bytes, size);
    t->size += size;
    return VP_OK;
}

static vp_status data_sync(void *user, void *data, vp_ingest_reply *reply, vp_error *err)
{
    host *h = user;
    thing *t = data;
    char text[32];

    if (h->fail_sync && --h->fail_sync == 0)
        return vp_error_set(err, VP_E_IO, "HOST_DISK", 42, "sync failed");
    t->confirmed = t->size;
    snprintf(text, sizeof(text), "%llu", (unsigned long long)t->size);
    return vp_ingest_reply_set(reply, text, strlen(text), 0, err);
}

static void data_close(void *user, void *data)
{
    (void)data;
    ((host *)user)->closes++;
}

static vp_status data_finish(void *user, const char *id, const void *token, uint64_t token_size,
                             uint64_t size, vp_error *err)
{
    thing *t = find(user, id);

    (void)err;
    check_token(token, token_size, size);
    if (size > 0) {
        assert_non_null(t);
        assert_int_equal(t->confirmed, size);
    }
    if (t) t->finished = true;
    return VP_OK;
}

static vp_context *source_context;

static vp_status data_source(void *user, const char *id, const void *token, uint64_t token_size,
                             uint64_t size, vp_source **out, vp_error *err)
{
    host *h = user;
    thing *t = find(user, id);

    check_token(token, token_size, size);
    if (h->no_source) return VP_OK;
    if (h->fail_source && --h->fail_source == 0) {
        vp_error_set(err, VP_E_IO, "SOURCE", 0, "not now");
        return VP_E_IO;
    }
    assert_true(size == 0 || t->confirmed >= size);
    return vp_source_memory(source_context, size ? (const void *)t->data : "", size, out, err);
}

static vp_status data_remove(void *user, const char *id, const void *token, uint64_t token_size,
                             vp_error *err)
{
    host *h = user;
    thing *t = find(h, id);

    (void)token;
    (void)token_size;
    if (h->fail_remove && --h->fail_remove == 0)
        return vp_error_set(err, VP_E_IO, "HOST_DISK", 42, "remove failed");
    if (!t) return VP_OK;
    free(t->data);
    t->data = NULL;
    t->size = t->confirmed = 0;
    drop_if_empty(t);
    return VP_OK;
}

static vp_status data_share(void *user, const char *id, const void *token, uint64_t token_size,
                            const char *scope, const char *sha256, uint64_t size, vp_ingest_reply *reply,
                            uint32_t *shared, vp_error *err)
{
    host *h = user;
    thing *t = find(h, id);
    char name[200];

    (void)err;
    (void)size;
    (void)reply; /* the token stays */
    (void)token, (void)token_size;
    snprintf(name, sizeof(name), "%s/%s", scope, sha256);
    for (int i = 0; i < THINGS; i++) {
        if (&h->things[i] != t && strcmp(h->things[i].shared_as, name) == 0) *shared = 1;
    }
    snprintf(t->shared_as, sizeof(t->shared_as), "%s", name);
    return VP_OK;
}

static void release(void *user)
{
    ((host *)user)->released++;
}

static vp_ingest_ops table(void)
{
    vp_ingest_ops ops = VP_INGEST_OPS_INIT;

    ops.record_get = record_get;
    ops.record_put = record_put;
    ops.record_remove = record_remove;
    ops.record_list = record_list;
    ops.data_open = data_open;
    ops.data_append = data_append;
    ops.data_sync = data_sync;
    ops.data_close = data_close;
    ops.data_finish = data_finish;
    ops.data_source = data_source;
    ops.data_remove = data_remove;
    ops.data_share = data_share;
    ops.release = release;
    return ops;
}

/* A store over the host's table: another one stands for another process. */
static vp_ingest *store_over(room *r, host *h, const vp_ingest_options *options)
{
    vp_ingest_ops ops = table();
    vp_ingest *s = NULL;

    assert_int_equal(vp_ingest_new(r->context, &ops, h, options, &s, &r->err), VP_OK);
    return s;
}

static void host_store(room *r, host *h, const vp_ingest_options *options)
{
    source_context = r->context;
    r->store = vp_ingest_unref(r->store);
    r->store = store_over(r, h, options);
}

static void host_empty(host *h)
{
    for (int i = 0; i < THINGS; i++) {
        free(h->things[i].record);
        free(h->things[i].data);
    }
    memset(h->things, 0, sizeof(h->things));
}

static void way(void **state)
{
    room *r = *state;
    host h = { .lock = PTHREAD_MUTEX_INITIALIZER };
    vp_ingest_options o = VP_INGEST_OPTIONS_INIT;
    vp_upload_info info = VP_UPLOAD_INFO_INIT;
    vp_upload *u, *v = NULL;
    vp_source *s = NULL;
    char hex[65];

    o.sync_bytes = 50000;
    host_store(r, &h, &o);
    u = make_upload(r, "a", 300000);
    assert_int_equal(append(u, 40000, 1, &r->err), VP_OK);
    assert_int_equal(stat_offset(r->store, "a"), 0);
    assert_int_equal(append(u, 20000, 1, &r->err), VP_OK); /* a window is full: synced in passing */
    assert_int_equal(stat_offset(r->store, "a"), 60000);
    assert_int_equal(append(u, 1000, 1, &r->err), VP_OK);
    vp_upload_close(u);
    host_store(r, &h, &o); /* another process */
    assert_int_equal(vp_ingest_open(r->store, "a", &u, &r->err), VP_OK);
    assert_int_equal(vp_upload_offset(u), 61000);
    /* A checked chunk that is refused: the data are opened anew at what is durable. */
    assert_int_equal(append(u, 500, 1, &r->err), VP_OK);
    assert_int_equal(vp_upload_check_begin(u, "sha1", &r->err), VP_OK);
    assert_int_equal(append(u, 700, 66, &r->err), VP_OK);
    assert_int_equal(vp_upload_check_end(u, "01234567890123456789", 20, &r->err), VP_E_DATA);
    assert_int_equal(vp_upload_offset(u), 61500);
    assert_int_equal(append(u, 238500, 1, &r->err), VP_OK);
    assert_int_equal(vp_upload_finish(u, &s, &info, &r->err), VP_OK);
    content_sha256(300000, 1, hex);
    assert_string_equal(info.sha256, hex);
    assert_content(s, 300000, 1);
    vp_source_unref(s);
    assert_int_equal(vp_upload_finish(u, NULL, NULL, &r->err), VP_OK);
    vp_upload_close(u);
    assert_true(find(&h, "a")->finished);
    v = make_upload(r, "b", 300000);
    assert_int_equal(append(v, 300000, 1, &r->err), VP_OK);
    assert_int_equal(vp_upload_finish(v, NULL, &info, &r->err), VP_OK);
    assert_int_equal(info.shared, 1);
    vp_upload_close(v);
    assert_int_equal(vp_ingest_remove(r->store, "a", &r->err), VP_OK);
    assert_int_equal(vp_ingest_remove(r->store, "b", &r->err), VP_OK);
    assert_null(find(&h, "a"));
    assert_null(find(&h, "b"));
    assert_int_equal(h.opens, h.closes);
    assert_int_equal(h.released, 1);
    room_again(r, NULL);
    assert_int_equal(h.released, 2);
    host_empty(&h);
}

/* Two stores on one back end, as two machines on a bucket. */
static void take_over(void **state)
{
    room *r = *state;
    host h = { .lock = PTHREAD_MUTEX_INITIALIZER };
    vp_ingest *other;
    vp_upload *old, *new = NULL;
    vp_upload_info info = VP_UPLOAD_INFO_INIT;

    host_store(r, &h, NULL);
    other = store_over(r, &h, NULL);
    old = make_upload(r, "a", 1000);
    assert_int_equal(append(old, 100, 1, &r->err), VP_OK);
    assert_int_equal(vp_upload_sync(old, &r->err), VP_OK);
    assert_int_equal(vp_ingest_open(other, "a", &new, &r->err), VP_OK);
    assert_int_equal(vp_upload_offset(new), 100);
    assert_int_equal(vp_upload_get_info(new, &info, &r->err), VP_OK);
    assert_int_equal(info.writes, 2);
    assert_int_equal(append(new, 900, 1, &r->err), VP_OK);
    assert_int_equal(vp_upload_sync(new, &r->err), VP_OK);
    assert_int_equal(vp_upload_set_length(old, 1000, &r->err), VP_OK);
    assert_int_equal(append(old, 5, 2, &r->err), VP_OK); /* nobody asked the store */
    assert_int_equal(vp_upload_sync(old, &r->err), VP_E_CONFLICT);
    assert_reason(&r->err, VP_E_CONFLICT, "TAKEN_OVER");
    assert_int_equal(append(old, 5, 2, &r->err), VP_E_CONFLICT);
    vp_upload_close(old);
    assert_int_equal(stat_offset(other, "a"), 1000);
    vp_upload_close(new);
    vp_ingest_unref(other);
    room_again(r, NULL);
    host_empty(&h);
}

/* Another process syncs between reading and taking: who opens is the newest all the same, or says that it waited. */
static void taken_between(void **state)
{
    room *r = *state;
    host h = { .lock = PTHREAD_MUTEX_INITIALIZER };
    vp_ingest_options o = VP_INGEST_OPTIONS_INIT;
    vp_upload *u;

    o.lock_wait_ms = 50;
    host_store(r, &h, &o);
    u = make_upload(r, "a", 1000);
    assert_int_equal(append(u, 100, 1, &r->err), VP_OK);
    vp_upload_close(u);
    h.rivals = 3;
    assert_int_equal(vp_ingest_open(r->store, "a", &u, &r->err), VP_OK);
    assert_int_equal(h.rivals, 0);
    assert_int_equal(vp_upload_offset(u), 100);
    assert_int_equal(append(u, 900, 1, &r->err), VP_OK);
    assert_int_equal(vp_upload_finish(u, NULL, NULL, &r->err), VP_OK);
    vp_upload_close(u);
    h.rivals = INT_MAX;
    assert_int_equal(vp_ingest_open(r->store, "a", &u, &r->err), VP_E_CONFLICT);
    assert_reason(&r->err, VP_E_CONFLICT, "ALREADY_RUNNING");
    assert_int_equal(vp_ingest_open(r->store, "a", &u, NULL), VP_E_CONFLICT);
    h.rivals = 1;
    assert_int_equal(vp_ingest_remove(r->store, "a", &r->err), VP_OK);
    assert_null(find(&h, "a"));
    room_again(r, NULL);
    host_empty(&h);
}

/* The expiry of another process sees by the record alone that an upload is at work: opened late, or dripping. */
static void expires_elsewhere(void **state)
{
    room *r = *state;
    host h = { .lock = PTHREAD_MUTEX_INITIALIZER };
    vp_ingest_options o = VP_INGEST_OPTIONS_INIT;
    vp_ingest *other;
    vp_upload *u;
    uint64_t n = 0;

    o.expire_ms = 1000;
    o.now_us = room_clock;
    o.now_user = r;
    host_store(r, &h, &o);
    other = store_over(r, &h, &o);
    u = make_upload(r, "a", 1000);
    assert_int_equal(append(u, 100, 1, &r->err), VP_OK);
    vp_upload_close(u);
    r->now_us += 1500000;
    assert_int_equal(vp_ingest_open(r->store, "a", &u, &r->err), VP_OK);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(append(u, 10, 1, &r->err), VP_OK);
        assert_int_equal(vp_ingest_expire(other, NULL, &n, &r->err), VP_OK);
        assert_int_equal(n, 0);
        r->now_us += 600000;
    }
    vp_upload_close(u);
    assert_int_equal(stat_offset(other, "a"), 150);
    r->now_us += 1000001;
    assert_int_equal(vp_ingest_expire(other, NULL, &n, &r->err), VP_OK);
    assert_int_equal(n, 1);
    vp_ingest_unref(other);
    room_again(r, NULL);
    host_empty(&h);
}

/* What another process removed is free here too, also while a creation is refused. */
static void quota_of_two(void **state)
{
    room *r = *state;
    host h = { .lock = PTHREAD_MUTEX_INITIALIZER };
    vp_ingest_options o = VP_INGEST_OPTIONS_INIT;
    vp_upload_options u = VP_UPLOAD_OPTIONS_INIT;
    vp_upload *more = NULL;
    vp_ingest *other;

    o.quota = 1000;
    host_store(r, &h, &o);
    other = store_over(r, &h, &o);
    u.length = 200;
    for (int i = 0; i < 3; i++) {
        vp_upload_close(make_upload(r, "x", 900));
        assert_int_equal(vp_ingest_create(r->store, &u, &more, &r->err), VP_E_LIMIT);
        assert_reason(&r->err, VP_E_LIMIT, "QUOTA_EXCEEDED");
        usleep(20000); /* it is not counted anew all the time */
        assert_int_equal(vp_ingest_remove(other, "x", &r->err), VP_OK);
    }
    vp_ingest_unref(other);
    room_again(r, NULL);
    host_empty(&h);
}

/* What the host says of its failures comes through, and nothing counts that was not confirmed. */
static void failures(void **state)
{
    room *r = *state;
    host h = { .lock = PTHREAD_MUTEX_INITIALIZER };

    host_store(r, &h, NULL);
    for (int what = 0; what < 3; what++) {
        vp_upload *u = make_upload(r, "a", 1000);
        vp_source *s = NULL;

        assert_int_equal(append(u, 100, 1, &r->err), VP_OK);
        assert_int_equal(vp_upload_sync(u, &r->err), VP_OK);
        h.fail_append = what == 0;
        if (what == 0) {
            assert_int_equal(append(u, 100, 1, &r->err), VP_E_IO);
        } else {
            assert_int_equal(append(u, 100, 1, &r->err), VP_OK);
            h.fail_sync = what == 1;
            h.fail_put = what == 2;
            assert_int_equal(vp_upload_sync(u, &r->err), VP_E_IO);
        }
        assert_string_equal(r->err.reason, "HOST_DISK");
        assert_int_equal(r->err.native, 42);
        assert_true(r->err.flags & VP_ERRF_FROM_HOST);
        assert_int_equal(append(u, 100, 1, &r->err), VP_E_IO); /* the handle is dead */
        vp_upload_close(u);
        assert_int_equal(stat_offset(r->store, "a"), 100);
        assert_int_equal(vp_ingest_open(r->store, "a", &u, &r->err), VP_OK);
        assert_int_equal(append(u, 900, 1, &r->err), VP_OK);
        assert_int_equal(vp_upload_finish(u, &s, NULL, &r->err), VP_OK);
        assert_content(s, 1000, 1);
        vp_source_unref(s);
        vp_upload_close(u);
        assert_int_equal(vp_ingest_remove(r->store, "a", &r->err), VP_OK);
    }
    room_again(r, NULL);
    host_empty(&h);
}

static void more(void **state)
{
    room *r = *state;
    host h = { .lock = PTHREAD_MUTEX_INITIALIZER };
    vp_ingest_options io = VP_INGEST_OPTIONS_INIT;
    vp_upload_options o = VP_UPLOAD_OPTIONS_INIT;
    vp_upload_info info = VP_UPLOAD_INFO_INIT;
    vp_upload *u = NULL;
    vp_source *s = NULL;
    uint64_t n = 0;
    uint8_t piece[10];
    size_t got;

    io.expire_ms = 1000;
    io.now_us = room_clock;
    io.now_user = r;
    io.quota = 100000;
    host_store(r, &h, &io);
    o.flags = VP_UPLOADF_ANY_ORDER;
    assert_int_equal(vp_ingest_create(r->store, &o, &u, &r->err), VP_E_UNSUPPORTED);
    o.flags = VP_UPLOADF_PARTIAL;
    o.length = 1000;
    o.id = "p";
    assert_int_equal(vp_ingest_create(r->store, &o, &u, &r->err), VP_OK);
    assert_int_equal(append(u, 400, 1, &r->err), VP_OK);
    assert_int_equal(vp_upload_sync(u, &r->err), VP_OK);
    assert_int_equal(vp_ingest_peek(r->store, "p", &s, &r->err), VP_OK);
    assert_int_equal(vp_source_read_at(s, 390, piece, 10, &got, &r->err), VP_OK);
    assert_int_equal(vp_source_read_at(s, 400, piece, 10, &got, &r->err), VP_AGAIN);
    o = (vp_upload_options)VP_UPLOAD_OPTIONS_INIT;
    o.id = "f";
    o.parts = "p p";
    o.parts_may_grow = 1;
    {
        vp_upload *f = NULL;

        assert_int_equal(vp_ingest_create(r->store, &o, &f, &r->err), VP_OK);
        vp_upload_close(f);
    }
    assert_int_equal(append(u, 600, 1, &r->err), VP_OK);
    assert_int_equal(vp_upload_sync(u, &r->err), VP_OK);
    vp_upload_close(u);
    assert_content(s, 1000, 1);
    vp_source_unref(s);
    /* Made when it is asked for. */
    assert_int_equal(vp_ingest_stat(r->store, "f", &info, NULL, &r->err), VP_OK);
    assert_int_equal(info.state, VP_UPLOAD_COMPLETE);
    assert_int_equal(info.length, 2000);
    assert_int_equal(vp_ingest_open(r->store, "f", &u, &r->err), VP_OK);
    assert_int_equal(vp_upload_finish(u, NULL, NULL, &r->err), VP_OK);
    vp_upload_close(u);
    o = (vp_upload_options)VP_UPLOAD_OPTIONS_INIT;
    o.id = "q";
    o.length = 97001;
    assert_int_equal(vp_ingest_create(r->store, &o, &u, &r->err), VP_E_LIMIT);
    o.length = 97000;
    assert_int_equal(vp_ingest_create(r->store, &o, &u, &r->err), VP_OK);
    vp_upload_close(u);
    r->now_us += 2000000;
    assert_int_equal(vp_ingest_expire(r->store, NULL, &n, &r->err), VP_OK);
    assert_int_equal(n, 2);
    assert_int_equal(vp_ingest_stat(r->store, "p", &info, NULL, &r->err), VP_END);
    assert_string_equal(r->err.reason, "UPLOAD_EXPIRED");
    r->now_us += INT64_C(86400000000);
    assert_int_equal(vp_ingest_expire(r->store, NULL, &n, &r->err), VP_OK);
    assert_null(find(&h, "p"));
    assert_non_null(find(&h, "f"));
    room_again(r, NULL);
    host_empty(&h);
}

/* A concatenation that is not made leaves nothing; one whose record came to be keeps its bytes. */
static void concat_fails(void **state)
{
    room *r = *state;
    host h = { .lock = PTHREAD_MUTEX_INITIALIZER };
    vp_upload_options o = VP_UPLOAD_OPTIONS_INIT;
    vp_upload *u = NULL;

    host_store(r, &h, NULL);
    o.flags = VP_UPLOADF_PARTIAL;
    o.length = 1000;
    o.id = "p";
    assert_int_equal(vp_ingest_create(r->store, &o, &u, &r->err), VP_OK);
    assert_int_equal(append(u, 1000, 1, &r->err), VP_OK);
    assert_int_equal(vp_upload_sync(u, &r->err), VP_OK);
    vp_upload_close(u);
    o = (vp_upload_options)VP_UPLOAD_OPTIONS_INIT;
    o.id = "f";
    o.parts = "p p";
    for (int what = 0; what < 4; what++) {
        h.fail_append = what == 0 ? 2 : 0;
        h.fail_sync = what == 1;
        h.fail_put = what == 2;
        h.fail_source = what == 3 ? 2 : 0;
        assert_int_equal(vp_ingest_create(r->store, &o, &u, &r->err), VP_E_IO);
        assert_null(find(&h, "f"));
        assert_int_equal(h.opens, h.closes);
    }
    assert_int_equal(vp_ingest_create(r->store, &o, &u, &r->err), VP_OK);
    vp_upload_close(u);
    assert_int_equal(vp_ingest_create(r->store, &o, &u, &r->err), VP_E_CONFLICT);
    assert_int_equal(stat_offset(r->store, "f"), 2000);
    assert_int_equal(find(&h, "f")->confirmed, 2000);
    room_again(r, NULL);
    host_empty(&h);
}

/* A removal that broke off is brought to its end by the next one, and what it gave back is not given twice. */
static void removed_again(void **state)
{
    room *r = *state;
    host h = { .lock = PTHREAD_MUTEX_INITIALIZER };
    vp_ingest_options o = VP_INGEST_OPTIONS_INIT;
    vp_upload_info info = VP_UPLOAD_INFO_INIT;
    vp_upload *u;

    o.quota = 1000;
    for (int other = 0; other < 2; other++) {
        host_store(r, &h, &o);
        u = make_upload(r, "a", 1000);
        assert_int_equal(append(u, 500, 1, &r->err), VP_OK);
        assert_int_equal(vp_upload_sync(u, &r->err), VP_OK);
        vp_upload_close(u);
        h.fail_remove = 1;
        assert_int_equal(vp_ingest_remove(r->store, "a", &r->err), VP_E_IO);
        assert_int_equal(vp_ingest_stat(r->store, "a", &info, NULL, &r->err), VP_END);
        assert_non_null(find(&h, "a"));
        if (other) host_store(r, &h, &o); /* as after a kill */
        assert_int_equal(vp_ingest_remove(r->store, "a", &r->err), VP_OK);
        assert_null(find(&h, "a"));
        u = make_upload(r, "b", 1000); /* the quota has room for it again */
        vp_upload_close(u);
        assert_int_equal(vp_ingest_remove(r->store, "b", &r->err), VP_OK);
    }
    room_again(r, NULL);
    host_empty(&h);
}

/* Bytes of which nobody knows how many were taken are not sent again through the same handle. */
static void half_taken(void **state)
{
    room *r = *state;
    host h = { .lock = PTHREAD_MUTEX_INITIALIZER };

    host_store(r, &h, NULL);
    for (int way = 0; way < 2; way++) {
        vp_upload *u = make_upload(r, "a", 1000);
        vp_source *s = NULL;

        assert_int_equal(append(u, 100, 1, &r->err), VP_OK);
        assert_int_equal(vp_upload_sync(u, &r->err), VP_OK);
        h.fail_append = 1;
        h.fail_half = way ? VP_E_NOMEM : VP_E_IO;
        assert_int_equal(append(u, 100, 1, &r->err), h.fail_half);
        h.fail_half = VP_OK;
        assert_true(append(u, 900, 1, &r->err) < 0);
        vp_upload_close(u);
        assert_int_equal(vp_ingest_open(r->store, "a", &u, &r->err), VP_OK);
        assert_int_equal(append(u, 900, 1, &r->err), VP_OK);
        assert_int_equal(vp_upload_finish(u, &s, NULL, &r->err), VP_OK);
        assert_content(s, 1000, 1);
        vp_source_unref(s);
        vp_upload_close(u);
        assert_int_equal(vp_ingest_remove(r->store, "a", &r->err), VP_OK);
    }
    room_again(r, NULL);
    host_empty(&h);
}

/* A source that is not there although the host says so is the host's failure, not bytes that nobody can read. */
static void without_source(void **state)
{
    room *r = *state;
    host h = { .lock = PTHREAD_MUTEX_INITIALIZER };
    vp_upload *u;
    vp_source *s = NULL;
    char byte;
    size_t got;

    host_store(r, &h, NULL);
    u = make_upload(r, "a", 100);
    assert_int_equal(append(u, 100, 1, &r->err), VP_OK);
    assert_int_equal(vp_upload_finish(u, NULL, NULL, &r->err), VP_OK);
    h.no_source = true;
    assert_int_equal(vp_upload_finish(u, &s, NULL, &r->err), VP_E_HOST);
    vp_upload_close(u);
    assert_int_equal(vp_ingest_source(r->store, "a", &s, &r->err), VP_E_HOST);
    assert_null(s);
    assert_int_equal(vp_ingest_peek(r->store, "a", &s, &r->err), VP_OK);
    assert_int_equal(vp_source_read_at(s, 0, &byte, 1, &got, &r->err), VP_E_HOST);
    vp_source_unref(s);
    h.no_source = false;
    assert_int_equal(vp_ingest_source(r->store, "a", &s, &r->err), VP_OK);
    assert_content(s, 100, 1);
    vp_source_unref(s);
    room_again(r, NULL);
    host_empty(&h);
}

/* Who wants no text of an error gets the status of one all the same. */
static void without_error(void **state)
{
    room *r = *state;
    host h = { .lock = PTHREAD_MUTEX_INITIALIZER };
    vp_upload_options o = VP_UPLOAD_OPTIONS_INIT;
    vp_upload *u = NULL;

    host_store(r, &h, NULL);
    o.flags = VP_UPLOADF_PARTIAL;
    o.id = "p";
    o.length = 1000;
    assert_int_equal(vp_ingest_create(r->store, &o, &u, NULL), VP_OK);
    assert_int_equal(append(u, 1000, 1, NULL), VP_OK);
    vp_upload_close(u);
    o = (vp_upload_options)VP_UPLOAD_OPTIONS_INIT;
    o.parts = "p p";
    h.fail_append = 1;
    assert_int_equal(vp_ingest_create(r->store, &o, &u, NULL), VP_E_IO);
    room_again(r, NULL);
    host_empty(&h);
}

/* A part that cannot be read in the middle of a concatenation: the next try begins anew. */
static void concatenated_again(void **state)
{
    room *r = *state;
    host h = { .lock = PTHREAD_MUTEX_INITIALIZER };
    vp_upload_options o = VP_UPLOAD_OPTIONS_INIT;
    vp_upload *p[2] = { NULL, NULL }, *f = NULL;
    vp_source *s = NULL;
    uint64_t size = 0;
    uint8_t all[2000];
    size_t got;

    host_store(r, &h, NULL);
    o.flags = VP_UPLOADF_PARTIAL;
    o.length = 1000;
    for (int i = 0; i < 2; i++) {
        o.id = i ? "q" : "p";
        assert_int_equal(vp_ingest_create(r->store, &o, &p[i], &r->err), VP_OK);
        assert_int_equal(append(p[i], i ? 500 : 1000, SEED_OF(i), &r->err), VP_OK);
        assert_int_equal(vp_upload_sync(p[i], &r->err), VP_OK);
    }
    o = (vp_upload_options)VP_UPLOAD_OPTIONS_INIT;
    o.id = "f";
    o.parts = "p q";
    o.parts_may_grow = 1;
    assert_int_equal(vp_ingest_create(r->store, &o, &f, &r->err), VP_OK);
    assert_int_equal(append(p[1], 500, SEED_OF(1), &r->err), VP_OK);
    assert_int_equal(vp_upload_sync(p[1], &r->err), VP_OK);
    h.fail_source = 2;
    assert_int_equal(vp_upload_finish(f, NULL, NULL, &r->err), VP_E_IO);
    assert_int_equal(h.fail_source, 0);
    assert_int_equal(vp_upload_finish(f, &s, NULL, &r->err), VP_OK);
    assert_int_equal(vp_source_size(s, &size, NULL), VP_OK);
    assert_int_equal(size, 2000);
    assert_int_equal(vp_source_read_at(s, 0, all, sizeof(all), &got, NULL), VP_OK);
    for (size_t i = 0; i < 2000; i++) assert_int_equal(all[i], byte_at(i % 1000, SEED_OF(i / 1000)));
    vp_source_unref(s);
    vp_upload_close(f);
    for (int i = 0; i < 2; i++) vp_upload_close(p[i]);
    room_again(r, NULL);
    host_empty(&h);
}

/* What was removed is no longer counted. */
static void quota_comes_back(void **state)
{
    room *r = *state;
    host h = { .lock = PTHREAD_MUTEX_INITIALIZER };
    vp_ingest_options o = VP_INGEST_OPTIONS_INIT;

    o.quota = 1000;
    host_store(r, &h, &o);
    for (int i = 0; i < 3; i++) {
        vp_upload_close(make_upload(r, "x", 900));
        assert_int_equal(vp_ingest_remove(r->store, "x", &r->err), VP_OK);
    }
    room_again(r, NULL);
    host_empty(&h);
}

/* What a host's callbacks do may take time: an event loop has it done behind. */
static void behind_a_loop(void **state)
{
    vp_event e = { .struct_size = sizeof(e) };
    vp_queue *queue = NULL;
    host h = { .lock = PTHREAD_MUTEX_INITIALIZER };
    room *r = *state;
    vp_upload *u;

    host_store(r, &h, NULL);
    assert_int_equal(vp_queue_new(&queue, NULL), VP_OK);
    u = make_upload(r, "x", 8);
    for (uint64_t at = 0; at < 8; at += 4) {
        assert_int_equal(vp_upload_append_start(u, at, at ? "5678" : "1234", 4, queue, at, &r->err),
                         VP_AGAIN);
        assert_int_equal(vp_queue_next(queue, 60000, &e, NULL), VP_OK);
        assert_int_equal(e.tag, at);
        assert_int_equal(e.status, VP_OK);
        assert_int_equal(vp_upload_offset(u), at + 4);
    }
    assert_int_equal(vp_upload_append_start(u, 8, "9", 1, queue, 9, &r->err), VP_AGAIN);
    assert_int_equal(vp_queue_next(queue, 60000, &e, NULL), VP_OK);
    assert_int_equal(e.status, VP_E_LIMIT);
    assert_string_equal(e.reason, "UPLOAD_TOO_LARGE");
    assert_string_equal(e.op, "upload.append");
    assert_int_equal(vp_upload_finish(u, NULL, NULL, &r->err), VP_OK);
    vp_upload_close(u);
    room_again(r, NULL);
    host_empty(&h);
    vp_queue_unref(queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(way, room_open, room_close),
        cmocka_unit_test_setup_teardown(take_over, room_open, room_close),
        cmocka_unit_test_setup_teardown(taken_between, room_open, room_close),
        cmocka_unit_test_setup_teardown(expires_elsewhere, room_open, room_close),
        cmocka_unit_test_setup_teardown(failures, room_open, room_close),
        cmocka_unit_test_setup_teardown(more, room_open, room_close),
        cmocka_unit_test_setup_teardown(quota_comes_back, room_open, room_close),
        cmocka_unit_test_setup_teardown(quota_of_two, room_open, room_close),
        cmocka_unit_test_setup_teardown(concat_fails, room_open, room_close),
        cmocka_unit_test_setup_teardown(removed_again, room_open, room_close),
        cmocka_unit_test_setup_teardown(half_taken, room_open, room_close),
        cmocka_unit_test_setup_teardown(without_source, room_open, room_close),
        cmocka_unit_test_setup_teardown(without_error, room_open, room_close),
        cmocka_unit_test_setup_teardown(concatenated_again, room_open, room_close),
        cmocka_unit_test_setup_teardown(behind_a_loop, room_open, room_close),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
