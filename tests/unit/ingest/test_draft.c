/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* U22: the IETF's draft. Section titles in comments are the draft's. */
#include "tus_tools.h"

#define PART "Content-Type: application/partial-upload\n"
#define PROBLEM "https://iana.org/assignments/http-problem-types#"

static result draft_as(room *r, host h, const char *method, const char *target, const char *headers,
                       const char *body)
{
    h.draft = true;
    return ask_as(r, &h, method, target, headers, body, body ? strlen(body) : 0);
}

static result draft(room *r, const char *method, const char *target, const char *headers, const char *body)
{
    return draft_as(r, (host){ 0 }, method, target, headers, body);
}

static void expect_state(room *r, const char *id, const char *offset, const char *complete)
{
    result a = draft(r, "HEAD", target_of(id), "", NULL);

    assert_answer(a, 204);
    assert_header(a, "Upload-Offset", offset);
    assert_header(a, "Upload-Complete", complete);
    assert_header(a, "Cache-Control", "no-store");
    if (!header(&a, "Upload-Limit")) fail_msg("no limits");
}

static void options(void **state)
{
    room *r = *state;
    vp_ingest_options io = VP_INGEST_OPTIONS_INIT;
    vp_tus_options to = VP_TUS_OPTIONS_INIT;
    result a = draft(r, "OPTIONS", "/files/", "", NULL);

    assert_answer(a, 204);
    assert_header(a, "Upload-Limit", "min-size=0");
    assert_header(a, "Accept-Patch", "application/partial-upload");
    assert_no_header(a, "Tus-Version");
    assert_no_header(a, "Tus-Resumable");
    io.max_size = 1000;
    room_use(r, io, to);
    a = draft(r, "OPTIONS", "*", "", NULL);
    assert_header(a, "Upload-Limit", "max-size=1000");
    io.expire_ms = 3600000;
    to.origins = "*";
    room_use(r, io, to);
    a = draft(r, "OPTIONS", "/files", "Origin: https://a\nAccess-Control-Request-Method: PUT\n", NULL);
    assert_header(a, "Upload-Limit", "max-size=1000, max-age=3600");
    assert_true(vpi_tus_listed(header(&a, "Access-Control-Allow-Methods"), "PUT"));
    assert_true(vpi_tus_listed(header(&a, "Access-Control-Allow-Headers"), "Upload-Complete"));
    /* Nothing in OPTIONS tells whose it is. */
    a = ask(r, "OPTIONS", "/files/", "", NULL);
    assert_no_header(a, "Accept-Patch");
    to.flags = VP_TUSF_DRAFT;
    room_use(r, io, to);
    a = ask(r, "OPTIONS", "/files/", "Origin: https://a\nAccess-Control-Request-Method: PUT\n", NULL);
    assert_header(a, "Tus-Version", "1.0.0");
    assert_header(a, "Accept-Patch", "application/offset+octet-stream, application/partial-upload");
    assert_header(a, "Upload-Limit", "max-size=1000, max-age=3600");
    assert_true(vpi_tus_listed(header(&a, "Access-Control-Allow-Methods"), "PUT"));
}

/* Upload Creation: all in one request, by POST and PUT; the host's answer is the resource's. */
static void whole(void **state)
{
    room *r = *state;
    vp_tus_accept_options done = VP_TUS_ACCEPT_OPTIONS_INIT;
    const host h = { .piece = 1, .finish = &done };
    char want[256];
    result a;

    done.headers = "Content-Type: application/json\n";
    done.body = "{\"id\":1}";
    done.body_size = 8;
    a = draft_as(r, h, "PUT", "/files",
                 "Upload-Complete: ?1\nContent-Length: 5\nContent-Type: video/mp4\n"
                 "Content-Disposition: inline; filename=\"a b.mp4\"\nUpload-Draft-Interop-Version: 9\n",
                 "hello");
    assert_answer(a, 200);
    assert_int_equal(a.asks, 2);
    assert_int_equal(a.asked, VP_TUS_CREATE);
    assert_true(a.info.flags & VP_TUS_IS_DRAFT);
    assert_int_equal(a.info.length, 5);
    assert_int_equal(a.finishes, 1);
    assert_string_equal(a.metadata, "filename=a b.mp4;filetype=video/mp4;");
    assert_header(a, "Upload-Complete", "?1");
    assert_header(a, "Content-Type", "application/json");
    assert_header(a, "Upload-Offset", "5");
    assert_string_equal(a.body, "{\"id\":1}");
    snprintf(want, sizeof(want),
             "Upload-Draft-Interop-Version: 9\nLocation: /files/%s\nUpload-Limit: min-size=0\n|", a.id);
    assert_string_equal(a.interim, want);
    expect_state(r, a.id, "5", "?1");
    assert_string_equal(ask(r, "GET", target_of(a.id), "", NULL).body, "hello");
    assert_string_equal(draft(r, "POST", "/files/", PART "Upload-Complete: ?1\n", "hello").metadata, "");
    /* A length that nobody told: the end of the body is the end. */
    a = draft(r, "POST", "/files/", "Upload-Complete: ?1\n", "hello");
    assert_answer(a, 200);
    assert_true(a.info.flags & VP_TUS_IS_DEFERRED);
    assert_int_equal(a.finish.length, 5);
    /* Nothing at all. */
    a = draft(r, "POST", "/files/", "Upload-Complete: ?1\nContent-Length: 0\n", NULL);
    assert_answer(a, 200);
    assert_int_equal(a.finish.length, 0);
}

