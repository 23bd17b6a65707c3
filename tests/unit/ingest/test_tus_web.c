/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What browsers see: CORS, downloads with ranges, headers that cannot be split. */
#include "tus_tools.h"

static void use(room *r, const char *origins, const char *allow, uint32_t flags)
{
    vp_ingest_options io = VP_INGEST_OPTIONS_INIT;
    vp_tus_options to = VP_TUS_OPTIONS_INIT;

    to.origins = origins;
    to.allow_headers = allow;
    to.flags = flags;
    room_use(r, io, to);
}

static void cors_off(void **state)
{
    room *r = *state;
    result a = ask(r, "OPTIONS", "/files/",
                   "Origin: https://a.example\nAccess-Control-Request-Method: POST\n", NULL);

    assert_answer(a, 204);
    assert_null(strstr(a.headers, "Access-Control"));
    assert_no_header(a, "Vary");
}

static void cors_any(void **state)
{
    room *r = *state;
    result a;

    use(r, "*", "Authorization, X-Csrf", 0);
    a = ask(r, "OPTIONS", "/files/", "Origin: https://a.example\nAccess-Control-Request-Method: PATCH\n",
            NULL);
    assert_answer(a, 204);
    assert_header(a, "Access-Control-Allow-Origin", "*");
    assert_header(a, "Access-Control-Allow-Methods", "POST, HEAD, PATCH, OPTIONS, GET, DELETE");
    assert_header(a, "Access-Control-Max-Age", "86400");
    assert_true(vpi_tus_listed(header(&a, "Access-Control-Allow-Headers"), "Upload-Checksum"));
    assert_true(vpi_tus_listed(header(&a, "Access-Control-Allow-Headers"), "Upload-Metadata"));
    assert_true(vpi_tus_listed(header(&a, "Access-Control-Allow-Headers"), "Tus-Resumable"));
    assert_true(vpi_tus_listed(header(&a, "Access-Control-Allow-Headers"), "X-Csrf"));
    /* A preflight does not tell which protocol it is for: those of the draft too. */
    assert_true(vpi_tus_listed(header(&a, "Access-Control-Allow-Headers"), "Content-Disposition"));
    assert_true(vpi_tus_listed(header(&a, "Access-Control-Allow-Headers"), "Repr-Digest"));
    assert_true(vpi_tus_listed(header(&a, "Access-Control-Allow-Headers"), "Content-Digest"));
    assert_no_header(a, "Access-Control-Expose-Headers");
    assert_no_header(a, "Access-Control-Allow-Credentials");
    assert_no_header(a, "Vary");
    a = create(r, "Upload-Length: 5\nOrigin: null\n");
    assert_header(a, "Access-Control-Allow-Origin", "*");
    assert_true(vpi_tus_listed(header(&a, "Access-Control-Expose-Headers"), "Location"));
    assert_true(vpi_tus_listed(header(&a, "Access-Control-Expose-Headers"), "Upload-Offset"));
    assert_true(vpi_tus_listed(header(&a, "Access-Control-Expose-Headers"), "Retry-After"));
    assert_no_header(a, "Access-Control-Allow-Methods");
    /* Also where it failed: else scripts see nothing of the reason. */
    a = ask(r, "HEAD", "/files/abc", "Origin: https://a.example\n", NULL);
    assert_answer(a, 412);
    assert_header(a, "Access-Control-Allow-Origin", "*");
    a = create(r, "Upload-Length: 5\n");
    assert_null(strstr(a.headers, "Access-Control"));
}

