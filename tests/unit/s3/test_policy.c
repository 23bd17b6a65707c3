/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Forms that upload: the documentation's example, the policy's exact text, its signature made another way. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "s3/sign.h"

#define SECRET "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
#define END_2015 1451347200000000 /* 20151229T000000Z */

static vp_s3_credentials example(void)
{
    vp_s3_credentials c = VP_S3_CREDENTIALS_INIT;

    c.access_key = "AKIAIOSFODNN7EXAMPLE";
    c.secret_key = SECRET;
    return c;
}

static vp_s3_post form(void)
{
    vp_s3_post p = VP_S3_POST_INIT;

    p.url = "https://sigv4examplebucket.s3.amazonaws.com/";
    p.bucket = "sigv4examplebucket";
    p.region = "us-east-1";
    p.key = "user/user1/${filename}";
    p.time_us = END_2015;
    return p;
}

/* "Example: Browser-Based Upload using HTTP POST": the policy there has line breaks of its own. */
static void test_documented(void **state)
{
    static const char policy[] =
        "{ \"expiration\": \"2015-12-30T12:00:00.000Z\",\r\n  \"conditions\": [\r\n"
        "    {\"bucket\": \"sigv4examplebucket\"},\r\n    [\"starts-with\", \"$key\", \"user/user1/\"],\r\n"
        "    {\"acl\": \"public-read\"},\r\n    {\"success_action_redirect\": "
        "\"http://sigv4examplebucket.s3.amazonaws.com/successful_upload.html\"},\r\n"
        "    [\"starts-with\", \"$Content-Type\", \"image/\"],\r\n    {\"x-amz-meta-uuid\": "
        "\"14365123651274\"},\r\n"
        "    {\"x-amz-server-side-encryption\": \"AES256\"},\r\n    [\"starts-with\", \"$x-amz-meta-tag\", "
        "\"\"],\r\n\r\n"
        "    {\"x-amz-credential\": \"AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request\"},\r\n"
        "    {\"x-amz-algorithm\": \"AWS4-HMAC-SHA256\"},\r\n    {\"x-amz-date\": \"20151229T000000Z\" }\r\n "
        " ]\r\n}";
    char base64[2048], hex[65];
    vpi_s3_scope scope;
    int n = EVP_EncodeBlock((unsigned char *)base64, (const unsigned char *)policy, sizeof(policy) - 1);

    (void)state;
    assert_int_equal(vpi_s3_scope_make("us-east-1", NULL, END_2015, &scope, NULL), VP_OK);
    assert_int_equal(vpi_s3_scope_sign(&scope, SECRET, NULL, base64, (size_t)n, hex, NULL), VP_OK);
    assert_string_equal(hex, "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e");
}

/* ---- policies ---- */

static void chain(uint8_t key[32], const char *text)
{
    unsigned n = 32;

    assert_non_null(HMAC(EVP_sha256(), key, 32, (const unsigned char *)text, strlen(text), key, &n));
}

static void sign_again(const char *base64, char hex[65])
{
    uint8_t key[32];
    unsigned n = 32;

    assert_non_null(HMAC(EVP_sha256(), "AWS4" SECRET, 4 + (int)strlen(SECRET),
                         (const unsigned char *)"20151229", 8, key, &n));
    chain(key, "us-east-1");
    chain(key, "s3");
    chain(key, "aws4_request");
    chain(key, base64);
    for (size_t i = 0; i < 32; i++) snprintf(hex + 2 * i, 3, "%02x", key[i]);
}

/* Value of a field in the answer, as it stands there. */
static char *field(const char *json, const char *name)
{
    char word[100];
    const char *p;

    snprintf(word, sizeof(word), "\"%s\":\"", name);
    p = strstr(json, word);
    if (!p) fail_msg("no %s in %s", name, json);
    p += strlen(word);
    return strndup(p, strcspn(p, "\""));
}

