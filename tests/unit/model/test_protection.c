/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/fault.h"
#include "model/json.h"
#include "model/protection.h"

#define KID "\"kid\":\"000102030405060708090a0b0c0d0e0f\""
#define KEYS "\"keys\":[{" KID "}]"

static void words(void **state)
{
    vpi_scheme s = VPI_SCHEME_NONE;
    uint8_t id[16];

    (void)state;
    assert_string_equal(vpi_scheme_word(VPI_SCHEME_CBCS), "cbcs");
    assert_string_equal(vpi_scheme_word((vpi_scheme)99), "none");
    assert_true(vpi_scheme_from_word("aes128", &s));
    assert_int_equal(s, VPI_SCHEME_AES128);
    assert_false(vpi_scheme_from_word("cens", &s));
    assert_false(vpi_scheme_from_word(NULL, &s));
    assert_int_equal(s, VPI_SCHEME_AES128);
    assert_true(vpi_system_from_word("playready", id));
    assert_memory_equal(id, vpi_system_playready, 16);
    assert_string_equal(vpi_system_word(id), "playready");
    id[0] ^= 1;
    assert_null(vpi_system_word(id));
    assert_false(vpi_system_from_word("Widevine", id));
}

static void texts(void **state)
{
    uint8_t id[16], pair[2];
    char text[VPI_UUID_TEXT];

    (void)state;
    assert_true(vpi_uuid_parse("EDEF8BA9-79d6-4ace-a3c8-27dcd51d21ed", id));
    assert_memory_equal(id, vpi_system_widevine, 16);
    vpi_uuid_text(id, text);
    assert_string_equal(text, "edef8ba9-79d6-4ace-a3c8-27dcd51d21ed");
    assert_true(vpi_uuid_parse("edef8ba979d64acea3c827dcd51d21ed", id));
    assert_false(vpi_uuid_parse("edef8ba9-79d64ace-a3c8-27dcd51d21ed", id));
    assert_false(vpi_uuid_parse("edef8ba97-9d6-4ace-a3c8-27dcd51d21ed", id));
    assert_false(vpi_uuid_parse("edef8ba9-79d6-4ace-a3c8-27dcd51d21e-", id));
    assert_false(vpi_uuid_parse("", id));
    assert_true(vpi_hex_parse("aBc0", pair, 2));
    assert_int_equal(pair[0] << 8 | pair[1], 0xABC0);
    assert_false(vpi_hex_parse("abc", pair, 2));
    assert_false(vpi_hex_parse("abc0a", pair, 2));
    assert_false(vpi_hex_parse("abg0", pair, 2));
    assert_false(vpi_hex_parse(" bc0", pair, 2));
}

