/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The words of upload requests: header lines, numbers, ids and urls, metadata, parts, checksums, ranges, dates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <vodpipe/ingest.h>

#include "ingest/tus_text.h"

static char *repeat(const char *unit, size_t times)
{
    size_t n = strlen(unit);
    char *text = malloc(n * times + 1);

    assert_non_null(text);
    for (size_t i = 0; i < times; i++) memcpy(text + n * i, unit, n);
    text[n * times] = 0;
    return text;
}

static void header_lines(void **state)
{
    static const char *const bad[] = {
        "no colon\n", ": empty\n",     "Name : blank\n", " folded: line\n", "A: b\n continued\n",
        "A: b\rc\n",  "A: \x01\n",     "A: \x7f\n",      "A\x80: b\n",      "A: b\n\nB: c\n",
        "\n\n",       "A:b\n\r\n\r\n", "(a): b\n",
    };
    vpi_tus_fields f;

    (void)state;
    assert_int_equal(0, vpi_tus_fields_read(&f, NULL));
    assert_int_equal(f.count, 0);
    assert_null(vpi_tus_field_get(&f, "A"));
    vpi_tus_fields_dispose(&f);
    assert_int_equal(0, vpi_tus_fields_read(
                            &f, "Upload-Offset:5\r\nx-Two:  a b \t\r\nX-TWO: again\nEmpty:\nLast: \xc3\xa9"));
    assert_int_equal(f.count, 5);
    assert_string_equal(vpi_tus_field_get(&f, "upload-offset"), "5");
    assert_string_equal(vpi_tus_field_get(&f, "X-Two"), "a b");
    assert_string_equal(vpi_tus_field_get(&f, "empty"), "");
    assert_string_equal(vpi_tus_field_get(&f, "LAST"), "\xc3\xa9");
    assert_null(vpi_tus_field_get(&f, "Upload"));
    vpi_tus_fields_dispose(&f);
    assert_int_equal(0, vpi_tus_fields_read(&f, "A: b\r\n\r\n")); /* with the line that ends a head */
    assert_int_equal(f.count, 1);
    vpi_tus_fields_dispose(&f);
    for (size_t i = 0; i < VPI_COUNT(bad); i++) {
        assert_int_equal(400, vpi_tus_fields_read(&f, bad[i]));
        assert_int_equal(f.count, 0);
    }
}

static void header_limits(void **state)
{
    char *text = repeat("A: b\n", VPI_TUS_HEADER_LINES);
    vpi_tus_fields f;

    (void)state;
    assert_int_equal(0, vpi_tus_fields_read(&f, text));
    assert_int_equal(f.count, VPI_TUS_HEADER_LINES);
    vpi_tus_fields_dispose(&f);
    free(text);
    text = repeat("A: b\n", VPI_TUS_HEADER_LINES + 1);
    assert_int_equal(431, vpi_tus_fields_read(&f, text));
    free(text);
    text = repeat("x", VPI_TUS_HEADER_BYTES + 1);
    text[1] = ':';
    assert_int_equal(431, vpi_tus_fields_read(&f, text));
    text[VPI_TUS_HEADER_BYTES] = 0;
    assert_int_equal(0, vpi_tus_fields_read(&f, text));
    vpi_tus_fields_dispose(&f);
    free(text);
}

static bool conflict(const char *lines)
{
    vpi_tus_fields f;
    bool is;

    assert_int_equal(0, vpi_tus_fields_read(&f, lines));
    is = vpi_tus_fields_conflict(&f);
    vpi_tus_fields_dispose(&f);
    return is;
}

