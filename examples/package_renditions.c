/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * package_renditions OUT RENDITION...: files that an encoder made already (MP4, TS or Matroska with H.264 and AAC)
 * become one title, without transcoding. Their IDR pictures must lie at the same times; where they do not, the
 * failure names file and time.
 */
#include <stdio.h>

#include <vodpipe/vodpipe.h>

#define RENDITIONS_MAX 16

int main(int argc, char **argv)
{
    vp_error err = VP_ERROR_INIT;
    vp_context *context = NULL;
    vp_source *sources[RENDITIONS_MAX] = { NULL };
    vp_sink *sink = NULL;
    vp_job *job = NULL;
    vp_presentation *presentation = NULL;
    vp_job_options options = VP_JOB_OPTIONS_INIT;
    vp_transcode_options settings = VP_TRANSCODE_OPTIONS_INIT;
    uint32_t count = argc < 3 ? 0 : (uint32_t)argc - 2;

    if (count < 1 || count > RENDITIONS_MAX) {
        fprintf(stderr, "usage: %s OUT RENDITION...\n", argv[0]);
        return 2;
    }
    vp_status st = vp_context_new(NULL, &context, &err);
    for (uint32_t i = 0; st >= 0 && i < count; i++)
        st = vp_source_file(context, argv[2 + i], &sources[i], &err);
    if (st >= 0) st = vp_sink_directory(context, argv[1], &sink, &err);

    settings.formats = VP_FORMAT_CMAF | VP_FORMAT_TS; /* the same samples in both kinds of segments */
    options.sink = sink;
    options.transcode = &settings;
    if (st >= 0)
        st = vp_job_new_package(context, &options, sources, (const char *const *)argv + 2, count, &job, &err);
    if (st >= 0) st = vp_job_start(job, &err);
    if (st >= 0) st = vp_job_wait(job, -1, &err);
    if (st >= 0) st = vp_job_presentation(job, &presentation, &err);

    /* What was published, as data: a host may keep it (vp_presentation_json) and make manifests from it later. */
    vp_presentation_info info;
    vp_presentation_info_init(&info, sizeof(info));
    if (st >= 0) st = vp_presentation_get_info(presentation, &info, &err);
    for (uint32_t i = 0; st >= 0 && i < info.track_count; i++) {
        vp_track_info track;
        vp_track_info_init(&track, sizeof(track));
        st = vp_presentation_get_track(presentation, i, &track, &err);
        if (st >= 0)
            printf("%-10s %-14s %-4s %3u segments, %u kbit/s\n", track.name, track.codecs,
                   track.container == VP_CONTAINER_CMAF ? "cmaf" : "ts", (unsigned)track.segment_count,
                   (unsigned)(track.average_bandwidth / 1000));
    }
    if (st < 0) fprintf(stderr, "%s: %s\n", err.reason, err.message);

    vp_presentation_unref(presentation);
    vp_job_unref(job);
    vp_sink_unref(sink);
    for (uint32_t i = 0; i < count; i++) vp_source_unref(sources[i]);
    vp_context_unref(context);
    return st < 0;
}
