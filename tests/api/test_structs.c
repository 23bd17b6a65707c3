/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Public structs: their sizes, their two ways of being filled, and shorter and longer ones at every edge. */

#include "api/host.h"

/* ---- one table of all structs ---- */

static const vp_error error_macro = VP_ERROR_INIT;
static const vp_context_options context_macro = VP_CONTEXT_OPTIONS_INIT;
static const vp_source_ops source_macro = VP_SOURCE_OPS_INIT;
static const vp_sink_ops sink_macro = VP_SINK_OPS_INIT;
static const vp_store_ops store_macro = VP_STORE_OPS_INIT;
static const vp_object_info object_macro = VP_OBJECT_INFO_INIT;
static const vp_media_info media_macro = VP_MEDIA_INFO_INIT;
static const vp_probe_options probe_macro = VP_PROBE_OPTIONS_INIT;
static const vp_ladder_options ladder_macro = VP_LADDER_OPTIONS_INIT;
static const vp_package_options package_macro = VP_PACKAGE_OPTIONS_INIT;
static const vp_verify_options verify_macro = VP_VERIFY_OPTIONS_INIT;
static const vp_transcode_options transcode_macro = VP_TRANSCODE_OPTIONS_INIT;
static const vp_task_options task_macro = VP_TASK_OPTIONS_INIT;
static const vp_progress progress_macro = VP_PROGRESS_INIT;
static const vp_job_options job_macro = VP_JOB_OPTIONS_INIT;
static const vp_key_request key_request_macro = VP_KEY_REQUEST_INIT;
static const vp_key_vault key_vault_macro = VP_KEY_VAULT_INIT;
static const vp_http_options http_macro = VP_HTTP_OPTIONS_INIT;
static const vp_speke_options speke_macro = VP_SPEKE_OPTIONS_INIT;
static const vp_cenc_options cenc_macro = VP_CENC_OPTIONS_INIT;
static const vp_s3_credentials s3_credentials_macro = VP_S3_CREDENTIALS_INIT;
static const vp_s3_request s3_request_macro = VP_S3_REQUEST_INIT;
static const vp_s3_post s3_post_macro = VP_S3_POST_INIT;
static const vp_cloudfront cloudfront_macro = VP_CLOUDFRONT_INIT;
static const vp_s3_options s3_macro = VP_S3_OPTIONS_INIT;
static const vp_s3_counts s3_counts_macro = VP_S3_COUNTS_INIT;
static const vp_s3_object s3_object_macro = VP_S3_OBJECT_INIT;
static const vp_s3_info s3_info_macro = VP_S3_INFO_INIT;
static const vp_sink_s3_options sink_s3_macro = VP_SINK_S3_OPTIONS_INIT;
static const vp_s3_progress s3_progress_macro = VP_S3_PROGRESS_INIT;
static const vp_tus_options tus_macro = VP_TUS_OPTIONS_INIT;
static const vp_tus_info tus_info_macro = VP_TUS_INFO_INIT;
static const vp_tus_accept_options tus_accept_macro = VP_TUS_ACCEPT_OPTIONS_INIT;
static const vp_ingest_options ingest_macro = VP_INGEST_OPTIONS_INIT;
static const vp_upload_options upload_macro = VP_UPLOAD_OPTIONS_INIT;
static const vp_upload_info upload_info_macro = VP_UPLOAD_INFO_INIT;
static const vp_ingest_ops ingest_ops_macro = VP_INGEST_OPS_INIT;

typedef void (*init_fn)(void *, size_t);

/* The one struct whose size never changes. */
static void error_twin_init(vp_error *err, size_t size)
{
    (void)size;
    vp_error_init(err);
}

/* size64: bytes where pointers have eight; a change of one is a change of the binary interface. */
typedef struct row {
    const char *name;
    size_t size, size64;
    init_fn init;
    const void *macro; /* NULL: no macro */
} row;

#define ROW(type, macro, size64)                                                                             \
    {                                                                                                        \
#type, sizeof(type), size64, (init_fn)type##_init, macro                                             \
    }

