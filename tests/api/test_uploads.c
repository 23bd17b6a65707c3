/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A video is uploaded, asked what it is while it comes, and probed from where it was stored. */

#include "api/host.h"

typedef struct upload_room {
    vp_context *context;
    vp_ingest *ingest;
    char path[64];
    uint8_t bytes[8192];
    size_t size;
} upload_room;

static int upload_begin(void **state)
{
    upload_room *r = calloc(1, sizeof(*r));
    *state = r;
    snprintf(r->path, sizeof(r->path), "/tmp/vpt-uploads-XXXXXX");
    if (!mkdtemp(r->path) || vp_context_new(NULL, &r->context, NULL) != VP_OK) return -1;
    return vp_ingest_directory(r->context, r->path, NULL, &r->ingest, NULL) == VP_OK ? 0 : -1;
}

static int upload_end(void **state)
{
    upload_room *r = *state;
    char command[128];
    vp_ingest_unref(r->ingest);
    vp_context_unref(r->context);
    snprintf(command, sizeof(command), "rm -rf %s", r->path);
    int rc = system(command);
    free(r);
    return rc;
}

static void load(upload_room *r, const char *name)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/media/%s", getenv("VODPIPE_SRC"), name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    r->size = fread(r->bytes, 1, sizeof(r->bytes), f);
    fclose(f);
    assert_true(r->size > 0 && r->size < sizeof(r->bytes));
}

static vp_status peek_and_probe(upload_room *r, const char *id, vp_error *err)
{
    vp_source *source = NULL;
    vp_media *media = NULL;
    assert_ok(vp_ingest_peek(r->ingest, id, &source, NULL));
    vp_status st = vp_probe(r->context, source, NULL, NULL, &media, err);
    vp_media_unref(media);
    vp_source_unref(source);
    return st;
}

/* 300 bytes at a time, each made durable. Once it is known it stays known; nothing is ever refused. */
static void upload_slowly(upload_room *r, const char *name, bool moov_at_end)
{
    vp_upload_options o = VP_UPLOAD_OPTIONS_INIT;
    vp_upload *u = NULL;
    vp_error err;
    bool told = false, known = false;
    load(r, name);
    o.id = moov_at_end ? "last" : "first";
    o.length = r->size;
    assert_ok(vp_ingest_create(r->ingest, &o, &u, NULL));
    for (size_t at = 0; at < r->size;) {
        size_t n = r->size - at < 300 ? r->size - at : 300;
        assert_ok(vp_upload_append(u, at, r->bytes + at, n, NULL));
        assert_ok(vp_upload_sync(u, NULL));
        at += n;
        vp_status st = peek_and_probe(r, o.id, &err);
        assert_true(st == VP_OK || st == VP_AGAIN);
        assert_true(st == VP_OK || !known);
        known = st == VP_OK;
        told = told || (st == VP_AGAIN && strcmp(err.reason, "MOOV_AT_END") == 0);
    }
    assert_true(known);
    assert_int_equal(told, moov_at_end);
    vp_source *source = NULL;
    vp_media *media = NULL;
    assert_ok(vp_upload_finish(u, &source, NULL, NULL));
    assert_ok(vp_probe(r->context, source, NULL, NULL, &media, NULL));
    vp_media_unref(media);
    vp_source_unref(source);
    assert_null(vp_upload_close(u));
}

static void index_first(void **state)
{
    if (!vp_feature("ingest") || !vp_feature("media")) skip();
    upload_slowly(*state, "start.mp4", false);
}

static void index_last(void **state)
{
    if (!vp_feature("ingest") || !vp_feature("media")) skip();
    upload_slowly(*state, "h264-aac.mp4", true);
}

/* What the head tells is refused while most of it is still to come. */
static void refused_early(void **state)
{
    upload_room *r = *state;
    vp_upload_options o = VP_UPLOAD_OPTIONS_INIT;
    vp_probe_options p = VP_PROBE_OPTIONS_INIT;
    vp_upload *u = NULL;
    vp_source *source = NULL;
    vp_media *media = NULL;
    vp_error err;
    if (!vp_feature("ingest") || !vp_feature("media")) skip();
    load(r, "start.mp4");
    o.id = "early";
    o.length = UINT64_C(1) << 40; /* this is what it says */
    p.max_duration_us = 1;
    assert_ok(vp_ingest_create(r->ingest, &o, &u, NULL));
    assert_ok(vp_upload_append(u, 0, r->bytes, 900, NULL));
    assert_ok(vp_upload_sync(u, NULL));
    assert_ok(vp_ingest_peek(r->ingest, "early", &source, NULL));
    assert_status(VP_E_LIMIT, vp_probe(r->context, source, &p, NULL, &media, &err));
    assert_string_equal(err.reason, "INPUT_LIMIT");
    vp_source_unref(source);
    vp_upload_close(u);
    assert_ok(vp_ingest_remove(r->ingest, "early", NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(index_first, upload_begin, upload_end),
        cmocka_unit_test_setup_teardown(index_last, upload_begin, upload_end),
        cmocka_unit_test_setup_teardown(refused_early, upload_begin, upload_end),
    };
    if (!vp_feature("ingest")) return SKIPPED;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
