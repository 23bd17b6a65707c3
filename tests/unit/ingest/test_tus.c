/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The core of tus 1.0 with creation, creation-with-upload, defer-length, checksum, termination. */
#include "tus_tools.h"

static void options(void **state)
{
    room *r = *state;
    vp_ingest_options io = VP_INGEST_OPTIONS_INIT;
    vp_tus_options to = VP_TUS_OPTIONS_INIT;
    result a = ask(r, "OPTIONS", "/files/", "", NULL);

    assert_answer(a, 204);
    assert_int_equal(a.asks, 0);
    assert_header(a, "Tus-Version", "1.0.0");
    assert_header(a, "Tus-Resumable", "1.0.0");
    assert_header(a, "Tus-Extension",
                  "creation,creation-with-upload,checksum,checksum-trailer,creation-defer-length,"
                  "termination,concatenation");
    assert_header(a, "Tus-Checksum-Algorithm", "sha1,sha256,md5,crc32c");
    assert_no_header(a, "Tus-Max-Size");
    assert_no_header(a, "Content-Length");
    assert_answer(ask(r, "OPTIONS", "*", "Tus-Resumable: 0.1\n", NULL),
                  204); /* the version is not looked at */
    assert_answer(ask(r, "OPTIONS", "/files/abc", "", NULL), 204);
    assert_answer(ask(r, "OPTIONS", "/elsewhere", "", NULL), 404);

    io.max_size = 1000;
    io.expire_ms = 60000;
    to.flags = VP_TUSF_NO_DEFER | VP_TUSF_NO_DELETE | VP_TUSF_CONCAT_EARLY;
    room_use(r, io, to);
    a = ask(r, "OPTIONS", "/files", "", NULL);
    assert_header(a, "Tus-Max-Size", "1000");
    assert_header(a, "Tus-Extension",
                  "creation,creation-with-upload,checksum,checksum-trailer,expiration,"
                  "concatenation,concatenation-unfinished");
    to.flags = VP_TUSF_NO_CONCAT | VP_TUSF_CONCAT_EARLY;
    room_use(r, io, to);
    a = ask(r, "OPTIONS", "/files", "", NULL);
    assert_header(a, "Tus-Extension",
                  "creation,creation-with-upload,checksum,checksum-trailer,creation-defer-length,"
                  "expiration,termination");
}

/* U02 */
static void version(void **state)
{
    static const char *const methods[] = { "POST", "HEAD", "PATCH", "DELETE", "PUT", "NONSENSE" };
    static const char *const versions[] = { "", "Tus-Resumable: 0.2.2\n", "Tus-Resumable: 1.0.0, 1.0.0\n",
                                            "Tus-Resumable:\n" };
    room *r = *state;

    for (size_t i = 0; i < VPI_COUNT(methods); i++) {
        for (size_t k = 0; k < VPI_COUNT(versions); k++) {
            result a = ask(r, methods[i], "/files/abc", versions[k], NULL);

            assert_answer(a, 412);
            assert_header(a, "Tus-Version", "1.0.0");
            assert_header(a, "Tus-Resumable", "1.0.0");
            assert_int_equal(a.asks, 0);
            assert_true((a.body_size == 0) == (strcmp(methods[i], "HEAD") == 0));
        }
    }
    assert_answer(ask(r, "GET", "/files/abc", "", NULL), 404); /* a link that a browser follows */
    assert_answer(ask(r, "GET", "/files/abc", "Tus-Resumable: 2.0.0\n", NULL), 412);
}

static void targets(void **state)
{
    static const char *const wrong[] = { "/other/abc", "/files/../abc", "/files/%2e%2e", "/files/a/b",
                                         "/files/a.b", "/files/a%00",   "/files/-a",     "/files/a%0d%0ab",
                                         "",           "//files/abc",   "/files/abc/" };
    room *r = *state;
    result a;

    for (size_t i = 0; i < VPI_COUNT(wrong); i++) {
        a = ask(r, "HEAD", wrong[i], TUS, NULL);
        assert_answer(a, 404);
        assert_int_equal(a.asks, 0);
        assert_int_equal(a.body_size, 0);
    }
    a = head(r, "abc");
    assert_answer(a, 404);
    assert_int_equal(a.asks, 1);
    assert_no_header(a, "Upload-Offset");
    assert_header(a, "Cache-Control", "no-store");
    assert_int_equal(a.body_size, 0);
    assert_answer(patch(r, "abc", 0, "", "x"), 404);
    assert_answer(ask(r, "DELETE", "/files/abc", TUS, NULL), 404);
    assert_answer(ask(r, "PATCH", "/files/", TUS BYTES "Upload-Offset: 0\n", NULL), 405);
    assert_answer(ask(r, "PUT", "/files/abc", TUS, NULL), 405);
    a = ask(r, "POST", "/files/abc", TUS, NULL);
    assert_answer(a, 405);
    assert_header(a, "Allow", "POST, HEAD, GET, PATCH, DELETE, OPTIONS");
}

