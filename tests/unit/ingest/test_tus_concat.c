/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* U18, U19: concatenation of parts. */
#include "tus_tools.h"

/* A partial upload with these bytes; its url is written to `url`. */
static void part(room *r, const char *bytes, char url[128])
{
    char lines[128];
    result a;

    snprintf(lines, sizeof(lines),
             "Upload-Length: %zu\nUpload-Concat: partial\nUpload-Metadata: own cGFydA==\n", strlen(bytes));
    a = create(r, lines);
    assert_answer(a, 201);
    assert_true(a.info.flags & VP_TUS_IS_PARTIAL);
    snprintf(url, 128, "/files/%s", a.id);
    if (*bytes) {
        a = patch(r, a.id, 0, "", bytes);
        assert_answer(a, 204);
        assert_int_equal(a.finishes, 0); /* nothing to be processed */
    }
}

static result join_as(room *r, const char *list, const char *more)
{
    char lines[4096];

    snprintf(lines, sizeof(lines), TUS "Upload-Concat: final;%s\n%s", list, more);
    return ask(r, "POST", "/files/", lines, NULL);
}

static void parts(void **state)
{
    room *r = *state;
    char a[128], b[128], list[512];
    result f, h;

    part(r, "hello ", a);
    part(r, "world", b);
    h = head(r, a + 7);
    assert_header(h, "Upload-Concat", "partial");
    assert_header(h, "Upload-Offset", "6");
    /* Any order, and one of them twice; by path, by url, percent-encoded. */
    snprintf(list, sizeof(list), "%s %s  https://host.example%s", a, b, a);
    f = join_as(r, list, "Upload-Metadata: filename YQ==\n");
    assert_answer(f, 201);
    assert_true(f.info.flags & VP_TUS_IS_FINAL);
    assert_int_equal(strlen(f.info.parts ? "x" : ""), 1);
    assert_int_equal(f.finishes, 1);
    assert_int_equal(f.finish.length, 17);
    assert_true(f.finish.flags & VP_TUS_IS_FINAL);
    assert_string_equal(f.metadata, "filename=a;"); /* theirs are not inherited */
    h = head(r, f.id);
    assert_answer(h, 200);
    assert_header(h, "Upload-Offset", "17");
    assert_header(h, "Upload-Length", "17");
    assert_header(h, "Upload-Metadata", "filename YQ==");
    snprintf(list, sizeof(list), "final;%s %s  https://host.example%s", a, b, a);
    assert_header(h, "Upload-Concat", list);
    assert_string_equal(ask(r, "GET", target_of(f.id), "", NULL).body, "hello worldhello ");
    /* The parts are still there for another one. */
    snprintf(list, sizeof(list), "%s", b);
    f = join_as(r, list, "");
    assert_answer(f, 201);
    assert_string_equal(ask(r, "GET", target_of(f.id), "", NULL).body, "world");
    /* A final one takes no bytes. */
    assert_answer(patch(r, f.id, 5, "", "x"), 403);
    assert_answer(patch(r, f.id, 5, "", ""), 403);
    assert_answer(patch(r, f.id, 0, "", "x"), 403);
    assert_string_equal(ask(r, "GET", target_of(f.id), "", NULL).body, "world");
}

static void refused(void **state)
{
    static const char *const bad[] = { "",
                                       " ",
                                       "/files/../a",
                                       "/files/%2e%2e",
                                       "/files/",
                                       "/etc/passwd",
                                       "/files/a/b",
                                       "file:///files/a",
                                       "/files/a%0d%0aX: y",
                                       "final" };
    room *r = *state;
    char a[128], list[512];
    result f;

    part(r, "hello", a);
    for (size_t i = 0; i < VPI_COUNT(bad); i++) {
        snprintf(list, sizeof(list), "%s %s", bad[i], i < 2 ? "" : a);
        f = join_as(r, list, "");
        if (f.status != 400) fail_msg("%s: %d", bad[i], f.status);
    }
    assert_answer(join_as(r, "/files/unknown", ""), 400);
    assert_answer(join_as(r, a, "Upload-Length: 5\n"), 400);
    assert_answer(join_as(r, a, "Upload-Defer-Length: 1\n"), 400);
    assert_answer(join_as(r, a, BYTES "Content-Length: 5\n"), 403);
    /* An upload that is no part. */
    f = make(r, "", "hello");
    assert_answer(join_as(r, target_of(f.id), ""), 400);
    /* One that is not whole, and one that is gone. */
    f = create(r, "Upload-Length: 5\nUpload-Concat: partial\n");
    snprintf(list, sizeof(list), "%s %s", a, target_of(f.id));
    assert_answer(join_as(r, list, ""), 400);
    assert_answer(ask(r, "DELETE", a, TUS, NULL), 204);
    assert_answer(join_as(r, a, ""), 400);
}