static const row rows[] = {
    { "vp_error", sizeof(vp_error), 800, (init_fn)error_twin_init, &error_macro },
    ROW(vp_context_options, &context_macro, 40),
    ROW(vp_source_ops, &source_macro, 48),
    ROW(vp_sink_ops, &sink_macro, 96),
    ROW(vp_store_ops, &store_macro, 104),
    ROW(vp_object_info, &object_macro, 56),
    ROW(vp_media_info, &media_macro, 72),
    ROW(vp_video_info, NULL, 184),
    ROW(vp_audio_info, NULL, 80),
    ROW(vp_presentation_info, NULL, 32),
    ROW(vp_track_info, NULL, 144),
    ROW(vp_segment_info, NULL, 56),
    ROW(vp_probe_options, &probe_macro, 48),
    ROW(vp_rung, NULL, 96),
    ROW(vp_ladder_options, &ladder_macro, 16),
    ROW(vp_package_options, &package_macro, 32),
    ROW(vp_track_config, NULL, 56),
    ROW(vp_sample, NULL, 40),
    ROW(vp_verify_options, &verify_macro, 32),
    ROW(vp_transcode_options, &transcode_macro, 96),
    ROW(vp_task_info, NULL, 64),
    ROW(vp_task_options, &task_macro, 56),
    ROW(vp_progress, &progress_macro, 32),
    ROW(vp_event, NULL, 2440),
    ROW(vp_job_options, &job_macro, 128),
    ROW(vp_key_request, &key_request_macro, 32),
    ROW(vp_key_vault, &key_vault_macro, 48),
    ROW(vp_http_options, &http_macro, 64),
    ROW(vp_speke_options, &speke_macro, 88),
    ROW(vp_cenc_options, &cenc_macro, 56),
    ROW(vp_s3_credentials, &s3_credentials_macro, 40),
    ROW(vp_s3_request, &s3_request_macro, 72),
    ROW(vp_s3_post, &s3_post_macro, 80),
    ROW(vp_cloudfront, &cloudfront_macro, 72),
    ROW(vp_s3_options, &s3_macro, 128),
    ROW(vp_s3_counts, &s3_counts_macro, 56),
    ROW(vp_s3_object, &s3_object_macro, 88),
    ROW(vp_s3_info, &s3_info_macro, 368),
    ROW(vp_sink_s3_options, &sink_s3_macro, 80),
    ROW(vp_s3_progress, &s3_progress_macro, 48),
    ROW(vp_tus_options, &tus_macro, 56),
    ROW(vp_tus_info, &tus_info_macro, 192),
    ROW(vp_tus_accept_options, &tus_accept_macro, 72),
    ROW(vp_ingest_options, &ingest_macro, 96),
    ROW(vp_upload_options, &upload_macro, 80),
    ROW(vp_upload_info, &upload_info_macro, 208),
    ROW(vp_ingest_ops, &ingest_ops_macro, 128),
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

static void sizes(void **state)
{
    unsigned bad = 0;
    (void)state;
    if (sizeof(void *) != 8) skip();
    for (size_t i = 0; i < ROWS; i++) {
        if (rows[i].size == rows[i].size64) continue;
        print_error("%s has %zu bytes, not %zu\n", rows[i].name, rows[i].size, rows[i].size64);
        bad++;
    }
    assert_int_equal(bad, 0);
}

/* struct_size, and nothing but zeros behind it unless the macro says otherwise: the same bytes. */
static void macro_and_function(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        uint8_t *made = malloc(rows[i].size);
        uint32_t size;
        assert_non_null(made);
        memset(made, 0xA5, rows[i].size);
        rows[i].init(made, rows[i].size);
        memcpy(&size, made, sizeof(size));
        if (size != rows[i].size) print_error("%s_init sets struct_size %u\n", rows[i].name, size);
        assert_int_equal(size, rows[i].size);
        if (rows[i].macro && memcmp(made, rows[i].macro, rows[i].size) != 0)
            fail_msg("macro and function of %s differ", rows[i].name);
        free(made);
    }
}

static void init_of_null(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS; i++) rows[i].init(NULL, rows[i].size);
}

