/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/fault.h"
#include "crypt/crypt_int.h"

#define KID "000102030405060708090a0b0c0d0e0f"
#define KEY "00112233445566778899aabbccddeeff"
#define OTHER "ffeeddccbbaa99887766554433221100"
/* Widevine, version 0, no data. */
#define BOX "AAAAIHBzc2gAAAAA7e+LqXnWSs6jyCfc1R0h7QAAAAA="

static vp_status parse(const char *text, vpi_key_list *list, vp_error *err)
{
    size_t size = strlen(text);
    char *exact = malloc(size ? size : 1);
    vp_status st;

    assert_non_null(exact);
    memcpy(exact, text, size);
    vp_error_init(err);
    st = vpi_key_file_parse(exact, size, list, err);
    free(exact);
    return st;
}

static const char whole[] =
    "{\"vodpipe\":1,\"keys\":[{\"label\":\"*\",\"kid\":\"00010203-0405-0607-0809-0A0B0C0D0E0F\",\"key\" : "
    "\"" KEY "\",\"iv\":\"F0f1f2f3f4f5f6f7f8f9fafbfcfdfeff\"},{\"key\":\"" OTHER "\",\"label\":\"hd\"},"
    "{\"label\":\"hd\",\"key\":\n\t\"" KEY "\"}],\"uri\":\"https://k/{kid}/{n}\","
    "\"drm\":[{\"system\":\"widevine\",\"pssh\":\"" BOX
    "\"},{\"system\":\"fairplay\",\"uri\":\"skd://{kid}\"},"
    "{\"system\":\"E2719D58-a985-b3c9-781a-b030af78d30e\",\"laurl\":\"https://l\"}]}";

static void whole_file(void **state)
{
    static const uint8_t key[16] = { 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
                                     0x88, 0x99, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF };
    vp_error err = VP_ERROR_INIT;
    vpi_key_list list;

    (void)state;
    assert_int_equal(parse(whole, &list, &err), VP_OK);
    assert_int_equal(list.count, 3);
    assert_string_equal(list.keys[0].label, "*");
    assert_memory_equal(list.keys[0].key, key, 16);
    assert_true(list.keys[0].info.has_kid);
    assert_int_equal(list.keys[0].info.kid[15], 15);
    assert_true(list.keys[0].info.has_iv);
    assert_int_equal(list.keys[0].info.iv[0], 0xF0);
    assert_string_equal(list.keys[1].label, "hd");
    assert_int_equal(list.keys[1].period, 0);
    assert_int_equal(list.keys[1].key[0], 0xFF);
    assert_false(list.keys[1].info.has_kid);
    assert_int_equal(list.keys[2].period, 1);
    assert_memory_equal(list.keys[2].key, key, 16);
    assert_string_equal(list.common.uri, "https://k/{kid}/{n}");
    assert_int_equal(list.common.drm_count, 3);
    assert_int_equal(list.common.drm[0].pssh_size, 32);
    assert_string_equal(list.common.drm[1].uri, "skd://{kid}");
    assert_memory_equal(list.common.drm[2].system, vpi_system_clearkey, 16);
    assert_string_equal(list.common.drm[2].laurl, "https://l");
    vpi_key_list_dispose(&list);
    assert_null(list.keys);
    vpi_key_list_dispose(&list);
}

/* A key in a message would be in a log. */
static void without_keys(const vp_error *err)
{
    assert_null(strstr(err->message, "0011"));
    assert_null(strstr(err->message, "2233"));
    assert_null(strstr(err->message, "eeff"));
    assert_null(strstr(err->message, "ffee"));
}

static void refuses(const char *text, const char *message)
{
    vp_error err = VP_ERROR_INIT;
    vpi_key_list list;

    assert_int_equal(parse(text, &list, &err), VP_E_AUTH);
    if (!strstr(err.message, message)) assert_string_equal(err.message, message);
    assert_string_equal(err.reason, strstr(message, "no key") ? "KEY_MISSING" : "KEY_INVALID");
    without_keys(&err);
    assert_int_equal(list.count, 0);
    assert_null(list.keys);
    assert_int_equal(list.common.drm_count, 0);
}

#define ONE(fields) "{\"keys\":[{\"label\":\"hd\"" fields "}]}"

