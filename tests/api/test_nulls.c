/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Every public function with NULL in place of each argument that must be there: ARG, or nothing, never a crash. */

#include "api/host.h"

/* With and without an error to fill. */
#define NO(call_with)                                                                                        \
    do {                                                                                                     \
        vp_error *e = &r->err;                                                                               \
        assert_status(VP_E_ARG, call_with);                                                                  \
        assert_int_equal(r->err.status, VP_E_ARG);                                                           \
        assert_string_equal(r->err.reason, "ARG");                                                           \
        assert_true(r->err.message[0] != 0);                                                                 \
        e = NULL;                                                                                            \
        assert_status(VP_E_ARG, call_with);                                                                  \
    } while (0)

static void version_and_base(void **state)
{
    room *r = *state;
    vp_cancel *cancel = NULL;
    assert_int_equal(vp_version_number(), VP_VERSION_NUMBER);
    assert_int_equal(vp_abi_version(), VP_ABI_VERSION);
    assert_non_null(vp_version_string());
    assert_non_null(vp_build_license());
    assert_non_null(vp_build_info());
    assert_int_equal(vp_feature(NULL), 0);
    assert_int_equal(vp_feature(""), 0);
    assert_string_equal(vp_status_name(VP_E_ARG), "ARG");
    vp_error_init(NULL);
    assert_status(VP_E_HOST, vp_error_set(NULL, 0, NULL, 0, NULL));
    assert_status(VP_E_IO, vp_error_set(NULL, VP_E_IO, NULL, 0, NULL));
    assert_null(vp_bytes_ref(NULL));
    assert_null(vp_bytes_unref(NULL));
    assert_int_equal(vp_bytes_size(NULL), 0);
    vp_bytes_data(NULL);
    vp_context_options_init(NULL, 0);
    NO(vp_context_new(NULL, NULL, e));
    NO(vp_context_close(NULL, e));
    assert_null(vp_context_ref(NULL));
    assert_null(vp_context_unref(NULL));
    assert_int_equal(vp_context_threads(NULL), 0);
    assert_int_equal(vp_context_memory(NULL), 0);
    NO(vp_cancel_new(NULL, e));
    NO(vp_cancel_child(NULL, NULL, e));
    assert_ok(vp_cancel_child(NULL, &cancel, NULL));
    assert_null(vp_cancel_unref(cancel));
    vp_cancel_fire(NULL);
    vp_cancel_deadline(NULL, 1);
    assert_int_equal(vp_cancel_fired(NULL), 0);
    assert_null(vp_cancel_scope(NULL));
    assert_null(vp_cancel_ref(NULL));
    assert_null(vp_cancel_unref(NULL));
}

static void sources(void **state)
{
    room *r = *state;
    vp_source_ops ops = VP_SOURCE_OPS_INIT;
    vp_source *s = NULL;
    uint64_t size;
    size_t got;
    char text[8];
    vp_source_ops_init(NULL, 0);
    NO(vp_source_new(NULL, &ops, NULL, &s, e));
    NO(vp_source_new(r->context, NULL, NULL, &s, e));
    NO(vp_source_new(r->context, &ops, NULL, &s, e)); /* read_at and size are NULL */
    NO(vp_source_new(r->context, &ops, NULL, NULL, e));
    NO(vp_source_file(NULL, "/dev/null", &s, e));
    NO(vp_source_file(r->context, NULL, &s, e));
    NO(vp_source_file(r->context, "/dev/null", NULL, e));
    NO(vp_source_memory(NULL, "a", 1, &s, e));
    NO(vp_source_memory(r->context, NULL, 1, &s, e));
    NO(vp_source_memory(r->context, "a", 1, NULL, e));
    assert_null(s);
    assert_null(vp_source_ref(NULL));
    assert_null(vp_source_unref(NULL));
    NO(vp_source_read_at(NULL, 0, text, 1, &got, e));
    NO(vp_source_read_at(r->source, 0, NULL, 1, &got, e));
    NO(vp_source_read_at(r->source, 0, text, 1, NULL, e));
    NO(vp_source_size(NULL, &size, e));
    NO(vp_source_size(r->source, NULL, e));
    NO(vp_source_identity(NULL, text, sizeof(text), e));
    NO(vp_source_identity(r->source, NULL, 8, e));
    NO(vp_source_identity(r->source, text, 0, e));
}

static void sinks(void **state)
{
    room *r = *state;
    vp_sink_ops ops = VP_SINK_OPS_INIT;
    vp_object_info info = VP_OBJECT_INFO_INIT;
    vp_sink *s = NULL;
    vp_object *o = NULL;
    vp_source *source = NULL;
    vp_bytes *bytes = NULL;
    unsigned n = 0;
    vp_object_info_init(NULL, 0);
    vp_sink_ops_init(NULL, 0);
    assert_string_equal(vp_object_kind_name(VP_OBJECT_SEGMENT), "segment");
    NO(vp_sink_new(NULL, &ops, NULL, &s, e));
    NO(vp_sink_new(r->context, NULL, NULL, &s, e));
    NO(vp_sink_new(r->context, &ops, NULL, &s, e));
    NO(vp_sink_new(r->context, &ops, NULL, NULL, e));
    NO(vp_sink_directory(NULL, "/tmp", &s, e));
    NO(vp_sink_directory(r->context, NULL, &s, e));
    NO(vp_sink_directory(r->context, "/tmp", NULL, e));
    NO(vp_sink_memory(NULL, &s, e));
    NO(vp_sink_memory(r->context, NULL, e));
    assert_null(s);
    assert_null(vp_sink_ref(NULL));
    assert_null(vp_sink_unref(NULL));
    assert_int_equal(vp_sink_has(NULL), 0);
    NO(vp_sink_begin(NULL, &info, &o, e));
    NO(vp_sink_begin(r->sink, NULL, &o, e));
    NO(vp_sink_begin(r->sink, &info, &o, e)); /* no key */
    info.key = "a";
    NO(vp_sink_begin(r->sink, &info, NULL, e));
    NO(vp_object_write(NULL, "a", 1, e));
    assert_ok(vp_sink_begin(r->sink, &info, &o, NULL));
    NO(vp_object_write(o, NULL, 1, e));
    vp_object_abort(o);
    NO(vp_object_commit(NULL, NULL, NULL, e));
    vp_object_abort(NULL);
    assert_ok(vp_sink_begin(r->sink, &info, &o, NULL));
    assert_ok(vp_object_write(o, NULL, 0, NULL));
    assert_ok(vp_object_commit(o, NULL, NULL, NULL));
    NO(vp_sink_flush(NULL, e));
    NO(vp_sink_stat(NULL, "a", &info, e));
    NO(vp_sink_stat(r->sink, NULL, &info, e));
    NO(vp_sink_stat(r->sink, "a", NULL, e));
    NO(vp_sink_list(NULL, "", count_key, &n, e));
    NO(vp_sink_list(r->sink, NULL, count_key, &n, e));
    NO(vp_sink_list(r->sink, "", NULL, &n, e));
    NO(vp_sink_open(NULL, "a", &source, e));
    NO(vp_sink_open(r->sink, NULL, &source, e));
    NO(vp_sink_open(r->sink, "a", NULL, e));
    NO(vp_sink_remove(NULL, "a", e));
    NO(vp_sink_remove(r->sink, NULL, e));
    NO(vp_sink_get(NULL, "a", 0, &bytes, e));
    NO(vp_sink_get(r->sink, NULL, 0, &bytes, e));
    NO(vp_sink_get(r->sink, "a", 0, NULL, e));
    assert_null(source);
    assert_null(bytes);
}

