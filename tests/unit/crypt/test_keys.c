/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Providers, what is told of their keys, and IVs that follow from the seed. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "crypt/crypt_int.h"
#include "io/object.h"

static const uint8_t seed[16] = { 1, 2, 3 }, other_seed[16] = { 4 };

#define KID "0123456789abcdef0123456789abcdef"
#define KEY "00112233445566778899aabbccddeeff"

static vp_keys *parse(const char *json)
{
    vp_keys *keys = NULL;
    vp_error err = VP_ERROR_INIT;

    if (vp_keys_parse(json, strlen(json), &keys, &err) != VP_OK) fail_msg("%s", err.message);
    return keys;
}

static vpi_keyring *ring_of(vp_keys *keys, vpi_scheme scheme, const uint8_t s[16])
{
    vpi_keyring *ring = NULL;

    assert_int_equal(vpi_keys_ops_of(keys)->new_ring(keys, scheme, "t", s, &ring, NULL), VP_OK);
    return ring;
}

static void asks(vp_keys *keys, vpi_scheme scheme, const char *label, uint64_t periods, vp_status want,
                 const char *reason)
{
    vpi_keyring *ring = ring_of(keys, scheme, seed);
    vpi_protection p = { 0 };
    vp_error err = VP_ERROR_INIT;

    assert_int_equal(vpi_keys_ops_of(keys)->ask(ring, label, periods, periods > 1 ? 1 : 0, 0, &p, &err),
                     want);
    if (reason) assert_string_equal(err.reason, reason);
    assert_null(strstr(err.message, KEY));
    vpi_protection_dispose(&p);
    vpi_keys_ops_of(keys)->free_ring(ring);
}

static void test_missing(void **state)
{
    vp_keys *keys =
        parse("{\"keys\":[{\"label\":\"*\",\"kid\":\"" KID "\",\"key\":\"" KEY "\"},"
              "{\"label\":\"hd\",\"kid\":\"11223344556677889900112233445566\",\"key\":\"" KEY "\"},"
              "{\"label\":\"sd\",\"key\":\"" KEY "\",\"iv\":\"" KEY "\"}]}");
    (void)state;
    asks(keys, VPI_SCHEME_CBCS, "audio", 1, VP_OK, NULL);
    asks(keys, VPI_SCHEME_CBCS, "hd", 1, VP_OK, NULL);
    asks(keys, VPI_SCHEME_CBCS, "hd", 2, VP_E_AUTH, "KEY_MISSING");
    asks(keys, VPI_SCHEME_CBCS, "audio", 2, VP_E_AUTH, "KEY_MISSING");
    asks(keys, VPI_SCHEME_CBCS, "sd", 1, VP_E_AUTH, "KEY_INVALID");      /* no KID */
    asks(keys, VPI_SCHEME_AES128, "audio", 1, VP_E_AUTH, "KEY_INVALID"); /* no uri */
    vp_keys_unref(keys);
    keys = parse("{\"keys\":[{\"label\":\"*\",\"kid\":\"" KID "\",\"key\":\"" KEY "\",\"iv\":\"" KEY "\"}]}");
    asks(keys, VPI_SCHEME_CENC, "hd", 1, VP_E_AUTH, "KEY_INVALID"); /* iv with cenc */
    asks(keys, VPI_SCHEME_CBCS, "hd", 1, VP_OK, NULL);
    vp_keys_unref(keys);
}

