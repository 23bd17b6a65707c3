/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is read of credentials: files, words of commands, JSON, times, answers of STS; and copies of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/fault.h"
#include "s3/credentials.h"

/* ---- files ---- */

typedef struct ini_case {
    const char *text;
    const char *in, *name, *sub;
    const char *value; /* NULL: none; "!" and a text: refused with it */
    vpi_s3_section section;
    bool credentials;
} ini_case;

#define P VPI_S3_PROFILE
static const ini_case ini_cases[] = {
    { "[default]\na = b", "default", "a", NULL, "b", P, false },
    { "[default]\na=b\n", "default", "a", NULL, "b", P, false },
    { "[default]\r\na = b \t\r\n", "default", "a", NULL, "b", P, false },
    { "\xEF\xBB\xBF[default]\na = b", "default", "a", NULL, "b", P, false },
    { "", "default", "a", NULL, NULL, P, false },
    { "# x\n ; y\n\n[default] ; z\na = b", "default", "a", NULL, "b", P, false },
    { "[default]# z\na = b", "default", "a", NULL, "b", P, false },
    { "[ default ]\nA_Key = B", "default", "a_key", NULL, "B", P, false },
    { "[Default]\na = b", "default", "a", NULL, NULL, P, false },
    { "[profile x]\na = b", "x", "a", NULL, "b", P, false },
    { "[profile\t x ]\na = b", "x", "a", NULL, "b", P, false },
    { "[profile \"x y\"]\na = b", "x y", "a", NULL, "b", P, false },
    { "[profile 'x y']\na = b", "x y", "a", NULL, "b", P, false },
    { "[profile \"x]\na = b", "\"x", "a", NULL, "b", P, false },
    { "[x]\na = b", "x", "a", NULL, NULL, P, false },
    { "[profilex]\na = b", "x", "a", NULL, NULL, P, false },
    { "[Profile x]\na = b", "x", "a", NULL, NULL, P, false },
    { "[profile]\na = b", "profile", "a", NULL, NULL, P, false },
    { "[x]\na = b", "x", "a", NULL, "b", P, true },
    { "[profile x]\na = b", "x", "a", NULL, NULL, P, true },
    { "[profile x]\na = b", "profile x", "a", NULL, "b", P, true },
    { "[sso-session x]\na = b", "x", "a", NULL, "b", VPI_S3_SSO_SESSION, false },
    { "[sso-session x]\na = b", "x", "a", NULL, NULL, P, false },
    { "[default]\na = 1\n[profile default]\na = 2", "default", "a", NULL, "2", P, false },
    { "[profile default]\na = 2\n[default]\na = 1\nb = 1", "default", "a", NULL, "2", P, false },
    { "[profile default]\na = 2\n[default]\na = 1\nb = 1", "default", "b", NULL, NULL, P, false },
    { "[profile x]\na = 1\n[profile y]\na = 2\n[profile x]\nb = 3", "x", "b", NULL, "3", P, false },
    { "[profile x]\na = 1\n[profile y]\na = 2\n[profile x]\nb = 3", "x", "a", NULL, "1", P, false },
    { "[default]\na = 1\nA = 2", "default", "a", NULL, "2", P, false },
    { "[default]\na = 1\na =", "default", "a", NULL, NULL, P, false },
    /* comments behind values need white space */
    { "[default]\na = b # c", "default", "a", NULL, "b", P, false },
    { "[default]\na = b\t; c", "default", "a", NULL, "b", P, false },
    { "[default]\na = b#c;d", "default", "a", NULL, "b#c;d", P, false },
    { "[default]\na = # c", "default", "a", NULL, NULL, P, false },
    { "[default]\na =#c", "default", "a", NULL, "#c", P, false },
    { "[default]\na = b = c", "default", "a", NULL, "b = c", P, false },
    { "[default]\na = \"b c\"", "default", "a", NULL, "\"b c\"", P, false },
    /* what is indented */
    { "[default]\n  a = 1\n  b = 2", "default", "b", NULL, "2", P, false },
    { "[default]\n\ta = 1\n\tb = 2", "default", "a", NULL, "1", P, false },
    { "[default]\na = 1\n  two\n # no\n\tthree ", "default", "a", NULL, "1\ntwo\nthree", P, false },
    { "[default]\na = 1\n  b = 2\nc = 3", "default", "a", NULL, "1\nb = 2", P, false },
    { "[default]\na = 1\n  b = 2\nc = 3", "default", "c", NULL, "3", P, false },
    { "[default]\na = 1\n  [b]\nc = 3", "default", "a", NULL, "1\n[b]", P, false },
    { "[default]\ns3 =\n  B = 2 # x\n  c=3\nd = 4", "default", "s3", "b", "2", P, false },
    { "[default]\ns3 =\n  b = 2\n  c=3\nd = 4", "default", "s3", "c", "3", P, false },
    { "[default]\ns3 =\n  b = 2\n  c=3\nd = 4", "default", "d", NULL, "4", P, false },
    { "[default]\ns3 =\n  b = 2", "default", "b", NULL, NULL, P, false },
    { "[services x]\ns3 = \n  endpoint_url = http://h:1\nsts =\n  endpoint_url = http://i", "x", "s3",
      "endpoint_url", "http://h:1", VPI_S3_SERVICES, false },
    { "[services x]\ns3 = \n  endpoint_url = http://h:1\nsts =\n  endpoint_url = http://i", "x", "sts",
      "endpoint_url", "http://i", VPI_S3_SERVICES, false },
    /* what is refused */
    { "a = b", "", "", NULL, "!line 1: a setting before the first section", P, false },
    { "\n[default", "", "", NULL, "!line 2: a section without \"]\"", P, false },
    { "[default] x", "", "", NULL, "!line 1: something behind \"]\"", P, false },
    { "[default]\nsecret", "", "", NULL, "!line 2: neither a section nor \"name = value\"", P, false },
    { "[default]\n= secret", "", "", NULL, "!line 2: neither a section nor \"name = value\"", P, false },
    { "[default]\n  = secret", "", "", NULL, "!line 2: neither a section nor \"name = value\"", P, false },
    { "[default]\na =\n  secret", "", "", NULL, "!line 3: not \"name = value\" in a block", P, false },
};

