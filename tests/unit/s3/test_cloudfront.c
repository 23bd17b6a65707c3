/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CloudFront: exact policies, and signatures that the public key verifies. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "s3/sign.h"

#define URL "https://d111111abcdef8.cloudfront.net/image.jpg"

static EVP_PKEY *rsa, *ec;
static char rsa_pem[4096], ec_pem[4096];

static size_t pem_of(EVP_PKEY *key, bool old, const char *passphrase, char to[4096])
{
    BIO *b = BIO_new(BIO_s_mem());
    char *data;
    long n;

    assert_non_null(b);
    if (old) {
        assert_int_equal(PEM_write_bio_PrivateKey_traditional(b, key, NULL, NULL, 0, NULL, NULL), 1);
    } else {
        assert_int_equal(PEM_write_bio_PKCS8PrivateKey(b, key, passphrase ? EVP_aes_128_cbc() : NULL,
                                                       passphrase, passphrase ? (int)strlen(passphrase) : 0,
                                                       NULL, NULL),
                         1);
    }
    n = BIO_get_mem_data(b, &data);
    assert_true(n > 0 && n < 4096);
    memcpy(to, data, (size_t)n);
    to[n] = 0;
    BIO_free(b);
    return (size_t)n;
}

static int prepare(void **state)
{
    (void)state;
    rsa = EVP_RSA_gen(2048);
    ec = EVP_EC_gen("P-256");
    if (!rsa || !ec) return -1;
    pem_of(rsa, false, NULL, rsa_pem);
    pem_of(ec, false, NULL, ec_pem);
    return 0;
}

static int clean(void **state)
{
    (void)state;
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ec);
    return 0;
}

static vp_cloudfront of(const char *pem)
{
    vp_cloudfront c = VP_CLOUDFRONT_INIT;

    c.key_pair_id = "K2JCJMDEHXQW5F";
    c.private_key = pem;
    c.private_key_size = strlen(pem);
    c.url = URL;
    c.expires_s = 1767290400;
    return c;
}

/* ---- reading what was made ---- */

/* Value behind name up to one of end; its base64 undone. */
static size_t value_of(const char *text, const char *name, uint8_t to[4096])
{
    const char *p = strstr(text, name);
    char base64[4096];
    size_t n;
    int size;

    if (!p) fail_msg("no %s in %s", name, text);
    p += strlen(name);
    n = strcspn(p, "&\n");
    assert_true(n % 4 == 0 && n > 4 && n < sizeof(base64));
    for (size_t i = 0; i < n; i++) {
        assert_null(strchr("+=/", p[i]));
        base64[i] = p[i];
        if (p[i] == '-') base64[i] = '+';
        if (p[i] == '_') base64[i] = '=';
        if (p[i] == '~') base64[i] = '/';
    }
    size = EVP_DecodeBlock(to, (const unsigned char *)base64, (int)n);
    assert_true(size > 0);
    size -= (base64[n - 1] == '=') + (base64[n - 2] == '=');
    return (size_t)size;
}

static void verifies(EVP_PKEY *key, const EVP_MD *md, const char *text, const char *policy)
{
    uint8_t signature[4096];
    size_t n = value_of(text, "Signature=", signature);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    assert_non_null(ctx);
    assert_int_equal(EVP_DigestVerifyInit(ctx, NULL, md, NULL, key), 1);
    if (EVP_DigestVerify(ctx, signature, n, (const unsigned char *)policy, strlen(policy)) != 1)
        fail_msg("not the signature of %s: %s", policy, text);
    EVP_MD_CTX_free(ctx);
}

static char *address_of(const vp_cloudfront *c, const char *address)
{
    vp_bytes *url = NULL;
    vp_error err = VP_ERROR_INIT;
    char *copy;

    if (vp_cloudfront_sign_url(c, address, &url, &err) != VP_OK) fail_msg("%s", err.message);
    copy = strdup(vp_bytes_data(url));
    assert_non_null(copy);
    assert_int_equal(strlen(copy), vp_bytes_size(url));
    vp_bytes_unref(url);
    return copy;
}

static char *cookies_of(const vp_cloudfront *c)
{
    vp_bytes *lines = NULL;
    vp_error err = VP_ERROR_INIT;
    char *copy;

    if (vp_cloudfront_sign_cookies(c, &lines, &err) != VP_OK) fail_msg("%s", err.message);
    copy = strdup(vp_bytes_data(lines));
    assert_non_null(copy);
    vp_bytes_unref(lines);
    return copy;
}