static void creation(void **state)
{
    room *r = *state;
    result a = create(r, "Upload-Length: 300\nUpload-Metadata: foo aGVsbG8=, bar d29ybGQ=,empty\n");
    char location[128];

    assert_answer(a, 201);
    assert_int_equal(a.asks, 1);
    assert_int_equal(a.asked, VP_TUS_CREATE);
    assert_int_equal(a.info.length, 300);
    assert_int_equal(a.info.metadata_count, 3);
    assert_string_equal(a.metadata, "foo=hello;bar=world;empty=;");
    assert_string_equal(a.info.id, "");
    assert_int_equal(strlen(a.id), 32);
    snprintf(location, sizeof(location), "/files/%s", a.id);
    assert_header(a, "Location", location);
    assert_header(a, "Content-Length", "0");
    assert_no_header(a, "Upload-Offset");
    assert_no_header(a, "Upload-Expires");
    a = head(r, a.id);
    assert_answer(a, 200);
    assert_header(a, "Upload-Offset", "0");
    assert_header(a, "Upload-Length", "300");
    assert_header(a, "Upload-Metadata", "foo aGVsbG8=,bar d29ybGQ=,empty");
    assert_header(a, "Cache-Control", "no-store");
    assert_no_header(a, "Upload-Defer-Length");
    assert_no_header(a, "Content-Length");
}

static void creation_refused(void **state)
{
    static const struct {
        const char *lines;
        int status;
    } cases[] = {
        { "", 400 },
        { "Upload-Length: -1\n", 400 },
        { "Upload-Length: 1x\n", 400 },
        { "Upload-Length: 99999999999999999999\n", 400 },
        { "Upload-Length:\n", 400 },
        { "Upload-Length: 5\nUpload-Length: 6\n", 400 },
        { "Upload-Length: 5\nUpload-Defer-Length: 1\n", 400 },
        { "Upload-Defer-Length: 2\n", 400 }, /* U16 */
        { "Upload-Defer-Length: true\n", 400 },
        { "Upload-Defer-Length: 01\n", 400 },
        { "Upload-Length: 1001\n", 413 }, /* U03 */
        { "Upload-Length: 5\nUpload-Metadata: a YQ\n", 400 },
        { "Upload-Length: 5\nUpload-Metadata: a,a\n", 400 },
        { "Upload-Length: 5\nContent-Length: x\n", 400 },
        { "Upload-Length: 5\nContent-Length: 5\nTransfer-Encoding: chunked\n", 400 },
        { "Upload-Length: 5\nContent-Length: 5\n", 415 }, /* U04 */
        { "Upload-Length: 5\nContent-Length: 5\nContent-Type: text/plain\n", 415 },
        { "Upload-Length: 5\nContent-Length: 6\n" BYTES, 413 },
        { "Upload-Length: 5\nContent-Length: 5\n" BYTES "Upload-Checksum: sha512 AAAA\n", 400 },
        { "Upload-Length: 5\nUpload-Concat: parts\n", 400 },
        { "Upload-Length: 5\nBad Header: x\n", 400 },
    };
    room *r = *state;
    vp_ingest_options io = VP_INGEST_OPTIONS_INIT;
    vp_tus_options to = VP_TUS_OPTIONS_INIT;

    io.max_size = 1000;
    room_use(r, io, to);
    for (size_t i = 0; i < VPI_COUNT(cases); i++) {
        result a = create(r, cases[i].lines);

        if (a.status != cases[i].status) fail_msg("%s: %d", cases[i].lines, a.status);
        assert_int_equal(a.asks, 0);
        assert_true(a.body_size > 0);
        assert_header(a, "Content-Type", "text/plain; charset=utf-8");
        assert_header(a, "X-Content-Type-Options", "nosniff");
    }
    to.flags = VP_TUSF_NO_DEFER;
    room_use(r, io, to);
    assert_answer(create(r, "Upload-Defer-Length: 1\n"), 400);
    assert_answer(create(r, "Upload-Length: 1000\n"), 201);
}

