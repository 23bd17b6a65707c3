/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keys from speke_server.py: argv is the Python to run it with and its path. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/crypto.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/hash.h"
#include "crypt/crypt_int.h"
#include "crypt/speke_int.h"
#include "unit/http/server.h"

static char folder[] = "/tmp/vodpipe-speke-XXXXXX";
static int plain_port, tls_port;
static vp_context *context;

static int start(void **state)
{
    int ports[3];

    (void)state;
    if (server_start(folder, ports) != 2) return -1;
    plain_port = ports[0];
    tls_port = ports[1];
    return vp_context_new(NULL, &context, NULL);
}

static int stop(void **state)
{
    (void)state;
    vp_context_unref(context);
    return server_stop(folder);
}

static char *read_file(const char *name, size_t *size)
{
    static char data[2][1 << 20];
    static unsigned next;
    char *to = data[next++ % 2], path[64];
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    fd = open(path, O_RDONLY);
    n = fd < 0 ? 0 : read(fd, to, sizeof(data[0]) - 1);
    if (fd >= 0) close(fd);
    to[n < 0 ? 0 : n] = 0;
    if (size) *size = (size_t)n;
    return to;
}

static size_t requests(const char *path)
{
    char wanted[64];
    size_t n = 0;

    snprintf(wanted, sizeof(wanted), "\"path\": \"%s\"", path);
    for (const char *p = read_file("requests", NULL); (p = strstr(p, wanted)); p++) n++;
    return n;
}

static char *address(const char *path)
{
    static char url[128];

    snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", plain_port, path);
    return url;
}

static vp_keys *provider(const char *path, const vp_speke_options *more)
{
    vp_speke_options o = VP_SPEKE_OPTIONS_INIT;
    vp_error err = VP_ERROR_INIT;
    vp_keys *keys = NULL;

    if (more) o = *more;
    o.url = address(path);
    if (vp_keys_speke(context, &o, &keys, &err) != VP_OK) fail_msg("%s: %s", err.reason, err.message);
    return keys;
}

static vp_status ask(vp_keys *keys, uint32_t scheme, const char *title, const char *label, uint32_t period,
                     vpi_key *key, vp_error *err)
{
    vp_key_request r = { sizeof(r), scheme, title, label, period, 0 };

    vp_error_init(err);
    return vpi_keys_get(keys, &r, key, err);
}

/* The server's rule. */
static void key_of(const uint8_t kid[16], uint8_t key[16])
{
    char text[VPI_UUID_TEXT];
    uint8_t digest[32];
    vpi_sha256 sha;

    vpi_uuid_text(kid, text);
    vpi_sha256_init(&sha);
    vpi_sha256_add(&sha, "speke", 5);
    vpi_sha256_add(&sha, text, strlen(text));
    vpi_sha256_done(&sha, digest);
    memcpy(key, digest, 16);
    OPENSSL_cleanse(digest, sizeof(digest)); /* the test itself must leave nothing behind */
    OPENSSL_cleanse(&sha, sizeof(sha));
}

static void takes(vp_keys *keys, uint32_t scheme, const char *title, const char *label, uint32_t period,
                  vpi_key *key)
{
    vp_error err = VP_ERROR_INIT;
    uint8_t expected[16];

    if (ask(keys, scheme, title, label, period, key, &err) != VP_OK)
        fail_msg("%s %u: %s: %s", label, period, err.reason, err.message);
    key_of(key->info.kid, expected);
    assert_memory_equal(key->key, expected, 16);
    OPENSSL_cleanse(expected, sizeof(expected));
    assert_true(key->info.has_kid);
}

static void refuses(const char *path, const vp_speke_options *more, vp_status status, const char *reason,
                    int native, bool retryable)
{
    vp_keys *keys = provider(path, more);
    vp_error err = VP_ERROR_INIT;
    vpi_key key;
    vp_status st = ask(keys, VP_ENCRYPT_CBCS, "t", "hd", 0, &key, &err);

    if (st != status || strcmp(err.reason, reason) != 0)
        fail_msg("%s: %d %s: %s", path, (int)st, err.reason, err.message);
    assert_int_equal(err.native, native);
    if (native) assert_int_equal(err.domain, VP_DOM_HTTP);
    assert_int_equal((err.flags & VP_ERRF_RETRYABLE) != 0, retryable);
    assert_false(err.flags & VP_ERRF_FROM_HOST);
    assert_string_equal(err.op, native || st == VP_E_AUTH ? "keys.speke" : "http");
    vp_keys_unref(keys);
}