static vp_status no_bytes(void *user, void *data, size_t capacity, size_t *got, vp_error *err)
{
    (void)user;
    (void)data;
    (void)capacity;
    (void)err;
    *got = 0;
    return VP_OK;
}

static void stores(void **state)
{
    room *r = *state;
    vp_store_ops ops = VP_STORE_OPS_INIT;
    vp_store *s = NULL;
    vp_value *v = NULL;
    vp_bytes *bytes = NULL;
    vp_source *source = NULL;
    vp_lease *lease = NULL;
    unsigned n = 0;
    vp_store_ops_init(NULL, 0);
    NO(vp_store_new(NULL, &ops, NULL, &s, e));
    NO(vp_store_new(r->context, NULL, NULL, &s, e));
    NO(vp_store_new(r->context, &ops, NULL, &s, e));
    NO(vp_store_new(r->context, &ops, NULL, NULL, e));
    NO(vp_store_directory(NULL, "/tmp", &s, e));
    NO(vp_store_directory(r->context, NULL, &s, e));
    NO(vp_store_directory(r->context, "/tmp", NULL, e));
    NO(vp_store_memory(NULL, &s, e));
    NO(vp_store_memory(r->context, NULL, e));
    assert_null(s);
    assert_null(vp_store_ref(NULL));
    assert_null(vp_store_unref(NULL));
    NO(vp_store_begin(NULL, "a", &v, e));
    NO(vp_store_begin(r->work, NULL, &v, e));
    NO(vp_store_begin(r->work, "a", NULL, e));
    NO(vp_value_write(NULL, "a", 1, e));
    assert_ok(vp_store_begin(r->work, "a", &v, NULL));
    NO(vp_value_write(v, NULL, 1, e));
    vp_value_abort(v);
    NO(vp_value_commit(NULL, e));
    vp_value_abort(NULL);
    NO(vp_store_put(NULL, "a", "b", 1, e));
    NO(vp_store_put(r->work, NULL, "b", 1, e));
    NO(vp_store_put(r->work, "a", NULL, 1, e));
    NO(vp_store_get(NULL, "a", 0, &bytes, e));
    NO(vp_store_get(r->work, NULL, 0, &bytes, e));
    NO(vp_store_get(r->work, "a", 0, NULL, e));
    NO(vp_store_open(NULL, "a", &source, e));
    NO(vp_store_open(r->work, NULL, &source, e));
    NO(vp_store_open(r->work, "a", NULL, e));
    NO(vp_store_list(NULL, "", count_key, &n, e));
    NO(vp_store_list(r->work, NULL, count_key, &n, e));
    NO(vp_store_list(r->work, "", NULL, &n, e));
    NO(vp_store_remove(NULL, "a", e));
    NO(vp_store_remove(r->work, NULL, e));
    NO(vp_store_lease(NULL, "a", &lease, NULL, e));
    NO(vp_store_lease(r->work, NULL, &lease, NULL, e));
    NO(vp_store_lease(r->work, "a", NULL, NULL, e));
    NO(vp_source_spool(NULL, r->work, "a", no_bytes, NULL, 0, NULL, &source, e));
    NO(vp_source_spool(r->context, NULL, "a", no_bytes, NULL, 0, NULL, &source, e));
    NO(vp_source_spool(r->context, r->work, NULL, no_bytes, NULL, 0, NULL, &source, e));
    NO(vp_source_spool(r->context, r->work, "a", NULL, NULL, 0, NULL, &source, e));
    NO(vp_source_spool(r->context, r->work, "a", no_bytes, NULL, 0, NULL, NULL, e));
    NO(vp_lease_renew(NULL, e));
    assert_null(vp_lease_release(NULL));
    assert_int_equal(store_count(r->work), 0);
}

