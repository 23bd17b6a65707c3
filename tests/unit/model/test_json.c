/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "model/json.h"

static json_t *parse(const char *text)
{
    vp_error err = VP_ERROR_INIT;
    json_t *j = NULL;

    assert_int_equal(vpi_json_parse(text, strlen(text), "doc", &j, &err), VP_OK);
    return j;
}

static void refuses(const char *text, size_t size, const char *message)
{
    vp_error err = VP_ERROR_INIT;
    json_t *j = NULL;

    assert_int_equal(vpi_json_parse(text, size, "doc", &j, &err), VP_E_DATA);
    assert_null(j);
    assert_string_equal(err.reason, "INPUT_CORRUPT");
    assert_non_null(strstr(err.message, message));
}

static void parsing(void **state)
{
    static const char whole[] = "{\"a\":[1,2,{\"b\":\"x\"}]}";
    size_t n;

    (void)state;
    json_decref(parse(whole));
    refuses(NULL, 0, "doc: empty");
    refuses("", 0, "doc: empty");
    for (n = 1; n < sizeof(whole) - 1; n++) refuses(whole, n, "doc: not JSON");
    refuses("{} x", 4, "doc: not JSON at line 1");
    refuses("{\"a\":1,\"a\":2}", 13, "duplicate");
    refuses("{\"a\":\"\\u0000\"}", 14, "doc: not JSON");
    refuses("{\"a\":\"\xff\"}", 9, "doc: not JSON");
    refuses("{}\0", 3, "doc: not JSON");
    refuses("3", 1, "doc: not JSON");
}

static void fields(void **state)
{
    static const char *const allowed[] = { "a", "b", NULL };
    vp_error err = VP_ERROR_INIT;
    json_t *j = parse("{\"a\":1,\"c\":2}"), *array = parse("[]");

    (void)state;
    assert_int_equal(vpi_json_fields(j, "doc", allowed, &err), VP_E_DATA);
    assert_string_equal(err.message, "doc.c: unknown field");
    vp_error_init(&err);
    assert_int_equal(vpi_json_fields(array, "doc.x[1]", allowed, &err), VP_E_DATA);
    assert_string_equal(err.message, "doc.x[1]: not an object");
    json_object_del(j, "c");
    assert_int_equal(vpi_json_fields(j, "doc", allowed, NULL), VP_OK);
    json_decref(j);
    json_decref(array);
}

static void versions(void **state)
{
    json_t *one = parse("{\"vodpipe\":1}"), *two = parse("{\"vodpipe\":2}"), *none = parse("{}");
    json_t *zero = parse("{\"vodpipe\":0}"), *text = parse("{\"vodpipe\":\"1\"}");
    vp_error err = VP_ERROR_INIT;

    (void)state;
    assert_int_equal(vpi_json_version(one, "doc", true, NULL), VP_OK);
    assert_int_equal(vpi_json_version(two, "doc", true, &err), VP_E_VERSION);
    assert_string_equal(err.reason, "VERSION");
    assert_int_equal(vpi_json_version(none, "doc", true, NULL), VP_E_DATA);
    assert_int_equal(vpi_json_version(none, "doc", false, NULL), VP_OK);
    assert_int_equal(vpi_json_version(zero, "doc", false, NULL), VP_E_DATA);
    assert_int_equal(vpi_json_version(text, "doc", false, NULL), VP_E_DATA);
    json_decref(one);
    json_decref(two);
    json_decref(none);
    json_decref(zero);
    json_decref(text);
}