/* A host built against an older header has a smaller struct, one against a newer header a larger one. */
static void init_of_other_sizes(void **state)
{
    (void)state;
    for (size_t i = 1; i < ROWS; i++) { /* all but vp_error */
        uint8_t *full = malloc(rows[i].size);
        assert_non_null(full);
        rows[i].init(full, rows[i].size);
        for (size_t size = 0; size < rows[i].size + 64; size += 4) {
            uint8_t *made = malloc(size ? size : 1); /* exact: a sanitizer sees a byte too much */
            uint32_t said = 0;
            assert_non_null(made);
            memset(made, 0xA5, size);
            rows[i].init(made, size);
            if (size >= 4) memcpy(&said, made, sizeof(said));
            assert_int_equal(said, size);
            for (size_t n = 4; n < size; n++) assert_int_equal(made[n], n < rows[i].size ? full[n] : 0);
            free(made);
        }
        free(full);
    }
}

/* Every struct that a public header declares has a row above. */
static void table_is_whole(void **state)
{
    char command[512], line[256];
    const char *src = getenv("VODPIPE_SRC");
    unsigned found = 0;
    FILE *f;
    (void)state;
    if (!src) skip();
    snprintf(command, sizeof(command), "sed -n 's/^} \\(vp_[a-z0-9_]*\\);.*/\\1/p' %s/include/vodpipe/*.h",
             src);
    f = popen(command, "r");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f)) {
        size_t i = 0;
        line[strcspn(line, "\n")] = 0;
        while (i < ROWS && strcmp(rows[i].name, line) != 0) i++;
        if (i == ROWS) fail_msg("%s is not in the table", line);
        found++;
    }
    pclose(f);
    assert_int_equal(found, ROWS);
}

/* ---- shorter and longer options ---- */

/* A heap block of exactly so many bytes: a sanitizer sees one byte read or written too much. */
static void *resized(const void *from, size_t from_size, size_t size)
{
    uint8_t *block = calloc(1, size);
    uint32_t said = (uint32_t)size;
    assert_non_null(block);
    memcpy(block, from, from_size < size ? from_size : size);
    memcpy(block, &said, sizeof(said));
    return block;
}

typedef struct edge {
    const char *name;
    const void *value; /* today's struct, accepted as it is */
    size_t size;
    size_t least; /* shortest that may still be accepted: what is required lies before */
    vp_status (*call)(room *r, const void *value);
} edge;

static vp_status edge_context(room *r, const void *value)
{
    vp_context *c = NULL;
    vp_status st = vp_context_new(value, &c, &r->err);
    vp_context_unref(c);
    return st;
}

static vp_status nothing_read(void *user, uint64_t offset, void *data, size_t capacity, size_t *got,
                              vp_error *err)
{
    (void)user;
    (void)offset;
    (void)data;
    (void)capacity;
    (void)err;
    *got = 0;
    return VP_OK;
}

static vp_status nothing_size(void *user, uint64_t *bytes, vp_error *err)
{
    (void)user;
    (void)err;
    *bytes = 0;
    return VP_OK;
}

static vp_status edge_source(room *r, const void *value)
{
    vp_source *s = NULL;
    vp_status st = vp_source_new(r->context, value, NULL, &s, &r->err);
    uint64_t bytes = 1;
    if (st == VP_OK) assert_ok(vp_source_size(s, &bytes, &r->err));
    vp_source_unref(s);
    return st;
}

static vp_status no_begin(void *user, const vp_object_info *info, void **object, vp_error *err)
{
    (void)user;
    (void)info;
    (void)object;
    return vp_error_set(err, VP_E_IO, NULL, 0, NULL);
}

static vp_status no_value(void *user, const char *name, void **value, vp_error *err)
{
    (void)user;
    (void)name;
    (void)value;
    return vp_error_set(err, VP_E_IO, NULL, 0, NULL);
}

static vp_status no_write(void *user, void *object, const void *data, size_t size, vp_error *err)
{
    (void)user;
    (void)object;
    (void)data;
    (void)size;
    return vp_error_set(err, VP_E_IO, NULL, 0, NULL);
}