/* ---- no server ---- */

static void kids(void **state)
{
    uint8_t a[16], b[16];
    char text[VPI_UUID_TEXT];

    (void)state;
    vpi_speke_kid("title", VPI_SCHEME_CBCS, "hd", 0, a);
    vpi_uuid_text(a, text);
    /* Never to change: key servers know the keys of published titles by it. */
    assert_string_equal(text, "a2878ab5-e8cb-5af1-b923-6bd522ac1c02");
    vpi_speke_kid("title", VPI_SCHEME_CBCS, "hd", 0, b);
    assert_memory_equal(a, b, 16);
    vpi_speke_kid("titl", VPI_SCHEME_CBCS, "ehd", 0, b);
    assert_memory_not_equal(a, b, 16);
    vpi_speke_kid("title", VPI_SCHEME_CENC, "hd", 0, b);
    assert_memory_not_equal(a, b, 16);
    vpi_speke_kid("title", VPI_SCHEME_CBCS, "sd", 0, b);
    assert_memory_not_equal(a, b, 16);
    vpi_speke_kid("title", VPI_SCHEME_CBCS, "hd", 1, b);
    assert_memory_not_equal(a, b, 16);
}

static void wrong_options(void **state)
{
    static const char *const urls[] = { NULL,
                                        "",
                                        "keys.example",
                                        "http://keys.example/speke",
                                        "http://localhost.example/",
                                        "http://127.0.0.1@keys.example/",
                                        "ftp://localhost/" };
    static const char *const systems[] = { "", "widevine,", "nothing", "widevine,widevine",
                                           "edef8ba9-79d6-4ace-a3c8-27dcd51d21edd" };
    vp_speke_options o = VP_SPEKE_OPTIONS_INIT, init;
    vp_error err = VP_ERROR_INIT;
    vp_keys *keys;
    size_t size;

    (void)state;
    memset(&init, 0xA5, sizeof(init));
    vp_speke_options_init(&init, sizeof(init));
    assert_memory_equal(&o, &init, sizeof(o));
    assert_int_equal(vp_keys_speke(context, NULL, &keys, &err), VP_E_ARG);
    for (size_t i = 0; i < VPI_COUNT(urls); i++) {
        o.url = urls[i];
        assert_int_equal(vp_keys_speke(context, &o, &keys, &err), VP_E_ARG);
        assert_null(keys);
    }
    o.url = "https://keys.example/speke?token=secret";
    assert_int_equal(vp_keys_speke(NULL, &o, &keys, &err), VP_E_ARG);
    assert_int_equal(vp_keys_speke(context, &o, NULL, &err), VP_E_ARG);
    for (size_t i = 0; i < VPI_COUNT(systems); i++) {
        o.systems = systems[i];
        assert_int_equal(vp_keys_speke(context, &o, &keys, &err), VP_E_ARG);
    }
    o.systems = NULL;
    o.certificate = read_file("recipient.pem", &size);
    o.certificate_size = size;
    assert_int_equal(vp_keys_speke(context, &o, &keys, &err), VP_E_ARG); /* and its key? */
    o.private_key = read_file("recipient.key", &size);
    o.private_key_size = size;
    o.passphrase = "wrong";
    assert_int_equal(vp_keys_speke(context, &o, &keys, &err), VP_E_AUTH);
    assert_string_equal(err.reason, "KEY_INVALID");
    o.passphrase = NULL;
    assert_int_equal(vp_keys_speke(context, &o, &keys, &err), VP_E_AUTH);
    o.passphrase = "word";
    assert_int_equal(vp_keys_speke(context, &o, &keys, &err), VP_OK);
    keys = vp_keys_unref(keys);
    o.private_key = read_file("client.key", &size); /* of another */
    o.private_key_size = size;
    o.certificate = read_file("recipient.pem", &size);
    assert_int_equal(vp_keys_speke(context, &o, &keys, &err), VP_E_AUTH);
    assert_non_null(strstr(err.message, "not that of the certificate"));
}

/* ---- answers ---- */