static void header_conflicts(void **state)
{
    (void)state;
    assert_false(conflict("Upload-Offset: 5\nUpload-Offset: 5\nCookie: a\nCookie: b\n"));
    assert_true(conflict("Upload-Offset: 5\nupload-offset: 6\n"));
    assert_true(conflict("Content-Length: 5\nX: y\nContent-length: 05\n"));
    assert_true(conflict("X-HTTP-Method-Override: PATCH\nX-Http-Method-Override: DELETE\n"));
    assert_true(conflict("Upload-Complete: ?1\nUpload-Complete: ?0\n"));
    assert_true(vpi_tus_listed("Expires , upload-checksum", "Upload-Checksum"));
    assert_true(vpi_tus_listed("Upload-Checksum", "Upload-Checksum"));
    assert_false(vpi_tus_listed("Upload-Checksums", "Upload-Checksum"));
    assert_false(vpi_tus_listed(",", "Upload-Checksum"));
    assert_false(vpi_tus_listed(NULL, "Upload-Checksum"));
}

static void numbers(void **state)
{
    static const char *const bad[] = { "",
                                       "-1",
                                       "+1",
                                       " 1",
                                       "1 ",
                                       "0x10",
                                       "1.0",
                                       "1e3",
                                       "9223372036854775808",
                                       "18446744073709551616",
                                       "99999999999999999999",
                                       "\xd9\xa1" };
    uint64_t v = 7;

    (void)state;
    for (size_t i = 0; i < VPI_COUNT(bad); i++) assert_false(vpi_tus_number(bad[i], &v));
    assert_int_equal(v, 7);
    assert_true(vpi_tus_number("0", &v) && v == 0);
    assert_true(vpi_tus_number("007", &v) && v == 7);
    assert_true(vpi_tus_number("9223372036854775807", &v) && v == INT64_MAX);
}

static void types(void **state)
{
    (void)state;
    assert_true(vpi_tus_type_is("application/offset+octet-stream", "application/offset+octet-stream"));
    assert_true(vpi_tus_type_is("Application/Offset+Octet-Stream ; a=b", "application/offset+octet-stream"));
    assert_false(vpi_tus_type_is("application/offset+octet-streams", "application/offset+octet-stream"));
    assert_false(vpi_tus_type_is("application/offset", "application/offset+octet-stream"));
    assert_false(vpi_tus_type_is(NULL, "application/offset+octet-stream"));
}

static void ids(void **state)
{
    static const char *const bad[] = { "",      ".",        "..",   "../a",     "a/b", "%2e%2e", "%2e%2e%2fa",
                                       "a%00b", "a%0d%0aB", "-a",   "a b",      "%",   "%4",     "%zz",
                                       "a%",    "a.b",      "%2da", "\xc3\xa9", "a\\b" };
    char id[68], *text;

    (void)state;
    for (size_t i = 0; i < VPI_COUNT(bad); i++) {
        if (vpi_tus_id(bad[i], strlen(bad[i]), id)) fail_msg("%s is no id", bad[i]);
    }
    assert_true(vpi_tus_id("a-B_9", 5, id));
    assert_string_equal(id, "a-B_9");
    assert_true(vpi_tus_id("%41%2D%5f", 9, id));
    assert_string_equal(id, "A-_");
    assert_true(vpi_tus_id("abcdef", 3, id)); /* not further than told */
    assert_string_equal(id, "abc");
    assert_false(vpi_tus_id("a%41", 3, id));
    text = repeat("a", VP_UPLOAD_ID_MAX + 1);
    assert_true(vpi_tus_id(text, VP_UPLOAD_ID_MAX, id));
    assert_false(vpi_tus_id(text, VP_UPLOAD_ID_MAX + 1, id));
    free(text);
}

static void check_below(const char *target, const char *base_url, const char *want)
{
    const char *rest = NULL;
    size_t size = 0;
    bool is = vpi_tus_below(target, strlen(target), "/up/files/", base_url, &rest, &size);

    if (is != (want != NULL)) fail_msg("%s: %d", target, is);
    if (!want) return;
    assert_int_equal(size, strlen(want));
    assert_memory_equal(rest, want, size);
}