/* What the host adds counts: id, metadata, limit, headers. */
static void creation_by_host(void **state)
{
    room *r = *state;
    vp_tus_accept_options o = VP_TUS_ACCEPT_OPTIONS_INIT;
    host h = { .accept = &o };
    const char *lines = TUS "Upload-Length: 5\nUpload-Metadata: a YQ==\nX-Token: secret\n";
    vp_tus_request *q = NULL;
    char scope[1024 + 2] = "";
    result a;

    o.id = "my_id-1";
    o.metadata = "b Yg==";
    o.headers = "X-From: host\r\n";
    o.body = "{}";
    o.body_size = 2;
    a = ask_as(r, &h, "POST", "/files", lines, NULL, 0);
    assert_answer(a, 201);
    assert_header(a, "Location", "/files/my_id-1");
    assert_header(a, "X-From", "host");
    assert_string_equal(a.body, "{}");
    assert_answer(ask_as(r, &h, "POST", "/files", lines, NULL, 0), 409); /* there is one */
    a = patch(r, "my_id-1", 0, "", "hello");
    assert_answer(a, 204);
    assert_string_equal(a.metadata, "b=b;");
    h.accept = NULL;
    h.reject = 403;
    a = ask_as(r, &h, "POST", "/files", lines, NULL, 0);
    assert_answer(a, 403);
    assert_header(a, "X-Why", "said so");
    assert_string_equal(a.body, "no\n");
    assert_header(a, "Content-Length", "3");
    /* The same with what is wrong in the call. */
    assert_int_equal(vp_tus_begin(r->tus, "POST", "/files/", lines, 1, &q, NULL), VP_OK);
    assert_string_equal(vp_tus_request_header(q, "x-token"), "secret");
    assert_null(vp_tus_request_header(q, "nothing"));
    o.id = "../x";
    assert_int_equal(vp_tus_accept(q, &o, NULL), VP_E_ARG);
    o.id = "%41";
    assert_int_equal(vp_tus_accept(q, &o, NULL), VP_E_ARG);
    o.id = NULL;
    memset(scope, 's', sizeof(scope) - 1);
    o.scope = scope;
    assert_int_equal(vp_tus_accept(q, &o, NULL), VP_E_ARG);
    o.scope = NULL;
    o.expire_ms = UINT64_MAX;
    assert_int_equal(vp_tus_accept(q, &o, NULL), VP_E_ARG);
    o.expire_ms = 0;
    o.metadata = "a b";
    assert_int_equal(vp_tus_accept(q, &o, NULL), VP_E_ARG);
    o.metadata = NULL;
    o.headers = "Content-Length: 5\n";
    assert_int_equal(vp_tus_accept(q, &o, NULL), VP_E_ARG);
    o.headers = "X: a\n\nY: b\n";
    assert_int_equal(vp_tus_accept(q, &o, NULL), VP_E_ARG);
    assert_int_equal(vp_tus_reject(q, 200, NULL, NULL, 0, NULL), VP_E_ARG);
    assert_int_equal(vp_tus_body(q, "x", 1, NULL), VP_E_STATE);
    assert_int_equal(vp_tus_end(q, NULL, NULL), VP_E_STATE);
    assert_int_equal(vp_tus_status(q), 0);
    assert_int_equal(vp_tus_reject(q, 599, NULL, NULL, 0, NULL), VP_OK);
    assert_int_equal(vp_tus_status(q), 599);
    assert_int_equal(vp_tus_accept(q, NULL, NULL), VP_E_STATE);
    assert_int_equal(vp_tus_body(q, "x", 1, NULL), VP_OK); /* nobody listens */
    assert_int_equal(vp_tus_end(q, NULL, NULL), VP_OK);
    vp_tus_close(q);
}

/* The host's limit of one upload holds also when its length is told later, by another request. */
static void creation_limit(void **state)
{
    room *r = *state;
    vp_tus_accept_options o = VP_TUS_ACCEPT_OPTIONS_INIT;
    const host h = { .accept = &o };
    result a;

    o.max_size = 4;
    assert_answer(ask_as(r, &h, "POST", "/files/", TUS "Upload-Length: 5\n", NULL, 0), 413);
    a = ask_as(r, &h, "POST", "/files/", TUS "Upload-Defer-Length: 1\n", NULL, 0);
    assert_answer(a, 201);
    assert_answer(patch(r, a.id, 0, "Upload-Length: 5\n", "a"), 413);
    assert_answer(patch(r, a.id, 0, "", "abcde"), 413);
    expect_offset(r, a.id, "4");
}

static void upload(void **state)
{
    room *r = *state;
    result a = create(r, "Upload-Length: 11\nUpload-Metadata: filename YS5tcDQ=\n"), b;

    b = patch(r, a.id, 0, "", "hello");
    assert_answer(b, 204);
    assert_int_equal(b.asked, VP_TUS_PATCH);
    assert_int_equal(b.info.offset, 0);
    assert_string_equal(b.info.id, a.id);
    assert_int_equal(b.finishes, 0);
    assert_header(b, "Upload-Offset", "5");
    assert_header(b, "Tus-Resumable", "1.0.0");
    assert_no_header(b, "Content-Length");
    expect_offset(r, a.id, "5");
    b = patch(r, a.id, 5, "Content-Length: 6\nUpload-Length: 11\n", " world");
    assert_answer(b, 204);
    assert_header(b, "Upload-Offset", "11");
    assert_int_equal(b.finishes, 1);
    assert_int_equal(b.finish_flags & VP_TUS_WAS_ASKED, 0);
    assert_int_equal(b.finish.length, 11);
    assert_string_equal(b.finish.id, a.id);
    assert_string_equal(b.finish.sha256, "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9");
    assert_string_equal(b.metadata, "filename=a.mp4;");
    expect_offset(r, a.id, "11");
}