static void files(void **state)
{
    (void)state;
    for (size_t i = 0; i < VPI_COUNT(ini_cases); i++) {
        const ini_case *c = &ini_cases[i];
        bool bad = c->value && c->value[0] == '!';
        size_t n = strlen(c->text);
        char *exact = malloc(n + !n);
        vp_error err = VP_ERROR_INIT;
        vpi_s3_ini ini;
        vp_status st;

        memcpy(exact, c->text, n);
        st = vpi_s3_ini_parse(&ini, exact, n, c->credentials, &err);
        free(exact);
        if (st != (bad ? VP_E_DATA : VP_OK) || (bad && strcmp(err.message, c->value + 1) != 0))
            fail_msg("case %zu: %d %s", i, (int)st, err.message);
        if (!bad && !vpi_streq(vpi_s3_ini_get(&ini, c->section, c->in, c->name, c->sub), c->value))
            fail_msg("case %zu: %s", i, vpi_s3_ini_get(&ini, c->section, c->in, c->name, c->sub));
        if (!bad && c->value) assert_true(vpi_s3_ini_has(&ini, c->section, c->in));
        vpi_s3_ini_dispose(&ini);
        assert_null(ini.text);
    }
}

static void file_limits(void **state)
{
    size_t size = VPI_S3_FILE_MAX + 1;
    char *text = malloc(size), *p = text;
    vp_error err = VP_ERROR_INIT;
    vpi_s3_ini ini;

    (void)state;
    assert_non_null(text);
    memset(text, '\n', size);
    assert_int_equal(vpi_s3_ini_parse(&ini, text, size, false, &err), VP_E_LIMIT);
    assert_int_equal(vpi_s3_ini_parse(&ini, text, size - 1, false, NULL), VP_OK);
    vpi_s3_ini_dispose(&ini);
    memcpy(text, "[a]\nb =", 7);
    memset(text + 7, 'x', VPI_S3_LINE_MAX - 3);
    assert_int_equal(vpi_s3_ini_parse(&ini, text, size - 1, true, NULL), VP_OK);
    assert_int_equal(strlen(vpi_s3_ini_get(&ini, VPI_S3_PROFILE, "a", "b", NULL)), VPI_S3_LINE_MAX - 3);
    vpi_s3_ini_dispose(&ini);
    text[VPI_S3_LINE_MAX + 4] = 'x';
    vp_error_init(&err);
    assert_int_equal(vpi_s3_ini_parse(&ini, text, size - 1, true, &err), VP_E_DATA);
    assert_string_equal(err.message, "line 2: too long");
    vp_error_init(&err);
    assert_int_equal(vpi_s3_ini_parse(&ini, "[a]\nb = \0", 9, true, &err), VP_E_DATA);
    p += sprintf(p, "[a]\n");
    for (int i = 0; i < 20001; i++) p += sprintf(p, "b=%d\n", i);
    vp_error_init(&err);
    assert_int_equal(vpi_s3_ini_parse(&ini, text, (size_t)(p - text), true, &err), VP_E_LIMIT);
    free(text);
}