static void targets(void **state)
{
    (void)state;
    check_below("/up/files/", NULL, "");
    check_below("/up/files", NULL, "");
    check_below("/up/files/abc?x=/y", NULL, "abc");
    check_below("/up/files?x", NULL, "");
    check_below("/up/files/a/b", NULL, "a/b");
    check_below("http://any.example:81/up/files/abc", NULL, "abc");
    check_below("HTTPS://any.example/up/files/abc#f", NULL, "abc");
    check_below("/up/filesystem", NULL, NULL);
    check_below("/other/abc", NULL, NULL);
    check_below("ftp://any.example/up/files/abc", NULL, NULL);
    check_below("http://any.example", NULL, NULL);
    check_below("http://", NULL, NULL);
    check_below("", NULL, NULL);
    check_below("https://example.org/f/abc", "https://example.org/f/", "abc");
    check_below("/up/files/abc", "https://example.org/f/", "abc");
    check_below("https://evil.example/up/files/abc", "https://example.org/f/", NULL);
    check_below("https://example.org/up/files/abc", "https://example.org/f/", NULL);
    /* Clients may give the path alone; browsers write host names in lower case. */
    check_below("/f/abc", "https://example.org/f/", "abc");
    check_below("https://example.org/f/abc?x", "https://Example.org/f/", "abc");
    check_below("http://example.org/f/abc", "https://example.org/f/", NULL);
    check_below("https://example.orgy/f/abc", "https://example.org/f/", NULL);
    check_below("https://example.or", "https://example.org/f/", NULL);
    check_below("https://example.org", "https://example.org/", NULL);
    /* A base_url that is a path goes with any authority, as base_path does. */
    check_below("/f/abc", "/f/", "abc");
    check_below("https://any.example:81/f/abc", "/f/", "abc");
    check_below("https://any.example/up/files/abc", "/f/", NULL);
}

static void base64(void **state)
{
    static const struct {
        const char *text, *bytes;
    } good[] = { { "", "" }, { "YQ==", "a" }, { "YWI=", "ab" }, { "YWJj", "abc" }, { "YWJjZA==", "abcd" } };
    static const char *const bad[] = { "Y",    "YQ",    "YQ=",  "YR==", "YWJ=", "YQ==YQ==",
                                       "Y Q=", "YQ=\n", "====", "Y===", "-_8=" };
    uint8_t to[16];
    size_t got = 9;
    vpi_buf b = { 0 };

    (void)state;
    for (size_t i = 0; i < VPI_COUNT(good); i++) {
        assert_true(vpi_base64_bytes(good[i].text, strlen(good[i].text), to, &got));
        assert_int_equal(got, strlen(good[i].bytes));
        assert_memory_equal(to, good[i].bytes, got);
        vpi_buf_clear(&b);
        vpi_base64_add(&b, good[i].bytes, got);
        assert_int_equal(b.size, strlen(good[i].text));
        if (b.size) assert_memory_equal(b.data, good[i].text, b.size);
    }
    for (size_t i = 0; i < VPI_COUNT(bad); i++)
        if (vpi_base64_bytes(bad[i], strlen(bad[i]), to, &got)) fail_msg("%s", bad[i]);
    vpi_buf_dispose(&b);
}

static void metadata(void **state)
{
    static const char *const bad[] = { "a YQ==,a Yg==", "a,a",      ",",     "a YQ==,",
                                       "a  YQ==",       "a YQ",     "a b c", "\xc3\xa9 YQ==",
                                       "a*\t YQ==",     "a YQ==,,b" };
    vpi_tus_metadata m;
    vpi_buf b = { 0 };
    char *text;

    (void)state;
    for (const char *const *none = (const char *const[]){ NULL, "", "  ", NULL }, *const *end = none + 3;
         none < end; none++) {
        assert_int_equal(0, vpi_tus_metadata_read(&m, *none));
        assert_int_equal(m.count, 0);
    }
    /* A NUL, CR and LF are bytes of a value like others. */
    assert_int_equal(0, vpi_tus_metadata_read(&m, "filename YQ0KAGI=, is_confidential ,empty ,x-y! /w=="));
    assert_int_equal(m.count, 4);
    assert_string_equal(m.pair[0].name, "filename");
    assert_int_equal(m.pair[0].size, 5);
    assert_memory_equal(m.pair[0].value, "a\r\n\0b\0", 6);
    assert_string_equal(m.pair[1].name, "is_confidential");
    assert_int_equal(m.pair[1].size, 0);
    assert_int_equal(m.pair[1].value[0], 0);
    assert_ptr_equal(vpi_tus_metadata_get(&m, "x-y!"), &m.pair[3]);
    assert_null(vpi_tus_metadata_get(&m, "Filename"));
    vpi_tus_metadata_write(&m, &b);
    text = vpi_buf_steal_string(&b);
    assert_string_equal(text, "filename YQ0KAGI=,is_confidential,empty,x-y! /w==");
    vpi_free(text);
    vpi_tus_metadata_dispose(&m);
    for (size_t i = 0; i < VPI_COUNT(bad); i++) {
        if (vpi_tus_metadata_read(&m, bad[i]) != 400) fail_msg("%s", bad[i]);
        assert_int_equal(m.count, 0);
    }
}