static void limits(void **state)
{
    room *r = *state;
    vp_ingest_options io = VP_INGEST_OPTIONS_INIT;
    vp_tus_options to = VP_TUS_OPTIONS_INIT;
    char a[128], list[256];

    io.max_size = 8;
    room_use(r, io, to);
    part(r, "hello", a);
    snprintf(list, sizeof(list), "%s %s", a, a);
    assert_answer(join_as(r, list, ""), 413);
    to.flags = VP_TUSF_NO_CONCAT;
    room_use(r, io, to);
    assert_answer(join_as(r, a, ""), 400);
    assert_answer(create(r, "Upload-Length: 5\nUpload-Concat: partial\n"), 400);
}

/* concatenation-unfinished: the first who looks when all is there finishes it. */
static void early(void **state)
{
    room *r = *state;
    vp_ingest_options io = VP_INGEST_OPTIONS_INIT;
    vp_tus_options to = VP_TUS_OPTIONS_INIT;
    char a[128], b[128], list[256];
    result f, h, p;

    to.flags = VP_TUSF_CONCAT_EARLY;
    room_use(r, io, to);
    part(r, "hello ", a);
    p = create(r, "Upload-Length: 5\nUpload-Concat: partial\n");
    assert_answer(p, 201);
    snprintf(b, sizeof(b), "/files/%s", p.id);
    snprintf(list, sizeof(list), "%s %s", a, b);
    f = join_as(r, list, "Upload-Metadata: filename YQ==\n");
    assert_answer(f, 201);
    assert_int_equal(f.finishes, 0);
    h = head(r, f.id);
    assert_answer(h, 200);
    assert_no_header(h, "Upload-Offset");
    assert_header(h, "Upload-Length", "11");
    assert_int_equal(h.finishes, 0);
    assert_answer(patch(r, f.id, 0, "", "x"), 403);
    assert_answer(ask(r, "GET", target_of(f.id), "", NULL), 409);
    assert_answer(patch(r, p.id, 0, "", "world"), 204);
    h = head(r, f.id);
    assert_answer(h, 200);
    assert_int_equal(h.finishes, 1);
    assert_string_equal(h.metadata, "filename=a;");
    assert_header(h, "Upload-Offset", "11");
    assert_header(h, "Upload-Length", "11");
    h = head(r, f.id);
    assert_int_equal(h.finishes, 0);
    assert_header(h, "Upload-Offset", "11");
    assert_string_equal(ask(r, "GET", target_of(f.id), "", NULL).body, "hello world");
}

/* What waits in vain says so, and can be removed. */
static void in_vain(void **state)
{
    room *r = *state;
    vp_ingest_options io = VP_INGEST_OPTIONS_INIT;
    vp_tus_options to = VP_TUS_OPTIONS_INIT;
    char a[128], list[256];
    result f, p;

    to.flags = VP_TUSF_CONCAT_EARLY;
    io.max_size = 8;
    room_use(r, io, to);
    part(r, "hello ", a);
    p = create(r, "Upload-Defer-Length: 1\nUpload-Concat: partial\n");
    snprintf(list, sizeof(list), "%s %s", a, target_of(p.id));
    f = join_as(r, list, "");
    assert_answer(f, 201);
    assert_answer(ask(r, "DELETE", target_of(p.id), TUS, NULL), 204);
    p = head(r, f.id);
    assert_answer(p, 410);
    assert_no_header(p, "Upload-Offset");
    assert_answer(ask(r, "GET", target_of(f.id), "", NULL), 410);
    assert_answer(patch(r, f.id, 0, "", "x"), 403);
    assert_answer(ask(r, "DELETE", target_of(f.id), TUS, NULL), 204);
    assert_answer(head(r, f.id), 404);
    /* Its parts turn out to be too long together. */
    p = create(r, "Upload-Defer-Length: 1\nUpload-Concat: partial\n");
    snprintf(list, sizeof(list), "%s %s", a, target_of(p.id));
    f = join_as(r, list, "");
    assert_answer(f, 201);
    assert_answer(patch(r, p.id, 0, "Upload-Length: 5\n", "world"), 204);
    assert_answer(head(r, f.id), 413);
    assert_answer(patch(r, f.id, 0, "", "x"), 403);
    assert_answer(ask(r, "DELETE", target_of(f.id), TUS, NULL), 204);
    assert_answer(head(r, f.id), 404);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROOM_TEST(parts), ROOM_TEST(refused), ROOM_TEST(limits), ROOM_TEST(early), ROOM_TEST(in_vain),
    };
    int bad = cmocka_run_group_tests_name("in the call", tests, NULL, NULL);

    queued = true;
    return bad + cmocka_run_group_tests_name("with a queue", tests, NULL, NULL);
}