/* ---- words ---- */

static void words(void **state)
{
    static const char *const cases[][6] = {
        { "a", "a" },
        { "  a b\tc\nd ", "a", "b", "c", "d" },
        { "\"/opt/a b/c\" --d 'e f'", "/opt/a b/c", "--d", "e f" },
        { "a\\ b c\\\\ \\\"", "a b", "c\\", "\"" },
        { "a \"b \\\" \\\\ \\n $HOME\"", "a", "b \" \\ \\n $HOME" },
        { "a 'b \\n \"'c\"d\"", "a", "b \\n \"cd" },
        { "a '' \"\"", "a", "", "" },
        { "a | b > c", "a", "|", "b", ">", "c" },
    };
    static const char *const bad[] = { "", "  ", "a 'b", "a \"b", "a \\", "\"a\\", "''" };
    char **got;

    (void)state;
    for (size_t i = 0; i < VPI_COUNT(cases); i++) {
        size_t n = 0;

        assert_int_equal(vpi_s3_words(cases[i][0], &got, NULL), VP_OK);
        for (; n < 5 && cases[i][n + 1]; n++) assert_string_equal(got[n], cases[i][n + 1]);
        assert_null(got[n]);
        vpi_free(got);
    }
    for (size_t i = 0; i < VPI_COUNT(bad); i++) {
        assert_int_equal(vpi_s3_words(bad[i], &got, NULL), VP_E_DATA);
        assert_null(got);
    }
}

/* ---- times ---- */

static void times(void **state)
{
    static const struct {
        const char *text;
        int64_t s;
    } cases[] = {
        { "1970-01-01T00:00:01Z", 1 },
        { "2026-07-31T12:34:56Z", 1785501296 },
        { "2024-02-29T23:59:59.123456Z", 1709251199 },
        { "2024-03-01t00:00:00z", 1709251200 },
        { "2100-03-01 00:00:00", 4107542400 },
        { "2026-07-31T12:34:56+02:00", 1785501296 - 7200 },
        { "2026-07-31T12:34:56-0530", 1785501296 + 19800 },
        { "2026-07-31T12:34:56.5+00:00", 1785501296 },
        { "", 0 },
        { "1785501296", 0 },
        { "2026-07-31", 0 },
        { "2026-07-31T12:34", 0 },
        { "2026-13-31T12:34:56Z", 0 },
        { "2026-07-32T12:34:56Z", 0 },
        { "2026-07-31T24:34:56Z", 0 },
        { "2026-07-31T12:34:56Zx", 0 },
        { "2026-07-31T12:34:56+25:00", 0 },
        { "2026-07-31T12:34:56+02:00x", 0 },
        { "2026-07-31T12:34:56 UTC", 0 },
        { "1969-12-31T23:59:59Z", 0 },
    };

    (void)state;
    for (size_t i = 0; i < VPI_COUNT(cases); i++) {
        int64_t us = 0;

        if (vpi_s3_time_parse(cases[i].text, &us) != (cases[i].s != 0) ||
            (cases[i].s && us != cases[i].s * 1000000))
            fail_msg("%s: %lld", cases[i].text, (long long)us);
    }
}

/* ---- JSON ---- */