static void numbers(void **state)
{
    json_t *j = parse(
        "{\"n\":7,\"s\":\"18446744073709551615\",\"over\":\"18446744073709551616\",\"neg\":-1,\"real\":1.5,"
        "\"zeros\":\"007\",\"empty\":\"\",\"min\":\"-9223372036854775808\",\"bad\":\"-9223372036854775809\","
        "\"minus0\":\"-0\",\"space\":\" 1\",\"bool\":true}");
    static const char *const bad[] = { "over", "neg", "real", "zeros", "empty", "space", "bool", "min" };
    static const char *const bad_signed[] = { "s", "real", "zeros", "empty", "bad", "minus0", "bool" };
    uint64_t u = 99;
    uint32_t w = 99;
    int64_t i = 99;
    size_t k;
    vp_error err = VP_ERROR_INIT;

    (void)state;
    assert_int_equal(vpi_json_u64(j, "doc", "n", true, 7, &u, NULL), VP_OK);
    assert_int_equal(u, 7);
    assert_int_equal(vpi_json_u64(j, "doc", "n", true, 6, &u, &err), VP_E_DATA);
    assert_string_equal(err.message, "doc.n: too large");
    assert_int_equal(vpi_json_u64(j, "doc", "s", true, UINT64_MAX, &u, NULL), VP_OK);
    assert_true(u == UINT64_MAX);
    for (k = 0; k < VPI_COUNT(bad); k++) {
        assert_int_equal(vpi_json_u64(j, "doc", bad[k], true, UINT64_MAX, &u, NULL), VP_E_DATA);
    }
    assert_true(u == UINT64_MAX);
    assert_int_equal(vpi_json_u64(j, "doc", "none", false, 1, &u, NULL), VP_OK);
    assert_true(u == UINT64_MAX);
    vp_error_init(&err);
    assert_int_equal(vpi_json_u64(j, "", "none", true, 1, &u, &err), VP_E_DATA);
    assert_string_equal(err.message, "none: missing");

    assert_int_equal(vpi_json_u32(j, "doc", "none", false, 1, &w, NULL), VP_OK);
    assert_int_equal(w, 99);
    assert_int_equal(vpi_json_u32(j, "doc", "s", true, UINT32_MAX, &w, NULL), VP_E_DATA);
    assert_int_equal(vpi_json_u32(j, "doc", "n", true, UINT32_MAX, &w, NULL), VP_OK);
    assert_int_equal(w, 7);

    assert_int_equal(vpi_json_i64(j, "doc", "min", true, &i, NULL), VP_OK);
    assert_true(i == INT64_MIN);
    assert_int_equal(vpi_json_i64(j, "doc", "neg", true, &i, NULL), VP_OK);
    assert_int_equal(i, -1);
    for (k = 0; k < VPI_COUNT(bad_signed); k++) {
        assert_int_equal(vpi_json_i64(j, "doc", bad_signed[k], true, &i, NULL), VP_E_DATA);
    }
    json_decref(j);
}

static void others(void **state)
{
    json_t *j =
        parse("{\"b\":true,\"s\":\"text\",\"r\":\"30000/1001\",\"z\":\"0/1\",\"a\":[1],\"o\":{},"
              "\"r0\":\"1/0\",\"r1\":\"0/2\",\"r2\":\"2147483648/1\",\"r3\":\"30\",\"r4\":\"1/1/1\"}");
    static const char *const bad[] = { "r0", "r1", "r2", "r3", "r4", "s", "b", "a" };
    const json_t *borrowed = j;
    char *text = NULL;
    uint32_t num = 5, den = 6;
    bool b = false;
    size_t k;

    (void)state;
    assert_int_equal(vpi_json_bool(j, "doc", "b", true, &b, NULL), VP_OK);
    assert_true(b);
    assert_int_equal(vpi_json_bool(j, "doc", "s", true, &b, NULL), VP_E_DATA);
    assert_int_equal(vpi_json_str(j, "doc", "r", true, &text, NULL), VP_OK);
    assert_int_equal(vpi_json_str(j, "doc", "s", true, &text, NULL), VP_OK);
    assert_string_equal(text, "text");
    assert_int_equal(vpi_json_str(j, "doc", "b", true, &text, NULL), VP_E_DATA);
    assert_string_equal(text, "text");
    vpi_free(text);
    for (k = 0; k < VPI_COUNT(bad); k++) {
        assert_int_equal(vpi_json_ratio(j, "doc", bad[k], true, &num, &den, NULL), VP_E_DATA);
    }
    assert_int_equal(num, 5);
    assert_int_equal(vpi_json_ratio(j, "doc", "r", true, &num, &den, NULL), VP_OK);
    assert_int_equal(num, 30000);
    assert_int_equal(den, 1001);
    assert_int_equal(vpi_json_ratio(j, "doc", "z", true, &num, &den, NULL), VP_OK);
    assert_int_equal(num, 0);
    assert_int_equal(vpi_json_array(j, "doc", "a", true, &borrowed, NULL), VP_OK);
    assert_int_equal(json_array_size(borrowed), 1);
    assert_int_equal(vpi_json_array(j, "doc", "o", true, &borrowed, NULL), VP_E_DATA);
    assert_null(borrowed);
    assert_int_equal(vpi_json_object(j, "doc", "o", true, &borrowed, NULL), VP_OK);
    assert_non_null(borrowed);
    assert_int_equal(vpi_json_object(j, "doc", "a", true, &borrowed, NULL), VP_E_DATA);
    assert_int_equal(vpi_json_object(j, "doc", "none", false, &borrowed, NULL), VP_OK);
    assert_null(borrowed);
    json_decref(j);
}

