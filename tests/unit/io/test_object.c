/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Objects on their way into a sink of the host: sizes of writes, whole and serial objects, exactly one end. */

#include "tools.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/hash.h"
#include "io/object.h"

#define WRITES_MAX 64

typedef struct host_object {
    uint8_t data[1 << 20];
    size_t size, writes[WRITES_MAX];
    unsigned count;
} host_object;

typedef struct host {
    atomic_int begun, committed, aborted, released, open, overlaps;
    vp_object_info info;
    char key[64], content_type[64];
    host_object last;
    const char *fail; /* the callback that fails */
} host;

static vp_status trouble(const host *h, const char *where, vp_error *err)
{
    if (!h->fail || strcmp(h->fail, where) != 0) return VP_OK;
    return vp_error_set(err, VP_E_HOST, "HOST_TROUBLE", 7, where);
}

static vp_status host_begin(void *user, const vp_object_info *info, void **object, vp_error *err)
{
    host *h = user;
    vp_status st = trouble(h, "begin", err);

    if (st < 0) return st;
    atomic_fetch_add(&h->begun, 1);
    if (atomic_fetch_add(&h->open, 1) > 0) atomic_fetch_add(&h->overlaps, 1);
    *object = calloc(1, sizeof(host_object));
    if (h->key[0] == 0) {
        h->info = *info;
        snprintf(h->key, sizeof(h->key), "%s", info->key);
        snprintf(h->content_type, sizeof(h->content_type), "%s", info->content_type);
    }
    return VP_OK;
}

static vp_status host_write(void *user, void *object, const void *data, size_t size, vp_error *err)
{
    host_object *o = object;
    vp_status st = trouble(user, "write", err);

    if (st < 0) return st;
    if (o->count < WRITES_MAX) o->writes[o->count++] = size;
    if (size > 0) memcpy(o->data + o->size, data, size);
    o->size += size;
    return VP_OK;
}

static void finish(host *h, void *object)
{
    if (h->begun == 1) memcpy(&h->last, object, sizeof(h->last));
    atomic_fetch_sub(&h->open, 1);
    free(object);
}

static vp_status host_commit(void *user, void *object, vp_error *err)
{
    host *h = user;

    atomic_fetch_add(&h->committed, 1);
    finish(h, object);
    return trouble(h, "commit", err);
}

static void host_abort(void *user, void *object)
{
    host *h = user;

    atomic_fetch_add(&h->aborted, 1);
    finish(h, object);
}

static void host_release(void *user)
{
    atomic_fetch_add(&((host *)user)->released, 1);
}

static vp_sink *host_sink(room *r, host *h, uint32_t flags)
{
    vp_sink_ops ops = VP_SINK_OPS_INIT;
    vp_sink *s = NULL;

    ops.flags = flags;
    ops.begin = host_begin;
    ops.write = host_write;
    ops.commit = host_commit;
    ops.abort = host_abort;
    ops.release = host_release;
    assert_int_equal(vp_sink_new(r->context, &ops, h, &s, &r->err), VP_OK);
    return s;
}

static void write_pieces(vp_object *o, const uint8_t *data, const size_t *sizes)
{
    for (; *sizes; data += *sizes++) assert_int_equal(vp_object_write(o, data, *sizes, NULL), VP_OK);
}

static void sizes_of_writes(void **state)
{
    static const size_t patterns[][12] = {
        { 10 },           { 1000, 70000, 5, 5, 65536, 65535, 1, 1 },
        { 200000, 10 },   { 65535, 200000 },
        { 65536, 65536 }, { 25000, 25000, 25000, 25000, 25000, 25000, 25000, 25000 },
    };
    room *r = *state;
    static uint8_t data[1 << 20];
    size_t i;

    fill(data, sizeof(data), 3);
    for (i = 0; i < VPI_COUNT(patterns); i++) {
        host *h = calloc(1, sizeof(*h));
        vp_sink *s = host_sink(r, h, 0);
        vp_object_info info = VP_OBJECT_INFO_INIT;
        vp_object *o = NULL;
        uint64_t total = 0, bytes = 0;
        uint32_t crc = 0;
        size_t n;

        for (n = 0; n < 12 && patterns[i][n]; n++) total += patterns[i][n];
        info.key = "a/b";
        info.kind = VP_OBJECT_SEGMENT;
        assert_int_equal(vp_sink_begin(s, &info, &o, &r->err), VP_OK);
        write_pieces(o, data, patterns[i]);
        assert_int_equal(vpi_object_size(o), total);
        assert_int_equal(vp_object_commit(o, &bytes, &crc, &r->err), VP_OK);
        assert_int_equal(bytes, total);
        assert_int_equal(crc, vpi_crc32c(0, data, (size_t)total));
        assert_int_equal(h->last.size, total);
        assert_memory_equal(h->last.data, data, (size_t)total);
        for (n = 0; n + 1 < h->last.count; n++) assert_true(h->last.writes[n] >= 65536);
        assert_int_equal(h->info.kind, VP_OBJECT_SEGMENT);
        assert_true(h->info.size == VP_SIZE_UNKNOWN);
        assert_string_equal(h->content_type, "application/octet-stream");
        vp_sink_unref(s);
        assert_int_equal(h->released, 1);
        free(h);
    }
}