static void json(void **state)
{
    static const struct {
        const char *text, *message; /* NULL: taken */
        vpi_s3_form form;
    } cases[] = {
        { "{\"Version\":1,\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"a/"
          "b+c\",\"SessionToken\":\"t=\",\"Expiration\":"
          "\"2099-01-01T00:00:00Z\"}",
          NULL, VPI_S3_FORM_PROCESS },
        { " {\"SecretAccessKey\" : \"a\\/b\\u002bc\" ,\n\"AccessKeyId\": "
          "\"A\",\"SessionToken\":\"\\u0074=\", \"Version\":1,"
          "\"x\":{\"AccessKeyId\":\"B\"},\"Expiration\":\"2099-01-01T00:00:00Z\", \"n\": [1, \"two\", "
          "null]}\n",
          NULL, VPI_S3_FORM_PROCESS },
        { "{\"Code\":\"Success\",\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"a/"
          "b+c\",\"Token\":\"t=\",\"Expiration\":"
          "\"2099-01-01T00:00:00+00:00\"}",
          NULL, VPI_S3_FORM_METADATA },
        { "", "the answer is not JSON (line 1)", VPI_S3_FORM_PROCESS },
        { "secret", "the answer is not JSON (line 1)", VPI_S3_FORM_PROCESS },
        { "\n\n{\"a\":\"secret\"", "the answer is not JSON (line 3)", VPI_S3_FORM_PROCESS },
        { "{\"a", "the answer is not JSON (line 1)", VPI_S3_FORM_PROCESS },
        { "[]", "the answer is not a JSON object", VPI_S3_FORM_PROCESS },
        { "\"secret\"", "the answer is not JSON (line 1)", VPI_S3_FORM_METADATA },
        { "{}", "Version is not 1", VPI_S3_FORM_PROCESS },
        { "{\"Version\":\"1\"}", "Version is not 1", VPI_S3_FORM_PROCESS },
        { "{\"Version\":2}", "Version is not 1", VPI_S3_FORM_PROCESS },
        { "{\"Version\":1}", "no AccessKeyId in the answer", VPI_S3_FORM_PROCESS },
        { "{\"AccessKeyId\":\"A\"}", "no SecretAccessKey in the answer", VPI_S3_FORM_METADATA },
        { "{\"AccessKeyId\":7}", "AccessKeyId is not a string", VPI_S3_FORM_METADATA },
        { "{\"AccessKeyId\":\"\",\"SecretAccessKey\":\"b\"}",
          "the access key is empty or not printable ASCII", VPI_S3_FORM_METADATA },
        { "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"a b\"}",
          "the secret key is empty or not printable ASCII", VPI_S3_FORM_METADATA },
        { "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"a\\u0000b\"}",
          "SecretAccessKey has a character that cannot be in it", VPI_S3_FORM_METADATA },
        { "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"b\",\"Token\":\"\xC3\xA9\"}",
          "the session token is empty or not printable ASCII", VPI_S3_FORM_METADATA },
        { "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"b\",\"Expiration\":\"soon\"}",
          "when they expire is not a time of ISO 8601", VPI_S3_FORM_METADATA },
        { "{\"Code\":\"NoRole\"}", "the answer is a refusal, NoRole", VPI_S3_FORM_METADATA },
        { "{\"code\":\"secret/1\"}", "the answer is a refusal", VPI_S3_FORM_METADATA },
        { "{\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\":1}",
          "the answer is not credentials in JSON", VPI_S3_FORM_METADATA },
    };

    (void)state;
    for (size_t i = 0; i < VPI_COUNT(cases); i++) {
        vpi_s3_secret s = { 0 };
        vp_error err = VP_ERROR_INIT;
        size_t n = strlen(cases[i].text);
        char *exact = malloc(n + !n);
        vp_status st;

        memcpy(exact, cases[i].text, n);
        st = vpi_s3_json(exact, n, cases[i].form, &s, &err);
        free(exact);
        if ((st >= 0) != !cases[i].message ||
            strcmp(err.message, cases[i].message ? cases[i].message : "") != 0)
            fail_msg("case %zu: %d %s", i, (int)st, err.message);
        if (st < 0) {
            assert_null(s.access_key);
            continue;
        }
        assert_string_equal(s.access_key, "A");
        assert_string_equal(s.secret_key, "a/b+c");
        assert_string_equal(s.session_token, "t=");
        assert_int_equal(s.expires_us, INT64_C(4070908800000000));
        vpi_s3_secret_wipe(&s);
    }
}

/* ---- answers of STS ---- */

static vp_status answer(const char *xml, vpi_s3_secret *s, char code[64], vp_error *err)
{
    vp_error_init(err);
    return vpi_s3_sts_answer(xml, strlen(xml), s, code, err);
}