/* Draft Version Identification: no 104 to other versions. */
static void interop(void **state)
{
    static const char *const other[] = { "", "Upload-Draft-Interop-Version: 8\n",
                                         "Upload-Draft-Interop-Version: 10\n",
                                         "Upload-Draft-Interop-Version: 9.0\n",
                                         "Upload-Draft-Interop-Version: \"9\"\n" };
    room *r = *state;

    for (size_t i = 0; i < VPI_COUNT(other); i++) {
        char lines[256];
        result a;

        snprintf(lines, sizeof(lines), "Upload-Complete: ?0\nContent-Length: 0\n%s", other[i]);
        a = draft(r, "POST", "/files/", lines, NULL);
        assert_answer(a, 201);
        assert_string_equal(a.interim, "");
    }
}

/* Upload Creation and Append in parts. */
static void in_parts(void **state)
{
    room *r = *state;
    char location[128];
    result a = draft(r, "POST", "/files/", "Upload-Complete: ?0\nUpload-Length: 15\nContent-Length: 5\n",
                     "hello"),
           b;

    assert_answer(a, 201);
    assert_header(a, "Upload-Complete", "?0");
    assert_header(a, "Upload-Limit", "min-size=0");
    assert_header(a, "Upload-Offset", "5");
    snprintf(location, sizeof(location), "/files/%s", a.id);
    assert_header(a, "Location", location);
    assert_int_equal(a.finishes, 0);
    expect_state(r, a.id, "5", "?0");
    b = draft(r, "HEAD", location, "", NULL);
    assert_header(b, "Upload-Length", "15");
    b = draft(r, "PATCH", location, PART "Upload-Complete: ?0\nUpload-Offset: 5\nContent-Length: 5\n",
              "world");
    assert_answer(b, 204);
    assert_header(b, "Upload-Complete", "?0");
    assert_no_header(b, "Location");
    /* All bytes are there, but it is not complete before the client says so. */
    b = draft(r, "PATCH", location, PART "Upload-Complete: ?0\nUpload-Offset: 10\n", "again");
    assert_answer(b, 204);
    assert_int_equal(b.finishes, 0);
    expect_state(r, a.id, "15", "?0");
    b = draft(r, "PATCH", location, PART "Upload-Complete: ?1\nUpload-Offset: 15\nContent-Length: 0\n", NULL);
    assert_answer(b, 200);
    assert_header(b, "Upload-Complete", "?1");
    assert_int_equal(b.finishes, 1);
    expect_state(r, a.id, "15", "?1");
    b = draft(r, "GET", location, "", NULL); /* Offset Retrieval */
    assert_answer(b, 204);
    assert_header(b, "Upload-Offset", "15");
    assert_int_equal(b.body_size, 0);
    assert_string_equal(ask(r, "GET", location, "", NULL).body, "helloworldagain");
    b = draft(r, "GET", "/files/none", "", NULL);
    assert_answer(b, 404);
    assert_header(b, "Content-Length", "0");
    b = draft(r, "HEAD", "/files/../none", "", NULL);
    assert_answer(b, 404);
    assert_int_equal(b.body_size, 0);
    /* The answer was lost: it is given again. */
    b = draft(r, "PATCH", location, PART "Upload-Complete: ?1\nUpload-Offset: 15\nContent-Length: 0\n", NULL);
    assert_answer(b, 200);
    assert_header(b, "Upload-Complete", "?1");
    assert_true(b.finish_flags & VP_TUS_WAS_ASKED);
}