/* RFC 4648 10. */
static void base64(void **state)
{
    static const char *const plain[] = { "", "f", "fo", "foo", "foob", "fooba", "foobar" };
    static const char *const coded[] = { "", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy" };
    static const char *const bad[] = { "Zg=",      "Zg",   "Z===",  "====", "Zh==",  "Zm9=",
                                       "Zg==Zg==", "Zm 9", "Zm9\n", "Zm-v", "Zm9v\n" };
    vpi_buf b = { 0 };
    size_t i;

    (void)state;
    for (i = 0; i < VPI_COUNT(plain); i++) {
        vpi_buf_clear(&b);
        vpi_base64_add(&b, plain[i], strlen(plain[i]));
        assert_int_equal(b.size, strlen(coded[i]));
        assert_memory_equal(b.size ? b.data : (const uint8_t *)"", coded[i], b.size);
        vpi_buf_clear(&b);
        assert_true(vpi_base64_decode(coded[i], strlen(coded[i]), &b));
        assert_int_equal(b.size, strlen(plain[i]));
        assert_memory_equal(b.size ? b.data : (const uint8_t *)"", plain[i], b.size);
    }
    for (i = 0; i < VPI_COUNT(bad); i++) assert_false(vpi_base64_decode(bad[i], strlen(bad[i]), &b));
    vpi_buf_clear(&b);
    assert_true(vpi_base64_decode("+/+/", 4, &b));
    assert_memory_equal(b.data, "\xfb\xff\xbf", 3);
    vpi_buf_dispose(&b);
}

static void key_of_a_segment(void **state)
{
    vpi_protection p = { .scheme = VPI_SCHEME_CBCS, .clear_segments = 2, .rotation = 5 };

    (void)state;
    assert_null(vpi_protection_key(&p, 7));
    assert_non_null(vpi_protection_add_key(&p));
    assert_non_null(vpi_protection_add_key(&p));
    assert_null(vpi_protection_key(&p, 0));
    assert_null(vpi_protection_key(&p, 1));
    assert_ptr_equal(vpi_protection_key(&p, 2), &p.keys[0]);
    assert_ptr_equal(vpi_protection_key(&p, 4), &p.keys[0]);
    assert_ptr_equal(vpi_protection_key(&p, 5), &p.keys[1]);
    /* Never clear by a slip. */
    assert_ptr_equal(vpi_protection_key(&p, UINT64_MAX), &p.keys[1]);
    p.rotation = 0;
    assert_ptr_equal(vpi_protection_key(&p, 1000), &p.keys[0]);
    p.scheme = VPI_SCHEME_NONE;
    assert_null(vpi_protection_key(&p, 7));
    vpi_protection_dispose(&p);
    vpi_protection_dispose(&p);
}

static const char whole[] =
    "{\"scheme\":\"cbcs\",\"label\":\"hd\",\"clear_segments\":2,\"rotation\":5,\"keys\":[{"
    "\"kid\":\"000102030405060708090a0b0c0d0e0f\",\"iv\":\"f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff\","
    "\"uri\":\"https://k/"
    "1\",\"check\":\"0011223344556677\",\"drm\":[{\"system\":\"widevine\",\"pssh\":\"AAAACA==\"},"
    "{\"system\":\"fairplay\",\"uri\":\"skd://1\"},"
    "{\"system\":\"00000000-0000-0000-0000-000000000001\",\"laurl\":\"https://l\"}]},"
    "{\"kid\":\"100102030405060708090a0b0c0d0e0f\",\"check\":\"8899aabbccddeeff\"}]}";

static vp_status read_text(const char *text, bool check, vpi_protection *p, vp_error *err)
{
    json_t *j = NULL;
    vp_status st;

    vp_error_init(err);
    assert_int_equal(vpi_json_parse(text, strlen(text), "doc", &j, err), VP_OK);
    st = vpi_protection_from_json(j, "p", check, p, err);
    json_decref(j);
    return st;
}

static void written(const vpi_protection *p, bool check, const char *expected)
{
    json_t *j = vpi_protection_to_json(p, check);
    vpi_buf b = { 0 };

    assert_non_null(j);
    assert_int_equal(vpi_json_dump(j, &b, NULL), VP_OK);
    assert_int_equal(b.size, strlen(expected));
    assert_memory_equal(b.data, expected, b.size);
    vpi_buf_dispose(&b);
    json_decref(j);
}

static void round_trip(void **state)
{
    vp_error err = VP_ERROR_INIT;
    vpi_protection p, copy;
    vpi_key_info key;

    (void)state;
    assert_int_equal(read_text(whole, true, &p, &err), VP_OK);
    assert_int_equal(p.scheme, VPI_SCHEME_CBCS);
    assert_string_equal(p.label, "hd");
    assert_int_equal(p.key_count, 2);
    assert_true(p.keys[0].has_iv);
    assert_false(p.keys[1].has_iv);
    assert_int_equal(p.keys[0].drm_count, 3);
    assert_memory_equal(p.keys[0].drm[1].system, vpi_system_fairplay, 16);
    written(&p, true, whole);
    assert_int_equal(vpi_protection_copy(&copy, &p, &err), VP_OK);
    vpi_protection_dispose(&p);
    written(&copy, true, whole);
    assert_int_equal(vpi_key_info_copy(&key, &copy.keys[0], &err), VP_OK);
    vpi_protection_dispose(&copy);
    assert_string_equal(key.drm[2].laurl, "https://l");
    assert_int_equal(key.drm[0].pssh_size, 4);
    vpi_key_info_dispose(&key);
}

static void forms(void **state)
{
    static const char small[] = "{\"scheme\":\"aes128\",\"label\":\"audio\",\"keys\":[{}]}";
    vp_error err = VP_ERROR_INIT;
    vpi_protection p = { .scheme = VPI_SCHEME_NONE };
    json_t *j = vpi_protection_to_json(&p, false);

    (void)state;
    assert_true(json_is_null(j));
    json_decref(j);
    assert_int_equal(vpi_protection_from_json(NULL, "p", false, &p, &err), VP_OK);
    assert_int_equal(p.scheme, VPI_SCHEME_NONE);
    assert_int_equal(read_text(small, false, &p, &err), VP_OK);
    written(&p, false, small);
    vpi_protection_dispose(&p);
}

static void refusals(void **state)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        { "[]", "p: not an object" },
        { "{\"scheme\":\"cens\",\"label\":\"hd\"," KEYS "}", "p.scheme: not aes128, cenc or cbcs" },
        { "{\"scheme\":\"none\",\"label\":\"hd\"," KEYS "}", "p.scheme: not" },
        { "{\"scheme\":\"cenc\"," KEYS "}", "p.label: missing" },
        { "{\"scheme\":\"cenc\",\"label\":\"*\"," KEYS "}", "p.label: not audio" },
        { "{\"scheme\":\"cenc\",\"label\":\"hd\"}", "p.keys: missing" },
        { "{\"scheme\":\"cenc\",\"label\":\"hd\",\"keys\":[]}", "p.keys: empty" },
        { "{\"scheme\":\"cenc\",\"label\":\"hd\",\"keys\":[{}]}", "p.keys[0].kid: missing" },
        { "{\"scheme\":\"cenc\",\"label\":\"hd\",\"keys\":[{\"kid\":\"00\"}]}",
          "p.keys[0].kid: not 32 hex digits" },
        { "{\"scheme\":\"cenc\",\"label\":\"hd\",\"keys\":[{" KID ",\"iv\":\"x\"}]}", "p.keys[0].iv: not" },
        { "{\"scheme\":\"cenc\",\"label\":\"hd\",\"keys\":[{" KID ",\"key\":\"x\"}]}",
          "p.keys[0].key: unknown field" },
        { "{\"scheme\":\"cenc\",\"label\":\"hd\",\"keys\":[{" KID ",\"check\":\"0011223344556677\"}]}",
          "p.keys[0].check: unknown field" },
        { "{\"scheme\":\"cenc\",\"label\":\"hd\",\"keys\":[{" KID ",\"uri\":\"a b\"}]}",
          "p.keys[0].uri: not an" },
        { "{\"scheme\":\"cenc\",\"label\":\"hd\",\"keys\":[{" KID ",\"uri\":\"\"}]}",
          "p.keys[0].uri: empty" },
        { "{\"scheme\":\"cenc\",\"label\":\"hd\",\"keys\":[{" KID ",\"drm\":[{\"system\":\"x\"}]}]}",
          "p.keys[0].drm[0].system: neither" },
        { "{\"scheme\":\"cenc\",\"label\":\"hd\",\"keys\":[{" KID
          ",\"drm\":[{\"system\":\"common\",\"pssh\":\"AAA\"}]}]}",
          "p.keys[0].drm[0].pssh: not base64" },
        { "{\"scheme\":\"cenc\",\"label\":\"hd\",\"keys\":[{" KID
          ",\"drm\":[{\"system\":\"common\",\"laurl\":\"\\\"\"}]}]}",
          "p.keys[0].drm[0].laurl: not an" },
        { "{\"scheme\":\"cenc\",\"label\":\"hd\",\"rotation\":-1," KEYS "}", "p.rotation: not a whole" },
        { "{\"scheme\":\"cenc\",\"label\":\"hd\",\"secret\":1," KEYS "}", "p.secret: unknown field" },
    };
    vp_error err = VP_ERROR_INIT;
    vpi_protection p;

    (void)state;
    for (size_t i = 0; i < VPI_COUNT(cases); i++) {
        assert_int_equal(read_text(cases[i].text, false, &p, &err), VP_E_DATA);
        assert_string_equal(err.reason, "INPUT_CORRUPT");
        if (!strstr(err.message, cases[i].message)) assert_string_equal(err.message, cases[i].message);
        assert_int_equal(p.key_count, 0);
        assert_null(p.keys);
    }
    assert_int_equal(read_text("{\"scheme\":\"cenc\",\"label\":\"hd\"," KEYS "}", true, &p, &err), VP_E_DATA);
    assert_string_equal(err.message, "p.keys[0].check: missing");
}

