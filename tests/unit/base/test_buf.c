/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "test.h"

#include "base/buf.h"
#include "base/fault.h"

static void numbers(void **state)
{
    static const uint8_t want[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18 };
    vpi_buf b = { 0 };

    (void)state;
    vpi_buf_u8(&b, 0x101);
    vpi_buf_be16(&b, 0x0203);
    vpi_buf_be24(&b, 0x040506);
    vpi_buf_be32(&b, 0x0708090A);
    vpi_buf_be64(&b, UINT64_C(0x0B0C0D0E0F101112));
    assert_int_equal(b.size, sizeof(want));
    assert_memory_equal(b.data, want, sizeof(want));
    vpi_buf_patch_be32(&b, 14, 0xA0B0C0D0);
    assert_int_equal(vpi_rd32(b.data + 14), 0xA0B0C0D0);
    assert_int_equal(vpi_rd16(b.data), 0x0102);
    assert_true(vpi_rd64(b.data) == UINT64_C(0x0102030405060708));
    assert_false(vpi_buf_failed(&b));
    vpi_buf_patch_be32(&b, 15, 0);
    assert_true(vpi_buf_failed(&b));
    vpi_buf_clear(&b);
    assert_false(vpi_buf_failed(&b));
    assert_int_equal(b.size, 0);
    vpi_buf_dispose(&b);
    vpi_buf_dispose(&b);
}

static void texts(void **state)
{
    vpi_buf b = { 0 };
    char big[1000], *s;
    uint8_t *p;

    (void)state;
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = 0;
    vpi_buf_str(&b, "a=");
    vpi_buf_printf(&b, "%d,%s,%llu", -5, big, 18446744073709551615ull);
    p = vpi_buf_space(&b, 3);
    assert_non_null(p);
    assert_memory_equal(p, "\0\0\0", 3);
    memcpy(p, "end", 3);
    s = vpi_buf_steal_string(&b);
    assert_int_equal(strlen(s), 2 + 3 + 999 + 1 + 20 + 3);
    assert_memory_equal(s, "a=-5,xxx", 8);
    assert_string_equal(s + strlen(s) - 9, "551615end");
    vpi_free(s);
    assert_null(b.data);
    assert_non_null(vpi_buf_space(&b, 0));
    vpi_buf_dispose(&b);
    s = vpi_buf_steal_string(&b);
    assert_string_equal(s, "");
    vpi_free(s);
}

static void failures(void **state)
{
    vpi_buf b = { 0 };
    vp_bytes *bytes = NULL;
    vp_error err = VP_ERROR_INIT;

    (void)state;
    assert_false(vpi_buf_reserve(&b, SIZE_MAX));
    assert_true(vpi_buf_failed(&b));
    vpi_buf_u8(&b, 1);
    assert_int_equal(b.size, 0);
    assert_null(vpi_buf_space(&b, 1));
    assert_int_equal(vpi_bytes_from_buf(&b, &bytes, &err), VP_E_NOMEM);
    assert_string_equal(err.reason, "NOMEM");
    assert_null(bytes);
    assert_false(vpi_buf_failed(&b));
    vpi_buf_str(&b, "abc");
    atomic_store(&vpi_alloc_fail_at, 1);
    assert_null(vpi_buf_space(&b, 100000));
    assert_null(vpi_buf_steal_string(&b));
    atomic_store(&vpi_alloc_fail_at, 1);
    assert_int_equal(vpi_bytes_copy("abc", 3, &bytes, NULL), VP_E_NOMEM);
    atomic_store(&vpi_alloc_fail_at, 2);
    assert_int_equal(vpi_bytes_copy("abc", 3, &bytes, NULL), VP_E_NOMEM);
    atomic_store(&vpi_alloc_fail_at, 0);
}

static void bytes_handles(void **state)
{
    vp_bytes *a = NULL, *b;
    vpi_buf buf = { 0 };

    (void)state;
    assert_int_equal(vpi_bytes_copy("abc", 3, &a, NULL), VP_OK);
    assert_int_equal(vp_bytes_size(a), 3);
    assert_string_equal(vp_bytes_data(a), "abc");
    b = vp_bytes_ref(a);
    assert_null(vp_bytes_unref(a));
    assert_string_equal(vp_bytes_data(b), "abc");
    vp_bytes_unref(b);
    assert_int_equal(vpi_bytes_copy(NULL, 0, &a, NULL), VP_OK);
    assert_int_equal(vp_bytes_size(a), 0);
    assert_non_null(vp_bytes_data(a));
    vp_bytes_unref(a);
    vpi_buf_str(&buf, "from a buffer");
    assert_int_equal(vpi_bytes_from_buf(&buf, &a, NULL), VP_OK);
    assert_string_equal(vp_bytes_data(a), "from a buffer");
    assert_null(buf.data);
    vp_bytes_unref(a);
    assert_null(vp_bytes_unref(NULL));
    assert_null(vp_bytes_ref(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers),
        cmocka_unit_test(texts),
        cmocka_unit_test(failures),
        cmocka_unit_test(bytes_handles),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