static void dumps(const json_t *j, bool pretty, const char *expected)
{
    vpi_buf b = { 0 };

    assert_int_equal(pretty ? vpi_json_dump_pretty(j, &b, NULL) : vpi_json_dump(j, &b, NULL), VP_OK);
    assert_int_equal(b.size, strlen(expected));
    assert_memory_equal(b.data, expected, b.size);
    vpi_buf_dispose(&b);
}

static void writing(void **state)
{
    json_t *j = json_object();

    (void)state;
    assert_true(vpi_json_set_u64(j, "z", ((uint64_t)1 << 53) - 1));
    assert_true(vpi_json_set_u64(j, "big", (uint64_t)1 << 53));
    assert_true(vpi_json_set_u64s(j, "s", 5));
    assert_true(vpi_json_set_i64(j, "i", -5));
    assert_true(vpi_json_set_bool(j, "b", true));
    assert_true(vpi_json_set_ratio(j, "r", 30000, 1001));
    dumps(j, false,
          "{\"z\":9007199254740991,\"big\":\"9007199254740992\",\"s\":\"5\",\"i\":-5,\"b\":true,"
          "\"r\":\"30000/1001\"}");
    json_object_clear(j);
    assert_true(vpi_json_set_str(j, "t", "a/\"\n"));
    dumps(j, true, "{\n  \"t\": \"a/\\\"\\n\"\n}\n");
    json_decref(j);
}

static void broken_utf8(void **state)
{
    static const char *const cases[][2] = {
        { "gr\xC3\xBC\xC3\x9F", "gr\xC3\xBC\xC3\x9F" },
        { "a\xFFz", "a\xEF\xBF\xBDz" },
        { "a\xC3", "a\xEF\xBF\xBD" },               /* cut */
        { "\xC0\xAF", "\xEF\xBF\xBD\xEF\xBF\xBD" }, /* longer than needed */
        { "\xE0\x80\xAF", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD" },
        { "\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD" }, /* surrogate */
        { "\xF4\x90\x80\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD" },
        { "\xF0\x9F\x8E\xAC", "\xF0\x9F\x8E\xAC" },
    };
    size_t i;

    (void)state;
    for (i = 0; i < VPI_COUNT(cases); i++) {
        json_t *j = json_object();

        assert_true(vpi_json_set_str(j, "t", cases[i][0]));
        assert_string_equal(json_string_value(json_object_get(j, "t")), cases[i][1]);
        json_decref(j);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parsing),     cmocka_unit_test(fields), cmocka_unit_test(versions),
        cmocka_unit_test(numbers),     cmocka_unit_test(others), cmocka_unit_test(writing),
        cmocka_unit_test(broken_utf8),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