static void large_writes_pass(void **state)
{
    room *r = *state;
    host *h = calloc(1, sizeof(*h));
    vp_sink *s = host_sink(r, h, 0);
    static uint8_t data[300000];

    assert_int_equal(put(s, "k", data, sizeof(data), &r->err), VP_OK);
    assert_int_equal(h->last.count, 1);
    vp_sink_unref(s);
    free(h);
    /* Nothing written: no write at all. */
    h = calloc(1, sizeof(*h));
    s = host_sink(r, h, 0);
    assert_int_equal(put(s, "k", "", 0, &r->err), VP_OK);
    assert_int_equal(h->last.count, 0);
    assert_int_equal(h->committed, 1);
    vp_sink_unref(s);
    free(h);
}

static void whole_objects(void **state)
{
    room *r = *state;
    host *h = calloc(1, sizeof(*h));
    vp_sink *s = host_sink(r, h, VP_SINKF_WHOLE_OBJECTS);
    vp_object_info info = VP_OBJECT_INFO_INIT;
    vp_object *o = NULL;
    static uint8_t data[200001];

    fill(data, sizeof(data), 4);
    info.key = "k";
    info.content_type = "video/mp4";
    assert_int_equal(vp_sink_begin(s, &info, &o, &r->err), VP_OK);
    assert_int_equal(vp_object_write(o, data, 100, &r->err), VP_OK);
    assert_int_equal(vp_object_write(o, data + 100, sizeof(data) - 100, &r->err), VP_OK);
    assert_int_equal(h->begun, 0);
    assert_int_equal(vp_object_commit(o, NULL, NULL, &r->err), VP_OK);
    assert_int_equal(h->begun, 1);
    assert_int_equal(h->last.count, 1);
    assert_int_equal(h->last.writes[0], sizeof(data));
    assert_int_equal(h->info.size, sizeof(data));
    assert_int_equal(h->info.has_crc32c, 1);
    assert_int_equal(h->info.crc32c, vpi_crc32c(0, data, sizeof(data)));
    assert_string_equal(h->content_type, "video/mp4");
    /* Not begun, so nothing to abort. */
    assert_int_equal(vp_sink_begin(s, &info, &o, &r->err), VP_OK);
    vp_object_abort(o);
    assert_int_equal(h->aborted, 0);
    /* The empty object is one write too. */
    vp_sink_unref(s);
    memset(h, 0, sizeof(*h));
    s = host_sink(r, h, VP_SINKF_WHOLE_OBJECTS);
    assert_int_equal(put(s, "k", NULL, 0, &r->err), VP_OK);
    assert_int_equal(h->last.count, 1);
    assert_int_equal(h->info.size, 0);
    vp_sink_unref(s);
    free(h);
}