static void sts_answers(void **state)
{
    static const char *const bad[] = {
        "",
        "x",
        "<a>",
        "<a/>",
        "<a><Credentials/></a>",
        "<a><Credentials><AccessKeyId>A</AccessKeyId></Credentials></a>",
        "<a><AccessKeyId>A</AccessKeyId><SecretAccessKey>b</SecretAccessKey></a>",
        "<!DOCTYPE a><a/>"
    };
    vpi_s3_secret s = { 0 };
    vp_error err;
    char code[64];

    (void)state;
    assert_int_equal(
        answer("<a><b><Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>b&amp;c</SecretAccessKey>"
               "</Credentials></b></a>",
               &s, code, &err),
        VP_OK);
    assert_string_equal(s.access_key, "A");
    assert_string_equal(s.secret_key, "b&c");
    assert_null(s.session_token);
    assert_string_equal(code, "");
    vpi_s3_secret_wipe(&s);
    assert_int_equal(answer("<E><Error><Code>AccessDenied</Code></Error></E>", &s, code, &err), VP_OK);
    assert_string_equal(code, "AccessDenied");
    assert_int_equal(answer("<E><Error><Code>a secret</Code></Error></E>", &s, code, &err), VP_OK);
    assert_string_equal(code, "unknown");
    for (size_t i = 0; i < VPI_COUNT(bad); i++) assert_int_equal(answer(bad[i], &s, code, &err), VP_E_DATA);
    assert_null(s.access_key);
}

/* ---- copies ---- */

static void copies(void **state)
{
    vp_s3_credentials c = VP_S3_CREDENTIALS_INIT, view;
    vp_error err = VP_ERROR_INIT;
    vpi_s3_secret s = { 0 };
    struct vp_s3_reply reply = { 0 };

    (void)state;
    assert_int_equal(vpi_s3_secret_copy(&s, NULL, &err), VP_E_ARG);
#define REFUSES(field, text)                                                                                 \
    do {                                                                                                     \
        const char *kept = c.field;                                                                          \
        c.field = (text);                                                                                    \
        vp_error_init(&err);                                                                                 \
        assert_int_equal(vpi_s3_secret_copy(&s, &c, &err), VP_E_ARG);                                        \
        assert_null(strstr(err.message, "se cret"));                                                         \
        assert_null(s.access_key);                                                                           \
        c.field = kept;                                                                                      \
    } while (0)
    c.access_key = "AKID";
    c.secret_key = "secret";
    REFUSES(access_key, NULL);
    REFUSES(access_key, "");
    REFUSES(access_key, "a\n");
    REFUSES(secret_key, NULL);
    REFUSES(secret_key, "");
    REFUSES(secret_key, "se cret");
    REFUSES(session_token, "");
    REFUSES(session_token, "\x80");
    c.expires_us = -1;
    REFUSES(session_token, NULL);
    c.expires_us = 5;
    c.session_token = "t";
    assert_int_equal(vpi_s3_secret_copy(&s, &c, &err), VP_OK);
    assert_ptr_not_equal(s.access_key, c.access_key);
    view = vpi_s3_secret_view(&s);
    assert_string_equal(view.access_key, "AKID");
    assert_string_equal(view.secret_key, "secret");
    assert_string_equal(view.session_token, "t");
    assert_int_equal(view.expires_us, 5);
    assert_true(vpi_s3_secret_expired(&s));
    c.session_token = NULL; /* over what was there */
    assert_int_equal(vpi_s3_secret_copy(&s, &c, &err), VP_OK);
    assert_null(s.session_token);
    vpi_s3_secret_wipe(&s);
    assert_null(s.access_key);
    vpi_s3_secret_wipe(&s);
    vpi_s3_secret_wipe(NULL);
    assert_int_equal(vp_s3_reply_set(NULL, &c, &err), VP_E_ARG);
    assert_int_equal(vp_s3_reply_set(&reply, NULL, &err), VP_E_ARG);
    assert_int_equal(vp_s3_reply_set(&reply, &c, &err), VP_OK);
    assert_int_equal(vp_s3_reply_set(&reply, &c, &err), VP_E_STATE);
    vpi_s3_secret_wipe(&reply.secret);
    c.struct_size = 2;
    vp_error_init(&err);
    assert_int_equal(vpi_s3_secret_copy(&s, &c, &err), VP_E_ARG);
}

static void copies_without_memory(void **state)
{
    vp_s3_credentials c = VP_S3_CREDENTIALS_INIT;
    vpi_s3_secret s = { 0 };

    (void)state;
    c.access_key = c.secret_key = c.session_token = "x";
    for (long n = 1; n <= 3; n++) {
        vp_error err = VP_ERROR_INIT;

        vpi_alloc_fail_at = n;
        assert_int_equal(vpi_s3_secret_copy(&s, &c, &err), VP_E_NOMEM);
        assert_int_equal(vpi_alloc_fail_at, 0);
        assert_null(s.access_key);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files),  cmocka_unit_test(file_limits),
        cmocka_unit_test(words),  cmocka_unit_test(times),
        cmocka_unit_test(json),   cmocka_unit_test(sts_answers),
        cmocka_unit_test(copies), cmocka_unit_test(copies_without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