static void media_and_ladder(void **state)
{
    room *r = *state;
    vp_media_info info = VP_MEDIA_INFO_INIT;
    vp_video_info video;
    vp_audio_info audio;
    vp_rung rung;
    vp_ladder *ladder = NULL;
    vp_media *media = NULL;
    vp_bytes *bytes = NULL;
    const char *text = "x";
    int64_t time;
    const char *json = "{\"rungs\":[{\"name\":\"240p\",\"width\":426,\"height\":240,\"kbps\":400}]}";
    vp_media_info_init(NULL, 0);
    vp_video_info_init(NULL, 0);
    vp_audio_info_init(NULL, 0);
    vp_probe_options_init(NULL, 0);
    vp_libav_log_redirect(NULL);
    vp_rung_init(NULL, 0);
    vp_ladder_options_init(NULL, 0);
    vp_video_info_init(&video, sizeof(video));
    vp_audio_info_init(&audio, sizeof(audio));
    vp_rung_init(&rung, sizeof(rung));
    assert_null(vp_media_ref(NULL));
    assert_null(vp_media_unref(NULL));
    NO(vp_media_get_info(NULL, &info, e));
    NO(vp_media_get_video(NULL, 0, &video, e));
    NO(vp_media_get_audio(NULL, 0, &audio, e));
    assert_null(vp_media_warning(NULL, 0, &text, &time));
    assert_null(vp_media_warning(NULL, 0, NULL, NULL));
    NO(vp_media_json(NULL, &bytes, e));
    if (vp_feature("media")) {
        NO(vp_probe(NULL, r->source, NULL, NULL, &media, e));
        NO(vp_probe(r->context, NULL, NULL, NULL, &media, e));
        NO(vp_probe(r->context, r->source, NULL, NULL, NULL, e));
    }
    assert_null(vp_ladder_ref(NULL));
    assert_null(vp_ladder_unref(NULL));
    NO(vp_ladder_derive(NULL, NULL, &ladder, e));
    NO(vp_ladder_derive(NULL, NULL, NULL, e));
    NO(vp_ladder_parse(NULL, 1, NULL, &ladder, e));
    NO(vp_ladder_parse(json, strlen(json), NULL, NULL, e));
    NO(vp_ladder_json(NULL, &bytes, e));
    assert_int_equal(vp_ladder_count(NULL), 0);
    NO(vp_ladder_get(NULL, 0, &rung, e));
    vp_ladder_audio_kbps(NULL);
    assert_int_equal(vp_ladder_warning_count(NULL), 0);
    assert_null(vp_ladder_warning(NULL, 0, &text));
    assert_null(vp_ladder_warning(NULL, 0, NULL));
    assert_ok(vp_ladder_parse(json, strlen(json), NULL, &ladder, &r->err));
    NO(vp_ladder_get(ladder, 0, NULL, e));
    NO(vp_ladder_get(ladder, 1, &rung, e));
    NO(vp_ladder_json(ladder, NULL, e));
    assert_null(vp_ladder_unref(ladder));
    assert_null(bytes);
    assert_null(media);
}

static const char *const empty_title = "{\"vodpipe\":1,\"version\":\"a1\",\"request\":\"\",\"duration\":{"
                                       "\"ticks\":\"90000\",\"timescale\":90000},\"tracks\":[]}";

static void presentations(void **state)
{
    room *r = *state;
    vp_presentation *p = NULL;
    vp_presentation_info info;
    vp_track_info track;
    vp_segment_info segment;
    vp_bytes *bytes = NULL;
    vp_presentation_info_init(NULL, 0);
    vp_track_info_init(NULL, 0);
    vp_segment_info_init(NULL, 0);
    vp_presentation_info_init(&info, sizeof(info));
    vp_track_info_init(&track, sizeof(track));
    vp_segment_info_init(&segment, sizeof(segment));
    assert_null(vp_presentation_ref(NULL));
    assert_null(vp_presentation_unref(NULL));
    NO(vp_presentation_parse(NULL, 1, &p, e));
    NO(vp_presentation_parse(empty_title, strlen(empty_title), NULL, e));
    assert_ok(vp_presentation_parse(empty_title, strlen(empty_title), &p, &r->err));
    NO(vp_presentation_json(NULL, &bytes, e));
    NO(vp_presentation_json(p, NULL, e));
    NO(vp_presentation_get_info(NULL, &info, e));
    NO(vp_presentation_get_info(p, NULL, e));
    NO(vp_presentation_get_track(NULL, 0, &track, e));
    NO(vp_presentation_get_track(p, 0, &track, e));
    NO(vp_presentation_get_track(p, 0, NULL, e));
    NO(vp_presentation_get_segment(NULL, 0, 0, &segment, e));
    NO(vp_presentation_get_segment(p, 0, 0, &segment, e));
    NO(vp_presentation_get_segment(p, 0, 0, NULL, e));
    NO(vp_manifest_hls_master(NULL, VP_HLS_CMAF, &bytes, e));
    NO(vp_manifest_hls_master(p, VP_HLS_CMAF, NULL, e));
    NO(vp_manifest_hls_master(p, VP_HLS_CMAF, &bytes, e)); /* no track */
    NO(vp_manifest_hls_media(NULL, 0, &bytes, e));
    NO(vp_manifest_hls_media(p, 0, NULL, e));
    NO(vp_manifest_hls_media(p, 0, &bytes, e));
    NO(vp_manifest_hls_iframes(NULL, 0, &bytes, e));
    NO(vp_manifest_hls_iframes(p, 0, NULL, e));
    NO(vp_manifest_hls_iframes(p, 0, &bytes, e));
    NO(vp_manifest_dash(NULL, &bytes, e));
    NO(vp_manifest_dash(p, NULL, e));
    NO(vp_manifest_hls_media_key(NULL, 0, 0, &bytes, e));
    NO(vp_manifest_hls_media_key(p, 0, 0, NULL, e));
    NO(vp_manifest_hls_media_key(p, 0, 0, &bytes, e));
    assert_null(bytes);
    vp_presentation_unref(p);
}

static void packager(void **state)
{
    room *r = *state;
    vp_packager *p = NULL;
    vp_track_config config;
    vp_sample sample;
    vp_presentation *out = NULL;
    uint32_t track;
    vp_package_options_init(NULL, 0);
    vp_track_config_init(NULL, 0);
    vp_sample_init(NULL, 0);
    vp_track_config_init(&config, sizeof(config));
    vp_sample_init(&sample, sizeof(sample));
    NO(vp_packager_new(NULL, NULL, r->sink, NULL, &p, e));
    NO(vp_packager_new(r->context, NULL, NULL, NULL, &p, e));
    NO(vp_packager_new(r->context, NULL, r->sink, NULL, NULL, e));
    assert_null(p);
    assert_null(vp_packager_unref(NULL));
    assert_ok(vp_packager_new(r->context, NULL, r->sink, NULL, &p, &r->err));
    NO(vp_packager_add_track(NULL, &config, &track, e));
    NO(vp_packager_add_track(p, NULL, &track, e));
    NO(vp_packager_add_track(p, &config, &track, e)); /* nothing in it */
    NO(vp_packager_add_track(p, &config, NULL, e));
    NO(vp_packager_write(NULL, 0, &sample, e));
    NO(vp_packager_write(p, 0, NULL, e));
    NO(vp_packager_finish(NULL, &out, e));
    NO(vp_packager_finish(p, NULL, e));
    assert_null(vp_packager_unref(p));
    assert_null(out);
}