static void many(void **state)
{
    vp_error err = VP_ERROR_INIT;
    vpi_protection p;
    vpi_buf b = { 0 };
    char *text;

    (void)state;
    vpi_buf_str(&b, "{\"scheme\":\"cenc\",\"label\":\"hd\",\"keys\":[{" KID ",\"drm\":[");
    for (int i = 0; i < 17; i++) vpi_buf_printf(&b, "%s{\"system\":\"common\"}", i ? "," : "");
    vpi_buf_str(&b, "]}]}");
    text = vpi_buf_steal_string(&b);
    assert_int_equal(read_text(text, false, &p, &err), VP_E_DATA);
    assert_string_equal(err.message, "p.keys[0].drm: too many");
    vpi_free(text);
    vpi_buf_str(&b, "{\"scheme\":\"aes128\",\"label\":\"hd\",\"keys\":[{}");
    for (uint32_t i = 0; i < VPI_KEY_PERIODS_MAX; i++) vpi_buf_str(&b, ",{}");
    vpi_buf_str(&b, "]}");
    text = vpi_buf_steal_string(&b);
    assert_int_equal(read_text(text, false, &p, &err), VP_E_DATA);
    assert_string_equal(err.message, "p.keys: too many");
    vpi_free(text);
}

static void no_memory(void **state)
{
    vpi_protection p, copy;
    vp_error err = VP_ERROR_INIT;
    long n;

    (void)state;
    for (n = 1;; n++) {
        json_t *j = NULL;
        vp_status st;

        assert_int_equal(vpi_json_parse(whole, strlen(whole), "doc", &j, NULL), VP_OK);
        vp_error_init(&err);
        atomic_store(&vpi_alloc_fail_at, n);
        st = vpi_protection_from_json(j, "p", true, &p, &err);
        if (st == VP_OK) {
            st = vpi_protection_copy(&copy, &p, &err);
            vpi_protection_dispose(&p);
        }
        atomic_store(&vpi_alloc_fail_at, 0);
        json_decref(j);
        if (st == VP_OK) break;
        assert_int_equal(st, VP_E_NOMEM);
    }
    vpi_protection_dispose(&copy);
    assert_true(n > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words),      cmocka_unit_test(texts),
        cmocka_unit_test(base64),     cmocka_unit_test(key_of_a_segment),
        cmocka_unit_test(round_trip), cmocka_unit_test(forms),
        cmocka_unit_test(refusals),   cmocka_unit_test(many),
        cmocka_unit_test(no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