/* U01, U03, U04, U16: what is wrong changes nothing. */
static void patch_refused(void **state)
{
    static const struct {
        const char *lines, *body;
        int status;
    } cases[] = {
        { BYTES "Upload-Offset: 4\n", "x", 409 },
        { BYTES "Upload-Offset: 6\n", "x", 409 },
        { BYTES "Upload-Offset: 0\n", "hello", 409 },
        { BYTES "Upload-Offset: 10\n", "", 409 },
        { BYTES, "x", 400 },
        { BYTES "Upload-Offset: -5\n", "x", 400 },
        { BYTES "Upload-Offset: five\n", "x", 400 },
        { BYTES "Upload-Offset: 9223372036854775808\n", "x", 400 },
        { BYTES "Upload-Offset: 5\nUpload-Offset: 0\n", "x", 400 },
        { "Upload-Offset: 5\n", "x", 415 },
        { "Content-Type: application/octet-stream\nUpload-Offset: 5\n", "x", 415 },
        { "Content-Type: application/partial-upload\nUpload-Offset: 5\n", "x", 415 },
        { BYTES "Upload-Offset: 5\nUpload-Length: 11\n", "x", 400 },
        { BYTES "Upload-Offset: 5\nUpload-Length: 9\n", "x", 400 },
        { BYTES "Upload-Offset: 5\nUpload-Length: x\n", "x", 400 },
        { BYTES "Upload-Offset: 5\nContent-Length: 6\n", "123456", 413 },
        { BYTES "Upload-Offset: 5\nContent-Length: 9223372036854775807\n", "x", 413 },
        { BYTES "Upload-Offset: 5\nUpload-Checksum: sha512 AAAA\n", "x", 400 },
        { BYTES "Upload-Offset: 5\nUpload-Checksum: sha1\n", "x", 400 },
        { BYTES "Upload-Offset: 5\nUpload-Checksum: sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=\n", "x", 460 },
    };
    room *r = *state;
    result a = create(r, "Upload-Length: 10\n");

    assert_answer(patch(r, a.id, 0, "", "hello"), 204);
    for (size_t i = 0; i < VPI_COUNT(cases); i++) {
        char lines[512];
        result b;

        snprintf(lines, sizeof(lines), TUS "%s", cases[i].lines);
        b = ask(r, "PATCH", target_of(a.id), lines, cases[i].body);
        if (b.status != cases[i].status) fail_msg("%s: %d", cases[i].lines, b.status);
        assert_int_equal(b.finishes, 0);
        expect_offset(r, a.id, "5");
    }
    assert_answer(patch(r, a.id, 5, "", "world"), 204);
}

/* U03: a body without a length, or one that lies: nothing behind the end is stored. */
static void too_long(void **state)
{
    room *r = *state;
    result a = create(r, "Upload-Length: 10\n");
    const host h = { .piece = 3 };

    assert_answer(ask_as(r, &h, "PATCH", target_of(a.id),
                         TUS BYTES "Upload-Offset: 0\nTransfer-Encoding: chunked\n", "0123456789ABC", 13),
                  413);
    expect_offset(r, a.id, "10");
    a = create(r, "Upload-Length: 10\n");
    assert_answer(ask_as(r, &h, "PATCH", target_of(a.id), TUS BYTES "Upload-Offset: 0\nContent-Length: 4\n",
                         "0123456789ABC", 13),
                  413);
    expect_offset(r, a.id, "10");
    /* All is there: a request without bytes finishes it. */
    assert_int_equal(patch(r, a.id, 10, "", "").finishes, 1);
    assert_string_equal(ask(r, "GET", target_of(a.id), "", NULL).body, "0123456789");
}

/* U16: fewer bytes than Content-Length said: the offset is what came. */
static void short_body(void **state)
{
    room *r = *state;
    result a = create(r, "Upload-Length: 10\n"), b;

    b = patch(r, a.id, 0, "Content-Length: 10\n", "hello");
    assert_answer(b, 204);
    assert_header(b, "Upload-Offset", "5");
    assert_int_equal(b.finishes, 0);
    expect_offset(r, a.id, "5");
}

/* U14: the client is gone in the middle; what came stays. Pieces of one byte. */
static void client_gone(void **state)
{
    room *r = *state;
    result a = create(r, "Upload-Length: 10\n");
    const host h = { .piece = 1, .stop = true };

    ask_as(r, &h, "PATCH", target_of(a.id), TUS BYTES "Upload-Offset: 0\nContent-Length: 10\n", "hello", 5);
    /* With a queue the pool has the bytes in hand; whoever opens waits for it. */
    expect_offset(r, a.id, "5");
    assert_answer(patch(r, a.id, 5, "", "world"), 204);
    assert_string_equal(ask(r, "GET", target_of(a.id), "", NULL).body, "helloworld");
}

