/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bytes that come once, kept in a store. */

#include "tools.h"

/* A pipe of `size` bytes that gives `step` at a time and fails or is cancelled at `stop`. */
typedef struct flow {
    uint8_t data[1000000];
    size_t size, at, step, stop;
    vp_status failure;
    vp_cancel *cancel;
} flow;

static vp_status flow_read(void *user, void *data, size_t capacity, size_t *got, vp_error *err)
{
    flow *f = user;

    if (f->at >= f->stop && f->failure < 0) return vp_error_set(err, f->failure, "PIPE", 0, "it broke");
    if (f->at >= f->stop && f->cancel) vp_cancel_fire(f->cancel);
    *got = VPI_MIN(VPI_MIN(f->step, capacity), f->size - f->at);
    memcpy(data, f->data + f->at, *got);
    f->at += *got;
    return VP_OK;
}

static vp_status too_much(void *user, void *data, size_t capacity, size_t *got, vp_error *err)
{
    (void)user;
    (void)data;
    (void)err;
    *got = capacity + 1;
    return VP_OK;
}

static vp_store *open_store(room *r, bool memory)
{
    vp_store *s = NULL;

    assert_int_equal(memory ? vp_store_memory(r->context, &s, &r->err)
                            : vp_store_directory(r->context, in_room(r, "work"), &s, &r->err),
                     VP_OK);
    return s;
}

static flow *make_flow(size_t size, size_t step)
{
    flow *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    *f = (flow){ .size = size, .step = step, .stop = SIZE_MAX };
    fill(f->data, sizeof(f->data), 5);
    return f;
}

static void expect_bytes(room *r, vp_source *s, const flow *f)
{
    uint8_t *got = malloc(f->size + 1);
    uint64_t size = 0;
    size_t n = 0;

    assert_non_null(got);
    assert_int_equal(vp_source_size(s, &size, &r->err), VP_OK);
    assert_int_equal(size, f->size);
    assert_int_equal(vp_source_read_at(s, 0, got, f->size + 1, &n, &r->err), VP_OK);
    assert_int_equal(n, f->size);
    assert_memory_equal(got, f->data, f->size);
    if (f->size > 10) {
        assert_int_equal(vp_source_read_at(s, f->size - 7, got, 100, &n, &r->err), VP_OK);
        assert_int_equal(n, 7);
        assert_memory_equal(got, f->data + f->size - 7, 7);
    }
    free(got);
}

static void test_sizes(void **state)
{
    static const size_t rows[][2] = {
        { 0, 1 }, { 1, 1 }, { 262144, 262144 }, { 1000000, 65537 }, { 999, 7 }
    };
    room *r = *state;

    for (size_t i = 0; i < 2 * VPI_COUNT(rows); i++) {
        vp_store *s = open_store(r, i & 1);
        flow *f = make_flow(rows[i / 2][0], rows[i / 2][1]);
        vp_source *source = NULL;

        assert_int_equal(
            vp_source_spool(r->context, s, "source", flow_read, f, f->size, NULL, &source, &r->err), VP_OK);
        expect_bytes(r, source, f);
        vp_source_unref(source);
        vp_store_unref(s);
        free(f);
        room_empty(r);
    }
}

/* The older value is replaced, but not under the feet of who reads it. */
static void test_again(void **state)
{
    room *r = *state;
    vp_store *s = open_store(r, false);
    flow *f = make_flow(5000, 100), *g = make_flow(7000, 100);
    vp_source *one = NULL, *two = NULL;

    assert_int_equal(vp_source_spool(r->context, s, "source", flow_read, f, 0, NULL, &one, &r->err), VP_OK);
    assert_int_equal(vp_source_spool(r->context, s, "source", flow_read, g, 0, NULL, &two, &r->err),
                     VP_E_CONFLICT);
    assert_string_equal(r->err.reason, "ALREADY_RUNNING");
    assert_null(two);
    assert_int_equal(g->at, 0);
    expect_bytes(r, one, f);
    vp_source_unref(one);
    assert_int_equal(vp_source_spool(r->context, s, "source", flow_read, g, 0, NULL, &two, &r->err), VP_OK);
    expect_bytes(r, two, g);
    vp_source_unref(two);
    /* it stays, for other processes */
    assert_int_equal(vp_store_open(s, "source", &two, &r->err), VP_OK);
    expect_bytes(r, two, g);
    vp_source_unref(two);
    vp_store_unref(s);
    free(f);
    free(g);
    room_empty(r);
}

static void expect_failure(room *r, flow *f, vp_read_fn read, uint64_t limit, vp_status st,
                           const char *reason)
{
    for (int memory = 0; memory < 2; memory++) {
        vp_store *s = open_store(r, memory);
        vp_source *source = NULL;
        keys k = { .count = 0 };

        f->at = 0;
        assert_int_equal(
            vp_source_spool(r->context, s, "source", read, f, limit, f->cancel, &source, &r->err), st);
        if (reason) assert_string_equal(r->err.reason, reason);
        assert_null(source);
        assert_int_equal(vp_store_list(s, "", keep_key, &k, &r->err), VP_OK);
        assert_string_equal(k.text, "");
        if (!memory) assert_int_equal(count_below(r->path, "-type f -not -name '*.lease'"), 0);
        vp_store_unref(s);
        room_empty(r);
    }
}

static void test_failures(void **state)
{
    room *r = *state;
    flow *f = make_flow(100000, 1000);

    expect_failure(r, f, flow_read, 99999, VP_E_LIMIT, "INPUT_LIMIT");
    expect_failure(r, f, too_much, 0, VP_E_HOST, NULL);
    f->stop = 50000;
    f->failure = VP_E_IO;
    expect_failure(r, f, flow_read, 0, VP_E_IO, "PIPE");
    f->failure = VP_OK;
    assert_int_equal(vp_cancel_new(&f->cancel, &r->err), VP_OK);
    expect_failure(r, f, flow_read, 0, VP_E_CANCELED, "CANCELED");
    vp_cancel_unref(f->cancel);
    free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_again),
        cmocka_unit_test(test_failures),
    };

    return cmocka_run_group_tests(tests, room_open, room_close);
}