/* The text is these words and, for each '@', any base64 of CloudFront. */
static void shaped(const char *text, const char *words)
{
    const char *t = text;

    for (const char *w = words; *w; w++) {
        if (*w == '@') {
            size_t n = strcspn(t, "&\n");

            assert_true(n > 0);
            t += n;
        } else if (*w != *t++) {
            fail_msg("wanted %s is %s", words, text);
        }
    }
    assert_int_equal(*t, 0);
}

#define CANNED                                                                                               \
    "{\"Statement\":[{\"Resource\":\"" URL                                                                   \
    "\",\"Condition\":{\"DateLessThan\":{\"AWS:EpochTime\":1767290400}}}]}"

static void test_canned(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        vp_cloudfront c = of(i < 2 ? rsa_pem : ec_pem);
        const EVP_MD *md = i % 2 ? EVP_sha256() : EVP_sha1();
        char *text;

        c.flags = i % 2 ? VP_CLOUDFRONT_SHA256 : 0;
        text = address_of(&c, i / 2 ? URL : NULL);
        shaped(text, i % 2 ? URL
                         "?Expires=1767290400&Signature=@&Key-Pair-Id=K2JCJMDEHXQW5F&Hash-Algorithm=SHA256"
                           : URL "?Expires=1767290400&Signature=@&Key-Pair-Id=K2JCJMDEHXQW5F");
        verifies(i < 2 ? rsa : ec, md, text, CANNED);
        free(text);
        text = cookies_of(&c);
        shaped(text, i % 2 ? "CloudFront-Expires=1767290400\nCloudFront-Signature=@\n"
                             "CloudFront-Key-Pair-Id=K2JCJMDEHXQW5F\nCloudFront-Hash-Algorithm=SHA256\n"
                           : "CloudFront-Expires=1767290400\nCloudFront-Signature=@\n"
                             "CloudFront-Key-Pair-Id=K2JCJMDEHXQW5F\n");
        verifies(i < 2 ? rsa : ec, md, text, CANNED);
        free(text);
    }
}

static void custom_is(const vp_cloudfront *c, const char *address, const char *policy)
{
    char *text = address_of(c, address);
    uint8_t told[4096];
    size_t n = value_of(text, "Policy=", told);
    const char *base = address ? address : c->url;

    told[n] = 0;
    assert_string_equal((char *)told, policy);
    verifies(rsa, EVP_sha1(), text, policy);
    assert_memory_equal(text, base, strlen(base));
    shaped(text + strlen(base) + 1, "Policy=@&Signature=@&Key-Pair-Id=K2JCJMDEHXQW5F");
    assert_int_equal(text[strlen(base)], strchr(base, '?') ? '&' : '?');
    free(text);
    text = cookies_of(c);
    if (!address || strchr(c->url, '*')) {
        shaped(text, "CloudFront-Policy=@\nCloudFront-Signature=@\nCloudFront-Key-Pair-Id=K2JCJMDEHXQW5F\n");
        verifies(rsa, EVP_sha1(), text, policy);
    }
    free(text);
}

#define POLICY(url, more)                                                                                    \
    "{\"Statement\":[{\"Resource\":\"" url                                                                   \
    "\",\"Condition\":{\"DateLessThan\":{\"AWS:EpochTime\":1767290400}" more "}}]}"

static void test_custom(void **state)
{
    vp_cloudfront c = of(rsa_pem);

    (void)state;
    c.flags = VP_CLOUDFRONT_CUSTOM;
    custom_is(&c, NULL, CANNED);
    c.flags = 0;
    c.starts_s = 1767200000;
    custom_is(&c, NULL, POLICY(URL, ",\"DateGreaterThan\":{\"AWS:EpochTime\":1767200000}"));
    c.ip = "192.0.2.0/24";
    c.url = URL "?a=b&c";
    custom_is(&c, NULL,
              POLICY(URL "?a=b&c", ",\"DateGreaterThan\":{\"AWS:EpochTime\":1767200000}"
                                   ",\"IpAddress\":{\"AWS:SourceIp\":\"192.0.2.0/24\"}"));
    c = of(rsa_pem);
    c.ip = "10.0.0.255";
    custom_is(&c, NULL, POLICY(URL, ",\"IpAddress\":{\"AWS:SourceIp\":\"10.0.0.255/32\"}"));
    c = of(rsa_pem);
    c.url = "https://d111111abcdef8.cloudfront.net/images/*";
    custom_is(&c, "https://d111111abcdef8.cloudfront.net/images/photo.jpg?x=1",
              POLICY("https://d111111abcdef8.cloudfront.net/images/*", ""));
    c.url = "http://*.cloudfront.net/images/ph?to.jp*g";
    custom_is(&c, "http://d1.cloudfront.net/images/photo.jpg",
              POLICY("http://*.cloudfront.net/images/ph?to.jp*g", ""));
    c.url = URL "?"; /* a wildcard */
    custom_is(&c, URL "x", POLICY(URL "?", ""));
}