/* The client is gone behind its last byte, and when it comes back all is there: HEAD is its last request. */
static void gone_at_the_end(void **state)
{
    room *r = *state;
    result a = create(r, "Upload-Length: 5\nUpload-Metadata: a YQ==\n"), b;
    const host h = { .stop = true }, no = { .reject_finish = 422 };

    ask_as(r, &h, "PATCH", target_of(a.id), TUS BYTES "Upload-Offset: 0\n", "hello", 5);
    b = head(r, a.id);
    assert_answer(b, 200);
    assert_header(b, "Upload-Offset", "5");
    assert_int_equal(b.finishes, 1);
    assert_int_equal(b.finish_flags & VP_TUS_WAS_ASKED, 0);
    assert_string_equal(b.metadata, "a=a;");
    assert_int_equal(head(r, a.id).finishes, 0);
    a = create(r, "Upload-Length: 5\n");
    ask_as(r, &h, "PATCH", target_of(a.id), TUS BYTES "Upload-Offset: 0\n", "hello", 5);
    assert_answer(ask_as(r, &no, "HEAD", target_of(a.id), TUS, NULL, 0), 422);
    assert_answer(head(r, a.id), 404);
    a = create(r, "Upload-Length: 5\nUpload-Concat: partial\n");
    ask_as(r, &h, "PATCH", target_of(a.id), TUS BYTES "Upload-Offset: 0\n", "hello", 5);
    b = head(r, a.id);
    assert_header(b, "Upload-Offset", "5");
    assert_int_equal(b.finishes, 0);
}