static void schemes(void **state)
{
    static const char *const labels[] = { "audio", "sd", "hd", "uhd" };
    vp_keys *keys = provider("/keys/schemes", NULL);
    uint8_t kid[16];
    vpi_key key;

    (void)state;
    for (size_t i = 0; i < VPI_COUNT(labels); i++) {
        for (uint32_t period = 0; period < 3; period++) {
            takes(keys, VP_ENCRYPT_CBCS, "A <\"title\"> & \xC3\xA4", labels[i], period, &key);
            vpi_speke_kid("A <\"title\"> & \xC3\xA4", VPI_SCHEME_CBCS, labels[i], period, kid);
            assert_memory_equal(key.info.kid, kid, 16);
            assert_int_equal(key.info.drm_count, 3);
            assert_memory_equal(key.info.drm[0].system, vpi_system_widevine, 16);
            assert_int_equal(key.info.drm[0].pssh_size, 50);
            assert_string_equal(key.info.drm[0].laurl, "https://licence.example/edef");
            assert_memory_equal(key.info.drm[2].system, vpi_system_fairplay, 16);
            assert_memory_equal(key.info.drm[2].uri, "skd://", 6);
            vpi_key_dispose(&key);
        }
    }
    takes(keys, VP_ENCRYPT_CENC, "t", "hd", 0, &key);
    assert_int_equal(key.info.drm_count, 2); /* without FairPlay */
    vpi_key_dispose(&key);
    takes(keys, VP_ENCRYPT_AES128, "t", "hd", 1, &key);
    assert_int_equal(key.info.drm_count, 0);
    assert_memory_equal(key.info.uri, "https://keys.example/", 21);
    vpi_key_dispose(&key);
    vp_keys_unref(keys);
    assert_int_equal(requests("/keys/schemes"), 14);
    assert_null(strstr(read_file("requests", NULL), "\"wrong\": [\""));
}

/* One request for a key, however often it is asked; another handle gets the same. */
static void kept(void **state)
{
    vp_speke_options o = VP_SPEKE_OPTIONS_INIT;
    vp_keys *keys;
    vpi_key a, b;

    (void)state;
    o.content_id = "movie-7";
    o.systems = "clearkey,edef8ba9-79d6-4ace-a3c8-27dcd51d21ed";
    keys = provider("/keys/kept", &o);
    assert_int_equal(requests("/keys/kept"), 0);
    takes(keys, VP_ENCRYPT_CBCS, "one", "hd", 0, &a);
    takes(keys, VP_ENCRYPT_CBCS, "two", "hd", 0, &b); /* the content id stands over the title */
    assert_memory_equal(a.key, b.key, 16);
    assert_int_equal(a.info.drm_count, 2);
    vpi_key_dispose(&b);
    assert_int_equal(requests("/keys/kept"), 1);
    vp_keys_unref(keys);
    keys = provider("/keys/kept", &o);
    takes(keys, VP_ENCRYPT_CBCS, "", "hd", 0, &b);
    assert_memory_equal(a.key, b.key, 16);
    assert_int_equal(requests("/keys/kept"), 2);
    vpi_key_dispose(&a);
    vpi_key_dispose(&b);
    vp_keys_unref(keys);
}

static void encrypted(void **state)
{
    vp_speke_options o = VP_SPEKE_OPTIONS_INIT;
    vp_keys *keys;
    vpi_key key;
    size_t size;

    (void)state;
    o.certificate = read_file("recipient.pem", &size);
    o.certificate_size = size;
    o.private_key = read_file("recipient.key", &size);
    o.private_key_size = size;
    o.passphrase = "word";
    keys = provider("/keys/encrypted", &o);
    takes(keys, VP_ENCRYPT_CBCS, "t", "audio", 0, &key);
    vpi_key_dispose(&key);
    takes(keys, VP_ENCRYPT_CENC, "t", "uhd", 2, &key);
    vpi_key_dispose(&key);
    vp_keys_unref(keys);
    refuses("/plain", &o, VP_E_AUTH, "KEY_INVALID", 0, false);
}