static void metadata_limits(void **state)
{
    vpi_tus_metadata m;
    vpi_buf b = { 0 };
    char *text;

    (void)state;
    for (unsigned n = VPI_TUS_PAIRS_MAX; n <= VPI_TUS_PAIRS_MAX + 1; n++) {
        vpi_buf_clear(&b);
        for (unsigned i = 0; i < n; i++) vpi_buf_printf(&b, "%sn%u YQ==", i ? "," : "", i);
        vpi_buf_u8(&b, 0);
        assert_int_equal(n <= VPI_TUS_PAIRS_MAX ? 0 : 400, vpi_tus_metadata_read(&m, (const char *)b.data));
        vpi_tus_metadata_dispose(&m);
    }
    vpi_buf_dispose(&b);
    text = repeat("x", VP_UPLOAD_METADATA_MAX + 1);
    assert_int_equal(400, vpi_tus_metadata_read(&m, text));
    free(text);
}

static int concat(const char *value, char **parts)
{
    return vpi_tus_concat_read(value, "/files/", NULL, parts);
}

static void parts(void **state)
{
    static const char *const bad[] = { "",
                                       "final",
                                       "final;",
                                       "final; ",
                                       "Partial",
                                       "partial;",
                                       "final /files/a",
                                       "final;/files/",
                                       "final;/files",
                                       "final;/files/../a",
                                       "final;/files/%2e%2e",
                                       "final;/etc/passwd",
                                       "final;/files/a,/files/b",
                                       "final;../a",
                                       "final;file:///files/a",
                                       "final;/files/a /files/b%00",
                                       "final;//files/a" };
    char *ids, *text, *many;
    vpi_buf b = { 0 };

    (void)state;
    assert_int_equal(0, concat("partial", &ids));
    assert_null(ids);
    assert_int_equal(0, concat("final;/files/a /files/b https://h/files/a  c", &ids));
    assert_string_equal(ids, "a b a c");
    vpi_free(ids);
    assert_int_equal(0, concat("final; /files/%61 ", &ids));
    assert_string_equal(ids, "a");
    vpi_free(ids);
    for (size_t i = 0; i < VPI_COUNT(bad); i++) {
        if (concat(bad[i], &ids) != 400) fail_msg("%s", bad[i]);
        assert_null(ids);
    }
    assert_int_equal(400,
                     vpi_tus_concat_read("final;https://evil/files/a", "/files/", "https://h/files/", &ids));
    assert_int_equal(0, vpi_tus_concat_read("final;https://h/files/a", "/files/", "https://h/files/", &ids));
    vpi_free(ids);
    text = repeat("/files/a ", VP_UPLOAD_PARTS_MAX);
    vpi_buf_str(&b, "final;");
    vpi_buf_str(&b, text);
    many = vpi_buf_steal_string(&b);
    assert_int_equal(0, concat(many, &ids));
    vpi_free(ids);
    vpi_buf_str(&b, many);
    vpi_buf_str(&b, "b");
    vpi_free(many);
    many = vpi_buf_steal_string(&b);
    assert_int_equal(400, concat(many, &ids));
    vpi_free(many);
    free(text);
}