static void refused(void **state)
{
    static const struct {
        const char *method, *lines;
        int status;
    } cases[] = {
        { "POST", "", 400 },
        { "POST", "Upload-Complete: 1\n", 400 },
        { "POST", "Upload-Complete: ?1\nUpload-Complete: ?0\n", 400 },
        { "POST", "Upload-Complete: ?1\nContent-Length: 1001\n", 413 },
        { "POST", "Upload-Complete: ?0\nUpload-Length: 1001\n", 413 },
        { "POST", "Upload-Complete: ?1\nUpload-Length: 6\nContent-Length: 5\n", 400 },
        { "POST", "Upload-Complete: ?0\nUpload-Length: 4\nContent-Length: 5\n", 400 },
        { "PATCH", "Upload-Complete: ?1\n", 405 },
        { "DELETE", "", 405 },
        { "HEAD", "", 405 },
    };
    room *r = *state;
    vp_ingest_options io = VP_INGEST_OPTIONS_INIT;
    vp_tus_options to = VP_TUS_OPTIONS_INIT;

    io.max_size = 1000;
    room_use(r, io, to);
    for (size_t i = 0; i < VPI_COUNT(cases); i++) {
        result a = draft(r, cases[i].method, "/files/", cases[i].lines, NULL);

        if (a.status != cases[i].status) fail_msg("%s: %d", cases[i].lines, a.status);
        assert_int_equal(a.asks, 0);
        if (a.status == 413) assert_header(a, "Upload-Limit", "max-size=1000");
    }
    /* A length that is no integer is ignored. */
    assert_int_equal(
        draft(r, "POST", "/files/", "Upload-Complete: ?0\nUpload-Length: -5\n", NULL).info.length,
        VP_SIZE_UNKNOWN);
    assert_answer(draft(r, "POST", "/files/abc", "Upload-Complete: ?1\n", NULL), 405);
    assert_answer(draft(r, "HEAD", "/files/abc", "", NULL), 404);
    assert_answer(draft(r, "PATCH", "/files/abc", PART "Upload-Complete: ?1\nUpload-Offset: 0\n", NULL), 404);
}

/* Upload Append, Mismatching Offset, Inconsistent Length. */
static void append_refused(void **state)
{
    room *r = *state;
    result a = draft(r, "POST", "/files/", "Upload-Complete: ?0\nUpload-Length: 10\n", "hello"), b;
    const char *at = target_of(a.id);
    char target[128];

    snprintf(target, sizeof(target), "%s", at);
    b = draft(r, "PATCH", target, PART "Upload-Complete: ?1\nUpload-Offset: 4\n", "world");
    assert_answer(b, 409);
    assert_header(b, "Upload-Offset", "5");
    assert_header(b, "Upload-Complete", "?0");
    assert_header(b, "Content-Type", "application/problem+json");
    assert_non_null(strstr(b.body, "\"type\":\"" PROBLEM "mismatching-upload-offset\""));
    assert_non_null(strstr(b.body, "\"expected-offset\":5,\"provided-offset\":4}"));
    assert_answer(draft(r, "PATCH", target, "Upload-Complete: ?1\nUpload-Offset: 5\n", "world"), 415);
    assert_answer(draft(r, "PATCH", target, BYTES "Upload-Complete: ?1\nUpload-Offset: 5\n", "world"), 415);
    assert_answer(draft(r, "PATCH", target, PART "Upload-Offset: 5\n", "world"), 400);
    assert_answer(draft(r, "PATCH", target, PART "Upload-Complete: ?1\n", "world"), 400);
    assert_answer(draft(r, "PATCH", target, PART "Upload-Complete: ?1\nUpload-Offset: -5\n", "world"), 400);
    b = draft(r, "PATCH", target, PART "Upload-Complete: ?1\nUpload-Offset: 5\nContent-Length: 4\n", "worl");
    assert_answer(b, 400);
    assert_header(b, "Upload-Complete", "?0");
    assert_non_null(strstr(b.body, "\"type\":\"" PROBLEM "inconsistent-upload-length\""));
    b = draft(r, "PATCH", target, PART "Upload-Complete: ?0\nUpload-Length: 11\nUpload-Offset: 5\n",
              "world!");
    assert_answer(b, 400);
    b = draft(r, "PATCH", target, PART "Upload-Complete: ?0\nUpload-Offset: 5\nContent-Length: 6\n",
              "world!");
    assert_answer(b, 400);
    expect_state(r, a.id, "5", "?0");
    /* It says that this is the end, but a byte is missing: what came counts, it is not complete. */
    b = draft(r, "PATCH", target, PART "Upload-Complete: ?1\nUpload-Offset: 5\n", "worl");
    assert_answer(b, 400);
    assert_int_equal(b.finishes, 0);
    expect_state(r, a.id, "9", "?0");
    b = draft(r, "PATCH", target, PART "Upload-Complete: ?1\nUpload-Offset: 9\nContent-Length: 1\n", "d");
    assert_answer(b, 200);
    /* After the end: refused by the protocol, not by who has the file. */
    b = draft(r, "PATCH", target, PART "Upload-Complete: ?1\nUpload-Offset: 10\n", "!");
    assert_answer(b, 400);
    assert_header(b, "Upload-Complete", "?0");
    b = draft(r, "PATCH", target, PART "Upload-Complete: ?1\nUpload-Offset: 0\n", "helloworld");
    assert_answer(b, 409);
    assert_header(b, "Upload-Offset", "10");
    assert_header(b, "Upload-Complete", "?0");
    expect_state(r, a.id, "10", "?1");
}

