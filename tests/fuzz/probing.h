/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPT_FUZZ_PROBING_H
#define VPT_FUZZ_PROBING_H

/* A probe of any bytes over a memory source, and everything that a host may ask of the answer. */

#include <vodpipe/probe.h>

#include "fuzz.h"

static inline void fuzz_answers(const vp_media *media)
{
    vp_media_info info = VP_MEDIA_INFO_INIT;
    vp_bytes *json = NULL;
    vp_video_info video;
    vp_audio_info audio;
    const char *text;
    int64_t time;

    FUZZ_CHECK(vp_media_get_info(media, &info, NULL) == VP_OK && info.format);
    FUZZ_CHECK(info.video_count + info.audio_count > 0);
    for (uint32_t i = 0; i < info.video_count; i++) {
        vp_video_info_init(&video, sizeof(video));
        FUZZ_CHECK(vp_media_get_video(media, i, &video, NULL) == VP_OK && video.codec && video.language);
        FUZZ_CHECK((uint64_t)video.width * video.height <= (uint64_t)8192 * 4608);
    }
    for (uint32_t i = 0; i < info.audio_count; i++) {
        vp_audio_info_init(&audio, sizeof(audio));
        FUZZ_CHECK(vp_media_get_audio(media, i, &audio, NULL) == VP_OK && audio.codec && audio.language);
    }
    for (uint32_t i = 0; i < info.warning_count; i++) {
        FUZZ_CHECK(vp_media_warning(media, i, &text, &time) && text);
    }
    FUZZ_CHECK(vp_media_json(media, &json, NULL) == VP_OK);
    vp_bytes_unref(json);
}

static inline void fuzz_probe(const uint8_t *data, size_t size, uint32_t full)
{
    static vp_context *context;
    vp_probe_options o = VP_PROBE_OPTIONS_INIT;
    vp_error err = VP_ERROR_INIT;
    vp_source *source = NULL;
    vp_media *media = NULL;
    vp_status st;

    if (!context) {
        if (vp_context_new(NULL, &context, NULL) < 0) abort();
        vp_libav_log_redirect(context); /* silent */
    }
    if (vp_source_memory(context, data, size, &source, NULL) < 0) abort();
    o.full = full;
    o.timeout_ms = 10000;
    st = vp_probe(context, source, &o, NULL, &media, &err);
    FUZZ_REFUSAL(st, err);
    FUZZ_CHECK((st == VP_OK) == (media != NULL));
    FUZZ_CHECK(st != VP_E_INTERNAL && st != VP_E_STATE && st != VP_E_ARG);
    FUZZ_ACCEPTED(media != NULL);
    if (media) fuzz_answers(media);
    vp_media_unref(media);
    vp_source_unref(source);
}

#endif