static void checksums(void **state)
{
    static const char *const bad[] = { "",
                                       "sha1",
                                       "sha1 ",
                                       "sha1  Kq5sNclPz7QV2+lfQIuc6R7oRu0=",
                                       "SHA1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=",
                                       "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0",
                                       "sha256 Kq5sNclPz7QV2+lfQIuc6R7oRu0=",
                                       "crc32 AAAAAA==",
                                       "sha512 Kq5sNclPz7QV2+lfQIuc6R7oRu0=",
                                       " sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=" };
    vpi_tus_sum sum;

    (void)state;
    assert_int_equal(0, vpi_tus_sum_read("sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=", &sum));
    assert_string_equal(sum.algorithm, "sha1");
    assert_int_equal(sum.size, 20);
    assert_memory_equal(sum.digest, "\x2a\xae\x6c\x35\xc9\x4f\xcf\xb4", 8);
    assert_int_equal(0, vpi_tus_sum_read("crc32c AQIDBA==", &sum));
    assert_int_equal(sum.size, 4);
    assert_int_equal(0, vpi_tus_sum_read("md5 XrY7u+Ae7tCTyyK7j1rNww==", &sum));
    assert_int_equal(0, vpi_tus_sum_read("sha256 uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=", &sum));
    assert_int_equal(sum.size, 32);
    for (size_t i = 0; i < VPI_COUNT(bad); i++) {
        if (vpi_tus_sum_read(bad[i], &sum) != 400) fail_msg("%s", bad[i]);
        assert_null(sum.algorithm);
    }
}

static void ranges(void **state)
{
    static const struct {
        const char *value;
        uint64_t total;
        int status;
        uint64_t from, size;
    } cases[] = {
        { NULL, 10, 200, 0, 10 },
        { "bytes=0-3", 10, 206, 0, 4 },
        { "bytes=4-", 10, 206, 4, 6 },
        { "bytes=-3", 10, 206, 7, 3 },
        { "bytes=-30", 10, 206, 0, 10 },
        { "bytes=2-99", 10, 206, 2, 8 },
        { "bytes=9-9", 10, 206, 9, 1 },
        { "bytes=10-", 10, 416, 0, 10 },
        { "bytes=-0", 10, 416, 0, 10 },
        { "bytes=0-0", 0, 416, 0, 0 },
        { "bytes=-1", 0, 416, 0, 0 },
        { "bytes=3-2", 10, 200, 0, 10 },
        { "bytes=0-1,3-4", 10, 200, 0, 10 },
        { "items=0-1", 10, 200, 0, 10 },
        { "bytes=a-b", 10, 200, 0, 10 },
        { "bytes=-", 10, 200, 0, 10 },
        { "bytes=5", 10, 200, 0, 10 },
        { "BYTES=1-1", 10, 206, 1, 1 },
        { "bytes=0-9223372036854775807", 10, 206, 0, 10 },
        { "bytes=0-18446744073709551615", 10, 200, 0, 10 },
    };

    (void)state;
    for (size_t i = 0; i < VPI_COUNT(cases); i++) {
        uint64_t from, size;
        int status = vpi_tus_range(cases[i].value, cases[i].total, &from, &size);

        if (status != cases[i].status) fail_msg("%s: %d", cases[i].value, status);
        assert_int_equal(from, cases[i].from);
        assert_int_equal(size, cases[i].size);
    }
}

static void dates(void **state)
{
    char text[32];

    (void)state;
    vpi_tus_date(0, text);
    assert_string_equal(text, "Thu, 01 Jan 1970 00:00:00 GMT");
    vpi_tus_date(INT64_C(784111777) * 1000000 + 999999, text);
    assert_string_equal(text, "Sun, 06 Nov 1994 08:49:37 GMT");
    vpi_tus_date(INT64_C(951782400) * 1000000, text);
    assert_string_equal(text, "Tue, 29 Feb 2000 00:00:00 GMT");
    vpi_tus_date(INT64_C(4107542399) * 1000000, text);
    assert_string_equal(text, "Sun, 28 Feb 2100 23:59:59 GMT");
    vpi_tus_date(-5, text);
    assert_string_equal(text, "Thu, 01 Jan 1970 00:00:00 GMT");
    vpi_tus_date(INT64_MAX, text);
    assert_string_equal(text, "Fri, 31 Dec 9999 23:59:59 GMT");
}