static void failing_hosts(void **state)
{
    static const char *const where[] = { "begin", "write", "commit" };
    static const uint32_t flags[] = { 0, VP_SINKF_WHOLE_OBJECTS, VP_SINKF_SERIAL_OBJECTS, 3 };
    room *r = *state;
    static uint8_t data[100000];
    size_t i, f;
    int again;

    for (f = 0; f < VPI_COUNT(flags); f++) {
        for (i = 0; i < VPI_COUNT(where); i++) {
            host *h = calloc(1, sizeof(*h));
            vp_sink *s = host_sink(r, h, flags[f]);

            h->fail = where[i];
            /* Twice: a serial sink must be free again after a failure. */
            for (again = 0; again < 2; again++) {
                assert_int_equal(put(s, "some/key", data, sizeof(data), &r->err), VP_E_HOST);
                assert_string_equal(r->err.reason, "HOST_TROUBLE");
                assert_string_equal(r->err.message, where[i]);
                assert_int_equal(r->err.native, 7);
                assert_true(r->err.flags & VP_ERRF_FROM_HOST);
                assert_string_equal(r->err.key, "some/key");
            }
            assert_int_equal(h->begun, h->committed + h->aborted);
            assert_int_equal(h->open, 0);
            vp_sink_unref(s);
            assert_int_equal(h->released, 1);
            free(h);
        }
    }
}

static void commit_after_failure(void **state)
{
    room *r = *state;
    host *h = calloc(1, sizeof(*h));
    vp_sink *s = host_sink(r, h, 0);
    vp_object_info info = VP_OBJECT_INFO_INIT;
    vp_object *o = NULL;
    static uint8_t data[100000];

    info.key = "k";
    h->fail = "write";
    assert_int_equal(vp_sink_begin(s, &info, &o, &r->err), VP_OK);
    assert_int_equal(vp_object_write(o, data, sizeof(data), &r->err), VP_E_HOST);
    h->fail = NULL;
    /* Bytes are missing: neither more of them nor a commit may hide that. */
    assert_int_equal(vp_object_write(o, data, 1, &r->err), VP_E_HOST);
    assert_string_equal(r->err.reason, "HOST_TROUBLE");
    assert_int_equal(vp_object_commit(o, NULL, NULL, &r->err), VP_E_HOST);
    assert_string_equal(r->err.reason, "HOST_TROUBLE");
    assert_int_equal(h->committed, 0);
    assert_int_equal(h->aborted, 1);
    vp_object_abort(NULL);
    vp_sink_unref(s);
    free(h);
}

static void promises(void **state)
{
    room *r = *state;
    host *h = calloc(1, sizeof(*h));
    vp_sink *s = host_sink(r, h, 0);
    vp_object_info info = VP_OBJECT_INFO_INIT;

    info.key = "k";
    info.size = 4;
    assert_int_equal(vpi_sink_put(s, &info, "abc", 3, NULL, NULL, &r->err), VP_E_ARG);
    info.size = 3;
    info.has_crc32c = 1;
    info.crc32c = 1;
    assert_int_equal(vpi_sink_put(s, &info, "abc", 3, NULL, NULL, &r->err), VP_E_DATA);
    assert_string_equal(r->err.reason, "CHECKSUM_MISMATCH");
    info.crc32c = vpi_crc32c(0, "abc", 3);
    assert_int_equal(vpi_sink_put(s, &info, "abc", 3, NULL, NULL, &r->err), VP_OK);
    assert_int_equal(h->committed, 1);
    assert_int_equal(h->aborted, 2);
    vp_sink_unref(s);
    free(h);
}

