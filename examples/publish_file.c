/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * publish_file INPUT OUT: the whole job in one call. Everything is done when vp_job_wait() returns: either OUT holds
 * a title that plays (OUT/master.m3u8 for HLS, OUT/manifest.mpd for DASH), or nothing of it is visible.
 */
#include <stdio.h>

#include <vodpipe/vodpipe.h>

/* Comes from a thread of the library; calls never overlap. */
static int32_t on_event(void *user, const vp_event *event)
{
    (void)user;
    if (event->kind == VP_EVENT_PROGRESS)
        fprintf(stderr, "\r%-8s %3u %%", vp_stage_name(event->stage), (unsigned)(event->permille / 10));
    if (event->kind == VP_EVENT_WARNING) fprintf(stderr, "\nwarning: %s: %s\n", event->reason, event->text);
    return 0; /* anything else would end the job */
}

int main(int argc, char **argv)
{
    vp_error err = VP_ERROR_INIT;
    vp_context *context = NULL;
    vp_source *source = NULL;
    vp_sink *sink = NULL;
    vp_store *work = NULL;
    vp_job *job = NULL;
    vp_job_options options = VP_JOB_OPTIONS_INIT;
    char folder[4096];
    vp_status st;

    if (argc != 3) {
        fprintf(stderr, "usage: %s INPUT OUT\n", argv[0]);
        return 2;
    }
    snprintf(folder, sizeof(folder), "%s/.vodpipe", argv[2]);

    /* NULL: as many threads and as much memory as this process may use. */
    st = vp_context_new(NULL, &context, &err);
    if (st >= 0) st = vp_source_file(context, argv[1], &source, &err);
    if (st >= 0) st = vp_sink_directory(context, argv[2], &sink, &err);
    /* Finished parts are kept here: when the process is stopped, the next run goes on from them. */
    if (st >= 0) st = vp_store_directory(context, folder, &work, &err);

    options.source = source;
    options.sink = sink;
    options.work = work;
    options.on_event = on_event;
    options.settings_json =
        "{\"segment\":6,\"gop\":2}"; /* the words of the command line; all of them optional */
    if (st >= 0) st = vp_job_new(context, &options, &job, &err);
    if (st >= 0) st = vp_job_start(job, &err);
    if (st >= 0) st = vp_job_wait(job, -1, &err);

    if (st < 0)
        fprintf(stderr, "\n%s: %s\n", err.reason, err.message); /* docs/reasons.md explains each reason */
    else
        printf("%s: %s/master.m3u8\n", st == VP_END ? "was there already" : "published", argv[2]);

    vp_job_unref(job);
    vp_store_unref(work);
    vp_sink_unref(sink);
    vp_source_unref(source);
    vp_context_unref(context);
    return st < 0;
}