static void check_disposition(const char *bytes, size_t size, const char *want)
{
    vpi_tus_pair pair = { "filename", (const uint8_t *)bytes, size };
    vpi_buf b = { 0 };
    char *text;

    vpi_tus_disposition(bytes ? &pair : NULL, &b);
    text = vpi_buf_steal_string(&b);
    assert_string_equal(text, want);
    vpi_free(text);
}

static void dispositions(void **state)
{
    (void)state;
    check_disposition(NULL, 0, "attachment");
    check_disposition("", 0, "attachment");
    check_disposition("a b.mp4", 7, "attachment; filename=\"a b.mp4\"; filename*=UTF-8''a%20b.mp4");
    check_disposition("../\"\r\n\0;", 8,
                      "attachment; filename=\"..______\"; filename*=UTF-8''..%2F%22%0D%0A%00%3B");
    check_disposition("\xc3\xa9", 2, "attachment; filename=\"__\"; filename*=UTF-8''%C3%A9");
}

static void safe_types(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
        bool safe;
    } cases[] = { { "video/mp4", 9, true },           { "audio/x-m4a", 11, true },
                  { "image/png", 9, true },           { "text/html", 9, false },
                  { "image/svg+xml", 13, false },     { "video/", 6, false },
                  { "video/mp4\r\nX: y", 15, false }, { "video/mp4;a=b", 13, false },
                  { "video/mp4\0x", 11, false },      { "application/pdf", 15, false },
                  { "VIDEO/MP4", 9, false } };

    (void)state;
    assert_null(vpi_tus_safe_type(NULL));
    for (size_t i = 0; i < VPI_COUNT(cases); i++) {
        vpi_tus_pair pair = { "filetype", (const uint8_t *)cases[i].bytes, cases[i].size };

        if ((vpi_tus_safe_type(&pair) != NULL) != cases[i].safe) fail_msg("%s", cases[i].bytes);
    }
}

static void structured(void **state)
{
    static const char *const bad_integer[] = { "",    "-1",  "+1", "1.0",  "a",
                                               "1 2", "1;A", "1;", "1;a=", "1234567890123456",
                                               "1,2", "?1" };
    static const char *const bad_boolean[] = { "",     "1",   "true", "?",    "?2",
                                               "?1 1", "?10", "??1",  "?1;=", "\"?1\"" };
    uint64_t v;
    bool is;
    uint8_t sum[32];

    (void)state;
    assert_true(vpi_draft_integer("0", &v) && v == 0);
    assert_true(vpi_draft_integer(" 999999999999999 ", &v) && v == 999999999999999u);
    assert_true(vpi_draft_integer("5;a;b=?1; c=\"x;\\\"\";d=:YQ==:;e=tok/en;f=-1.5", &v) && v == 5);
    for (size_t i = 0; i < VPI_COUNT(bad_integer); i++)
        if (vpi_draft_integer(bad_integer[i], &v)) fail_msg("%s", bad_integer[i]);
    assert_true(vpi_draft_boolean("?1", &is) && is);
    assert_true(vpi_draft_boolean(" ?0;x ", &is) && !is);
    for (size_t i = 0; i < VPI_COUNT(bad_boolean); i++)
        if (vpi_draft_boolean(bad_boolean[i], &is)) fail_msg("%s", bad_boolean[i]);
    assert_true(vpi_draft_bytes(
        "md5=:XrY7u+Ae7tCTyyK7j1rNww==:, sha-256=:uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=:;q=1",
        "sha-256", sum, 32));
    assert_memory_equal(sum, "\xb9\x4d\x27\xb9", 4);
    assert_false(vpi_draft_bytes("sha-256=:XrY7u+Ae7tCTyyK7j1rNww==:", "sha-256", sum, 32));
    assert_false(vpi_draft_bytes("sha-256", "sha-256", sum, 32));
    assert_false(
        vpi_draft_bytes("sha-256=\"uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=\"", "sha-256", sum, 32));
    assert_false(
        vpi_draft_bytes("sha-256=:uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=:,", "sha-256", sum, 32));
}