static void over_tls(void **state)
{
    vp_speke_options o = VP_SPEKE_OPTIONS_INIT;
    vp_http_options h = VP_HTTP_OPTIONS_INIT;
    vp_error err = VP_ERROR_INIT;
    char url[64], ca[64];
    vp_keys *keys;
    vpi_key key;

    (void)state;
    snprintf(url, sizeof(url), "https://localhost:%d/auth", tls_port);
    snprintf(ca, sizeof(ca), "%s/ca.pem", folder);
    o.url = url;
    o.http = &h;
    assert_int_equal(vp_keys_speke(context, &o, &keys, &err), VP_OK);
    assert_int_equal(ask(keys, VP_ENCRYPT_CBCS, "t", "hd", 0, &key, &err), VP_E_IO);
    assert_string_equal(err.reason, "TLS_FAILED");
    vp_keys_unref(keys);
    h.ca_file = ca;
    assert_int_equal(vp_keys_speke(context, &o, &keys, &err), VP_OK);
    assert_int_equal(ask(keys, VP_ENCRYPT_CBCS, "t", "hd", 0, &key, &err), VP_E_AUTH);
    assert_int_equal(err.native, 401);
    vp_keys_unref(keys);
    h.headers = "Authorization: Bearer token";
    assert_int_equal(vp_keys_speke(context, &o, &keys, &err), VP_OK);
    takes(keys, VP_ENCRYPT_CBCS, "t", "hd", 0, &key);
    vpi_key_dispose(&key);
    vp_keys_unref(keys);
}

static void odd_answers(void **state)
{
    uint8_t kid[16];
    vp_keys *keys = provider("/override", NULL);
    vpi_key key;

    (void)state;
    takes(keys, VP_ENCRYPT_CBCS, "t", "hd", 1, &key);
    vpi_speke_kid("t", VPI_SCHEME_CBCS, "hd", 1, kid);
    assert_memory_not_equal(key.info.kid, kid, 16);
    vpi_key_dispose(&key);
    vp_keys_unref(keys);
    keys = provider("/iv", NULL);
    takes(keys, VP_ENCRYPT_CBCS, "t", "hd", 0, &key);
    assert_true(key.info.has_iv && key.info.iv[15] == 15);
    vpi_key_dispose(&key);
    takes(keys, VP_ENCRYPT_CENC, "t", "hd", 0, &key);
    assert_false(key.info.has_iv);
    vpi_key_dispose(&key);
    vp_keys_unref(keys);
}

/* ---- refusals ---- */

static void refusals(void **state)
{
    vp_error err = VP_ERROR_INIT;
    vp_keys *keys = provider("/keys/refusals", NULL);
    vpi_key key;

    (void)state;
    refuses("/status/401", NULL, VP_E_AUTH, "KEY_MISSING", 401, false);
    refuses("/status/403", NULL, VP_E_AUTH, "KEY_MISSING", 403, false);
    refuses("/status/404", NULL, VP_E_AUTH, "KEY_MISSING", 404, false);
    refuses("/status/302", NULL, VP_E_AUTH, "KEY_MISSING", 302, false);
    assert_int_equal(requests("/status/403"), 1);
    refuses("/none", NULL, VP_E_AUTH, "KEY_MISSING", 0, false);
    refuses("/other", NULL, VP_E_AUTH, "KEY_MISSING", 0, false);
    refuses("/garbage", NULL, VP_E_AUTH, "KEY_INVALID", 0, false);
    assert_int_equal(ask(keys, VP_ENCRYPT_CBCS, "", "hd", 0, &key, &err), VP_E_ARG);
    assert_int_equal(ask(keys, VP_ENCRYPT_CBCS, "a\nb", "hd", 0, &key, &err), VP_E_ARG);
    vp_keys_unref(keys);
}

static void retries(void **state)
{
    vp_speke_options o = VP_SPEKE_OPTIONS_INIT;
    vp_keys *keys = provider("/flaky/2", NULL);
    vpi_key key;
    int64_t began = vpi_now_us();

    (void)state;
    takes(keys, VP_ENCRYPT_CBCS, "t", "hd", 0, &key);
    assert_int_equal(requests("/flaky/2"), 3);
    assert_in_range(vpi_now_us() - began, 1400000, 4000000);
    vpi_key_dispose(&key);
    vp_keys_unref(keys);
    refuses("/status/503", NULL, VP_E_IO, "CONNECTION_FAILED", 503, true);
    assert_int_equal(requests("/status/503"), 3);
    /* no more attempts than there is time for */
    o.timeout_ms = 700;
    refuses("/status/500", &o, VP_E_IO, "CONNECTION_FAILED", 500, true);
    assert_int_equal(requests("/status/500"), 2);
    began = vpi_now_us();
    refuses("/slow/5000", &o, VP_E_LIMIT, "TIMEOUT", 0, true);
    assert_in_range(vpi_now_us() - began, 600000, 1500000);
}