static vp_status no_commit(void *user, void *object, vp_error *err)
{
    (void)user;
    (void)object;
    return vp_error_set(err, VP_E_IO, NULL, 0, NULL);
}

static void no_abort(void *user, void *object)
{
    (void)user;
    (void)object;
}

static vp_status no_open(void *user, const char *name, vp_source **out, vp_error *err)
{
    (void)user;
    (void)name;
    (void)out;
    (void)err;
    return VP_END;
}

static vp_status no_list(void *user, const char *prefix, vp_list_fn fn, void *fn_user, vp_error *err)
{
    (void)user;
    (void)prefix;
    (void)fn;
    (void)fn_user;
    (void)err;
    return VP_OK;
}

static vp_status no_remove(void *user, const char *name, vp_error *err)
{
    (void)user;
    (void)name;
    (void)err;
    return VP_OK;
}

static vp_status no_lease(void *user, const char *name, void **lease, uint64_t *fence, vp_error *err)
{
    (void)user;
    (void)name;
    (void)lease;
    (void)fence;
    (void)err;
    return VP_AGAIN;
}

static vp_status no_renew(void *user, void *lease, vp_error *err)
{
    return no_commit(user, lease, err);
}

static vp_status edge_sink(room *r, const void *value)
{
    vp_sink *s = NULL;
    vp_status st = vp_sink_new(r->context, value, NULL, &s, &r->err);
    vp_sink_unref(s);
    return st;
}

static vp_status edge_store(room *r, const void *value)
{
    vp_store *s = NULL;
    vp_status st = vp_store_new(r->context, value, NULL, &s, &r->err);
    vp_store_unref(s);
    return st;
}

static vp_status edge_object(room *r, const void *value)
{
    vp_object *o = NULL;
    vp_status st = vp_sink_begin(r->sink, value, &o, &r->err);
    vp_object_abort(o);
    return st;
}

static vp_status edge_package(room *r, const void *value)
{
    vp_packager *p = NULL;
    vp_status st = vp_packager_new(r->context, value, r->sink, NULL, &p, &r->err);
    vp_packager_unref(p);
    return st;
}

static vp_status edge_job(room *r, const void *value)
{
    vp_job *j = NULL;
    vp_status st = vp_job_new(r->context, value, &j, &r->err);
    vp_job_unref(j);
    return st;
}

static vp_status edge_transcode(room *r, const void *value)
{
    vp_job_options o = VP_JOB_OPTIONS_INIT;
    o.source = r->source;
    o.sink = r->sink;
    o.transcode = value;
    return edge_job(r, &o);
}

static vp_status edge_event(room *r, const void *value)
{
    vp_bytes *text = NULL;
    uint32_t size;
    memcpy(&size, value, sizeof(size));
    vp_status st = vp_event_json(value, NULL, &text, &r->err);
    if (st == VP_OK && size >= offsetof(vp_event, status))
        assert_string_equal(vp_bytes_data(text), "{\"event\":\"stage\",\"stage\":\"scan\"}");
    vp_bytes_unref(text);
    return st;
}

static vp_status edge_verify(room *r, const void *value)
{
    vp_report *report = NULL;
    vp_status st = vp_verify(r->context, r->sink, value, NULL, &report, &r->err);
    vp_report_unref(report);
    return st == VP_E_VERSION || st == VP_E_ARG ? st : VP_OK; /* the sink is empty: IO */
}

static vp_status edge_probe(room *r, const void *value)
{
    vp_media *media = NULL;
    vp_status st = vp_probe(r->context, r->source, value, NULL, &media, &r->err);
    vp_media_unref(media);
    return st == VP_E_VERSION || st == VP_E_ARG ? st
                                                : VP_OK; /* the source is no film, or media is built out */
}

