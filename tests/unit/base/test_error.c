/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "test.h"

#include <errno.h>

#include "base/error.h"

static void names(void **state)
{
    (void)state;
    assert_string_equal(vp_status_name(VP_OK), "OK");
    assert_string_equal(vp_status_name(VP_AGAIN), "AGAIN");
    assert_string_equal(vp_status_name(VP_END), "END");
    assert_string_equal(vp_status_name(VP_E_ARG), "ARG");
    assert_string_equal(vp_status_name(VP_E_UNSUPPORTED), "UNSUPPORTED");
    assert_string_equal(vp_status_name(VP_E_CONFLICT), "CONFLICT");
    assert_string_equal(vp_status_name(VP_E_INTERNAL), "INTERNAL");
    assert_string_equal(vp_status_name(-14), "UNKNOWN");
    assert_string_equal(vp_status_name(3), "UNKNOWN");
    assert_string_equal(vp_status_name(INT32_MIN), "UNKNOWN");
}

static void init_twins(void **state)
{
    vp_error a = VP_ERROR_INIT, b;

    (void)state;
    memset(&b, 0xAA, sizeof(b));
    vp_error_init(&b);
    assert_memory_equal(&a, &b, sizeof(a));
    vp_error_init(NULL);
}

static void first_stays(void **state)
{
    vp_error e = VP_ERROR_INIT;

    (void)state;
    assert_int_equal(vpi_fail(&e, VP_E_DATA, "INPUT_TRUNCATED", "cut at %d\n", 5), VP_E_DATA);
    assert_string_equal(e.message, "cut at 5 ");
    assert_int_equal(vpi_fail(&e, VP_E_IO, NULL, "later"), VP_E_IO);
    assert_int_equal(vpi_fail_errno(&e, ENOSPC, "k", "w"), VP_E_IO);
    assert_int_equal(vp_error_set(&e, VP_E_AUTH, "X", 1, "m"), VP_E_AUTH);
    assert_int_equal(e.status, VP_E_DATA);
    assert_string_equal(e.reason, "INPUT_TRUNCATED");
    vpi_error_op(&e, "a");
    vpi_error_op(&e, "b");
    vpi_error_key(&e, "k1");
    vpi_error_key(&e, "k2");
    assert_string_equal(e.op, "a");
    assert_string_equal(e.key, "k1");
    assert_int_equal(vpi_fail(NULL, VP_E_IO, NULL, "x"), VP_E_IO);
}

static void reasons(void **state)
{
    vp_error e = VP_ERROR_INIT;

    (void)state;
    vpi_fail(&e, VP_E_IO, NULL, "x");
    assert_string_equal(e.reason, "IO_ERROR");
    vp_error_init(&e);
    vpi_fail(&e, VP_E_STATE, NULL, "x");
    assert_string_equal(e.reason, "STATE");
    vp_error_init(&e);
    vpi_fail_errno(&e, ENOSPC, "key", "writing failed");
    assert_string_equal(e.reason, "DISK_FULL");
    assert_string_equal(e.message, "writing failed: No space left on device");
    assert_string_equal(e.key, "key");
    assert_int_equal(e.native, ENOSPC);
    assert_int_equal(e.domain, VP_DOM_ERRNO);
    assert_true(e.flags & VP_ERRF_RETRYABLE);
    vp_error_init(&e);
    vpi_fail_errno(&e, ENOENT, NULL, "x");
    assert_string_equal(e.reason, "IO_ERROR");
    assert_false(e.flags & VP_ERRF_RETRYABLE);
    vp_error_init(&e);
    vpi_fail_errno(&e, 9999, NULL, "x");
    assert_string_equal(e.message, "x: error 9999");
}

static void long_texts(void **state)
{
    vp_error e = VP_ERROR_INIT;
    char text[1001];
    size_t i;

    (void)state;
    for (i = 0; i < 1000; i += 2) memcpy(text + i, "\xC3\xA9", 2);
    text[1000] = 0;
    vpi_fail(&e, VP_E_DATA, text, "%s", text);
    assert_int_equal(strlen(e.message), sizeof(e.message) - 2);
    assert_int_equal(strlen(e.reason), sizeof(e.reason) - 2);
}

static void hosts(void **state)
{
    vp_error e = VP_ERROR_INIT;

    (void)state;
    /* Filled by the host: travels untouched. */
    assert_int_equal(vp_error_set(&e, VP_E_AUTH, "MY_REASON", 4711, "no entry"), VP_E_AUTH);
    assert_int_equal(vpi_fail_host(&e, VP_E_AUTH, "read_at"), VP_E_AUTH);
    assert_string_equal(e.reason, "MY_REASON");
    assert_string_equal(e.message, "no entry");
    assert_int_equal(e.native, 4711);
    assert_int_equal(e.domain, VP_DOM_HOST);
    assert_true(e.flags & VP_ERRF_FROM_HOST);
    /* Not filled. */
    vp_error_init(&e);
    assert_int_equal(vpi_fail_host(&e, VP_E_IO, "read_at"), VP_E_IO);
    assert_string_equal(e.reason, "HOST");
    assert_int_equal(e.status, VP_E_IO);
    assert_int_equal(e.native, VP_E_IO);
    assert_true(e.flags & VP_ERRF_FROM_HOST);
    assert_non_null(strstr(e.message, "read_at"));
    /* Numbers that are no status. */
    vp_error_init(&e);
    assert_int_equal(vpi_fail_host(&e, -77, "x"), VP_E_HOST);
    assert_int_equal(e.native, -77);
    vp_error_init(&e);
    assert_int_equal(vpi_fail_host(&e, 5, "x"), VP_E_HOST);
    assert_int_equal(e.native, 5);
    assert_int_equal(vpi_fail_host(NULL, -77, "x"), VP_E_HOST);
    vp_error_init(&e);
    assert_int_equal(vp_error_set(&e, 0, "", 3, NULL), VP_E_HOST);
    assert_string_equal(e.reason, "HOST");
    assert_int_equal(vp_error_set(NULL, VP_E_DATA, NULL, 0, NULL), VP_E_DATA);
}

static void copies(void **state)
{
    vp_error a = VP_ERROR_INIT, b = VP_ERROR_INIT;

    (void)state;
    vpi_fail(&a, VP_E_DATA, "R", "m");
    vpi_error_copy(&b, &a);
    assert_memory_equal(&a, &b, sizeof(a));
    vpi_error_copy(NULL, &a);
    vpi_error_copy(&b, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),   cmocka_unit_test(init_twins), cmocka_unit_test(first_stays),
        cmocka_unit_test(reasons), cmocka_unit_test(long_texts), cmocka_unit_test(hosts),
        cmocka_unit_test(copies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