static void keys_refused(void **state)
{
    (void)state;
    refuses("", "key file: empty");
    refuses("[]", "key file: not");
    refuses("{", "not JSON at line 1");
    refuses("{\"keys\":[{\"label\":\"hd\",\"key\":\"" KEY "\"}", "not JSON");
    refuses("{\"keys\":[{\"label\":\"hd\",\"key\":\"" KEY, "not JSON");
    refuses("{\"keys\":[{\"label\":\"hd\",\"key\":" KEY "}]}", "not JSON");
    refuses("{}", "no key");
    refuses("{\"keys\":[]}", "no key");
    refuses("{\"keys\":{}}", "key file.keys: not an array");
    refuses("{\"keys\":[1]}", "keys[0]: not an object");
    refuses("{\"vodpipe\":2,\"keys\":[]}", "key file.vodpipe: not 1");
    refuses("{\"secret\":1}", "key file.secret: unknown field");
    refuses("{\"" KEY "\":1}", "key file: a field of an unknown name");
    refuses(ONE(""), "keys[0].key: missing");
    refuses(ONE(",\"key\":7"), "keys[0].key: not a string");
    refuses(ONE(",\"key\":\"001122\""), "keys[0].key: not 32 hex digits");
    refuses(ONE(",\"key\":\"" KEY "0\""), "keys[0].key: not 32 hex digits");
    refuses(ONE(",\"key\":\"0011223344556677 899aabbccddeeff\""), "keys[0].key: not 32 hex digits");
    refuses(ONE(",\"key\":\"" KEY "\",\"key\":\"" KEY "\""), "not JSON");
    /* Written in another way the name is not seen, and what stands there is not the place of a key. */
    refuses(ONE(",\"k\\u0065y\":\"" KEY "\""), "keys[0].key: not 32 hex digits");
    refuses(ONE(",\"k\\u0065y\":\"00000000000000000000000000000000\""), "keys[0].key: not 32 hex digits");
    refuses(ONE(",\"k\\u0065y\":\"00000000000000000000000000000099\""), "keys[0].key: not 32 hex digits");
    refuses(ONE(",\"key\":\"" KEY "\",\"kid\":\"0001\""), "keys[0].kid: not 32 hex digits");
    refuses(ONE(",\"key\":\"" KEY "\",\"iv\":\"" KID "00\""), "keys[0].iv: not 32 hex digits");
    refuses(ONE(",\"key\":\"" KEY "\",\"name\":\"x\""), "keys[0].name: unknown field");
    refuses("{\"keys\":[{\"label\":\"4k\",\"key\":\"" KEY "\"}]}", "keys[0].label: not");
    refuses("{\"keys\":[{\"key\":\"" KEY "\"}]}", "keys[0].label: missing");
    refuses("{\"keys\":[{\"label\":\"hd\",\"kid\":\"" KID "\",\"key\":\"" KEY
            "\"},{\"label\":\"sd\",\"kid\":\"" KID "\",\"key\":\"" OTHER "\"}]}",
            "kid 00010203-0405-0607-0809-0a0b0c0d0e0f: two different keys");
}

#define WITH(fields) "{\"keys\":[{\"label\":\"*\",\"key\":\"" KEY "\"}]," fields "}"

static void common_refused(void **state)
{
    vpi_buf b = { 0 };
    char *text;

    (void)state;
    refuses(WITH("\"uri\":7"), "key file.uri: not a string");
    refuses(WITH("\"uri\":\"\""), "key file.uri: empty");
    refuses(WITH("\"uri\":\"a\\\"b\""), "key file.uri: not printable");
    refuses(WITH("\"uri\":\"a b\""), "key file.uri: not printable");
    refuses(WITH("\"uri\":\"\xc3\xa4\""), "key file.uri: not printable");
    refuses(WITH("\"drm\":{}"), "key file.drm: not an array");
    refuses(WITH("\"drm\":[{}]"), "drm[0].system: missing");
    refuses(WITH("\"drm\":[{\"system\":\"marlin\"}]"), "drm[0].system: neither");
    refuses(WITH("\"drm\":[{\"system\":\"common\",\"key\":\"" KEY "\"}]"), "drm[0].key: unknown field");
    refuses(WITH("\"drm\":[{\"system\":\"common\"},{\"system\":\"1077efec-c0b2-4d02-ace3-3c1e52e2fb4b\"}]"),
            "drm[1].system: given twice");
    refuses(WITH("\"drm\":[{\"system\":\"widevine\",\"pssh\":\"AAA\"}]"), "drm[0].pssh: not base64");
    refuses(WITH("\"drm\":[{\"system\":\"widevine\",\"pssh\":\"AAAA\"}]"), "not one whole 'pssh' box");
    refuses(WITH("\"drm\":[{\"system\":\"playready\",\"pssh\":\"" BOX "\"}]"), "a box of another system");
    refuses(WITH("\"drm\":[{\"system\":\"clearkey\",\"laurl\":\"\"}]"), "drm[0].laurl: empty");
    vpi_buf_str(&b, "{\"keys\":[{\"label\":\"*\",\"key\":\"" KEY "\"}],\"uri\":\"");
    for (int i = 0; i < 2049; i++) vpi_buf_u8(&b, 'u');
    vpi_buf_str(&b, "\"}");
    text = vpi_buf_steal_string(&b);
    refuses(text, "key file.uri: empty or longer than 2048 bytes");
    vpi_free(text);
    vpi_buf_str(&b, "{\"keys\":[],\"drm\":[");
    for (int i = 0; i < 17; i++) vpi_buf_printf(&b, "%s{\"system\":\"%032d\"}", i ? "," : "", i);
    vpi_buf_str(&b, "]}");
    text = vpi_buf_steal_string(&b);
    refuses(text, "key file.drm: more than 16");
    vpi_free(text);
}