/* Structs of all versions end where a pointer may begin: only such sizes exist. */
static void check_edge(room *r, const edge *e)
{
    for (size_t size = 0; size <= e->size + 64; size += size ? 8 - size % 8 : 4) {
        void *block;
        vp_status st;
        if (size < 4) {
            uint8_t *raw = malloc(e->size); /* struct_size 0: not set */
            assert_non_null(raw);
            memcpy(raw, e->value, e->size);
            memset(raw, 0, 4);
            assert_status_at(VP_E_ARG, e->call(r, raw), e->name, __FILE__, __LINE__);
            free(raw);
            continue;
        }
        block = resized(e->value, e->size, size);
        st = e->call(r, block);
        if (size >= e->least && st != VP_OK)
            fail_msg("%s of %zu bytes: %s", e->name, size, vp_status_name(st));
        if (size < e->least && st != VP_OK && st != VP_E_ARG)
            fail_msg("%s of %zu bytes: %s", e->name, size, vp_status_name(st));
        if (size > e->size) { /* something unknown is asked for */
            ((uint8_t *)block)[size - 1] = 1;
            st = e->call(r, block);
            if (st != VP_E_VERSION) fail_msg("%s with a tail: %s", e->name, vp_status_name(st));
            assert_string_equal(r->err.reason, "VERSION");
        }
        free(block);
    }
}

static vp_status edge_tus(room *r, const void *value)
{
    vp_ingest *ingest = NULL;
    vp_tus *tus = NULL;
    assert_ok(vp_ingest_directory(r->context, "/dev/null/none", NULL, &ingest, NULL));
    vp_status st = vp_tus_new(ingest, value, &tus, &r->err);
    vp_tus_unref(tus);
    vp_ingest_unref(ingest);
    return st;
}

static vp_status edge_accept(room *r, const void *value)
{
    vp_ingest *ingest = NULL;
    vp_tus *tus = NULL;
    vp_tus_request *q = NULL;
    const char *lines = "Tus-Resumable: 1.0.0\nUpload-Length: 5\n";
    assert_ok(vp_ingest_directory(r->context, "/dev/null/none", NULL, &ingest, NULL));
    assert_ok(vp_tus_new(ingest, NULL, &tus, NULL));
    assert_ok(vp_tus_begin(tus, "POST", "/files/", lines, 0, &q, NULL));
    vp_status st = vp_tus_accept(q, value, &r->err);
    if (st == VP_OK) assert_int_equal(vp_tus_status(q), 500); /* there is no such directory */
    vp_tus_close(q);
    vp_tus_unref(tus);
    vp_ingest_unref(ingest);
    return st;
}

static void edges(void **state)
{
    room *r = *state;
    vp_source_ops source = source_macro;
    vp_sink_ops sink = sink_macro;
    vp_store_ops store = store_macro;
    vp_object_info object = object_macro;
    vp_job_options job = job_macro;
    vp_event event;
    source.read_at = nothing_read;
    source.size = nothing_size;
    sink.begin = no_begin;
    sink.write = no_write;
    sink.commit = no_commit;
    sink.abort = no_abort;
    store.begin = no_value;
    store.write = no_write;
    store.commit = no_commit;
    store.abort = no_abort;
    store.open = no_open;
    store.list = no_list;
    store.remove = no_remove;
    store.lease = no_lease;
    store.renew = no_renew;
    store.unlease = no_abort;
    object.key = "a/b";
    job.source = r->source;
    job.sink = r->sink;
    vp_event_init(&event, sizeof(event));
    event.kind = VP_EVENT_STAGE;
    event.stage = VP_STAGE_SCAN;
    edge list[] = {
        { "vp_context_options", &context_macro, sizeof(context_macro), 4, edge_context },
        { "vp_source_ops", &source, sizeof(source), offsetof(vp_source_ops, identity), edge_source },
        { "vp_sink_ops", &sink, sizeof(sink), offsetof(vp_sink_ops, flush), edge_sink },
        { "vp_store_ops", &store, sizeof(store), offsetof(vp_store_ops, interrupt), edge_store },
        { "vp_object_info", &object, sizeof(object), offsetof(vp_object_info, content_type), edge_object },
        { "vp_package_options", &package_macro, sizeof(package_macro), 4, edge_package },
        { "vp_job_options", &job, sizeof(job), offsetof(vp_job_options, work), edge_job },
        { "vp_transcode_options", &transcode_macro, sizeof(transcode_macro), 4, edge_transcode },
        { "vp_event", &event, sizeof(event), offsetof(vp_event, status), edge_event },
        { "vp_verify_options", &verify_macro, sizeof(verify_macro), 4, edge_verify },
        { "vp_tus_options", &tus_macro, sizeof(tus_macro), 4, edge_tus },
        { "vp_tus_accept_options", &tus_accept_macro, sizeof(tus_accept_macro), 4, edge_accept },
        { "vp_probe_options", &probe_macro, sizeof(probe_macro), 4, edge_probe },
    };
    assert_ok(vp_source_memory(r->context, "no film", 7, &r->source, &r->err));
    job.source = r->source;
    size_t count = sizeof(list) / sizeof(list[0]);
    if (!vp_feature("media")) count--; /* a probe that is built out looks at nothing */
    for (size_t i = 0; i < count; i++) {
        if (strncmp(list[i].name, "vp_tus", 6) == 0 && !vp_feature("ingest")) continue;
        check_edge(r, &list[i]);
    }
}

