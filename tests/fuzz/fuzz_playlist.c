/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Manifests of a published title that a stranger may have written: master, media and I-frame playlist, MPD. */
#include <vodpipe/manifest.h>

#include "title.h"

#define VIDEO FUZZ_FOLDER "/video/192p/"

static vp_context *context;
static vp_sink *sink;

static void start(void)
{
    vp_presentation *p = vpi_presentation_new();
    vp_bytes *json = NULL;

    if (!p || vp_context_new(NULL, &context, NULL) < 0 || vp_sink_memory(context, &sink, NULL) < 0) abort();
    p->p.version = (vpi_free(p->p.version), fuzz_text(FUZZ_FOLDER));
    p->p.timescale = 12800;
    p->p.duration = 4 * 12800;
    fuzz_track(&p->p, "192p", VP_TRACK_VIDEO, VP_CONTAINER_CMAF, "avc1.4d001e");
    fuzz_track(&p->p, "en-stereo", VP_TRACK_AUDIO, VP_CONTAINER_CMAF, "mp4a.40.2");
    if (vpi_presentation_finish(&p->p, NULL) < 0 || vp_presentation_json(p, &json, NULL) < 0) abort();
    fuzz_put(sink, "presentation.json", vp_bytes_data(json), vp_bytes_size(json));
    vp_bytes_unref(json);
    vp_presentation_unref(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const keys[] = { "master.m3u8", "manifest.mpd", VIDEO "playlist.m3u8",
                                        VIDEO "iframes.m3u8" };
    vp_error err = VP_ERROR_INIT;
    vp_report *report = NULL;
    vp_bytes *json = NULL;
    vp_status st;

    if (!context) start();
    for (size_t i = 0; i < VPI_COUNT(keys); i++) fuzz_put(sink, keys[i], data, size);
    st = vp_verify(context, sink, NULL, NULL, &report, &err);
    /* No segments are there: it must find faults, and report them. */
    FUZZ_CHECK(st == VP_E_DATA && report && vp_report_failed(report) > 0);
    FUZZ_ACCEPTED(size > 7 && vp_report_checks(report) > 60);
    FUZZ_CHECK(vp_report_json(report, &json, NULL) == VP_OK);
    vp_bytes_unref(json);
    vp_report_unref(report);
    return 0;
}