static void cors_list(void **state)
{
    room *r = *state;
    result a;
    vp_tus *t = NULL;
    vp_tus_options to = VP_TUS_OPTIONS_INIT;

    use(r, "https://a.example https://b.example:8443", NULL, VP_TUSF_CREDENTIALS | VP_TUSF_NO_GET);
    a = create(r, "Upload-Length: 5\nOrigin: https://b.example:8443\n");
    assert_header(a, "Access-Control-Allow-Origin", "https://b.example:8443");
    assert_header(a, "Access-Control-Allow-Credentials", "true");
    assert_header(a, "Vary", "Origin");
    assert_string_equal(a.info.origin ? "told" : "", "told");
    a = create(r, "Upload-Length: 5\nOrigin: https://b.example\n");
    assert_answer(a, 201);
    assert_null(strstr(a.headers, "Access-Control"));
    assert_header(a, "Vary", "Origin");
    a = ask(r, "OPTIONS", "/files/", "Origin: https://evil.example\nAccess-Control-Request-Method: POST\n",
            NULL);
    assert_null(strstr(a.headers, "Access-Control-Allow-Origin"));
    a = ask(r, "OPTIONS", "/files/", "Origin: https://a.example\nAccess-Control-Request-Method: POST\n",
            NULL);
    assert_header(a, "Access-Control-Allow-Methods", "POST, HEAD, PATCH, OPTIONS, DELETE");
    assert_answer(ask(r, "GET", "/files/abc", "", NULL), 405);
    to.origins = "*";
    to.flags = VP_TUSF_CREDENTIALS;
    assert_int_equal(vp_tus_new(r->ingest, &to, &t, NULL), VP_E_ARG);
    to.flags = 0x8000;
    assert_int_equal(vp_tus_new(r->ingest, &to, &t, NULL), VP_E_ARG);
    to.flags = 0;
    to.allow_headers = "X\r\nY";
    assert_int_equal(vp_tus_new(r->ingest, &to, &t, NULL), VP_E_ARG);
    assert_null(t);
}

static void bases(void **state)
{
    static const char *const bad[] = { "files/", "/files", "/fi les/", "/f?x/", "/\xc3\xa9/" };
    room *r = *state;
    vp_ingest_options io = VP_INGEST_OPTIONS_INIT;
    vp_tus_options to = VP_TUS_OPTIONS_INIT;
    vp_tus *t = NULL;
    result a;
    char url[256];

    for (size_t i = 0; i < VPI_COUNT(bad); i++) {
        to.base_path = bad[i];
        assert_int_equal(vp_tus_new(r->ingest, &to, &t, NULL), VP_E_ARG);
        assert_null(t);
    }
    to.base_path = "/up/";
    to.base_url = "https://example.org/proxied/";
    room_use(r, io, to);
    a = ask(r, "POST", "/up", TUS "Upload-Length: 5\nUpload-Concat: partial\n", NULL);
    assert_answer(a, 201);
    snprintf(url, sizeof(url), "https://example.org/proxied/%s", a.id);
    assert_header(a, "Location", url);
    snprintf(url, sizeof(url), "/up/%s?token=1", a.id);
    assert_answer(ask(r, "PATCH", url, TUS BYTES "Upload-Offset: 0\n", "hello"), 204);
    snprintf(url, sizeof(url), TUS "Upload-Concat: final;https://example.org/proxied/%s\n", a.id);
    assert_answer(ask(r, "POST", "/up/", url, NULL), 201);
}