/* ---- results in shorter structs ---- */

static const char *const presentation_text =
    "{\"vodpipe\":1,\"version\":\"a1\",\"request\":\"\",\"duration\":{\"ticks\":\"90000\",\"timescale\":"
    "90000},\"tracks\":[]}";

/* A getter writes struct_size bytes and not one more, and leaves struct_size as it is. */
static void short_results(void **state)
{
    room *r = *state;
    vp_presentation *p = NULL;
    vp_object_info info = VP_OBJECT_INFO_INIT;
    vp_object *o = NULL;
    vp_status st = vp_presentation_parse(presentation_text, strlen(presentation_text), &p, &r->err);
    if (st != VP_OK) print_error("%s\n", r->err.message);
    assert_ok(st);
    info.key = "a";
    assert_ok(vp_sink_begin(r->sink, &info, &o, NULL));
    assert_ok(vp_object_commit(o, NULL, NULL, NULL));
    for (uint32_t size = 4; size <= sizeof(vp_presentation_info); size += 4) {
        vp_presentation_info *small = malloc(size);
        assert_non_null(small);
        memset(small, 0xA5, size);
        memcpy(small, &size, 4);
        assert_ok(vp_presentation_get_info(p, small, NULL));
        assert_memory_equal(small, &size, 4);
        free(small);
    }
    for (uint32_t size = 4; size <= sizeof(vp_object_info); size += 4) {
        vp_object_info *small = malloc(size);
        assert_non_null(small);
        memset(small, 0xA5, size);
        memcpy(small, &size, 4);
        assert_ok(vp_sink_stat(r->sink, "a", small, NULL));
        assert_memory_equal(small, &size, 4);
        free(small);
    }
    vp_presentation_unref(p);
}

/* A longer struct of a newer host: what the library does not know stays untouched. */
static void long_results(void **state)
{
    struct {
        vp_presentation_info info;
        uint8_t tail[16];
    } big;
    uint8_t tail[16];
    vp_presentation *p = NULL;
    (void)state;
    assert_ok(vp_presentation_parse(presentation_text, strlen(presentation_text), &p, NULL));
    memset(&big, 0xA5, sizeof(big));
    memset(tail, 0xA5, sizeof(tail));
    big.info.struct_size = (uint32_t)sizeof(big);
    assert_ok(vp_presentation_get_info(p, &big.info, NULL));
    assert_int_equal(big.info.duration_us, 1000000);
    assert_memory_equal(big.tail, tail, sizeof(tail));
    vp_presentation_unref(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes),
        cmocka_unit_test(macro_and_function),
        cmocka_unit_test(init_of_null),
        cmocka_unit_test(init_of_other_sizes),
        cmocka_unit_test(table_is_whole),
        cmocka_unit_test_setup_teardown(edges, room_open, room_close),
        cmocka_unit_test_setup_teardown(short_results, room_open, room_close),
        cmocka_unit_test(long_results),
    };
    return cmocka_run_group_tests_name("structs", tests, NULL, NULL);
}