/*
 * The example of "Set signed cookies using a custom policy" has the same parts in another order, of no account;
 * its base64 shows the way in which what cannot be in an address is replaced.
 */
static void test_documented(void **state)
{
    static const char told[] = "CloudFront-Policy="
                               "eyJTdGF0ZW1lbnQiOlt7IlJlc291cmNlIjoiaHR0cDovL2QxMTExMTFhYmNkZWY4LmNsb3VkZnJvb"
                               "nQubmV0L2dhbWVfZG93bmxvYWQuemlw"
                               "IiwiQ29uZGl0aW9uIjp7IklwQWRkcmVzcyI6eyJBV1M6U291cmNlSXAiOiIxOTIuMC4yLjAvMjQif"
                               "SwiRGF0ZUxlc3NUaGFuIjp7IkFXUzpF"
                               "cG9jaFRpbWUiOjE0MjY1MDAwMDB9fX1dfQ__";
    vp_cloudfront c = of(rsa_pem);
    uint8_t theirs[4096], ours[4096];
    size_t n = value_of(told, "Policy=", theirs), m;
    char *text;

    (void)state;
    c.url = "http://d111111abcdef8.cloudfront.net/game_download.zip";
    c.ip = "192.0.2.0/24";
    c.expires_s = 1426500000;
    text = cookies_of(&c);
    m = value_of(text, "Policy=", ours);
    assert_int_equal(n, m);
    theirs[n] = ours[n] = 0;
    assert_memory_equal(theirs, ours,
                        strlen("{\"Statement\":[{\"Resource\":\"http://d111111abcdef8.cloudfront.net/"
                               "game_download.zip\",\"Condition\":{\""));
    assert_non_null(strstr((char *)ours, "\"IpAddress\":{\"AWS:SourceIp\":\"192.0.2.0/24\"}"));
    assert_non_null(strstr((char *)ours, "\"DateLessThan\":{\"AWS:EpochTime\":1426500000}"));
    free(text);
}

/* ---- keys ---- */

static void key_works(const void *data, size_t size, const char *passphrase, EVP_PKEY *key)
{
    vp_cloudfront c = of("");
    char *text;

    c.private_key = data;
    c.private_key_size = size;
    c.passphrase = passphrase;
    text = address_of(&c, NULL);
    verifies(key, EVP_sha1(), text, CANNED);
    free(text);
}

static void key_fails(const void *data, size_t size, const char *passphrase)
{
    vp_cloudfront c = of("");
    vp_bytes *out = NULL;
    vp_error err = VP_ERROR_INIT;

    c.private_key = data;
    c.private_key_size = size;
    c.passphrase = passphrase;
    assert_int_equal(vp_cloudfront_sign_url(&c, NULL, &out, &err), VP_E_AUTH);
    assert_string_equal(err.reason, "KEY_INVALID");
    assert_null(out);
}

static void test_keys(void **state)
{
    static const char curve[] =
        "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
    char pem[4096], both[5000];
    size_t n;

    (void)state;
    for (int i = 0; i < 2; i++) {
        EVP_PKEY *key = i ? ec : rsa;
        uint8_t *der = NULL;
        int size = i2d_PrivateKey(key, &der);

        assert_true(size > 0);
        key_works(der, (size_t)size, NULL, key);
        key_fails(der, (size_t)size / 2, NULL);
        OPENSSL_free(der);
        n = pem_of(key, true, NULL, pem);
        key_works(pem, n, NULL, key);
        snprintf(both, sizeof(both), "%s%s", i ? curve : "# key\n", pem);
        key_works(both, strlen(both), NULL, key);
        n = pem_of(key, false, "open", pem);
        key_works(pem, n, "open", key);
        key_fails(pem, n, "closed");
        key_fails(pem, n, NULL);
    }
    key_fails(curve, sizeof(curve) - 1, NULL);
    key_fails("x", 1, NULL);
}