/* Upload Append: more than its length makes an upload invalid. */
static void over_length(void **state)
{
    room *r = *state;
    result a = draft(r, "POST", "/files/", "Upload-Complete: ?0\nUpload-Length: 10\n", "hello"), b;

    b = draft(r, "PATCH", target_of(a.id), PART "Upload-Complete: ?1\nUpload-Offset: 5\n", "world!");
    assert_answer(b, 400);
    assert_non_null(strstr(b.body, "inconsistent-upload-length"));
    assert_answer(draft(r, "HEAD", target_of(a.id), "", NULL), 404);
    assert_answer(draft(r, "POST", "/files/", "Upload-Complete: ?1\nUpload-Length: 4\n", "hello"), 400);
}

/* A body that ends before its Content-Length was interrupted, whatever it wanted to be. */
static void interrupted(void **state)
{
    room *r = *state;
    const host gone = { .stop = true };
    result a = draft(r, "POST", "/files/",
                     "Upload-Complete: ?1\nContent-Length: 10\nUpload-Draft-Interop-Version: 9\n", "hello");
    char id[68];

    assert_answer(a, 400);
    assert_header(a, "Upload-Complete", "?0");
    assert_int_equal(a.finishes, 0);
    assert_int_equal(sscanf(strstr(a.interim, "Location: /files/"), "Location: /files/%67[a-zA-Z0-9_-]", id),
                     1);
    expect_state(r, id, "5", "?0");
    draft_as(r, gone, "PATCH", target_of(id),
             PART "Upload-Complete: ?1\nUpload-Offset: 5\nContent-Length: 5\n", "wor");
    expect_state(r, id, "8", "?0");
    a = draft(r, "PATCH", target_of(id), PART "Upload-Complete: ?1\nUpload-Offset: 8\nContent-Length: 2\n",
              "ld");
    assert_answer(a, 200);
    assert_string_equal(ask(r, "GET", target_of(id), "", NULL).body, "helloworld");
}

/* The host's word at the end is the resource's: errors carry ?1 too. */
static void finish_refused(void **state)
{
    room *r = *state;
    const host h = { .reject_finish = 422 }, no = { .reject = 403 };
    result a = draft_as(r, h, "POST", "/files/", "Upload-Complete: ?1\n", "hello");

    assert_answer(a, 422);
    assert_header(a, "Upload-Complete", "?1");
    a = draft_as(r, no, "POST", "/files/", "Upload-Complete: ?1\n", "hello");
    assert_answer(a, 403);
    assert_header(a, "Upload-Complete", "?1");
}