static void *fire(void *arg)
{
    usleep(200000);
    vp_cancel_fire(arg);
    return NULL;
}

static void cancels(void **state)
{
    static const char *const paths[] = { "/slow/4000", "/status/502" }; /* in a request, between two */
    vp_speke_options o = VP_SPEKE_OPTIONS_INIT;
    pthread_t thread;

    (void)state;
    for (size_t i = 0; i < VPI_COUNT(paths); i++) {
        int64_t began = vpi_now_us();
        vp_error err = VP_ERROR_INIT;
        vp_cancel *cancel;
        vp_keys *keys;
        vpi_key key;

        assert_int_equal(vp_cancel_new(&cancel, NULL), VP_OK);
        o.cancel = cancel;
        keys = provider(paths[i], &o);
        assert_int_equal(pthread_create(&thread, NULL, fire, cancel), 0);
        assert_int_equal(ask(keys, VP_ENCRYPT_CBCS, "t", "hd", 0, &key, &err), VP_E_CANCELED);
        assert_in_range(vpi_now_us() - began, 190000, 1200000);
        pthread_join(thread, NULL);
        vp_keys_unref(keys);
        vp_cancel_unref(cancel);
    }
}

static void *ask_all(void *arg)
{
    vp_error err = VP_ERROR_INIT;
    intptr_t bad = 0;
    uint8_t expected[16];
    vpi_key key;

    for (uint32_t period = 0; period < 8; period++) {
        if (ask(arg, VP_ENCRYPT_CBCS, "t", "sd", period, &key, &err) != VP_OK) {
            bad++;
            continue;
        }
        key_of(key.info.kid, expected);
        if (memcmp(expected, key.key, 16) != 0) bad++;
        vpi_key_dispose(&key);
    }
    return (void *)bad;
}

static void threads(void **state)
{
    vp_keys *keys = provider("/keys/threads", NULL);
    pthread_t thread[3];
    void *bad;

    (void)state;
    for (size_t i = 0; i < 3; i++) assert_int_equal(pthread_create(&thread[i], NULL, ask_all, keys), 0);
    for (size_t i = 0; i < 3; i++) {
        pthread_join(thread[i], &bad);
        assert_null(bad);
    }
    vp_keys_unref(keys);
}

static void no_memory(void **state)
{
    vp_speke_options o = VP_SPEKE_OPTIONS_INIT;
    size_t size;

    (void)state;
    o.url = address("/keys/memory");
    o.certificate = read_file("recipient.pem", &size);
    o.certificate_size = size;
    o.private_key = read_file("recipient.key", &size);
    o.private_key_size = size;
    o.passphrase = "word";
    for (long n = 1;; n++) {
        vp_error err = VP_ERROR_INIT;
        vp_keys *keys = NULL;
        vpi_key key = { 0 };
        vp_status st;
        bool hit;

        if (n == 20) o.certificate = NULL; /* the rest with clear keys, which is quicker */
        vpi_alloc_fail_at = n;
        st = vp_keys_speke(context, &o, &keys, &err);
        if (st >= 0) st = ask(keys, VP_ENCRYPT_CBCS, "t", "hd", 0, &key, &err);
        hit = vpi_alloc_fail_at <= 0;
        vpi_alloc_fail_at = 0;
        if (st >= 0) vpi_key_dispose(&key);
        vp_keys_unref(keys);
        if (!hit) {
            assert_int_equal(st, VP_OK);
            break;
        }
        /* expat does without some of its own */
        if (st != VP_E_NOMEM && st != VP_OK)
            fail_msg("allocation %ld: %d %s: %s", n, (int)st, err.reason, err.message);
        assert_true(n < 400);
    }
}

/* ---- what is left in memory ---- */

#ifndef __has_feature
#define __has_feature(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || __has_feature(address_sanitizer) ||     \
    __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SHADOWED 1 /* memory of a sanitizer is terabytes to look through, and holds what was freed */