/* The answer to the last request was lost: it comes again, and the host is told so. */
static void last_again(void **state)
{
    room *r = *state;
    result a = make(r, "Upload-Metadata: a YQ==\n", "hello"), b;

    b = patch(r, a.id, 5, "Content-Length: 0\n", "");
    assert_answer(b, 204);
    assert_header(b, "Upload-Offset", "5");
    assert_int_equal(b.finishes, 1);
    assert_true(b.finish_flags & VP_TUS_WAS_ASKED);
    assert_string_equal(b.finish.sha256, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
    assert_string_equal(b.metadata, "a=a;");
    assert_answer(patch(r, a.id, 5, "", "x"), 413);
    assert_answer(patch(r, a.id, 5, "Content-Length: 1\n", "x"), 413);
    assert_answer(patch(r, a.id, 0, "", "hello"), 409);
    assert_answer(patch(r, a.id, 5, "Upload-Length: 6\n", ""), 400);
    assert_answer(patch(r, a.id, 5, "Upload-Length: 5\n", ""), 204);
    expect_offset(r, a.id, "5");
}

/* The host refuses what came: it goes, or stays if it shall. */
static void finish_refused(void **state)
{
    room *r = *state;
    vp_ingest_options io = VP_INGEST_OPTIONS_INIT;
    vp_tus_options to = VP_TUS_OPTIONS_INIT;
    const host h = { .reject_finish = 422 };
    result a = create(r, "Upload-Length: 5\n"), b;

    b = ask_as(r, &h, "PATCH", target_of(a.id), TUS BYTES "Upload-Offset: 0\n", "hello", 5);
    assert_answer(b, 422);
    assert_string_equal(b.body, "no\n");
    assert_header(b, "X-Why", "said so");
    assert_answer(head(r, a.id), 404);
    to.flags = VP_TUSF_KEEP_REFUSED;
    room_use(r, io, to);
    a = create(r, "Upload-Length: 5\n");
    assert_answer(ask_as(r, &h, "PATCH", target_of(a.id), TUS BYTES "Upload-Offset: 0\n", "hello", 5), 422);
    expect_offset(r, a.id, "5");
    assert_answer(patch(r, a.id, 5, "", ""), 204);
}

/* U16: an empty file is there at once. */
static void empty(void **state)
{
    room *r = *state;
    result a = create(r, "Upload-Length: 0\n");

    assert_answer(a, 201);
    assert_int_equal(a.finishes, 1);
    assert_int_equal(a.finish.length, 0);
    assert_string_equal(a.finish.id, a.id);
    assert_string_equal(a.finish.sha256, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    expect_offset(r, a.id, "0");
    a = ask(r, "GET", target_of(a.id), "", NULL);
    assert_answer(a, 200);
    assert_header(a, "Content-Length", "0");
    assert_header(a, "Content-Disposition", "attachment");
}

static void with_upload(void **state)
{
    room *r = *state;
    const host h = { .piece = 1 }, gone = { .stop = true };
    result a =
        ask_as(r, &h, "POST", "/files/", TUS BYTES "Upload-Length: 10\nContent-Length: 5\n", "hello", 5);

    assert_answer(a, 201);
    assert_true(a.info.flags & VP_TUS_HAS_BODY);
    assert_int_equal(a.info.content_length, 5);
    assert_header(a, "Upload-Offset", "5");
    assert_int_equal(a.finishes, 0);
    expect_offset(r, a.id, "5");
    a = ask(r, "POST", "/files/", TUS BYTES "Upload-Length: 5\nTransfer-Encoding: chunked\n", "hello");
    assert_answer(a, 201);
    assert_header(a, "Upload-Offset", "5");
    assert_int_equal(a.finishes, 1);
    assert_string_equal(ask(r, "GET", target_of(a.id), "", NULL).body, "hello");
    /* A body that is empty, but one. */
    a = ask(r, "POST", "/files/", TUS BYTES "Upload-Length: 5\nContent-Length: 0\n", "");
    assert_answer(a, 201);
    assert_header(a, "Upload-Offset", "0");
    assert_int_equal(a.info.flags & VP_TUS_HAS_BODY, 0);
    /* A body without length and coding, as HTTP/2 has them. */
    a = ask(r, "POST", "/files/", TUS BYTES "Upload-Length: 5\n", "hello");
    assert_header(a, "Upload-Offset", "5");
    assert_answer(ask(r, "POST", "/files/", TUS BYTES "Upload-Length: 5\n", "hello!"), 413);
    /* Nothing says what is in it: it must be empty, which only its end tells. */
    a = ask(r, "POST", "/files/", TUS "Upload-Length: 5\nTransfer-Encoding: chunked\n", "");
    assert_answer(a, 201);
    assert_no_header(a, "Upload-Offset");
    assert_int_equal(a.info.flags & VP_TUS_HAS_BODY, 0);
    expect_offset(r, a.id, "0");
    a = ask(r, "POST", "/files/", TUS BYTES "Upload-Defer-Length: 1\n", "hello");
    assert_answer(a, 201);
    assert_header(a, "Upload-Offset", "5");
    assert_int_equal(a.finishes, 0);
    a = ask(r, "POST", "/files/",
            TUS BYTES "Upload-Length: 11\nUpload-Checksum: sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=\n",
            "hello world");
    assert_answer(a, 201);
    a = ask(r, "POST", "/files/",
            TUS BYTES "Upload-Length: 11\nUpload-Checksum: sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=\n",
            "Hello world");
    assert_answer(a, 460);
    ask_as(r, &gone, "POST", "/files/", TUS BYTES "Upload-Length: 10\n", "hello", 5);
}

static void deferred(void **state)
{
    room *r = *state;
    result a = create(r, "Upload-Defer-Length: 1\n"), b;

    assert_answer(a, 201);
    assert_true(a.info.flags & VP_TUS_IS_DEFERRED);
    assert_int_equal(a.info.length, VP_SIZE_UNKNOWN);
    b = head(r, a.id);
    assert_header(b, "Upload-Defer-Length", "1");
    assert_no_header(b, "Upload-Length");
    assert_answer(patch(r, a.id, 0, "", "hello"), 204);
    assert_answer(patch(r, a.id, 5, "Upload-Length: 4\n", ""), 400); /* below what is there */
    b = patch(r, a.id, 5, "Upload-Length: 10\n", "wor");
    assert_answer(b, 204);
    assert_int_equal(b.finishes, 0);
    b = head(r, a.id);
    assert_header(b, "Upload-Length", "10");
    assert_no_header(b, "Upload-Defer-Length");
    assert_answer(patch(r, a.id, 8, "Upload-Length: 11\n", "ld!"), 400);
    b = patch(r, a.id, 8, "Upload-Length: 10\n", "ld");
    assert_answer(b, 204);
    assert_int_equal(b.finishes, 1);
    /* The length comes after the last byte. */
    a = create(r, "Upload-Defer-Length: 1\n");
    assert_answer(patch(r, a.id, 0, "", "hello"), 204);
    b = patch(r, a.id, 5, "Upload-Length: 5\n", "");
    assert_answer(b, 204);
    assert_int_equal(b.finishes, 1);
    assert_int_equal(b.finish.length, 5);
    /* A request that is refused tells nothing. */
    a = create(r, "Upload-Defer-Length: 1\n");
    assert_answer(patch(r, a.id, 0, "Upload-Length: 3\nContent-Length: 5\n", "hello"), 413);
    b = patch(r, a.id, 0, "Upload-Length: 9\nUpload-Checksum: sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=\n", "hello");
    assert_answer(b, 460);
    b = head(r, a.id);
    assert_header(b, "Upload-Defer-Length", "1");
    assert_header(b, "Upload-Offset", "0");
    b = patch(r, a.id, 0, "Upload-Length: 11\nUpload-Checksum: sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=\n",
              "hello world!");
    assert_answer(b, 413);
    b = patch(r, a.id, 0, "Upload-Length: 12\nUpload-Checksum: sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=\n",
              "hello world");
    assert_answer(b, 204);
    assert_int_equal(b.finishes, 0);
    b = head(r, a.id);
    assert_header(b, "Upload-Length", "12");
    assert_header(b, "Upload-Offset", "11");
    a = create(r, "Upload-Defer-Length: 1\n");
    b = patch(r, a.id, 0, "Upload-Length: 11\nUpload-Checksum: sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=\n",
              "hello world");
    assert_answer(b, 204);
    assert_int_equal(b.finishes, 1);
}

/* A creation that is refused behind its first bytes: nobody knows the url, nothing may stay. */
static void with_upload_refused(void **state)
{
    const char *wrong = TUS BYTES "Upload-Length: 11\nUpload-Checksum: sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=\n";
    room *r = *state;
    const host h = { .piece = 4 }, gone = { .stop = true };
    vp_tus_accept_options own = VP_TUS_ACCEPT_OPTIONS_INIT;
    host named = { .accept = &own };
    vp_tus_request *q = NULL;

    assert_answer(ask(r, "POST", "/files/", wrong, "Hello world"), 460);
    assert_answer(ask_as(r, &h, "POST", "/files/", TUS BYTES "Upload-Length: 5\n", "hello world", 11), 413);
    assert_answer(
        ask(r, "POST", "/files/", TUS BYTES "Upload-Length: 5\nTrailer: Upload-Checksum\n", "hello"), 400);
    /* U04: bytes of which nothing says what they are. */
    assert_answer(ask(r, "POST", "/files/", TUS "Upload-Length: 5\nTransfer-Encoding: chunked\n", "hello"),
                  415);
    assert_answer(ask(r, "POST", "/files/", TUS "Upload-Length: 5\nContent-Type: text/plain\n", "hello"),
                  415);
    expect_uploads(r, 0);
    /* By the host, in the middle. */
    assert_int_equal(vp_tus_begin(r->tus, "POST", "/files/", TUS BYTES "Upload-Length: 9\n", 1, &q, NULL),
                     VP_OK);
    assert_int_equal(vp_tus_accept(q, NULL, NULL), VP_OK);
    settle(r, q);
    assert_int_equal(vp_tus_body(q, "hello", 5, NULL), VP_OK);
    expect_uploads(r, 1);
    assert_int_equal(vp_tus_reject(q, 415, NULL, NULL, 0, NULL), VP_OK);
    vp_tus_close(q);
    expect_uploads(r, 0);
    /* One that the host has named may be known, and what a client that is gone has sent counts. */
    own.id = "named";
    assert_answer(ask_as(r, &named, "POST", "/files/", wrong, "Hello world", 11), 460);
    expect_offset(r, "named", "0");
    ask_as(r, &gone, "POST", "/files/", TUS BYTES "Upload-Length: 11\n", "hello", 5);
    expect_uploads(r, 2);
}

/* U08 */
static void checksum(void **state)
{
    static const char *const right[] = { "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=", "md5 XrY7u+Ae7tCTyyK7j1rNww==",
                                         "sha256 uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=",
                                         "crc32c yZRlqg==" };
    room *r = *state;
    const host h = { .piece = 1 };

    for (size_t i = 0; i < VPI_COUNT(right); i++) {
        result a = create(r, "Upload-Length: 22\n"), b;
        char lines[256];

        snprintf(lines, sizeof(lines), TUS BYTES "Upload-Offset: 0\nUpload-Checksum: %s\n", right[i]);
        b = ask_as(r, &h, "PATCH", target_of(a.id), lines, "hello World", 11);
        assert_answer(b, 460);
        expect_offset(r, a.id, "0");
        b = ask_as(r, &h, "PATCH", target_of(a.id), lines, "hello world", 11);
        assert_answer(b, 204);
        assert_header(b, "Upload-Offset", "11");
        snprintf(lines, sizeof(lines), TUS BYTES "Upload-Offset: 11\nUpload-Checksum: %s\n", right[i]);
        assert_answer(ask_as(r, &h, "PATCH", target_of(a.id), lines, "hello worl", 10), 460);
        expect_offset(r, a.id, "11");
        assert_answer(ask_as(r, &h, "PATCH", target_of(a.id), lines, "hello world!", 12), 413);
        expect_offset(r, a.id, "11");
        b = ask_as(r, &h, "PATCH", target_of(a.id), lines, "hello world", 11);
        assert_answer(b, 204);
        assert_int_equal(b.finishes, 1);
    }
}

static void checksum_gone(void **state)
{
    room *r = *state;
    result a = create(r, "Upload-Length: 22\n");
    const host h = { .stop = true };

    ask_as(r, &h, "PATCH", target_of(a.id),
           TUS BYTES "Upload-Offset: 0\nUpload-Checksum: sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=\n", "hello world",
           11);
    expect_offset(r, a.id, "0"); /* nobody knows whether they are right */
}

static void checksum_trailer(void **state)
{
    static const char *const right[] = {
        "Upload-Checksum: sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=\r\n",
        "upload-checksum: md5 XrY7u+Ae7tCTyyK7j1rNww==\n",
        "Other: x\nUpload-Checksum: sha256 uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=",
        "Upload-Checksum: crc32c yZRlqg==\n"
    };
    const char *lines = TUS BYTES "Upload-Offset: 0\nTransfer-Encoding: chunked\nTrailer: Upload-Checksum\n";
    room *r = *state;
    result a = create(r, "Upload-Length: 22\n"), b;
    host h = { .piece = 1 };

    for (size_t i = 0; i < VPI_COUNT(right); i++) {
        h.trailers = right[i];
        a = create(r, "Upload-Length: 22\n");
        assert_answer(ask_as(r, &h, "PATCH", target_of(a.id), lines, "hello World", 11), 460);
        expect_offset(r, a.id, "0");
        b = ask_as(r, &h, "PATCH", target_of(a.id), lines, "hello world", 11);
        assert_answer(b, 204);
        assert_header(b, "Upload-Offset", "11");
    }
    a = create(r, "Upload-Length: 11\n");
    h.trailers = NULL; /* it does not come */
    assert_answer(ask_as(r, &h, "PATCH", target_of(a.id), lines, "hello world", 11), 400);
    h.trailers = "Upload-Checksum: sha512 AAAA\n";
    assert_answer(ask_as(r, &h, "PATCH", target_of(a.id), lines, "hello world", 11), 400);
    h.trailers = "Upload Checksum\n";
    assert_answer(ask_as(r, &h, "PATCH", target_of(a.id), lines, "hello world", 11), 400);
    expect_offset(r, a.id, "0");
    h.trailers = right[0];
    b = ask_as(r, &h, "PATCH", target_of(a.id), lines, "hello world", 11);
    assert_answer(b, 204);
    assert_int_equal(b.finishes, 1);
}

static void termination(void **state)
{
    room *r = *state;
    vp_ingest_options io = VP_INGEST_OPTIONS_INIT;
    vp_tus_options to = VP_TUS_OPTIONS_INIT;
    const host h = { .reject = 401 };
    result a = create(r, "Upload-Length: 5\n"), b = make(r, "", "hello");

    assert_answer(ask_as(r, &h, "DELETE", target_of(a.id), TUS, NULL, 0), 401);
    expect_offset(r, a.id, "0");
    assert_answer(ask(r, "DELETE", target_of(a.id), TUS, NULL), 204);
    assert_answer(head(r, a.id), 404);
    assert_answer(patch(r, a.id, 0, "", "hello"), 404);
    assert_answer(ask(r, "DELETE", target_of(a.id), TUS, NULL), 404);
    assert_answer(ask(r, "DELETE", target_of(b.id), TUS, NULL), 204);
    assert_answer(head(r, b.id), 404);
    to.flags = VP_TUSF_NO_DELETE;
    room_use(r, io, to);
    a = create(r, "Upload-Length: 5\n");
    b = ask(r, "DELETE", target_of(a.id), TUS, NULL);
    assert_answer(b, 405);
    assert_header(b, "Allow", "POST, HEAD, GET, PATCH, OPTIONS");
    assert_int_equal(b.asks, 0);
}

/* U21: the method of the header counts, and is what the host is asked about. */
static void override(void **state)
{
    room *r = *state;
    result a = create(r, "Upload-Length: 10\n"), b;

    b = ask(r, "POST", target_of(a.id), TUS BYTES "Upload-Offset: 0\nX-HTTP-Method-Override: PATCH\n",
            "hello");
    assert_answer(b, 204);
    assert_int_equal(b.asked, VP_TUS_PATCH);
    b = ask(r, "GET", target_of(a.id), TUS "X-HTTP-Method-Override: HEAD\n", NULL);
    assert_header(b, "Upload-Offset", "5");
    assert_header(b, "Content-Length", "0"); /* the client waits for what a GET is answered */
    b = head(r, a.id);
    assert_no_header(b, "Content-Length");
    b = ask(r, "POST", target_of(a.id), TUS "X-Http-Method-Override: DELETE\n", NULL);
    assert_answer(b, 204);
    assert_int_equal(b.asked, VP_TUS_DELETE);
    assert_answer(ask(r, "POST", "/files/", TUS "Upload-Length: 1\nX-HTTP-Method-Override: TRACE\n", NULL),
                  405);
    assert_answer(ask(r, "PATCH", "/files/", "X-HTTP-Method-Override: OPTIONS\n", NULL), 204);
    /* Behind the answer to a HEAD comes the next one, never content. */
    a = make(r, "", "hello");
    b = ask(r, "HEAD", target_of(a.id), TUS "X-HTTP-Method-Override: GET\n", NULL);
    assert_answer(b, 200);
    assert_int_equal(b.asked, VP_TUS_GET);
    assert_int_equal(b.body_size, 0);
    b = ask(r, "HEAD", target_of(a.id), TUS "X-HTTP-Method-Override: PATCH\n", NULL);
    assert_answer(b, 415);
    assert_int_equal(b.body_size, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROOM_TEST(options),         ROOM_TEST(version),          ROOM_TEST(targets),
        ROOM_TEST(creation),        ROOM_TEST(creation_refused), ROOM_TEST(creation_by_host),
        ROOM_TEST(creation_limit),  ROOM_TEST(upload),           ROOM_TEST(patch_refused),
        ROOM_TEST(too_long),        ROOM_TEST(short_body),       ROOM_TEST(client_gone),
        ROOM_TEST(gone_at_the_end), ROOM_TEST(last_again),       ROOM_TEST(finish_refused),
        ROOM_TEST(empty),           ROOM_TEST(with_upload),      ROOM_TEST(deferred),
        ROOM_TEST(checksum),        ROOM_TEST(checksum_gone),    ROOM_TEST(checksum_trailer),
        ROOM_TEST(termination),     ROOM_TEST(override),         ROOM_TEST(with_upload_refused),
    };
    int bad = cmocka_run_group_tests_name("in the call", tests, NULL, NULL);

    queued = true;
    return bad + cmocka_run_group_tests_name("with a queue", tests, NULL, NULL);
}