static void verify(void **state)
{
    room *r = *state;
    vp_report *report = NULL;
    vp_bytes *bytes = NULL;
    const char *where = "x", *text = "x";
    vp_verify_options_init(NULL, 0);
    assert_null(vp_report_ref(NULL));
    assert_null(vp_report_unref(NULL));
    assert_int_equal(vp_report_checks(NULL), 0);
    assert_int_equal(vp_report_failed(NULL), 0);
    assert_int_equal(vp_report_warnings(NULL), 0);
    assert_null(vp_report_failure(NULL, 0, &where, &text));
    assert_null(vp_report_failure(NULL, 0, NULL, NULL));
    assert_null(vp_report_warning(NULL, 0, &where, &text));
    assert_null(vp_report_warning(NULL, 0, NULL, NULL));
    NO(vp_report_json(NULL, &bytes, e));
    NO(vp_verify(NULL, r->sink, NULL, NULL, &report, e));
    NO(vp_verify(r->context, NULL, NULL, NULL, &report, e));
    NO(vp_verify(r->context, r->sink, NULL, NULL, NULL, e));
    assert_null(report);
    assert_null(bytes);
}

/* What needs a plan is asked again in test_plan.c. */
static void plans(void **state)
{
    room *r = *state;
    vp_plan *plan = NULL;
    vp_bytes *bytes = NULL;
    vp_task_info info;
    char name[64];
    vp_progress progress = VP_PROGRESS_INIT;
    vp_transcode_options_init(NULL, 0);
    vp_task_info_init(NULL, 0);
    vp_task_options_init(NULL, 0);
    vp_progress_init(NULL, 0);
    vp_task_info_init(&info, sizeof(info));
    assert_null(vp_plan_ref(NULL));
    assert_null(vp_plan_unref(NULL));
    NO(vp_plan_new(NULL, NULL, NULL, NULL, &plan, e));
    NO(vp_plan_new(r->context, NULL, NULL, NULL, &plan, e));
    NO(vp_plan_new(r->context, NULL, NULL, NULL, NULL, e));
    NO(vp_plan_parse(NULL, 1, &plan, e));
    NO(vp_plan_parse("{}", 2, NULL, e));
    NO(vp_plan_json(NULL, &bytes, e));
    NO(vp_plan_summary_json(NULL, &bytes, e));
    assert_string_equal(vp_plan_hash(NULL), "");
    assert_string_equal(vp_plan_request(NULL), "");
    assert_string_equal(vp_plan_version(NULL), "");
    assert_string_equal(vp_plan_prefix(NULL), "");
    assert_int_equal(vp_plan_task_count(NULL), 0);
    NO(vp_plan_get_task(NULL, 0, &info, e));
    assert_null(vp_plan_get_need(NULL, 0, 0));
    NO(vp_task_run(r->context, NULL, "video-0001", r->source, r->work, r->sink, NULL, NULL, e));
    NO(vp_plan_next(NULL, r->work, name, sizeof(name), e));
    NO(vp_plan_progress(NULL, r->work, &progress, e));
    NO(vp_plan_claim(r->context, NULL, r->sink, 0, e));
    NO(vp_plan_finish(r->context, NULL, NULL, NULL, NULL, e));
    assert_null(plan);
    assert_null(bytes);
}

static void jobs(void **state)
{
    room *r = *state;
    vp_job_options o = VP_JOB_OPTIONS_INIT;
    vp_job *job = NULL;
    vp_event event;
    vp_bytes *bytes = NULL;
    uint64_t tag;
    vp_presentation *p = NULL;
    vp_source *none[] = { NULL };
    vp_event_init(NULL, 0);
    vp_job_options_init(NULL, 0);
    vp_event_init(&event, sizeof(event));
    assert_string_equal(vp_stage_name(0), "");
    NO(vp_event_json(NULL, NULL, &bytes, e));
    NO(vp_event_json(&event, NULL, NULL, e));
    NO(vp_queue_new(NULL, e));
    assert_null(vp_queue_ref(NULL));
    assert_null(vp_queue_unref(NULL));
    NO(vp_queue_next(NULL, 0, &event, e));
    NO(vp_queue_next(r->queue, 0, NULL, e));
    NO(vp_queue_next_json(NULL, 0, &tag, &bytes, e));
    NO(vp_queue_next_json(r->queue, 0, &tag, NULL, e));
    assert_status(VP_AGAIN, vp_queue_next_json(r->queue, 0, NULL, &bytes, NULL));
    assert_int_equal(vp_queue_fd(NULL), -1);
    NO(vp_job_new(NULL, &o, &job, e));
    NO(vp_job_new(r->context, NULL, &job, e));
    NO(vp_job_new(r->context, &o, &job, e)); /* neither source nor sink */
    o.source = r->source;
    NO(vp_job_new(r->context, &o, &job, e));
    o.sink = r->sink;
    NO(vp_job_new(r->context, &o, NULL, e));
    NO(vp_job_new_json(NULL, r->source, r->sink, NULL, NULL, 0, NULL, &job, e));
    NO(vp_job_new_json(r->context, NULL, r->sink, NULL, NULL, 0, NULL, &job, e));
    NO(vp_job_new_json(r->context, r->source, NULL, NULL, NULL, 0, NULL, &job, e));
    NO(vp_job_new_json(r->context, r->source, r->sink, NULL, NULL, 0, NULL, NULL, e));
    NO(vp_job_new_json(r->context, r->source, r->sink, NULL, NULL, 0, "{\"no\":1}", &job, e));
    NO(vp_job_new_json(r->context, r->source, r->sink, NULL, NULL, 0, "", &job, e));
    NO(vp_job_new_package(NULL, &o, &r->source, NULL, 1, &job, e));
    NO(vp_job_new_package(r->context, NULL, &r->source, NULL, 1, &job, e));
    NO(vp_job_new_package(r->context, &o, NULL, NULL, 1, &job, e));
    NO(vp_job_new_package(r->context, &o, none, NULL, 1, &job, e));
    NO(vp_job_new_package(r->context, &o, &r->source, NULL, 0, &job, e));
    NO(vp_job_new_package(r->context, &o, &r->source, NULL, 1, NULL, e));
    assert_null(job);
    assert_null(vp_job_ref(NULL));
    assert_null(vp_job_unref(NULL));
    NO(vp_job_start(NULL, e));
    NO(vp_job_wait(NULL, 0, e));
    NO(vp_job_suspend(NULL, e));
    NO(vp_job_cancel(NULL, e));
    NO(vp_job_presentation(NULL, &p, e));
    assert_null(p);
    assert_null(bytes);
}