static void arguments(void **state)
{
    static const char *const bad[] = { "", "/abs", "a/../b", "a//b", "a\nb", NULL };
    room *r = *state;
    host *h = calloc(1, sizeof(*h));
    vp_sink *s = host_sink(r, h, 0), *other = NULL;
    vp_object_info info = VP_OBJECT_INFO_INIT, twin;
    vp_sink_ops ops = VP_SINK_OPS_INIT, twin_ops;
    vp_object *o = NULL;
    vp_source *source = NULL;
    vp_bytes *b = NULL;
    keys k = { .count = 0 };
    size_t i;

    memset(&twin, 0xAA, sizeof(twin));
    vp_object_info_init(&twin, sizeof(twin));
    assert_int_equal(twin.struct_size, info.struct_size);
    assert_true(twin.size == VP_SIZE_UNKNOWN);
    memset(&twin_ops, 0xAA, sizeof(twin_ops));
    vp_sink_ops_init(&twin_ops, sizeof(twin_ops));
    assert_memory_equal(&ops, &twin_ops, sizeof(ops));
    for (i = 0; i < VPI_COUNT(bad); i++) {
        info.key = bad[i];
        assert_int_equal(vp_sink_begin(s, &info, &o, &r->err), VP_E_ARG);
        assert_null(o);
    }
    info.key = "k";
    info.kind = 8;
    assert_int_equal(vp_sink_begin(s, &info, &o, &r->err), VP_E_ARG);
    assert_int_equal(vp_sink_new(r->context, &ops, h, &other, &r->err), VP_E_ARG);
    assert_int_equal(vp_sink_has(s), 0);
    assert_int_equal(vp_sink_has(NULL), 0);
    assert_int_equal(vp_sink_stat(s, "k", &info, &r->err), VP_E_UNSUPPORTED);
    assert_int_equal(vp_sink_list(s, "", keep_key, &k, &r->err), VP_E_UNSUPPORTED);
    assert_int_equal(vp_sink_open(s, "k", &source, &r->err), VP_E_UNSUPPORTED);
    assert_int_equal(vp_sink_get(s, "k", 0, &b, &r->err), VP_E_UNSUPPORTED);
    assert_int_equal(vp_sink_remove(s, "k", &r->err), VP_E_UNSUPPORTED);
    assert_int_equal(vp_sink_flush(s, &r->err), VP_OK);
    assert_string_equal(vp_object_kind_name(VP_OBJECT_SEGMENT), "segment");
    assert_string_equal(vp_object_kind_name(VP_OBJECT_MARKER), "marker");
    assert_string_equal(vp_object_kind_name(99), "unknown");
    assert_null(vp_sink_unref(NULL));
    vp_sink_unref(s);
    free(h);
}

typedef struct worker {
    vp_sink *sink;
    int id;
} worker;

static void *put_many(void *arg)
{
    worker *w = arg;
    uint8_t data[3000];
    char key[32];
    int i;

    for (i = 0; i < 20; i++) {
        snprintf(key, sizeof(key), "t%d/%d", w->id, i);
        assert_int_equal(put(w->sink, key, data, sizeof(data), NULL), VP_OK);
    }
    return NULL;
}

static void serial_objects(void **state)
{
    room *r = *state;
    host *h = calloc(1, sizeof(*h));
    vp_sink *s = host_sink(r, h, VP_SINKF_SERIAL_OBJECTS);
    worker w[4];
    pthread_t t[4];
    int i;

    snprintf(h->key, sizeof(h->key), "not kept");
    atomic_store(&h->begun, 5);
    for (i = 0; i < 4; i++) {
        w[i] = (worker){ s, i };
        pthread_create(&t[i], NULL, put_many, &w[i]);
    }
    for (i = 0; i < 4; i++) pthread_join(t[i], NULL);
    assert_int_equal(h->committed, 80);
    assert_int_equal(h->overlaps, 0);
    vp_sink_unref(s);
    free(h);
}

static void *begin_second(void *arg)
{
    vp_object_info info = VP_OBJECT_INFO_INIT;
    vp_object *o = NULL;

    info.key = "second";
    return vp_sink_begin(arg, &info, &o, NULL) == VP_E_STATE ? arg : NULL;
}

/* Whoever waits for its turn is freed by the close of the context; the open object is still ended. */
static void close_while_waiting(void **state)
{
    room *r = *state;
    host *h = calloc(1, sizeof(*h));
    vp_sink *s = host_sink(r, h, VP_SINKF_SERIAL_OBJECTS);
    vp_object_info info = VP_OBJECT_INFO_INIT;
    vp_object *o = NULL;
    void *answer = NULL;
    pthread_t t;

    info.key = "first";
    assert_int_equal(vp_sink_begin(s, &info, &o, &r->err), VP_OK);
    pthread_create(&t, NULL, begin_second, s);
    usleep(5000);
    assert_int_equal(vp_context_close(r->context, &r->err), VP_OK);
    pthread_join(t, &answer);
    assert_ptr_equal(answer, s);
    assert_int_equal(vp_object_write(o, "x", 1, &r->err), VP_E_STATE);
    assert_int_equal(vp_object_commit(o, NULL, NULL, &r->err), VP_E_STATE);
    assert_int_equal(h->aborted, 1);
    vp_sink_unref(s);
    free(h);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, room_open, room_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(sizes_of_writes), TEST(large_writes_pass),    TEST(whole_objects),
        TEST(failing_hosts),   TEST(commit_after_failure), TEST(promises),
        TEST(arguments),       TEST(serial_objects),       TEST(close_while_waiting),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