/* What the policy says and what the form has besides policy and signature, which is checked. */
static void makes(const vp_s3_post *p, const vp_s3_credentials *c, const char *policy, const char *fields)
{
    vp_bytes *out = NULL;
    vp_error err = VP_ERROR_INIT;
    char *base64, *signature, text[4096], want[4096], hex[65];
    const char *json;
    int n, size;

    if (vp_s3_post_policy(p, c, &out, &err) != VP_OK) fail_msg("%s", err.message);
    json = vp_bytes_data(out);
    base64 = field(json, "policy");
    signature = field(json, "x-amz-signature");
    size = (int)strlen(base64);
    assert_true(size % 4 == 0 && size < 4096);
    n = EVP_DecodeBlock((unsigned char *)text, (const unsigned char *)base64, size);
    n -= (base64[size - 1] == '=') + (base64[size - 2] == '=');
    text[n] = 0;
    assert_string_equal(text, policy);
    sign_again(base64, hex);
    assert_string_equal(signature, hex);
    snprintf(want, sizeof(want),
             "{\"url\":\"%s\",\"fields\":{%s,\"policy\":\"%s\",\"x-amz-signature\":\"%s\"}}", p->url, fields,
             base64, hex);
    assert_string_equal(json, want);
    free(base64);
    free(signature);
    vp_bytes_unref(out);
}

#define CREDENTIAL "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request"
#define LAST                                                                                                 \
    "{\"x-amz-algorithm\":\"AWS4-HMAC-SHA256\"},{\"x-amz-credential\":\"" CREDENTIAL "\"},"                  \
    "{\"x-amz-date\":\"20151229T000000Z\"}"
#define LAST_FIELDS                                                                                          \
    "\"x-amz-algorithm\":\"AWS4-HMAC-SHA256\",\"x-amz-credential\":\"" CREDENTIAL "\","                      \
    "\"x-amz-date\":\"20151229T000000Z\""

static void test_policies(void **state)
{
    vp_s3_post p = form();
    vp_s3_credentials c = example();

    (void)state;
    makes(&p, &c,
          "{\"expiration\":\"2015-12-29T01:00:00.000Z\",\"conditions\":[{\"bucket\":\"sigv4examplebucket\"},"
          "[\"starts-with\",\"$key\",\"user/user1/\"],[\"starts-with\",\"$Content-Type\",\"\"]," LAST "]}",
          "\"key\":\"user/user1/${filename}\"," LAST_FIELDS);
    p.expires_s = 129600;
    p.content_type = "video/";
    p.max_size = (uint64_t)1 << 40;
    p.fields = "acl: public-read\r\nx-amz-meta-a:\"b\\\"\nsuccess_action_status:\t201 \n\nx-amz-meta-c:";
    makes(
        &p, &c,
        "{\"expiration\":\"2015-12-30T12:00:00.000Z\",\"conditions\":[{\"bucket\":\"sigv4examplebucket\"},"
        "[\"starts-with\",\"$key\",\"user/user1/\"],[\"starts-with\",\"$Content-Type\",\"video/\"],"
        "{\"acl\":\"public-read\"},{\"x-amz-meta-a\":\"\\\"b\\\\\\\"\"},{\"success_action_status\":\"201\"},"
        "{\"x-amz-meta-c\":\"\"},[\"content-length-range\",0,1099511627776]," LAST "]}",
        "\"key\":\"user/user1/${filename}\",\"acl\":\"public-read\",\"x-amz-meta-a\":\"\\\"b\\\\\\\"\","
        "\"success_action_status\":\"201\",\"x-amz-meta-c\":\"\"," LAST_FIELDS);
    p = form();
    p.key = "a+b c~@(\xC3\xA9)/../%/$x.mp4";
    p.content_type = "video/mp4";
    p.min_size = 1;
    c.session_token = "to/k+en==";
    makes(&p, &c,
          "{\"expiration\":\"2015-12-29T01:00:00.000Z\",\"conditions\":[{\"bucket\":\"sigv4examplebucket\"},"
          "{\"key\":\"a+b c~@(\xC3\xA9)/../%/$x.mp4\"},{\"Content-Type\":\"video/mp4\"},"
          "[\"content-length-range\",1,5368709120]," LAST ",{\"x-amz-security-token\":\"to/k+en==\"}]}",
          "\"key\":\"a+b c~@(\xC3\xA9)/../%/$x.mp4\",\"Content-Type\":\"video/mp4\"," LAST_FIELDS
          ",\"x-amz-security-token\":\"to/k+en==\"");
    p.key = "${filename}";
    p.min_size = 0;
    c.session_token = NULL;
    makes(&p, &c,
          "{\"expiration\":\"2015-12-29T01:00:00.000Z\",\"conditions\":[{\"bucket\":\"sigv4examplebucket\"},"
          "[\"starts-with\",\"$key\",\"\"],{\"Content-Type\":\"video/mp4\"}," LAST "]}",
          "\"key\":\"${filename}\",\"Content-Type\":\"video/mp4\"," LAST_FIELDS);
}