static vp_status no_key(void *user, const vp_key_request *request, vp_key_reply *reply, vp_error *err)
{
    (void)user;
    (void)request;
    (void)reply;
    return vp_error_set(err, VP_E_HOST, "HOST", 1, "no key");
}

static void keys(void **state)
{
    static const uint8_t id[16] = { 1 };
    room *r = *state;
    vp_key_request request = VP_KEY_REQUEST_INIT;
    vp_key_vault vault = VP_KEY_VAULT_INIT;
    vp_speke_options speke = VP_SPEKE_OPTIONS_INIT;
    vp_keys *made = NULL;
    vp_bytes *bytes = NULL;
    uint8_t to[16];
    if (!vp_feature("crypt")) skip();
    vp_key_request_init(NULL, 0);
    vp_key_vault_init(NULL, 0);
    vp_http_options_init(NULL, 0);
    vp_speke_options_init(NULL, 0);
    assert_null(vp_keys_ref(NULL));
    assert_null(vp_keys_unref(NULL));
    NO(vp_key_reply_set(NULL, id, id, NULL, e));
    NO(vp_key_reply_uri(NULL, "https://k/", e));
    NO(vp_key_reply_drm(NULL, id, NULL, 0, NULL, NULL, e));
    NO(vp_keys_new(NULL, NULL, NULL, &made, e));
    NO(vp_keys_new(no_key, NULL, NULL, NULL, e));
    NO(vp_keys_parse(NULL, 0, &made, e));
    NO(vp_keys_parse("{}", 2, NULL, e));
    NO(vp_keys_cpix(NULL, 0, NULL, 0, NULL, &made, e));
    NO(vp_keys_cpix("<a/>", 4, NULL, 0, NULL, NULL, e));
    NO(vp_keys_random(NULL, &made, e));
    NO(vp_keys_random(&vault, &made, e));
    NO(vp_keys_speke(r->context, NULL, &made, e));
    NO(vp_keys_speke(r->context, &speke, &made, e)); /* no url */
    NO(vp_keys_speke(NULL, &speke, &made, e));
    NO(vp_keys_ask(NULL, &request, NULL, to, to, e));
    assert_null(made);
    assert_status(VP_OK, vp_keys_new(no_key, NULL, NULL, &made, NULL));
    NO(vp_keys_ask(made, NULL, NULL, to, to, e));
    NO(vp_keys_ask(made, &request, NULL, to, to, e)); /* no label */
    made = vp_keys_unref(made);
    NO(vp_drm_system(NULL, to, e));
    NO(vp_drm_system("nobody", to, e));
    NO(vp_drm_system("widevine", NULL, e));
    NO(vp_pssh_build(NULL, VP_ENCRYPT_CBCS, id, 1, NULL, &bytes, e));
    NO(vp_pssh_build(id, VP_ENCRYPT_CBCS, id, 1, NULL, NULL, e));
    NO(vp_pssh_parse(NULL, 0, to, &bytes, e));
    assert_null(bytes);
}

static void protection(void **state)
{
    room *r = *state;
    vp_cenc *made = NULL;
    vp_bytes *bytes = NULL;
    vp_keys *made_keys = NULL;
    uint8_t seed[16];
    if (!vp_feature("crypt")) skip();
    vp_cenc_options_init(NULL, 0);
    assert_null(vp_cenc_ref(NULL));
    assert_null(vp_cenc_unref(NULL));
    NO(vp_cenc_new(NULL, "", 0, NULL, &made, e));
    NO(vp_cenc_init(NULL, &bytes, e));
    NO(vp_cenc_segment(NULL, 0, "", 0, &bytes, e));
    NO(vp_cenc_protection_json(NULL, &bytes, e));
    NO(vp_cenc_seed(NULL, seed, e));
    assert_status(VP_OK, vp_keys_new(no_key, NULL, NULL, &made_keys, NULL));
    NO(vp_cenc_new(made_keys, NULL, 0, NULL, &made, e));
    NO(vp_cenc_new(made_keys, "", 0, NULL, NULL, e));
    assert_null(vp_keys_unref(made_keys));
    assert_null(made);
    assert_null(bytes);
}

static vp_status on_entry(void *user, const vp_object_info *info)
{
    (void)user, (void)info;
    return VP_OK;
}