static void test_told(void **state)
{
    vp_keys *keys =
        parse("{\"keys\":[{\"label\":\"*\",\"kid\":\"" KID "\",\"key\":\"" KEY "\"},"
              "{\"label\":\"*\",\"kid\":\"11223344556677889900112233445566\",\"key\":\"" KEY "\"}],"
              "\"uri\":\"https://k/{kid}/{n}\",\"drm\":[{\"system\":\"widevine\"},"
              "{\"system\":\"fairplay\",\"uri\":\"skd://{kid}\"}]}");
    vpi_keyring *ring = ring_of(keys, VPI_SCHEME_CBCS, seed),
                *again = ring_of(keys, VPI_SCHEME_CBCS, other_seed);
    const vpi_keys_ops *ops = vpi_keys_ops_of(keys);
    vpi_protection p = { 0 }, q = { 0 };
    (void)state;
    assert_int_equal(ops->ask(ring, "hd", 2, 3, 1, &p, NULL), VP_OK);
    assert_int_equal(ops->ask(again, "hd", 2, 3, 1, &q, NULL), VP_OK);
    assert_int_equal(p.key_count, 2);
    assert_int_equal(p.rotation, 3);
    assert_int_equal(p.clear_segments, 1);
    assert_string_equal(p.label, "hd");
    assert_string_equal(p.keys[0].uri, "https://k/" KID "/0");
    assert_string_equal(p.keys[1].uri, "https://k/11223344556677889900112233445566/1");
    assert_int_equal(p.keys[0].drm_count, 2);
    assert_non_null(p.keys[0].drm[0].pssh);
    assert_string_equal(p.keys[1].drm[1].uri, "skd://11223344556677889900112233445566");
    assert_true(p.keys[0].has_iv);
    assert_memory_not_equal(p.keys[0].iv, p.keys[1].iv, 16);
    assert_memory_not_equal(p.keys[0].iv, q.keys[0].iv, 16);  /* another plan, other IVs */
    assert_memory_equal(p.keys[0].check, p.keys[1].check, 8); /* the same key under two KIDs */
    /* What the plan says is matched, and a difference is found. */
    vpi_keyring *third = ring_of(keys, VPI_SCHEME_CBCS, seed), *fourth = ring_of(keys, VPI_SCHEME_CBCS, seed);
    assert_int_equal(ops->match(third, &p, NULL), VP_OK);
    p.keys[1].check[0] ^= 1;
    assert_int_equal(ops->match(fourth, &p, NULL), VP_E_AUTH);
    ops->free_ring(third);
    ops->free_ring(fourth);
    ops->free_ring(ring);
    ops->free_ring(again);
    vpi_protection_dispose(&p);
    vpi_protection_dispose(&q);
    vp_keys_unref(keys);
}

/* ---- providers of a host ---- */

typedef struct host {
    int asked, released;
    bool wrong, silent;
    uint8_t vault[32];
    bool stored;
} host;

static vp_status get(void *user, const vp_key_request *request, vp_key_reply *reply, vp_error *err)
{
    static const uint8_t kid[16] = { 9 }, key[16] = { 8 }, pssh[3] = { 0 };
    host *h = user;

    h->asked++;
    assert_string_equal(request->title, "t");
    assert_int_equal(request->scheme, VP_ENCRYPT_CBCS);
    if (h->wrong) return vp_error_set(err, VP_E_HOST, "HOST", 77, "the vault is closed");
    if (h->silent) return VP_OK;
    assert_int_equal(vp_key_reply_uri(reply, "https://x/\"quoted\"", NULL), VP_E_AUTH);
    assert_int_equal(vp_key_reply_uri(reply, "https://x/\r\ny", NULL), VP_E_AUTH);
    assert_int_equal(vp_key_reply_drm(reply, vpi_system_widevine, pssh, 3, NULL, NULL, NULL), VP_E_AUTH);
    assert_int_equal(vp_key_reply_drm(reply, vpi_system_widevine, NULL, 0, NULL, "https://l/", err), VP_OK);
    return vp_key_reply_set(reply, kid, key, NULL, err);
}

static void release(void *user)
{
    ((host *)user)->released++;
}

static void test_callback(void **state)
{
    host h = { 0 };
    vp_keys *keys = NULL;
    (void)state;
    assert_int_equal(vp_keys_new(get, release, &h, &keys, NULL), VP_OK);
    asks(keys, VPI_SCHEME_CBCS, "hd", 3, VP_OK, NULL);
    assert_int_equal(h.asked, 3);
    h.silent = true;
    asks(keys, VPI_SCHEME_CBCS, "hd", 1, VP_E_AUTH, "KEY_MISSING");
    h.wrong = true;
    asks(keys, VPI_SCHEME_CBCS, "hd", 1, VP_E_HOST, NULL);
    vp_keys *second = vp_keys_ref(keys);
    vp_keys_unref(keys);
    assert_int_equal(h.released, 0);
    vp_keys_unref(second);
    assert_int_equal(h.released, 1);
}