static void check_filename(const char *value, const char *want)
{
    vpi_buf b = { 0 };
    char *text;

    vpi_draft_filename(value, &b);
    text = vpi_buf_steal_string(&b);
    assert_string_equal(text, want);
    vpi_free(text);
}

static void filenames(void **state)
{
    (void)state;
    check_filename("inline", "");
    check_filename("inline; filename=\"file name.jpg\"", "file name.jpg");
    check_filename("inline; filename=\"a;b\\\"c\"; x=y", "a;b\"c");
    check_filename("inline; filename=plain.mp4 ; x", "plain.mp4");
    check_filename("inline; filename=\"x\"; filename*=UTF-8''file%20name%C3%A9.jpg", "file name\xc3\xa9.jpg");
    check_filename("inline; x=\"; filename=evil\"; filename=good", "good");
    check_filename("inline; filename=\"open", "open");
    check_filename("inline; filename*=latin1''x; filename=y", "y");
}

static void kept(void **state)
{
    vpi_buf b = { 0 };
    vpi_tus_kept k;
    char *text;

    (void)state;
    assert_true(vpi_tus_kept_write("a YQ==,b", "final;/files/a /files/b", 77, &b));
    assert_int_equal(0, vpi_tus_kept_read(b.data, b.size, &k));
    assert_string_equal(k.metadata, "a YQ==,b");
    assert_string_equal(k.concat, "final;/files/a /files/b");
    assert_int_equal(k.max_size, 77);
    vpi_tus_kept_dispose(&k);
    vpi_buf_clear(&b);
    assert_true(vpi_tus_kept_write("", NULL, 0, &b));
    assert_int_equal(0, vpi_tus_kept_read(b.data, b.size, &k));
    assert_null(k.metadata);
    assert_null(k.concat);
    assert_int_equal(k.max_size, 0);
    vpi_tus_kept_dispose(&k);
    /* What another host kept with its upload is nothing to us, and what is damaged never reaches a header. */
    assert_int_equal(0, vpi_tus_kept_read("m a YQ==\n", 9, &k));
    assert_null(k.metadata);
    assert_int_equal(0, vpi_tus_kept_read("vodpipe-tus 1\nm a\rb\nc partial\n", 31, &k));
    assert_null(k.metadata);
    vpi_tus_kept_dispose(&k);
    assert_int_equal(0, vpi_tus_kept_read("vodpipe-tus 1\nm a", 17, &k));
    assert_null(k.metadata);
    vpi_tus_kept_dispose(&k);
    vpi_buf_clear(&b);
    text = repeat("x", VP_UPLOAD_METADATA_MAX);
    assert_false(vpi_tus_kept_write(text, NULL, 0, &b));
    free(text);
    vpi_buf_dispose(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_lines),
        cmocka_unit_test(header_limits),
        cmocka_unit_test(header_conflicts),
        cmocka_unit_test(numbers),
        cmocka_unit_test(types),
        cmocka_unit_test(ids),
        cmocka_unit_test(targets),
        cmocka_unit_test(base64),
        cmocka_unit_test(metadata),
        cmocka_unit_test(metadata_limits),
        cmocka_unit_test(parts),
        cmocka_unit_test(checksums),
        cmocka_unit_test(ranges),
        cmocka_unit_test(dates),
        cmocka_unit_test(dispositions),
        cmocka_unit_test(safe_types),
        cmocka_unit_test(structured),
        cmocka_unit_test(filenames),
        cmocka_unit_test(kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