static void signatures(void **state)
{
    room *r = *state;
    vp_s3_request request = VP_S3_REQUEST_INIT;
    vp_s3_credentials credentials = VP_S3_CREDENTIALS_INIT;
    vp_s3_post post = VP_S3_POST_INIT;
    vp_cloudfront cloudfront = VP_CLOUDFRONT_INIT;
    vp_s3_chunks *chunks = NULL;
    vp_bytes *bytes = NULL;
    if (!vp_feature("s3")) skip();
    vp_s3_credentials_init(NULL, 0);
    vp_s3_request_init(NULL, 0);
    vp_s3_post_init(NULL, 0);
    vp_cloudfront_init(NULL, 0);
    NO(vp_s3_reply_set(NULL, &credentials, e));
    NO(vp_s3_sign(NULL, &credentials, &bytes, e));
    NO(vp_s3_sign(&request, NULL, &bytes, e));
    NO(vp_s3_sign(&request, &credentials, NULL, e));
    NO(vp_s3_sign(&request, &credentials, &bytes, e)); /* nothing is filled */
    NO(vp_s3_presign(NULL, &credentials, &bytes, e));
    NO(vp_s3_presign(&request, NULL, &bytes, e));
    NO(vp_s3_presign(&request, &credentials, NULL, e));
    NO(vp_s3_chunks_begin(NULL, &credentials, &bytes, &chunks, e));
    NO(vp_s3_chunks_begin(&request, NULL, &bytes, &chunks, e));
    NO(vp_s3_chunks_begin(&request, &credentials, NULL, &chunks, e));
    NO(vp_s3_chunks_begin(&request, &credentials, &bytes, NULL, e));
    assert_null(vp_s3_chunks_ref(NULL));
    assert_null(vp_s3_chunks_unref(NULL));
    NO(vp_s3_chunks_next(NULL, "", 1, &bytes, e));
    NO(vp_s3_chunks_end(NULL, NULL, &bytes, e));
    NO(vp_s3_chunks_size(NULL, 1, 65536, NULL, NULL, e));
    NO(vp_s3_post_policy(NULL, &credentials, &bytes, e));
    NO(vp_s3_post_policy(&post, NULL, &bytes, e));
    NO(vp_s3_post_policy(&post, &credentials, NULL, e));
    NO(vp_cloudfront_sign_url(NULL, NULL, &bytes, e));
    NO(vp_cloudfront_sign_url(&cloudfront, NULL, NULL, e));
    NO(vp_cloudfront_sign_cookies(NULL, &bytes, e));
    NO(vp_cloudfront_sign_cookies(&cloudfront, NULL, e));
    assert_null(bytes);
}

/* Nothing here is sent: an argument is missing each time. */
static void object_storage(void **state)
{
    room *r = *state;
    vp_s3_credentials credentials = VP_S3_CREDENTIALS_INIT;
    vp_s3_options options = VP_S3_OPTIONS_INIT;
    vp_sink_s3_options where = VP_SINK_S3_OPTIONS_INIT;
    vp_ingest *ingest = NULL;
    vp_s3_info info = VP_S3_INFO_INIT;
    vp_s3 *s3 = NULL;
    vp_s3_upload *upload = NULL;
    vp_sink *sink = NULL;
    vp_store *store = NULL;
    vp_source *source = NULL;
    vp_bytes *bytes = NULL;
    if (!vp_feature("s3")) skip();
    NO(vp_source_http(r->context, NULL, NULL, &source, e));
    NO(vp_source_http(r->context, "https://h/", NULL, NULL, e));
    NO(vp_source_http(NULL, "https://h/", NULL, &source, e));
    vp_s3_options_init(NULL, 0);
    vp_s3_counts_init(NULL, 0);
    vp_s3_object_init(NULL, 0);
    vp_s3_info_init(NULL, 0);
    vp_sink_s3_options_init(NULL, 0);
    vp_s3_progress_init(NULL, 0);
    NO(vp_s3_new(NULL, &options, &s3, e));
    NO(vp_s3_new(r->context, &options, NULL, e));
    assert_null(vp_s3_ref(NULL));
    assert_null(vp_s3_unref(NULL));
    credentials.access_key = credentials.secret_key = "key";
    options.credentials = &credentials;
    assert_status(VP_OK, vp_s3_new(r->context, &options, &s3, NULL));
    NO(vp_s3_get_counts(NULL, NULL, e));
    NO(vp_s3_get_counts(s3, NULL, e));
    NO(vp_s3_presign_object(NULL, "GET", "b", "k", NULL, NULL, 0, NULL, &bytes, e));
    NO(vp_s3_presign_object(s3, NULL, "b", "k", NULL, NULL, 0, NULL, &bytes, e));
    NO(vp_s3_presign_object(s3, "GET", NULL, "k", NULL, NULL, 0, NULL, &bytes, e));
    NO(vp_s3_presign_object(s3, "GET", "b", NULL, NULL, NULL, 0, NULL, &bytes, e));
    NO(vp_s3_presign_object(s3, "GET", "b", "k", NULL, NULL, 0, NULL, NULL, e));
    NO(vp_s3_put(NULL, "b", "k", r->source, NULL, NULL, NULL, e));
    NO(vp_s3_put(s3, NULL, "k", r->source, NULL, NULL, NULL, e));
    NO(vp_s3_put(s3, "b", NULL, r->source, NULL, NULL, NULL, e));
    NO(vp_s3_put(s3, "b", "k", NULL, NULL, NULL, NULL, e));
    NO(vp_s3_get(NULL, "b", "k", 0, NULL, &bytes, e));
    NO(vp_s3_get(s3, "b", "k", 0, NULL, NULL, e));
    NO(vp_s3_head(NULL, "b", "k", NULL, &info, e));
    NO(vp_s3_head(s3, "b", NULL, NULL, &info, e));
    NO(vp_s3_delete(NULL, "b", "k", NULL, e));
    NO(vp_s3_delete(s3, NULL, "k", NULL, e));
    NO(vp_s3_delete_prefix(NULL, "b", "p", NULL, NULL, e));
    NO(vp_s3_delete_prefix(s3, "b", NULL, NULL, NULL, e));
    NO(vp_s3_delete_prefix(s3, "b", "", NULL, NULL, e));
    NO(vp_s3_list(NULL, "b", "", on_entry, NULL, NULL, e));
    NO(vp_s3_list(s3, "b", NULL, on_entry, NULL, NULL, e));
    NO(vp_s3_list(s3, "b", "", NULL, NULL, NULL, e));
    NO(vp_s3_copy(NULL, "b", "k", "b", "l", NULL, NULL, e));
    NO(vp_s3_copy(s3, "b", "k", NULL, "l", NULL, NULL, e));
    NO(vp_s3_sweep(NULL, "b", "", 0, NULL, NULL, e));
    NO(vp_s3_sweep(s3, "b", NULL, 0, NULL, NULL, e));
    NO(vp_s3_abandon(NULL, NULL, NULL, NULL, e));
    NO(vp_s3_abandon(s3, NULL, NULL, NULL, e));
    NO(vp_s3_upload_begin(NULL, "b", "k", 0, NULL, NULL, &upload, e));
    NO(vp_s3_upload_begin(s3, "b", "k", 0, NULL, NULL, NULL, e));
    NO(vp_s3_upload_resume(NULL, "{}", 2, NULL, &upload, e));
    NO(vp_s3_upload_resume(s3, NULL, 0, NULL, &upload, e));
    assert_null(vp_s3_upload_ref(NULL));
    assert_null(vp_s3_upload_unref(NULL));
    assert_int_equal(vp_s3_upload_part_size(NULL), 0);
    NO(vp_s3_upload_token(NULL, &bytes, e));
    assert_status(VP_E_ARG, vp_s3_upload_has(NULL, 1, NULL, NULL));
    NO(vp_s3_upload_part(NULL, 1, "", 0, NULL, e));
    NO(vp_s3_upload_complete(NULL, NULL, NULL, e));
    NO(vp_s3_upload_abort(NULL, NULL, e));
    NO(vp_s3_upload_presign(NULL, 1, 60, NULL, &bytes, e));
    NO(vp_s3_upload_adopt(NULL, NULL, e));
    NO(vp_sink_s3(NULL, &where, &sink, e));
    NO(vp_sink_s3(s3, NULL, &sink, e));
    NO(vp_sink_s3(s3, &where, &sink, e)); /* no bucket */
    NO(vp_source_s3(NULL, "b", "k", &source, e));
    NO(vp_source_s3(s3, "b", NULL, &source, e));
    NO(vp_store_s3(NULL, "b", "p", &store, e));
    NO(vp_store_s3(s3, NULL, "p", &store, e));
    NO(vp_ingest_s3(NULL, "b", "p", NULL, &ingest, e));
    NO(vp_ingest_s3(s3, NULL, "p", NULL, &ingest, e));
    NO(vp_ingest_s3(s3, "b", "p", NULL, NULL, e));
    NO(vp_ingest_s3(s3, "b", "../p", NULL, &ingest, e));
    assert_ok(vp_ingest_s3(s3, "b", NULL, NULL, &ingest, NULL)); /* no I/O yet */
    ingest = vp_ingest_unref(ingest);
    NO(vp_s3_put_tree(NULL, ".", &where, NULL, NULL, NULL, NULL, e));
    NO(vp_s3_put_tree(s3, NULL, &where, NULL, NULL, NULL, NULL, e));
    NO(vp_s3_put_tree(s3, ".", NULL, NULL, NULL, NULL, NULL, e));
    assert_null(vp_s3_unref(s3));
    assert_true(!upload && !sink && !store && !source && !bytes);
}

