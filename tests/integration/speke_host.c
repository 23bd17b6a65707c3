/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * speke_host INPUT OUT URL SETTINGS: publishes a title with keys of a key server, as a host does. Log lines and events
 * of every level go to stdout; the last line is "published" or the reason.
 */
#include <stdio.h>

#include <vodpipe/vodpipe.h>

static void on_log(void *user, int32_t level, const char *module, const char *line)
{
    (void)user;
    printf("log %d %s: %s\n", level, module, line);
}

static int32_t on_event(void *user, const vp_event *event)
{
    (void)user;
    if (event->kind != VP_EVENT_PROGRESS)
        printf("event %d: %s %s %s\n", event->kind, event->reason, event->text, event->key);
    return 0;
}

int main(int argc, char **argv)
{
    vp_context_options c = VP_CONTEXT_OPTIONS_INIT;
    vp_job_options options = VP_JOB_OPTIONS_INIT;
    vp_transcode_options transcode = VP_TRANSCODE_OPTIONS_INIT;
    vp_speke_options speke = VP_SPEKE_OPTIONS_INIT;
    vp_http_options http = VP_HTTP_OPTIONS_INIT;
    vp_error err = VP_ERROR_INIT;
    vp_context *context = NULL;
    vp_source *source = NULL;
    vp_sink *sink = NULL;
    vp_store *work = NULL;
    vp_keys *keys = NULL;
    vp_job *job = NULL;
    char text[4096];
    vp_status st;

    if (argc != 5) return 2;
    c.log = on_log;
    c.log_level = VP_LOG_DEBUG;
    http.headers = "Authorization: Bearer token";
    speke.url = argv[3];
    speke.content_id = "movie-7";
    speke.http = &http;
    snprintf(text, sizeof(text), "%s/.vodpipe", argv[2]);
    st = vp_context_new(&c, &context, &err);
    if (st >= 0) st = vp_source_file(context, argv[1], &source, &err);
    if (st >= 0) st = vp_sink_directory(context, argv[2], &sink, &err);
    if (st >= 0) st = vp_store_directory(context, text, &work, &err);
    if (st >= 0) st = vp_keys_speke(context, &speke, &keys, &err);
    transcode.keys = keys;
    options.transcode = &transcode;
    options.source = source;
    options.sink = sink;
    options.work = work;
    options.on_event = on_event;
    options.settings_json = argv[4];
    if (st >= 0) st = vp_job_new(context, &options, &job, &err);
    if (st >= 0) st = vp_job_start(job, &err);
    if (st >= 0) st = vp_job_wait(job, -1, &err);
    if (st < 0)
        printf("%s: %s\n", err.reason, err.message);
    else
        printf("published\n");
    vp_job_unref(job);
    vp_keys_unref(keys);
    vp_store_unref(work);
    vp_sink_unref(sink);
    vp_source_unref(source);
    vp_context_unref(context);
    return st < 0;
}