static void download(void **state)
{
    room *r = *state;
    /* filename: a"b, CR LF, X: y; filetype: video/mp4 */
    result a = make(r, "Upload-Metadata: filename YSJiDQpYOiB5,filetype dmlkZW8vbXA0\n", "hello world"), b;
    char lines[256];
    const char *tag = "\"b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9\"";

    b = ask(r, "GET", target_of(a.id), "", NULL);
    assert_answer(b, 200);
    assert_int_equal(b.asked, VP_TUS_GET);
    assert_string_equal(b.body, "hello world");
    assert_header(b, "Content-Length", "11");
    assert_header(b, "Content-Type", "video/mp4");
    assert_header(b, "Content-Disposition",
                  "attachment; filename=\"a_b__X_ y\"; filename*=UTF-8''a%22b%0D%0AX%3A%20y");
    assert_header(b, "X-Content-Type-Options", "nosniff");
    assert_header(b, "ETag", tag);
    assert_header(b, "Accept-Ranges", "bytes");
    b = ask(r, "GET", target_of(a.id), "Range: bytes=6-\n", NULL);
    assert_answer(b, 206);
    assert_string_equal(b.body, "world");
    assert_header(b, "Content-Range", "bytes 6-10/11");
    assert_header(b, "Content-Length", "5");
    b = ask(r, "GET", target_of(a.id), "Range: bytes=11-\n", NULL);
    assert_answer(b, 416);
    assert_header(b, "Content-Range", "bytes */11");
    snprintf(lines, sizeof(lines), "Range: bytes=0-0\nIf-Range: %s\n", tag);
    assert_answer(ask(r, "GET", target_of(a.id), lines, NULL), 206);
    assert_answer(ask(r, "GET", target_of(a.id), "Range: bytes=0-0\nIf-Range: \"other\"\n", NULL), 200);
    snprintf(lines, sizeof(lines), "If-None-Match: W/\"x\", %s\n", tag);
    b = ask(r, "GET", target_of(a.id), lines, NULL);
    assert_answer(b, 304);
    assert_no_header(b, "Content-Length");
    assert_int_equal(b.body_size, 0);
    snprintf(lines, sizeof(lines), "Range: bytes=0-0\nIf-Match: \"other\", %s\n", tag);
    assert_answer(ask(r, "GET", target_of(a.id), lines, NULL), 206);
    assert_answer(ask(r, "GET", target_of(a.id), "If-Match: *\n", NULL), 200);
    snprintf(lines, sizeof(lines), "If-Match: \"other\", W/%s\nIf-None-Match: %s\n", tag, tag);
    b = ask(r, "GET", target_of(a.id), lines, NULL);
    assert_answer(b, 412);
    assert_header(b, "Content-Length", "0");
    assert_int_equal(b.body_size, 0);
    /* A page that would run in this origin. */
    a = make(r, "Upload-Metadata: filetype dGV4dC9odG1s\n", "<script>");
    b = ask(r, "GET", target_of(a.id), "", NULL);
    assert_header(b, "Content-Type", "application/octet-stream");
    assert_header(b, "Content-Disposition", "attachment");
    a = create(r, "Upload-Length: 5\n");
    assert_answer(ask(r, "GET", target_of(a.id), "", NULL), 409);
    assert_answer(ask(r, "GET", "/files/", "", NULL), 405);
}

/* U19: what was decoded never comes back raw, and the text of a host's own id or name cannot split a header. */
static void smuggling(void **state)
{
    room *r = *state;
    result a = make(r, "Upload-Metadata: evil DQpTZXQtQ29va2llOiBhPWIAAQ==\n", "x"), b;

    b = head(r, a.id);
    assert_header(b, "Upload-Metadata", "evil DQpTZXQtQ29va2llOiBhPWIAAQ==");
    assert_null(strstr(b.headers, "Set-Cookie"));
    assert_answer(create(r, "Upload-Length: 5\nUpload-Metadata: a\x01 YQ==\n"), 400);
    assert_answer(create(r, "Upload-Length: 5\nUpload-Metadata: a\rSet-Cookie: x\n"), 400);
    assert_answer(create(r, "Upload-Length: 5\nUpload-Metadata: \xc3\xa9 YQ==\n"), 400);
    assert_answer(create(r, "Upload-Length: 5\n Folded: x\n"), 400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROOM_TEST(cors_off), ROOM_TEST(cors_any), ROOM_TEST(cors_list),
        ROOM_TEST(bases),    ROOM_TEST(download), ROOM_TEST(smuggling),
    };
    int bad = cmocka_run_group_tests_name("in the call", tests, NULL, NULL);

    queued = true;
    return bad + cmocka_run_group_tests_name("with a queue", tests, NULL, NULL);
}
