/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools.h"

#include "io/object.h"

static void objects(void **state)
{
    room *r = *state;
    vp_sink *s = NULL;
    vp_object_info info = VP_OBJECT_INFO_INIT;
    vp_object *o = NULL;
    vp_source *source = NULL;
    vp_bytes *b = NULL;
    keys k = { .count = 0 };
    struct iovec iov[2] = { { (void *)(uintptr_t) "ab", 2 }, { (void *)(uintptr_t) "cde", 3 } };

    assert_int_equal(vp_sink_memory(r->context, &s, &r->err), VP_OK);
    assert_int_equal(vp_sink_has(s), 15);
    info.key = "v/1.m4s";
    info.size = 5;
    assert_int_equal(vp_sink_begin(s, &info, &o, &r->err), VP_OK);
    assert_int_equal(vpi_object_writev(o, iov, 2, &r->err), VP_OK);
    assert_int_equal(vp_sink_stat(s, "v/1.m4s", &info, &r->err), VP_END);
    assert_int_equal(vp_object_commit(o, NULL, NULL, &r->err), VP_OK);
    assert_int_equal(put(s, "v/0.m4s", "zero", 4, &r->err), VP_OK);
    assert_int_equal(put(s, "w", "", 0, &r->err), VP_OK);
    assert_int_equal(vp_sink_stat(s, "v/1.m4s", &info, &r->err), VP_OK);
    assert_int_equal(info.size, 5);
    assert_true(info.mtime_us > 0);
    assert_int_equal(vp_sink_get(s, "v/1.m4s", 0, &b, &r->err), VP_OK);
    assert_string_equal(vp_bytes_data(b), "abcde");
    vp_bytes_unref(b);
    assert_int_equal(vp_sink_get(s, "v/1.m4s", 4, &b, &r->err), VP_E_LIMIT);
    assert_string_equal(r->err.key, "v/1.m4s");
    assert_int_equal(vp_sink_get(s, "v", 0, &b, &r->err), VP_END);
    assert_null(b);
    assert_int_equal(vp_sink_list(s, "", keep_key, &k, &r->err), VP_OK);
    assert_string_equal(k.text, "v/0.m4s v/1.m4s w");
    assert_int_equal(k.bytes, 9);
    k = (keys){ .stop_after = 1 };
    assert_int_equal(vp_sink_list(s, "v/", keep_key, &k, &r->err), VP_END);
    assert_string_equal(k.text, "v/0.m4s");
    /* A source of a replaced object keeps what it had. */
    assert_int_equal(vp_sink_open(s, "v/0.m4s", &source, &r->err), VP_OK);
    assert_int_equal(put(s, "v/0.m4s", "new", 3, &r->err), VP_OK);
    assert_int_equal(vpi_source_read_all(source, 0, &b, &r->err), VP_OK);
    assert_string_equal(vp_bytes_data(b), "zero");
    vp_bytes_unref(b);
    vp_source_unref(source);
    assert_int_equal(vp_sink_remove(s, "v/0.m4s", &r->err), VP_OK);
    assert_int_equal(vp_sink_remove(s, "v/0.m4s", &r->err), VP_OK);
    assert_int_equal(vp_sink_open(s, "v/0.m4s", &source, &r->err), VP_END);
    assert_int_equal(vp_sink_flush(s, &r->err), VP_OK);
    vp_sink_unref(s);
}

static void many(void **state)
{
    room *r = *state;
    vp_sink *s = NULL;
    vp_bytes *b = NULL;
    char key[32];
    keys k = { .count = 0 };
    int i;

    assert_int_equal(vp_sink_memory(r->context, &s, &r->err), VP_OK);
    for (i = 0; i < 300; i++) {
        snprintf(key, sizeof(key), "k%d", (i * 37) % 300);
        assert_int_equal(put(s, key, key, strlen(key), &r->err), VP_OK);
    }
    for (i = 0; i < 300; i += 2) {
        snprintf(key, sizeof(key), "k%d", i);
        assert_int_equal(vp_sink_remove(s, key, &r->err), VP_OK);
    }
    for (i = 0; i < 300; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        assert_int_equal(vp_sink_get(s, key, 0, &b, &r->err), i % 2 ? VP_OK : VP_END);
        if (b) assert_string_equal(vp_bytes_data(b), key);
        vp_bytes_unref(b);
    }
    assert_int_equal(vp_sink_list(s, "k", keep_key, &k, &r->err), VP_OK);
    assert_int_equal(k.count, 150);
    vp_sink_unref(s);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, room_open, room_close)

int main(void)
{
    const struct CMUnitTest tests[] = { TEST(objects), TEST(many) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