static vp_status load(void *user, const vp_key_request *request, uint8_t to[32], vp_error *err)
{
    host *h = user;
    (void)request;
    (void)err;
    if (!h->stored) return VP_END;
    memcpy(to, h->vault, 32);
    return VP_OK;
}

static vp_status store(void *user, const vp_key_request *request, const uint8_t from[32], vp_error *err)
{
    host *h = user;
    (void)request;
    (void)err;
    h->asked++;
    memcpy(h->vault, from, 32);
    h->stored = true;
    return VP_OK;
}

static void test_vault(void **state)
{
    host h = { 0 };
    vp_key_vault vault = VP_KEY_VAULT_INIT;
    vp_key_request request = { .struct_size = sizeof(request), .scheme = VP_ENCRYPT_CENC, .label = "hd" };
    vp_keys *keys = NULL;
    uint8_t kid[16], key[16];
    vp_error err = VP_ERROR_INIT;
    (void)state;
    assert_int_equal(vp_keys_random(&vault, &keys, NULL), VP_E_ARG);
    vault.load = load;
    vault.store = store;
    vault.user = &h;
    vault.document = "{\"drm\":[{\"system\":\"common\"}]}";
    if (vp_keys_random(&vault, &keys, &err) != VP_OK) fail_msg("%s", err.message);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(vp_keys_ask(keys, &request, NULL, kid, key, NULL), VP_OK);
        assert_memory_equal(kid, h.vault, 16);
        assert_memory_equal(key, h.vault + 16, 16);
    }
    assert_int_equal(h.asked, 1); /* then it came from the vault */
    assert_int_equal(kid[6] >> 4, 4);
    vp_keys_unref(keys);
}

/* ---- E08: no two samples of a title share counters ---- */

static int by_value(const void *a, const void *b)
{
    return memcmp(a, b, 8);
}

static void test_counters(void **state)
{
    static uint8_t ivs[4 * 3 * 50][8];
    static const uint8_t asc[2] = { 0x11, 0x90 };
    vp_keys *keys = parse("{\"keys\":[{\"label\":\"*\",\"kid\":\"" KID "\",\"key\":\"" KEY "\"}]}");
    const vpi_keys_ops *ops = vpi_keys_ops_of(keys);
    vpi_keyring *ring = ring_of(keys, VPI_SCHEME_CENC, seed);
    vpi_protection p = { 0 };
    vpi_guard guard;
    uint8_t sample[40] = { 0 }, to[40];
    size_t n = 0;
    (void)state;
    assert_int_equal(ops->ask(ring, "audio", 1, 0, 0, &p, NULL), VP_OK);
    ops->guard(ring, &guard);
    for (uint32_t track = 0; track < 4; track++) {
        const vpi_guard_track t = { .kind = VPI_KIND_AUDIO,
                                    .codec = VPI_CODEC_AAC,
                                    .config = asc,
                                    .config_size = 2,
                                    .label = "audio",
                                    .ordinal = track * 257 };
        vpi_guard_session *s = NULL;
        assert_int_equal(guard.open(guard.user, &t, &s, NULL), VP_OK);
        for (uint64_t segment = 0; segment < 3; segment++) {
            vpi_protect protect;
            assert_int_equal(guard.segment(s, segment, &protect, NULL), VP_OK);
            for (uint64_t i = 0; i < 50; i++) {
                vpi_protect_out out;
                assert_int_equal(protect.sample(protect.user, segment * VPI_GUARD_SAMPLES + i, sample,
                                                sizeof(sample), to, &out, NULL),
                                 VP_OK);
                memcpy(ivs[n++], out.iv, 8);
            }
        }
        guard.close(s);
    }
    qsort(ivs, n, 8, by_value);
    for (size_t i = 1; i < n; i++) assert_memory_not_equal(ivs[i - 1], ivs[i], 8);
    vpi_protection_dispose(&p);
    ops->free_ring(ring);
    vp_keys_unref(keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_missing), cmocka_unit_test(test_told),     cmocka_unit_test(test_callback),
        cmocka_unit_test(test_vault),   cmocka_unit_test(test_counters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