static void upload_requests(void **state)
{
    room *r = *state;
    vp_ingest *ingest = NULL;
    vp_tus *tus = NULL;
    vp_tus_request *q = NULL;
    vp_tus_info info = VP_TUS_INFO_INIT;
    const char *name, *value;
    const void *data;
    vp_source *source = NULL;
    uint64_t from, size;
    if (!vp_feature("ingest")) skip();
    vp_tus_options_init(NULL, 0);
    vp_tus_info_init(NULL, 0);
    vp_tus_accept_options_init(NULL, 0);
    assert_ok(vp_ingest_directory(r->context, "/dev/null/none", NULL, &ingest, NULL));
    NO(vp_tus_new(NULL, NULL, &tus, e));
    NO(vp_tus_new(ingest, NULL, NULL, e));
    assert_null(vp_tus_ref(NULL));
    assert_null(vp_tus_unref(NULL));
    assert_ok(vp_tus_new(ingest, NULL, &tus, NULL));
    NO(vp_tus_begin(NULL, "GET", "/files/a", NULL, 0, &q, e));
    NO(vp_tus_begin(tus, NULL, "/files/a", NULL, 0, &q, e));
    NO(vp_tus_begin(tus, "GET", NULL, NULL, 0, &q, e));
    NO(vp_tus_begin(tus, "GET", "/files/a", NULL, 0, NULL, e));
    NO(vp_tus_begin_draft(NULL, "GET", "/files/a", NULL, 0, &q, e));
    NO(vp_tus_begin_draft(tus, "GET", "/files/a", NULL, 0, NULL, e));
    assert_null(q);
    assert_null(vp_tus_close(NULL));
    assert_int_equal(vp_tus_state(NULL), 0);
    assert_int_equal(vp_tus_status(NULL), 0);
    assert_int_equal(vp_tus_due(NULL), -1);
    assert_int_equal(vp_tus_interim(NULL, &name), 0);
    assert_null(name);
    assert_ok(vp_tus_begin(tus, "GET", "/files/a", NULL, 0, &q, NULL)); /* no headers at all */
    assert_int_equal(vp_tus_interim(q, NULL), 0);
    assert_null(vp_tus_request_header(NULL, "Range"));
    assert_null(vp_tus_request_header(q, NULL));
    NO(vp_tus_get_info(NULL, &info, e));
    NO(vp_tus_get_info(q, NULL, e));
    NO(vp_tus_metadata(NULL, 0, &name, &data, &size, e));
    NO(vp_tus_metadata(q, 0, NULL, &data, &size, e));
    NO(vp_tus_metadata(q, 0, &name, NULL, &size, e));
    NO(vp_tus_metadata(q, 0, &name, &data, NULL, e));
    NO(vp_tus_accept(NULL, NULL, e));
    NO(vp_tus_reject(NULL, 403, NULL, NULL, 0, e));
    NO(vp_tus_reject(q, 403, NULL, NULL, 1, e));
    NO(vp_tus_body(NULL, "a", 1, e));
    NO(vp_tus_body(q, NULL, 1, e));
    NO(vp_tus_end(NULL, NULL, e));
    NO(vp_tus_step(NULL, e));
    assert_ok(vp_tus_reject(q, 403, NULL, NULL, 0, NULL));
    NO(vp_tus_answer_header(NULL, 0, &name, &value, e));
    NO(vp_tus_answer_header(q, 0, NULL, &value, e));
    NO(vp_tus_answer_header(q, 0, &name, NULL, e));
    NO(vp_tus_answer_body(NULL, &data, &size, e));
    NO(vp_tus_answer_body(q, NULL, &size, e));
    NO(vp_tus_answer_body(q, &data, NULL, e));
    NO(vp_tus_answer_source(NULL, &source, &from, &size, e));
    NO(vp_tus_answer_source(q, NULL, &from, &size, e));
    NO(vp_tus_answer_source(q, &source, NULL, &size, e));
    NO(vp_tus_answer_source(q, &source, &from, NULL, e));
    assert_null(vp_tus_close(q));
    assert_null(vp_tus_unref(tus));
    assert_null(vp_ingest_unref(ingest));
}