static void cancellation(void **state)
{
    room *r = *state;
    result a = draft(r, "POST", "/files/", "Upload-Complete: ?0\n", "hello");

    assert_answer(draft(r, "DELETE", target_of(a.id), "", NULL), 204);
    assert_answer(draft(r, "HEAD", target_of(a.id), "", NULL), 404);
    assert_answer(draft(r, "DELETE", target_of(a.id), "", NULL), 404);
}

/* Limits: what is left of its life. */
static void age(void **state)
{
    room *r = *state;
    vp_ingest_options io = VP_INGEST_OPTIONS_INIT;
    vp_tus_options to = VP_TUS_OPTIONS_INIT;
    result a;

    io.expire_ms = 3600000;
    room_use(r, io, to);
    a = draft(r, "POST", "/files/", "Upload-Complete: ?0\n", "hello");
    assert_header(a, "Upload-Limit", "max-age=3600");
    r->now_us += INT64_C(600) * 1000000;
    vp_upload_info info = VP_UPLOAD_INFO_INIT;
    assert_int_equal(vp_ingest_stat(r->ingest, a.id, &info, NULL, NULL), VP_OK);
    assert_int_equal((info.expires_us - r->now_us) / 1000000, 3000);
}

/* Integrity Digests. */
static void digests(void **state)
{
    room *r = *state;
    result a =
        draft(r, "POST", "/files/",
              "Upload-Complete: ?1\nRepr-Digest: sha-256=:uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=:\n",
              "hello world");

    assert_answer(a, 200);
    a = draft(r, "POST", "/files/",
              "Upload-Complete: ?1\nRepr-Digest: sha-256=:uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=:\n",
              "Hello world");
    assert_answer(a, 460);
    expect_uploads(r, 1); /* nobody was told of the second one */
    a = draft(r, "POST", "/files/",
              "Upload-Draft-Interop-Version: 9\nUpload-Complete: ?1\n"
              "Content-Digest: sha-256=:uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=:\n",
              "Hello world");
    assert_answer(a, 460);
    expect_uploads(r, 2); /* but of this one, by a 104 */
    a = draft(r, "POST", "/files/", "Upload-Complete: ?0\n", "");
    assert_answer(draft(r, "PATCH", target_of(a.id),
                        PART "Upload-Complete: ?0\nUpload-Offset: 0\n"
                             "Content-Digest: sha-256=:uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=:\n",
                        "Hello world"),
                  460);
    expect_state(r, a.id, "0", "?0");
    assert_answer(draft(r, "PATCH", target_of(a.id),
                        PART "Upload-Complete: ?0\nUpload-Offset: 0\n"
                             "Content-Digest: sha-256=:uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=:\n",
                        "hello world"),
                  204);
    expect_state(r, a.id, "11", "?0");
}

/* Interim answers tell what is durable, never more. */
static void progress(void **state)
{
    room *r = *state;
    vp_ingest_options io = VP_INGEST_OPTIONS_INIT;
    vp_tus_options to = VP_TUS_OPTIONS_INIT;
    host h = { .piece = (size_t)1 << 20, .draft = true };
    const size_t size = (size_t)48 << 20;
    char *body = calloc(1, size);
    const char *p;
    uint64_t last = 0;
    result a;

    assert_non_null(body);
    io.sync_bytes = (uint64_t)4 << 20;
    room_use(r, io, to);
    a = ask_as(r, &h, "POST", "/files/", "Upload-Complete: ?1\nUpload-Draft-Interop-Version: 9\n", body,
               size);
    assert_answer(a, 200);
    for (p = strstr(a.interim, "Upload-Offset: "); p; p = strstr(p + 1, "Upload-Offset: ")) {
        uint64_t offset = strtoull(p + 15, NULL, 10);

        assert_true(offset > last && offset <= size);
        last = offset;
    }
    free(body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROOM_TEST(options),        ROOM_TEST(whole),          ROOM_TEST(interop),     ROOM_TEST(in_parts),
        ROOM_TEST(refused),        ROOM_TEST(append_refused), ROOM_TEST(over_length), ROOM_TEST(interrupted),
        ROOM_TEST(finish_refused), ROOM_TEST(cancellation),   ROOM_TEST(age),         ROOM_TEST(digests),
        ROOM_TEST(progress),
    };
    int bad = cmocka_run_group_tests_name("in the call", tests, NULL, NULL);

    queued = true;
    return bad + cmocka_run_group_tests_name("with a queue", tests, NULL, NULL);
}