static void test_other_keys(void **state)
{
    EVP_PKEY *keys[] = { EVP_RSA_gen(1024), EVP_EC_gen("P-384"), EVP_EC_gen("secp256k1"),
                         EVP_PKEY_Q_keygen(NULL, NULL, "ED25519") };
    char pem[4096];
    uint8_t *der = NULL;
    int size = i2d_PUBKEY(rsa, &der);
    BIO *b = BIO_new(BIO_s_mem());

    (void)state;
    for (size_t i = 0; i < VPI_COUNT(keys); i++) {
        assert_non_null(keys[i]);
        key_fails(pem, pem_of(keys[i], false, NULL, pem), NULL);
        EVP_PKEY_free(keys[i]);
    }
    assert_true(size > 0);
    key_fails(der, (size_t)size, NULL);
    OPENSSL_free(der);
    assert_int_equal(PEM_write_bio_PUBKEY(b, ec), 1);
    size = BIO_read(b, pem, sizeof(pem));
    key_fails(pem, (size_t)size, NULL);
    BIO_free(b);
}

/* ---- what is refused ---- */

static void refused(const vp_cloudfront *c, const char *address, const char *word)
{
    vp_bytes *out = (vp_bytes *)&out;
    vp_error err = VP_ERROR_INIT;

    assert_int_equal(vp_cloudfront_sign_url(c, address, &out, &err), VP_E_ARG);
    assert_null(out);
    if (!strstr(err.message, word)) fail_msg("%s: wanted %s", err.message, word);
}

static void test_refused(void **state)
{
    static const char *const urls[] = { "",
                                        "d1.net/a",
                                        "ftp://h/",
                                        "http*://h/",
                                        "https://",
                                        "https:///a",
                                        "https://h/#a",
                                        "https://h/a b",
                                        "https://h/\"",
                                        "https://h/\\",
                                        "https://h/\xC3\xA9",
                                        "https://h/\n" };
    static const char *const addresses[] = { URL "?",           URL "?Expires=1",
                                             URL "?a&policy=x", URL "?Key-Pair-Id",
                                             URL "?a=b#c",      "http*://h/",
                                             "HTTPS://h/",      URL "?&Hash-Algorithm=SHA256" };
    static const char *const ips[] = { "",           "1",          "1.2.3",     "1.2.3.256",
                                       "1.2.3.4/33", "1.2.3.4/",   "1.2.3.4.5", "2001:db8::1",
                                       "1.2.3.4 ",   "0001.2.3.4", "1..2.3" };
    vp_cloudfront c = of(rsa_pem), d;
    vp_bytes *out = NULL;

    (void)state;
#define REFUSED(field, value, word) (d = c, d.field = (value), refused(&d, NULL, word))
    for (size_t i = 0; i < VPI_COUNT(urls); i++) REFUSED(url, urls[i], "url");
    for (size_t i = 0; i < VPI_COUNT(ips); i++) REFUSED(ip, ips[i], "ip");
    d = c;
    d.url = "https://*";
    for (size_t i = 0; i < VPI_COUNT(addresses); i++) refused(&d, addresses[i], "address");
    refused(&d, NULL, "url");
    refused(&c, URL "x", "address");
    d.url = "https://d1.net/a/*/c";
    refused(&d, "https://d1.net/a/c", "address");
    REFUSED(url, NULL, "url");
    REFUSED(key_pair_id, NULL, "key_pair_id");
    REFUSED(key_pair_id, "", "key_pair_id");
    REFUSED(key_pair_id, "a&b", "key_pair_id");
    REFUSED(key_pair_id, "a\n", "key_pair_id");
    REFUSED(private_key, NULL, "private_key");
    REFUSED(private_key_size, 0, "private_key");
    REFUSED(expires_s, 0, "expires_s");
    REFUSED(starts_s, -1, "starts_s");
    REFUSED(starts_s, c.expires_s, "starts_s");
    REFUSED(flags, 4, "flags");
    assert_int_equal(vp_cloudfront_sign_url(NULL, NULL, &out, NULL), VP_E_ARG);
    assert_int_equal(vp_cloudfront_sign_url(&c, NULL, NULL, NULL), VP_E_ARG);
    assert_int_equal(vp_cloudfront_sign_cookies(NULL, &out, NULL), VP_E_ARG);
    assert_int_equal(vp_cloudfront_sign_cookies(&c, NULL, NULL), VP_E_ARG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_canned), cmocka_unit_test(test_custom),     cmocka_unit_test(test_documented),
        cmocka_unit_test(test_keys),   cmocka_unit_test(test_other_keys), cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, prepare, clean);
}