/* ---- what is refused ---- */

static void refused(const vp_s3_post *p, const char *word)
{
    vp_s3_credentials c = example();
    vp_bytes *out = (vp_bytes *)&c;
    vp_error err = VP_ERROR_INIT;

    assert_int_equal(vp_s3_post_policy(p, &c, &out, &err), VP_E_ARG);
    assert_null(out);
    if (!strstr(err.message, word)) fail_msg("%s: wanted %s", err.message, word);
}

static void test_refused(void **state)
{
    static const char *const fields[] = {
        "a",        ":b",    "a b:c",  "KEY: x", "bucket: b", "X-Amz-Signature: 1", "Content-Type: a/b",
        "policy:x", "file:", "a:\x01", "a:\xFF", " a:b",      "x-amz-credential:1"
    };
    static const char *const texts[] = { "a\nb", "\xC3", "\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80",
                                         "\x80", "\x7F", "\xE2\x82" };
    vp_s3_post p = form(), q;
    vp_s3_credentials c = example();
    vp_bytes *out = NULL;
    char *longest = malloc(1026);

    (void)state;
    assert_non_null(longest);
    memset(longest, 'a', 1025);
    longest[1025] = 0;
#define REFUSED(field, value, word) (q = p, q.field = (value), refused(&q, word))
    for (size_t i = 0; i < VPI_COUNT(fields); i++) REFUSED(fields, fields[i], "fields");
    for (size_t i = 0; i < VPI_COUNT(texts); i++) {
        REFUSED(key, texts[i], "key");
        REFUSED(content_type, texts[i], "content_type");
        REFUSED(bucket, texts[i], "bucket");
    }
    REFUSED(key, NULL, "key");
    REFUSED(key, "", "key");
    REFUSED(key, "a${filename}b", "key");
    REFUSED(key, longest, "key");
    longest[1024] = 0;
    q.key = longest;
    assert_int_equal(vp_s3_post_policy(&q, &c, &out, NULL), VP_OK);
    vp_bytes_unref(out);
    REFUSED(bucket, NULL, "bucket");
    REFUSED(bucket, "", "bucket");
    REFUSED(url, NULL, "url");
    REFUSED(url, "https://h/?a", "url");
    REFUSED(region, NULL, "region");
    REFUSED(expires_s, 604801, "expires_s");
    REFUSED(min_size, UINT64_MAX, "min_size");
    REFUSED(time_us, INT64_MAX / 2, "time_us");
    refused(NULL, "post");
    assert_int_equal(vp_s3_post_policy(&p, NULL, &out, NULL), VP_E_ARG);
    assert_int_equal(vp_s3_post_policy(&p, &c, NULL, NULL), VP_E_ARG);
    free(longest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_documented),
        cmocka_unit_test(test_policies),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