#else
#define SHADOWED 0
#endif

/* How often the bytes lie in memory that can be written, but in the pages of the caller. */
static size_t search_memory(const uint8_t *wanted, size_t size)
{
    static uint8_t chunk[(1 << 20) + 64];
    FILE *maps = fopen("/proc/self/maps", "r");
    int mem = open("/proc/self/mem", O_RDONLY);
    char line[512];
    size_t found = 0;

    assert_non_null(maps);
    if (!wanted) return 0; /* with sanitizers gcc takes it for NULL */
    while (fgets(line, sizeof(line), maps)) {
        unsigned long from, to;
        char mode[5];

        if (sscanf(line, "%lx-%lx %4s", &from, &to, mode) != 3 || mode[1] != 'w') continue;
        for (unsigned long at = from; at < to; at += 1 << 20) {
            ssize_t n;

            if (at <= (unsigned long)chunk + sizeof(chunk) && at + sizeof(chunk) >= (unsigned long)chunk) {
                /* what was read is not looked at again */
                memset(chunk, 0, sizeof(chunk));
                continue;
            }
            n = pread(mem, chunk, VPI_MIN(sizeof(chunk), to - at), (off_t)at);
            for (const uint8_t *p = chunk; n > 0 && (p = memmem(p, (size_t)(chunk + n - p), wanted, size));
                 p++)
                if (at + (size_t)(p - chunk) < (unsigned long)wanted ||
                    at + (size_t)(p - chunk) >= (unsigned long)wanted + size) {
                    print_message("%lx in %s", at + (unsigned long)(p - chunk), line);
                    found++;
                }
        }
    }
    fclose(maps);
    close(mem);
    memset(chunk, 0, sizeof(chunk));
    return found;
}

static void leaves_nothing_of(vp_keys *keys)
{
    uint8_t *key16 = malloc(16), kid[16];
    char *text = malloc(32);
    vpi_buf b = { 0 };
    vpi_key key;

    assert_non_null(key16);
    assert_non_null(text);
    for (uint32_t period = 0; period < 4; period++) {
        takes(keys, VP_ENCRYPT_CBCS, "secret", "hd", period, &key);
        memcpy(kid, key.info.kid, 16);
        vpi_key_dispose(&key);
    }
    key_of(kid, key16);
    assert_true(search_memory(key16, 16) >= 1); /* it is kept */
    vp_keys_unref(keys);
    assert_int_equal(search_memory(key16, 16), 0);
    vpi_base64_add(&b, key16, 16);
    memcpy(text, b.data, 24);
    memset(b.data, 0, b.size);
    vpi_buf_dispose(&b);
    assert_int_equal(search_memory((uint8_t *)text, 21), 0);
    memset(key16, 0, 16);
    memset(text, 0, 24);
    free(key16);
    free(text);
}

/* Neither the key nor the text it came in, also where it came over TLS. */
static void leaves_nothing(void **state)
{
    vp_speke_options o = VP_SPEKE_OPTIONS_INIT;
    vp_http_options h = VP_HTTP_OPTIONS_INIT;
    char url[64], ca[64];
    vp_keys *keys;

    (void)state;
    if (SHADOWED) skip();
    leaves_nothing_of(provider("/keys/memory", NULL));
    snprintf(url, sizeof(url), "https://localhost:%d/keys", tls_port);
    snprintf(ca, sizeof(ca), "%s/ca.pem", folder);
    h.ca_file = ca;
    o.url = url;
    o.http = &h;
    o.content_id = "over TLS";
    assert_int_equal(vp_keys_speke(context, &o, &keys, NULL), VP_OK);
    leaves_nothing_of(keys);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kids),      cmocka_unit_test(wrong_options), cmocka_unit_test(leaves_nothing),
        cmocka_unit_test(schemes),   cmocka_unit_test(kept),          cmocka_unit_test(encrypted),
        cmocka_unit_test(over_tls),  cmocka_unit_test(odd_answers),   cmocka_unit_test(refusals),
        cmocka_unit_test(retries),   cmocka_unit_test(cancels),       cmocka_unit_test(threads),
        cmocka_unit_test(no_memory),
    };

    if (argc != 3) return 77;
    arguments = argv;
    return cmocka_run_group_tests(tests, start, stop);
}