static vp_status on_upload(void *user, const vp_upload_info *info)
{
    (void)user;
    (void)info;
    return VP_OK;
}

/* Nothing here is stored: an argument is missing each time. */
static void uploads(void **state)
{
    room *r = *state;
    vp_ingest_ops ops = VP_INGEST_OPS_INIT;
    vp_ingest *ingest = NULL;
    vp_upload *upload = NULL;
    vp_upload_info info = VP_UPLOAD_INFO_INIT;
    vp_source *source = NULL;
    vp_queue *queue = NULL;
    uint64_t from, to;
    if (!vp_feature("ingest")) skip();
    vp_ingest_options_init(NULL, 0);
    vp_upload_options_init(NULL, 0);
    vp_upload_info_init(NULL, 0);
    vp_ingest_ops_init(NULL, 0);
    NO(vp_ingest_directory(NULL, "x", NULL, &ingest, e));
    NO(vp_ingest_directory(r->context, NULL, NULL, &ingest, e));
    NO(vp_ingest_directory(r->context, "", NULL, &ingest, e));
    NO(vp_ingest_directory(r->context, "x", NULL, NULL, e));
    NO(vp_ingest_new(NULL, &ops, NULL, NULL, &ingest, e));
    NO(vp_ingest_new(r->context, NULL, NULL, NULL, &ingest, e));
    NO(vp_ingest_new(r->context, &ops, NULL, NULL, &ingest, e)); /* no callbacks */
    NO(vp_ingest_new(r->context, &ops, NULL, NULL, NULL, e));
    NO(vp_ingest_reply_set(NULL, "x", 1, 1, e));
    assert_null(vp_ingest_ref(NULL));
    assert_null(vp_ingest_unref(NULL));
    assert_ok(vp_ingest_directory(r->context, "/dev/null/none", NULL, &ingest, NULL));
    NO(vp_ingest_create(NULL, NULL, &upload, e));
    NO(vp_ingest_create(ingest, NULL, NULL, e));
    NO(vp_ingest_open(NULL, "a", &upload, e));
    NO(vp_ingest_open(ingest, NULL, &upload, e));
    NO(vp_ingest_open(ingest, "a", NULL, e));
    NO(vp_ingest_stat(NULL, "a", &info, NULL, e));
    NO(vp_ingest_stat(ingest, NULL, &info, NULL, e));
    NO(vp_ingest_peek(NULL, "a", &source, e));
    NO(vp_ingest_peek(ingest, NULL, &source, e));
    NO(vp_ingest_peek(ingest, "a", NULL, e));
    NO(vp_ingest_source(NULL, "a", &source, e));
    NO(vp_ingest_source(ingest, NULL, &source, e));
    NO(vp_ingest_source(ingest, "a", NULL, e));
    NO(vp_ingest_remove(NULL, "a", e));
    NO(vp_ingest_remove(ingest, NULL, e));
    NO(vp_ingest_list(NULL, on_upload, NULL, e));
    NO(vp_ingest_list(ingest, NULL, NULL, e));
    NO(vp_ingest_expire(NULL, NULL, NULL, e));
    assert_null(vp_upload_close(NULL));
    NO(vp_upload_get_info(NULL, &info, e));
    assert_int_equal(vp_upload_offset(NULL), 0);
    NO(vp_upload_set_length(NULL, 1, e));
    NO(vp_upload_append(NULL, 0, "x", 1, e));
    NO(vp_upload_write_at(NULL, 0, "x", 1, e));
    NO(vp_upload_missing(NULL, 0, &from, &to, e));
    NO(vp_upload_check_begin(NULL, "md5", e));
    NO(vp_upload_check_end(NULL, "x", 1, e));
    vp_upload_check_drop(NULL);
    NO(vp_upload_sync(NULL, e));
    NO(vp_upload_sync_start(NULL, queue, 0, e));
    NO(vp_upload_append_start(NULL, 0, "x", 1, queue, 0, e));
    NO(vp_upload_finish(NULL, &source, NULL, e));
    NO(vp_upload_finish_start(NULL, queue, 0, e));
    assert_true(!upload && !source);
    assert_null(vp_ingest_unref(ingest));
}

/* Every function of the headers is named above. */
static void all_functions(void **state)
{
    const char *src = getenv("VODPIPE_SRC");
    char command[1024], line[128], *text;
    clip c = { 0 };
    unsigned found = 0, missing = 0;
    FILE *f;
    (void)state;
    if (!src) skip();
    snprintf(command, sizeof(command), "%s/tests/api/test_nulls.c", src);
    assert_true(clip_load(command, &c));
    text = calloc(1, c.size + 1);
    assert_non_null(text);
    memcpy(text, c.data, c.size);
    snprintf(command, sizeof(command),
             "sed -n 's/^VP_API .*[ *]\\(vp_[a-z0-9_]*\\)(.*/\\1(/p' %s/include/vodpipe/*.h", src);
    f = popen(command, "r");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f)) {
        line[strcspn(line, "\n")] = 0;
        found++;
        if (strstr(text, line)) continue;
        print_error("%s) is not tested\n", line);
        missing++;
    }
    pclose(f);
    free(text);
    free(c.data);
    assert_true(found > 120);
    assert_int_equal(missing, 0);
}

/* A source that is no film: nothing here reads it. */
static int open_room(void **state)
{
    if (room_open(state) != 0) return -1;
    room *r = *state;
    return vp_source_memory(r->context, "no film", 7, &r->source, NULL) == VP_OK ? 0 : -1;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_room, room_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(version_and_base),
        TEST(sources),
        TEST(sinks),
        TEST(stores),
        TEST(media_and_ladder),
        TEST(presentations),
        TEST(packager),
        TEST(verify),
        TEST(plans),
        TEST(jobs),
        TEST(keys),
        TEST(protection),
        TEST(signatures),
        TEST(object_storage),
        TEST(upload_requests),
        TEST(uploads),
        TEST(all_functions),
    };
    return cmocka_run_group_tests_name("nulls", tests, NULL, NULL);
}