/* Every beginning of a document, and every byte of it replaced by another, is refused or read; with a sanitizer. */
static void broken(void **state)
{
    vp_error err = VP_ERROR_INIT;
    vpi_key_list list;
    char text[sizeof(whole)];

    (void)state;
    for (size_t n = 0; n < sizeof(whole) - 1; n++) {
        memcpy(text, whole, sizeof(whole));
        text[n] = 0;
        assert_int_equal(parse(text, &list, &err), VP_E_AUTH);
        without_keys(&err);
        memcpy(text, whole, sizeof(whole));
        text[n] = '"';
        if (parse(text, &list, &err) != VP_OK) without_keys(&err);
        vpi_key_list_dispose(&list);
    }
}

static void common_only(void **state)
{
    vp_error err = VP_ERROR_INIT;
    vpi_key_list list;
    static const char document[] = "{\"uri\":\"https://k\",\"drm\":[{\"system\":\"common\"}]}";

    (void)state;
    assert_int_equal(vpi_key_common_parse(document, strlen(document), &list, &err), VP_OK);
    assert_string_equal(list.common.uri, "https://k");
    assert_int_equal(list.common.drm_count, 1);
    vpi_key_list_dispose(&list);
    assert_int_equal(vpi_key_common_parse(whole, strlen(whole), &list, &err), VP_E_AUTH);
    assert_string_equal(err.message, "key file.keys: unknown field");
}

static void old_fairplay(void **state)
{
    vp_error err = VP_ERROR_INIT;
    vpi_key_list list;

    (void)state;
    assert_int_equal(
        parse(WITH("\"drm\":[{\"system\":\"29701fe4-3cc7-4a34-8c5b-ae90c7439a47\",\"uri\":\"skd://a\"}]"),
              &list, &err),
        VP_OK);
    assert_memory_equal(list.common.drm[0].system, vpi_system_fairplay, 16);
    vpi_key_list_dispose(&list);
}

/* Rotation: many periods, in little time. */
static void many(void **state)
{
    vp_error err = VP_ERROR_INIT;
    vpi_key_list list;
    vpi_buf b = { 0 };
    char *text;

    (void)state;
    vpi_buf_str(&b, "{\"keys\":[");
    for (uint32_t i = 0; i < VPI_KEY_PERIODS_MAX; i++) {
        vpi_buf_printf(&b, "%s{\"label\":\"sd\",\"kid\":\"%032x\",\"key\":\"%032x\"}", i ? "," : "",
                       (unsigned)i, (unsigned)i + 1);
    }
    vpi_buf_str(&b, "]}");
    text = vpi_buf_steal_string(&b);
    assert_int_equal(parse(text, &list, &err), VP_OK);
    assert_int_equal(list.count, VPI_KEY_PERIODS_MAX);
    assert_int_equal(list.keys[99999].period, 99999);
    assert_int_equal(list.keys[99999].key[15], 100000 & 0xFF);
    vpi_key_list_dispose(&list);
    vpi_free(text);
    for (uint32_t i = 0; i <= VPI_KEY_PERIODS_MAX; i++) {
        vpi_buf_printf(&b, "%s{\"label\":\"sd\",\"key\":\"%032x\"}", i ? "," : "{\"keys\":[", 1u);
    }
    vpi_buf_str(&b, "]}");
    text = vpi_buf_steal_string(&b);
    assert_int_equal(parse(text, &list, &err), VP_E_AUTH);
    assert_string_equal(err.message, "keys[100000]: more than 100000 keys of one label");
    vpi_free(text);
}

static void no_memory(void **state)
{
    vp_error err = VP_ERROR_INIT;
    vpi_key_list list;
    vp_status st;
    long n;

    (void)state;
    for (n = 1; n < 500; n++) {
        vp_error_init(&err);
        vpi_alloc_fail_at = n;
        st = vpi_key_file_parse(whole, strlen(whole), &list, &err);
        if (vpi_alloc_fail_at > 0) break;
        assert_int_equal(st, VP_E_NOMEM);
        assert_null(list.keys);
    }
    vpi_alloc_fail_at = 0;
    assert_int_equal(st, VP_OK);
    assert_true(n > 5);
    vpi_key_list_dispose(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_file), cmocka_unit_test(keys_refused), cmocka_unit_test(common_refused),
        cmocka_unit_test(broken),     cmocka_unit_test(common_only),  cmocka_unit_test(old_fairplay),
        cmocka_unit_test(many),       cmocka_unit_test(no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
